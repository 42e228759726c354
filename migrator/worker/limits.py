"""How much is large, many or long: the thresholds that a run goes by, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False, repr=False)  # each method that is made takes its time at every start
class Limits:
    """What a run takes for its measure; sizes are bytes.

    :ivar processors: how many may be used; None asks the system
    :ivar worker_size: bytes of files below which a worker process costs more than it brings
    :ivar file_cost: bytes that could be migrated in the time that a file takes, however small it is
    :ivar many_files: so many small files are copied by two processes: opening and closing them takes longer than what
        is done with their bytes, and does not let go of the interpreter's lock, so that threads are of no use
    :ivar small_file: the average of what counts as small there
    :ivar copy_files: files to copy in one job
    :ivar check_files: files to look at in one job
    :ivar shard: bytes of files with which a shard is full
    :ivar chunk: bytes of an app-formatted file that are read at once
    :ivar farthest: bytes in which to look for the end of a session by a guess
    :ivar batch: bytes of documents that wait in memory to be inserted together
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
    farthest: int = 1 << 26
    batch: int = 4 << 20

    def is_worth_a_worker(self, size: int, files: int = 0) -> bool:
        """Whether so many bytes, in so many files, are worth a worker process."""
        return size + files * self.file_cost >= self.worker_size

    def are_many_small(self, sizes: Sequence[int]) -> bool:
        """Whether files of these sizes are so many and so small that a worker process helps to copy them."""
        return len(sizes) >= self.many_files and sum(sizes) < len(sizes) * self.small_file


LIMITS = Limits()
