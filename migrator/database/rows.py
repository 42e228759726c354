"""Converts one session document to rows of the tables, and back.

``from_rows(to_rows(d)) == d`` holds for every valid document; an absent optional member and ``null`` are equal.

A value that its column cannot hold exactly is *rescued*: the column gets a substitute value, and ``rescued_data`` of
the same row keeps ``{"columns": {column: [substitute, original]}, "members": {unknown members}}``. The original is used
only while the column still holds the substitute, so a later UPDATE by the desktop app takes precedence.

==================  =====================================  ==================================================
column              cannot hold                            substitute
==================  =====================================  ==================================================
``sessions.id``     an id that is taken, or empty          ``<id>#<workspace hash>.<position>``
an id               more than 200 bytes                    its first 32 bytes, ``~``, its SHA-256
``task``            an empty text                          one space
``type``            all but the app's three                ``competition``
``sessions.status`` ``round_<n>`` of a running debate      ``running``
``sessions.status`` all else but the app's four            ``paused``
``total_duration``  2^63 and more (u64)                    2^63 - 1
``runtime_mix``     repeats; the empty list (as not null)  each runtime once, in order of first appearance
``instance_id``     a number that is taken in the session  2^32 + position: not a u32, so never a real one
chat ``id``         an id that is taken, or empty          ``<id>#<session key>.<position>``
chat ``role``       all but the app's three                ``system``
chat ``content``    an empty text                          one space
==================  =====================================  ==================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

from migrator.database.columns import SUMMARY_MEMBERS, MessageRow, SessionRow
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS, WorktreeSession
from migrator.documents.exact_json import MAX_DEPTH, parse_fast, to_json
from migrator.documents.parsing import parse_element

INTEGER_MAX = (1 << 63) - 1
FIRST_INSTANCE_SUBSTITUTE = 1 << 32
BLANK = " "
_MARK = "#"
_LONGEST_KEY, _BEGINNING = 200, 32  # bytes
SURELY_SHORT = _LONGEST_KEY // 4  # characters that are never more bytes than that
_RESCUED = itemgetter(-1)  # rescued_data of an instance's or a message's row: NULL or an object that is not empty
# The values that the app's tables accept; documents may have any text.
_TYPES = frozenset({"competition", "ensemble", "debate"})
_STATUSES = frozenset({"running", "completed", "failed", "paused"})
ROLES = frozenset({"user", "assistant", "system"})
_ROUND = re.compile(r"round_[0-9]+")
# The columns of a session that may hold a substitute value, and the members that they belong to.
_SESSION_RESCUED = {
    "id": "id",
    "type": "type",
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


def key_of_id(name: str) -> str:
    """Return the key for an id: the id itself, or a short substitute for a long one, computed from the id alone.

    Every child row and every index entry repeats the key.
    """
    if len(name) <= SURELY_SHORT or len(data := name.encode()) <= _LONGEST_KEY:
        return name
    return f"{data[:_BEGINNING].decode(errors='ignore')}~{hashlib.sha256(data).hexdigest()}"


def derived_key(wanted: str, scope: str, position: int) -> str:
    """Return the key for a row whose own id is taken or empty; it depends only on the row's place."""
    return f"{wanted}{_MARK}{scope}.{position}"


def derived_keys(wanted: str) -> tuple[str, str]:
    """Return the bounds between which SQLite sorts every key derived from this id."""
    return wanted + _MARK, wanted + chr(ord(_MARK) + 1)


