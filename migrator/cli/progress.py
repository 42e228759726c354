"""Progress, as a bar for people, lines for logs, or JSON for a program that embeds us."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import click

from migrator.cli.output import counted, located, located_report, plain, print_failure, say, size
from migrator.errors import MigratorError
from migrator.progress import Listener, Progress, ignore_progress

if TYPE_CHECKING:
    import rich.progress

Report = TypeVar("Report")
_VERBS = {
    "backup": "Backing up",
    "load": "Loading",
    "verify": "Verifying",
    "publish": "Publishing",
    "search_index": "Indexing",
    "restore": "Restoring",
}

_FILES_TOLD = 50  # each with a line of its own, in a log


_ROOM_FOR_SPEED = 80


@contextmanager
def showing(style: str) -> Iterator[Listener]:
    """A listener that shows progress on standard error.

    :param style: ``bar``, ``jsonl``, ``none``, or ``auto``: a bar on a terminal, else a line a file, or a second where
        there are very many
    """
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "lines"
    if style == "bar":
        with _Bar() as bar:
            yield bar.show
    else:
        yield {"jsonl": _jsonl, "lines": _lines(), "none": ignore_progress}[style]


def _jsonl(event: Progress) -> None:
    say(json.dumps({"event": "progress"} | event._asdict()), error=True)


class Ended(NamedTuple):
    """How a command ended, in short."""

    exit_code: int
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    nothing_to_do: bool = False

    @property
    def status(self) -> str:
        if self.nothing_to_do and self.exit_code == 0:
            return "nothing_to_do"
        return {0: "completed", 3: "completed_with_problems"}.get(self.exit_code, "failed")


def finished(command: str, ended: Ended, **more: Any) -> None:
    """The last of the JSON events: how a command ended, in short."""
    members = {"status": ended.status, "errors": ended.errors, "warnings": ended.warnings, **more}
    event = {"event": "finished", "command": command, "exit_code": ended.exit_code, **members}
    say(json.dumps(located_report(event)), error=True)


def reported(
    command: str,
    style: str,
    work: Callable[[Listener], Report],
    ended: Callable[[Report], Ended],
    *,
    as_json: bool,
) -> Report:
    """Do a command's work and show its progress; the last JSON event tells how it ended, a failure included.

    :param style: as in :func:`showing`
    :param as_json: a failure is one object on standard output as well
    :raises click.exceptions.Exit: it failed, and the event has told of it
    """
    try:
        with showing(style) as listener:
            report = work(listener)
    except MigratorError as error:
        if style != "jsonl":
            raise
        finished(command, Ended(error.exit_code, [str(error)]))
        if as_json:
            print_failure(located(str(error)), error.exit_code)
        raise click.exceptions.Exit(error.exit_code) from error
    if style == "jsonl":
        finished(command, ended(report))
    return report


def _lines() -> Listener:
    """One line for each file, when its sessions are loaded; and one when the app may start.

    Where there are very many files, a line a second after the first ones.
    """
    told: set[str] = set()
    latest = 0.0

    def show(event: Progress) -> None:
        nonlocal latest
        if event.phase == "load" and event.workspace and event.workspace not in told:
            told.add(event.workspace)
            if len(told) <= _FILES_TOLD:
                say(f"Loading {plain(event.workspace)}", error=True)
            elif monotonic() >= latest + 1:
                latest = monotonic()
                share = event.done / event.total if event.total else 1
                say(f"Loading {plain(event.workspace)} ({share:.0%} done)", error=True)
        elif event.phase == "search_index" and event.phase not in told:
            told.add(event.phase)
            say("Building the search index; everything else is done, and the app may start.", error=True)

    return show


class _Bar:
    """One bar for each phase: bytes, sessions, speed, time left."""

    def __init__(self) -> None:
        from rich.console import Console  # a terminal alone pays for its loading
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import (
            Progress as RichProgress,
        )
        from rich.table import Column

        console = Console(stderr=True)
        speed = (TransferSpeedColumn(table_column=Column(no_wrap=True)),) if console.width >= _ROOM_FOR_SPEED else ()
        self._bars = RichProgress(
            TextColumn("{task.description:<11}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            DownloadColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[sessions]}", table_column=Column(no_wrap=True)),
            *speed,
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=console,
        )
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, event: Progress) -> None:
        if event.phase not in self._tasks:
            for task in self._tasks.values():
                self._bars.update(task, completed=self._bars.tasks[task].total)
            verb = _VERBS.get(event.phase, event.phase)
            self._tasks[event.phase] = self._bars.add_task(verb, total=event.total, sessions="")
        sessions = counted(event.sessions, "session") if event.sessions else ""
        self._bars.update(self._tasks[event.phase], completed=event.done, total=event.total, sessions=sessions)


def speed(count: int, milliseconds: int) -> str:
    """How fast so many bytes were done."""
    return f"{size(count * 1000 / milliseconds)}/s" if milliseconds else ""
