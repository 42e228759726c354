"""The search index and the commands: it is built last, left out, continued, checked and repaired."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from migrator import migrate, resolve_data_dir, rollback, verify
from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.database.connection import connect
from migrator.errors import ConnectionFailed, StaleStoreError
from migrator.progress import Progress
from migrator.search import build as indexing
from migrator.search.build import build_index, drop_index, index_status, repair_index
from migrator.search.building.emptying import empty_unused
from migrator.search.find import search_texts
from migrator.search.index import start_log, start_over
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"


@pytest.fixture
def filled(scene: Scene) -> Scene:
    scene.write(ENGINE, [chat("s-1", text="login"), chat("s-2", text="明日の会議")])
    return scene


@pytest.fixture
def migrated(filled: Scene) -> Scene:
    assert migrate(filled.root).search_index == "complete"
    return filled


def state(scene: Scene) -> str:
    return str(scene.query("SELECT state FROM search_index")[0][0])


def found(scene: Scene, words: str) -> list[str]:
    report = search_texts(resolve_data_dir(scene.root), words)
    assert report.method == "index", report.notes
    return sorted(one.session["id"] for one in report.sessions)


def test_a_migration_builds_the_index_when_everything_else_is_done(filled: Scene) -> None:
    flags: list[str | None] = []
    phases: list[str] = []

    def listen(event: Progress) -> None:
        phases.append(event.phase)
        if event.phase == "search_index":
            flags.append(filled.flag())

    report = migrate(filled.root, progress=listen)
    assert phases[-1] == "search_index"
    assert set(flags) == {"sqlite"}
    assert "search_index" in report.stages
    assert (found(filled, "login"), found(filled, "会議")) == (["s-1"], ["s-2"])


def test_an_index_that_was_left_out_is_built_only_on_demand(filled: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", filled.root, "migrate", "--no-search-index").code == 0
    assert state(filled) == "left_out"
    assert migrate(filled.root).search_index == "left_out"
    assert migrator("--data-dir", filled.root, "search-index", "build", "--json").json["state"] == "complete"
    assert found(filled, "login") == ["s-1"]


def test_a_run_with_nothing_to_do_continues_an_unfinished_index(migrated: Scene) -> None:
    migrated.change("UPDATE search_index SET state = 'pending'")
    report = migrate(migrated.root)
    assert (report.status, report.search_index) == ("nothing_to_do", "complete")
    assert found(migrated, "login") == ["s-1"]


def test_the_next_run_builds_an_index_of_an_older_version_again(migrated: Scene) -> None:
    migrated.change("DROP TABLE search_words")
    migrated.change("CREATE VIRTUAL TABLE search_words USING fts5(text, content = '', columnsize = 0)")
    assert any("search_words" in text for text in verify(migrated.root).broken)
    assert search_texts(resolve_data_dir(migrated.root), "login").method == "scan"
    assert migrate(migrated.root).search_index == "complete"
    assert found(migrated, "login") == ["s-1"]
    assert verify(migrated.root).broken == ()


def test_a_dry_run_builds_no_index(filled: Scene) -> None:
    before = filled.listing()
    assert migrate(filled.root, dry_run=True).search_index is None
    assert filled.listing() == before


def test_an_index_that_cannot_be_built_is_a_warning(filled: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionFailed("refused by the test")

    monkeypatch.setattr(indexing, "begin", refuse)
    report = migrate(filled.root)
    assert (report.status, report.search_index) == ("completed", "pending")
    [warning] = report.warnings
    assert "refused by the test" in warning


def test_an_index_that_would_fill_the_disk_is_not_begun(filled: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(amount: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=amount))

    free(1_000_000)
    assert migrate(filled.root).search_index == "pending"
    free(39_000_000)  # more than enough for a small index
    assert build_index(resolve_data_dir(filled.root)).state == "complete"


def test_a_merge_that_takes_out_much_text_leaves_the_index_to_the_builder(
    migrated: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggers would hold the write lock for long; meanwhile searches read every text."""
    monkeypatch.setattr("migrator.search.index._MOST_TAKEN_OUT", 3)
    migrated.write(ENGINE, [chat("s-1", text="logout"), chat("s-3", text="new")])
    states: list[str] = []

    def listen(event: Progress) -> None:
        if event.phase == "search_index" and not states:
            states.append(state(migrated))

    report = migrate(migrated.root, progress=listen)
    assert (report.search_index, state(migrated)) == ("complete", "complete")
    assert states == ["building"]
    assert (found(migrated, "login"), found(migrated, "logout"), found(migrated, "new")) == ([], ["s-1"], ["s-3"])
    assert verify(migrated.root).exit_code == 0
    migrated.write(ENGINE, [chat("s-1", text="login again"), chat("s-3", text="new")])
    assert migrate(migrated.root, search_index=False).search_index == "left_out"
    assert "search_words" not in {name for (name,) in migrated.query("SELECT name FROM sqlite_master")}


