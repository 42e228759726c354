"""The JSON store writes the app's files and bytes, but atomically and locked, and an error is never an empty result."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from migrator.errors import ConnectionFailed, MigratorError, StorageIOError, ValidationError
from migrator.files import durable
from migrator.storage.json_files import JsonStorage
from migrator.workspace import workspace_hash
from tests.support.errors import raises
from tests.support.stores import data_dir, normal
from tests.support.strategies import instance, message, session

W = "/work/engine"
NAME = f"{workspace_hash(W)}.json"


@pytest.fixture
def store(tmp_path):
    return JsonStorage(data_dir(tmp_path), lock_timeout=0.2)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions" / NAME


def app_bytes(*documents):
    """The file that the app writes for these sessions."""
    return json.dumps([normal(document) for document in documents], indent=2, ensure_ascii=False).encode()


def test_the_bytes_are_those_that_the_app_writes(store, tmp_path):
    talk = '\x1b[31mrot\x00\b\t\n\f\r\x1f \x7f 日本 🎉 / \\ "'
    given = session(
        instances=[instance(output=talk)],
        chatHistory=[message(content=talk)],
        runtimeMix=[],
        totalDuration=(1 << 64) - 1,
    )
    store.create_session(W, given)
    file = tmp_path / "sessions" / NAME
    assert file.read_bytes() == app_bytes(given)
    store.create_session(W, session(id="b"))
    assert file.read_bytes() == app_bytes(given, session(id="b"))
    store.delete_session(W, "session-1")
    store.delete_session(W, "b")
    assert file.read_bytes() == b"[]"


def test_a_change_leaves_the_other_sessions_of_the_apps_file_as_they_were(store, file):
    others = [session(id=name, chatHistory=[message()], later={"z": 1, "a": None}) for name in "ab"]
    file.write_bytes(app_bytes(others[0], session(), others[1]))
    changed = store.update_instance_status
    with pytest.raises(MigratorError):
        changed(W, "session-1", 1, "done")
    added = store.add_chat_message(W, "session-1", message())
    assert file.read_bytes() == app_bytes(others[0], added, others[1])


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xef\xbb\xbf", b"[]"])
def test_an_empty_file_has_no_sessions_and_can_be_written(store, file, content):
    file.write_bytes(content)
    assert store.get_all_sessions(W) == []
    store.create_session(W, session())
    assert file.read_bytes() == app_bytes(session())


@pytest.mark.parametrize(
    ("content", "error", "about"),
    [
        (b"{}", StorageIOError, "source"),
        (b"sessions", StorageIOError, "source"),
        (app_bytes(session())[:-9], StorageIOError, "source"),
        (app_bytes(session()) + b"x", StorageIOError, "source"),
        (b'[{"id": "a"}]', ValidationError, "session"),
        (app_bytes(session(), session(status=7)), ValidationError, "session"),
        (b'[{"id": "a", "id": "b"}]', ValidationError, "session"),
        (b"[null]", ValidationError, "session"),
    ],
)
def test_an_invalid_file_is_an_error_and_stays_unchanged(store, file, content, error, about):
    file.write_bytes(content)
    operations = [
        lambda: store.get_all_sessions(W),
        lambda: store.get_session(W, "session-1"),
        lambda: store.create_session(W, session(id="new")),
        lambda: store.delete_session(W, "session-1"),
        lambda: store.replace_workspace(W, []),
    ]
    for operation in operations:
        with pytest.raises(error) as raised:
            operation()
        assert raised.value.code.partition(".")[0] == about
        assert NAME in raised.value.message
    assert file.read_bytes() == content


def test_the_problems_of_a_bad_element_point_into_the_file(store, file):
    file.write_bytes(app_bytes(session(), session(status=7)))
    with pytest.raises(ValidationError) as raised:
        store.get_all_sessions(W)
    assert [problem.pointer for problem in raised.value.problems] == ["/1/status"]


def test_a_file_that_cannot_be_read_is_an_error(store, file):
    file.mkdir()
    with pytest.raises(StorageIOError):
        store.get_all_sessions(W)


def test_a_write_that_fails_leaves_the_old_file_complete(store, file, monkeypatch):
    store.create_session(W, session())
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(StorageIOError):
            store.create_session(W, session(id="b"))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [NAME]
    store.create_session(W, session(id="b"))


def test_a_link_stays_a_link_and_its_target_is_written(store, file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real = elsewhere / "history.json"
    real.write_bytes(app_bytes(session()))
    file.symlink_to(real)
    store.create_session(W, session(id="b"))
    assert file.is_symlink()
    assert real.read_bytes() == app_bytes(session(), session(id="b"))
    real.unlink()
    store.create_session(W, session(id="c"))
    assert real.read_bytes() == app_bytes(session(id="c"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(store, tmp_path):
    (tmp_path / "sessions").mkdir()
    os.mkfifo(tmp_path / "sessions" / NAME)
    for call in (store.get_all_sessions, store.list_sessions, lambda path: store.create_session(path, session())):
        with pytest.raises(StorageIOError):
            call(W)
    assert [found.sessions for found in store.list_workspaces()] == [None]


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_an_empty_list(tmp_path):
    (tmp_path / "sessions").write_text("a file in its place")
    with pytest.raises(StorageIOError):
        JsonStorage(data_dir(tmp_path)).list_workspaces()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_files_and_folders_are_private_and_nothing_else_is_next_to_the_sessions(store, tmp_path):
    store.create_session(W, session())
    file = tmp_path / "sessions" / NAME
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == [NAME]


def test_a_workspace_that_another_program_changes_is_an_error_after_a_wait(store, tmp_path):
    store.create_session(W, session())
    lock = FileLock(tmp_path / "locks" / f"{workspace_hash(W)}.lock")
    with lock, raises(ConnectionFailed, "workspace.locked"):
        store.create_session(W, session(id="b"))
    store.create_session(W, session(id="b"))
    with FileLock(tmp_path / "locks" / f"{workspace_hash('/work/loom')}.lock"):
        store.create_session(W, session(id="c"))


def test_threads_lose_nothing_of_each_other(tmp_path):
    store = JsonStorage(data_dir(tmp_path), lock_timeout=30)
    store.create_session(W, session())

    def add(name: str) -> None:
        for number in range(10):
            store.append_chat_message(W, "session-1", message(id=f"{name}-{number}"))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({m["id"] for m in store.get_session(W, "session-1")["chatHistory"]}) == 40


WRITER = """
import sys
from pathlib import Path
from migrator.data_dir import DataDir
from migrator.storage.json_files import JsonStorage
root = Path(sys.argv[1])
store = JsonStorage(DataDir(root=root, database=root / "sessions.db"), lock_timeout=30)
for number in range(10):
    store.append_chat_message("/work/engine", "session-1", {
        "id": f"{sys.argv[2]}-{number}", "role": "user", "content": "x", "timestamp": "t"})
