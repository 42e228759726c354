"""Jobs shared with a worker are each done once, and their results are in order."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from migrator.progress import OnProgress
from migrator.worker.sharing import OrderedJobs, run_shared
from tests.support.workers import FakeWorker


class Reported:
    """A job that reports which process did it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.done_here = 0

    def run(self, on_progress: OnProgress) -> str:
        self.done_here += 1
        on_progress(f"file {self.number}", 10, 1)
        return f"here {self.number}"


class Second(FakeWorker):
    """A worker that reports the jobs it did; ``ready`` is indexed by the job's number."""

    def __init__(self, ready: Callable[[int], bool], dies_at: int | None = None) -> None:
        super().__init__(lambda job: ready(job.number), dies_at)

    def do(self, job: Reported, on_progress: OnProgress) -> str:
        on_progress(f"file {job.number}", 10, 1)
        return f"there {job.number}"

    @property
    def given(self) -> list[int]:
        return [job.number for job in self.submitted]

    @property
    def waited_for(self) -> list[int]:
        return [job.number for job in self.awaited]


def jobs(count: int) -> list[Reported]:
    return [Reported(number) for number in range(count)]


def in_order(todo: Sequence[Reported], second: Second | None) -> tuple[list[Any], list[str]]:
    """Return the results, and the files whose progress was reported."""
    seen: list[str] = []
    work = OrderedJobs(len(todo), todo.__getitem__, second, lambda name, _size, _sessions: seen.append(name))
    return list(work.results()), seen


def numbers(results: Sequence[str]) -> list[int]:
    return [int(result.split()[1]) for result in results]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False, lambda number: number % 3 == 0])
def test_results_come_in_order_whichever_process_is_faster(count, ready):
    todo = jobs(count)
    second = Second(ready)
    results, seen = in_order(todo, second)
    assert numbers(results) == [*range(count)]
    assert sorted(seen) == sorted(f"file {number}" for number in range(count))
    done_here = [job.number for job in todo if job.done_here]
    assert sorted(done_here + second.given) == [*range(count)]
    assert all(job.done_here <= 1 for job in todo)


def test_instead_of_waiting_this_process_does_jobs_from_the_back():
    todo = jobs(6)
    second = Second(lambda _: False)
    results, _ = in_order(todo, second)
    assert results == ["there 0", "there 1", *(f"here {number}" for number in range(2, 6))]
    assert second.waited_for == [0, 1]


def test_this_process_does_no_more_jobs_than_it_would_wait_for():
    todo = jobs(6)
    results, _ = in_order(todo, Second(lambda _: bool(todo[-1].done_here)))
    assert results == [*(f"there {number}" for number in range(5)), "here 5"]


def test_this_process_does_no_jobs_if_it_need_not_wait():
    todo = jobs(6)
    results, _ = in_order(todo, Second(lambda _: True))
    assert results == [f"there {number}" for number in range(6)]


def test_the_worker_has_at_most_two_jobs():
    second = Second(lambda _: False)
    work = OrderedJobs(6, jobs(6).__getitem__, second, lambda *_: None)
    for _ in range(3):
        work.submit_more()
    assert second.given == [0, 1]


@pytest.mark.parametrize(("count", "given"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_of_few_jobs_the_worker_leaves_some_for_this_process(count: int, given: int) -> None:
    second = Second(lambda _: False)
    OrderedJobs(count, jobs(count).__getitem__, second, lambda *_: None)
    assert second.given == [*range(given)]


def test_the_worker_gets_jobs_while_this_process_does_something_else():
    second = Second(lambda _: True)
    work = OrderedJobs(6, jobs(6).__getitem__, second, lambda *_: None)
    for _ in range(2):
        work.submit_more()
    assert second.given == [*range(6)]


@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False])
@pytest.mark.parametrize("dies_at", [1, 2, 4])
def test_jobs_of_a_worker_that_dies_have_no_result_and_none_is_done_twice(dies_at, ready):
    todo = jobs(6)
    second = Second(ready, dies_at)
    results, _ = in_order(todo, second)
    assert len(results) == 6
    for job, result in zip(todo, results, strict=True):
        assert result in (None, f"here {job.number}", f"there {job.number}")
        assert job.done_here == (result == f"here {job.number}")
    assert (None in results) == (len(second.given) >= dies_at)


def test_without_a_worker_nothing_is_done():
    todo = jobs(3)
    assert in_order(todo, None) == ([None] * 3, [])
    assert not any(job.done_here for job in todo)


@pytest.mark.parametrize("dies_at", [None, 1, 2])
@pytest.mark.parametrize("ready", [lambda _: True, lambda _: False])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_shared_from_both_ends_every_job_has_a_result(count, ready, dies_at):
    todo = jobs(count)
    second = Second(ready, dies_at)
    assert numbers(run_shared(todo, second, lambda *_: None)) == [*range(count)]
