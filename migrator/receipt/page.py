"""Renders the migration report as one HTML page without scripts or external resources.

Every text passes through one function (``_display``): it spells out characters that control a terminal or change the
direction of text, and Jinja escapes markup. As a second barrier, the page's own content security policy forbids
scripts and connections.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrator.files.output import write_new_file
from migrator.files.resources import require_extra
from migrator.receipt.facts import Receipt
from migrator.text import counted, duration, plain, size

MOST_WORKSPACES = 300  # rows in the table; the report as JSON has them all
MOST_RUNS = 50
MOST_NEEDS = 50


def write_page(receipt: Receipt, target: Path, with_location: Callable[[str], str] = str) -> None:
    """Write the page to a new file that only its owner can read, since it names workspaces.

    :param with_location: adds the data directory's options to a command, or to a text that quotes one
    :raises NotInstalled: the extra ``report`` is not installed
    :raises StorageIOError: the file exists already, or cannot be written
    """
    content = page_of(receipt, with_location)
    write_new_file(target, [content.encode()], "a report")


def page_of(receipt: Receipt, with_location: Callable[[str], str] = str) -> str:
    """Return the page as HTML.

    :param with_location: as in :func:`write_page`
    :raises NotInstalled: the extra ``report`` is not installed
    """
    require_extra("report", "The report as an HTML page")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # installed only with the extra

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_display,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Workspaces that need attention come first, then the largest.
    workspaces = sorted(receipt.workspaces, key=lambda one: (-one.found, one.path))
    workspaces.sort(key=lambda one: not (one.errors or one.in_quarantine_now))
    environment.filters |= {"counted": counted, "size": size, "duration": duration}
    environment.filters |= {"moment": _moment, "with_location": with_location}
    return environment.get_template("page.html.jinja").render(
        receipt=receipt,
        totals=receipt.totals,
        workspaces=workspaces[:MOST_WORKSPACES],
        runs=receipt.runs[::-1][:MOST_RUNS],
        needs=receipt.needs[:MOST_NEEDS],
        **_plots(receipt),
    )


def _display(value: Any) -> Any:
    """Turn a value in the template into what the reader sees."""
    if isinstance(value, bool) or value is None:
        raise TypeError(f"{value!r} is not meant to be displayed")
    if isinstance(value, int):
        return f"{value:,}"
    return plain(value) if type(value) is str else value  # text that is escaped already has another type


def _moment(text: str) -> str:
    """Format a time in RFC 3339 or SQLite's format for display."""
    return f"{text[:10]} {text[11:16]} UTC" if len(text) in (19, 25) else text


def _plots(receipt: Receipt) -> dict[str, Any]:
    from migrator.receipt import plots  # installed only with the extra

    periods = receipt.sessions_over_time
    types = plots.shown_values(periods, "type", plots.TYPES)
    statuses = plots.shown_values(periods, "status", plots.STATUSES)
    by_time = []
    if periods:
        by_time = [plots.over_time(periods, "type", types), plots.over_time(periods, "status", statuses)]
    table: dict[str, dict[str, int]] = {}
    for period in periods:
        row = table.setdefault(period.start, {})
        for value in (f"type {types[period.type]}", f"status {statuses[period.status]}", "all"):
            row[value] = row.get(value, 0) + period.sessions
    longest = max(receipt.runs, key=lambda run: run.bytes, default=None)
    return {
        "by_time": by_time,
        "periods": table,
        "types": list(dict.fromkeys(types.values())),
        "statuses": list(dict.fromkeys(statuses.values())),
        "largest": plots.largest_workspaces(receipt) if receipt.totals.found else None,
        "longest": longest,
        "stage_times": plots.stage_times(longest) if longest else None,
        "stage_names": plots.STAGES,
        "sizes": plots.sizes(receipt),
    }
