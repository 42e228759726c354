"""A document that was converted to rows comes back unchanged, even if the columns cannot hold its values."""

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.database import schema
from migrator.database.columns import SESSION_COLUMNS, SUMMARY_COLUMNS, SUMMARY_MEMBERS
from migrator.database.documents import (
    delete_document,
    ensure_workspace,
    find_workspace,
    insert_document,
    keys_of,
    next_position,
    read_document,
    read_source,
    read_workspace,
)
from migrator.database.rows import (
    FIRST_INSTANCE_SUBSTITUTE,
    INTEGER_MAX,
    derived_key,
    derived_keys,
    document_id,
    message_rows,
    only_runtimes,
    rekey,
    session_summary,
    to_rows,
)
from migrator.documents.document import WorktreeSession, normal_form
from migrator.documents.exact_json import MAX_DEPTH
from migrator.staging.plain_messages import plain_message_rows, plain_messages
from tests.support.strategies import U64_MAX, documents, files, instance, message, of_rows, same, session, session_ids

HASHES = {1: "aaaaaaaaaaaaaaaa", 2: "bbbbbbbbbbbbbbbb"}


def insert(database: sqlite3.Connection, document: Any, position: int | None = 0, workspace_id: int = 1) -> str:
    return insert_document(
        database, document, workspace_id=workspace_id, workspace_hash=HASHES[workspace_id], position=position
    )


def stored(database: sqlite3.Connection, key: str) -> WorktreeSession:
    found = read_document(database, key)
    assert found is not None
    return found.document


def workspace(database: sqlite3.Connection, workspace_id: int = 1) -> list[Any]:
    return [found.document for found in read_workspace(database, workspace_id)]


def value(database: sqlite3.Connection, sql: str) -> Any:
    (row,) = database.execute(sql).fetchall()
    return row[0]


# The law.


@given(documents())
def test_rows_convert_back_to_their_document(document):
    again, _ = of_rows(to_rows(document))
    assert same(again, normal_form(document))


@given(st.tuples(files(), files()))
def test_documents_of_the_same_ids_in_several_workspaces_come_back_from_a_database_as_they_were(contents):
    with closing(schema.fresh()) as database:
        database.execute("PRAGMA foreign_keys = ON")
        keys: list[list[str]] = []
        for workspace_id, sessions in enumerate(contents, 1):
            assert ensure_workspace(database, HASHES[workspace_id], None) == workspace_id
            keys.append([insert(database, each, place, workspace_id) for place, each in enumerate(sessions)])
        for workspace_id, sessions in enumerate(contents, 1):
            expected = [normal_form(each) for each in sessions]
            assert same(workspace(database, workspace_id), expected)
            assert same([stored(database, key) for key in keys[workspace_id - 1]], expected)
            for each in sessions:
                equal_keys = [
                    key
                    for key, other in zip(keys[workspace_id - 1], sessions, strict=True)
                    if other["id"] == each["id"]
                ]
                assert keys_of(database, workspace_id, each["id"]) == equal_keys
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize(
    ("own", "columns"),
    [
        (("competition", "failed"), ("competition", "failed")),
        (("ensemble", "archived"), ("ensemble", "paused")),
        (("debate", "round_2"), ("debate", "running")),
        (("tournament", "archived"), ("competition", "paused")),
    ],
)
def test_the_columns_type_and_status_have_what_the_app_knows(own: tuple[str, str], columns: tuple[str, str]) -> None:
    rows = to_rows(session(type=own[0], status=own[1]))
    row = dict(zip(SESSION_COLUMNS, rows.session, strict=True))
    assert (row["type"], row["status"]) == columns


@given(documents())
def test_a_summary_is_the_document_without_its_parts(document):
    columns = dict(zip(SESSION_COLUMNS, to_rows(document).session, strict=True))
    summary = session_summary((*(columns[name] for name in SUMMARY_COLUMNS), "what a query adds"))
    whole = normal_form(document)
    assert same({name: summary[name] for name in SUMMARY_MEMBERS}, {name: whole.get(name) for name in SUMMARY_MEMBERS})


def summary_of(document: Any) -> dict[str, Any]:
    columns = dict(zip(SESSION_COLUMNS, to_rows(document).session, strict=True))
    return session_summary(tuple(columns[name] for name in SUMMARY_COLUMNS))


