"""The history in all the places where it is: the database, the files, the backups, and what points at them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from migrator.authority import State, missing_database, state_of, wrong_flag
from migrator.backups.catalog import list_backups
from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.diagnostics.database_users import locks_of
from migrator.errors import ConnectionFailed, MigratorError
from migrator.files.locks import described
from migrator.inventory.plan import make_plan
from migrator.inventory.status import StatusReport, status_of
from migrator.storage.hybrid.journal import read_stats
from migrator.text import counted, size
from migrator.verification.data_dir_check import find_problems
from migrator.verification.findings import REPAIR, Finding, Level, command, move_aside_command, ok, problem

_PATIENCE = 1.0  # seconds: an app that writes lets go of the database long before


def database(data_dir: DataDir) -> Iterator[Finding]:
    """Whether it can be used, what it holds, and who else uses it."""
    subject, path = "database", data_dir.database
    if path.is_dir():
        return  # told with the places
    try:
        state = state_of(path)
    except ConnectionFailed as error:
        yield _unusable(data_dir, error)
        return
    if missing_database(data_dir, state) is not None:
        yield _gone(data_dir)
        return
    if not path.exists():
        yield ok(subject, f"There is none at {path} yet; the JSON files hold the truth.")
        return
    truth = "SQLite holds" if state.authority == "sqlite" else "the JSON files hold"
    known = schema.latest_version()
    yield ok(subject, f"{path}: schema version {state.schema_version}, migration {state.status}; {truth} the truth.")
    if 0 < state.schema_version < known:
        level: Level = "problem" if state.authority == "sqlite" else "note"
        behind = f"Version {state.schema_version}; this migrator works with {known}."
        yield Finding(level, "schema", behind, "migrator schema apply")
    yield from _users(data_dir)


def _gone(data_dir: DataDir) -> Finding:
    path = data_dir.database
    found = "a database that nothing was migrated into" if path.exists() else "none"
    message = (
        f"{data_dir.flag} says that the app runs on a database, and there is {found} at {path}. The JSON files are as "
        "old as the migration: bring the database back from where it went"
    )
    if path.is_symlink():
        where = f"{message}. It is a link to {os.readlink(path)}: perhaps a disk is not mounted."
        return problem("database", where, command("ls", "-l", path))
    copy, restore = _newest_copy(data_dir)
    if copy is None:
        return problem("database", f"{message}.", command("ls", "-l", path.parent))
    return problem("database", f"{message}, or take the newest copy, {copy}.", restore)


def _newest_copy(data_dir: DataDir) -> tuple[str | None, str]:
    """The newest backup of the database that is not damaged at a glance, and how to restore it."""
    with suppress(MigratorError, OSError):
        names = [found.name for found in list_backups(data_dir) if found.kind == "database" and not found.error]
        if names:  # what is in its place is kept beside
            kept = " --overwrite-newer-work" if data_dir.database.exists() else ""
            return names[-1], f"migrator backups restore {command(names[-1])}{kept}"
    return None, ""


def _unusable(data_dir: DataDir, error: ConnectionFailed) -> Finding:
    """A database that can't be opened, or not be read."""
    path = data_dir.database
    text = str(error)
    if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        writers = locks_of(path, patience=0).writers
        if writers:
            text = f"{text} It is {' and '.join(map(described, writers))}."
            return problem("database", text, command("ps", "-p", ",".join(map(str, writers))))
        return problem("database", text, command("lsof", path))
    copy, restore = _newest_copy(data_dir)
    if copy is not None:
        return problem("database", f"{text} {copy} is the newest copy of it.", restore)
    if isinstance(error.__cause__, sqlite3.Error) and error.__cause__.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
        message = f"{text} There is no copy of it in {data_dir.backups}."
        return problem("database", message, move_aside_command(path))
    return problem("database", text, "migrator verify")


def _users(data_dir: DataDir) -> Iterator[Finding]:
    """Who has the database open, and who keeps it from being written."""
    path = data_dir.database
    if not os.access(path, os.W_OK):
        return  # told with the permissions
    used = locks_of(path, patience=_PATIENCE)
    if not used.writing:
        by = f" It is open in {' and '.join(map(described, used.open_in))}." if used.open_in else ""
        yield ok("database locks", f"Nobody keeps it from being written.{by}")
        return
    suspects = used.writers or used.open_in
    who = " and ".join(map(described, suspects)) or "Another program"
    process = command("ps", "-p", ",".join(map(str, suspects))) if suspects else command("lsof", path)
    yield problem("database locks", f"{who} keeps {path} locked: nothing can be written. Close that program.", process)


