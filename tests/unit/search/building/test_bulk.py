"""The steps of a bulk build: the plan, who does what, the disk, and what is left when it is given up."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.data_dir import DataDir
from migrator.database.connection import connect, opened, transaction
from migrator.database.schema import has_table
from migrator.errors import StorageIOError, TransactionError
from migrator.search.building import queries
from migrator.search.building.bulk import BulkBuild, BulkOptions, index_in_bulk, remove_remains, require_space
from migrator.search.building.gradual import index_gradually
from migrator.search.building.segments import STRUCTURE, Structure
from migrator.search.building.turns import Pace
from migrator.search.index import index_problems, index_state
from migrator.worker.limits import Limits
from migrator.worker.process import WorkerProcess
from tests.support.scene import app_inserts
from tests.support.workers import FakeWorker, NoWorker

SMALL = BulkOptions(worthwhile=0, piece=400, pace=Pace(seconds=0, portion=1000, pause=0), worker=NoWorker)
MB = 1_000_000
Planned = list[list[tuple[int, int, int]]]


def ignore(_: int) -> None:
    pass


def plan(
    piece: int, sizes: Sequence[int], marks: tuple[int, int, int], ahead: Sequence[int]
) -> tuple[Planned, set[int]]:
    """The rows of each piece, and their memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE search_ahead (tasks_to, messages_to, outputs_to)")
        connection.execute("INSERT INTO search_ahead VALUES (?, ?, ?)", ahead)
        places = DataDir(Path("data"), Path("data/sessions.db"))
        options = BulkOptions(piece=piece)
        jobs = BulkBuild(connection, places, options, ignore, sizes, ("building", *marks)).plan()
    assert [job.path for job in jobs] == [places.index_piece(number) for number in range(len(jobs))]
    assert {job.database for job in jobs} <= {places.database}
    return [[(*rows,) for rows in job.rows] for job in jobs], {job.memory for job in jobs}


@pytest.mark.parametrize(
    ("piece", "sizes", "marks", "ahead", "pieces"),
    [
        (1000, (0, 0, 0), (0, 0, 0), (0, 0, 0), []),
        (1000, (100, 0, 300), (5, 7, 0), (15, 7, 3), [[(0, 5, 15), (2, 0, 3)]]),
        # What is left of a piece is filled with a part of the next kind.
        (100, (40, 40, 40), (0, 100, 0), (8, 108, 8), [[(0, 0, 8), (1, 100, 108), (2, 0, 4)], [(2, 4, 8)]]),
        (100, (250, 0, 0), (0, 0, 0), (25, 0, 0), [[(0, 0, 10)], [(0, 10, 20)], [(0, 20, 25)]]),
        # At least one row each, however large.
        (100, (1200, 0, 0), (0, 0, 0), (4, 0, 0), [[(0, 0, 1)], [(0, 1, 2)], [(0, 2, 3)], [(0, 3, 4)]]),
        # Rows without text take no space.
        (16, (0, 16, 16), (0, 0, 0), (9, 2, 2), [[(0, 0, 9), (1, 0, 2)], [(2, 0, 2)]]),
        # A piece is full when less than an eighth of it is left, rounded down.
        (16, (14, 2, 0), (0, 0, 0), (1, 1, 0), [[(0, 0, 1), (1, 0, 1)]]),
        (16, (15, 1, 0), (0, 0, 0), (1, 1, 0), [[(0, 0, 1)], [(1, 0, 1)]]),
        (15, (14, 1, 0), (0, 0, 0), (1, 1, 0), [[(0, 0, 1), (1, 0, 1)]]),
        (8, (7, 1, 5), (0, 0, 0), (9, 9, 5), [[(0, 0, 9), (1, 0, 9)], [(2, 0, 5)]]),
    ],
)
def test_the_texts_are_divided_into_pieces(
    piece: int, sizes: tuple[int, ...], marks: tuple[int, int, int], ahead: tuple[int, ...], pieces: Planned
) -> None:
    planned, memory = plan(piece, sizes, marks, ahead)
    assert planned == pieces
    assert memory <= {8 << 20}


