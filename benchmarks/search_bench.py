"""Measures full-text search: the cost of its index, and the time of answers.

`python -m benchmarks.search_bench [--size M] [--runs N]` writes a corpus, migrates it without the index, builds the
index, and searches for common, rare, short, several and missing words. It measures from the opening of the database to
the last excerpt, and also a bare `MATCH` of the same words that opens the database and fetches 20 rows with the texts.
The goals, a median of 100 ms and at most four times the bare `MATCH`, are for 1,000,000 messages (`M`).
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import record, report
from benchmarks.corpus import shape_of, write_corpus
from benchmarks.results import Comparison, Totals
from migrator import SessionFilters, migrate, resolve_data_dir
from migrator.data_dir import DataDir
from migrator.search.build import IndexReport, build_index
from migrator.search.find import search_texts
from migrator.search.queries import CREATE_TERMS, GRAMS_IN_RANGE
from migrator.search.query import parse_query

SMALL = "20:400:4000:40000"  # small enough for CI; as many messages per session as M has
RUNS = 11
GOAL_MS = 100
GOAL_RATIO = 4
GOAL_MESSAGES = 1_000_000
GOAL_BOTH = 2.2  # times the migration
LIMIT = 20
MARKED = 40  # sessions that get a message with a word that occurs nowhere else
FAILED_DEBATES = SessionFilters(status="failed", session_type="debate", limit=LIMIT)
LATEST = SessionFilters(sort_by="createdAt", descending=True, limit=LIMIT)
BEST = SessionFilters(limit=LIMIT)
QUERIES = (
    ("a common word", "test", BEST),
    ("two common words", "error test", BEST),
    ("a phrase", '"cache check"', BEST),
    ("the beginning of words", "re*", BEST),
    ("a rare word", "zanzibar", BEST),
    ("a word that is not there", "nowhere", BEST),
    ("a common Japanese word", "テスト", BEST),
    ("a common Japanese word of two characters", "失敗", BEST),
    ("a rare Japanese word of two characters", "会議", BEST),
    ("a common word, failed debates only", "test", FAILED_DEBATES),
    ("a common word, the latest sessions first", "test", LATEST),
)

_BARE = f"""
    SELECT CASE WHEN rowid < 1 << 40 THEN (SELECT task FROM sessions s WHERE s.rowid = found.rowid)
                WHEN rowid < 1 << 41 THEN (SELECT content FROM chat_messages m WHERE m.rowid = found.rowid - (1 << 40))
                ELSE (SELECT output FROM instances i WHERE i.id = found.rowid - (1 << 41)) END
    FROM {{0}} AS found WHERE {{0}} MATCH ? LIMIT {LIMIT}
"""


@dataclass(frozen=True)
class Cost:
    """The index in seconds and bytes, and the migration and the database without it."""

    migrate_s: float
    build_s: float
    database_bytes: int
    index: IndexReport


def prepared(size: str, folder: Path) -> tuple[DataDir, Totals, Cost]:
    """Make a migrated corpus with an index."""
    totals = write_corpus(shape_of(size), folder)
    places = resolve_data_dir(folder)
    started = time.perf_counter()
    migrate(folder, search_index=False)
    migrated = time.perf_counter()
    _say_what_is_rare(places)
    size_before = os.path.getsize(places.database)
    before = time.perf_counter()
    index = build_index(places)
    return places, totals, Cost(migrated - started, time.perf_counter() - before, size_before, index)


def _say_what_is_rare(places: DataDir) -> None:
    """Add rare words to some messages: the corpus consists of few words."""
    with closing(sqlite3.connect(places.database)) as connection, connection:
        [(last,)] = connection.execute("SELECT max(rowid) FROM chat_messages")
        for number in range(MARKED):
            connection.execute(
                "UPDATE chat_messages SET content = content || ' Zanzibar 明日の会議は延期' WHERE rowid = ?",
                (1 + number * (last // MARKED),),
            )


def asked(places: DataDir, words: str, filters: SessionFilters, runs: int) -> tuple[float, int]:
    """The median time of an answer in seconds, and its number of sessions."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        answer = search_texts(places, words, filters)
        times.append(time.perf_counter() - started)
        if answer.method != "index":
            raise SystemExit(f"the index was not used: {answer.notes}")
    return median(times), len(answer.sessions)


