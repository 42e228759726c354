"""The workspace path of a file: proven, given or a placeholder; never one whose hash is not the file's name."""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrator import open_storage
from migrator.errors import StorageIOError
from migrator.files import reading
from migrator.files.os_errors import os_errors
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from migrator.progress import Progress
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, hash_of, serialized
from tests.support.strategies import instance, session
from tests.support.workers import SHARED, FakeWorker

WORKSPACE = "/srv/build/telemetry-agent"


def nameless(session_id: str = "s-1") -> Document:
    """A session that does not prove a path."""
    return dict(session(id=session_id, instances=[instance(worktreePath="")]))


def paths(scene: Scene) -> dict[str, str]:
    return dict(scene.query("SELECT workspace_hash, workspace_path FROM workspaces"))


@pytest.mark.parametrize(
    "worktree",
    [
        "/srv/build/telemetry-agent/.worktrees/competition-1/instance-1",
        "/srv/build/telemetry-agent/src-tauri/.worktrees/competition-1/instance-1",
        "/srv/build/telemetry-agent/somewhere/else/",
        "/srv/build/telemetry-agent",
    ],
)
def test_a_worktree_inside_a_workspace_proves_its_path(worktree: str, scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [session(instances=[instance(worktreePath=worktree)])])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert paths(scene) == {hash_of(WORKSPACE): WORKSPACE}


def test_a_worktree_elsewhere_proves_nothing(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [session(instances=[instance(worktreePath="/other/.worktrees/1")])])
    migrator("--data-dir", scene.root, "migrate")
    assert paths(scene) == {hash_of(WORKSPACE): f"unknown:{hash_of(WORKSPACE)}"}


def test_the_root_can_be_a_workspace(scene: Scene, migrator: Migrator) -> None:
    scene.write("/", [session(instances=[instance(worktreePath="/.worktrees/1")])])
    migrator("--data-dir", scene.root, "migrate")
    assert paths(scene) == {hash_of("/"): "/"}


@pytest.mark.parametrize("turned", [False, True], ids=["hash to path", "path to hash"])
def test_a_mapping_may_have_either_direction(turned: bool, scene: Scene, migrator: Migrator) -> None:
    mapping = {hash_of(WORKSPACE): WORKSPACE}
    if turned:
        mapping = {path: name for name, path in mapping.items()}
    (scene.root / "workspace_mapping.json").write_text(json.dumps(mapping))
    scene.write(WORKSPACE, [nameless()])
    assert migrator("--data-dir", scene.root, "migrate", "--json").json["warnings"] == []
    assert paths(scene) == {hash_of(WORKSPACE): WORKSPACE}


