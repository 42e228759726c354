"""Publishes the verified staging database in one step: under the real name, or in one transaction of the real one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from migrator.authority import read_state
from migrator.backups.database_copy import changing, upgrade
from migrator.data_dir import DataDir, ScratchDataDir
from migrator.database import queries
from migrator.database.columns import MessageRow, SessionRow
from migrator.database.connection import connect_read_only, opened, sync_log, transaction
from migrator.database.documents import ensure_workspace, next_position, read_document, source_digest
from migrator.database.errors import sqlite_errors
from migrator.errors import MigrationFailed
from migrator.files import durable
from migrator.inventory import ledger
from migrator.migration.adoption import queries as adoption_queries
from migrator.migration.adoption.additions import Additions, adopted_before
from migrator.migration.merging.decision import MergePolicy, MergeResult
from migrator.migration.merging.merge import Merge
from migrator.migration.merging.merge_base import BaseCopy, MergeBase, base_of
from migrator.migration.merging.prepared import create_tables, text_taken_out
from migrator.migration.rolled_back.changes import (
    ChangesAfterRollback,
    PostRollbackChanges,
    RolledBack,
    look_if_rolled_back,
)
from migrator.migration.rolled_back.kept import KeptFile, keep_rows
from migrator.migration.run_record import RunFacts, Share, counts_of, record_run, share_rows, shares_of
from migrator.progress import OnProgress
from migrator.reconciliation.moved import detach_moved
from migrator.search import index as search_index
from migrator.staging import queries as staging_queries
from migrator.staging.database import rekey_attached_message, rekey_attached_session
from migrator.staging.results import LoadedSource
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from migrator.storage.hybrid.written_files import Files, was_written, written_files


class Publication(NamedTuple):
    """What to publish: a staging database that is closed and verified.

    :ivar backup: the folder with the copies
    :ivar entries: the ledger's row for each source, by its name
    :ivar facts: for the run's own record
    """

    data_dir: DataDir
    policy: MergePolicy
    loaded: Sequence[LoadedSource]
    backup: Path | None
    entries: dict[str, ledger.LedgerEntry]
    facts: RunFacts


@dataclass(frozen=True)
class Published:
    """What publishing did in the database.

    :ivar merged: the result of each merge, by the source's name
    :ivar changes: what had been written there after a rollback
    """

    merged: dict[str, MergeResult] = field(default_factory=dict)
    changes: PostRollbackChanges = field(default_factory=PostRollbackChanges)


def publish_new(publication: Publication) -> bool:
    """Rename the staging database to its final name; False, with nothing done, if the name or its log is taken.

    SQLite would apply the log of a deleted database to the new file. If there is such a log, SQLite has to create the
    database itself, because it then discards the log.
    """
    database = publication.data_dir.database
    if any(database.with_name(database.name + suffix).exists() for suffix in ("-wal", "-journal")):
        return False
    return durable.publish_new(publication.data_dir.staging, database)


def publish_into(publication: Publication, on_progress: OnProgress) -> Published:
    """Publish the staged sources into a database, in one transaction that ends as ``completed``.

    The app may have the database open. A source that is new there is copied by SQLite and then read back. A source
    that the database already knows, or whose workspace has sessions created in SQLite, is merged.

    :raises MigrationFailed: something does not read back as it should; nothing was changed
    """
    path, backups, staging = publication.data_dir.database, publication.data_dir.backups, publication.data_dir.staging
    with opened(path, create=True) as connection:
        upgrade(connection, path, backups)
        with sqlite_errors("attach the staging database", path):
            connection.execute(staging_queries.ATTACH, (staging.absolute().as_uri(), "staging"))
            for statement in staging_queries.LARGER_CACHES:
                connection.execute(statement)
        with (
            # A merge reads the staging database on a separate connection, so nothing may be written there meanwhile.
            closing(connect_read_only(staging)) as staged,
            changing(connection, path, backups) as back_up,
        ):
            publisher = _Publisher(connection, staged, publication, on_progress)
            rolled_back = look_if_rolled_back(connection, path, back_up)
            if rolled_back is None:
                publisher.prepare()
            with transaction(connection, path, "publish the migrated sessions"):
                published = _publish(connection, publisher, publication, back_up, rolled_back)
            sync_log(path)  # before storage.json points here
        with sqlite_errors("detach the staging database", path):
            connection.execute(staging_queries.DETACH, ("staging",))
        return published


def _publish(
    connection: sqlite3.Connection,
    publisher: _Publisher,
    publication: Publication,
    back_up: Callable[[str], Path],
    rolled_back: RolledBack | None,
) -> Published:
    """Publish within the caller's transaction."""
    data_dir = publication.data_dir
    if read_state(connection, data_dir.database).status != "rolled_back":
        return publisher.run(None, ())
    if rolled_back is None or not rolled_back.is_current():
        rolled_back = RolledBack(connection, back_up)  # no other program can write now
    # The files are loaded anew; the database has old data, and what was written after the rollback.
    changes = ChangesAfterRollback(connection, rolled_back)
    copy = rolled_back.copy
    search_index.start_over(connection)
    name = os.path.join(data_dir.backups.name, copy.parent.name, copy.name)
    return publisher.run(changes, keep_rows(connection, publication.loaded, changes.changed, name))


