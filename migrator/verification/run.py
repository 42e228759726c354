"""The deep check of a migrated database: against itself, its backups and the files it came from. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from migrator.authority import NO_DATABASE, State, missing_database, read_state
from migrator.data_dir import DataDir
from migrator.database import queries, schema
from migrator.database.connection import opened
from migrator.database.documents import read_workspace
from migrator.database.errors import sqlite_errors
from migrator.database.invalid import UNREADABLE, InvalidStoredSession, read_carefully
from migrator.documents.validation import is_valid
from migrator.errors import ConnectionFailed, MigratorError, StorageIOError
from migrator.files import durable
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.migration.post_rollback import changed_sessions
from migrator.progress import Listener, Progress, ignore_progress
from migrator.report import Report
from migrator.search.index import index_problems, index_state
from migrator.text import counted
from migrator.verification.data_dir_check import as_notes, find_problems, find_unlisted_files
from migrator.verification.findings import Finding, Level, broken, note, problem
from migrator.verification.source_check import SourceCheck, VerifiedSource

# For whoever verifies already: the message for anybody else is to do that.
WAY_OUT_OF_DAMAGE = "Keep a copy of the database; 'migrator backups list' tells what there is to restore."


@dataclass(frozen=True)
class VerifyReport(Report):
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


def verify(data_dir: DataDir, listener: Listener = ignore_progress) -> VerifyReport:
    """Check everything that can be checked; hashes every file, whatever the ledger says of its time of change.

    :raises MigratorError: the database can't be opened at all
    """
    path = data_dir.database
    if not durable.exists(path):
        lost = messages(_missing_database(data_dir, NO_DATABASE), "problem")
        if lost:
            return VerifyReport("broken", str(path), 0, (), 0, lost, ())
        around = [*as_notes(find_problems(data_dir, NO_DATABASE)), *find_unlisted_files(data_dir)]
        notes = messages([note("no database"), *around], "note")
        return VerifyReport("nothing_to_verify", str(path), 0, (), 0, (), notes)
    try:
        with opened(path, read_only=True) as connection:
            with sqlite_errors("verify", path):
                connection.execute("BEGIN")  # one state throughout, whoever writes meanwhile
            return _Verification(data_dir, connection, listener).run()
    except ConnectionFailed as error:
        if not is_damage(error):  # whoever verifies what can't even be opened knows that
            raise
        raise ConnectionFailed(error.message, hint=WAY_OUT_OF_DAMAGE) from error.__cause__


class _Verification:
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
            self.findings.append(note("no sessions" if state == NO_DATABASE else "old schema"))
        with self.continuing("the data directory"):
            self.findings += as_notes(find_problems(self.data_dir, state))
        with self.continuing("the backups"):
            self.findings += find_unlisted_files(self.data_dir)
        self.findings += _missing_database(self.data_dir, state)
        self.findings += integrity_problems(self.connection)
        if not state.has_ledger:
            return self.report("nothing_to_verify", state, [], 0)
        with self.continuing("the schema"):
            changed = sorted(schema.differences(self.connection, state.schema_version))
            self.findings += [note("changed schema", names=", ".join(changed))] if changed else []
        sources: list[VerifiedSource] = []
        proven: set[int] = set()
        with self.continuing("the ledger"):
            ledger = read_ledger(self.connection)
            sources = self.check_sources(ledger)
            proven = {ledger[source.source].id for source in sources if source.database == "unchanged"}
        sessions = self.read_the_rest(proven)
        self.check_derived(state, behind=behind)
        return self.report("clean", state, sources, sessions)

    def report(self, outcome: str, state: State, sources: list[VerifiedSource], sessions: int) -> VerifyReport:
        problems, notes = messages(self.findings, "problem"), messages(self.findings, "note")
        status = "broken" if problems else outcome
        return VerifyReport(status, str(self.path), state.schema_version, tuple(sources), sessions, problems, notes)

    @contextmanager
    def continuing(self, what: str) -> Iterator[None]:
        """What can't be checked is broken; all else is checked nevertheless."""
        try:
            with sqlite_errors(f"check {what}", self.path):
                yield
        except MigratorError as error:
            way_out = WAY_OUT_OF_DAMAGE if is_damage(error) else error.hint if isinstance(error, StorageIOError) else ""
            self.findings.append(problem(what, f"{error.message} {way_out or ''}".rstrip()))

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
        """Read every session that is not as it was migrated; one that is none, or can't be read, is broken.

        :param proven: the sources whose sessions were read, and are the valid ones that were migrated
        :returns: how many sessions there are, in whatever workspace
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
                self.findings.append(broken("lost workspace", key=key, workspace=workspace_id))
        return sessions

    def is_valid_workspace(self, workspace_id: int) -> bool:
        """Whether all of its sessions are valid: faster than to look at each; which are not is not told."""
        with suppress(*UNREADABLE, sqlite3.DatabaseError):
            return all(is_valid(stored.document) for stored in read_workspace(self.connection, workspace_id))
        return False

    def read_one_by_one(self, keys: Iterable[str], path: str) -> None:
        for key in keys:
            with self.continuing(f"the session {key!r} of {path}"):
                found = read_carefully(self.connection, key)
                if isinstance(found, InvalidStoredSession):
                    self.findings.append(broken("invalid session", workspace=path, session=found))

    def check_derived(self, state: State, *, behind: bool) -> None:
        """What is made from the sessions: the record of a rollback, the view of the app's lists, the search index."""
        if state.status == "rolled_back" and not behind:  # before that nothing was recorded to tell it by
            with self.continuing("what was written after the rollback"):
                late = sum(1 for _ in changed_sessions(self.connection))
                self.findings += [note("after rollback", sessions=counted(late, "session"))] if late else []
        with self.continuing("the view session_complete"):
            viewed = self.connection.execute(queries.VIEW_COUNTS).fetchone()
            if viewed != self.connection.execute(queries.TABLE_COUNTS).fetchone():
                self.findings.append(broken("view"))
        if not behind:
            with self.continuing("the search index"):
                found = index_problems(self.connection, self.path)
                self.findings += [problem("search index", text) for text in found]
                if index_state(self.connection) == "building":
                    self.findings.append(note("search index"))


