"""Compares the JSON store with the SQLite store, and the SQLite store with bare sqlite3, on the same data.

`python -m benchmarks.storage_bench [--size M] [--runs N]` writes a corpus, migrates a copy of it, and times the same
operations on both, in turns, in one process. Listing is measured twice: 100 of the sessions of a workspace of the
corpus (of 500 in `M`), and a workspace that has no others; each session has 100 messages. The goals are those for
10,000 sessions and 1,000,000 messages (`M`); with less data, the JSON store has less to rewrite. A page is one of 50
sessions in the middle of a workspace that has all sessions of the corpus.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import record, report
from benchmarks.corpus import shape_of, workspace_hash, workspace_path, write_corpus
from benchmarks.results import Comparison, Totals
from migrator import SessionFilters, migrate, open_storage, resolve_data_dir
from migrator.documents.document import ChatMessage
from migrator.storage.json_files import JsonStorage
from migrator.storage.protocol import SessionStorage
from migrator.storage.sqlite import SqliteStorage

SMALL = "20:400:4000:40000"  # small enough for CI; as many messages per session as M has
LISTED = "1:100:1000:10000"
RUNS = 5
GOAL_MESSAGES = 1_000_000  # the goals are for this many; with fewer, no goal counts as missed
FILTERS = SessionFilters(status="failed", session_type="debate")
PAGE = SessionFilters(limit=100)
TEN = SessionFilters(status="failed", session_type="debate", limit=10)
ROWS = 50  # of a page
# SELECT statements for the rows of one session, and of one workspace, in order.
ONE_SESSION = (
    "SELECT * FROM sessions WHERE id = ?",
    "SELECT * FROM session_runtime_mix WHERE session_id = ? ORDER BY id",
    "SELECT * FROM instances WHERE session_id = ? ORDER BY position",
    "SELECT * FROM chat_messages WHERE session_id = ? ORDER BY position",
)
# With the rowids the order is that of the indexes, so that bare sqlite3 does not sort either.
_OF_WORKSPACE = """
    SELECT c.* FROM sessions s CROSS JOIN {table} c ON c.session_id = s.id
    WHERE s.workspace_id = ? ORDER BY s.position, s.rowid, {order}
"""
ONE_WORKSPACE = (
    "SELECT * FROM sessions WHERE workspace_id = ? ORDER BY position, rowid",
    _OF_WORKSPACE.format(table="session_runtime_mix", order="c.id"),
    _OF_WORKSPACE.format(table="instances", order="c.position, c.id"),
    _OF_WORKSPACE.format(table="chat_messages", order="c.position, c.rowid"),
)
WORKSPACE_ID = "SELECT id FROM workspaces WHERE workspace_hash = ?"
# The rows of sessions, with what a list counts; and a page of them.
LISTED_ROWS = """
    SELECT s.*, (SELECT count(*) FROM instances i WHERE i.session_id = s.id),
           (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)
    FROM sessions s WHERE s.workspace_id = ?1 {which} ORDER BY s.position, s.rowid
