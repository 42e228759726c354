"""Kill one command, then run another one: what a kill leaves must be safe for every command, not only for a retry.

The kills of a scenario are reduced to the distinct states that they leave on disk. Every other command follows on a
copy of each state, and then a migration and a rollback, so that nothing can be emptied unnoticed. A document that
survives both without the scenario's command and after the whole of it must also survive after a kill in the middle.
So must everything that was acknowledged in between.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.scene import app_inserts, app_json, chat, serialized
from tests.support.whereabouts import app_files, kept_files, rows
from tests.torture.histories import FINE, named_in
from tests.torture.kills import Seen, every, points_of, run_with
from tests.torture.launcher import Ended, Launcher
from tests.torture.open_faults import known_to_lose
from tests.torture.points import UNDER_CONSTRUCTION, Fault, kind_of
from tests.torture.programs import WORKSPACE as LOOM
from tests.torture.scenarios import PASSING, SCENARIOS, Expected, Play, authority

PART = "aftermath"
SETTLING = (("migrate", "--json"), ("rollback", "--json"))

Documents = frozenset[str]


class Emptied(AssertionError):
    """Something that was there is nowhere."""


def write(play: Play) -> Ended:
    """An app writes through the authoritative store."""
    return play.stage.run("call", "create", "accepted")


def old_build(play: Play) -> None:
    """An old build adds a session to the file."""
    path = play.scene.file_of(LOOM)
    with suppress(ValueError):
        found = json.loads(path.read_bytes() or b"[]") if path.exists() else []
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(app_json([*found, chat("accepted", workspace=LOOM, task="accepted")]))


def app_sql(play: Play) -> None:
    """The app writes with SQL of its own."""
    if rows(play.scene.database, "SELECT 1 FROM sessions LIMIT 1"):
        with closing(sqlite3.connect(play.scene.database, isolation_level=None)) as app:
            app_inserts(app, LOOM, "accepted", "accepted", "msg-accepted")


NEXT: dict[str, tuple[str, ...] | Callable[[Play], Ended | None]] = {
    "migrate": ("migrate", "--json"),
    "migrate --salvage": ("migrate", "--salvage", "--json"),
    "migrate --dry-run": ("migrate", "--dry-run", "--json"),
    "rollback": ("rollback", "--json"),
    "backend json": ("backend", "json", "--json"),
    "backend sqlite": ("backend", "sqlite", "--json"),
    "backend hybrid": ("backend", "hybrid", "--json"),
    "restore files": ("backups", "restore", "FILES", "--overwrite-newer-work", "--json"),
    "restore database": ("backups", "restore", "DATABASE", "--overwrite-newer-work", "--json"),
    "backups prune": ("backups", "prune", "--keep", "1", "--json"),
    "verify --repair": ("verify", "--repair", "--json"),
    "quarantine retry": ("quarantine", "retry", "--all", "--json"),
    "export": ("export", "--to", "ROOT/../given-out", "--json"),
    "schema apply": ("schema", "apply"),
    "schema revert": ("schema", "revert"),
    "search-index build": ("search-index", "build"),
    "a store writes": write,
    "an old build writes": old_build,
    "the app's SQL writes": app_sql,
}


@dataclass(frozen=True)
class Left:
    """What a kill has left.

    :ivar killed: where
    :ivar folder: a copy of the data directory
    """

    killed: str
    folder: Path


class Stopped(Play):
    """A scenario whose command is killed, and not tried again."""

    def __init__(self, name: str, folder: Path, launcher: Launcher) -> None:
        super().__init__(SCENARIOS[name], folder, launcher)
        self.name = name

    def _undisturbed(self) -> Expected:
        return Expected()

    @cached_property
    def endings(self) -> tuple[Path, Path]:
        """The data directory as if the command had never run, and as it leaves it."""
        return self._model, self._done()

    def _done(self) -> Path:
        self.reset()
        self.stage.must(*self.scenario.command, codes=self.scenario.codes, **self.scenario.options)
        return self.keep("done")

    def keep(self, name: str) -> Path:
        target = self._model.with_name(f"left-{name}")
        shutil.copytree(self.scene.root, target, symlinks=True)
        return target

    def put_back(self, folder: Path) -> None:
        shutil.rmtree(self.scene.root)
        shutil.copytree(folder, self.scene.root, symlinks=True)
        shutil.rmtree(self.scene.root.parent / "given-out", ignore_errors=True)

    def states(self, kills: Iterable[tuple[Seen, str]]) -> Iterator[Left]:
        """What the kills leave, each state once."""
        known: set[str] = set()
        for seen, moment in kills:
            self.reset()
            run_with(self, Fault(seen.point, moment, "SIGKILL"))
            signature = signature_of(self.scene.root, self._model.parent / "look")
            if signature not in known:
                known.add(signature)
                yield Left(f"killed {moment} {seen.point}", self.keep(str(len(known))))

    def after(self, folder: Path, command: str) -> tuple[Documents, Documents]:
        """What is to be had when a command, a migration and a rollback have followed; and what was accepted by then.

        :raises Emptied: one of them broke down
        """
        self.put_back(folder)
        named: set[str] = set()
        accepted: Documents = frozenset()
        ended = self.follow(command)
        if callable(NEXT[command]) and (ended is None or ended.code == 0):
            accepted = frozenset(one for one in self.documents(named) if '"accepted"' in one)
        for arguments in (None, *SETTLING):
            if arguments is not None:
                ended = self.stage.run(*arguments)
            if ended is not None:
                if ended.code not in FINE or "Traceback" in ended.err or "bug in migrator" in ended.err:
                    raise Emptied(f"{arguments or command} broke down: {ended}")
                reported = named_in(ended)
                named |= {path.name for path in (self.scene.root / "backups").glob("[!.]*") if path.name in reported}
        return self.documents(named), accepted

    def follow(self, command: str) -> Ended | None:
        how = NEXT[command]
        if callable(how):
            return how(self)
        names = sorted(path.name for path in (self.scene.root / "backups").glob("[0-9]*"))
        of_files = [name for name in names if "-database-" not in name and "-quarantine-" not in name]
        of_databases = [name for name in names if "-database-" in name]
        if ("FILES" in how and not of_files) or ("DATABASE" in how and not of_databases):
            return None
        chosen = {"FILES": of_files[:1], "DATABASE": of_databases[:1]}
        return self.stage.run(*(chosen[word][0] if word in chosen else word for word in how))

    def documents(self, named: Iterable[str]) -> Documents:
        """Every document in the authoritative store, the quarantine, the kept files and these backups."""
        root, database = self.scene.root, self.scene.database
        found = {*in_quarantine(database), *in_files([*kept_files(root), *root.rglob(".ait42/sessions.json*")])}
        if authority(self.scene) == "sqlite":
            found |= {*in_sessions(self.scene)}
        found |= {*in_files(app_files(root))}
        for name in named:
            found |= {*in_files((root / "backups" / name).rglob("*.json"))}
            for copy in (root / "backups" / name).glob("*.db"):
                found |= {*in_sessions(self.scene, copy), *in_quarantine(copy)}
        return frozenset(found)

    def authoritative(self) -> Documents:
        """The content of the authoritative store, read without opening it, which might correct the flag."""
        if authority(self.scene) == "sqlite":
            return frozenset(in_sessions(self.scene))
        return frozenset(in_files(app_files(self.scene.root)))

    def require_all_found(self, left: Left, command: str) -> None:
        """Run a command after a kill, unless it is known to lose something there.

        :raises Emptied: something is missing
        """
        if known_to_lose(self.name, command):
            return
        self.put_back(left.folder)
        needed = self.authoritative() if self.scenario.partly else frozenset[str]()
        needed |= self.baseline(command)
        try:
            found, accepted = self.after(left.folder, command)
        except Emptied as error:
            raise Emptied(f"{left.killed}, then {command}: {error}") from error
        missing = (needed | accepted) - found
        if missing:
            raise Emptied(f"{left.killed}, then {command}, migrate, rollback; missing: {shown(missing)}")

    def baseline(self, command: str) -> Documents:
        """What is there in the end whether the scenario's command never ran or ran to its end."""
        if command not in self._baselines:
            never, ran = (self.after(folder, command)[0] for folder in self.endings)
            self._baselines[command] = never & ran
        return self._baselines[command]

    @cached_property
    def _baselines(self) -> dict[str, Documents]:
        return {}


