"""What lies in ``backups/``: listing it and proving it.

Three kinds: ``files``, the source files as a migration found them; ``database``, a whole database; ``versions``, the
sessions that somebody decided against.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.backups.manifest import LARGEST_LISTING, MANIFEST, NAME, SUMS, BackupKind, ListedFile, read_manifest
from migrator.data_dir import DataDir
from migrator.errors import BackupError, MigratorError
from migrator.files import copying
from migrator.files.os_errors import os_errors
from migrator.files.reading import contents

_TOO_MUCH = " is not of this backup"


@dataclass(frozen=True)
class ListedBackup:
    """One folder in ``backups/``.

    :ivar kind: None where the manifest can't be read
    :ivar state: ``unknown`` until somebody verifies it, or ``damaged`` where that shows at a glance
    :ivar error: what shows at a glance
    """

    name: str
    created_at: str | None
    kind: BackupKind | None
    files: int
    bytes: int
    state: str
    error: str | None = None


@dataclass(frozen=True)
class VerifiedBackup:
    """A backup that was read as a whole.

    :ivar state: ``whole`` or ``damaged``
    :ivar problems: item by item, what is missing, changed or too much
    """

    name: str
    state: str
    files: int
    bytes: int
    problems: tuple[str, ...]

    @property
    def damage(self) -> tuple[str, ...]:
        """The problems that keep its files from being used: what is too much is none of them."""
        return tuple(problem for problem in self.problems if not problem.endswith(_TOO_MUCH))


def backup_folders(data_dir: DataDir) -> list[Path]:
    """The folders that have a backup's name, oldest first."""
    if not data_dir.backups.is_dir():
        return []
    with os_errors("list", data_dir.backups), os.scandir(data_dir.backups) as entries:
        found = [e.name for e in entries if NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return [data_dir.backups / name for name in sorted(found)]


def find_backup(data_dir: DataDir, name: str) -> Path:
    """The folder of a backup, by its name or its whole path.

    :raises BackupError: there is none
    """
    given = Path(name)
    if given.is_absolute() and os.path.realpath(given.parent) == os.path.realpath(data_dir.backups):
        name = given.name
    for folder in backup_folders(data_dir):
        if folder.name == name:
            return folder
    raise BackupError(f"There is no backup {name} in {data_dir.backups}.", hint="'migrator backups list' shows all.")


def list_backups(data_dir: DataDir) -> list[ListedBackup]:
    """Every backup, oldest first, as it looks at a glance; nothing is hashed."""
    return [look_at(folder) for folder in backup_folders(data_dir)]


def look_at(folder: Path) -> ListedBackup:
    """One backup as it looks at a glance."""
    try:
        manifest = read_manifest(folder)
    except BackupError as error:
        return ListedBackup(folder.name, None, None, 0, 0, "damaged", error.message)
    size = 0
    problem: str | None = None
    for listed in manifest.files:
        try:
            found = os.lstat(folder / listed.file).st_size
        except OSError:
            problem = f"{listed.file} is missing"
            break
        if listed.size is not None and found != listed.size:
            problem = f"{listed.file} has {found} bytes, not {listed.size}"
            break
        size += found
    state = "damaged" if problem else "unknown"
    return ListedBackup(folder.name, manifest.created_at, manifest.kind, len(manifest.files), size, state, problem)


def verify_backups(data_dir: DataDir, names: Sequence[str] = ()) -> list[VerifiedBackup]:
    """Hash every file of the named backups, or of all, and compare with the manifest and SHA256SUMS.

    :raises BackupError: there is none of that name
    """
    folders = [find_backup(data_dir, name) for name in names] if names else backup_folders(data_dir)
    return [verify_backup(folder) for folder in folders]


def verify_backup(folder: Path) -> VerifiedBackup:
    """Hash every file of one backup, and compare it with its manifest and SHA256SUMS."""
    try:
        manifest = read_manifest(folder)
    except BackupError as error:
        return VerifiedBackup(folder.name, "damaged", 0, 0, (str(error),))
    problems: list[str] = []
    size = 0
    for listed in manifest.files:
        found, problem = _check(folder, listed)
        size += found
        if problem:
            problems.append(problem)
    try:
        lines = contents(folder / SUMS, LARGEST_LISTING).decode("utf-8", "surrogateescape").splitlines()
        if {line[66:]: line[:64] for line in lines} != {listed.file: listed.sha256 for listed in manifest.files}:
            problems.append(f"{SUMS} and {MANIFEST} do not say the same")
    except OSError as error:
        problems.append(f"{SUMS} can't be read: {error.strerror}")
    known = {os.path.normpath(listed.file) for listed in manifest.files} | {SUMS, MANIFEST}
    problems += [f"{name}{_TOO_MUCH}" for name in names_in(folder) if name not in known]
    return VerifiedBackup(folder.name, "damaged" if problems else "whole", len(manifest.files), size, tuple(problems))


def _check(folder: Path, listed: ListedFile) -> tuple[int, str | None]:
    """The size of one copy, and what is wrong with it."""
    path = folder / listed.file
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), os.path.normpath(listed.file)):
        return 0, f"{listed.file} is a link, not a copy"
    if not path.is_file():
        return 0, f"{listed.file} is missing"
    try:
        size = path.stat().st_size
        same = copying.sha256_of(path) == listed.sha256
    except (MigratorError, OSError) as error:
        return 0, str(error)
    return size, None if same else f"{listed.file} is damaged: its SHA-256 is not the recorded one"


def names_in(folder: Path) -> Iterator[str]:
    """Everything in a backup's folder but its folders, by relative path."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(files + links):
            yield os.path.relpath(os.path.join(parent, name), folder)


def backup_of(data_dir: DataDir, copy: str) -> str | None:
    """The name of the backup that a copy in the ledger lies in; None for one outside of ``backups/``."""
    place = Path(os.path.relpath(os.path.abspath(data_dir.recorded(copy)), os.path.abspath(data_dir.backups)))
    return None if place.parts[0] == os.pardir else place.parts[0]
