"""Takes in a database of an earlier branch of the app: its rows become session files, which are then adopted.

Two shapes of its tables are known. The database is read from a private copy, and never written. Whatever columns it has
become members, so that nothing in them is lost, except the counts that the branch kept of other rows.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from migrator.backups.database_copy import back_up_database
from migrator.backups.manifest import stamp
from migrator.data_dir import DataDir
from migrator.database import registry
from migrator.database.connection import opened, remove_database, require_closed
from migrator.database.errors import sqlite_errors
from migrator.database.schema import has_table, is_of_branch
from migrator.documents import structs
from migrator.documents.app_format import app_file
from migrator.errors import Message, MigrationFailed, MigratorError, UsageError
from migrator.files import copying, durable
from migrator.files.output import scratch
from migrator.inventory.source_files import Source, source_at
from migrator.locking import DRY_RUN
from migrator.text import counted
from migrator.workspace import HASH_PATTERN, workspace_hash

_FILES = ("", "-wal", "-journal")
_ASIDE = "earlier-branch"
_WORD = re.compile(r"_([a-z])")
_OF_SESSION = frozenset({"workspace_hash", "instance_count", "message_count"})  # the counts are those of the rows
_OF_CHILD = frozenset({"session_id"})
_REFERENCE = "instance_id_ref"  # an early name of the column with the row number of an instance

# Of tables that are not ours: so 'schema check' cannot prepare these.
_WORKSPACES = """
    SELECT s.workspace_hash, w.path FROM sessions s LEFT JOIN workspaces w ON w.hash = s.workspace_hash
    GROUP BY s.workspace_hash ORDER BY min(s.rowid)
"""
_SESSIONS = "SELECT * FROM sessions WHERE workspace_hash = ? ORDER BY rowid"
_INSTANCES = "SELECT * FROM instances WHERE session_id = ? ORDER BY rowid"
_MESSAGES = "SELECT * FROM chat_messages WHERE session_id = ? ORDER BY rowid"
_ORPHANS = """
    SELECT (SELECT count(*) FROM instances WHERE session_id NOT IN (SELECT id FROM sessions))
    + (SELECT count(*) FROM chat_messages WHERE session_id NOT IN (SELECT id FROM sessions))
"""
_Row = dict[str, Any]


class BranchFiles(NamedTuple):
    """What a database of the branch holds, as files to adopt.

    :ivar sources: one for each workspace with sessions
    :ivar paths: the path of each workspace, by its hash
    :ivar messages: what the user should know
    """

    sources: Sequence[Source]
    paths: Mapping[str, str]
    messages: Sequence[Message]


def is_in_place(data_dir: DataDir, file: str | os.PathLike[str] | None) -> bool:
    """Whether this is the file in the place of the app's database."""
    return file is not None and os.path.realpath(file) == os.path.realpath(data_dir.database)


@contextmanager
def branch_files(data_dir: DataDir, file: str | os.PathLike[str]) -> Iterator[BranchFiles]:
    """Write what the database holds to files in a scratch folder, which is removed at the end of the block.

    A copy of the database goes to the backups. One in the place of the app's database is moved away, and back if the
    block fails.

    :raises UsageError: there is no such file, or the branch did not make it
    :raises MigratorError: it cannot be read, or is in use; nothing was changed
    """
    place = Path(os.path.realpath(file))  # its log is next to it, not next to a link
    if not place.is_file():
        raise UsageError(f"There is no file {place}.", code="option.from_database_missing", hint="Correct the path.")
    folder = data_dir.output / f"{DRY_RUN}{os.getpid()}-{_ASIDE}"
    with scratch(folder):
        seen = _copy(place, folder / "copy.db")
        aside = place.with_name(f"{place.name}.{_ASIDE}-{stamp()}") if is_in_place(data_dir, place) else None
        found = _read(folder, place, aside or place, data_dir.backups)
        if aside is None:
            yield found
            return
        _move(place, aside, seen)
        text = f"The database of an earlier branch of the app was moved to {aside}."
        try:
            yield found._replace(messages=[Message(text, code="database.moved"), *found.messages])
        except BaseException:
            if not durable.exists(place):
                _move(aside, place, registry.states_of_files(aside))
            raise


def _copy(place: Path, copy: Path) -> object:
    """Copy a database with its log; return the state of the files, which another program must not change meanwhile."""
    seen = registry.states_of_files(place)
    for suffix in _FILES:
        companion = place.with_name(place.name + suffix)
        if companion.exists():
            copying.copy_new(companion, copy.with_name(copy.name + suffix), sync=False)
    _require_same(place, seen)
    return seen


def _require_same(place: Path, seen: object) -> None:
    if registry.states_of_files(place) != seen:
        raise MigrationFailed(
            f"Another program changed {place} while it was read. Nothing was changed.",
            code="file.changed_meanwhile",
            hint="Close that program, and run the command again.",
        )


def _move(place: Path, target: Path, seen: object) -> None:
    """Move a database that no program has open: it has both names until all of it has the new one."""
    _require_same(place, seen)
    require_closed(place)
    seen = registry.states_of_files(place)  # SQLite may have applied the log
    for suffix in reversed(_FILES):
        companion = place.with_name(place.name + suffix)
        if companion.exists():
            copying.copy_new(companion, target.with_name(target.name + suffix))
    durable.sync_folder(target.parent)
    _require_same(place, seen)
    remove_database(place)


