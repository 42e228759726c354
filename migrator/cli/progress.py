"""Progress display: a bar for people, lines for logs, or JSON events for a program that runs migrator."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import click

from migrator.cli.output import echo, locate_commands, located, print_error, print_failure, print_json
from migrator.data_dir import DataDir
from migrator.errors import MigratorError
from migrator.files.os_errors import remaining_os_errors
from migrator.progress import Listener, Progress, ignore_progress
from migrator.report import Report, problems_of
from migrator.text import counted, plain

ReportT = TypeVar("ReportT", bound=Report)
_VERBS = {
    "backup": "Backing up",
    "load": "Loading",
    "verify": "Verifying",
    "publish": "Publishing",
    "search_index": "Indexing",
    "restore": "Restoring",
}

_FILES_WITH_A_LINE = 50  # further files get at most one line a second
_ROOM_FOR_ECHO = len("^C^C")
_WIDTH_FOR_SPEED = 80 - _ROOM_FOR_ECHO


@contextmanager
def progress_listener(style: str, clock: Callable[[], float] = monotonic) -> Iterator[Listener]:
    """Yield a listener that shows progress on standard error.

    :param style: ``bar``, ``jsonl``, ``none``, or ``auto``: a bar on a terminal, otherwise one line per file (at most
        one per second if there are many)
    :param clock: returns seconds
    """
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "lines"
    if style == "bar":
        with _bar() as show:
            yield show
    else:
        yield {"jsonl": _jsonl, "lines": _lines(clock), "none": ignore_progress}[style]


def _jsonl(event: Progress) -> None:
    echo(json.dumps({"event": "progress"} | event._asdict()), error=True)


class Outcome(NamedTuple):
    """How a command ended: the content of the last JSON event.

    :ivar errors: texts, with their codes where they are a :class:`migrator.errors.Message`
    :ivar more: further members of the event
    """

    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    nothing_to_do: bool = False
    more: Mapping[str, Any] = {}


def run_with_progress(
    resolve: Callable[[], DataDir],
    style: str,
    work: Callable[..., ReportT],
    outcome: Callable[[ReportT], Outcome],
    failed: Callable[[MigratorError, DataDir | None], ReportT] | None = None,
) -> ReportT:
    """Do a command's work and show its progress; the last JSON event says how it ended, also after a failure.

    :param resolve: finds the data directory; may fail, too
    :param work: called with the data directory, and with ``listener`` as a keyword
    :param style: as in :func:`progress_listener`
    :param failed: makes the report of a failure, for a command whose report has more members than the common ones
    :raises click.exceptions.Exit: the command failed, and the failure has been reported
    """
    as_json = click.get_current_context().params["as_json"]
    data_dir = None
    try:
        data_dir = resolve()
        with remaining_os_errors(), progress_listener(style) as listener:
            report = work(data_dir, listener=listener)
    except MigratorError as error:
        if style != "jsonl" and not (as_json and failed):
            raise  # reported in migrator.cli.app
        message, report_of_failure = error.as_message(), failed(error, data_dir) if failed else None
        if style == "jsonl":
            ended = outcome(report_of_failure) if report_of_failure else Outcome([message])
            _print_outcome(ended, error.exit_code)
        else:
            print_error(message)
        if as_json and report_of_failure:
            print_json(report_of_failure.to_json())
        elif as_json:
            print_failure(located(message), error.exit_code)
        raise click.exceptions.Exit(error.exit_code) from error
    if style == "jsonl":
        ended = outcome(report)
        unsaid = [note for note in data_dir.notes if note not in ended.warnings]
        _print_outcome(ended._replace(warnings=[*unsaid, *ended.warnings]), report.exit_code)
    return report


def _print_outcome(outcome: Outcome, exit_code: int) -> None:
    command = click.get_current_context().command_path.partition(" ")[2]
    errors, warnings, nothing_to_do, more = outcome
    status = {0: "completed", 3: "completed_with_problems"}.get(exit_code, "failed")
    if nothing_to_do and exit_code == 0:
        status = "nothing_to_do"
    event = {"event": "finished", "command": command, "exit_code": exit_code, "status": status}
    event |= {"errors": errors, **problems_of(errors), "warnings": warnings, **more}
    echo(json.dumps(locate_commands(event)), error=True)


def _lines(clock: Callable[[], float]) -> Listener:
    """A listener that prints one line per file, later at most one per second; and one when the app may start."""
    shown: set[str] = set()
    latest = 0.0

    def show(event: Progress) -> None:
        nonlocal latest
        if event.phase == "load" and event.workspace and event.workspace not in shown:
            shown.add(event.workspace)
            if len(shown) <= _FILES_WITH_A_LINE:
                echo(f"Loading {plain(event.workspace)}", error=True)
            elif clock() >= latest + 1:
                latest = clock()
                share = event.done / event.total if event.total else 1
                echo(f"Loading {plain(event.workspace)} ({share:.0%} done)", error=True)
        elif event.phase == "search_index" and event.phase not in shown:
            shown.add(event.phase)
            echo("Building the search index. Everything else is done, and the app may start.", error=True)

    return show


@contextmanager
def _bar() -> Iterator[Listener]:
    """A listener that draws one bar per phase: bytes, sessions, speed, time left."""
    from rich import progress as rich  # loaded only for a terminal
    from rich.console import Console, ConsoleDimensions
    from rich.table import Column

    class NarrowConsole(Console):
        """A console whose bars leave room for the ^C that the terminal echoes.

        In a full line it would wrap to the next one. rich would then erase the wrong line and show a bar twice.
        """

        @property  # type: ignore[misc] # rich's has a setter, which nothing here uses
        def size(self) -> ConsoleDimensions:
            width, height = super().size
            return ConsoleDimensions(max(1, width - _ROOM_FOR_ECHO), height)

    class Bars(rich.Progress):
        def refresh(self) -> None:
            """Leave drawing to rich's own thread: Ctrl-C interrupts this one, and half a drawing would stay."""

    console = NarrowConsole(stderr=True)
    column = Column(no_wrap=True)
    speed = (rich.TransferSpeedColumn(table_column=column),) if console.width >= _WIDTH_FOR_SPEED else ()
    bars = Bars(
        rich.TextColumn("{task.description:<11}", table_column=column),
        rich.BarColumn(bar_width=None),
        rich.DownloadColumn(table_column=column),
        rich.TextColumn("{task.fields[sessions]}", table_column=column),
        *speed,
        rich.TimeRemainingColumn(compact=True, table_column=column),
        console=console,
    )
    tasks: dict[str, rich.TaskID] = {}

    def show(event: Progress) -> None:
        if event.phase not in tasks:
            for task in tasks.values():
                bars.update(task, completed=bars.tasks[task].total)
            verb = _VERBS.get(event.phase, event.phase)
            tasks[event.phase] = bars.add_task(verb, total=event.total, sessions="")
        sessions = counted(event.sessions, "session") if event.sessions else ""
        bars.update(tasks[event.phase], completed=event.done, total=event.total, sessions=sessions)

    with bars:
        yield show
