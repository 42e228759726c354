"""Which sources are in the database as they were migrated: told by reading every session, by two processes if large."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from migrator.database.connection import opened
from migrator.database.documents import read_source
from migrator.database.invalid import UNREADABLE, reraise_unless_data_error
from migrator.documents.document import SequenceDigest
from migrator.inventory.ledger import LedgerEntry
from migrator.progress import OnProgress
from migrator.worker.limits import LIMITS
from migrator.worker.process import WorkerFor, WorkerProcess, worker_if_worthwhile

Read = tuple[str, list[tuple[str, bytes]]]
"""The digest of a source, and key and digest of each of its sessions."""


def read_digests(connection: sqlite3.Connection, source_id: int) -> Read | None:
    """What a source's sessions are now; None where one of them can't be read."""
    digest = SequenceDigest()
    try:
        sessions = [(stored.key, digest.add(stored.canonical_bytes())) for stored in read_source(connection, source_id)]
    except UNREADABLE as error:
        reraise_unless_data_error(error)
        return None
    return digest.hexdigest(), sessions


@dataclass(frozen=True)
class DigestJob:
    """Sources to be read from a database that nobody else can write to meanwhile."""

    database: Path
    source_ids: Sequence[int]

    def run(self, on_progress: OnProgress) -> list[Read | None]:
        """What each has shown; the caller reports progress, source by source."""
        del on_progress
        with opened(self.database, read_only=True) as connection:
            return [read_digests(connection, source_id) for source_id in self.source_ids]


class Unchanged:
    """Tells of sources, asked for in their order, whether they are as they were migrated.

    :param connection: in a transaction that keeps writers out and has changed nothing of them
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: Path,
        entries: Sequence[LedgerEntry],
        worker: WorkerProcess | None,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._given = [entry.id for entry in entries[_half_of([entry.size for entry in entries]) :]] if worker else []
        self._results: dict[int, Read | None] = {}
        self._job_id = worker.submit(DigestJob(database, self._given)) if worker is not None else 0

    @classmethod
    @contextmanager
    def told(
        cls,
        connection: sqlite3.Connection,
        database: Path,
        entries: Sequence[LedgerEntry],
        worker_for: WorkerFor | None = None,
    ) -> Iterator[Self]:
        """One with the help of a worker, where there is enough to do."""
        with worker_if_worthwhile(LIMITS) as one_of_its_own:
            worker = (worker_for or one_of_its_own)(sum(entry.size for entry in entries), 0)
            yield cls(connection, database, entries, worker)

    def sessions(self, entry: LedgerEntry) -> list[tuple[str, bytes]] | None:
        """Key and digest of each of a source's sessions; None where they are not those that were migrated."""
        if entry.id in self._given:
            self._take_results()
        read = self._results.pop(entry.id) if entry.id in self._results else read_digests(self._connection, entry.id)
        return read[1] if read is not None and read[0] == entry.digest else None

    def _take_results(self) -> None:
        """Wait for the worker; where it failed, its part is read here."""
        if self._worker is not None:
            results = self._worker.result(self._job_id)
            if results is not None:
                self._results = dict(zip(self._given, results, strict=True))
        self._given = []


def _half_of(sizes: Sequence[int]) -> int:
    """How many of the first ones are about half of all."""
    half, number = sum(sizes) // 2, 0
    while number < len(sizes) and half > sizes[number] // 2:
        half -= sizes[number]
        number += 1
    return number