class _Publisher:
    """One transaction: record every source, merge the known ones, insert the new ones, record the run."""

    def __init__(
        self,
        main: sqlite3.Connection,
        staged: sqlite3.Connection,
        publication: Publication,
        on_progress: OnProgress,
    ) -> None:
        self._main = main
        self._staged = staged
        self._publication = publication
        self._policy = publication.policy
        self._on_progress = on_progress
        self._known: dict[str, ledger.LedgerEntry] = {}
        self._adopted: dict[str, ledger.LedgerEntry] = {}  # as they were before this run
        self._ids: dict[str, int] = {}
        self._merged: dict[str, MergeResult] = {}
        self._written: Files = {}
        self._prepared: dict[str, tuple[ledger.LedgerEntry | None, Merge]] = {}
        self._taken_out = 0

    def prepare(self) -> None:
        """Do as much of the merges as needs no write lock."""
        data_dir = self._publication.data_dir
        with sqlite_errors("compare the files", data_dir.database):
            self._known, self._written = ledger.read_ledger(self._main), written_files(self._main)
            known = [loaded for loaded in self._publication.loaded if self._is_merged(loaded)]
            if known:
                create_tables(self._main)
            for loaded in known:
                entry, merge = self._entry(loaded), self._merge_of(loaded)
                merge.prepare(None if entry is None else entry.id, data_dir.database)
                self._prepared[loaded.source.name] = entry, merge
            self._taken_out = text_taken_out(self._main) if known else 0

    def _is_merged(self, loaded: LoadedSource) -> bool:
        return not loaded.error and loaded.source.kind != "adopted" and self._is_known(loaded)

    def run(self, changes: ChangesAfterRollback | None, kept: Sequence[KeptFile]) -> Published:
        """Publish every source.

        :param changes: what had been written to the database after a rollback
        :param kept: the files whose rows were kept
        """
        if changes is not None:  # hybrid mode has ended
            self._policy = MergePolicy()
        self._known, self._written = ledger.read_ledger(self._main), written_files(self._main)
        search_index.prepare_for(self._main, self._taken_out)
        self._main.execute(queries.SET_STATUS, ("in_progress",))
        detach_moved(self._main)
        if any(loaded.source.kind == "adopted" for loaded in self._publication.loaded):
            self._adopted = ledger.read_adopted(self._main)
        self._record_sources()
        self._insert(self._merge_known())
        self._record_run()
        if changes is None:
            search_index.close_again(self._main)
            return Published(self._merged)
        hidden = {name: result.hidden for name, result in self._merged.items()}
        messages = (file.message(hidden.get(file.source)) for file in kept)
        return Published(self._merged, changes.reapply()._replace(kept=tuple(filter(None, messages))))

    def _record_sources(self) -> None:
        for loaded in self._publication.loaded:
            entry = self._publication.entries[loaded.source.name]
            if loaded.error and loaded.source.kind == "adopted":
                continue
            if loaded.error and self._is_recorded(loaded):
                ledger.record_failure(self._main, entry)
                continue
            self._ids[entry.source] = ledger.record(self._main, entry)
            for workspace_hash, counts in loaded.counts.items():
                ensure_workspace(self._main, workspace_hash, counts.path)

    def _merge_known(self) -> list[LoadedSource]:
        """Merge the sources that the database knows, and return the new ones."""
        new: list[LoadedSource] = []
        for loaded in self._publication.loaded:
            if loaded.error:
                continue
            if self._is_known(loaded):
                self._merged[loaded.source.name] = self._merge(loaded)
            else:
                new.append(loaded)
        self._staged.close()
        return new

    def _insert(self, new: Sequence[LoadedSource]) -> None:
        self._main.execute(staging_queries.DEFER_FOREIGN_KEYS)
        rekeyed = [self._free_taken_keys(loaded) for loaded in new]
        for loaded, is_rekeyed in zip(new, rekeyed, strict=True):
            self._copy(loaded, self._ids[loaded.source.name], is_rekeyed=is_rekeyed)

    def _record_run(self) -> None:
        found = []
        for loaded in self._publication.loaded:
            source_id = self._ids.get(loaded.source.name)
            if source_id is not None and self._is_mirror(loaded):
                self._keep_shares(loaded, source_id)
                continue
            shares = self._shares_of(loaded, source_id)
            found += [(loaded, share) for share in shares]
            if source_id is not None:
                adopted = loaded.source.kind == "adopted"  # perhaps once more: then its shares are added up
                if not adopted:
                    self._main.execute(queries.FORGET_SHARES, (source_id,))
                statement = adoption_queries.ADD_SHARE if adopted else queries.RECORD_SHARE
                self._main.executemany(statement, share_rows(loaded, source_id, shares))
        deletions = [one for merged in self._merged.values() for one in merged.deletions]
        record_run(self._main, self._publication.facts, found, deletions)
        self._main.execute(queries.SET_COMPLETED, (self._publication.facts.backup, self._publication.facts.data_dir))

    def _shares_of(self, loaded: LoadedSource, source_id: int | None) -> list[Share]:
        """What each workspace got; a file of hybrid mode leaves out what is in quarantine, so that is counted there."""
        shares = shares_of(loaded, self._merged.get(loaded.source.name))
        if self._policy.mirrored and loaded.source.kind == "workspace" and source_id is not None:
            held = self._main.execute(adoption_queries.QUARANTINED_OF_SOURCE, (source_id,)).fetchone()[0]
            shares = [share._replace(quarantined=held) for share in shares]
        return shares

    def _keep_shares(self, loaded: LoadedSource, source_id: int) -> None:
        """Keep what was recorded of a file before SQLite wrote it: its own sessions are no find."""
        if self._main.execute(adoption_queries.HAS_SHARES, (source_id,)).fetchone()[0]:
            return
        known, workspace_hash = self._known.get(loaded.source.name), loaded.source.workspace_hash or ""
        share = Share(workspace_hash)
        if known is not None:
            share = Share(workspace_hash, known.session_count, 0, known.quarantined, 0, known.instances, known.messages)
        self._main.execute(queries.RECORD_SHARE, (source_id, *share))

    def _is_recorded(self, loaded: LoadedSource) -> bool:
        """Whether the source was migrated before."""
        return self._entry(loaded) is not None

    def _is_known(self, loaded: LoadedSource) -> bool:
        """Whether the database may have other versions of the source's sessions."""
        if (
            loaded.source.kind == "adopted"
            or self._is_recorded(loaded)
            or self._is_mirror(loaded)
            or (self._policy.mirrored and loaded.source.kind == "workspace")
        ):
            return True
        return any(self._main.execute(queries.CREATED_IN_SQLITE, (name,)).fetchone() for name in loaded.counts)

    def _free_taken_keys(self, loaded: LoadedSource) -> bool:
        """Give new keys to the staged rows whose keys are taken in the database; return whether there were any."""
        main, bound = self._main, (loaded.source_id,)
        sessions = main.execute(staging_queries.STAGED_TAKEN_SESSIONS, bound).fetchall()
        for *row, workspace_hash in sessions:
            rekey_attached_session(main, "staging", SessionRow._make(row), workspace_hash)
        messages = main.execute(staging_queries.STAGED_TAKEN_MESSAGES, bound).fetchall()
        for row in messages:
            rekey_attached_message(main, "staging", MessageRow._make(row))
        return bool(sessions or messages)

    def _copy(self, loaded: LoadedSource, source_id: int, *, is_rekeyed: bool) -> None:
        """Copy the rows of a source and compare them with the staged ones, which were compared with the file."""
        offset = 0
        for workspace_hash, counts in loaded.counts.items():
            workspace_id = ensure_workspace(self._main, workspace_hash, counts.path)
            offset = max(offset, next_position(self._main, workspace_id, workspace_hash))
        bound = (loaded.source_id, offset, source_id)
        self._main.execute(staging_queries.COPY_SESSIONS, bound)
        for statement in staging_queries.COPY_CHILDREN:
            self._main.execute(statement, (loaded.source_id,))
        self._main.execute(staging_queries.COPY_QUARANTINE, bound)
        differs = self._main.execute(staging_queries.COPY_DIFFERS, bound).fetchone()[0]
        if differs or (is_rekeyed and source_digest(self._main, source_id) != loaded.digest):
            raise self._readback_failed(loaded)
        sessions = sum(counts.sessions for counts in loaded.counts.values())
        self._on_progress(loaded.source.name, loaded.source.size, sessions)

    def _entry(self, loaded: LoadedSource) -> ledger.LedgerEntry | None:
        """The ledger's row for a source that was migrated before."""
        entry = self._known.get(loaded.source.name)
        return None if entry is None or entry.status == "failed" else entry

    def _merge_of(self, loaded: LoadedSource) -> Merge:
        base, mirror = self._base(loaded), self._is_mirror(loaded)
        return Merge(self._main, self._staged, loaded, base, self._policy, mirror=mirror)

    def _merge(self, loaded: LoadedSource) -> MergeResult:
        source_id = self._ids[loaded.source.name]
        if loaded.source.kind == "adopted":
            bases = [
                base_of(entry, self._publication.data_dir) for entry in adopted_before(loaded.source, self._adopted)
            ]
            result = Additions(self._main, self._staged, loaded, source_id, bases).run()
            if result.added and self._policy.mirrored:
                self._record_to_mirror(loaded)
        else:
            result = self._merge_file(loaded, source_id)
        # Without what is from other files.
        self._main.execute(adoption_queries.SET_COUNTS, (*counts_of(loaded), source_id))
        for key, expected in result.expected.items():
            stored = read_document(self._main, key)
            if stored is None or stored.digest() != expected:
                raise self._readback_failed(loaded)
        return result

    def _merge_file(self, loaded: LoadedSource, source_id: int) -> MergeResult:
        name = loaded.source.name
        known, merge = self._prepared.pop(name, (None, None))
        if merge is None or (known, merge.policy, merge.mirror) != (
            self._entry(loaded),
            self._policy,
            self._is_mirror(loaded),
        ):
            merge = self._merge_of(loaded)  # something has changed since the merge was prepared
        result = merge.run(source_id)
        self._keep_bases(loaded, merge.base, result)
        result.lost_base = merge.base.lost
        return result

    def _record_to_mirror(self, loaded: LoadedSource) -> None:
        """Record that the JSON files of a source's workspaces lack what was added, before that is committed."""
        if isinstance(self._publication.data_dir, ScratchDataDir):
            return
        with closing(Journal(self._publication.data_dir.hybrid_journal)) as journal:
            for workspace_hash, counts in loaded.counts.items():
                journal.record_intent(WorkspaceRef(workspace_hash, counts.path))

    def _base(self, loaded: LoadedSource) -> MergeBase:
        """What the source and the database both had; see :mod:`~migrator.migration.merging.merge_base`."""
        data_dir, entry = self._publication.data_dir, self._publication.entries[loaded.source.name]
        if self._is_mirror(loaded):
            own = str(entry.backup)  # this database has, or had, everything in the file
            return MergeBase(entry.source, [BaseCopy(own, data_dir.recorded(own))])
        known = self._entry(loaded)
        return MergeBase(entry.source) if known is None else base_of(known, data_dir)

    def _keep_bases(self, loaded: LoadedSource, base: MergeBase, result: MergeResult) -> None:
        """Record which copies hold the base of the source's next merge, if it is not only the newest copy."""
        entry = self._publication.entries[loaded.source.name]
        newest = [] if loaded.blank or entry.backup is None else [entry.backup]  # a blank file shows nothing
        older = result.bases
        if base.lost:
            shows_all = not (loaded.blank or loaded.salvaged)
            older = [] if shows_all else [n for n in self._known[entry.source].base_copies if n not in newest]
        if older:
            bound = (json.dumps([*newest, *older]), self._ids[entry.source])
            self._main.execute(queries.SET_BASES, bound)

    def _is_mirror(self, loaded: LoadedSource) -> bool:
        """Whether the file is as SQLite wrote it, or was replaced by such a one since it was loaded."""
        entry = self._publication.entries[loaded.source.name]
        return loaded.source.kind == "workspace" and was_written(loaded.source, entry.sha256, self._written)

    def _readback_failed(self, loaded: LoadedSource) -> MigrationFailed:
        return MigrationFailed(
            f"The sessions of {loaded.source.name} do not read back correctly from "
            f"{self._publication.data_dir.database}. Nothing was changed.",
            code="session.readback_failed",
            hint="Please report this as a bug, with the output of 'migrator doctor'.",
        )
