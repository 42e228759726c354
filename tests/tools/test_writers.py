"""What other people's tools do to the migrated fixture, and what verify says of it, as docs/other-tools.md has it."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
import warnings
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from migrator import resolve_data_dir, verify
from migrator.search.build import drop_index
from migrator.search.find import search_texts
from migrator.verification.repair import repair_and_verify
from tests.support.scene import Scene
from tests.support.tools import NEEDED, NODE_MODULES, hits, kinds, put, rows_of

duckdb: Any = pytest.importorskip("duckdb", reason=NEEDED)
SHELL = shutil.which("sqlite3")
LITESTREAM = shutil.which("litestream", path=sysconfig.get_path("scripts")) or shutil.which("litestream")
TEXT = "SELECT sum(length(CAST(content AS BLOB))) FROM chat_messages"
NEW_MESSAGE = (
    "INSERT INTO chat_messages (id, session_id, role, content, timestamp)"
    " SELECT 'new', id, 'user', 'zebrafish', '2026-01-01T00:00:00Z' FROM sessions ORDER BY id LIMIT 1"
)


def codes(scene: Scene) -> set[str]:
    return {problem.code for problem in verify(resolve_data_dir(scene.root)).broken}


def require_repaired(scene: Scene) -> None:
    place = resolve_data_dir(scene.root)
    assert search_texts(place, "login").method == "scan"
    assert repair_and_verify(place).broken == ()
    assert search_texts(place, "login").method == "index"


def with_a_gap(path: Path) -> None:
    """Delete a session, so that not every row has the number after that of the row before it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM sessions WHERE rowid = 3")


def load(path: Path, dump: bytes) -> None:
    copy = path.with_name("loaded")
    subprocess.run([str(SHELL), copy], input=dump, capture_output=True, check=False)
    put(copy, path)
    copy.unlink()


# Copies.


@pytest.mark.skipif(SHELL is None, reason="needs the sqlite3 shell")
def test_a_dump_of_the_sqlite3_shell_lacks_text_and_is_recognized(filled: Scene, path: Path) -> None:
    with_a_gap(path)
    before = rows_of(path, TEXT)[0][0]
    load(path, subprocess.run([str(SHELL), path, ".dump"], capture_output=True, check=True).stdout)
    assert rows_of(path, TEXT)[0][0] < before
    assert codes(filled) >= {"database.from_dump", "search_index.stale"}
    require_repaired(filled)


@pytest.mark.skipif(SHELL is None, reason="needs the sqlite3 shell")
def test_a_dump_of_apsw_lacks_the_triggers_of_views(filled: Scene, path: Path) -> None:
    pytest.importorskip("apsw", reason=NEEDED)
    of_tables = "type = 'trigger' AND sql NOT LIKE '% INSTEAD OF %'"
    [(others,)] = rows_of(path, f"SELECT count(*) FROM sqlite_schema WHERE {of_tables}")
    load(path, subprocess.run([sys.executable, "-m", "apsw", path, ".dump"], capture_output=True, check=True).stdout)
    assert kinds(path)["trigger"] == others
    assert codes(filled) == {"search_index.damaged"}
    require_repaired(filled)


@pytest.mark.skipif(SHELL is None, reason="needs the sqlite3 shell")
@pytest.mark.parametrize("copying", ["VACUUM INTO '{}'", ".backup '{}'"])
def test_copies_that_have_everything(filled: Scene, path: Path, copying: str) -> None:
    with_a_gap(path)
    before = rows_of(path, TEXT), kinds(path)
    copy = path.with_name("copy")
    subprocess.run([str(SHELL), path, copying.format(copy)], capture_output=True, check=True)
    put(copy, path)
    assert (rows_of(path, TEXT), kinds(path)) == before
    assert codes(filled) == set()
    assert search_texts(resolve_data_dir(filled.root), "login").method == "index"


# sqlite-utils and Datasette.


def sqlite_utils(*arguments: str | Path) -> str:
    from sqlite_utils.cli import cli

    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_sqlite_utils_looks_at_every_table(path: Path) -> None:
    assert "search_words" in sqlite_utils("tables", path, "--counts")
    assert sqlite_utils("analyze-tables", path)
    assert sqlite_utils("dump", path)
    assert "18446744073709551615" in sqlite_utils("query", path, "SELECT total_duration FROM session_values")
    sqlite_utils("optimize", path)


def test_sqlite_utils_transform_drops_triggers(filled: Scene, path: Path) -> None:
    sqlite_utils("transform", path, "chat_messages", "--type", "role", "text")
    assert codes(filled) == {"search_index.damaged"}
    require_repaired(filled)


@pytest.mark.skipif(SHELL is None, reason="needs the sqlite3 shell")
def test_a_dump_of_sqlite_utils_is_recognized(filled: Scene, path: Path) -> None:
    before = rows_of(path, TEXT)[0][0]
    load(path, sqlite_utils("dump", path).encode())
    assert rows_of(path, TEXT)[0][0] < before
    assert codes(filled) == {"database.from_dump", "search_index.damaged"}
    assert repair_and_verify(resolve_data_dir(filled.root)).broken == ()


