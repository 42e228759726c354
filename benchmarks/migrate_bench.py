"""Measures `migrator migrate`, the rivals and the limit.

`python -m benchmarks.migrate_bench --size S [M …] [--runs N] [--only NAME …]` runs every contender as a whole
process, on each corpus, in turns, so that a disturbance of the machine hits them all, and prints the medians, each also
as a multiple of the limit's. `--write` replaces the results for these sizes in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

from benchmarks import record, report
from benchmarks.process import Usage, measure
from benchmarks.results import Figures, Growth, Result, SizeResult, Totals

RIVALS = ("duckdb", "duckdb with keys", "json_each", "executemany", "sqlite-utils")
WITH_INDEX = "with search index"
REFERENCE = "with sqlite-utils"  # the other loader
# What migrate is given for each of its own.
OURS = {
    "migrator": ("--no-search-index",),
    WITH_INDEX: (),
    REFERENCE: ("--no-search-index", "--loader", "sqlite-utils"),
}
CONTENDERS = (*OURS, "limit", *RIVALS)
# With several gigabytes, each of these would take minutes in each run.
TOO_SLOW = ("json_each", "executemany", "sqlite-utils")
SEVERAL_GIGABYTES = 2_000_000_000
GROWTH_CONTENDERS = ("migrator", "limit")
GROWTH_SIZES = ("10MB", "31.6MB", "100MB", "316MB", "1GB")
TABLES = ("sessions", "instances", "chat_messages")
# After many files were removed, ext4 creates new ones several times more slowly for some minutes, because it looks for
# inodes that were not in use recently (fs/ext4/ialloc.c in the kernel). Users' disks are not in that state.
MANY_FILES = 1000
# Linux keeps known files in hash tables of a fixed size, which runs with many files fill: with 2.5 million files in
# 65,536 buckets, as on a machine with little memory, creating one took 40 µs instead of 15.
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
MIGRATE_EXIT_CODES = {0, 3}  # done; done, but some items need attention


@dataclass(frozen=True)
class Run:
    """The measurement of one process, and of what it wrote."""

    usage: Usage
    database_bytes: int | None
    rows_missing: int | None
    stages: dict[str, float]
    failure: str | None


@dataclass(frozen=True)
class Bench:
    """A corpus on disk and how to run the contenders on it."""

    migrator: tuple[str, ...]
    corpus: Path
    totals: Totals
    limit_source: Path | None
    scratch: Path

    def run(self, contender: str) -> Run:
        """Run one contender in a new directory; preparing and removing that is not timed."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            if contender in OURS:
                return self._migrate(folder, *OURS[contender])
            return self._rival(contender, folder)
        finally:
            if self.totals.files < MANY_FILES:  # otherwise it is removed with the scratch folder
                shutil.rmtree(folder)

    def _migrate(self, folder: Path, *options: str) -> Run:
        data_dir = folder / "data"
        if self.totals.files >= MANY_FILES:
            _forget_files()
        shutil.copytree(self.corpus, data_dir)
        os.sync()  # otherwise the copy is still being written while the contender is timed
        usage = measure(
            [*self.migrator, "--data-dir", str(data_dir), "migrate", "--json", "--progress", "none", *options],
        )
        return self._finished(usage, data_dir / "sessions.db", MIGRATE_EXIT_CODES, _stages(usage.stdout))

    def _rival(self, contender: str, folder: Path) -> Run:
        database = folder / "sessions.db"
        source = ["--source", str(self.limit_source)] if contender == "limit" else []
        os.sync()
        usage = measure(_rivals_command(contender, self.corpus, database, *source))
        return self._finished(usage, database, {0}, {})

    def _finished(self, usage: Usage, database: Path, accepted: set[int], stages: dict[str, float]) -> Run:
        if usage.exit_code not in accepted:
            # Printed only: the message may name paths, which the written report must not contain.
            print(usage.stderr.strip() or usage.stdout.strip(), file=sys.stderr)
            return Run(usage, None, None, {}, f"exit code {usage.exit_code}")
        return Run(usage, _database_bytes(database), _rows_missing(database, self.totals), stages, None)


def _forget_files() -> None:
    """Make the system forget the files of earlier runs, if that is permitted."""
    os.sync()
    with suppress(OSError):
        DROP_CACHES.write_text("3")


def _rivals_command(name: str, corpus: Path, database: Path, *further: str) -> list[str]:
    where = ["--corpus", str(corpus), "--database", str(database)]
    return [sys.executable, "-m", "benchmarks.rivals", name, *where, *further]


def _stages(stdout: str) -> dict[str, float]:
    """Milliseconds by stage from `migrate --json`; empty if the report has none."""
    try:
        stages = json.loads(stdout).get("stages")
    except (ValueError, AttributeError):
        return {}
    if not isinstance(stages, dict):
        return {}
    return {str(name): float(ms) for name, ms in stages.items() if isinstance(ms, int | float)}


def _database_bytes(database: Path) -> int:
    return sum(file.stat().st_size for file in database.parent.glob(f"{database.name}*") if file.is_file())


def _rows_missing(database: Path, totals: Totals) -> int:
    """Count the rows that the database lacks, in the tables that it has."""
    expected = dict(zip(TABLES, (totals.sessions, totals.instances, totals.messages), strict=True))
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        present = {row[0] for row in tables}
        return sum(
            rows - int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table, rows in expected.items()
            if table in present
        )


