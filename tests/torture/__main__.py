"""The long form of the tests: every crash point and what follows it, whole histories, a million inputs."""

from __future__ import annotations

import argparse
import atexit
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.support.memory_disk import write_into_memory
from tests.torture import aftermath
from tests.torture.faults import fail, one_of_each_group
from tests.torture.histories import HISTORIES, Histories, all_histories
from tests.torture.histories import PART as WHOLE
from tests.torture.inputs import INPUTS, PART, Inputs, all_inputs
from tests.torture.kills import Seen, every, kill, kill_at_random, never_reached, points_of
from tests.torture.launcher import Launcher
from tests.torture.power import Content, cut, recorded, states
from tests.torture.scenarios import SCENARIOS, Play
from tests.torture.trace import NO_STRACE

AT_ONCE = 10  # attempts in one piece of work
SHOWN = 100  # failures reported in full
RANDOM_KILLS = 2_000
PARTS = ("points", "random", "faults", "power", aftermath.PART, WHOLE, PART)
OF_NO_SCENARIO = {PART, WHOLE}
PIECES = 2  # of the states of one scenario

T = TypeVar("T")


def batched(many: Iterable[T], count: int) -> Iterator[tuple[T, ...]]:
    """So many at a time; Python's own came with 3.12."""
    left = iter(many)
    while some := tuple(islice(left, count)):
        yield some


@dataclass
class Outcome:
    """The results of some attempts.

    :ivar counts: how many of each kind
    :ivar failures: what was not as promised
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.counts += other.counts
        self.failures += other.failures


@dataclass(frozen=True)
class Work:
    """Some attempts of one scenario: at given points, or at random."""

    part: str
    scenario: str
    points: tuple[tuple[Seen, str], ...] = ()
    seeds: tuple[int, ...] = ()
    faults: tuple[tuple[Seen, str], ...] = ()
    piece: int | None = None
    killed: bool = False  # and followed by every other command

    def __len__(self) -> int:
        return (self.piece is not None) + self.killed + len(self.points) + len(self.seeds) + len(self.faults)


@cache
def folder() -> Path:
    """Where this process plays."""
    place = Path(tempfile.mkdtemp(prefix="torture-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@cache
def launcher() -> Launcher:
    scratch = folder() / "launcher"
    scratch.mkdir()
    launched = Launcher(scratch)
    atexit.register(launched.close)
    return launched


@cache
def play_of(scenario: str) -> Play:
    place = folder() / f"play-{list(SCENARIOS).index(scenario)}"
    place.mkdir()
    return Play(SCENARIOS[scenario], place, launcher())


@lru_cache(maxsize=1)
def states_of(scenario: str) -> list[tuple[str, Content]]:
    """What a power cut may leave of the scenario, by the same dice in each process."""
    play = play_of(scenario)
    return list(states(play.scene.root, recorded(play), random.Random(scenario)))


def points(scenario: str) -> tuple[str, list[Seen]]:
    return scenario, points_of(play_of(scenario))


def followed(scenario: str) -> Outcome:
    """Every other command after every state that a kill leaves."""
    place = folder() / "aftermath"
    place.mkdir()
    outcome = Outcome()
    try:
        for failure in aftermath.failures_of(aftermath.Stopped(scenario, place, launcher())):
            outcome.counts[aftermath.PART] += 1
            outcome.failures += [failure] if failure else []
    except Exception as error:  # noqa: BLE001 - one scenario that can't be set up must not end the rest
        outcome.failures.append(f"{aftermath.PART}, {scenario} can't be set up: {error}")
    finally:
        shutil.rmtree(place)
    return outcome


def do(work: Work | Inputs | Histories) -> Outcome:
    if isinstance(work, Inputs):
        return Outcome(Counter({PART: len(work)}), work.failures())
    if isinstance(work, Histories):
        return Outcome(Counter({WHOLE: len(work)}), work.failures(launcher(), folder()))
    if work.killed:
        return followed(work.scenario)
    outcome = Outcome()
    try:
        play = play_of(work.scenario)
    except Exception as error:  # noqa: BLE001 - one scenario that can't be set up must not end the rest
        return Outcome(Counter({work.part: len(work)}), [f"{work.scenario} can't be set up: {error}"])
    trials: list[Callable[[], object]] = [
        lambda seen=seen, moment=moment: kill(play, seen, moment)  # type: ignore[misc]
        for seen, moment in work.points
    ]
    trials += [lambda seed=seed: kill_at_random(play, random.Random(seed)) for seed in work.seeds]  # type: ignore[misc]
    trials += [lambda seen=seen, act=act: fail(play, seen, act) for seen, act in work.faults]  # type: ignore[misc]
    if work.piece is not None:
        try:
            found = states_of(work.scenario)
        except Exception as error:  # noqa: BLE001 - the same
            return Outcome(Counter({work.part: len(work)}), [f"{work.scenario} can't be recorded: {error}"])
        mine = [state for number, state in enumerate(found) if number % PIECES == work.piece]
        trials += [lambda where=where, content=content: cut(play, where, content) for where, content in mine]  # type: ignore[misc]
    for trial in trials:
        try:
            trial()
        except Exception as error:  # noqa: BLE001 - one that fails must not end the rest
            outcome.failures.append(f"{work.part}, {work.scenario}: {error}")
        outcome.counts[work.part] += 1
    return outcome


def all_work(points: dict[str, list[Seen]], arguments: argparse.Namespace) -> Iterator[Work]:
    dice = random.Random(arguments.seed)
    for scenario, seen in points.items():
        if "points" in arguments.parts:
            for some in batched(every(seen), AT_ONCE):
                yield Work("points", scenario, tuple(some))
        if "faults" in arguments.parts:
            for errors in batched(one_of_each_group(seen, dice), AT_ONCE):
                yield Work("faults", scenario, faults=errors)
        if "power" in arguments.parts:
            for piece in range(PIECES):
                yield Work("power", scenario, piece=piece)
        if aftermath.PART in arguments.parts:
            yield Work(aftermath.PART, scenario, killed=True)
        if "random" in arguments.parts:
            count = -(-arguments.kills // len(points))  # rounded up
            seeds = [dice.randrange(1 << 32) for _ in range(count)]
            for few in batched(seeds, AT_ONCE):
                yield Work("random", scenario, seeds=tuple(few))


def ignore_interrupts() -> None:
    """Let the first process handle an interrupt: it ends what is running, and reports it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def one_scenario_after_the_other(work: Work | Inputs | Histories) -> str:
    """The longest work first; then the power cuts, scenario by scenario: a process remembers only one of them."""
    if not isinstance(work, Work):
        return "~"
    return "" if work.killed else work.scenario if work.piece is not None else "~"


