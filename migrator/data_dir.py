"""The data directory of the app: where everything is, including what migrator adds."""

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
PREPARED = ".rollback-"  # prefix of the folder where files are prepared before they are put in place
INCOMPLETE = ".incomplete-"  # prefix of a backup's folder until the backup is complete
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # the database and the files that SQLite puts next to it


class DataDir(NamedTuple):
    """The paths of one data directory.

    :ivar root: the app's own directory
    :ivar database: the SQLite database
    """

    root: Path
    database: Path

    @property
    def output(self) -> Path:
        """Where everything but the database is written; kept for programs that use it, until the next version."""
        return self.root

    @property
    def sessions(self) -> Path:
        """The folder of the workspace files, ``<hash>.json``."""
        return self.root / "sessions"

    @property
    def shared_sessions(self) -> Path:
        """The file in which older builds kept the sessions of all workspaces."""
        return self.root / "sessions.json"

    @property
    def workspace_mapping(self) -> Path:
        """An optional JSON file, written by the user, that maps workspace hashes to workspace paths."""
        return self.root / "workspace_mapping.json"

    @property
    def backups(self) -> Path:
        """The folder of the backups."""
        return self.root / "backups"

    @property
    def flag(self) -> Path:
        """storage.json, which names the backend that the app uses and the database."""
        return self.root / FLAG

    def flag_content(self) -> dict[str, Any]:
        """Read storage.json; returns {} if the file is missing or invalid."""
        return _flag_content(self.flag)

    @property
    def hybrid_journal(self) -> Path:
        """The journal of hybrid mode: writes, failures, comparisons and differences."""
        return self.root / "hybrid.db"

    @property
    def lock(self) -> Path:
        """The lock file of a running migrator."""
        return self.root / "migrator.lock"

    @property
    def locks(self) -> Path:
        """The folder of the workspace files' locks; not in ``sessions``, where the app reads every file."""
        return self.root / "locks"

    @property
    def staging(self) -> Path:
        """The path at which a new database is built, next to the real one so that it can be renamed to it."""
        return self.database.with_name(self.database.name + ".staging")

    def shard(self, number: int) -> Path:
        """Return the path of a part of the new database that is loaded separately, usually by the worker."""
        return self.staging.with_name(f"{self.staging.name}-shard{number}")

    def under_construction(self) -> list[Path]:
        """List the files of a new database that is being built, or was left over by a killed run."""
        folder = self.staging.parent
        return sorted(folder.glob(glob.escape(self.staging.name) + "*")) if folder.is_dir() else []

    @property
    def prepared(self) -> Path:
        """The folder in which this process prepares files; one of a dead process is removed under the next lock."""
        return self.root / f"{PREPARED}{os.getpid()}"

    def recorded(self, place: str) -> Path:
        """Find the file that the ledger or a backup records as ``place``, which may be relative or absolute."""
        return self.root / place


class ScratchDataDir(DataDir):
    """A data directory that is only read: everything is written to the folder of its database, as in a dry run."""

    __slots__ = ()

    @property
    def output(self) -> Path:
        """The folder of the database, where everything is written."""
        return self.database.parent

    @property
    def backups(self) -> Path:
        """The folder of the backups."""
        return self.output / "backups"

    @property
    def flag(self) -> Path:
        """The storage.json that is written."""
        return self.output / FLAG

    @property
    def prepared(self) -> Path:
        """The folder in which this process prepares files."""
        return self.output / f"{PREPARED}{os.getpid()}"

    def recorded(self, place: str) -> Path:
        """Find a recorded file, first among those that were written."""
        written = self.output / place
        return written if written.exists() else self.root / place


def resolve_data_dir(
    data_dir: str | os.PathLike[str] | None = None, database: str | os.PathLike[str] | None = None
) -> DataDir:
    """Find the data directory and its database.

    The data directory is the argument, else ``$AIT42_DATA_DIR``, else ``~/.ait42``. The database is the argument (a
    path or an ``sqlite:`` URL), else ``$DATABASE_URL``, else the one that storage.json names, else ``sessions.db`` in
    the data directory.

    :raises UsageError: there is no home directory, or the URL is not an SQLite URL
    """
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        root = Path(chosen).expanduser()
    else:
        try:
            root = Path.home() / ".ait42"
        except RuntimeError as error:
            raise UsageError(
                "Cannot find your home directory, so there is no default data directory.",
                code="option.data_dir_unknown",
                hint="Give the data directory with --data-dir; without a home directory, the app used /tmp/.ait42.",
            ) from error
    root = Path(os.path.abspath(root))
    place = os.fspath(database) if database else os.environ.get(DATABASE_VARIABLE)
    return DataDir(root=root, database=database_path(place) if place else recorded_database(root))


def recorded_database(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Return the path of the database that storage.json in a folder names, else the default path.

    Otherwise a forgotten option would make the old JSON files look authoritative.

    :param content: the content of storage.json, if it was already read
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
    """Return a path as it is recorded: relative if it is in the data directory, which may be moved; else as it is."""
    inside = os.path.relpath(path, root) if path.anchor == root.anchor else os.pardir
    return os.fspath(path) if inside.split(os.sep)[0] == os.pardir else inside


def database_path(place: str) -> Path:
    """Return the path that ``place`` names: a plain path, ``sqlite:PATH``, ``sqlite://PATH`` or ``sqlite:///PATH``.

    URLs are parsed as SQLx does (``SqliteConnectOptions::from_str``): what follows ``sqlite:`` and an optional ``//``
    is the path, percent-decoded, up to a ``?``.

    :raises UsageError: another scheme, an in-memory database, or no path
    """
    scheme, separator, rest = place.partition(":")
    path = place
    if separator and scheme.lower() == "sqlite":
        path = unquote(rest.removeprefix("//").partition("?")[0])
        if path.startswith("//") and os.name != "nt":
            path = path[1:]  # other tools write four slashes before an absolute path
    elif "://" in place:
        raise UsageError(
            f"{place!r} is not the URL of an SQLite database.",
            code="option.database_invalid",
            hint=f"Use --database PATH, or {DATABASE_VARIABLE}=sqlite:///PATH.",
        )
    if not path or path == ":memory:":
        raise UsageError(
            f"{place!r} does not name a file.",
            code="option.database_invalid",
            hint="migrator needs a database file: use --database PATH.",
        )
    return Path(os.path.abspath(os.path.expanduser(os.path.expandvars(path))))
