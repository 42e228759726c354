"""What lies around the database in the data directory: what dead runs left, what nobody knows, what others may read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from migrator.authority import State, wrong_flag
from migrator.backups.catalog import backup_folders, names_in
from migrator.backups.manifest import MANIFEST, NAME, SUMS, read_manifest
from migrator.data_dir import BESIDE_DATABASE, INCOMPLETE, DataDir
from migrator.errors import BackupError
from migrator.files.durable import is_open_to_others
from migrator.files.os_errors import os_errors
from migrator.locking import leftovers, lock_holder
from migrator.verification.findings import REPAIR, Finding, problem


def find_problems(data_dir: DataDir, state: State | None) -> Iterator[Finding]:
    """What is wrong around the database; none of it breaks anything.

    :param state: None where the database can't be read, so that nobody knows what the flag should say
    """
    backend = None if state is None else wrong_flag(data_dir, state)
    if backend is not None:
        message = f"{data_dir.flag} does not say {backend!r}, which is the authority."
        yield problem("flag", message, REPAIR)
    if lock_holder(data_dir) is None:
        for path in leftovers(data_dir):
            yield problem("leftovers", f"{path} was left by a run that died.", REPAIR)
    for path in unknown_entries(data_dir):
        yield Finding("note", "backups", f"{path} is no backup; nothing uses it.")
    for path in loose_permissions(data_dir):
        yield problem("permissions", f"Others than you may use {path}.", REPAIR)


def as_notes(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings as verify lists them, with what fixes each; of what others may use the first stands for all."""
    every = [*findings]
    loose = [finding for finding in every if finding.subject == "permissions"]
    for finding in [finding for finding in every if finding.subject != "permissions"] + loose[:1]:
        more = f" and {len(loose) - 1} more" if finding in loose[:1] and len(loose) > 1 else ""
        fixed = f"; '{finding.command}' puts it right." if finding.command else "."
        yield Finding("note", finding.subject, finding.message.removesuffix(".") + more + fixed)


def find_unlisted_files(data_dir: DataDir) -> Iterator[Finding]:
    """The backups that can't be restored because their listing can't be read, and files that no listing names."""
    for folder in backup_folders(data_dir):
        try:
            listed = {os.path.normpath(file.file) for file in read_manifest(folder).files}
        except BackupError as error:
            yield problem("backups", str(error))
            continue
        for name in names_in(folder):
            if name not in listed | {SUMS, MANIFEST}:
                yield Finding("note", "backups", f"{folder / name} is not of that backup; nothing uses it.")


def unknown_entries(data_dir: DataDir) -> list[Path]:
    """What lies in ``backups/`` and is no backup, nor what a dead run left of one."""
    if not data_dir.backups.is_dir():
        return []
    with os_errors("list", data_dir.backups):
        found = sorted(path for path in data_dir.backups.iterdir() if not path.name.startswith(INCOMPLETE))
        return [path for path in found if not (NAME.fullmatch(path.name) and path.is_dir())]


def loose_permissions(data_dir: DataDir) -> list[Path]:
    """The files and folders of ours that anybody but their owner may use."""
    ours = [data_dir.flag, data_dir.lock]
    for database in (data_dir.database, data_dir.hybrid_journal):
        ours += [database.with_name(database.name + suffix) for suffix in BESIDE_DATABASE]
    for folder in (data_dir.backups, data_dir.locks):
        ours.append(folder)
        for parent, folders, files in os.walk(folder):
            ours += [Path(parent, name) for name in folders + files]
    return [path for path in ours if is_open_to_others(path)]
