"""The receipt as one page: no script, nothing from elsewhere, to look at, to print, to keep.

Every text goes through one gate (``_for_people``): what could drive a terminal or turn the direction of text is spelled
out, and Jinja escapes the rest. The page's own policy forbids scripts and connections, should anything slip through.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrator.files.output import write_new_file
from migrator.receipt.facts import Receipt
from migrator.resources import require_extra
from migrator.text import duration, plain, size

MOST_WORKSPACES = 300  # rows of the table; the receipt as JSON has them all
MOST_RUNS = 50
MOST_NEEDS = 50


def write_page(receipt: Receipt, target: Path, with_location: Callable[[str], str] = str) -> None:
    """Write the page as a new file, readable by its owner alone: it names workspaces.

    :param with_location: puts into a command, or a text that names one, where it works
    :raises NotInstalled: the extra ``report`` is not there
    :raises StorageIOError: the file exists, or can't be written
    """
    content = page_of(receipt, with_location)
    write_new_file(target, [content.encode()], "a receipt")


def page_of(receipt: Receipt, with_location: Callable[[str], str] = str) -> str:
    """The page, as HTML.

    :param with_location: as in :func:`write_page`
    :raises NotInstalled: the extra ``report`` is not there
    """
    require_extra("report", "A receipt as a page")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # installed only with the extra

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_for_people,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # What needs somebody comes first, then what is large.
    workspaces = sorted(receipt.workspaces, key=lambda one: (-one.found, one.path))
    workspaces.sort(key=lambda one: not (one.errors or one.in_quarantine_now))
    environment.filters |= {"size": size, "duration": duration, "moment": _moment, "with_location": with_location}
    return environment.get_template("page.html.jinja").render(
        receipt=receipt,
        totals=receipt.totals,
        workspaces=workspaces[:MOST_WORKSPACES],
        runs=receipt.runs[::-1][:MOST_RUNS],
        needs=receipt.needs[:MOST_NEEDS],
        **_plots(receipt),
    )


def _for_people(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise TypeError("nothing that a person reads")
    if isinstance(value, int):
        return f"{value:,}"
    return plain(value) if type(value) is str else value  # what is safe already has a type of its own


def _moment(text: str) -> str:
    """A time of RFC 3339, or of SQLite, for people."""
    return f"{text[:10]} {text[11:16]} UTC" if len(text) in (19, 25) else text


def _plots(receipt: Receipt) -> dict[str, Any]:
    from migrator.receipt import plots  # installed only with the extra

    periods = receipt.sessions_over_time
    by_time = []
    if periods:
        by_time = [plots.over_time(periods, "type", plots.TYPES), plots.over_time(periods, "status", plots.STATUSES)]
    table: dict[str, dict[str, int]] = {}
    for period in periods:
        row = table.setdefault(period.start, {})
        for value in (f"type {period.type}", f"status {period.status}", "all"):
            row[value] = row.get(value, 0) + period.sessions
    longest = max(receipt.runs, key=lambda run: run.bytes, default=None)
    return {
        "by_time": by_time,
        "periods": table,
        "types": plots.TYPES,
        "statuses": plots.STATUSES,
        "largest": plots.largest_workspaces(receipt) if receipt.totals.found else None,
        "longest": longest,
        "stage_times": plots.stage_times(longest) if longest else None,
        "stage_names": plots.STAGES,
        "sizes": plots.sizes(receipt),
    }
