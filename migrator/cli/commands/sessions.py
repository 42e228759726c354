"""``migrator sessions``: looking at sessions, from whichever store holds the truth."""

from __future__ import annotations

from collections.abc import Callable

import click

from migrator.cli.commands.search import search_command
from migrator.cli.commands.session_list import every, find, print_found
from migrator.cli.output import block, paged, plain, print_json, say
from migrator.data_dir import DataDir
from migrator.documents.document import WorktreeSession
from migrator.errors import SessionNotFound, UsageError

Resolve = Callable[[], DataDir]

_WORKSPACE = click.option("--workspace", metavar="PATH", help="Only this workspace.  [default: all]")
_BEHIND_NAMES = " " * 11
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")


@click.group("sessions", short_help="Look at sessions.")
def sessions_command() -> None:
    """Look at sessions, from whichever store holds the truth. Changes nothing.

    \b
    migrator sessions list --workspace ~/my/repo  those of one workspace
    migrator sessions search login timeout        what was said, in every workspace
    migrator sessions show competition-12         one in full; the id may be cut short
    """


sessions_command.add_command(search_command)


@sessions_command.command("list")
@_WORKSPACE
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@_JSON
@click.pass_obj
def list_sessions(resolve: Resolve, workspace: str | None, limit: int | None, as_json: bool) -> int:
    """List sessions, workspace by workspace, in the order in which the app shows them.

    \b
    migrator sessions list                   every workspace
    migrator sessions list --workspace ~/my/shop --limit 10
    """
    from migrator.storage.protocol import SessionFilters

    return print_found(find(resolve(), workspace, SessionFilters(), limit), as_json)


@sessions_command.command("show")
@click.argument("session_id", metavar="ID")
@_WORKSPACE
@_JSON
@click.pass_obj
def show(resolve: Resolve, session_id: str, workspace: str | None, as_json: bool) -> int:
    """Show one session with its instances and its chat. ID may be cut short as long as it names one session alone.

    \b
    migrator sessions show competition-12    whichever one begins so
    migrator sessions show competition-12 --json
    """
    session_id = session_id.removesuffix("…")  # as a list on a narrow terminal shows it
    similar = [(path, s) for path, s in every(resolve(), workspace, None) if s["id"].startswith(session_id)]
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
