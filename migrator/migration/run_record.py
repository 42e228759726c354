"""Records what a run found and did, in the transaction that publishes it; and the shares of a source's workspaces.

Each session that was found is counted once: as migrated, merged, quarantined or failed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from migrator._version import __version__
from migrator.database import queries
from migrator.database.columns import LEDGER_COLUMNS
from migrator.database.connection import AnyConnection
from migrator.inventory.ledger import LedgerEntry
from migrator.progress import StageTimer
from migrator.staging.connections.opening import staged_errors
from migrator.workspace import workspace_of_source

if TYPE_CHECKING:
    from migrator.backups.create import Backup
    from migrator.inventory.deletions import Deletion
    from migrator.migration.merging.decision import MergeResult
    from migrator.staging.database import StagingDatabase
    from migrator.staging.results import LoadedSource


class Share(NamedTuple):
    """What one workspace got from a source; the fields are columns of ``migration_shares``.

    :ivar failed: the sessions of a file that failed, as far as they could be counted
    """

    workspace_hash: str
    migrated: int = 0
    merged: int = 0
    quarantined: int = 0
    failed: int = 0
    instances: int = 0
    messages: int = 0

    @property
    def found(self) -> int:
        return self.migrated + self.merged + self.quarantined + self.failed


class RunFacts(NamedTuple):
    """What is known of a run before it publishes.

    :ivar files: the number of files that it processed
    :ivar size: the size of these files in bytes
    :ivar backup: the folder with the copies; None if nothing could be copied
    :ivar data_dir: the data directory, as the database records it
    """

    timer: StageTimer
    files: int
    size: int
    backup: str | None
    data_dir: str


def shares_of(loaded: LoadedSource, merged: MergeResult | None = None) -> list[Share]:
    """What each workspace got from a source.

    :param merged: the result of the merge, if there was one
    """
    if loaded.error:
        source = loaded.source
        return [Share(workspace_of_source(source.name, source.workspace_hash)[0], failed=loaded.unread_sessions)]
    shares = []
    for workspace_hash, counts in loaded.counts.items():
        conflicts = 0 if merged is None else merged.conflicts[workspace_hash]
        accepted = counts.sessions
        if loaded.source.kind != "adopted":  # of which only what is added is counted
            accepted -= conflicts
        shares.append(
            Share(
                workspace_hash,
                accepted if merged is None else 0,
                0 if merged is None else accepted,
                counts.quarantined + conflicts,
                0,
                counts.instances,
                counts.messages,
            )
        )
    return shares


def share_rows(loaded: LoadedSource, source_id: int, shares: Sequence[Share]) -> list[tuple[int | str, ...]]:
    """Rows for ``RECORD_SHARE``; none if the ledger's row has all of it.

    :param source_id: the ledger's number of the source
    """
    if len(shares) == 1 and loaded.source.kind != "adopted":
        [share] = shares
        if share.workspace_hash == loaded.source.workspace_hash and not share.merged and not share.failed:
            return []
    return [(source_id, *share) for share in shares]


def record_run(
    connection: AnyConnection,
    facts: RunFacts,
    found: Sequence[tuple[LoadedSource, Share]],
    deletions: Sequence[Deletion] = (),
) -> None:
    """Write the run's own row, as the last statement of its transaction.

    :param found: every share of every source that the run processed
    :param deletions: the sessions that these files had lost
    """
    held = sum(deletion.held for deletion in deletions)
    failed = {loaded.source.name for loaded, _ in found if loaded.error}
    columns = zip(*(share for _, share in found), strict=True)
    sums = [sum(column) for column in [*columns][1:]] or [0] * (len(Share._fields) - 1)
    elapsed, stages = facts.timer.read()
    connection.execute(
        queries.RECORD_RUN,
        (
            datetime.now(UTC).isoformat(timespec="seconds"),
            __version__,
            facts.files,
            len(failed),
            facts.size,
            connection.execute(queries.DATABASE_BYTES).fetchone()[0],
            *sums,
            elapsed,
            json.dumps(stages),
            facts.backup,
            len(deletions) - held,
            held,
        ),
    )


def record_in_staging(
    staging: StagingDatabase, results: Sequence[LoadedSource], entries: Sequence[LedgerEntry], facts: RunFacts
) -> None:
    """Write the ledger's rows and the run's own row, which completes the staging database."""
    found = [(loaded, shares_of(loaded)) for loaded in results]
    shares = [row for loaded, each in found for row in share_rows(loaded, loaded.source_id, each)]
    connection = staging.connection
    with staged_errors("write the ledger", staging.path):
        connection.execute("BEGIN")
        connection.insert("migration_ledger", ("id", *LEDGER_COLUMNS), entries)
        connection.executemany(queries.RECORD_SHARE, shares)
        record_run(connection, facts, [(loaded, share) for loaded, each in found for share in each])
        connection.execute(queries.SET_COMPLETED, (facts.backup, facts.data_dir))
        connection.execute("COMMIT")


def counts_of(loaded: LoadedSource) -> tuple[int, int, int, int]:
    """The sessions, instances, messages and invalid elements that a source contributed."""
    sessions = instances = messages = quarantined = 0
    for counts in loaded.counts.values():
        sessions += counts.sessions
        instances += counts.instances
        messages += counts.messages
        quarantined += counts.quarantined
    return sessions, instances, messages, quarantined


def entries_of(loaded: Iterable[LoadedSource], saved: Backup) -> dict[str, LedgerEntry]:
    """The ledger's row for each source that a run processed, by its name; ``id`` is the source's number in the run.

    Copies are recorded relative to the data directory.
    """
    folder = os.path.join(saved.folder.parent.name, saved.folder.name, "") if saved.folder else ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries = {}
    for found in loaded:
        source, copy = found.source, saved.copies.get(found.source.name)
        sessions, instances, messages, quarantined = counts_of(found)
        entries[source.name] = LedgerEntry(
            id=found.source_id,
            source=source.name,
            workspace_hash=source.workspace_hash,
            status="failed" if found.error else "merged" if source.kind == "adopted" else "migrated",
            size=source.size,
            mtime_ns=source.mtime_ns,
            inode=source.inode,
            sha256=copy.sha256 if copy else None,
            session_count=sessions,
            instances=instances,
            messages=messages,
            quarantined=quarantined,
            digest=None if found.error else found.digest,
            backup=f"{folder}{copy.file}" if copy else None,
            error="\n".join(filter(None, (found.error.message, found.error.hint))) if found.error else None,
            created_at=now,
            updated_at=now,
            error_code=found.error.code if found.error else None,
        )
    return entries
