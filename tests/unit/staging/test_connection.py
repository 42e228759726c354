"""A staging database is read without a lock, and its errors are translated to ours."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from migrator.database.connection import connect
from migrator.errors import ConnectionFailed, MigratorError, TransactionError
from migrator.staging.connections import opening
from migrator.staging.connections.interface import LoaderName
from migrator.staging.connections.opening import create_staged, open_staged, staged_errors
from tests.support.errors import raises
from tests.support.loaders import LOADERS

pytestmark = pytest.mark.parametrize("loader", LOADERS)

FILES = Path("/proc/self/fd")


def test_a_staged_database_is_read_without_a_lock_and_never_written(tmp_path: Path, loader: LoaderName) -> None:
    path = tmp_path / "staged #1%.db"
    with closing(create_staged(path, loader, tables=False)) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN EXCLUSIVE")
        with closing(open_staged(path, loader)) as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
            with raises(ConnectionFailed, "database.read_only"), staged_errors("write", path):
                reader.execute("INSERT INTO t VALUES (1)")


def test_an_error_while_reading_is_one_of_our_errors(tmp_path: Path, loader: LoaderName) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all " * 100)
    failing = raises(ConnectionFailed, "database.not_a_database")
    with closing(open_staged(broken, loader)) as reader, failing, staged_errors("read", broken):
        reader.execute("SELECT 1 FROM sqlite_master").fetchall()
    with raises(ConnectionFailed, "database.cannot_open"):
        open_staged(tmp_path / "gone.db", loader)
    with closing(connect(tmp_path / "good.db", create=True)) as good:
        good.execute("CREATE TABLE t (x TEXT)")
        good.execute("INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
        good.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(open_staged(tmp_path / "good.db", loader)) as reader:
        with raises(ConnectionFailed, "database.damaged"), staged_errors("read", tmp_path / "good.db"):
            reader.execute("SELECT x FROM t").fetchall()
        with raises(TransactionError, "transaction.failed"), staged_errors("read", tmp_path / "good.db"):
            reader.execute("SELECT x FROM u").fetchall()


@pytest.mark.skipif(not FILES.exists(), reason="no /proc here")
@pytest.mark.parametrize("private", [False, True])
def test_a_database_that_cannot_be_prepared_is_closed(
    tmp_path: Path, loader: LoaderName, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    path = tmp_path / "new.db"
    monkeypatch.setattr(opening, "_FOR_LOADING", (*opening._FOR_LOADING, "user_version = "))
    with pytest.raises(MigratorError) as failed:
        opening.create_private(path) if private else create_staged(path, loader, tables=False)
    assert failed.tb is not None  # which refers to what the failed functions opened
    assert os.fspath(path) not in [os.path.realpath(file) for file in FILES.iterdir()]