def test_what_belongs_to_an_index_that_is_used_no_more_does_nothing(migrated: Scene) -> None:
    """Also the log of a build that was killed: it would grow with every write."""
    with closing(connect(migrated.database)) as connection:
        start_log(connection)
        start_over(connection)
    assert state(migrated) == "pending"
    assert migrated.query("SELECT name FROM sqlite_master WHERE tbl_name NOT LIKE 'search%' AND type = 'trigger'") == []
    assert migrated.query("SELECT name FROM sqlite_master WHERE name = 'search_changed'") == []


def test_what_comes_later_is_indexed_by_the_same_run(migrated: Scene) -> None:
    migrated.write(ENGINE, [chat("s-1", text="logout"), chat("s-3", text="login")])
    migrated.write(LOOM, [chat("s-4", workspace=LOOM, text="login")])
    assert migrate(migrated.root).search_index == "complete"
    assert [found(migrated, word) for word in ("login", "logout", "会議")] == [["s-3", "s-4"], ["s-1"], []]
    assert verify(migrated.root).broken == ()


def test_after_a_rollback_and_another_migration_the_index_is_right(migrated: Scene) -> None:
    rollback(migrated.root)
    migrated.write(ENGINE, [chat("s-9", text="login")])
    assert migrate(migrated.root).search_index == "complete"
    # The file lost all of its sessions: they stay, and stay findable, until the user decides.
    assert (found(migrated, "login"), found(migrated, "会議")) == (["s-1", "s-9"], ["s-2"])
    assert verify(migrated.root).broken == ()


def test_what_the_app_writes_later_is_found(migrated: Scene) -> None:
    migrated.change("UPDATE chat_messages SET content = 'timeout' WHERE session_id = 's-1'")
    assert (found(migrated, "timeout"), found(migrated, "login")) == (["s-1"], [])
    migrated.change("DELETE FROM sessions WHERE id = 's-1'")
    assert found(migrated, "timeout") == []
    assert verify(migrated.root).broken == ()


def test_verify_finds_an_index_that_does_not_match_and_repair_rebuilds_it(migrated: Scene) -> None:
    migrated.change("UPDATE search_index SET messages_to = 0")
    migrated.change("UPDATE chat_messages SET content = 'behind its back' WHERE session_id = 's-1'")
    migrated.change("UPDATE search_index SET messages_to = 9223372036854775807")
    [broken] = verify(migrated.root).broken
    assert "search_words" in broken
    report = verify(migrated.root, repair=True)
    assert (report.broken, len(report.repaired)) == ((), 1)
    assert found(migrated, "behind") == ["s-1"]


def test_checking_the_index_writes_nothing(migrated: Scene) -> None:
    before = migrated.listing()
    assert verify(migrated.root).broken == ()
    assert migrated.listing() == before


@pytest.mark.parametrize(
    ("change", "command"),
    [
        ("UPDATE search_index SET state = 'building'", "'migrator search-index build'"),
        ("DROP TRIGGER search_output_delete", "'migrator verify --repair'"),
        ("UPDATE search_index SET state = 'left_out'", "'migrator search-index build'"),
    ],
)
def test_every_text_is_read_if_the_index_cannot_be_trusted(migrated: Scene, change: str, command: str) -> None:
    migrated.change(change)
    report = search_texts(resolve_data_dir(migrated.root), "login")
    assert ([one.session["id"] for one in report.sessions], report.method) == (["s-1"], "scan")
    [note] = report.notes
    assert command in note


def test_a_search_in_a_database_without_an_index_says_how_to_get_one(migrated: Scene) -> None:
    drop_index(resolve_data_dir(migrated.root))
    with closing(connect(migrated.database)) as connection:
        while schema.version(connection) >= schema.INDEX_VERSION:
            schema.revert(connection, migrated.database)
    assert index_status(resolve_data_dir(migrated.root)).state is None
    report = search_texts(resolve_data_dir(migrated.root), "login")
    assert ([one.session["id"] for one in report.sessions], report.method) == (["s-1"], "scan")
    assert "'migrator search-index build'" in report.notes[0]
    assert build_index(resolve_data_dir(migrated.root)).state == "complete"
    assert found(migrated, "login") == ["s-1"]


