"""The SQLite store's own behaviour: rows that the desktop app wrote, statements, threads, processes, the pool."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from migrator.database import schema
from migrator.database.pool import ConnectionPool
from migrator.errors import (
    ConnectionFailed,
    MigratorError,
    SchemaError,
    SessionChanged,
    SessionNotFound,
    TransactionError,
)
from migrator.storage.protocol import SessionFilters
from migrator.storage.sqlite import SqliteStorage
from migrator.workspace import workspace_hash
from tests.support.errors import raises
from tests.support.strategies import instance, message, session

W = "/work/engine"


@pytest.fixture
def path(folder):
    return folder / "sessions.db"


@pytest.fixture
def store(path):
    with SqliteStorage(path) as store:
        yield store


@pytest.fixture
def plain(path):
    """A connection independent of the store, like the desktop app's."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def ids(documents):
    return [document["id"] for document in documents]


def app_adds_message(plain, name, session_id="session-1"):
    plain.execute(
        "INSERT INTO chat_messages (id, session_id, role, content, timestamp) VALUES (?, ?, 'user', 'hi', 't')",
        (name, session_id),
    )


def app_adds_session(plain, name):
    plain.execute(
        """INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)
           VALUES (?, (SELECT id FROM workspaces WHERE workspace_hash = ?), 'debate', 't', 'running', 'c', 'u')""",
        (name, workspace_hash(W)),
    )


# What the app wrote.


def test_a_message_goes_after_those_that_the_app_inserted(store, plain):
    store.create_session(W, session(chatHistory=[message(id="first")]))
    app_adds_message(plain, "by-the-app")
    store.append_chat_message(W, "session-1", message(id="ours"))
    app_adds_message(plain, "by-the-app-again")
    store.append_chat_message(W, "session-1", message(id="ours"))
    store.append_chat_message(W, "session-1", message(id=""))
    store.append_chat_message(W, "session-1", message(id=""))
    found = store.get_session(W, "session-1")["chatHistory"]
    assert ids(found) == ["first", "by-the-app", "ours", "by-the-app-again", "ours", "", ""]


def test_a_session_goes_after_those_that_the_app_inserted(store, plain):
    store.create_session(W, session(id="first"))
    app_adds_session(plain, "by-the-app")
    store.create_session(W, session(id="ours"))
    app_adds_session(plain, "by-the-app-again")
    assert ids(store.get_all_sessions(W)) == ["first", "by-the-app", "ours", "by-the-app-again"]


def test_a_session_that_the_app_inserted_keeps_its_place_when_it_is_updated(store, plain):
    store.create_session(W, session(id="first"))
    app_adds_session(plain, "a")
    app_adds_session(plain, "b")
    store.update_session(W, session(id="a", chatHistory=[message()]))
    assert ids(store.get_all_sessions(W)) == ["first", "a", "b"]
    app_adds_message(plain, "m", "a")
    assert ids(store.get_session(W, "a")["chatHistory"]) == ["msg-1", "m"]


def test_pages_go_on_through_the_sessions_that_the_app_inserted(store, plain):
    store.create_sessions(W, [session(id=name) for name in "abc"])
    for name in "def":
        app_adds_session(plain, name)
    plain.execute("UPDATE sessions SET position = 0")  # as another program may leave them: then the rowid decides
    plain.execute("UPDATE sessions SET position = NULL WHERE id IN ('d', 'e', 'f')")
    seen, after = [], None
    while page := store.list_sessions(W, after=after, limit=2):
        seen += [row.id for row in page]
        after = page[-1].cursor
        plain.execute("DELETE FROM sessions WHERE id = ?", (page[-1].id,))
    assert seen == [*"abcdef"]
    assert [document["id"] for document in store.iter_sessions(W)] == ["a", "c", "e"]


def test_the_ordinal_is_that_of_the_documents_and_not_of_their_keys(store, plain):
    """The first session has a derived key if its id was taken in another workspace."""
    store.create_session("/work/loom", session())
    store.create_session(W, session(task="first"))
    store.delete_session("/work/loom", "session-1")
    store.replace_workspace(W, [session(task="first"), session(task="second"), session(id="x")])
    keys = [key for (key,) in plain.execute("SELECT id FROM sessions ORDER BY position")]
    assert keys[0].startswith("session-1#")
    assert keys[1] == "session-1"
    [first, second, _] = store.list_sessions(W)
    assert (first.ordinal, second.ordinal) == (0, 1)
    assert store.list_sessions(W, after=first.cursor, limit=1) == [second]
    assert store.list_sessions(W, SessionFilters(text="FIRST")) == [first]
    assert [store.get_session(W, row.id, ordinal=row.ordinal)["task"] for row in (first, second)] == ["first", "second"]


