"""Other workers than the real one, and limits by which two processes share whatever there is."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Self

from migrator.progress import OnProgress
from migrator.worker.limits import Limits
from migrator.worker.process import Job, WorkerProcess

SHARED = Limits(processors=2, worker_size=0, many_files=3, copy_files=2, check_files=2)
IN_SMALL_PARTS = Limits(processors=2, worker_size=0, shard=3_000)


class NoWorker(WorkerProcess):
    """One that can't be had."""

    @classmethod
    def command(cls) -> list[str] | None:
        return None


class SlowWorker(WorkerProcess):
    """One that seems to take long for everything."""

    def done(self, _job_id: int, _on_progress: Any = None) -> bool:
        return False


def through_a_pipe(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


class FakeWorker(WorkerProcess):
    """Does its jobs in this process, each when its result is wanted; like a real one, it ends with a job that fails.

    :param ready: which of its jobs seem to be done before their results are awaited
    :param dies_at: the first job of which, and of those after it, nothing comes back; they count from 1
    """

    def __init__(self, ready: Callable[[Any], bool] = lambda _: True, dies_at: int | None = None) -> None:
        self.submitted: list[Any] = []
        self.awaited: list[Any] = []
        self._ready = ready
        self._dies_at = dies_at

    def submit(self, job: Job) -> int:
        self.submitted.append(job)
        return len(self.submitted)

    def done(self, job_id: int, _on_progress: Any = None) -> bool:
        return self._is_dead(job_id) or self._ready(self.submitted[job_id - 1])

    def result(self, job_id: int, on_progress: OnProgress = lambda _name, _size, _sessions: None) -> Any:
        if self._is_dead(job_id):
            return None
        job = self.submitted[job_id - 1]
        if not self._ready(job):
            self.awaited.append(job)
        try:
            return self.do(job, on_progress)
        except Exception:  # noqa: BLE001 - whatever it is, the caller does the job again
            self._dies_at = job_id
            return None

    def do(self, job: Any, on_progress: OnProgress) -> Any:
        return through_a_pipe(through_a_pipe(job).run(on_progress))

    def stop(self) -> None:
        pass

    def _is_dead(self, job_id: int) -> bool:
        return self._dies_at is not None and job_id >= self._dies_at

    def kind(self) -> type[WorkerProcess]:
        """What starts this very one."""
        worker: Any = self

        class Kind(WorkerProcess):
            @classmethod
            def start(cls, _preload: Sequence[str] = ()) -> Self:
                started: Self = worker
                return started

        return Kind
