"""Runs work in short transactions, with pauses in which others write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from migrator.database.connection import transaction


class Pace(NamedTuple):
    """How much is done at once.

    :ivar seconds: duration of one transaction; others wait a little longer, as a step may be half done
    :ivar portion: bytes of text that are indexed in one step
    :ivar pause: seconds between two transactions, in which others write: SQLite retries a lock every tenth of a second
    """

    seconds: float = 0.25
    portion: int = 250_000
    pause: float = 0.11


PACE = Pace()
_BETWEEN_CHANGES_OF_THE_SCHEMA = 0.02  # seconds; to prepare a statement takes a few milliseconds


def wait_for_others_to_read_the_schema() -> None:
    """Wait a moment before the schema changes once more.

    If it changes while another program's statement is prepared, SQLite prepares that anew, but only once. After a
    second change, the program gets an error such as "no such table: sessions".
    """
    time.sleep(_BETWEEN_CHANGES_OF_THE_SCHEMA)


def in_turns(
    connection: sqlite3.Connection, path: Path, steps: Callable[[], Iterator[None]], pace: Pace = PACE
) -> None:
    """Do all steps, in as many transactions as that takes.

    :param steps: begins or continues them, at the beginning of each transaction
    """
    while not _one_turn(connection, path, steps, pace):
        time.sleep(pace.pause)


def _one_turn(connection: sqlite3.Connection, path: Path, steps: Callable[[], Iterator[None]], pace: Pace) -> bool:
    """Do some steps; return whether those were all."""
    with transaction(connection, path, "fill the search index"):
        until = time.monotonic() + pace.seconds
        for _ in steps():
            if time.monotonic() >= until:
                return False
    return True
