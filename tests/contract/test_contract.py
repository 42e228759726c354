"""Every store does what SessionStorage promises."""

import copy
import logging
import os
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS
from migrator.errors import (
    ConnectionFailed,
    InstanceNotFound,
    SessionAlreadyExists,
    SessionNotFound,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.storage.protocol import SessionFilters, SessionStorage
from migrator.workspace import workspace_hash
from tests.support.stores import STORES, normal
from tests.support.strategies import instance, message, same, session

W = "/work/engine"

# Every operation but get_all_sessions, on a session "s".
OPERATIONS = {
    "create_session": lambda store, path: store.create_session(path, session(id="s")),
    "update_session": lambda store, path: store.update_session(path, session(id="s")),
    "get_session": lambda store, path: store.get_session(path, "s"),
    "delete_session": lambda store, path: store.delete_session(path, "s"),
    "add_chat_message": lambda store, path: store.add_chat_message(path, "s", message()),
    "append_chat_message": lambda store, path: store.append_chat_message(path, "s", message()),
    "update_instance_status": lambda store, path: store.update_instance_status(path, "s", 1, "done"),
    "set_instance_status": lambda store, path: store.set_instance_status(path, "s", 1, "done"),
    "search_sessions": lambda store, path: store.search_sessions(path, SessionFilters()),
}
NEED_A_SESSION = sorted(OPERATIONS.keys() - {"create_session", "search_sessions"})


@pytest.fixture
def store(opened):
    return opened.store


def ids(documents):
    return [document["id"] for document in documents]


def test_every_store_is_a_session_storage(store):
    assert isinstance(store, SessionStorage)


def test_a_created_session_reads_back_in_normal_form(store):
    given = session(later={"b": [1.5, None, 10**30], "a": 1}, instances=[instance()], chatHistory=[message()])
    created = store.create_session(W, given)
    assert same(created, normal(given))
    assert same(store.get_session(W, "session-1"), created)
    assert same(store.get_all_sessions(W), [created])
    assert list(created) == [*SESSION_MEMBERS, "later"]
    assert list(created["instances"][0]) == list(INSTANCE_MEMBERS)
    assert list(created["chatHistory"][0]) == list(MESSAGE_MEMBERS)


def test_arguments_and_results_share_nothing_with_the_store(store):
    given = session(instances=[instance()], chatHistory=[message()], runtimeMix=["claude"])
    before = copy.deepcopy(given)
    created = store.create_session(W, given)
    created["chatHistory"].clear()
    created["runtimeMix"].append("codex")
    assert given == before
    given["instances"][0]["status"] = "changed"
    assert store.get_session(W, "session-1") == normal(before)


def test_sessions_are_listed_in_the_order_of_their_creation(store):
    for name in "cab":
        store.create_session(W, session(id=name))
    assert ids(store.get_all_sessions(W)) == ["c", "a", "b"]


def test_an_updated_session_keeps_its_place_and_gets_exactly_what_is_given(store):
    for name in "cab":
        store.create_session(W, session(id=name, model="m", later=1, chatHistory=[message()]))
    given = session(id="a", task="other", updatedAt="whenever", newer=2)
    assert same(store.update_session(W, given), normal(given))
    assert ids(store.get_all_sessions(W)) == ["c", "a", "b"]
    assert same(store.get_session(W, "a"), normal(given))


def test_a_deleted_session_is_gone_and_its_id_is_free_again(store):
    for name in "ab":
        store.create_session(W, session(id=name, chatHistory=[message()]))
    assert store.delete_session(W, "a") is None
    assert ids(store.get_all_sessions(W)) == ["b"]
    store.create_session(W, session(id="a"))
    assert ids(store.get_all_sessions(W)) == ["b", "a"]


def test_a_message_goes_after_the_others_and_sets_updated_at(store):
    store.create_session(W, session(chatHistory=[message()], later="kept", createdAt="then"))
    before = datetime.now(UTC)
    added = store.add_chat_message(W, "session-1", message(content="again", instanceId=7, newer=True))
    after = datetime.now(UTC)
    assert [m["content"] for m in added["chatHistory"]] == ["hello", "again"]
    assert added["chatHistory"][1] == {**message(content="again"), "instanceId": 7, "newer": True}
    assert added["updatedAt"].endswith("+00:00")
    assert before <= datetime.fromisoformat(added["updatedAt"]) <= after
    assert (added["later"], added["createdAt"]) == ("kept", "then")
    assert same(store.get_session(W, "session-1"), added)


def test_the_variants_that_return_nothing_do_the_same(store):
    store.create_session(W, session(instances=[instance()]))
    assert store.append_chat_message(W, "session-1", message()) is None
    assert store.set_instance_status(W, "session-1", 1, "done") is None
    found = store.get_session(W, "session-1")
    assert found["chatHistory"] == [message(instanceId=None)]
    assert found["instances"][0]["status"] == "done"
    assert found["updatedAt"] > session()["updatedAt"]


def test_any_status_can_be_set_on_an_instance(store):
    store.create_session(W, session(instances=[instance(instanceId=0), instance(instanceId=3, later=1)]))
    for status in ("archived", "", "日本語"):
        found = store.update_instance_status(W, "session-1", 3, status)
        assert [i["status"] for i in found["instances"]] == ["idle", status]
    assert found["instances"][1]["later"] == 1
    assert same(store.get_session(W, "session-1"), found)


def test_with_two_sessions_of_one_id_the_first_is_used_and_both_are_listed_and_deleted(opened):
    """The app starts a competition by creating its session twice, once from the dialog and once from the shell."""
    first = session(task="from the dialog", instances=[instance(instanceId=1)])
    second = session(task="from the shell", instances=[instance(instanceId=0)])
    opened.load(W, [first, second, session(id="other")])
    store = opened.store
    assert [d["task"] for d in store.get_all_sessions(W)] == ["from the dialog", "from the shell", "Weave"]
    assert store.get_session(W, "session-1")["task"] == "from the dialog"
    assert store.add_chat_message(W, "session-1", message())["task"] == "from the dialog"
    assert store.update_instance_status(W, "session-1", 1, "done")["task"] == "from the dialog"
    with pytest.raises(InstanceNotFound):
        store.update_instance_status(W, "session-1", 0, "done")
    with pytest.raises(SessionAlreadyExists):
        store.create_session(W, session())
    store.update_session(W, session(task="updated"))
    assert [d["task"] for d in store.get_all_sessions(W)] == ["updated", "from the shell", "Weave"]
    store.delete_session(W, "session-1")
    assert ids(store.get_all_sessions(W)) == ["other"]


def test_with_two_instances_of_one_number_the_first_is_used(opened):
    opened.load(W, [session(instances=[instance(agentName="a"), instance(agentName="b")])])
    found = opened.store.update_instance_status(W, "session-1", 1, "done")
    assert [i["status"] for i in found["instances"]] == ["done", "idle"]


def test_the_substitute_of_a_taken_number_finds_no_instance(opened):
    opened.load(W, [session(instances=[instance(), instance()])])
    for number in (1 << 32, (1 << 32) + 1, 1 << 80, -1):
        with pytest.raises(InstanceNotFound):
            opened.store.set_instance_status(W, "session-1", number, "done")


def test_messages_may_share_an_id_within_and_across_sessions(store):
    for name in "ab":
        store.create_session(W, session(id=name, chatHistory=[message(), message()]))
        store.append_chat_message(W, name, message())
        store.append_chat_message(W, name, message(id=""))
    for found in store.get_all_sessions(W):
        assert [m["id"] for m in found["chatHistory"]] == ["msg-1", "msg-1", "msg-1", ""]


def test_one_session_id_may_be_in_several_workspaces(store):
    store.create_session(W, session(task="here"))
    store.create_session("/work/loom", session(task="there"))
    store.delete_session(W, "session-1")
    assert store.get_session("/work/loom", "session-1")["task"] == "there"


def test_all_notations_of_a_path_are_one_workspace(store, tmp_path):
    place = tmp_path / "project"
    place.mkdir()
    link = tmp_path / "link"
    link.symlink_to(place)
    store.create_session(str(place), session())
    for spelling in (f"{place}/", str(link), f"{tmp_path}/./project", f"unknown:{workspace_hash(place)}"):
        assert ids(store.get_all_sessions(spelling)) == ["session-1"]


@pytest.mark.parametrize("path", ["", " \t\u3000"])
def test_a_blank_workspace_path_is_refused(store, path):
    for operation in OPERATIONS.values():
        with pytest.raises(ValidationError):
            operation(store, path)


def test_a_blank_workspace_path_has_no_sessions_and_is_warned_about(store, caplog):
    with caplog.at_level(logging.WARNING, "migrator"):
        assert store.get_all_sessions(" ") == []
    assert "empty workspace path" in caplog.text


def test_a_workspace_that_was_never_seen_is_not_found(store):
    for name in NEED_A_SESSION:
        with pytest.raises(WorkspaceNotFound):
            OPERATIONS[name](store, W)
    assert store.get_all_sessions(W) == []
    assert store.search_sessions(W, SessionFilters()) == []


def test_a_session_is_not_found_in_a_workspace_that_is_known(store):
    store.create_session(W, session())
    store.delete_session(W, "session-1")
    for name in NEED_A_SESSION:
        with pytest.raises(SessionNotFound):
            OPERATIONS[name](store, W)


def test_a_session_that_exists_is_not_created_again(store):
    created = store.create_session(W, session())
    with pytest.raises(SessionAlreadyExists):
        store.create_session(W, session(task="again"))
    assert store.get_all_sessions(W) == [created]


def test_an_invalid_document_is_refused_with_every_problem_and_changes_nothing(store):
    created = store.create_session(W, session())
    wrong = session(status=1, task=None, chatHistory=[{"role": None}])
    for write in (store.create_session, store.update_session):
        with pytest.raises(ValidationError) as refused:
            write(W, wrong)
        pointers = {problem.pointer for problem in refused.value.problems}
        assert {"/status", "/task", "/chatHistory/0/role", "/chatHistory/0/id"} <= pointers
    with pytest.raises(ValidationError):
        store.add_chat_message(W, "session-1", message(role=None))
    assert store.get_all_sessions(W) == [created]


def test_type_status_and_role_may_be_any_text(store):
    created = store.create_session(W, session(type="tournament", status="cancelled"))
    assert (created["type"], created["status"]) == ("tournament", "cancelled")
    changed = store.add_chat_message(W, "session-1", message(role="tool"))
    assert changed["chatHistory"][-1]["role"] == "tool"
    assert same(store.get_all_sessions(W), [changed])
    assert ids(store.search_sessions(W, SessionFilters(status="cancelled", session_type="tournament"))) == ["session-1"]
    assert store.search_sessions(W, SessionFilters(status="paused")) == []
    assert store.search_sessions(W, SessionFilters(session_type="competition")) == []


def test_arguments_of_the_wrong_kind_are_refused(store):
    store.create_session(W, session(instances=[instance()]))
    calls = [partial(store.get_all_sessions, wrong) for wrong in (None, 1)]
    for wrong in (None, 1, b"s", "\ud800"):
        calls += [partial(store.get_session, W, wrong), partial(store.delete_session, W, wrong)]
        calls += [partial(store.update_instance_status, W, "session-1", 1, wrong)]
    calls += [partial(store.set_instance_status, W, "session-1", wrong, "done") for wrong in (None, "1", 1.0, True)]
    for call in calls:
        with pytest.raises(ValidationError):
            call()


def test_searching_returns_whole_documents(store):
    store.create_session(W, session(id="a", chatHistory=[message()], later=1))
    store.create_session(W, session(id="b", status="failed"))
    assert same(store.search_sessions(W, SessionFilters(status="running")), [store.get_session(W, "a")])


def test_searching_compares_the_documents_own_values(opened):
    debate = session(id="d", type="debate", status="round_2", task="", totalDuration=(1 << 64) - 1)
    opened.load(W, [session(id="r", totalDuration=5), debate, session(id="d", status="failed")])
    search = opened.store.search_sessions
    assert ids(search(W, SessionFilters(status="running"))) == ["r"]
    assert ids(search(W, SessionFilters(status=["round_2", "failed"]))) == ["d", "d"]
    assert [d["status"] for d in search(W, SessionFilters(status="failed"))] == ["failed"]
    assert search(W, SessionFilters(text="d#")) == []
    assert search(W, SessionFilters(text=" ", status="round_2")) == []
    assert ids(search(W, SessionFilters(sort_by="duration", descending=True))) == ["d", "r", "d"]


def test_text_is_found_in_task_id_and_agent_names_and_nowhere_else(store):
    store.create_session(W, session(id="one", task="Über den Fluss"))
    store.create_session(W, session(id="FLUSS-2", instances=[instance(agentName="x")]))
    store.create_session(W, session(id="three", instances=[instance(), instance(instanceId=2, agentName="Flussbau")]))
    store.create_session(W, session(id="four", model="fluss", chatHistory=[message(content="fluss")]))
    assert ids(store.search_sessions(W, SessionFilters(text="fluSS"))) == ["one", "FLUSS-2", "three"]
    assert ids(store.search_sessions(W, SessionFilters(text="üBER"))) == ["one"]


def test_the_limit_is_applied_after_sorting(store):
    for name, changed in (("a", 2), ("b", None), ("c", 9), ("d", 2), ("e", 0)):
        store.create_session(W, session(id=name, totalFilesChanged=changed))
    search = store.search_sessions
    assert ids(search(W, SessionFilters(sort_by="filesChanged"))) == ["e", "a", "d", "c", "b"]
    assert ids(search(W, SessionFilters(sort_by="filesChanged", descending=True))) == ["c", "a", "d", "e", "b"]
    assert ids(search(W, SessionFilters(sort_by="filesChanged", limit=2, offset=1))) == ["a", "d"]
    assert ids(search(W, SessionFilters(limit=0))) == []
    assert ids(search(W, SessionFilters(offset=4, limit=5))) == ["e"]


def test_dates_are_compared_as_instants(store):
    store.create_session(W, session(id="js", createdAt="2025-01-13T10:00:00.000Z"))
    store.create_session(W, session(id="rust", createdAt="2025-01-13T11:00:00.000000001+01:00"))
    store.create_session(W, session(id="none", createdAt="yesterday"))
    search = store.search_sessions
    assert ids(search(W, SessionFilters(created_to="2025-01-13T10:00:00+00:00"))) == ["js"]
    assert ids(search(W, SessionFilters(created_from="2025-01-13T10:00:00.0000000005Z"))) == ["rust"]
    moment = datetime(2025, 1, 13, 12, tzinfo=timezone(timedelta(hours=2)))
    assert ids(search(W, SessionFilters(created_from=moment, created_to=moment))) == ["js"]
    assert ids(search(W, SessionFilters(sort_by="createdAt", descending=True))) == ["rust", "js", "none"]


@pytest.mark.parametrize("name", STORES)
def test_what_was_written_is_there_when_the_store_is_opened_again(name, folder):
    if "memory" in name:
        pytest.skip("lives as long as the store")
    with STORES[name](folder).store as store:
        created = store.create_session(W, session(chatHistory=[message()]))
    with STORES[name](folder).store as store:
        assert store.get_all_sessions(W) == [created]


@pytest.mark.parametrize("name", ["get_session", "append_chat_message", "search_sessions"])
def test_a_closed_store_says_so(store, name):
    store.close()
    store.close()
    with pytest.raises(ConnectionFailed):
        OPERATIONS[name](store, W)


def test_workspace_paths_of_any_bytes_are_taken(store):
    for path in ("/work/日本", os.fsdecode(b"/work/\xff\xfe"), "relative", "/work/a\x00b"):
        store.create_session(path, session())
        assert ids(store.get_all_sessions(path)) == ["session-1"]
