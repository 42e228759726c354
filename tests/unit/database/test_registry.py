"""What crosses a fork and what does not. Whole situations are in tests/torture/forks.py."""

import json
import os
import sqlite3
from contextlib import closing

import pytest

import migrator
from migrator.database import registry
from migrator.database.connection import connect, connect_read_only, opened
from migrator.errors import ConnectionFailed
from migrator.storage.sqlite import SqliteStorage
from migrator.workspace import workspace_hash
from tests.support.errors import raises
from tests.support.strategies import session
from tests.torture.forks import fork, wait

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
W = "/work/engine"


@pytest.fixture
def path(folder):
    path = folder / "sessions.db"
    SqliteStorage(path).close()
    return path


def refused(path):
    with raises(ConnectionFailed, "database.in_use_at_fork"):
        connect(path)


def test_a_connection_that_this_thread_uses_is_of_no_use_to_the_child(path, tmp_path):
    with opened(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE migration_metadata SET migration_status = 'failed'")

        def child():
            refused(path)
            for statement in ("COMMIT", "ROLLBACK", "SELECT 1"):
                with pytest.raises(sqlite3.DatabaseError):
                    connection.execute(statement)
            connection.close()
            wait(fork(lambda: refused(path)))
            SqliteStorage(tmp_path / "another.db").close()

        wait(fork(child))
        connection.execute("COMMIT")
    wait(fork(lambda: SqliteStorage(path).close()))
    with opened(path) as connection:
        assert connection.execute("SELECT migration_status FROM migration_metadata").fetchone() == ("failed",)


def test_a_connection_for_looking_counts_as_well(path):
    with closing(connect_read_only(path)) as connection:  # as those of browse
        connection.execute("SELECT 1").fetchone()
        wait(fork(lambda: refused(path)))


def test_a_child_of_a_run_that_builds_the_search_index_is_refused(tmp_path):
    (tmp_path / "sessions").mkdir()
    source = tmp_path / "sessions" / f"{workspace_hash(W)}.json"
    source.write_text(json.dumps([session()]), encoding="utf-8")
    seen: list[object] = []

    def listen(event):
        if event.phase == "search_index" and not seen:
            seen.append(event)
            wait(fork(lambda: refused(tmp_path / "sessions.db")))

    assert migrator.migrate(tmp_path, progress=listen).exit_code == 0
    assert seen


def test_a_store_in_memory_is_copied(path):
    with SqliteStorage(":memory:") as store:
        store.create_session(W, session(id="a"))

        def child():
            store.create_session(W, session(id="b"))
            assert [one["id"] for one in store.get_all_sessions(W)] == ["a", "b"]

        wait(fork(child))
        assert [one["id"] for one in store.get_all_sessions(W)] == ["a"]


def test_a_store_that_was_closed_stays_closed_in_the_child(path):
    store = SqliteStorage(path)
    store.close()

    def child():
        with raises(ConnectionFailed, "store.closed"):
            store.get_all_sessions(W)

    wait(fork(child))


def test_a_database_is_released_before_its_bytes_are_read(path):
    with SqliteStorage(path) as store:
        store.create_session(W, session())
        assert registry.release(path)
        assert not os.path.exists(f"{path}-wal")
        assert len(store.get_all_sessions(W)) == 1
        with store._pool.connection():
            assert not registry.release(path)
