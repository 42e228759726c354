"""Measures SQLite's settings in the SQLite store, as ratios to the store's own values.

`python -m benchmarks.tuning_bench [--size SIZE] [--runs N]` migrates a corpus and times the same work with each value
of each setting, in turns within each run; a ratio below 1 is faster than the store's own value.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.corpus import shape_of, workspace_path, write_corpus
from migrator import migrate
from migrator.database.connection import connect
from migrator.storage.sqlite import SqliteStorage

SIZE = "20:1000:10000:100000"
RUNS = 5
THREADS = 8
SESSIONS = 60  # read at random places, per run
COMMITS = 300  # per run


@dataclass(frozen=True)
class Setting:
    """One setting: its values by name, the store's own first, and the work to time with each."""

    name: str
    work: str
    values: dict[str, Callable[[], float]]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self) -> None:
        for name, timed in self.values.items():
            self.seconds.setdefault(name, []).append(timed())

    def ratios(self) -> list[tuple[str, float]]:
        """The median over the runs of each value's time, divided by the first one's in the same run."""
        own = next(iter(self.seconds.values()))
        return [
            (name, median(mine / base for mine, base in zip(times, own, strict=True)))
            for name, times in self.seconds.items()
        ]


class Work:
    """The work to time, on one migrated database."""

    def __init__(self, database: Path, workspaces: Sequence[str]) -> None:
        self._database = database
        self._workspaces = workspaces
        with SqliteStorage(database) as store:
            self._sessions = [(w, s["id"]) for w in workspaces for s in store.get_all_sessions(w)]

    def reading(self, cache_size: int | None = None, mmap_size: int | None = None) -> float:
        """Read sessions at random places, and a whole workspace, on one thread; in seconds of processor time."""
        picked = random.Random(1).choices(self._sessions, k=SESSIONS)
        with SqliteStorage(self._database, pool_size=1, cache_size=cache_size, mmap_size=mmap_size) as store:
            started = time.process_time()
            for workspace, session_id in picked:
                store.get_session(workspace, session_id)
            store.get_all_sessions(self._workspaces[0])
            return time.process_time() - started

    def threads(self, pool_size: int) -> float:
        """Read in the same way with several threads at once."""
        picked = random.Random(2).choices(self._sessions, k=SESSIONS)
        with SqliteStorage(self._database, pool_size=pool_size, acquire_timeout=60) as store:
            readers = [
                threading.Thread(target=lambda: [store.get_session(w, s) for w, s in picked]) for _ in range(THREADS)
            ]
            started = time.perf_counter()
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            return time.perf_counter() - started

    def committing(self, synchronous: str) -> float:
        """Run small transactions of bare SQL, to measure a commit."""
        with closing(connect(self._database)) as connection:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            started = time.perf_counter()
            for number in range(COMMITS):
                connection.execute("UPDATE workspaces SET last_accessed_at = ? WHERE id = 1", (str(number),))
            return time.perf_counter() - started


def settings(work: Work) -> list[Setting]:
    return [
        Setting(
            "cache_size",
            "reading on one thread (processor time)",
            {
                "20 MB": work.reading,
                "2 MB": partial(work.reading, cache_size=-2_000),
                "64 MB": partial(work.reading, cache_size=-64_000),
            },
        ),
        Setting(
            "mmap_size",
            "reading on one thread (processor time)",
            {"0": partial(work.reading, mmap_size=0), "256 MB": partial(work.reading, mmap_size=256 << 20)},
        ),
        Setting(
            "pool_size",
            f"reading on {THREADS} threads",
            {f"{size}": partial(work.threads, size) for size in (5, 1, 2, 10)},
        ),
        Setting(
            "synchronous",
            "small transactions, one by one",
            {name: partial(work.committing, name) for name in ("NORMAL", "FULL", "OFF")},
        ),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning_bench", description="Time SQLite's settings.")
    parser.add_argument("--size", default=SIZE, help="a size of benchmarks.corpus")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="migrator-tuning-") as folder:
        data = Path(folder, "data")
        shape = shape_of(options.size)
        totals = write_corpus(shape, data)
        migrate(data)
        database = data / "sessions.db"
        print(f"{totals.sessions:,} sessions, {totals.messages:,} messages, {database.stat().st_size / 1e6:.0f} MB")
        work = Work(database, [workspace_path(number) for number in range(shape.files)])
        measured = settings(work)
        for _ in range(options.runs):
            for setting in measured:
                setting.run()
        print("| setting | value | time, against the store's own value | of |\n|---|---|--:|---|")
        for setting in measured:
            for name, ratio in setting.ratios():
                print(f"| `{setting.name}` | {name} | {ratio:.2f} | {setting.work} |")


if __name__ == "__main__":
    main()
