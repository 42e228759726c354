"""What lies around the database in the data directory: what dead runs left, what nobody knows, what others may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from migrator.authority import Backend, State, effective_backend, lost_truth, read_flag
from migrator.backups.catalog import backup_folders, names_in
from migrator.backups.manifest import MANIFEST, NAME, SUMS, read_manifest
from migrator.data_dir import BESIDE_DATABASE, INCOMPLETE, DataDir
from migrator.errors import BackupError
from migrator.files.durable import is_open_to_others
from migrator.files.os_errors import os_errors
from migrator.locking import leftovers, lock_holder


def what_is_amiss(data_dir: DataDir, state: State) -> list[str]:
    """What is amiss around the database, for people; none of it breaks anything."""
    mend = "'migrator verify --repair' puts it right."
    notes = []
    backend = wrong_flag(data_dir, state)
    if backend is not None:
        notes.append(f"{data_dir.flag} does not say {backend!r}, which is the authority; {mend}")
    if lock_holder(data_dir) is None:
        notes += [f"{path} was left by a run that died; {mend}" for path in leftovers(data_dir)]
    notes += [f"{path} is no backup; nothing uses it." for path in strangers(data_dir)]
    open_to_others = too_open(data_dir)
    if open_to_others:
        more = f" and {len(open_to_others) - 1} more" if len(open_to_others) > 1 else ""
        notes.append(f"Others than you may use {open_to_others[0]}{more}; {mend}")
    for folder in backup_folders(data_dir):
        try:
            listed = {os.path.normpath(file.file) for file in read_manifest(folder).files}
        except BackupError:
            continue  # told by unlisted()
        extra = [name for name in names_in(folder) if name not in listed | {SUMS, MANIFEST}]
        notes += [f"{folder / name} is not of that backup; nothing uses it." for name in extra]
    return notes


def unlisted(data_dir: DataDir) -> list[str]:
    """The backups that can't be restored because their listing can't be read, each with what to do."""
    found = []
    for folder in backup_folders(data_dir):
        try:
            read_manifest(folder)
        except BackupError as error:
            found.append(str(error))
    return found


def strangers(data_dir: DataDir) -> list[Path]:
    """What lies in ``backups/`` and is no backup, nor what a dead run left of one."""
    if not data_dir.backups.is_dir():
        return []
    with os_errors("list", data_dir.backups):
        found = sorted(data_dir.backups.iterdir())
    return [
        path
        for path in found
        if not path.name.startswith(INCOMPLETE) and not (NAME.fullmatch(path.name) and path.is_dir())
    ]


def wrong_flag(data_dir: DataDir, state: State) -> Backend | None:
    """What storage.json should say where it says something else; None where it is right.

    Without a migration none is needed.
    """
    if lost_truth(data_dir, state) is not None:
        return None  # to point it at the JSON files is for the user to decide
    expected = effective_backend(data_dir, state.authority)
    found = read_flag(data_dir.flag)
    if found == expected or (state.authority == "json" and not os.path.lexists(data_dir.flag)):
        return None
    return expected


def too_open(data_dir: DataDir) -> list[Path]:
    """The files and folders of ours that anybody but their owner may use."""
    return [path for path in _ours(data_dir) if is_open_to_others(path)]


def _ours(data_dir: DataDir) -> Iterator[Path]:
    database = data_dir.database
    for suffix in BESIDE_DATABASE:
        yield database.with_name(database.name + suffix)
        yield data_dir.hybrid_journal.with_name(data_dir.hybrid_journal.name + suffix)
    yield from (data_dir.flag, data_dir.lock)
    for folder in (data_dir.backups, data_dir.locks):
        yield folder
        for parent, folders, files in os.walk(folder):
            yield from (Path(parent, name) for name in folders + files)
