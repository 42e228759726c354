"""What the doctor finds, and that the command that it prints fixes or shows it."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from migrator import status
from migrator._version import __version__
from migrator.storage.hybrid.journal import find_damage
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"

needs_modes = pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
needs_proc = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not report who holds a lock")
needs_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A data directory whose name a shell splits into two words."""
    root = tmp_path / "my history"
    root.mkdir(mode=0o700)
    return Scene(root)


@pytest.fixture
def run(scene: Scene, migrator: Migrator) -> Migrator:
    return lambda *arguments: migrator("--data-dir", scene.root, *arguments)


@pytest.fixture
def migrated(scene: Scene, run: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a", task="first")])
    assert run("migrate", "--progress", "none").code == 0
    return scene


@pytest.fixture
def by_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the modes decide what the owner may do, even for root."""

    def access(path: Any, wanted: int, **_: Any) -> bool:
        return os.path.exists(path) and os.stat(path).st_mode >> 6 & wanted == wanted

    monkeypatch.setattr("os.access", access)


@pytest.fixture
def follow(migrator: Migrator, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Outcome]:
    """Run a command line as it was printed: our own in this process, others in a shell."""

    def call(line: str) -> Outcome:
        words = shlex.split(line)
        if words[0] == "migrator":
            return migrator(*words[1:])
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


def problems(run: Migrator) -> dict[str, tuple[str, Any]]:
    """The message and the command of each problem, as printed, by code."""
    printed = json.loads(run("doctor", "--json").printed)
    return {f["code"]: (f["message"], f["command"]) for f in printed["findings"] if f["level"] == "problem"}


@contextmanager
def another_process(database: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the database open and has executed the statements."""
    script = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for statement in sys.argv[2:]: connection.execute(statement).fetchall()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(database), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@needs_proc
def test_the_process_that_has_the_database_open_is_named(migrated, run):
    with another_process(migrated.database, "SELECT * FROM sessions") as app:
        outcome = run("doctor")
    assert outcome.code == 0
    assert f"open in process {app.pid}" in outcome.out


@needs_proc
def test_the_process_that_keeps_the_database_locked_is_named_and_shown(migrated, run, follow):
    with another_process(migrated.database, "BEGIN IMMEDIATE") as app:
        message, command = problems(run)["database.locked"]
        assert f"process {app.pid} (" in message
        shown = follow(command)
        assert (shown.code, str(app.pid) in shown.out) == (0, True)
    assert not problems(run)


@needs_proc
def test_the_process_that_has_an_exclusive_lock_is_named(migrated, run, monkeypatch):
    waits, connect = [], sqlite3.connect
    monkeypatch.setattr("migrator.diagnostics.doctor.BUSY_TIMEOUT", 0.1)

    def noticed(*file: Any, **options: Any) -> Any:
        waits.append(options.get("timeout"))
        return connect(*file, **options)

    monkeypatch.setattr(sqlite3, "connect", noticed)
    with another_process(
        migrated.database, "PRAGMA journal_mode = DELETE", "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"
    ) as app:
        [(message, command)] = problems(run).values()
    assert waits[0] == 0.1
    assert not any(waits[1:])  # known to be locked, it is not waited for again
    assert f"process {app.pid} (" in message
    assert command == f"ps -p {app.pid}"


@needs_modes
@pytest.mark.parametrize("name", ["sessions", "backups", "sessions.db", "migrator.lock", "storage.json", "."])
def test_missing_permissions_are_reported_and_restored(migrated, run, follow, by_mode, name):
    path = migrated.root / name
    path.chmod(0o400)
    found = problems(run)
    message, command = found["file.permission_denied"]
    assert str(path) in message
    assert command.startswith("chmod u+rw")
    assert follow(command).code == 0
    for _, command in problems(run).values():
        follow(command)  # the files that SQLite created next to a read-only database; the next check may remove them
    assert not problems(run)


@needs_modes
def test_an_unreadable_workspace_file_is_made_readable(scene, run, follow, by_mode):
    file = scene.write(ENGINE, [chat("a")])
    file.chmod(0)
    _, command = problems(run)["file.permission_denied"]
    assert follow(command).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@needs_modes
def test_a_data_directory_of_another_user_is_reported_with_what_makes_it_yours(migrated, run, become_another_user):
    become_another_user()
    message, command = problems(run)["file.other_owner"]
    assert "12345" in message
    assert shlex.split(command) == ["sudo", "chown", "-R", "12345", str(migrated.root)]


@needs_root
def test_a_file_that_root_left_is_reported(migrated, run, become_another_user):
    os.chown(migrated.root, 12345, -1)
    for path in migrated.root.rglob("*"):
        os.chown(path, 12345, -1)
    os.chown(migrated.database, 54321, -1)
    become_another_user()
    found = problems(run)
    assert set(found) == {"file.other_owner"}
    message, command = found["file.other_owner"]
    assert "54321" in message
    assert shlex.split(command) == ["sudo", "chown", "-R", "12345", str(migrated.database)]


@pytest.mark.parametrize("name", ["sessions", "backups", "locks"])
def test_a_file_in_the_place_of_a_folder_is_reported_and_moved_away(scene, run, follow, name):
    (scene.root / name).write_bytes(b"")
    (scene.root / name).chmod(0o600)
    message, command = problems(run)["file.in_the_way"]
    assert str(scene.root / name) in message
    assert follow(command).code == 0
    assert not problems(run)


@pytest.mark.parametrize("name", ["storage.json", "sessions.json", "sessions.db"])
def test_a_folder_in_the_place_of_a_file_is_reported_and_moved_away(scene, run, follow, name):
    (scene.root / name).mkdir(mode=0o700)
    message, command = problems(run)["file.in_the_way"]
    assert str(scene.root / name) in message
    assert follow(command).code == 0
    assert not problems(run)


@pytest.mark.parametrize("name", ["sessions", "backups"])
def test_a_migration_that_meets_a_file_in_the_place_of_a_folder_leads_to_the_doctor(scene, run, name):
    if name != "sessions":
        scene.write(ENGINE, [chat("a")])
    (scene.root / name).write_bytes(b"")
    outcome = run("migrate")
    assert outcome.code == 1
    assert "'migrator doctor'" in outcome.err


def test_a_dangling_link_in_the_place_of_the_backups_is_reported(scene, run, follow):
    (scene.root / "backups").symlink_to("/nowhere/backups")
    _, command = problems(run)["file.broken_link"]
    assert "/nowhere/backups" in follow(command).out


def test_a_damaged_journal_of_hybrid_mode_is_reported_and_renewed(scene, run, follow):
    scene.write(ENGINE, [chat("a", task="first")])
    assert run("backend", "hybrid").code == 0
    scene.change("UPDATE sessions SET task = 'second'")
    (scene.root / "hybrid.db").write_bytes(b"garbage" * 1000)
    assert run("verify").code == 0
    assert run("backend").code == 3
    assert str(find_damage(scene.root / "hybrid.db")) in run("status", "--json").json["warnings"]
    assert [warning.code for warning in status(scene.root).warnings] == ["hybrid.journal_damaged"]
    _, command = problems(run)["hybrid.journal_damaged"]
    assert follow(command).code == 0
    assert (scene.root / "hybrid.db.damaged").exists()
    assert json.loads(scene.file_of(ENGINE).read_bytes())[0]["task"] == "second"  # it may have been recorded there
    assert run("backend", "sqlite").code == 0
    assert not problems(run)
    assert scene.tasks(ENGINE) == ["second"]


def test_a_folder_in_the_place_of_the_lock_is_reported_and_moved_away(migrated, run, follow):
    (migrated.root / "migrator.lock").unlink()
    (migrated.root / "migrator.lock").mkdir()
    _, command = problems(run)["file.in_the_way"]
    assert follow(command).code == 0
    assert not problems(run)


@needs_modes
def test_a_printed_shell_command_quotes_a_name_with_a_space(migrated, run, follow):
    migrated.root.chmod(0o755)
    (command,) = [line.partition("run: ")[2] for line in run("doctor").printed.splitlines() if "run: " in line]
    assert follow(command).code == 0
    assert stat.S_IMODE(migrated.root.stat().st_mode) == 0o700


def test_our_own_commands_act_on_the_same_place(migrated, run, follow):
    (migrated.root / "storage.json").write_text('{"backend": "json"}')
    _, command = problems(run)["backend.flag_wrong"]
    assert follow(command).code == 0
    assert migrated.flag() == "sqlite"


def test_a_missing_merge_base_is_remade_if_the_file_has_not_changed(migrated, run, follow):
    shutil.rmtree(migrated.root / "backups")
    _, command = problems(run)["backup.file_missing"]
    assert follow(command).code == 0
    assert not problems(run)


def test_a_missing_merge_base_of_a_changed_file_is_reported_and_the_merge_does_without(migrated, run, follow):
    shutil.rmtree(migrated.root / "backups")
    migrated.write(ENGINE, [chat("new")])
    assert follow(problems(run)["backup.file_missing"][1]).code == 3
    assert "backup.file_missing" not in problems(run)
    assert len(migrated.tasks(ENGINE)) == 2


def test_the_copy_of_a_file_that_fails_now_is_not_taken_for_a_missing_merge_base(migrated, run):
    migrated.write_bytes(ENGINE, b"{}")
    assert run("migrate").code == 3
    assert problems(run).keys() == {"source.not_array"}
    assert problems(run)["source.not_array"][1] is None


def test_one_damaged_database_is_one_problem(migrated, run):
    with closing(sqlite3.connect(migrated.database)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'migration_ledger'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with migrated.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    damaged = [found for found in run("doctor", "--json").json["findings"] if found["code"] == "database.damaged"]
    assert [found["subject"] for found in damaged] == ["database"]


def test_a_missing_database_is_reported_and_its_newest_copy_restored(migrated, run, follow):
    assert run("rollback").code == 0
    assert run("migrate").code == 0
    migrated.change("UPDATE sessions SET task = 'newer'")
    assert run("rollback").code == 0
    assert run("migrate").code == 0
    migrated.database.unlink()
    found = problems(run)
    [(_, command)] = found.values()
    assert follow(command).code == 0
    assert migrated.tasks(ENGINE) == ["newer"]


def test_a_missing_database_without_a_copy_is_reported_with_its_folder(migrated, run, follow):
    migrated.database.unlink()
    [(_, command)] = problems(run).values()
    assert "sessions" in follow(command).out


def test_a_dangling_link_to_the_database_is_reported(migrated, run, follow):
    migrated.database.unlink()
    migrated.database.symlink_to("/nowhere/sessions.db")
    [(message, command)] = problems(run).values()
    assert "/nowhere/sessions.db" in message
    assert "/nowhere/sessions.db" in follow(command).out


def test_an_empty_database_in_the_place_of_the_missing_one_is_reported(migrated, run):
    migrated.database.unlink()
    migrated.app_opens_it().close()
    assert any(str(migrated.database) in message for message, _ in problems(run).values())


def test_a_destroyed_database_is_reported_with_the_copy_that_replaces_it(migrated, run, follow):
    assert run("rollback").code == 0
    assert run("migrate").code == 0
    migrated.database.write_bytes(b"garbage" * 1000)
    [(_, command)] = problems(run).values()
    assert follow(command).code == 0
    assert migrated.tasks(ENGINE) == ["first"]


def test_a_destroyed_database_without_a_copy_is_moved_away(migrated, run, follow):
    migrated.database.write_bytes(b"garbage" * 1000)
    [(_, command)] = problems(run).values()
    assert follow(command).code == 0
    assert Path(f"{migrated.database}.away").exists()


def test_a_damaged_database_is_reported_with_the_command_that_shows_more(migrated, run, follow):
    content = bytearray(migrated.database.read_bytes())
    content[100:200] = b"\xff" * 100
    migrated.database.write_bytes(content)
    [(_, command)] = problems(run).values()
    assert follow(command).code == 1


def test_a_newer_database_is_reported_with_the_version_that_made_it(migrated, run):
    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    migrated.change("PRAGMA user_version = 1002003")
    [(message, _)] = problems(run).values()
    assert "99" in message
    assert "migrator 1.2.3 or newer" in message


def test_every_database_records_the_version_that_made_its_tables(migrated, scene):
    major, minor, patch, *_ = [int(number) for number in re.findall(r"\d+", __version__)]
    assert scene.query("PRAGMA user_version") == [(major * 1_000_000 + minor * 1_000 + patch,)]


def test_an_sqlite_that_is_too_old_is_reported_with_a_way_to_find_a_newer_one(migrated, run, follow, monkeypatch):
    monkeypatch.setattr("migrator.diagnostics.machine.MINIMUM_SQLITE", (99, 0, 0))
    message, command = problems(run)["program.sqlite_too_old"]
    assert "99.0" in message
    assert follow(command).out.startswith("3.")


def test_a_missing_package_is_reported_with_the_command_that_installs_it(migrated, run, monkeypatch):
    needed = ["click>=8", "no-such-package>=2,<3; python_version >= '3.8'", "other>=1; extra == 'dev'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needed)
    _, command = problems(run)["program.part_missing"]
    assert shlex.split(command) == [sys.executable, "-m", "pip", "install", "no-such-package>=2,<3"]


def test_with_too_little_space_the_disk_is_shown(scene, run, follow, fill_disk):
    scene.write(ENGINE, [chat("a")])
    fill_disk()
    assert follow(problems(run)["disk.full"][1]).out.startswith("Filesystem")


def test_with_too_little_space_old_backups_are_pruned(migrated, run, follow, fill_disk):
    for number in range(3):
        migrated.change("UPDATE sessions SET task = ?", str(number))
        assert run("rollback").code == 0
        assert run("migrate").code == 0
    migrated.write(ENGINE, [chat("b")])
    fill_disk()
    _, command = problems(run)["disk.full"]
    assert follow(command).code == 0
    assert len(list((migrated.root / "backups").iterdir())) < 7


def test_the_doctor_does_not_disturb_a_database_that_is_being_written(migrated, run):
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as app:
        app.execute("BEGIN IMMEDIATE")
        app.execute("UPDATE sessions SET task = 'being written'")
        problems(run)
        app.execute("COMMIT")
    assert migrated.tasks(ENGINE) == ["being written"]
