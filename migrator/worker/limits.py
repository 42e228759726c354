"""The thresholds of a run: what counts as large, many or long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False, repr=False)  # generating the other methods would slow down every start
class Limits:
    """The thresholds of a run; sizes are in bytes.

    :ivar processors: how many may be used; None asks the system
    :ivar worker_size: total size of files below which a worker process costs more than it saves
    :ivar file_cost: bytes that could be migrated in the time that opening and closing one file takes
    :ivar many_files: from this number on, small files are copied by two processes: opening and closing them takes
        longer than copying their bytes, and holds the interpreter lock, so that threads do not help
    :ivar small_file: the average size up to which files count as small there
    :ivar copy_files: files to copy in one job
    :ivar check_files: files to check in one job
    :ivar shard: the size of files that fills a shard
    :ivar chunk: bytes of an app-formatted file to read at once
    :ivar search_limit: bytes to search for the end of a session before giving up
    :ivar batch: bytes of documents to collect in memory before inserting them
    """

    processors: int | None = None
    worker_size: int = 24 << 20
    file_cost: int = 6 << 10
    many_files: int = 1000
    small_file: int = 1 << 16
    copy_files: int = 250
    check_files: int = 1000
    shard: int = 32 << 20
    chunk: int = 1 << 20
    search_limit: int = 1 << 26
    batch: int = 4 << 20

    def is_worth_a_worker(self, size: int, files: int = 0) -> bool:
        """Whether this many bytes, in this many files, are worth a worker process."""
        return size + files * self.file_cost >= self.worker_size

    def are_many_small(self, sizes: Sequence[int]) -> bool:
        """Whether there are so many files, and so small ones, that a worker process helps to copy them."""
        return len(sizes) >= self.many_files and sum(sizes) < len(sizes) * self.small_file


LIMITS = Limits()
