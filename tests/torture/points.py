"""Crash points: every step by which the program changes something outside its memory, watched as it runs.

A step is a call that creates, writes, syncs, renames or removes a file or folder, or a statement that changes a
database. Its name is what is done, to which kind of file, and which function asked for it; the list of points is what
such names a run has come by. Nothing here is known to the program: the functions are replaced in a process of our own.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

try:
    import apsw
except ImportError:  # then there is nothing of it to watch
    apsw = None  # type: ignore[assignment]

PACKAGE = str(Path(__file__).resolve().parent.parent.parent / "migrator") + os.sep

# What changes a file: name, and which of the arguments is its path (or descriptor).
CHANGING = {
    "mkdir": 0,
    "rename": 1,
    "replace": 1,
    "link": 1,
    "symlink": 1,
    "unlink": 0,
    "remove": 0,
    "rmdir": 0,
    "chmod": 0,
    "truncate": 0,
    "ftruncate": 0,
    "utime": 0,
    "fsync": 0,
    "fdatasync": 0,
}
UNDER_CONSTRUCTION = ("sessions.db.staging", "backups/.incomplete-")
_WRITING = os.O_CREAT | os.O_TRUNC
_READS = re.compile(r"\s*(SELECT|EXPLAIN|VALUES|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_SETTING = re.compile(r"\s*PRAGMA\s+(\w+\.)?(\w+)\s*(=|\()?", re.IGNORECASE)
_LASTING = {"journal_mode", "user_version", "wal_checkpoint", "optimize", "incremental_vacuum", "application_id"}

Call = Callable[[], Any]


@dataclass(frozen=True)
class Point:
    """One step of one run.

    :ivar name: what is done, to what, and where it was asked for
    :ivar number: 0 for the first step of that name in the run, 1 for the second …
    """

    name: str
    number: int = 0


@dataclass(frozen=True)
class Fault:
    """What is to happen at a point.

    :ivar moment: ``before`` the step is done, or ``after``
    :ivar act: the name of a signal that the process gets; the name of an ``errno``; or that of an error of SQLite
    """

    point: Point
    moment: str
    act: str

    @classmethod
    def of(cls, record: dict[str, Any]) -> Fault:
        return cls(**{**record, "point": Point(**record["point"])})

    def record(self) -> dict[str, Any]:
        return asdict(self)


class Watch:
    """Stands around every step: notes its point, and makes happen what is to happen there.

    :param root: the data directory; what is done elsewhere does not count
    :param log: where each point is noted, a line each, before its step is done
    :param kill_at: the number of the step before which the process is killed, whatever the step is; 1 is the first.
        What is under construction does not count: no one reads what is left of it
    :param pause: instead of being killed there, the process makes this file and waits for one named ``go`` next to it
    """

    def __init__(
        self, root: Path, log: Path, fault: Fault | None, kill_at: int | None = None, pause: Path | None = None
    ) -> None:
        self.root = os.path.realpath(root)
        self.fault = fault
        self._kill_at = kill_at
        self._pause = pause
        self._steps = 0
        self._seen: Counter[str] = Counter()
        self._turn = threading.Lock()
        self._inside = threading.local()
        self._really = {name: getattr(os, name) for name in CHANGING}
        self._open, self._fdopen, self._opener, self._connect = os.open, os.fdopen, builtins.open, sqlite3.connect
        self._write = os.write
        self._connect_staged: Any = getattr(apsw, "Connection", None)
        self._log = self._open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def install(self) -> None:
        """From now on, in this process, every step goes by here."""
        for name, place in CHANGING.items():
            setattr(os, name, self._watched(name, place))
        os.open = self._open_file
        os.write = self._write_some
        os.fdopen = self._file_of_descriptor  # type: ignore[assignment]
        builtins.open = self._file  # type: ignore[assignment]
        sqlite3.connect = self._database
        if apsw is not None:
            apsw.Connection = self._staged  # type: ignore[assignment, misc]
        sys.addaudithook(self._audit)

    def step(self, what: str, target: str, do: Call) -> Any:
        """Do one step, unless something else is to happen."""
        if getattr(self._inside, "now", False):  # a step that is part of another one
            return do()
        name = f"{what} {target} ({_asked_by(sys._getframe(2))})"
        with self._turn:
            self._steps += not target.startswith(UNDER_CONSTRUCTION)
            if self._steps == self._kill_at and not target.startswith(UNDER_CONSTRUCTION):
                self._stop()
            point = Point(name, self._seen[name])
            self._seen[name] += 1
            self._write(self._log, (json.dumps([name, threading.current_thread() is _MAIN]) + "\n").encode())
        self._inside.now = True
        try:
            self._strike(point, "before")
            try:
                return do()
            finally:  # a step that comes to nothing has an afterwards, too
                self._strike(point, "after")
        finally:
            self._inside.now = False

    def _stop(self) -> None:
        if self._pause is None:
            os.kill(os.getpid(), signal.SIGKILL)
            return
        self._opener(self._pause, "w").close()
        while not os.path.exists(os.path.join(os.path.dirname(self._pause), "go")):
            time.sleep(0.001)

    def _strike(self, point: Point, moment: str) -> None:
        fault = self.fault
        if fault is None or fault.moment != moment or fault.point != point:
            return
        if fault.act.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[fault.act])
        elif fault.act.startswith("SQLITE_"):
            raise sqlite_error(fault.act)
        else:
            import errno

            number = getattr(errno, fault.act)
            raise OSError(number, os.strerror(number))

    def kind(self, path: object, folder: int | None = None) -> str | None:
        """What a path is called in the name of a point; None outside of the data directory."""
        where = self._place(path, folder)
        if where is None or (where != self.root and not where.startswith(self.root + os.sep)):
            return None
        return kind_of(os.path.relpath(where, self.root))

    def _place(self, path: object, folder: int | None) -> str | None:
        if isinstance(path, int):
            with suppress(OSError):
                return os.readlink(f"/proc/self/fd/{path}").removesuffix(" (deleted)")
            return None
        text = os.fsdecode(path)  # type: ignore[arg-type]
        if folder is not None and not os.path.isabs(text):
            text = os.path.join(self._place(folder, None) or "", text)
        text = os.path.abspath(text)
        return os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))

    def _watched(self, name: str, place: int) -> Callable[..., Any]:
        really = self._really[name]

        def call(*arguments: Any, **options: Any) -> Any:
            folder = options.get("dst_dir_fd" if place else "dir_fd")
            target = self.kind(arguments[place], folder)
            if target is None:
                return really(*arguments, **options)
            return self.step(name, target, lambda: really(*arguments, **options))

        return call

    def _open_file(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        target = self.kind(path, options.get("dir_fd")) if flags & _WRITING else None
        if target is None:
            return self._open(path, flags, *arguments, **options)
        opened: int = self.step("create", target, lambda: self._open(path, flags, *arguments, **options))
        return opened

    def _write_some(self, descriptor: int, data: Any) -> int:
        target = self.kind(descriptor)
        if target is None:
            return self._write(descriptor, data)
        written: int = self.step("write", target, lambda: self._write(descriptor, data))
        return written

    def _file_of_descriptor(self, descriptor: int, *arguments: Any, **options: Any) -> Any:
        return self._follow(self._fdopen(descriptor, *arguments, **options))

    def _file(self, path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+"):
            return self._opener(path, mode, *arguments, **options)
        target = self.kind(path)
        if target is None:
            return self._opener(path, mode, *arguments, **options)
        return self._follow(self.step("open", target, lambda: self._opener(path, mode, *arguments, **options)))

    def _follow(self, file: Any) -> Any:
        target = self.kind(file.fileno())
        return file if target is None or not file.writable() else WatchedFile(file, self, target)

    def _database(self, database: Any, *arguments: Any, **options: Any) -> Any:
        text = os.fsdecode(database)
        path = text.removeprefix("file://").partition("?")[0]
        target = None if text == ":memory:" or "mode=ro" in text else self.kind(path)
        if target is None:
            return self._connect(database, *arguments, **options)
        kind = self._with_steps(WatchedConnection, target, options.pop("factory", sqlite3.Connection))
        return self._connect(database, *arguments, factory=kind, **options)

    def _staged(self, database: str, *arguments: Any, **options: Any) -> Any:
        path, _, options_of_it = database.removeprefix("file://").partition("?")
        target = None if "immutable=1" in options_of_it else self.kind(path)
        if target is None:
            return self._connect_staged(database, *arguments, **options)
        return self._with_steps(WatchedStaged, target, self._connect_staged)(database, *arguments, **options)

    def _with_steps(self, kind: Any, target: str, *bases: Any) -> Any:
        """Wrap a connection to that kind of file, so that its steps are counted here.

        :param bases: what the connection is besides
        """
        return type(kind.__name__, (kind, *bases), {"step": lambda _, what, do: self.step(what, target, do)})

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Whatever changes a file and did not go by here is noted too: a test wants none of it."""
        if getattr(self._inside, "now", False) or event not in _AUDITED:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        if isinstance(arguments[0], int):
            return
        target = self.kind(arguments[0])
        if target is not None:
            self._write(self._log, (json.dumps([f"UNSEEN {event} {target}", True]) + "\n").encode())