def test_of_updates_that_expect_the_same_document_one_succeeds(store):
    store.create_session(W, session(totalFilesChanged=0))

    def count(_: int) -> None:
        while True:
            before = store.get_session(W, "session-1")
            after = {**before, "totalFilesChanged": before["totalFilesChanged"] + 1}
            with suppress(SessionChanged):
                store.update_session(W, after, expected=before)
                return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(12)))
    assert store.get_session(W, "session-1")["totalFilesChanged"] == 12


def test_a_status_that_the_app_sets_counts_and_is_searched_for(store, plain):
    store.create_session(W, session(type="debate", status="round_2"))
    plain.execute("UPDATE sessions SET status = 'completed'")
    assert ids(store.search_sessions(W, SessionFilters(status="completed"))) == ["session-1"]
    assert store.search_sessions(W, SessionFilters(status="round_2")) == []


def test_a_list_shows_the_own_values_whatever_the_runtimes_are_called(store):
    store.create_session(W, session(task="", runtimeMix=["a],[b]]}"] * 2))
    assert [each.task for each in store.list_sessions(W)] == [""]


def test_an_updated_session_keeps_its_key_position_and_source(store, plain):
    for name in "ab":
        store.create_session(W, session(id=name, instances=[instance(), instance()], runtimeMix=["x", "y"]))
    plain.execute(
        """INSERT INTO migration_ledger (id, source, status, size, mtime_ns, inode, created_at, updated_at)
           VALUES (7, 'sessions/x.json', 'migrated', 0, 0, 0, '', '')"""
    )
    plain.execute("UPDATE sessions SET source_id = 7, position = 5 WHERE id = 'a'")
    store.update_session(W, session(id="a", runtimeMix=["z"], chatHistory=[message()]))
    assert plain.execute("SELECT id, position, source_id FROM sessions ORDER BY rowid").fetchall() == [
        ("a", 5, 7),
        ("b", 1, None),
    ]
    assert plain.execute("SELECT count(*) FROM instances WHERE session_id = 'a'").fetchone() == (0,)
    assert plain.execute("SELECT runtime FROM session_runtime_mix WHERE session_id = 'a'").fetchall() == [("z",)]


def test_deleting_leaves_no_rows_behind(store, plain):
    store.create_session(W, session(instances=[instance()], chatHistory=[message()], runtimeMix=["x"]))
    store.delete_session(W, "session-1")
    for table in ("sessions", "instances", "chat_messages", "session_runtime_mix"):
        assert plain.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_new_session_does_not_take_the_place_of_a_quarantined_item(store, plain):
    store.create_session(W, session(id="a"))
    plain.execute(
        """INSERT INTO quarantine (workspace_hash, position, reason, raw, problems, created_at)
           VALUES (?, 8, 'invalid', '{}', '[]', '')""",
        (workspace_hash(W),),
    )
    store.create_session(W, session(id="b"))
    assert plain.execute("SELECT id, position FROM sessions ORDER BY id").fetchall() == [("a", 0), ("b", 9)]


# Workspaces.


def test_a_placeholder_gets_its_real_path_at_the_first_access(store, plain, tmp_path):
    name = workspace_hash(tmp_path)
    plain.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)", (f"unknown:{name}", name))
    store.get_all_sessions(f"unknown:{name}")
    assert plain.execute("SELECT workspace_path FROM workspaces").fetchone() == (f"unknown:{name}",)
    store.get_all_sessions(f"{tmp_path}/")
    assert plain.execute("SELECT workspace_path FROM workspaces").fetchone() == (str(tmp_path.resolve()),)


def test_a_reader_without_write_permission_for_the_path_can_read(path, plain, tmp_path):
    name = workspace_hash(tmp_path)
    plain.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)", (f"unknown:{name}", name))
    with SqliteStorage(path, busy_timeout=0.05) as store:
        plain.execute("BEGIN IMMEDIATE")
        assert store.get_all_sessions(str(tmp_path)) == []


