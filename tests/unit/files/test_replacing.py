"""Files that others write to without locks are replaced, and nothing that these write is lost."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from migrator.errors import StorageIOError
from migrator.files import copying, durable, replacing

OLD, NEW, THEIRS = b"old", b"new", b"by another program"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "sessions" / "a.json"
    target.parent.mkdir()
    target.write_bytes(OLD)
    return target


@pytest.fixture
def written(tmp_path: Path) -> Path:
    written = tmp_path / "prepared"
    written.write_bytes(NEW)
    return written


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def keep(found: Path, place: Path) -> Path:
    return copying.keep_copy(found, place, "kept")


def there(target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in target.parent.iterdir()}


def in_the_middle(monkeypatch: pytest.MonkeyPatch, write: object, *, links: bool = True) -> None:
    """Let another program write right before the rename."""
    move_over = durable.move_over

    def then_moved(source: Path, place: Path) -> None:
        if callable(write):
            write()
        move_over(source, place)

    monkeypatch.setattr(durable, "move_over", then_moved)
    if not links:
        monkeypatch.setattr(os, "link", _no_links)


def _no_links(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_known_file_is_replaced_and_nothing_is_left(target: Path, written: Path) -> None:
    assert replacing.place(written, target, {sha256(OLD)}, keep) is None
    assert there(target) == {"a.json": NEW}


def test_an_unknown_file_is_kept(target: Path, written: Path) -> None:
    kept = replacing.place(written, target, {sha256(b"another")}, keep)
    assert kept == target.with_name("a.json.kept")
    assert there(target) == {"a.json": NEW, "a.json.kept": OLD}


@pytest.mark.parametrize("links", [True, False])
def test_what_is_written_between_the_last_look_and_the_rename_is_kept(
    target: Path, written: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    in_the_middle(monkeypatch, lambda: target.write_bytes(THEIRS), links=links)
    kept = replacing.place(written, target, {sha256(OLD)}, keep)
    assert kept == target.with_name("a.json.kept")
    assert there(target) == {"a.json": NEW, "a.json.kept": THEIRS}


def test_a_file_that_appears_at_the_last_moment_is_not_overwritten_unseen(
    target: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.unlink()
    link_new = durable.link_new

    def appears(source: Path, place: Path) -> bool | None:
        if place == target and not target.exists():
            target.write_bytes(THEIRS)
        return link_new(source, place)

    monkeypatch.setattr(durable, "link_new", appears)
    replacing.place(written, target, (), keep)
    assert there(target) == {"a.json": NEW, "a.json.kept": THEIRS}


def test_what_a_program_writes_that_has_the_replaced_file_open_is_found_by_the_next_look(
    target: Path, written: Path
) -> None:
    with open(target, "rb+") as late:
        replacing.place(written, target, {sha256(OLD)}, keep)
        assert replacing.look_at_replaced(target.parent) == []  # it may still write
        late.write(THEIRS)
    assert replacing.look_at_replaced(target.parent) == [target.with_name("a.json.written-late")]
    assert there(target) == {"a.json": NEW, "a.json.written-late": THEIRS}


def test_a_replaced_file_that_no_program_wrote_to_is_removed_by_the_next_look(target: Path, written: Path) -> None:
    with open(target, "rb+"):
        replacing.place(written, target, {sha256(OLD)}, keep)
    assert len(there(target)) == 2
    assert replacing.look_at_replaced(target.parent) == []
    assert there(target) == {"a.json": NEW}


def test_the_second_name_that_a_killed_process_left_is_not_taken_for_a_change(target: Path) -> None:
    os.link(target, target.with_name(f".a.json.{sha256(OLD)}.replaced"))
    target.write_bytes(THEIRS)  # in place: it is the same file
    assert replacing.look_at_replaced(target.parent) == []
    assert there(target) == {"a.json": THEIRS}


def test_a_file_is_put_back_and_what_was_written_to_its_replacement_is_kept(target: Path, tmp_path: Path) -> None:
    replaced = tmp_path / "replaced"
    replaced.write_bytes(THEIRS)
    target.write_bytes(b"newest")
    replacing.put_back(replaced, target, sha256(NEW))
    assert there(target) == {"a.json": THEIRS, "a.json.written-late": b"newest"}


def test_where_the_system_cannot_say_who_has_a_file_open_the_second_name_stays_for_some_seconds(
    target: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    replacing.place(written, target, {sha256(OLD)}, keep)
    assert len(there(target)) == 2
    assert replacing.look_at_replaced(target.parent) == []
    assert len(there(target)) == 2
    monkeypatch.setattr(replacing, "_PATIENCE", -1)
    written.write_bytes(b"newer")
    replacing.place(written, target, {sha256(NEW)}, keep)
    assert replacing.look_at_replaced(target.parent) == []
    assert there(target) == {"a.json": b"newer"}


def test_a_replacement_that_is_reported_as_failed_leaves_no_second_name(
    target: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = durable.move_over

    def fails_to_sync(source: Path, place: Path) -> None:
        really(source, place)
        raise StorageIOError("the folder cannot be synced")

    monkeypatch.setattr(durable, "move_over", fails_to_sync)
    with pytest.raises(StorageIOError):
        replacing.place(written, target, {sha256(OLD)}, keep)
    assert there(target) == {"a.json": NEW}
