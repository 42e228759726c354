"""``verify`` reports each thing that is broken, and goes on with everything that can still be checked."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from migrator import verify
from migrator.diagnostics.doctor import examine
from migrator.errors import StorageIOError
from migrator.files.resources import schemas
from migrator.inventory.location import resolve_data_dir
from migrator.verification.repair import repair_and_verify
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
NOBODY = 65534


@pytest.fixture
def run(scene: Scene, migrator: Migrator) -> Migrator:
    return lambda *arguments: migrator("--data-dir", scene.root, *arguments)


@pytest.fixture
def migrated(scene: Scene, run: Migrator) -> Scene:
    """Two workspaces: two sessions in one, one in the other."""
    scene.write(ENGINE, [chat("s-0", task="first"), chat("s-1", task="second")])
    scene.write(LOOM, [chat("s-loom", workspace=LOOM)])
    assert run("migrate", "--progress", "none").code == 0
    return scene


def broken(run: Migrator) -> list[tuple[str, str]]:
    """The code and message of everything that is broken."""
    outcome = run("verify", "--json")
    assert outcome.code == 1, outcome.out
    assert outcome.json["status"] == "broken"
    problems = outcome.json["problems"]
    assert len(problems) == len(outcome.json["broken"])
    return [(problem["code"], problem["message"]) for problem in problems]


def codes(run: Migrator) -> list[str]:
    return [code for code, _ in broken(run)]


def notes(scene: Scene) -> dict[str, str]:
    """The notes, by code."""
    return {note.code: str(note) for note in verify(scene.root).notes}


def clean(run: Migrator) -> dict[str, Any]:
    outcome = run("verify", "--json")
    assert outcome.code == 0, outcome.out
    return dict(outcome.json)


def without_foreign_keys(scene: Scene, statement: str) -> None:
    with closing(sqlite3.connect(scene.database)) as connection, connection:
        connection.execute(statement)


def damage_pages_of(scene: Scene, table: str) -> None:
    """Overwrite the first page of a table."""
    [(page,)] = scene.query("SELECT rootpage FROM sqlite_master WHERE name = ?", table)
    [(size,)] = scene.query("PRAGMA page_size")
    content = bytearray(scene.database.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 100] = b"\xa5" * 100
    scene.database.write_bytes(content)


# Sessions.


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE sessions SET total_duration = -5 WHERE id = 's-0'", "/totalDuration"),
        ("UPDATE sessions SET rescued_data = '{\"columns\": 5}' WHERE id = 's-0'", ""),
        ("UPDATE sessions SET task = CAST(X'FF' AS TEXT) WHERE id = 's-0'", ""),
    ],
    ids=["invalid", "meaningless rescued data", "not UTF-8"],
)
def test_an_invalid_session_is_named_with_what_is_wrong(
    migrated: Scene, run: Migrator, statement: str, place: str
) -> None:
    migrated.change(statement)
    assert any(code == "session.invalid" and "'s-0'" in text and place in text for code, text in broken(run))


def test_a_session_without_a_workspace_is_named(migrated: Scene, run: Migrator) -> None:
    without_foreign_keys(migrated, "UPDATE sessions SET workspace_id = 99 WHERE id = 's-1'")
    assert any(code == "session.without_workspace" and "'s-1'" in text and "99" in text for code, text in broken(run))


def test_the_sessions_that_changed_are_named(migrated: Scene, run: Migrator) -> None:
    migrated.change("UPDATE sessions SET task = 'changed' WHERE id = 's-0'")
    migrated.change("DELETE FROM sessions WHERE id = 's-1'")
    report = clean(run)
    [source] = [one for one in report["sources"] if one["differences"]]
    assert source["differences"] == {"added": [], "changed": ["s-0"], "removed": ["s-1"]}
    assert "1 changed: 's-0'; 1 removed: 's-1'" in notes(migrated)["source.changed_in_database"]


# The ledger.


@pytest.mark.parametrize("column", ["session_count", "instances", "messages"])
def test_a_wrong_count_in_the_ledger_is_reported(migrated: Scene, run: Migrator, column: str) -> None:
    source = f"sessions/{migrated.file_of(ENGINE).name}"
    migrated.change(f"UPDATE migration_ledger SET {column} = 99 WHERE source = ?", source)
    [(code, text)] = broken(run)
    assert code == "migration.ledger_count"
    assert all(word in text for word in (source, column.removesuffix("_count"), "99", "2"))


def test_a_wrong_digest_in_the_ledger_is_reported_as_such(migrated: Scene, run: Migrator) -> None:
    migrated.change("UPDATE migration_ledger SET digest = 'x' WHERE workspace_hash = ?", migrated.file_of(LOOM).stem)
    assert codes(run) == ["migration.ledger_changed"]


def test_a_wrong_digest_does_not_make_the_sessions_count_as_changed(migrated: Scene, run: Migrator) -> None:
    migrated.change("UPDATE migration_ledger SET digest = 'x'")
    assert {one["database"] for one in run("verify", "--json").json["sources"]} == {"unchanged"}


def test_items_that_were_removed_from_the_quarantine_are_reported(scene: Scene, run: Migrator) -> None:
    scene.write(ENGINE, [chat("s-0"), 7])
    assert run("migrate").code == 3
    scene.change("DELETE FROM quarantine")
    assert "1 item" in notes(scene)["quarantine.items_removed"]


def test_a_path_in_the_ledger_that_is_not_one_of_the_apps_is_reported(migrated: Scene, run: Migrator) -> None:
    migrated.change("UPDATE migration_ledger SET source = '../../etc/hostname' WHERE id = 1")
    assert any("../../etc/hostname" in text for _, text in broken(run))


# What cannot be checked does not stop the other checks.


def test_a_missing_view_is_reported_and_the_sessions_are_checked(migrated: Scene, run: Migrator) -> None:
    migrated.change("DROP VIEW session_complete")
    migrated.change("UPDATE sessions SET total_duration = -5 WHERE id = 's-0'")
    found = broken(run)
    assert any("session_complete" in text for _, text in found)
    assert any("'s-0'" in text for _, text in found)


def test_a_damaged_page_is_reported_with_a_hint_that_is_not_to_verify(migrated: Scene, run: Migrator) -> None:
    damage_pages_of(migrated, "chat_messages")
    outcome = run("verify")
    assert outcome.code == 1
    assert "'migrator backups list'" in outcome.out
    assert "run 'migrator verify'" not in outcome.out + outcome.err


def test_a_damaged_page_keeps_no_backup_from_being_checked(migrated: Scene, run: Migrator) -> None:
    [copy] = (migrated.root / "backups").glob(f"*/sessions/{migrated.file_of(LOOM).name}")
    copy.unlink()
    damage_pages_of(migrated, "chat_messages")
    assert any(code == "backup.file_missing" and str(copy) in text for code, text in broken(run))


def test_a_damaged_page_keeps_repair_from_nothing_else(migrated: Scene, run: Migrator) -> None:
    damage_pages_of(migrated, "chat_messages")
    (migrated.root / "backups").chmod(0o755)
    outcome = run("verify", "--repair", "--json")
    assert outcome.code == 1
    assert any("private" in line for line in outcome.json["repaired"])


def test_a_name_that_is_too_long_for_a_file_is_reported(migrated: Scene, run: Migrator) -> None:
    migrated.change("UPDATE migration_ledger SET backup = ?, source = ? WHERE id = 1", "b" * 300, "/" + "s" * 300)
    assert any("File name too long" in text for _, text in broken(run))


# What may not be read.


@contextmanager
def as_nobody(root: Path) -> Iterator[None]:
    """Without root's rights, in a data directory of one's own."""
    if os.geteuid() == 0:
        for path in [root, *root.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.geteuid() == NOBODY:
            os.seteuid(0)


@pytest.fixture
def reachable() -> Iterator[Scene]:
    """A data directory that every user can reach: pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "ait42"
        root.mkdir()
        yield Scene(root)
        for path in [root, *root.rglob("*")]:
            with suppress(OSError):
                path.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
