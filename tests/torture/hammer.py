"""Many writers at once while commands run: every write that was acknowledged must be found in the end.

    python -m tests.torture.hammer --writes 30000

Threads of several processes write through whatever store is authoritative (some keep a store open as long as they can),
an old build rewrites the same files in place, another program uses the app's own SQL. Meanwhile one command after the
other switches the store, restores a file or the database, or merges. A write is acknowledged when its call has
returned. In the end ``migrate`` settles everything; then each text must be in SQLite, in the quarantine, in a file that
is kept for people, or in a backup that a message names.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator import MigratorError, open_storage
from tests.support.scene import Scene, app_inserts, app_json, hash_of
from tests.support.strategies import session
from tests.support.whereabouts import app_files, in_backups, in_quarantine, in_sessions, kept_files, tokens
from tests.torture.histories import named_in
from tests.torture.launcher import Launcher

WRITES = 30_000
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("migrate",), ("migrate",), ("rollback",), ("backend", "json"), ("backend", "sqlite"), ("backend", "hybrid"),
    ("backend", "hybrid"), ("restore", "database"), ("restore", "files"),
)  # fmt: skip
FINE = (0, 1, 3, 4)
KINDS = ("store", "held store", "old build", "sql")
PROCESSES = 2
SESSIONS = 150  # in a workspace, on average
TRIES = 200


def workspaces_of(root: Path, count: int) -> list[str]:
    return [str(root.parent / f"w{number}") for number in range(count)]


@dataclass
class Writer:
    """One thread: writes texts, each once, and says which were acknowledged."""

    root: Path
    kind: str
    first: int
    count: int
    workspaces: list[str]
    say: Callable[[str], None]
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.first)
        self.store: Any = None

    def run(self) -> None:
        for number in range(self.first, self.first + self.count):
            for _ in range(TRIES):
                if self.write(f"<t{number}>", self.dice.choice(self.workspaces)):
                    self.say(f"<t{number}>")
                    break
                time.sleep(0.01)
        if self.store is not None:
            self.store.close()

    def write(self, token: str, workspace: str) -> bool:
        """Whether the write was acknowledged."""
        if self.kind == "old build":
            return self.rewrite_in_place(token, workspace)
        if self.kind == "sql":
            return self.insert(token, workspace)
        try:
            if self.store is None:
                self.store = open_storage(self.root)
            self.store.create_session(workspace, self.document(token))
        except MigratorError:
            self.reopen()
            return False
        if self.kind == "store" and self.dice.random() < 0.2:
            self.reopen()
        return True

    def reopen(self) -> None:
        if self.store is not None:
            with suppress(MigratorError):
                self.store.close()
        self.store = None

    def document(self, token: str) -> Any:
        return session(id=f"s-{token[2:-1]}-{self.dice.randrange(1 << 40)}", task=token)

    def rewrite_in_place(self, token: str, workspace: str) -> bool:
        """Read the file and write it anew, in place, as old builds do; it may have been replaced in between."""
        path = Scene(self.root).file_of(workspace)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        with open(descriptor, "rb+", buffering=0) as file:
            before = file.read()
            try:
                documents = json.loads(before) if before.strip() else []
            except ValueError:  # a copy of a half-written file was restored; the app shows an error
                return False
            content = app_json([*documents, self.document(token)])
            file.seek(0)
            file.truncate()
            half = len(content) // 2
            file.write(content[:half])
            file.write(content[half:])
        return True

    def insert(self, token: str, workspace: str) -> bool:
        """The app's own SQL, as long as SQLite is authoritative."""
        database = Scene(self.root).database
        if not database.exists():
            return False
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=5)) as app:
            app.isolation_level = None
            app.execute("BEGIN IMMEDIATE")
            if app.execute("SELECT migration_status FROM migration_metadata").fetchone() != ("completed",):
                return False
            name = f"sql-{token[2:-1]}-{self.dice.randrange(1 << 40)}"
            app_inserts(app, workspace, name, token, f"msg-{name}")
            app.execute("COMMIT")
            return True
        return False


