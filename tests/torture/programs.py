"""What an app does through the stores, as programs that can be killed; and changes to the world they run in."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import import_module
from typing import Any, Self

from migrator import MigratorError, open_storage
from migrator.database import connection
from migrator.search.building.bulk import BULK
from migrator.storage import timestamps
from migrator.storage.protocol import SessionStorage
from migrator.worker.limits import LIMITS
from migrator.worker.process import WorkerProcess
from tests.support.scene import app_inserts, app_json, hash_of
from tests.support.scene import chat as chat_session
from tests.support.strategies import message

WORKSPACE = "/home/dev/loom"
NOBODY = 65_534


def chat(session_id: str, task: str) -> Any:
    return chat_session(session_id, workspace=WORKSPACE, task=task)


WRITES: list[Callable[[SessionStorage], object]] = [
    lambda store: store.create_session(WORKSPACE, chat("w-1", task="new")),
    lambda store: store.add_chat_message(WORKSPACE, "w-1", message(id="msg-w", content="go on")),
    lambda store: store.update_instance_status(WORKSPACE, "w-1", 1, "completed"),
    lambda store: store.update_session(WORKSPACE, chat("loom-1", task="changed")),
    lambda store: store.delete_session(WORKSPACE, "loom-2"),
]


def write(root: str, count: str) -> None:
    """Write so many times through the authoritative store, with a clock that stands still."""
    timestamps.now = lambda: "2025-02-01T00:00:00Z"
    with open_storage(root) as store:
        for change in WRITES[: int(count)]:
            change(store)


def create(root: str, task: str) -> None:
    """Change one session through the authoritative store."""
    with open_storage(root) as store:
        store.create_session(WORKSPACE, chat(task, task=task))


def store(root: str, workspace: str, session_id: str, task: str) -> None:
    """Create a session through the authoritative store."""
    document: Any = chat_session(session_id, task=task)
    with open_storage(root) as opened:
        opened.create_session(workspace, document)


def file(_root: str, path: str, session_id: str, task: str) -> None:
    """A new session, by an old build: it reads the file and writes it anew, in place."""
    with open(path, "rb") as found:
        documents = json.loads(found.read())
    with open(path, "wb") as written:
        written.write(app_json([*documents, chat_session(session_id, task=task)]))


def sql(root: str, workspace: str, session_id: str, task: str) -> None:
    """A new session, by the app's own SQL."""
    with closing(sqlite3.connect(f"{root}/sessions.db", timeout=1)) as app, app:
        app_inserts(app, workspace, session_id, task, f"msg-{session_id}")


def fork(root: str, workspace: str, session_id: str, *texts: str) -> None:
    """A program with an open store, and a child of it that opens one of its own; says which text was accepted."""

    def write(store: SessionStorage, number: int) -> None:
        with suppress(MigratorError):
            document: Any = chat_session(f"{session_id}-{texts[number]}", task=texts[number])
            store.create_session(workspace, document)
            sys.stdout.write(f"{texts[number]}\n")
            sys.stdout.flush()

    with open_storage(root) as store:
        write(store, 0)
        child = os.fork()
        if child == 0:
            with open_storage(root) as own:
                write(own, 1)
            os._exit(0)
        os.waitpid(child, 0)
        write(store, 2)


def as_nobody() -> None:
    """From now on this process is a user who may do little, if it was one who may do everything."""
    if os.geteuid() == 0:
        for name in ("email.parser", "email.utils"):  # loaded late from 3.13 on, and Python may be in a private folder
            import_module(name)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def the_worker_is_slow() -> None:
    """It never seems to be done, so that the first one fills shards itself; there are several of them."""
    vars(LIMITS).update(shard=300)
    WorkerProcess.done = lambda *_: False  # type: ignore[method-assign]


def the_index_is_built_in_pieces() -> None:
    """As if there were many texts."""
    vars(BULK).update(worthwhile=0, piece=200)


def plenty_of_space() -> None:
    """Report wrong free space, as with quotas, or if another program writes at the same time."""
    really = shutil.disk_usage
    shutil.disk_usage = lambda path: really(path)._replace(free=1 << 40)


def an_old_build_runs() -> None:
    """Let the app rewrite a workspace file in place whenever it is read."""
    really, done = os.read, set[str]()

    def read(descriptor: int, count: int) -> bytes:
        data = really(descriptor, count)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if "/ait42/sessions/" in path and path not in done:
            done.add(path)
            with open(path, "wb") as file:
                file.write(app_json([chat("late", f"written while {os.path.basename(path)} was read")]))
        return data

    os.read = read


def files_vanish() -> None:
    """Between being seen and being read, a workspace file goes."""
    really = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        if hash_of(WORKSPACE) in os.fspath(path) and "/ait42/sessions/" in os.fspath(path):
            os.rename(path, os.path.join(os.path.dirname(os.path.dirname(path)), "gone"))
        return really(path, *arguments, **options)

    os.open = opened


def the_clock_is_a_day_behind() -> None:
    """The machine's clock was put back since the last run."""
    really = time.time
    time.time = lambda: really() - 86_400

    class Yesterday(dt.datetime):
        @classmethod
        def now(cls, zone: dt.tzinfo | None = None) -> Self:
            return super().now(zone) - dt.timedelta(days=1)

    for module in list(sys.modules.values()):
        if module.__name__.startswith("migrator.") and getattr(module, "datetime", None) is dt.datetime:
            module.datetime = Yesterday  # type: ignore[attr-defined]


def on_a_network() -> None:
    """Every file system is one of another machine."""
    connection.network_file_system = lambda path: "nfs4"


if __name__ == "__main__":
    write(*sys.argv[2:])
