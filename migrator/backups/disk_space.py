"""Check the free disk space before a migration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from migrator.data_dir import DataDir
from migrator.errors import StorageIOError
from migrator.files.os_errors import os_errors
from migrator.inventory.source_files import Source
from migrator.locking import DRY_RUN
from migrator.text import size


def require_space(data_dir: DataDir, sources: Sequence[Source], copied: Container[str] = ()) -> None:
    """Check that the backup and the database will fit, before anything is written.

    A database takes about as much space as its JSON files. Publishing into an existing one also writes it to the log.

    :param copied: names of sources that are in the backup already
    :raises StorageIOError: they will not fit; the message has the numbers
    """
    for space in space_needed(data_dir, sources, copied):
        if space.free < space.needed:
            raise StorageIOError(
                f"The backup and the database need about {size(space.needed)}, but {space.folder} has only "
                f"{size(space.free)} free.",
                code="disk.full",
                hint="Free some space and run 'migrator migrate' again. Nothing was changed.",
            )


class Space(NamedTuple):
    """The space that is needed and free on one disk, in bytes."""

    folder: Path
    needed: float
    free: int


def space_needed(data_dir: DataDir, sources: Sequence[Source], copied: Container[str] = ()) -> list[Space]:
    """The space that migrating the sources needs on each disk.

    :param copied: names of sources that are in the backup already
    :raises StorageIOError: the free space cannot be determined
    """
    size = sum(source.size for source in sources)
    to_copy = sum(source.size for source in sources if source.name not in copied)
    growth = 3 if data_dir.database.exists() else 1.3
    needs: dict[int, tuple[Path, float]] = {}
    for place, needed in ((data_dir.backups, float(to_copy)), (data_dir.database.parent, growth * size)):
        folders = (path for path in (place, *place.parents) if path.exists())
        folder = next(path for path in folders if not path.name.startswith(DRY_RUN))  # which is soon removed
        with os_errors("look at", folder):
            device = os.stat(folder).st_dev
        needs[device] = (folder, needs.get(device, (folder, 0.0))[1] + needed)
    spaces = []
    for folder, needed in needs.values():
        with os_errors("ask for the free space of", folder):
            spaces.append(Space(folder, needed, shutil.disk_usage(folder).free))
    return spaces
