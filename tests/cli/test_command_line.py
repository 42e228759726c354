"""The command line: what it prints, where, and which exit code it ends with."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from migrator._version import __version__
from migrator.cli import app
from migrator.database import schema
from migrator.inventory.location import resolve_data_dir
from migrator.locking import exclusive, progress_for_others
from migrator.progress import Progress, ignore_progress
from tests.support.command_line import Migrator
from tests.support.scene import CHECKOUT, Scene, app_json, chat, copy_fixture, hash_of, start

WORKSPACE = "/home/dev/engine"


def commands(group: click.Command, *path: str) -> list[list[str]]:
    """Every command and group, as the words that lead to it."""
    if not isinstance(group, click.Group):
        return [list(path)]
    context = click.Context(group)
    found = [list(path)]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, *path, name)
    return found


ALL_COMMANDS = commands(app.cli)


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=lambda words: " ".join(words) or "migrator")
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_a_help(words: list[str], option: str, migrator: Migrator) -> None:
    outcome = migrator(*words, option)
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: migrator {' '.join(words)}".rstrip())
    assert "\b" not in outcome.out
    assert "\\b" not in outcome.out


GROUPS = [words[:-1] for words in ALL_COMMANDS if words]
LEAVES = [words for words in ALL_COMMANDS if words not in GROUPS]


@pytest.mark.parametrize("words", [[], *LEAVES], ids=lambda words: " ".join(words) or "migrator")
def test_help_shows_examples_line_by_line_that_can_be_typed(words: list[str], migrator: Migrator) -> None:
    lines = migrator(*words, "--help").out.splitlines()
    examples = [line.strip() for line in lines if re.match(r"  (migrator |echo 'eval)", line)]
    assert examples
    for example in examples:
        typed = shlex.split(example.partition("  ")[0])  # what it does follows
        if typed[0] == "migrator" and words:
            assert typed[1 : 1 + len(words)] == words or typed[1] == "--data-dir"
        options = {option for line in lines for option in re.findall(r"^  (?:-., )?(--[a-z-]+)", line)}
        assert {word for word in typed if re.match("--[a-z]", word)} <= options | {"--data-dir"}


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["session", "list"], "Did you mean 'sessions'?"),
        (["migrate", "--dryrun"], "--dry-run"),
        (["search", "login"], "Did you mean 'sessions search'?"),
        (["list"], "Did you mean 'sessions list' or 'quarantine list' or 'deletions list' or 'backups list'?"),
    ],
)
def test_a_typing_mistake_gets_a_suggestion(arguments: list[str], suggestion: str, migrator: Migrator) -> None:
    outcome = migrator(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert suggestion in outcome.err


@pytest.mark.parametrize(
    ("typed", "corrected"),
    [
        ("status --data-dir /tmp", "--data-dir /tmp status"),
        ("status --json --data-dir=/tmp", "--data-dir=/tmp status --json"),
        ("--database a.db sessions list --data-dir '/tmp/my history'",
         '--database a.db --data-dir "/tmp/my history" sessions list'),
        ("sessions search --data-dir '/tmp/$HOME' -- --json", "--data-dir '/tmp/$HOME' sessions search -- --json"),
        ("status --data-dir", "--data-dir VALUE status"),
        ("--json status", "status --json"),
        ("--data-dir /tmp --dry-run migrate --strict", "--data-dir /tmp migrate --strict --dry-run"),
        ("sessions --json list", "sessions list --json"),
    ],
)  # fmt: skip
def test_an_option_in_the_wrong_place_is_answered_with_the_line_as_it_should_be(
    typed: str, corrected: str, migrator: Migrator
) -> None:
    outcome = migrator(*shlex.split(typed))
    assert outcome.code == 2
    assert f"the command:\n  migrator {corrected}\n" in outcome.printed
    if typed.endswith(("--json status", "--json list", "--json --data-dir=/tmp")):
        assert outcome.json["errors"][0].endswith(f"the command:\n  migrator {corrected}")


@pytest.mark.parametrize("typed", ["--workspace a sessions list", "--open status", "--json fly"])
def test_an_option_that_has_no_place_in_the_line_is_not_moved(typed: str, migrator: Migrator) -> None:
    outcome = migrator(*typed.split())
    assert outcome.code == 2
    assert "\n  migrator" not in outcome.err


PROMISED = {
    "migrate", "status", "verify", "rollback", "backend", "export", "backups", "quarantine", "schema", "sessions",
    "doctor",
}  # fmt: skip


def test_the_promised_commands_exist() -> None:
    assert {words[0] for words in ALL_COMMANDS if words} >= PROMISED


def test_the_version_is_printed(migrator: Migrator) -> None:
    outcome = migrator("--version")
    assert outcome.code == 0
    assert outcome.out.startswith(f"migrator {__version__} (SQLite {sqlite3.sqlite_version}; loads with ")


def test_the_module_is_the_same_program() -> None:
    process = start("--version")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split()[0], err) == (0, "migrator", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["migrate", "--colour"], "--colour"),
        (["migrate", "extra"], "extra"),
        (["migrate", "--progress", "loud"], "'loud'"),
        (["fly"], "'fly'"),
        (["--log-level", "loud", "migrate"], "'loud'"),
        (["export"], "--to"),
        (["schema", "fly"], "'fly'"),
        (["--database", "postgres://somewhere/db", "migrate"], "'postgres:'"),
        (["--database", ":memory:", "migrate"], "':memory:'"),
        (["--database", "sqlite::memory:", "migrate"], "'sqlite::memory:'"),
        (["--database", "sqlite:", "status"], "'sqlite:'"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    arguments: list[str], named: str, scene: Scene, migrator: Migrator
) -> None:
    outcome = migrator("--data-dir", scene.root, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert named in outcome.err


def test_without_a_command_it_shows_help(migrator: Migrator) -> None:
    outcome = migrator()
    assert outcome.code == 2
    assert "migrator migrate" in outcome.out + outcome.err


def test_without_a_home_there_is_a_message_with_the_way_out(
    migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    outcome = migrator("status")
    assert outcome.code == 2
    assert "--data-dir" in outcome.err


MIGRATE_KEYS = {"status", "workspaces", "totals", "backup_path", "database", "duration_ms", "errors"}
WORKSPACE_KEYS = {"hash", "path", "status", "sessions", "instances", "messages", "quarantined", "error"}
TOTALS_KEYS = {"workspaces", "sessions", "instances", "messages", "quarantined", "failed", "bytes"}


def good(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("s-1")])


def bad_session(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("s-1"), 7])


def torn(scene: Scene) -> None:
    scene.write_bytes(WORKSPACE, b"[{")


def nothing(_: Scene) -> None:
    pass


def no_database(scene: Scene) -> None:
    good(scene)
    scene.database.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("prepare", "code", "status"),
    [
        (good, 0, "completed"),
        (bad_session, 3, "completed_with_problems"),
        (torn, 3, "completed_with_problems"),
        (nothing, 0, "nothing_to_do"),
        (no_database, 1, "failed"),
    ],
)
def test_the_report_for_programs_is_one_object_with_the_promised_members(
    prepare: Any, code: int, status: str, scene: Scene, migrator: Migrator
) -> None:
    prepare(scene)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json", "--progress", "none")
    report = json.loads(outcome.out)
    assert outcome.code == code
    assert report["status"] == status
    assert report.keys() >= MIGRATE_KEYS
    assert report["totals"].keys() >= TOTALS_KEYS
    assert all(workspace.keys() >= WORKSPACE_KEYS for workspace in report["workspaces"])
    assert bool(report["errors"]) == (code != 0)
    assert isinstance(report["duration_ms"], int)
    assert report["database"] == str(scene.database)
    assert (outcome.err == "") == (code != 1)


def test_the_states_of_a_workspace_in_the_report(scene: Scene, migrator: Migrator) -> None:
    for name in ("/unchanged", "/merged"):
        scene.write(name, [chat("s-1", workspace=name)])
    migrator("--data-dir", scene.root, "migrate")
    scene.write("/merged", [chat("s-1", workspace="/merged", task="in the file")])
    scene.write("/migrated", [chat("s-1", workspace="/migrated")])
    scene.write_bytes("/failed", b"[")
    report = migrator("--data-dir", scene.root, "migrate", "--json", "--workspace", "/failed").json
    assert {w["path"]: w["status"] for w in report["workspaces"]} == {
        name: name.removeprefix("/") for name in ("/unchanged", "/merged", "/migrated", "/failed")
    }
    assert [w["error"] is not None for w in report["workspaces"]] == [
        w["status"] == "failed" for w in report["workspaces"]
    ]


def test_status_for_programs_before_and_after(scene: Scene, migrator: Migrator) -> None:
    good(scene)
    before = migrator("--data-dir", scene.root, "status", "--json").json
    migrator("--data-dir", scene.root, "migrate")
    after = migrator("--data-dir", scene.root, "status", "--json").json
    names = ("authority", "backend", "migration_status", "schema_version", "needs_migration")
    assert [before[name] for name in names] == ["json", "json", None, 0, True]
    assert [after[name] for name in names] == ["sqlite", "sqlite", "completed", schema.latest_version(), False]
    assert [(w["path"], w["state"], w["sessions"]) for w in after["workspaces"]] == [(WORKSPACE, "migrated", 1)]


def test_status_shows_what_changed_and_what_failed(migrated: Scene, migrator: Migrator) -> None:
    migrated.write(WORKSPACE, [chat("s-1"), chat("s-2")])
    migrated.write_bytes("/torn", b"[")
    report = migrator("--data-dir", migrated.root, "status", "--json").json
    assert {w["hash"]: w["state"] for w in report["workspaces"]} == {
        migrated.file_of(WORKSPACE).stem: "changed",
        migrated.file_of("/torn").stem: "new",
    }
    assert len(report["changed_files"]) == 2
    migrator("--data-dir", migrated.root, "migrate")
    report = migrator("--data-dir", migrated.root, "status", "--json").json
    assert {w["state"] for w in report["workspaces"]} == {"migrated", "failed"}


def test_status_counts_only_what_the_database_has(scene: Scene, migrator: Migrator) -> None:
    def rows() -> list[list[str]]:
        out = migrator("--data-dir", scene.root, "status").out
        return [line.split() for line in out.splitlines() if re.match("(new|migrated|failed|total) ", line)]

    place = f"unknown:{hash_of(WORKSPACE)}"
    scene.write(WORKSPACE, [chat("s-1")])
    assert rows() == [["new", place], ["total", "1", "workspace", "(1", "new)"]]
    migrator("--data-dir", scene.root, "migrate")
    assert rows()[0][:4] == ["migrated", "1", "1", "1"]
    scene.write_bytes("/home/dev/torn", b'[{"id": 1}')
    migrator("--data-dir", scene.root, "migrate")
    assert [row[0] for row in rows()] == ["migrated", "failed", "total"]
    assert rows()[1][1].startswith("unknown:")
    assert rows()[2] == ["total", "1", "1", "1", "2", "workspaces", "(1", "migrated,", "1", "failed)"]


def test_status_lists_workspaces_by_path(scene: Scene, migrator: Migrator) -> None:
    for path in ("/b", "/C", "/a", "/home/nobody/knows"):
        scene.write(path, [chat(path[1:], workspace=path)])
    scene.write("/", [])
    migrator("--data-dir", scene.root, "migrate")
    paths = [one["path"] for one in migrator("--data-dir", scene.root, "status", "--json").json["workspaces"]]
    assert paths[:4] == ["/a", "/b", "/C", "/home/nobody/knows"]
    assert paths[4].startswith("unknown:")


def test_after_a_rollback_every_workspace_is_new_also_those_of_the_shared_file(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write("/a", [chat("a", workspace="/a")])
    shared = scene.root / "sessions.json"
    shared.write_text(json.dumps([chat("b", workspace="/b")]), encoding="utf-8")
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "rollback")
    found = migrator("--data-dir", scene.root, "status", "--json").json["workspaces"]
    assert {one["path"]: one["state"] for one in found if one["sessions"]} == {"/a": "new", "/b": "new"}


def test_status_says_how_far_a_running_migrator_is(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running() -> Any:
        return migrator("--data-dir", scene.root, "status", "--json").json["running"]

    places, now = resolve_data_dir(scene.root), 0.0
    monkeypatch.setattr("migrator.locking.time.monotonic", lambda: now)
    with exclusive(places), progress_for_others(places, ignore_progress) as listener:
        listener(Progress("load", "a.json", 1000, 9000, 1))
        assert running() is None  # it began a moment ago
        now = 5.0
        listener(Progress("load", "a.json", 5000, 9000, 5))
        assert running()["done"] == 5000
        assert "Loading 5.0/9.0 kB, 5 sessions" in migrator("--data-dir", scene.root, "status").out
        left = places.progress.read_bytes()
    assert running() is None
    places.progress.write_bytes(left)  # as after a kill
    assert running() is None
    with exclusive(places):
        assert not places.progress.exists()


def test_a_dry_run_names_no_list_that_it_throws_away(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1"), {"id": "s-2"}])
    outcome = migrator("--data-dir", scene.root, "migrate", "--dry-run")
    assert outcome.code == 3
    assert "1 session" in outcome.out
    assert "quarantine list" not in outcome.out + outcome.err


def test_verify_ends_with_1_and_names_what_is_broken(migrated: Scene, migrator: Migrator) -> None:
    [copy] = (migrated.root / "backups").glob("*/sessions/*.json")
    copy.write_bytes(b"[]")
    outcome = migrator("--data-dir", migrated.root, "verify")
    assert outcome.code == 1
    assert "BROKEN" in outcome.out
    assert str(copy) in outcome.out


def test_verify_sees_a_page_that_was_damaged(migrated: Scene, migrator: Migrator) -> None:
    [(page, size)] = migrated.query(
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'sessions'"
    )
    with open(migrated.database, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    outcome = migrator("--data-dir", migrated.root, "verify")
    assert outcome.code == 1
    assert "malformed" in outcome.out + outcome.err or "BROKEN" in outcome.out


def test_an_export_is_what_the_app_reads(migrated: Scene, migrator: Migrator, tmp_path: Path) -> None:
    migrated.change("UPDATE sessions SET task = 'in SQLite'")
    outcome = migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "out", "--json")
    assert outcome.code == 0
    [workspace] = outcome.json["workspaces"]
    assert (workspace["path"], workspace["restored"], workspace["sessions"]) == (WORKSPACE, "export", 1)
    exported = json.loads((tmp_path / "out" / migrated.file_of(WORKSPACE).name).read_bytes())
    assert [document["task"] for document in exported] == ["in SQLite"]


def test_an_export_makes_no_empty_file_of_one_that_could_not_be_migrated(
    migrated: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    torn = "/home/dev/torn"
    migrated.write_bytes(torn, app_json([chat("t-1", workspace=torn), chat("t-2", workspace=torn)])[:-40])
    assert migrator("--data-dir", migrated.root, "migrate").code == 3
    outcome = migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "out")
    assert outcome.code == 3
    assert migrated.file_of(torn).name in outcome.err
    assert "'migrator status'" in outcome.err
    assert [file.name for file in (tmp_path / "out").iterdir()] == [migrated.file_of(WORKSPACE).name]
    report = migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "o2", "--workspace", torn, "--json")
    assert (report.code, report.json["workspaces"], len(report.json["notes"])) == (3, [], 1)


def test_an_export_overwrites_nothing(migrated: Scene, migrator: Migrator, tmp_path: Path) -> None:
    migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "out")
    [file] = (tmp_path / "out").iterdir()
    file.write_text("mine")
    assert migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "out").code == 1
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", [["export", "--to", "out"], ["schema", "status"]], ids=" ".join)
def test_without_a_database_the_message_says_how_to_get_one(
    command: list[str], scene: Scene, migrator: Migrator
) -> None:
    outcome = migrator("--data-dir", scene.root, *command)
    assert outcome.code == 1
    assert "migrator migrate" in outcome.err


def test_an_export_of_an_unknown_workspace_names_it(migrated: Scene, migrator: Migrator, tmp_path: Path) -> None:
    outcome = migrator("--data-dir", migrated.root, "export", "--to", tmp_path / "out", "--workspace", "/nowhere")
    assert outcome.code == 1
    assert "/nowhere" in outcome.err


def test_the_report_for_people_names_counts_database_and_backup(migrated: Scene, migrator: Migrator) -> None:
    migrated.write("/second", [chat("s-2", workspace="/second"), chat("s-3", workspace="/second")])
    out = migrator("--data-dir", migrated.root, "migrate").out
    assert out.startswith("Migrated 2 sessions (2 instances, 2 messages) from 1 workspace")
    assert f"Database: {migrated.database}\n" in out
    assert f"Backup:   {migrated.root / 'backups'}" in out


def test_nothing_to_do_is_said_in_a_line(migrated: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", migrated.root, "migrate")
    assert (outcome.out.count("\n"), outcome.err) == (1, "")
    assert "1 workspace" in outcome.out


@pytest.mark.parametrize("spelling", ["sqlite:///{}", "sqlite://{}", "sqlite:{}", "{}", "sqlite:{}?mode=rwc"])
@pytest.mark.parametrize("by", ["variable", "option"])
def test_the_database_can_be_elsewhere(
    spelling: str, by: str, scene: Scene, tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(scene)
    place = tmp_path / "some where" / "history.db"
    text = spelling.format(str(place).replace(" ", "%20") if "sqlite" in spelling else place)
    options = []
    if by == "option":
        options = ["--database", text]
    else:
        monkeypatch.setenv("DATABASE_URL", text)
    report = migrator("--data-dir", scene.root, *options, "migrate", "--json").json
    assert Path(report["database"]) == place
    assert scene.query("SELECT task FROM sessions", database=place) == [("Weave",)]
    assert not scene.database.exists()
    assert migrator("--data-dir", scene.root, *options, "status", "--json").json["authority"] == "sqlite"
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_the_option_overrules_the_variable(
    scene: Scene, tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(scene)
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere/else")
    monkeypatch.setenv("AIT42_DATA_DIR", str(tmp_path / "another"))
    outcome = migrator("--data-dir", scene.root, "--database", tmp_path / "x.db", "migrate")
    assert outcome.code == 0
    assert (tmp_path / "x.db").exists()


def test_the_variable_names_the_data_directory(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(scene)
    monkeypatch.setenv("AIT42_DATA_DIR", str(scene.root))
    assert migrator("migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["Weave"]


def test_the_default_is_the_apps_own_directory(tmp_path: Path, migrator: Migrator) -> None:
    scene = Scene(tmp_path / "home" / ".ait42")
    good(scene)
    assert migrator("migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["Weave"]


def test_status_begins_with_the_loss_of_the_authoritative_database(scene: Scene, migrator: Migrator) -> None:
    good(scene)
    assert migrator("--data-dir", scene.root, "migrate", "--progress", "none").code == 0
    scene.database.unlink()
    outcome = migrator("--data-dir", scene.root, "status")
    first, *_ = outcome.out.splitlines()
    assert str(scene.database) in first
    assert "'migrator doctor'" in first
    report = json.loads(migrator("--data-dir", scene.root, "status", "--json").out)
    assert (report["authority"], report["backend"]) == ("sqlite", "sqlite")
    assert report["lost"] in outcome.out


def test_a_data_directory_whose_name_is_not_text_works(tmp_path: Path, migrator: Migrator) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        root.mkdir()
    except OSError:
        pytest.skip("this file system takes only text for names")
    scene = Scene(root)
    good(scene)
    for command in (["migrate"], ["migrate", "--json"], ["status"], ["verify"]):
        assert migrator("--data-dir", root, *command).code == 0
    scene.write(WORKSPACE, [chat("s-1", task="in the file")])
    assert migrator("--data-dir", root, "migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["in the file"]


@pytest.mark.parametrize("name", ["a b", "a#b?c%20d", "日本語", "it's", 'quo"te'])
def test_a_data_directory_of_any_name_works(name: str, tmp_path: Path, migrator: Migrator) -> None:
    scene = Scene(tmp_path / name)
    good(scene)
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    scene.write(WORKSPACE, [chat("s-1", task="in the file"), chat("s-2")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["in the file", "Weave"]
    assert migrator("--data-dir", scene.root, "verify").code == 0


def test_a_reader_that_goes_away_is_not_an_error(scene: Scene) -> None:
    copy_fixture(scene.root / "copy")
    process = start("--data-dir", scene.root / "copy", "migrate", "--progress", "none")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert "bug" not in err
    assert process.returncode == 3  # as if it had been read to the end: there is something in quarantine


def test_a_migration_continues_when_no_one_reads_its_progress_any_more(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    process = start("--data-dir", scene.root, "migrate", "--progress", "jsonl")
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Migrated 1 session" in out


def test_output_that_the_terminal_cannot_encode_is_not_an_error(scene: Scene) -> None:
    scene.write("/開発", [chat("s-1", workspace="/開発")])
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = subprocess.run(
        [sys.executable, "-m", "migrator", "--data-dir", str(scene.root), "migrate"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"Traceback" not in process.stderr
    assert b"bug" not in process.stderr
    assert process.returncode == 0


def test_a_bug_is_called_one_and_shown_in_full_on_demand(
    scene: Scene, capsys: pytest.CaptureFixture[str], break_migrate: Callable[[str], None]
) -> None:
    break_migrate("oops")
    assert app.run(["--data-dir", str(scene.root), "migrate"]) == 1
    err = capsys.readouterr().err
    assert "This is a bug in migrator (ZeroDivisionError: oops)" in err
    assert "Traceback" not in err


def test_no_message_names_an_option_or_command_that_does_not_exist() -> None:
    known = {tuple(words) for words in ALL_COMMANDS}
    named: set[tuple[str, ...]] = set()
    for path in (CHECKOUT / "migrator").rglob("*.py"):
        for found in re.finditer(r"'migrator ([a-z-]+(?: [a-z]+)?)", path.read_text(encoding="utf-8")):
            named.add(tuple(found[1].split()))
    assert named
    assert {words for words in named if words not in known and words[:1] not in known} == set()
    groups = {words[:1] for words in known if len(words) > 1}
    assert {words for words in named if len(words) > 1 and words[:1] in groups and words not in known} == set()


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--to", "anywhere"),
        ("quarantine", "list"),
        ("schema", "status"),
        ("sessions", "show", "nope"),
        ("backups", "verify", "nope"),
    ],
)
def test_a_failure_is_one_json_object_where_json_was_asked_for(
    command: tuple[str, ...], scene: Scene, migrator: Migrator
) -> None:
    outcome = migrator("--data-dir", scene.root, *command, "--json")
    assert outcome.code == outcome.json["exit_code"] != 0
    assert outcome.json["status"] == "failed"
    [error], [problem] = outcome.json["errors"], outcome.json["problems"]
    assert error in outcome.err
    assert error == f"{problem['message']} {problem['hint']}"
    assert re.fullmatch("[a-z_]+[.][a-z_]+", problem["code"])


def test_looking_at_sessions_leaves_the_flag_alone(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "storage.json").write_text('{"backend": "sqlite"}')
    before = scene.listing()
    assert migrator("--data-dir", scene.root, "sessions", "list").code == 0
    assert scene.listing() == before


def test_a_database_elsewhere_is_found_without_being_named_again(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    scene.write("/w", [chat("s-1")])
    elsewhere = tmp_path / "elsewhere" / "x.db"
    assert migrator("--data-dir", scene.root, "--database", elsewhere, "migrate").code == 0
    status = migrator("--data-dir", scene.root, "status", "--json").json
    assert (status["authority"], status["database"]) == ("sqlite", str(elsewhere))
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert migrator("--data-dir", scene.root, "status", "--json").json["database"] == str(elsewhere)


@pytest.mark.parametrize(
    "words",
    [
        ["migrate", "--json", "--no"],
        ["backups", "verify", "--json", "--no"],
        ["quarantine", "show", "--json"],
    ],
)
def test_wrong_usage_is_an_object_for_programs_too(scene, migrator, words):
    outcome = migrator("--data-dir", scene.root, *words)
    assert outcome.code == 2
    assert (outcome.json["status"], outcome.json["exit_code"]) == ("failed", 2)
    assert [problem["code"] for problem in outcome.json["problems"]] == ["option.invalid"]
    assert outcome.json["errors"][0] in outcome.err


def test_a_file_that_is_not_a_database_is_reported_with_the_command_that_finds_copies(scene, migrator):
    scene.database.write_bytes(b"garbage" * 1000)
    outcome = migrator("--data-dir", scene.root, "status")
    assert outcome.code == 1
    assert "'migrator doctor'" in outcome.err


def test_workspaces_that_did_not_change_are_counted(scene: Scene, migrator: Migrator) -> None:
    for name in ("/a", "/b", "/c"):
        scene.write(name, [chat("s-1", workspace=name)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    scene.write("/b", [chat("s-1", workspace="/b"), chat("s-2", workspace="/b")])
    lines = migrator("--data-dir", scene.root, "migrate").out.splitlines()
    assert lines[1:3] == ["  merged          2 /b", "  unchanged       2 workspaces"]
