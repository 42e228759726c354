"""Decide about the sessions that a file lost and that are held: delete them, or keep them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from migrator.authority import read_state, require_history
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import QuarantineError, StaleStoreError, UsageError
from migrator.export.hybrid_files import change_and_update_files
from migrator.inventory.deletions import Held, held_deletions, release, take_out
from migrator.locking import exclusive
from migrator.report import Report


@dataclass(frozen=True)
class HeldDeletion:
    """A session that its file lost and that stays in SQLite until the user decides.

    :ivar id: what ``confirm`` and ``decline`` take: the session's id, or another text if several sessions have that
    :ivar session_id: the id in the session's document
    :ivar source: the file that lost it, as in the ledger
    :ivar messages: how many messages it has
    :ivar found_at: when a run found the file without it
    """

    id: str
    session_id: str
    task: str
    source: str
    workspace_hash: str
    workspace_path: str
    messages: int
    found_at: str


@dataclass(frozen=True)
class HeldDeletions(Report):
    """Every deletion that is held."""

    items: tuple[HeldDeletion, ...]


@dataclass(frozen=True)
class DecidedDeletion:
    """What was decided for one session.

    :ivar result: ``deleted``: in quarantine now; ``kept``: it stays in SQLite
    :ivar item: its number in quarantine; None if it stays
    """

    id: str
    session_id: str
    result: Literal["deleted", "kept"]
    item: int | None = None


@dataclass(frozen=True)
class DecidedDeletions(Report):
    """What was decided.

    :ivar warnings: what else is worth knowing
    """

    items: tuple[DecidedDeletion, ...]
    warnings: tuple[str, ...] = ()


def list_deletions(data_dir: DataDir) -> HeldDeletions:
    """Every deletion that is held, in the order of the files. Changes nothing.

    :raises ConnectionFailed: there is no database
    """
    path = data_dir.database
    require_history(data_dir)
    with opened(path, read_only=True) as connection, sqlite_errors("read the held deletions", path):
        connection.execute("BEGIN")
        found = held_deletions(connection) if read_state(connection, path).has_deletions else ()
        return HeldDeletions(tuple(map(_shown, found)))


def confirm_deletions(data_dir: DataDir, ids: Sequence[str] = (), *, every: bool = False) -> DecidedDeletions:
    """Delete held sessions from SQLite; each is kept in quarantine, from where ``quarantine retry`` puts it back.

    :param ids: the sessions, as :func:`list_deletions` names them
    :param every: all that are held
    :raises UsageError: neither or both were given
    :raises QuarantineError: there is no such session, or it is not held any more
    :raises StaleStoreError: SQLite is not authoritative
    """
    return _decide(data_dir, ids, every=every, delete=True)


def decline_deletions(data_dir: DataDir, ids: Sequence[str] = (), *, every: bool = False) -> DecidedDeletions:
    """Keep held sessions in SQLite; the next rollback or hybrid mode writes them to the file again.

    The parameters and errors are those of :func:`confirm_deletions`.
    """
    return _decide(data_dir, ids, every=every, delete=False)


def _decide(data_dir: DataDir, ids: Sequence[str], *, every: bool, delete: bool) -> DecidedDeletions:
    if bool(ids) == every:
        raise UsageError(
            "No session was named, or both sessions and --all were.",
            code="option.conflict" if every else "option.missing",
            hint="Give the ids that 'migrator deletions list' shows, or --all.",
        )
    apply = partial(_apply, data_dir, None if every else ids, delete=delete)
    with exclusive(data_dir):
        require_history(data_dir)  # refuses a newer schema before anything opens it for writing
        items, warnings = change_and_update_files(data_dir, apply, bool)
    return DecidedDeletions(items, tuple(warnings))


def _apply(data_dir: DataDir, ids: Sequence[str] | None, *, delete: bool) -> tuple[DecidedDeletion, ...]:
    """Decide about the sessions with these ids, in one transaction; None means all."""
    path = data_dir.database
    with opened(path) as connection:
        state = read_state(connection, path)
        if state.authority != "sqlite":
            raise StaleStoreError(
                "The JSON files are authoritative, not SQLite: no deletion is held.",
                code="store.not_authoritative",
                hint="The files have every session since the rollback.",
            )
        with transaction(connection, path, "decide about deleted sessions"):
            held = {one.stored.key: one for one in held_deletions(connection)} if state.has_deletions else {}
            chosen = [*held] if ids is None else [*dict.fromkeys(ids)]
            decided = []
            for key in chosen:
                if key not in held:
                    raise QuarantineError(
                        f"No deletion of a session {key!r} is held.",
                        code="session.not_held",
                        hint="'migrator deletions list' shows all that are held. Nothing was changed.",
                    )
                decided.append(_decided(connection, held[key], delete=delete))
            if ids is None and state.has_deletions:  # also the records of sessions that have changed since
                connection.execute(quarantine_queries.RELEASE_DELETIONS)
            return tuple(decided)


def _decided(connection: sqlite3.Connection, held: Held, *, delete: bool) -> DecidedDeletion:
    key, session_id = held.stored.key, held.stored.document["id"]
    if delete:
        return DecidedDeletion(key, session_id, "deleted", take_out(connection, held.stored, held.workspace_hash))
    release(connection, key)
    return DecidedDeletion(key, session_id, "kept")


def _shown(held: Held) -> HeldDeletion:
    document = held.stored.document
    return HeldDeletion(
        held.stored.key,
        document["id"],
        document["task"],
        held.source,
        held.workspace_hash,
        held.workspace_path,
        len(document["chatHistory"]),
        held.found_at,
    )
