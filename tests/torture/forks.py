"""Forks while a store is open: what was acknowledged is there afterwards, and no child hangs.

python -m tests.torture.forks --rounds 200 [SITUATION ...]
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from migrator.data_dir import DataDir
from migrator.errors import ConnectionFailed
from migrator.storage.hybrid.json_secondary import MirrorFiles
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.protocol import SessionStorage
from migrator.storage.sqlite import SqliteStorage
from tests.support.errors import raises
from tests.support.strategies import session

W = "/work/engine"
TIMEOUT = 30  # seconds for a child; one that hangs is killed, and counts as a fault
# A program of its own that looks at the database and closes it; only the last one that closes removes the log.
OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sessions").fetchone()
connection.close()
"""


class Trial:
    """One data directory, and what its stores have acknowledged."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        self.acknowledged, self.closed = root / "acknowledged", root / "closed"
        SqliteStorage(root / "sessions.db").close()
        with closing(sqlite3.connect(root / "sessions.db")) as connection, connection:
            connection.execute("UPDATE migration_metadata SET migration_status = 'completed'")

    def open(self) -> SessionStorage:
        data_dir = DataDir(root=self.root, database=self.root / "sessions.db")
        sqlite = SqliteStorage(data_dir.database)
        if self.kind == "sqlite":
            return sqlite
        return HybridStorage(sqlite, MirrorFiles(data_dir), data_dir.hybrid_journal)

    def write(self, store: SessionStorage, name: str, count: int = 5) -> None:
        """Create sessions; record each that was acknowledged."""
        for number in range(count):
            store.create_session(W, session(id=f"{name}-{number}"))
            with self.acknowledged.open("a", encoding="utf-8") as acknowledged:  # one short write, so lines stay whole
                acknowledged.write(f"{name}-{number}\n")

    def write_around(self, store: SessionStorage, name: str) -> None:
        """Write before and after the other processes have closed the database."""
        self.write(store, f"{name}-early", 2)
        deadline = time.monotonic() + TIMEOUT
        while not self.closed.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.write(store, f"{name}-late", 5)

    def another_program(self) -> None:
        subprocess.run([sys.executable, "-c", OTHER, str(self.root / "sessions.db")], check=True, timeout=TIMEOUT)

    def check(self, least: int) -> None:
        """Check that at least so many sessions were acknowledged, and that all of these are there."""
        acknowledged = self.acknowledged.read_text(encoding="utf-8").split()
        with self.open() as store:
            found = {document["id"] for document in store.get_all_sessions(W)}
        lost = set(acknowledged) - found
        assert not lost, f"lost {sorted(lost)} of {len(acknowledged)}"
        assert len(acknowledged) >= least, f"only {len(acknowledged)} of {least} were acknowledged"


def fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a child; it ends with 0, or with 1 and a traceback."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(TIMEOUT)  # ends a child that hangs
        faulthandler.register(signal.SIGALRM, chain=True)  # and shows where
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - shown, and the end of the child
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def wait(*children: int) -> None:
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert not any(ends), f"the children ended with {ends}; {signal.SIGALRM.value} means that one hung"


def inherited(trial: Trial) -> None:
    """Parent and child use the same store; the parent closes it first, and another program opens the database."""
    store = trial.open()
    trial.write(store, "before")

    children = [fork(lambda: trial.write_around(store, "child"))]
    trial.write(store, "parent")
    trial.another_program()
    store.close()
    trial.another_program()
    trial.closed.touch()
    wait(*children)
    trial.check(17)


def its_own(trial: Trial) -> None:
    """Children open stores of their own, while the parent's is open; others close theirs in between."""
    with trial.open() as store:
        trial.write(store, "before")

        def child(name: str) -> None:
            with trial.open() as own:
                trial.write_around(own, name)

        children = [fork(partial(child, name)) for name in ("a", "b")]
        trial.another_program()
        trial.write(store, "parent")
    trial.another_program()
    trial.closed.touch()
    wait(*children)
    trial.check(24)


def child_of_a_child(trial: Trial) -> None:
    """The child ends at once; its own child goes on, as a daemon does."""
    store = trial.open()
    trial.write(store, "before")

    def child() -> None:
        trial.write(store, "child")
        wait(fork(lambda: trial.write_around(store, "grandchild")))

    children = [fork(child)]
    store.close()
    trial.another_program()
    trial.closed.touch()
    wait(*children)
    trial.check(17)


def killed(trial: Trial) -> None:
    """A child is killed while it writes."""
    store = trial.open()
    trial.write(store, "before")
    child = fork(lambda: trial.write(store, "child", 10_000))
    time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    trial.write(store, "parent")
    store.close()
    trial.check(10)


@contextmanager
def writing(trial: Trial, store: SessionStorage, threads: int) -> Iterator[None]:
    """Other threads write to the store during the block."""
    stop = threading.Event()
    names = iter(range(1_000_000))

    def work() -> None:
        while not stop.is_set():
            trial.write(store, f"thread-{next(names)}", 1)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def while_threads_write(trial: Trial) -> None:
    """Forks while other threads are in the middle of SQLite."""
    with trial.open() as store, writing(trial, store, 2):
        for number in range(5):
            wait(fork(partial(trial.write, store, f"child-{number}", 2)))
    trial.check(10)


def spawned(trial: Trial) -> None:
    """New processes, as multiprocessing starts them by default from Python 3.14 on."""
    with trial.open() as store:
        trial.write(store, "before")
        for method in ("spawn", "forkserver", "fork"):
            context: Any = multiprocessing.get_context(method)
            process = context.Process(target=_spawned, args=(trial, method))
            process.start()
            process.join(TIMEOUT)
            assert process.exitcode == 0, method
        trial.write(store, "after")
    trial.check(25)


def _spawned(trial: Trial, name: str) -> None:
    with trial.open() as store:
        trial.write(store, name)


def in_use(trial: Trial) -> None:
    """Another thread does not end its transaction in time: the child is refused, with the reason."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite._pool.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            begun.set()
            end.wait(TIMEOUT)
            connection.execute("COMMIT")

    def child() -> None:
        for use in (lambda: sqlite.get_all_sessions(W), trial.open):
            with raises(ConnectionFailed, "database.in_use_at_fork"):
                use()

    with SqliteStorage(trial.root / "sessions.db") as sqlite:
        holder = threading.Thread(target=hold)
        holder.start()
        begun.wait(TIMEOUT)
        wait(fork(child))
        end.set()
        holder.join()
        trial.write(sqlite, "parent")
    trial.check(5)


SITUATIONS: dict[str, Callable[[Trial], None]] = {
    situation.__name__: situation
    for situation in (inherited, its_own, child_of_a_child, killed, while_threads_write, spawned, in_use)
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("situations", nargs="*", metavar="SITUATION", help=", ".join(SITUATIONS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["sqlite", "hybrid"])
    chosen: Any = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", "This process.*fork", DeprecationWarning)
    for number in range(chosen.rounds):
        for kind in chosen.kinds:
            for name in chosen.situations or SITUATIONS:
                with tempfile.TemporaryDirectory() as folder:
                    SITUATIONS[name](Trial(Path(folder), kind))
                print(f"round {number + 1}: {kind}: {name}: fine", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
