"""Progress display: a bar for people, lines for logs, or JSON events for a program that runs migrator."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import click

from migrator.cli.output import echo, is_quiet, locate_commands, located, print_error, print_failure, print_json
from migrator.data_dir import DataDir
from migrator.errors import MigratorError
from migrator.files.os_errors import remaining_os_errors
from migrator.progress import Listener, Progress, ignore_progress
from migrator.report import Report, problems_of
from migrator.text import counted, portion, size

ReportT = TypeVar("ReportT", bound=Report)
_VERBS = {
    "backup": "Backing up",
    "load": "Loading",
    "verify": "Verifying",
    "publish": "Publishing",
    "search_index": "Indexing",
    "restore": "Restoring",
}

_SHORT = 2  # seconds; work that takes less prints no lines
_REDRAWN = 0.1  # seconds
_WIDTH_OF_VERBS = 12
# A full line would wrap at the ^C that the terminal echoes.
_ROOM_FOR_ECHO = len("^C^C")
_WIDTH_FOR_SPEED = 80 - _ROOM_FOR_ECHO


@contextmanager
def progress_listener(style: str, clock: Callable[[], float] = monotonic) -> Iterator[Listener]:
    """Yield a listener that shows progress on standard error.

    :param style: ``bar``, ``jsonl``, ``none``, or ``auto``: a bar on a terminal, otherwise at most one line per second
    :param clock: returns seconds
    """
    if style == "auto" and is_quiet():
        style = "none"
    elif style == "auto":
        style = "bar" if sys.stderr.isatty() else "lines"
    if style == "bar":
        with _bar(clock) as show:
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
    """A listener that prints at most one line per second, and none in the first two."""
    latest = clock() + _SHORT - 1

    def show(event: Progress) -> None:
        nonlocal latest
        if event.total and clock() >= latest + 1:
            latest = clock()
            counts = ", ".join(filter(None, (portion(event.done, event.total), _sessions(event))))
            now = " Everything else is done, and the app may start." if event.phase == "search_index" else ""
            echo(f"{verb_of(event.phase)}: {counts}.{now}", error=True)

    return show


def verb_of(phase: str) -> str:
    """Return what a migrator does in a phase, for people: ``Loading``."""
    return _VERBS.get(phase, phase)


def _sessions(event: Progress) -> str:
    return counted(event.sessions, "session") if event.sessions else ""


class _Bar:
    """Draws one bar per phase, each in a line of its own: bytes, sessions, speed, time left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown: Progress | None = None
        self._began = self._drawn = 0.0

    def show(self, event: Progress) -> None:
        """Draw the bar of a phase, if the last drawing was not a moment ago."""
        now = self._clock()
        if self._shown is None or event.phase != self._shown.phase:
            self.end()
            self._began = now
        elif now < self._drawn + _REDRAWN and event.done < event.total:
            self._shown = event
            return
        self._shown, self._drawn = event, now
        self._draw(event)

    def end(self, *, complete: bool = True) -> None:
        """End the line of the bar; unless the phase was interrupted, it is drawn as complete."""
        if self._shown is not None:
            self._draw(self._shown._replace(done=self._shown.total) if complete else self._shown)
            echo(error=True)
            self._shown = None

    def _draw(self, event: Progress) -> None:
        from migrator.cli.layout import terminal_size  # not for a program

        took, width = self._clock() - self._began, terminal_size(2)[0] - _ROOM_FOR_ECHO
        speed = event.done / took if took > _REDRAWN else 0
        facts = [portion(event.done, event.total), f"{_sessions(event):>15}"]
        if width >= _WIDTH_FOR_SPEED:
            facts.append(f"{size(speed) if speed else '':>10}{'/s' if speed else '  '}")
        seconds = int((event.total - event.done) / speed) if speed else 0
        end = " ".join([*facts, f"{seconds // 60:>3}:{seconds % 60:02}"])
        room = max(4, width - len(end) - _WIDTH_OF_VERBS - 1)
        full = room if event.done >= event.total else room * event.done // event.total
        line = f"{verb_of(event.phase):<{_WIDTH_OF_VERBS}}", ("━" * full, "ok"), "─" * (room - full), f" {end}"
        echo(*line, error=True, redrawn=True)


@contextmanager
def _bar(clock: Callable[[], float]) -> Iterator[Listener]:
    bar = _Bar(clock)
    try:
        yield bar.show
    except BaseException:
        bar.end(complete=False)
        raise
    bar.end()