def _missing_database(data_dir: DataDir, state: State) -> list[Finding]:
    """Whether the database that storage.json points at is gone."""
    missing = missing_database(data_dir, state)
    return [] if missing is None else [broken("missing database", lost=missing.message, hint=missing.hint)]


def messages(findings: Iterable[Finding], level: Level) -> tuple[str, ...]:
    """What the findings of a level say."""
    return tuple(finding.message for finding in findings if finding.level == level)


def integrity_problems(connection: sqlite3.Connection) -> list[Finding]:
    """Broken pages and indexes, and children without parents, as far as SQLite can read the database."""
    found, ended = _checked(connection, "integrity_check")
    if ended and not found:
        found, _ = _checked(connection, "quick_check")  # it does not compare indexes, and gets further
    texts = [text for text in found if text != "ok"] + ended
    try:
        for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
            texts.append(f"{table} row {rowid} refers to a missing row of {parent}")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        texts.append(f"what belongs to what can't be checked: {error}")
    return [problem("pages", text) for text in texts]


def is_damage(error: MigratorError) -> bool:
    """Whether an error is that pages of the database are damaged."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_CORRUPT or isinstance(error.__cause__, UnicodeDecodeError)


def _checked(connection: sqlite3.Connection, pragma: str) -> tuple[list[str], list[str]]:
    """What a check has found, and why it ended early, if it did."""
    found: list[str] = []
    try:
        for (text,) in connection.execute(f"PRAGMA {pragma}"):
            found.append(text)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return found, [f"SQLite's own check of the pages ended early: {error}. {WAY_OUT_OF_DAMAGE}"]
    return found, []
