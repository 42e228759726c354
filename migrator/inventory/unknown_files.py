"""Files in ``sessions/`` whose names are not a workspace hash: copies of sync tools, notes, kept versions.

The app and a run do not read them. They are reported until the user adopts or removes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import Message, UsageError
from migrator.files.durable import TEMPORARY_SUFFIX
from migrator.files.os_errors import os_errors
from migrator.files.reading import read_chunks
from migrator.inventory.late_writes import WRITTEN_LATE_MARK, late_write_message
from migrator.inventory.ledger import LedgerEntry, classify, read_adopted
from migrator.inventory.source_files import Source, source_at
from migrator.inventory.workspace_paths import SharedEvidence
from migrator.workspace import HASH_PATTERN, named_workspace

_MOST_NAMED = 20
_LOOKED_AT = 1 << 16  # bytes: enough to see whether a file has sessions, and usually whose
_HASH = re.compile(rf"(?<![0-9a-f]){HASH_PATTERN.pattern}(?![0-9a-f])", re.IGNORECASE)
# What the system or we put there. A rollback has reported its files; a version that was kept has sessions.
_KNOWN = re.compile(
    rf"\.DS_Store|Thumbs\.db|desktop\.ini|\..*({re.escape(TEMPORARY_SUFFIX)}|\.replaced)"
    r"|.*\.(torn-tail|not-sessions|quarantined|orphans)(-\d+)?",
    re.DOTALL,
)
ADOPT = "'migrator migrate --adopt FILE' adds what SQLite lacks of it, and deletes nothing."


def name_in_ledger(data_dir: DataDir, place: str) -> str:
    """Return the name that the ledger has for an adopted file: relative in ``sessions/``, else the whole path."""
    folder, name = os.path.split(place)
    shown = f"sessions/{name}" if os.path.realpath(folder) == os.path.realpath(data_dir.sessions) else place
    return shown.encode("utf-8", "backslashreplace").decode()  # a name may have any bytes, the ledger has text


def adopted_files(database: Path) -> dict[str, LedgerEntry]:
    """Return the ledger's rows of the adopted files, by their names."""
    with opened(database, read_only=True) as connection, sqlite_errors("read the ledger", database):
        return read_adopted(connection)


def reports_of(
    data_dir: DataDir, names: Iterable[str], paths: Mapping[str, str], known: Container[str], *, has_ledger: bool
) -> list[Message]:
    """Return the messages about the entries of ``sessions/`` that are not the app's; adopted ones are left out.

    :param paths: workspace hash to workspace path, as far as known
    :param known: the hashes of known workspaces
    """
    left = [name for name in names if not _KNOWN.fullmatch(name)]
    if not left:
        return []
    adopted = adopted_files(data_dir.database) if has_ledger else {}
    found: list[Message] = []
    for name in left:
        place = os.path.join(data_dir.sessions, name)
        source = source_at(name_in_ledger(data_dir, place), place, "adopted", None)
        entry = adopted.get(source.name)
        if entry is None or classify(source, entry) == "pending":
            found.append(_report(source, paths, known))
    if len(found) > _MOST_NAMED:
        more = f"{len(found) - _MOST_NAMED} more entries of {data_dir.sessions} are not named like session files."
        found[_MOST_NAMED:] = [Message(more, code="source.invalid_name", hint=ADOPT)]
    return found


def _report(source: Source, paths: Mapping[str, str], known: Container[str]) -> Message:
    begin = b"" if source.error else _beginning(source)
    if begin is None or not begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        what = f"{source.place} is not a session file; nothing reads it."
        return Message(what, code="source.unknown_file", hint="Move it out of sessions/.")
    if WRITTEN_LATE_MARK in source.name:
        return late_write_message(Path(source.place))
    what = f"{source.place} is not migrated: its name is not a workspace hash."
    evidence = SharedEvidence(known)
    evidence.feed(begin)
    named = hash_in(source.name)
    if named is not None:
        path = f", of the workspace {paths[named]}" if named in paths else ""
        return Message(f"{what} It seems to be a copy of {named}.json{path}.", code="source.invalid_name", hint=ADOPT)
    if evidence.proven:
        shown = ", ".join(path for _, path in evidence.proven[:3])
        return Message(f"{what} Its sessions are of {shown}.", code="source.invalid_name", hint=ADOPT)
    hint = f"{ADOPT} Name its workspace with --workspace PATH."
    return Message(f"{what} It does not show its workspace.", code="source.invalid_name", hint=hint)


def _beginning(source: Source) -> bytes | None:
    try:
        with open(source.place, "rb") as file:
            return file.read(_LOOKED_AT)
    except OSError:
        return None


def hash_in(name: str) -> str | None:
    """Return the workspace hash in a file's name; None if it has none."""
    found = _HASH.search(os.path.basename(name))
    return found[0].lower() if found else None


def to_adopt(
    data_dir: DataDir,
    files: Iterable[str | os.PathLike[str]],
    own: Collection[Source],
    known: Mapping[str, str],
    named: Collection[str | os.PathLike[str]],
) -> Iterator[Source]:
    """Yield a source for each file to adopt, with its workspace: by its name, else by its worktrees, else as given.

    :param own: the sources of the data directory, which are migrated anyway
    :param known: the path or a placeholder of each known workspace, by its hash
    :param named: workspaces that the user gave
    :raises UsageError: there is no such file, it is migrated anyway, or nothing shows its workspace
    """
    taken = {os.path.realpath(source.place) for source in own}
    for file in files:
        place = os.path.abspath(file)
        if os.path.realpath(place) in taken:
            raise UsageError(
                f"{place} is one of the app's files, which are migrated anyway.",
                code="option.adopt_own_file",
                hint="Leave out --adopt.",
            )
        source = source_at(name_in_ledger(data_dir, place), place, "adopted", None)
        if source.error is not None:
            error = source.error if os.path.lexists(place) else Message("there is no such file.", code="file.missing")
            raise UsageError(f"Cannot adopt {place}: {error.message}", code="option.adopt_unreadable", hint=error.hint)
        yield source._replace(workspace_hash=hash_in(place) or _hash_shown(place, known, named))


def _hash_shown(place: str, known: Mapping[str, str], named: Collection[str | os.PathLike[str]]) -> str | None:
    """The only workspace that a file shows, or the one that was given; None if it shows several."""
    evidence = SharedEvidence(known)
    with os_errors("read", place), read_chunks(place) as chunks:
        for chunk in chunks:
            evidence.feed(chunk)
    if evidence.proven:
        return evidence.proven[0][0] if len(evidence.proven) == 1 else None
    if len(named) == 1:
        return named_workspace(next(iter(named)), known)
    raise UsageError(
        f"Nothing shows which workspace the sessions in {place} belong to.",
        code="option.adopt_workspace_unknown",
        hint="Name it with --workspace PATH; 'migrator status' lists the workspaces.",
    )
