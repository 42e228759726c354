"""Killing a scenario's command: at each of its points, and at random moments."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.launcher import Ended
from tests.torture.points import CHANGING, PACKAGE, Fault, Point
from tests.torture.scenarios import Play

MOMENTS = ("before", "after")


@dataclass(frozen=True)
class Seen:
    """A point that a scenario came by.

    :ivar steady: it is the main thread's, and so comes in every run
    """

    point: Point
    steady: bool

    @property
    def is_of_database(self) -> bool:
        """Whether SQLite does it."""
        what = self.point.name.partition(" ")[0]
        return not what.islower() or what in ("close", "commit", "backup", "script", "end")

    @property
    def group(self) -> tuple[str, ...]:
        """Points of one group differ in what a statement is about, or in how often they came, and in nothing else."""
        what, _, rest = self.point.name.partition(" ")
        return (what, rest) if what.islower() else (what, rest.rpartition(" (")[2])


def points_of(play: Play) -> list[Seen]:
    """Every step that the scenario's command does when nothing disturbs it, in order."""
    play.reset()
    ended, found = play.stage.launcher.points(
        play.scene.root, *play.stage.command(play.scenario.command), **play.scenario.options
    )
    assert ended.code in play.scenario.codes, ended
    return [Seen(point, steady) for point, steady in found]


def never_reached(points: Iterable[Seen]) -> set[str]:
    """The functions of the file layer that change something, by its text, and that no point is of."""
    tree = ast.parse((Path(PACKAGE) / "files" / "durable.py").read_text(encoding="utf-8"))
    writing = {
        function.name
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Attribute) and getattr(call.value, "id", None) == "os" and call.attr in CHANGING
    }
    return writing - {name for seen in points for name in re.findall(r"\bdurable\.(\w+)", seen.point.name)}


def every(points: Iterable[Seen]) -> Iterator[tuple[Seen, str]]:
    for seen in points:
        for moment in MOMENTS:
            yield seen, moment


def sample(points: Iterable[Seen], count: int, dice: random.Random) -> list[tuple[Seen, str]]:
    """Some points: of as many groups as can be, each before or after its step."""
    groups: dict[tuple[str, ...], list[Seen]] = {}
    for seen in points:
        groups.setdefault(seen.group, []).append(seen)
    chosen = [dice.choice(of_group) for of_group in groups.values()]
    dice.shuffle(chosen)
    return [(seen, dice.choice(MOMENTS)) for seen in chosen[:count]]


def kill(play: Play, seen: Seen, moment: str) -> None:
    """Kill the command at a point; then everything must hold that is promised.

    :raises AssertionError: it does not; with the point, to be tried again
    """
    play.reset()
    try:
        ended = run_with(play, Fault(seen.point, moment, "SIGKILL"))
        if seen.steady:
            assert ended.code == -9, ended
        assert not ended.outlived, "a process that it had started outlived it"
        play.require_whole()
        play.require_finished()
    except Exception as error:
        raise AssertionError(f"Killed {moment} {seen.point}: {error}") from error


def kill_at_random(play: Play, dice: random.Random) -> None:
    """Kill the command at any moment at all; then the same must hold.

    :raises AssertionError: it does not; with the moment
    """
    play.reset()
    moment = dice.uniform(0, 1.02) * play.expected.seconds
    try:
        ended = play.stage.run(*play.scenario.command, kill_after=moment, **play.scenario.options)
        assert ended.code in (-9, *play.scenario.codes), ended
        assert not ended.outlived, "a process that it had started outlived it"
        play.require_whole()
        play.require_finished()
    except Exception as error:
        raise AssertionError(f"Killed after {moment:.4f} s: {error}") from error


def points_of_second(play: Play) -> list[Seen]:
    """Every step of the worker process."""
    play.reset()
    command = play.stage.command(play.scenario.command)
    ended, found = play.stage.launcher.points(play.scene.root, *command, two=True, in_second=True)
    assert ended.code in play.scenario.codes, ended
    return [Seen(point, steady) for point, steady in found]


def kill_second(play: Play, seen: Seen, moment: str) -> None:
    """Kill the worker process at a point: the first one does its part, and comes to the same.

    :raises AssertionError: it does not
    """
    play.reset()
    ended = run_with(play, Fault(seen.point, moment, "SIGKILL"), in_second=True)
    assert ended.code in play.scenario.codes, ended
    play.require_whole()
    play.require_finished()


def run_with(play: Play, fault: Fault, **options: Any) -> Ended:
    log = Path(play.stage.launcher.scratch) / "log"
    options |= play.scenario.options
    return play.stage.run(*play.scenario.command, watched=str(play.scene.root), log=str(log), fault=fault, **options)
