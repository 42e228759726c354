"""Building the index in bulk: no text is missed or indexed twice, whatever the app writes meanwhile."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.database.connection import connect, transaction
from migrator.errors import StorageIOError
from migrator.progress import OnProgress
from migrator.search.building.bulk import BulkBuild, BulkOptions, index_in_bulk, remove_remains
from migrator.search.building.gradual import index_gradually, index_some
from migrator.search.building.segments import Structure, add_averages
from migrator.search.building.turns import Pace
from migrator.search.index import begin, index_problems, index_state, prepare_for
from migrator.worker.limits import Limits
from tests.support.scene import app_inserts
from tests.support.workers import FakeWorker

ENGINE = "/home/dev/engine"
TEXTS = ("a plain text", "明日の会議", "\x1b[31merror\x1b[0m", "Café", "x " * 3000, "会議 API設計 error " * 300, "")
SMALL = BulkOptions(worthwhile=0, piece=4000, pace=Pace(seconds=0, portion=1000, pause=0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with some sessions, of which copies are made."""
    path = tmp_path_factory.mktemp("model") / "sessions.db"
    with closing(connect(path, create=True)) as connection:
        schema.apply(connection, path)
        for number in range(8):
            app_says(connection, number, TEXTS[number % len(TEXTS)])
    return path


@pytest.fixture
def places(tmp_path: Path, model: Path) -> DataDir:
    shutil.copy(model, tmp_path / "sessions.db")
    return DataDir(tmp_path, tmp_path / "sessions.db")


@pytest.fixture
def app(places: DataDir) -> Iterator[sqlite3.Connection]:
    with closing(connect(places.database)) as connection:
        yield connection


def app_says(connection: sqlite3.Connection, number: int, text: str) -> None:
    """A session with a message and an output, by the app's own SQL."""
    app_inserts(connection, ENGINE, f"s-{number}", f"task {text or 'none'}", f"m-{number}")
    connection.execute("UPDATE chat_messages SET content = ? WHERE id = ?", (text or " ", f"m-{number}"))
    connection.execute(
        """
        INSERT INTO instances (session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id,
                               output)
        VALUES (?, 1, '', '', 'agent', 'idle', '', ?)
        """,
        (f"s-{number}", text or None),
    )


def ignore(_: int) -> None:
    pass


def built(places: DataDir, connection: sqlite3.Connection) -> None:
    with transaction(connection, places.database, "begin"):
        begin(connection)
    index_in_bulk(places, SMALL, ignore)
    index_gradually(connection, places.database, ignore, SMALL.pace)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["say", "change", "delete", "drop output", "a little", "begin", "copy", "live", "kill", "all", "reopen"]
        ),
        st.integers(0, 12),
        st.sampled_from(TEXTS),
    ),
    max_size=30,
)


class Player:
    """Plays operations of the app and steps of the builder, each of which may be the last one before a kill."""

    def __init__(self, places: DataDir) -> None:
        self.places = places
        self.app = connect(places.database)
        self.building: BulkBuild | None = None
        self.copied = False
        with transaction(self.app, places.database, "begin"):
            begin(self.app)

    def close(self) -> None:
        self.kill()
        self.app.close()

    def kill(self) -> None:
        if self.building is not None:
            self.building.connection.close()
            self.building = None

    def play(self, operation: str, session: int, text: str) -> None:
        app = self.app
        match operation:
            case "say":
                app_says(app, app.execute("SELECT max(rowid) + 100 FROM sessions").fetchone()[0] or 0, text)
            case "change":
                app.execute("UPDATE chat_messages SET content = ? WHERE rowid = ?", (text or " ", session))
                app.execute("UPDATE sessions SET task = ? WHERE rowid = ?", (text or " ", session))
                app.execute("UPDATE instances SET output = ? WHERE id = ?", (text, session))
            case "delete":
                app.execute("DELETE FROM sessions WHERE rowid = ?", (session,))
            case "drop output":
                app.execute("UPDATE instances SET output = NULL WHERE id = ?", (session,))
            case _:
                self.build(operation, session)

    def build(self, operation: str, steps: int) -> None:
        path = self.places.database
        match operation:
            case "a little" if self.building is None:
                little = index_some(self.app, ignore, 1)
                for _ in range(steps):
                    next(little, None)
            case "begin":
                self.kill()
                connection = connect(path)
                remove_remains(connection, path, SMALL.pace)
                self.building = BulkBuild(connection, self.places, SMALL, ignore, [100, 10_000, 10_000])
                self.copied = False
                with transaction(connection, path, "begin"):
                    self.building.begin()
            case "copy" if self.building is not None and not self.copied:
                self.building.copy_pieces()
                self.copied = True
            case "live" if self.building is not None and self.copied:
                with transaction(self.building.connection, path, "complete"):
                    self.building.make_live()
                self.kill()
            case "kill":
                self.kill()
            case "all":
                self.kill()
                built(self.places, self.app)
            case "reopen" if self.building is None:
                prepare_for(self.app, 0)