@pytest.mark.parametrize("number", [10**30, Decimal("1e999")])
def test_a_summary_has_what_was_rescued_next_to_a_number_of_any_size(number):
    assert summary_of(session(task="", totalDuration=U64_MAX, evaluation=number))["task"] == ""
    assert summary_of(session(totalDuration=U64_MAX, evaluation=number))["totalDuration"] == U64_MAX
    assert summary_of(session(evaluation=number))["task"] == session()["task"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"runtimeMix": []}, True),
        ({"runtimeMix": ["a", "b", "a"]}, True),
        ({"runtimeMix": ["a:b", "a:b"]}, False),  # it can't tell, and need not
        ({"runtimeMix": ["a", "a"], "status": "round_1"}, False),
        ({"runtimeMix": ["a", "a"], "evaluation": 1}, False),
        ({"task": ""}, False),
        ({"evaluation": 1}, False),
    ],
)
def test_whether_only_runtimes_were_rescued_is_clear_from_the_text(members, expected):
    assert only_runtimes(to_rows(session(**members)).session.rescued_data or "") is expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"evaluation": 1}, False),
        ({"instances": [instance(), instance(unknown=1)]}, False),
        ({"chatHistory": [message(), message(id="m", unknown=1)]}, False),
    ],
)
def test_a_document_is_plain_unless_something_of_it_was_rescued(members, expected):
    assert of_rows(to_rows(session(**members)))[1] is expected


@given(documents())
def test_a_document_is_plain_when_its_rows_hold_all_of_it(document):
    rows = to_rows(document)
    _, plain = of_rows(rows)
    assert plain == all(row[-1] is None for row in (*rows.instances, *rows.messages, rows.session[:18]))


def test_a_document_as_deep_as_can_be_with_a_number_of_any_size_comes_back(database):
    deep: Any = Decimal("0.1000000000000000055511151231257827")
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    document = session(evaluation=deep)
    assert same(stored(database, insert(database, document)), normal_form(document))


@given(documents(), st.text(min_size=1, max_size=5))
def test_rows_with_other_keys_convert_back_to_their_document(document, key):
    rows = to_rows(document)
    rekeyed = rekey(rekey(rows.session, key + "'"), key)
    chat = [rekey(row, f"{key}{place}") for place, row in enumerate(rows.messages)]
    assert rekeyed[0] == key
    assert [row[0] for row in chat] == [f"{key}{place}" for place in range(len(chat))]
    again, _ = of_rows(rows._replace(session=rekeyed, messages=chat))
    assert same(again, normal_form(document))


# Each line of the table in the docstring of rows.py.


def test_a_taken_session_id_gets_a_key_made_of_the_workspace_and_the_place(database):
    keys = [insert(database, session(task=str(place)), place) for place in range(3)]
    assert keys == ["session-1", "session-1#aaaaaaaaaaaaaaaa.1", "session-1#aaaaaaaaaaaaaaaa.2"]
    assert [document["id"] for document in workspace(database)] == ["session-1"] * 3


def test_the_bounds_of_derived_keys_have_all_of_them_between_and_no_other_id():
    low, high = derived_keys("a")
    assert "a" < low < derived_key("a", "0" * 16, 0) < derived_key("a", "\U0010ffff", 9) < high <= "a$"


def test_an_empty_session_id_gets_a_key_too(database):
    assert insert(database, session(id=""), 4) == "#aaaaaaaaaaaaaaaa.4"
    assert workspace(database)[0]["id"] == ""


def test_a_derived_key_may_be_another_sessions_own_id(database):
    insert(database, session(id="session-1#aaaaaaaaaaaaaaaa.1"), 0)
    insert(database, session(), 1, 2)
    assert insert(database, session(), 1) == "session-1#aaaaaaaaaaaaaaaa.1#"
    assert [document["id"] for document in workspace(database)] == ["session-1#aaaaaaaaaaaaaaaa.1", "session-1"]


@pytest.mark.parametrize(("document", "own"), [(session(id="", task=""), ""), (session(id="s", task=""), "s")])
def test_the_id_in_the_document_is_found_by_key_and_rescued_data(database, document, own):
    key = insert(database, document)
    assert document_id(key, value(database, "SELECT rescued_data FROM sessions")) == own


def test_an_empty_task_is_kept_as_one_space_in_its_column(database):
    key = insert(database, session(task=""))
    assert value(database, "SELECT task FROM sessions") == " "
    assert stored(database, key)["task"] == ""


