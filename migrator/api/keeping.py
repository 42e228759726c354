"""Functions for programs that list, verify, restore and remove backups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from migrator.api import PathLike, at, number_of, several, text_of

if TYPE_CHECKING:
    from migrator.backups.catalog import BackupList, VerifiedBackups
    from migrator.backups.prune import PruneReport
    from migrator.backups.restore import RestoreReport
    from migrator.data_dir import DataDir


def list_backups(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> BackupList:
    """Every backup, oldest first, checked by the sizes of its files. Changes nothing."""
    from migrator.backups import catalog

    return at(data_dir, database, catalog.list_backups)


def verify_backups(
    data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None, names: Iterable[str] = ()
) -> VerifiedBackups:
    """Hash every file of the named backups, or of all, and compare with what the backup recorded. Changes nothing.

    :raises BackupError: there is no backup of that name
    """
    from migrator.backups import catalog

    chosen = several("names", names, text_of)
    return at(data_dir, database, lambda places: catalog.verify_backups(places, chosen))


def restore_backup(
    name: str,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    overwrite_newer_work: bool = False,
) -> RestoreReport:
    """Put the files of a backup back in their places: all of them, or none.

    :param overwrite_newer_work: replace files that differ from the backup; each is kept under another name
    :raises BackupError: there is no such backup, it is damaged, or it would replace newer work
    """
    from migrator.backups import restore

    return at(
        data_dir,
        database,
        lambda places: restore.restore_backup(places, text_of("name", name), overwrite_newer_work=overwrite_newer_work),
    )


def prune_backups(
    keep: int,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    discard_last_copies: bool = False,
    dry_run: bool = False,
) -> PruneReport:
    """Remove backups that are no longer needed; keep the newest ``keep``, and what the database needs.

    :param discard_last_copies: also remove backups with sessions that exist nowhere else
    :param dry_run: only return what would be removed
    :raises UsageError: ``keep`` is less than 1
    """
    from migrator.backups import prune

    return at(
        data_dir,
        database,
        lambda places: prune.prune_backups(
            places, number_of("keep", keep), discard_last_copies=discard_last_copies, dry_run=dry_run
        ),
    )
