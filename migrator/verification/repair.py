"""What ``verify --repair`` puts right: only what can be made again, exactly, from what is proven to be right."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.authority import NO_DATABASE, read_state, write_flag, wrong_flag
from migrator.backups.catalog import backup_of, names_in
from migrator.backups.manifest import MANIFEST, SUMS, is_inside, read_manifest, write_listing
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import BackupError, ConnectionFailed, MigratorError, TransactionError
from migrator.files import copying, durable
from migrator.files.durable import make_private
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.locking import exclusive
from migrator.progress import Listener, ignore_progress
from migrator.search.build import repair_index
from migrator.verification.data_dir_check import loose_permissions
from migrator.verification.run import VerifyReport, integrity_problems, is_damage, verify
from migrator.verification.source_check import looks_unchanged

# What integrity_check says of an index that does not fit its table; of anything else it says other things.
_INDEX_ONLY = re.compile(r"(?:row \d+ missing from|wrong # of entries in|non-unique entry in) index (\S+)")


def repair_and_verify(data_dir: DataDir, listener: Listener = ignore_progress) -> VerifyReport:
    """Put right what can be put right safely, then check everything: the report tells both.

    - leftovers of dead runs go;
    - files of ours that others may use become private;
    - indexes that do not fit their tables are built again, where nothing else is broken;
    - a search index that does not fit the texts is built again;
    - backup copies that are missing or damaged are copied again, where the file still has the recorded SHA-256;
    - files that changed and, at a glance, did not are marked for 'migrator migrate' to look closer;
    - a storage.json that disagrees with the authority is written anew.

    :raises MigrationLocked: another migrator is at work
    :raises MigratorError: the database can't be opened at all
    """
    repaired = tuple(_repair(data_dir))
    return replace(verify(data_dir, listener), repaired=repaired)


def _repair(data_dir: DataDir) -> list[str]:
    path = data_dir.database
    with exclusive(data_dir) as removed:
        done = [f"removed {left}, which a dead run had left" for left in removed]
        done += [
            f"made {loose} private: only you may use it now"
            for loose in loose_permissions(data_dir)
            if make_private(loose)  # somebody else's stays; verify goes on telling
        ]
        try:
            done += _repair_indexes(path)
            state, entries = NO_DATABASE, list[LedgerEntry]()
            if not _is_empty(path):
                if repair_index(data_dir):
                    done.append("built the search index again")
                with opened(path, read_only=True) as connection, sqlite_errors("read the ledger", path):
                    state = read_state(connection, path)
                    entries = [*read_ledger(connection).values()] if state.has_ledger else []
        except ConnectionFailed as error:
            if not is_damage(error):
                raise  # else verify tells, and what needs no database can be put right nevertheless
        else:
            done += _repair_copies(data_dir, entries)
            done += _repair_times(data_dir, entries)
            backend = wrong_flag(data_dir, state)
            if backend is not None:
                write_flag(data_dir, backend)
                done.append(f"{data_dir.flag.name} says {backend!r} now, which is the authority")
    return done


def _is_empty(path: Path) -> bool:
    return not durable.exists(path) or path.stat().st_size == 0


def _repair_indexes(path: Path) -> list[str]:
    if _is_empty(path):
        return []
    with opened(path, read_only=True) as connection:  # a mere look leaves the file as it is
        read_state(connection, path)
        found = [_INDEX_ONLY.fullmatch(problem.message) for problem in integrity_problems(connection)]
    names = sorted({match[1] for match in found if match})
    if not names or None in found:
        return []  # where tables are broken too, an index may be what is still right
    try:
        with opened(path) as connection, transaction(connection, path, "build the indexes again"):
            for name in names:
                connection.execute(f'REINDEX "{name}"')
            connection.execute("ANALYZE")
    except TransactionError:
        return []  # the table breaks the index's promise, e.g. of uniqueness; verify goes on telling
    return [f"built the index {name} again" for name in names]


def _repair_copies(data_dir: DataDir, entries: Iterable[LedgerEntry]) -> list[str]:
    done: list[str] = []
    by_backup: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        name = backup_of(data_dir, entry.backup) if entry.backup else None
        if name is not None:
            by_backup.setdefault(name, []).append(entry)
    for name, members in by_backup.items():
        copied = [entry for entry in members if _copy_again(data_dir, entry)]
        done += [f"copied {entry.source} into the backup {name} again" for entry in copied]
        if _list_again(data_dir, data_dir.backups / name, members):
            done.append(f"wrote {MANIFEST} and {SUMS} of the backup {name} again")
    return done


def _copy_again(data_dir: DataDir, entry: LedgerEntry) -> bool:
    """Make a copy that is missing or damaged again, if the file is still what it was a copy of."""
    copy, source = data_dir.recorded(str(entry.backup)), data_dir.recorded(entry.source)
    if entry.sha256 is None or _has(copy, entry.sha256) or not _has(source, entry.sha256):
        return False
    try:
        durable.make_private_folder(copy.parent)
        durable.replace(copy, copying.checked_chunks(source, entry.sha256))
    except MigratorError:
        return False  # something is in the way, or the file changes just now; verify goes on telling
    return True


def _repair_times(data_dir: DataDir, entries: Iterable[LedgerEntry]) -> list[str]:
    """A run compares contents where size, time of change or inode differ: let it do so where the contents do."""
    placed = ((entry, data_dir.recorded(entry.source)) for entry in entries if entry.sha256 is not None)
    misleading = [e for e, place in placed if looks_unchanged(e, place) and not _has(place, str(e.sha256))]
    if misleading:
        path = data_dir.database
        with opened(path) as connection, transaction(connection, path, "write the ledger"):
            unknown = [(entry.size, -1, -1, entry.source) for entry in misleading]
            connection.executemany(queries.TOUCH_SOURCE, unknown)
    return [f"marked {entry.source}, which changed: 'migrator migrate' takes it up" for entry in misleading]


def _has(path: Path, sha256: str) -> bool:
    try:
        return os.path.isfile(path) and copying.sha256_of(path) == sha256
    except MigratorError:
        return False


def _list_again(data_dir: DataDir, folder: Path, entries: list[LedgerEntry]) -> bool:
    """Write a listing that is missing or damaged again, where the ledger knows every file of the backup."""
    try:
        read_manifest(folder)
        if os.path.isfile(folder / SUMS):
            return False
    except BackupError as error:
        if "newer migrator" in error.message:
            return False
    if not os.path.isdir(folder):
        return False
    files: list[dict[str, Any]] = []
    for entry in entries:
        file = data_dir.recorded(str(entry.backup)).relative_to(folder).as_posix()
        members = {"size": entry.size, "sha256": entry.sha256, "mtime_ns": entry.mtime_ns}
        files.append({"source": entry.source, "file": file, **members})
    known = {file["file"] for file in files}
    present = {Path(name).as_posix() for name in names_in(folder)} - {MANIFEST, SUMS}
    if present != known or not all(is_inside(str(f["file"])) and _has(folder / f["file"], f["sha256"]) for f in files):
        return False
    manifest: dict[str, object] = {
        "format": 1,
        "created_at": folder.name.partition("-")[0],
        "data_dir": str(data_dir.root),
        "files": files,
        "unreadable": {},
        "written_again_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_listing(folder, manifest, files)
    return True
