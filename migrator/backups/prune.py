"""Remove backups that are no longer needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from migrator.authority import read_state, require_database, state_of
from migrator.backups.catalog import ListedBackup, backup_folders, backup_of, check_quickly
from migrator.backups.last_copies import LastCopies
from migrator.backups.manifest import sequence_of
from migrator.backups.reverted import BEFORE_REVERT
from migrator.data_dir import INCOMPLETE, DataDir
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.database.schema import ROLLBACK_VERSION
from migrator.errors import UsageError
from migrator.files import durable
from migrator.inventory.ledger import read_ledger
from migrator.locking import exclusive
from migrator.report import Report


@dataclass(frozen=True)
class PruneReport(Report):
    """The backups that were removed, and why each of the others was kept."""

    removed: tuple[str, ...]
    kept: dict[str, str]
    bytes: int
    dry_run: bool


def prune_backups(
    data_dir: DataDir, keep: int, *, discard_last_copies: bool = False, dry_run: bool = False
) -> PruneReport:
    """Remove backups of files and databases, except the newest ``keep`` and those that the database needs.

    A sequence number in the manifest says which is the newest, since the clock can go back. Backups without one are
    older; of these, what the database needs counts as newer, and then the name decides.
    A later migration compares a changed file with the copy that the ledger names.

    :param discard_last_copies: also remove backups that hold sessions which exist nowhere else
    :raises UsageError: ``keep`` is less than 1
    :raises MigratorError: the database cannot be read, so it is unknown which backups it needs
    """
    if keep < 1:
        raise UsageError("--keep must be at least 1.", code="option.invalid")
    if dry_run:
        return what_to_prune(data_dir, keep, discard_last_copies=discard_last_copies)
    with exclusive(data_dir):
        planned = what_to_prune(data_dir, keep, discard_last_copies=discard_last_copies)
        for folder in (data_dir.backups / name for name in planned.removed):
            dead = folder.with_name(f"{INCOMPLETE}{folder.name}")
            durable.rename_folder(folder, dead)  # first the name, so that an interruption leaves no half backup
            durable.remove_folder(dead)
    return replace(planned, dry_run=False)


def what_to_prune(data_dir: DataDir, keep: int, *, discard_last_copies: bool = False) -> PruneReport:
    """What :func:`prune_backups` would do.

    :raises MigratorError: the database cannot be read, so it is unknown which backups it needs
    """
    require_database(data_dir, state_of(data_dir.database))  # without it, it is unknown what is needed
    needed = _needed(data_dir)
    kept: dict[str, str] = {}
    newest = 0
    copies, rest = LastCopies(data_dir), list[ListedBackup]()
    folders = backup_folders(data_dir)
    folders.sort(key=lambda folder: (sequence_of(folder), folder.name in needed, folder.name), reverse=True)
    for folder in folders:
        found = check_quickly(folder)
        reason = needed.get(folder.name)
        if found.kind is None:
            reason = reason or "its manifest cannot be read; check it and remove it by hand"
        elif found.kind == "versions":
            reason = reason or "it holds session versions that were dropped in quarantine and exist nowhere else"
        elif newest < keep:
            newest += 1
            reason = reason or ("it is the newest" if keep == 1 else f"it is one of the {keep} newest")
        if reason:
            kept[folder.name] = reason
            copies.keep(folder)
        else:
            rest.append(found)
    removed: list[ListedBackup] = []
    for found in rest:  # when all the others that stay are known; the newest first
        folder = data_dir.backups / found.name
        reason = None if discard_last_copies else copies.reason_to_keep(folder)
        if reason:
            kept[found.name] = reason
            copies.keep(folder)
        else:
            removed.append(found)
    names = tuple(backup.name for backup in removed)
    return PruneReport(names, kept, sum(backup.bytes for backup in removed), dry_run=True)


def _needed(data_dir: DataDir) -> dict[str, str]:
    """The backups that the database refers to, with the reason."""
    path = data_dir.database
    if not path.exists() or path.stat().st_size == 0:
        return {}
    with opened(path, read_only=True) as connection, sqlite_errors("read the ledger", path):
        state = read_state(connection, path)
        entries = read_ledger(connection).values() if state.has_ledger else []
    needed: dict[str, str] = {}
    if state.status == "rolled_back" and state.schema_version < ROLLBACK_VERSION:
        copies = data_dir.backups.glob(BEFORE_REVERT)
        needed = {copy.name: "it has the record of what the rollback wrote" for copy in copies}
    if state.backup:
        needed[Path(state.backup).name] = "it is the backup of the last migration"
    for entry in entries:
        for copy in {entry.backup, *entry.base_copies} - {None}:
            name = backup_of(data_dir, str(copy))
            if name is not None:
                needed[name] = f"changes in {entry.source} are compared with it"
    return needed