def test_writing_sets_when_the_workspace_was_last_accessed_and_reading_does_not(store, plain):
    store.create_session(W, session())
    plain.execute("UPDATE workspaces SET last_accessed_at = 'long ago'")
    store.get_session(W, "session-1")
    assert plain.execute("SELECT last_accessed_at FROM workspaces").fetchone() == ("long ago",)
    store.append_chat_message(W, "session-1", message())
    assert plain.execute("SELECT last_accessed_at = datetime('now') FROM workspaces").fetchone()[0] in (0, 1)
    assert plain.execute("SELECT last_accessed_at FROM workspaces").fetchone() != ("long ago",)


# Statements.


@pytest.fixture
def statements(store):
    """The statements that the store ran since the list was last cleared."""
    seen: list[str] = []
    with store._pool.connection() as connection:
        connection.set_trace_callback(seen.append)
    return seen


def reading(statements):
    return [statement for statement in statements if statement.lstrip().startswith("SELECT")]


def test_reading_takes_as_many_statements_for_many_sessions_as_for_one(store, statements):
    counts: dict[str, set[int]] = {}
    for number in range(20):
        store.create_session(W, session(id=f"s{number}", instances=[instance()], chatHistory=[message(), message()]))
        for name, read in (
            ("all", lambda: store.get_all_sessions(W)),
            ("search", lambda: store.search_sessions(W, SessionFilters(status="running", text="w"))),
        ):
            statements.clear()
            read()
            counts.setdefault(name, set()).add(len(reading(statements)))
    assert counts == {"all": {5}, "search": {7}}


def test_lists_of_several_workspaces_are_of_one_moment(store):
    for name in (W, "/b"):
        store.create_session(name, session())
    lists = store.list_each([W, "/none", "/b"], SessionFilters(status="running"))
    first = next(lists)
    store.create_session("/b", session(id="later"))
    assert [[one.id for one in each] for each in (first, *lists)] == [["session-1"], [], ["session-1"]]
    assert [*store.list_each([W])] == [store.list_sessions(W)]


def test_the_returned_document_is_read_back_in_four_statements(store, statements):
    store.create_session(W, session(chatHistory=[message()]))
    statements.clear()
    store.append_chat_message(W, "session-1", message())
    without = len(statements)
    statements.clear()
    store.add_chat_message(W, "session-1", message())
    assert len(statements) == without + 4


def test_adding_a_message_reads_no_more_of_a_long_session_than_of_a_short_one(store, path):
    """Counted in steps of SQLite's virtual machine, which are the same on every computer."""
    work = {}
    for length in (10, 3000):
        name = f"s{length}"
        messages = [message(id=f"{name}-{number}") for number in range(length)]
        store.create_session(W, session(id=name, instances=[instance()], chatHistory=messages))
        steps: list[int] = []
        with store._pool.connection() as connection:
            connection.set_progress_handler(lambda steps=steps: steps.append(1), 1)
        store.append_chat_message(W, name, message(id=f"{name}-new"))
        store.set_instance_status(W, name, 1, "done")
        with store._pool.connection() as connection:
            connection.set_progress_handler(None, 0)
        work[length] = len(steps)
    assert work[3000] <= work[10] * 1.1


# Many at once.


def test_threads_lose_no_message_and_never_find_the_database_locked(store):
    store.create_session(W, session(instances=[instance()]))

    def work(name):
        for number in range(25):
            store.append_chat_message(W, "session-1", message(id=f"{name}-{number}"))
            store.set_instance_status(W, "session-1", 1, name)
            assert store.get_session(W, "session-1")["id"] == "session-1"

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, "abcdefgh"))
    found = ids(store.get_session(W, "session-1")["chatHistory"])
    assert len(found) == 200
    for name in "abcdefgh":
        assert [key for key in found if key.startswith(name)] == [f"{name}-{number}" for number in range(25)]


