"""``migrator search-index``: what makes searching fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from migrator.cli.commands.migrate import PROGRESS
from migrator.cli.output import print_json, say, size, told
from migrator.data_dir import DataDir

if TYPE_CHECKING:
    from migrator.search.build import IndexReport

Resolve = Callable[[], DataDir]
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")


@click.group("search-index", short_help="What makes 'sessions search' fast: build, drop, status.")
def search_index_command() -> None:
    """An index of all texts in the database makes 'migrator sessions search' fast. 'migrator migrate' builds it last.

    Searching works without it as well, but then reads every text.

    \b
    migrator search-index status   how it stands, and how large it is
    migrator search-index drop     do without it, and have the space for other things
    migrator search-index build    build it, or go on where a build was interrupted
    """


@search_index_command.command("status")
@_JSON
@click.pass_obj
def status(resolve: Resolve, as_json: bool) -> int:
    """Show how the index stands. Changes nothing.

    \b
    migrator search-index status
    """
    from migrator.search.build import index_status

    return _print(index_status(resolve()), as_json)


@search_index_command.command("build")
@click.option("--progress", type=PROGRESS, default="auto", show_default=True, help="How to show progress.")
@_JSON
@click.pass_obj
def build(resolve: Resolve, progress: str, as_json: bool) -> int:
    """Build the index, or go on with it. The app may be at work meanwhile, and it may be interrupted at any time.

    \b
    migrator search-index build
    migrator search-index build --progress jsonl
    """
    from migrator.cli.progress import Ended, reported
    from migrator.search.build import build_index

    report = reported(
        "search-index build",
        progress,
        lambda listener: build_index(resolve(), listener),
        lambda _: Ended(0),
        as_json=as_json,
    )
    return _print(report, as_json)


@search_index_command.command("drop")
@_JSON
@click.pass_obj
def drop(resolve: Resolve, as_json: bool) -> int:
    """Drop the index. 'migrate' does not make it again by itself; the space is used for what comes to the database.

    \b
    migrator search-index drop
    """
    from migrator.search.build import drop_index

    return _print(drop_index(resolve()), as_json)


def _print(report: IndexReport, as_json: bool) -> int:
    if as_json:
        print_json(report.to_json())
        return 0
    left = size(report.bytes_to_do)
    states = {
        "complete": f"The search index is complete: {size(report.index_bytes)}.",
        "building": f"The search index is not finished: {left} of text to go. 'migrator search-index build' goes on.",
        "pending": f"There is no search index yet: {left} of text. 'migrator search-index build' makes it.",
        "left_out": f"There is no search index ({left} of text). 'migrator search-index build' makes it.",
    }
    unknown = "The database is from before there was a search index: 'migrator search-index build' makes it."
    say(told(unknown if report.state is None else states[report.state]))
    if report.differing:
        differing = ", ".join(report.differing)
        say(told(f"Missing or changed: {differing}. 'migrator search-index build' makes it again."))
    return 0
