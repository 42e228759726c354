"""Keeps the rows of files that do not show all that the rollback wrote to them.

After a rollback the files are loaded anew, and what SQLite has of them is dropped. But a file may have failed, or may
be blank or missing, or lack sessions. Then its rows stay, and it is merged as before a rollback. What the rollback
wrote is the base of that merge: the copy of the database that was taken before anything was dropped has it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from migrator.database.rows import key_of_id
from migrator.errors import Message
from migrator.inventory import ledger
from migrator.migration.rolled_back import queries
from migrator.staging.results import LoadedSource
from migrator.text import counted
from migrator.workspace import HASH_PATTERN

Why = Literal["missing", "failed", "blank", "incomplete"]
_HINT = "If you deleted them on purpose, delete them again in the app."


class KeptFile(NamedTuple):
    """A file whose rows are kept.

    :ivar source: its name in the ledger
    :ivar sessions: the number of sessions that the rollback wrote to it, valid or not
    """

    source: str
    why: Why
    sessions: int

    def message(self, hidden: int | None) -> Message | None:
        """The message about the rows; None if the merge has settled what became of each.

        :param hidden: how many sessions a merge could not find in the file
        """
        number = self.sessions if hidden is None or self.why == "blank" else hidden
        if not number:
            return None
        stay = f"SQLite keeps {counted(number, 'session')} that the rollback wrote to it."
        if self.why == "missing":
            return Message(f"{self.source} is missing: {stay}", code="source.missing_after_rollback", hint=_HINT)
        if self.why == "failed":
            return Message(f"{self.source} cannot be read: {stay}", code="source.failed_after_rollback")
        if self.why == "blank":
            return Message(f"{self.source} is blank: {stay}", code="source.blank_after_rollback", hint=_HINT)
        return Message(f"{self.source} does not show all its sessions: {stay}", code="source.incomplete_after_rollback")


def keep_rows(
    connection: sqlite3.Connection, loaded: Sequence[LoadedSource], changed: Mapping[str, bool], copy: str
) -> list[KeptFile]:
    """Drop all rows but those to keep, within the caller's transaction; the staging database is attached.

    :param changed: the keys of the sessions that changed after the rollback, which are in quarantine for now: whether
        each is a valid session
    :param copy: the copy of the database, as the ledger records it
    """
    written: defaultdict[str, list[str]] = defaultdict(list)
    for key, source in connection.execute(queries.WRITTEN_SESSIONS):
        written[source].append(key)
    kept = _files_to_keep(connection, loaded, written)
    ids = _make_known(connection, kept, copy)
    if kept:
        owned = [
            (ids[file.source], key)
            for file in kept
            for key in written[file.source]
            # What changed in SQLite is applied after an incomplete file was merged; what is invalid is quarantined.
            if key not in changed or (changed[key] and file.why != "incomplete")
        ]
        connection.execute(queries.FORGET_SOURCES)
        connection.executemany(queries.SET_SOURCE, owned)
    for statement in queries.EMPTY_EXCEPT if kept else queries.EMPTY:
        connection.execute(statement, {"kept": json.dumps([*ids.values()])} if ":kept" in statement else {})
    return kept


def _files_to_keep(
    connection: sqlite3.Connection, loaded: Sequence[LoadedSource], written: Mapping[str, list[str]]
) -> list[KeptFile]:
    staged: defaultdict[int, set[str]] = defaultdict(set)
    for source_id, key in connection.execute(queries.STAGED_KEYS):
        staged[source_id].add(key)
    by_name = {found.source.name: found for found in loaded}
    items: dict[str, int] = dict(connection.execute(queries.WRITTEN_ITEMS).fetchall())
    kept = []
    for source in dict.fromkeys([*written, *items]):
        keys, found = written.get(source, ()), by_name.get(source)
        why = _why_kept(found, keys, staged)
        if why is None and found is not None and found.salvaged and source in items:
            # In a file that is not truncated, an item that is gone was deleted or fixed there.
            hidden = connection.execute(queries.HAS_HIDDEN_ITEMS, (source, found.source_id)).fetchone()[0]
            why = "incomplete" if hidden else None
        if why is not None:
            kept.append(KeptFile(source, why, len(keys) + items.get(source, 0)))
    return kept


def _why_kept(found: LoadedSource | None, keys: Iterable[str], staged: Mapping[int, set[str]]) -> Why | None:
    if found is None:
        return "missing"
    if found.error:
        return "failed"
    if found.blank:
        return "blank"
    return None if staged[found.source_id].issuperset(map(key_of_id, keys)) else "incomplete"


def _make_known(connection: sqlite3.Connection, kept: Sequence[KeptFile], copy: str) -> dict[str, int]:
    """Give each file a row in the ledger, with the copy as its base; returns the numbers of the rows."""
    entries, ids = ledger.read_ledger(connection), dict[str, int]()
    for file in kept:
        entry = entries.get(file.source)
        if entry is None or entry.status == "failed":
            entry = _new_entry(file)
        ids[file.source] = ledger.record(connection, entry._replace(bases=json.dumps([copy]), error=None))
    return ids


def _new_entry(file: KeptFile) -> ledger.LedgerEntry:
    """The ledger's row for a file that the rollback was the first to write."""
    stem, now = file.source.rpartition("/")[2].removesuffix(".json"), datetime.now(UTC).isoformat(timespec="seconds")
    return ledger.LedgerEntry(
        id=0,
        source=file.source,
        workspace_hash=stem if HASH_PATTERN.fullmatch(stem) else None,
        status="migrated",
        size=0,
        mtime_ns=-1,
        inode=-1,
        sha256=None,
        session_count=file.sessions,
        instances=0,
        messages=0,
        quarantined=0,
        digest=None,
        backup=None,
        error=None,
        created_at=now,
        updated_at=now,
    )
