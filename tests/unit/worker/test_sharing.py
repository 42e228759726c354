"""Jobs shared with a second process: each is done once, in whatever order, and its result stands where it belongs."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from migrator.worker.process import Seen
from migrator.worker.sharing import InOrder, share


class Told:
    """A job that says by whom it was done."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.done_here = 0

    def run(self, seen: Seen) -> str:
        self.done_here += 1
        seen(f"file {self.number}", 10)
        return f"here {self.number}"


class Second:
    """Stands in for a second process: it has done a job when ``ready`` says so, or when somebody waits for it."""

    def __init__(self, ready: Callable[[int], bool], dies_at: int | None = None) -> None:
        self.given: list[int] = []
        self.waited_for: list[int] = []
        self._ready = ready
        self._dies_at = dies_at

    def give(self, job: Told) -> int:
        self.given.append(job.number)
        return len(self.given)

    def is_done(self, ticket: int, _seen: Any) -> bool:
        return self._is_dead(ticket) or self._ready(self.given[ticket - 1])

    def result(self, ticket: int, seen: Any) -> str | None:
        if self._is_dead(ticket):
            return None
        if not self._ready(self.given[ticket - 1]):
            self.waited_for.append(self.given[ticket - 1])
        seen(f"file {self.given[ticket - 1]}", 10, 1)
        return f"there {self.given[ticket - 1]}"

    def _is_dead(self, ticket: int) -> bool:
        return self._dies_at is not None and ticket >= self._dies_at


def jobs(count: int) -> list[Told]:
    return [Told(number) for number in range(count)]


def in_order(todo: Sequence[Told], second: Second | None) -> tuple[list[Any], list[str]]:
    """The results, and the files that were seen."""
    seen: list[str] = []
    work: Any = InOrder(len(todo), todo.__getitem__, second, lambda name, _size, _sessions: seen.append(name))  # type: ignore[arg-type]
    return list(work.results()), seen


def numbers(results: Sequence[str]) -> list[int]:
    return [int(result.split()[1]) for result in results]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False, lambda number: number % 3 == 0])
def test_results_come_in_order_whoever_is_quick(count, ready):
    todo = jobs(count)
    second = Second(ready)
    results, seen = in_order(todo, second)
    assert numbers(results) == [*range(count)]
    assert sorted(seen) == sorted(f"file {number}" for number in range(count))
    done_here = [job.number for job in todo if job.done_here]
    assert sorted(done_here + second.given) == [*range(count)]
    assert all(job.done_here <= 1 for job in todo)


def test_where_it_would_wait_this_process_takes_some_from_the_back():
    todo = jobs(6)
    second = Second(lambda _: False)
    results, _ = in_order(todo, second)
    assert results == ["there 0", "there 1", *(f"here {number}" for number in range(2, 6))]
    assert second.waited_for == [0, 1]


def test_it_takes_no_more_than_it_would_have_to_wait_for():
    todo = jobs(6)
    results, _ = in_order(todo, Second(lambda _: bool(todo[-1].done_here)))
    assert results == [*(f"there {number}" for number in range(5)), "here 5"]


def test_where_it_need_not_wait_it_takes_none():
    todo = jobs(6)
    results, _ = in_order(todo, Second(lambda _: True))
    assert results == [f"there {number}" for number in range(6)]


def test_the_second_process_never_has_more_than_it_can_go_on_with():
    second = Second(lambda _: False)
    work: Any = InOrder(6, jobs(6).__getitem__, second, lambda *_: None)  # type: ignore[arg-type]
    for _ in range(3):
        work.feed()
    assert second.given == [0, 1]


def test_it_is_fed_while_this_process_does_something_else():
    second = Second(lambda _: True)
    work: Any = InOrder(6, jobs(6).__getitem__, second, lambda *_: None)  # type: ignore[arg-type]
    for _ in range(2):
        work.feed()
    assert second.given == [*range(6)]


@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False])
@pytest.mark.parametrize("dies_at", [1, 2, 4])
def test_of_one_that_dies_the_rest_comes_to_nothing_and_is_nobody_s_twice(dies_at, ready):
    todo = jobs(6)
    second = Second(ready, dies_at)
    results, _ = in_order(todo, second)
    assert len(results) == 6
    for job, result in zip(todo, results, strict=True):
        assert result in (None, f"here {job.number}", f"there {job.number}")
        assert job.done_here == (result == f"here {job.number}")
    assert (None in results) == (len(second.given) >= dies_at)


def test_without_a_second_process_nothing_is_done():
    todo = jobs(3)
    assert in_order(todo, None) == ([None] * 3, [])
    assert not any(job.done_here for job in todo)


@pytest.mark.parametrize("dies_at", [None, 1, 2])
@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_shared_from_both_ends_every_job_has_a_result(count, ready, dies_at):
    todo = jobs(count)
    second: Any = Second(ready, dies_at)
    assert numbers(share(todo, second, lambda *_: None)) == [*range(count)]