def test_datasette_shows_tables_and_views(path: Path) -> None:
    pytest.importorskip("datasette", reason=NEEDED)
    for page in ("session_values", "search_words"):
        command = [
            sys.executable,
            "-m",
            "datasette",
            str(path),
            "--get",
            f"/{path.stem}/{page}.json?_size=3&_shape=array",
        ]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("[")


# Programs that leave foreign keys off.


@pytest.fixture
def duck(path: Path) -> Any:
    extension = distribution("duckdb-extension-sqlite-scanner")
    [file] = [extension.locate_file(f) for f in extension.files or () if f.name == "sqlite_scanner.duckdb_extension"]
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        connection.execute(f"LOAD '{file}'")
        connection.execute(f"ATTACH '{path}' AS history (TYPE sqlite)")
        yield connection


def test_duckdb_keeps_the_index_and_no_foreign_keys(filled: Scene, path: Path, duck: Any) -> None:
    duck.execute(
        "UPDATE history.chat_messages SET content = 'zebrafish' WHERE id = (SELECT min(id) FROM history.chat_messages)"
    )
    assert hits(path, "zebrafish") == 1
    columns = "id, session_id, role, content, timestamp"
    duck.execute(f"INSERT INTO history.chat_messages ({columns}) VALUES ('m', 'no', 'user', 'x', 'x')")
    duck.execute("DELETE FROM history.sessions WHERE id = (SELECT min(id) FROM history.sessions)")
    duck.close()
    assert "database.orphaned_rows" in codes(filled)


def test_sqlalchemy_deletes_leave_rows_without_a_session(filled: Scene, path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason=NEEDED)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM sessions WHERE rowid = 1"))
    engine.dispose()
    assert "database.orphaned_rows" in codes(filled)


@pytest.mark.parametrize("table", ["chat_messages", "quarantine"])
def test_alembic_cannot_rebuild_the_tables(filled: Scene, path: Path, table: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason=NEEDED)
    pytest.importorskip("alembic", reason=NEEDED)
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    column = {"chat_messages": "role", "quarantine": "reason"}[table]

    def rebuild() -> None:
        with warnings.catch_warnings(), engine.begin() as connection:
            warnings.simplefilter("ignore")
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table(table) as batch:
                batch.alter_column(column, type_=sqlalchemy.Text())

    with pytest.raises(sqlalchemy.exc.OperationalError):
        rebuild()
    engine.dispose()
    assert codes(filled) == set()


def test_drizzle_kit_cannot_pull_the_views(path: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "drizzle-kit").is_dir():
        pytest.skip("needs node, and drizzle-kit of npm: make tools")
    config = tmp_path / "drizzle.config.json"
    config.write_text(
        f'{{"dialect": "sqlite", "dbCredentials": {{"url": "file:{path}"}}, "out": "{tmp_path / "out"}"}}'
    )
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    command = [node, str(NODE_MODULES / "drizzle-kit" / "bin.cjs"), "pull", "--config", config.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "Could not process view" in done.stdout + done.stderr


# Turso's engine.


def test_turso_refuses_a_database_with_the_index(path: Path) -> None:
    turso = pytest.importorskip("turso", reason=NEEDED)
    before = path.read_bytes()
    with pytest.raises(turso.DatabaseError):
        turso.connect(str(path))
    assert path.read_bytes() == before


def test_what_turso_writes_without_the_index_is_right(filled: Scene, path: Path) -> None:
    turso = pytest.importorskip("turso", reason=NEEDED)
    drop_index(resolve_data_dir(filled.root))
    with closing(turso.connect(str(path))) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(NEW_MESSAGE)
        cursor.execute("UPDATE sessions SET status = 'failed' WHERE id = (SELECT max(id) FROM sessions)")
        cursor.execute("DELETE FROM sessions WHERE id = (SELECT max(id) FROM sessions)")
        connection.commit()
        with pytest.raises(turso.Error):
            cursor.execute(NEW_MESSAGE)
    assert rows_of(path, "SELECT content FROM chat_messages WHERE id = 'new'") == [("zebrafish",)]
    assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]
    assert codes(filled) == set()


def test_turso_locks_other_processes_out(filled: Scene, path: Path) -> None:
    turso = pytest.importorskip("turso", reason=NEEDED)
    drop_index(resolve_data_dir(filled.root))
    program = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('SELECT count(*) FROM sessions')"
    with closing(turso.connect(str(path))) as connection:
        connection.cursor().execute("SELECT count(*) FROM sessions").fetchall()
        locked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "locked" in locked.stderr


# Litestream.


@pytest.mark.skipif(LITESTREAM is None, reason="there is no Litestream for this system")
def test_next_to_litestream_only_passive_checkpoints_do_not_wait(path: Path, tmp_path: Path) -> None:
    command = [str(LITESTREAM), "replicate", str(path), f"file://{tmp_path / 'replica'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not list((tmp_path / "replica").rglob("*.ltx")) and time.monotonic() < deadline:
            time.sleep(0.1)
        busy = {}
        with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
            for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
                connection.execute("UPDATE migration_metadata SET last_updated_at = ?", (kind,))
                busy[kind] = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()[0]
        assert busy == {"PASSIVE": 0, "FULL": 1, "RESTART": 1, "TRUNCATE": 1}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