def shown(documents: Documents) -> str:
    """Names documents in a message: by id and task."""
    found = (json.loads(one) for one in sorted(documents))
    return "; ".join(f"{one['id']} {one['task']!r}" if isinstance(one, dict) else str(one)[:80] for one in found)


def text_of(value: Any) -> str:
    with suppress(KeyError, TypeError, AttributeError):
        return serialized(value)
    return json.dumps(value, sort_keys=True)


def in_files(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with suppress(ValueError):
            content = json.loads(path.read_bytes() or b"[]")
            yield from map(text_of, content if isinstance(content, list) else [content])


def in_sessions(scene: Any, database: Path | None = None) -> Iterator[str]:
    for (name,) in rows(database or scene.database, "SELECT workspace_hash FROM workspaces"):
        with suppress(sqlite3.Error):
            yield from map(text_of, scene.documents(name, database))


def in_quarantine(database: Path) -> Iterator[str]:
    for (raw,) in rows(database, "SELECT raw FROM quarantine"):
        with suppress(ValueError):
            yield text_of(json.loads(raw))


_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?")
_COMPARED = (
    "SELECT name FROM sqlite_master ORDER BY name",
    "SELECT migration_status, schema_version FROM migration_metadata",
    "SELECT id, workspace_id, task, status, position, source_id, rescued_data FROM sessions ORDER BY rowid",
    "SELECT id, session_id, content FROM chat_messages ORDER BY rowid",
    "SELECT raw, reason FROM quarantine ORDER BY id",
    "SELECT source, status, sha256, error FROM migration_ledger ORDER BY id",
    "SELECT count(*) FROM rolled_back_sessions",
    "SELECT state FROM search_index",
)


def signature_of(root: Path, scratch: Path) -> str:
    """What is the same exactly for two data directories that only differ in names, times and numbers of a run."""
    reported = []
    for path in sorted(root.rglob("*")):
        kind = kind_of(str(path.relative_to(root)))
        if PASSING.fullmatch(kind) and path.name != "hybrid.db":
            continue
        if path.is_dir():
            reported.append(kind)
        elif path.suffix == ".json" or path.name == "SHA256SUMS":
            reported.append(kind + _TIME.sub("", kind_of(path.read_text(encoding="utf-8", errors="replace"))))
        elif path.parent == root and path.name in ("sessions.db", "hybrid.db"):
            reported.append(kind + contents_of(path, scratch))
        else:
            reported.append(f"{kind} {path.stat().st_size > 0}")
    return hashlib.sha256("\n".join(sorted(reported)).encode()).hexdigest()


def contents_of(database: Path, scratch: Path) -> str:
    """What a database holds; of a copy, since to open one with a log changes it."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        if path.name in (database.name, f"{database.name}-wal", f"{database.name}-journal"):
            shutil.copyfile(path, scratch / path.name)
    copy = scratch / database.name
    if database.name == "sessions.db":
        return _TIME.sub("", repr([rows(copy, sql) for sql in _COMPARED]))
    with suppress(sqlite3.Error), closing(sqlite3.connect(copy)) as journal:
        return _TIME.sub("", "\n".join(journal.iterdump()))
    return "damaged"


def worth_a_look(points: Iterable[Seen]) -> Iterator[tuple[Seen, str]]:
    """Before and after every point; of those that are about what is under construction, one of each group."""
    known: set[tuple[str, ...]] = set()
    for seen, moment in every(points):
        words = seen.point.name.split(" (")[0].split()
        if any(word.startswith(UNDER_CONSTRUCTION) for word in words):
            group = (*seen.group, moment)
            if group in known:
                continue
            known.add(group)
        yield seen, moment


def failures_of(play: Stopped) -> Iterator[str | None]:
    """Every command after every state that a kill leaves: what was not as promised, None for each that went well."""
    for left in [*play.states(worth_a_look(points_of(play)))]:
        for command in NEXT:
            try:
                play.require_all_found(left, command)
                yield None
            except Exception as error:  # noqa: BLE001 - one that fails must not end the rest
                yield f"{PART}, {play.name}: {error}"
