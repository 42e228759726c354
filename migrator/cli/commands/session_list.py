"""Lists of sessions, from whichever store holds the truth: found, and printed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from migrator.cli.output import complain, counted, paged, plain, print_json, say
from migrator.data_dir import DataDir
from migrator.documents.document import WorktreeSession
from migrator.errors import SourceFileError, StorageIOError, ValidationError, WorkspaceNotFound

if TYPE_CHECKING:
    from migrator.storage.protocol import SessionFilters

Found = list[tuple[str, WorktreeSession]]

_NUMBERS = ("INST", "MSGS")
_SHARES = {"WORKSPACE": 2, "TASK": 3}
# What is left out where a terminal has fewer columns, so that ids and tasks can be read.
_ROOM_FOR = {"INST": 120, "MSGS": 120, "WORKSPACE": 120, "CREATED": 90, "TYPE": 70}
# So much of an id tells it from all others, as a rule, which is what 'sessions show' needs; all of it takes room.
_ENOUGH_OF_AN_ID = 20
_ROOM_FOR_IDS = 160


def find(data_dir: DataDir, workspace: str | None, filters: SessionFilters, limit: int | None) -> Found:
    """The sessions that the filters let through, workspace by workspace; all workspaces for None."""
    found: Found = []
    for path, session in every(data_dir, workspace, filters):
        if limit is not None and len(found) >= limit:
            break
        found.append((path, session))
    return found


def every(
    data_dir: DataDir, workspace: str | None, filters: SessionFilters | None
) -> Iterator[tuple[str, WorktreeSession]]:
    """The same one by one, each with its workspace."""
    from migrator.inventory.status import note_of_loss, workspace_names
    from migrator.storage.factory import open_storage
    from migrator.storage.protocol import SessionFilters

    note = note_of_loss(data_dir)
    if note is not None:
        complain(note)
    with open_storage(data_dir, read_only=True) as store:
        for path in [workspace] if workspace else workspace_names(data_dir):
            try:
                sessions = store.search_sessions(path, filters or SessionFilters())
            except WorkspaceNotFound:
                if workspace:
                    raise
                continue
            except (StorageIOError, SourceFileError, ValidationError) as error:
                if workspace:
                    raise
                complain(f"Left out {path}: {error}")  # one file that can't be read hides none of the others
                continue
            yield from ((path, session) for session in sessions)


def print_found(found: Found, as_json: bool) -> int:
    """Print a list of sessions as one JSON object, as a table on a terminal, or as lines; returns the exit code."""
    if as_json:
        print_json({"sessions": [{"workspace": path} | _summary(session) for path, session in found]})
        return 0
    columns = ("ID", "TYPE", "STATUS", "CREATED", "INST", "MSGS", "WORKSPACE", "TASK")
    rows = [
        (
            session["id"],
            session["type"],
            session["status"],
            session["createdAt"][:19],
            str(len(session["instances"])),
            str(len(session["chatHistory"])),
            path,
            " ".join(session["task"].split()),
        )
        for path, session in found
    ]
    with paged() as on_terminal:
        if on_terminal:
            _print_table(columns, rows)
            say(counted(len(rows), "session"))
        else:
            for row in (columns, *rows):
                say("\t".join(plain(" ".join(cell.split("\t"))) for cell in row))
    return 0


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # a terminal alone pays for its loading
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    shown = [number for number, column in enumerate(columns) if width >= _ROOM_FOR.get(column, 0)]
    table = Table(box=None, pad_edge=False, expand=True)
    for number in shown:
        column = columns[number]
        widest = max(len(column), *(len(row[number]) for row in rows))
        if column == "ID" and width < _ROOM_FOR_IDS:
            widest = min(widest, _ENOUGH_OF_AN_ID)
        table.add_column(
            column,
            overflow="ellipsis",
            no_wrap=True,
            justify="right" if column in _NUMBERS else "left",
            # What is short is shown whole; the rest of the width is shared.
            min_width=None if column in _SHARES else widest,
            max_width=widest if column == "ID" else None,
            ratio=_SHARES.get(column),
        )
    for row in rows:
        table.add_row(*(Text(plain(row[number])) for number in shown))
    Console(width=width).print(table)


def _summary(session: WorktreeSession) -> dict[str, Any]:
    members = ("id", "type", "task", "status", "createdAt", "updatedAt", "completedAt", "model", "totalDuration")
    summary: dict[str, Any] = {name: session.get(name) for name in members}
    return summary | {"instances": len(session["instances"]), "messages": len(session["chatHistory"])}
