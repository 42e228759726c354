"""One session document as rows of the tables, and back: the heart of the project.

The law: ``from_rows(to_rows(d)) == d`` for every valid document, an absent optional member and ``null`` being the same.

What a column can't hold exactly is *rescued*: the column takes a stand-in, and ``rescued_data`` of the same row keeps
``{"columns": {column: [stand-in, original]}, "members": {unknown members}}``. The original counts only while the
column still holds the stand-in, so that a later UPDATE by the desktop app wins.

==================  =====================================  ==================================================
column              refuses                                stand-in
==================  =====================================  ==================================================
``sessions.id``     an id that is taken, or empty          ``<id>#<workspace hash>.<position>``
``task``            an empty text                          one space
``sessions.status`` ``round_<n>`` of a running debate      ``running``
``total_duration``  2^63 and more (u64)                    2^63 - 1
``runtime_mix``     repeats; tells ``[]`` not from null    each runtime once, in order of first appearance
``instance_id``     a number that is taken in the session  2^32 + position: no u32, so never a real one
chat ``id``         an id that is taken, or empty          ``<id>#<session key>.<position>``
chat ``content``    an empty text                          one space
==================  =====================================  ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

from migrator.database.columns import SUMMARY_MEMBERS, MessageRow, SessionRow
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS, WorktreeSession
from migrator.documents.exact_json import MAX_DEPTH, to_json
from migrator.documents.parsing import parse_element

INTEGER_MAX = (1 << 63) - 1
INSTANCE_STAND_IN = 1 << 32
BLANK = " "
_MARK = "#"
_RESCUED = itemgetter(-1)  # of an instance or a message as it is read: NULL or an object, which is never empty
_STATUSES = frozenset({"running", "completed", "failed", "paused"})
# The columns of a session that may hold a stand-in, and the members that they stand for.
_SESSION_RESCUED = {
    "id": "id",
    "task": "task",
    "status": "status",
    "total_duration": "totalDuration",
    "runtime_mix": "runtimeMix",
}

Row = tuple[Any, ...]
_KeyedRow = TypeVar("_KeyedRow", SessionRow, MessageRow)


class DocumentRows(NamedTuple):
    """The rows of one document, each a tuple in the order of its ``…_COLUMNS`` of :mod:`migrator.database.columns`."""

    session: SessionRow
    runtimes: list[Row]
    instances: list[Row]
    messages: list[MessageRow]


def derived_key(wanted: str, scope: str, position: int) -> str:
    """The key of a row whose own id is taken or empty: the same for the same place, whatever else is there."""
    return f"{wanted}{_MARK}{scope}.{position}"


def derived_keys(wanted: str) -> tuple[str, str]:
    """What every key that stands in for this id lies between, in the order of SQLite's texts."""
    return wanted + _MARK, wanted + chr(ord(_MARK) + 1)


def free_key(wanted: str, spare: str, is_taken: Callable[[str], object]) -> str:
    """The key for a row: the wanted one if it is free and not empty, else the spare one with what makes it free."""
    if wanted and not is_taken(wanted):
        return wanted
    while is_taken(spare):
        spare += _MARK
    return spare


def to_rows(
    document: WorktreeSession,
    *,
    key: str | None = None,
    workspace_id: int = 0,
    position: int | None = None,
    source_id: int | None = None,
    with_messages: bool = True,
) -> DocumentRows:
    """The rows of a valid document.

    :param key: the primary key for the session; None takes the document's own id
    :param position: the session's place in its workspace
    :param with_messages: False leaves the messages out, for a caller that has their :func:`plain_messages`
    """
    key = document["id"] if key is None else key
    duration = document.get("totalDuration")
    columns: dict[str, Any] = {}
    mix = document.get("runtimeMix")
    distinct = list(dict.fromkeys(mix or ()))
    if mix is not None and (not mix or distinct != mix):
        columns["runtime_mix"] = [distinct, mix]
    session = SessionRow(
        _fit(columns, "id", document["id"], key),
        workspace_id,
        document["type"],
        _fit(columns, "task", document["task"], document["task"] or BLANK),
        _fit(columns, "status", document["status"], status_column(document["status"])),
        document["createdAt"],
        document["updatedAt"],
        document.get("completedAt"),
        document.get("model"),
        document.get("timeoutSeconds"),
        document.get("preserveWorktrees"),
        document.get("winnerId"),
        _fit(columns, "total_duration", duration, duration if duration is None else min(duration, INTEGER_MAX)),
        document.get("totalFilesChanged"),
        document.get("totalLinesAdded"),
        document.get("totalLinesDeleted"),
        position,
        _rescued(columns, document, SESSION_MEMBERS),
        source_id,
    )
    return DocumentRows(
        session,
        [(key, runtime) for runtime in distinct],
        _instance_rows(key, document["instances"]),
        message_rows(key, document["chatHistory"]) if with_messages else [],
    )


