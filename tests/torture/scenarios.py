"""Data directories, each with one command that changes much in them, and what must be there whenever it is killed."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator import open_storage
from migrator.errors import ValidationError
from migrator.files.durable import TEMPORARY_SUFFIX
from tests.support.branch_database import make_branch_database
from tests.support.scene import Scene, app_inserts, app_json, chat, hash_of, parsed, serialized
from tests.torture.launcher import Ended, Launcher
from tests.torture.points import kind_of
from tests.torture.programs import WORKSPACE as LOOM
from tests.torture.programs import WRITES

ENGINE = "/home/dev/engine"
MILL = "/home/bob/mill"
WORKSPACES = {hash_of(path): path for path in (LOOM, ENGINE, MILL)}
BROKEN = {"id": "mill-broken", "type": "nonsense", "task": "kept whole"}

# What exists for a moment only: a lock is held by a process, not by its file, and SQLite makes these anew.
PASSING = re.compile(r"migrator\.lock|locks(/.*)?|hybrid\.db|.*\.db-(wal|shm)")

Everything = tuple[str, ...]


class Stage:
    """A data directory, and the launcher that runs commands in it."""

    def __init__(self, scene: Scene, launcher: Launcher) -> None:
        self.scene = scene
        self.launcher = launcher

    def run(self, *arguments: str, **options: Any) -> Ended:
        return self.launcher.run(*self.command(arguments), **options)

    def must(self, *arguments: str, codes: Sequence[int] = (0,), **options: Any) -> Ended:
        ended = self.run(*arguments, **options)
        assert ended.code in codes, (arguments, ended)
        return ended

    def command(self, arguments: Sequence[str]) -> list[str]:
        root = str(self.scene.root)
        if arguments[0] == "call":
            return [arguments[0], arguments[1], root, *arguments[2:]]
        backups = self.scene.root / "backups"
        oldest = min((folder.name for folder in backups.glob("[!.]*")), default="")
        return ["--data-dir", root, *(one.replace("ROOT", root).replace("OLDEST", oldest) for one in arguments)]


@dataclass(frozen=True)
class Scenario:
    """One command in one situation.

    :ivar prepare: makes the situation
    :ivar command: what is killed
    :ivar again: may be run a second time, whether the first time came to its end or not
    :ivar codes: what it may end with
    :ivar partly: commands, each of which leads to a state that a kill may leave for good
    :ivar two: with the worker process
    :ivar patch: in what kind of world, by its name in ``programs``
    :ivar by_file: each file is as it was before or as it is after, since no store but the files has them
    :ivar given_out: the folder of the files that it writes, or the one file
    """

    prepare: Callable[[Stage], None]
    command: tuple[str, ...]
    again: bool = True
    codes: tuple[int, ...] = (0,)
    partly: tuple[tuple[str, ...], ...] = ()
    two: bool = False
    patch: str | None = None
    by_file: bool = False
    given_out: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """How the command is run."""
        return {"two": self.two, "patch": self.patch}


@dataclass
class Expected:
    """What a scenario comes to when nothing happens to it."""

    states: list[Everything] = field(default_factory=list)
    names: frozenset[str] = frozenset()
    given_out: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def files(stage: Stage) -> None:
    scene = stage.scene
    scene.write(LOOM, [chat("loom-1", workspace=LOOM), chat("loom-2", workspace=LOOM, task="Weave more")])
    twice = chat("engine-1", workspace=ENGINE, status="round_2", totalDuration=2**63)
    scene.write(ENGINE, [twice, chat("engine-1", workspace=ENGINE, task=""), chat("engine-2", workspace=ENGINE)])


def files_and_a_broken_session(stage: Stage) -> None:
    files(stage)
    scene = stage.scene
    scene.write(MILL, [chat("mill-1", workspace=MILL), BROKEN, chat("mill-2", workspace=MILL, odd={"a": 1.0})])


def files_of_an_older_build(stage: Stage) -> None:
    """To which only the copy of a newer file leads."""
    files(stage)
    barn = stage.scene.root / "barn"
    stage.scene.write(barn, [chat("barn-1", workspace=str(barn))])
    (barn / ".ait42").mkdir(parents=True)
    older = [chat("barn-0", workspace=str(barn)), chat("barn-1", workspace=str(barn), task="from long ago")]
    (barn / ".ait42" / "sessions.json").write_bytes(app_json(older))


def a_large_file(stage: Stage) -> None:
    """Of a size from which on copies share its blocks, where the file system can."""
    files(stage)
    stage.scene.write(MILL, [chat("mill-1", workspace=MILL, task="grain " * 200_000)])


def app_was_there(stage: Stage) -> None:
    files_and_a_broken_session(stage)
    app = stage.scene.app_opens_it()
    app_inserts(app, LOOM, "born", "created in SQLite", "msg-born")
    app.close()


def migrated(stage: Stage) -> None:
    files_and_a_broken_session(stage)
    stage.must("migrate", codes=(3,))


def migrated_clean(stage: Stage) -> None:
    files(stage)
    stage.must("migrate")


def change_files(stage: Stage) -> None:
    """What an old build does after the migration: a change, a new session, and one that is gone."""
    scene = stage.scene
    changed = chat("loom-1", workspace=LOOM, task="changed in the file")
    scene.write(LOOM, [changed, chat("loom-3", workspace=LOOM, task="new in the file")])


def change_rows(stage: Stage) -> None:
    """What the app does with SQL of its own."""
    stage.scene.change("UPDATE sessions SET task = 'changed in SQLite' WHERE id = 'engine-2'")
    with closing(sqlite3.connect(stage.scene.database, isolation_level=None)) as app:
        app_inserts(app, ENGINE, "born", "created in SQLite", "msg-born")


def changed_files(stage: Stage) -> None:
    migrated(stage)
    change_files(stage)
    change_rows(stage)


def changed_on_both_sides(stage: Stage) -> None:
    migrated(stage)
    change_files(stage)
    stage.scene.change("UPDATE sessions SET task = 'changed in SQLite, too' WHERE id = 'loom-1'")


def in_conflict(stage: Stage) -> None:
    changed_on_both_sides(stage)
    stage.must("migrate", codes=(3,))


def begun_anew(stage: Stage) -> None:
    """An old build has begun a workspace's file anew: what it lost is held until the user decides."""
    migrated(stage)
    stage.scene.write(LOOM, [chat("loom-9", workspace=LOOM)])
    stage.must("migrate", codes=(3,))


