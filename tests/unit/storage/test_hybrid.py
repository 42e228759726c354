"""Hybrid mode: errors of the second store never reach the caller, and whatever it lacks is recorded and repaired."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from migrator.documents.document import canonical_bytes, digest
from migrator.errors import ConnectionFailed, SessionNotFound, StorageIOError, TransactionError
from migrator.storage.hybrid.journal import HybridStats, find_damage, read_stats, renew_if_damaged
from migrator.storage.hybrid.locks import Backoff
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.protocol import SessionFilters
from migrator.storage.sqlite import SqliteStorage
from migrator.workspace import workspace_hash
from tests.support.stores import Flaky, data_dir
from tests.support.strategies import instance, message, session

W = "/work/engine"
WRITES = {"create_session", "append_chat_message", "set_instance_status", "update_session", "delete_session"}


class Pair:
    """A hybrid store whose parts can be examined and made to fail separately."""

    def __init__(self, folder):
        self.folder = folder
        self.primary = SqliteStorage(folder / "sessions.db")
        self.secondary = JsonStorage(data_dir(folder))
        self.failing = set()
        self.asked = []
        self.opened = []
        self.store = self.open()

    def open(self, **options):
        store = HybridStorage(
            Flaky(self.primary, lambda name: f"primary {name}" in self.failing),
            Flaky(self.secondary, self.fails),
            self.folder / "hybrid.db",
            **options,
        )
        self.opened.append(store)
        return store

    def fails(self, name):
        self.asked.append(name)
        return name in self.failing or ("writes" in self.failing and name in WRITES | {"replace_workspace"})

    def equal(self):
        return self.secondary.get_all_sessions(W) == self.primary.get_all_sessions(W)


@pytest.fixture
def pair(folder):
    pair = Pair(folder)
    yield pair
    pair.failing.clear()
    for store in pair.opened:
        store.close()
    pair.primary.close()


def test_every_write_goes_to_both(pair):
    store = pair.store
    store.create_session(W, session(instances=[instance()]))
    store.add_chat_message(W, "session-1", message())
    store.append_chat_message(W, "session-1", message())
    store.update_instance_status(W, "session-1", 1, "running")
    store.set_instance_status(W, "session-1", 1, "done")
    assert pair.equal()
    assert len(pair.secondary.get_session(W, "session-1")["chatHistory"]) == 2
    store.update_session(W, session(task="other"))
    assert pair.equal()
    store.delete_session(W, "session-1")
    assert pair.equal()
    assert store.stats() == HybridStats(7, 0, 0, 0, 0)


@pytest.mark.parametrize("failing", sorted(WRITES))
def test_a_failure_of_the_second_store_is_recorded_and_repaired_at_the_next_opening(pair, failing):
    store = pair.store
    store.create_session(W, session(instances=[instance()]))
    pair.failing.add(failing)
    {
        "create_session": lambda: store.create_session(W, session(id="b")),
        "update_session": lambda: store.update_session(W, session(task="other")),
        "delete_session": lambda: store.delete_session(W, "session-1"),
        "append_chat_message": lambda: store.add_chat_message(W, "session-1", message()),
        "set_instance_status": lambda: store.update_instance_status(W, "session-1", 1, "done"),
    }[failing]()
    assert not pair.equal()
    assert store.stats() == HybridStats(2, 1, 1, 0, 0)
    pair.failing.clear()
    again = pair.open()
    again.get_all_sessions("/work/loom")  # any operation will do
    assert pair.equal()
    assert again.stats().pending_repairs == 0


def test_while_a_repair_is_pending_writes_do_not_reach_the_second_store(pair):
    pair.store.create_session(W, session())
    pair.failing.add("writes")
    pair.store.append_chat_message(W, "session-1", message(id="a"))
    pair.failing.clear()
    pair.store.append_chat_message(W, "session-1", message(id="b"))  # too early for another attempt
    assert pair.secondary.get_session(W, "session-1")["chatHistory"] == []
    pair.store.append_chat_message("/work/engine/", "session-1", message(id="c"))
    assert pair.store.stats() == HybridStats(4, 3, 1, 0, 0)
    assert pair.store.repair() == 0
    assert pair.equal()
    pair.store.append_chat_message(W, "session-1", message(id="d"))
    assert pair.equal()
    assert pair.store.stats() == HybridStats(5, 3, 0, 0, 0)


def test_a_repair_is_tried_again_by_itself_after_a_while(pair):
    store = pair.open(backoff=Backoff(first=0))
    store.create_session(W, session())
    pair.failing.add("writes")
    store.append_chat_message(W, "session-1", message())
    pair.failing.clear()
    store.get_session(W, "session-1")
    assert pair.equal()


def test_a_delay_may_end_while_another_thread_looks_at_it(monkeypatch):
    backoff = Backoff(first=60)
    backoff.failed("workspace")
    assert backoff.is_waiting("workspace")
    now = time.monotonic()

    def end_it():
        backoff.succeeded("workspace")
        return now

    monkeypatch.setattr(time, "monotonic", end_it)
    backoff.is_waiting("workspace")
    assert not backoff.is_waiting("workspace")


def test_a_repair_that_fails_leaves_the_workspace_pending_and_raises_nothing(pair):
    pair.store.create_session(W, session())
    pair.failing |= {"writes", "get_all_sessions"}
    pair.store.append_chat_message(W, "session-1", message())
    assert pair.store.repair() == 1
    assert len(pair.store.get_session(W, "session-1")["chatHistory"]) == 1
    assert pair.store.stats().pending_repairs == 1


def test_a_second_store_that_is_damaged_is_not_overwritten_and_stays_pending(pair):
    pair.store.create_session(W, session())
    file = pair.folder / "sessions" / f"{workspace_hash(W)}.json"
    torn = file.read_bytes()[:-20]
    file.write_bytes(torn)
    assert pair.store.get_session(W, "session-1")["id"] == "session-1"
    pair.store.append_chat_message(W, "session-1", message())
    assert (pair.store.repair(), file.read_bytes()) == (1, torn)
    with pytest.raises(StorageIOError):
        pair.secondary.get_all_sessions(W)
    file.unlink()
    assert pair.store.repair() == 0
    assert pair.equal()


def test_an_error_of_the_first_store_is_raised_and_nothing_reaches_the_second(pair):
    pair.store.create_session(W, session())
    pair.asked.clear()
    with pytest.raises(SessionNotFound):
        pair.store.append_chat_message(W, "nobody", message())
    assert (pair.asked, pair.store.stats()) == ([], HybridStats(1, 0, 0, 0, 0))
    pair.failing.add("primary append_chat_message")
    with pytest.raises(ConnectionFailed):
        pair.store.append_chat_message(W, "session-1", message())
    assert not WRITES & set(pair.asked)
    # It is unknown whether the write was made, so the stores are compared and made equal.
    assert pair.store.stats().pending_repairs == 1
    assert pair.store.repair() == 0
    assert pair.equal()


def test_reads_are_compared_and_a_difference_is_recorded_with_both_digests_and_repaired(pair):
    pair.store.create_session(W, session())
    pair.secondary.append_chat_message(W, "session-1", message())
    versions = [part.get_session(W, "session-1") for part in (pair.primary, pair.secondary)]
    digests = [digest(canonical_bytes(version)).hex() for version in versions]
    assert pair.store.get_session(W, "session-1")["chatHistory"] == []
    [difference] = pair.store.differences()
    assert difference.operation == "get_session"
    assert (difference.workspace_path, difference.session_id) == (W, "session-1")
    assert [difference.primary_digest, difference.secondary_digest] == digests
    assert pair.store.stats() == HybridStats(1, 0, 1, 1, 1)
    pair.store.get_session(W, "session-1")
    assert pair.equal()
    assert pair.store.stats() == HybridStats(1, 0, 0, 2, 1)


def test_a_session_that_one_store_lacks_is_a_difference(pair):
    pair.store.create_session(W, session(id="a"))
    pair.primary.create_session(W, session(id="b"))
    pair.store.search_sessions(W, SessionFilters(text="b"))
    [difference] = pair.store.differences()
    assert (difference.session_id, difference.secondary_digest) == ("b", None)
    pair.store.repair()
    pair.secondary.create_session(W, session(id="c"))
    with pytest.raises(SessionNotFound):
        pair.store.get_session(W, "c")
    assert (pair.store.differences()[1].session_id, pair.store.differences()[1].primary_digest) == ("c", None)


def test_every_read_is_compared(pair):
    pair.store.create_session(W, session())
    pair.asked.clear()
    for _ in range(8):
        pair.store.get_session(W, "session-1")
    assert pair.asked.count("get_session") == 8
    assert pair.store.stats().comparisons == 8


def test_a_second_store_that_cannot_be_read_is_a_failure_not_a_difference(pair):
    pair.store.create_session(W, session())
    pair.failing.add("get_session")
    assert pair.store.get_session(W, "session-1")["id"] == "session-1"
    assert pair.store.stats() == HybridStats(1, 1, 1, 0, 0)


def test_what_hybrid_mode_recorded_is_read_without_opening_it(pair):
    assert read_stats(pair.folder / "nothing.db") is None
    pair.store.create_session(W, session())
    pair.store.get_session(W, "session-1")
    pair.store.close()
    assert read_stats(pair.folder / "hybrid.db") == HybridStats(1, 0, 0, 1, 0)


def hurt(journal: Path, how: str) -> None:
    content = journal.read_bytes()
    journal.unlink()
    if how == "folder":
        journal.mkdir()
    elif how == "foreign":
        with closing(sqlite3.connect(journal)) as connection:
            connection.execute("CREATE TABLE pending_repairs (x)")
    else:
        journal.write_bytes(content[: len(content) // 2] if how == "half" else content[:4096] + bytes(4096))


@pytest.mark.parametrize("how", ["half", "page", "folder", "foreign"])
def test_a_damaged_journal_is_renamed_and_every_file_is_written_again(pair, how):
    pair.store.create_session(W, session())
    pair.failing.add("writes")
    pair.store.append_chat_message(W, "session-1", message())  # only the journal knows that the file lacks it
    pair.store.close()
    places = data_dir(pair.folder)
    for _ in range(2):
        hurt(places.hybrid_journal, how)
        renewed = renew_if_damaged(places)
        assert renewed is not None
        assert renewed.code == "hybrid.journal_renewed"
    assert {"hybrid.db.damaged", "hybrid.db.damaged2"} <= {path.name for path in pair.folder.iterdir()}
    assert renew_if_damaged(places) is None
    later = Pair(pair.folder)
    with later.store:
        assert later.store.stats().pending_repairs == 1
        later.store.repair()
        assert later.equal()


def test_an_empty_journal_is_not_damaged(folder):
    places = data_dir(folder)
    assert find_damage(places.hybrid_journal) is None
    places.hybrid_journal.touch()
    assert find_damage(places.hybrid_journal) is None


def test_a_write_that_cannot_be_recorded_is_not_made(pair):
    pair.store.create_session(W, session())
    with closing(sqlite3.connect(pair.folder / "hybrid.db", isolation_level=None)) as other:
        other.execute("DROP TABLE pending_repairs")
    with pytest.raises(TransactionError):
        pair.store.append_chat_message(W, "session-1", message())
    assert pair.primary.get_session(W, "session-1")["chatHistory"] == []


def test_threads_end_with_both_stores_equal(pair):
    pair.store.create_session(W, session())

    def add(name):
        for number in range(10):
            pair.store.append_chat_message(W, "session-1", message(id=f"{name}-{number}"))
            pair.store.get_session(W, "session-1")

    threads = [threading.Thread(target=add, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pair.primary.get_session(W, "session-1")["chatHistory"]) == 30
    assert pair.equal()
    stats = pair.store.stats()
    assert (stats.writes, stats.failures, stats.pending_repairs, stats.differences) == (31, 0, 0, 0)


# The process dies where the second store is asked to write.
DIES = """
import os, signal, sys
from pathlib import Path
from migrator.data_dir import DataDir
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.sqlite import SqliteStorage
root = Path(sys.argv[1])
class Deadly(JsonStorage):
    def append_chat_message(self, *args, **named):
        os.kill(os.getpid(), signal.SIGKILL)
second = Deadly(DataDir(root=root, database=root / "sessions.db"))
with HybridStorage(SqliteStorage(root / "sessions.db"), second, root / "hybrid.db") as store:
    store.append_chat_message("/work/engine", "session-1", {
        "id": "last", "role": "user", "content": "x", "timestamp": "t"})
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_crash_between_the_two_stores_is_known_and_repaired_afterwards(pair):
    pair.store.create_session(W, session())
    died = subprocess.run([sys.executable, "-c", DIES, str(pair.folder)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not pair.equal()
    assert pair.store.stats().pending_repairs == 1
    pair.store.get_session(W, "session-1")
    assert pair.equal()
    assert pair.secondary.get_session(W, "session-1")["chatHistory"][0]["id"] == "last"
    assert pair.store.stats().pending_repairs == 0
