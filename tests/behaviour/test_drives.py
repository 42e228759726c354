"""On a drive that keeps less than most do, everything works, and what it does not keep is said once."""

import errno
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import migrator
from migrator.files import durable
from tests.support.drives import lacks_folder_sync, lacks_modes
from tests.support.scene import Scene, chat

WORKSPACE = "/home/dev/engine"
Lack = Callable[[pytest.MonkeyPatch], None]
DRIVES: dict[str, tuple[Lack, str]] = {
    **{
        f"folder sync {errno.errorcode[number]}": (partial(lacks_folder_sync, number=number), "cannot sync folders")
        for number in (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
    },
    "chmod EPERM": (partial(lacks_modes, number=errno.EPERM), "keeps no permissions"),
    "chmod without effect": (partial(lacks_modes, number=None), "keeps no permissions"),
}


@pytest.fixture(autouse=True)
def nothing_reported_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_reported", set())


@pytest.mark.parametrize("drive", DRIVES)
def test_a_history_goes_there_and_back_on_a_drive_that_keeps_less(
    scene: Scene, drive: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    lack, words = DRIVES[drive]
    before = os.umask(0o000)  # as such drives show their files
    try:
        lack(monkeypatch)
        file = scene.write(WORKSPACE, [chat("s-1")])
        with caplog.at_level(logging.WARNING, "migrator"):
            assert migrator.migrate(scene.root).exit_code == 0
            assert migrator.verify(scene.root).exit_code == 0
            scene.write(WORKSPACE, [chat("s-1"), chat("s-2")])
            assert migrator.migrate(scene.root).exit_code == 0
            assert migrator.rollback(scene.root).exit_code == 0
    finally:
        os.umask(before)
    assert [document["id"] for document in json.loads(file.read_bytes())] == ["s-1", "s-2"]
    assert [words in record.message for record in caplog.records] == [True]


def test_a_folder_that_a_disk_fails_to_sync_is_an_error_that_says_what_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(migrator.StorageIOError) as caught:
        durable.replace(tmp_path / "file", [b"new"])
    assert caught.value.code == "disk.io_error"
    assert (tmp_path / "file").read_bytes() == b"new"
