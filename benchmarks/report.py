"""Shows the figures as tables: on the terminal, and in docs/benchmarks.md with a plot."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import Comparison, Figures, Growth, Result, SizeResult, Totals

PLOT_NAME = "benchmarks.svg"
HEADINGS = ("contender", "wall s", "CPU s", "peak MB", "written MB", "database MB", "rows lost")
MEANINGS = """\
`migrator`: `migrate --no-search-index`, which is as long as the app has to wait. `with search index` then builds the
full-text index, while the app may run. `with sqlite-utils` uses the other loader, without the index.
`limit`: the least work that any migration does. It parses every file once with orjson and copies the rows of a migrated
database into one with the same tables and indexes, with one fsync and no check. In parentheses, each figure is given as
a multiple of the limit's.
`duckdb`: DuckDB's `read_json` with the types given, into three bare tables of an attached SQLite file. `duckdb with
keys` then removes the rows whose key is taken, and makes the keys and indexes of the app's tables with SQLite.
`json_each`: SQLite's own JSON functions, `INSERT OR IGNORE … SELECT … FROM json_each(?)`.
`executemany`: `json.load`, then `INSERT OR IGNORE` row by row.
`sqlite-utils`: `sqlite-utils insert … sessions FILE --ignore --alter` for each file. It leaves instances and
messages as JSON text in one table, so only its sessions are counted.

The last five make no backup, check nothing and read nothing back; *rows lost* is what they silently dropped because its
key was taken.
The contenders take turns; time, CPU and bytes are medians over the runs. Memory is the largest sum over all processes
of a contender, sampled 20 times a second; shared memory counts twice."""


def _seconds(value: float, limit: float | None) -> str:
    return f"{value:.2f}{_ratio(value, limit)}"


def _ratio(value: float, limit: float | None) -> str:
    return f" ({value / limit:.1f}x)" if limit else ""


def _megabytes(value: int | None, limit: int | None) -> str:
    return "?" if value is None else f"{value / 1e6:,.1f}{_ratio(value, limit)}"


def _cells(result: Result, limit: Figures | None) -> list[str]:
    figures = result.figures
    if figures is None:
        return [result.contender, f"failed: {result.failure}", *[""] * (len(HEADINGS) - 2)]
    wall, cpu, peak, written, database = _measures(limit) if limit else (None,) * 5
    return [
        result.contender,
        _seconds(figures.wall_s, wall),
        _seconds(figures.cpu_s, cpu),
        _megabytes(figures.peak_rss_bytes, peak),
        _megabytes(figures.written_bytes, written),
        _megabytes(figures.database_bytes, database),
        f"{figures.rows_missing:,}",
    ]


def _measures(figures: Figures) -> tuple[float, float, int, int | None, int]:
    return (
        figures.wall_s,
        figures.cpu_s,
        figures.peak_rss_bytes,
        figures.written_bytes,
        figures.database_bytes,
    )


def _title(size: SizeResult) -> str:
    totals = size.totals
    return (
        f"{size.size}: {totals.files:,} files, {totals.sessions:,} sessions, {totals.instances:,} instances, "
        f"{totals.messages:,} messages, {totals.bytes / 1e6:,.1f} MB; runs: {size.runs}"
    )


def _stage_lines(size: SizeResult) -> list[str]:
    """One line per contender: its stages with their share of its wall time."""
    lines = []
    for result in size.results:
        if result.figures is None or not result.stages:
            continue
        wall_ms = result.figures.wall_s * 1000
        known = [f"{name} {ms:,.0f} ms ({ms / wall_ms:.0%})" for name, ms in result.stages.items()]
        lines.append(f"Stages of {result.contender}: {', '.join(known)}.")
    return lines


def _comparison_lines(sizes: Sequence[SizeResult]) -> list[str]:
    """One line per contender and pair of corpora that are measured together."""
    by_size = {size.size: size for size in sizes}
    lines = []
    for (name, of), say in _COMPARED.items():
        size, reference = by_size.get(name), by_size.get(of)
        if size is None or reference is None:
            continue
        for result in size.results:
            figures = reference.of(result.contender)
            if result.figures is not None and figures is not None:
                times = result.figures.wall_s / figures.wall_s
                lines.append(f"{result.contender}: {say(size.totals, reference.totals, times)}")
    return lines


def _as_linear(large: Totals, small: Totals, times: float) -> str:
    share = large.bytes / small.bytes
    return f"{share:.1f} times the bytes of M take {times:.1f} times as long, {times / share:.2f} of linear."


def _as_many_files(many: Totals, few: Totals, times: float) -> str:
    return f"{many.files:,} files take {times:.1f}x the time of the same bytes in {few.files} files."


_COMPARED = {("XL", "M"): _as_linear, ("tiny", "tiny-reference"): _as_many_files}


def _growth_lines(growths: Sequence[Growth]) -> list[str]:
    return [
        f"{growth.contender}: time grows with size^{growth.wall_exponent:.2f}, "
        f"peak memory with size^{growth.rss_exponent:.2f} "
        f"({growth.points[0][0] / 1e6:,.0f} to {growth.points[-1][0] / 1e6:,.0f} MB in one file)."
        for growth in growths
    ]


def _console() -> Console:
    # A pipe has no width; folded columns would be useless there.
    return Console(width=None if sys.stdout.isatty() else 140)


def print_size(size: SizeResult) -> None:
    """Print the table of one corpus."""
    console = _console()
    table = Table(title=_title(size), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "contender" else "right", overflow="fold")
    for result in size.results:
        table.add_row(*_cells(result, size.of("limit")))
    console.print(table)
    for line in _stage_lines(size):
        console.print(line, markup=False, soft_wrap=True)


def print_growth(growths: Sequence[Growth]) -> None:
    """Print the exponents, one line per contender."""
    for line in _growth_lines(growths):
        print(line)


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print the tables of another benchmark."""
    console = _console()
    for comparison in comparisons:
        table = Table(title=comparison.title, title_justify="left")
        for heading in comparison.headings:
            table.add_column(heading, justify="left" if heading == comparison.headings[0] else "right")
        for row in comparison.rows:
            table.add_row(*row)
        console.print(comparison.note, markup=False, soft_wrap=True)
        console.print(table)


def write(
    docs: Path, sizes: Sequence[SizeResult], growths: Sequence[Growth], comparisons: dict[str, list[Comparison]]
) -> None:
    """Write `benchmarks.md` and its plot into `docs`."""
    docs.mkdir(exist_ok=True)
    (docs / "benchmarks.md").write_text(_markdown(sizes, growths, comparisons), encoding="utf-8")
    plot(docs / PLOT_NAME, sizes, growths)


def _facts() -> str:
    return (
        f"Measured on {platform.system()} with {os.cpu_count()} CPUs, {platform.python_implementation()} "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; files in the page cache."
    )


def _markdown(sizes: Sequence[SizeResult], growths: Sequence[Growth], comparisons: dict[str, list[Comparison]]) -> str:
    blocks = ["# Benchmarks", _facts(), f"![wall times]({PLOT_NAME})", MEANINGS.replace("\n`", "\n\n`")]
    for size in sizes:
        rows = [_cells(result, size.of("limit")) for result in size.results]
        blocks += [f"## {_title(size)}", _markdown_table(HEADINGS, rows), *_stage_lines(size)]
    blocks += _comparison_lines(sizes)
    if growths:
        blocks += ["## Growth", *_growth_lines(growths)]
    for several in comparisons.values():
        for one in several:
            blocks += [f"## {one.title}", one.note, _markdown_table(one.headings, one.rows)]
    blocks.append("`make bench` measures all of this and writes this page.")
    return "\n\n".join(blocks) + "\n"


def _markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    rows = [[*headings], ["---"] + ["---:"] * (len(headings) - 1), *cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def plot(target: Path, sizes: Sequence[SizeResult], growths: Sequence[Growth]) -> None:
    """Draw the wall times for each size and, if measured, the growth with the file size, as SVG."""
    # Imported here, because it would count into every child's peak memory.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = len(sizes) + bool(growths)
    # A fixed salt and no date: the same figures give the same file.
    with mpl.rc_context({"svg.hashsalt": "migrator", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7, 2.2 * max(1, panels)), layout="constrained")
        axes = figure.subplots(max(1, panels), 1, squeeze=False)[:, 0]
        for axis, size in zip(axes, sizes, strict=False):
            walls = {r.contender: r.figures.wall_s for r in reversed(size.results) if r.figures is not None}
            bars = axis.barh(list(walls), list(walls.values()), color="#4878a8")
            axis.bar_label(bars, fmt="%.2f s", padding=3)
            axis.set(title=f"{size.size}: {size.totals.bytes / 1e6:,.0f} MB in {size.totals.files:,} files")
            axis.set(xlabel="wall time, s")
            axis.margins(x=0.15)
        if growths:
            for growth in growths:
                label = f"{growth.contender}, exponent {growth.wall_exponent:.2f}"
                megabytes, seconds = [p[0] / 1e6 for p in growth.points], [p[1] for p in growth.points]
                axes[-1].loglog(megabytes, seconds, "o-", label=label)
            axes[-1].set(title="one growing file", xlabel="file size, MB", ylabel="wall time, s")
            axes[-1].legend()
        figure.savefig(target, format="svg", metadata={"Date": None})
