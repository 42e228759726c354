"""Session documents: their shape, normal form, canonical form and digest.

The shape is defined by the app's ``session_history.rs`` and ``worktree.ts``: a member is required if the app's reader
requires it. Documents are written as Rust's ``serde_json::to_string_pretty`` writes those structs.
"""

from __future__ import annotations

import hashlib
from typing import Any, NotRequired, TypedDict, cast

import orjson

from migrator.documents.exact_json import encode


class ChatMessage(TypedDict):
    """One message of a session's chat; its ``id`` is not unique, not even within one session."""

    id: str
    role: str
    content: str
    timestamp: str
    instanceId: NotRequired[int | None]


class WorktreeInstance(TypedDict):
    """One agent working in one worktree; numbers are u32."""

    instanceId: int
    worktreePath: str
    branch: str
    agentName: str
    status: str
    tmuxSessionId: str
    output: NotRequired[str | None]
    startTime: NotRequired[str | None]
    endTime: NotRequired[str | None]
    filesChanged: NotRequired[int | None]
    linesAdded: NotRequired[int | None]
    linesDeleted: NotRequired[int | None]
    runtime: NotRequired[str | None]
    model: NotRequired[str | None]
    runtimeLabel: NotRequired[str | None]


class WorktreeSession(TypedDict):
    """One competition, ensemble or debate; ``totalDuration`` is u64, the other numbers are u32."""

    id: str
    type: str
    task: str
    status: str
    createdAt: str
    updatedAt: str
    completedAt: NotRequired[str | None]
    instances: list[WorktreeInstance]
    chatHistory: list[ChatMessage]
    model: NotRequired[str | None]
    timeoutSeconds: NotRequired[int | None]
    preserveWorktrees: NotRequired[bool | None]
    winnerId: NotRequired[int | None]
    runtimeMix: NotRequired[list[str] | None]
    totalDuration: NotRequired[int | None]
    totalFilesChanged: NotRequired[int | None]
    totalLinesAdded: NotRequired[int | None]
    totalLinesDeleted: NotRequired[int | None]


# A TypedDict keeps its members in the order of their declaration, which is the order of the Rust structs.
SESSION_MEMBERS = tuple(WorktreeSession.__annotations__)
INSTANCE_MEMBERS = tuple(WorktreeInstance.__annotations__)
MESSAGE_MEMBERS = tuple(ChatMessage.__annotations__)
_INNER_MEMBERS = (("instances", INSTANCE_MEMBERS), ("chatHistory", MESSAGE_MEMBERS))


def normal_form(document: WorktreeSession) -> WorktreeSession:
    """Return a document as the app's struct would hold it.

    Known members come first, in struct order, absent ones as None; unknown members follow in their own order.
    """
    ordered = _ordered(document, SESSION_MEMBERS)
    for name, known in _INNER_MEMBERS:
        if not _all_have(ordered[name], known):
            ordered = {**ordered, name: [_ordered(each, known) for each in ordered[name]]}
    return cast(WorktreeSession, ordered)


def _ordered(members: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if tuple(members) == names:
        return cast(dict[str, Any], members)
    return {**dict.fromkeys(names), **members}


def canonical_bytes(document: WorktreeSession, *, plain: bool = False) -> bytes:
    """Return the canonical form of a document: two documents are equal if and only if these bytes are equal.

    It is the text that the app would write for the document in a workspace file, with unknown members sorted by name at
    every level. An absent optional member equals ``null``.

    :param plain: the document is in normal form and has no unknown members (see :func:`is_normal`)
    """
    if plain:
        return pretty_element(document)
    normal: Any = normal_form(document)
    if len(normal) > len(SESSION_MEMBERS):
        normal = _sorted_unknown(normal, SESSION_MEMBERS)
    for name, known in _INNER_MEMBERS:
        if any(len(each) > len(known) for each in normal[name]):
            normal = {**normal, name: [_sorted_unknown(each, known) for each in normal[name]]}
    return pretty_element(normal)


def _sorted_unknown(members: Any, known: tuple[str, ...]) -> dict[str, Any]:
    ordered = {name: members[name] for name in known}
    for name in sorted(members.keys() - ordered.keys()):
        ordered[name] = _sorted_deep(members[name])
    return ordered


def _sorted_deep(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted_deep(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted_deep(member) for member in value]
    return value


def is_normal(value: Any) -> bool:
    """Whether a JSON value has exactly the known members of a session, in struct order, at every level."""
    return (
        type(value) is dict
        and tuple(value) == SESSION_MEMBERS
        and all(_all_have(value[name], known) for name, known in _INNER_MEMBERS)
    )


def _all_have(values: Any, members: tuple[str, ...]) -> bool:
    return type(values) is list and all(type(value) is dict and tuple(value) == members for value in values)


def pretty_element(value: Any) -> bytes:
    """Pretty-print a value as an element of an array: indented by one step, without the array around it."""
    return encode([value], orjson.OPT_INDENT_2)[4:-2]


def digest(text: bytes) -> bytes:
    """Return the digest of a document: the SHA-256 of its canonical form ``text``."""
    return hashlib.sha256(text).digest()


class SequenceDigest:
    """The digest of a sequence of documents: SHA-256 over the digest of each one.

    It changes if a document is changed, lost, repeated or moved.
    """

    def __init__(self) -> None:
        self._sequence = hashlib.sha256()

    def add(self, text: bytes) -> bytes:
        """Append a document, given its canonical form, and return the document's digest."""
        own = digest(text)
        self.add_digest(own)
        return own

    def add_digest(self, own: bytes) -> None:
        """Append a document, given its digest."""
        self._sequence.update(own)

    def hexdigest(self) -> str:
        """Return the digest of the sequence, in hex."""
        return self._sequence.hexdigest()
