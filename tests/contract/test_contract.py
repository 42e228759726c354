"""Every store does what SessionStorage promises."""

import copy
import logging
import os
import pickle
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Any

import pytest

from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS
from migrator.errors import (
    ConnectionFailed,
    InstanceNotFound,
    SessionAlreadyExists,
    SessionChanged,
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
    "create_sessions": lambda store, path: store.create_sessions(path, [session(id="s")]),
    "list_sessions": lambda store, path: store.list_sessions(path),
    "iter_sessions": lambda store, path: list(store.iter_sessions(path)),
}
NEED_A_SESSION = sorted(
    OPERATIONS.keys() - {"create_session", "create_sessions", "search_sessions", "list_sessions", "iter_sessions"}
)


@pytest.fixture
def store(opened):
    return opened.store


def ids(documents):
    return [document["id"] for document in documents]


def ids_of(*pages):
    return [row.id for page in pages for row in page]


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


def test_the_second_session_of_an_id_is_reached_by_its_ordinal(opened):
    opened.load(W, [session(task="first"), session(id="other"), session(task="second", instances=[instance()])])
    store = opened.store
    assert [(row.id, row.ordinal) for row in store.list_sessions(W)] == [
        ("session-1", 0), ("other", 0), ("session-1", 1)
    ]  # fmt: skip
    [row] = store.list_sessions(W, after=store.list_sessions(W)[1].cursor)
    [same_row] = store.list_sessions(W, SessionFilters(text="second"))
    assert (row.ordinal, same_row) == (1, row)
    assert store.get_session(W, "session-1", ordinal=1)["task"] == "second"
    assert store.add_chat_message(W, "session-1", message(), ordinal=1)["task"] == "second"
    assert store.update_instance_status(W, "session-1", 1, "done", ordinal=1)["task"] == "second"
    store.update_session(W, session(task="changed"), ordinal=1)
    assert [d["task"] for d in store.get_all_sessions(W)] == ["first", "Weave", "changed"]
    with pytest.raises(SessionNotFound):
        store.get_session(W, "session-1", ordinal=2)
    store.delete_session(W, "session-1", ordinal=0)
    assert store.get_session(W, "session-1")["task"] == "changed"


def test_a_list_has_everything_but_the_texts(store):
    totals = {"totalDuration": (1 << 64) - 1, "totalFilesChanged": 3, "totalLinesAdded": 20, "totalLinesDeleted": 1}
    given = session(status="round_2", model="m", completedAt="then", task="", later=[1], **totals)
    store.create_session(W, given | {"instances": [instance()], "chatHistory": [message()] * 3})
    [row] = store.list_sessions(W)
    assert row[:-2] == (
        *("session-1", given["type"], "", "round_2", given["createdAt"], given["updatedAt"], "then", "m"),
        *totals.values(),
        *(1, 3),
    )
    assert store.list_sessions(W, SessionFilters(status="running")) == []
    assert store.list_sessions(W, SessionFilters(text="SESSION")) == [row]


def test_pages_have_every_session_once_while_others_write(opened):
    store = opened.store
    store.create_sessions(W, [session(id=str(number)) for number in range(60)])
    first = store.list_sessions(W, limit=20)
    opened.load(W, [d for d in store.get_all_sessions(W) if not 5 <= int(d["id"]) < 20])  # the last of the page too
    store.create_session(W, session(id="19"))  # again, now after all others
    store.update_session(W, session(id="21", task="changed"))
    second = store.list_sessions(W, after=first[-1].cursor, limit=20)
    opened.load(W, [d for d in store.get_all_sessions(W) if not 30 <= int(d["id"]) < 60])
    store.create_session(W, session(id="61"))
    third = store.list_sessions(W, after=second[-1].cursor, limit=20)
    assert ids_of(first, second, third) == [*map(str, range(40)), "19", "61"]
    assert store.list_sessions(W, after=third[-1].cursor) == []


def test_what_was_listed_may_be_deleted_before_the_next_page(opened):
    store = opened.store
    store.create_sessions(W, [session(id=str(number)) for number in range(50)])
    seen, after = [], None
    while page := store.list_sessions(W, after=after, limit=20):
        seen += ids_of(page)
        after = page[-1].cursor
        opened.load(W, [document for document in store.get_all_sessions(W) if document["id"] not in seen])
    assert seen == [*map(str, range(50))]


def test_sessions_are_read_one_by_one_while_the_loop_writes(store):
    store.create_sessions(W, [session(id=name) for name in "abcd"])
    seen = []
    for document in store.iter_sessions(W, SessionFilters(status="running")):
        seen.append(document["id"])
        store.append_chat_message(W, document["id"], message())
    assert seen == [*"abcd"]


@pytest.mark.parametrize("filters", [None, SessionFilters(status="running")])
def test_a_loop_that_creates_sessions_ends(store, filters):
    store.create_sessions(W, [session(id=name) for name in "ab"])
    seen = []
    for document in islice(store.iter_sessions(W, filters), 5):
        seen.append(document["id"])
        store.create_session(W, document | {"id": f"copy of {document['id']}"})
    assert seen == [*"ab"]
    for document in islice(store.iter_sessions(W, filters), 9):
        store.delete_session(W, document["id"])
        store.create_session(W, document)
        seen.append(document["id"])
    assert seen == [*"ab", "a", "b", "copy of a", "copy of b"]


