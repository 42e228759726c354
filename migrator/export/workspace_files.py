"""The JSON files of a rollback: prepared and read back in a scratch folder, then put in place."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries
from migrator.database.invalid import orphaned_rows
from migrator.documents.app_format import array_of
from migrator.errors import MigratorError, RollbackFailed
from migrator.export.rollback_notes import RollbackNotes, first_few
from migrator.export.session_file import Choice, PreparedFile, RestoredFile, SideFile, require_free, write_sessions
from migrator.export.unchanged import Sessions, sessions_if_unchanged
from migrator.files import copying, durable, replacing
from migrator.files.output import Replacements, scratch
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.inventory.source_files import place_of_source, workspace_file_name
from migrator.locking import file_locked
from migrator.progress import Listener, Progress
from migrator.reconciliation.moved import detach_moved
from migrator.storage.hybrid.written_files import Files, known_files
from migrator.text import counted
from migrator.worker.process import WorkerFor
from migrator.workspace import HASH_PATTERN, workspace_of_source

_Quarantined = tuple[int, str | bytes, str]
LONG_LOCK_TIMEOUT = 10.0  # seconds: longer than a store that holds the lock waits for the database
_KEPT = "before-rollback"  # in the other name of a file that is kept


@dataclass(kw_only=True)
class WorkspaceFiles:
    """All JSON files at one moment; to be used within a transaction that keeps other writers out.

    :ivar install: whether the files take their places; a dry run only prepares them
    :ivar salvaged: whether the database is what could be read of a damaged one, so that it may lack what a file has
    :ivar written: key and digest of each session in the files
    """

    data_dir: DataDir
    connection: sqlite3.Connection
    listener: Listener
    notes: RollbackNotes
    install: bool = True
    salvaged: bool = False
    worker_for: WorkerFor | None = None
    written: list[tuple[str, bytes]] = field(default_factory=list)

    all_sessions: ClassVar = False
    """Whether a workspace's own file also gets its sessions that came from other files."""

    def __post_init__(self) -> None:
        self.files = Replacements(self.data_dir.prepared)
        self.known: Files = {}  # the SHA-256 of further files that SQLite has all of, by workspace
        self._invalid = self._quarantined = 0

    def run(self) -> list[RestoredFile]:
        """Prepare every file, then put every file in its place.

        :raises RollbackFailed: a session has no workspace, a file does not read back, or something is in the way
        """
        # Without its row in the ledger, a session counts as created in SQLite.
        for statement in queries.CLEAR_UNKNOWN_SOURCES:
            self.connection.execute(statement)
        detach_moved(self.connection)
        self.known = known_files(self.connection)
        lost = self.connection.execute(queries.UNREACHABLE_SESSIONS).fetchall()
        if lost:
            raise RollbackFailed(
                f"{self.data_dir.database} holds {counted(len(lost), 'session')} without a workspace, which no JSON "
                f"file can hold: {first_few(key for key, _ in lost)}.",
                code="session.without_workspace",
                hint="'migrator verify' names each.",
            )
        with scratch(self.files.folder):
            prepared = self.prepare()
            prepared = [self.put_in_place(file) if self.install else self.rehearse(file) for file in prepared]
        return [file.report for file in prepared if file.report is not None]

    def prepare(self) -> list[PreparedFile]:
        """Write every file and read it back; none takes its place yet."""
        prepared = [*self.prepare_files(), *self.prepare_unowned()]
        self.require_all_written()
        return prepared

    def put_in_place(self, file: PreparedFile) -> PreparedFile:
        """Put one prepared file in its place, with the files that go next to it."""
        durable.make_private_folder(file.target.parent)
        for written, mark in file.side_files:
            self.notes.side_file(file.target, mark, copying.keep_copy(written, file.target, mark))
        if file.written is None or file.report is None:
            return file
        kept = self.place(file, file.written)
        return replace(file, report=replace(file.report, kept_beside=None if kept is None else os.fspath(kept)))

    def rehearse(self, file: PreparedFile) -> PreparedFile:
        """Report the file that putting this one in its place would keep under another name."""
        found = Path(os.path.realpath(file.target))
        if file.written is None or file.report is None or not found.is_file():
            return file
        if copying.sha256_of(found) in self.expected(file):
            return file
        kept = os.fspath(copying.name_of_copy(found, found, _KEPT))
        self.notes.to_be_kept(found, kept, salvaged=self.salvaged)
        return replace(file, report=replace(file.report, kept_beside=kept))

    def place(self, file: PreparedFile, written: Path) -> Path | None:
        """Replace a file; returns the other name of one that SQLite does not have all of."""

        def keep(found: Path, target: Path) -> Path:
            kept = copying.keep_copy(found, target, _KEPT)
            self.notes.kept_copy(target, os.fspath(kept), salvaged=self.salvaged)
            return kept

        with file_locked(self.data_dir, file.target, LONG_LOCK_TIMEOUT):
            if file.target.parent not in (self.data_dir.root, self.data_dir.sessions):  # taking the lock looks there
                replacing.look_at_replaced(file.target.parent)  # what it keeps is reported at the end
            return replacing.place(written, file.target, self.expected(file), keep)

    def expected(self, file: PreparedFile) -> frozenset[str | None]:
        """The SHA-256 of each file that may be replaced; after damage only one with the same content."""
        if self.salvaged and file.written is not None:
            return frozenset({copying.sha256_of(file.written)})
        return file.replaceable

    def require_all_written(self) -> None:
        """Check that the files account for every session and every quarantined item.

        :raises RollbackFailed: some are missing
        """
        keys = {key for key, _ in self.written}
        stored = self.connection.execute(queries.SESSION_COUNT).fetchone()[0]
        if len(keys) + self._invalid != stored:
            missing = (key for (key,) in self.connection.execute(queries.SESSION_KEYS) if key not in keys)
            raise RollbackFailed(
                f"{self.data_dir.database} holds {counted(stored, 'session')}, but the files would have only "
                f"{len(keys)} of them; among the missing: {first_few(missing)}.",
                code="rollback.incomplete",
                hint="'migrator verify' shows what is wrong with the database. No file was changed.",
            )
        held = self.connection.execute(queries.QUARANTINE_COUNT).fetchone()[0]
        conflicts = self.connection.execute(quarantine_queries.CONFLICT_COUNT).fetchone()[0]
        if self._quarantined + conflicts != held:
            raise RollbackFailed(
                f"The quarantine holds {counted(held - conflicts, 'item')}, but the files would have only "
                f"{self._quarantined} of them.",
                code="rollback.incomplete",
                hint="'migrator verify' shows what is wrong with the database. No file was changed.",
            )
        if conflicts:
            self.notes.conflicts_stay(conflicts)
        deleted = self.connection.execute(quarantine_queries.DELETED_COUNT).fetchone()[0]
        if deleted:
            self.notes.deleted_stay(deleted)

    def prepare_files(self) -> Iterator[PreparedFile]:
        """Prepare the files that were migrated, and those of workspaces that got sessions since."""
        every = list(read_ledger(self.connection).values())
        ledger = self.restorable(every)
        workspaces = {row[1]: row for row in self.connection.execute(queries.ALL_WORKSPACES).fetchall()}
        total, done = sum(entry.size for entry in ledger), 0
        with sessions_if_unchanged(
            self.connection, self.data_dir.database, ledger, self.worker_for
        ) as unchanged_sessions:
            for entry in ledger:
                own = workspaces.get(entry.workspace_hash or "")
                more = own is not None and is_workspace_file(entry) and self.has_more(own[1])
                yield self.prepare_source(entry, own, unchanged_sessions, more=more)
                done += entry.size
                self.listener(Progress("restore", entry.source, done, total))
        served = self.served(every)
        for workspace_id, file_hash, path in workspaces.values():
            if file_hash not in served and self.has_more(file_hash):
                target = self.data_dir.sessions / workspace_file_name(file_hash)
                choice = Choice(None, workspace_id, self.all_sessions)
                yield self.prepare_export(target, choice, [], file_hash, path, sha256=None)

    def restorable(self, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """The sources that SQLite has the sessions of."""
        return [entry for entry in entries if entry.status != "failed"]

    def served(self, entries: Sequence[LedgerEntry]) -> set[str | None]:
        """The workspaces whose own file is among the restorable sources."""
        return {entry.workspace_hash for entry in self.restorable(entries) if is_workspace_file(entry)}

    def has_more(self, file_hash: str) -> bool:
        """Whether the workspace has sessions for its own file that did not come from there."""
        return self.connection.execute(queries.CREATED_IN_SQLITE, (file_hash,)).fetchone() is not None

    def quarantine_of(self, entry: LedgerEntry) -> tuple[list[_Quarantined], bool]:
        """The quarantined items that go into a source's file, and whether the migrated bytes may be that file.

        If items are gone and there is no session in their place, the migrated bytes still have them, unless the user
        dismissed them.
        """
        rows = self.connection.execute(queries.RESTORABLE_QUARANTINE, (entry.id,)).fetchall()
        return rows, len(rows) <= entry.quarantined and not entry.dismissed

    def prepare_source(
        self, entry: LedgerEntry, own: Any, unchanged_sessions: Callable[[LedgerEntry], Sessions | None], *, more: bool
    ) -> PreparedFile:
        """Prepare the file of one source: its migrated bytes if nothing changed, else an export."""
        target = place_of_source(self.data_dir, entry.source)
        file_hash, unknown = workspace_of_source(entry.source, entry.workspace_hash)
        path = own[2] if own else unknown
        quarantined, may_be_bytes = self.quarantine_of(entry)
        self._quarantined += len(quarantined)
        sessions = unchanged_sessions(entry) if may_be_bytes and not more else None
        written = None if sessions is None else self.original(entry, target)
        if sessions is None or written is None:
            choice = Choice(entry.id, own[0] if more else None, self.all_sessions)
            return self.prepare_export(target, choice, quarantined, file_hash, path, sha256=entry.sha256)
        self.written += sessions
        report = RestoredFile(file_hash, path, "bytes", os.fspath(target), len(sessions), entry.quarantined)
        self.note_invalid_elements(report, entry.quarantined)
        if written == target:
            return PreparedFile(target, None, report)
        replaceable = self.known.get(file_hash, frozenset()) | {entry.sha256}
        require_free(target, replaceable)
        return PreparedFile(target, written, report, replaceable)

    def original(self, entry: LedgerEntry, target: Path) -> Path | None:
        """A file with the migrated bytes: the one in its place, or a copy of the backup; None if there is neither."""
        if target.is_file() and copying.sha256_of(target) == entry.sha256:
            return target
        copy = self.data_dir.recorded(entry.backup or "")
        try:
            written = self.files.next_path()
            if entry.backup and copying.copy_new(copy, written)[1] == entry.sha256:
                return written
        except MigratorError:
            pass  # reported below
        if entry.backup:
            self.notes.damaged_copy(copy, entry.source)
        return None

    def prepare_export(
        self,
        target: Path,
        choice: Choice,
        quarantined: Sequence[_Quarantined],
        file_hash: str,
        path: str,
        *,
        sha256: str | None,
    ) -> PreparedFile:
        """Prepare a file from SQLite, with its quarantined items. A truncated end goes into a file next to it.

        :param sha256: of the file that the sessions came from
        """
        replaceable = self.known.get(file_hash, frozenset()) | {sha256}
        require_free(target, replaceable)
        side_files, broken = list[SideFile](), []
        for position, raw, reason in quarantined:
            if reason == "torn":
                side_files.append((self.files.write([_raw(raw)]), "torn-tail"))
            else:
                broken.append((position, _raw(raw)))
        written = write_sessions(self.connection, choice, broken, self.files.next_path)
        if written.invalid:
            self._invalid += len(written.invalid)
            self.notes.invalid_sessions(target, written.invalid)
            raws = [session.raw for session in written.invalid]
            side_files.append((self.files.write(array_of(raws)), "not-sessions"))
        self.written += written.sessions
        report = RestoredFile(file_hash, path, "export", os.fspath(target), len(written.sessions), len(quarantined))
        self.note_invalid_elements(report, len(broken))
        return PreparedFile(target, written.path, report, replaceable, tuple(side_files))

    def prepare_unowned(self) -> Iterator[PreparedFile]:
        """Prepare side files for quarantined items that came from no file and for rows whose session is gone."""
        rows = self.connection.execute(queries.UNOWNED_QUARANTINE).fetchall()
        for file_hash, items in groupby(rows, itemgetter(0)):
            texts = [_raw(raw) for _, raw in items]
            self._quarantined += len(texts)
            target = self.data_dir.shared_sessions
            if file_hash and HASH_PATTERN.fullmatch(file_hash):
                target = self.data_dir.sessions / workspace_file_name(file_hash)
            self.notes.unowned_quarantine(target, len(texts))
            side_file = self.files.write(array_of(texts))
            yield PreparedFile(target, None, None, side_files=((side_file, "quarantined"),))
        orphans = orphaned_rows(self.connection)
        if orphans:
            target = self.data_dir.shared_sessions
            self.notes.orphaned_rows(target, orphans)
            side_file = self.files.write([json.dumps(orphans, indent=2).encode()])
            yield PreparedFile(target, None, None, side_files=((side_file, "orphans"),))

    def note_invalid_elements(self, report: RestoredFile, elements: int) -> None:
        """Report invalid elements of a file that the JSON store reads."""
        is_read = report.file == os.fspath(self.data_dir.sessions / f"{report.hash}.json")  # older files are not
        if elements and is_read:
            self.notes.unreadable_file(report, elements)


def is_workspace_file(entry: LedgerEntry) -> bool:
    """Whether a source is the file that the app reads a workspace from."""
    return entry.source == f"sessions/{entry.workspace_hash}.json"


def _raw(raw: str | bytes) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw
