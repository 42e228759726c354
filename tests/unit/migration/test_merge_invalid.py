"""What a merge does with elements that are not sessions, and with sessions whose rows cannot be read any more."""

import json
import sqlite3
from collections import Counter
from pathlib import Path

from migrator.database import queries
from migrator.database.documents import insert_document, read_source
from migrator.migration.merging.invalid import InvalidElements, take_out_unreadable
from migrator.migration.merging.matching import Version
from migrator.migration.merging.merge_base import BaseCopy, MergeBase
from tests.support.strategies import session

HASH = "aaaaaaaaaaaaaaaa"


def insert(database: sqlite3.Connection, key: str, position: int | None, source_id: int) -> None:
    insert_document(
        database,
        session(id=key),
        workspace_id=1,
        workspace_hash=HASH,
        position=position,
        source_id=source_id,
    )


def test_sessions_that_cannot_be_read_go_to_quarantine_at_their_places(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA foreign_keys = OFF")  # the sources have no rows here
    keys = ("whole", "damaged", "invalid", "last", "unplaced", "unplaced too")
    for position, key in enumerate(keys):
        insert(database, key, None if key.startswith("unplaced") else position, 7)
    insert(database, "of another file", 9, 8)
    insert_document(database, session(id="x"), workspace_id=2, workspace_hash="b" * 16, position=50)
    database.execute("UPDATE sessions SET total_files_changed = -1 WHERE id = 'invalid'")
    damaged = ("damaged", "unplaced", "unplaced too", "of another file")
    database.executemany("UPDATE sessions SET rescued_data = '{' WHERE id = ?", [(key,) for key in damaged])

    taken = take_out_unreadable(database, 7)
    assert [*taken] == ["damaged", "unplaced", "unplaced too"]
    rows = database.execute(
        "SELECT session_id, source_id, workspace_hash, position, reason, raw, problems FROM quarantine ORDER BY id"
    ).fetchall()
    assert [row[:5] for row in rows] == [
        ("damaged", None, HASH, 1, "unreadable"),
        ("unplaced", None, HASH, 10, "unreadable"),
        ("unplaced too", None, HASH, 11, "unreadable"),
    ]
    for key, *_, raw, problems in rows:
        assert json.loads(raw)["session"]["id"] == key
        [problem] = json.loads(problems)
        assert (problem["code"], problem["found"]) == ("session.unreadable", taken[key])
    left = [key for (key,) in database.execute(queries.KEYS_OF_SOURCE, (7,))]
    assert left == ["whole", "invalid", "last"]
    assert database.execute("SELECT count(*) FROM sessions WHERE source_id = 8").fetchone() == (1,)
    database.execute("DELETE FROM sessions WHERE id = 'invalid'")
    assert [stored.key for stored in read_source(database, 7)] == ["whole", "last"]


def test_a_truncated_end_stays_in_quarantine_though_the_file_has_a_session_of_its_id(
    database: sqlite3.Connection,
) -> None:
    """As after a comma was lost: the end is an object, and nobody has compared it with the session."""
    gone: list[tuple[int, str | bytes, str]] = [(1, '{"id": "a", "task": "x"}', "torn"), (2, '{"id": "b"}', "invalid")]
    database.executemany(
        """
        INSERT INTO quarantine (id, workspace_hash, position, reason, raw, problems, created_at)
        VALUES (?, 'h', 0, ?, ?, '[]', '')
        """,
        [(number, reason, raw) for number, raw, reason in gone],
    )
    InvalidElements(database, database, 7, MergeBase("f.json")).drop_fixed(gone, Counter(["a", "b"]))
    assert database.execute("SELECT id FROM quarantine").fetchall() == [(1,)]


def test_of_what_is_gone_a_truncated_end_leaves_quarantine_with_its_session(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA foreign_keys = OFF")  # the source has no row here
    insert(database, "a", 0, 7)
    gone: list[tuple[int, str | bytes, str]] = [
        (1, '{"id": "a", "task": 5}', "invalid"),
        (2, '{"id": "of another", "task": "x', "torn"),
        (3, '{"id": "a", "status": "run', "torn"),
    ]
    database.executemany(
        """
        INSERT INTO quarantine (id, workspace_hash, position, reason, raw, problems, created_at)
        VALUES (?, 'h', 0, ?, ?, '[]', '')
        """,
        [(number, reason, raw) for number, raw, reason in gone],
    )
    elements = InvalidElements(database, database, 7, MergeBase("f.json", []))
    elements.drop_mended(gone, {("a", 0): Version(b"", "a")})
    assert database.execute("SELECT id FROM quarantine ORDER BY id").fetchall() == [(1,), (2,)]


def test_what_was_fixed_in_sqlite_stays_fixed_and_only_one_more_of_its_kind_is_new(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.execute("PRAGMA foreign_keys = OFF")  # the sources have no rows here
    copy = tmp_path / "f.json"
    copy.write_text("[7, 7, 7]")
    in_quarantine, in_file = 1, 2
    rows = [(in_quarantine, 0), *((in_file, position) for position in range(4))]
    database.executemany(
        """
        INSERT INTO quarantine (source_id, workspace_hash, position, reason, raw, problems, created_at)
        VALUES (?, 'h', ?, 'invalid', '7', '[]', '')
        """,
        rows,
    )
    base = MergeBase("f.json", [BaseCopy("f.json", copy)])
    new, gone = InvalidElements(database, database, in_file, base).compare(in_quarantine)
    assert ([row.position for row in new], gone) == ([3], [])