def free_key(wanted: str, spare: str, is_taken: Callable[[str], object]) -> str:
    """Return the wanted key if it is free and not empty, otherwise the spare one, extended until it is free."""
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
    """Convert a valid document to rows.

    :param key: the primary key for the session; None uses the one of the document's own id
    :param position: the session's place in its workspace
    :param with_messages: False leaves out the messages, for a caller that makes their rows itself
    """
    key = key_of_id(document["id"]) if key is None else key
    duration = document.get("totalDuration")
    columns: dict[str, Any] = {}
    mix = document.get("runtimeMix")
    distinct = list(dict.fromkeys(mix or ()))
    if mix is not None and (not mix or distinct != mix):
        columns["runtime_mix"] = [distinct, mix]
    session = SessionRow(
        _fit(columns, "id", document["id"], key),
        workspace_id,
        _fit(columns, "type", document["type"], type_column(document["type"])),
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


def _fit(columns: dict[str, Any], column: str, original: Any, fitting: Any) -> Any:
    """Return the value that fits the column; if it is not the original, add both to the rescued columns."""
    if fitting != original:
        columns[column] = [fitting, original]
    return fitting


def status_column(status: str) -> str:
    """Return the value of the column ``sessions.status`` for a document's status."""
    if status in _STATUSES:
        return status
    return "running" if _ROUND.fullmatch(status) else "paused"


def type_column(session_type: str) -> str:
    """Return the value of the column ``sessions.type`` for a document's type."""
    return session_type if session_type in _TYPES else "competition"


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
            number = _fit(columns, "instance_id", number, FIRST_INSTANCE_SUBSTITUTE + position)
        taken.add(number)
        values = [instance.get(name) for name in INSTANCE_MEMBERS[1:]]
        rows.append((key, number, *values, position, _rescued(columns, instance, INSTANCE_MEMBERS)))
    return rows


def message_rows(key: str, messages: Iterable[Any], first_position: int = 0) -> list[MessageRow]:
    """Convert a session's messages to rows; ``key`` is the session's key.

    Ids that another session has taken are found only when the rows are inserted: see :func:`rekey`.
    """
    rows: list[MessageRow] = []
    taken: set[str] = set()
    for position, message in enumerate(messages, first_position):
        columns: dict[str, Any] = {}
        wanted = message["id"]
        short = key_of_id(wanted)
        own = _fit(columns, "id", wanted, free_key(short, derived_key(short, key, position), taken.__contains__))
        taken.add(own)
        row = MessageRow(
            own,
            key,
            _fit(columns, "role", message["role"], message["role"] if message["role"] in ROLES else "system"),
            _fit(columns, "content", message["content"], message["content"] or BLANK),
            message["timestamp"],
            message.get("instanceId"),
            position,
            _rescued(columns, message, MESSAGE_MEMBERS),
        )
        rows.append(row)
    return rows


def rekey(row: _KeyedRow, key: str) -> _KeyedRow:
    """Return a session's or a message's row with another primary key; its own id is rescued."""
    rescued = _parse(row.rescued_data) if row.rescued_data else {}
    columns = rescued.setdefault("columns", {})
    columns["id"] = [key, columns["id"][1] if "id" in columns else row.id]
    return row._replace(id=key, rescued_data=to_json(rescued))


def rekey_document(rows: DocumentRows, key: str) -> DocumentRows:
    """Return the rows of a document with another primary key for the session; its own id is rescued."""
    return DocumentRows(
        rekey(rows.session, key),
        [(key, runtime) for _, runtime in rows.runtimes],
        [(key, *values) for _, *values in rows.instances],
        [row._replace(session_id=key) for row in rows.messages],
    )


def document_id(key: str, rescued_data: str | None) -> str:
    """Return the id in the document of the session row with this key."""
    if rescued_data is None:
        return key
    substitute, original = _rescued_columns(rescued_data).get("id", (key, key))
    return cast(str, original) if substitute == key else key


def only_runtimes(rescued_data: str) -> bool:
    """Return whether nothing of a session but its runtimes was rescued, by far the most frequent case.

    It misses those with a colon in a name: what else was rescued would need another colon.
    """
    return rescued_data.startswith('{"columns":{"runtime_mix":') and rescued_data.count(":") == 2


def _rescued_columns(rescued_data: str) -> dict[str, Any]:
    """Return the rescued columns of a session; orjson reads the numbers among them exactly: none exceeds 64 bits."""
    value: dict[str, Any] = parse_fast(rescued_data.encode()) or _parse(rescued_data)
    columns: dict[str, Any] = value.get("columns", {})
    return columns


def _parse(rescued_data: str) -> dict[str, Any]:
    # Rescued values are nested one level deeper than in the document.
    value: dict[str, Any] = parse_element(rescued_data.encode(), max_depth=MAX_DEPTH + 1).value
    return value


def _restore(members: dict[str, Any], rescued: dict[str, Any], names: dict[str, str]) -> None:
    """Put the rescued values back into ``members``; ``names`` maps columns to members."""
    for column, (substitute, original) in rescued.get("columns", {}).items():
        member = names[column]
        if member in members and members[member] == substitute:
            members[member] = original
    members.update(rescued.get("members", {}))


def session_summary(row: Row, members: tuple[str, ...] = SUMMARY_MEMBERS) -> dict[str, Any]:
    """Return some members of a document, without instances and messages.

    :param row: begins with the values of these members, then ``rescued_data``
    """
    *values, rescued_data = row[: len(members) + 1]
    summary: dict[str, Any] = dict(zip(members, values, strict=True))
    if rescued_data is not None:
        _restore(summary, {"columns": _rescued_columns(rescued_data)}, _SESSION_RESCUED)
    return summary


def from_rows(
    session: SessionRow, runtimes: Iterable[str], instances: Sequence[Row], messages: Sequence[Row]
) -> tuple[WorktreeSession, bool]:
    """Convert rows back to their document; also return whether it is plain, that is, nothing was rescued.

    The known members come first, in struct order, then the unknown ones. The rows must be in document order.

    :param runtimes: the names only
    :param instances: columns in the order of READ_INSTANCE_COLUMNS; the session's value is ignored
    :param messages: columns in the order of READ_MESSAGE_COLUMNS; the session's value is ignored
    """
    plain = session.rescued_data is None and not any(map(_RESCUED, instances))
    if not any(map(_RESCUED, messages)):
        chat = [
            # Inline for speed: a function call per message would double the time.
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
    _restore(document, rescued, _SESSION_RESCUED)
    return cast(WorktreeSession, document), plain


def _instance(row: Row) -> dict[str, Any]:
    (
        _, number, worktree, branch, agent, status, tmux, output,
        start, end, files, added, deleted, runtime, model, label, rescued,
    ) = row  # fmt: skip
    instance = {  # written out for speed: zipping names and values takes three times as long
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
        _restore(instance, _parse(rescued), {"instance_id": "instanceId"})
    return instance


def _message(row: Row) -> dict[str, Any]:
    name, _, role, content, timestamp, instance, rescued = row
    message = {"id": name, "role": role, "content": content, "timestamp": timestamp, "instanceId": instance}
    if rescued is not None:
        _restore(message, _parse(rescued), {"id": "id", "role": "role", "content": "content"})
    return message
