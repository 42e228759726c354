"""``migrate --from-database``: a database of an earlier branch of the app is taken in, and nothing of it is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import migrator as api
from tests.support.branch_database import make_branch_database
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Document, Scene, app_json, chat, hash_of, parsed
from tests.support.strategies import instance, message, session

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"
HISTORY = {
    ENGINE: [
        session(
            id="full", status="completed", completedAt="2025-01-13T11:00:00.000Z", model="m", timeoutSeconds=60,
            preserveWorktrees=True, winnerId=2, runtimeMix=["claude", "claude", "codex"], totalDuration=7,
            totalFilesChanged=1, totalLinesAdded=2, totalLinesDeleted=3,
            instances=[
                instance(instanceId=0, worktreePath="", output="\x1b[1mé\0", runtime="claude", linesAdded=4),
                instance(instanceId=1),
            ],
            chatHistory=[message(id="m-2", instanceId=1), message(id="m-1", content="日本")],
        ),
        chat("b"),
    ],
    LOOM: [session(id="c", instances=[], chatHistory=[])],
}  # fmt: skip


def plain(document: Document) -> Document:
    def bare(value: Document) -> Document:
        return {name: member for name, member in value.items() if member is not None}

    return bare(document) | {name: [bare(one) for one in document[name]] for name in ("instances", "chatHistory")}


def in_database(scene: Scene) -> dict[str, list[Document]]:
    return {path: [plain(one) for one in scene.documents(hash_of(path))] for path in HISTORY}


def expected() -> dict[str, list[Document]]:
    return {path: [plain(one) for one in documents] for path, documents in HISTORY.items()}


@pytest.mark.parametrize("shape", [1, 2])
def test_a_branch_database_in_the_place_of_the_apps_is_taken_in_and_moved_away(
    shape: int, scene: Scene, migrator: Migrator
) -> None:
    at = ("--data-dir", scene.root)
    make_branch_database(scene.database, shape, HISTORY)
    original = scene.database.read_bytes()
    rehearsed = migrator(*at, "migrate", "--dry-run", "--from-database", scene.database, "--json")
    assert (rehearsed.code, scene.database.read_bytes()) == (0, original)
    report = migrator(*at, "migrate", "--from-database", scene.database, "--json")
    assert report.code == 0
    assert report.json["totals"] == rehearsed.json["totals"]
    assert in_database(scene) == expected()
    [aside] = scene.root.glob("sessions.db.earlier-branch-*")
    assert any(str(aside) in text for text in report.json["warnings"])
    assert aside.read_bytes() == original
    [copy] = (scene.root / "backups").glob("*-database-earlier-branch/*earlier-branch*")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (3,)
    assert migrator(*at, "verify").code == 0
    assert migrator(*at, "doctor").code == 0
    assert {row[0] for row in scene.query("SELECT workspace_path FROM workspaces")} == {ENGINE, LOOM}

    scene.change("DELETE FROM sessions WHERE id = 'b'")
    again = migrator(*at, "migrate", "--from-database", aside, "--json")
    assert again.code == 0
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["full"]

    renamed = aside.rename(scene.root.parent / "renamed.db")
    with closing(sqlite3.connect(renamed)) as app, app:
        app.execute("UPDATE sessions SET id = 'new' WHERE id = 'c'")
    assert migrator(*at, "migrate", "--from-database", renamed).code == 0
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["full"]
    assert [one["id"] for one in scene.documents(hash_of(LOOM))] == ["c", "new"]
    scene.change("DELETE FROM sessions WHERE id = 'new'")

    assert migrator(*at, "rollback").code == 0
    assert [plain(one) for one in parsed(scene.file_of(ENGINE).read_bytes())] == expected()[ENGINE][:1]
    assert [plain(one) for one in parsed(scene.file_of(LOOM).read_bytes())] == expected()[LOOM]


def test_a_branch_database_elsewhere_is_merged_with_what_is_there(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    at = ("--data-dir", scene.root)
    other = make_branch_database(tmp_path / "old.db", 2, {ENGINE: [chat("a"), chat("b", text="other"), chat("c")]})
    with closing(sqlite3.connect(other)) as app:  # its log stays: it has the database open
        app.execute("PRAGMA journal_mode = WAL")
        app.execute("UPDATE sessions SET task = 'from the log' WHERE id = 'c'")
        app.commit()
        before = {file.name: file.read_bytes() for file in tmp_path.glob("old.db*") if not file.name.endswith("-shm")}
        scene.write(ENGINE, [chat("a"), chat("b")])
        migrator(*at, "migrate")
        report = migrator(*at, "migrate", "--from-database", other, "--json")
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert report.code == 3  # for the session that differs
    assert [(one["id"], one["task"]) for one in scene.documents(hash_of(ENGINE))][2] == ("c", "from the log")
    assert len(scene.conflicts()) == 1
    entries = scene.query("SELECT source, status, workspace_hash FROM migration_ledger WHERE status = 'merged'")
    assert entries == [(f"{other}/{hash_of(ENGINE)}.json", "merged", hash_of(ENGINE))]


@pytest.mark.parametrize(("shape", "own"), [(1, 1), (2, 2)])
def test_only_the_first_shape_has_row_numbers_of_instances(shape: int, own: int, scene: Scene, tmp_path: Path) -> None:
    other = make_branch_database(tmp_path / "old.db", shape, HISTORY)
    with closing(sqlite3.connect(other)) as app, app:  # the second instance, whose own number is 1
        app.execute("UPDATE chat_messages SET instance_id = 2 WHERE id = 'm-1'")
    api.migrate(scene.root, from_database=other, search_index=False)
    assert [one["instanceId"] for one in scene.documents(hash_of(ENGINE))[0]["chatHistory"]] == [1, own]


def test_columns_of_no_member_and_row_numbers_are_translated(scene: Scene, tmp_path: Path) -> None:
    other = make_branch_database(tmp_path / "old.db", 1, HISTORY)
    with closing(sqlite3.connect(other)) as app, app:
        app.execute("ALTER TABLE sessions ADD COLUMN integration_phase TEXT")
        app.execute("UPDATE sessions SET integration_phase = 'done' WHERE id = 'b'")
        app.execute("ALTER TABLE chat_messages ADD COLUMN instance_id_ref INTEGER REFERENCES instances(id)")
        app.execute("UPDATE chat_messages SET instance_id_ref = 1, instance_id = NULL WHERE id = 'm-2'")
    api.migrate(scene.root, from_database=other, search_index=False)
    full, b = scene.documents(hash_of(ENGINE))
    assert full["chatHistory"][0]["instanceId"] == 0
    assert b["integrationPhase"] == "done"


@pytest.mark.parametrize("name", ["missing.db", "own.db", "notes.txt"])
def test_what_is_not_of_the_branch_is_refused(name: str, scene: Scene, tmp_path: Path) -> None:
    scene.write(ENGINE, [chat("a")])
    if name == "own.db":
        with closing(sqlite3.connect(tmp_path / name)) as app:
            app.execute("CREATE TABLE users (name TEXT)")
    elif name == "notes.txt":
        (tmp_path / name).write_text("Remember the milk\n" * 100)
    before = scene.listing()
    code = "option.from_database_missing" if name == "missing.db" else "option.from_database_other"
    with raises(api.MigratorError, code) as caught:
        api.migrate(scene.root, from_database=tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert [place for place in scene.listing() if place not in before] in ([], ["migrator.lock"])


def test_a_data_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    other = make_branch_database(tmp_path / "old.db", 1, HISTORY)
    for given in ({"from_database": other}, {"adopt": [other]}):
        with raises(api.MigratorError, "option.data_dir_missing"):
            api.migrate(tmp_path / "missing", **given)
    assert [place.name for place in tmp_path.iterdir()] == ["old.db"]


def test_a_branch_database_that_is_open_stays_where_it_is(scene: Scene) -> None:
    make_branch_database(scene.database, 2, HISTORY)
    with closing(sqlite3.connect(scene.database)) as app:
        app.execute("PRAGMA journal_mode = WAL")
        app.execute("SELECT * FROM sessions").fetchone()
        with raises(api.MigratorError, "database.locked"):
            api.migrate(scene.root, from_database=scene.database)
        assert app.execute("SELECT count(*) FROM sessions").fetchone() == (3,)
    assert [file.name for file in scene.root.glob("sessions.db*")] == ["sessions.db"]


def test_a_branch_database_is_moved_back_if_the_run_fails(scene: Scene) -> None:
    make_branch_database(scene.database, 2, HISTORY)
    original = scene.database.read_bytes()
    scene.write_bytes(LOOM, b"[{")
    with raises(api.MigratorError, "migration.strict"):
        api.migrate(scene.root, from_database=scene.database, strict=True)
    assert [file.name for file in scene.root.glob("sessions.db*")] == ["sessions.db"]
    assert scene.database.read_bytes() == original


def test_an_adopted_file_does_not_bring_back_what_was_deleted_since(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / f"{hash_of(ENGINE)} copy.json"
    scene.write(ENGINE, [chat("a")])
    copy.write_bytes(app_json([chat("a"), chat("b")]))
    api.migrate(scene.root, adopt=[copy], search_index=False)
    scene.change("DELETE FROM sessions WHERE id = 'b'")
    api.migrate(scene.root, adopt=[copy], search_index=False)
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["a"]
    copy.write_bytes(app_json([chat("b", text="changed"), chat("c")]))
    api.migrate(scene.root, adopt=[copy], search_index=False)
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["a", "b", "c"]
