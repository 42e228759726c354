"""The result of loading a source file into the staging database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from migrator.errors import Message
from migrator.inventory.source_files import Source

EXAMPLES = 20  # quarantined elements of a source that a report shows


@dataclass
class Counts:
    """The counts of what one file contributed to one workspace."""

    path: str
    workspace_id: int
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of another part of the file."""
        self.sessions += other.sessions
        self.instances += other.instances
        self.messages += other.messages
        self.quarantined += other.quarantined


class LoadedRange(NamedTuple):
    """Where elements were found in an app-formatted file.

    :ivar start: the offset of the first one
    :ivar sizes: the size of each one in bytes
    :ivar verified: the whole copy was read and equals the original
    """

    start: int
    sizes: list[int]
    verified: bool


class LoadedPart(NamedTuple):
    """The result of loading some elements of an app-formatted file.

    :ivar counts: of the file's workspace
    :ivar rejected: as in :class:`LoadedSource`, with indexes from the first of these elements
    """

    elements: int
    counts: Counts
    rejected: list[tuple[int, str]]
    found: LoadedRange


@dataclass
class LoadedSource:
    """The result of loading one file into the staging database.

    :ivar copy: the path of its backup copy, which is loaded
    :ivar sha256: the expected SHA-256 of the copy, in hex
    :ivar verified: the whole copy was read and equals the original
    :ivar first_position: the position of the file's first element among the sessions of its workspace
    :ivar elements: the number of elements, valid or not
    :ivar app_formatted: it was loaded fast, on the assumption that it is app-formatted
    :ivar counts: by workspace hash
    :ivar digest: of its valid documents in file order, as they were read back
    :ivar blank: the file is empty or blank, without even an empty array
    :ivar error: why the whole file failed; then the staging database has nothing of it
    :ivar unread_sessions: for a file that failed: the number of sessions before the damage
    :ivar rejected: the first few quarantined elements: index and problem
    """

    source: Source
    source_id: int = 0
    copy: str = ""
    sha256: str = ""
    verified: bool = False
    first_position: int = 0
    elements: int = 0
    app_formatted: bool = False
    counts: dict[str, Counts] = field(default_factory=dict)
    digest: str = ""
    error: Message | None = None
    unread_sessions: int = 0
    salvaged: bool = False
    blank: bool = False
    rejected: list[tuple[int, str]] = field(default_factory=list)

    @property
    def examples(self) -> list[Message]:
        """The first few quarantined elements, as messages."""
        return [
            Message(f"{self.source.name}, session at index {index}: {shown}.", code="session.quarantined")
            for index, shown in self.rejected
        ]

    @property
    def sessions(self) -> int:
        """The number of valid sessions."""
        return sum(counts.sessions for counts in self.counts.values())

    @property
    def quarantined(self) -> int:
        """The number of quarantined elements."""
        return sum(counts.quarantined for counts in self.counts.values())

    def add_part(self, part: LoadedPart) -> None:
        """Add the next part of the file, which was loaded separately."""
        self.app_formatted = True
        self.rejected += [(self.elements + index, shown) for index, shown in part.rejected]
        del self.rejected[EXAMPLES:]
        self.elements += part.elements
        name = self.source.workspace_hash or ""
        if name in self.counts:
            self.counts[name].add(part.counts)
        else:
            self.counts[name] = part.counts

    def reset(self) -> None:
        """Forget what was loaded."""
        self.elements, self.app_formatted = 0, False
        self.counts.clear()
        self.rejected.clear()
