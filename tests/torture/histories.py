"""Whole histories of a data directory: old builds, stores, the app's own SQL, every command, kills, forks and moves.

A history is a text of steps. It can be read, shortened and kept as a test:

    python -m tests.torture.histories "file 0 add a; migrate; sql update a; rollback @20; migrate"

plays one. ``python -m tests.torture.histories --seeds 0 1000`` plays a thousand and shortens each that loses
something. A step with nothing to work on does nothing. ``@20`` after a command kills it before its 20th change
outside memory.

Every text is a token, written once. It is *needed* from the moment its write was acknowledged until it is
deleted, or overwritten where it is seen. An accident is not a deletion: a file that is truncated, blank, gone or begun
anew takes with it only what nothing else holds. After every step each needed token must be in one of these places: a
session in SQLite, a file of the app, the quarantine, a file that the program keeps for people, or a backup that a
message names. At the end everything is settled by ``migrate --salvage`` and ``rollback``. Then the sessions in SQLite
do not count, because the app reads the files.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from migrator import MigratorError, open_storage
from migrator.documents.array_reader import read_array
from migrator.errors import SourceFileError
from migrator.storage.protocol import SessionStorage
from tests.support.scene import Document, Scene, app_inserts, app_json, hash_of
from tests.support.strategies import instance, message, session
from tests.support.whereabouts import app_files, in_backups, in_quarantine, in_sessions, kept_files, rows, tokens
from tests.torture.launcher import Ended, Launcher
from tests.torture.open_faults import is_open

PART = "histories"
HISTORIES = 10_000
AT_ONCE = 10

COMMANDS = {
    "migrate": ("migrate", "--json"),
    "migrate --salvage": ("migrate", "--salvage", "--json"),
    "rollback": ("rollback", "--json"),
    "backend json": ("backend", "json", "--json"),
    "backend sqlite": ("backend", "sqlite", "--json"),
    "backend hybrid": ("backend", "hybrid", "--json"),
    "verify --repair": ("verify", "--repair", "--json"),
    "retry all": ("quarantine", "retry", "--all", "--json"),
    "prune": ("backups", "prune", "--keep", "1", "--json"),
    "schema apply": ("schema", "apply"),
    "schema revert": ("schema", "revert"),
    "index build": ("search-index", "build"),
    "index drop": ("search-index", "drop"),
}
SETTLING = ("migrate --salvage", "rollback")
LENGTH = 12
SHORT = 5
_PLACES = ("backup_path", "database", "copy")  # members that name a backup in every report, whether it matters or not
FINE = (0, 1, 2, 3, 4, -9)


class Lost(AssertionError):
    """A needed text is nowhere, or the program crashed."""


def parts_of(content: bytes) -> list[bytes] | None:
    """The elements of a file as they are; None if it is truncated."""
    try:
        return [element.raw for element in read_array(BytesIO(content))]
    except SourceFileError:
        return None


def id_of(part: bytes) -> str | None:
    with suppress(ValueError, AttributeError):
        return str(json.loads(part).get("id"))
    return None


def named_in(ended: Ended) -> str:
    """What a command says to people: all but the places that every report gives."""
    try:
        reported = json.loads(ended.out)
    except ValueError:
        reported = ended.out
    if isinstance(reported, dict):
        reported = {name: value for name, value in reported.items() if name not in _PLACES}
    return json.dumps(reported) + ended.err


class World:
    """A data directory, two workspaces, and all programs that use them."""

    def __init__(self, folder: Path, launcher: Launcher) -> None:
        self.folder = folder
        self.launcher = launcher
        self.scene = Scene(folder / "ait42")
        self.workspaces = [str(folder / "w0"), str(folder / "w1")]
        for workspace in self.workspaces:
            Path(workspace, ".ait42").mkdir(parents=True)
        (self.root / "sessions").mkdir(parents=True)
        mapping = {hash_of(workspace): workspace for workspace in self.workspaces}
        (self.root / "workspace_mapping.json").write_text(json.dumps(mapping))
        self.count = 0
        self.needed: set[str] = set()
        self.named: set[str] = set()
        self.damaged: set[str] = set()  # files that an accident truncated, emptied or removed since the last rollback
        self.deleted_by_sql: set[str] = set()
        self.held: SessionStorage | None = None
        self.snapshot = folder / "snapshot.db"

    # What is where.

    @property
    def root(self) -> Path:
        return self.scene.root

    @property
    def status(self) -> str | None:
        found = rows(self.scene.database, "SELECT migration_status FROM migration_metadata")
        return str(found[0][0]) if found else None

    def place(self, source: str) -> Path:
        if source in "01":
            return self.scene.file_of(self.workspaces[int(source)])
        return self.root / "sessions.json" if source == "shared" else self.older

    @property
    def older(self) -> Path:
        return Path(self.workspaces[0], ".ait42", "sessions.json")

    def in_files(self) -> set[str]:
        return tokens(path.read_bytes() for path in [*app_files(self.root), *self.older.parent.glob("*")])

    def found_outside_sqlite(self) -> set[str]:
        kept = tokens(path.read_bytes() for path in kept_files(self.root))
        return self.in_files() | kept | in_quarantine(self.scene.database) | in_backups(self.root, self.named)

    def found(self) -> set[str]:
        return self.found_outside_sqlite() | in_sessions(self.scene.database)

    def token(self) -> str:
        self.count += 1
        return f"<t{self.count}>"

    def document(self, source: str, session_id: str, task: str) -> Document:
        workspace = self.workspaces[int(source)] if source in "01" else self.workspaces[self.count % 2]
        worktree = f"{workspace}/.worktrees/competition-a/instance-1"
        if source == "shared" and self.count % 3 == 0:
            worktree = ""  # it does not show its workspace
        document: Document = session(id=session_id, task=task, instances=[instance(worktreePath=worktree)])
        return document

    # Who does what.

    def do(self, step: str) -> None:
        words = step.split()
        doer: Callable[..., None] | None = getattr(self, f"do_{words[0]}", None)
        if step.partition(" @")[0] in COMMANDS or words[0] in ("restore", "retry"):
            self.command(step)
        else:
            assert doer is not None, step
            doer(*words[1:])

    def do_file(self, source: str, what: str, *more: str) -> None:
        """An old build, or a person, rewrites a file in place; or is killed at it."""
        path = self.place(source)
        before = path.read_bytes() if path.is_file() else b""
        parts = parts_of(before)
        if what in ("tear", "blank", "vanish"):
            self.damaged.add(source)
            self.damage(path, before, what, *more)
        elif what == "anew":
            if not parts:  # no file, a blank one, or one that can't be read
                token = self.token()
                document = self.document(source, f"anew-{token}", token)  # the app's ids are new ones
                path.write_bytes(app_json([document]))
                self.needed |= tokens([document["task"]])
                self.needed -= tokens([before]) - self.found()
        elif parts is not None:
            changed = self.rewritten(source, parts, what, more[0])
            if changed is not None:
                content = b"[\n  " + b",\n  ".join(changed) + b"\n]" if changed else b"[]"
                path.write_bytes(content)
                old, new = tokens([before]), tokens([content])
                self.needed = (self.needed | (new - old)) - (old - new)

    def damage(self, path: Path, before: bytes, what: str, part: str = "0") -> None:
        """Text that vanishes in this way was not deleted; it is lost only if nothing else holds it."""
        if not before:
            return
        path.unlink() if what == "vanish" else os.truncate(path, int(len(before) * float(part)))
        self.needed -= tokens([before]) - self.found()

    def rewritten(self, source: str, parts: list[bytes], what: str, session_id: str) -> list[bytes] | None:
        """The elements of a file after a change; None where there is nothing to change."""
        at = next((number for number, part in enumerate(parts) if id_of(part) == session_id), None)
        if what == "add":
            if source in self.damaged:  # a new session has a new id, and never that of one that an accident took
                session_id = f"{session_id}-{self.count}"
            return [*parts, json.dumps(self.document(source, session_id, self.token())).encode()]
        if at is None:
            return None
        document = json.loads(parts[at])
        if what == "delete":
            return [part for part in parts if id_of(part) != session_id]
        if what == "change":
            document["task"] = self.token()
        elif what == "message":
            document["chatHistory"] = [*document["chatHistory"], message(content=self.token())]
        elif what == "break":
            document["status"] = 5
        elif what == "fix":
            document["status"] = "completed"
        return [*parts[:at], json.dumps(document).encode(), *parts[at + 1 :]]

    def do_store(self, what: str, workspace: str, session_id: str) -> None:
        with suppress(MigratorError), open_storage(self.root) as store:
            self.write(store, what, workspace, session_id)

    def do_held(self, what: str, *more: str) -> None:
        """A store that stays open while other things happen."""
        if what == "open":
            self.let_go()
            with suppress(MigratorError):
                self.held = open_storage(self.root)
        elif what == "close":
            self.let_go()
        elif self.held is not None:
            self.write(self.held, what, *more)

    def let_go(self) -> None:
        if self.held is not None:
            self.held.close()
            self.held = None

    def write(self, store: SessionStorage, what: str, workspace: str, session_id: str) -> None:
        """One write; what it replaced or deleted is what this store had."""
        place, token = self.workspaces[int(workspace)], self.token()
        if what == "create" and workspace in self.damaged:  # as with files
            session_id = f"{session_id}-{self.count}"
        with suppress(MigratorError):
            seen = [json.dumps(one) for one in store.get_all_sessions(place) if one["id"] == session_id]
            replaced: set[str] = set()
            if what == "create":
                store.create_session(place, session(id=session_id, task=token))
            elif what == "update":
                store.update_session(place, session(id=session_id, task=token))
                replaced = tokens(seen[:1])
            elif what == "message":
                store.add_chat_message(place, session_id, message(content=token))
            else:
                store.delete_session(place, session_id)
                replaced, token = tokens(seen), ""
            self.needed = (self.needed | tokens([token])) - replaced

    def do_fork(self, workspace: str, session_id: str) -> None:
        """A process that has a store open, and a child of it that opens its own; both write, the parent twice."""
        reported = self.tokens_for_a_fork()
        ended = self.launcher.run("call", "fork", self.root, self.workspaces[int(workspace)], session_id, *reported)
        self.require_fine("fork", ended)
        self.needed |= set(ended.out.split())

    def tokens_for_a_fork(self) -> list[str]:
        return [self.token() for _ in range(3)]

    def do_sql(self, what: str, *more: str) -> None:
        """The app's own SQL, also after a rollback that the app has not noticed."""
        if what == "open":
            if not self.scene.database.exists():
                self.scene.app_opens_it().close()
            return
        if not rows(self.scene.database, "SELECT 1 FROM sqlite_master WHERE name = 'sessions'"):
            return
        before, token = in_sessions(self.scene.database), self.token()
        getattr(self, f"sql_{what}")(token, *more)
        after = in_sessions(self.scene.database)
        self.needed |= tokens([token]) & after
        gone = before - after
        # What SQL deletes while the files are authoritative stays in the files.
        self.needed -= gone if what == "update" or self.status == "completed" else gone - self.in_files()

    def sql_insert(self, token: str, workspace: str, session_id: str) -> None:
        if session_id in self.deleted_by_sql:  # the app gives no id twice
            return
        if not self.scene.query("SELECT 1 FROM sessions WHERE id = ?", session_id):
            with closing(sqlite3.connect(self.scene.database)) as app, app:
                app_inserts(app, self.workspaces[int(workspace)], session_id, token, f"msg-{self.count}")

    def sql_update(self, token: str, session_id: str) -> None:
        self.scene.change("UPDATE sessions SET task = ? WHERE id = ?", token, session_id)

    def sql_delete(self, _token: str, session_id: str) -> None:
        self.deleted_by_sql.add(session_id)
        self.scene.change("DELETE FROM sessions WHERE id = ?", session_id)

    def sql_move(self, _token: str, session_id: str, workspace: str) -> None:
        """To another workspace, which is there."""
        target = rows(
            self.scene.database,
            "SELECT id FROM workspaces WHERE workspace_hash = ?",
            hash_of(self.workspaces[int(workspace)]),
        )
        if target:
            self.scene.change("UPDATE sessions SET workspace_id = ? WHERE id = ?", target[0][0], session_id)

    def sql_rehash(self, _token: str, workspace: str) -> None:
        """The workspace's folder was moved."""
        new = self.workspaces[int(workspace)] + "-moved"
        self.scene.change(
            "UPDATE OR IGNORE workspaces SET workspace_path = ?, workspace_hash = ? WHERE workspace_hash = ?",
            new, hash_of(new), hash_of(self.workspaces[int(workspace)]),
        )  # fmt: skip

    def do_flag(self, backend: str) -> None:
        """The flag is gone, or says something else: a switch was killed, or an old copy was put back."""
        (self.root / "storage.json").unlink(missing_ok=True)
        if backend != "vanish":
            (self.root / "storage.json").write_text(json.dumps({"backend": backend}))

    def do_lose(self, what: str) -> None:
        """Remove the database, hybrid mode's journal or the backups, and with them what only they have."""
        before = self.found()
        self.let_go()
        if what == "backups":
            shutil.rmtree(self.root / "backups", ignore_errors=True)
        for path in self.root.glob({"database": "sessions.db*", "journal": "hybrid.db*"}.get(what, "nothing")):
            path.unlink()
        self.needed -= before - self.found()

    def do_snapshot(self) -> None:
        """Another program makes a copy of the database."""
        if self.scene.database.exists():
            with (
                closing(sqlite3.connect(self.scene.database)) as source,
                closing(sqlite3.connect(self.snapshot)) as copy,
            ):
                source.backup(copy)

    def do_putback(self) -> None:
        """Put that copy in the place of the database, and so remove what only the database had."""
        if self.snapshot.exists():
            before = self.found()
            self.do_lose("database")
            shutil.copyfile(self.snapshot, self.scene.database)
            self.needed -= before - self.found()

    def do_move(self) -> None:
        """The data directory gets another name."""
        self.let_go()
        target = self.folder / f"moved-{self.token()[1:-1]}"
        self.root.rename(target)
        self.scene = Scene(target)

    def command(self, step: str) -> None:
        text, _, rest = step.partition(" @")
        words = text.split()
        kill_at, _, other = rest.partition(" ")
        arguments, token = self.arguments(text)
        if not arguments:
            return
        log = self.launcher.scratch / "log"
        log.unlink(missing_ok=True)
        watch: dict[str, Any] = {"watched": str(self.root), "log": str(log), "kill_at": int(kill_at)} if kill_at else {}
        written = self.token()
        if other:
            watch["meanwhile"] = self.meanwhile(other, written)
        backed_up, before = in_backups(self.root, self.named), self.status
        quarantined = in_quarantine(self.scene.database)
        ended = self.launcher.run("--data-dir", self.root, *arguments, **watch)
        self.require_fine(step, ended)
        if ended.meanwhile == 0:
            self.needed.add(written)
        reported = named_in(ended)
        if text == "prune":  # what was to be had from there alone, the user has removed
            self.needed -= backed_up - self.found()
        self.named |= {path.name for path in (self.root / "backups").glob("[!.]*") if path.name in reported}
        if token and ended.code == 0:
            self.needed.add(token)
        if ended.code == -9:  # it could not say that it had copied the database: 'backups list' does
            self.named |= {path.name for path in (self.root / "backups").glob("*-database-before-restore*")}
        if words[0] != "restore" and ended.code in (0, 3) and (before, self.status) == ("completed", "rolled_back"):
            self.damaged.clear()
            self.require_same_workspaces(quarantined | in_quarantine(self.scene.database))

    def arguments(self, text: str) -> tuple[Sequence[str | Path], str | None]:
        """The command line of a step, and the token that it writes."""
        words = text.split()
        if text in COMMANDS:
            return COMMANDS[text], None
        if words[0] == "restore":  # by its number among those of its kind, as they were made
            names = [name for name in self.backups() if ("-database-" in name) == (words[1] == "database")]
            at = int(words[2])
            if not -len(names) <= at < len(names):
                return (), None
            return ("backups", "restore", names[at], "--overwrite-newer-work", "--json"), None
        items = rows(self.scene.database, "SELECT id, reason FROM quarantine ORDER BY id")
        if not items:
            return (), None
        number = str(items[int(words[1]) % len(items)][0])
        if words[2] != "edited":
            return ("quarantine", "retry", number, "--take", words[2], "--json"), None
        edited, token = self.folder / "edited.json", self.token()
        edited.write_text(json.dumps(session(id=words[3], task=token)))
        return ("quarantine", "retry", number, "--edited", edited, "--json"), token

    def meanwhile(self, other: str, token: str) -> tuple[str, ...]:
        """What another process does while a command is at work: ``file 0``, ``store 0`` or ``sql 0``."""
        who, workspace = other.split()
        place = str(self.place(workspace)) if who == "file" else self.workspaces[int(workspace)]
        return ("call", who, str(self.root), place, f"meanwhile-{token}", token)

    def backups(self) -> list[str]:
        """What can be restored, in the order in which it was made."""
        found = [path for path in (self.root / "backups").glob("[0-9]*") if "-quarantine-" not in path.name]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    # What must hold.

    def require_fine(self, step: str, ended: Ended) -> None:
        if ended.code not in FINE or "Traceback" in ended.err or "bug in migrator" in ended.err:
            raise Lost(f"{step} broke down: {ended}")

    def require_same_workspaces(self, quarantined: set[str]) -> None:
        """After a rollback a workspace's own file has no session that SQLite has in another workspace.

        :param quarantined: what was in quarantine, or was put there by the rollback itself: it goes back to the file
            that it came from
        """
        of_workspace: dict[str, set[str]] = {}
        for name, task in rows(
            self.scene.database,
            "SELECT workspace_hash, task FROM sessions JOIN workspaces ON workspaces.id = workspace_id",
        ):
            of_workspace.setdefault(name, set()).update(tokens([task]))
        for path in self.root.glob("sessions/*.json"):
            others = {token for name, found in of_workspace.items() if name != path.stem for token in found}
            strange = tokens([path.read_bytes()]) & others - of_workspace.get(path.stem, set()) - quarantined
            if strange:
                raise Lost(f"in the file of another workspace: {' '.join(sorted(strange))}")

    def require_nothing_lost(self, found: set[str]) -> None:
        missing = self.needed - found
        if missing:
            raise Lost(f"lost: {' '.join(sorted(missing))}")


