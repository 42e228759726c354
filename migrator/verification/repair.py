"""Repairs for ``verify --repair``: only what can be remade exactly from something that is known to be right."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrator.authority import NO_DATABASE, read_state, write_flag, wrong_flag
from migrator.backups.catalog import backup_folders, backup_of
from migrator.backups.list_again import list_again
from migrator.backups.manifest import MANIFEST, SUMS
from migrator.data_dir import DataDir
from migrator.database import queries, schema
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, Message, MigratorError, StorageIOError, TransactionError
from migrator.files import copying, durable
from migrator.files.durable import make_private
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.locking import exclusive
from migrator.migration.merging.merge_base import base_of
from migrator.progress import Listener, ignore_progress
from migrator.search.build import repair_index
from migrator.verification.data_dir_check import loose_permissions
from migrator.verification.findings import REPAIR
from migrator.verification.run import RESTORE, VerifyReport, check_integrity, is_damage, verify, was_loaded_from_dump
from migrator.verification.source_check import looks_unchanged


def repair_and_verify(data_dir: DataDir, listener: Listener = ignore_progress) -> VerifyReport:
    """Repair what can be repaired safely, then check everything; the report contains both.

    - Leftovers of interrupted runs are removed.
    - Migrator's files that other users can access become private.
    - Indexes that do not match their tables are rebuilt, if nothing else is broken.
    - A search index that does not match the texts is rebuilt.
    - A database that was loaded from an SQL dump gets the version in its header again.
    - Backup copies that are missing or damaged are made again, if the file still has the recorded SHA-256. Otherwise
      the ledger forgets them, and their backup is listed without them.
    - Files that changed while their size, inode and modification time did not are marked for 'migrator migrate'.
    - A storage.json that disagrees with the authoritative store is rewritten.

    :raises MigrationLocked: another migrator is running
    :raises MigratorError: the database cannot be opened at all
    """
    failures: list[Message] = []
    repaired = tuple(_repair(data_dir, failures))
    report = verify(data_dir, listener)
    broken, notes = (tuple(_unrepaired(text, failures) for text in texts) for texts in (report.broken, report.notes))
    return replace(report, repaired=repaired, broken=broken, notes=notes)


def _unrepaired(message: Message, failures: Sequence[Message]) -> Message:
    """Replace the advice to repair, which has just been tried, by the cause of the failure and the way out."""
    if message.hint is None or REPAIR not in message.hint:
        return message
    cause = next((failure for failure in failures if failure.code == message.code), None)
    hint = "--repair could not fix it; 'migrator doctor' shows who can access that file, and how to change it."
    if cause is not None:
        hint = f"--repair could not fix it: {cause}"
    return Message(message.message, code=message.code, hint=hint)


def _repair(data_dir: DataDir, failures: list[Message]) -> list[str]:
    path = data_dir.database
    _require_apps(path)
    with exclusive(data_dir) as removed:
        done = [f"removed {left}, left over from an interrupted run" for left in removed]
        done += [
            f"made {loose} private: only you can access it now"
            for loose in loose_permissions(data_dir)
            if make_private(loose)  # another user's file stays as it is, and verify reports it again
        ]
        try:
            done += _repair_indexes(path, failures)
            state, entries = NO_DATABASE, list[LedgerEntry]()
            if not _is_empty(path):
                if repair_index(data_dir):
                    done.append("rebuilt the search index")
                if _accept_dump(path):
                    done.append("recorded the version of the tables, which an SQL dump leaves out")
                with opened(path, read_only=True) as connection, sqlite_errors("read the ledger", path):
                    state = read_state(connection, path)
                    entries = [*read_ledger(connection).values()] if state.has_ledger else []
        except ConnectionFailed as error:
            if not is_damage(error):
                raise  # verify reports damage; what needs no database is repaired all the same
        else:
            done += _repair_copies(data_dir, entries, failures)
            done += _repair_times(data_dir, entries)
            backend = wrong_flag(data_dir, state)
            if backend is not None:
                write_flag(data_dir, backend)
                done.append(
                    f"set the backend in {data_dir.flag.name} to {backend!r}, which matches the authoritative store"
                )
    return done


def _require_apps(path: Path) -> None:
    """Check that the database, if it can be read, is one of the app: another program's keeps its permissions."""
    with suppress(ConnectionFailed):
        if not _is_empty(path):
            with opened(path, read_only=True) as connection:
                read_state(connection, path)


def _is_empty(path: Path) -> bool:
    return not durable.exists(path) or path.stat().st_size == 0


def _repair_indexes(path: Path, failures: list[Message]) -> list[str]:
    if _is_empty(path):
        return []
    with opened(path, read_only=True) as connection:  # looking must not change the file
        read_state(connection, path)
        findings, names = check_integrity(connection)
    if names and any(found.code != "database.index_wrong" for found in findings):
        reason = "the tables are damaged as well, so the index may be all that is right."
        failures.append(Message(reason, code="database.index_wrong", hint=RESTORE))
    if not names or failures:
        return []
    try:
        with opened(path) as connection, transaction(connection, path, "rebuild the indexes"):
            for name in names:
                connection.execute(f'REINDEX "{name}"')
            connection.execute("ANALYZE")
    except TransactionError as error:  # the table violates the index, such as its uniqueness
        failures.append(Message(error.message, code="database.index_wrong", hint=RESTORE))
        return []
    return [f"rebuilt the index {name}" for name in names]


