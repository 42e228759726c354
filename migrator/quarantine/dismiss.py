"""Takes items out of quarantine for good; their texts are kept in a folder, or discarded if the user says so."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.authority import State, read_state, require_history
from migrator.backups.database_copy import upgrade
from migrator.backups.manifest import stamp
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries
from migrator.database.connection import opened, transaction
from migrator.database.quarantine import QuarantinedItem, texts_of
from migrator.errors import StaleStoreError, UsageError
from migrator.files import durable
from migrator.files.output import new_files, write_new_file
from migrator.locking import exclusive
from migrator.quarantine.items import chosen_items, require_choice, suffix_of
from migrator.report import Report

_IN_NO_FILE = ("conflict", "deleted")


@dataclass(frozen=True)
class DismissedItem(Report):
    """One item that was taken out.

    :ivar file: where its text is now; None if it was discarded
    """

    id: int
    reason: str
    file: str | None


@dataclass(frozen=True)
class DismissReport(Report):
    """The items that were taken out."""

    items: tuple[DismissedItem, ...]


def dismiss(
    data_dir: DataDir,
    numbers: Sequence[int] = (),
    *,
    every: bool = False,
    reason: str | None = None,
    to: Path | None = None,
    discard: bool = False,
) -> DismissReport:
    """Take items out of quarantine, all in one transaction. Their texts go to the folder ``dismissed``.

    :param numbers: the items
    :param every: all items; deleted sessions only if ``reason`` names them
    :param reason: with ``every``: only the items with this reason
    :param to: a new file for the text of the one item named
    :param discard: keep no text
    :raises UsageError: the arguments cannot be combined
    :raises QuarantineError: there is no such item
    :raises StaleStoreError: the JSON files are authoritative, and the item is in one of them
    :raises StorageIOError: a text cannot be written; nothing was taken out
    """
    require_choice(numbers, every=every, reason=reason)
    if to is not None and (discard or len(numbers) != 1):
        raise UsageError(
            "--to needs exactly one item number and cannot be combined with --discard.",
            code="option.conflict",
            hint="Without --to, each text goes to a file of its own.",
        )
    path = data_dir.database
    with exclusive(data_dir):
        require_history(data_dir)  # refuses a newer schema before anything opens it for writing
        with opened(path) as connection:
            upgrade(connection, path, data_dir.backups)
            with transaction(connection, path, "take items out of quarantine"):
                state = read_state(connection, path)
                chosen = _chosen(connection, state, None if every else numbers, reason)
                files = {} if discard else _keep(connection, data_dir, chosen, to)
                for item in chosen:
                    connection.execute(queries.DELETE_QUARANTINE, (item.id,))
                    if item.reason not in _IN_NO_FILE:
                        connection.execute(quarantine_queries.COUNT_DISMISSED, (item.source_id,))
    return DismissReport(tuple(DismissedItem(item.id, item.reason, files.get(item.id)) for item in chosen))


def _chosen(
    connection: sqlite3.Connection, state: State, numbers: Sequence[int] | None, reason: str | None
) -> list[QuarantinedItem]:
    """The items to take out; while the JSON files are authoritative, only those that are in none of them."""
    chosen = chosen_items(connection, numbers, reason)
    if state.authority == "sqlite":
        return chosen
    if numbers is None:
        return [item for item in chosen if item.reason in _IN_NO_FILE]
    for item in chosen:
        if item.reason not in _IN_NO_FILE:
            raise StaleStoreError(
                f"The JSON files are authoritative, and one of them contains item {item.id}.",
                code="store.not_authoritative",
                hint=f"Remove it from its JSON file ('migrator quarantine show {item.id}' shows its text), then run "
                "'migrator migrate'. Nothing was changed.",
            )
    return chosen


def _keep(
    connection: sqlite3.Connection, data_dir: DataDir, chosen: Sequence[QuarantinedItem], to: Path | None
) -> dict[int, str]:
    """Write the texts, and return the file of each item."""
    if not chosen:
        return {}
    texts = {item.id: texts_of(connection, item.id)[0] for item in chosen}
    if to is not None:
        [(number, raw)] = texts.items()
        write_new_file(to, [raw], "quarantine dismiss")
        return {number: os.fspath(to)}
    folder, now = data_dir.dismissed, stamp()
    durable.make_private_folder(folder)
    names = {number: f"{now}-{number}.{suffix_of(raw)}" for number, raw in texts.items()}
    with new_files(folder, "dismissed", "quarantine dismiss", "Run the command again.") as files:
        for number, raw in texts.items():
            files.add(names[number], [raw])
    return {number: os.fspath(folder / name) for number, name in names.items()}