_MAIN = threading.main_thread()
_AUDITED = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "os.truncate",
}
_WORDS = [
    (re.compile(r"(?<=/\.incomplete-)[^/]+"), "<name>"),
    (re.compile(r"(?<=\.r)(ehearsal|ollback)-[^/]+"), r"\1-<name>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<hash>"),
    (re.compile(r"\d{8}T\d{6}Z"), "<time>"),
    (re.compile(r"(?<=<time>-)(?=[0-9a-f]*[a-f])[0-9a-f]{8}\b"), "<id>"),
    (re.compile(r"(?<![A-Za-z\d])\d+"), "<n>"),
    (re.compile(r"(<time>-(?:database-[a-z-]+?|quarantine))(-<n>)+"), r"\1"),  # a second copy of the same
]


def kind_of(name: str) -> str:
    """A path within the data directory, with everything in it that is another in each run replaced by a word."""
    for pattern, word in _WORDS:
        name = pattern.sub(word, name)
    return name


def _asked_by(frame: FrameType | None) -> str:
    """The innermost function of the program, and the one outside of its file layer, that asked for a step."""
    callers: list[str] = []
    layer = ("files.durable", "files.copying", "database.connection", "staging.connections.opening")
    while frame is not None and len(callers) < 2:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE):
            module = file[len(PACKAGE) :].removesuffix(".py").replace(os.sep, ".")
            caller = f"{module}.{frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name}"
            if not callers or not module.startswith(layer):
                callers.append(caller)
        frame = frame.f_back
    return " < ".join(callers)


