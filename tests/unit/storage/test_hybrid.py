"""Both stores at once: the second one never fails the caller, and whatever it lacks is known and repaired."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from migrator.documents.document import canonical_bytes, digest
from migrator.errors import ConnectionFailed, SessionNotFound, StorageIOError, TransactionError
from migrator.storage.hybrid.journal import HybridStats, read_stats
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


class Trial:
    """A hybrid store whose parts can be looked at, and made to fail, by themselves."""

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
def trial(folder):
    trial = Trial(folder)
    yield trial
    trial.failing.clear()
    for store in trial.opened:
        store.close()
    trial.primary.close()


def test_every_write_goes_to_both(trial):
    store = trial.store
    store.create_session(W, session(instances=[instance()]))
    store.add_chat_message(W, "session-1", message())
    store.append_chat_message(W, "session-1", message())
    store.update_instance_status(W, "session-1", 1, "running")
    store.set_instance_status(W, "session-1", 1, "done")
    assert trial.equal()
    assert len(trial.secondary.get_session(W, "session-1")["chatHistory"]) == 2
    store.update_session(W, session(task="other"))
    assert trial.equal()
    store.delete_session(W, "session-1")
    assert trial.equal()
    assert store.stats() == HybridStats(7, 0, 0, 0, 0)


@pytest.mark.parametrize("failing", sorted(WRITES))
def test_a_failure_of_the_second_store_is_recorded_and_repaired_at_the_next_opening(trial, failing):
    store = trial.store
    store.create_session(W, session(instances=[instance()]))
    trial.failing.add(failing)
    {
        "create_session": lambda: store.create_session(W, session(id="b")),
        "update_session": lambda: store.update_session(W, session(task="other")),
        "delete_session": lambda: store.delete_session(W, "session-1"),
        "append_chat_message": lambda: store.add_chat_message(W, "session-1", message()),
        "set_instance_status": lambda: store.update_instance_status(W, "session-1", 1, "done"),
    }[failing]()
    assert not trial.equal()
    assert store.stats() == HybridStats(2, 1, 1, 0, 0)
    trial.failing.clear()
    again = trial.open()
    again.get_all_sessions("/work/loom")  # any operation will do
    assert trial.equal()
    assert again.stats().pending_repairs == 0


def test_while_a_workspace_waits_for_repair_its_writes_keep_out_of_the_second_store(trial):
    trial.store.create_session(W, session())
    trial.failing.add("writes")
    trial.store.append_chat_message(W, "session-1", message(id="a"))
    trial.failing.clear()
    trial.store.append_chat_message(W, "session-1", message(id="b"))  # too early for another attempt
    assert trial.secondary.get_session(W, "session-1")["chatHistory"] == []
    trial.store.append_chat_message("/work/engine/", "session-1", message(id="c"))
    assert trial.store.stats() == HybridStats(4, 3, 1, 0, 0)
    assert trial.store.repair() == 0
    assert trial.equal()
    trial.store.append_chat_message(W, "session-1", message(id="d"))
    assert trial.equal()
    assert trial.store.stats() == HybridStats(5, 3, 0, 0, 0)


def test_a_repair_is_tried_again_by_itself_after_a_while(trial):
    store = trial.open(backoff=Backoff(first=0))
    store.create_session(W, session())
    trial.failing.add("writes")
    store.append_chat_message(W, "session-1", message())
    trial.failing.clear()
    store.get_session(W, "session-1")
    assert trial.equal()


def test_a_repair_that_fails_leaves_the_workspace_pending_and_hurts_no_caller(trial):
    trial.store.create_session(W, session())
    trial.failing |= {"writes", "get_all_sessions"}
    trial.store.append_chat_message(W, "session-1", message())
    assert trial.store.repair() == 1
    assert len(trial.store.get_session(W, "session-1")["chatHistory"]) == 1
    assert trial.store.stats().pending_repairs == 1


def test_a_second_store_that_is_damaged_is_not_overwritten_and_stays_pending(trial):
    trial.store.create_session(W, session())
    file = trial.folder / "sessions" / f"{workspace_hash(W)}.json"
    torn = file.read_bytes()[:-20]
    file.write_bytes(torn)
    assert trial.store.get_session(W, "session-1")["id"] == "session-1"
    trial.store.append_chat_message(W, "session-1", message())
    assert (trial.store.repair(), file.read_bytes()) == (1, torn)
    with pytest.raises(StorageIOError):
        trial.secondary.get_all_sessions(W)
    file.unlink()
    assert trial.store.repair() == 0
    assert trial.equal()


def test_an_error_of_the_first_store_is_raised_and_nothing_reaches_the_second(trial):
    trial.store.create_session(W, session())
    trial.asked.clear()
    with pytest.raises(SessionNotFound):
        trial.store.append_chat_message(W, "nobody", message())
    assert (trial.asked, trial.store.stats()) == ([], HybridStats(1, 0, 0, 0, 0))
    trial.failing.add("primary append_chat_message")
    with pytest.raises(ConnectionFailed):
        trial.store.append_chat_message(W, "session-1", message())
    assert not WRITES & set(trial.asked)
    # How far it came nobody knows: the stores are compared, and made equal, all the same.
    assert trial.store.stats().pending_repairs == 1
    assert trial.store.repair() == 0
    assert trial.equal()


def test_reads_are_compared_and_a_difference_is_recorded_with_both_digests_and_repaired(trial):
    trial.store.create_session(W, session())
    trial.secondary.append_chat_message(W, "session-1", message())
    versions = [part.get_session(W, "session-1") for part in (trial.primary, trial.secondary)]
    digests = [digest(canonical_bytes(version)).hex() for version in versions]
    assert trial.store.get_session(W, "session-1")["chatHistory"] == []
    [difference] = trial.store.differences()
    assert difference.operation == "get_session"
    assert (difference.workspace_path, difference.session_id) == (W, "session-1")
    assert [difference.primary_digest, difference.secondary_digest] == digests
    assert trial.store.stats() == HybridStats(1, 0, 1, 1, 1)
    trial.store.get_session(W, "session-1")
    assert trial.equal()
    assert trial.store.stats() == HybridStats(1, 0, 0, 2, 1)


def test_a_session_that_one_store_lacks_is_a_difference(trial):
    trial.store.create_session(W, session(id="a"))
    trial.primary.create_session(W, session(id="b"))
    trial.store.search_sessions(W, SessionFilters(text="b"))
    [difference] = trial.store.differences()
    assert (difference.session_id, difference.secondary_digest) == ("b", None)
    trial.store.repair()
    trial.secondary.create_session(W, session(id="c"))
    with pytest.raises(SessionNotFound):
        trial.store.get_session(W, "c")
    assert (trial.store.differences()[1].session_id, trial.store.differences()[1].primary_digest) == ("c", None)


def test_every_read_is_compared(trial):
    trial.store.create_session(W, session())
    trial.asked.clear()
    for _ in range(8):
        trial.store.get_session(W, "session-1")
    assert trial.asked.count("get_session") == 8
    assert trial.store.stats().comparisons == 8


def test_a_second_store_that_cannot_be_read_is_a_failure_and_no_difference(trial):
    trial.store.create_session(W, session())
    trial.failing.add("get_session")
    assert trial.store.get_session(W, "session-1")["id"] == "session-1"
    assert trial.store.stats() == HybridStats(1, 1, 1, 0, 0)


def test_what_a_trial_recorded_is_read_without_opening_it(trial):
    assert read_stats(trial.folder / "nothing.db") is None
    trial.store.create_session(W, session())
    trial.store.get_session(W, "session-1")
    trial.store.close()
    assert read_stats(trial.folder / "hybrid.db") == HybridStats(1, 0, 0, 1, 0)


def test_a_write_that_cannot_be_recorded_is_not_made(trial):
    trial.store.create_session(W, session())
    with closing(sqlite3.connect(trial.folder / "hybrid.db", isolation_level=None)) as other:
        other.execute("DROP TABLE pending_repairs")
    with pytest.raises(TransactionError):
        trial.store.append_chat_message(W, "session-1", message())
    assert trial.primary.get_session(W, "session-1")["chatHistory"] == []


def test_threads_end_with_both_stores_equal(trial):
    trial.store.create_session(W, session())

    def add(name):
        for number in range(10):
            trial.store.append_chat_message(W, "session-1", message(id=f"{name}-{number}"))
            trial.store.get_session(W, "session-1")

    threads = [threading.Thread(target=add, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trial.primary.get_session(W, "session-1")["chatHistory"]) == 30
    assert trial.equal()
    stats = trial.store.stats()
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
def test_a_crash_between_the_two_stores_is_known_and_repaired_afterwards(trial):
    trial.store.create_session(W, session())
    died = subprocess.run([sys.executable, "-c", DIES, str(trial.folder)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not trial.equal()
    assert trial.store.stats().pending_repairs == 1
    trial.store.get_session(W, "session-1")
    assert trial.equal()
    assert trial.secondary.get_session(W, "session-1")["chatHistory"][0]["id"] == "last"
    assert trial.store.stats().pending_repairs == 0
