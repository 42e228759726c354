"""``migrator sessions``: lists, shows and searches sessions in the authoritative store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, get_args

import click

from migrator.cli.dates import EXPECTED, beginning_of, end_of
from migrator.cli.layout import columns_of, fitted, terminal_size
from migrator.cli.options import NAME, Function, Resolve, Value, prints_report, whole_number
from migrator.cli.output import echo, notice_when_slow, pager, print_columns, print_error, print_notes
from migrator.cli.suggestions import Suggest, suggests
from migrator.inventory.status import workspace_names
from migrator.search.find import search_texts
from migrator.search.results import FoundText, SearchReport
from migrator.search.sessions import SessionDocuments, SessionList, find_session, list_sessions
from migrator.search.values import ids_that_begin, notes_on_values, types_and_statuses
from migrator.storage.protocol import SessionFilters, SortKey
from migrator.text import block, counted, local_time, plain, to_the_second

_SORT_KEYS = click.Choice(get_args(SortKey))
_MOST_FOUND = 20
_INDENT = " " * 11

# This much of an id usually identifies it, which is enough for 'sessions show'; whole ids take up too much room.
_ABBREVIATED_ID = 20
_WIDTH_FOR_IDS = 130
# The columns of a table: the width of the terminal from which each is shown, so that ids and tasks can be read.
_WIDEST = (14, 14, len("2025-01-13 10:00:00"), 6, 6, 0)  # of the columns after it
_COLUMNS = {"ID": 0, "TYPE": 90, "STATUS": 0, "CREATED": 70, "INST": 105, "MSGS": 105, "TASK": 0}
_LONGEST_TASK = 1000  # characters in a list; 'sessions show' and --json have all of it


@click.group("sessions", short_help="List, show or search sessions.")
def sessions_command() -> None:
    """Look at the sessions in the authoritative store. Changes nothing.

    \b
    migrator sessions list --workspace ~/my/repo  list those of one workspace
    migrator sessions search login timeout        search all workspaces
    migrator sessions show competition-12         show one in full
    """


def _print_list(report: SessionList) -> None:
    """Print a table for each workspace on a terminal, and tab-separated lines elsewhere."""
    rows = [
        (
            session.id,
            session.type,
            session.status,
            to_the_second(session.created_at),
            str(session.instance_count),
            str(session.message_count),
            path,
            " ".join(session.task[:_LONGEST_TASK].split()),
        )
        for path, session in report.sessions
    ]
    with pager() as on_terminal:
        if on_terminal:
            if rows:
                _print_tables(rows)
            echo(counted(len(rows), "session") if rows else "No sessions.")
        else:
            print_columns((("ID", "TYPE", "STATUS", "CREATED", "INST", "MSGS", "WORKSPACE", "TASK"), *rows))
    print_notes((*report.notes, *report.errors))


def _print_tables(rows: Sequence[tuple[str, ...]]) -> None:
    """Print the rows under the names of their workspaces, with the columns that the terminal has room for."""
    width = terminal_size()[0]
    visible = [number for number, least in enumerate(_COLUMNS.values()) if width >= least]
    head, groups = [*_COLUMNS], defaultdict[str, list[tuple[str, ...]]](list)
    for row in rows:
        cells = (*row[:3], local_time(row[3])[:19], *row[4:6], row[7])
        groups[row[6]].append(tuple(plain(cells[number]) for number in visible))
    most = (_ABBREVIATED_ID if width < _WIDTH_FOR_IDS else width, *_WIDEST)
    names = tuple(head[number] for number in visible)
    *widths, _ = columns_of([names, *chain(*groups.values())], [most[number] for number in visible])
    widths.append(max(1, width - sum(widths) - 2 * len(widths)))
    right = [name in ("INST", "MSGS") for name in names]

    def line(cells: tuple[str, ...]) -> str:
        return "  ".join(map(fitted, cells, widths, right)).rstrip()

    parts: list[str | tuple[str, str]] = [line(names), "\n"]
    for workspace, group in groups.items():
        parts += ["\n", (plain(workspace), "heading"), "\n", *(f"{line(cells)}\n" for cells in group)]
    echo(*parts, wrap=False)


_WORKSPACE = click.option(
    "--workspace",
    metavar="PATH",
    type=NAME,
    shell_complete=suggests(lambda places, _: workspace_names(places)),
    help="Only this workspace.  [default: all]",
)
_TYPES, _STATUSES = (
    suggests(lambda places, _, column=column: types_and_statuses(places)[column])  # type: ignore[misc]
    for column in (0, 1)
)


def _repeatable(*names: str, suggest: Suggest, text: str) -> Callable[[Function], Function]:
    """Make an option that may be repeated; its value is None if it is not given."""
    return click.option(
        *names, multiple=True, callback=lambda _, __, values: values or None, shell_complete=suggest, help=text
    )


def _filters(order: str) -> Callable[[Function], Function]:
    """Make the options that say which sessions to show, and in which order.

    :param order: the order without ``--sort-by``, for the help
    """
    date_from, date_to = (Value("date", EXPECTED, read) for read in (beginning_of, end_of))
    options = (
        _WORKSPACE,
        _repeatable("--status", suggest=_STATUSES, text="Any status, e.g. running or round_2. May be repeated."),
        _repeatable("--type", "session_type", suggest=_TYPES, text="Any type, e.g. debate. May be repeated."),
        click.option(
            "--created-from",
            metavar="DATE",
            type=date_from,
            help="Created on this day or later: 2025-01-13, 7d (7 days ago), 2w, today, yesterday; or a time, such as "
            "2025-01-13T10:00:00Z.",
        ),
        click.option("--created-to", metavar="DATE", type=date_to, help="Created on this day or earlier."),
        click.option("--sort-by", type=_SORT_KEYS, help=f"Sort order.  [default: {order}]"),
        click.option("--descending", is_flag=True, help="With --sort-by: largest or latest first."),
    )

    def decorate(command: Function) -> Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _list(resolve: Resolve, workspace: str | None, filters: SessionFilters, limit: int | None) -> SessionList:
    """List the sessions that match; where none does, also the statuses and types that there are."""
    data_dir = resolve()
    report = list_sessions(data_dir, workspace, filters, limit, print_error)
    if report.sessions or report.errors or limit == 0:
        return report
    return replace(report, notes=(*report.notes, *notes_on_values(data_dir, workspace, filters)))


@sessions_command.command("list")
@_filters("the app's order, by workspace")
@click.option("--limit", type=whole_number(0), help="Maximum number of sessions.")
@prints_report(_print_list)
def list_command(resolve: Resolve, workspace: str | None, limit: int | None, **options: Any) -> SessionList:
    """List sessions by workspace, in the app's order.

    If no session has the given status or type, the existing ones are named.

    \b
    migrator sessions list                   the sessions of all workspaces
    migrator sessions list --workspace ~/my/shop --limit 10
    migrator sessions list --status failed   only those that failed
    migrator sessions list --created-from 7d --sort-by createdAt --descending
    """
    return _list(resolve, workspace, SessionFilters(**options), limit)


@pager()
def _print_whole(report: SessionDocuments) -> None:
    print_notes(report.errors)
    for path, session in report.sessions:
        echo(f"{plain(session['id'])}  {plain(session['type'])}, {plain(session['status'])}")
        echo(f"workspace  {plain(path)}")
        echo(f"created    {plain(local_time(session['createdAt']))}")
        echo(f"updated    {plain(local_time(session['updatedAt']))}")
        echo(f"task       {block(session['task'], _INDENT).removeprefix(_INDENT)}")
        for instance in session["instances"]:
            echo(
                f"  instance {instance['instanceId']}: {plain(instance['agentName'])}, {plain(instance['status'])}, "
                f"{plain(instance['worktreePath'])}"
            )
        for message in session["chatHistory"]:
            echo(f"\n[{plain(local_time(message['timestamp']))}] {plain(message['role'])}:")
            echo(block(message["content"], "  "))
        echo()


@sessions_command.command("show")
@click.argument("session_id", metavar="ID", shell_complete=suggests(ids_that_begin))
@_WORKSPACE
@prints_report(_print_whole, stored=True)
def show_command(resolve: Resolve, session_id: str, workspace: str | None) -> SessionDocuments:
    """Show one session with its instances and its chat. The beginning of an ID is enough if it is unambiguous.

    \b
    migrator sessions show competition-12    the session whose id begins with this
    migrator sessions show competition-12 --json
    """
    beginning = session_id.removesuffix("…")  # the list ends a shortened id with …
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
    print_notes((*report.notes, *report.errors))


def _print_excerpts(report: SearchReport) -> None:
    for found in report.sessions:
        session = found.session
        facts = plain(", ".join((session["type"], session["status"], local_time(session["createdAt"])[:10])))
        echo((plain(session["id"]), "heading"), f"  {facts}  {plain(found.workspace)}")
        for text in found.excerpts:
            echo("  - ", *_excerpt(text))
        more = found.texts - len(found.excerpts)
        if more > 0:
            echo(f"    and in {counted(more, 'more text')}")
        echo()
    if not report.sessions:
        echo("Nothing found.")
    else:
        sessions = counted(len(report.sessions), "session")
        echo(f"{sessions}; there are more, raise --limit to see them." if report.more else sessions)


def _excerpt(text: FoundText) -> Iterator[str | tuple[str, str]]:
    yield f"{text.kind}{f' ({plain(text.place)})' if text.place else ''}: "
    at = 0
    for begin, end in text.marks:
        yield plain(text.text[at:begin])
        yield plain(text.text[begin:end]), "found"
        at = end
    yield plain(text.text[at:])


@sessions_command.command("search", short_help="Search the texts of sessions.")
@click.argument("words", nargs=-1)
@_filters("best match first; without WORDS, the app's order")
@click.option("--text", metavar="TEXT", help="Text that occurs in the task, the id or an agent's name.")
@click.option("--limit", type=whole_number(0), help=f"Maximum number of sessions.  [default: {_MOST_FOUND} with WORDS]")
@prints_report(_print_search)
def search_command(
    resolve: Resolve, words: tuple[str, ...], workspace: str | None, limit: int | None, **options: Any
) -> SearchReport | SessionList:
    """Find sessions with a text that contains all WORDS: the task, a message or an agent's output.

    Case and accents are ignored. In languages written without spaces, such as Japanese, Chinese and Korean, a word is
    also found inside other words. All other characters are taken literally; put -- before words that begin with a dash.
    Without WORDS, all sessions that match the options are listed.

    \b
    migrator sessions search login timeout             both words, in any order
    migrator sessions search '"merge conflict"'        the words in this order
    migrator sessions search 'refactor*' --type debate words that begin with this
    migrator sessions search 会議 --created-from 2025-01-01
    migrator sessions search --status failed --sort-by updatedAt --descending
    """
    filters = SessionFilters(**options)
    if not words:
        return _list(resolve, workspace, filters, limit)
    filters = replace(filters, limit=_MOST_FOUND if limit is None else limit)
    with notice_when_slow("Searching. Without a search index every text is read, which can take a while."):
        return search_texts(resolve(), " ".join(words), filters, workspace=workspace)