def parsed(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--parts", nargs="+", default=[*PARTS], choices=PARTS)
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--kills", type=int, default=RANDOM_KILLS, help="at random moments, altogether")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="mutated files, altogether")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="of old builds, stores, commands and kills")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args(given)


def pieces_of(found: dict[str, list[Seen]], arguments: argparse.Namespace) -> list[Work | Inputs | Histories]:
    pieces: list[Work | Inputs | Histories] = [*all_work(found, arguments)]
    if PART in arguments.parts:
        pieces += all_inputs(arguments.seed, arguments.inputs)
    if WHOLE in arguments.parts:
        pieces += all_histories(arguments.seed, arguments.histories)
    random.Random(arguments.seed).shuffle(pieces)
    return sorted(pieces, key=one_scenario_after_the_other)


def try_all(pool: ProcessPoolExecutor, pieces: Sequence[Work | Inputs | Histories], bar: Progress) -> Outcome:
    """Try all pieces, and print what fails; after an interrupt, return what was tried."""
    total, reported = Outcome(), 0
    trying = bar.add_task("trying", total=sum(map(len, pieces)))
    waiting = {pool.submit(do, piece): piece for piece in pieces}
    try:
        for done in as_completed(waiting):
            outcome = done.result()
            for failure in outcome.failures[: max(0, SHOWN - len(total.failures))]:
                bar.console.print(failure, markup=False, highlight=False)
            total.add(outcome)
            bar.advance(trying, len(waiting[done]))
            bar.update(trying, description=f"trying, {len(total.failures)} failed")
            if not bar.console.is_terminal and sum(total.counts.values()) // 500 > reported:
                reported += 1
                bar.console.print(f"{sum(total.counts.values())} tried, {len(total.failures)} failed")
    except KeyboardInterrupt:
        bar.console.print("interrupted: this is what was tried")
        pool.shutdown(cancel_futures=True)
    return total


def main(given: Sequence[str] | None = None) -> int:
    arguments = parsed(given)
    write_into_memory()
    console = Console()
    console.print(f"seed {arguments.seed}")
    left_out = NO_STRACE if "power" in arguments.parts and shutil.which("strace") is None else ""
    if left_out:
        arguments.parts.remove("power")
        console.print(left_out, markup=False)
    started = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip
    with bar, ProcessPoolExecutor(arguments.jobs, initializer=ignore_interrupts) as pool:
        scenarios = arguments.scenarios if set(arguments.parts) - OF_NO_SCENARIO else []
        found = dict(bar.track(pool.map(points, scenarios), len(scenarios), description="looking for points"))
        total = try_all(pool, pieces_of(found, arguments), bar)
    unseen = never_reached(seen for of_scenario in found.values() for seen in of_scenario) if found else set()
    if unseen and len(found) == len(SCENARIOS):
        total.failures.append(f"no scenario comes by what these functions of durable.py do: {sorted(unseen)}")
        console.print(total.failures[-1], markup=False)
    names = {seen.point.name for of_scenario in found.values() for seen in of_scenario}
    console.print(
        f"{len(found)} scenarios, {sum(map(len, found.values()))} points of {len(names)} names; "
        + ", ".join(f"{part}: {count}" for part, count in sorted(total.counts.items()))
        + f"; failed: {len(total.failures)}; {time.monotonic() - started:.0f} s"
        + (f"; {left_out}" if left_out else "")
    )
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
