"""Compares one migrated file with its sessions in SQLite, the ledger, its backup and the file as it is now."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from migrator.authority import is_hybrid
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.documents import StoredDocument, find_workspace, read_source, read_workspace
from migrator.database.invalid import UNREADABLE, reraise_unless_data_error
from migrator.documents.document import SequenceDigest
from migrator.documents.parsing import parse_file
from migrator.errors import MigratorError
from migrator.files import copying, durable
from migrator.inventory.ledger import LedgerEntry
from migrator.inventory.source_files import place_of_source
from migrator.reconciliation.moved import moved_sessions
from migrator.text import counted
from migrator.verification.findings import Finding, broken, notable, note, problem

_SHOWN = 3  # ids in a message; the report has all of them
_Sessions = list[tuple[str, bytes]]
"""The id and digest of each session."""


@dataclass(frozen=True)
class VerifiedSource:
    """One migrated file and the state of its sessions.

    :ivar database: ``unchanged`` since the migration, ``changed`` in SQLite, or ``unreadable``
    :ivar file: ``unchanged``, ``changed`` or ``missing``; ``failed`` if it was not migrated
    :ivar backup: ``whole``, ``missing`` or ``damaged``; ``none`` if the file was not copied
    :ivar differences: the ids of the sessions that were ``added``, ``changed`` and ``removed`` in SQLite, and of those
        that were ``moved`` to another workspace, if there are some
    """

    source: str
    database: str
    file: str
    backup: str
    sessions: int
    differences: dict[str, list[str]]


class SourceCheck:
    """Checks one source after the other.

    :param findings: the list to which findings are added
    """

    def __init__(self, data_dir: DataDir, connection: sqlite3.Connection, findings: list[Finding]) -> None:
        self._data_dir = data_dir
        self._connection = connection
        self._findings = findings
        self._is_hybrid = is_hybrid(data_dir)
        self._moved = {key for key, _ in moved_sessions(connection)}

    def check(self, entry: LedgerEntry) -> VerifiedSource:
        backup = self._backup(entry)
        if entry.status == "failed":
            if failure := entry.failure:
                message = f"{entry.source} could not be migrated and stays as it is."
                self._findings.append(note("source", message, code=failure.code, hint="'migrator status' shows why."))
            return VerifiedSource(entry.source, "none", "failed", backup, 0, {})
        copy = self._data_dir.recorded(entry.backup) if backup == "whole" and entry.backup else None
        state, differences = self._database(entry, copy)
        return VerifiedSource(entry.source, state, self._file(entry), backup, entry.session_count, differences)

    def _database(self, entry: LedgerEntry, copy: Path | None) -> tuple[str, dict[str, list[str]]]:
        """Compare the source's sessions in SQLite with what was migrated, if possible with its backup copy."""
        try:
            stored = [*map(_brief, read_source(self._connection, entry.id))]
        except UNREADABLE as error:
            reraise_unless_data_error(error)
            self._findings.append(broken("session.unreadable", source=entry.source))
            return "unreadable", {}
        now = [(name, own) for key, name, own in stored if key not in self._moved]
        moved = [name for key, name, _ in stored if key in self._moved]
        if _digest(now) == entry.digest:
            self._compare_counts(entry)
            return "unchanged", {}
        if copy is None:
            self._findings.append(notable("source.changed_in_database", source=entry.source, differences=""))
            return "changed", {}
        before = [(session.value["id"], session.digest()) for _, session in parse_file(copy) if session]
        if _digest(before) != entry.digest:
            self._findings.append(broken("migration.ledger_changed", source=entry.source, copy=copy))
        if self._is_hybrid and entry.source.startswith("sessions/"):
            before = self._without_repeated(before, entry)
        if before == now:
            return "unchanged", {}
        differences = _differences(before, now)
        if moved:
            differences |= {"moved": moved, "removed": [*(Counter(differences["removed"]) - Counter(moved)).elements()]}
        shown = f" ({_summary(differences)})"
        self._findings.append(notable("source.changed_in_database", source=entry.source, differences=shown))
        return "changed", differences

    def _without_repeated(self, before: _Sessions, entry: LedgerEntry) -> _Sessions:
        """Leave out sessions that hybrid mode wrote to the workspace's file though they are from another file."""
        workspace = find_workspace(self._connection, entry.workspace_hash or "")
        if workspace is None:
            return before
        others = Counter(
            (stored.document["id"], stored.digest())
            for stored in read_workspace(self._connection, workspace[0])
            if stored.source_id != entry.id
        )
        left = []
        for session in before:
            if others[session] > 0:
                others[session] -= 1
            else:
                left.append(session)
        return left

    def _compare_counts(self, entry: LedgerEntry) -> None:
        """Compare the ledger's counts with the database, for a source that has not changed in it."""
        rows = self._connection.execute(queries.COUNTS_OF_SOURCE, (entry.id,)).fetchall()
        sums = [sum(row[column] for row in rows) for column in (2, 3, 4)]
        recorded = [entry.session_count, entry.instances, entry.messages]
        for what, found, expected in zip(("sessions", "instances", "messages"), sums, recorded, strict=True):
            if found != expected:
                facts = {"source": entry.source, "what": what, "expected": expected, "count": found}
                self._findings.append(broken("migration.ledger_count", **facts))
        held = len(self._connection.execute(queries.RESTORABLE_QUARANTINE, (entry.id,)).fetchall())
        expected_items = entry.quarantined - (entry.dismissed or 0)
        if held < expected_items:
            items = counted(expected_items - held, "item")
            self._findings.append(notable("quarantine.items_removed", source=entry.source, items=items))

    def _backup(self, entry: LedgerEntry) -> str:
        if entry.backup is None:
            return "none"
        copy = self._data_dir.recorded(entry.backup)
        for name in set(entry.base_copies) - {entry.backup}:
            if not durable.exists(self._data_dir.recorded(name)):
                facts = {"source": entry.source, "copy": self._data_dir.recorded(name)}
                self._findings.append(broken("backup.file_missing", **facts))
        try:
            if not durable.exists(copy):
                self._findings.append(broken("backup.file_missing", source=entry.source, copy=copy))
                return "missing"
            if copying.sha256_of(copy) == entry.sha256:
                return "whole"
            self._findings.append(broken("backup.file_damaged", source=entry.source, copy=copy))
        except MigratorError as error:
            self._findings.append(problem("backup", error.message, code=error.code, hint=error.hint))
        return "damaged"

    def _file(self, entry: LedgerEntry) -> str:
        try:
            path = place_of_source(self._data_dir, entry.source)
        except MigratorError as error:
            self._findings.append(problem("source", error.message, code=error.code, hint=error.hint))
            return "missing"
        try:
            if not durable.exists(path):
                self._findings.append(notable("source.missing", source=entry.source))
                return "missing"
            same = copying.sha256_of(path) == entry.sha256
        except MigratorError as error:
            self._findings.append(note("source", error.message, code=error.code, hint=error.hint))
            return "changed"
        if same:
            return "unchanged"
        if not self._is_hybrid:  # in hybrid mode we write the file ourselves
            outlook = "'migrator migrate' merges it."
            if entry.failure:
                outlook = f"It cannot be migrated as it is: {entry.failure}"
            elif looks_unchanged(entry, path):
                outlook = (
                    "Its size, inode and modification time are the same, so 'migrator migrate' would not notice: run "
                )
                outlook += "'migrator verify --repair' first."
            self._findings.append(notable("source.changed", source=entry.source, outlook=outlook))
        return "changed"


