"""New files appear all together or not at all, and leftovers of a killed command are no obstacle."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from migrator.errors import StorageIOError
from migrator.files.output import new_files, write_new_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def give_out(folder: Path, **contents: bytes) -> None:
    with new_files(folder, "export") as files:
        for name, content in contents.items():
            files.add(name, [content])


def there(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leave_as_killed(folder: Path, placed: dict[str, bytes], waiting: dict[str, bytes]) -> None:
    """Leave what a process leaves that is killed after it put some of its files in place."""
    scratch = folder / ".export.migrator-tmp"
    scratch.mkdir()
    for name, content in (placed | waiting).items():
        written = scratch / f"{hashlib.sha256(content).hexdigest()}.{name}"
        written.write_bytes(content)
        if name in placed:
            os.link(written, folder / name)
    (folder / ".export.lock.migrator-tmp").touch()


def test_new_files_are_private_and_nothing_else_is_left(folder: Path) -> None:
    give_out(folder, a=b"1", b=b"2")
    assert there(folder) == {"a": b"1", "b": b"2"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_after_an_error_no_file_is_left(folder: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the source broke")

    def give_out_broken() -> None:
        with new_files(folder, "export") as files:
            files.add("a", [b"1"])
            files.add("b", broken())

    with pytest.raises(ValueError, match="the source broke"):
        give_out_broken()
    assert list(folder.iterdir()) == []


def test_a_file_with_the_same_bytes_counts_as_written_and_survives_an_error(folder: Path) -> None:
    write_new_file(folder / "a", [b"1"], "a test")
    before = (folder / "a").stat()
    write_new_file(folder / "a", [b"1"], "a test")
    assert (folder / "a").stat() == before

    def fail() -> None:
        with new_files(folder, "export") as files:
            files.add("a", [b"1"])
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        fail()
    assert there(folder) == {"a": b"1"}


@pytest.mark.parametrize("kind", ["other bytes", "link", "folder"])
def test_a_name_with_anything_else_is_taken(folder: Path, kind: str) -> None:
    if kind == "link":
        (folder / "b").write_bytes(b"1")
        (folder / "a").symlink_to("b")
    elif kind == "folder":
        (folder / "a").mkdir()
    else:
        (folder / "a").write_bytes(b"2")
    before = there(folder)
    with pytest.raises(StorageIOError) as caught:
        write_new_file(folder / "a", [b"1"], "a test")
    assert caught.value.code == "file.exists"
    assert there(folder) == before


def test_a_file_that_appears_at_the_last_moment_is_kept_and_the_others_are_removed(
    folder: Path,
) -> None:
    def give_out_meanwhile() -> None:
        with new_files(folder, "export") as files:
            files.add("a", [b"1"])
            files.add("b", [b"2"])
            (folder / "b").write_bytes(b"somebody's")

    with pytest.raises(StorageIOError, match="b") as caught:
        give_out_meanwhile()
    assert caught.value.code == "file.exists"
    assert there(folder) == {"b": b"somebody's"}


def test_files_that_a_killed_command_put_in_place_are_no_obstacle(folder: Path) -> None:
    leave_as_killed(folder, placed={"a": b"older"}, waiting={"b": b"older, too"})
    give_out(folder, a=b"new", b=b"newer")
    assert there(folder) == {"a": b"new", "b": b"newer"}


def test_a_file_of_a_killed_command_that_was_changed_since_is_kept(folder: Path) -> None:
    leave_as_killed(folder, placed={"a": b"older"}, waiting={"b": b"older, too"})
    (folder / "a").write_bytes(b"changed by hand")
    with pytest.raises(StorageIOError) as caught:
        give_out(folder, a=b"new", b=b"newer")
    assert caught.value.code == "file.exists"
    assert there(folder) == {"a": b"changed by hand"}


def test_a_command_that_was_killed_after_all_files_were_in_place_is_complete(folder: Path) -> None:
    leave_as_killed(folder, placed={"a": b"1", "b": b"2"}, waiting={})
    give_out(folder, c=b"3")
    assert there(folder) == {"a": b"1", "b": b"2", "c": b"3"}


def test_two_commands_at_once_do_not_interfere(folder: Path) -> None:
    with FileLock(folder / ".export.lock.migrator-tmp"), pytest.raises(StorageIOError) as caught:
        give_out(folder, a=b"1")
    assert caught.value.code == "lock.held"
    give_out(folder, a=b"2")
    assert there(folder) == {"a": b"2"}


def test_a_single_file_is_written_only_into_an_existing_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageIOError, match=r"page\.html") as caught:
        write_new_file(tmp_path / "nowhere" / "page.html", [b"page"], "a page")
    assert caught.value.code == "file.missing"
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_do_not_read_back_are_not_put_in_place(folder: Path) -> None:
    def changed_on_the_disk() -> Iterator[bytes]:
        yield b"1" * (1 << 22)
        [written] = folder.glob(".export.*/a")
        with open(written, "r+b") as file:
            file.write(b"2")
        yield b"1"

    def write() -> None:
        with new_files(folder, "export") as files:
            files.add("b", [b"right"])
            files.add("a", changed_on_the_disk())

    with pytest.raises(StorageIOError) as raised:
        write()
    assert raised.value.code == "file.readback_failed"
    assert list(folder.iterdir()) == []
