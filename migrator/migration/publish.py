"""From the verified staging database to the real one, all at once: by a rename, or in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from migrator.authority import read_state
from migrator.backups.database_copy import changing, upgrade
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.canonical import source_digest
from migrator.database.columns import MessageRow, SessionRow
from migrator.database.connection import opened, transaction
from migrator.database.documents import ensure_workspace, next_position, read_document
from migrator.database.errors import sqlite_errors
from migrator.errors import MigrationFailed
from migrator.files import copying, durable
from migrator.inventory import ledger
from migrator.migration.merge import Merge, MergeResult
from migrator.migration.post_rollback import LateWrites, empty_after_rollback
from migrator.migration.run_record import RunFacts, Share, record_run, shares_of, untold
from migrator.search import index as search_index
from migrator.staging import queries as staging_queries
from migrator.staging.database import rekey_attached_message, rekey_attached_session
from migrator.staging.results import LoadedSource


@dataclass(frozen=True)
class Publication:
    """What is to be published.

    :ivar staging: the staging database, closed and verified
    :ivar entries: the ledger's row for each source, by its name
    :ivar facts: what the run knows of itself
    :ivar backups: the folder of all backups
    :ivar in_trial: both stores run, so that a workspace's own file has the sessions of its other files as well
    :ivar written: the SHA-256 of workspace files as we wrote them for the trial, by the workspace's hash
    """

    staging: Path
    database: Path
    loaded: Sequence[LoadedSource]
    entries: dict[str, ledger.LedgerEntry]
    facts: RunFacts
    backups: Path
    data_dir: DataDir
    in_trial: bool
    written: Mapping[str, str]


def publish_new(publication: Publication) -> bool:
    """Give the staging database its name, where nothing has it yet; False, and nothing done, otherwise.

    The log of a database that is gone would be played into the new one: SQLite itself must make the file then, which
    throws such a log away.
    """
    database = publication.database
    if any(database.with_name(database.name + suffix).exists() for suffix in ("-wal", "-journal")):
        return False
    return durable.publish_new(publication.staging, publication.database)


@dataclass(frozen=True)
class Published:
    """What was found in the database that the sources were published into.

    :ivar merged: what was merged, by the source's name
    :ivar late: what had been written there after a rollback
    """

    merged: dict[str, MergeResult] = field(default_factory=dict)
    late: LateWrites = field(default_factory=LateWrites)


def publish_into(publication: Publication, seen: Callable[[str, int], None]) -> Published:
    """Bring the staged sources into a database that exists, in one transaction that ends as ``completed``.

    The app may hold it open. A source that is new there is copied by SQLite itself and then read back; one that the
    database knows already, or whose workspace has sessions of its own, is merged.

    :raises MigrationFailed: something does not read back as it should; nothing was changed
    """
    path = publication.database
    with opened(path, create=True) as connection:
        upgrade(connection, path, publication.backups)
        with sqlite_errors("attach the staging database", path):
            connection.execute("PRAGMA synchronous = FULL")  # what the flag will point at must survive a power cut
            connection.execute(staging_queries.ATTACH, (publication.staging.absolute().as_uri(), "staging"))
        with (
            changing(connection, path, publication.backups) as back_up,
            transaction(connection, path, "publish the migrated sessions"),
        ):
            if read_state(connection, path).status == "rolled_back":
                back_up("rolled-back")  # while nobody else can write
            published = _Publisher(connection, publication, seen).run()
        with sqlite_errors("detach the staging database", path):
            connection.execute(staging_queries.DETACH, ("staging",))
        return published


class _Publisher:
    def __init__(self, main: sqlite3.Connection, publication: Publication, seen: Callable[[str, int], None]) -> None:
        self._main = main
        self._publication = publication
        self._seen = seen
        self._known = ledger.read_ledger(main)

    def run(self) -> Published:
        if read_state(self._main, self._publication.database).status != "rolled_back":
            return Published(self._bring_in_sources())
        # The files hold everything then, and what the database holds is old, or was written when nobody would read it.
        late = empty_after_rollback(self._main)
        self._known = {}
        return Published(self._bring_in_sources(), late.bring_in())

    def _bring_in_sources(self) -> dict[str, MergeResult]:
        merged: dict[str, MergeResult] = {}
        search_index.reopen(self._main)
        self._main.execute(queries.SET_STATUS, ("in_progress",))
        new: list[tuple[LoadedSource, int]] = []
        found: list[tuple[LoadedSource, Share]] = []
        for loaded in self._publication.loaded:
            if loaded.error and self._is_recorded(loaded):
                ledger.record_failure(self._main, self._publication.entries[loaded.source.name])
                found += [(loaded, share) for share in shares_of(loaded)]
                continue
            source_id = ledger.record(self._main, self._publication.entries[loaded.source.name])
            for workspace_hash, counts in loaded.counts.items():
                ensure_workspace(self._main, workspace_hash, counts.path)
            if not loaded.error and self._is_known(loaded):
                merged[loaded.source.name] = self._merge(loaded, source_id)
            elif not loaded.error:
                new.append((loaded, source_id))
            shares = shares_of(loaded, merged.get(loaded.source.name))
            self._main.execute(queries.FORGET_SHARES, (source_id,))
            self._main.executemany(queries.RECORD_SHARE, untold(loaded, source_id, shares))
            found += [(loaded, share) for share in shares]
        # Merging reads the staging database on a connection of its own: nothing may be written there before.
        self._main.execute(staging_queries.DEFER_FOREIGN_KEYS)
        for loaded, _ in new:
            self._free_taken_keys(loaded)
        for loaded, source_id in new:
            self._copy(loaded, source_id)
        record_run(self._main, self._publication.facts, found)
        self._main.execute(queries.SET_COMPLETED, (self._publication.facts.backup,))
        return merged

    def _is_recorded(self, loaded: LoadedSource) -> bool:
        """Whether the source was migrated before."""
        entry = self._known.get(loaded.source.name)
        return entry is not None and entry.status != "failed"

    def _is_known(self, loaded: LoadedSource) -> bool:
        """Whether the database holds sessions that the source's are versions of, or may be."""
        if self._is_recorded(loaded):
            return True
        if self._publication.in_trial and loaded.source.kind == "workspace":
            return True  # we made the file, of what the database has
        return any(self._main.execute(queries.BORN_IN_SQLITE, (name,)).fetchone() for name in loaded.counts)

    def _free_taken_keys(self, loaded: LoadedSource) -> None:
        """Give staged rows whose keys the database has already other ones, before any are copied."""
        main, bound = self._main, (loaded.source_id,)
        for *row, workspace_hash in main.execute(staging_queries.STAGED_TAKEN_SESSIONS, bound).fetchall():
            rekey_attached_session(main, "staging", SessionRow._make(row), workspace_hash)
        for row in main.execute(staging_queries.STAGED_TAKEN_MESSAGES, bound).fetchall():
            rekey_attached_message(main, "staging", MessageRow._make(row))

    def _copy(self, loaded: LoadedSource, source_id: int) -> None:
        offset = 0
        for workspace_hash, counts in loaded.counts.items():
            workspace_id = ensure_workspace(self._main, workspace_hash, counts.path)
            offset = max(offset, next_position(self._main, workspace_id, workspace_hash))
        bound = (loaded.source_id, offset, source_id)
        self._main.execute(staging_queries.COPY_SESSIONS, bound)
        for statement in staging_queries.COPY_CHILDREN:
            self._main.execute(statement, (loaded.source_id,))
        self._main.execute(staging_queries.COPY_QUARANTINE, bound)
        found = source_digest(self._main, source_id, lambda size: self._seen(loaded.source.name, size))
        if found != loaded.digest:
            raise self._differs(loaded)

    def _merge(self, loaded: LoadedSource, source_id: int) -> MergeResult:
        staged = sqlite3.connect(f"{self._publication.staging.absolute().as_uri()}?mode=ro", uri=True)
        try:
            result = Merge(
                self._main, staged, loaded, source_id, self._base(loaded), in_trial=self._publication.in_trial
            ).run()
        finally:
            staged.close()
        for key, expected in result.expected.items():
            stored = read_document(self._main, key)
            if stored is None or stored.digest() != expected:
                raise self._differs(loaded)
        return result

    def _base(self, loaded: LoadedSource) -> Path | None:
        """The copy that the ledger's version of the source was made from.

        :raises MigrationFailed: it is gone or damaged, so that nobody can tell who changed what
        """
        if self._is_as_we_wrote_it(loaded):
            return self._publication.data_dir.recorded(str(self._publication.entries[loaded.source.name].backup))
        entry = self._known.get(loaded.source.name)
        if entry is None or entry.status == "failed" or entry.backup is None:
            return None
        copy = self._publication.data_dir.recorded(entry.backup)
        if not copy.is_file() or copying.sha256_of(copy) != entry.sha256:
            raise MigrationFailed(
                f"{loaded.source.name} changed since it was migrated, and the backup copy {copy}, "
                "which would tell what changed, is missing or damaged.",
                hint=f"Put the copy back in its place, or, if it is lost, move {entry.source} aside: "
                "SQLite keeps all that it has. Then run the command again. Nothing was changed.",
            )
        return copy

    def _is_as_we_wrote_it(self, loaded: LoadedSource) -> bool:
        """Whether all that is in the file came from SQLite: there is no news in it, whatever SQLite has now."""
        source = loaded.source
        written = self._publication.written.get(source.workspace_hash or "")
        return source.kind == "workspace" and self._publication.entries[source.name].sha256 == written

    def _differs(self, loaded: LoadedSource) -> MigrationFailed:
        return MigrationFailed(
            f"The sessions of {loaded.source.name} do not read back from {self._publication.database} "
            "as they were staged.",
            hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
        )