def test_of_two_workspaces_that_claim_one_path_one_keeps_a_placeholder(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    """A link and its target have a file each, and the mapping names both by the link."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    first, second = sorted((hash_of(real), hash_of(link)))
    (scene.root / "sessions").mkdir(exist_ok=True)
    for name in (first, second):
        (scene.root / "sessions" / f"{name}.json").write_bytes(app_json([nameless(name)]))
    (scene.root / "workspace_mapping.json").write_text(json.dumps({first: str(link), second: str(link)}))
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert paths(scene) == {first: str(link), second: f"unknown:{second}"}
    assert scene.query("SELECT count(*) FROM sessions") == [(2,)]


def test_a_false_mapping_is_ignored(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "workspace_mapping.json").write_text(json.dumps({hash_of(WORKSPACE): "/home/somebody/else"}))
    scene.write(WORKSPACE, [nameless()])
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    assert paths(scene) == {hash_of(WORKSPACE): f"unknown:{hash_of(WORKSPACE)}"}
    assert "'/home/somebody/else'" in report["warnings"][0]


def test_a_false_mapping_does_not_hide_what_the_file_proves(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "workspace_mapping.json").write_text(json.dumps({hash_of(WORKSPACE): "/home/somebody/else"}))
    scene.write(WORKSPACE, [chat("s-1", workspace=WORKSPACE)])
    migrator("--data-dir", scene.root, "migrate")
    assert paths(scene) == {hash_of(WORKSPACE): WORKSPACE}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        "[" * 100_000,
        '{"a": "b"}',
        '{"0123456789abcdef": 7}',
        '{"0123456789abcdef": "\\ud800"}',
    ],
    ids=["empty", "torn", "array", "null", "number", "deep", "no hash", "no path", "half a character"],
)
def test_an_invalid_mapping_is_reported_and_ignored(content: str, scene: Scene, migrator: Migrator) -> None:
    (scene.root / "workspace_mapping.json").write_text(content)
    scene.write(WORKSPACE, [chat("s-1", workspace=WORKSPACE)])
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 0
    assert len(outcome.json["warnings"]) == 1
    assert scene.tasks(WORKSPACE) == ["Weave"]


def test_an_option_gives_a_path(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [nameless()])
    assert migrator("--data-dir", scene.root, "migrate", "--workspace", WORKSPACE).code == 0
    assert paths(scene) == {hash_of(WORKSPACE): WORKSPACE}


def test_an_option_accepts_any_spelling_of_an_existing_path(
    scene: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    monkeypatch.chdir(tmp_path)
    scene.write(real, [nameless()])
    assert migrator("--data-dir", scene.root, "migrate", "--workspace", "./real/").code == 0
    assert paths(scene) == {hash_of(real): str(real)}


def test_a_later_option_names_a_workspace_that_was_unknown(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [nameless()])
    migrator("--data-dir", scene.root, "migrate")
    scene.write(WORKSPACE, [nameless(), nameless("s-2")])
    migrator("--data-dir", scene.root, "migrate", "--workspace", WORKSPACE)
    assert paths(scene) == {hash_of(WORKSPACE): WORKSPACE}


def test_two_files_of_one_workspace_behind_a_link_stay_two_with_all_their_sessions(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    debate = chat("debate", workspace=str(link))
    further = debate | {"status": "round_2"}
    scene.write(real, [debate])
    scene.write(link, [further])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert paths(scene) == {hash_of(real): str(real), hash_of(link): str(link)}
    assert [serialized(document) for document in scene.documents(hash_of(real))] == [serialized(debate)]
    assert [serialized(document) for document in scene.documents(hash_of(link))] == [serialized(further)]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A workspace that contains a file of the first builds."""
    workspace = tmp_path / "workspace"
    (workspace / ".ait42").mkdir(parents=True)
    (workspace / ".ait42" / "sessions.json").write_bytes(
        app_json([chat("s-old", workspace=str(workspace), task="from long ago"), chat("s-1", workspace=str(workspace))])
    )
    return workspace


def test_the_older_file_of_a_named_workspace_is_migrated(scene: Scene, migrator: Migrator, older: Path) -> None:
    outcome = migrator("--data-dir", scene.root, "migrate", "--workspace", older, "--json")
    assert outcome.code == 0
    assert outcome.json["workspaces"][0]["sources"] == [str(older / ".ait42" / "sessions.json")]
    assert scene.tasks(older) == ["from long ago", "Weave"]


def test_the_older_file_of_a_proven_workspace_is_migrated_after_its_own(
    scene: Scene, migrator: Migrator, older: Path
) -> None:
    scene.write(
        older, [chat("s-1", workspace=str(older), task="first"), chat("s-2", workspace=str(older), task="second")]
    )
    migrator("--data-dir", scene.root, "migrate")
    assert scene.tasks(older) == ["first", "second", "from long ago", "Weave"]


def test_an_older_file_that_only_the_copies_lead_to_is_counted(scene: Scene, older: Path) -> None:
    events: list[Progress] = []
    own = scene.write(older, [chat("s-9", workspace=str(older))])
    report = run_migration(resolve_data_dir(scene.root), listener=events.append)
    left = older / ".ait42" / "sessions.json"
    copied = [event for event in events if event.phase == "backup"]
    assert [event.workspace for event in copied] == [f"sessions/{own.name}", str(left)]
    assert (copied[-1].done, copied[-1].total) == (report.totals.bytes, report.totals.bytes)
    assert report.totals.bytes == own.stat().st_size + left.stat().st_size


@pytest.mark.parametrize("missing", [0, 1])
def test_an_older_file_needs_space_in_addition_to_what_is_already_copied(
    missing: int, scene: Scene, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = scene.write(older, [chat("s-9", workspace=str(older), text="x" * 20_000)]).stat().st_size
    left = (older / ".ait42" / "sessions.json").stat().st_size
    # After the first copy there must be space for the second one and for a database of both.
    free = own + math.ceil(left + 1.3 * (own + left)) - missing

    def usage(_: Path) -> SimpleNamespace:
        copied = sum(copy.stat().st_size for copy in (scene.root / "backups").rglob("*.json"))
        return SimpleNamespace(free=free - copied)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    if not missing:
        assert run_migration(resolve_data_dir(scene.root)).totals.sessions == 3
        return
    with pytest.raises(StorageIOError) as refused:
        run_migration(resolve_data_dir(scene.root))
    assert refused.value.code == "disk.full"
    assert not scene.database.exists()
    assert list((scene.root / "backups").iterdir()) == []


@pytest.mark.parametrize("mapped", [True, False])
def test_an_older_file_behind_a_link_goes_to_the_workspace_that_its_own_file_proves(
    mapped: bool, scene: Scene, older: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(older)
    scene.write(older, [chat("s-9", workspace=str(older))])
    if mapped:
        (scene.root / "workspace_mapping.json").write_text(json.dumps({hash_of(link): str(link)}))
    report = run_migration(resolve_data_dir(scene.root))
    assert [(found.path, found.sessions) for found in report.workspaces] == [(str(older), 3)]
    assert run_migration(resolve_data_dir(scene.root)).status == "nothing_to_do"
    folder = Path(report.backup_path or "")
    assert [*(folder / "workspaces").iterdir()] == [folder / "workspaces" / hash_of(older)]


@pytest.mark.parametrize("named", [0, 1])
def test_older_files_are_migrated_in_the_same_order_however_they_were_found(
    named: int, scene: Scene, tmp_path: Path
) -> None:
    """The first one keeps its id in the table."""
    workspaces = sorted((tmp_path / name for name in ("a", "b")), key=hash_of)
    for workspace in workspaces:
        (workspace / ".ait42").mkdir(parents=True)
        content = app_json([chat("s-1", workspace=str(workspace), task=workspace.name)])
        (workspace / ".ait42" / "sessions.json").write_bytes(content)
    scene.write(workspaces[1 - named], [chat("s-2", workspace=str(workspaces[1 - named]))])
    run_migration(resolve_data_dir(scene.root), workspaces=[workspaces[named]])
    assert scene.query("SELECT task FROM sessions WHERE id = 's-1'") == [(workspaces[0].name,)]


def test_a_path_proven_by_a_file_that_became_unreadable_leads_to_the_older_file(
    scene: Scene, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = scene.write(older, [chat("s-9", workspace=str(older))])

    def failing(path: str | Path) -> Any:
        def pieces() -> Iterator[bytes]:
            yield own.read_bytes()
            with os_errors("read", path):
                raise OSError(errno.EIO, "Input/output error")

        return nullcontext(pieces()) if Path(path) == own else reading.read_chunks(path)

    monkeypatch.setattr("migrator.files.copying.small", lambda _: None)  # as if it were read in chunks
    monkeypatch.setattr("migrator.files.copying.read_chunks", failing)
    report = run_migration(resolve_data_dir(scene.root))
    assert [(found.status, found.sessions) for found in report.workspaces] == [("failed", 2)]
    assert scene.tasks(older) == ["from long ago", "Weave"]


def test_a_large_older_file_starts_the_worker(scene: Scene, older: Path) -> None:
    """Whether a worker is worthwhile is clear only when the copy of a small file has led to a large one."""
    own = scene.write(older, [chat("s-9", workspace=str(older))])
    sizes = own.stat().st_size, (older / ".ait42" / "sessions.json").stat().st_size
    limits = replace(SHARED, worker_size=sum(sizes) + 2 * SHARED.file_cost)
    worker = FakeWorker()
    run_migration(resolve_data_dir(scene.root), limits=limits, worker=worker.kind())
    assert "CompareJob" in [type(job).__name__ for job in worker.submitted]
    assert "CopyJob" not in [type(job).__name__ for job in worker.submitted]


def test_one_byte_less_does_not_start_the_worker(scene: Scene, older: Path) -> None:
    own = scene.write(older, [chat("s-9", workspace=str(older))])
    sizes = own.stat().st_size, (older / ".ait42" / "sessions.json").stat().st_size
    limits = replace(SHARED, worker_size=sum(sizes) + 2 * SHARED.file_cost + 1)
    worker = FakeWorker()
    run_migration(resolve_data_dir(scene.root), limits=limits, worker=worker.kind())
    assert not worker.submitted


def test_known_files_are_reported_together_with_an_older_file_that_a_new_file_leads_to(
    scene: Scene, older: Path, migrator: Migrator
) -> None:
    scene.write("/home/dev/engine", [chat("s-5")])
    migrator("--data-dir", scene.root, "migrate")
    scene.write(older, [chat("s-9", workspace=str(older))])
    report = run_migration(resolve_data_dir(scene.root))
    assert sorted((found.path, found.status, found.sessions) for found in report.workspaces) == sorted(
        [("/home/dev/engine", "unchanged", 1), (str(older), "migrated", 3)]
    )


def test_the_older_file_is_in_the_backup(scene: Scene, migrator: Migrator, older: Path) -> None:
    report = migrator("--data-dir", scene.root, "migrate", "--workspace", older, "--json").json
    copy = Path(report["backup_path"]) / "workspaces" / hash_of(older) / "sessions.json"
    assert copy.read_bytes() == (older / ".ait42" / "sessions.json").read_bytes()


def test_the_next_run_knows_the_older_file(scene: Scene, migrator: Migrator, older: Path) -> None:
    migrator("--data-dir", scene.root, "migrate", "--workspace", older)
    for options in ([], ["--workspace", older]):
        assert migrator("--data-dir", scene.root, "migrate", *options, "--json").json["status"] == "nothing_to_do"


def test_a_data_directory_that_is_a_workspaces_own_folder_is_read_once(migrator: Migrator, older: Path) -> None:
    scene = Scene(older / ".ait42")
    scene.write(older, [chat("s-9", workspace=str(older))])
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    assert report["totals"]["sessions"] == 3


def test_the_shared_file_goes_to_the_workspaces_that_worktrees_show(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "sessions.json").write_bytes(
        app_json(
            [chat("s-1", workspace="/w"), nameless("s-2"), chat("s-3", workspace="/v"), chat("s-4", workspace="/w")]
        )
    )
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    found = {path: [d["id"] for d in scene.documents(name)] for name, path in paths(scene).items()}
    assert found == {"/w": ["s-1", "s-4"], "/v": ["s-3"], "unknown:sessions.json": ["s-2"]}


def test_the_shared_file_does_not_mix_into_the_order_of_a_workspaces_own(scene: Scene, migrator: Migrator) -> None:
    scene.write("/w", [chat(f"s-{number}", workspace="/w") for number in range(3)])
    (scene.root / "sessions.json").write_bytes(app_json([chat(f"old-{number}", workspace="/w") for number in range(3)]))
    migrator("--data-dir", scene.root, "migrate")
    ids = [document["id"] for document in scene.documents(hash_of("/w"))]
    assert ids == ["s-0", "s-1", "s-2", "old-0", "old-1", "old-2"]


def test_a_path_that_is_longer_than_any_file_system_allows_is_kept(scene: Scene, migrator: Migrator) -> None:
    workspace = "/" + "x" * 5000
    scene.write(workspace, [chat("s-1", workspace=workspace)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert paths(scene) == {hash_of(workspace): workspace}


def test_a_path_with_a_nul_in_it_is_kept(scene: Scene, migrator: Migrator) -> None:
    workspace = "/w\x00x"
    scene.write(workspace, [chat("s-1", workspace=workspace)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert paths(scene) == {hash_of(workspace): workspace}


@pytest.mark.parametrize("link_name", ["a-link", "b-link", "c-link", "d-link", "e-link"])
def test_an_older_file_behind_a_link_goes_to_the_workspace_that_the_app_opens(
    link_name: str, tmp_path: Path, migrator: Migrator
) -> None:
    real, link = tmp_path / "real", tmp_path / link_name
    (real / ".ait42").mkdir(parents=True)
    link.symlink_to(real)
    scene = Scene(tmp_path / "data")
    scene.write(real, [chat("of-the-real-path", workspace=str(real))])
    raw = hashlib.sha256(str(link).encode()).hexdigest()[:16]
    (scene.root / "sessions" / f"{raw}.json").write_bytes(app_json([chat("of-the-link", workspace=str(link))]))
    (real / ".ait42" / "sessions.json").write_bytes(app_json([chat("older", workspace=str(real))]))
    assert migrator("--data-dir", scene.root, "migrate", "--workspace", real).code == 0
    with open_storage(scene.root) as store:
        found = [session["id"] for session in store.get_all_sessions(str(real))]
    assert found == ["of-the-real-path", "older"]


def test_a_path_that_only_the_shared_file_shows_is_filled_in(scene: Scene, migrator: Migrator) -> None:
    scene.write("/home/dev/engine", [{**chat("own"), "instances": []}])
    (scene.root / "sessions.json").write_bytes(app_json([chat("shared", workspace="/home/dev/engine")]))
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.query("SELECT workspace_path FROM workspaces") == [("/home/dev/engine",)]
