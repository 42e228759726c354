"""Measures what `migrator` costs at the start of an app that has nothing to migrate.

`python -m benchmarks.startup_bench [--size S tiny]` measures whole processes, in turns: `python -c pass`, and
`migrator migrate` on a data directory that has been migrated; and inside one process the first and the
median time of `needs_migration()`, before and after the migration. Then the CPU time of `migrator sessions list` with
all sessions in a few workspaces, and in one workspace each: next to that of `migrator --version`, which is a bare start
of the command, and to that of fetching the same rows and counts with bare `sqlite3`.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shlex
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import migrator
from benchmarks import record, report
from benchmarks.process import Usage, measure
from benchmarks.results import Comparison

HEADINGS = (
    "corpus",
    "python -c pass",
    "migrate, nothing to do",
    "ratio",
    "import migrator",
    "needs_migration() before: first / median (answer)",
    "after",
)
NOTE = (
    "Whole processes, in turns; and the first and the median time of `needs_migration()` within one process, before "
    "the migration and after it."
)
LISTING_HEADINGS = (
    "workspaces",
    "sessions",
    "migrator --version",
    "sessions list",
    "bare rows",
    "sessions list without the bare start / bare rows",
)
LISTING_NOTE = "CPU time of whole processes, in turns; and of bare `sqlite3` that fetches the same rows and counts."
LISTED_ROWS = """
    SELECT s.*, w.workspace_path, (SELECT count(*) FROM instances i WHERE i.session_id = s.id),
           (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)
    FROM sessions s JOIN workspaces w ON w.id = s.workspace_id ORDER BY s.workspace_id, s.position
"""

# Runs in a new interpreter, so that the import and the first call are cold. Prints milliseconds as JSON.
NEEDS_MIGRATION = """
import json, sys, time
from pathlib import Path
from statistics import median
start = time.perf_counter()
from migrator import needs_migration
imported = time.perf_counter()
times = []
for _ in range(int(sys.argv[2])):
    before = time.perf_counter()
    answer = needs_migration(Path(sys.argv[1]))
    times.append((time.perf_counter() - before) * 1000)
print(json.dumps({
    "answer": answer, "import_ms": (imported - start) * 1000, "first_ms": times[0], "median_ms": median(times)
}))
"""


@dataclass(frozen=True)
class NeedsMigration:
    """In-process times of `needs_migration()` in milliseconds, and its answer."""

    answer: bool
    import_ms: float
    first_ms: float
    median_ms: float


@dataclass(frozen=True)
class Startup:
    """Medians of whole processes in milliseconds."""

    size: str
    python_ms: float
    nothing_to_do_ms: float
    before: NeedsMigration | None
    after: NeedsMigration | None

    @property
    def ratio(self) -> float:
        """The time of an idle `migrate` as a multiple of a bare interpreter's."""
        return self.nothing_to_do_ms / self.python_ms


def _used(command: Sequence[str], accepted: Sequence[int] = (0,)) -> Usage:
    """Run a command and return what it used; if it fails, the benchmark ends."""
    usage = measure(command)
    if usage.exit_code not in accepted:
        raise SystemExit(f"exit code {usage.exit_code} from {shlex.join(command)}\n{usage.stderr}")
    return usage


def _checked(command: Sequence[str], accepted: Sequence[int] = (0,)) -> float:
    """Run a command and return its wall time in milliseconds; if it fails, the benchmark ends."""
    return _used(command, accepted).wall_s * 1000


def _needs_migration(data_dir: Path, calls: int) -> NeedsMigration | None:
    usage = measure([sys.executable, "-c", NEEDS_MIGRATION, str(data_dir), str(calls)])
    if usage.exit_code:
        print(f"needs_migration could not be measured: {usage.stderr.strip()}", file=sys.stderr)
        return None
    return NeedsMigration(**json.loads(usage.stdout))


