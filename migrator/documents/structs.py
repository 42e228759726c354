"""The app's structs, as msgspec decodes them: what has exactly their members, valid, in one step from bytes to values.

Anything else, valid or not, is left to :mod:`migrator.documents.validation`, whose JSON Schema is the contract: a
property test holds this to accepting nothing that it refuses. Numbers are judged by their value: that ``7.0`` is not
how the app writes 7 shows when the session is read back and compared with its bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

_U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
_U64_MAX = (1 << 64) - 1  # msgspec knows no bound that large
_STATUS = r"\A(?:running|completed|failed|paused|round_[0-9]+)\Z"


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chat message that has all of its members."""

    id: str
    role: Literal["user", "assistant", "system"]
    content: str
    timestamp: str
    instanceId: _U32 | None


class Instance(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An instance that has all of its members."""

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
    """A session that has all of its members."""

    id: str
    type: Literal["competition", "ensemble", "debate"]
    task: str
    status: Annotated[str, msgspec.Meta(pattern=_STATUS)]
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
    """The session in the bytes if it has the members of the app's structs, all of them and no others, and is valid."""
    try:
        session = _DECODER.decode(raw)
    except (ValueError, msgspec.DecodeError, RecursionError):  # ValueError: it is no UTF-8
        return None
    return session if (session.totalDuration or 0) <= _U64_MAX else None
