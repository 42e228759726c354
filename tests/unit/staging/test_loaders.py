"""Both loaders make the same database, and one of them is chosen."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator import UsageError, migrate
from migrator.database import schema
from migrator.database.documents import insert_document
from migrator.database.rows import derived_key, key_of_id, to_rows
from migrator.documents.exact_json import to_json
from migrator.staging.connections import choice
from migrator.staging.connections.interface import LoaderName
from migrator.staging.database import StagingDatabase
from migrator.staging.plain_messages import plain_messages
from migrator.worker.limits import Limits
from migrator.workspace import workspace_hash
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.loaders import LOADERS as LOADABLE
from tests.support.scene import Scene, chat
from tests.support.strategies import documents, message, session

FIXTURE = Path(__file__).resolve().parents[3] / "fixtures" / "data-dir"
LOADERS: tuple[LoaderName, ...] = ("apsw", "sqlite-utils")
# What differs from run to run: times, places, and the statistics of the two SQLites.
TIMES = {
    "created_at",
    "migrated_at",
    "last_updated_at",
    "updated_at",
    "ended_at",
    "applied_at",
    "last_accessed",
    "last_accessed_at",
    "mtime_ns",
    "duration_ms",
    "stages",
}
PLACES = {"inode", "backup", "json_backup_path", "data_dir", "database_bytes"}
STATISTICS = ("sqlite_stat1", "sqlite_stat4")


def contents(database: Path) -> dict[str, list[Any]]:
    """Every table's rows with their row ids, and the schema."""
    with closing(sqlite3.connect(database)) as connection:
        schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        schema = [row for row in schema if row[1] not in STATISTICS]
        found = {"schema": schema}
        for name in [name for kind, name, sql in schema if kind == "table" and "VIRTUAL" not in sql]:
            columns = [column for _, column, *_ in connection.execute(f'PRAGMA table_info("{name}")')]
            columns = [column for column in columns if column not in TIMES | PLACES]
            rowid = [] if "WITHOUT ROWID" in next(sql for _, own, sql in schema if own == name) else ["rowid"]
            wanted = ", ".join([*rowid, *(f'"{column}"' for column in columns)])
            found[name] = connection.execute(f'SELECT {wanted} FROM "{name}" ORDER BY 1').fetchall()
    return found


def loaded_by_each(root: Path, copies: Path) -> Iterator[dict[str, list[Any]]]:
    for loader in LOADERS:
        copy = copies / loader
        shutil.copytree(root, copy)
        migrate(copy, loader=loader, salvage=True, search_index=False)
        yield contents(copy / "sessions.db")


needs_apsw = pytest.mark.skipif(choice.apsw_problem() is not None, reason="APSW is not installed")


@needs_apsw
def test_the_fixture_is_loaded_equally(tmp_path: Path) -> None:
    first, second = loaded_by_each(FIXTURE, tmp_path)
    assert first["chat_messages"]
    assert first == second


FEW_IDS = st.sampled_from(["a", "b", ""])


@st.composite
def colliding(draw: st.DrawFn) -> Any:
    """A session with messages whose ids other sessions have."""
    ids = draw(st.lists(st.sampled_from(["m1", "m2", "m3", ""]), max_size=5))
    return session(id=draw(FEW_IDS), chatHistory=[message(id=name, content=name) for name in ids])