def looks_unchanged(entry: LedgerEntry, path: Path) -> bool:
    """Return whether a file's size, modification time and inode are the recorded ones."""
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns, found.st_ino) == (entry.size, entry.mtime_ns, entry.inode)


def _brief(stored: StoredDocument) -> tuple[str, str, bytes]:
    return stored.key, stored.document["id"], stored.digest()


def _digest(sessions: _Sessions) -> str:
    digest = SequenceDigest()
    for _, own in sessions:
        digest.add_digest(own)
    return digest.hexdigest()


def _differences(before: _Sessions, now: _Sessions) -> dict[str, list[str]]:
    """Return the ids of the sessions that differ; sessions with the same id are distinguished by their order."""
    old, new = _numbered(before), _numbered(now)
    return {
        "added": [name for name, number in new if (name, number) not in old],
        "changed": [key[0] for key in new if key in old and old[key] != new[key]],
        "removed": [name for name, number in old if (name, number) not in new],
    }


def _numbered(sessions: _Sessions) -> dict[tuple[str, int], bytes]:
    seen: Counter[str] = Counter()
    numbered = {}
    for session_id, digest in sessions:
        numbered[session_id, seen[session_id]] = digest
        seen[session_id] += 1
    return numbered


def _summary(differences: dict[str, list[str]]) -> str:
    found = [
        f"{len(ids)} {what}: {', '.join(map(repr, ids[:_SHOWN]))}{', …' if len(ids) > _SHOWN else ''}"
        for what, ids in differences.items()
        if ids
    ]
    return "; ".join(found) or "in their order"