@pytest.mark.parametrize("closed", ["sessions", "backups", "backups/*"])
@pytest.mark.parametrize("check", [verify, lambda root: repair_and_verify(resolve_data_dir(root))])
def test_what_may_not_be_read_is_reported(reachable: Scene, migrator: Migrator, closed: str, check: Any) -> None:
    reachable.write(ENGINE, [chat("s-0")])
    assert migrator("--data-dir", reachable.root, "migrate").code == 0
    [folder] = reachable.root.glob(closed)
    check(reachable.root)  # loads what it needs while that may be read
    with as_nobody(reachable.root):
        folder.chmod(0)
        try:
            report = check(reachable.root)
        finally:
            folder.chmod(0o700)
    assert any("Permission denied" in line for line in (*report.broken, *report.notes))
    assert report.sessions == 1


@pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
@pytest.mark.parametrize("closed", ["", ".."])
def test_a_closed_data_directory_is_one_problem_and_not_called_missing(
    reachable: Scene, migrator: Migrator, closed: str
) -> None:
    assert migrator("--data-dir", reachable.root, "migrate").code == 0
    root, folder = reachable.root, (reachable.root / closed).resolve()
    examine(resolve_data_dir(root))  # loads what it needs while that may be read
    folder.chmod(0)
    try:
        with as_nobody(root):
            report = examine(resolve_data_dir(root))
            with pytest.raises(StorageIOError):
                verify(root)
    finally:
        folder.chmod(0o755)
    [found] = [finding for finding in report.findings if finding.level == "problem"]
    assert (found.code, str(folder) in found.message.message) == ("file.permission_denied", True)
    assert str(folder) in str(found.command)