def measure_startup(size: str, migrator: Sequence[str], runs: int, work: Path | None = None) -> Startup:
    """Generate the corpus, migrate it once, and measure later starts."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        data_dir = Path(name) / "data"
        _checked([sys.executable, "-m", "benchmarks.corpus", "--size", size, "--to", str(data_dir)])
        before = _needs_migration(data_dir, runs)
        migrate = [*migrator, "--data-dir", str(data_dir), "migrate", "--json", "--progress", "none"]
        _checked(migrate, (0, 3))
        os.sync()
        bare, idle = [], []
        for _ in range(runs):
            bare.append(_checked([sys.executable, "-c", "pass"]))
            idle.append(_checked(migrate, (0, 3)))
        return Startup(size, median(bare), median(idle), before, _needs_migration(data_dir, runs))


def measure_listing(
    files: int, sessions: int, migrator: Sequence[str], runs: int, work: Path | None = None
) -> list[str]:
    """Measure `sessions list` with this number of workspaces and sessions, each with ten instances and 100 messages."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        data_dir = Path(name) / "data"
        size = f"{files}:{sessions}:{10 * sessions}:{100 * sessions}"
        _checked([sys.executable, "-m", "benchmarks.corpus", "--size", size, "--to", str(data_dir)])
        of_it = [*migrator, "--data-dir", str(data_dir)]
        _checked([*of_it, "migrate", "--no-search-index", "--progress", "none"], (0, 3))
        starts, lists, rows = list[float](), list[float](), list[float]()
        for _ in range(runs):
            starts.append(_used([*migrator, "--version"]).cpu_s * 1000)
            lists.append(_used([*of_it, "sessions", "list"]).cpu_s * 1000)
            with closing(sqlite3.connect(data_dir / "sessions.db")) as bare:
                began = time.process_time()
                bare.execute(LISTED_ROWS).fetchall()
                rows.append((time.process_time() - began) * 1000)
    start, listed, fetched = median(starts), median(lists), median(rows)
    times = (f"{start:.0f} ms", f"{listed:.0f} ms", f"{fetched:.0f} ms", f"{(listed - start) / fetched:.1f}")
    return [f"{files:,}", f"{sessions:,}", *times]


def _row(startup: Startup) -> list[str]:
    def needs(found: NeedsMigration | None) -> str:
        return f"{found.first_ms:.2f} / {found.median_ms:.2f} ({found.answer})" if found else "?"

    imported = f"{startup.after.import_ms:.0f}" if startup.after else "?"
    times = [f"{startup.python_ms:.1f}", f"{startup.nothing_to_do_ms:.1f}", f"{startup.ratio:.1f}x", imported]
    return [startup.size, *times, needs(startup.before), needs(startup.after)]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup_bench", description=__doc__)
    parser.add_argument("--size", nargs="+", default=["S", "tiny"], metavar="SIZE")
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default 15)")
    parser.add_argument("--listed", type=int, default=2000, help="sessions to list (default 2000)")
    parser.add_argument("--migrator", default=f"{shlex.quote(sys.executable)} -m migrator", metavar="COMMAND")
    parser.add_argument("--work", type=Path, help="folder for the corpora")
    parser.add_argument("--write", action="store_true", help="write the result into docs/benchmarks.md")
    options = parser.parse_args(argv)
    # As pip does at an installation; without it an editable checkout compiles at every start.
    compileall.compile_dir(Path(migrator.__file__).parent, quiet=1)
    rows = [
        _row(measure_startup(size, shlex.split(options.migrator), options.runs, options.work)) for size in options.size
    ]
    listings = [
        measure_listing(files, options.listed, shlex.split(options.migrator), options.runs, options.work)
        for files in (min(20, options.listed), options.listed)
    ]
    comparisons = [
        Comparison("Start-up, milliseconds", NOTE, list(HEADINGS), rows),
        Comparison("Listing sessions on the command line", LISTING_NOTE, list(LISTING_HEADINGS), listings),
    ]
    report.print_comparisons(comparisons)
    if options.write:
        record.write(comparisons={"startup": comparisons})


if __name__ == "__main__":
    main()
