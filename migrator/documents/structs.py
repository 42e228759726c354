"""The app's structs for msgspec, which parses and validates a session with exactly their members in one step.

Anything else, valid or not, is left to :mod:`migrator.documents.validation`, whose JSON Schema is the contract: a
property test checks that nothing is accepted here that the schema rejects. Numbers are checked by value: that ``7.0``
is not how the app writes 7 is noticed when the session is read back and compared with its bytes.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

_U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
_U64_MAX = (1 << 64) - 1  # too large a bound for msgspec


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chat message with all of its members."""

    id: str
    role: str
    content: str
    timestamp: str
    instanceId: _U32 | None


class Instance(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An instance with all of its members."""

    instanceId: _U32
    worktreePath: str
    branch: str
    agentName: str
    status: str
    tmuxSessionId: str
    output: str | None
    startTime: str | None
    endTime: str | None
    filesChanged: _U32 | None
    linesAdded: _U32 | None
    linesDeleted: _U32 | None
    runtime: str | None
    model: str | None
    runtimeLabel: str | None


class Session(msgspec.Struct, forbid_unknown_fields=True):
    """A session with all of its members."""

    id: str
    type: str
    task: str
    status: str
    createdAt: str
    updatedAt: str
    completedAt: str | None
    instances: list[Instance]
    chatHistory: list[Message]
    model: str | None
    timeoutSeconds: _U32 | None
    preserveWorktrees: bool | None
    winnerId: _U32 | None
    runtimeMix: list[str] | None
    totalDuration: Annotated[int, msgspec.Meta(ge=0)] | None
    totalFilesChanged: _U32 | None
    totalLinesAdded: _U32 | None
    totalLinesDeleted: _U32 | None


_DECODER = msgspec.json.Decoder(Session)


def decode_session(raw: bytes) -> Session | None:
    """Decode a valid session that has exactly the members of the app's structs; return None for anything else."""
    try:
        session = _DECODER.decode(raw)
    except (ValueError, msgspec.DecodeError, RecursionError):  # ValueError: not UTF-8
        return None
    return session if (session.totalDuration or 0) <= _U64_MAX else None
