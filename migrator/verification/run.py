"""Checks a migrated database thoroughly against itself, its backups and the original files. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from migrator.authority import NO_DATABASE, State, broken_link, missing_database, read_state
from migrator.data_dir import DataDir, require_place
from migrator.database import queries, schema
from migrator.database.connection import opened
from migrator.database.documents import read_workspace
from migrator.database.errors import sqlite_errors
from migrator.database.invalid import UNREADABLE, InvalidStoredSession, read_carefully
from migrator.documents.validation import is_valid
from migrator.errors import ConnectionFailed, Message, MigratorError, SchemaError, StorageIOError
from migrator.files import durable
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.migration.rolled_back.changes import changed_sessions
from migrator.ownership import foreign_database
from migrator.progress import Listener, Progress, ignore_progress
from migrator.report import Report, problems_of
from migrator.salvage.intact import INDEX_ONLY
from migrator.search.index import index_problems, index_state
from migrator.text import counted
from migrator.verification.data_dir_check import as_notes, check_listings, find_problems
from migrator.verification.findings import Finding, Level, broken, notable, note, problem
from migrator.verification.source_check import SourceCheck, VerifiedSource

# The usual hint says to run 'migrator verify', which the user has just done.
RESTORE = (
    "Keep a copy of the database. 'migrator export --to ~/sessions' and 'migrator rollback --salvage' write what can "
    "be read to JSON files; 'migrator backups list' shows what can be restored instead."
)


@dataclass(frozen=True)
class VerifyReport(Report):
    """What the check found.

    :ivar status: ``clean``, ``broken``, or ``nothing_to_verify`` before the first migration
    :ivar broken: each thing that is wrong
    :ivar notes: what is worth knowing, but not wrong
    :ivar repaired: what ``--repair`` repaired before the check
    """

    status: str
    database: str
    schema_version: int
    sources: tuple[VerifiedSource, ...]
    sessions: int
    broken: tuple[Message, ...]
    notes: tuple[Message, ...]
    repaired: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if self.broken else 0

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | problems_of(self.broken)


def verify(data_dir: DataDir, listener: Listener = ignore_progress) -> VerifyReport:
    """Check everything that can be checked; hashes every file, even if its modification time has not changed.

    :raises UsageError: this is not a data directory of the app
    :raises MigratorError: the database cannot be opened at all
    """
    require_place(data_dir)
    path = data_dir.database
    if not durable.exists(path):
        lost = messages(_missing_database(data_dir, NO_DATABASE), "problem")
        if lost:
            return VerifyReport("broken", str(path), 0, (), 0, lost, ())
        around = [*as_notes(find_problems(data_dir, NO_DATABASE)), *check_listings(data_dir)]
        notes = messages([notable("database.not_created"), *around], "note")
        return VerifyReport("nothing_to_verify", str(path), 0, (), 0, (), notes)
    try:
        with opened(path, read_only=True) as connection:
            with sqlite_errors("verify", path):
                connection.execute("BEGIN")  # one snapshot, even if another process writes
            return _Verification(data_dir, connection, listener).run()
    except ConnectionFailed as error:
        if not is_damage(error):
            raise
        raise ConnectionFailed(error.message, code=error.code, hint=RESTORE) from error.__cause__


class _Verification:
    """One check of a database, which goes on after each error."""

    def __init__(self, data_dir: DataDir, connection: sqlite3.Connection, listener: Listener) -> None:
        self.data_dir = data_dir
        self.path = data_dir.database
        self.connection = connection
        self.listener = listener
        self.findings: list[Finding] = []

    def run(self) -> VerifyReport:
        state = read_state(self.connection, self.path)
        behind = state.schema_version < schema.latest_version()
        if behind:
            with self.continuing("the schema"):
                schema.require_upgradable(self.connection, self.path)
                self.findings.append(notable("database.empty" if state == NO_DATABASE else "schema.outdated"))
        foreign = foreign_database(self.data_dir)
        if foreign is not None:
            message = f"{foreign.message} So it was not compared with the files and backups here."
            self.findings.append(note("data directory", message, code=foreign.code, hint=foreign.hint))
        else:
            self.check_surroundings(state)
        self.findings += check_integrity(self.connection).findings
        with self.continuing("the header"):
            self.findings += [broken("database.from_dump")] if was_loaded_from_dump(self.connection) else []
        if not state.has_ledger:
            return self.report("nothing_to_verify", state, [], 0)
        with self.continuing("the schema"):
            changed = sorted(schema.differences(self.connection, state.schema_version))
            self.findings += [notable("schema.differs", names=", ".join(changed))] if changed else []
        sources: list[VerifiedSource] = []
        proven: set[int] = set()
        with self.continuing("the ledger"):
            ledger = read_ledger(self.connection) if foreign is None else {}
            sources = self.check_sources(ledger)
            proven = {ledger[source.source].id for source in sources if source.database == "unchanged"}
        sessions = self.read_the_rest(proven)
        self.check_derived(state, behind=behind)
        return self.report("clean", state, sources, sessions)

    def check_surroundings(self, state: State) -> None:
        with self.continuing("the data directory"):
            self.findings += as_notes(find_problems(self.data_dir, state))
        with self.continuing("the backups"):
            self.findings += check_listings(self.data_dir)
        self.findings += _missing_database(self.data_dir, state)

    def report(self, outcome: str, state: State, sources: list[VerifiedSource], sessions: int) -> VerifyReport:
        problems, notes = messages(self.findings, "problem"), messages(self.findings, "note")
        status = "broken" if problems else outcome
        return VerifyReport(status, str(self.path), state.schema_version, tuple(sources), sessions, problems, notes)

    @contextmanager
    def continuing(self, what: str) -> Iterator[None]:
        """Turn an error within the block into a finding, so that the other checks go on."""
        try:
            with sqlite_errors(f"check {what}", self.path):
                yield
        except MigratorError as error:
            keeps_hint = isinstance(error, (SchemaError, StorageIOError))
            hint = RESTORE if is_damage(error) else error.hint if keeps_hint else None
            self.findings.append(problem(what, error.message, code=error.code, hint=hint))

    def check_sources(self, ledger: dict[str, LedgerEntry]) -> list[VerifiedSource]:
        check = SourceCheck(self.data_dir, self.connection, self.findings)
        verified: list[VerifiedSource] = []
        total, done = sum(entry.size for entry in ledger.values()), 0
        for entry in ledger.values():
            with self.continuing(f"the sessions of {entry.source}"):
                verified.append(check.check(entry))
            done += entry.size
            self.listener(Progress("verify", entry.source, done, total, sum(s.sessions for s in verified)))
        return verified

    def read_the_rest(self, proven: Container[int]) -> int:
        """Read every session that is not as it was migrated; one that is invalid or unreadable is broken.

        :param proven: ids of the sources whose sessions are exactly those that were migrated
        :returns: how many sessions there are
        """
        sessions = 0
        with self.continuing("the workspaces"):
            for workspace_id, _, path in self.connection.execute(queries.ALL_WORKSPACES).fetchall():
                with self.continuing(f"the sessions of {path}"):
                    found = self.connection.execute(queries.SOURCES_OF_WORKSPACE, (workspace_id,)).fetchall()
                    sessions += len(found)
                    rest = [key for key, source_id in found if source_id not in proven]
                    if len(rest) < len(found) or not self.is_valid_workspace(workspace_id):
                        self.read_one_by_one(rest, path)
            for key, workspace_id in self.connection.execute(queries.UNREACHABLE_SESSIONS).fetchall():
                self.findings.append(broken("session.without_workspace", key=key, workspace=workspace_id))
        return sessions

    def is_valid_workspace(self, workspace_id: int) -> bool:
        """Return whether all of its sessions are valid, which is faster than finding out which are not."""
        with suppress(*UNREADABLE, sqlite3.DatabaseError):
            return all(is_valid(stored.document) for stored in read_workspace(self.connection, workspace_id))
        return False

    def read_one_by_one(self, keys: Iterable[str], path: str) -> None:
        for key in keys:
            with self.continuing(f"the session {key!r} of {path}"):
                found = read_carefully(self.connection, key)
                if isinstance(found, InvalidStoredSession):
                    self.findings.append(broken("session.invalid", workspace=path, session=found))

    def check_derived(self, state: State, *, behind: bool) -> None:
        """Check what is derived from the sessions: the record of a rollback, the view for lists, the search index."""
        if state.status == "rolled_back" and not behind:  # older schemas do not record it
            with self.continuing("what was written after the rollback"):
                late = sum(1 for _ in changed_sessions(self.connection))
                self.findings += (
                    [notable("session.written_after_rollback", sessions=counted(late, "session"))] if late else []
                )
        with self.continuing("the view session_complete"):
            viewed = self.connection.execute(queries.VIEW_COUNTS).fetchone()
            if viewed != self.connection.execute(queries.TABLE_COUNTS).fetchone():
                self.findings.append(broken("database.view_wrong"))
        if not behind:
            with self.continuing("the search index"):
                found = index_problems(self.connection, self.path)
                self.findings += [
                    problem("search index", text.message, code=text.code, hint=text.hint) for text in found
                ]
                if index_state(self.connection) == "building":
                    self.findings.append(notable("search_index.unfinished"))


def was_loaded_from_dump(connection: sqlite3.Connection) -> bool:
    """Return whether the header lacks the version of the program that made the tables: an SQL dump has no header."""
    if schema.version(connection) < schema.VALUES_VERSION:  # before, the app may have made them
        return False
    return bool(connection.execute("PRAGMA user_version").fetchone() == (0,))


def _missing_database(data_dir: DataDir, state: State) -> list[Finding]:
    """Check that the database that storage.json points at exists."""
    missing = missing_database(data_dir, state) or broken_link(data_dir)
    if missing is None:
        return []
    return [problem("database", missing.message, code=missing.code, hint=missing.hint)]


def messages(findings: Iterable[Finding], level: Level) -> tuple[Message, ...]:
    """Return the messages of the findings of a level."""
    return tuple(finding.message for finding in findings if finding.level == level)


class Integrity(NamedTuple):
    """What SQLite's own checks found.

    :ivar indexes: the indexes that do not match their tables
    """

    findings: list[Finding]
    indexes: list[str]


def check_integrity(connection: sqlite3.Connection) -> Integrity:
    """Find broken pages and indexes, and rows without their parents, as far as SQLite can read the database."""
    texts, ended = _checked(connection, "integrity_check")
    if ended and not texts:
        texts, _ = _checked(connection, "quick_check")  # it does not compare indexes, and gets further
    indexes: Counter[str] = Counter()
    findings: list[Finding] = []
    for text in texts:
        if match := INDEX_ONLY.fullmatch(text):
            indexes[match[1]] += 1
        elif text != "ok":
            findings.append(problem("database", f"SQLite's integrity check: {text}.", code="database.damaged"))
    findings += ended
    findings += [
        broken("database.index_wrong", index=name, count=counted(number, "difference"))
        for name, number in sorted(indexes.items())
    ]
    try:
        orphans: dict[tuple[str, str], list[int]] = {}
        for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            orphans.setdefault((table, parent), []).append(rowid)
        for (table, parent), rowids in orphans.items():
            count = "1 row refers" if len(rowids) == 1 else f"{len(rowids):,} rows refer"
            findings.append(broken("database.orphaned_rows", table=table, parent=parent, count=count, rowid=rowids[0]))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        findings.append(problem("database", f"SQLite cannot check references: {error}.", code="database.damaged"))
    return Integrity(findings, sorted(indexes))


def is_damage(error: MigratorError) -> bool:
    """Return whether an error means that pages of the database are damaged."""
    return error.code == "database.damaged"


def _checked(connection: sqlite3.Connection, pragma: str) -> tuple[list[str], list[Finding]]:
    """Run one of SQLite's checks; return what it found and, if it ended early, why."""
    found: list[str] = []
    try:
        for (text,) in connection.execute(f"PRAGMA {pragma}"):
            found.append(text)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        message = f"SQLite's integrity check ended early: {error}."
        return found, [problem("database", message, code="database.damaged", hint=RESTORE)]
    return found, []
