"""Rolling back a database that foreign SQL made invalid: everything is in the files, or next to them, and reported."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator import open_storage
from migrator.errors import UnreadableSession
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Scene, chat, hash_of

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
BROKEN: dict[str, Any] = chat("s-broken", task="kept") | {"status": 5}

DAMAGE = {
    "a negative duration": "UPDATE sessions SET total_duration = -5 WHERE id = 's-0'",
    "a winner that fits no instance": "UPDATE sessions SET winner_id = 4294967296 WHERE id = 's-0'",
    "a timeout below zero": "UPDATE sessions SET timeout_seconds = -1 WHERE id = 's-0'",
    "rescued data of no sense": "UPDATE sessions SET rescued_data = '{\"columns\": 5}' WHERE id = 's-0'",
    "rescued data of a chat that is not JSON": "UPDATE chat_messages SET rescued_data = 'x' WHERE session_id = 's-0'",
    "a text that is not UTF-8": "UPDATE sessions SET task = CAST(X'FF' AS TEXT) WHERE id = 's-0'",
    "an instance beyond all numbers": "UPDATE instances SET instance_id = 5000000000 WHERE session_id = 's-0'",
}


def without_foreign_keys(scene: Scene, *statements: str) -> None:
    with closing(sqlite3.connect(scene.database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def pair(scene: Scene, migrator: Migrator) -> Scene:
    scene.write(ENGINE, [chat("s-0", task="first"), chat("s-1", task="second")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


@pytest.fixture
def with_broken(scene: Scene, migrator: Migrator) -> Scene:
    """A file with one session and one invalid element."""
    scene.write(ENGINE, [chat("s-0", task="first"), BROKEN])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    return scene


def go_back(scene: Scene, migrator: Migrator, code: int) -> Outcome:
    outcome = migrator("--data-dir", scene.root, "rollback", "--json")
    assert outcome.code == code, outcome.err
    return outcome


def tasks_in(file: Path) -> list[str]:
    return [element["task"] for element in json.loads(file.read_bytes())]


# Sessions that became invalid.


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_an_invalid_session_is_written_next_to_the_file_and_the_others_into_it(
    pair: Scene, migrator: Migrator, damage: str
) -> None:
    pair.change(damage)
    outcome = go_back(pair, migrator, 3)
    file = pair.file_of(ENGINE)
    assert tasks_in(file) == ["second"]
    [side_file] = json.loads(file.with_name(f"{file.name}.not-sessions").read_bytes())
    assert "s-0" in json.dumps(side_file)
    assert outcome.codes == ["session.invalid"]
    assert "'s-0'" in outcome.json["errors"][0]


def test_the_problem_of_an_invalid_session_is_reported(pair: Scene, migrator: Migrator) -> None:
    pair.change(DAMAGE["a negative duration"])
    outcome = go_back(pair, migrator, 3)
    assert "/totalDuration" in outcome.json["errors"][0]


def test_the_next_migration_quarantines_an_invalid_session_again(pair: Scene, migrator: Migrator) -> None:
    pair.change(DAMAGE["a negative duration"])
    go_back(pair, migrator, 3)
    assert migrator("--data-dir", pair.root, "migrate").code == 3
    assert pair.query("SELECT reason, json_extract(raw, '$.id') FROM quarantine") == [("invalid", "s-0")]


def test_an_invalid_session_created_in_sqlite_is_written_next_to_its_workspaces_file(
    pair: Scene, migrator: Migrator
) -> None:
    pair.change("UPDATE sessions SET source_id = NULL, total_duration = -5 WHERE id = 's-1'")
    go_back(pair, migrator, 3)
    file = pair.file_of(ENGINE)
    assert tasks_in(file) == ["first"]
    assert tasks_in(file.with_name(f"{file.name}.not-sessions")) == ["second"]


# Rows whose references are broken.


def test_sessions_whose_file_the_ledger_does_not_know_go_to_their_workspaces_file(
    pair: Scene, migrator: Migrator
) -> None:
    pair.change("UPDATE sessions SET task = 'changed' WHERE id = 's-0'")
    without_foreign_keys(pair, "UPDATE sessions SET source_id = 77")
    go_back(pair, migrator, 0)
    assert tasks_in(pair.file_of(ENGINE)) == ["changed", "second"]


def test_no_file_is_replaced_while_a_session_would_be_in_no_file(pair: Scene, migrator: Migrator) -> None:
    before = pair.file_of(ENGINE).read_bytes()
    without_foreign_keys(pair, "UPDATE sessions SET workspace_id = 99 WHERE id = 's-0'")
    outcome = migrator("--data-dir", pair.root, "rollback")
    assert outcome.code == 1
    assert "s-0" in outcome.err
    assert (pair.file_of(ENGINE).read_bytes(), pair.status()) == (before, "completed")


def test_a_quarantined_item_without_a_file_is_written_next_to_its_workspaces_file(
    with_broken: Scene, migrator: Migrator
) -> None:
    with_broken.change("UPDATE quarantine SET source_id = NULL")
    go_back(with_broken, migrator, 3)
    file = with_broken.file_of(ENGINE)
    assert tasks_in(file.with_name(f"{file.name}.quarantined")) == ["kept"]


def test_the_file_still_has_what_was_deleted_from_quarantine(with_broken: Scene, migrator: Migrator) -> None:
    before = with_broken.file_of(ENGINE).read_bytes()
    with_broken.file_of(ENGINE).unlink()
    with_broken.change("DELETE FROM quarantine")
    go_back(with_broken, migrator, 3)
    assert with_broken.file_of(ENGINE).read_bytes() == before


# What needs attention afterwards.


@pytest.mark.parametrize("changed", [True, False])
def test_a_file_that_the_json_store_cannot_read_is_reported(
    with_broken: Scene, migrator: Migrator, changed: bool
) -> None:
    if changed:
        with_broken.change("UPDATE sessions SET task = 'changed'")
    outcome = go_back(with_broken, migrator, 3)
    assert outcome.codes == ["source.invalid_sessions"]
    assert str(with_broken.file_of(ENGINE)) in outcome.json["errors"][0]


def test_a_quarantined_conflict_needs_attention(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'ours' WHERE id = 's-0'")
    pair.write(ENGINE, [chat("s-0", task="theirs"), chat("s-1", task="second")])
    assert migrator("--data-dir", pair.root, "migrate").code == 3
    outcome = go_back(pair, migrator, 3)
    assert "quarantine.conflicts_remain" in outcome.codes


# Links.


def test_the_target_of_a_link_that_replaced_a_file_is_not_overwritten(
    pair: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    foreign, file = tmp_path / "foreign.txt", pair.file_of(ENGINE)
    foreign.write_bytes(b"of another program")
    file.unlink()
    file.symlink_to(foreign)
    outcome = migrator("--data-dir", pair.root, "rollback", "--json")
    assert (outcome.code, outcome.codes) == (1, ["file.in_the_way"])
    assert str(foreign) in outcome.err
    assert (foreign.read_bytes(), pair.status()) == (b"of another program", "completed")


def test_a_link_to_the_migrated_contents_is_kept(pair: Scene, migrator: Migrator, tmp_path: Path) -> None:
    elsewhere, file = tmp_path / "elsewhere.json", pair.file_of(ENGINE)
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    go_back(pair, migrator, 0)
    assert file.is_symlink()
    assert tasks_in(elsewhere) == ["first", "second"]


def test_a_dry_run_reports_what_would_be_written_next_to_the_file_and_changes_nothing(
    pair: Scene, migrator: Migrator
) -> None:
    pair.change(DAMAGE["a negative duration"])
    before = pair.listing()
    outcome = migrator("--data-dir", pair.root, "rollback", "--dry-run", "--json")
    assert (outcome.code, outcome.codes) == (3, ["session.invalid"])
    assert "'s-0'" in outcome.json["errors"][0]
    assert pair.listing() == before


def test_hybrid_mode_leaves_an_invalid_session_out_of_the_files(pair: Scene, migrator: Migrator) -> None:
    pair.change(DAMAGE["a negative duration"])
    migrator("--data-dir", pair.root, "backend", "hybrid")
    assert tasks_in(pair.file_of(ENGINE)) == ["second"]
    assert pair.query("SELECT count(*) FROM workspaces WHERE workspace_hash = ?", hash_of(ENGINE)) == [(1,)]


def test_a_message_without_its_session_is_written_next_to_the_file_and_reported(
    pair: Scene, migrator: Migrator
) -> None:
    without_foreign_keys(pair, "DELETE FROM sessions WHERE id = 's-1'")
    outcome = go_back(pair, migrator, 3)
    orphans = json.loads((pair.root / "sessions.json.orphans").read_bytes())
    assert [row["content"] for row in orphans["chat_messages"]] == ["hello"]
    assert "database.orphaned_rows" in outcome.codes


@pytest.mark.parametrize("command", [["export", "--to", "exported"], ["sessions", "show", "s-0"]])
def test_a_command_that_reads_an_invalid_session_names_it_and_says_what_to_do(
    pair: Scene, migrator: Migrator, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pair.change(DAMAGE["rescued data of no sense"])
    outcome = migrator("--data-dir", pair.root, *command)
    assert outcome.code == 3
    assert "'s-0'" in outcome.err
    assert "bug" not in outcome.err


def test_a_store_says_which_session_it_cannot_read(pair: Scene) -> None:
    pair.change(DAMAGE["rescued data of no sense"])
    with open_storage(pair.root) as store:
        for read in (store.get_all_sessions, store.list_sessions):
            with pytest.raises(UnreadableSession, match="'s-0'"):
                read(ENGINE)