"""
ALL_ROWS = (LISTED_ROWS.format(which=""),)
PAGE_ROWS = (LISTED_ROWS.format(which="AND s.position > ?2") + f" LIMIT {ROWS}",)
# How often the faster side repeats what the slower one does once, so that its time can be measured.
REPEATS = 20
ENOUGH = 600  # sessions to draw from
DELETIONS = 5  # per run; a small corpus has few sessions to delete


@dataclass(frozen=True)
class Line:
    """One operation, measured on both sides: medians in seconds.

    :ivar goal: how many times faster the second side has to be; for a rival, how many times slower it may be; None: no
        goal
    """

    name: str
    first: float
    second: float
    goal: float | None

    @property
    def ratio(self) -> float:
        return self.first / self.second


class Stores:
    """One corpus as files, as a database, and as a database with the full-text index, each in a directory."""

    def __init__(self, size: str, work: Path) -> None:
        files = work / "files"
        self.shape = shape_of(size)
        self.totals: Totals = write_corpus(self.shape, files)
        self.json = JsonStorage(resolve_data_dir(files))
        self.database = _migrated(files, work / "migrated", search_index=False)
        self.sqlite = SqliteStorage(self.database)
        self.indexed = SqliteStorage(_migrated(files, work / "indexed", search_index=True))
        self.workspaces = [workspace_path(number) for number in range(self.shape.files)]

    def close(self) -> None:
        self.json.close()
        self.sqlite.close()
        self.indexed.close()


def _migrated(files: Path, to: Path, *, search_index: bool) -> Path:
    shutil.copytree(files, to)
    migrate(to, search_index=search_index)
    if not isinstance(open_storage(to), SqliteStorage):
        raise SystemExit("the migration did not make SQLite the store")
    return to / "sessions.db"


@contextmanager
def stores(size: str, work: Path | None) -> Iterator[Stores]:
    with tempfile.TemporaryDirectory(dir=work) as folder, closing(Stores(size, Path(folder))) as made:
        yield made


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(
    name: str,
    goal: float | None,
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    runs: int,
    repeats: int = 1,
) -> Line:
    """Time two actions in turns, so that a disturbance of the machine affects both."""
    first(), second()  # so that neither pays for what is loaded once
    firsts, seconds = [], []
    for _ in range(runs):
        firsts.append(_timed(first))
        seconds += [_timed(second) for _ in range(repeats)]
    return Line(name, median(firsts), median(seconds), goal)


class Sessions:
    """Sessions to work on, the same for each side: with unique ids, each used once."""

    def __init__(self, made: Stores) -> None:
        self._left: list[tuple[str, str]] = []
        for workspace in made.workspaces:
            if len(self._left) >= ENOUGH:
                break
            ids = [session["id"] for session in made.sqlite.get_all_sessions(workspace)]
            self._left += [(workspace, name) for name in ids if ids.count(name) == 1]
        random.Random(1).shuffle(self._left)
        self._next = iter(self._left)

    def draw(self) -> tuple[str, str]:
        """Return a workspace and an id; start again when all were used."""
        found = next(self._next, None)
        if found is None:
            self._next = iter(self._left)
            found = next(self._next)
        return found


def _message(number: int) -> ChatMessage:
    return {
        "id": f"msg-bench-{number}",
        "role": "user",
        "content": "How far are you?",
        "timestamp": "2025-01-13T10:00:00.000Z",
    }


def _appending(store: SessionStorage, drawn: Sessions) -> Callable[[], None]:
    numbers = iter(range(10**9))
    return lambda: store.append_chat_message(*drawn.draw(), _message(next(numbers)))


def against_json(made: Stores, listed: Stores, runs: int) -> list[Line]:
    """Measure everything except listing on the large corpus; deletions last."""
    [workspace] = listed.workspaces

    def compared(
        name: str,
        goal: float | None,
        make: Callable[[SessionStorage, Sessions], Callable[[], object]],
        repeats: int,
        sqlite: SqliteStorage = made.sqlite,
    ) -> Line:
        first, second = make(made.json, Sessions(made)), make(sqlite, Sessions(made))
        return in_turns(name, goal, first, second, runs=runs, repeats=repeats)

    def deleting(store: SessionStorage, drawn: Sessions) -> Callable[[], None]:
        return lambda: store.delete_session(*drawn.draw())

    return [
        compared("get one session", 50, lambda s, drawn: lambda: s.get_session(*drawn.draw()), REPEATS),
        compared("add a message", 500, _appending, REPEATS),
        compared("add a message, with search index", None, _appending, REPEATS, made.indexed),
        compared(
            "search by status and type",
            50,
            lambda s, _: lambda: s.search_sessions(made.workspaces[0], FILTERS),
            REPEATS,
        ),
        compared(
            "search by status and type, 10 sessions",
            None,
            lambda s, _: lambda: s.search_sessions(made.workspaces[0], TEN),
            REPEATS,
        ),
        compared(
            "search by status and type, 10 rows",
            100,
            lambda s, _: lambda: s.list_sessions(made.workspaces[0], TEN),
            REPEATS,
        ),
        compared(
            "list the rows of a workspace",
            40,
            lambda s, _: lambda: s.list_sessions(made.workspaces[0]),
            REPEATS,
        ),
        compared(
            "list 100 sessions of a workspace",
            1.5,
            lambda s, _: lambda: s.search_sessions(made.workspaces[0], PAGE),
            REPEATS,
        ),
        in_turns(
            "list a workspace of 100 sessions",
            1.5,
            lambda: listed.json.get_all_sessions(workspace),
            lambda: listed.sqlite.get_all_sessions(workspace),
            runs=3 * runs,
        ),
        compared("delete a session", 100, deleting, DELETIONS),
        compared("delete a session, with search index", None, deleting, DELETIONS, made.indexed),
    ]


def rows_against_bare(made: Stores, work: Path, runs: int) -> list[Line]:
    """Compare lists and pages with fetching their rows, on the large corpus, before it is written to."""
    [first, *_] = made.workspaces
    middle = made.totals.sessions // 2
    with closing(_in_one_workspace(made.database, work)) as whole, closing(sqlite3.connect(whole.path)) as one:
        after = whole.store.list_sessions(first, limit=middle)[-1].cursor
        with closing(sqlite3.connect(made.database)) as bare:
            row = bare.execute(WORKSPACE_ID, (workspace_hash(first),)).fetchone()
            ids = [session["id"] for session in made.sqlite.search_sessions(first, TEN)]
            return [
                in_turns(
                    "list the rows of a workspace",
                    1.5,
                    lambda: made.sqlite.list_sessions(first),
                    lambda: _fetch(bare, ALL_ROWS, row[0]),
                    runs=REPEATS * runs,
                ),
                in_turns(
                    "search by status and type, 10 sessions",
                    1.5,
                    lambda: made.sqlite.search_sessions(first, TEN),
                    lambda: _fetch_each(bare, ids),
                    runs=REPEATS * runs,
                ),
                in_turns(
                    f"a page of {ROWS} rows in the middle of all",
                    1.5,
                    lambda: whole.store.list_sessions(first, after=after, limit=ROWS),
                    lambda: _fetch(one, PAGE_ROWS, whole.workspace_id, middle - 1),
                    runs=REPEATS * runs,
                ),
            ]


class _Whole:
    """A copy of a database with all sessions in one workspace."""

    def __init__(self, path: Path, workspace_id: int) -> None:
        self.path = path
        self.workspace_id = workspace_id
        self.store = SqliteStorage(path)

    def close(self) -> None:
        self.store.close()


def _in_one_workspace(database: Path, work: Path) -> _Whole:
    path = work / "whole.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        [workspace_id] = copy.execute(WORKSPACE_ID, (workspace_hash(workspace_path(0)),)).fetchone()
        keys = copy.execute("SELECT rowid FROM sessions ORDER BY rowid").fetchall()
        copy.executemany(
            "UPDATE sessions SET workspace_id = ?, position = ? WHERE rowid = ?",
            ((workspace_id, position, row_id) for position, (row_id,) in enumerate(keys)),
        )
        copy.commit()
    return _Whole(path, workspace_id)


def against_bare(listed: Stores, runs: int) -> list[Line]:
    """Compare the store's answers with fetching their rows, on the corpus that is not written to."""
    [workspace] = listed.workspaces
    drawn, again = Sessions(listed), Sessions(listed)
    with closing(sqlite3.connect(listed.database)) as bare:
        row = bare.execute(WORKSPACE_ID, (workspace_hash(workspace),)).fetchone()
        return [
            in_turns(
                "get one session",
                1.5,
                lambda: listed.sqlite.get_session(*drawn.draw()),
                lambda: _fetch(bare, ONE_SESSION, again.draw()[1]),
                runs=REPEATS * runs,
            ),
            in_turns(
                "list a workspace of 100 sessions",
                1.5,
                lambda: listed.sqlite.get_all_sessions(workspace),
                lambda: _fetch(bare, ONE_WORKSPACE, row[0]),
                runs=3 * runs,
            ),
        ]


