"""The messages of a rollback, each in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from migrator.database.invalid import InvalidStoredSession
from migrator.errors import Message
from migrator.export.session_file import RestoredFile
from migrator.text import counted

_SHOWN = 3  # names in one message

# What a side file holds, by the mark in its name.
_SIDE_FILES = {
    "torn-tail": "The truncated end of {target} is in {place}.",
    "not-sessions": "The invalid sessions of {target}, as SQLite has them, are in {place}.",
    "quarantined": "The quarantined items that came from no file are in {place}.",
    "orphans": "The rows without a session are in {place}.",
}


def first_few(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    shown = list(islice(names, _SHOWN + 1))
    return "; ".join(shown[:_SHOWN]) + (" …" if len(shown) > _SHOWN else "")


class RollbackNotes:
    """Collects the messages of a rollback.

    :ivar warnings: all of them
    :ivar errors: those that need attention
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def add_errors(self, *messages: str) -> None:
        """Add messages that need attention."""
        self.warnings += messages
        self.errors += messages

    def conflicts_stay(self, conflicts: int) -> None:
        """Report the conflicts that no JSON file can hold."""
        held = counted(conflicts, "conflicting session version")
        self.add_errors(
            Message(
                f"The database's quarantine still holds {held}.",
                code="quarantine.conflicts_remain",
                hint="'migrator quarantine list' shows them.",
            )
        )

    def deleted_stay(self, deleted: int) -> None:
        """Report the sessions that were deleted in their files, which go into no file."""
        held = counted(deleted, "deleted session")
        message = f"The database's quarantine still holds {held}, which no file gets."
        hint = "'migrator quarantine list' shows them."
        self.warnings.append(Message(message, code="quarantine.deleted_remain", hint=hint))

    def held_written(self, held: int) -> None:
        """Report the sessions that a file had lost and has again, since their deletion was not confirmed."""
        sessions = counted(held, "session")
        message = f"{sessions} that a file had lost, undecided until now, {'is' if held == 1 else 'are'} in it again."
        self.warnings.append(Message(message, code="session.deletion_undone"))

    def damaged_copy(self, copy: Path, source: str) -> None:
        """Report a backup copy that could not be used."""
        message = f"The backup copy {copy} is missing or damaged; {source} was written from SQLite instead."
        self.warnings.append(Message(message, code="backup.file_damaged"))

    def invalid_sessions(self, target: Path, sessions: Sequence[InvalidStoredSession]) -> None:
        """Report sessions that the file cannot hold."""
        held = counted(len(sessions), "invalid session")
        self.add_errors(
            Message(
                f"SQLite holds {held}, written to a separate file next to {target}: {first_few(map(str, sessions))}.",
                code="session.invalid",
                hint="The next 'migrator migrate' puts them into quarantine.",
            )
        )

    def unreadable_file(self, file: RestoredFile, elements: int) -> None:
        """Report a file that holds quarantined elements again."""
        held = counted(elements, "invalid session")
        self.add_errors(
            Message(
                f"{file.file} contains {held}, so the JSON store cannot read it.",
                code="source.invalid_sessions",
                hint="Correct the file by hand: 'migrator quarantine list' shows what is invalid.",
            )
        )

    def unowned_quarantine(self, target: Path, items: int) -> None:
        """Report quarantined items that have no file to go back to."""
        held = counted(items, "item")
        message = f"The quarantine holds {held} that came from no file, written to a separate file next to {target}."
        self.add_errors(Message(message, code="quarantine.no_source"))

    def orphaned_rows(self, target: Path, orphans: Mapping[str, Sequence[object]]) -> None:
        """Report rows whose session is gone."""
        rows = counted(sum(map(len, orphans.values())), "row")
        message = (
            f"The database has {rows} without a session ({', '.join(orphans)}), "
            f"written to a separate file next to {target}."
        )
        self.add_errors(Message(message, code="database.orphaned_rows"))

    def side_file(self, target: Path, mark: str, place: Path) -> None:
        """Report where a side file is."""
        message = _SIDE_FILES[mark].format(target=target, place=place)
        self.warnings.append(Message(message, code="rollback.side_file"))

    def kept_copy(self, target: Path, kept: str, *, salvaged: bool) -> None:
        """Report a file that was replaced and kept under another name."""
        message = f"{target} held changes that were never migrated; it is kept as {kept}."
        if salvaged:
            message = f"{target} may have had what the damaged database lacks; it is kept as {kept}."
        self.warnings.append(Message(message, code="rollback.kept_copy"))

    def to_be_kept(self, target: Path, kept: str, *, salvaged: bool) -> None:
        """Report a file that a rollback would replace and keep under another name."""
        message = f"{target} holds changes that were never migrated; it would be kept as {kept}."
        if salvaged:
            message = f"{target} may have what the damaged database lacks; it would be kept as {kept}."
        self.warnings.append(Message(message, code="rollback.kept_copy"))
