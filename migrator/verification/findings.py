"""What a check finds: its code, verify's text for each code, and the commands that fix things."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from migrator.errors import Message

Level = Literal["ok", "note", "problem"]

REPAIR = "migrator verify --repair"

# What verify says, and what to do about it: about what is broken, and about what is worth knowing.
BROKEN = {
    "session.without_workspace": ("The session {key!r} belongs to workspace {workspace}, which does not exist.", None),
    "session.invalid": (
        "Invalid session in {workspace}: {session}.",
        "A rollback would write it to a separate file next to the workspace's file.",
    ),
    "session.unreadable": (
        "Some sessions of {source} cannot be read back from the database.",
        "The file's backup still has them as they were migrated: 'migrator backups list'.",
    ),
    "database.view_wrong": ("The view session_complete does not match the tables.", None),
    "database.index_wrong": (
        "The index {index} does not match its table: {count}.",
        "'migrator verify --repair' rebuilds it if nothing else is damaged.",
    ),
    "database.orphaned_rows": (
        "In {table}, {count} to missing rows of {parent}; the first has the rowid {rowid}.",
        "Programs that leave foreign keys off, such as DuckDB, do that. A rollback writes these rows to another file.",
    ),
    "database.from_dump": (
        "The database was loaded from an SQL dump.",
        "A dump may lack what follows a NUL: prefer the original. 'migrator verify --repair' keeps this one.",
    ),
    "migration.ledger_changed": (
        "The ledger's digest of {source} does not match the backup copy {copy}: the ledger was edited.",
        None,
    ),
    "migration.ledger_count": ("The ledger counts {expected} {what} in {source}; the database has {count}.", None),
    "backup.file_missing": (
        "The backup copy {copy} of {source} is missing.",
        "'migrator verify --repair' copies the file again if it has not changed.",
    ),
    "backup.file_damaged": (
        "The backup copy {copy} of {source} is damaged: its SHA-256 differs from the recorded one.",
        "'migrator verify --repair' copies the file again if it has not changed.",
    ),
}
NOTES = {
    "database.not_created": ("There is no database yet.", "Run 'migrator migrate' first."),
    "database.empty": ("The database has no sessions yet.", None),
    "schema.outdated": ("The database has an older schema.", "Run 'migrator schema apply'."),
    "schema.differs": ("These objects differ from the schema that this migrator creates: {names}.", None),
    "search_index.unfinished": (
        "The search index is not finished.",
        "'migrator search-index build' continues building it.",
    ),
    "session.written_after_rollback": (
        "{sessions} written to SQLite after the rollback, while the JSON files were authoritative.",
        "'migrator migrate' migrates what fits the files and quarantines the rest.",
    ),
    "source.changed_in_database": ("{source}: changed in SQLite since the migration{differences}.", None),
    "quarantine.items_removed": (
        "Missing from the quarantine of {source}, and not replaced by a session: {items}.",
        "The file and its backup still have them.",
    ),
    "source.missing": ("{source} is missing; its sessions are in the database and in the backup.", None),
    "source.changed": ("{source} has changed since it was migrated.", "{outlook}"),
}


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    :ivar level: ``ok``; ``note``: nothing to do; ``problem``: needs attention
    :ivar code: what was found, as a stable name for programs, such as ``backup.file_missing``
    :ivar subject: what was checked, as a label for people
    :ivar message: what was found, and what to do about it
    :ivar command: the command that fixes it, or shows more
    """

    level: Level
    code: str
    subject: str
    message: Message
    command: str | None = None


def finding(
    level: Level, subject: str, message: str, command: str | None = None, *, code: str, hint: str | None = None
) -> Finding:
    """Make a finding from its text and what to do."""
    return Finding(level, code, subject, Message(message, code=code, hint=hint), command)


ok = partial(finding, "ok")
note = partial(finding, "note")
problem = partial(finding, "problem")


def broken(code: str, **facts: Any) -> Finding:
    """Make the finding that something is broken, with verify's text for it."""
    return _known("problem", code, BROKEN[code], facts)


def notable(code: str, **facts: Any) -> Finding:
    """Make the finding that something is worth knowing, with verify's text for it."""
    return _known("note", code, NOTES[code], facts)


def _known(level: Level, code: str, text: tuple[str, str | None], facts: dict[str, Any]) -> Finding:
    message, hint = text
    subject = code.partition(".")[0].replace("_", " ")
    return finding(level, subject, message.format(**facts), code=code, hint=hint and hint.format(**facts))


def command(*words: str | Path) -> str:
    """Quote words as one command line for a shell."""
    return shlex.join(os.fspath(word) for word in words)


def move_aside_command(path: Path) -> str:
    """Return the command that moves a file or folder out of the way."""
    return command("mv", path, f"{path}.away")


def fix_permissions_command(path: Path) -> str:
    """Return the command that lets the user access a file or folder that the system refuses."""
    if os.name == "nt":
        return command("icacls", path)
    if path.lstat().st_uid == os.geteuid():
        return command("chmod", "u+rwx" if path.is_dir() else "u+rw", path)
    return command("sudo", "chown", str(os.geteuid()), path)
