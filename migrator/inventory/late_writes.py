"""Finds files that were replaced while other programs may have written to them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from migrator.data_dir import DataDir
from migrator.errors import Message
from migrator.files.os_errors import os_errors
from migrator.files.replacing import REPLACED, WRITTEN_LATE

_MARK = f".{WRITTEN_LATE}"  # in the name, followed by a number if there are several


class Replaced(NamedTuple):
    """What is left of replaced files.

    :ivar kept: names each version that another program wrote during the replacement; it is in neither store, and every
        report names it until the user has moved it away
    :ivar is_unsettled: a replaced file has its second name still, so somebody may have written to it
    """

    kept: list[Message]
    is_unsettled: bool


def find_replaced(data_dir: DataDir, files: Iterable[str | os.PathLike[str]] = ()) -> Replaced:
    """Search the folders of the JSON files.

    :param files: further files, whose folders are searched as well
    """
    kept, is_unsettled = list[Message](), False
    for folder in {data_dir.sessions: None, data_dir.root: None} | {Path(file).parent: None for file in files}:
        if not folder.is_dir():
            continue
        with os_errors("list", folder):
            names = os.listdir(folder)
        kept += [_described(folder / name) for name in sorted(names) if _MARK in name]
        is_unsettled = is_unsettled or any(name.endswith(REPLACED) for name in names)
    return Replaced(kept, is_unsettled)


def _described(path: Path) -> Message:
    file = path.name.partition(_MARK)[0]
    return Message(
        f"Another program changed {path.parent / file} while migrator replaced it; its version is kept as {path} and "
        "was not migrated.",
        code="file.written_late",
        hint="Compare the two, then remove that version or move it away.",
    )
