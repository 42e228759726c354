"""Only one process at a time holds a file lock; it ends with its block, and keeps its file unless it is temporary."""

import stat
from pathlib import Path

import pytest

from migrator.files.locks import locked


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


def test_a_lock_file_that_cannot_be_created_raises_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"), locked(tmp_path / "file" / "lock"):
        pytest.fail("it was taken")