@settings(max_examples=10)
@given(operations=OPERATIONS)
def test_the_index_matches_the_texts_whatever_is_done_between_the_steps(
    model: Path, operations: list[tuple[str, int, str]]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        places = DataDir(folder, folder / "sessions.db")
        shutil.copy(model, places.database)
        with closing(Player(places)) as player:
            for operation in (*operations, ("all", 0, "")):
                player.play(*operation)
                assert index_problems(player.app, places.database) == []
            assert index_state(player.app) == "complete"
        assert [path.name for path in folder.iterdir()] == ["sessions.db"]


def test_the_app_writes_while_the_index_is_built(places: DataDir, app: sqlite3.Connection) -> None:
    with transaction(app, places.database, "fill"):
        for number in range(100, 400):
            app_says(app, number, TEXTS[number % len(TEXTS)])
    done = threading.Event()
    refused: list[sqlite3.Error] = []
    written = 0

    def write() -> None:
        nonlocal written
        with closing(connect(places.database, timeout=5)) as connection:
            while not done.is_set():
                written += 1
                try:
                    app_says(connection, 1000 + written, "said meanwhile")
                    connection.execute("UPDATE sessions SET task = 'changed' WHERE rowid = ?", (5 * written,))
                    connection.execute("DELETE FROM sessions WHERE rowid = ?", (7 * written,))
                except sqlite3.Error as error:
                    refused.append(error)
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        built(places, app)
    finally:
        done.set()
        writer.join()
    assert refused == []
    assert written > 1
    assert index_state(app) == "complete"
    assert index_problems(app, places.database) == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, StorageIOError("full")])
def test_a_build_that_fails_leaves_nothing_behind_and_can_be_repeated(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, interrupt: BaseException
) -> None:
    with transaction(app, places.database, "begin"):
        begin(app)
    before = app.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    with monkeypatch.context() as patch:
        patch.setattr(BulkBuild, "make_live", lambda _: (_ for _ in ()).throw(interrupt))
        with pytest.raises(type(interrupt) if isinstance(interrupt, StorageIOError) else KeyboardInterrupt):
            index_in_bulk(places, SMALL, ignore)
    assert [path.name for path in places.root.iterdir() if "staging" in path.name] == []
    assert app.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == before
    assert index_problems(app, places.database) == []
    built(places, app)
    assert index_problems(app, places.database) == []


class Helper(FakeWorker):
    """A worker that counts its jobs."""

    ran = 0

    @classmethod
    def start(cls, preload: Sequence[str] = ()) -> Self:
        del preload
        return cls()

    def stop(self) -> None:
        pass

    def do(self, job: Any, on_progress: OnProgress) -> Any:
        type(self).ran += 1
        return super().do(job, on_progress)


def test_the_worker_builds_pieces_as_well_and_is_not_needed(places: DataDir, app: sqlite3.Connection) -> None:
    for number in range(100, 160):
        app_says(app, number, TEXTS[number % len(TEXTS)])
    with transaction(app, places.database, "begin"):
        begin(app)
    done: list[int] = []
    limits = Limits(processors=2, worker_size=0)
    index_in_bulk(places, replace(SMALL, limits=limits, worker=Helper), done.append)
    assert Helper.ran > 0
    assert index_problems(app, places.database) == []
    assert index_state(app) == "building"
    index_gradually(app, places.database, ignore, SMALL.pace)
    assert index_state(app) == "complete"


def test_the_records_of_fts5_are_read_and_written_as_they_are(app: sqlite3.Connection) -> None:
    app.execute("CREATE VIRTUAL TABLE one USING fts5(text, content = '')")
    app.execute("INSERT INTO one (one, rank) VALUES ('automerge', 2)")
    app.execute("INSERT INTO one (one, rank) VALUES ('pgsz', 64)")
    for number in range(40):
        app.execute("INSERT INTO one (rowid, text) VALUES (?, ?)", (number, f"some words {number} " * number))
        [(block,)] = app.execute("SELECT block FROM one_data WHERE id = 10")
        structure = Structure.read(block)
        assert structure.block() == block
    assert {segment.number for segment in structure.segments} == {
        number for (number,) in app.execute("SELECT DISTINCT segid FROM one_idx")
    }
    [(averages,)] = app.execute("SELECT block FROM one_data WHERE id = 1")
    assert add_averages([averages, b""]) == averages


def test_what_does_not_fit_onto_the_disk_is_refused_with_the_reserve(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(app, places.database, "begin"):
        begin(app)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_500_000))
    with pytest.raises(StorageIOError) as refused:
        index_in_bulk(places, SMALL, ignore)
    assert refused.value.code == "disk.full"
    assert "MB must stay free" in refused.value.message
    assert index_problems(app, places.database) == []