def test_a_large_history_has_twelve_larger_pieces() -> None:
    planned, memory = plan(100, (600, 1200, 600), (0, 0, 0), (600, 1200, 600))
    assert [sum(upto - after for _, after, upto in rows) for rows in planned] == [200] * 12
    assert memory == {20 << 20}
    planned, memory = plan(100, (1200, 0, 0), (0, 0, 0), (1200, 0, 0))
    assert (len(planned), memory) == (12, {8 << 20})
    planned, memory = plan(100, (1201, 0, 0), (0, 0, 0), (1201, 0, 0))
    assert planned[0] == [(0, 0, 101)]
    assert (len(planned), memory) == (12, {20 << 20})


ROWS = st.tuples(*[st.integers(0, 5000)] * 3)


@given(piece=st.integers(8, 1000), sizes=ROWS, marks=ROWS, more=ROWS)
def test_each_row_is_in_one_piece(
    piece: int, sizes: tuple[int, ...], marks: tuple[int, int, int], more: tuple[int, ...]
) -> None:
    ahead = [mark + rows for mark, rows in zip(marks, more, strict=True)]
    planned, _ = plan(piece, sizes, marks, ahead)
    reached = list(marks)
    for rows in planned:
        for kind, after, upto in rows:
            assert after == reached[kind] < upto
            reached[kind] = upto
    assert reached == ahead


def fill(places: DataDir, app: sqlite3.Connection, count: int, words: int = 0) -> int:
    """Sessions with a task and a message of fifty bytes each, or with longer messages; return how many bytes."""
    with transaction(app, places.database, "fill"):
        for number in range(1, count + 1):
            app_inserts(app, "/home/dev/engine", f"s-{number}", f"task {number:045}", f"m-{number}")
            text = " ".join(f"w{number}x{word}" for word in range(words)) or f"said {number:045}"
            app.execute("UPDATE chat_messages SET content = ? WHERE rowid = ?", (text, number))
    return sum(app.execute(statement).fetchone()[0] for statement in queries.SIZES)


def hits(connection: sqlite3.Connection, words: str) -> int:
    statement = "SELECT count(*) FROM search_words WHERE search_words MATCH ?"
    return int(connection.execute(statement, (words,)).fetchone()[0])


def begun(connection: sqlite3.Connection, places: DataDir, options: BulkOptions = SMALL) -> BulkBuild:
    sizes = [connection.execute(statement).fetchone()[0] for statement in queries.SIZES]
    build = BulkBuild(connection, places, options, ignore, sizes)
    with transaction(connection, places.database, "begin"):
        build.begin()
    return build


def bulk_pages(connection: sqlite3.Connection) -> list[int]:
    """How many pages, terms and sizes are there of segments that a bulk build makes."""
    return [
        connection.execute(f"SELECT count(*) FROM search_words_{own} WHERE {condition}").fetchone()[0]
        for own, condition in (("data", "id >= 1001 << 37"), ("idx", "segid >= 1001"), ("docsize", "1"))
    ]


def numbers(connection: sqlite3.Connection) -> list[int]:
    record = connection.execute(queries.RECORD["search_words"], (STRUCTURE,)).fetchone()[0]
    return [segment.number for segment in Structure.read(record).segments]


class Helpers:
    """Starts one worker, and notes what it was told to import."""

    def __init__(self, worker: FakeWorker) -> None:
        self.preloaded: list[list[str]] = []
        helpers, started = self, worker

        class Kind(WorkerProcess):
            @classmethod
            def start(cls, preload: Sequence[str] = ()) -> Self:
                helpers.preloaded.append(list(preload))
                kept: Any = started
                return kept  # type: ignore[no-any-return]

        self.kind = Kind