def play(history: Sequence[str], folder: Path, launcher: Launcher) -> World:
    """Play a history from an empty data directory to the end, where all is settled.

    :raises Lost: with the step after which something is missing
    """
    world = World(folder, launcher)
    step = ""
    try:
        for step in history:
            world.do(step)
            world.require_nothing_lost(world.found())
        world.let_go()
        codes = []
        for step in SETTLING:
            world.do(step)
            codes.append(world.status)
            world.require_nothing_lost(world.found())
        step = "after all"
        if world.status in ("rolled_back", None):
            world.require_nothing_lost(world.found_outside_sqlite())
    except Lost as error:
        raise Lost(f"After '{step}' {error}") from error
    finally:
        world.let_go()
    return world


IDS = "aabc"
SOURCES = ("0", "0", "0", "1", "1", "shared", "older")


def steps(dice: random.Random) -> Iterator[str]:
    """The steps of a history, without end."""
    while True:
        one, source, workspace = dice.choice(IDS), dice.choice(SOURCES), dice.choice("001")
        kill = f" @{dice.randrange(1, 90)}" if dice.random() < 0.4 else ""
        if kill and dice.random() < 0.5:
            kill += f" {dice.choice(['file', 'file', 'store', 'sql'])} {workspace}"
        kinds: dict[str, int] = {
            f"file {source} add {one}": 12,
            f"file {source} {dice.choice(['change', 'change', 'message', 'delete', 'break', 'fix'])} {one}": 14,
            f"file {source} {dice.choice(['tear 0.5', 'tear 0.9', 'blank', 'vanish'])}": 5,
            f"file {source} anew": 6,
            f"store {dice.choice(['create', 'create', 'update', 'message', 'delete'])} {workspace} {one}": 12,
            f"held {dice.choice(['open', 'open', 'close'])}": 3,
            f"held {dice.choice(['create', 'update', 'message', 'delete'])} {workspace} {one}": 4,
            f"sql insert {workspace} {one}": 4,
            f"sql {dice.choice(['update', 'delete'])} {one}": 5,
            f"sql move {one} {workspace}": 3,
            f"sql rehash {workspace}": 1,
            "sql open": 1,
            f"fork {workspace} {one}": 1,
            "move": 1,
            dice.choice(["snapshot", "putback"]): 3,
            f"flag {dice.choice(['json', 'sqlite', 'hybrid', 'vanish'])}": 1,
            f"lose {dice.choice(['database', 'journal', 'backups'])}": 1,
            f"migrate{kill}": 14,
            f"migrate --salvage{kill}": 3,
            f"rollback{kill}": 9,
            f"backend {dice.choice(['json', 'sqlite', 'hybrid', 'hybrid'])}{kill}": 10,
            f"restore files {dice.choice(['0', '1', '-1'])}{kill}": 2,
            f"restore database {dice.choice(['0', '1', '-1'])}{kill}": 2,
            f"retry {dice.randrange(3)} {dice.choice(['theirs', 'ours', 'both'])}{kill}": 2,
            f"retry {dice.randrange(3)} edited {one}{kill}": 2,
            f"{dice.choice(['verify --repair', 'retry all', 'prune', 'schema apply', 'schema revert'])}{kill}": 5,
            f"{dice.choice(['index build', 'index drop'])}{kill}": 1,
        }  # fmt: skip
        yield dice.choices([*kinds], [*kinds.values()])[0]


