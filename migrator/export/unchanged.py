"""Find the source files whose sessions have not changed since the migration, by reading every session.

A worker process reads half of them if there are many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from migrator.database.connection import opened
from migrator.database.documents import read_source
from migrator.database.invalid import UNREADABLE, reraise_unless_data_error
from migrator.documents.document import SequenceDigest
from migrator.inventory.ledger import LedgerEntry
from migrator.progress import OnProgress
from migrator.worker.limits import LIMITS
from migrator.worker.process import WorkerFor, worker_if_worthwhile

Sessions = list[tuple[str, bytes]]
"""Key and digest of each session."""
Read = tuple[str, Sessions]
"""The digest of a source, and its sessions."""


def read_digests(connection: sqlite3.Connection, source_id: int) -> Read | None:
    """What a source's sessions are now; None if one of them cannot be read."""
    digest = SequenceDigest()
    try:
        sessions = [(stored.key, digest.add(stored.canonical_bytes())) for stored in read_source(connection, source_id)]
    except UNREADABLE as error:
        reraise_unless_data_error(error)
        return None
    return digest.hexdigest(), sessions


class DigestJob(NamedTuple):
    """Sources to be read from a database that no other process can write to meanwhile."""

    database: Path
    source_ids: Sequence[int]

    def run(self, on_progress: OnProgress) -> list[Read | None]:
        """Read the sources; the caller reports the progress, source by source."""
        del on_progress
        with opened(self.database, read_only=True) as connection:
            return [read_digests(connection, source_id) for source_id in self.source_ids]


@contextmanager
def sessions_if_unchanged(
    connection: sqlite3.Connection,
    database: Path,
    entries: Sequence[LedgerEntry],
    worker_for: WorkerFor | None = None,
) -> Iterator[Callable[[LedgerEntry], Sessions | None]]:
    """Yield a function to call with each of the sources, in their order; a worker process helps if it is worthwhile.

    The function returns key and digest of each of the source's sessions, or None if they are not the migrated ones.

    :param connection: in a transaction that keeps writers out and has not changed any session
    """
    with worker_if_worthwhile(LIMITS) as own_worker:
        total = sum(entry.size for entry in entries)
        worker = (worker_for or own_worker)(total, 0)
        ends = accumulate(entry.size for entry in entries)
        second_half = [
            entry.id for entry, end in zip(entries, ends, strict=True) if end - entry.size // 2 >= total // 2
        ]
        given = second_half if worker else []
        job_id = worker.submit(DigestJob(database, given)) if worker else 0
        awaited, results = set(given), dict[int, Read | None]()

        def sessions(entry: LedgerEntry) -> Sessions | None:
            if worker and entry.id in awaited:
                read_there = worker.result(job_id)
                if read_there is not None:  # if it failed, its part is read here
                    results.update(zip(given, read_there, strict=True))
                awaited.clear()
            read = results.pop(entry.id) if entry.id in results else read_digests(connection, entry.id)
            return read[1] if read is not None and read[0] == entry.digest else None

        yield sessions