# Listings of backups.


@pytest.mark.parametrize("in_the_way", [False, True])
def test_missing_checksums_of_a_backup_are_reported_and_written_again(
    migrated: Scene, run: Migrator, in_the_way: bool
) -> None:
    [sums] = migrated.root.glob("backups/*/SHA256SUMS")
    before = sums.read_bytes()
    sums.unlink()
    if in_the_way:
        sums.mkdir()
        run("verify", "--repair")
        assert [f"{sums} is not a file" in note for note in run("verify", "--json").json["notes"]] == [True]
        sums.rmdir()
    outcome = run("verify", "--json")
    assert outcome.code == 0
    assert [f"{sums} is missing" in note for note in outcome.json["notes"]] == [True]
    assert run("verify", "--repair").code == 0
    assert sums.read_bytes() == before


# A change that size and modification time do not show.


def changed_unseen(scene: Scene) -> None:
    """Write other contents of the same size into a file, and give it back its time of change."""
    file = scene.file_of(LOOM)
    before = file.stat()
    file.write_bytes(file.read_bytes().replace(b"hello", b"HELLO"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_change_that_a_run_would_not_notice_is_reported_with_the_repair(migrated: Scene, run: Migrator) -> None:
    changed_unseen(migrated)
    clean(run)
    assert " verify --repair'" in notes(migrated)["source.changed"]


def test_after_a_repair_a_run_merges_such_a_change(migrated: Scene, run: Migrator) -> None:
    changed_unseen(migrated)
    run("verify", "--repair")
    assert run("migrate", "--json").json["status"] == "completed"
    assert migrated.documents(migrated.file_of(LOOM).stem)[0]["chatHistory"][0]["content"] == "HELLO"


def test_a_repair_leaves_a_file_that_did_not_change_for_what_it_is(migrated: Scene, run: Migrator) -> None:
    ledger = migrated.query("SELECT * FROM migration_ledger")
    assert run("verify", "--repair").code == 0
    assert migrated.query("SELECT * FROM migration_ledger") == ledger


# Databases that an earlier version made.


@pytest.fixture(params=[2, 3, 4])
def made_earlier(request: pytest.FixtureRequest, migrated: Scene) -> Scene:
    """The database as a version left it that knew fewer schema steps."""
    later = sorted((schemas() / "sql").glob("[0-9]*.down.sql"), reverse=True)
    with closing(sqlite3.connect(migrated.database)) as connection:
        for step in later:
            if int(step.name[:4]) > request.param:
                connection.executescript(step.read_text(encoding="utf-8"))
                connection.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (step.name.split(".")[0],))
        connection.commit()
    return migrated


def test_a_database_with_an_older_schema_is_verified_all_the_same(made_earlier: Scene, run: Migrator) -> None:
    found = clean(run)
    assert (found["status"], found["sessions"]) == ("clean", 3)
    assert "schema.outdated" in notes(made_earlier)


def test_what_is_broken_in_a_database_with_an_older_schema_is_found(made_earlier: Scene, run: Migrator) -> None:
    made_earlier.change("UPDATE sessions SET total_duration = -5 WHERE id = 's-0'")
    [(code, text)] = broken(run)
    assert code == "session.invalid"
    assert "s-0" in text
