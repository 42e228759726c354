"""List, find and verify the backups in ``backups/``.

There are three kinds: ``files``, the source files as a migration found them; ``database``, a whole database;
``versions``, session versions that were dropped when a conflict was decided.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.backups.manifest import (
    LARGEST_LISTING,
    MANIFEST,
    NAME,
    SUMS,
    BackupKind,
    ListedFile,
    read_manifest,
    sequence_of,
)
from migrator.data_dir import DataDir, require_directory
from migrator.errors import BackupError, Message, MigratorError
from migrator.files import copying
from migrator.files.os_errors import os_errors
from migrator.files.reading import contents
from migrator.report import Report
from migrator.text import counted

_UNKNOWN_FILE = "backup.unknown_file"


@dataclass(frozen=True)
class ListedBackup:
    """One folder in ``backups/``.

    :ivar kind: None if the manifest cannot be read
    :ivar state: ``damaged`` if its manifest or the sizes of its files show that, else ``unknown``: nothing was hashed
    :ivar error: the damage, if any
    """

    name: str
    created_at: str | None
    kind: BackupKind | None
    files: int
    bytes: int
    state: str
    error: Message | None = None


@dataclass(frozen=True)
class VerifiedBackup:
    """A backup whose files were all read.

    :ivar state: ``whole`` or ``damaged``
    :ivar problems: each file that is missing, changed, or does not belong to the backup
    """

    name: str
    state: str
    files: int
    bytes: int
    problems: tuple[Message, ...]

    @property
    def damage(self) -> tuple[Message, ...]:
        """The problems that make its files unusable; an extra file does not."""
        return tuple(problem for problem in self.problems if problem.code != _UNKNOWN_FILE)


@dataclass(frozen=True)
class BackupList(Report):
    """Every backup, oldest first."""

    backups: tuple[ListedBackup, ...]


@dataclass(frozen=True)
class VerifiedBackups(Report):
    """The backups that were verified.

    :ivar errors: the problems of all of them, each with the name of its backup
    """

    backups: tuple[VerifiedBackup, ...]
    errors: tuple[Message, ...]

    @property
    def exit_code(self) -> int:
        """1 if a backup is damaged."""
        return 1 if any(backup.state == "damaged" for backup in self.backups) else 0


def backup_folders(data_dir: DataDir) -> list[Path]:
    """The folders that have a backup's name, oldest first: those without a sequence number, then by that."""
    require_directory(data_dir)
    if not data_dir.backups.is_dir():
        return []
    with os_errors("list", data_dir.backups), os.scandir(data_dir.backups) as entries:
        found = [e.name for e in entries if NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return sorted((data_dir.backups / name for name in found), key=lambda folder: (sequence_of(folder), folder.name))


def find_backup(data_dir: DataDir, name: str) -> Path:
    """The folder of a backup, by its name or its full path.

    :raises BackupError: there is no such backup
    """
    given = Path(name)
    if given.is_absolute() and os.path.realpath(given.parent) == os.path.realpath(data_dir.backups):
        name = given.name
    for folder in backup_folders(data_dir):
        if folder.name == name:
            return folder
    raise BackupError(
        f"There is no backup {name} in {data_dir.backups}.",
        code="backup.not_found",
        hint="'migrator backups list' shows all backups.",
    )


def list_backups(data_dir: DataDir) -> BackupList:
    """Every backup, oldest first, checked by the sizes of its files; nothing is hashed."""
    return BackupList(tuple(check_quickly(folder) for folder in backup_folders(data_dir)))


def check_quickly(folder: Path) -> ListedBackup:
    """Check one backup by its manifest and the sizes of its files."""
    try:
        manifest = read_manifest(folder)
    except BackupError as error:
        return ListedBackup(folder.name, None, None, 0, 0, "damaged", error.as_message())
    size = 0
    problem: Message | None = None
    for listed in manifest.files:
        try:
            found = os.lstat(folder / listed.file).st_size
        except OSError:
            problem = _missing(listed)
            break
        if listed.size is not None and found != listed.size:
            problem = _changed(listed, f"it has {counted(found, 'byte')}, not {listed.size:,}")
            break
        size += found
    state = "damaged" if problem else "unknown"
    return ListedBackup(folder.name, manifest.created_at, manifest.kind, len(manifest.files), size, state, problem)


def verify_backups(data_dir: DataDir, names: Sequence[str] = ()) -> VerifiedBackups:
    """Hash every file of the named backups, or of all, and compare with the manifest and SHA256SUMS.

    :raises BackupError: there is no backup of that name
    """
    folders = [find_backup(data_dir, name) for name in names] if names else backup_folders(data_dir)
    verified = tuple(verify_backup(folder) for folder in folders)
    errors = (
        Message(f"{backup.name}: {problem.message}", code=problem.code, hint=problem.hint)
        for backup in verified
        for problem in backup.problems
    )
    return VerifiedBackups(verified, tuple(errors))


def verify_backup(folder: Path) -> VerifiedBackup:
    """Hash every file of one backup, and compare it with its manifest and SHA256SUMS."""
    try:
        manifest = read_manifest(folder)
    except BackupError as error:
        return VerifiedBackup(folder.name, "damaged", 0, 0, (error.as_message(),))
    problems: list[Message] = []
    size = 0
    for listed in manifest.files:
        found, problem = _check(folder, listed)
        size += found
        if problem:
            problems.append(problem)
    try:
        lines = contents(folder / SUMS, LARGEST_LISTING).decode("utf-8", "surrogateescape").splitlines()
        if {line[66:]: line[:64] for line in lines} != {listed.file: listed.sha256 for listed in manifest.files}:
            problems.append(Message(f"{SUMS} and {MANIFEST} differ", code="backup.checksums_differ"))
    except OSError as error:
        problems.append(Message(f"{SUMS} cannot be read: {error.strerror}", code="backup.checksums_unreadable"))
    known = {os.path.normpath(listed.file) for listed in manifest.files} | {SUMS, MANIFEST, *manifest.damaged}
    extra = [name for name in names_in(folder) if name not in known]
    problems += [Message(f"{name} does not belong to this backup", code=_UNKNOWN_FILE) for name in extra]
    return VerifiedBackup(folder.name, "damaged" if problems else "whole", len(manifest.files), size, tuple(problems))


def _check(folder: Path, listed: ListedFile) -> tuple[int, Message | None]:
    """The size of one copy, and what is wrong with it."""
    path = folder / listed.file
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), os.path.normpath(listed.file)):
        return 0, Message(f"{listed.file} is a link, not a copy", code="backup.file_is_link")
    if not path.is_file():
        return 0, _missing(listed)
    try:
        size = path.stat().st_size
        same = copying.sha256_of(path) == listed.sha256
    except MigratorError as error:
        return 0, error.as_message()
    except OSError as error:
        return 0, Message(f"{path} cannot be read: {error.strerror}", code="file.unreadable")
    return size, None if same else _changed(listed, "its SHA-256 is not the recorded one")


def _missing(listed: ListedFile) -> Message:
    return Message(f"{listed.file} is missing", code="backup.file_missing")


def _changed(listed: ListedFile, difference: str) -> Message:
    return Message(f"{listed.file} is damaged: {difference}", code="backup.file_damaged")


def names_in(folder: Path) -> Iterator[str]:
    """The relative paths of all files and links in a backup's folder."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(files + links):
            yield os.path.relpath(os.path.join(parent, name), folder)


def backup_of(data_dir: DataDir, copy: str) -> str | None:
    """The name of the backup that holds a copy named in the ledger; None for a copy outside ``backups/``."""
    place = Path(os.path.relpath(os.path.abspath(data_dir.recorded(copy)), os.path.abspath(data_dir.backups)))
    return None if place.parts[0] == os.pardir else place.parts[0]
