"""The numbers of status, the migration report, the list, verify and the tables agree after any history."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import migrator
from migrator.admin.switch_backend import switch_backend
from migrator.inventory.location import resolve_data_dir
from migrator.inventory.status import status_of
from migrator.quarantine.items import list_quarantine
from migrator.receipt.facts import receipt_of
from migrator.receipt.page import page_of
from migrator.search.sessions import list_sessions
from migrator.storage.protocol import SessionFilters
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_json, chat, hash_of

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"


class History:
    """Changes a data directory at random."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.chance = scene, random.Random(seed)
        self.places = resolve_data_dir(scene.root)
        self.names = [f"s{number}" for number in range(8)]

    def documents(self, workspace: str) -> list[Any]:
        found: list[Any] = [
            chat(name, workspace=workspace, text=self.chance.choice("xyz"))
            for name in self.chance.sample(self.names, self.chance.randint(1, 5))
        ]
        return [*found, {"id": "broken"}] if self.chance.random() < 0.3 else found

    def write(self) -> None:
        workspace = self.chance.choice([ENGINE, LOOM])
        self.scene.write(workspace, self.documents(workspace))

    def write_shared(self) -> None:
        content = app_json(self.documents(ENGINE) + [chat("shared", workspace=LOOM)])
        (self.scene.root / "sessions.json").write_bytes(content)

    def tear(self) -> None:
        self.scene.write_bytes(LOOM, app_json(self.documents(LOOM))[:-9])

    def adopt(self) -> None:
        copy = self.scene.root / "sessions" / f"{hash_of(ENGINE)} copy.json"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(app_json(self.documents(ENGINE)))
        migrator.migrate(self.places, adopt=[copy], search_index=False)

    def migrate(self) -> None:
        migrator.migrate(self.places, search_index=False)

    def rollback(self) -> None:
        migrator.rollback(self.places)

    def hybrid(self) -> None:
        switch_backend(self.places, "hybrid")

    def sqlite(self) -> None:
        switch_backend(self.places, "sqlite")

    def create(self) -> None:
        with migrator.open_storage(self.places) as store:
            created: Any = chat(f"new-{self.chance.randint(0, 99)}")
            store.create_session(ENGINE, created)

    def step(self) -> None:
        steps: list[Callable[[], None]] = [self.write, self.write, self.write_shared, self.tear, self.adopt]
        steps += [self.migrate, self.migrate, self.rollback, self.hybrid, self.sqlite, self.create]
        with suppress(migrator.MigratorError):  # refused: nothing was changed
            self.chance.choice(steps)()


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_agree_after_a_random_history(seed: int, scene: Scene) -> None:
    history = History(scene, seed)
    history.write()
    for _ in range(6):
        history.step()
    history.migrate()
    places = history.places
    status, report = status_of(places), receipt_of(places)
    verified, listed = migrator.verify(places), list_sessions(places, None, SessionFilters(), None, print).sessions
    totals = report.totals

    [(sessions,)] = scene.query("SELECT count(*) FROM sessions")
    [(held,)] = scene.query("SELECT count(*) FROM quarantine WHERE reason <> 'deleted'")
    failed = {workspace.hash for workspace in status.workspaces if workspace.state == "failed"}
    assert sum(workspace.sessions for workspace in status.workspaces) == totals.sessions_now == sessions
    assert verified.sessions == sessions
    assert len(listed) == sessions or failed
    items = [item for item in list_quarantine(places).items if item.reason != "deleted"]
    assert status.quarantined == totals.in_quarantine_now == len(items) == held
    assert (status.deleted, status.held) == (totals.deleted_now, totals.held_now)
    for account in (totals, *report.workspaces, *report.runs):
        assert account.found == account.migrated + account.merged + account.quarantined + account.failed
    for name in ("found", "sessions_now", "in_quarantine_now", "deleted_now", "held_now"):
        assert sum(getattr(account, name) for account in report.workspaces) == getattr(totals, name), name
    page = page_of(report)
    assert f"{totals.found:,}" in page
    assert f"{totals.sessions_now:,}" in page
    there = {session.id for _, session in listed}
    if not failed and status.backend == "hybrid":
        assert not [source.source for source in verified.sources if {*source.differences.get("removed", ())} & there]


def test_hybrid_mode_finds_nothing_twice(scene: Scene, migrator: Migrator, tmp_path: Path) -> None:
    scene.write(ENGINE, [chat("a"), {"id": "broken"}])
    (scene.root / "sessions.json").write_bytes(app_json([chat("b"), chat("l", workspace=LOOM)]))
    at = ("--data-dir", scene.root)
    listed = migrator(*at, "sessions", "list", "--json").json
    assert [note for note in listed["notes"] if "2 sessions" in note and "sessions.json" in note]
    reports = []
    for command in ("migrate", "backend hybrid", "migrate"):
        migrator(*at, *command.split())
        totals = migrator(*at, "report", "--json").json["totals"]
        reports.append({name: totals[name] for name in ("found", "quarantined", "failed", "sessions_now")})
        assert not [note for note in migrator(*at, "verify", "--json").json["notes"] if "removed" in note]
    assert reports == [{"found": 4, "quarantined": 1, "failed": 0, "sessions_now": 3}] * 3
    empty = migrator(*at, "sessions", "list", "--status", "none", "--json").json
    assert len(empty["notes"]) == 2  # what is in quarantine, and which statuses there are
