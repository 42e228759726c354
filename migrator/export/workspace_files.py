"""Every workspace as JSON files again: prepared and read back in a scratch folder, then put in place.

Used to go back, and to bring the JSON files up to date before both stores are run side by side.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.invalid import InvalidStoredSession, orphaned_rows
from migrator.documents.document import array_of
from migrator.errors import MigratorError, RollbackFailed
from migrator.export.install import Aside, PreparedFile, RestoredFile, put_in_place, require_free
from migrator.export.session_file import Choice, write_sessions
from migrator.export.unchanged import Unchanged
from migrator.files import copying, durable
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.inventory.source_files import place_of_source, workspace_file_name
from migrator.progress import Listener, Progress
from migrator.storage.hybrid.journal import Journal
from migrator.text import counted
from migrator.worker.process import WorkerFor
from migrator.workspace import HASH_PATTERN, hash_of_text, placeholder

_SHOWN = 3  # of the sessions that a message is about
_Quarantined = tuple[int, str | bytes, str]


class WriteBack:
    """The JSON files of one moment: within a transaction that keeps other writers out.

    :param install: whether the files are to take their places; a rehearsal only prepares them
    :param trial: the journal, for running both stores: then a workspace's own file alone is written, with all its
        sessions, those of other files as well, and nothing else: what is in quarantine would keep the JSON store from
        reading it
    :ivar warnings: what is worth knowing, each with what to do if anything
    :ivar problems: those of them that need the user
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
        worker_for: WorkerFor | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.connection = connection
        self.listener = listener
        self.install = install
        self.mirror = trial is not None
        self.trial = trial
        self.worker_for = worker_for
        self.known = {} if trial is None else trial.known_files()
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.written: list[tuple[str, bytes]] = []
        self._spoilt = 0
        self._quarantined = 0
        self.scratch = data_dir.prepared
        self._numbers = count()

    def run(self) -> list[RestoredFile]:
        """Prepare every file, then put every file in its place.

        :raises RollbackFailed: a session belongs nowhere, a file does not read back, or something is in the way
        """
        for statement in queries.DISOWN_STRAYS:  # what a lost row of the ledger leaves is as if born in SQLite
            self.connection.execute(statement)
        self.require_reachable()
        try:
            durable.make_private_folder(self.scratch)
            prepared = [*self.prepare()]
            if not self.mirror:
                prepared += [*self.prepare_homeless(), *self.prepare_orphans()]
                self.require_all_written()
            if self.trial is not None:
                self.trial.know({f.report.hash: copying.sha256_of(f.written or f.target) for f in prepared if f.report})
            if self.install:
                prepared = [self.put_in_place(file) for file in prepared]
        finally:
            durable.remove_folder(self.scratch)
        return [file.report for file in prepared if file.report is not None]

    def put_in_place(self, file: PreparedFile) -> PreparedFile:
        file, notes = put_in_place(file)
        self.warnings += notes
        return file

    def require_reachable(self) -> None:
        """Refuse to leave sessions behind that belong to no workspace."""
        lost = self.connection.execute(queries.UNREACHABLE_SESSIONS).fetchall()
        if lost:
            raise RollbackFailed(
                f"{self.data_dir.database} holds {counted(len(lost), 'session')} of no workspace, which no JSON file "
                f"could hold: {_first(key for key, _ in lost)}.",
                hint="'migrator verify' names each.",
            )

    def require_all_written(self) -> None:
        """Nothing takes its place before every session and every item of the quarantine is accounted for."""
        keys = {key for key, _ in self.written}
        stored = self.connection.execute(queries.SESSION_COUNT).fetchone()[0]
        if len(keys) + self._spoilt != stored:
            missing = (key for (key,) in self.connection.execute(queries.SESSION_KEYS) if key not in keys)
            raise RollbackFailed(
                f"{self.data_dir.database} holds {counted(stored, 'session')}, and the files would have {len(keys)} "
                f"of them; among the missing: {_first(missing)}.",
                hint="'migrator verify' tells what is wrong with the database. Nothing was changed.",
            )
        held = self.connection.execute(queries.QUARANTINE_COUNT).fetchone()[0]
        conflicts = self.connection.execute(queries.CONFLICT_COUNT).fetchone()[0]
        if self._quarantined + conflicts != held:
            raise RollbackFailed(
                f"The quarantine holds {counted(held - conflicts, 'item')}, and the files would have "
                f"{self._quarantined} of them.",
                hint="'migrator verify' tells what is wrong with the database. Nothing was changed.",
            )
        if conflicts:
            self.tell(
                f"What stays in the database's quarantine: {counted(conflicts, 'conflicting version')} of sessions. "
                "'migrator quarantine list' tells more."
            )

    def tell(self, problem: str) -> None:
        self.problems.append(problem)
        self.warnings.append(problem)

    def prepare(self) -> Iterator[PreparedFile]:
        """Every file that must be there afterwards, written and read back, none of them in its place yet."""
        entries = read_ledger(self.connection).values()
        ledger = [e for e in entries if e.status != "failed" and (self.is_workspace_file(e) or not self.mirror)]
        workspaces = {row[1]: row for row in self.connection.execute(queries.ALL_WORKSPACES).fetchall()}
        total, done = sum(entry.size for entry in ledger), 0
        with Unchanged.told(self.connection, self.data_dir.database, ledger, self.worker_for) as unchanged:
            for entry in ledger:
                own = workspaces.get(entry.workspace_hash or "")
                more = own is not None and self.is_workspace_file(entry) and self.has_more(own[1])
                yield self.prepare_source(entry, own, unchanged, more=more)
                done += entry.size
                self.listener(Progress("restore", entry.source, done, total))
        # A file that failed is what its workspace is served from, as long as SQLite is the authority.
        written = {e.workspace_hash for e in (entries if self.mirror else ledger) if self.is_workspace_file(e)}
        for workspace_id, file_hash, path in workspaces.values():
            if file_hash not in written and self.has_more(file_hash):
                target = self.data_dir.sessions / workspace_file_name(file_hash)
                yield self.prepare_export(
                    target, Choice(None, workspace_id, self.mirror), [], file_hash, path, sha256=None
                )

    @staticmethod
    def is_workspace_file(entry: LedgerEntry) -> bool:
        return entry.source == f"sessions/{entry.workspace_hash}.json"

    def has_more(self, file_hash: str) -> bool:
        """Whether the workspace has sessions for its own file that did not come from there."""
        if self.connection.execute(queries.BORN_IN_SQLITE, (file_hash,)).fetchone() is not None:
            return True
        return self.mirror and self.connection.execute(queries.FROM_OTHER_FILES, (file_hash,)).fetchone() is not None

    def prepare_source(self, entry: LedgerEntry, own: Any, unchanged: Unchanged, *, more: bool) -> PreparedFile:
        target = place_of_source(self.data_dir, entry.source)
        file_hash = entry.workspace_hash or hash_of_text(placeholder(entry.source))
        path = own[2] if own else placeholder(entry.workspace_hash or entry.source)
        quarantined: list[_Quarantined] = []
        if not self.mirror:
            quarantined = self.connection.execute(queries.RESTORABLE_QUARANTINE, (entry.id,)).fetchall()
            self._quarantined += len(quarantined)
        # Where items are gone and no session is there instead, the file is what still has them.
        whole = entry.quarantined == 0 if self.mirror else len(quarantined) <= entry.quarantined
        sessions = unchanged.sessions(entry) if whole and not more else None
        written = None if sessions is None else self.original(entry, target)
        if sessions is None or written is None:
            choice = Choice(entry.id, own[0] if more else None, self.mirror)
            return self.prepare_export(target, choice, quarantined, file_hash, path, sha256=entry.sha256)
        self.written += sessions
        report = RestoredFile(file_hash, path, "bytes", os.fspath(target), len(sessions), entry.quarantined)
        self.tell_of_what_is_broken(report, entry.quarantined)
        if written == target:
            return PreparedFile(target, None, report)
        replaceable = frozenset({entry.sha256, self.known.get(file_hash)})
        require_free(target, replaceable)
        return PreparedFile(target, written, report, replaceable)

    def original(self, entry: LedgerEntry, target: Path) -> Path | None:
        """A file with the bytes that were migrated: the one in its place, or a copy of the backup; else None."""
        if target.is_file() and copying.sha256_of(target) == entry.sha256:
            return target
        copy = self.data_dir.recorded(entry.backup or "")
        try:
            written = self.next_file()
            if entry.backup and copying.copy_new(copy, written)[1] == entry.sha256:
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
        choice: Choice,
        quarantined: Sequence[_Quarantined],
        file_hash: str,
        path: str,
        *,
        sha256: str | None,
    ) -> PreparedFile:
        """Write a file from SQLite, with what is in quarantine, or beside it where nobody could read the file with it.

        :param sha256: of the file that the sessions came from
        """
        replaceable = frozenset({sha256, self.known.get(file_hash)})
        require_free(target, replaceable)
        asides, broken = [], []
        for position, raw, reason in quarantined:
            if reason == "torn":
                what = f"The torn end that was salvaged from {target}"
                asides.append(self.prepare_aside([_raw(raw)], "torn-tail", what))
            else:
                broken.append((position, _raw(raw)))
        written = write_sessions(self.connection, choice, broken, self.next_file)
        if written.spoilt:
            asides.append(self.set_spoilt_aside(target, written.spoilt))
        self.written += written.sessions
        report = RestoredFile(file_hash, path, "export", os.fspath(target), len(written.sessions), len(quarantined))
        self.tell_of_what_is_broken(report, len(broken))
        return PreparedFile(target, written.path, report, replaceable, tuple(asides))

    def set_spoilt_aside(self, target: Path, spoilt: list[InvalidStoredSession]) -> Aside:
        """No file may hold what the app would refuse to read it with."""
        self._spoilt += len(spoilt)
        self.tell(
            f"Beside {target} goes what is no valid session any more, {counted(len(spoilt), 'element')}: "
            f"{_first(map(str, spoilt))}. 'migrator migrate' would put that into quarantine."
        )
        raws = [session.raw for session in spoilt]
        return self.prepare_aside(array_of(raws), "not-sessions", f"What SQLite has of them, in place of {target},")

    def prepare_homeless(self) -> Iterator[PreparedFile]:
        """What is in quarantine and came from no file goes beside that of its workspace."""
        rows = self.connection.execute(queries.HOMELESS_QUARANTINE).fetchall()
        for file_hash, items in groupby(rows, itemgetter(0)):
            texts = [_raw(raw) for _, raw in items]
            self._quarantined += len(texts)
            target = self.data_dir.shared_sessions
            if file_hash and HASH_PATTERN.fullmatch(file_hash):
                target = self.data_dir.sessions / workspace_file_name(file_hash)
            how_many = counted(len(texts), "item")
            self.tell(f"Beside {target} goes what is in quarantine and came from no file: {how_many}.")
            aside = self.prepare_aside(array_of(texts), "quarantined", "What was in quarantine and came from no file")
            yield PreparedFile(target, None, None, asides=(aside,))

    def prepare_orphans(self) -> Iterator[PreparedFile]:
        """Messages and the like whose session is gone go beside, too: no file of sessions could hold them."""
        orphans = orphaned_rows(self.connection)
        if orphans:
            target = self.data_dir.shared_sessions
            count = sum(map(len, orphans.values()))
            tables = ", ".join(orphans)
            self.tell(f"Beside {target} goes what belongs to no session: {counted(count, 'row')} of {tables}.")
            aside = self.prepare_aside(
                [json.dumps(orphans, indent=2).encode()], "orphans", "What belongs to no session"
            )
            yield PreparedFile(target, None, None, asides=(aside,))

    def tell_of_what_is_broken(self, report: RestoredFile, broken: int) -> None:
        is_read = report.file == os.fspath(self.data_dir.sessions / f"{report.hash}.json")  # older files are not
        if broken and is_read and not self.mirror:
            self.tell(
                f"{report.file} holds what is no valid session, {counted(broken, 'element')}: until that is mended or "
                "taken out, the JSON store can't read the file."
            )

    def prepare_aside(self, chunks: Iterable[bytes], mark: str, what: str) -> Aside:
        written = self.next_file()
        durable.write_new(written, chunks)
        return Aside(written, mark, what)

    def next_file(self) -> Path:
        return self.scratch / f"{next(self._numbers)}.json"


def _raw(raw: str | bytes) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw


def _first(names: Iterable[str]) -> str:
    """The first few, for a message."""
    shown = list(islice(names, _SHOWN + 1))
    return "; ".join(shown[:_SHOWN]) + (" …" if len(shown) > _SHOWN else "")
