"""File systems that lack what most have, as the calls of the operating system answer there."""

import os
import stat
from typing import Any

import pytest


def lacks_folder_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let each sync of a folder fail with an error number; files are synced as ever."""
    sync = os.fsync

    def answer(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", answer)


def lacks_modes(monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
    """Let each change of a mode fail with an error number, or for None, do nothing: every user may use all files."""

    def answer(*_: Any, **__: Any) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    make, change = os.mkdir, os.chmod

    def make_open(path: Any, _mode: int = 0o777, **more: Any) -> None:
        make(path, 0o777, **more)
        change(path, 0o777)

    for name, function in (("chmod", answer), ("fchmod", answer), ("mkdir", make_open)):
        monkeypatch.setattr(os, name, function)


def lacks_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let each lock of a whole file fail with an error number."""

    def answer(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", answer)