def test_a_task_of_one_space_stays_one(database):
    key = insert(database, session(task=" "))
    assert value(database, "SELECT rescued_data FROM sessions") is None
    assert stored(database, key)["task"] == " "


@pytest.mark.parametrize("status", ["round_1", "round_2", "round_99999999999999999999"])
def test_the_round_of_a_debate_is_kept_as_running_in_its_column(database, status):
    key = insert(database, session(status=status))
    assert value(database, "SELECT status FROM sessions") == "running"
    assert stored(database, key)["status"] == status


@pytest.mark.parametrize("status", ["", "cancelled", "Running", "running\n", "round_", "round_x", "a\0b"])
def test_a_status_that_the_app_does_not_write_is_kept_as_paused_in_its_column(database, status):
    key = insert(database, session(status=status))
    assert value(database, "SELECT status FROM sessions") == "paused"
    assert stored(database, key)["status"] == status


@pytest.mark.parametrize("name", ["", "tournament", "Debate", "a\0b"])
def test_any_other_type_is_kept_as_a_competition_in_its_column(database, name):
    key = insert(database, session(type=name))
    assert value(database, "SELECT type FROM sessions") == "competition"
    assert stored(database, key)["type"] == name


@pytest.mark.parametrize("role", ["", "tool", "System", "a\0b"])
def test_any_other_role_is_kept_as_system_in_its_column(database, role):
    key = insert(database, session(chatHistory=[message(role=role)]))
    assert value(database, "SELECT role FROM chat_messages") == "system"
    assert stored(database, key)["chatHistory"][0]["role"] == role


def test_what_the_app_writes_over_a_stand_in_counts(database):
    key = insert(database, session(type="tournament", status="cancelled", chatHistory=[message(role="tool")]))
    database.execute("UPDATE sessions SET type = 'debate', status = 'completed'")
    database.execute("UPDATE chat_messages SET role = 'user'")
    found = stored(database, key)
    assert (found["type"], found["status"], found["chatHistory"][0]["role"]) == ("debate", "completed", "user")


@pytest.mark.parametrize("duration", [INTEGER_MAX + 1, U64_MAX])
def test_a_duration_beyond_63_bits_is_kept_as_the_largest_integer_in_its_column(database, duration):
    key = insert(database, session(totalDuration=duration))
    assert value(database, "SELECT total_duration FROM sessions") == INTEGER_MAX
    assert stored(database, key)["totalDuration"] == duration


def test_the_largest_duration_that_fits_needs_no_rescue(database):
    key = insert(database, session(totalDuration=INTEGER_MAX))
    assert value(database, "SELECT rescued_data FROM sessions") is None
    assert stored(database, key)["totalDuration"] == INTEGER_MAX


def test_a_runtime_mix_with_repeats_has_a_row_for_each_runtime_once_in_order(database):
    mix = ["codex", "claude", "claude", "codex", "gemini"]
    key = insert(database, session(runtimeMix=mix))
    rows = database.execute("SELECT runtime FROM session_runtime_mix ORDER BY id").fetchall()
    assert rows == [("codex",), ("claude",), ("gemini",)]
    assert stored(database, key)["runtimeMix"] == mix


@pytest.mark.parametrize("mix", [None, []])
def test_no_runtime_mix_and_an_empty_one_are_distinct(database, mix):
    key = insert(database, session(runtimeMix=mix))
    assert stored(database, key)["runtimeMix"] == mix


def test_a_doubled_instance_number_is_kept_as_one_that_no_u32_can_be(database):
    key = insert(database, session(instances=[instance(branch=name) for name in "abc"]))
    numbers = database.execute("SELECT instance_id FROM instances ORDER BY position").fetchall()
    assert numbers == [(1,), (FIRST_INSTANCE_SUBSTITUTE + 1,), (FIRST_INSTANCE_SUBSTITUTE + 2,)]
    assert [(each["instanceId"], each["branch"]) for each in stored(database, key)["instances"]] == [
        (1, "a"),
        (1, "b"),
        (1, "c"),
    ]


def test_a_chat_id_that_is_taken_in_the_session_gets_a_key_made_of_the_session_and_the_place(database):
    key = insert(database, session(chatHistory=[message(), message(), message(id="")]))
    ids = database.execute("SELECT id FROM chat_messages ORDER BY position").fetchall()
    assert ids == [("msg-1",), ("msg-1#session-1.1",), ("#session-1.2",)]
    assert [each["id"] for each in stored(database, key)["chatHistory"]] == ["msg-1", "msg-1", ""]


