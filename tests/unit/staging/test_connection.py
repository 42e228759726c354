"""A staging database is read without a lock, and its errors are translated to ours."""

from contextlib import closing
from pathlib import Path

from migrator.database.connection import connect
from migrator.errors import ConnectionFailed, TransactionError
from migrator.staging.connection import create_staged, open_staged, staged_errors
from tests.support.errors import raises


def test_a_staged_database_is_read_without_a_lock_and_never_written(tmp_path: Path) -> None:
    path = tmp_path / "staged #1%.db"
    with closing(create_staged(path, tables=False)) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN EXCLUSIVE")
        with closing(open_staged(path)) as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
            with raises(ConnectionFailed, "database.read_only"), staged_errors("write", path):
                reader.execute("INSERT INTO t VALUES (1)")


def test_an_error_while_reading_is_one_of_our_errors(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all " * 100)
    failing = raises(ConnectionFailed, "database.not_a_database")
    with closing(open_staged(broken)) as reader, failing, staged_errors("read", broken):
        reader.execute("SELECT 1 FROM sqlite_master").fetchall()
    with raises(ConnectionFailed, "database.cannot_open"):
        open_staged(tmp_path / "gone.db")
    with closing(connect(tmp_path / "good.db", create=True)) as good:
        good.execute("CREATE TABLE t (x TEXT)")
        good.execute("INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
        good.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(open_staged(tmp_path / "good.db")) as reader:
        with raises(ConnectionFailed, "database.damaged"), staged_errors("read", tmp_path / "good.db"):
            reader.execute("SELECT x FROM t").fetchall()
        with raises(TransactionError, "transaction.failed"), staged_errors("read", tmp_path / "good.db"):
            reader.execute("SELECT x FROM u").fetchall()