"""


def test_processes_lose_nothing_of_each_other(store, tmp_path):
    store.create_session(W, session())
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(store.get_session(W, "session-1")["chatHistory"]) == 20


def test_a_half_written_file_of_a_killed_process_does_no_harm(store, file):
    leftover = Path(f"{file.parent}/.{NAME}.{os.getpid() + 1}.migrator-tmp")
    leftover.write_bytes(b"[{")
    store.create_session(W, session())
    assert list(file.parent.glob(durable.TEMPORARY_FILES)) == [leftover]


def test_sessions_are_read_from_the_file_as_it_was_when_the_loop_began(store):
    store.create_sessions(W, [session(id=name) for name in "abc"])
    seen = []
    for document in store.iter_sessions(W):
        seen.append(document["id"])
        store.delete_session(W, document["id"])
    assert seen == ["a", "b", "c"]


def test_the_place_of_a_cursor_is_lost_with_all_sessions_around_it(store):
    store.create_sessions(W, [session(id=str(number)) for number in range(60)])
    after = store.list_sessions(W, limit=30)[-1].cursor
    kept = [document for document in store.get_all_sessions(W) if not 10 <= int(document["id"]) < 50]
    store.replace_workspace(W, kept)
    with raises(ValidationError, "option.cursor_lost"):
        store.list_sessions(W, after=after)
    store.replace_workspace(W, [*kept[:10], session(id="44"), *kept[10:]])  # one of them is back
    found = store.list_sessions(W, after=after)
    assert [row.id for row in found] == ["44", *map(str, range(50, 60))]
