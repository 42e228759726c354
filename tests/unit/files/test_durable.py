"""Files are private and appear only complete; every error of the system is one of ours, with a hint."""

import errno
import hashlib
import os
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migrator.errors import StorageIOError
from migrator.files import copying, durable, reading
from migrator.inventory.location import resolve_data_dir
from migrator.locking import leftovers, remove_leftover
from tests.support.errors import raises

root = not hasattr(os, "geteuid") or os.geteuid() == 0


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files within the block, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def broken_off() -> Iterator[bytes]:
    yield b"half"
    raise RuntimeError("the source broke off")


# Privacy.


@pytest.mark.usefixtures("any_umask")
def test_every_file_is_0600_whatever_the_umask(tmp_path):
    durable.write_new(tmp_path / "new", [b"a"])
    durable.replace(tmp_path / "replaced", [b"a"])
    copying.copy_new(tmp_path / "new", tmp_path / "copied")
    assert durable.publish_new(tmp_path / "new", tmp_path / "published")
    assert {name: mode(tmp_path / name) for name in names(tmp_path)} == dict.fromkeys(
        ("copied", "published", "replaced"), 0o600
    )


@pytest.mark.usefixtures("any_umask")
def test_every_missing_folder_is_made_0700_whatever_the_umask(tmp_path):
    durable.make_private_folder(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / part) for part in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_file_that_was_open_to_others_is_private_once_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    durable.replace(path, [b"new"])
    assert mode(path) == 0o600


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    durable.make_private_folder(folder)
    assert mode(folder) == 0o755


# Whole or not at all.


def test_replacing_writes_all_chunks_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "file"
    for content in (b"first", b"second, longer", b""):
        durable.replace(path, [content[:3], content[3:]])
        assert path.read_bytes() == content
        assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("old", [b"old", None])
def test_replacing_keeps_the_old_contents_and_leaves_no_other_file_if_the_source_fails(tmp_path, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(RuntimeError, match="broke off"):
        durable.replace(path, broken_off())
    assert (path.read_bytes() if path.exists() else None) == old
    assert names(tmp_path) == (["file"] if old is not None else [])


def test_replacing_keeps_the_old_contents_until_the_new_ones_are_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"sync {kind} while {path.read_text()}")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    durable.replace(path, [b"new"])
    assert steps == ["sync file while old", "rename", "sync folder while new"]


