"""A file lock is one process's at a time, ends with its block, and leaves its file or not, as it was asked to."""

import stat
from pathlib import Path

import pytest

from migrator.files.locks import locked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_one_has_it_and_another_is_told_so(path: Path) -> None:
    with locked(path) as is_first, locked(path) as is_second:
        assert (is_first, is_second) == (True, False)
    with locked(path) as is_free:
        assert is_free


def test_it_ends_with_a_block_that_fails(path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), locked(path):
        raise ValueError("broken")
    with locked(path) as is_free:
        assert is_free


def test_its_file_is_private_and_stays(path: Path) -> None:
    with locked(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_temporary_one_leaves_nothing_but_the_file_of_whoever_has_it(path: Path) -> None:
    with locked(path):
        with locked(path, temporary=True) as is_held:
            assert not is_held
        assert path.exists()
    with locked(path, temporary=True) as is_held:
        assert is_held
    assert not path.exists()


def test_where_its_file_can_not_be_made_the_reason_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"), locked(tmp_path / "file" / "lock"):
        pytest.fail("it was taken")
