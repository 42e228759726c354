"""The folder of a backup: files, ``SHA256SUMS`` as ``sha256sum -c`` reads it, and ``manifest.json``.

It gets its name when it is whole; one without a name is a dead run's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.data_dir import INCOMPLETE
from migrator.files import durable
from migrator.files.durable import make_private
from migrator.text import pretty

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"


def stamp() -> str:
    """The time now, UTC, as the names of backups begin with it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def working_folder(backups: Path) -> Iterator[Path]:
    """A private folder to fill, which nobody else fills; removed in the end, unless it got a name."""
    working = backups / f"{INCOMPLETE}{stamp()}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        durable.make_private_folder(working)
        make_private(backups)
        yield working
    finally:
        durable.remove_folder(working)


def write_listing(folder: Path, manifest: dict[str, object], files: Iterable[dict[str, Any]]) -> None:
    """Write a backup's manifest and its SHA256SUMS, over those that it has, if any."""
    sums = "".join(f"{file['sha256']}  {file['file']}\n" for file in files)
    durable.replace(folder / SUMS, [sums.encode("utf-8", "surrogateescape")])
    durable.replace(folder / MANIFEST, [pretty(manifest).encode()])


def give_name(working: Path, backups: Path, name: str) -> Path:
    """Give a finished backup its name, with a number behind it if need be."""
    for number in itertools.count():
        final = backups / f"{name}{f'-{number}' if number else ''}"
        if not final.exists():
            durable.rename_folder(working, final)
            return final
    raise AssertionError("there is always another number")
