"""Reading a database under construction back, through another SQLite than the one that wrote it.

APSW brings an SQLite of its own. It reads rows in half the time of the one that Python comes with on many systems; and
what two of them agree on is not the mistake of one. Two SQLites in one process must not share a file that somebody
writes to (https://www.sqlite.org/howtocorrupt.html, section 2.2.1): so this one is for files that are finished and
that nobody else knows of, and takes no locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import apsw

from migrator.errors import database_error, no_utf8


def open_staged(path: Path) -> apsw.Connection:
    """Open a staging database that is finished, for reading alone."""
    with staged_errors("open anything", path):
        return apsw.Connection(
            f"{path.absolute().as_uri()}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX,
        )


@contextmanager
def staged_errors(action: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate APSW's exceptions within the block, as ``errors.sqlite_errors`` does those of sqlite3."""
    try:
        yield
    except apsw.Error as error:
        raise database_error(action, path, error, getattr(error, "result", 0)) from error
    except UnicodeDecodeError as error:
        raise no_utf8(action, path) from error
