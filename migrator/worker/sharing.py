"""Jobs that two processes share: the worker takes them from the front, this process from the back, until they meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from migrator.progress import OnProgress
from migrator.worker.process import Job, WorkerProcess

PIECES = 32  # of what is to be shared: the one that is done first waits for less than the length of two
_AHEAD = 2  # jobs that the worker has: one at work, and one to go on with

AnyJob = TypeVar("AnyJob", bound=Job)


def run_shared(
    jobs: Sequence[AnyJob],
    worker: WorkerProcess | None,
    on_progress: OnProgress,
    run_again: Callable[[AnyJob, OnProgress], Any] = lambda job, on_progress: job.run(on_progress),
) -> list[Any]:
    """Do the jobs, none of which returns None, by both processes; what one returns is in its place.

    :param worker: if it is missing, or dies, this process does its part; a single job is not worth asking it
    :param run_again: does a job that the worker may have begun
    :returns: what each has returned, in their order
    """
    shared = OrderedJobs(len(jobs), jobs.__getitem__, worker if len(jobs) > 1 else None, on_progress)
    results = [*shared.results()]
    for number, job in enumerate(jobs):
        if results[number] is None:
            results[number] = job.run(on_progress) if worker is None else run_again(job, on_progress)
    return results


class OrderedJobs:
    """Jobs whose results are wanted in their order: this process does some where it would have to wait otherwise.

    :param count: how many there are
    :param job: makes one of them, given its number, when it is about to be done
    :param worker: without one nothing is done
    """

    def __init__(
        self, count: int, job: Callable[[int], Job], worker: WorkerProcess | None, on_progress: OnProgress
    ) -> None:
        self._job = job
        self._worker = worker
        self._on_progress = on_progress
        self._submitted: deque[tuple[int, int]] = deque()
        self._count, self._front, self._back = count, 0, count
        self._results: dict[int, Any] = {}
        self.submit_more()

    def submit_more(self) -> None:
        """Give the worker something to go on with; to be called now and then while this process does something else."""
        if self._worker is None:
            return
        while self._submitted and self._worker.done(self._submitted[0][1], self._on_progress):
            self._await(self._worker)
        while len(self._submitted) < _AHEAD and self._front < self._back:
            self._submitted.append((self._front, self._worker.submit(self._job(self._front))))
            self._front += 1

    def results(self) -> Iterator[Any]:
        """What each has returned; None for those that are not done because the worker is missing, or died."""
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