def test_a_chat_id_that_is_taken_in_another_workspace_gets_one_too(database):
    insert(database, session(chatHistory=[message()]))
    key = insert(database, session(id="session-2", chatHistory=[message(content="")]), 0, 2)
    assert value(database, "SELECT id FROM chat_messages WHERE session_id = 'session-2'") == "msg-1#session-2.0"
    assert stored(database, key)["chatHistory"] == [message(content="", instanceId=None)]


def test_a_chat_id_may_look_like_a_derived_key(database):
    own = [message(id="a"), message(id="a#session-1.2"), message(id="a"), message(id="a#session-1.2")]
    key = insert(database, session(chatHistory=own))
    assert [each["id"] for each in stored(database, key)["chatHistory"]] == [each["id"] for each in own]


def test_an_empty_message_is_kept_as_one_space_in_its_column(database):
    key = insert(database, session(chatHistory=[message(content="")]))
    assert value(database, "SELECT content FROM chat_messages") == " "
    assert stored(database, key)["chatHistory"][0]["content"] == ""


def test_unknown_members_are_kept_at_every_level(database):
    future = {"evaluation": {"score": 1.0, "huge": 10**30, "members": None}, "columns": []}
    document = session(**future, instances=[instance(**future)], chatHistory=[message(**future)])
    assert same(stored(database, insert(database, document)), normal_form(document))


def test_a_tidy_document_needs_no_rescue(database):
    insert(database, session(instances=[instance()], chatHistory=[message()], runtimeMix=["claude"]))
    for table in ("sessions", "instances", "chat_messages"):
        assert value(database, f"SELECT rescued_data FROM {table}") is None


# What the desktop app writes later.


@pytest.mark.parametrize(
    ("document", "update", "member", "expected"),
    [
        (session(status="round_2"), "UPDATE sessions SET status = 'completed'", "status", "completed"),
        (session(task=""), "UPDATE sessions SET task = 'Spin'", "task", "Spin"),
        (session(totalDuration=U64_MAX), "UPDATE sessions SET total_duration = 7", "totalDuration", 7),
        (session(totalDuration=U64_MAX), "UPDATE sessions SET total_duration = NULL", "totalDuration", None),
        (session(runtimeMix=["a", "a"]), "DELETE FROM session_runtime_mix", "runtimeMix", []),
        (
            session(runtimeMix=["a", "a"]),
            "INSERT INTO session_runtime_mix (session_id, runtime) VALUES ('session-1', 'b')",
            "runtimeMix",
            ["a", "b"],
        ),
        (
            session(runtimeMix=[]),
            "INSERT INTO session_runtime_mix (session_id, runtime) VALUES ('session-1', 'b')",
            "runtimeMix",
            ["b"],
        ),
    ],
)
def test_a_column_that_the_app_changes_wins_over_what_was_rescued(database, document, update, member, expected):
    key = insert(database, document)
    database.execute(update)
    assert dict(stored(database, key))[member] == expected


def test_a_message_that_the_app_changes_wins_over_what_was_rescued(database):
    key = insert(database, session(chatHistory=[message(content="")]))
    database.execute("UPDATE chat_messages SET content = 'edited'")
    assert stored(database, key)["chatHistory"][0]["content"] == "edited"


def test_an_instance_number_that_the_app_changes_wins_over_what_was_rescued(database):
    key = insert(database, session(instances=[instance(), instance()]))
    database.execute("UPDATE instances SET instance_id = 9 WHERE instance_id <> 1")
    assert [each["instanceId"] for each in stored(database, key)["instances"]] == [1, 9]


def test_a_change_of_one_column_leaves_the_other_rescued_values_alone(database):
    key = insert(database, session(status="round_1", task="", evaluation=10**30))
    database.execute("UPDATE sessions SET status = 'failed'")
    found: dict[str, Any] = {**stored(database, key)}
    assert (found["status"], found["task"], found["evaluation"]) == ("failed", "", 10**30)


