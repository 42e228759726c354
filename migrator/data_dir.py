"""Where everything lives: the data directory of the app and what migrator adds to it."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from migrator.errors import UsageError
from migrator.files.reading import contents

DATA_DIR_VARIABLE = "AIT42_DATA_DIR"
DATABASE_VARIABLE = "DATABASE_URL"
DEFAULT_DATABASE = "sessions.db"
FLAG = "storage.json"
_LARGEST_FLAG = 1 << 20  # bytes
PREPARED = ".rollback-"  # the folder of files that are to take their places
INCOMPLETE = ".incomplete-"  # the folder of a backup until it is whole
BESIDE_DATABASE = ("", "-wal", "-shm", "-journal")  # what SQLite puts beside a database, itself included


class DataDir(NamedTuple):
    """The places of one data directory.

    :ivar root: the app's own directory
    :ivar database: the SQLite database
    """

    root: Path
    database: Path

    @property
    def output(self) -> Path:
        """Where everything but the database is written: for programs that asked for it, until the next version."""
        return self.root

    @property
    def sessions(self) -> Path:
        """The folder of the workspace files, ``<hash>.json``."""
        return self.root / "sessions"

    @property
    def shared_sessions(self) -> Path:
        """An older build's one file for all workspaces."""
        return self.root / "sessions.json"

    @property
    def workspace_mapping(self) -> Path:
        """A JSON object of workspace hash to workspace path, where somebody wrote one."""
        return self.root / "workspace_mapping.json"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def flag(self) -> Path:
        """storage.json: which backend the app runs on."""
        return self.root / FLAG

    def flag_content(self) -> dict[str, Any]:
        """The members of storage.json; none where there is no such file, or one that makes no sense."""
        return _flag_content(self.flag)

    @property
    def hybrid_journal(self) -> Path:
        """What hybrid mode records: writes, failures, comparisons, differences."""
        return self.root / "hybrid.db"

    @property
    def lock(self) -> Path:
        return self.root / "migrator.lock"

    @property
    def locks(self) -> Path:
        """Who changes a workspace file holds a lock here: the app takes every file in ``sessions`` for a workspace."""
        return self.root / "locks"

    @property
    def staging(self) -> Path:
        """Where the new database is built, beside the real one so that it can be renamed to it."""
        return self.database.with_name(self.database.name + ".staging")

    def shard(self, number: int) -> Path:
        """A part of the new database that is filled by itself, mostly by the worker."""
        return self.staging.with_name(f"{self.staging.name}-shard{number}")

    def under_construction(self) -> list[Path]:
        """Every file that is there of a new database that is being built, or was when somebody killed it."""
        folder = self.staging.parent
        return sorted(folder.glob(glob.escape(self.staging.name) + "*")) if folder.is_dir() else []

    @property
    def prepared(self) -> Path:
        """Where this process prepares files that are to take their places; a dead one's goes with the next lock."""
        return self.root / f"{PREPARED}{os.getpid()}"

    def recorded(self, place: str) -> Path:
        """The file that the ledger or a backup records as ``place``: relative to the data directory, or absolute."""
        return self.root / place


class ScratchDataDir(DataDir):
    """A data directory whose files are only read: what is written goes into the folder of its database.

    A dry run works on one. Callers need not know it from any other.
    """

    __slots__ = ()

    @property
    def output(self) -> Path:
        return self.database.parent

    @property
    def backups(self) -> Path:
        return self.output / "backups"

    @property
    def flag(self) -> Path:
        return self.output / FLAG

    @property
    def prepared(self) -> Path:
        return self.output / f"{PREPARED}{os.getpid()}"

    def recorded(self, place: str) -> Path:
        written = self.output / place
        return written if written.exists() else self.root / place


def resolve_data_dir(
    data_dir: str | os.PathLike[str] | None = None, database: str | os.PathLike[str] | None = None
) -> DataDir:
    """The data directory: the argument, else ``$AIT42_DATA_DIR``, else ``~/.ait42``.

    The database: the argument (a path or an ``sqlite:`` URL), else ``$DATABASE_URL``, else the one that storage.json
    says it was migrated to, else ``sessions.db`` in the data directory.

    :raises UsageError: no home directory is known, or the URL is not one of SQLite
    """
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        root = Path(chosen).expanduser()
    else:
        try:
            root = Path.home() / ".ait42"
        except RuntimeError as error:
            raise UsageError(
                "No home directory is known, so there is no default data directory.",
                hint="Name it with --data-dir; builds without a home directory used /tmp/.ait42.",
            ) from error
    root = Path(os.path.abspath(root))
    place = os.fspath(database) if database else os.environ.get(DATABASE_VARIABLE)
    return DataDir(root=root, database=database_path(place) if place else recorded_database(root))


def recorded_database(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Where the database is that storage.json in a folder speaks of, else where it is by default.

    Without it, one forgotten option would make the old JSON files look authoritative.

    :param content: what storage.json holds, where that is known
    """
    place = (_flag_content(folder / FLAG) if content is None else content).get("database")
    return folder / (place if isinstance(place, str) and place else DEFAULT_DATABASE)


def _flag_content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(contents(path, _LARGEST_FLAG))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def place_in(root: Path, path: Path) -> str:
    """How a path is recorded: relative to the data directory if it lies within, which may move with all that it has."""
    inside = os.path.relpath(path, root) if path.anchor == root.anchor else os.pardir
    return os.fspath(path) if inside.split(os.sep)[0] == os.pardir else inside


def database_path(place: str) -> Path:
    """The file that ``place`` names: a plain path, ``sqlite:PATH``, ``sqlite://PATH`` or ``sqlite:///PATH``.

    URLs are read as SQLx reads them (``SqliteConnectOptions::from_str``): what follows ``sqlite:`` and an optional
    ``//`` is the path, percent-decoded, up to a ``?``.

    :raises UsageError: another scheme, an in-memory database, or no path at all
    """
    scheme, separator, rest = place.partition(":")
    path = place
    if separator and scheme.lower() == "sqlite":
        path = unquote(rest.removeprefix("//").partition("?")[0])
        if path.startswith("//") and os.name != "nt":
            path = path[1:]  # four slashes are what other tools write for an absolute path
    elif "://" in place:
        raise UsageError(
            f"{place!r} is not the address of an SQLite database.",
            hint=f"Write --database PATH, or {DATABASE_VARIABLE}=sqlite:///PATH.",
        )
    if not path or path == ":memory:":
        raise UsageError(
            f"{place!r} names no file.", hint="A migration needs a database on disk: write --database PATH."
        )
    return Path(os.path.abspath(os.path.expanduser(os.path.expandvars(path))))
