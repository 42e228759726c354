"""Files of any size are read completely, and only regular files are read."""

import errno
import os
from pathlib import Path

import pytest

from migrator.errors import StorageIOError
from migrator.files import reading
from migrator.files.reading import opened, read_chunks

SIZES = [0, 1, reading.SMALL, reading.SMALL + 1, reading.CHUNK + 1]


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_read_completely_and_can_be_seeked(tmp_path, size):
    data = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(data[:size])
    with opened(path) as file:
        assert file.read(size + 1) == data[:size]
        assert file.read(1) == b""
        assert file.seek(0, os.SEEK_END) == size
        file.seek(size // 2)
        assert file.read(size) == data[size // 2 : size]
    assert file.closed
    with read_chunks(path) as pieces:
        assert b"".join(pieces) == data[:size]


@pytest.mark.parametrize("reported", [0, 5, 20])
def test_a_file_whose_size_changes_is_read_to_its_end(tmp_path, monkeypatch, reported):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    seek = os.lseek

    def to_another_end(descriptor, offset, whence):
        found = seek(descriptor, offset, whence)
        return reported if whence == os.SEEK_END else found

    monkeypatch.setattr(os, "lseek", to_another_end)
    with opened(path) as file:
        assert file.read() == b"0123456789"
    with read_chunks(path) as pieces:
        assert b"".join(pieces) == b"0123456789"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_nothing_stays_open(tmp_path):
    small, large, pipe = tmp_path / "small", tmp_path / "large", tmp_path / "pipe"
    small.write_bytes(b"x")
    large.write_bytes(bytes(reading.SMALL + 1))
    os.mkfifo(pipe)
    before = descriptors()
    for path in (small, large):
        with opened(path) as file:
            file.read()
        with read_chunks(path) as pieces:
            next(pieces)
    for path in (pipe, tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one depends on the path
            opened(path)
        assert caught.value.errno in (errno.EINVAL, errno.EISDIR, errno.ENOENT)
        with pytest.raises(StorageIOError), read_chunks(path):
            pytest.fail("it was read")
    assert descriptors() == before
