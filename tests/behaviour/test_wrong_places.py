"""A data directory or a database that is not the app's: said, refused where it matters, and never touched."""

import json
import logging
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from migrator import (
    ConnectionFailed,
    UsageError,
    migrate,
    open_storage,
    resolve_data_dir,
    rollback,
    status,
    verify,
)
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, chat, hash_of

ENGINE = "/home/dev/engine"
# Every command that may look; their exit codes in a place that is missing or wrong, and named as such.
LOOKING = {
    "migrate": 0, "migrate --dry-run": 0, "status": 0, "verify": 2, "doctor": 2, "sessions list": 0, "backups list": 0,
    "backups verify": 0, "backend": 0,
}  # fmt: skip
CHANGING = (
    "verify --repair", "backend sqlite", "backend hybrid", "schema apply", "rollback", "rollback --dry-run",
    "backups prune --keep 1", "quarantine retry --all", "search-index build",
)  # fmt: skip


def missing(tmp_path: Path) -> Path:
    return tmp_path / "no-such-folder"


def gone_link(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "no-such-folder")
    return tmp_path / "link"


def sessions_itself(tmp_path: Path) -> Path:
    scene = Scene(tmp_path / "data")
    return scene.write(ENGINE, [chat("a")]).parent


def of_something_else(tmp_path: Path) -> Path:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter.txt").write_text("Dear all")
    return tmp_path / "documents"


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if "home" not in path.parts)


@pytest.mark.parametrize("place", [missing, sessions_itself, of_something_else])
@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_a_wrong_place_is_named_and_stays_as_it_is(
    tmp_path: Path, migrator: Migrator, place: Callable[[Path], Path], command: str
) -> None:
    wrong = place(tmp_path)
    before = listing(tmp_path)
    outcome = migrator("--data-dir", wrong, *command.split())
    assert outcome.code == LOOKING.get(command, 2)
    assert str(wrong) in outcome.printed
    assert listing(tmp_path) == before


@pytest.mark.parametrize("place", [missing, sessions_itself, of_something_else])
def test_what_is_wrong_with_the_place_has_a_code(
    tmp_path: Path, migrator: Migrator, place: Callable[[Path], Path]
) -> None:
    codes = {"missing": "missing", "sessions_itself": "is_sessions", "of_something_else": "foreign"}
    code = codes[place.__name__]
    wrong = place(tmp_path)
    assert migrator("--data-dir", wrong, "verify", "--json").codes == [f"option.data_dir_{code}"]
    findings = migrator("--data-dir", wrong, "doctor", "--json").json["findings"]
    assert f"option.data_dir_{code}" in [found["code"] for found in findings if found["level"] == "problem"]
    assert [warning.code for warning in migrate(wrong).warnings] == [f"option.data_dir_{code}"]
    with raises(UsageError, f"option.data_dir_{code}"):
        verify(wrong)


@pytest.mark.parametrize("command", ["migrate", "status", "doctor"])
def test_the_default_directory_may_be_missing(
    tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "home").mkdir()
    outcome = migrator(command)
    assert outcome.code == 0
    assert str(tmp_path / "home" / ".ait42") in outcome.printed
    assert listing(tmp_path / "home") == []
    assert migrator("verify").code == 2


def test_an_empty_directory_is_a_new_history(scene: Scene, migrator: Migrator) -> None:
    for command in ("migrate", "status", "verify", "doctor"):
        assert migrator("--data-dir", scene.root, command).code == 0
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert scene.status() == "completed"
    with open_storage(scene.root) as store:
        store.create_session(ENGINE, cast(Any, chat("a")))
    assert migrator("--data-dir", scene.root, "verify").code == 0


def test_a_store_makes_its_directory_with_the_first_write(tmp_path: Path) -> None:
    with open_storage(tmp_path / "new") as store:
        assert store.get_all_sessions(ENGINE) == []
        assert not (tmp_path / "new").exists()
        store.create_session(ENGINE, cast(Any, chat("a")))
    assert (tmp_path / "new" / "sessions" / f"{hash_of(ENGINE)}.json").is_file()