def changed_rows(stage: Stage) -> None:
    migrated(stage)
    change_rows(stage)


def changed_rows_clean(stage: Stage) -> None:
    migrated_clean(stage)
    change_rows(stage)


def migrated_with_a_correction(stage: Stage) -> None:
    migrated(stage)
    corrected = stage.scene.root.parent / "corrected.json"
    corrected.write_bytes(app_json([chat("mill-broken", workspace=MILL)])[2:-2])


def in_disorder(stage: Stage) -> None:
    """What dead runs may leave, all at once, and an old flag."""
    migrated(stage)
    root = stage.scene.root
    (root / "sessions.db.staging").write_bytes(b"half a database")
    (root / ".storage.json.4711-1.migrator-tmp").write_bytes(b"half a flag")
    (root / "backups" / ".incomplete-20250113T100000Z-4711").mkdir()
    (root / "storage.json").write_text('{"backend": "json"}')


def rolled_back(stage: Stage) -> None:
    migrated_clean(stage)
    change_rows(stage)
    stage.must("rollback")


def both_run(stage: Stage) -> None:
    migrated_clean(stage)
    change_rows(stage)
    stage.must("backend", "hybrid")


def with_a_damaged_journal(stage: Stage) -> None:
    both_run(stage)
    journal = stage.scene.root / "hybrid.db"
    for path in stage.scene.root.glob("hybrid.db-*"):
        path.unlink()
    journal.write_bytes(b"no database" * 1_000)


def with_old_backups(stage: Stage) -> None:
    migrated_clean(stage)
    for text in ("first", "second"):
        stage.scene.write(LOOM, [chat("loom-1", workspace=LOOM, task=text), chat("loom-2", workspace=LOOM)])
        stage.must("migrate")


def with_an_older_state_of_the_files(stage: Stage) -> None:
    """The JSON files are authoritative again, and differ from the oldest backup."""
    rolled_back(stage)
    scene = stage.scene
    scene.write(LOOM, [chat("loom-1", workspace=LOOM, task="newer than the backup")])
    scene.file_of(ENGINE).unlink()