def test_pages_and_filters_that_make_no_sense_are_refused(store):
    store.create_session(W, session())
    store.create_session("/work/loom", session())
    cursor, elsewhere = (store.list_sessions(path)[0].cursor for path in (W, "/work/loom"))
    for wrong in ("", "x", cursor + "1" * 30, cursor[:-1] + "x", elsewhere, 1, b"", "s" * 300):
        with pytest.raises(ValidationError, match="after"):
            store.list_sessions(W, after=wrong)
    for wrong in (0, -1, "1", 1.0, True):
        with pytest.raises(ValidationError, match="limit"):
            store.list_sessions(W, limit=wrong)
    sorting: dict[str, Any] = {"sort_by": "createdAt", "descending": True, "limit": 1, "offset": 1}
    for name, value in sorting.items():
        filters = SessionFilters(**{name: value})
        for call in (partial(store.list_sessions, limit=1), partial(store.list_sessions, after=cursor)):
            with pytest.raises(ValidationError, match=name):
                call(W, filters)
        with pytest.raises(ValidationError, match=name):
            store.iter_sessions(W, filters)  # before the first session is asked for
    for call in (store.list_sessions, store.iter_sessions, store.search_sessions):
        for wrong in ("running", {"status": "running"}, []):
            with pytest.raises(ValidationError, match="filters"):
                call(W, wrong)
    assert len(store.list_sessions(W, limit=1 << 80)) == 1
    assert len(store.search_sessions(W, SessionFilters(limit=1 << 80, offset=0))) == 1
    assert store.search_sessions(W, SessionFilters(offset=1 << 80)) == []


def test_a_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValidationError, match="created_to"):
        SessionFilters(created_from="2025-01-13T10:00:00Z", created_to="2025-01-13T10:59:59+01:00")


def test_workspaces_are_listed_with_their_hash_and_count(store):
    worktree = instance(worktreePath="/work/loom/.worktrees/competition-1/instance-1")
    store.create_sessions("/work/loom", [session(id=name, instances=[worktree]) for name in "ab"])
    store.create_session(W, session())
    store.delete_session(W, "session-1")
    found = {row.hash: row for row in store.list_workspaces()}
    assert list(found) == sorted(map(workspace_hash, ("/work/loom", W)))
    loom, engine = found[workspace_hash("/work/loom")], found[workspace_hash(W)]
    assert (loom.path, loom.sessions, engine.sessions) == ("/work/loom", 2, 0)
    assert engine.path in (W, None)  # nothing in a JSON file says where it is
    for row in found.values():
        assert row.served_from in ("json", "sqlite")
        assert row.last_accessed is None or datetime.fromisoformat(row.last_accessed).tzinfo is not None
        assert len(store.list_sessions(f"unknown:{row.hash}")) == row.sessions


def test_an_update_of_a_session_that_has_changed_is_refused(opened):
    store = opened.store
    before = store.create_session(W, session(later=1))
    ours = {**before, "task": "ours"}
    theirs = {**before, "later": 2}  # the same times
    store.update_session(W, theirs)
    with pytest.raises(SessionChanged) as changed:
        store.update_session(W, ours, expected=before)
    assert (changed.value.code, changed.value.exit_code) == ("session.changed", 1)
    assert (changed.value.expected, changed.value.found) == (before, theirs)
    again = pickle.loads(pickle.dumps(changed.value))
    assert (again.found, str(again)) == (theirs, str(changed.value))
    assert store.get_session(W, "session-1") == theirs
    absent = {name: value for name, value in theirs.items() if value is not None}  # equals null
    assert store.update_session(W, ours, expected=absent) == ours
    with pytest.raises(ValidationError, match="expected"):
        store.update_session(W, ours, expected={"id": "session-1"})
    with pytest.raises(ValidationError, match="expected"):
        store.update_session(W, ours, expected=session(id="other"))


def test_several_sessions_are_created_or_none(store):
    store.create_session(W, session(id="a"))
    kept = store.get_all_sessions(W)
    for wrong, error in (
        ([session(id="b"), session(id="a")], SessionAlreadyExists),
        ([session(id="b"), session(id="b")], SessionAlreadyExists),
        ([session(id="b"), session(id="c", task=None)], ValidationError),
        (session(id="b"), ValidationError),
        (None, ValidationError),
    ):
        with pytest.raises(error):
            store.create_sessions(W, wrong)
        assert store.get_all_sessions(W) == kept
    assert store.create_sessions("/work/loom", []) == store.list_sessions("/work/loom") == []
    assert len(store.list_workspaces()) == 1
    created = store.create_sessions(W, (session(id=name) for name in "cb"))
    assert store.get_all_sessions(W) == [*kept, *created]


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
    assert store.list_sessions(W) == [*store.iter_sessions(W)] == []
    assert store.list_workspaces() == []


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
        calls += [partial(store.create_sessions, W, wrong), partial(store.create_sessions, W, [wrong])]
    for number in (-1, "0", 1.0, True):
        calls += [partial(store.get_session, W, "session-1", ordinal=number)]
        calls += [partial(store.delete_session, W, "session-1", ordinal=number)]
        calls += [partial(store.update_session, W, session(), ordinal=number)]
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


@pytest.mark.parametrize("name", [name for name in STORES if "memory" not in name])
def test_what_was_written_is_there_when_the_store_is_opened_again(name, folder):
    with STORES[name](folder).store as store:
        created = store.create_session(W, session(chatHistory=[message()]))
    with STORES[name](folder).store as store:
        assert store.get_all_sessions(W) == [created]


@pytest.mark.parametrize(
    "name", ["get_session", "append_chat_message", "search_sessions", "list_sessions", "iter_sessions"]
)
def test_a_closed_store_says_so(store, name):
    store.close()
    store.close()
    with pytest.raises(ConnectionFailed):
        OPERATIONS[name](store, W)


def test_workspace_paths_of_any_bytes_are_taken(store):
    for path in ("/work/日本", os.fsdecode(b"/work/\xff\xfe"), "relative", "/work/a\x00b"):
        store.create_session(path, session())
        assert ids(store.get_all_sessions(path)) == ["session-1"]