def _fetch(connection: sqlite3.Connection, statements: Sequence[str], *values: object) -> None:
    for statement in statements:
        connection.execute(statement, values).fetchall()


def _fetch_each(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    for name in ids:
        _fetch(connection, ONE_SESSION, name)


def _table(headings: tuple[str, str], lines: Sequence[Line], *, slower: bool, judged: bool = True) -> list[list[str]]:
    rows = [["operation", *headings, "ratio", "goal"]]
    for line in lines:
        goal = "" if line.goal is None else f"at most {line.goal:g}" if slower else f"at least {line.goal:g}"
        reached = line.goal is None or (line.ratio <= line.goal if slower else line.ratio >= line.goal)
        rows.append(
            [
                line.name,
                f"{line.first * 1000:,.2f} ms",
                f"{line.second * 1000:,.2f} ms",
                f"{line.ratio:,.2f}",
                f"{goal}{' (missed)' if judged and not reached else ''}",
            ]
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage_bench", description=__doc__)
    parser.add_argument("--size", default=SMALL, metavar="SIZE", help="a size of benchmarks.corpus (default small)")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="runs of the slower side of each pair (default %(default)s)"
    )
    parser.add_argument("--work", type=Path, help="folder for corpora and copies; needs several times their size")
    parser.add_argument("--write", action="store_true", help="write the result into docs/benchmarks.md")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        made, listed = (stack.enter_context(stores(size, options.work)) for size in (options.size, LISTED))
        totals = made.totals
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.work)))
        bare = [*against_bare(listed, options.runs), *rows_against_bare(made, folder, options.runs)]
        lines = against_json(made, listed, options.runs)
    data = (
        f"{totals.sessions:,} sessions, {totals.messages:,} messages in {totals.files} files; {totals.bytes:,} bytes."
    )
    both = _table(("JSON", "SQLite"), lines, slower=False, judged=totals.messages >= GOAL_MESSAGES)
    fetching = _table(("store", "bare"), bare, slower=True)
    comparisons = [
        Comparison("JSON store and SQLite store", data, both[0], both[1:]),
        Comparison(
            "SQLite store and bare sqlite3",
            "The time the store takes to return documents, and the time bare `sqlite3` takes to fetch their rows.",
            fetching[0],
            fetching[1:],
        ),
    ]
    report.print_comparisons(comparisons)
    if options.write:
        record.write(comparisons={"storage": comparisons})


if __name__ == "__main__":
    main()
