"""``migrator search-index``: what makes searching fast."""

from __future__ import annotations

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.search.build import IndexReport, build_index, drop_index, index_status
from migrator.text import size


@click.group("search-index", short_help="What makes 'sessions search' fast: build, drop, status.")
def search_index_command() -> None:
    """An index of all texts in the database makes 'migrator sessions search' fast. 'migrator migrate' builds it last.

    Searching works without it as well, but then reads every text.

    \b
    migrator search-index status   how it stands, and how large it is
    migrator search-index drop     do without it, and have the space for other things
    migrator search-index build    build it, or go on where a build was interrupted
    """


def _print(report: IndexReport) -> None:
    left = size(report.bytes_to_do)
    states = {
        "complete": f"The search index is complete: {size(report.index_bytes)}.",
        "building": f"The search index is not finished: {left} of text to go. 'migrator search-index build' goes on.",
        "pending": f"There is no search index yet: {left} of text. 'migrator search-index build' makes it.",
        "left_out": f"There is no search index ({left} of text). 'migrator search-index build' makes it.",
        None: "The database is from before there was a search index: 'migrator search-index build' makes it.",
    }
    echo(printable(states[report.state]))
    if report.differing:
        differing = ", ".join(report.differing)
        echo(printable(f"Missing or changed: {differing}. 'migrator search-index build' makes it again."))


@search_index_command.command("status")
@prints_report(_print)
def status(resolve: Resolve) -> IndexReport:
    """Show how the index stands. Changes nothing.

    \b
    migrator search-index status
    """
    return index_status(resolve())


@search_index_command.command("build")
@progress_option()
@prints_report(_print)
def build(resolve: Resolve, progress: str) -> IndexReport:
    """Build the index, or go on with it. The app may be at work meanwhile, and it may be interrupted at any time.

    \b
    migrator search-index build
    migrator search-index build --progress jsonl
    """
    return run_with_progress(resolve, progress, build_index, lambda _: Outcome())


@search_index_command.command("drop")
@prints_report(_print)
def drop(resolve: Resolve) -> IndexReport:
    """Drop the index. 'migrate' does not make it again by itself; the space is used for what comes to the database.

    \b
    migrator search-index drop
    """
    return drop_index(resolve())
