"""Chat history is its owner's alone: what we make is private at every moment, and what we write to becomes private."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from migrator import WorktreeSession, open_storage
from migrator.admin.schema_steps import apply_steps
from migrator.admin.switch_backend import switch_backend
from migrator.diagnostics.doctor import examine
from migrator.diagnostics.support_report import write_support_report
from migrator.export.rollback import run_rollback
from migrator.export.to_folder import export
from migrator.files import copying
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from migrator.progress import Progress
from migrator.quarantine.items import export_quarantine
from migrator.receipt.facts import receipt_of
from migrator.receipt.page import write_page
from migrator.verification.run import verify
from tests.support.scene import Scene, chat
from tests.support.workers import IN_SMALL_PARTS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its files have no modes")

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two workspaces as the app leaves them, one with an invalid session; every user may read all of it."""
    scene = Scene(tmp_path / "ait42")
    scene.write(ENGINE, [chat(f"a{number}") for number in range(60)])
    scene.write(LOOM, [chat("b", workspace=LOOM), {"no": "session"}])
    for path in (scene.root, scene.root / "sessions"):
        path.chmod(0o755)
    for path in (scene.root / "sessions").iterdir():
        path.chmod(0o644)
    return scene


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class Watch:
    """Everything that ever came to be in a folder while something was done, and with what modes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = set(self.all())
        self.seen: dict[Path, set[int]] = {}

    def all(self) -> Iterator[Path]:
        for parent, folders, files in os.walk(self.folder):  # which takes it easily when something vanishes meanwhile
            yield from (Path(parent, name) for name in folders + files)

    def look(self, _: Progress | None = None) -> None:
        for path in set(self.all()) - self.known:
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_IMODE(found.st_mode):
                continue  # the instant before its mode is set: this umask leaves nothing
            kind = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
            self.seen.setdefault(path, set()).add(stat.S_IMODE(found.st_mode) ^ kind)

    @property
    def too_open(self) -> dict[Path, set[int]]:
        return {path: wrong for path, wrong in self.seen.items() if wrong != {0}}

    def saw(self, pattern: str) -> bool:
        return any(path.match(pattern) for path in self.seen)


@pytest.mark.usefixtures("any_umask")
def test_backups_staging_and_lock_are_private_while_a_migration_runs(scene):
    watch = Watch(scene.root)
    run_migration(resolve_data_dir(scene.root), listener=watch.look)
    watch.look()
    assert watch.too_open == {}
    for pattern in ("backups/.incomplete-*", "*.staging", "migrator.lock", "sessions.db", "storage.json", "SHA256SUMS"):
        assert watch.saw(pattern), pattern


@pytest.mark.usefixtures("any_umask")
def test_the_parts_that_a_worker_fills_are_private(scene):
    watch, ended = Watch(scene.root), threading.Event()

    def looking() -> None:
        while not ended.is_set():
            watch.look()

    thread = threading.Thread(target=looking)
    thread.start()
    try:
        run_migration(resolve_data_dir(scene.root), limits=IN_SMALL_PARTS)
    finally:
        ended.set()
        thread.join()
    assert watch.saw("*.staging-shard*")
    # A file may be seen in the instant before its mode is set; never may others use it.
    assert not [path for path, wrong in watch.seen.items() if any(bits & 0o077 for bits in wrong)]


@pytest.mark.usefixtures("any_umask")
def test_the_log_of_the_database_and_the_journal_of_hybrid_mode_are_private(scene):
    watch = Watch(scene.root)
    run_migration(resolve_data_dir(scene.root))
    switch_backend(resolve_data_dir(scene.root), "hybrid")
    with open_storage(scene.root) as store:
        store.create_session(ENGINE, cast("WorktreeSession", chat("new")))
        watch.look()
    assert watch.too_open == {}
    for pattern in ("sessions.db-wal", "sessions.db-shm", "hybrid.db", "hybrid.db-wal", "locks/*.lock"):
        assert watch.saw(pattern), pattern


@pytest.mark.usefixtures("any_umask")
def test_what_a_dry_run_makes_is_private(scene):
    watch = Watch(scene.root)
    run_migration(resolve_data_dir(scene.root), dry_run=True, listener=watch.look)
    assert watch.saw(".rehearsal-*")
    assert watch.too_open == {}


@pytest.mark.usefixtures("any_umask")
def test_what_is_given_out_is_private_also_while_it_waits(scene, tmp_path, monkeypatch):
    data_dir = resolve_data_dir(scene.root)
    run_migration(data_dir)
    watch, really = Watch(tmp_path), copying.publish_copy

    def looked_at(*places: Path) -> bool:
        watch.look()
        return really(*places)

    monkeypatch.setattr(copying, "publish_copy", looked_at)
    export(data_dir, tmp_path / "exported")
    export_quarantine(data_dir, tmp_path / "quarantined")
    write_page(receipt_of(data_dir), tmp_path / "receipt.html")
    write_support_report(data_dir, examine(data_dir), tmp_path / "doctor.json")
    watch.look()
    for name in ("exported/*.json", "quarantined/*.json", "receipt.html", "doctor.json"):
        assert watch.saw(name)
    assert watch.saw(".*.migrator-tmp/*")
    assert watch.saw(".*.lock.migrator-tmp")
    assert watch.too_open == {}


@pytest.mark.usefixtures("any_umask")
def test_what_a_rollback_prepares_is_private(scene):
    run_migration(resolve_data_dir(scene.root))
    with open_storage(scene.root) as store:
        store.create_session(ENGINE, cast("WorktreeSession", chat("new")))
    watch = Watch(scene.root)
    run_rollback(resolve_data_dir(scene.root), listener=watch.look)
    watch.look()
    assert watch.saw(".rollback-*")
    assert not {path for path, wrong in watch.seen.items() if any(bits & 0o077 for bits in wrong)}
    assert mode(scene.file_of(ENGINE)) == 0o600


@pytest.mark.usefixtures("any_umask")
def test_the_copy_before_a_schema_step_is_private(scene):
    scene.app_opens_it().close()
    watch = Watch(scene.root)
    apply_steps(resolve_data_dir(scene.root))
    watch.look()
    assert watch.too_open == {}


def test_a_database_that_the_app_made_for_all_to_read_becomes_private_before_sessions_come_in(scene):
    app = scene.app_opens_it()
    app.execute("PRAGMA journal_mode = WAL")
    app.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('/x', 'aaaaaaaaaaaaaaaa')")
    files = [scene.root / f"sessions.db{suffix}" for suffix in ("", "-wal", "-shm")]
    for path in files:
        path.chmod(0o644)
    run_migration(resolve_data_dir(scene.root))
    assert [mode(path) for path in files] == [0o600] * 3
    app.close()


def test_a_database_behind_a_link_becomes_private_too(scene, tmp_path):
    scene.app_opens_it().close()
    place = tmp_path / "elsewhere.db"
    scene.database.rename(place)
    place.chmod(0o644)
    scene.database.symlink_to(place)
    run_migration(resolve_data_dir(scene.root))
    assert mode(place) == 0o600


def test_looking_at_a_database_leaves_its_mode_alone(scene):
    run_migration(resolve_data_dir(scene.root))
    scene.database.chmod(0o644)
    verify(resolve_data_dir(scene.root))
    assert mode(scene.database) == 0o644


def test_the_folder_of_the_backups_becomes_private_when_one_is_added(scene):
    run_migration(resolve_data_dir(scene.root))
    (scene.root / "backups").chmod(0o755)
    scene.write(ENGINE, [chat("changed")])
    run_migration(resolve_data_dir(scene.root))
    assert mode(scene.root / "backups") == 0o700


def test_the_apps_own_files_keep_their_modes(scene):
    theirs = [scene.root, scene.root / "sessions", scene.file_of(ENGINE), scene.file_of(LOOM)]
    before = [mode(path) for path in theirs]
    run_migration(resolve_data_dir(scene.root))
    assert [mode(path) for path in theirs] == before