def with_an_older_state_of_the_database(stage: Stage) -> None:
    """The oldest backup is a copy of the app's database as it was before a schema step."""
    app_was_there(stage)
    stage.must("schema", "apply")
    stage.scene.change("UPDATE sessions SET task = 'newer than the backup'")


def without_the_database(stage: Stage) -> None:
    with_an_older_state_of_the_database(stage)
    stage.scene.database.unlink()


def migrated_without_an_index(stage: Stage) -> None:
    files_and_a_broken_session(stage)
    stage.must("migrate", "--no-search-index", codes=(3,))


def with_a_database_of_the_branch(stage: Stage) -> None:
    """It has a session that the files lack, one that differs, and a workspace of its own."""
    migrated(stage)
    history = {LOOM: [chat("loom-1", task="on the branch"), chat("loom-b", workspace=LOOM)], ENGINE: [chat("engine-b")]}
    make_branch_database(stage.scene.root.parent / "branch.db", 2, history)


WROTE = tuple(("call", "write", str(count)) for count in range(1, len(WRITES)))

SCENARIOS: dict[str, Scenario] = {
    "migrate": Scenario(files_and_a_broken_session, ("migrate",), codes=(0, 3)),
    "migrate with two processes": Scenario(files_and_a_broken_session, ("migrate",), codes=(0, 3), two=True),
    "migrate with a slow worker process": Scenario(
        files_and_a_broken_session, ("migrate",), codes=(0, 3), two=True, patch="the_worker_is_slow"
    ),
    "migrate with sqlite-utils": Scenario(
        files_and_a_broken_session, ("migrate", "--loader", "sqlite-utils"), codes=(0, 3), two=True
    ),
    "migrate files of an older build": Scenario(files_of_an_older_build, ("migrate",)),
    "migrate a large file": Scenario(a_large_file, ("migrate",)),
    "migrate a database of the branch": Scenario(
        with_a_database_of_the_branch, ("migrate", "--from-database", "ROOT/../branch.db"), codes=(0, 3)
    ),
    "migrate into the app's database": Scenario(app_was_there, ("migrate",), codes=(0, 3)),
    "merge changed files": Scenario(changed_files, ("migrate",), codes=(0, 3)),
    "merge changed files with sqlite-utils": Scenario(
        changed_files, ("migrate", "--loader", "sqlite-utils"), codes=(0, 3)
    ),
    "merge a conflict": Scenario(changed_on_both_sides, ("migrate",), codes=(0, 3)),
    "migrate with a damaged journal of hybrid mode": Scenario(with_a_damaged_journal, ("migrate",), codes=(0, 3)),
    "migrate after a rollback": Scenario(rolled_back, ("migrate",)),
    "roll back what did not change": Scenario(migrated, ("rollback",), codes=(0, 3)),
    "roll back what changed": Scenario(changed_rows, ("rollback",), codes=(0, 3)),
    "roll back and merge first": Scenario(changed_files, ("rollback",), codes=(0, 3)),
    "roll back out of hybrid mode": Scenario(both_run, ("rollback",)),
    "backend from json to hybrid": Scenario(files, ("backend", "hybrid")),
    "backend from sqlite to hybrid": Scenario(changed_rows_clean, ("backend", "hybrid")),
    "backend from sqlite to json": Scenario(changed_rows_clean, ("backend", "json")),
    "backend from hybrid to json": Scenario(both_run, ("backend", "json")),
    "backend from hybrid to sqlite": Scenario(both_run, ("backend", "sqlite")),
    "schema apply": Scenario(app_was_there, ("schema", "apply")),
    "schema revert": Scenario(rolled_back, ("schema", "revert")),
    "quarantine retry with a corrected text": Scenario(
        migrated_with_a_correction,
        ("quarantine", "retry", "1", "--edited", "ROOT/../corrected.json"),
        again=False,
        codes=(0, 3),
    ),
    "quarantine retry of a conflict": Scenario(
        in_conflict, ("quarantine", "retry", "2", "--take", "theirs"), again=False, codes=(0, 3)
    ),
    "quarantine dismiss": Scenario(in_conflict, ("quarantine", "dismiss", "2", "--to", "ROOT/out"), again=False),
    "deletions confirm": Scenario(begun_anew, ("deletions", "confirm", "--all"), again=False),
    "deletions decline": Scenario(begun_anew, ("deletions", "decline", "--all"), again=False),
    "write to the JSON files": Scenario(files, ("call", "write", str(len(WRITES))), partly=WROTE),
    "write to SQLite": Scenario(migrated_clean, ("call", "write", str(len(WRITES))), partly=WROTE),
    "write to both": Scenario(both_run, ("call", "write", str(len(WRITES))), partly=WROTE),
    "backups prune": Scenario(with_old_backups, ("backups", "prune", "--keep", "1")),
    "verify --repair": Scenario(in_disorder, ("verify", "--repair"), codes=(0, 3)),
    "backups restore of files": Scenario(
        with_an_older_state_of_the_files, ("backups", "restore", "OLDEST", "--overwrite-newer-work"), by_file=True
    ),
    "backups restore of a database": Scenario(
        with_an_older_state_of_the_database, ("backups", "restore", "OLDEST", "--overwrite-newer-work")
    ),
    "backups restore of a database that is gone": Scenario(
        without_the_database, ("backups", "restore", "OLDEST", "--overwrite-newer-work")
    ),
    "search-index build": Scenario(
        migrated_without_an_index, ("search-index", "build"), patch="the_index_is_built_in_pieces"
    ),
    "search-index drop": Scenario(migrated, ("search-index", "drop")),
    "export": Scenario(migrated, ("export", "--to", "ROOT/out"), again=False, given_out="out"),
    "quarantine export": Scenario(
        in_conflict, ("quarantine", "export", "--to", "ROOT/out"), again=False, given_out="out"
    ),
    "report --html": Scenario(
        migrated, ("report", "--html", "ROOT/receipt.html"), again=False, given_out="receipt.html"
    ),
    "doctor --report": Scenario(
        migrated, ("doctor", "--report", "ROOT/doctor.json"), again=False, codes=(0, 3), given_out="doctor.json"
    ),
    "a dry run": Scenario(files_and_a_broken_session, ("migrate", "--dry-run"), codes=(0, 3)),
}


