"""What every store checks before it looks at its data, and the words in which it refuses."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from migrator.documents.app_format import app_bytes
from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.documents.exact_json import Unreadable, to_json
from migrator.documents.parsing import parse_element
from migrator.documents.validation import abbreviated, require_message, require_session
from migrator.errors import InstanceNotFound, SessionAlreadyExists, SessionNotFound, ValidationError, WorkspaceNotFound
from migrator.workspace import HASH_PATTERN, UNKNOWN_PREFIX, hash_of_text, hashed_path

_LOG = logging.getLogger("migrator")


class WorkspaceRef(NamedTuple):
    """A workspace as the stores know it.

    :ivar hash: what its file is named by
    :ivar path: the path that the hash is of; None where the caller knows only the hash
    """

    hash: str
    path: str | None


def workspace_ref(workspace_path: Any) -> WorkspaceRef:
    """Where a workspace path leads to; ``unknown:<hash>`` leads to the workspace of that hash.

    :raises ValidationError: it is empty or blank
    """
    if not isinstance(workspace_path, (str, os.PathLike)):
        raise ValidationError(f"A workspace path is a text, not {_shown(workspace_path)}.")
    text = os.fspath(workspace_path)
    if not text.strip():
        raise ValidationError("The workspace path is empty.", hint="Open a workspace first.")
    known_hash = text.removeprefix(UNKNOWN_PREFIX)
    if known_hash != text and HASH_PATTERN.fullmatch(known_hash):
        return WorkspaceRef(known_hash, None)
    path = hashed_path(text)
    return WorkspaceRef(hash_of_text(path), path)


def workspace_ref_or_none(workspace_path: Any) -> WorkspaceRef | None:
    """The workspace of a path; None, and a warning in the log, for a blank one, where that means "no sessions"."""
    if isinstance(workspace_path, str) and not workspace_path.strip():
        _LOG.warning("The sessions of an empty workspace path were asked for: there are none.")
        return None
    return workspace_ref(workspace_path)


def workspace_of_session(workspace_path: Any, session_id: Any) -> WorkspaceRef:
    """The workspace in which a session is named.

    :raises ValidationError: the path is empty or blank, or the id is no text
    """
    workspace = workspace_ref(workspace_path)
    require_text(session_id, "A session id")
    return workspace


def _shown(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return abbreviated(value)
    return f"a {type(value).__name__}"


def require_text(value: Any, what: str) -> None:
    """Refuse what is no text.

    :raises ValidationError: the value is no text that UTF-8 can hold
    """
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValidationError(f"{what} holds half of a surrogate pair, which UTF-8 can't hold.") from None
    else:
        raise ValidationError(f"{what} is a text, not {_shown(value)}.")


def require_status(instance_id: Any, status: Any) -> None:
    """Refuse what names no instance, or is no status.

    :raises ValidationError: the id is no integer, or the status no text
    """
    if not isinstance(instance_id, int) or isinstance(instance_id, bool):
        raise ValidationError(f"An instance id is a number, not {_shown(instance_id)}.")
    require_text(status, "A status")


def valid_sessions(sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
    """The documents, each of them valid.

    :raises ValidationError: one is no valid session
    """
    found = [*sessions]
    for session in found:
        require_session(session)
    return found


def as_stored(session: WorktreeSession) -> WorktreeSession:
    """A document as it will be read back, sharing nothing with the one given.

    :raises ValidationError: it is no valid session, or holds a number that can't be read back
    """
    require_session(session)
    return cast(WorktreeSession, _read_back(app_bytes(session)))


def message_as_stored(message: ChatMessage) -> ChatMessage:
    """A chat message as it will be read back, sharing nothing with the one given.

    :raises ValidationError: it is no valid message, or holds a number that can't be read back
    """
    require_message(message)
    return cast(ChatMessage, _read_back(to_json(message).encode()))


def _read_back(raw: bytes) -> Any:
    try:
        return parse_element(raw).value
    except Unreadable as error:
        raise ValidationError(f"This can't be kept: it holds {error.reason}.") from error


def workspace_not_found(workspace: WorkspaceRef) -> WorkspaceNotFound:
    """The store has never seen the workspace."""
    named = abbreviated(workspace.path) if workspace.path else f"of the hash {workspace.hash}"
    return WorkspaceNotFound(f"No workspace {named} is known.", hint="It has had no sessions yet.")


def session_not_found(session_id: str) -> SessionNotFound:
    """The workspace has no session of that id."""
    return SessionNotFound(f"The workspace has no session {abbreviated(session_id)}.")


def session_exists(session_id: str) -> SessionAlreadyExists:
    """The workspace has a session of that id already."""
    return SessionAlreadyExists(
        f"The workspace has a session {abbreviated(session_id)} already.", hint="Update it, or take another id."
    )


def instance_not_found(session_id: str, instance_id: int) -> InstanceNotFound:
    """The session has no instance of that number."""
    return InstanceNotFound(f"The session {abbreviated(session_id)} has no instance {instance_id}.")
