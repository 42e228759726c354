"""The folder of a backup: the files, ``SHA256SUMS`` for ``sha256sum -c``, and ``manifest.json``.

It gets its name when it is complete. A folder without one was left by an interrupted run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, NamedTuple

from migrator.data_dir import INCOMPLETE
from migrator.errors import BackupError
from migrator.files import durable
from migrator.files.durable import make_private
from migrator.files.output import scratch
from migrator.files.reading import contents, opened
from migrator.text import pretty

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
NAME = re.compile(r"\d{8}T\d{6}Z-[^/\\]+")
LARGEST_LISTING = 1 << 28  # bytes: enough for a million files
_SEQUENCE = re.compile(rb'\{\s*"sequence":\s*(\d{1,15})\b')
_BEGINNING = 64  # bytes of a manifest that have its sequence number, which is its first member
_SHA256 = re.compile(r"[0-9a-f]{64}")

BackupKind = Literal["files", "database", "versions"]


def stamp() -> str:
    """The current time in UTC, as the names of backups begin with it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def working_folder(backups: Path) -> Iterator[Path]:
    """A new private folder to fill; removed at the end unless it got a backup's name."""
    working = backups / f"{INCOMPLETE}{stamp()}-{os.getpid()}-{os.urandom(4).hex()}"
    with scratch(working):
        make_private(backups)
        yield working


def next_sequence(backups: Path) -> int:
    """The sequence number of the next backup: the clock, from which names are made, may go back."""
    return 1 + max((sequence_of(folder) for folder in backups.glob("[0-9]*")), default=0)


def sequence_of(folder: Path) -> int:
    """The sequence number in a backup's manifest, of which only the beginning is read; 0 if there is none."""
    try:
        with opened(folder / MANIFEST) as file:
            found = _SEQUENCE.match(file.read(_BEGINNING))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def write_listing(folder: Path, manifest: dict[str, object], files: Iterable[dict[str, Any]]) -> None:
    """Write a backup's manifest and its SHA256SUMS; earlier ones are replaced."""
    sums = "".join(f"{file['sha256']}  {file['file']}\n" for file in files)
    durable.replace(folder / SUMS, [sums.encode("utf-8", "surrogateescape")])
    durable.replace(folder / MANIFEST, [pretty(manifest).encode()])


def give_name(working: Path, backups: Path, name: str) -> Path:
    """Give a finished backup its name, with a number appended if the name is taken."""
    names = (backups / f"{name}{f'-{number}' if number else ''}" for number in itertools.count())
    final = next(path for path in names if not path.exists())
    durable.rename_folder(working, final)
    return final


def keep_versions(backups: Path, why: str, versions: dict[str, bytes], sequence: int) -> Path:
    """Save session versions that are about to be dropped and may exist nowhere else.

    :param why: a word for the folder's name
    :param versions: the contents, by file name
    :param sequence: of :func:`next_sequence`, which looks at every backup: those of one run have the same
    :returns: the folder, which is a backup of its own
    """
    with working_folder(backups) as working:
        files: list[dict[str, object]] = []
        for name, content in versions.items():
            durable.write_new(working / name, [content])
            files.append({"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
        now = stamp()
        manifest = {"sequence": sequence, "format": 1, "created_at": now, "why": why, "versions": files}
        write_listing(working, manifest, files)
        return give_name(working, backups, f"{now}-{why}")


class ListedFile(NamedTuple):
    """One file as a manifest lists it.

    :ivar file: the copy, relative to the backup's folder
    :ivar source: what it is a copy of: as in the ledger for a source file, else a full path, or None
    :ivar size: in bytes; None if the manifest does not say
    """

    file: str
    source: str | None
    size: int | None
    sha256: str


class Manifest(NamedTuple):
    """A backup's ``manifest.json``.

    :ivar damaged: damaged copies that were set aside, under names of their own
    """

    kind: BackupKind
    created_at: str
    files: tuple[ListedFile, ...]
    damaged: tuple[str, ...] = ()


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's ``manifest.json``.

    :raises BackupError: it is missing, damaged, or from a newer migrator
    """
    path = folder / MANIFEST
    by_hand = f"The files in {folder} are plain copies: run 'sha256sum -c {SUMS}' there to see which are undamaged."
    try:
        # Unlike the fast reader, this one accepts paths that are not valid UTF-8.
        content = json.loads(contents(path, LARGEST_LISTING))
    except FileNotFoundError:
        raise BackupError(
            f"The backup {folder} has no {MANIFEST}.", code="backup.manifest_missing", hint=by_hand
        ) from None
    except OSError as error:
        raise BackupError(f"Cannot read {path}: {error.strerror}.", code="file.unreadable", hint=by_hand) from error
    except (ValueError, RecursionError) as error:
        raise BackupError(
            f"{path} is truncated or damaged: {error}.", code="backup.manifest_damaged", hint=by_hand
        ) from None
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > 1:
        raise BackupError(
            f"{path} was written by a newer migrator (format {content['format']}).",
            code="backup.newer_format",
            hint="Use that version.",
        )
    try:
        return _manifest(content)
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{path} is damaged: {error}.", code="backup.manifest_damaged", hint=by_hand) from None


def _manifest(content: Any) -> Manifest:
    if not isinstance(content, dict) or not isinstance(content.get("created_at"), str):
        raise TypeError("it is not a backup's manifest")
    if "database" in content:
        database = str(content["database"])  # relative if it is in the data directory
        listed = _listed({"file": Path(database).name, "sha256": content.get("sha256"), "source": database})
        return Manifest("database", content["created_at"], (listed,))
    kind: BackupKind = "versions" if "versions" in content else "files"
    files = content.get(kind)
    if not isinstance(files, list):
        raise TypeError(f"the list of {kind} is missing")
    return Manifest(
        kind, content["created_at"], tuple(map(_listed, files)), tuple(map(str, content.get("damaged", ())))
    )


def _listed(entry: Any) -> ListedFile:
    if not isinstance(entry, dict):
        raise TypeError("an entry is not an object")
    file, source, size, sha256 = (entry.get(name) for name in ("file", "source", "size", "sha256"))
    if not isinstance(file, str) or not is_inside(file):
        raise ValueError(f"the path {file!r} is not inside the backup")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"the SHA-256 of {file} is invalid")
    if not isinstance(source, str | None) or not isinstance(size, int | None):
        raise TypeError(f"the entry of {file} is invalid")
    return ListedFile(file, source, size, sha256)


def is_inside(name: str) -> bool:
    """Whether a relative path stays within its folder, on any system."""
    path = PureWindowsPath(name)  # knows both separators and drive letters
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name
