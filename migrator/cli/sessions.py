"""``migrator sessions``: looking at sessions, from whichever store holds the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from migrator.cli.output import block, complain, counted, paged, plain, print_json, say
from migrator.data_dir import DataDir
from migrator.document import WorktreeSession
from migrator.errors import (
    SessionNotFound,
    SourceFileError,
    StorageIOError,
    UsageError,
    ValidationError,
    WorkspaceNotFound,
)

if TYPE_CHECKING:
    from migrator.storage.protocol import SessionFilters

Resolve = Callable[[], DataDir]
Found = list[tuple[str, WorktreeSession]]

_SORT_KEYS = click.Choice(["createdAt", "updatedAt", "duration", "filesChanged"])
_WORKSPACE = click.option("--workspace", metavar="PATH", help="Only this workspace.  [default: all]")
_NUMBERS = ("INST", "MSGS")
_SHARES = {"ID": 2, "WORKSPACE": 2, "TASK": 3}
_BEHIND_NAMES = " " * 11
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")


@click.group("sessions", short_help="Look at sessions.")
def sessions_command() -> None:
    """Look at sessions, from whichever store holds the truth. Changes nothing."""


@sessions_command.command("list")
@_WORKSPACE
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@_JSON
@click.pass_obj
def list_sessions(resolve: Resolve, workspace: str | None, limit: int | None, as_json: bool) -> int:
    """List sessions, workspace by workspace, in the order in which the app shows them."""
    from migrator.storage.protocol import SessionFilters

    return _print_found(_search(resolve(), workspace, SessionFilters(), limit), as_json)


@sessions_command.command("search")
@click.argument("text", required=False)
@_WORKSPACE
@click.option("--status", multiple=True, help="running, completed, failed, paused or round_<n>. Repeatable.")
@click.option("--type", "session_type", multiple=True, help="competition, ensemble or debate. Repeatable.")
@click.option("--created-from", metavar="TIME", help="Created at this time or later, e.g. 2025-01-13T00:00:00Z.")
@click.option("--created-to", metavar="TIME", help="Created at this time or earlier.")
@click.option("--sort-by", type=_SORT_KEYS, help="The order in each workspace.  [default: the app's]")
@click.option("--descending", is_flag=True, help="The largest, or the latest, first.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@_JSON
@click.pass_obj
def search(
    resolve: Resolve,
    text: str | None,
    workspace: str | None,
    status: tuple[str, ...],
    session_type: tuple[str, ...],
    created_from: str | None,
    created_to: str | None,
    sort_by: Any,
    descending: bool,
    limit: int | None,
    as_json: bool,
) -> int:
    """Find sessions. TEXT is looked for in the task, the id and the agents' names.

    \b
    migrator sessions search login --status failed
    migrator sessions search --type debate --sort-by updatedAt --descending --limit 10
    """
    from migrator.storage.protocol import SessionFilters

    filters = SessionFilters(
        status=status or None,
        session_type=session_type or None,
        created_from=created_from,
        created_to=created_to,
        text=text,
        sort_by=sort_by,
        descending=descending,
    )
    return _print_found(_search(resolve(), workspace, filters, limit), as_json)


@sessions_command.command("show")
@click.argument("session_id", metavar="ID")
@_WORKSPACE
@_JSON
@click.pass_obj
def show(resolve: Resolve, session_id: str, workspace: str | None, as_json: bool) -> int:
    """Show one session with its instances and its chat. ID may be cut short as long as it names one session alone."""
    similar = [(path, s) for path, s in _every(resolve(), workspace, None) if s["id"].startswith(session_id)]
    found = [(path, session) for path, session in similar if session["id"] == session_id] or similar
    names = sorted({session["id"] for _, session in found})
    if not names:
        where = f"in {workspace}" if workspace else "in any workspace"
        raise SessionNotFound(
            f"There is no session {session_id!r} {where}.", hint="'migrator sessions list' lists them."
        )
    if len(names) > 1:
        raise UsageError(
            f"{session_id!r} may be {', '.join(names[:5])}{', …' if len(names) > 5 else ''}.", hint="Type more."
        )
    if as_json:
        print_json({"sessions": [{"workspace": path, "session": session} for path, session in found]})
        return 0
    with paged():
        for path, session in found:
            _print_session(path, session)
    return 0


def _search(data_dir: DataDir, workspace: str | None, filters: SessionFilters, limit: int | None) -> Found:
    found: Found = []
    for path, session in _every(data_dir, workspace, filters):
        if limit is not None and len(found) >= limit:
            break
        found.append((path, session))
    return found


def _every(
    data_dir: DataDir, workspace: str | None, filters: SessionFilters | None
) -> Iterator[tuple[str, WorktreeSession]]:
    from migrator.migration.status import workspace_names
    from migrator.storage.protocol import SessionFilters
    from migrator.storage.switch import open_storage

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


def _print_found(found: Found, as_json: bool) -> int:
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

    table = Table(box=None, pad_edge=False, expand=True)
    for number, column in enumerate(columns):
        widest = max((len(row[number]) for row in rows), default=0)
        table.add_column(
            column,
            overflow="ellipsis",
            no_wrap=True,
            justify="right" if column in _NUMBERS else "left",
            # What is short is shown whole; the rest of the width is shared.
            min_width=None if column in _SHARES else max(len(column), widest),
            ratio=_SHARES.get(column),
        )
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console(width=shutil.get_terminal_size().columns).print(table)


def _summary(session: WorktreeSession) -> dict[str, Any]:
    members = ("id", "type", "task", "status", "createdAt", "updatedAt", "completedAt", "model", "totalDuration")
    summary: dict[str, Any] = {name: session.get(name) for name in members}
    return summary | {"instances": len(session["instances"]), "messages": len(session["chatHistory"])}


def _print_session(path: str, session: WorktreeSession) -> None:
    say(f"{plain(session['id'])}  {plain(session['type'])}, {plain(session['status'])}")
    say(f"workspace  {plain(path)}")
    say(f"created    {plain(session['createdAt'])}")
    say(f"updated    {plain(session['updatedAt'])}")
    say(f"task       {block(session['task'], _BEHIND_NAMES).removeprefix(_BEHIND_NAMES)}")
    for instance in session["instances"]:
        say(
            f"  instance {instance['instanceId']}: {plain(instance['agentName'])}, {plain(instance['status'])}, "
            f"{plain(instance['worktreePath'])}"
        )
    for message in session["chatHistory"]:
        say(f"\n[{plain(message['timestamp'])}] {plain(message['role'])}:")
        say(block(message["content"], "  "))
    say()