def test_an_empty_name_is_no_data_directory(migrator: Migrator) -> None:
    assert migrator("--data-dir", "", "status").code == 2
    assert migrator("--data-dir", "x", "--database", "", "status").code == 2
    with raises(UsageError, "option.data_dir_empty"):
        resolve_data_dir("")


def test_a_database_that_is_a_link_to_nothing_is_reported(scene: Scene, migrator: Migrator, tmp_path: Path) -> None:
    scene.write(ENGINE, [chat("a")])
    scene.database.symlink_to(tmp_path / "disk" / "sessions.db")
    for command in ("migrate", "migrate --dry-run", "backend sqlite", "schema apply", "verify"):
        outcome = migrator("--data-dir", scene.root, *command.split(), "--json")
        assert (outcome.code, outcome.codes) == (1, ["database.broken_link"]), command
    findings = migrator("--data-dir", scene.root, "doctor", "--json").json["findings"]
    assert "database.broken_link" in [found["code"] for found in findings]
    assert str(scene.database) in str(migrator("--data-dir", scene.root, "status", "--json").json["warnings"])


def test_a_workspace_that_matches_nothing_is_reported(scene: Scene, migrator: Migrator, tmp_path: Path) -> None:
    scene.write(ENGINE, [chat("a")])
    for command in (["migrate", "--dry-run"], ["migrate"], ["migrate"]):
        outcome = migrator("--data-dir", scene.root, *command, "--workspace", tmp_path / "typo", "--json")
        assert [str(tmp_path / "typo") in warning for warning in outcome.json["warnings"]] == [True], command
        assert migrator("--data-dir", scene.root, *command, "--workspace", ENGINE, "--json").json["warnings"] == []


# DATABASE_URL