def test_a_new_file_never_takes_the_place_of_another(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with raises(StorageIOError, "file.exists"):
        durable.write_new(path, [b"new"])
    with raises(StorageIOError, "file.exists"):
        copying.copy_new(path, path)
    assert path.read_bytes() == b"old"


def test_publishing_moves_a_file_to_a_free_name(tmp_path):
    (tmp_path / "staged").write_bytes(b"whole")
    assert durable.publish_new(tmp_path / "staged", tmp_path / "real")
    assert names(tmp_path) == ["real"]
    assert (tmp_path / "real").read_bytes() == b"whole"


@pytest.mark.parametrize("links", [True, False])
def test_publishing_never_replaces_anything(tmp_path, monkeypatch, links):
    (tmp_path / "staged").write_bytes(b"whole")
    (tmp_path / "real").write_bytes(b"somebody's")
    if not links:
        without_hard_links(monkeypatch)
    assert not durable.publish_new(tmp_path / "staged", tmp_path / "real")
    assert (tmp_path / "real").read_bytes() == b"somebody's"
    assert (tmp_path / "staged").read_bytes() == b"whole"


def without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def test_publishing_works_on_a_file_system_without_hard_links(tmp_path, monkeypatch):
    without_hard_links(monkeypatch)
    (tmp_path / "staged").write_bytes(b"whole")
    assert durable.publish_new(tmp_path / "staged", tmp_path / "real")
    assert names(tmp_path) == ["real"]


@pytest.mark.parametrize("link", [False, True])
def test_without_hard_links_a_file_of_another_process_is_not_replaced(tmp_path, monkeypatch, link):
    without_hard_links(monkeypatch)
    (tmp_path / "source").write_bytes(b"ours")
    if link:
        (tmp_path / "target").symlink_to("nowhere")
    else:
        (tmp_path / "target").write_bytes(b"theirs")
        monkeypatch.setattr(durable, "link_new", lambda *_: None)  # it came a moment after it was looked for
    assert not copying.publish_copy(tmp_path / "source", tmp_path / "target")
    assert names(tmp_path) == ["source", "target"]
    assert link or (tmp_path / "target").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    "sizes", [[], [0], [4, 400] * 1000, [durable._WRITE_SIZE] * 2, [3, durable._WRITE_SIZE + 1, 3], [1]]
)
def test_chunks_of_any_size_are_written_in_few_calls(tmp_path, monkeypatch, sizes):
    really, written = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        written.append(really(descriptor, data[: len(data) // 2 + 1]))  # an operating system may take less at a time
        return written[-1]

    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    monkeypatch.setattr(os, "write", write)
    assert durable.write_new(tmp_path / "file", pieces) == sum(sizes) == sum(written)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)
    assert len(written) <= 40 * (sum(sizes) // durable._WRITE_SIZE + 1)


@pytest.mark.parametrize("size", [0, 1, reading.CHUNK - 1, reading.CHUNK, 2 * reading.CHUNK + 1])
def test_a_copy_has_the_bytes_and_their_size_and_hash(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)
    copied = copying.copy_new(tmp_path / "source", tmp_path / "target")
    assert copied == (size, hashlib.sha256(content).hexdigest())
    assert (tmp_path / "target").read_bytes() == content
    assert copying.sha256_of(tmp_path / "target") == copied[1]


def test_what_a_killed_replacement_left_is_found_and_removed(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "remove", lambda _: None)
        with pytest.raises(RuntimeError):
            durable.replace(path, broken_off())
    assert len(names(tmp_path)) == 2
    (leftover,) = leftovers(resolve_data_dir(tmp_path))
    remove_leftover(leftover)
    assert leftover.parent == tmp_path
    assert names(tmp_path) == ["file"]
    assert leftovers(resolve_data_dir(tmp_path / "missing")) == []


def test_removing_a_missing_file_is_not_an_error(tmp_path):
    durable.remove(tmp_path / "missing")
    durable.remove_folder(tmp_path / "missing")
    assert names(tmp_path) == []


def test_a_folder_is_removed_with_its_contents(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    durable.remove_folder(tmp_path / "a")
    assert names(tmp_path) == []


def test_a_finished_folder_gets_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    durable.rename_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "file").read_bytes() == b"x"
    assert names(tmp_path) == ["b"]


# Refusals.


@pytest.mark.skipif(sys.platform != "linux", reason="the call is Linux's")
@pytest.mark.parametrize("able", [True, False])
def test_a_large_file_shares_its_blocks_with_its_copy_where_the_file_system_can(
    able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As btrfs and XFS do; the file systems of tests cannot, and answer so."""
    content = os.urandom(reading.CHUNK + 1)
    (tmp_path / "source").write_bytes(content)
    calls = 0

    def ioctl(copy: int, request: int, original: int) -> None:
        nonlocal calls
        calls += 1
        if not able:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        os.sendfile(copy, original, 0, len(content))

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    monkeypatch.setattr(durable, "_cannot_clone", set())
    for name in ("first", "second"):
        seen = bytearray()
        assert copying.copy_new(tmp_path / "source", tmp_path / name, on_chunk=seen.extend) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
        assert bytes(seen) == (tmp_path / name).read_bytes() == content
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert calls == (2 if able else 1)  # what a drive cannot do is tried once


@pytest.mark.parametrize("action", ["write_new", "replace", "copy_new"])
def test_a_disk_that_fills_up_is_one_error_with_the_path_and_nothing_replaced(tmp_path, action):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 300_000)
    if action == "replace":
        target.write_bytes(b"old")
    write = {
        "write_new": lambda pieces: durable.write_new(target, pieces),
        "replace": lambda pieces: durable.replace(target, pieces),
        "copy_new": lambda _: copying.copy_new(source, target),
    }[action]
    # Small pieces are gathered before they are written; large ones fail at once.
    for piece in (1000, 300_000):
        pieces = [b"x" * piece] * (300_000 // piece)
        with file_size_limit(100_000), pytest.raises(StorageIOError) as caught:
            write(pieces)
        assert str(target.name) in caught.value.message
        assert caught.value.code == "file.too_large"
        assert "'ulimit -f'" in str(caught.value.hint)
        if action == "replace":
            assert target.read_bytes() == b"old"
            assert names(tmp_path) == ["source", "target"]
        else:
            target.unlink()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_device_is_reported_as_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_create", lambda _: os.open("/dev/full", os.O_WRONLY))
    with raises(StorageIOError, "disk.full"):
        durable.write_new(tmp_path / "file", [b"x"])


@pytest.mark.parametrize(
    "refused",
    [
        lambda folder: copying.sha256_of(folder / "missing"),
        copying.sha256_of,
        lambda folder: copying.copy_new(folder / "missing", folder / "target"),
        lambda folder: copying.copy_new(folder, folder / "target"),
        lambda folder: durable.write_new(folder / "no" / "folder", []),
        lambda folder: durable.replace(folder / "no" / "folder", []),
        lambda folder: durable.replace(folder / "full", [b"x"]),
        lambda folder: durable.publish_new(folder / "missing", folder / "target"),
        lambda folder: durable.publish_new(folder / "file", folder / "no" / "folder"),
        lambda folder: durable.make_private_folder(folder / "file" / "below"),
        lambda folder: durable.rename_folder(folder / "missing", folder / "target"),
        lambda folder: durable.rename_folder(folder / "empty", folder / "full"),
        lambda folder: durable.sync_folder(folder / "missing"),
        lambda folder: durable.remove(folder / "full"),
        lambda folder: durable.remove_folder(folder / "file"),
    ],
)
def test_every_error_of_the_system_is_a_storage_error_that_names_the_path(tmp_path, refused):
    (tmp_path / "file").write_bytes(b"file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "content").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageIOError) as caught:
        refused(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "file").read_bytes() == b"file"
    assert names(tmp_path / "full") == ["content"]


@pytest.mark.skipif(root, reason="nothing is denied to root")
def test_a_folder_without_permission_is_reported(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with raises(StorageIOError, "file.permission_denied"):
            durable.write_new(tmp_path / "file", [])
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_a_file_whose_mode_cannot_be_set_does_not_stay_open(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "chmod", refused)
    before = sorted(os.listdir("/proc/self/fd"))
    with raises(StorageIOError, "disk.io_error"):
        durable.write_new(tmp_path / "file", [b"x"])
    assert sorted(os.listdir("/proc/self/fd")) == before


# Very many files.


@pytest.mark.parametrize("there", [True, False])
def test_very_many_files_are_synced_with_their_file_system_or_one_by_one(tmp_path, monkeypatch, there):
    synced = []
    (tmp_path / "inner").mkdir()
    files = ["a", "inner/b", "c"]
    for name in files:
        (tmp_path / name).write_bytes(b"x")

    def sync_file_system(path):
        synced.append(path)
        return there

    monkeypatch.setattr(durable, "_sync_file_system", sync_file_system)
    monkeypatch.setattr(durable, "sync_file", synced.append)
    durable.sync_files(tmp_path, files, 3)
    assert synced[0] == tmp_path
    assert sorted(synced[1:]) == ([] if there else sorted(tmp_path / name for name in files))
    synced.clear()
    durable.sync_files(tmp_path, files[:2], 3)
    assert sorted(synced) == [tmp_path / "a", tmp_path / "inner/b"]


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
def test_a_file_system_is_synced_by_any_folder_of_it(tmp_path):
    assert durable._sync_file_system(tmp_path)
    with raises(StorageIOError, "file.missing"):
        durable._sync_file_system(tmp_path / "no such place")