WRITER = """
import sys, threading
from migrator.storage.sqlite import SqliteStorage
with SqliteStorage(sys.argv[1]) as store:
    def work(thread):
        for number in range(25):
            store.append_chat_message("/work/engine", "session-1", {
                "id": f"{sys.argv[2]}-{thread}-{number}", "role": "user", "content": "x", "timestamp": "t"})
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_processes_lose_no_message_and_never_find_the_database_locked(store, path):
    store.create_session(W, session())
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    assert [writer.communicate()[1] for writer in writers] == [b"", b"", b""]
    found = ids(store.get_session(W, "session-1")["chatHistory"])
    assert len(found) == len(set(found)) == 225
    for process in range(3):
        for thread in range(3):
            order = [key for key in found if key.startswith(f"{process}-{thread}-")]
            assert order == [f"{process}-{thread}-{number}" for number in range(25)]


OPENER = """
import sys, time
from migrator.storage.sqlite import SqliteStorage
while time.time() < float(sys.argv[3]):
    pass
with SqliteStorage(sys.argv[1]) as store:
    store.create_session("/work/engine", {
        "id": sys.argv[2], "type": "debate", "task": "t", "status": "running", "createdAt": "c", "updatedAt": "u",
        "instances": [], "chatHistory": []})
"""


def test_processes_that_open_a_new_database_at_once_all_get_it(tmp_path):
    path = tmp_path / "new" / "sessions.db"
    start = str(time.time() + 1)
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER, str(path), name, start], stderr=subprocess.PIPE)
        for name in "abcd"
    ]
    assert [opener.communicate()[1] for opener in openers] == [b""] * 4
    with SqliteStorage(path) as store:
        assert sorted(ids(store.get_all_sessions(W))) == ["a", "b", "c", "d"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_gets_connections_of_its_own(store):
    store.create_session(W, session())
    child = os.fork()
    if not child:
        status = 1
        try:
            store.append_chat_message(W, "session-1", message(id="child"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    store.append_chat_message(W, "session-1", message(id="parent"))
    assert ids(store.get_session(W, "session-1")["chatHistory"]) == ["child", "parent"]


def test_a_reader_sees_one_state_while_others_write(store):
    store.create_session(W, session(id="a"))
    stop = threading.Event()

    def change():
        while not stop.is_set():
            store.delete_session(W, "a")
            store.create_session(W, session(id="a", instances=[instance()], chatHistory=[message()]))

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(100):
            for found in store.get_all_sessions(W):
                assert len(found["instances"]) == len(found["chatHistory"])
    finally:
        stop.set()
        writer.join()


# Errors.


def test_a_database_that_stays_locked_is_a_failed_connection(path, plain):
    with SqliteStorage(path, busy_timeout=0.05) as store:
        store.create_session(W, session())
        plain.execute("BEGIN IMMEDIATE")
        with raises(ConnectionFailed, "database.locked"):
            store.append_chat_message(W, "session-1", message())
        assert store.get_session(W, "session-1")["chatHistory"] == []
        plain.execute("ROLLBACK")
        store.append_chat_message(W, "session-1", message())


def test_a_statement_that_fails_is_translated_and_rolled_back(store, plain):
    store.create_session(W, session())
    plain.execute("CREATE TRIGGER no BEFORE INSERT ON chat_messages BEGIN SELECT raise(ABORT, 'not today'); END")
    with raises(TransactionError, "transaction.failed"):
        store.append_chat_message(W, "session-1", message())
    plain.execute("DROP TRIGGER no")
    assert store.get_session(W, "session-1")["updatedAt"] == session()["updatedAt"]
    store.append_chat_message(W, "session-1", message())


def test_a_failed_creation_leaves_no_workspace_behind(store, plain):
    plain.execute("CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'not today'); END")
    with pytest.raises(TransactionError):
        store.create_session(W, session())
    assert plain.execute("SELECT count(*) FROM workspaces").fetchone() == (0,)


@pytest.mark.parametrize("content", [b"this is not a database at all, however long one looks at it" * 20])
def test_a_file_that_is_not_a_database_is_refused_at_once(tmp_path, content):
    path = tmp_path / "sessions.db"
    path.write_bytes(content)
    with raises(ConnectionFailed, "database.not_a_database"):
        SqliteStorage(path)
    assert path.read_bytes() == content


def test_a_database_of_a_newer_program_is_refused_at_once(path, plain):
    plain.execute("UPDATE migration_metadata SET schema_version = 99")
    with pytest.raises(SchemaError):
        SqliteStorage(path)


def test_the_database_that_the_app_made_gets_the_steps_it_lacks(tmp_path):
    path = tmp_path / "sessions.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.steps()[0].up.read_text(encoding="utf-8"))
    with SqliteStorage(path) as store:
        store.create_session(W, session())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT schema_version FROM migration_metadata").fetchone() == (
            schema.latest_version(),
        )


def test_damage_is_reported_and_no_foreign_exception_is_raised(path):
    with SqliteStorage(path) as store:
        for number in range(50):
            store.create_session(W, session(id=f"s{number}", chatHistory=[message(content="x" * 500)]))
    damaged = bytearray(path.read_bytes())
    for place in range(4096, len(damaged), 7):
        damaged[place] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(MigratorError), SqliteStorage(path) as store:
        store.get_all_sessions(W)


# The settings and the pool.


def test_the_settings_are_the_apps(path):
    with (
        SqliteStorage(path, cache_size=-4096, mmap_size=1 << 20) as store,
        store._pool.connection() as connection,
    ):
        values = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "cache_size", "mmap_size")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "cache_size": -4096,
        "mmap_size": 1 << 20,
    }


def test_a_pool_makes_connections_as_they_are_needed_and_no_more_than_its_size():
    made = []

    def connect():
        made.append(sqlite3.connect(":memory:", check_same_thread=False))
        return made[-1]

    pool = ConnectionPool(connect, size=2, acquire_timeout=0.05)
    with pool.connection() as first:
        pass
    with pool.connection() as again:
        assert again is first
        with pool.connection() as second:
            assert second is not first
            with raises(ConnectionFailed, "store.busy"), pool.connection():
                pass
    assert len(made) == 2
    pool.close()
    with raises(ConnectionFailed, "store.closed"), pool.connection():
        pass
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")


def test_a_connection_that_cannot_be_opened_frees_its_slot():
    attempts = []

    def connect():
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionFailed("not yet", code="database.cannot_open")
        return sqlite3.connect(":memory:")

    pool = ConnectionPool(connect, size=1, acquire_timeout=0.05)
    with raises(ConnectionFailed, "database.cannot_open"), pool.connection():
        pass
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    pool.close()


def test_a_connection_comes_back_without_a_transaction_and_is_closed_if_the_pool_is():
    pool = ConnectionPool(lambda: sqlite3.connect(":memory:", isolation_level=None), size=1, acquire_timeout=0.05)
    with pool.connection() as connection:
        connection.execute("BEGIN")
    with pool.connection() as connection:
        assert not connection.in_transaction
        pool.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_stores_in_memory_share_nothing():
    with SqliteStorage(":memory:") as one, SqliteStorage(":memory:") as other:
        one.create_session(W, session())
        assert other.get_all_sessions(W) == []


def test_replacing_a_workspace_does_not_write_equal_sessions(store, plain):
    for name in "abc":
        store.create_session(W, session(id=name, chatHistory=[message()]))
    rows = "SELECT rowid, id FROM chat_messages WHERE session_id <> 'b' ORDER BY rowid"
    before = plain.execute(rows).fetchall()
    wanted = [
        session(id="a", chatHistory=[message()]),
        session(id="b", task="new"),
        session(id="c", chatHistory=[message()]),
    ]
    store.replace_workspace(W, wanted)
    assert plain.execute(rows).fetchall() == before
    store.replace_workspace(W, [wanted[2], wanted[0], wanted[0]])
    assert ids(store.get_all_sessions(W)) == ["c", "a", "a"]
    store.replace_workspace(W, [])
    with pytest.raises(SessionNotFound):
        store.get_session(W, "a")


def test_the_stored_json_is_what_a_plain_reader_expects(store, plain):
    store.create_session(W, session(status="round_2", later={"x": 1}))
    [row] = plain.execute("SELECT status, rescued_data FROM sessions").fetchall()
    assert row[0] == "running"
    assert json.loads(row[1]) == {"columns": {"status": ["running", "round_2"]}, "members": {"later": {"x": 1}}}


def test_the_file_and_its_folder_are_private(tmp_path):
    path: Path = tmp_path / "data" / "sessions.db"
    SqliteStorage(path).close()
    if os.name != "nt":
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