@needs_apsw
@given(files=st.lists(st.lists(documents() | colliding() | st.just({"id": "invalid"}), max_size=5), max_size=3))
@settings(max_examples=settings().max_examples // 5)
def test_any_documents_are_loaded_equally(files: list[list[Any]]) -> None:
    with TemporaryDirectory() as folder:
        scene = Scene(Path(folder, "data"))
        for number, found in enumerate(files):
            scene.write_bytes(f"/w/{number}", f"[{','.join(map(to_json, found))}]".encode())
        scene.root.mkdir(exist_ok=True)
        first, second = loaded_by_each(scene.root, Path(folder))
        assert first == second


def test_a_loader_is_used_by_name(scene: Scene, migrator: Migrator) -> None:
    scene.write("/w", [chat("a")])
    assert migrator("--data-dir", scene.root, "migrate", "--loader", "sqlite-utils").code == 0
    assert len(scene.tasks("/w")) == 1
    with raises(UsageError, "option.invalid"):
        migrate(scene.root, loader="duckdb")  # type: ignore[arg-type]


@pytest.fixture
def without_apsw(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "apsw", None)
    choice.apsw_problem.cache_clear()
    yield
    choice.apsw_problem.cache_clear()


@pytest.mark.usefixtures("without_apsw")
def test_without_apsw_the_other_loader_is_used_and_named(scene: Scene, migrator: Migrator) -> None:
    scene.write("/w", [chat("a")])
    refused = migrator("--data-dir", scene.root, "migrate", "--loader", "apsw", "--json")
    assert (refused.code, refused.codes) == (2, ["program.apsw_unusable"])
    assert "ait42-migrator[fast]" in refused.json["problems"][0]["hint"]
    assert not scene.database.exists()
    done = migrator("--data-dir", scene.root, "migrate", "--json")
    assert (done.code, done.json["warnings"]) == (0, [])  # nothing is wrong without it
    assert "sqlite-utils" in migrator("--version").out


@needs_apsw
def test_an_apsw_that_is_too_old_is_reported_and_not_used(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write("/w", [chat("a")])
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: "3.31.1")
    choice.apsw_problem.cache_clear()
    try:
        done = migrator("--data-dir", scene.root, "migrate", "--json")
        assert done.code == 0
        assert ["3.31.1" in warning for warning in done.json["warnings"]] == [True]
    finally:
        choice.apsw_problem.cache_clear()


def test_what_is_left_of_an_uninstalled_apsw_is_not_used(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.write("/w", [chat("a")])
    monkeypatch.setitem(sys.modules, "apsw", ModuleType("apsw"))  # as Python imports an empty folder
    choice.apsw_problem.cache_clear()
    try:
        report = migrate(scene.root, search_index=False)
        assert [warning.code for warning in report.warnings] == ["program.apsw_unusable"]
    finally:
        choice.apsw_problem.cache_clear()


def test_stores_load_neither(scene: Scene) -> None:
    scene.write("/w", [chat("a")])
    migrate(scene.root)
    program = (
        "import sys; from migrator import open_storage\n"
        f"with open_storage({str(scene.root)!r}) as store: store.delete_session('/w', 'a')\n"
        "sys.exit(bool({'apsw', 'sqlite_utils'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def inserted(files: list[list[Any]]) -> dict[str, list[Any]]:
    """The rows of documents, inserted one by one as the stores and the merge do."""
    with closing(schema.fresh()) as connection:
        for number, found in enumerate(files):
            name = workspace_hash(f"/w/{number}")
            connection.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)", (name, name))
            for position, document in enumerate(found):
                insert_document(
                    connection,
                    document,
                    workspace_id=number + 1,
                    workspace_hash=name,
                    position=position,
                    source_id=number + 1,
                )
        return {table: rows_of(connection, table) for table in TABLES_OF_SESSIONS}


TABLES_OF_SESSIONS = ("sessions", "session_runtime_mix", "instances", "chat_messages")


def rows_of(connection: sqlite3.Connection, table: str) -> list[Any]:
    """All rows, with rescued data as values; in which order they are written does not matter."""
    found = connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid")
    names = [name for name, *_ in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        rescued = json.loads(row.get("rescued_data") or "{}")
        if table == "chat_messages":  # a key that repeats in a session may be derived in two ways
            substitute, own = rescued.get("columns", {}).pop("id", (row["id"], row["id"]))
            row["id"] = own if substitute == row["id"] else row["id"]
        row["rescued_data"] = {name: value for name, value in rescued.items() if value}
    return rows


@given(files=st.lists(st.lists(documents() | colliding(), max_size=5), max_size=3), loader=st.sampled_from(LOADABLE))
@settings(max_examples=settings().max_examples // 5)
def test_a_loader_makes_the_rows_that_the_stores_make(files: list[list[Any]], loader: LoaderName) -> None:
    names = [workspace_hash(f"/w/{number}") for number in range(len(files))]
    with TemporaryDirectory() as folder, StagingDatabase(Path(folder, "s.db"), loader, Limits()) as staging:
        for number, (name, found) in enumerate(zip(names, files, strict=True), 1):
            staging.workspace_id(name, name)
            staging.rows.begin_source()
            for position, document in enumerate(found):
                key = key_of_id(document["id"]) or derived_key("", name, position)
                rows = to_rows(document, key=key, workspace_id=number, position=position, source_id=number)
                staging.rows.add(rows, plain_messages(document["chatHistory"]), 1, (name, position))
        staging.finish()
        with closing(sqlite3.connect(staging.path.as_uri() + "?immutable=1", uri=True)) as connection:
            loaded = {table: rows_of(connection, table) for table in TABLES_OF_SESSIONS}
    assert loaded == inserted(files)


@needs_apsw
def test_apsw_and_python_never_have_a_file_open_at_the_same_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As closing a file releases all locks that the process has on it, whichever thread took them."""
    import apsw

    here: dict[str, list[Any]] = {"apsw": [], "sqlite3": []}

    def is_open(connection: Any) -> bool:
        try:
            connection.in_transaction  # noqa: B018
        except (sqlite3.Error, apsw.Error):  # closed
            return False
        return True

    def watched(library: str, other: str, connect: Any) -> Any:
        def opening(path: Any, *arguments: Any, **options: Any) -> Any:
            name = unquote(str(path)).removeprefix("file://").split("?")[0]
            assert not [path for path, connection in here[other] if path == name and is_open(connection)], name
            connection = connect(path, *arguments, **options)
            here[library].append((name, connection))
            return connection

        return opening

    monkeypatch.setattr(apsw, "Connection", watched("apsw", "sqlite3", apsw.Connection))
    monkeypatch.setattr(sqlite3, "connect", watched("sqlite3", "apsw", sqlite3.connect))
    scene.write("/w", [chat("a"), chat("b")])
    migrate(scene.root, loader="apsw")
    scene.write("/w", [chat("a", task="changed"), chat("c")])
    migrate(scene.root, loader="apsw")
    assert {Path(name).name for name, _ in here["apsw"]} & {Path(name).name for name, _ in here["sqlite3"]}
    assert scene.database not in {Path(name) for name, _ in here["apsw"]}
