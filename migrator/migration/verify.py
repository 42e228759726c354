"""The deep check of a migrated database: against itself, its backups and the files it came from. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from migrator import durable
from migrator.data_dir import DataDir
from migrator.database import queries, schema
from migrator.database.connection import connect
from migrator.database.documents import read_source, read_workspace
from migrator.database.search_index import index_problems, index_state
from migrator.database.state import NO_DATABASE, read_state
from migrator.document import document_digest
from migrator.errors import MigratorError, sqlite_errors
from migrator.migration.ledger import LedgerEntry, read_ledger
from migrator.migration.readback import orphans, source_digest
from migrator.migration.reading import valid_documents
from migrator.migration.report import Listener, Progress, ignore_progress
from migrator.migration.surroundings import unlisted, what_is_amiss
from migrator.storage.flag import WHERE_TRUTH_IS_LOST, lost_truth, read_flag


@dataclass(frozen=True)
class VerifiedSource:
    """One file that was migrated, and how its sessions stand now.

    :ivar database: ``unchanged`` since the migration, ``changed`` in SQLite, or ``unreadable``
    :ivar file: ``unchanged``, ``changed`` or ``missing``; for one that failed, ``failed``
    :ivar backup: ``whole``, ``missing`` or ``damaged``; ``none`` where nothing was copied
    :ivar differences: what changed in SQLite: sessions ``added``, ``changed`` and ``removed``
    """

    source: str
    database: str
    file: str
    backup: str
    sessions: int
    differences: dict[str, int]


@dataclass(frozen=True)
class VerifyReport:
    """What the check found.

    :ivar status: ``clean``, ``broken``, or ``nothing_to_verify`` before the first migration
    :ivar broken: item by item, what is wrong
    :ivar notes: what is not wrong and worth knowing
    :ivar repaired: what ``--repair`` put right before the check
    """

    status: str
    database: str
    schema_version: int
    sources: tuple[VerifiedSource, ...]
    sessions: int
    broken: tuple[str, ...]
    notes: tuple[str, ...]
    repaired: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if self.broken else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verify(data_dir: DataDir, listener: Listener = ignore_progress) -> VerifyReport:
    """Check everything that can be checked; hashes every file, whatever the ledger says of its time of change.

    :raises MigratorError: the database can't be opened at all
    """
    path = data_dir.database
    if not path.exists():
        lost = lost_truth(data_dir, NO_DATABASE)
        if lost is not None:
            return VerifyReport("broken", str(path), 0, (), 0, (f"{lost} {WHERE_TRUTH_IS_LOST}",), ())
        notes = ["There is no database yet: run 'migrator migrate' first.", *what_is_amiss(data_dir, NO_DATABASE)]
        return VerifyReport("nothing_to_verify", str(path), 0, (), 0, (), tuple(notes))
    connection = connect(path, read_only=True)
    try:
        with sqlite_errors("verify", path):
            connection.execute("BEGIN")  # one state throughout, whoever writes meanwhile
            return _Verification(data_dir, connection, listener).run()
    finally:
        connection.close()


class _Verification:
    def __init__(self, data_dir: DataDir, connection: sqlite3.Connection, listener: Listener) -> None:
        self.data_dir = data_dir
        self.connection = connection
        self.listener = listener
        self.broken: list[str] = []
        self.notes: list[str] = []

    def run(self) -> VerifyReport:
        path = self.data_dir.database
        state = read_state(self.connection, path)
        self.notes += what_is_amiss(self.data_dir, state)
        lost = lost_truth(self.data_dir, state)
        if lost is not None:
            self.broken.append(f"{lost} {WHERE_TRUTH_IS_LOST}")
        self.broken += unlisted(self.data_dir)
        self.broken += integrity_problems(self.connection, path)
        if state.schema_version < schema.latest_version():
            note = (
                "There are no sessions in it yet."
                if state == NO_DATABASE
                else "Its schema is behind: run 'migrator schema apply'."
            )
            notes = (note, *self.notes)
            outcome = "broken" if self.broken else "nothing_to_verify"
            return VerifyReport(outcome, str(path), state.schema_version, (), 0, tuple(self.broken), notes)
        changed = sorted(schema.differences(self.connection, state.schema_version))
        if changed:
            self.notes.append(f"These differ from the schema that this migrator makes: {', '.join(changed)}.")
        sources = self.sources(read_ledger(self.connection))
        sessions = self.read_everything()
        self.check_view()
        self.check_search_index()
        return VerifyReport(
            "broken" if self.broken else "clean",
            str(path),
            state.schema_version,
            tuple(sources),
            sessions,
            tuple(self.broken),
            tuple(self.notes),
        )

    def sources(self, ledger: dict[str, LedgerEntry]) -> list[VerifiedSource]:
        verified, done = [], 0
        total = sum(entry.size for entry in ledger.values())
        for entry in ledger.values():
            verified.append(self.failed(entry) if entry.status == "failed" else self.source(entry))
            done += entry.size
            self.listener(Progress("verify", entry.source, done, total, sum(s.sessions for s in verified)))
        return verified

    def failed(self, entry: LedgerEntry) -> VerifiedSource:
        self.notes.append(f"{entry.source} was not migrated and stays JSON: {entry.error}")
        return VerifiedSource(entry.source, "none", "failed", self.backup(entry), 0, {})

    def source(self, entry: LedgerEntry) -> VerifiedSource:
        backup = self.backup(entry)
        differences: dict[str, int] = {}
        try:
            unchanged = source_digest(self.connection, entry.id) == entry.digest
        except (ValueError, KeyError, TypeError) as error:  # rescued data that is no JSON, or not of our making
            self.broken.append(f"sessions of {entry.source} can't be read back: {error!r}")
            return VerifiedSource(entry.source, "unreadable", self.file(entry), backup, entry.sessions, {})
        if not unchanged and backup == "whole" and entry.backup:
            differences = self.differences(entry, self.data_dir.root / entry.backup)
        state = "unchanged" if unchanged else "changed"
        return VerifiedSource(entry.source, state, self.file(entry), backup, entry.sessions, differences)

    def backup(self, entry: LedgerEntry) -> str:
        if entry.backup is None:
            return "none"
        copy = self.data_dir.root / entry.backup
        if not copy.exists():
            self.broken.append(f"the backup copy {copy} of {entry.source} is missing")
            return "missing"
        try:
            whole = durable.sha256_of(copy) == entry.sha256
        except MigratorError as error:
            self.broken.append(str(error))
            return "damaged"
        if not whole:
            self.broken.append(
                f"the backup copy {copy} of {entry.source} is damaged: its SHA-256 is not the recorded one"
            )
        return "whole" if whole else "damaged"

    def file(self, entry: LedgerEntry) -> str:
        path = self.data_dir.root / entry.source
        if not path.exists():
            self.notes.append(f"{entry.source} is gone; its sessions are in the database and in the backup.")
            return "missing"
        try:
            same = durable.sha256_of(path) == entry.sha256
        except MigratorError as error:
            self.notes.append(str(error))
            return "changed"
        if not same and read_flag(self.data_dir.flag) != "hybrid":  # while both stores run, we write it ourselves
            what_now = entry.error or "'migrator migrate' merges it."
            self.notes.append(f"{entry.source} changed since it was migrated: {what_now}")
        return "unchanged" if same else "changed"

    def differences(self, entry: LedgerEntry, copy: Path) -> dict[str, int]:
        """How the sessions of a source differ from its backup, by id and, for one that is doubled, by order."""
        before = dict(_numbered((d["id"], document_digest(d)) for _, d, _ in valid_documents(copy)))
        now = dict(
            _numbered((s.document["id"], document_digest(s.document)) for s in read_source(self.connection, entry.id))
        )
        found = {
            "added": len(now.keys() - before.keys()),
            "changed": sum(before[identity] != now[identity] for identity in before.keys() & now.keys()),
            "removed": len(before.keys() - now.keys()),
        }
        shown = ", ".join(f"{count} {what}" for what, count in found.items() if count)
        self.notes.append(f"{entry.source}: changed in SQLite since the migration ({shown or 'in their order'}).")
        return found

    def read_everything(self) -> int:
        """Read every document through the store's own read path; one that can't be read is broken."""
        sessions = 0
        for workspace_id, _, path in self.connection.execute(queries.ALL_WORKSPACES).fetchall():
            try:
                sessions += sum(1 for _ in read_workspace(self.connection, workspace_id))
            except (ValueError, KeyError, TypeError) as error:
                self.broken.append(f"a session of {path} can't be read back: {error!r}")
        counted = self.connection.execute(queries.SESSION_COUNT).fetchone()[0]
        if counted != sessions:
            self.broken.append(f"{counted} sessions are stored, {sessions} can be reached through their workspaces")
        return sessions

    def check_view(self) -> None:
        """The view that the app's lists are made of must count what is there."""
        if (
            self.connection.execute(queries.VIEW_COUNTS).fetchone()
            != self.connection.execute(queries.TABLE_COUNTS).fetchone()
        ):
            self.broken.append("the view session_complete does not count what the tables hold")

    def check_search_index(self) -> None:
        """The index must have exactly the words that the texts have."""
        try:
            self.broken += index_problems(self.connection, self.data_dir.database)
        except MigratorError as error:
            self.broken.append(str(error))
        state = index_state(self.connection)
        if state == "building":
            self.notes.append("The search index is not finished: 'migrator search-index build' goes on with it.")


def integrity_problems(connection: sqlite3.Connection, path: Path) -> list[str]:
    """What SQLite itself finds wrong with a database: broken pages and indexes, and children without parents."""
    with sqlite_errors("check the integrity", path):
        broken = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    return broken + orphans(connection, path)


def _numbered(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[tuple[str, int], str]]:
    seen: Counter[str] = Counter()
    for session_id, digest in pairs:
        yield (session_id, seen[session_id]), digest
        seen[session_id] += 1
