"""Where the texts of a data directory are: in the app's files, in the database, or kept by the program.

Everything here reads bytes and plain SQL, so that a fault of the program can't hide what it lost.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

TOKEN = re.compile(rb"<t\d+>")

# Each gives texts; of an older schema some fail, and give none.
_SESSIONS = (
    "SELECT task FROM sessions",
    "SELECT rescued_data FROM sessions WHERE rescued_data IS NOT NULL",
    "SELECT output FROM instances WHERE output IS NOT NULL",
    "SELECT content FROM chat_messages",
    "SELECT rescued_data FROM chat_messages WHERE rescued_data IS NOT NULL",
)


def tokens(contents: Iterable[bytes | str]) -> set[str]:
    """The tokens in some texts."""
    found: set[str] = set()
    for one in contents:
        found.update(map(bytes.decode, TOKEN.findall(one.encode("utf-8", "replace") if isinstance(one, str) else one)))
    return found


@contextmanager
def looking_at(database: Path) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Asks a database; there is nothing where it, or the table, is not there or damaged."""
    if not database.exists():
        yield lambda *_: []
        return
    how = "immutable=1" if "backups" in database.parts else "mode=ro"  # to look at a backup must leave no log there
    with closing(sqlite3.connect(f"file:{quote(str(database))}?{how}", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")

        def ask(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            with suppress(sqlite3.Error):
                return connection.execute(sql, values).fetchall()
            return []

        yield ask


def rows(database: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What one query finds."""
    with looking_at(database) as ask:
        return ask(sql, *values)


def in_sessions(database: Path) -> set[str]:
    """The tokens in the sessions of a database."""
    with looking_at(database) as ask:
        return tokens(text for sql in _SESSIONS for (text,) in ask(sql))


def in_quarantine(database: Path) -> set[str]:
    """The tokens in its quarantine."""
    with looking_at(database) as ask:
        return tokens(text for (text,) in ask("SELECT raw FROM quarantine"))


def app_files(root: Path) -> list[Path]:
    """The files that the app, or an older build, reads."""
    return [path for path in (*root.glob("sessions/*.json"), root / "sessions.json") if path.is_file()]


def kept_files(root: Path) -> Iterator[Path]:
    """What the program keeps for people: side files, and versions that a user dropped."""
    for pattern in ("sessions/*.json.*", "sessions.json.*", "backups/[!.]*-quarantine-*/*"):
        yield from (path for path in root.glob(pattern) if path.is_file())


def in_backups(root: Path, names: Iterable[str]) -> set[str]:
    """The tokens in the backups of these names."""
    found: set[str] = set()
    for path in (path for name in names for path in (root / "backups" / name).rglob("*") if path.is_file()):
        if path.suffix == ".db":
            found |= in_sessions(path) | in_quarantine(path)
        else:
            found |= tokens([path.read_bytes()])
    return found