def test_sessions_that_the_app_inserted_come_last_in_the_order_of_insertion(database):
    insert(database, session(id="b", runtimeMix=["x"]), 1)
    for name in ("z", "y"):
        database.execute(
            "INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)"
            " VALUES (?, 1, 'debate', 't', 'running', '', '')",
            (name,),
        )
        database.execute("INSERT INTO session_runtime_mix (session_id, runtime) VALUES (?, ?)", (name, name))
    insert(database, session(id="a"), 0)
    assert [(each["id"], each["runtimeMix"]) for each in workspace(database)] == [
        ("a", None),
        ("b", ["x"]),
        ("z", ["z"]),
        ("y", ["y"]),
    ]


def test_instances_and_messages_that_the_app_inserted_come_last_in_the_order_of_insertion(database):
    first, second = instance(instanceId=9), instance(instanceId=8)
    key = insert(database, session(instances=[first, second], chatHistory=[message(id="m"), message(id="l")]))
    for number, name in ((3, "c"), (2, "b")):
        database.execute(
            "INSERT INTO instances"
            " (session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id)"
            " VALUES (?, ?, '', '', '', '', '')",
            (key, number),
        )
        database.execute(
            "INSERT INTO chat_messages (id, session_id, role, content, timestamp) VALUES (?, ?, 'user', '.', '')",
            (name, key),
        )
    for document in (stored(database, key), *workspace(database)):
        assert [each["instanceId"] for each in document["instances"]] == [9, 8, 3, 2]
        assert [each["id"] for each in document["chatHistory"]] == ["m", "l", "c", "b"]


# Looking up.


def test_a_look_up_finds_the_first_in_file_order_and_then_the_others(database):
    late = insert(database, session(), 7)
    early = insert(database, session(), 2)
    own = insert(database, session(), None)
    insert(database, session(), 0, 2)
    assert keys_of(database, 1, "session-1") == [early, late, own]


def test_a_look_up_sees_ids_and_never_keys(database):
    insert(database, session(), 0)
    key = insert(database, session(), 1)
    assert keys_of(database, 1, key) == []
    assert keys_of(database, 1, "") == []
    assert keys_of(database, 2, "session-1") == []


def test_a_changed_key_no_longer_replaces_an_id(database):
    insert(database, session(), 0)
    key = insert(database, session(), 1)
    database.execute("UPDATE sessions SET id = 'session-1#mine' WHERE id = ?", (key,))
    assert keys_of(database, 1, "session-1") == ["session-1"]
    assert keys_of(database, 1, "session-1#mine") == ["session-1#mine"]


@pytest.mark.parametrize("rescued", ["{", "5", '{"columns": 5}', '{"columns": {"id": 5}}'])
def test_invalid_rescued_data_hides_no_other_session(database, rescued):
    insert(database, session(), 0)
    damaged = insert(database, session(), 1)
    third = insert(database, session(), 2)
    database.execute("UPDATE sessions SET rescued_data = ? WHERE id = ?", (rescued, damaged))
    assert keys_of(database, 1, "session-1") == ["session-1", third]
    assert keys_of(database, 1, damaged) == [damaged]


def test_rescued_data_that_is_not_text_hides_no_other_session(database):
    insert(database, session(), 0)
    damaged = insert(database, session(), 1)
    database.execute("UPDATE sessions SET rescued_data = CAST(x'ff' AS TEXT) WHERE id = ?", (damaged,))
    assert keys_of(database, 1, "session-1") == ["session-1"]
    assert keys_of(database, 1, damaged) == [damaged]


def test_an_id_with_a_nul_is_not_the_id_before_it(database):
    for place, name in enumerate(["a\x00b", "a\x00b", "a", "a", "\x00", "\x00", "", ""]):
        insert(database, session(id=name, task=name or "-"), place)
    for name in ("a\x00b", "a", "\x00", ""):
        assert [stored(database, key)["id"] for key in keys_of(database, 1, name)] == [name, name]


@given(st.lists(session_ids(), min_size=1, max_size=6))
def test_every_session_is_found_by_its_id_in_file_order(ids):
    with closing(schema.fresh()) as database:
        ensure_workspace(database, HASHES[1], None)
        keys = [insert(database, session(id=name), place) for place, name in enumerate(ids)]
        for name in ids:
            assert keys_of(database, 1, name) == [key for key, own in zip(keys, ids, strict=True) if own == name]


def test_an_unknown_key_finds_no_document(database):
    assert read_document(database, "nobody") is None


