"""Checks the session history: the database, the files, the backups and storage.json."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from migrator.authority import State, broken_link, missing_database, read_flag, state_of, wrong_flag
from migrator.backups.catalog import list_backups
from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.diagnostics.database_users import locks_of
from migrator.errors import ConnectionFailed, MigratorError, StaleStoreError, TornFileError
from migrator.files.locks import described
from migrator.inventory.plan import make_plan, why_refused
from migrator.inventory.status import StatusReport, status_of
from migrator.migration.rolled_back import queries as rolled_back_queries
from migrator.migration.rolled_back.changes import changed_sessions
from migrator.salvage.intact import require_intact
from migrator.search.index import index_state, quick_problems
from migrator.storage.hybrid.journal import find_damage, read_stats
from migrator.text import counted, size
from migrator.verification.data_dir_check import find_problems
from migrator.verification.findings import (
    BROKEN,
    REPAIR,
    Finding,
    command,
    finding,
    move_aside_command,
    note,
    ok,
    problem,
)
from migrator.verification.run import was_loaded_from_dump

_PATIENCE = 1.0  # seconds: an app that writes releases the database long before


def database(data_dir: DataDir) -> Iterator[Finding]:
    """Check whether the database can be used, what it holds, and who else uses it."""
    subject, path = "database", data_dir.database
    if path.is_dir():
        return  # machine.file_access reports it
    try:
        state = state_of(path)
    except ConnectionFailed as error:
        yield _unusable(data_dir, error)
        return
    missing = missing_database(data_dir, state)
    if missing is not None:
        yield _missing(data_dir, missing)
        return
    link = broken_link(data_dir)
    if link is not None:
        yield problem(subject, link.message, command("ls", "-l", path), code=link.code, hint=link.hint)
        return
    if not path.exists():
        message = f"There is no database at {path} yet; the JSON files are authoritative."
        yield ok(subject, message, code="database.not_created")
        return
    store = "SQLite is" if state.authority == "sqlite" else "the JSON files are"
    known = schema.latest_version()
    message = f"{path}: schema version {state.schema_version}, migration {state.status}; {store} authoritative."
    try:
        with opened(path, read_only=True) as connection:
            require_intact(connection, path, everything=True)
            from_dump = was_loaded_from_dump(connection)
    except ConnectionFailed as error:
        yield _unusable(data_dir, error)
    else:
        yield ok(subject, message, code="database.usable")
        if from_dump:
            text, hint = BROKEN["database.from_dump"]
            yield problem(subject, text, REPAIR, code="database.from_dump", hint=hint)
    refused = why_refused(data_dir, state)
    if refused is not None:
        yield problem("schema", refused.message, code=refused.code, hint=refused.hint)
    elif 0 < state.schema_version < known:
        message = f"The database has schema version {state.schema_version}; this migrator uses version {known}."
        level = problem if state.authority == "sqlite" else note
        yield level("schema", message, "migrator schema apply", code="schema.outdated")
    yield from _users(data_dir)


def _missing(data_dir: DataDir, missing: StaleStoreError) -> Finding:
    """Report that the authoritative database is missing, and how to get it back."""
    path = data_dir.database
    if missing.code == "store.other_database":
        return problem("database", missing.message, code=missing.code, hint=missing.hint)
    hint = "Put the database back where it was; the JSON files lack everything since the migration."
    copy, more = _newest_copy(data_dir)
    if path.is_symlink():
        hint, more = f"It is a link to {os.readlink(path)}; perhaps a disk is not mounted.", command("ls", "-l", path)
    elif copy is None:
        more = command("ls", "-l", path.parent)
    else:
        hint += f" Or restore its newest backup, {copy}."
    return problem("database", missing.message, more, code=missing.code, hint=hint)


def _newest_copy(data_dir: DataDir) -> tuple[str | None, str]:
    """Return the newest backup of the database that is not obviously damaged, and the command to restore it."""
    with suppress(MigratorError, OSError):
        names = [found.name for found in list_backups(data_dir).backups if found.kind == "database" and not found.error]
        if names:  # restoring keeps a copy of what it replaces
            kept = " --overwrite-newer-work" if data_dir.database.exists() else ""
            return names[-1], f"migrator backups restore {command(names[-1])}{kept}"
    return None, ""


def _unusable(data_dir: DataDir, error: ConnectionFailed) -> Finding:
    """Report a database that cannot be opened or read, and what to do."""
    path = data_dir.database
    report = partial(problem, "database", error.message, code=error.code)
    if error.code == "database.locked":
        writers = locks_of(path, patience=0).writers
        if writers:
            names, numbers = " and ".join(map(described, writers)), ",".join(map(str, writers))
            return report(command("ps", "-p", numbers), hint=f"Close the program that keeps it locked: {names}.")
        return report(command("lsof", path), hint="Close the program that keeps it locked.")
    copy, restore = _newest_copy(data_dir)
    if error.code == "database.not_a_database":
        found = f"has no backup in {data_dir.backups}" if copy is None else f"has the backup {copy}"
        hint = f"If it used to be a database, the JSON files may be out of date; it {found}. If it never was one, move "
        hint += "it away and run 'migrator migrate' again."
        return report(restore or move_aside_command(path), hint=hint)
    if copy is not None:
        return report(restore, hint=f"{error.hint or ''} Its newest backup is {copy}.".lstrip())
    return report("migrator verify", hint=error.hint)


def _users(data_dir: DataDir) -> Iterator[Finding]:
    """Check which processes have the database open, and whether one keeps it locked."""
    path = data_dir.database
    if not os.access(path, os.W_OK):
        return  # machine.file_access reports it
    used = locks_of(path, patience=_PATIENCE)
    if not used.writing:
        by = f" It is open in {' and '.join(map(described, used.open_in))}." if used.open_in else ""
        yield ok("database locks", f"The database can be written.{by}", code="database.unlocked")
        return
    suspects = used.writers or used.open_in
    who = " and ".join(map(described, suspects)) or "Another program"
    process = command("ps", "-p", ",".join(map(str, suspects))) if suspects else command("lsof", path)
    message = f"{who} keeps {path} locked, so nothing can be written."
    yield problem("database locks", message, process, code="database.locked", hint="Close that program.")


def storage_flag(data_dir: DataDir) -> Iterator[Finding]:
    """Check storage.json, and the files around the database."""
    state = _state_or_none(data_dir)
    if state is not None and missing_database(data_dir, state) is None and wrong_flag(data_dir, state) is None:
        message = "It names the right backend." if data_dir.flag.exists() else "It does not exist, and is not needed."
        yield ok("storage.json", message, code="backend.flag_right")
    yield from find_problems(data_dir, state)


def _state_or_none(data_dir: DataDir) -> State | None:
    try:
        return state_of(data_dir.database)
    except MigratorError:
        return None  # the check of the database reports it


def backups(data_dir: DataDir) -> Iterator[Finding]:
    """Check each backup by its manifest and file sizes, and the copies that a merge will need."""
    listed = list_backups(data_dir).backups
    for backup in listed:
        if error := backup.error:
            more = f"migrator backups verify {command(backup.name)}"
            yield problem("backups", f"{backup.name}: {error.message}", more, code=error.code, hint=error.hint)
    if listed:
        held = f"{counted(len(listed), 'backup')}, {size(sum(backup.bytes for backup in listed))}."
        yield ok("backups", held, "migrator backups list", code="backup.listed")
    state = _state_or_none(data_dir)
    last = data_dir.backup_now(state.backup) if state is not None else None
    if state is not None and last is not None and not os.path.isdir(last):
        message = f"The backup of the last migration is missing: {last}."
        hint = "If its disk is not mounted, mount it." if data_dir.backups.is_symlink() else None
        level = problem if state.authority == "sqlite" else note
        yield level("backups", message, REPAIR, code="backup.missing", hint=hint)
    yield from _missing_bases(data_dir)


def _missing_bases(data_dir: DataDir) -> Iterator[Finding]:
    """Yield a finding for each file whose changes have nothing to be compared with: the backup copy is gone."""
    if _state_or_none(data_dir) is None:
        return
    found = make_plan(data_dir)
    changed = {source.name for source in found.work.pending}
    for entry in found.ledger.values():
        if entry.status == "failed" or not entry.backup:
            continue
        lost = [copy for copy in map(data_dir.recorded, {entry.backup, *entry.base_copies}) if not copy.exists()]
        copy = data_dir.recorded(entry.backup)
        with suppress(OSError):  # the size of a file that failed later is not that of the last good one
            if entry.error is None and copy.stat().st_size != entry.size:
                lost.append(copy)
        if not lost:
            continue
        what = f"The backup copy {lost[0]}, needed to merge changes in {entry.source}, is missing or incomplete"
        if entry.source not in changed and data_dir.recorded(entry.source).exists():
            message = f"{what}; the file itself has not changed."
            yield problem("backup copies", message, REPAIR, code="backup.file_missing")
        elif entry.source in changed:
            message = f"{what}, and the file has changed."
            hint = "The merge works without it: it deletes nothing, and what differs goes to quarantine."
            yield problem("backup copies", message, "migrator migrate", code="backup.file_missing", hint=hint)


def pending_work(data_dir: DataDir) -> Iterator[Finding]:
    """Check what is left to migrate, and what waits for a decision."""
    state = _state_or_none(data_dir)
    if state is None or missing_database(data_dir, state) is not None:
        return
    status = status_of(data_dir)
    for warning in status.warnings:
        if warning.code == "file.written_late":
            yield problem("replaced files", warning.message, code=warning.code, hint=warning.hint)
        elif warning.code == "workspace.invalid_mapping":  # machine.data_directory reports the others
            yield note("workspace paths", warning.message, code=warning.code, hint=warning.hint)
    if status.refused is None:  # otherwise the check of the database reports why nothing can be migrated
        yield _pending(status)
    for workspace in status.workspaces:
        if workspace.error:
            code, message = workspace.error.code, f"A file of {workspace.path} could not be migrated."
            fix = "migrator migrate --salvage" if code in TornFileError.codes else None
            yield problem("failed files", message, fix, code=code, hint="'migrator status' shows why.")
    if status.quarantined:
        message = f"{counted(status.quarantined, 'item')} in quarantine."
        yield problem("quarantine", message, "migrator quarantine list", code="quarantine.waiting")
    else:
        yield ok("quarantine", "The quarantine is empty.", code="quarantine.empty")
    yield from _deletions(status)


def _deletions(status: StatusReport) -> Iterator[Finding]:
    """Report the sessions that files lost. Those that are held need a decision, which was asked for when found."""
    if status.held:
        message = f"{counted(status.held, 'session')} missing in their files, kept in SQLite until you decide."
        yield note("deletions", message, "migrator deletions list", code="session.deletion_held")
    if status.deleted:
        message = f"{counted(status.deleted, 'session')} deleted in their files, kept in quarantine."
        yield note("deletions", message, "migrator quarantine list", code="quarantine.deleted_remain")


def _pending(status: StatusReport) -> Finding:
    count = len(status.changed_files)
    files = "1 file is" if count == 1 else f"{count} files are"
    if count and status.backend == "hybrid":
        message = f"{files} new or changed. In hybrid mode, migrator updates the files from SQLite."
        return note("pending work", message, code="source.pending_hybrid")
    if status.needs_migration:
        return problem("pending work", f"{files} new or changed.", "migrator migrate", code="source.pending")
    if count:
        message = "The app uses the JSON files since the rollback."
        hint = "To return to SQLite, migrate again."
        return note("pending work", message, "migrator migrate", code="rollback.completed", hint=hint)
    return ok("pending work", "No file is new or changed.", code="source.migrated")


def search_index(data_dir: DataDir) -> Iterator[Finding]:
    """Check whether the search index is finished; without it, searching is slower."""
    state = _state_or_none(data_dir)
    if state is None or state.authority != "sqlite" or not state.has_index_state:
        return
    with opened(data_dir.database, read_only=True) as connection, sqlite_errors("look at", data_dir.database):
        found, problems = index_state(connection), quick_problems(connection)
    for broken in problems:
        yield problem("search index", broken.message, REPAIR, code=broken.code, hint=broken.hint)
    if found in ("pending", "building") and not problems:
        message = "It is not finished, so searching takes longer."
        yield note("search index", message, "migrator search-index build", code="search_index.unfinished")


def rolled_back(data_dir: DataDir) -> Iterator[Finding]:
    """Check whether a database that is no longer authoritative holds sessions that no file has."""
    state, path = _state_or_none(data_dir), data_dir.database
    if state is None or state.status != "rolled_back":
        return
    with opened(path, read_only=True) as connection, sqlite_errors("look for sessions", path):
        if not schema.has_table(connection, "rolled_back_sessions"):
            return
        late = {found[0].key for found in changed_sessions(connection)}
        written = connection.execute(rolled_back_queries.WRITTEN_SESSIONS).fetchall()
    gone = {source for _, source in written if not _has_sessions(data_dir.recorded(source))}
    only = late | {key for key, source in written if source in gone}
    if only:
        message = (
            f"{path} has {counted(len(only), 'session')} that the JSON files lack, although they are authoritative "
        )
        message += "since the rollback."
        hint = "Do not delete it: 'migrator migrate' merges it with the files."
        yield problem("rollback", message, "migrator migrate", code="session.written_after_rollback", hint=hint)


def _has_sessions(file: Path) -> bool:
    """Return whether a file may hold a session: it exists, and is longer than an empty array."""
    try:
        return file.stat().st_size > len("[]")
    except OSError:
        return False


def hybrid_mode(data_dir: DataDir) -> Iterator[Finding]:
    """Check what hybrid mode recorded."""
    if read_flag(data_dir) != "hybrid":
        return  # its journal is about the past
    try:
        damage = find_damage(data_dir.hybrid_journal)
        found = None if damage else read_stats(data_dir.hybrid_journal)
    except ConnectionFailed as error:
        message = f"The journal of hybrid mode cannot be read: {error.message}"
        yield problem("hybrid mode", message, code="hybrid.journal_unreadable", hint=error.hint)
        return
    if damage is not None:
        yield problem("hybrid mode", damage, "migrator migrate", code=damage.code, hint=damage.hint)
        return
    if found is None:
        return
    differs = found.pending_repairs or found.differences
    code = "hybrid.stores_differ" if differs else "hybrid.stores_equal"
    yield finding("problem" if differs else "ok", "hybrid mode", f"{found.summary()}.", "migrator backend", code=code)