def other_program(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sessions (key TEXT, value TEXT)")
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.commit()
    path.chmod(0o644)
    return f"sqlite:///{path}"


URLS: dict[str, Callable[[Path], str]] = {
    "another server": lambda _: "postgresql://user:s3cr3t@host/name",
    "another server, without slashes": lambda _: "mysql:user:s3cr3t@host",
    "a driver": lambda _: "sqlite+aiosqlite:///s3cr3t.db",
    "in memory": lambda _: "sqlite::memory:",
    "another program's file": lambda folder: other_program(folder / "theirs.db"),
    "not a database": lambda folder: str(shutil.copy(__file__, folder / "theirs.txt")),
    "a folder": str,
}


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("first", ["nothing", "migrate", "rollback"])
def test_a_database_url_of_another_program_is_passed_over(
    scene: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, first: str
) -> None:
    scene.write(ENGINE, [chat("a")])
    for command in {"nothing": [], "migrate": ["migrate"], "rollback": ["migrate", "rollback"]}[first]:
        migrator("--data-dir", scene.root, command)
    (tmp_path / "theirs").mkdir()
    url = URLS[kind](tmp_path / "theirs")
    before = [(path, path.stat().st_mode, path.read_bytes()) for path in sorted((tmp_path / "theirs").iterdir())]
    monkeypatch.setenv("DATABASE_URL", url)
    for command in ("status", "verify", "doctor", "migrate", "status", "sessions list", "rollback", "report"):
        outcome = migrator("--data-dir", scene.root, *command.split())
        assert outcome.code == 0 or command == "doctor", command  # which may find work to do
        assert outcome.err.count("DATABASE_URL is not used") == 1
        assert "s3cr3t" not in outcome.printed
    assert scene.status() == "rolled_back"
    assert [(p, p.stat().st_mode, p.read_bytes()) for p in sorted((tmp_path / "theirs").iterdir())] == before


def test_an_authoritative_database_comes_before_database_url(
    scene: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/absent.db")
    places = resolve_data_dir(scene.root)
    assert (places.database, [note.code for note in places.notes]) == (scene.database, ["option.database_url_ignored"])
    (scene.root / "storage.json").unlink()  # as if a run had been killed right before it was written
    assert resolve_data_dir(scene.root).database == scene.database
    scene.database.write_bytes(b"damaged" * 1000)
    assert resolve_data_dir(scene.root).database == scene.database
    monkeypatch.setenv("MIGRATOR_DATABASE_URL", f"sqlite:///{tmp_path}/ours.db")
    assert resolve_data_dir(scene.root).database == tmp_path / "ours.db"
    assert resolve_data_dir(scene.root, tmp_path / "named.db").database == tmp_path / "named.db"


@pytest.mark.parametrize("there", ["absent", "empty", "the app's", "ours"])
def test_database_url_may_place_a_new_database(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    path = tmp_path / "elsewhere.db"
    if there == "empty":
        path.touch()
    elif there == "the app's":
        Scene(tmp_path / "app").root.mkdir()
        Scene(tmp_path / "app").app_opens_it().close()
        shutil.move(tmp_path / "app" / "sessions.db", path)
    elif there == "ours":
        migrate(tmp_path / "other", database=path)
    scene.write(ENGINE, [chat("a")])
    monkeypatch.setenv("DATABASE_URL", f"sqlite://{path}")
    assert (resolve_data_dir(scene.root).database, resolve_data_dir(scene.root).notes) == (path, ())
    migrate(scene.root)
    monkeypatch.delenv("DATABASE_URL")
    assert resolve_data_dir(scene.root).database == path


def test_an_embedding_program_finds_it_in_the_log(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:s3cr3t@host/name")
    with caplog.at_level(logging.WARNING, "migrator"), open_storage(scene.root):
        assert "DATABASE_URL" in caplog.text
        assert "s3cr3t" not in caplog.text
    assert [warning.code for warning in migrate(scene.root).warnings] == ["option.database_url_ignored"]


def test_the_last_event_says_it(scene: Scene, monkeypatch: pytest.MonkeyPatch, migrator: Migrator) -> None:
    import json

    monkeypatch.setenv("DATABASE_URL", "postgresql://host/name")
    for command in ("migrate", "verify", "backend"):
        (event,) = map(json.loads, migrator("--data-dir", scene.root, command, "--progress", "jsonl").err.splitlines())
        assert "DATABASE_URL" in str(event["warnings"])


def test_a_relative_path_in_a_deleted_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && "$0" -m migrator --data-dir data status'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["bash", "-c", script, sys.executable]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bug in migrator" not in done.stderr
    assert "Traceback" not in done.stderr


# What is said of a database that is lost, or that never was one


@pytest.mark.parametrize("there", ["nothing", "an empty file", "a broken link"])
@pytest.mark.parametrize(
    "command",
    [
        "report", "export --to out", "quarantine list", "quarantine show 1", "quarantine retry --all",
        "quarantine export --to out", "schema status", "schema apply", "schema revert", "search-index status",
        "search-index build", "search-index drop", "migrate", "backend sqlite", "browse",
    ],
)  # fmt: skip
def test_every_command_says_that_the_authoritative_database_is_lost(
    scene: Scene, migrator: Migrator, there: str, command: str
) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    scene.database.unlink()
    if there == "an empty file":
        scene.database.touch()
    elif there == "a broken link":
        scene.database.symlink_to(scene.root / "nowhere")
    outcome = migrator("--data-dir", scene.root, *command.split(), "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.lost"])


@pytest.mark.parametrize("command", ["verify", "doctor", "backend json", "migrate", "rollback", "export --to out"])
def test_a_wrong_database_is_not_taken_for_a_lost_one(scene: Scene, migrator: Migrator, command: str) -> None:
    """The advice for a lost database would give up the one that is there."""
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    named = ("--data-dir", scene.root, "--database", scene.root / "session.db")
    before = scene.database.read_bytes()
    outcome = migrator(*named, *command.split(), "--json")
    answer = json.loads(outcome.out)
    found = answer.get("problems") or [one for one in answer["findings"] if one["level"] == "problem"]
    assert [one["code"] for one in found] == ["store.other_database"]
    assert outcome.code != 0
    assert str(scene.database) in json.loads(migrator(*named, "status", "--json").out)["lost"]
    assert scene.database.read_bytes() == before
    assert scene.flag() == "sqlite"


def test_a_file_that_never_was_a_database_is_not_to_be_moved_away(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Read me" * 1000)
    scene.write(ENGINE, [chat("a")])
    readme.chmod(0o644)
    before = scene.listing()
    for command in (
        "status", "verify", "verify --repair", "doctor", "migrate", "report", "rollback", "export --to out",
        "backend sqlite", "sessions list", "sessions search x", "quarantine list", "deletions list", "schema status",
        "schema apply", "search-index status", "backups list",
    ):  # fmt: skip
        outcome = migrator("--data-dir", scene.root, "--database", readme, *command.split(), "--json")
        assert (outcome.code, outcome.codes) == (2, ["database.not_a_database"]), command
        assert str(readme) in outcome.json["problems"][0]["message"]
        assert "--database" in outcome.json["problems"][0]["hint"]
    assert (readme.read_text(), readme.stat().st_mode & 0o777) == ("# Read me" * 1000, 0o644)
    assert scene.listing() == before


def test_the_recorded_database_is_not_called_a_wrong_option_when_it_is_damaged(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    scene.write(ENGINE, [chat("a")])
    database = tmp_path / "disk" / "app.db"
    migrate(scene.root, database=database)
    database.write_bytes(b"damaged" * 1000)
    outcome = migrator("--data-dir", scene.root, "--database", database, "doctor", "--json")
    assert outcome.code == 3
    assert "database.not_a_database" in [finding["code"] for finding in outcome.json["findings"]]


@pytest.mark.parametrize("place", ["/", " ", "sqlite:a%00b", "sqlite:///"])
def test_what_cannot_be_a_file_is_not_a_database(place: str, scene: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", scene.root, "--database", place, "doctor").code == 2


def test_a_directory_in_the_place_of_the_database_is_called_one(scene: Scene) -> None:
    scene.database.mkdir()
    with raises(ConnectionFailed, "database.not_a_database"):
        status(scene.root)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_a_pipe_in_the_place_of_the_shared_file_is_not_waited_for(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a")])
    os.mkfifo(scene.root / "sessions.json")
    assert migrator("--data-dir", scene.root, "sessions", "list").code == 0


def test_progress_may_be_none(scene: Scene) -> None:
    scene.write(ENGINE, [chat("a")])
    assert migrate(scene.root, progress=None).exit_code == 0
    assert verify(scene.root, progress=None).exit_code == 0
    assert rollback(scene.root, progress=None).exit_code == 0


@pytest.mark.parametrize("backend", ["json", "sqlite", "hybrid"])
def test_a_store_says_that_it_cannot_be_pickled(scene: Scene, migrator: Migrator, backend: str) -> None:
    scene.write(ENGINE, [chat("a")])
    migrator("--data-dir", scene.root, "backend", backend)
    for read_only in (False, True):
        with (
            open_storage(scene.root, read_only=read_only) as store,
            pytest.raises(TypeError, match="open_storage"),
        ):
            pickle.dumps(store)


def test_status_after_a_rollback_names_a_way_on(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    rollback(scene.root)
    assert "migrator migrate" in migrator("--data-dir", scene.root, "status").out


def test_a_list_in_a_pipe_has_zones_and_no_endless_lines(scene: Scene, migrator: Migrator) -> None:
    times = ["2025-01-13T10:00:00.000Z", "2025-01-13T10:00:00.123456789+00:00", "2025-01-13T10:00:00+09:00"]
    scene.write(ENGINE, [chat(str(n), task="x" * 2_000_000, createdAt=time) for n, time in enumerate(times)])
    listed = migrator("--data-dir", scene.root, "sessions", "list").out
    assert len(listed) < 10_000
    shown = [line.split("\t")[3] for line in listed.splitlines()[1:]]
    assert shown == ["2025-01-13T10:00:00Z", "2025-01-13T10:00:00+00:00", "2025-01-13T10:00:00+09:00"]


@pytest.mark.parametrize("command", ["sessions list", "sessions search hello", "sessions search --type competition"])
def test_a_list_says_what_is_not_in_it(scene: Scene, migrator: Migrator, command: str) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    assert migrator("--data-dir", scene.root, *command.split(), "--json").json["notes"] == []
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    scene.write_bytes("/home/dev/loom", b"[{")
    migrate(scene.root)
    outcome = migrator("--data-dir", scene.root, *command.split())
    assert "quarantine list" in outcome.err
    assert "1 file failed" in outcome.err
    assert len(migrator("--data-dir", scene.root, *command.split(), "--json").json["notes"]) >= 2
