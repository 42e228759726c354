"""The migration report adds up, says what is known, and names a command for each problem that needs attention."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import jsonschema
import pytest

from migrator.database import schema
from migrator.database.connection import opened
from migrator.files.resources import schemas
from migrator.receipt.facts import UNDATED, Period, periods_of
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, copy_fixture, hash_of

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
SUMS = ("migrated", "merged", "quarantined", "failed")
SCHEMA: Document = json.loads((schemas() / "json" / "receipt.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def fixture(scene: Scene, migrator: Migrator) -> Scene:
    """The shipped fixture, migrated."""
    scene.root.rmdir()
    copy_fixture(scene.root)
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    return scene


def receipt(scene: Scene, migrator: Migrator) -> Any:
    outcome = migrator("--data-dir", scene.root, "report", "--json")
    assert outcome.code == 0
    return outcome.json


def to_version(scene: Scene, migrator: Migrator, number: int) -> None:
    """The database as an older migrator left it."""
    with opened(scene.database) as connection:
        while schema.version(connection) > number:
            schema.revert(connection, scene.database)


def test_everything_that_was_found_is_accounted_for(shipped: Scene, migrator: Migrator) -> None:
    made = receipt(shipped, migrator)
    every = [made["totals"], *made["workspaces"], *made["runs"]]
    assert [sums["found"] for sums in every] == [sum(sums[name] for name in SUMS) for sums in every]


def test_the_totals_are_the_sums_over_the_workspaces(shipped: Scene, migrator: Migrator) -> None:
    made = receipt(shipped, migrator)
    for name in ("found", *SUMS, "instances", "messages", "sessions_now", "in_quarantine_now"):
        assert made["totals"][name] == sum(account[name] for account in made["workspaces"])
    own = sum(account["json_bytes"] for account in made["workspaces"])
    assert made["totals"]["json_bytes"] == own + made["totals"]["shared_bytes"]


def test_after_one_run_the_totals_are_those_of_the_run(shipped: Scene, migrator: Migrator) -> None:
    made = receipt(shipped, migrator)
    [run] = made["runs"]
    assert [made["totals"][name] for name in ("found", *SUMS)] == [run[name] for name in ("found", *SUMS)]
    assert made["totals"]["files"] == run["files"]


def test_the_receipt_has_the_form_that_its_schema_says(shipped: Scene, migrator: Migrator) -> None:
    made = receipt(shipped, migrator)
    jsonschema.validate(made, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_what_the_run_reported_is_in_the_receipt(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    made = receipt(scene, migrator)
    assert {w["hash"]: w["migrated"] for w in made["workspaces"]} == {
        w["hash"]: w["sessions"] for w in report["workspaces"]
    }
    assert made["backup"] == report["backup_path"]
    assert made["backup_exists"]


def test_a_merge_replaces_what_its_file_brought_before(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1")])
    scene.write(LOOM, [chat("s-2")])
    migrator("--data-dir", scene.root, "migrate")
    scene.write(ENGINE, [chat("s-1"), chat("s-3")])
    migrator("--data-dir", scene.root, "migrate")
    made = receipt(scene, migrator)
    assert [made["totals"][name] for name in ("found", *SUMS)] == [3, 1, 2, 0, 0]
    assert len(made["runs"]) == 2


def test_a_database_without_recorded_runs_has_a_report_too(fixture: Scene, migrator: Migrator) -> None:
    before = receipt(fixture, migrator)
    to_version(fixture, migrator, schema.LEDGER_VERSION)
    made = receipt(fixture, migrator)
    jsonschema.validate(made, SCHEMA)
    assert (made["recorded"], made["runs"]) == (False, [])
    assert [made["totals"][name] for name in ("migrated", "quarantined")] == [
        before["totals"][name] for name in ("migrated", "quarantined")
    ]
    assert made["totals"]["found"] == sum(made["totals"][name] for name in SUMS)
    assert any(need["command"] == "migrator schema apply" for need in made["needs"])


def test_a_database_without_records_says_so_to_people(fixture: Scene, migrator: Migrator) -> None:
    fixture.change("DELETE FROM migration_runs")
    outcome = migrator("--data-dir", fixture.root, "report")
    assert "before runs were recorded" in outcome.out
    assert "Run of" not in outcome.out


def test_without_a_database_it_says_how_to_get_one(scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "report")
    assert outcome.code == 1
    assert "'migrator migrate'" in outcome.err


@pytest.mark.parametrize("with_our_steps", [False, True])
def test_a_database_that_nothing_was_migrated_into_has_no_report(
    with_our_steps: bool, scene: Scene, migrator: Migrator
) -> None:
    scene.app_opens_it().close()
    if with_our_steps:
        migrator("--data-dir", scene.root, "schema", "apply")
    outcome = migrator("--data-dir", scene.root, "report", "--json")
    assert outcome.code == 1
    assert [problem["code"] for problem in outcome.json["problems"]] == ["migration.not_run"]


def test_after_a_rollback_it_shows_what_was_migrated_and_that_json_is_authoritative(
    fixture: Scene, migrator: Migrator
) -> None:
    before = receipt(fixture, migrator)
    migrator("--data-dir", fixture.root, "rollback")
    made = receipt(fixture, migrator)
    assert (made["authority"], made["migration_status"], made["go_back"]) == ("json", "rolled_back", [])
    assert made["totals"]["migrated"] == before["totals"]["migrated"]


def test_what_needs_attention_has_the_command_for_it(fixture: Scene, migrator: Migrator) -> None:
    commands = [need["command"] for need in receipt(fixture, migrator)["needs"]]
    assert "migrator migrate --salvage" in commands
    assert "migrator quarantine list" in commands


def test_without_problems_nothing_needs_attention(scene: Scene, migrator: Migrator) -> None:
    scene.root.chmod(0o700)
    scene.write(ENGINE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    assert receipt(scene, migrator)["needs"] == []


def test_a_missing_backup_is_reported(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    (scene.root / "backups").rename(scene.root / "elsewhere")
    assert not receipt(scene, migrator)["backup_exists"]
    assert "(missing)" in migrator("--data-dir", scene.root, "report").out


def test_a_file_of_several_workspaces_is_counted_for_each(scene: Scene, migrator: Migrator) -> None:
    documents = [chat("s-1", workspace=ENGINE), chat("s-2", workspace=LOOM), chat("s-3", workspace=LOOM)]
    (scene.root / "sessions.json").write_bytes(app_json(documents))
    migrator("--data-dir", scene.root, "migrate")
    made = receipt(scene, migrator)
    assert {w["hash"]: w["found"] for w in made["workspaces"]} == {hash_of(ENGINE): 1, hash_of(LOOM): 2}


def test_making_a_report_changes_nothing(fixture: Scene, migrator: Migrator) -> None:
    before = fixture.listing()
    receipt(fixture, migrator)
    assert fixture.listing() == before


def test_people_read_the_sum_the_stages_and_how_to_go_back(fixture: Scene, migrator: Migrator) -> None:
    out = migrator("--data-dir", fixture.root, "report").out
    assert "Found 110 sessions = 102 migrated + 0 merged + 3 quarantined + 5 failed." in out
    assert "load " in out
    assert "To go back: migrator rollback --dry-run, then migrator rollback" in out
    assert "Run: migrator quarantine list" in out


def test_a_hostile_path_reaches_no_terminal(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE workspaces SET workspace_path = ?", "/home/\x1b[31m\u202edev")
    assert "/home/\\x1b[31m\\u202edev" in migrator("--data-dir", scene.root, "report").out


# Sessions over time.


def days(*starts: str) -> list[tuple[str, str, str, int]]:
    return [(start, "debate", "running", 1) for start in starts]


def test_a_few_days_are_shown_day_by_day() -> None:
    assert periods_of(days("2025-01-02", "2025-01-01")) == (
        Period("2025-01-01", "debate", "running", 1),
        Period("2025-01-02", "debate", "running", 1),
    )


def test_many_days_are_joined_to_months_and_many_months_to_years() -> None:
    months = periods_of(days(*(f"2025-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29))))
    assert [(period.start, period.sessions) for period in months] == [("2025-01", 28), ("2025-02", 28)]
    years = periods_of(days(*(f"{year}-{month:02}-01" for year in range(2020, 2025) for month in range(1, 13))))
    assert [period.start for period in years] == ["2020", "2021", "2022", "2023", "2024"]


@pytest.mark.parametrize("day", ["", "yesterday", "2025-1-1", "20２5-01-01", "<script>a"])
def test_an_invalid_date_counts_as_undated(day: str) -> None:
    assert periods_of(days(day)) == (Period(UNDATED, "debate", "running", 1),)


def test_rows_that_have_lost_their_values_are_damage(fixture: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(fixture.database)) as damaged, damaged:
        damaged.execute("PRAGMA writable_schema = ON")
        damaged.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'migration_runs'")
    with closing(sqlite3.connect(fixture.database)) as damaged, damaged:
        damaged.execute("UPDATE migration_runs SET ended_at = NULL, stages = NULL, duration_ms = NULL")
    outcome = migrator("--data-dir", fixture.root, "report", "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.damaged"])