def _fit(columns: dict[str, Any], column: str, original: Any, stand_in: Any) -> Any:
    if stand_in != original:
        columns[column] = [stand_in, original]
    return stand_in


def status_column(status: str) -> str:
    """What the column ``sessions.status`` holds for a document's status."""
    return status if status in _STATUSES else "running"


def _rescued(columns: dict[str, Any], members: Any, known: tuple[str, ...]) -> str | None:
    rescued: dict[str, Any] = {"columns": columns} if columns else {}
    if len(members) > len(known) or not members.keys() <= set(known):
        unknown = {name: value for name, value in members.items() if name not in known}
        if unknown:
            rescued["members"] = unknown
    return to_json(rescued) if rescued else None


def _instance_rows(key: str, instances: Sequence[Any]) -> list[Row]:
    rows: list[Row] = []
    taken: set[int] = set()
    for position, instance in enumerate(instances):
        number = instance["instanceId"]
        columns: dict[str, Any] = {}
        if number in taken:
            number = _fit(columns, "instance_id", number, INSTANCE_STAND_IN + position)
        taken.add(number)
        values = [instance.get(name) for name in INSTANCE_MEMBERS[1:]]
        rows.append((key, number, *values, position, _rescued(columns, instance, INSTANCE_MEMBERS)))
    return rows


def message_rows(key: str, messages: Iterable[Any], first_position: int = 0) -> list[MessageRow]:
    """The rows of a session's messages; ``key`` is the session's.

    Ids that are taken by another session are found when the rows are inserted: see :func:`rekey`.
    """
    rows: list[MessageRow] = []
    taken: set[str] = set()
    for position, message in enumerate(messages, first_position):
        columns: dict[str, Any] = {}
        wanted = message["id"]
        own = _fit(columns, "id", wanted, free_key(wanted, derived_key(wanted, key, position), taken.__contains__))
        taken.add(own)
        row = MessageRow(
            own,
            key,
            message["role"],
            _fit(columns, "content", message["content"], message["content"] or BLANK),
            message["timestamp"],
            message.get("instanceId"),
            position,
            _rescued(columns, message, MESSAGE_MEMBERS),
        )
        rows.append(row)
    return rows


def rekey(row: _KeyedRow, key: str) -> _KeyedRow:
    """A session's or a message's row under another primary key, its own id rescued."""
    rescued = _parse(row.rescued_data) if row.rescued_data else {}
    columns = rescued.setdefault("columns", {})
    columns["id"] = [key, columns["id"][1] if "id" in columns else row.id]
    return row._replace(id=key, rescued_data=to_json(rescued))


def rekey_document(rows: DocumentRows, key: str) -> DocumentRows:
    """The rows of a document with another primary key for the session, its own id rescued."""
    return DocumentRows(
        rekey(rows.session, key),
        [(key, runtime) for _, runtime in rows.runtimes],
        [(key, *values) for _, *values in rows.instances],
        [row._replace(session_id=key) for row in rows.messages],
    )


def document_id(key: str, rescued_data: str | None) -> str:
    """The id that a session has in its document, of the row with this key."""
    if rescued_data is None:
        return key
    stand_in, original = _parse(rescued_data).get("columns", {}).get("id", (key, key))
    return cast(str, original) if stand_in == key else key


def _parse(rescued_data: str) -> dict[str, Any]:
    # What is rescued lies a level deeper than in the document.
    return cast(dict[str, Any], parse_element(rescued_data.encode(), max_depth=MAX_DEPTH + 1).value)


