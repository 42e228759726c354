"""Another SQLite library in the process (here APSW) reads the database and closes it, while a store is open.

The system then drops the locks of the whole process, and the library removes the log as if it were the last user. What
the store acknowledges must be seen by other processes all the same.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from migrator.errors import ConnectionFailed
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from migrator.storage.sqlite import SqliteStorage
from tests.support.errors import raises
from tests.support.strategies import instance, message, session

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows locks belong to the open file")
apsw = pytest.importorskip("apsw")
W = "/work/engine"


@pytest.fixture
def path(folder):
    return folder / "sessions.db"


@pytest.fixture
def store(path):
    with SqliteStorage(path) as store:
        store.create_session(W, session(id="a", instances=[instance()], chatHistory=[message(id="first")]))
        yield store


def read_by_another_library(path):
    other = apsw.Connection(str(path))
    list(other.execute("SELECT count(*) FROM sessions"))
    other.close()


def in_another_process(path, program, *args):
    program = f"import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n{program}\nc.close()"
    command = [sys.executable, "-c", program, str(path), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def started(program, path):
    """Start a program, and wait until it prints a line."""
    command = [sys.executable, "-c", program, str(path)]
    other: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline()
    return other


def seen_by_others(path):
    """The messages, and the sessions, in another process."""
    return in_another_process(
        path,
        "for (one,) in c.execute('SELECT id FROM chat_messages UNION ALL SELECT id FROM sessions'): print(one)",
    )


def untimed(document: Any) -> Any:
    return document | {"updatedAt": None}


def during_the_next_transaction(store, act):
    """Let ``act`` happen right before the next commit of the store, once."""
    with store._pool.connection() as connection:

        def trace(statement):
            if statement == "COMMIT":
                connection.set_trace_callback(None)
                act()

        connection.set_trace_callback(trace)


WRITES = {
    "create": lambda store: store.create_session(W, session(id="b")),
    "update": lambda store: store.update_session(W, session(id="a", task="new")),
    "delete": lambda store: store.delete_session(W, "a"),
    "append": lambda store: store.append_chat_message(W, "a", message(id="second")),
    "add": lambda store: store.add_chat_message(W, "a", message(id="second")),
    "status": lambda store: store.set_instance_status(W, "a", 1, "done"),
    "replace": lambda store: store.replace_workspace(W, [session(id="c"), session(id="c")]),
}


@pytest.mark.parametrize("moment", ["before", "during"])
@pytest.mark.parametrize("write", WRITES)
def test_each_write_is_made_once_where_others_see_it(store, path, write, moment):
    if moment == "before":
        read_by_another_library(path)
    else:
        during_the_next_transaction(store, lambda: read_by_another_library(path))
    WRITES[write](store)
    with SqliteStorage(":memory:") as model:
        model.create_session(W, session(id="a", instances=[instance()], chatHistory=[message(id="first")]))
        WRITES[write](model)
        expected = model.get_all_sessions(W)
    assert [untimed(one) for one in store.get_all_sessions(W)] == [untimed(one) for one in expected]
    messages = [one["id"] for document in expected for one in document["chatHistory"]]
    assert len(seen_by_others(path)) == len(messages) + len(expected)
    assert in_another_process(path, "print(*c.execute('PRAGMA integrity_check').fetchone())") == ["ok"]


def test_a_write_that_was_copied_before_the_log_was_removed_is_not_made_again(store, path):
    """The library closes after the commit and before the store has looked: the database has the write already."""
    with store._pool.connection() as connection:
        pass
    really, looks = connection.has_its_log, []

    def look():
        looks.append(1)
        if len(looks) == 2:  # the first is before the connection is lent
            read_by_another_library(path)
        return really()

    connection.has_its_log = look
    store.append_chat_message(W, "a", message(id="second"))
    assert [one["id"] for one in store.get_session(W, "a")["chatHistory"]] == ["first", "second"]
    assert seen_by_others(path).count("second") == 1
    assert len(looks) > 1


def test_the_store_sees_what_another_process_writes_afterwards(store, path):
    read_by_another_library(path)
    in_another_process(path, "c.execute(\"UPDATE sessions SET task = 'theirs'\")")
    assert store.get_session(W, "a")["task"] == "theirs"


def test_a_log_that_belongs_to_others_by_now_is_neither_removed_nor_written_over(store, path):
    """Another process wrote to its own log and was killed; then the store closes its connection to the old one."""
    read_by_another_library(path)
    program = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA wal_autocheckpoint = 0")
c.execute("UPDATE sessions SET task = 'theirs'")
print("written", flush=True)
sys.stdin.readline()
import os; os._exit(0)  # as if it was killed: its log stays
"""
    with started(program, path) as other:
        other.communicate("end\n")
    store.append_chat_message(W, "a", message(id="second"))
    assert store.get_session(W, "a")["task"] == "theirs"
    store.close()
    assert sorted(seen_by_others(path)) == ["a", "first", "second"]