def write(root: str, first: str, count: str, workspaces: str) -> None:
    """A process with a thread of each kind; prints each text that was acknowledged."""
    guard = threading.Lock()

    def say(token: str) -> None:
        with guard:
            sys.stdout.write(f"{token}\n")
            sys.stdout.flush()

    names, each = workspaces_of(Path(root), int(workspaces)), int(count) // len(KINDS)
    # Two old builds would overwrite each other's texts: each has files of its own, where the others write, too.
    mine = {"old build": names[int(first) // int(count) :: PROCESSES]}
    writers = [
        Writer(Path(root), kind, int(first) + number * each, each, mine.get(kind, names), say)
        for number, kind in enumerate(KINDS)
    ]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@dataclass
class Hammer:
    """A data directory, the writers, and the commands."""

    folder: Path
    launcher: Launcher
    writes: int
    seed: int = 0
    named: set[str] = field(default_factory=set)
    commands: int = 0

    def __post_init__(self) -> None:
        self.root = self.folder / "ait42"
        (self.root / "sessions").mkdir(parents=True)
        self.scene = Scene(self.root)
        self.workspaces = workspaces_of(self.root, max(4, self.writes // SESSIONS))
        self.dice = random.Random(self.seed)
        mapping = {hash_of(workspace): workspace for workspace in self.workspaces}
        (self.root / "workspace_mapping.json").write_text(json.dumps(mapping))
        for workspace in self.workspaces:
            self.scene.write(workspace, [])

    def lost(self) -> set[str]:
        """Play; returns the texts that were acknowledged and are nowhere."""
        acknowledged = self.hammer()
        self.run("migrate")
        self.run("migrate", "--salvage")
        self.acknowledged = len(acknowledged)
        return acknowledged - self.found()

    def hammer(self) -> set[str]:
        share = self.writes // PROCESSES
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.torture.hammer", "--write", *map(str, (
                    self.root, number * share, share, len(self.workspaces)
                ))],
                stdout=subprocess.PIPE, text=True,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        said: list[str] = []
        listeners = [threading.Thread(target=self.listen, args=(process, said)) for process in started]
        for listener in listeners:
            listener.start()
        while any(process.poll() is None for process in started):
            self.command(self.dice.choice(COMMANDS))
        for listener in listeners:
            listener.join()
        assert [process.returncode for process in started] == [0] * PROCESSES
        return {line.strip() for line in said}

    def listen(self, process: subprocess.Popen[str], said: list[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            said.extend(lines)

    def command(self, command: Sequence[str]) -> None:
        if command[0] != "restore":
            self.run(*command)
            return
        backups = sorted(path.name for path in (self.root / "backups").glob("[0-9]*"))
        names = [name for name in backups if ("-database-" in name) == (command[1] == "database")]
        if names:
            self.run("backups", "restore", self.dice.choice(names[-5:]), "--overwrite-newer-work")

    def run(self, *arguments: str) -> None:
        ended = self.launcher.run("--data-dir", self.root, *arguments, "--json")
        assert ended.code in FINE, (arguments, ended)
        assert "Traceback" not in ended.err, ended.err
        reported = named_in(ended)
        self.named |= {path.name for path in (self.root / "backups").glob("[0-9]*") if path.name in reported}
        self.commands += 1

    def found(self) -> set[str]:
        """Where a text may be: SQLite is authoritative now."""
        assert self.scene.status() == "completed"
        kept = tokens(path.read_bytes() for path in kept_files(self.root))
        in_sqlite = in_sessions(self.scene.database) | in_quarantine(self.scene.database)
        return kept | in_sqlite | in_backups(self.root, self.named)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.hammer", description=__doc__)
    parser.add_argument("--writes", type=int, default=WRITES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to play, and to leave everything for people to look at")
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.write:
        write(*arguments.write)
        return 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        launcher = Launcher(Path(scratch))
        hammer = Hammer(arguments.folder or Path(scratch), launcher, arguments.writes, arguments.seed)
        lost = hammer.lost()
        launcher.close()
        in_files = tokens(path.read_bytes() for path in app_files(hammer.root))
    sys.stdout.write(
        f"{hammer.acknowledged} writes acknowledged, {hammer.commands} commands, {time.monotonic() - started:.0f} s; "
        f"lost: {len(lost)} {sorted(lost)[:20]}; of them in the files: {len(lost & in_files)}\n"
    )
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
