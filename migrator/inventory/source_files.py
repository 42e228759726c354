"""The files that contain sessions, their workspaces, and their names in the ledger."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from migrator.data_dir import DataDir, require_directory
from migrator.errors import Message, StorageIOError
from migrator.files.os_errors import os_errors
from migrator.files.owners import who_owns
from migrator.workspace import HASH_PATTERN, is_placeholder, workspace_hash

Kind = Literal["workspace", "shared", "older", "adopted"]

_OUR_UID = os.geteuid() if hasattr(os, "geteuid") else None  # for our own files the mode says whether we can read
_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_OLDER_PARTS = (".ait42", "sessions.json")
_OLDER_FOLDER = os.path.join(os.sep, _OLDER_PARTS[0])
_OLDER = os.path.join(os.sep, *_OLDER_PARTS)
_JSON = ".json"
_WORKSPACE_FILE = re.compile(rf"{HASH_PATTERN.pattern}{re.escape(_JSON)}").fullmatch


class Source(NamedTuple):
    """One file that should contain sessions. There may be tens of thousands.

    :ivar name: its name in the ledger: relative to the data directory if it is in there, else absolute
    :ivar place: its full path
    :ivar kind: a ``workspace`` file, the ``shared`` file of all workspaces, an ``older`` file inside a workspace, or
        any other file that the user has ``adopted``
    :ivar workspace_hash: None for a file of several workspaces
    :ivar size: in bytes
    :ivar error: why it cannot be read; None for nearly all files
    """

    name: str
    place: str
    kind: Kind
    workspace_hash: str | None
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    error: Message | None = None

    @property
    def path(self) -> Path:
        return Path(self.place)

    @property
    def is_of_database(self) -> bool:
        """Whether it was made of a database, which then is in its name where a folder would be."""
        return self.kind == "adopted" and os.path.isfile(os.path.dirname(self.name))


class Listing(NamedTuple):
    """What is in the data directory.

    :ivar own: workspace files, then the shared one
    :ivar unknown_files: the names of the other entries of ``sessions/``
    """

    own: list[Source]
    unknown_files: list[str]


def own_files(data_dir: DataDir) -> list[Source]:
    """The files in the data directory: workspace files, then the shared one."""
    return list_files(data_dir).own


def list_files(data_dir: DataDir) -> Listing:
    """Return the files in the data directory, and the names that are not the app's.

    :raises StorageIOError: the data directory is not a directory, or cannot be read
    """
    require_directory(data_dir)
    names, unknown_files = _names_in_sessions(data_dir)
    folder = os.fspath(data_dir.sessions)
    found = [source_at(f"sessions/{n}", f"{folder}{os.sep}{n}", "workspace", n[: -len(_JSON)]) for n in names]
    shared = data_dir.shared_sessions
    if os.path.lexists(shared):
        found.append(source_at("sessions.json", os.fspath(shared), "shared", None))
    return Listing(found, unknown_files)


def count_file_names(data_dir: DataDir) -> int:
    """The number of workspace files, judging by their names alone; 0 if the folder cannot be listed."""
    try:
        return sum(name.endswith(".json") for name in os.listdir(data_dir.sessions))
    except OSError:
        return 0


def with_older_files(own: Sequence[Source], paths: dict[str, str]) -> list[Source]:
    """The files of the data directory and, before the shared one, those that older builds left in the workspaces.

    :param own: the files of the data directory
    :param paths: workspace hash to workspace path
    """
    candidates = []
    for file_hash, path in paths.items():
        if not is_placeholder(path) and _may_have_older(path) and os.path.lexists(f"{path}{_OLDER}"):
            # A link and its target may both be known; the file belongs to the path that the app uses: the target.
            candidates.append((workspace_hash(path) != file_hash, file_hash, f"{path}{_OLDER}"))
    if not candidates:
        return [*own]
    seen = {os.path.realpath(source.place) for source in own}
    older = []
    for _, file_hash, path in sorted(candidates):
        if os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            older.append(source_at(path, path, "older", file_hash))
    workspaces = [source for source in own if source.kind == "workspace"]
    return [*workspaces, *older, *own[len(workspaces) :]]


def _may_have_older(path: str) -> bool:
    """A fast check: for tens of thousands of workspaces, an exception for each missing folder would be slow."""
    try:
        return os.access(f"{path}{_OLDER_FOLDER}", os.F_OK, effective_ids=_EFFECTIVE_IDS)
    except ValueError:
        return False  # a path cannot contain NUL


def _names_in_sessions(data_dir: DataDir) -> tuple[list[str], list[str]]:
    folder = os.fspath(data_dir.sessions)
    if not os.path.lexists(folder):
        return [], []
    with os_errors("list", folder):
        names = sorted(os.listdir(folder))
    own = [name for name in names if _WORKSPACE_FILE(name)]
    return own, [] if len(own) == len(names) else [name for name in names if not _WORKSPACE_FILE(name)]


def source_at(name: str, path: str, kind: Kind, file_hash: str | None) -> Source:
    """Return the source for a path, with the reason if it cannot be read."""
    error = None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        error = Message("broken link.", code="source.broken_link", hint="Restore its target, or remove the link.")
        return Source(name, path, kind, file_hash, error=error)
    except OSError as failure:
        error = Message(f"cannot be examined: {failure.strerror}.", code="source.unreadable")
        return Source(name, path, kind, file_hash, error=error)
    if not stat.S_ISREG(found.st_mode):
        error = Message("a folder or a device, not a file.", code="source.not_a_file", hint="Move it away.")
    elif not (found.st_uid == _OUR_UID and found.st_mode & stat.S_IRUSR) and not os.access(path, os.R_OK):
        hint = "Make the file readable for you ('chmod u+r')."
        error = Message(
            f"cannot be read: permission denied.{who_owns(path)}", code="source.permission_denied", hint=hint
        )
    return Source(name, path, kind, file_hash, found.st_size, found.st_mtime_ns, found.st_ino, error)


def workspace_file_name(file_hash: str) -> str:
    """The name of a workspace's file, ``<hash>.json``.

    :raises StorageIOError: this is not a valid hash
    """
    if HASH_PATTERN.fullmatch(file_hash) is None:
        raise StorageIOError(
            f"The workspace hash {file_hash!r} in the database is invalid: the table 'workspaces' was changed by hand.",
            code="workspace.invalid_hash",
            hint="Correct the hash (16 hexadecimal digits).",
        )
    return f"{file_hash}.json"


def place_of_source(data_dir: DataDir, name: str) -> Path:
    """The path of the file with this name in the ledger.

    :raises StorageIOError: it cannot be one of the app's files
    """
    folder, _, file = name.rpartition("/")
    if name == data_dir.shared_sessions.name or (
        folder == "sessions" and file.endswith(".json") and not set(file) & {"\\", "\0"}
    ):
        return data_dir.root / name
    place = Path(name) if "\0" not in name else Path()
    if place.is_absolute() and place.parts[-2:] == _OLDER_PARTS and os.path.normpath(name) == name:
        return place
    raise StorageIOError(
        f"The file {name!r} in the ledger is not one of the app's: the table 'migration_ledger' was changed by hand. "
        "Nothing is written to that file.",
        code="source.foreign",
        hint="Correct the column 'source'.",
    )
