"""Building the index in bulk: no text is missed or indexed twice, whatever the app writes meanwhile."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.database.connection import connect, transaction
from migrator.search.building.bulk import BulkBuild, BulkOptions, index_in_bulk, remove_remains
from migrator.search.building.gradual import index_gradually, index_some
from migrator.search.building.turns import Pace
from migrator.search.index import begin, index_problems, index_state, reopen
from tests.support.scene import app_inserts

ENGINE = "/home/dev/engine"
TEXTS = ("a plain text", "明日の会議", "\x1b[31merror\x1b[0m", "Café", "x " * 3000, "会議 API設計 error " * 300, "")
SMALL = BulkOptions(worthwhile=0, piece=4000, pace=Pace(seconds=0, portion=1000, pause=0))


@cache
def _model() -> Path:
    """A database with some sessions, of which copies are made."""
    path = Path(mkdtemp()) / "sessions.db"
    with closing(connect(path, create=True)) as connection:
        schema.apply(connection, path)
        for number in range(8):
            app_says(connection, number, TEXTS[number % len(TEXTS)])
    return path


@pytest.fixture
def places(tmp_path: Path) -> DataDir:
    shutil.copy(_model(), tmp_path / "sessions.db")
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
                reopen(self.app)


@settings(max_examples=20)
@given(OPERATIONS)
def test_the_index_matches_the_texts_whatever_is_done_between_the_steps(operations: list[tuple[str, int, str]]) -> None:
    folder = Path(mkdtemp())
    places = DataDir(folder, folder / "sessions.db")
    shutil.copy(_model(), places.database)
    with closing(Player(places)) as player:
        for operation in (*operations, ("all", 0, "")):
            player.play(*operation)
            assert index_problems(player.app, places.database) == []
        assert index_state(player.app) == "complete"
    assert [path.name for path in folder.iterdir()] == ["sessions.db"]
    shutil.rmtree(folder)
