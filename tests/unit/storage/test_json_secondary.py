"""The JSON files in hybrid mode: another program's changes are never overwritten."""

import pytest

from migrator.database import queries
from migrator.database.connection import opened
from migrator.documents.app_format import app_file
from migrator.errors import StaleStoreError
from migrator.storage.hybrid.json_secondary import MirrorFiles
from migrator.workspace import workspace_hash
from tests.support.errors import raises
from tests.support.scene import app_json
from tests.support.stores import data_dir
from tests.support.strategies import instance, message, session

W = "/work/engine"


@pytest.fixture
def files(folder):
    with opened(folder / "sessions.db") as connection:
        connection.execute(queries.SET_COMPLETED, (None, None))
    with MirrorFiles(data_dir(folder)) as files:
        yield files


@pytest.fixture
def path(folder):
    return folder / "sessions" / f"{workspace_hash(W)}.json"


def test_its_own_files_are_overwritten(files):
    files.create_session(W, session())
    files.append_chat_message(W, "session-1", message())
    files.delete_session(W, "session-1")
    assert files.get_all_sessions(W) == []


def test_another_process_in_hybrid_mode_may_overwrite_them_too(files, folder):
    files.create_session(W, session())
    with MirrorFiles(data_dir(folder)) as others:
        others.append_chat_message(W, "session-1", message())
    files.append_chat_message(W, "session-1", message(id="another"))
    assert len(files.get_session(W, "session-1")["chatHistory"]) == 2


@pytest.mark.parametrize("began", [True, False])
def test_another_programs_changes_are_not_overwritten(files, path, began):
    if began:
        files.create_session(W, session())
    path.parent.mkdir(exist_ok=True)
    theirs = b"".join(app_file([session(id="theirs", instances=[instance()])]))
    path.write_bytes(theirs)
    for write in (
        lambda: files.create_session(W, session(id="ours")),
        lambda: files.update_session(W, session(id="theirs", task="ours")),
        lambda: files.delete_session(W, "theirs"),
        lambda: files.append_chat_message(W, "theirs", message()),
        lambda: files.set_instance_status(W, "theirs", 1, "done"),
        lambda: files.replace_workspace(W, [session()]),
    ):
        with raises(StaleStoreError, "hybrid.file_changed"):
            write()
    assert path.read_bytes() == theirs


def test_a_file_with_the_expected_sessions_counts_as_its_own_from_then_on(files, path):
    files.create_session(W, session())
    path.write_bytes(b"  " + app_json([session()]))
    files.replace_workspace(W, [session()])
    files.append_chat_message(W, "session-1", message())
    assert len(files.get_session(W, "session-1")["chatHistory"]) == 1


def test_a_missing_file_is_created_again(files, path):
    files.create_session(W, session())
    path.unlink()
    files.replace_workspace(W, [session()])
    assert files.get_session(W, "session-1")["task"] == "Weave"
