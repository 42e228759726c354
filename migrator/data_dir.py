"""The data directory of the app: where everything is, including what migrator adds."""

from __future__ import annotations

import glob
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from migrator.errors import Message, StorageIOError, UsageError
from migrator.files.os_errors import os_errors
from migrator.files.owners import is_out_of_reach
from migrator.files.reading import contents

DATA_DIR_VARIABLE = "AIT42_DATA_DIR"
DATABASE_VARIABLE = "MIGRATOR_DATABASE_URL"
DEFAULT_DATABASE = "sessions.db"
FLAG = "storage.json"
_LARGEST_FLAG = 1 << 20  # bytes
PREPARED = ".rollback-"  # prefix of the folder where files are prepared before they are put in place
INCOMPLETE = ".incomplete-"  # prefix of a backup's folder until the backup is complete
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # the database and the files that SQLite puts next to it
_NAME = ".ait42"  # of the data directory in the home directory
# A data directory has something whose name begins with one of these.
_CONTENTS = ("sessions", FLAG, "backups", "hybrid.db", "workspace_mapping.json", "migrator.lock", "locks")
_WORKSPACE_FILE = re.compile(r"[0-9a-f]{16}\.json")
# The codes of places that the user has named, and that are not the app's.
WRONG_PLACES = frozenset({"option.data_dir_missing", "option.data_dir_is_sessions", "option.data_dir_foreign"})
_URL = r"[A-Za-z][A-Za-z0-9+.-]+:"  # one letter would be a drive


class DataDir(NamedTuple):
    """The paths of one data directory.

    :ivar root: the app's own directory
    :ivar database: the SQLite database
    :ivar notes: which settings of the environment are not used, and why
    """

    root: Path
    database: Path
    notes: tuple[Message, ...] = ()

    @property
    def output(self) -> Path:
        """Where everything but the database is written: another folder in a dry run."""
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
    def dismissed(self) -> Path:
        """The folder of the texts that the user took out of quarantine."""
        return self.root / "dismissed"

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
    def progress(self) -> Path:
        """What a running migrator writes for ``status``."""
        return self.root / "migrator.progress"

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

    def index_piece(self, number: int) -> Path:
        """Return the path of a part of the search index that is built separately."""
        return self.staging.with_name(f"{self.staging.name}-index{number}")

    def under_construction(self) -> list[Path]:
        """List the files of a new database or index that is being built, or was left over by a killed run."""
        folder = self.staging.parent
        return sorted(folder.glob(glob.escape(self.staging.name) + "*")) if folder.is_dir() else []

    @property
    def prepared(self) -> Path:
        """The folder in which this process prepares files; one of a dead process is removed under the next lock."""
        return self.root / f"{PREPARED}{os.getpid()}"

    def recorded(self, place: str) -> Path:
        """Find the file that the ledger or a backup records as ``place``, which may be relative or absolute."""
        return self.root / _without_nul(place)

    def backup_now(self, recorded: str | None) -> str | None:
        """Return where a backup is now: its recorded folder was elsewhere if the data directory was moved since."""
        name = Path(recorded or "").name
        here = self.recorded(os.path.join("backups", name))
        is_there = os.path.isdir(here) or not os.path.isdir(recorded or "")
        return str(here) if name not in ("", os.pardir) and is_there else recorded


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
        place = _without_nul(place)
        written = self.output / place
        return written if written.exists() else self.root / place


def _without_nul(place: str) -> str:
    """Replace each NUL, which a damaged record may have: no file has such a name, but asking for it is an error."""
    return place.replace("\0", "\ufffd")


