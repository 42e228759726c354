"""Jobs that two processes share: they take them from the two ends, until they meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from migrator.worker.process import Job, SecondProcess, Seen, SeenSeveral

PIECES = 32  # of what is to be shared: the one that is done first waits for less than the length of two
_AHEAD = 2  # jobs that the second process has: one at work, and one to go on with

AnyJob = TypeVar("AnyJob", bound=Job)


def share(
    jobs: Sequence[AnyJob],
    second: SecondProcess | None,
    seen: SeenSeveral,
    again: Callable[[AnyJob, Seen], Any] = lambda job, seen: job.run(seen),
) -> list[Any]:
    """Do the jobs, none of which comes to None: this process from the front, the second one from the back.

    Of a second process that is missing, or dies, the part is done here.

    :param seen: told what is done, by either
    :param again: does a job that the second process may have begun
    :returns: what each has come to, in their order
    """

    def seen_here(name: str, size: int) -> None:
        seen(name, size, 1)

    def take(number: int, ticket: int) -> None:
        found = None if second is None else second.result(ticket, seen)
        results[number] = again(jobs[number], seen_here) if found is None else found

    results: list[Any] = [None] * len(jobs)
    given: deque[tuple[int, int]] = deque()
    front, back = 0, len(jobs)
    while front < back:
        while second is not None and len(given) < _AHEAD and front + 1 < back:
            back -= 1
            given.append((back, second.give(jobs[back])))
        results[front] = jobs[front].run(seen_here)
        front += 1
        while given and second is not None and second.is_done(given[0][1], seen):
            take(*given.popleft())
    for number, ticket in given:
        take(number, ticket)
    return results


class InOrder:
    """Jobs whose results are wanted in their order.

    The second process does them from the front, this one from the back, where it would have to wait otherwise.

    :param count: how many there are
    :param job: makes one of them, told by its number, when somebody is about to do it
    :param second: without one nothing is done
    :param seen: told what is done, by either
    """

    def __init__(self, count: int, job: Callable[[int], Job], second: SecondProcess | None, seen: SeenSeveral) -> None:
        self._count = count
        self._job = job
        self._second = second
        self._seen = seen
        self._given: deque[tuple[int, int]] = deque()
        self._front, self._back = 0, count
        self._results: dict[int, Any] = {}
        self.feed()

    def feed(self) -> None:
        """Give the second process something to go on with; to be called now and then by whoever does something else."""
        if self._second is None:
            return
        while self._given and self._second.is_done(self._given[0][1], self._seen):
            self._await(self._second)
        while len(self._given) < _AHEAD and self._front < self._back:
            self._given.append((self._front, self._second.give(self._job(self._front))))
            self._front += 1

    def results(self) -> Iterator[Any]:
        """What each has come to; None for those that nobody has done when the second process is missing, or dies."""
        for number in range(self._count):
            self.feed()
            while self._second is not None and number not in self._results:
                if self._front < self._back:
                    self._back -= 1
                    self._results[self._back] = self._job(self._back).run(self._seen_here)
                    self.feed()
                else:
                    self._await(self._second)
            yield self._results.pop(number, None)

    def _await(self, second: SecondProcess) -> None:
        number, ticket = self._given.popleft()
        self._results[number] = second.result(ticket, self._seen)

    def _seen_here(self, name: str, size: int) -> None:
        self._seen(name, size, 1)
