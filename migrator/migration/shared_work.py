"""Jobs that two processes share: this one takes them from the front, the second from the back, until they meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from migrator.migration.second_process import Job, SecondProcess, Seen, SeenSeveral

PIECES = 32  # of what is to be shared: the one that is done first waits for less than the length of two
_AHEAD = 2  # jobs that the second process has: one at work, and one to go on with

AnyJob = TypeVar("AnyJob", bound=Job)


def share(
    jobs: Sequence[AnyJob],
    second: SecondProcess | None,
    seen: SeenSeveral,
    again: Callable[[AnyJob, Seen], Any] = lambda job, seen: job.run(seen),
) -> list[Any]:
    """Do the jobs, none of which comes to None; of a second process that is missing, or dies, the part is done here.

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
