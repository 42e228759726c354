"""Progress, as a bar for people, lines for logs, or JSON for a program that embeds us."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from migrator.cli.output import located_report, plain, say, size
from migrator.migration.report import Listener, Progress, ignore_progress

if TYPE_CHECKING:
    import rich.progress

    from migrator.migration.report import MigrationReport

_VERBS = {
    "backup": "Backing up",
    "load": "Loading",
    "verify": "Verifying",
    "publish": "Publishing",
    "search_index": "Indexing",
    "restore": "Restoring",
}


@contextmanager
def showing(style: str) -> Iterator[Listener]:
    """A listener that shows progress on standard error.

    :param style: ``bar``, ``jsonl``, ``none``, or ``auto``: a bar on a terminal, a line a file otherwise
    """
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "lines"
    if style == "bar":
        with _Bar() as bar:
            yield bar.show
    else:
        yield {"jsonl": _jsonl, "lines": _lines(), "none": ignore_progress}[style]


def _jsonl(event: Progress) -> None:
    say(json.dumps({"event": "progress"} | asdict(event)), error=True)


def finished(report: MigrationReport, exit_code: int) -> None:
    """The last of the JSON events: how the run ended, in short."""
    event = {"event": "finished", "exit_code": exit_code, "totals": asdict(report.totals)}
    names = ("status", "database", "backup_path", "duration_ms", "errors", "warnings", "dry_run")
    say(json.dumps(located_report(event | {name: getattr(report, name) for name in names})), error=True)


def _lines() -> Listener:
    """One line for each file, when its sessions are loaded; and one when the app may start."""
    told: set[str] = set()

    def show(event: Progress) -> None:
        if event.phase == "load" and event.workspace not in told:
            told.add(event.workspace)
            say(f"Loading {plain(event.workspace)}", error=True)
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

        self._bars = RichProgress(
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TextColumn("{task.fields[sessions]}"),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
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
        sessions = f"{event.sessions:,} sessions" if event.sessions else ""
        self._bars.update(self._tasks[event.phase], completed=event.done, sessions=sessions)


def speed(count: int, milliseconds: int) -> str:
    """How fast so many bytes were done."""
    return f"{size(count * 1000 / milliseconds)}/s" if milliseconds else ""
