"""``migrator sessions search``: finding what was said."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from migrator.cli.commands.session_list import find, print_found
from migrator.cli.output import counted, located, paged, plain, print_json, say, told, waiting
from migrator.data_dir import DataDir

if TYPE_CHECKING:
    from migrator.search.results import FoundSession, FoundText, SearchReport

_SORT_KEYS = click.Choice(["createdAt", "updatedAt", "duration", "filesChanged"])
_LIMIT = 20


@click.command("search", short_help="Find what was said.")
@click.argument("words", nargs=-1)
@click.option("--workspace", metavar="PATH", help="Only this workspace.  [default: all]")
@click.option("--status", multiple=True, help="running, completed, failed, paused or round_<n>. Repeatable.")
@click.option("--type", "session_type", multiple=True, help="competition, ensemble or debate. Repeatable.")
@click.option("--created-from", metavar="TIME", help="Created at this time or later, e.g. 2025-01-13T00:00:00Z.")
@click.option("--created-to", metavar="TIME", help="Created at this time or earlier.")
@click.option("--text", metavar="TEXT", help="Occurs in the task, the id or an agent's name.")
@click.option("--sort-by", type=_SORT_KEYS, help="The order.  [default: the best first; without WORDS, the app's]")
@click.option("--descending", is_flag=True, help="With --sort-by: the largest, or the latest, first.")
@click.option("--limit", type=click.IntRange(min=0), help=f"At most so many sessions.  [default: {_LIMIT} with WORDS]")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def search_command(
    resolve: Callable[[], DataDir],
    words: tuple[str, ...],
    workspace: str | None,
    status: tuple[str, ...],
    session_type: tuple[str, ...],
    created_from: str | None,
    created_to: str | None,
    text: str | None,
    sort_by: Any,
    descending: bool,
    limit: int | None,
    as_json: bool,
) -> int:
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
    from migrator.storage.protocol import SessionFilters

    searched = " ".join(words)
    if searched and limit is None:
        limit = _LIMIT
    filters = SessionFilters(
        status=status or None,
        session_type=session_type or None,
        created_from=created_from,
        created_to=created_to,
        text=text,
        sort_by=sort_by,
        descending=descending,
        limit=limit if searched else None,  # a list is cut over all workspaces together
    )
    if not searched:
        return print_found(find(resolve(), workspace, filters, limit), as_json)
    from migrator.search.find import search_texts

    with waiting("Searching. Where there is no search index, every text is read, which takes its time."):
        report = search_texts(resolve(), searched, filters, workspace=workspace)
    if as_json:
        print_json(report.to_json() | {"notes": [located(note) for note in report.notes]})
    else:
        _print_report(report)
    return 0


def _print_report(report: SearchReport) -> None:
    with paged() as on_terminal:
        if on_terminal:
            _print_for_people(report)
        else:
            _print_lines(report)
    for note in report.notes:
        say(f"Note: {told(note)}", error=True)


def _print_lines(report: SearchReport) -> None:
    """One line for each excerpt, columns parted by tabs."""
    say("ID\tWORKSPACE\tKIND\tPLACE\tTEXT")
    for found in report.sessions:
        for text in found.excerpts:
            cells = (found.session["id"], found.workspace, text.kind, text.place, text.text)
            say("\t".join(plain(" ".join(cell.split("\t"))) for cell in cells))


def _print_for_people(report: SearchReport) -> None:
    from rich.console import Console  # a terminal alone pays for its loading
    from rich.padding import Padding
    from rich.text import Text

    console = Console(width=shutil.get_terminal_size().columns, force_terminal=True, highlight=False)
    for found in report.sessions:
        console.print(Text.assemble(*_heading(found)))
        for text in found.excerpts:
            console.print(Padding(Text.assemble(*_excerpt(text)), (0, 0, 0, 4)))
        more = found.texts - len(found.excerpts)
        if more > 0:
            console.print(f"    and in {counted(more, 'more text')}")
        console.print()
    if not report.sessions:
        console.print("Nothing was found.")
    else:
        shown = counted(len(report.sessions), "session")
        console.print(f"{shown}, and more: --limit shows them." if report.more else shown)


def _heading(found: FoundSession) -> Iterator[tuple[str, str]]:
    session = found.session
    yield plain(session["id"]), "bold"
    facts = (session["type"], session["status"], session["createdAt"][:10])
    yield f"  {plain(', '.join(facts))}  {plain(found.workspace)}", ""


def _excerpt(text: FoundText) -> Iterator[tuple[str, str]]:
    yield f"{text.kind}{f' ({plain(text.place)})' if text.place else ''}: ", ""
    at = 0
    for begin, end in text.marks:
        yield plain(text.text[at:begin]), ""
        yield plain(text.text[begin:end]), "bold underline"
        at = end
    yield plain(text.text[at:]), ""
