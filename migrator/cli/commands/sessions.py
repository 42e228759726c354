"""``migrator sessions``: looking at sessions, in the authoritative store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import click

from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, notice_when_slow, pager, print_columns, print_error, print_notes
from migrator.search.find import search_texts
from migrator.search.results import FoundText, SearchReport
from migrator.search.sessions import SessionDocuments, SessionList, find_session, list_sessions
from migrator.storage.protocol import SessionFilters
from migrator.text import block, counted, plain

_WORKSPACE = click.option("--workspace", metavar="PATH", help="Only this workspace.  [default: all]")
_SORT_KEYS = click.Choice(["createdAt", "updatedAt", "duration", "filesChanged"])
_MOST_FOUND = 20
_INDENT = " " * 11

_SHARES = {"WORKSPACE": 2, "TASK": 3}
# What is left out where a terminal has fewer columns, so that ids and tasks can be read.
_NEEDED_WIDTH = {"INST": 120, "MSGS": 120, "WORKSPACE": 120, "CREATED": 90, "TYPE": 70}
# So much of an id tells it from all others, as a rule, which is what 'sessions show' needs; all of it takes room.
_ABBREVIATED_ID = 20
_WIDTH_FOR_IDS = 160


@click.group("sessions", short_help="Look at sessions.")
def sessions_command() -> None:
    """Look at sessions, from whichever store holds the truth. Changes nothing.

    \b
    migrator sessions list --workspace ~/my/repo  those of one workspace
    migrator sessions search login timeout        what was said, in every workspace
    migrator sessions show competition-12         one in full; the id may be cut short
    """


def _print_list(report: SessionList) -> None:
    """Print a table on a terminal, lines elsewhere."""
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
        for path, session in report.sessions
    ]
    with pager() as on_terminal:
        if on_terminal:
            _print_table(columns, rows)
            echo(counted(len(rows), "session"))
        else:
            print_columns((columns, *rows))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # a terminal alone pays for its loading
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    visible = [number for number, column in enumerate(columns) if width >= _NEEDED_WIDTH.get(column, 0)]
    table = Table(box=None, pad_edge=False, expand=True)
    for number in visible:
        column = columns[number]
        widest = max(len(column), *(len(row[number]) for row in rows))
        if column == "ID" and width < _WIDTH_FOR_IDS:
            widest = min(widest, _ABBREVIATED_ID)
        table.add_column(
            column,
            overflow="ellipsis",
            no_wrap=True,
            justify="right" if column in ("INST", "MSGS") else "left",
            # What is short is shown whole; the rest of the width is shared.
            min_width=None if column in _SHARES else widest,
            max_width=widest if column == "ID" else None,
            ratio=_SHARES.get(column),
        )
    for row in rows:
        table.add_row(*(Text(plain(row[number])) for number in visible))
    Console(width=width).print(table)


@sessions_command.command("list")
@_WORKSPACE
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@prints_report(_print_list)
def list_command(resolve: Resolve, workspace: str | None, limit: int | None) -> SessionList:
    """List sessions, workspace by workspace, in the order in which the app shows them.

    \b
    migrator sessions list                   every workspace
    migrator sessions list --workspace ~/my/shop --limit 10
    """
    return list_sessions(resolve(), workspace, SessionFilters(), limit, print_error)


@pager()
def _print_whole(report: SessionDocuments) -> None:
    for path, session in report.sessions:
        echo(f"{plain(session['id'])}  {plain(session['type'])}, {plain(session['status'])}")
        echo(f"workspace  {plain(path)}")
        echo(f"created    {plain(session['createdAt'])}")
        echo(f"updated    {plain(session['updatedAt'])}")
        echo(f"task       {block(session['task'], _INDENT).removeprefix(_INDENT)}")
        for instance in session["instances"]:
            echo(
                f"  instance {instance['instanceId']}: {plain(instance['agentName'])}, {plain(instance['status'])}, "
                f"{plain(instance['worktreePath'])}"
            )
        for message in session["chatHistory"]:
            echo(f"\n[{plain(message['timestamp'])}] {plain(message['role'])}:")
            echo(block(message["content"], "  "))
        echo()


@sessions_command.command("show")
@click.argument("session_id", metavar="ID")
@_WORKSPACE
@prints_report(_print_whole, stored=True)
def show_command(resolve: Resolve, session_id: str, workspace: str | None) -> SessionDocuments:
    """Show one session with its instances and its chat. ID may be cut short as long as it names one session alone.

    \b
    migrator sessions show competition-12    whichever one begins so
    migrator sessions show competition-12 --json
    """
    beginning = session_id.removesuffix("…")  # as a list on a narrow terminal shows it
    return find_session(resolve(), beginning, workspace, print_error)


def _print_search(report: SearchReport | SessionList) -> None:
    if isinstance(report, SessionList):
        _print_list(report)
        return
    rows = [
        (found.session["id"], found.workspace, text.kind, text.place, text.text)
        for found in report.sessions
        for text in found.excerpts
    ]
    with pager() as on_terminal:
        if on_terminal:
            _print_excerpts(report)
        else:
            print_columns((("ID", "WORKSPACE", "KIND", "PLACE", "TEXT"), *rows))
    print_notes(report.notes)


def _print_excerpts(report: SearchReport) -> None:
    from rich.console import Console  # a terminal alone pays for its loading
    from rich.padding import Padding
    from rich.text import Text

    console = Console(width=shutil.get_terminal_size().columns, force_terminal=True, highlight=False)
    for found in report.sessions:
        session = found.session
        facts = plain(", ".join((session["type"], session["status"], session["createdAt"][:10])))
        console.print(Text.assemble((plain(session["id"]), "bold"), f"  {facts}  {plain(found.workspace)}"))
        for text in found.excerpts:
            console.print(Padding(Text.assemble(*_excerpt(text)), (0, 0, 0, 4)))
        more = found.texts - len(found.excerpts)
        if more > 0:
            console.print(f"    and in {counted(more, 'more text')}")
        console.print()
    if not report.sessions:
        console.print("Nothing was found.")
    else:
        sessions = counted(len(report.sessions), "session")
        console.print(f"{sessions}, and more: --limit shows them." if report.more else sessions)


def _excerpt(text: FoundText) -> Iterator[tuple[str, str]]:
    yield f"{text.kind}{f' ({plain(text.place)})' if text.place else ''}: ", ""
    at = 0
    for begin, end in text.marks:
        yield plain(text.text[at:begin]), ""
        yield plain(text.text[begin:end]), "bold underline"
        at = end
    yield plain(text.text[at:]), ""


def _several(*names: str, text: str) -> Callable[..., Any]:
    """An option that may be repeated; None where it is not given."""
    return click.option(*names, multiple=True, callback=lambda _, __, values: values or None, help=text)


@sessions_command.command("search", short_help="Find what was said.")
@click.argument("words", nargs=-1)
@_WORKSPACE
@_several("--status", text="running, completed, failed, paused or round_<n>. Repeatable.")
@_several("--type", "session_type", text="competition, ensemble or debate. Repeatable.")
@click.option("--created-from", metavar="TIME", help="Created at this time or later, e.g. 2025-01-13T00:00:00Z.")
@click.option("--created-to", metavar="TIME", help="Created at this time or earlier.")
@click.option("--text", metavar="TEXT", help="Occurs in the task, the id or an agent's name.")
@click.option("--sort-by", type=_SORT_KEYS, help="The order.  [default: the best first; without WORDS, the app's]")
@click.option("--descending", is_flag=True, help="With --sort-by: the largest, or the latest, first.")
@click.option(
    "--limit", type=click.IntRange(min=0), help=f"At most so many sessions.  [default: {_MOST_FOUND} with WORDS]"
)
@prints_report(_print_search)
def search_command(
    resolve: Resolve, words: tuple[str, ...], workspace: str | None, limit: int | None, **options: Any
) -> SearchReport | SessionList:
    """Find the sessions in which all WORDS occur in one text: the task, a message or an agent's output.

    A word is found whatever its case and accents. In texts with Japanese, Chinese, Korean or the like it is found
    anywhere, also within other words. Everything else that can be typed is taken as it is; put -- before words that
    begin with a dash. Without WORDS, every session that the options let through is listed.

    \b
    migrator sessions search login timeout             both words, in any order
    migrator sessions search '"merge conflict"'        one after the other
    migrator sessions search 'refactor*' --type debate words that begin so
    migrator sessions search 会議 --created-from 2025-01-01T00:00:00Z
    migrator sessions search --status failed --sort-by updatedAt --descending --limit 10
    """
    filters = SessionFilters(**options)
    if not words:
        return list_sessions(resolve(), workspace, filters, limit, print_error)
    filters = replace(filters, limit=_MOST_FOUND if limit is None else limit)
    with notice_when_slow("Searching. Where there is no search index, every text is read, which takes its time."):
        return search_texts(resolve(), " ".join(words), filters, workspace=workspace)
