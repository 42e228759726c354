"""Only one process at a time holds a file lock; it ends with its block, and keeps its file unless it is temporary."""

import errno
import logging
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

import migrator
from migrator.data_dir import DataDir
from migrator.errors import MigrationLocked
from migrator.files import durable
from migrator.files.locks import HOLDER, locked
from migrator.locking import exclusive
from tests.support.drives import lacks_locks
from tests.support.errors import raises
from tests.support.scene import Scene, chat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_only_one_process_holds_the_lock(path: Path) -> None:
    with locked(path) as is_first, locked(path) as is_second:
        assert (is_first, is_second) == (True, False)
    with locked(path) as is_free:
        assert is_free


def test_the_lock_is_released_when_the_block_fails(path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), locked(path):
        raise ValueError("broken")
    with locked(path) as is_free:
        assert is_free


def test_the_lock_file_is_private_and_is_kept(path: Path) -> None:
    with locked(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_temporary_lock_file_is_removed_unless_another_process_holds_it(path: Path) -> None:
    with locked(path):
        with locked(path, temporary=True) as is_held:
            assert not is_held
        assert path.exists()
    with locked(path, temporary=True) as is_held:
        assert is_held
    assert not path.exists()


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), KeyboardInterrupt()])
@pytest.mark.parametrize("was_there", [False, True])
def test_a_temporary_lock_file_is_not_left_when_locking_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, was_there: bool
) -> None:
    if was_there:  # another process has made it
        path.touch()

    def fail(_lock: object) -> None:
        path.touch()
        raise error

    monkeypatch.setattr(FileLock, "acquire", fail)
    with pytest.raises(type(error)), locked(path, temporary=True):
        pass
    assert path.exists() == was_there


def test_a_lock_file_that_cannot_be_created_raises_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"), locked(tmp_path / "file" / "lock"):
        pytest.fail("it was taken")


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK], ids=["ENOSYS", "ENOLCK"])
def holder(path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is the lock, on a drive without locks."""
    lacks_locks(monkeypatch, request.param)
    monkeypatch.setattr(durable, "_reported", set())
    return path.with_name(path.name + HOLDER)


def test_without_locks_a_file_that_names_its_process_is_the_lock(
    path: Path, holder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(path) as is_first, locked(path) as is_second:
        assert (is_first, is_second) == (True, False)
        assert holder.read_text().split()[::2] == [str(os.getpid()), socket.gethostname()]
    assert not holder.exists()
    with locked(path) as is_free:
        assert is_free
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_the_lock_of_a_process_that_has_ended_is_taken_over(path: Path, holder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    for process in (ended.stdout.decode().strip(), str(os.getpid())):  # the second has the number of another one
        holder.write_text(f"{process} 1 {socket.gethostname()}\n")
        with locked(path) as is_held:
            assert is_held
    holder.write_text("")
    os.utime(holder, (0, 0))  # it was killed before it wrote its name
    with locked(path) as is_held:
        assert is_held


def test_the_lock_of_another_host_stays(tmp_path: Path, holder: Path) -> None:
    holder = tmp_path / f"migrator.lock{HOLDER}"
    holder.write_text("1 1 another-host\n")
    (tmp_path / "sessions").mkdir()
    with raises(MigrationLocked, "migration.locked") as caught, exclusive(DataDir(tmp_path, tmp_path / "sessions.db")):
        pytest.fail("it was taken")
    assert str(holder) in (caught.value.hint or "")
    assert holder.exists()


@pytest.mark.usefixtures("holder")
def test_a_history_goes_there_and_back_on_a_drive_without_locks(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write("/home/dev/engine", [chat("s-1")])
    assert migrator.migrate(scene.root).exit_code == 0
    scene.write("/home/dev/engine", [chat("s-1"), chat("s-2")])
    assert migrator.migrate(scene.root).exit_code == 0
    assert migrator.rollback(scene.root).exit_code == 0
    with migrator.open_storage(scene.root) as store:
        store.create_session("/home/dev/engine", chat("s-3"))  # type: ignore[arg-type] # a plain dict
    assert not list(scene.root.rglob(f"*{HOLDER}*"))
