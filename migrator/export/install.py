"""One JSON file that goes back: where it waits, what goes beside it, and how it takes its place."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from migrator.errors import RollbackFailed
from migrator.files import copying, durable


@dataclass(frozen=True)
class RestoredFile:
    """One JSON file as the rollback leaves it.

    :ivar hash: the workspace's; for the shared file, that of its placeholder
    :ivar restored: ``bytes``: the file as it was migrated; ``export``: written from SQLite
    :ivar quarantined: how many of its elements are no sessions, or went beside it
    :ivar kept_beside: where a file went that SQLite has not all of, and that this one replaced
    """

    hash: str
    path: str
    restored: str
    file: str
    sessions: int
    quarantined: int
    kept_beside: str | None = None


class Aside(NamedTuple):
    """What goes beside a file, since nobody could read the file with it.

    :ivar written: where it waits
    :ivar mark: what its name says behind that of the file
    :ivar what: for a message that goes on with "lies in …"
    """

    written: Path
    mark: str
    what: str


@dataclass(frozen=True)
class PreparedFile:
    """A file that is ready to take its place.

    :ivar written: where it waits; None where what is in its place is right as it is
    :ivar report: None where there is no such file, and only something to go beside it
    :ivar replaceable: the SHA-256 of each file that SQLite has all of, so that it may be replaced
    """

    target: Path
    written: Path | None
    report: RestoredFile | None
    replaceable: frozenset[str | None] = frozenset()
    asides: tuple[Aside, ...] = ()


def require_free(target: Path, replaceable: Container[str | None]) -> None:
    """Refuse to write where something is that no file may replace.

    :param replaceable: the SHA-256 of each file that SQLite has all of
    :raises RollbackFailed: it is a folder or a device, or a link to somebody else's file
    """
    if os.path.lexists(target) and not target.is_file():
        raise RollbackFailed(f"{target} is in the way: it is no file.", hint="Move it away and run the command again.")
    if os.path.islink(target) and copying.sha256_of(target) not in replaceable:
        raise RollbackFailed(
            f"{target} is a link to {os.readlink(target)}, which was never migrated: nothing is written there.",
            hint="Move the link away and run the command again.",
        )


def put_in_place(file: PreparedFile) -> tuple[PreparedFile, list[str]]:
    """Give a file its place; returns it as it is then, and where things lie beside it."""
    notes = []
    durable.make_private_folder(file.target.parent)
    for aside in file.asides:
        place = copying.keep_beside_as(aside.written, file.target, aside.mark)
        notes.append(f"{aside.what} lies in {place}.")
    if file.written is None or file.report is None:
        return file, notes
    kept = None
    if os.path.lexists(file.target) and copying.sha256_of(file.target) not in file.replaceable:
        kept = os.fspath(copying.keep_beside(file.target, "before-rollback"))
        notes.append(f"{file.target} held something that was never migrated; it lies in {kept} now.")
    durable.move_over(file.written, file.target)
    return replace(file, report=replace(file.report, kept_beside=kept)), notes
