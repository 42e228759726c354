"""What a rollback has to say, each message in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from migrator.database.invalid import InvalidStoredSession
from migrator.export.session_file import RestoredFile
from migrator.text import counted

_SHOWN = 3  # of the sessions that a message is about

# What lies in a file next to a session file, by the mark in its name.
_SIDE_FILES = {
    "torn-tail": "The torn end that was salvaged from {target}",
    "not-sessions": "What SQLite has of them, in place of {target},",
    "quarantined": "What was in quarantine and came from no file",
    "orphans": "What belongs to no session",
}


def first_few(names: Iterable[str]) -> str:
    """The first few, for a message."""
    shown = list(islice(names, _SHOWN + 1))
    return "; ".join(shown[:_SHOWN]) + (" …" if len(shown) > _SHOWN else "")


class RollbackNotes:
    """Collects what is worth knowing.

    :ivar warnings: everything, each with what to do if anything
    :ivar problems: those of them that need the user
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.problems: list[str] = []

    def add_problems(self, *messages: str) -> None:
        self.warnings += messages
        self.problems += messages

    def conflicts_stay(self, conflicts: int) -> None:
        self.add_problems(
            f"What stays in the database's quarantine: {counted(conflicts, 'conflicting version')} of sessions. "
            "'migrator quarantine list' tells more."
        )

    def damaged_copy(self, copy: Path, source: str) -> None:
        self.warnings.append(f"The backup copy {copy} is missing or damaged: {source} was written from SQLite instead.")

    def invalid_sessions(self, target: Path, sessions: Sequence[InvalidStoredSession]) -> None:
        self.add_problems(
            f"Beside {target} goes what is no valid session any more, {counted(len(sessions), 'element')}: "
            f"{first_few(map(str, sessions))}. 'migrator migrate' would put that into quarantine."
        )

    def unreadable_file(self, file: RestoredFile, elements: int) -> None:
        self.add_problems(
            f"{file.file} holds what is no valid session, {counted(elements, 'element')}: until that is mended or "
            "taken out, the JSON store can't read the file."
        )

    def unowned_quarantine(self, target: Path, items: int) -> None:
        how_many = counted(items, "item")
        self.add_problems(f"Beside {target} goes what is in quarantine and came from no file: {how_many}.")

    def orphaned_rows(self, target: Path, orphans: Mapping[str, Sequence[object]]) -> None:
        rows = counted(sum(map(len, orphans.values())), "row")
        self.add_problems(f"Beside {target} goes what belongs to no session: {rows} of {', '.join(orphans)}.")

    def side_file(self, target: Path, mark: str, place: Path) -> None:
        self.warnings.append(f"{_SIDE_FILES[mark].format(target=target)} lies in {place}.")

    def kept_copy(self, target: Path, kept: str) -> None:
        self.warnings.append(f"{target} held something that was never migrated; it lies in {kept} now.")