class WatchedFile:
    """An open file whose writes are steps."""

    def __init__(self, file: Any, watch: Watch, target: str) -> None:
        self._file, self._watch, self._target = file, watch, target

    def write(self, data: Any) -> Any:
        return self._watch.step("write", self._target, lambda: self._file.write(data))

    def flush(self) -> None:
        self._watch.step("flush", self._target, self._file.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def changes(sql: str) -> str | None:
    """The first words of a statement that changes a database; None for one that reads, or sets what ends with us."""
    if _READS.match(sql):
        return None
    setting = _SETTING.match(sql)
    if setting and (setting[2].lower() not in _LASTING or not setting[3]):
        return None
    words = re.sub(r"--[^\n]*|[(,].*", " ", sql, flags=re.DOTALL).split()
    return " ".join(words[:3])


class WatchedConnection(sqlite3.Connection):
    """A connection whose changes are steps."""

    def step(self, what: str, do: Call) -> Any:
        raise NotImplementedError

    def execute(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedConnection, self).execute(sql, *arguments))

    def executemany(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedConnection, self).executemany(sql, *arguments))

    def executescript(self, sql: str) -> sqlite3.Cursor:
        script: sqlite3.Cursor = self.step("script", lambda: super(WatchedConnection, self).executescript(sql))
        return script

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or WatchedCursor)

    def commit(self) -> None:
        self.step("commit", super().commit)

    def backup(self, target: sqlite3.Connection, **options: Any) -> None:
        self.step("backup to a copy of", lambda: super(WatchedConnection, self).backup(target, **options))

    def close(self) -> None:
        self.step("close", super().close)

    def __exit__(self, *error: object) -> Any:
        return self.step("end", lambda: super(WatchedConnection, self).__exit__(*error))  # type: ignore[arg-type]

    def _statement(self, sql: str, do: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        words = changes(sql)
        cursor: sqlite3.Cursor = do() if words is None else self.step(words, do)
        return cursor


class WatchedCursor(sqlite3.Cursor):
    """A cursor whose changes are steps of its connection."""

    connection: WatchedConnection

    def execute(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedCursor, self).execute(sql, *arguments))

    def executemany(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedCursor, self).executemany(sql, *arguments))

    def _statement(self, sql: str, do: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        words = changes(sql)
        cursor: sqlite3.Cursor = do() if words is None else self.connection.step(words, do)
        return cursor


class WatchedStaged:
    """Mixed into a connection of APSW, to a database under construction, whose changes are steps."""

    def step(self, what: str, do: Call) -> Any:
        raise NotImplementedError

    def execute(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedStaged, self).execute(sql, *arguments))  # type: ignore[misc]

    def executemany(self, sql: str, *arguments: Any) -> Any:
        return self._statement(sql, lambda: super(WatchedStaged, self).executemany(sql, *arguments))  # type: ignore[misc]

    def close(self, *arguments: Any) -> None:
        self.step("close", lambda: super(WatchedStaged, self).close(*arguments))  # type: ignore[misc]

    def _statement(self, sql: str, do: Callable[[], Any]) -> Any:
        words = changes(sql)
        try:
            return do() if words is None else self.step(words, do)
        except sqlite3.Error as error:  # one that was asked for
            raise apsw.exception_for(error.sqlite_errorcode) from error


def sqlite_error(name: str) -> sqlite3.Error:
    """An error as SQLite itself raises it."""
    message, kind = {
        "SQLITE_BUSY": ("database is locked", sqlite3.OperationalError),
        "SQLITE_FULL": ("database or disk is full", sqlite3.OperationalError),
        "SQLITE_IOERR": ("disk I/O error", sqlite3.OperationalError),
        "SQLITE_CORRUPT": ("database disk image is malformed", sqlite3.DatabaseError),
        "SQLITE_READONLY": ("attempt to write a readonly database", sqlite3.OperationalError),
    }[name]
    error = kind(message)
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


def points_in(log: Path) -> Iterator[tuple[Point, bool]]:
    """The points that a run has noted, in order, each with whether its main thread came by."""
    seen: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8").splitlines():
        name, steady = json.loads(line)
        yield Point(name, seen[name]), steady
        seen[name] += 1