def _make_corpus(size: str, to: Path) -> Totals:
    """Generate the corpus in a process of its own: this one's peak memory would count for its children."""
    usage = measure([sys.executable, "-m", "benchmarks.corpus", "--size", size, "--to", str(to)])
    if usage.exit_code:
        raise SystemExit(usage.stderr.strip())
    return Totals(**json.loads(usage.stdout))


@contextmanager
def prepared(size: str, contenders: Iterable[str], migrator: Sequence[str], work: Path) -> Iterator[Bench]:
    """Provide the corpus of a size and, if needed, the database that the limit copies; remove both afterwards."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        corpus = folder / "corpus"
        totals = _make_corpus(size, corpus)
        source = folder / "limit-source.db" if "limit" in contenders else None
        if source is not None:
            usage = measure(_rivals_command("prepare-limit", corpus, source))
            if usage.exit_code:
                raise SystemExit(usage.stderr.strip())
        scratch = folder / "scratch"
        scratch.mkdir()
        yield Bench(tuple(migrator), corpus, totals, source, scratch)


def _summary(contender: str, runs: list[Run]) -> Result:
    failures = [run.failure for run in runs if run.failure is not None]
    if failures:
        return Result(contender, None, {}, failures[0])
    written = [run.usage.written_bytes for run in runs if run.usage.written_bytes is not None]
    figures = Figures(
        wall_s=median(run.usage.wall_s for run in runs),
        wall_s_fastest=min(run.usage.wall_s for run in runs),
        cpu_s=median(run.usage.cpu_s for run in runs),
        peak_rss_bytes=max(run.usage.peak_rss_bytes for run in runs),
        written_bytes=round(median(written)) if written else None,
        database_bytes=runs[-1].database_bytes or 0,
        rows_missing=runs[-1].rows_missing or 0,
    )
    return Result(contender, figures, _mean_stages(runs), None)


def _mean_stages(runs: list[Run]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run.stages)
    return {name: fmean(run.stages.get(name, 0.0) for run in runs) for name in names}


def measure_sizes(benches: dict[str, Bench], contenders: Sequence[str], runs: int) -> list[SizeResult]:
    """Run every contender `runs` times on each corpus, in turns; one that failed is not run again."""
    done: dict[str, dict[str, list[Run]]] = {
        size: {name: [] for name in contenders if name not in TOO_SLOW or bench.totals.bytes < SEVERAL_GIGABYTES}
        for size, bench in benches.items()
    }
    for turn in range(runs):
        for size, bench in benches.items():
            for contender, earlier in done[size].items():
                if any(run.failure for run in earlier):
                    continue
                print(f"{size}: {contender}, run {turn + 1} of {runs}", file=sys.stderr)
                earlier.append(bench.run(contender))
    return [
        SizeResult(size, runs, bench.totals, [_summary(name, results) for name, results in done[size].items()])
        for size, bench in benches.items()
    ]


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """Fit y = c · x^k to the points (least squares of the logarithms) and return k; 1.0 is linear."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = fmean(x for x, _ in logs), fmean(y for _, y in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def _growths(results: Sequence[SizeResult], contenders: Iterable[str]) -> list[Growth]:
    growths = []
    for contender in contenders:
        points = [
            (result.totals.bytes, found.figures)
            for result in results
            for found in result.results
            if found.contender == contender and found.figures is not None
        ]
        if len(points) < 2:
            continue
        growths.append(
            Growth(
                contender=contender,
                points=[(size, figures.wall_s, figures.peak_rss_bytes) for size, figures in points],
                wall_exponent=exponent((size, figures.wall_s) for size, figures in points),
                rss_exponent=exponent((size, figures.peak_rss_bytes) for size, figures in points),
            )
        )
    return growths


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migrate_bench", description=__doc__)
    parser.add_argument("--size", nargs="*", default=[], metavar="SIZE", help="sizes of benchmarks.corpus")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender (default 3)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS, help="only these contenders")
    parser.add_argument(
        "--growth",
        nargs="*",
        metavar="SIZE",
        help=f"also one file of each of these sizes, and the exponent (default {' '.join(GROWTH_SIZES)})",
    )
    parser.add_argument("--migrator", default=f"{shlex.quote(sys.executable)} -m migrator", metavar="COMMAND")
    parser.add_argument("--work", type=Path, help="folder for corpora and copies; needs several times their size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its plot")
    options = parser.parse_args(argv)
    if not options.size and options.growth is None:
        parser.error("give --size or --growth")
    return options


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    migrator = shlex.split(options.migrator)

    def measured(sizes: Iterable[str], contenders: Sequence[str]) -> list[SizeResult]:
        with ExitStack() as stack:
            benches = {size: stack.enter_context(prepared(size, contenders, migrator, options.work)) for size in sizes}
            results = measure_sizes(benches, contenders, options.runs)
        for result in results:
            report.print_size(result)
        return results

    sizes = measured(options.size, options.only)
    growths: list[Growth] = []
    if options.growth is not None:
        contenders = [name for name in GROWTH_CONTENDERS if name in options.only]
        growths = _growths(measured(options.growth or GROWTH_SIZES, contenders), contenders)
        report.print_growth(growths)
    if options.json:
        everything = {"sizes": list(map(asdict, sizes)), "growth": list(map(asdict, growths))}
        options.json.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    if options.write:
        record.write(sizes=sizes, growths=growths)


if __name__ == "__main__":
    main()
