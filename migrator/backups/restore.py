"""Restore a backup: verify all of it first, and never replace newer work unless asked to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from migrator.authority import require_database, state_of
from migrator.backups.catalog import find_backup, verify_backup
from migrator.backups.copy_files import ADOPTED
from migrator.backups.manifest import BackupKind, ListedFile, read_manifest
from migrator.backups.restore_database import FLAG_HINT, DatabaseRestore, RestoredCopy, keep_aside
from migrator.data_dir import DataDir
from migrator.errors import BackupError, ConnectionFailed, MigratorError
from migrator.files import copying, durable, replacing
from migrator.files.output import Replacements, scratch
from migrator.locking import exclusive, file_locked
from migrator.report import Report
from migrator.workspace import hashes_of

_WORKSPACE_FILE = re.compile(r"sessions/[0-9a-f]{16}\.json")
_OLDER_FILE = re.compile(r"workspaces/([0-9a-f]{16})/sessions\.json")


@dataclass(frozen=True)
class RestoreReport(Report):
    """What was restored."""

    name: str
    kind: BackupKind
    files: tuple[RestoredCopy, ...]


def restore_backup(data_dir: DataDir, name: str, *, overwrite_newer_work: bool = False) -> RestoreReport:
    """Put the files of a backup back in their places.

    :param overwrite_newer_work: replace files that differ from the backup; each is kept under another name
    :raises BackupError: there is no such backup, it is damaged, it names places outside the data directory, or it would
        replace newer work
    :raises StorageIOError: a file cannot be read or written
    """
    with exclusive(data_dir):
        folder = find_backup(data_dir, name)
        manifest = read_manifest(folder)
        if manifest.kind == "versions":
            raise BackupError(
                f"The backup {folder.name} holds session versions that you dropped; they cannot be restored.",
                code="backup.not_restorable",
                hint=f"Read them in {folder}.",
            )
        checked = verify_backup(folder)
        if checked.damage:
            raise BackupError(
                f"The backup {folder.name} is damaged: {'; '.join(checked.damage[:3])}.",
                code="backup.damaged",
                hint=f"Nothing was changed. 'migrator backups verify {folder.name}' shows all damage.",
            )
        if manifest.kind == "database":
            restored = [DatabaseRestore(data_dir, folder, manifest.files[0], overwrite=overwrite_newer_work).restore()]
        else:
            restored = _restore_files(data_dir, folder, manifest.files, overwrite=overwrite_newer_work)
        return RestoreReport(folder.name, manifest.kind, tuple(restored))


class _Planned(NamedTuple):
    listed: ListedFile
    target: Path
    differs: bool


def _restore_files(
    data_dir: DataDir, folder: Path, files: tuple[ListedFile, ...], *, overwrite: bool
) -> list[RestoredCopy]:
    try:
        state = state_of(data_dir.database)
    except ConnectionFailed as error:
        raise BackupError(
            f"Cannot determine which store is authoritative: {error.message}",
            code=error.code,
            hint=f"Move {data_dir.database} away, with its -wal and -shm files. Then 'migrator backend json' makes the "
            "JSON files authoritative. Nothing was changed.",
        ) from error
    require_database(data_dir, state)
    if state.authority == "sqlite":
        raise BackupError(
            "SQLite is authoritative: restored JSON files would be ignored, or merged as changes.",
            code="store.not_authoritative",
            hint="'migrator rollback' goes back to the JSON files and loses nothing. Nothing was changed.",
        )
    planned = []
    for listed in files:
        if listed.file.startswith(f"{ADOPTED}/"):
            continue  # it was not one of the app's: its sessions went to the files of their workspaces
        target = _target(data_dir, listed)
        if os.path.lexists(target) and (target.is_symlink() or not target.is_file()):
            raise BackupError(
                f"{target} is in the way: it is not a regular file.",
                code="file.in_the_way",
                hint="Move it away and restore again. Nothing was changed.",
            )
        planned.append(_Planned(listed, target, _differs(target, listed)))
    newer = [plan.target for plan in planned if plan.differs]
    if newer and not overwrite:
        more = f" and {len(newer) - 1} more" if len(newer) > 1 else ""
        raise BackupError(
            f"The backup differs from {newer[0]}{more}, which may hold newer work.",
            code="backup.newer_work",
            hint=FLAG_HINT,
        )
    return _put_back(data_dir, folder, planned, overwrite=overwrite)


def _target(data_dir: DataDir, listed: ListedFile) -> Path:
    """The place that a copy goes back to.

    :raises BackupError: the manifest names a place that no backup of ours would name
    """
    source = listed.source or ""
    older = _OLDER_FILE.fullmatch(listed.file)
    if older and os.path.isabs(source):
        target = Path(source)
        workspace = target.parent.parent
        named_so = target.parts[-2:] == (".ait42", "sessions.json") and os.path.normpath(target) == source
        if named_so and older[1] in dict(hashes_of(os.fspath(workspace))) and not target.parent.is_symlink():
            return target
    elif source == listed.file and (source == "sessions.json" or _WORKSPACE_FILE.fullmatch(source)):
        target = data_dir.root / source
        root = os.path.realpath(data_dir.root)
        if os.path.realpath(target.parent) == os.path.dirname(os.path.join(root, source)):
            return target
    raise BackupError(
        f"The backup's manifest names {source or listed.file}, which is outside {data_dir.root} or not one of the "
        "app's files.",
        code="backup.path_outside",
        hint="The manifest was changed, or a folder is a link: copy what you need by hand. Nothing was changed.",
    )


def _put_back(data_dir: DataDir, folder: Path, planned: list[_Planned], *, overwrite: bool) -> list[RestoredCopy]:
    """Write every file to a scratch folder first, where it may fail; then rename each into its place.

    :raises BackupError: another program changed a file meanwhile; or some files are in place and another one failed
    :raises MigratorError: no file is in place yet, and one failed
    """

    def keep(found: Path, target: Path) -> Path:
        if overwrite:
            return keep_aside(found, target)
        if found != target:
            replacing.put_back(found, target, sha256[target])
        raise _written_meanwhile(target)

    files = Replacements(data_dir.prepared)
    prepared: dict[Path, Path] = {}
    sha256 = {Path(os.path.realpath(target)): listed.sha256 for listed, target, _ in planned}
    done: list[RestoredCopy] = []
    try:
        with scratch(files.folder):
            for listed, target, differs in planned:
                if differs or not target.exists():
                    durable.make_private_folder(target.parent)
                    prepared[target] = files.write(copying.checked_chunks(folder / listed.file, listed.sha256))
            for listed, target, _ in planned:
                name = os.fspath(target)
                if target in prepared:
                    with file_locked(data_dir, target):
                        kept = replacing.place(prepared[target], target, {listed.sha256}, keep)
                    done.append(RestoredCopy(name, "restored", None if kept is None else os.fspath(kept)))
                elif _differs(target, listed):
                    raise _written_meanwhile(target)
                else:
                    done.append(RestoredCopy(name, "unchanged"))
    except MigratorError as error:
        placed = [file.file for file in done if file.status == "restored"]
        if not placed:
            raise
        hint = f"These files are restored already: {', '.join(placed)}. Restore again to continue with the others."
        both = f"{error.hint} {hint}" if error.hint else hint
        raise BackupError(error.message, code=error.code, hint=both) from error
    return done


def _written_meanwhile(target: Path) -> BackupError:
    return BackupError(
        f"Another program changed {target} during the restore.",
        code="file.changed_meanwhile",
        hint="Close it and restore again.",
    )


def _differs(target: Path, listed: ListedFile) -> bool:
    return target.exists() and copying.sha256_of(target) != listed.sha256
