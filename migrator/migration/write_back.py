"""Every workspace as JSON files again: prepared and read back in a scratch folder, then put in place.

Used to go back, and to bring the JSON files up to date before both stores are run side by side.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrator import durable
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.documents import StoredDocument, read_source, read_workspace, spelled
from migrator.document import SequenceDigest, app_element, array_of
from migrator.errors import MigratorError, RollbackFailed
from migrator.migration.ledger import LedgerEntry, read_ledger
from migrator.migration.leftovers import SCRATCH
from migrator.migration.places import place_of_source, workspace_file_name
from migrator.migration.reading import valid_documents
from migrator.migration.report import Listener, Progress
from migrator.storage.journal import Journal
from migrator.workspace import hash_of_text, placeholder


@dataclass(frozen=True)
class RestoredFile:
    """One JSON file as the rollback leaves it.

    :ivar hash: the workspace's; for the shared file, that of its placeholder
    :ivar restored: ``bytes``: the file as it was migrated; ``export``: written from SQLite
    :ivar kept_beside: where a file went that SQLite has not all of, and that this one replaced
    """

    hash: str
    path: str
    restored: str
    file: str
    sessions: int
    quarantined: int
    kept_beside: str | None = None


@dataclass(frozen=True)
class _Prepared:
    """A file that is ready to take its place.

    :ivar written: where it waits; None where the file in its place is right as it is
    :ivar replaceable: the SHA-256 of the one file in its place that SQLite has all of; None if there is none
    :ivar tails: where the torn ends wait that were salvaged from it
    """

    target: Path
    written: Path | None
    report: RestoredFile
    replaceable: str | None = None
    tails: tuple[Path, ...] = ()


class WriteBack:
    """The JSON files of one moment: within a transaction that keeps other writers out.

    :param install: whether the files are to take their places; a rehearsal only prepares them
    :param trial: the journal, for running both stores: then a workspace's own file alone is written, with all its
        sessions, those of other files as well, and nothing else: what is in quarantine would keep the JSON store from
        reading it
    :ivar warnings: what is worth knowing, each with what to do if anything
    :ivar written: key and digest of each session that is in the files
    """

    def __init__(
        self,
        data_dir: DataDir,
        connection: sqlite3.Connection,
        listener: Listener,
        *,
        install: bool,
        trial: Journal | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.connection = connection
        self.listener = listener
        self.install = install
        self.mirror = trial is not None
        self.trial = trial
        self.known = {} if trial is None else trial.known_files()
        self.warnings: list[str] = []
        self.written: list[tuple[str, bytes]] = []
        self.scratch = data_dir.output / f"{SCRATCH}{os.getpid()}"
        self._numbers = itertools.count()

    def run(self) -> list[RestoredFile]:
        """Prepare every file, then put every file in its place.

        :raises RollbackFailed: a session belongs nowhere, a file does not read back, or something is in the way
        """
        self.require_reachable(self.connection)
        try:
            durable.make_private_folder(self.scratch)
            prepared = [*self.prepare(self.connection)]
            if self.trial is not None:
                self.trial.know({f.report.hash: durable.sha256_of(f.written or f.target) for f in prepared})
            if self.install:
                prepared = [self.put_in_place(file) for file in prepared]
        finally:
            durable.remove_folder(self.scratch)
        return [file.report for file in prepared]

    def require_reachable(self, connection: sqlite3.Connection) -> None:
        """Refuse to leave sessions behind that belong to no workspace."""
        lost = connection.execute(queries.UNREACHABLE_SESSIONS).fetchone()[0]
        if lost:
            raise RollbackFailed(
                f"{lost} session(s) in {self.data_dir.database} belong to no workspace; no JSON file could hold them.",
                hint="'migrator verify' names them.",
            )

    def prepare(self, connection: sqlite3.Connection) -> Iterator[_Prepared]:
        """Every file that must be there afterwards, written and read back, none of them in its place yet."""
        entries = read_ledger(connection).values()
        ledger = [e for e in entries if e.status != "failed" and (self.is_workspace_file(e) or not self.mirror)]
        workspaces = {row[1]: row for row in connection.execute(queries.ALL_WORKSPACES).fetchall()}
        total, done = sum(entry.size for entry in ledger), 0
        for entry in ledger:
            own = workspaces.get(entry.workspace_hash or "")
            more = own is not None and self.is_workspace_file(entry) and self.has_more(connection, own[1])
            yield self.prepare_source(connection, entry, own, more=more)
            done += entry.size
            self.listener(Progress("restore", entry.source, done, total))
        # A file that failed is what its workspace is served from, as long as SQLite is the authority.
        written = {e.workspace_hash for e in (entries if self.mirror else ledger) if self.is_workspace_file(e)}
        for workspace_id, file_hash, path in workspaces.values():
            if file_hash not in written and self.has_more(connection, file_hash):
                documents = (s for s in read_workspace(connection, workspace_id) if self.belongs(s, None))
                target = self.data_dir.sessions / workspace_file_name(file_hash)
                yield self.prepare_export(target, documents, [], file_hash, path, replaceable=None)
        held = connection.execute(queries.CONFLICT_COUNT).fetchone()[0]
        if held:
            self.warnings.append(
                f"{held} conflicting version(s) stay in the database's quarantine: "
                "'migrator quarantine list' shows them."
            )

    @staticmethod
    def is_workspace_file(entry: LedgerEntry) -> bool:
        return entry.source == f"sessions/{entry.workspace_hash}.json"

    def has_more(self, connection: sqlite3.Connection, file_hash: str) -> bool:
        """Whether the workspace has sessions for its own file that did not come from there."""
        if connection.execute(queries.BORN_IN_SQLITE, (file_hash,)).fetchone() is not None:
            return True
        return self.mirror and connection.execute(queries.FROM_OTHER_FILES, (file_hash,)).fetchone() is not None

    def belongs(self, stored: StoredDocument, source_id: int | None) -> bool:
        """Whether a session of the workspace goes into the workspace's own file."""
        return self.mirror or stored.source_id in (None, source_id)

    def prepare_source(self, connection: sqlite3.Connection, entry: LedgerEntry, own: Any, *, more: bool) -> _Prepared:
        target = place_of_source(self.data_dir, entry.source)
        file_hash = entry.workspace_hash or hash_of_text(placeholder(entry.source))
        path = own[2] if own else placeholder(entry.workspace_hash or entry.source)
        quarantined = connection.execute(queries.RESTORABLE_QUARANTINE, (entry.id,)).fetchall()
        if self.mirror:
            quarantined = []
        unchanged = not more and len(quarantined) == entry.quarantined and self.digest_of(entry) == entry.digest
        if unchanged:
            written = self.original(entry, target)
            if written is not None:
                report = RestoredFile(file_hash, path, "bytes", os.fspath(target), entry.sessions, entry.quarantined)
                if written == target:
                    return _Prepared(target, None, report)
                self.require_free(target)
                return _Prepared(target, written, report, entry.sha256)
        documents: Iterator[StoredDocument]
        if more:
            documents = (s for s in read_workspace(connection, own[0]) if self.belongs(s, entry.id))
        else:
            documents = read_source(connection, entry.id)
        return self.prepare_export(target, documents, quarantined, file_hash, path, replaceable=entry.sha256)

    def digest_of(self, entry: LedgerEntry) -> str:
        digest = SequenceDigest()
        for stored in read_source(self.connection, entry.id):
            self.written.append((stored.key, digest.add(spelled(stored))))
        return digest.hexdigest()

    def original(self, entry: LedgerEntry, target: Path) -> Path | None:
        """A file with the bytes that were migrated: the one in its place, or a copy of the backup; else None."""
        if target.is_file() and durable.sha256_of(target) == entry.sha256:
            return target
        copy = self.data_dir.root / (entry.backup or "")
        try:
            written = self.next_file()
            if entry.backup and durable.copy_new(copy, written)[1] == entry.sha256:
                return written
        except MigratorError:
            pass  # what follows says so
        self.warnings.append(
            f"The backup copy {copy} is missing or damaged: {entry.source} was written from SQLite instead."
        )
        return None

    def prepare_export(
        self,
        target: Path,
        documents: Iterable[StoredDocument],
        quarantined: list[tuple[int, str | bytes, str]],
        file_hash: str,
        path: str,
        *,
        replaceable: str | None,
    ) -> _Prepared:
        """Write a file from SQLite, what is in quarantine at its old places, and read it back."""
        self.require_free(target)
        written, expected, count = self.next_file(), SequenceDigest(), 0

        def counted() -> Iterator[StoredDocument]:
            nonlocal count
            for stored in documents:
                count += 1
                self.written.append((stored.key, expected.add(spelled(stored))))
                yield stored

        tails = [raw for _, raw, reason in quarantined if reason == "torn"]
        broken = [(position, raw) for position, raw, reason in quarantined if reason != "torn"]
        durable.write_new(written, array_of(_woven(counted(), broken)))
        found = SequenceDigest()
        for _, _, text in valid_documents(written):
            found.add(text)
        if found.hexdigest() != expected.hexdigest():
            raise RollbackFailed(
                f"What was written for {target} does not read back as what SQLite holds.",
                hint="Please report this as a bug.",
            )
        report = RestoredFile(file_hash, path, "export", os.fspath(target), count, len(quarantined))
        return _Prepared(target, written, report, replaceable, tuple(map(self.prepare_tail, tails)))

    def prepare_tail(self, tail: str | bytes) -> Path:
        """A torn end would make the new file torn as well: it will go beside."""
        written = self.next_file()
        durable.write_new(written, [_raw(tail)])
        return written

    @staticmethod
    def require_free(target: Path) -> None:
        """Refuse to write where something is that no file may replace."""
        if os.path.lexists(target) and not target.is_file():
            raise RollbackFailed(
                f"{target} is in the way: it is no file.", hint="Move it away and run 'migrator rollback' again."
            )

    def next_file(self) -> Path:
        return self.scratch / f"{next(self._numbers)}.json"

    def put_in_place(self, file: _Prepared) -> _Prepared:
        if file.written is None:
            return file
        durable.make_private_folder(file.target.parent)
        for tail in file.tails:
            aside = durable.keep_beside_as(tail, file.target, "torn-tail")
            self.warnings.append(f"The torn end that was salvaged from {file.target} lies in {aside}.")
        replaceable = (file.replaceable, self.known.get(file.report.hash))
        kept = self.keep_unknown(file.target, replaceable) if os.path.lexists(file.target) else None
        durable.move_over(file.written, file.target)
        return replace(file, report=replace(file.report, kept_beside=kept))

    def keep_unknown(self, target: Path, replaceable: Sequence[str | None]) -> str | None:
        """Nothing is overwritten unseen: a file that SQLite has not all of is kept beside."""
        if durable.sha256_of(target) in replaceable:
            return None
        aside = durable.keep_beside(Path(os.path.realpath(target)), "before-rollback")
        self.warnings.append(f"{target} held something that was never migrated; it lies in {aside} now.")
        return os.fspath(aside)


def _woven(documents: Iterable[StoredDocument], broken: list[tuple[int, str | bytes]]) -> Iterator[bytes]:
    """The elements of a file: documents in order, and what is in quarantine where it stood among them.

    Documents without a position were born in SQLite, and stand behind everything that was in the file.
    """
    waiting = sorted(broken, key=lambda item: item[0])
    for stored in documents:
        while waiting and (stored.position is None or waiting[0][0] <= stored.position):
            yield _raw(waiting.pop(0)[1])
        yield app_element(stored.document)
    for _, raw in waiting:
        yield _raw(raw)


def _raw(raw: str | bytes) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw
