"""Checks the files around the database: leftovers of interrupted runs, unknown entries, loose permissions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from migrator.authority import State, read_flag, wrong_flag
from migrator.backups.catalog import backup_folders, names_in
from migrator.backups.manifest import MANIFEST, NAME, SUMS, BackupKind, read_manifest
from migrator.data_dir import DATABASE_SUFFIXES, INCOMPLETE, DataDir
from migrator.errors import BackupError, ConnectionFailed
from migrator.files.durable import is_open_to_others
from migrator.files.os_errors import os_errors
from migrator.inventory.plan import make_plan
from migrator.inventory.source_files import list_files
from migrator.locking import leftovers, lock_holder
from migrator.storage.hybrid.journal import find_damage
from migrator.verification.findings import REPAIR, Finding, note, problem


def find_problems(data_dir: DataDir, state: State | None) -> Iterator[Finding]:
    """Yield what is wrong around the database; none of it breaks anything.

    :param state: None if the database cannot be read, so that it is unknown what storage.json should say
    """
    backend = None if state is None else wrong_flag(data_dir, state)
    if backend is not None:
        message = f"{data_dir.flag} should name the backend {backend!r}, which matches the authoritative store."
        yield problem("storage.json", message, REPAIR, code="backend.flag_wrong")
    if lock_holder(data_dir) is None:
        for path in leftovers(data_dir):
            message = f"{path} is left over from an interrupted run."
            yield problem("leftovers", message, REPAIR, code="file.leftover")
    if list_files(data_dir).unknown_files:
        for found in make_plan(data_dir).unknown_files:
            if found.code == "file.written_late":
                continue  # it is named with what is left to do
            kind = note if found.code == "source.unknown_file" else problem
            yield kind("other files", found.message, code=found.code, hint=found.hint)
    if read_flag(data_dir) == "hybrid":
        with suppress(ConnectionFailed):  # the doctor reports that it cannot be opened
            damage = find_damage(data_dir.hybrid_journal)
            if damage is not None:
                yield problem("hybrid mode", damage, "migrator migrate", code=damage.code, hint=damage.hint)
    for path in unknown_entries(data_dir):
        yield note("backups", f"{path} is not a backup; nothing uses it.", code="backup.unknown_file")
    for path in loose_permissions(data_dir):
        yield problem("permissions", f"Other users can access {path}.", REPAIR, code="file.open_to_others")


def as_notes(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings as verify's notes, with the command as the hint; loose permissions become one note."""
    every = [*findings]
    loose = [found for found in every if found.code == "file.open_to_others"]
    for found in [found for found in every if found not in loose] + loose[:1]:
        message = found.message.message
        if found in loose and len(loose) > 1:
            message = f"{message.removesuffix('.')} and {len(loose) - 1} more."
        hint = f"'{found.command}' fixes it." if found.command else found.message.hint
        yield note(found.subject, message, code=found.code, hint=hint)


def check_listings(data_dir: DataDir) -> Iterator[Finding]:
    """Yield the backups whose manifest or checksums cannot be read, and the files in backups that no manifest lists."""
    for folder in backup_folders(data_dir):
        try:
            manifest = read_manifest(folder)
        except BackupError as error:
            yield problem("backups", error.message, code=error.code, hint=error.hint)
            continue
        if not (folder / SUMS).is_file():
            yield _without_checksums(folder / SUMS, manifest.kind)
        listed = {os.path.normpath(file.file) for file in manifest.files}
        for name in names_in(folder):
            if name not in listed | {SUMS, MANIFEST}:
                message = f"{folder / name} is not part of the backup; nothing uses it."
                yield note("backups", message, code="backup.unknown_file")


def _without_checksums(sums: Path, kind: BackupKind) -> Finding:
    code = "backup.checksums_unreadable"
    if kind != "files":  # only these are written again
        return note("backups", f"{sums} is missing, or not a file.", code=code)
    if os.path.lexists(sums):
        hint = f"Move it away. Then '{REPAIR}' writes it again."
        return note("backups", f"{sums} is not a file.", code=code, hint=hint)
    return note("backups", f"{sums} is missing.", code=code, hint=f"'{REPAIR}' writes it again.")


def unknown_entries(data_dir: DataDir) -> list[Path]:
    """Return the entries of ``backups/`` that are neither backups nor leftovers of interrupted runs."""
    if not data_dir.backups.is_dir():
        return []
    with os_errors("list", data_dir.backups):
        found = sorted(path for path in data_dir.backups.iterdir() if not path.name.startswith(INCOMPLETE))
        return [path for path in found if not (NAME.fullmatch(path.name) and path.is_dir())]


def loose_permissions(data_dir: DataDir) -> list[Path]:
    """Return migrator's files and folders that other users can access."""
    ours = [data_dir.flag, data_dir.lock]
    for database in (data_dir.database, data_dir.hybrid_journal):
        ours += [database.with_name(database.name + suffix) for suffix in DATABASE_SUFFIXES]
    for folder in (data_dir.backups, data_dir.locks):
        ours.append(folder)
        for parent, folders, files in os.walk(folder):
            ours += [Path(parent, name) for name in folders + files]
    return [path for path in ours if is_open_to_others(path)]
