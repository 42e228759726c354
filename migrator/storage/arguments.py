"""Checks the arguments of every store's methods, and makes the errors that all stores raise."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from migrator.documents.app_format import app_bytes
from migrator.documents.document import ChatMessage, WorktreeSession, canonical_bytes
from migrator.documents.exact_json import Unreadable, to_json
from migrator.documents.parsing import parse_element
from migrator.documents.validation import abbreviated, require_message, require_session
from migrator.errors import (
    InstanceNotFound,
    SessionAlreadyExists,
    SessionChanged,
    SessionNotFound,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.workspace import HASH_PATTERN, UNKNOWN_PREFIX, hash_of_text, hashed_path

_LOG = logging.getLogger("migrator")


class WorkspaceRef(NamedTuple):
    """A workspace as the stores identify it.

    :ivar hash: the hash that names its file
    :ivar path: the path that was hashed; None if the caller knows only the hash
    """

    hash: str
    path: str | None


def workspace_ref(workspace_path: Any) -> WorkspaceRef:
    """Return the workspace of a path; ``unknown:<hash>`` is the workspace with that hash.

    :raises ValidationError: the path is empty, blank or not a path
    """
    text = os.fspath(workspace_path) if isinstance(workspace_path, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise ValidationError(
            f"A workspace path must be a string or a path, not {abbreviated(workspace_path)}.", code="option.type"
        )
    if not text.strip():
        raise ValidationError(
            "The workspace path is empty.", code="workspace.empty_path", hint="Open a workspace first."
        )
    known_hash = text.removeprefix(UNKNOWN_PREFIX)
    if known_hash != text and HASH_PATTERN.fullmatch(known_hash):
        return WorkspaceRef(known_hash, None)
    path = hashed_path(text)
    return WorkspaceRef(hash_of_text(path), path)


def workspace_ref_or_none(workspace_path: Any) -> WorkspaceRef | None:
    """Return the workspace of a path; for a blank path log a warning and return None."""
    if isinstance(workspace_path, str) and not workspace_path.strip():
        _LOG.warning("Sessions were requested for an empty workspace path: there are none.")
        return None
    return workspace_ref(workspace_path)


class SessionRef(NamedTuple):
    """A session as the stores identify it.

    :ivar ordinal: 0 for the first session of the workspace with this id, 1 for the second, and so on
    """

    workspace: WorkspaceRef
    id: str
    ordinal: int


def session_ref(workspace_path: Any, session_id: Any, ordinal: Any = 0) -> SessionRef:
    """Return the session of a workspace with an id and an ordinal.

    :raises ValidationError: the path is empty or blank, or the id or the ordinal is not one
    """
    workspace = workspace_ref(workspace_path)
    require_text(session_id, "A session id")
    if not isinstance(ordinal, int) or isinstance(ordinal, bool) or ordinal < 0:
        raise ValidationError(
            f"The argument ordinal cannot be {abbreviated(ordinal)}: it must be an integer of 0 or more.",
            code="option.invalid",
        )
    return SessionRef(workspace, session_id, ordinal)


def require_text(value: Any, what: str) -> None:
    """Check that a value is a string.

    :param what: the value's name, for messages: "A session id"
    :raises ValidationError: it is not a string, or cannot be encoded as UTF-8
    """
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            message = f"{what} contains half of a surrogate pair, which cannot be encoded as UTF-8."
            raise ValidationError(message, code="document.lone_surrogate") from None
    else:
        raise ValidationError(f"{what} must be a string, not {abbreviated(value)}.", code="option.type")


def require_status(instance_id: Any, status: Any) -> None:
    """Check an instance's id and status.

    :raises ValidationError: the id is not an integer, or the status is not a string
    """
    if not isinstance(instance_id, int) or isinstance(instance_id, bool):
        raise ValidationError(f"An instance id must be an integer, not {abbreviated(instance_id)}.", code="option.type")
    require_text(status, "A status")


def valid_sessions(sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
    """Return the documents as a list, after checking each.

    :raises ValidationError: one is not a valid session
    """
    found = [*sessions]
    for session in found:
        require_session(session)
    return found


def as_stored(session: WorktreeSession) -> WorktreeSession:
    """Return a copy of a document as it will be read back.

    :raises ValidationError: it is not a valid session, or contains a number that cannot be read back
    """
    require_session(session)
    return cast(WorktreeSession, _read_back(app_bytes(session)))


def all_as_stored(sessions: Any) -> list[WorktreeSession]:
    """Return a copy of each document as it will be read back.

    :raises ValidationError: the argument is not a list of documents, or one of them is not a valid session
    :raises SessionAlreadyExists: two of them have the same id
    """
    if isinstance(sessions, (str, bytes, Mapping)) or not isinstance(sessions, Iterable):
        raise ValidationError(
            f"The argument sessions must be a list of sessions, not {abbreviated(sessions)}.", code="option.type"
        )
    stored: dict[str, WorktreeSession] = {}
    for index, session in enumerate(sessions):
        try:
            document = as_stored(session)
        except ValidationError as error:
            problems = [problem._replace(pointer=f"/{index}{problem.pointer}") for problem in error.problems]
            raise ValidationError(
                f"At index {index}: {error.message}", problems, code=error.code, hint=error.hint
            ) from error
        if stored.setdefault(document["id"], document) is not document:
            raise session_exists(document["id"])
    return [*stored.values()]


def expected_as_stored(expected: Any, session_id: str) -> WorktreeSession | None:
    """Return the document that a caller has read before, as it was stored; None if there is none.

    :raises ValidationError: it is not a valid session, or has another id
    """
    if expected is None:
        return None
    try:
        stored = as_stored(expected)
    except ValidationError as error:
        raise ValidationError(
            f"The argument expected: {error.message}", error.problems, code=error.code, hint=error.hint
        ) from error
    if stored["id"] != session_id:
        raise ValidationError(
            f"The argument expected is the session {abbreviated(stored['id'])}, not {abbreviated(session_id)}.",
            code="option.invalid",
        )
    return stored


def require_unchanged(expected: WorktreeSession, found: WorktreeSession) -> None:
    """Check that a session is still as the caller has read it.

    :raises SessionChanged: it is not
    """
    if canonical_bytes(expected) != canonical_bytes(found):
        raise SessionChanged(
            f"The session {abbreviated(found['id'])} has changed since it was read.",
            expected=expected,
            found=found,
            hint="Nothing was changed. Apply the change to the session as it is now, and update it again.",
        )


def message_as_stored(message: ChatMessage) -> ChatMessage:
    """Return a copy of a chat message as it will be read back.

    :raises ValidationError: it is not a valid message, or contains a number that cannot be read back
    """
    require_message(message)
    return cast(ChatMessage, _read_back(to_json(message).encode()))


def _read_back(raw: bytes) -> Any:
    try:
        return parse_element(raw).value
    except Unreadable as error:
        raise ValidationError(f"The document cannot be stored: {error.reason}.", code=error.code) from error


def workspace_not_found(workspace: WorkspaceRef) -> WorkspaceNotFound:
    """Return the error for a workspace that the store does not know."""
    named = abbreviated(workspace.path) if workspace.path else f"with the hash {workspace.hash}"
    return WorkspaceNotFound(f"The store has no workspace {named}.", hint="It appears with its first session.")


def session_not_found(session: SessionRef) -> SessionNotFound:
    """Return the error for a session that does not exist."""
    which = f" with the ordinal {abbreviated(session.ordinal)}" if session.ordinal else ""
    return SessionNotFound(f"The workspace has no session {abbreviated(session.id)}{which}.")


def session_exists(session_id: str) -> SessionAlreadyExists:
    """Return the error for a session that exists already."""
    return SessionAlreadyExists(
        f"The workspace already has a session {abbreviated(session_id)}.", hint="Update it, or use another id."
    )


def instance_not_found(session_id: str, instance_id: int) -> InstanceNotFound:
    """Return the error for an instance that does not exist."""
    return InstanceNotFound(f"The session {abbreviated(session_id)} has no instance {abbreviated(instance_id)}.")
