"""``migrator search-index``: shows, builds and drops the full-text search index."""

from __future__ import annotations

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.search.build import IndexReport, build_index, drop_index, index_status
from migrator.text import size


@click.group("search-index", short_help="Show, build or drop the full-text search index.")
def search_index_command() -> None:
    """The search index makes 'migrator sessions search' fast. 'migrator migrate' builds it at its end.

    Searching also works without the index, but then reads every text.

    \b
    migrator search-index status   show its state and size
    migrator search-index drop     remove it to free space
    migrator search-index build    build it, or continue an interrupted build
    """


def _print(report: IndexReport) -> None:
    text = size(report.bytes_to_do) if report.bytes_to_do else ""
    left, all_of_it = (f": {text} of text left", f" ({text} of text)") if text else ("", "")
    states = {
        "complete": f"The search index is complete: {size(report.index_bytes)}.",
        "building": f"The search index is incomplete{left}. 'migrator search-index build' continues.",
        "pending": f"There is no search index yet{all_of_it}. 'migrator search-index build' builds it.",
        "left_out": f"There is no search index{all_of_it}. 'migrator search-index build' builds it.",
        None: "The database is from a version without a search index. 'migrator search-index build' builds one.",
    }
    echo(printable(states[report.state]))
    if report.differing:
        differing = ", ".join(report.differing)
        echo(printable(f"Missing or changed: {differing}. 'migrator search-index build' rebuilds it."))
    if report.stale:
        echo("It does not match the rows, so every text is read. 'migrator search-index build' rebuilds it.")


@search_index_command.command("status")
@prints_report(_print)
def status(resolve: Resolve) -> IndexReport:
    """Show the state of the index. Changes nothing.

    \b
    migrator search-index status
    """
    return index_status(resolve())


@search_index_command.command("build")
@progress_option()
@prints_report(_print, works=True)
def build(resolve: Resolve, progress: str) -> IndexReport:
    """Build the index, or continue an interrupted build. The app may be running; you can interrupt it at any time.

    \b
    migrator search-index build
    migrator search-index build --progress jsonl
    """
    return run_with_progress(resolve, progress, build_index, lambda _: Outcome())


@search_index_command.command("drop")
@prints_report(_print, works=True)
def drop(resolve: Resolve) -> IndexReport:
    """Drop the index. 'migrate' will not build it again; the database reuses the freed space.

    \b
    migrator search-index drop
    """
    return drop_index(resolve())
