"""Takes what is missing of a session from the backup copy of its file, as far as there is one."""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.documents import ensure_workspace, insert_document, read_document, replace_document
from migrator.database.invalid import UNREADABLE, reraise_unless_data_error
from migrator.database.rows import from_rows, to_rows
from migrator.documents.document import WorktreeSession
from migrator.documents.parsing import parse_file
from migrator.documents.validation import is_valid
from migrator.errors import Message, MigratorError
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.salvage import queries as salvage_queries
from migrator.salvage.losses import Lost, workspace_of
from migrator.workspace import workspace_shown


class Base(NamedTuple):
    """A session as a backup copy of its file has it.

    :ivar copy: the copy, as the ledger records it
    """

    document: WorktreeSession
    position: int
    copy: str
    entry: LedgerEntry


def complete(connection: sqlite3.Connection, data_dir: DataDir, lost: Iterable[Lost]) -> Iterator[Message]:
    """Complete each session from its base, and say which version it has; or that there is no base."""
    wanted = {one.key: one for one in lost}
    bases = _bases(connection, data_dir, wanted)
    for key, one in sorted(wanted.items()):
        base = bases.get(key)
        if "sessions" not in one.tables:
            row = connection.execute(salvage_queries.WORKSPACE_OF_SESSION, (key,)).fetchone()
            one.workspace_id = row[0]
        document = None if base is None else _document(connection, one, base.document)
        if base is not None and document is not None:
            _write(connection, one, base, document)
        place = workspace_of(connection, one.workspace_id)
        where = f"The session {key!r} of {place[1] if place else 'an unknown workspace'}"
        yield _message(where, one, None if document is None else base)


def _message(where: str, lost: Lost, base: Base | None) -> Message:
    whole = "sessions" not in lost.tables
    if base is not None and whole:
        text = (
            f"{where} cannot be read completely. What was missing was taken from {base.copy}, the copy of "
            f"{base.entry.source} "
        )
        return Message(f"{text}that was migrated last.", code="session.completed_from_backup")
    if base is not None:
        text = f"{where} cannot be read. It was taken from {base.copy}, the copy of {base.entry.source} "
        return Message(f"{text}that was migrated last, without later changes.", code="session.taken_from_backup")
    if whole:
        text = (
            f"{where} is incomplete: rows of {' and '.join(sorted(lost.tables))} cannot be read, and no copy has them."
        )
        return Message(text, code="session.incomplete")
    return Message(f"{where} cannot be read, and no backup copy has it.", code="session.unreadable")


def _bases(connection: sqlite3.Connection, data_dir: DataDir, wanted: Mapping[str, Lost]) -> dict[str, Base]:
    """Look for sessions in the backup copies of the files that they came from, or of all files if that is unknown."""
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    sources: set[int | None] = set()
    for key, one in wanted.items():
        by_id[key].append(key)
        if "#" in key:  # derived from the session's own id, its workspace and its position
            by_id[key.rpartition("#")[0]].append(key)
        row = connection.execute(queries.PLACE_OF_SESSION, (key,)).fetchone()
        sources.add(row[1] if row else one.source_id)
    found: dict[str, Base] = {}
    for entry in read_ledger(connection).values() if wanted else ():
        if None not in sources and entry.id not in sources:
            continue
        for name in entry.base_copies:
            with suppress(MigratorError, ValueError):  # it is gone, damaged, or a copy of a database
                for element, session in parse_file(data_dir.recorded(name)):
                    for key in by_id.get(session.value["id"], ()) if session else ():
                        if session and (key == session.value["id"] or key.endswith(f".{element.position}")):
                            found.setdefault(key, Base(session.value, element.position, name, entry))
    return found


def _document(connection: sqlite3.Connection, lost: Lost, base: WorktreeSession) -> WorktreeSession | None:
    """Return the session as far as it can be read, with the base's values in place of what is lost."""
    key = lost.key
    try:
        if "sessions" in lost.tables:
            row = to_rows(base, key=key).session
            runtimes = [name for (name,) in connection.execute(queries.RUNTIMES_OF_SESSION, (key,))]
            instances = connection.execute(queries.INSTANCES_OF_SESSION, (key,)).fetchall()
            messages = connection.execute(queries.MESSAGES_OF_SESSION, (key,)).fetchall()
            now: Any = dict(from_rows(row, runtimes, instances, messages)[0])
        else:
            stored = read_document(connection, key)
            now = dict(stored.document) if stored else dict(base)
    except UNREADABLE as error:
        reraise_unless_data_error(error)
        return base
    if lost.tables & {"instances", "sessions"}:
        now["instances"] = _union(base["instances"], now["instances"], "instanceId")
    if lost.tables & {"chat_messages", "sessions"}:
        now["chatHistory"] = _union(base["chatHistory"], now["chatHistory"], "id")
    if lost.tables & {"session_runtime_mix", "sessions"}:
        now["runtimeMix"] = base.get("runtimeMix")
    return cast(WorktreeSession, now) if is_valid(now) else None


def _union(base: Iterable[Any], now: Iterable[Any], name: str) -> list[Any]:
    """Return the elements of the base, each as it is now if it is there, and then those that are new."""
    left: defaultdict[Any, deque[Any]] = defaultdict(deque)
    for element in now:
        left[element[name]].append(element)
    merged = [left[element[name]].popleft() if left[element[name]] else element for element in base]
    return [*merged, *(element for elements in left.values() for element in elements)]


def _workspace_of_base(connection: sqlite3.Connection, base: Base) -> tuple[str, str | None]:
    """Return hash and path of the workspace that the file belongs to; for the shared file, what the worktrees show."""
    if base.entry.workspace_hash is not None:
        return base.entry.workspace_hash, None
    known = {row[1] for row in connection.execute(queries.ALL_WORKSPACES)}
    return workspace_shown(base.document, base.entry.source, known)


def _write(connection: sqlite3.Connection, lost: Lost, base: Base, document: WorktreeSession) -> None:
    if "sessions" not in lost.tables:
        replace_document(connection, lost.key, document)
        return
    for statement in queries.DELETE_CHILDREN:
        connection.execute(statement, (lost.key,))
    place = workspace_of(connection, lost.workspace_id)
    if place is None:
        lost.workspace_id = ensure_workspace(connection, *_workspace_of_base(connection, base))
        place = workspace_of(connection, lost.workspace_id)
    insert_document(
        connection,
        document,
        workspace_id=lost.workspace_id or 0,
        workspace_hash=place[0] if place else "",
        position=base.position if lost.position is None else lost.position,
        source_id=base.entry.id,
        key=lost.key,
    )
