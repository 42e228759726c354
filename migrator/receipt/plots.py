"""Draws the report's plots with pygal, as SVG whose colours come from the page; leaves out what needs a script.

Each plot has a name and a description for screen readers; the page shows the same numbers in a table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup
from pygal.etree import etree as pygal_elements
from pygal.style import Style

from migrator.text import duration, plain, size

if TYPE_CHECKING:
    from migrator.receipt.facts import Period, Receipt, RunAccount

TYPES = ("competition", "ensemble", "debate")
STATUSES = ("completed", "running", "paused", "failed")
OTHERS = "(others)"
_MOST_OTHERS = 3  # values besides the app's own that get a colour
OUTCOMES = ("migrated", "merged", "quarantined", "failed")
STAGES = {
    "discover": "finding the files",
    "backup": "backing up",
    "load": "loading",
    "index": "building indexes",
    "verify": "reading back",
    "publish": "publishing",
    "record": "recording",
}
LARGEST = 12  # workspaces in the plot; the table has the others too

_LABEL = 34  # most characters of a label
_ROW = 26  # pixels per horizontal bar
_NUMBER = re.compile(r"-?\d+\.\d+")
_SHAPES = ("d", "x", "y", "width", "height", "transform")


@dataclass(frozen=True)
class Plot:
    """One plot.

    :ivar kind: the CSS class that selects its colours
    :ivar legend: what the colours ``color-0``, ``color-1`` … mean, in that order; empty if there is only one
    """

    name: str
    kind: str
    svg: Markup
    legend: tuple[str, ...]


def shown_values(periods: Sequence[Period], member: str, known: Sequence[str]) -> dict[str, str]:
    """Map each type or status that there is, and the known ones, to what stands for it: itself or :data:`OTHERS`."""
    others: Counter[str] = Counter()
    for period in periods:
        others[getattr(period, member)] += period.sessions
    for value in known:
        del others[value]
    most = [value for value, _ in sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))]
    named = most[: _MOST_OTHERS + 1] if len(most) == _MOST_OTHERS + 1 else most[:_MOST_OTHERS]
    return {value: value for value in (*known, *named)} | {value: OTHERS for value in most if value not in named}


def over_time(periods: Sequence[Period], member: str, shown: Mapping[str, str]) -> Plot:
    """Plot the sessions by when they were created.

    :param member: ``type`` or ``status``
    :param shown: what stands for each of its values
    """
    values = list(dict.fromkeys(shown.values()))
    starts = sorted({period.start for period in periods})
    chart = _chart(
        pygal.StackedBar, width=480, height=240, x_label_rotation=45 if len(starts) > 5 else 0, margin_right=28
    )
    chart.x_labels = starts
    for value in values:
        sums = dict.fromkeys(starts, 0)
        for period in periods:
            if shown[getattr(period, member)] == value:
                sums[period.start] += period.sessions
        chart.add(value, list(sums.values()))
    description = f"{len(starts)} bars, stacked by {member}"
    names = [_short(value) for value in values]
    return _plot(chart, f"Sessions over time, by {member}", f"by-{member}", description, names)


def largest_workspaces(receipt: Receipt) -> Plot:
    """Plot the workspaces with the most sessions, and what became of their sessions."""
    largest = sorted(receipt.workspaces, key=lambda account: account.found, reverse=True)[:LARGEST]
    chart = _horizontal(len(largest), formatter=lambda value: f"{value:,.0f}")
    chart.x_labels = [_short(account.path) for account in reversed(largest)]
    for outcome in OUTCOMES:
        chart.add(outcome, [getattr(account, outcome) for account in reversed(largest)])
    name = "The largest workspaces, by what became of their sessions"
    return _plot(chart, name, "by-outcome", f"{len(largest)} bars, stacked by outcome", OUTCOMES)


def stage_times(run: RunAccount) -> Plot:
    """Plot how long each stage of a run took."""
    stages = list(reversed(run.stages.items()))
    chart = _horizontal(len(stages), formatter=lambda value: duration(round(value)))
    chart.x_labels = [STAGES.get(name, _short(name)) for name, _ in stages]
    chart.add("time", [took for _, took in stages])
    description = f"{len(stages)} bars, {duration(run.duration_ms)} in total"
    return _plot(chart, "Time of each stage", "single", description, ["time"])


def sizes(receipt: Receipt) -> Plot:
    """Plot the sizes of the JSON files, the database and the backups."""
    totals = receipt.totals
    bars = {"backups": totals.backup_bytes, "database": totals.database_bytes, "JSON files": totals.json_bytes}
    chart = _horizontal(len(bars), formatter=size)
    chart.x_labels = list(bars)
    chart.add("size", list(bars.values()))
    name = "Size of the JSON files, the database and the backups"
    description = ", ".join(f"{label} {size(count)}" for label, count in bars.items())
    return _plot(chart, name, "single", description, ["size"])


def _chart(kind: Callable[..., Any], **settings: Any) -> Any:
    style = Style(label_font_size=12, major_label_font_size=12)
    return kind(css=(), js=(), style=style, show_legend=False, margin=8, **settings)


def _horizontal(bars: int, *, formatter: Callable[[float], str]) -> Any:
    height = bars * _ROW + 44
    return _chart(
        pygal.HorizontalStackedBar, width=760, height=height, value_formatter=formatter, max_scale=6, margin_right=40
    )


def _short(text: str) -> str:
    """Shorten a long text to its end, where paths differ."""
    label = plain(text).replace("\n", "\\n")
    return label if len(label) <= _LABEL else "…" + label[1 - _LABEL :]


def _plot(chart: Any, name: str, kind: str, description: str, series: Sequence[str]) -> Plot:
    """Turn a chart into SVG without what only pygal's script and style sheet need."""
    with _standard_elements():
        tree = chart.render_tree()
    image = ET.Element("svg", {"viewBox": tree.get("viewBox"), "role": "img", "aria-label": name})
    ET.SubElement(image, "title").text = name
    ET.SubElement(image, "desc").text = description
    graph = next(element for element in tree if element.tag == "g")
    _tidy(graph, series)
    image.append(graph)
    svg = Markup(ET.tostring(image, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it
    return Plot(name, kind, svg, tuple(series) if len(series) > 1 else ())


@contextmanager
def _standard_elements() -> Iterator[None]:
    """Let pygal build elements of ElementTree, also where lxml is installed: those of the two do not mix."""
    uses_lxml = pygal_elements.lxml
    pygal_elements.to_etree()
    try:
        yield
    finally:
        if uses_lxml:
            pygal_elements.to_lxml()


def _tidy(group: ET.Element, series: Sequence[str]) -> None:
    for element in list(group):
        classes = (element.get("class") or "").split()
        unused = element.tag in ("title", "desc") or not {"background", "overlay", "titles"}.isdisjoint(classes)
        if unused or any(name.endswith("-overlay") for name in classes):
            group.remove(element)
            continue
        if "series" in classes:
            _name_bars(element, series[int(classes[1].removeprefix("serie-"))])
        else:
            _tidy(element, series)
        _round(element)


def _name_bars(series: ET.Element, title: str) -> None:
    """Replace each bar with one that has a ``<title>``, which browsers show as a tooltip without a script."""
    for bars in series:
        for bar in list(bars):
            bars.remove(bar)
            described = {each.get("class"): each.text or "" for each in bar if each.tag == "desc"}
            shape = next(each for each in bar if each.tag == "rect")
            if not float(shape.get("width", 0)) or not float(shape.get("height", 0)):
                continue
            kept = ET.SubElement(bars, "rect", {key: shape.get(key, "0") for key in ("x", "y", "width", "height")})
            ET.SubElement(kept, "title").text = f"{described.get('x_label', '')}, {title}: {described.get('value', '')}"
            _round(kept)


def _round(element: ET.Element) -> None:
    for name in _SHAPES:
        value = element.get(name)
        if value is not None:
            element.set(name, _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value))