def test_a_schema_step_that_fails_on_a_damaged_index_says_how_to_go_on(migrated: Scene, migrator: Migrator) -> None:
    rollback(migrated.root)
    assert migrator("--data-dir", migrated.root, "schema", "revert").code == 0
    migrated.change("DELETE FROM search_words_data WHERE id = 10")  # without it, FTS5 cannot open the table
    refused = migrator("--data-dir", migrated.root, "migrate", "--json")
    assert (refused.code, refused.codes) == (1, ["search_index.damaged"])
    for command in ("search-index drop", "migrate", "search-index build"):
        assert command.startswith("migrate") or command in refused.json["problems"][0]["hint"]
        assert migrator("--data-dir", migrated.root, *command.split()).code == 0
    assert found(migrated, "login") == ["s-1"]


def test_a_dropped_index_is_gone_and_can_be_built_again(migrated: Scene, migrator: Migrator) -> None:
    assert drop_index(resolve_data_dir(migrated.root)).state == "left_out"
    assert migrated.query("SELECT name FROM sqlite_master WHERE name LIKE 'search_words%'") == []
    assert migrator("--data-dir", migrated.root, "search-index", "status", "--json").json["state"] == "left_out"
    assert build_index(resolve_data_dir(migrated.root)).state == "complete"
    assert migrator("--data-dir", migrated.root, "search-index", "status", "--json").json["state"] == "complete"


def test_a_schema_step_needs_no_index_that_was_being_dropped(migrated: Scene, migrator: Migrator) -> None:
    """The step renames a column, for which SQLite opens what the views and triggers refer to."""
    rollback(migrated.root)
    assert migrator("--data-dir", migrated.root, "schema", "revert").code == 0
    with closing(connect(migrated.database)) as connection:
        connection.execute("BEGIN")
        start_over(connection)
        connection.execute("COMMIT")
        empty_unused(connection, migrated.database)  # as a killed command leaves it
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
    assert migrator("--data-dir", migrated.root, "search-index", "status", "--json").json["state"] == "complete"
    assert found(migrated, "login") == ["s-1"]


@pytest.mark.parametrize("command", [build_index, drop_index, repair_index])
def test_others_get_time_to_read_the_schema_between_two_changes(
    migrated: Scene, monkeypatch: pytest.MonkeyPatch, command: Callable[[DataDir], object]
) -> None:
    if command is not drop_index:
        migrated.change("DROP TRIGGER search_task_insert")

    def version() -> int:
        return int(migrated.query("PRAGMA schema_version")[0][0])

    at = [version()]
    monkeypatch.setattr("time.sleep", lambda _: at.append(version()))
    command(resolve_data_dir(migrated.root))
    assert at[0] < at[-1] < version()


def test_a_build_that_was_dropped_in_part_begins_anew(migrated: Scene) -> None:
    migrated.change("DROP VIEW search_plain")
    assert index_status(resolve_data_dir(migrated.root)).differing == ("search_plain", "search_plain_bounded")
    assert build_index(resolve_data_dir(migrated.root)).differing == ()
    assert found(migrated, "login") == ["s-1"]


def test_while_the_files_are_authoritative_there_is_nothing_to_index(migrated: Scene) -> None:
    rollback(migrated.root)
    with pytest.raises(StaleStoreError) as refused:
        build_index(resolve_data_dir(migrated.root))
    assert refused.value.code == "store.not_authoritative"


def test_without_a_database_it_says_how_to_get_one(tmp_path: Path, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", tmp_path, "search-index", "build")
    assert (outcome.code, outcome.out) == (1, "")
    assert "migrator migrate" in outcome.err


def test_a_run_that_inserts_nothing_leaves_the_index_complete(migrated: Scene, migrator: Migrator) -> None:
    assert state(migrated) == "complete"
    [path] = (migrated.root / "sessions").glob("*.json")
    path.write_bytes(json.dumps(json.loads(path.read_bytes())).encode())  # another layout, the same sessions
    assert migrator("--data-dir", migrated.root, "migrate", "--no-search-index").code == 0
    assert state(migrated) == "complete"


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE search_words_data",
        "DELETE FROM search_grams_config",
        "DELETE FROM search_words_data WHERE id = 10",
        "UPDATE search_grams_data SET block = zeroblob(50) WHERE id > 10",
        "DELETE FROM search_words_docsize",
        "INSERT INTO search_words (search_words) VALUES ('delete-all')",
    ],
)
def test_whatever_happened_to_the_index_verify_finds_it_and_build_builds_it_again(migrated: Scene, damage: str) -> None:
    migrated.change(damage)
    assert verify(migrated.root).broken
    assert build_index(resolve_data_dir(migrated.root)).state == "complete"
    assert (found(migrated, "login"), found(migrated, "会議")) == (["s-1"], ["s-2"])
    assert verify(migrated.root).broken == ()