def bare(places: DataDir, words: str, runs: int) -> float:
    """The median time of opening the database and fetching the texts of 20 rows that match, in seconds."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        with closing(sqlite3.connect(f"{places.database.as_uri()}?mode=ro", uri=True)) as connection:
            query, table = parse_query(words), "search_words"
            match = query.word_match
            if match is None:
                connection.execute(CREATE_TERMS["grams"])
                table, match = "search_grams", query.gram_match(lambda begin: _grams(connection, begin))
            connection.execute(_BARE.format(table), (match,)).fetchall()
        times.append(time.perf_counter() - started)
    return median(times)


def _grams(connection: sqlite3.Connection, begin: str) -> list[str]:
    return [gram for (gram,) in connection.execute(GRAMS_IN_RANGE, (begin, f"{begin}\U0010ffff", LIMIT))]


def scanned(places: DataDir) -> float:
    """The time of one answer without the index, for which every text is read."""
    os.environ["STORAGE_BACKEND"] = "json"
    try:
        started = time.perf_counter()
        search_texts(places, "zanzibar", SessionFilters(limit=LIMIT))
        return time.perf_counter() - started
    finally:
        del os.environ["STORAGE_BACKEND"]


def comparisons(totals: Totals, cost: Cost, rows: Sequence[Sequence[str]], scan_s: float) -> list[Comparison]:
    data = f"{totals.sessions:,} sessions, {totals.messages:,} messages; {totals.bytes:,} bytes."
    index = cost.index.index_bytes
    costs = [
        ["", "migration", "index", "ratio", "both, times the migration", "goal"],
        [
            "seconds",
            f"{cost.migrate_s:.1f}",
            f"{cost.build_s:.1f}",
            f"{cost.build_s / cost.migrate_s:.2f}",
            f"{1 + cost.build_s / cost.migrate_s:.2f}",
            f"at most {GOAL_BOTH}",
        ],
        [
            "MB",
            f"{cost.database_bytes / 1e6:.1f}",
            f"{index / 1e6:.1f}",
            f"{index / cost.database_bytes:.2f}",
            f"{1 + index / cost.database_bytes:.2f}",
            "",
        ],
    ]
    answers = (
        f"{data} From the opening of the database to the last excerpt of up to {LIMIT} sessions; medians. "
        f"Reading every text of the JSON files instead takes {scan_s:.1f} s."
    )
    return [
        Comparison("What the search index costs", f"{data} It is built when the app may start.", costs[0], costs[1:]),
        Comparison(
            "How fast search answers",
            answers,
            ["searched for", "sessions", "ms", "bare MATCH", "ratio", "goal"],
            [[*r] for r in rows],
        ),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_bench", description=__doc__)
    parser.add_argument("--size", default=SMALL, metavar="SIZE", help="a size of benchmarks.corpus (default small)")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each search (default %(default)s)")
    parser.add_argument("--work", type=Path, help="folder for the corpus; needs several times its size")
    parser.add_argument("--write", action="store_true", help="write the result into docs/benchmarks.md")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        places, totals, cost = prepared(options.size, Path(folder) / "data")
        rows = []
        for name, words, filters in QUERIES:
            seconds, sessions = asked(places, words, filters, options.runs)
            least = bare(places, words, options.runs)
            fails = seconds * 1000 > GOAL_MS or seconds > GOAL_RATIO * least
            missed = " (missed)" if totals.messages >= GOAL_MESSAGES and fails else ""
            times = [f"{seconds * 1000:.1f}", f"{least * 1000:.1f}", f"{seconds / least:.1f}"]
            rows.append([name, f"{sessions}", *times, f"at most {GOAL_MS} ms, ratio {GOAL_RATIO}{missed}"])
        scan_s = scanned(places)
    found = comparisons(totals, cost, rows, scan_s)
    report.print_comparisons(found)
    if options.write:
        record.write(comparisons={"search": found})


if __name__ == "__main__":
    main()