def test_the_locks_are_gone_and_another_process_removes_the_log_later(store, path):
    program = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("SELECT count(*) FROM sessions").fetchone()
print("open", flush=True)
sys.stdin.readline()
c.close()
"""
    with started(program, path) as other:
        read_by_another_library(path)  # the log stays, since the other process uses it, but our locks are gone
        store.append_chat_message(W, "a", message(id="second"))
        other.communicate("end\n")
    store.append_chat_message(W, "a", message(id="third"))
    assert sorted(seen_by_others(path)) == ["a", "first", "second", "third"]


def test_a_second_store_and_a_command_in_the_same_process_see_the_same(store, path):
    with SqliteStorage(path) as other_store:
        read_by_another_library(path)
        other_store.append_chat_message(W, "a", message(id="second"))
        store.append_chat_message(W, "a", message(id="third"))
        read_by_another_library(path)
    with SqliteStorage(path) as third:
        third.append_chat_message(W, "a", message(id="fourth"))
    store.append_chat_message(W, "a", message(id="fifth"))
    assert sorted(seen_by_others(path)) == ["a", "fifth", "first", "fourth", "second", "third"]


def test_a_foreign_connection_that_keeps_the_removed_log_open_is_reported(store, path):
    """The program has a connection of its own by the same library: SQLite would share the removed index with it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("SELECT count(*) FROM sessions").fetchone()
        read_by_another_library(path)
        with raises(ConnectionFailed, "database.log_replaced"):
            store.append_chat_message(W, "a", message(id="second"))
    store.append_chat_message(W, "a", message(id="third"))
    assert sorted(seen_by_others(path)) == ["a", "first", "third"]


def test_the_journal_of_hybrid_mode_is_written_where_others_see_it(folder):
    path = folder / "hybrid.db"
    journal = Journal(path)
    journal.record_intent(WorkspaceRef("a" * 16, W))
    other = apsw.Connection(str(path))
    list(other.execute("SELECT count(*) FROM sqlite_master"))
    other.close()
    journal.record_intent(WorkspaceRef("b" * 16, W))
    tables = in_another_process(path, "print(*(n for (n,) in c.execute('SELECT workspace_hash FROM pending_repairs')))")
    journal.close()
    assert tables == ["a" * 16, "b" * 16]


def test_a_database_that_was_replaced_is_opened_anew(store, path, folder):
    """As when a copy is put in the place of a database, with the files of SQLite next to it."""
    copy = folder / "copy.db"
    with SqliteStorage(copy) as other:
        other.create_session(W, session(id="a", task="of the copy"))
    os.replace(copy, path)
    for suffix in ("-wal", "-shm"):
        os.remove(f"{path}{suffix}")
    store.append_chat_message(W, "a", message(id="second"))
    assert store.get_session(W, "a")["task"] == "of the copy"
    assert len(store._pool._idle) == 1
    store.close()
    assert sorted(seen_by_others(path)) == ["a", "second"]


def test_a_log_that_another_program_removed_is_copied_into_the_database_first(store, path):
    """No library did that, so nothing was copied before; the open connection is the only one that has it."""
    os.remove(f"{path}-wal")
    assert [one["id"] for one in store.get_all_sessions(W)] == ["a"]
    store.append_chat_message(W, "a", message(id="second"))
    assert sorted(seen_by_others(path)) == ["a", "first", "second"]
