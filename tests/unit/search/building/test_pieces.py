"""One piece: the texts as they were when the build began, and nothing written to the database."""

import sqlite3
from contextlib import closing

from migrator.data_dir import DataDir
from migrator.database.connection import transaction
from migrator.search.building import queries
from migrator.search.building.gradual import BASES
from migrator.search.building.pieces import PieceJob, Rows
from migrator.search.building.segments import STRUCTURE, Structure
from migrator.search.index import start_log
from migrator.search.queries import INDEX_TABLES
from tests.support.scene import app_inserts


def filled(places: DataDir, app: sqlite3.Connection, count: int) -> None:
    """Sessions with one message each; what the app does afterwards is logged."""
    with transaction(app, places.database, "fill"):
        for number in range(1, count + 1):
            app_inserts(app, "/home/dev/engine", f"s-{number}", f"task {number}", f"m-{number}")
            app.execute("UPDATE chat_messages SET content = ? WHERE rowid = ?", (f"会議 message {number}", number))
        start_log(app)
        app.execute(queries.SET_AHEAD)


def hits(piece: sqlite3.Connection, words: str) -> list[int]:
    statement = "SELECT rowid FROM search_words WHERE search_words MATCH ? ORDER BY rowid"
    return [row_id for (row_id,) in piece.execute(statement, (words,))]


def test_a_piece_has_the_texts_as_they_were_each_once(places: DataDir, app: sqlite3.Connection) -> None:
    filled(places, app, 5)
    app.execute("UPDATE chat_messages SET content = 'changed' WHERE rowid IN (2, 4)")
    app.execute("UPDATE sessions SET task = 'changed' WHERE rowid = 3")
    app.execute("DELETE FROM chat_messages WHERE rowid = 3")
    app_inserts(app, "/home/dev/engine", "s-later", "task later", "m-later")
    path = places.index_piece(0)
    reported: list[tuple[str, int, int]] = []
    job = PieceJob(places.database, path, [Rows(0, 1, 5), Rows(1, 0, 4)], 1 << 20)
    assert job.run(lambda *progress: reported.append(progress)) is True
    assert reported == [("sessions.db", 4 * len("task 1"), 0), ("sessions.db", 4 * len("会議 message 1".encode()), 0)]
    with closing(sqlite3.connect(path)) as piece:
        assert hits(piece, "task") == [2, 3, 4, 5]
        assert hits(piece, "message") == [BASES[1] + number for number in (1, 2, 3, 4)]
        assert hits(piece, "changed") == []
        rows = [piece.execute(f"SELECT count(*) FROM {table}_docsize").fetchone()[0] for table in INDEX_TABLES]
        assert rows == [8, 4]
        assert piece.execute(queries.RECORD["search_words"], (1,)).fetchone()[0][0] == 8  # rows that were put there


def test_a_piece_is_made_of_as_many_segments_as_its_memory_asks_for(places: DataDir, app: sqlite3.Connection) -> None:
    """FTS5 merges none: that would write everything once more."""
    filled(places, app, 20)
    for memory, count in ((1 << 20, 1), (1, 20)):
        job = PieceJob(places.database, places.index_piece(0), [Rows(1, 0, 20)], memory)
        job.run(lambda *_: None)  # which builds it anew
        with closing(sqlite3.connect(job.path)) as piece:
            for table in INDEX_TABLES:
                structure = Structure.read(piece.execute(queries.RECORD[table], (STRUCTURE,)).fetchone()[0])
                assert len(structure.segments) == count


def test_the_database_stays_as_it_is(places: DataDir, app: sqlite3.Connection) -> None:
    """Also its journal mode, which a connection that may write would set."""
    filled(places, app, 2)
    app.execute("PRAGMA journal_mode = DELETE")
    app.close()
    before = places.database.read_bytes()
    PieceJob(places.database, places.index_piece(0), [Rows(0, 0, 2)], 1 << 20).run(lambda *_: None)
    assert places.database.read_bytes() == before
