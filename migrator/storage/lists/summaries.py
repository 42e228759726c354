"""What a list shows of sessions and workspaces, without reading their texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from migrator.documents.document import WorktreeSession


class SessionSummary(NamedTuple):
    """A session in a list: everything but its instances, its chat and its unknown members.

    :ivar total_duration: in the unit of the document; like the three totals after it, None if the document has none
    :ivar ordinal: 0 for the first session of the workspace with this id, 1 for the second, and so on
    :ivar cursor: pass it as ``after`` to list what comes after this session
    """

    id: str
    type: str
    task: str
    status: str
    created_at: str
    updated_at: str
    completed_at: str | None
    model: str | None
    total_duration: int | None
    total_files_changed: int | None
    total_lines_added: int | None
    total_lines_deleted: int | None
    instance_count: int
    message_count: int
    ordinal: int
    cursor: str


class WorkspaceSummary(NamedTuple):
    """A workspace that a store has.

    :ivar hash: the name of its file; every operation accepts ``unknown:<hash>`` as its path
    :ivar path: None if it is unknown; the JSON store knows only a path that the sessions prove. It is for people: if
        links lead from it to the folder of another workspace, operations with it are on that one
    :ivar last_accessed: when its sessions were last written in SQLite (RFC 3339); None for a JSON file
    :ivar sessions: how many there are; None if the file cannot be read
    :ivar served_from: the store that its sessions are in
    """

    hash: str
    path: str | None
    last_accessed: str | None
    sessions: int | None
    served_from: Literal["json", "sqlite"]


def summary_of(document: WorktreeSession, ordinal: int, cursor: str) -> SessionSummary:
    """Return the summary of a whole document."""
    return SessionSummary(
        document["id"],
        document["type"],
        document["task"],
        document["status"],
        document["createdAt"],
        document["updatedAt"],
        document.get("completedAt"),
        document.get("model"),
        document.get("totalDuration"),
        document.get("totalFilesChanged"),
        document.get("totalLinesAdded"),
        document.get("totalLinesDeleted"),
        len(document["instances"]),
        len(document["chatHistory"]),
        ordinal,
        cursor,
    )


def ordinals_of(ids: Iterable[str]) -> list[int]:
    """Return the ordinal of each session, given their ids in file order."""
    seen: Counter[str] = Counter()
    ordinals = []
    for name in ids:
        ordinals.append(seen[name])
        seen[name] += 1
    return ordinals