def _read(folder: Path, place: Path, shown: Path, backups: Path) -> BranchFiles:
    """Write the files, and back the database up.

    :param folder: where the copy of the database is
    :param place: the database that was copied
    :param shown: where it will be, for the ledger
    """
    copy = folder / "copy.db"
    try:
        with opened(copy) as connection, sqlite_errors("read", copy):
            if not is_of_branch(connection):
                raise _other(place)
            found = _write_files(connection, folder, shown)
            back_up_database(connection, shown, backups, _ASIDE)
    except MigratorError as error:
        if error.code == "database.not_a_database":
            raise _other(place) from error
        raise type(error)(error.message.replace(str(copy), str(place)), code=error.code, hint=error.hint) from error
    return found


def _other(place: Path) -> UsageError:
    return UsageError(
        f"{place} is not a database of an earlier branch of the app.",
        code="option.from_database_other",
        hint="Leave out --from-database.",
    )


def _write_files(connection: sqlite3.Connection, folder: Path, shown: Path) -> BranchFiles:
    paths, sources = {}, []
    for found_hash, path in connection.execute(_WORKSPACES).fetchall():
        file_hash = found_hash if HASH_PATTERN.fullmatch(found_hash) else workspace_hash(path or found_hash)
        target = folder / f"{file_hash}.json"
        durable.write_new(target, app_file(_Documents(connection).of_workspace(found_hash)), sync=False)
        sources.append(source_at(f"{shown}/{target.name}", os.fspath(target), "adopted", file_hash))
        if path:
            paths[file_hash] = path
    orphans = connection.execute(_ORPHANS).fetchone()[0]
    messages = []
    if orphans:
        text = f"{shown} has {counted(orphans, 'instance or message row')} of no session."
        messages.append(Message(text, code="session.missing", hint="They stay in that database and its backup."))
    return BranchFiles(sources, paths, messages)


class _Documents:
    """The documents in a database of the branch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        references = connection.execute("PRAGMA foreign_key_list(chat_messages)").fetchall()
        self._by_row = {row[3] for row in references if row[2] == "instances"} | {_REFERENCE}
        self._has_numbers = has_table(connection, "migration_metadata")  # the second shape, which has no row numbers

    def of_workspace(self, workspace: str) -> Iterator[Any]:
        """Yield the sessions of a workspace, in the order in which the database got them."""
        for row in self._rows(_SESSIONS, workspace):
            row["type"] = row.pop("session_type")
            row["runtime_mix"] = _parsed(row.get("runtime_mix"))
            if row.get("preserve_worktrees") in (0, 1):
                row["preserve_worktrees"] = bool(row["preserve_worktrees"])
            instances = [*self._rows(_INSTANCES, row["id"])]
            numbers = {instance.pop("id"): instance["instance_id"] for instance in instances}
            messages = [self._message(one, numbers) for one in self._rows(_MESSAGES, row["id"])]
            row["instances"] = [_members(one, structs.Instance, _OF_CHILD) for one in instances]
            row["chat_history"] = [_members(one, structs.Message, _OF_CHILD) for one in messages]
            yield _members(row, structs.Session, _OF_SESSION)

    def _message(self, row: _Row, numbers: Mapping[int, int]) -> _Row:
        """Replace the row number of an instance by the instance's own number.

        Where the first shape's tables do not say which of the two it is, a number that is both is the instance's own.
        """
        for column in self._by_row & row.keys():
            row[column] = numbers.get(row[column], row[column])
        if _REFERENCE in row:
            row["instance_id"] = row.pop(_REFERENCE)
        elif not self._has_numbers and "instance_id" not in self._by_row and row["instance_id"] not in numbers.values():
            row["instance_id"] = numbers.get(row["instance_id"], row["instance_id"])
        return row

    def _rows(self, statement: str, value: str) -> Iterator[_Row]:
        cursor = self._connection.execute(statement, (value,))
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield {name: _checked(name, cell) for name, cell in zip(names, row, strict=True)}


def _members(row: _Row, struct: Any, dropped: Iterable[str]) -> _Row:
    """The document of a row: the app's members in their order, then those of other columns that have a value."""
    to_name: Callable[[re.Match[str]], str] = lambda match: match[1].upper()  # noqa: E731
    named = {_WORD.sub(to_name, column): value for column, value in row.items() if column not in dropped}
    members = {name: named.pop(name, None) for name in struct.__struct_fields__}
    return members | {name: value for name, value in named.items() if value is not None}


def _parsed(mix: Any) -> Any:
    """The list in a column; any other text stays as it is, so that the session goes to quarantine with it."""
    try:
        return json.loads(mix) if isinstance(mix, str) else mix
    except ValueError:
        return mix


def _checked(column: str, value: Any) -> Any:
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise MigrationFailed(
            f"A value in the column {column} cannot be written as JSON. Nothing was changed.",
            code="session.unreadable",
            hint="Correct it in a copy of the database, and name that.",
        )
    return value
