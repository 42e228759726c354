"""What became of a source file in the staging database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from migrator.errors import Message
from migrator.inventory.source_files import Source

EXAMPLES = 20  # quarantined elements of a source that a report shows


@dataclass
class Counts:
    """What one workspace got from one file."""

    path: str
    workspace_id: int
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        """Count in what another part of the file brought."""
        self.sessions += other.sessions
        self.instances += other.instances
        self.messages += other.messages
        self.quarantined += other.quarantined


class LoadedRange(NamedTuple):
    """Where elements of a file were that is as the app writes it.

    :ivar start: the first byte of the first one
    :ivar sizes: of each one, in bytes
    :ivar verified: all of the copy was read, and is what was copied
    """

    start: int
    sizes: list[int]
    verified: bool


class LoadedPart(NamedTuple):
    """What became of some elements of a file that is as the app writes it.

    :ivar counts: of its workspace
    :ivar rejected: as in :class:`LoadedSource`, the indexes counting from the first of these elements
    """

    elements: int
    counts: Counts
    rejected: list[tuple[int, str]]
    found: LoadedRange


@dataclass
class LoadedSource:
    """What became of one file in the staging database.

    :ivar copy: the path of its copy, which is what is loaded
    :ivar sha256: what the copy must have, in hex
    :ivar verified: all of the copy was read, and is what was copied
    :ivar first_position: that of the file's first element among the sessions of its workspace
    :ivar elements: how many there are, valid or not
    :ivar app_formatted: it was loaded on the guess that it is as the app writes it
    :ivar counts: by workspace hash
    :ivar digest: of its valid documents in file order, as they were read back
    :ivar blank: the file holds nothing at all, not even an empty array
    :ivar error: why the whole file failed; then nothing of it is in the staging database
    :ivar unread_sessions: of a file that failed: the sessions that precede what is wrong with it
    :ivar rejected: the first few quarantined elements: index, and what is wrong
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
        return sum(counts.sessions for counts in self.counts.values())

    @property
    def quarantined(self) -> int:
        return sum(counts.quarantined for counts in self.counts.values())

    def add_part(self, part: LoadedPart) -> None:
        """Count in the next part of the file, which was loaded by itself."""
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
        """Nothing of it is loaded any more."""
        self.elements, self.app_formatted = 0, False
        self.counts.clear()
        self.rejected.clear()