def _lay_over(members: dict[str, Any], rescued: dict[str, Any], names: dict[str, str]) -> None:
    """Put back all that was rescued; ``names`` has the members that the columns are of."""
    for column, (stand_in, original) in rescued.get("columns", {}).items():
        member = names[column]
        if member in members and members[member] == stand_in:
            members[member] = original
    members.update(rescued.get("members", {}))


def session_summary(row: Row) -> dict[str, Any]:
    """What is searched of a document, without its instances and messages: the members of SUMMARY_MEMBERS.

    :param row: begins with SUMMARY_COLUMNS
    """
    *values, rescued_data = row[: len(SUMMARY_MEMBERS) + 1]
    summary: dict[str, Any] = dict(zip(SUMMARY_MEMBERS, values, strict=True))
    if rescued_data is not None:
        _lay_over(summary, _parse(rescued_data) | {"members": {}}, _SESSION_RESCUED)
    return summary


def from_rows(
    session: SessionRow, runtimes: Iterable[str], instances: Sequence[Row], messages: Sequence[Row]
) -> tuple[WorktreeSession, bool]:
    """The document of rows as they are read, and whether it has its known members, as they are, and no others.

    Every known member comes first, in struct order, then the unknown ones. The rows are in the order in which documents
    hold them.

    :param runtimes: the names alone
    :param instances: in the order of READ_INSTANCE_COLUMNS; their session does not matter
    :param messages: in the order of READ_MESSAGE_COLUMNS, likewise
    """
    plain = session.rescued_data is None and not any(map(_RESCUED, instances))
    if not any(map(_RESCUED, messages)):
        chat = [
            # A call for each message would cost as much as the rest, and so would looking up each of its values.
            {"id": name, "role": role, "content": content, "timestamp": timestamp, "instanceId": instance}
            for name, _, role, content, timestamp, instance, _ in messages
        ]
    else:
        plain = False
        chat = [_message(row) for row in messages]
    preserve = session.preserve_worktrees
    document: dict[str, Any] = {
        "id": session.id,
        "type": session.type,
        "task": session.task,
        "status": session.status,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
        "completedAt": session.completed_at,
        "instances": [_instance(row) for row in instances],
        "chatHistory": chat,
        "model": session.model,
        "timeoutSeconds": session.timeout_seconds,
        "preserveWorktrees": None if preserve is None else bool(preserve),
        "winnerId": session.winner_id,
        "runtimeMix": list(runtimes),
        "totalDuration": session.total_duration,
        "totalFilesChanged": session.total_files_changed,
        "totalLinesAdded": session.total_lines_added,
        "totalLinesDeleted": session.total_lines_deleted,
    }
    rescued = _parse(session.rescued_data) if session.rescued_data is not None else {}
    if not document["runtimeMix"] and "runtime_mix" not in rescued.get("columns", {}):
        document["runtimeMix"] = None
    _lay_over(document, rescued, _SESSION_RESCUED)
    return cast(WorktreeSession, document), plain


def _instance(row: Row) -> dict[str, Any]:
    (
        _, number, worktree, branch, agent, status, tmux, output,
        start, end, files, added, deleted, runtime, model, label, rescued,
    ) = row  # fmt: skip
    instance = {  # a third of what looking up the names of the members would cost
        "instanceId": number,
        "worktreePath": worktree,
        "branch": branch,
        "agentName": agent,
        "status": status,
        "tmuxSessionId": tmux,
        "output": output,
        "startTime": start,
        "endTime": end,
        "filesChanged": files,
        "linesAdded": added,
        "linesDeleted": deleted,
        "runtime": runtime,
        "model": model,
        "runtimeLabel": label,
    }
    if rescued is not None:
        _lay_over(instance, _parse(rescued), {"instance_id": "instanceId"})
    return instance


def _message(row: Row) -> dict[str, Any]:
    name, _, role, content, timestamp, instance, rescued = row
    message = {"id": name, "role": role, "content": content, "timestamp": timestamp, "instanceId": instance}
    if rescued is not None:
        _lay_over(message, _parse(rescued), {"id": "id", "content": "content"})
    return message