def history_of(seed: int, length: int = LENGTH) -> list[str]:
    """The history of a seed, without what open faults are known to lose.

    :param length: how many steps follow the first ones
    """
    dice = random.Random(seed)
    history = ["file 0 add a", f"file {dice.choice('01')} add b"]
    if dice.random() < 0.8:
        history.append(dice.choice(["migrate", "backend hybrid"]))
    end = len(history) + length
    for step in steps(dice):
        if len(history) >= end:
            break
        if not is_open(history, step):
            history.append(step)
    return history


def lost_by(history: Sequence[str], launcher: Launcher, folder: Path | None = None) -> str | None:
    """What a history loses."""
    place = Path(tempfile.mkdtemp(prefix="history-", dir=folder))
    try:
        play(history, place, launcher)
    except Lost as error:
        return str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return None


def shortened(history: Sequence[str], launcher: Launcher, folder: Path | None = None) -> list[str]:
    """A history that loses something, without all steps that it loses something without."""
    left, size = [*history], len(history) // 2
    while size:
        for start in range(len(left) - size, -1, -1):
            fewer = left[:start] + left[start + size :]
            if len(fewer) < len(left) and lost_by(fewer, launcher, folder) is not None:
                left = fewer
        size //= 2
    return left


@dataclass(frozen=True)
class Histories:
    """Some histories, by their seeds."""

    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def failures(self, launcher: Launcher, folder: Path) -> list[str]:
        """What each of them loses, made as short as can be."""
        logging.disable()
        found = []
        for seed in range(self.first, self.first + self.count):
            history = history_of(seed)
            if lost_by(history, launcher, folder) is not None:
                short = shortened(history, launcher, folder)
                found.append(f"{PART}, {seed}: {'; '.join(short)}: {lost_by(short, launcher, folder)}")
        return found


def all_histories(seed: int, count: int) -> Iterator[Histories]:
    for first in range(0, count, AT_ONCE):
        yield Histories((seed << 20) + first, min(AT_ONCE, count - first))


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.histories", description=__doc__)
    parser.add_argument("history", nargs="?")
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 0))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args(given)
    failed = 0
    logging.disable()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        launcher = Launcher(Path(scratch))
        if arguments.history:
            lost = lost_by(arguments.history.split("; "), launcher, arguments.folder)
            sys.stdout.write(f"{lost or 'nothing lost'}\n")
            failed += lost is not None
        for seed in range(*arguments.seeds):
            history = history_of(seed)
            if lost_by(history, launcher, arguments.folder) is not None:
                failed += 1
                short = shortened(history, launcher, arguments.folder)
                sys.stdout.write(f"{seed}: {'; '.join(short)}\n    {lost_by(short, launcher, arguments.folder)}\n")
                sys.stdout.flush()
        launcher.close()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
