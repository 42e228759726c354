"""Where nothing can be written, everything can be looked at, and half of another program's change is noticed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import migrator
from migrator.backups.prune import prune_backups
from migrator.database import connection as connections
from migrator.database.connection import opened, snapshot
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed
from migrator.inventory.location import resolve_data_dir
from migrator.storage.sqlite import SqliteStorage
from tests.support.errors import raises
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
LOOKING = (
    "status", "sessions list", "sessions show s-1", "sessions search hello", "verify", "report", "backend", "doctor",
    "quarantine list", "backups list", "backups verify", "schema status", "search-index status", "migrate --dry-run",
    "rollback --dry-run", "export --to out",
)  # fmt: skip
# Runs in a folder with data directories that it first makes read-only: root by a mount that only it and its children
# see, others by taking away their permissions.
DRIVER = """
import contextlib, io, json, os, shutil, subprocess, sys
import migrator
from migrator.browse.serve import connect_read_only
from migrator.cli.app import run

def read_only(root):
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", root, root], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
    else:
        for folder, _, names in os.walk(root, topdown=False):
            for name in names:
                os.chmod(os.path.join(folder, name), 0o400)
            os.chmod(folder, 0o500)

def end_of(root, words):
    shutil.rmtree("out", ignore_errors=True)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            return run(["--data-dir", root, *words.split()]), out.getvalue()
        except SystemExit as end:
            return end.code or 0, out.getvalue()

def tasks(root, **how):
    with migrator.open_storage(root, **how) as store:
        try:
            store.append_chat_message("ENGINE", "s-1", {"id": "m", "role": "user", "content": "x", "timestamp": "2025"})
        except migrator.MigratorError as error:
            return [one["task"] for one in store.get_all_sessions("ENGINE")], error.code

roots, commands = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for root in roots:
    read_only(root)
connect_read_only(__import__("pathlib").Path(roots[0], "sessions.db")).execute("SELECT * FROM sessions").fetchall()
print(json.dumps({
    "ends": [(words, *end_of(roots[0], words)) for words in commands],
    "stores": {root: [tasks(root), tasks(root, read_only=True)] for root in roots},
}))
""".replace("ENGINE", ENGINE)


def with_a_log(root: Path, *, index: bool) -> None:
    """Leave the last change in the log, as a killed program does."""
    program = """import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE sessions SET task = 'from the log'")
connection.commit()
os._exit(0)"""
    subprocess.run([sys.executable, "-c", program, root / "sessions.db"], check=True)
    if not index:
        (root / "sessions.db-shm").unlink()


@pytest.fixture
def migrated(scene: Scene) -> Scene:
    scene.write(ENGINE, [chat("s-1", task="as migrated")])
    assert migrator.migrate(scene.root).exit_code == 0
    return scene


@pytest.mark.skipif(sys.platform != "linux", reason="mounts or takes away permissions as Linux does")
def test_everything_that_looks_works_on_a_read_only_medium(migrated: Scene, tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("clean", "log", "log-without-index", "json")]
    for root in roots:
        shutil.copytree(migrated.root, root)
    with_a_log(roots[1], index=True)
    with_a_log(roots[2], index=False)
    migrator.rollback(roots[3])
    listing = [Scene(root).listing() for root in roots]
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else []
    command = [*unshare, sys.executable, "-c", DRIVER, json.dumps([root.name for root in roots]), json.dumps(LOOKING)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if unshare and ("unshare" in done.stderr or "mount:" in done.stderr):
        pytest.skip(done.stderr.splitlines()[0])
    found = json.loads(done.stdout)
    expected = 0 if unshare else 3  # the doctor reports permissions that are taken away, and a mount only as a note
    assert [end for end in found["ends"] if end[1] not in (0, expected if end[0] in ("doctor", "report") else 0)] == []
    tasks = {"clean": "as migrated", "log": "from the log", "log-without-index": "from the log"}
    for name, task in tasks.items():
        assert found["stores"][name] == [[[task], "database.read_only"], [[task], "store.read_only"]]
    assert [documents for documents, _ in found["stores"]["json"]] == [["as migrated"]] * 2
    assert [Scene(root).listing() for root in roots] == listing


@pytest.fixture
def no_files(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite fail to create the files that it needs for its locks."""
    assert migrated.database.exists()
    really = connections._open_file

    def open_file(*arguments: Any, locks: bool = True) -> Any:
        if locks:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return really(*arguments, locks=locks)

    monkeypatch.setattr(connections, "_open_file", open_file)


@pytest.mark.usefixtures("no_files")
def test_an_answer_is_discarded_if_another_program_wrote_meanwhile(migrated: Scene) -> None:
    with raises(ConnectionFailed, "database.changed_meanwhile"), opened(migrated.database, read_only=True):
        migrated.change("UPDATE sessions SET task = 'changed'")
    with (
        raises(ConnectionFailed, "database.changed_meanwhile"),
        opened(migrated.database, read_only=True) as connection,
        snapshot(connection, migrated.database, "read"),
    ):
        migrated.change("UPDATE sessions SET task = 'changed again'")
        raise ConnectionFailed("It looks damaged.", code="database.damaged")
    with closing(SqliteStorage(migrated.database, read_only=True)) as store:
        assert store.get_all_sessions(ENGINE)[0]["task"] == "changed again"
        migrated.change("UPDATE sessions SET task = 'and again'")
        assert store.get_all_sessions(ENGINE)[0]["task"] == "and again"


@pytest.mark.usefixtures("no_files")
def test_backups_can_be_removed_where_nothing_fits(migrated: Scene) -> None:
    for name in ("copy-1", "copy-2"):
        newest = next(iter((migrated.root / "backups").iterdir()))
        shutil.copytree(newest, newest.with_name(f"20010101T000000Z-{name}"))
    report = prune_backups(resolve_data_dir(migrated.root), 1)
    assert len(report.removed) == 2


@pytest.mark.usefixtures("no_files")
def test_a_change_that_is_to_be_undone_first_is_not_read(migrated: Scene) -> None:
    migrated.database.with_name("sessions.db-journal").write_bytes(b"a hot journal")
    with raises(ConnectionFailed, "database.cannot_open"), opened(migrated.database, read_only=True):
        pytest.fail("it was opened")


def test_a_full_disk_is_called_that_when_the_index_of_the_log_does_not_fit() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    with raises(ConnectionFailed, "disk.full"), sqlite_errors("open", "sessions.db"):
        raise error
