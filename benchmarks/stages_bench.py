"""Measures where the time of a migration goes: by stage, by process and thread.

`python -m benchmarks.stages_bench --size M [--runs N] [-- OPTION …]` runs `migrate` with these options and samples each
of its threads a hundred times a second. For each stage it prints the wall time, and for each process the CPU time, the
part of the stage in which no thread of it ran, and the bytes that it wrote; then what its threads did meanwhile.
It needs Linux: the kernel's schedstat counts the nanoseconds that a thread ran, and those that it waited for a
processor; what is left, it waited for something else: the other process, the disk, or a lock.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.process import REPOSITORY, measure

EVERY = 0.01  # seconds
START = "start"  # what comes before the first stage: the interpreter and the imports


class Thread(NamedTuple):
    """A thread of the migration.

    :ivar process: `main`, or `worker` and its number
    :ivar number: of the thread, in the order of their ids; 0 is the main one
    """

    process: str
    number: int


class Used(NamedTuple):
    """Seconds that a thread ran and that it waited for a processor, and bytes that its process wrote."""

    ran: float
    waited: float
    written: int


Sample = dict[Thread, Used]


class Row(NamedTuple):
    """One thread in one stage."""

    stage: str
    wall: float
    thread: Thread
    used: Used


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _sample(pid: int, names: dict[int, str]) -> Sample:
    sample: Sample = {}
    for process in _family(pid):
        name = names.setdefault(process, f"worker {len(names)}" if names else "main")
        with suppress(OSError):
            written = int(Path(f"/proc/{process}/io").read_text().split("wchar:")[1].split()[0])
            tasks = sorted(int(task.name) for task in Path(f"/proc/{process}/task").iterdir())
            for task in tasks:
                ran, waited, _ = Path(f"/proc/{process}/task/{task}/schedstat").read_text().split()
                number = 0 if task == process else task - process
                used = Used(int(ran) / 1e9, int(waited) / 1e9, written if task == process else 0)
                sample[Thread(name, number)] = used
    return sample


def watch(command: Sequence[str]) -> tuple[list[tuple[float, Sample]], dict[str, float]]:
    """Run a command that prints a report as JSON; return samples with their times, and the report's stages in seconds.

    The times are seconds before the end.
    """
    names: dict[int, str] = {}
    samples: list[tuple[float, Sample]] = []
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            samples.append((time.perf_counter(), _sample(process.pid, names)))
            time.sleep(EVERY)
        end = time.perf_counter()
        if process.returncode not in (0, 3):
            raise SystemExit(f"exit code {process.returncode}")
        out.seek(0)
        stages = json.load(out)["stages"]
    return [(when - end, sample) for when, sample in samples], {name: ms / 1e3 for name, ms in stages.items()}


def by_stage(samples: Sequence[tuple[float, Sample]], stages: dict[str, float]) -> Iterator[Row]:
    """Divide what the threads used among the stages, which end at the end of the command."""
    times = [when for when, _ in samples]
    begin = -sum(stages.values())
    bounds = [(START, times[0], begin)]
    for name, length in stages.items():
        bounds.append((name, begin, begin + length))
        begin += length
    for stage, first, last in bounds:
        before = _at(samples, times, first)
        for thread, used in _at(samples, times, last).items():
            earlier = before.get(thread, Used(0, 0, 0))
            spent = Used(used.ran - earlier.ran, used.waited - earlier.waited, used.written - earlier.written)
            yield Row(stage, last - first, thread, spent)


def _at(samples: Sequence[tuple[float, Sample]], times: Sequence[float], when: float) -> Sample:
    """What every thread had used by then; one that has ended keeps its last figures."""
    known: Sample = {}
    for _, sample in samples[: bisect_left(times, when) + 1]:
        known |= sample
    return known


def _mean(runs: Iterable[Iterable[Row]]) -> list[Row]:
    """Average the rows of several runs; threads are distinguished by their order, since ids differ."""
    everything: defaultdict[tuple[str, Thread], list[Row]] = defaultdict(list)
    count = 0
    for rows in runs:
        count += 1
        order: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for row in rows:
            numbers = order[row.thread.process]
            thread = row.thread._replace(number=numbers.setdefault(row.thread.number, len(numbers)))
            everything[row.stage, thread].append(row)
    return [
        Row(
            stage,
            fmean(row.wall for row in rows),
            thread,
            Used(
                sum(row.used.ran for row in rows) / count,
                sum(row.used.waited for row in rows) / count,
                sum(row.used.written for row in rows) // count,
            ),
        )
        for (stage, thread), rows in everything.items()
    ]


def show(rows: Sequence[Row]) -> None:
    """Print a Markdown table: stages by processes, and one of the threads that ran at all."""
    processes = list(dict.fromkeys(row.thread.process for row in rows))
    titles = [f"{process}: {what}" for process in processes for what in ("CPU s", "idle s", "written MB")]
    print(f"| stage | wall s | {' | '.join(titles)} |\n|---|---:|{'---:|' * len(titles)}")
    for stage in dict.fromkeys(row.stage for row in rows):
        cells = []
        for process in processes:
            here = [row for row in rows if row.stage == stage and row.thread.process == process]
            ran = sum(row.used.ran for row in here)
            waited = sum(row.used.waited for row in here)
            wall = here[0].wall if here else 0.0
            cells += [
                f"{ran:.2f}",
                f"{max(0.0, wall - ran - waited):.2f}",
                f"{sum(row.used.written for row in here) / 1e6:,.1f}",
            ]
        wall = next(row.wall for row in rows if row.stage == stage)
        print(f"| {stage} | {wall:.2f} | {' | '.join(cells)} |")
    print("\n| stage | thread | ran s | waited for a processor s |\n|---|---|---:|---:|")
    for row in rows:
        if row.used.ran >= EVERY:
            thread = f"{row.thread.process}, thread {row.thread.number}"
            print(f"| {row.stage} | {thread} | {row.used.ran:.2f} | {row.used.waited:.2f} |")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages_bench", description=__doc__)
    parser.add_argument("--size", default="M", help="a size of benchmarks.corpus")
    parser.add_argument("--corpus", type=Path, help="or an existing data directory, which is copied")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("options", nargs="*", default=["--no-search-index"], help="what migrate is given")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or Path(folder, "corpus")
        if options.corpus is None:
            usage = measure([sys.executable, "-m", "benchmarks.corpus", "--size", options.size, "--to", str(corpus)])
            if usage.exit_code:
                raise SystemExit(usage.stderr.strip())
        runs = []
        for number in range(options.runs):
            data_dir = Path(folder, str(number))
            shutil.copytree(corpus, data_dir)
            os.sync()
            command = [sys.executable, "-m", "migrator", "--data-dir", str(data_dir), "migrate"]
            samples, stages = watch([*command, "--json", "--progress", "none", *options.options])
            runs.append(list(by_stage(samples, stages)))
            shutil.rmtree(data_dir)
        show(_mean(runs))


if __name__ == "__main__":
    main()