def everything(scene: Scene) -> Everything:
    """Every session and every piece of quarantine that the data directory holds, in order, by workspace.

    Sessions come through ``open_storage``, as an app gets them; the rest from files and tables, without the program.
    """
    found: list[str] = []
    authoritative = authority(scene)
    with open_storage(scene.root) as store:
        for name, path in WORKSPACES.items():
            file = scene.file_of(path)
            try:
                documents: list[Any] = list(store.get_all_sessions(path))
            except ValidationError:  # the JSON store serves no file that holds something broken
                assert authoritative == "json"
                documents = [one for one in parsed(file.read_bytes()) if one != BROKEN]
            found += [f"{name} {serialized(document)}" for document in documents]
            if authoritative == "json" and file.exists() and BROKEN in parsed(file.read_bytes()):
                found.append(f"{name} kept {json.dumps(BROKEN, sort_keys=True)}")
            if authoritative == "sqlite":
                found += [f"{name} kept {raw}" for raw in kept(scene, name, "reason NOT IN ('conflict', 'deleted')")]
    for reason in ("conflict", "deleted"):  # in the database alone, whichever store is authoritative
        found += [f"{reason} {raw}" for raw in kept(scene, None, f"reason = '{reason}'")]
    return tuple(found)


def by_workspace(found: Everything) -> dict[str, list[str]]:
    """Group what was found by workspace."""
    return {
        name: [line for line in found if line.startswith(f"{name} ")] for name in (*WORKSPACES, "conflict", "deleted")
    }


def kept(scene: Scene, workspace: str | None, which: str) -> list[str]:
    if not scene.database.exists() or not scene.query("SELECT 1 FROM sqlite_master WHERE name = 'quarantine'"):
        return []
    rows = scene.query(f"SELECT raw, workspace_hash FROM quarantine WHERE {which}")
    return sorted(json.dumps(json.loads(raw), sort_keys=True) for raw, of in rows if workspace in (None, of))


def authority(scene: Scene) -> str:
    """The authoritative store according to the database alone."""
    if not scene.database.exists():
        return "json"
    if not scene.query("SELECT 1 FROM sqlite_master WHERE name = 'migration_metadata'"):
        return "json"
    return "sqlite" if scene.status() == "completed" else "json"