def find_root(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the data directory: the argument, else ``$AIT42_DATA_DIR``, else ``~/.ait42``.

    :raises UsageError: the argument is empty or not a path, or there is no home directory
    :raises StorageIOError: the path is relative, and the current folder is gone
    """
    if data_dir is not None and not path_text("data_dir", data_dir).strip():
        raise UsageError(
            "The data directory's name is empty.",
            code="option.data_dir_empty",
            hint="Name the app's data directory with --data-dir, or leave that option out to use the default one.",
        )
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        with os_errors("find the current folder, to which this path is relative:", chosen):
            return Path(os.path.abspath(Path(chosen).expanduser()))
    root = default_root()
    if root is None:
        raise UsageError(
            "Cannot find your home directory, so there is no default data directory.",
            code="option.data_dir_unknown",
            hint="Give the data directory with --data-dir; without a home directory, the app used /tmp/.ait42.",
        )
    return root


def path_text(name: str, value: Any) -> str:
    """Return the text of a path, which may be blank.

    :param name: the argument's name, for messages
    :raises UsageError: it is not a path, or no file can have this name
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a path, not a {type(value).__name__}.", code="option.type")
    if not _can_be_a_name(text):
        raise UsageError(f"{name} cannot be {text!r}: no file can have this name.", code="option.invalid")
    return text


def _can_be_a_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def default_root() -> Path | None:
    """Return the data directory that is used if none is named; None without a home directory."""
    with suppress(RuntimeError, OSError):
        return Path(os.path.abspath(Path.home() / _NAME))
    return None


def wrong_place(places: DataDir) -> Message | None:
    """Return why this is not a data directory of the app: it is missing, the wrong folder, or another program's.

    An empty folder is the beginning of a new history.
    """
    root, is_default, has_database = places.root, places.root == default_root(), os.path.lexists(places.database)
    if os.path.lexists(root) or is_out_of_reach(root):  # other checks report the latter
        return None if is_default or has_database or root.name == _NAME else _wrong_folder(root)
    if not is_default:
        hint = "Name the app's data directory with --data-dir. To begin a new history there, create the folder first."
        message = f"The data directory {root} does not exist, and migrator does not create it."
        return Message(message, code="option.data_dir_missing", hint=hint)
    message = f"{root} does not exist: either the app has not run for this user, or its data is elsewhere."
    hint = "Name another directory with --data-dir."
    return None if has_database else Message(message, code="file.missing", hint=hint)


def _wrong_folder(root: Path) -> Message | None:
    try:
        names = [name for name in os.listdir(root) if not name.startswith(".")]
    except OSError:
        return None  # a file, or a folder that cannot be listed: other checks report that
    if not names or any(name.startswith(_CONTENTS) for name in names):
        return None
    if root.name == "sessions" or any(map(_WORKSPACE_FILE.fullmatch, names)):
        message = f"{root} holds the session files, but the data directory is the folder above it."
        return Message(message, code="option.data_dir_is_sessions", hint=f"Use --data-dir {root.parent}.")
    message = f"{root} is not a data directory of the app: it has no sessions, no database and no backups."
    return Message(message, code="option.data_dir_foreign", hint="Name the app's data directory with --data-dir.")


def is_data_dir(folder: Path) -> bool:
    """Return whether a folder certainly is a data directory: it names a backend, or has files of workspaces."""
    if isinstance(_flag_content(folder / FLAG).get("backend"), str):
        return True
    with suppress(OSError), os.scandir(folder / "sessions") as entries:
        return any(_WORKSPACE_FILE.fullmatch(entry.name) for entry in entries)
    return False


def require_directory(places: DataDir) -> None:
    """Check that the data directory is a directory, if there is anything of that name.

    :raises StorageIOError: it is a file, or a link to where no directory is
    """
    if os.path.lexists(places.root) and not os.path.isdir(places.root):
        raise StorageIOError(
            f"{places.root} is not a directory.",
            code="file.not_a_directory",
            hint="Pass the app's data directory with --data-dir.",
        )


def require_place(places: DataDir) -> None:
    """Check that this is a data directory of the app, or an empty folder.

    :raises UsageError: it is missing, the wrong folder, or another program's
    :raises StorageIOError: it is not a directory
    """
    require_directory(places)
    wrong = wrong_place(places)
    if wrong is not None:
        raise UsageError(wrong.message, code=wrong.code, hint=wrong.hint)


def recorded_database(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Return the path of the database that storage.json in a folder names, else the default path.

    Otherwise a forgotten option would make the old JSON files look authoritative.

    :param content: the content of storage.json, if it was already read
    """
    place = (_flag_content(folder / FLAG) if content is None else content).get("database")
    if isinstance(place, str) and place.strip() and _can_be_a_name(place) and (folder / place).name:
        return folder / place
    return folder / DEFAULT_DATABASE


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
    is the path, percent-decoded, up to a ``?``. Other URLs are not shown, since they may hold a password.

    :raises UsageError: another scheme, an in-memory database, or nothing that can be a path
    """
    scheme, separator, rest = place.partition(":")
    path = place
    if separator and scheme.lower() == "sqlite":
        path = unquote(rest.removeprefix("//").partition("?")[0])
        if path.startswith("//") and os.name != "nt":
            path = path[1:]  # other tools write four slashes before an absolute path
    elif re.match(_URL, place) and ("://" in place or not os.path.lexists(place)):
        raise UsageError(
            f"A URL that begins with '{scheme}:' does not name an SQLite database.",
            code="option.database_invalid",
            hint=f"Use --database PATH, or {DATABASE_VARIABLE}=sqlite:///PATH.",
        )
    if not path.strip(" /") or path == ":memory:" or not _can_be_a_name(path):
        raise UsageError(
            f"{place!r} does not name a file.",
            code="option.database_invalid",
            hint="migrator needs a database file: use --database PATH.",
        )
    with os_errors("find the current folder, to which this path is relative:", path):
        return Path(os.path.abspath(os.path.expanduser(os.path.expandvars(path))))
