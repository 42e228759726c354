"""Replaces files that other programs write to at any moment, without locks.

The replacement is complete and on disk before the target is looked at for the last time. Then the target gets a second
name, the replacement is renamed over it, and the replaced file is looked at once more: what another program has written
in between is there. The replaced file keeps its second name while a program may have it open for writing; the next run
looks at it again.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from migrator.errors import StorageIOError
from migrator.files import copying, durable
from migrator.files.os_errors import os_errors
from migrator.files.reading import CHUNK

REPLACED = ".replaced"
"""The end of the second name of a replaced file that a program may still write to."""
_NAME = rf"(?s)\.(.+)\.([0-9a-f]{{64}})(?:-\d+)?{re.escape(REPLACED)}"
WRITTEN_LATE = "written-late"
"""The mark in the name of a replaced file that another program wrote to after its replacement."""

Keep = Callable[[Path, Path], Path]
"""Keeps a file that must not be lost; called with its present path and the path that it was written at."""
# Nanoseconds: a file that was changed more recently may be changed again without getting another time of change.
SETTLED = 2_000_000_000
_PATIENCE = 10.0  # seconds that a replaced file keeps its second name where it cannot be found out who has it open


class Seen(NamedTuple):
    """A file as it was read.

    :ivar status: inode, size and time of change
    :ivar is_settled: a further change would change the status
    """

    sha256: str
    status: tuple[int, int, int]
    is_settled: bool

    def is_still(self, path: Path) -> bool:
        """Whether the file, perhaps under another name, is certainly unchanged."""
        return self.is_settled and path.exists() and _status(path) == self.status


def see(path: Path) -> Seen | None:
    """Read a file to notice later changes; None if there is none, or only a broken link.

    :raises StorageIOError: it cannot be read
    """
    with os_errors("read", path):
        try:
            status = _status(path)
        except FileNotFoundError:
            return None
    return Seen(copying.sha256_of(path), status, time.time_ns() - status[2] > SETTLED)


def _status(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def place(
    written: Path, target: Path, expected: Container[str | None], keep: Keep, seen: Seen | None = None
) -> Path | None:
    """Rename a prepared and synced file to its place.

    :param expected: the SHA-256 of every file that may simply be replaced
    :param keep: called for any other file, before it is replaced or, if it was changed at the last moment, after;
        raises if it must not be replaced
    :param seen: the file in that place, if it was read before
    :returns: what ``keep`` returned, if it was called
    """
    target = Path(os.path.realpath(target))
    durable.make_private_folder(target.parent)
    if seen is None or not seen.is_still(target):
        seen = see(target)
        while seen is None:
            if _put_new(written, target):
                return None
            seen = see(target)
    kept = None if seen.sha256 in expected else keep(target, target)
    second, has_changed = _swap(written, target, seen)
    if has_changed:
        kept = keep(second, target)
        durable.remove(second)
    elif second.exists():  # a program may have it open: look at the earlier ones, so that they do not pile up
        look_at_replaced(target.parent, lambda name: nullcontext(name == target.name))
    return kept


def put_back(replaced: Path, target: Path, sha256: str) -> None:
    """Put a file that was changed at the last moment back in its place.

    :param sha256: of the file that replaced it; if that was changed as well, it is kept next to it
    """
    place(replaced, target, {sha256}, lambda found, place: copying.keep_copy(found, place, WRITTEN_LATE))


def _free(_name: str) -> AbstractContextManager[bool]:
    return nullcontext(enter_result=True)


def look_at_replaced(folder: Path, lock: Callable[[str], AbstractContextManager[bool]] = _free) -> list[Path]:
    """Look once more at the files in a folder that were replaced.

    One that is unchanged is removed, unless a program may still have it open for writing.

    :param lock: given a file's name, keeps it from being replaced within a block, and yields whether it could
    :returns: the new names of those that were changed after they were replaced
    """
    kept = []
    with os_errors("list", folder):
        names = os.listdir(folder) if folder.is_dir() else []
    for name in sorted(name for name in names if name.endswith(REPLACED)):
        match = re.fullmatch(_NAME, name)
        if match is None:
            continue
        second, target = folder / name, folder / match[1]
        with lock(match[1]) as is_locked:
            if not is_locked or not second.exists():
                continue
            if target.exists() and second.samefile(target):
                durable.remove(second)  # a killed process gave the second name, and replaced nothing
            elif _has_changed(second, match[2]):
                kept.append(copying.keep_copy(second, target, WRITTEN_LATE))
                durable.remove(second)
    return kept


def _put_new(written: Path, target: Path) -> bool:
    """Give a file its name; False if another program has taken that meanwhile."""
    named = durable.link_new(written, target)
    if named is None:  # no hard links: nothing better can be done
        durable.move_over(written, target)
    elif named:
        durable.sync_folder(target.parent)
        durable.remove(written)
    return named is not False


def _swap(written: Path, target: Path, seen: Seen) -> tuple[Path, bool]:
    """Replace a file; returns the second name of the replaced one, and whether it was changed since it was seen."""
    names = (f".{target.name}.{seen.sha256}{f'-{number}' if number else ''}{REPLACED}" for number in itertools.count())
    for second in map(target.with_name, names):
        linked = durable.link_new(target, second)
        if linked is not False:
            break
    if not linked:
        return second, _swap_without_links(written, target, seen.sha256, second)
    try:
        durable.move_over(written, target)
    except BaseException:
        if target.exists() and second.samefile(target):
            durable.remove(second)
        else:  # it was replaced, but perhaps not for good
            with suppress(StorageIOError):
                _has_changed(second, seen.sha256, seen)
        raise
    return second, _has_changed(second, seen.sha256, seen)


def _swap_without_links(written: Path, target: Path, sha256: str, second: Path) -> bool:
    """Replace a file while it is held open, and read it once more; if it was changed, give it the second name."""
    if os.name == "nt":  # an open file cannot be replaced
        durable.move_over(written, target)
        return False
    with os_errors("read", target), open(target, "rb", buffering=0) as old:
        durable.move_over(written, target)
        digest = copying.new_sha256()
        while chunk := old.read(CHUNK):
            digest.update(chunk)
        if digest.hexdigest() == sha256:
            return False
        old.seek(0)
        durable.write_new(second, iter(lambda: old.read(CHUNK), b""))
    return True


def _has_changed(second: Path, sha256: str, seen: Seen | None = None) -> bool:
    """Whether a replaced file has another SHA-256; if not, and no program can still write to it, it is removed."""
    with _no_writers(second) as unused:
        is_still = seen is not None and seen.is_still(second)
        if not is_still and copying.sha256_of(second) != sha256:
            return True
        if unused:
            durable.remove(second)
        return False


@contextmanager
def _no_writers(path: Path) -> Iterator[bool]:
    """Yield whether no program has the file open for writing, nor can open it so within the block.

    Linux answers that: it grants a lease on a file for reading only if no program has it open for writing. Elsewhere
    the file must have been replaced some time ago.
    """
    with os_errors("read", path):
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - so that only errors of opening it are translated
    with file:
        try:
            import fcntl

            # The signal that says that a program wants to open the file: by default SIGIO, which would end the process.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            unused = True
        except BlockingIOError:
            unused = False
        except (ImportError, AttributeError, OSError):  # no leases: a program that rewrites a file is done by then
            unused = time.time() - os.fstat(file.fileno()).st_ctime > _PATIENCE
        yield unused
