"""Shares jobs between two processes: the worker starts at the front, this process at the back, until they meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from migrator.progress import OnProgress
from migrator.worker.process import Job, WorkerProcess

PIECES = 32  # work is cut into this many pieces, so that the process that finishes first waits for less than two
_QUEUED = 2  # jobs given to the worker: the one it is doing and the next one; of two or three jobs only one

AnyJob = TypeVar("AnyJob", bound=Job)


def run_shared(
    jobs: Sequence[AnyJob],
    worker: WorkerProcess | None,
    on_progress: OnProgress,
    run_again: Callable[[AnyJob, OnProgress], Any] = lambda job, on_progress: job.run(on_progress),
) -> list[Any]:
    """Run jobs in both processes; none of them may return None.

    :param worker: if it is missing or dies, this process does its part; a single job is always done here
    :param run_again: runs a job that the worker may have begun
    :returns: the result of each job, in their order
    """
    shared = OrderedJobs(len(jobs), jobs.__getitem__, worker if len(jobs) > 1 else None, on_progress)
    results = [*shared.results()]
    for number, job in enumerate(jobs):
        if results[number] is None:
            results[number] = job.run(on_progress) if worker is None else run_again(job, on_progress)
    return results


class OrderedJobs:
    """Jobs whose results are needed in order; instead of waiting, this process does some of them.

    :param count: the number of jobs
    :param job: makes a job, given its number, when it is about to be done
    :param worker: without one, no job is done
    """

    def __init__(
        self, count: int, job: Callable[[int], Job], worker: WorkerProcess | None, on_progress: OnProgress
    ) -> None:
        self._job = job
        self._worker = worker
        self._on_progress = on_progress
        self._submitted: deque[tuple[int, int]] = deque()
        self._count, self._front, self._back = count, 0, count
        self._queued = max(1, min(_QUEUED, count // 2))
        self._results: dict[int, Any] = {}
        self.submit_more()

    def submit_more(self) -> None:
        """Give the worker its next jobs; to be called regularly while this process does something else."""
        if self._worker is None:
            return
        while self._submitted and self._worker.done(self._submitted[0][1], self._on_progress):
            self._await(self._worker)
        while len(self._submitted) < self._queued and self._front < self._back:
            self._submitted.append((self._front, self._worker.submit(self._job(self._front))))
            self._front += 1

    def results(self) -> Iterator[Any]:
        """Yield the result of each job; None for a job that was not done because the worker is missing or died."""
        for number in range(self._count):
            self.submit_more()
            while self._worker is not None and number not in self._results:
                if self._front < self._back:
                    self._back -= 1
                    self._results[self._back] = self._job(self._back).run(self._on_progress)
                    self.submit_more()
                else:
                    self._await(self._worker)
            yield self._results.pop(number, None)

    def _await(self, worker: WorkerProcess) -> None:
        number, job_id = self._submitted.popleft()
        self._results[number] = worker.result(job_id, self._on_progress)