@pytest.mark.parametrize(
    ("fit", "more", "pieces", "started"),
    [(1, 1, 1, False), (1, 0, 2, True), (2, 0, 2, True), (2, 1, 2, False), (3, 0, 3, True)],
)
def test_a_worker_helps_if_there_are_enough_bytes_and_then_there_is_a_piece_for_each_process(
    places: DataDir, app: sqlite3.Connection, fit: int, more: int, pieces: int, *, started: bool
) -> None:
    total = fill(places, app, 6)
    worker = FakeWorker()
    helpers = Helpers(worker)
    limits = Limits(processors=2, worker_size=3 * total + more)  # a byte of text counts as three
    advanced: list[int] = []
    index_in_bulk(places, replace(SMALL, piece=total // fit, limits=limits, worker=helpers.kind), advanced.append)
    assert helpers.preloaded == [["migrator.search.building.pieces"]] * started
    assert bool(worker.submitted) is started
    assert sum(advanced) == total
    assert numbers(app) == list(range(1001, 1001 + pieces))
    assert index_problems(app, places.database) == []


def test_a_single_text_however_long_needs_no_worker(places: DataDir, app: sqlite3.Connection) -> None:
    fill(places, app, 1)
    app.execute("DELETE FROM chat_messages")
    app.execute(
        """
        INSERT INTO instances (
            session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id, output
        )
        SELECT id, 1, '/w', 'b', 'a', 'idle', 't', ? FROM sessions
        """,
        ("said " * 500,),
    )
    helpers = Helpers(FakeWorker())
    index_in_bulk(places, replace(SMALL, limits=Limits(processors=2, worker_size=1), worker=helpers.kind), ignore)
    assert helpers.preloaded == []
    assert numbers(app) == [1001]


def test_the_worker_gets_its_next_piece_while_this_process_is_busy_with_one(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker completes a piece whenever this process has done a quarter of one."""
    monkeypatch.setattr("migrator.search.building.pieces._PORTION", 100)
    fill(places, app, 48)  # twelve pieces, of four portions each
    allowed, worker_is_busy = 0, False
    given: list[int] = []

    class Worker(FakeWorker):
        def do(self, job: Any, on_progress: Any) -> Any:
            nonlocal worker_is_busy
            worker_is_busy = True
            try:
                return super().do(job, on_progress)
            finally:
                worker_is_busy = False

    worker = Worker(lambda job: worker.submitted.index(job) < allowed)

    def advance(_: int) -> None:
        nonlocal allowed
        if not worker_is_busy:
            allowed += 1
            given.append(len(worker.submitted))

    options = replace(SMALL, limits=Limits(processors=2, worker_size=0), worker=Helpers(worker).kind)
    index_in_bulk(places, options, advance)
    assert given[:6] == [2, 3, 4, 5, 6, 7]
    assert index_problems(app, places.database) == []


def test_others_get_time_to_read_the_new_tables_before_there_is_a_log(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(places, app, 6)
    logged: list[bool] = []
    monkeypatch.setattr("time.sleep", lambda _: logged.append(has_table(app, "search_ahead")))
    index_in_bulk(places, SMALL, ignore)
    assert logged[0] is False


@pytest.mark.parametrize("memory", [1, 8 << 20])
def test_segments_are_copied_in_steps_completely(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    """Pieces of many segments, and of segments of many pages."""
    for name, value in (("_MEMORY", memory), ("_STEP", 1), ("_SIZES_STEP", 3)):
        monkeypatch.setattr(f"migrator.search.building.bulk.{name}", value)
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    fill(places, app, 12, words=200)
    index_in_bulk(places, replace(SMALL, piece=10_000, pace=Pace(seconds=0, pause=0.5)), ignore)
    assert pauses.count(0.5) > 10
    assert index_problems(app, places.database) == []
    assert [hits(app, f"w{number}x199") for number in range(1, 13)] == [1] * 12
    assert numbers(app) == list(range(1001, 1001 + len(numbers(app))))


def test_what_has_changed_meanwhile_is_in_the_index_as_it_is_now(places: DataDir, app: sqlite3.Connection) -> None:
    fill(places, app, 12)
    with opened(places.database) as connection:
        build = begun(connection, places)
        build.copy_pieces()
        app.execute("UPDATE sessions SET task = 'changed' WHERE rowid = 1")
        app.execute("UPDATE chat_messages SET content = 'changed' WHERE rowid IN (1, 12)")
        app.execute("DELETE FROM chat_messages WHERE rowid = 2")
        with transaction(connection, places.database, "complete"):
            build.make_live()
    assert (hits(app, "changed"), hits(app, "said"), hits(app, "task")) == (3, 9, 11)
    assert index_problems(app, places.database) == []


def test_an_index_that_another_program_has_changed_is_left_alone(places: DataDir, app: sqlite3.Connection) -> None:
    fill(places, app, 6)
    with opened(places.database) as connection:
        build = begun(connection, places)
        build.copy_pieces()
        app.execute("UPDATE search_index SET messages_to = 1")
        with pytest.raises(TransactionError) as refused, transaction(connection, places.database, "complete"):
            build.make_live()
    assert refused.value.code == "search_index.changed"
    assert numbers(app) == []


@pytest.mark.parametrize("remove", [True, False])
def test_a_build_that_is_given_up_leaves_only_what_the_next_one_removes(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, *, remove: bool
) -> None:
    monkeypatch.setattr("migrator.search.building.bulk._STEP", 1)
    fill(places, app, 12)
    index_in_bulk(places, SMALL, ignore)
    live, before = numbers(app), bulk_pages(app)
    app_inserts(app, "/home/dev/engine", "s-more", "another task", "m-more")
    options = replace(SMALL, piece=12, pace=Pace(seconds=0, pause=0.5))
    pauses: list[float] = []
    with opened(places.database) as connection:
        build = begun(connection, places, options)
        for job in build.jobs:
            job.run(lambda *_: None)
        monkeypatch.setattr("time.sleep", pauses.append)
        build.copy(build.jobs[0].path)
        pauses.clear()
        assert bulk_pages(app) > before
        build.give_up(remove=remove)
    assert [path.name for path in places.root.iterdir() if "index" in path.name] == []
    assert (
        app.execute("SELECT name FROM sqlite_master WHERE name IN ('search_changed', 'search_ahead')").fetchall() == []
    )
    assert (bulk_pages(app) == before) is remove
    assert set(pauses) == ({0.5} if remove else set())
    remove_remains(app, places.database)
    assert (numbers(app), bulk_pages(app)) == (live, before)
    index_gradually(app, places.database, ignore)
    assert index_state(app) == "complete"
    assert index_problems(app, places.database) == []


def test_giving_up_does_not_fail_where_the_database_cannot_be_used(places: DataDir, app: sqlite3.Connection) -> None:
    fill(places, app, 6)
    with closing(connect(places.database)) as connection:
        build = begun(connection, places)
        for job in build.jobs:
            job.run(lambda *_: None)
    build.give_up(remove=True)
    build.give_up(remove=False)
    assert [path.name for path in places.root.iterdir() if "index" in path.name] == []


@pytest.mark.parametrize(
    ("needed", "free"), [(0, MB), (1000, 1_011_000), (4_900_000, 54_900_000), (10 * MB, 60 * MB), (10**9, 1050 * MB)]
)
def test_some_of_the_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: int, free: int) -> None:
    """Ten times what is needed and a megabyte, but at most fifty."""
    disk = {tmp_path: SimpleNamespace(free=free)}
    monkeypatch.setattr("shutil.disk_usage", disk.__getitem__)
    require_space(tmp_path / "sessions.db", needed, "it needs")
    with pytest.raises(StorageIOError) as refused:
        require_space(tmp_path / "sessions.db", needed + 1, "it needs")
    assert refused.value.code == "disk.full"


def test_a_piece_is_copied_if_there_is_space_for_it_twice(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the database and once in its log."""
    fill(places, app, 6)
    build = begun(app, places)
    [job, *_] = build.jobs
    job.run(lambda *_: None)
    needed = 2 * os.path.getsize(job.path)
    free = needed + 1_000_000 + 10 * needed
    for less in (1, 0):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free - less: SimpleNamespace(free=free))
        if less:
            with pytest.raises(StorageIOError) as refused:
                build.copy(job.path)
            assert refused.value.code == "disk.full"
            assert bulk_pages(app) == [0, 0, 0]
        else:
            build.copy(job.path)
            assert bulk_pages(app)[2] > 0


@pytest.mark.parametrize("more", [0, 1])
def test_a_few_texts_are_left_to_be_indexed_one_by_one(places: DataDir, app: sqlite3.Connection, more: int) -> None:
    total = fill(places, app, 6)
    index_in_bulk(places, replace(SMALL, worthwhile=total + more), ignore)
    assert (numbers(app) == []) is bool(more)
    assert index_problems(app, places.database) == []