def test_a_source_has_its_own_sessions_in_file_order(database):
    database.execute(
        "INSERT INTO migration_ledger (id, source, status, size, mtime_ns, inode, created_at, updated_at)"
        " VALUES (5, 'sessions.json', 'migrated', 1, 1, 1, '', '')"
    )
    for place, (name, source) in enumerate([("c", 5), ("b", None), ("a", 5)]):
        insert_document(
            database,
            session(id=name, instances=[instance(branch=name)], chatHistory=[message(id=name)], runtimeMix=[name]),
            workspace_id=1 + place % 2,
            workspace_hash=HASHES[1],
            position=place,
            source_id=source,
        )
    found = list(read_source(database, 5))
    assert [(each.key, each.position, each.source_id, each.workspace_id) for each in found] == [
        ("c", 0, 5, 1),
        ("a", 2, 5, 1),
    ]
    assert [each.document["runtimeMix"] for each in found] == [["c"], ["a"]]


def test_deleting_a_session_leaves_nothing_of_it_and_all_of_its_twin(database):
    twin = session(instances=[instance()], chatHistory=[message()], runtimeMix=["claude"])
    first, second = insert(database, twin, 0), insert(database, twin, 1)
    delete_document(database, first)
    assert read_document(database, first) is None
    assert same(stored(database, second), normal_form(twin))
    for table in ("sessions", "instances", "chat_messages", "session_runtime_mix"):
        assert value(database, f"SELECT count(*) FROM {table}") == 1


def test_the_next_position_is_after_sessions_and_quarantined_items(database):
    assert next_position(database, 1, HASHES[1]) == 0
    insert(database, session(), 3)
    assert next_position(database, 1, HASHES[1]) == 4
    database.execute(
        "INSERT INTO quarantine (workspace_hash, position, reason, raw, problems, created_at)"
        " VALUES (?, 8, 'invalid', '{}', '[]', '')",
        (HASHES[1],),
    )
    assert next_position(database, 1, HASHES[1]) == 9
    assert next_position(database, 2, HASHES[2]) == 0


# Workspaces.


def test_a_workspace_of_an_unknown_path_has_a_placeholder_until_the_path_is_known(database):
    number = ensure_workspace(database, "cccccccccccccccc", None)
    assert find_workspace(database, "cccccccccccccccc") == (number, "unknown:cccccccccccccccc")
    assert ensure_workspace(database, "cccccccccccccccc", "/home/cy") == number
    assert find_workspace(database, "cccccccccccccccc") == (number, "/home/cy")
    ensure_workspace(database, "cccccccccccccccc", "/elsewhere")
    assert find_workspace(database, "cccccccccccccccc") == (number, "/home/cy")


def test_of_two_hashes_that_claim_one_path_the_second_keeps_a_placeholder(database):
    second = ensure_workspace(database, "dddddddddddddddd", "/home/dev/engine")
    assert find_workspace(database, "dddddddddddddddd") == (second, "unknown:dddddddddddddddd")
    assert ensure_workspace(database, "dddddddddddddddd", "/home/dev/engine") == second


def test_an_unknown_workspace_is_not_found(database):
    assert find_workspace(database, "eeeeeeeeeeeeeeee") is None


def test_rescued_data_is_json_with_each_substitute_and_its_original(database):
    insert(database, session(task="", status="round_3", x=[1.0]))
    assert json.loads(value(database, "SELECT rescued_data FROM sessions")) == {
        "columns": {"task": [" ", ""], "status": ["running", "round_3"]},
        "members": {"x": [1.0]},
    }


@given(written=documents())
def test_plain_messages_make_the_same_rows(written):
    normal = normal_form(written)["chatHistory"]
    plain = plain_messages(normal)
    rows = message_rows("s-1", normal)
    if plain is None:
        assert any(row[7] is not None for row in rows)
    else:
        assert plain_message_rows("s-1", plain, 0, len(plain)) == rows
        assert plain.empty == [position for position, row in enumerate(rows) if row[7] is not None]


def test_messages_as_the_app_writes_them_are_plain():
    written = normal_form(session(chatHistory=[message(id="a"), message(id="b", content="")]))["chatHistory"]
    plain = plain_messages(written)
    assert plain is not None
    assert plain.empty == [1]


@pytest.mark.parametrize("odd", [{"id": ""}, {"id": "a"}, {"more": 1}], ids=["no id", "an id twice", "unknown"])
def test_a_message_that_needs_rescuing_is_not_plain(odd):
    written = normal_form(session(chatHistory=[message(id="a"), message(**{"id": "b"} | odd)]))["chatHistory"]
    assert plain_messages(written) is None
