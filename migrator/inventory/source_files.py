"""Which files hold sessions, whose they are, and what the ledger calls them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from migrator.data_dir import DataDir
from migrator.errors import Message, StorageIOError
from migrator.files.os_errors import os_errors
from migrator.workspace import HASH_PATTERN, is_placeholder, workspace_hash

Kind = Literal["workspace", "shared", "older"]

_WE = os.geteuid() if hasattr(os, "geteuid") else None  # of what is ours the mode tells, with no more questions asked
_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_OLDER_PARTS = (".ait42", "sessions.json")
_OLDER_FOLDER = os.path.join(os.sep, _OLDER_PARTS[0])
_OLDER = os.path.join(os.sep, *_OLDER_PARTS)


class Source(NamedTuple):
    """One file that holds sessions, or should. There may be tens of thousands.

    :ivar name: what the ledger calls it: relative to the data directory where it lies within, else absolute
    :ivar place: its whole path
    :ivar kind: a ``workspace`` file, the ``shared`` one of all workspaces, or an ``older`` one inside of a workspace
    :ivar workspace_hash: None for the shared file
    :ivar size: bytes
    :ivar error: why it can't even be looked at; None for nearly all
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


def own_files(data_dir: DataDir) -> list[Source]:
    """The files in the data directory: workspace files, then the shared one.

    :raises StorageIOError: it is no folder, or can't be read
    """
    if os.path.lexists(data_dir.root) and not os.path.isdir(data_dir.root):
        raise StorageIOError(f"{data_dir.root} is no folder.", hint="Name the app's data directory with --data-dir.")
    found, shared = [*_workspace_files(data_dir)], data_dir.shared_sessions
    if os.path.lexists(shared):
        found.append(_source("sessions.json", os.fspath(shared), "shared", None))
    return found


def count_file_names(data_dir: DataDir) -> int:
    """How many workspace files there are by their names alone; 0 where the folder can't be listed."""
    try:
        return sum(name.endswith(".json") for name in os.listdir(data_dir.sessions))
    except OSError:
        return 0


def with_older_files(own: Sequence[Source], paths: dict[str, str]) -> list[Source]:
    """The app's own files and, in front of the shared one, those that older builds left in the workspaces.

    :param own: the app's own
    :param paths: workspace hash to workspace path
    """
    candidates = []
    for file_hash, path in paths.items():
        if not is_placeholder(path) and _may_have_older(path) and os.path.lexists(f"{path}{_OLDER}"):
            # A link and what it points to may both be known: the file is of the workspace that the app opens there.
            candidates.append((workspace_hash(path) != file_hash, file_hash, f"{path}{_OLDER}"))
    if not candidates:
        return [*own]
    seen = {os.path.realpath(source.place) for source in own}
    older = []
    for _, file_hash, path in sorted(candidates):
        if os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            older.append(_source(path, path, "older", file_hash))
    workspaces = [source for source in own if source.kind == "workspace"]
    return [*workspaces, *older, *own[len(workspaces) :]]


def _may_have_older(path: str) -> bool:
    """At a glance: what is not there is told without an exception, which would be felt of tens of thousands."""
    try:
        return os.access(f"{path}{_OLDER_FOLDER}", os.F_OK, effective_ids=_EFFECTIVE_IDS)
    except ValueError:
        return False  # no path can hold a NUL


def _workspace_files(data_dir: DataDir) -> Iterator[Source]:
    folder = os.fspath(data_dir.sessions)
    if not os.path.lexists(folder):
        return
    with os_errors("list", folder), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")
    for name in names:
        stem = name.removesuffix(".json")
        if HASH_PATTERN.fullmatch(stem):
            yield _source(f"sessions/{name}", f"{folder}{os.sep}{name}", "workspace", stem)
        else:
            text = name.encode("utf-8", "backslashreplace").decode()  # a name may be any bytes, the ledger holds text
            yield Source(
                name=f"sessions/{text}",
                place=os.path.join(folder, name),
                kind="workspace",
                workspace_hash=text.removesuffix(".json"),
                error=Message(
                    "its name is not a workspace's hash (16 hexadecimal digits).",
                    code="source.name",
                    hint="Move it out of sessions/, or give it the name of its workspace's hash.",
                ),
            )


def _source(name: str, path: str, kind: Kind, file_hash: str | None) -> Source:
    error = None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        hint = "Restore what it points to, or remove the link."
        return Source(name, path, kind, file_hash, error=Message("a link to nothing.", code="source.link", hint=hint))
    except OSError as failure:
        error = Message(f"cannot be examined: {failure.strerror}.", code="source.unreadable")
        return Source(name, path, kind, file_hash, error=error)
    if not stat.S_ISREG(found.st_mode):
        error = Message("not a file but a folder or a device.", code="source.kind", hint="Move it away.")
    elif not (found.st_uid == _WE and found.st_mode & stat.S_IRUSR) and not os.access(path, os.R_OK):
        hint = "Make it readable for you ('chmod u+r')."
        error = Message("cannot be read: permission denied.", code="source.unreadable", hint=hint)
    return Source(name, path, kind, file_hash, found.st_size, found.st_mtime_ns, found.st_ino, error)


def workspace_file_name(file_hash: str) -> str:
    """``<hash>.json``.

    :raises StorageIOError: that is no hash
    """
    if HASH_PATTERN.fullmatch(file_hash) is None:
        raise StorageIOError(
            f"The database names a workspace {file_hash!r}, which is no hash: no file of the app's has that name.",
            hint="Somebody changed the table 'workspaces' by hand: put the hash right (16 hexadecimal digits).",
        )
    return f"{file_hash}.json"


def place_of_source(data_dir: DataDir, name: str) -> Path:
    """Where the file is that the ledger calls by this name.

    :raises StorageIOError: it is none of the app's
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
        f"The ledger names a file {name!r}, which is none of the app's; nothing is written there.",
        hint="Somebody changed the table 'migration_ledger' by hand: put the column 'source' right.",
    )