def around(data_dir: DataDir) -> Iterator[Finding]:
    """What points at the database, and what lies beside it."""
    state = _state_or_none(data_dir)
    if state is not None and missing_database(data_dir, state) is None and wrong_flag(data_dir, state) is None:
        yield ok("flag", "storage.json agrees with the authority, or there is none and none is needed.")
    yield from find_problems(data_dir, state)


def _state_or_none(data_dir: DataDir) -> State | None:
    try:
        return state_of(data_dir.database)
    except MigratorError:
        return None  # told with the database


def backups(data_dir: DataDir) -> Iterator[Finding]:
    """The copies, as they look at a glance, and whether a merge will find those that it needs."""
    listed = list_backups(data_dir)
    for backup in listed:
        if backup.state == "damaged":
            more = f"migrator backups verify {command(backup.name)}"
            yield problem("backups", f"{backup.name}: {backup.error}", more)
    if listed:
        held = f"{counted(len(listed), 'backup')}, {size(sum(backup.bytes for backup in listed))}."
        yield ok("backups", held, "migrator backups list")
    for _, finding in _missing_bases(data_dir):
        yield finding


def _missing_bases(data_dir: DataDir) -> Iterator[tuple[str, Finding]]:
    """Each file whose changes nobody could tell, since the copy that it was migrated from is gone."""
    if _state_or_none(data_dir) is None:
        return
    found = make_plan(data_dir)
    changed = {source.name for source in found.work.pending}
    for entry in found.ledger.values():
        if entry.status == "failed" or not entry.backup:
            continue
        copy = data_dir.recorded(entry.backup)
        with suppress(OSError):
            if copy.stat().st_size == entry.size:
                continue
        message = f"The copy {copy}, which changes in {entry.source} are compared with, is missing or cut short"
        file = data_dir.recorded(entry.source)
        if entry.source not in changed and file.exists():
            yield entry.source, problem("merge base", f"{message}. The file is still the same.", REPAIR)
        elif entry.source in changed:
            message += ", and the file has changed: put the copy back, or move the file away; SQLite keeps what it has."
            yield entry.source, problem("merge base", message, move_aside_command(file))


def work(data_dir: DataDir) -> Iterator[Finding]:
    """What is left to do, and what waits for a decision."""
    state = _state_or_none(data_dir)
    if state is None or missing_database(data_dir, state) is not None:
        return
    status = status_of(data_dir)
    for warning in status.warnings:
        yield Finding("note", "workspace paths", warning)
    stuck = {source for source, _ in _missing_bases(data_dir)} & set(status.changed_files)
    yield _pending(status, len(stuck))
    for workspace in status.workspaces:
        if workspace.error:
            torn = "--salvage" in workspace.error
            mend = "migrator migrate --salvage" if torn else "migrator status"
            yield problem("failed files", f"{workspace.path}: {workspace.error}", mend)
    if status.quarantined:
        held = "1 item waits" if status.quarantined == 1 else f"{status.quarantined} items wait"
        yield problem("quarantine", f"{held} for a decision.", "migrator quarantine list")
    else:
        yield ok("quarantine", "Nothing is in it.")


def _pending(status: StatusReport, stuck: int) -> Finding:
    count = len(status.changed_files)
    files = "1 file is" if (stuck or count) == 1 else f"{stuck or count} files are"
    if stuck:
        return problem("pending work", f"{files} changed and can't be merged: see 'merge base'.")
    if count and status.backend == "hybrid":
        return Finding("note", "pending work", f"{files} new or changed: while both stores run, the files follow.")
    if status.needs_migration:
        return problem("pending work", f"{files} new or changed.", "migrator migrate")
    if count:
        message = "After a rollback the app runs on the JSON files again."
        return Finding("note", "pending work", message, "migrator migrate")
    return ok("pending work", "Every file is known and unchanged.")


def hybrid_mode(data_dir: DataDir) -> Iterator[Finding]:
    """What hybrid mode recorded."""
    try:
        found = read_stats(data_dir.hybrid_journal)
    except ConnectionFailed as error:
        message = f"What the trial of both stores recorded can't be read: {error.message} SQLite has all sessions."
        yield problem("trial of both stores", message, move_aside_command(data_dir.hybrid_journal))
        return
    if found is None:
        return
    level: Level = "problem" if found.pending_repairs or found.differences else "ok"
    yield Finding(level, "trial of both stores", f"{found.summary()}.", "migrator backend")
