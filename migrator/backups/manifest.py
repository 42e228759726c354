"""The folder of a backup: files, ``SHA256SUMS`` as ``sha256sum -c`` reads it, and ``manifest.json``.

It gets its name when it is whole; one without a name is a dead run's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from migrator.data_dir import INCOMPLETE
from migrator.errors import BackupError
from migrator.files import durable
from migrator.files.durable import make_private
from migrator.files.output import scratch
from migrator.files.reading import contents
from migrator.text import pretty

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
NAME = re.compile(r"\d{8}T\d{6}Z-[^/\\]+")
LARGEST_LISTING = 1 << 28  # bytes; of a million files
_SHA256 = re.compile(r"[0-9a-f]{64}")

BackupKind = Literal["files", "database", "versions"]


def stamp() -> str:
    """The time now, UTC, as the names of backups begin with it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def working_folder(backups: Path) -> Iterator[Path]:
    """A private folder to fill, which nobody else fills; removed in the end, unless it got a name."""
    working = backups / f"{INCOMPLETE}{stamp()}-{os.getpid()}-{os.urandom(4).hex()}"
    with scratch(working):
        make_private(backups)
        yield working


def write_listing(folder: Path, manifest: dict[str, object], files: Iterable[dict[str, Any]]) -> None:
    """Write a backup's manifest and its SHA256SUMS, over those that it has, if any."""
    sums = "".join(f"{file['sha256']}  {file['file']}\n" for file in files)
    durable.replace(folder / SUMS, [sums.encode("utf-8", "surrogateescape")])
    durable.replace(folder / MANIFEST, [pretty(manifest).encode()])


def give_name(working: Path, backups: Path, name: str) -> Path:
    """Give a finished backup its name, with a number behind it if need be."""
    names = (backups / f"{name}{f'-{number}' if number else ''}" for number in itertools.count())
    final = next(path for path in names if not path.exists())
    durable.rename_folder(working, final)
    return final


def keep_versions(backups: Path, why: str, versions: dict[str, bytes]) -> Path:
    """Keep versions of sessions that are about to be dropped; nothing else may have them any more.

    :param why: a word for the folder's name
    :param versions: by the file's name
    :returns: the folder, made like that of any backup
    """
    with working_folder(backups) as working:
        files: list[dict[str, object]] = []
        for name, content in versions.items():
            durable.write_new(working / name, [content])
            files.append({"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
        now = stamp()
        write_listing(working, {"format": 1, "created_at": now, "why": why, "versions": files}, files)
        return give_name(working, backups, f"{now}-{why}")


@dataclass(frozen=True)
class ListedFile:
    """One file as a manifest lists it.

    :ivar file: where the copy is, relative to the backup's folder
    :ivar source: what it is a copy of: as in the ledger for a source file, else a whole path, or None
    :ivar size: in bytes; None where the manifest does not say
    """

    file: str
    source: str | None
    size: int | None
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A backup's ``manifest.json``."""

    kind: BackupKind
    created_at: str
    files: tuple[ListedFile, ...]


def read_manifest(folder: Path) -> Manifest:
    """What a backup's ``manifest.json`` says.

    :raises BackupError: there is none, it is half-written, or from a newer migrator
    """
    path = folder / MANIFEST
    by_hand = f"What is in {folder} are plain copies: 'sha256sum -c {SUMS}' in there tells which of them are whole."
    try:
        # Unlike the fast reader, this one takes paths that are no text.
        content = json.loads(contents(path, LARGEST_LISTING))
    except FileNotFoundError:
        raise BackupError(f"The backup {folder} has no {MANIFEST}.", hint=by_hand) from None
    except OSError as error:
        raise BackupError(f"Cannot read {path}: {error.strerror}.", hint=by_hand) from error
    except (ValueError, RecursionError) as error:
        raise BackupError(f"{path} is half-written or damaged: {error}.", hint=by_hand) from None
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > 1:
        raise BackupError(
            f"{path} was written by a newer migrator (format {content['format']}).",
            code="backup.newer_format",
            hint="Use that version.",
        )
    try:
        return _manifest(content)
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{path} is damaged: {error}.", hint=by_hand) from None


def _manifest(content: Any) -> Manifest:
    if not isinstance(content, dict) or not isinstance(content.get("created_at"), str):
        raise TypeError("it is no manifest of a backup")
    if "database" in content:
        database = str(content["database"])  # relative to the data directory if it lies within
        listed = _listed({"file": Path(database).name, "sha256": content.get("sha256"), "source": database})
        return Manifest("database", content["created_at"], (listed,))
    kind: BackupKind = "versions" if "versions" in content else "files"
    files = content.get(kind)
    if not isinstance(files, list):
        raise TypeError(f"it has no list of {kind}")
    return Manifest(kind, content["created_at"], tuple(map(_listed, files)))


def _listed(entry: Any) -> ListedFile:
    if not isinstance(entry, dict):
        raise TypeError("an entry of it is no object")
    file, source, size, sha256 = (entry.get(name) for name in ("file", "source", "size", "sha256"))
    if not isinstance(file, str) or not is_inside(file):
        raise ValueError(f"the file {file!r} is no place inside of the backup")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"the SHA-256 of {file} is none")
    if not isinstance(source, str | None) or not isinstance(size, int | None):
        raise TypeError(f"the entry of {file} makes no sense")
    return ListedFile(file, source, size, sha256)


def is_inside(name: str) -> bool:
    """Whether a relative path stays where it starts, on any system."""
    path = PureWindowsPath(name)  # takes either separator, and sees drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name