def names(root: Path) -> frozenset[str]:
    """What is there, by kind."""
    found = {kind_of(str(path.relative_to(root))) for path in root.rglob("*")}
    return frozenset(name for name in found if not PASSING.fullmatch(name))


def given_out(root: Path, what: str | None) -> dict[str, Any]:
    """Return each file that a command wrote, by its name, with the content that is equal in each run.

    :raises ValueError: one is not complete
    """
    place = root / (what or "")
    found: dict[str, Any] = {}
    if what is None or not place.exists():
        return found
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        if path.name.endswith(TEMPORARY_SUFFIX):
            continue
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            if not content.rstrip().endswith("</html>"):
                raise ValueError(f"{path} is not whole")
            found[path.name] = "a page"
        else:
            found[path.name] = sorted(json.loads(content)) if place == path else json.loads(content)
    return found


class Play:
    """A scenario on a stage: set up once, and again from a copy as often as wanted."""

    def __init__(self, scenario: Scenario, folder: Path, launcher: Launcher) -> None:
        self.scenario = scenario
        self.scene = Scene(folder / "ait42")
        self.stage = Stage(self.scene, launcher)
        self._model = folder / "model"
        self.scene.root.mkdir()
        scenario.prepare(self.stage)
        shutil.copytree(self.scene.root, self._model, symlinks=True)
        self.expected = self._undisturbed()

    def reset(self) -> None:
        """The data directory as it was before the command; at the same place, since places are recorded."""
        shutil.rmtree(self.scene.root)
        shutil.copytree(self._model, self.scene.root, symlinks=True)

    def _undisturbed(self) -> Expected:
        expected = Expected(states=[everything(self.scene)])
        for command in (*self.scenario.partly, self.scenario.command):
            self.reset()
            ended = self.stage.must(*command, codes=self.scenario.codes, **self.scenario.options)
            expected.seconds = ended.seconds
            expected.states.append(everything(self.scene))
        expected.given_out = given_out(self.scene.root, self.scenario.given_out)
        assert bool(expected.given_out) == bool(self.scenario.given_out)
        self.finish()
        expected.names = names(self.scene.root)
        assert everything(self.scene) == expected.states[-1]
        return expected

    def finish(self) -> None:
        """The next run: of the same command, or of any where nothing asks to be done again."""
        for path in self.scene.root.glob("sessions/.*.migrator-tmp"):
            os.utime(path, (0, 0))  # as it will be when the hour is over for which an app may be about to rename it
        if self.scenario.partly:
            self.stage.must("verify", "--repair", codes=(0, 3))
        elif self.scenario.again:
            self.stage.must(*self.scenario.command, codes=self.scenario.codes)
        else:
            self.stage.must(*self.scenario.command, codes=(*self.scenario.codes, 1, 2))
            self.stage.must("verify", "--repair", codes=(0, 3))

    def require_whole(self) -> None:
        """One store is authoritative, complete and readable, and the flag agrees once the store has been opened."""
        status = self.stage.must("status", "--json").json
        assert status["authority"] == authority(self.scene)
        found = everything(self.scene)
        if self.scenario.by_file:
            states = [by_workspace(state) for state in self.expected.states]
            assert all(any(state[name] == held for state in states) for name, held in by_workspace(found).items())
        else:
            assert found in self.expected.states, difference(found, self.expected.states[0])
        given = given_out(self.scene.root, self.scenario.given_out)
        assert given.items() <= self.expected.given_out.items(), given
        flag = self.scene.flag()
        assert flag is None or (flag == "json") == (authority(self.scene) == "json")

    def require_finished(self) -> None:
        """A retry does it, nothing is missing or left over, and all that can be checked is right."""
        wanted = everything(self.scene) if self.scenario.partly else self.expected.states[-1]
        self.finish()
        found = everything(self.scene)
        assert found == wanted, difference(found, wanted)
        assert given_out(self.scene.root, self.scenario.given_out) == self.expected.given_out
        verified = self.stage.run("verify", "--json")
        assert verified.code == 0, verified
        left = names(self.scene.root)
        assert left == self.expected.names, (left - self.expected.names, self.expected.names - left)


def difference(found: Everything, wanted: Everything) -> str:
    """What was found and not wanted, and the reverse."""
    changes = difflib.unified_diff(wanted, found, "wanted", "found", n=0, lineterm="")
    return "\n".join(line[:300] for line in changes) or "the same, in another order"
