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

WRITTEN_LATE_MARK = f".{WRITTEN_LATE}"  # in the name, followed by a number if there are several


class Replaced(NamedTuple):
    """What is left of replaced files.

    :ivar kept: names each version that another program wrote during the replacement; it is in neither store, and every
        report names it until the user has adopted it or moved it away
    :ivar is_unsettled: a replaced file has its second name still, so a program may have written to it
    """

    kept: list[Message]
    is_unsettled: bool


def find_replaced(
    data_dir: DataDir, files: Iterable[str | os.PathLike[str]] = (), *, unknown_files: Iterable[str] | None = None
) -> Replaced:
    """Search the folders of the JSON files.

    :param files: further files, whose folders are searched as well
    :param unknown_files: the names in ``sessions/`` that are not the app's, if they are known: then that folder is not
        listed, and its versions are not named, because the plan names those that were not adopted
    """
    folders = dict.fromkeys([data_dir.root, *(Path(file).parent for file in files)])
    if unknown_files is None:
        folders = {data_dir.sessions: None, **folders}
    kept, is_unsettled = list[Message](), any(name.endswith(REPLACED) for name in unknown_files or ())
    for folder in folders:
        if not folder.is_dir():
            continue
        with os_errors("list", folder):
            names = os.listdir(folder)
        kept += [late_write_message(folder / name) for name in sorted(names) if WRITTEN_LATE_MARK in name]
        is_unsettled = is_unsettled or any(name.endswith(REPLACED) for name in names)
    return Replaced(kept, is_unsettled)


def late_write_message(path: Path) -> Message:
    """Return the message about a version that another program wrote during the replacement."""
    file = path.name.partition(WRITTEN_LATE_MARK)[0]
    return Message(
        f"Another program changed {path.parent / file} while migrator replaced it; its version is kept as {path} and "
        "was not migrated.",
        code="file.written_late",
        hint="'migrator migrate --adopt FILE' adds what SQLite lacks of it; or compare the two, then remove it.",
    )
