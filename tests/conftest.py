"""Hypothesis profiles (HYPOTHESIS_PROFILE=thorough searches longer) and what many tests need."""

import gc
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from migrator.database import schema
from migrator.storage.sqlite import SqliteStorage
from tests.support.command_line import alone, migrator, scene
from tests.support.memory_disk import write_into_memory
from tests.support.skipped import in_one_line
from tests.support.stores import STORES, Opened, prepared
from tests.support.surroundings import become_another_user, break_migrate, fill_disk, frozen_program

__all__ = [
    "alone",
    "database",
    "folder",
    "migrator",
    "opened",
    "scene",
    "template",
    "become_another_user",
    "break_migrate",
    "fill_disk",
    "frozen_program",
]

# Shared machines stall now and then: a deadline would only make tests flaky.
settings.register_profile("default", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
# For a run of mutants: the same few examples each time; a failure says enough without a smaller example.
settings.register_profile(
    "mutants",
    settings.get_profile("default"),
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

write_into_memory()

# A shell makes what it starts in the background deaf to interrupts, and so all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of mutants, put the unit tests of the mutant's package first, and of all tests the quickest ones."""
    measured = config.rootpath / "mutmut-stats.json"
    if measured.exists():
        seconds: dict[str, float] = json.loads(measured.read_bytes())["duration_by_test"]
        package = "".join(os.environ.get("MUTANT_UNDER_TEST", "").split(".")[1:2])
        own = f"tests/unit/{package}/"
        items.sort(key=lambda item: (not item.nodeid.startswith(own), seconds.get(item.nodeid, 0.0)))


def pytest_collection_finish() -> None:
    """Leave the thousands of tests, which stay to the end, out of each search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was skipped, and why."""
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    if skipped:
        terminalreporter.line(in_one_line(skipped))


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """An empty database with every schema step, foreign keys on, and the workspaces 1 and 2."""
    with closing(schema.fresh()) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executemany(
            "INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)",
            [("/home/dev/engine", "aaaaaaaaaaaaaaaa"), ("/home/bob/loom", "bbbbbbbbbbbbbbbb")],
        )
        yield connection


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the whole schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "sessions.db"
    SqliteStorage(path).close()
    return path


@pytest.fixture
def folder(tmp_path: Path, template: Path) -> Path:
    """A data directory with an empty database."""
    return prepared(template, tmp_path / "data")


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Opened]:
    """Each store in turn."""
    opened = STORES[request.param](folder)
    with opened.store:
        yield opened