def _accept_dump(path: Path) -> bool:
    with opened(path, read_only=True) as connection, sqlite_errors("read", path):
        if not was_loaded_from_dump(connection):
            return False
    with opened(path) as connection, sqlite_errors("write to", path):
        schema.set_program_version(connection)
    return True


def _repair_copies(data_dir: DataDir, entries: Iterable[LedgerEntry], failures: list[Message]) -> list[str]:
    """Remake the copies that can be remade, forget the others, and list anew what a backup still has."""
    if not os.path.isdir(data_dir.backups) and os.path.lexists(data_dir.backups):
        return []  # a link to a disk that is not mounted: nothing is lost
    done: list[str] = []
    members: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        name = backup_of(data_dir, entry.backup) if entry.backup else None
        if name is None:
            continue
        if _copy_again(data_dir, entry, failures):
            done.append(f"copied {entry.source} into the backup {name}")
        if _is_lost(data_dir, entry):
            _forget_copies(data_dir, entry)
            done.append(f"recorded that the copy of {entry.source} is lost; its next merge does without")
        else:
            members[name].append(entry)
    with suppress(StorageIOError):  # verify reports it
        folders = [f for f in backup_folders(data_dir) if list_again(f, _as_listed(data_dir, f, members[f.name]))]
        done += [f"rewrote {MANIFEST} and {SUMS} of the backup {folder.name}" for folder in folders]
    return done


def _copy_again(data_dir: DataDir, entry: LedgerEntry, failures: list[Message]) -> bool:
    """Remake a copy that is missing or damaged, if the file still has the recorded contents."""
    copy, source = data_dir.recorded(str(entry.backup)), data_dir.recorded(entry.source)
    if entry.sha256 is None or copying.has_sha256(copy, entry.sha256) or not copying.has_sha256(source, entry.sha256):
        return False
    try:
        durable.make_private_folder(copy.parent)
        durable.replace(copy, copying.checked_chunks(source, entry.sha256))
    except MigratorError as error:  # something is in the way, or the file is changing
        codes = ("backup.file_missing", "backup.file_damaged")
        failures += [Message(error.message, code=code, hint=error.hint) for code in codes]
        return False
    return True


def _is_lost(data_dir: DataDir, entry: LedgerEntry) -> bool:
    """Whether a copy that the entry needs is gone or damaged; one that cannot be read is not."""
    copies = [data_dir.recorded(name) for name in {str(entry.backup), *entry.base_copies}]
    try:
        for copy in copies:
            os.stat(copy)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return all(os.access(copy, os.R_OK) for copy in copies) and bool(
        base_of(entry._replace(bases=None), data_dir).lost or base_of(entry, data_dir).lost
    )


def _forget_copies(data_dir: DataDir, entry: LedgerEntry) -> None:
    """Remove lost copies from the ledger: the file's own, and those of the bases that cannot be used any more."""
    own = None if base_of(entry._replace(bases=None), data_dir).lost else entry.backup
    usable = [copy.name for copy in base_of(entry, data_dir).copies]
    bases = None if entry.bases is None else json.dumps(usable)
    path = data_dir.database
    with opened(path) as connection, transaction(connection, path, "write the ledger"):
        connection.execute(queries.FORGET_COPIES, (own, bases, entry.source))


def _as_listed(data_dir: DataDir, folder: Path, entries: Iterable[LedgerEntry]) -> list[dict[str, Any]]:
    """The copies of a backup as its manifest lists them, from the ledger."""
    files: list[dict[str, Any]] = []
    for entry in entries:
        file = data_dir.recorded(str(entry.backup)).relative_to(folder).as_posix()
        members = {"size": entry.size, "sha256": entry.sha256, "mtime_ns": entry.mtime_ns}
        files.append({"source": entry.source, "file": file, **members})
    return files


def _repair_times(data_dir: DataDir, entries: Iterable[LedgerEntry]) -> list[str]:
    """Make the next run compare the contents of files that changed although size, time and inode did not."""
    placed = ((entry, data_dir.recorded(entry.source)) for entry in entries if entry.sha256 is not None)
    misleading = [e for e, place in placed if looks_unchanged(e, place) and not copying.has_sha256(place, e.sha256)]
    if misleading:
        path = data_dir.database
        with opened(path) as connection, transaction(connection, path, "write the ledger"):
            unknown = [(entry.size, -1, -1, entry.source) for entry in misleading]
            connection.executemany(queries.TOUCH_SOURCE, unknown)
    return [f"marked {entry.source} as changed; 'migrator migrate' merges it" for entry in misleading]
