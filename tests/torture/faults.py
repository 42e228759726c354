"""Making one step of a scenario's command fail, or interrupting it there."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from tests.torture.kills import Seen, run_with
from tests.torture.points import Fault
from tests.torture.scenarios import Play, names

INTERRUPT = "SIGINT"
OF_FILES = ("ENOSPC", "EIO", "EACCES")
OF_DATABASES = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_READONLY")

_REMOVES = ("unlink", "rmdir", "remove")
_NEVER_FAIL = ("close",)  # what SQLite can't do at the end, the next to open the database does
_INTERRUPTED = 130
_DAMAGE = ("SQLITE_CORRUPT",)
_KEPT_ASIDE = ".before-restore-"  # a restore keeps the damaged file next to the restored one


def errors_of(seen: Seen) -> tuple[str, ...]:
    """What can happen at a point, as the operating system or SQLite would report it."""
    return OF_DATABASES if seen.is_of_database else OF_FILES


def one_of_each_group(points: Iterable[Seen], dice: random.Random) -> Iterator[tuple[Seen, str]]:
    """One error at a point of each group, and an interrupt at another."""
    groups: dict[tuple[str, ...], list[Seen]] = {}
    for seen in points:
        if seen.group[0] in _NEVER_FAIL:
            continue
        groups.setdefault(seen.group, []).append(seen)
    for of_group in groups.values():
        seen = dice.choice(of_group)
        yield seen, dice.choice(errors_of(seen))
        yield dice.choice(of_group), INTERRUPT


def fail(play: Play, seen: Seen, act: str) -> None:
    """Let a step fail: the command says so and leaves everything as it was or as it should be; a retry works.

    :raises AssertionError: anything else
    """
    play.reset()
    before = names(play.scene.root)
    try:
        ended = run_with(play, Fault(seen.point, "before", act))
        assert ended.code in (_INTERRUPTED if act == INTERRUPT else 1, *play.scenario.codes, 3), ended
        assert "Traceback" not in ended.err, ended
        assert "bug in migrator" not in ended.err, ended
        assert ended.code in play.scenario.codes or len((ended.out + ended.err).strip()) > 20, ended
        assert not ended.outlived
        play.require_whole()
        if seen.group[0] not in _REMOVES and "prune" not in play.scenario.command:
            half = names(play.scene.root) - before - play.expected.names
            if act in _DAMAGE:
                half = frozenset(name for name in half if _KEPT_ASIDE not in name)
            assert not half, f"left half-done: {sorted(half)}"
        play.require_finished()
    except Exception as error:
        raise AssertionError(f"{act} at {seen.point}: {error}") from error
