"""What a check finds, the sentence for each kind of it, and the command that fixes it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

Level = Literal["ok", "note", "problem"]

REPAIR = "migrator verify --repair"

# What verify says, by the subject of the finding: of what is broken, and of what is worth knowing.
_BROKEN = {
    "missing database": "{lost} {hint}",
    "lost workspace": "the session {key!r} belongs to a workspace, {workspace}, that is not there",
    "invalid session": "{workspace}: {session}",
    "view": "the view session_complete does not count what the tables hold",
    "unreadable source": "the sessions of {source} can't all be read back",
    "ledger digest": "the ledger's digest of {source} is not that of its backup {copy}: somebody changed the ledger",
    "ledger count": "the ledger counts {expected} {what} of {source}, and the database has {count}",
    "missing copy": "the backup copy {copy} of {source} is missing",
    "damaged copy": "the backup copy {copy} of {source} is damaged: its SHA-256 is not the recorded one",
}
_NOTES = {
    "no database": "There is no database yet: run 'migrator migrate' first.",
    "no sessions": "There are no sessions in it yet.",
    "old schema": "Its schema is behind: run 'migrator schema apply'.",
    "changed schema": "These differ from the schema that this migrator makes: {names}.",
    "search index": "The search index is not finished: 'migrator search-index build' goes on with it.",
    "after rollback": "What was written to SQLite after the rollback, when the files were the truth: {sessions}. "
    "'migrator migrate' brings that in, or puts it into quarantine.",
    "failed source": "{source} was not migrated and stays JSON: {error}",
    "changed source": "{source}: changed in SQLite since the migration{differences}.",
    "lost items": "{source}: {items} left the quarantine, and no session is there instead; the file and its backup "
    "still have what left.",
    "missing file": "{source} is gone; its sessions are in the database and in the backup.",
    "changed file": "{source} changed since it was migrated: {outlook}",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar level: ``ok``; ``note``: nothing to do; ``problem``: something needs the user
    :ivar command: what fixes it, or shows more
    """

    level: Level
    subject: str
    message: str
    command: str | None = None


ok = partial(Finding, "ok")
problem = partial(Finding, "problem")


def broken(subject: str, **facts: Any) -> Finding:
    """Something broken, in the sentence that verify has for it."""
    return problem(subject, _BROKEN[subject].format(**facts))


def note(subject: str, **facts: Any) -> Finding:
    """Something worth knowing, in the sentence that verify has for it."""
    return Finding("note", subject, _NOTES[subject].format(**facts))


def command(*words: str | Path) -> str:
    """A command line for a shell, each word quoted where it has to be."""
    return shlex.join(os.fspath(word) for word in words)


def move_aside_command(path: Path) -> str:
    """The command that makes room for what belongs there."""
    return command("mv", path, f"{path}.away")


def fix_permissions_command(path: Path) -> str:
    """The command after which the user may use a file or a folder that the system refuses."""
    if os.name == "nt":
        return command("icacls", path)
    if path.lstat().st_uid == os.getuid():
        return command("chmod", "u+rwx" if path.is_dir() else "u+rw", path)
    return command("sudo", "chown", str(os.getuid()), path)
