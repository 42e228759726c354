"""Merges the elements of a file that are not sessions: new ones go to quarantine, and what was fixed leaves it."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import cached_property

from migrator.database import queries
from migrator.database.columns import QuarantineRow
from migrator.database.documents import delete_document, ensure_workspace, next_position, read_document
from migrator.database.invalid import InvalidStoredSession, read_each_carefully
from migrator.database.quarantine import quarantine_row
from migrator.documents.parsing import Rejected
from migrator.errors import UnreadableSession
from migrator.migration.merging import queries as merging_queries
from migrator.migration.merging.matching import Identity, Version, fixes, ids_in, own_id
from migrator.migration.merging.merge_base import MergeBase


def take_out_unreadable(connection: sqlite3.Connection, source_id: int) -> dict[str, str]:
    """Quarantine the sessions of a source whose rows cannot be read; return the reason of each, by its key."""
    taken = {}
    for found in read_each_carefully(connection, queries.KEYS_OF_SOURCE, source_id):
        if not isinstance(found, InvalidStoredSession) or found.problems[0].code != UnreadableSession.code:
            continue
        workspace_id, workspace_hash = connection.execute(queries.WORKSPACE_OF_KEY, (found.key,)).fetchone()
        position = next_position(connection, workspace_id, workspace_hash) if found.position is None else found.position
        rejected = Rejected("unreadable", found.raw, found.problems)
        row = quarantine_row(None, workspace_hash, position, rejected)  # no file has these rows
        connection.execute(queries.INSERT_QUARANTINE, row._replace(session_id=found.key))
        delete_document(connection, found.key)
        taken[found.key] = found.problems[0].found
    return taken


class InvalidElements:
    """The invalid elements of one staged source.

    :param source_id: the number of the source in the staging database
    """

    def __init__(self, main: sqlite3.Connection, staged: sqlite3.Connection, source_id: int, base: MergeBase) -> None:
        self._main = main
        self._staged = staged
        self._staged_id = source_id
        self._base = base
        self._own_ids: dict[int, str | None] = {}

    def prepare(self) -> None:
        """Parse what would otherwise be parsed under the write lock."""
        for row in self._staged_invalid:
            self.own_id(row)
        _ = self._invalid_in_base

    @cached_property
    def _staged_invalid(self) -> list[QuarantineRow]:
        rows = self._staged.execute(queries.QUARANTINE_ROWS_OF_SOURCE, (self._staged_id,))
        return [QuarantineRow(*columns) for columns in rows]

    @cached_property
    def _invalid_in_base(self) -> Counter[str | bytes]:
        return self._base.invalid_texts()

    def own_id(self, row: QuarantineRow) -> str | None:
        """The id of a staged element, None if it has none."""
        if row.position not in self._own_ids:
            self._own_ids[row.position] = own_id(row.raw)
        return self._own_ids[row.position]

    def drop_fixed(self, gone: list[tuple[int, str | bytes, str]], new_ids: Counter[str]) -> None:
        """Remove from quarantine what the file now has as a valid session; what is only missing there stays.

        :param gone: the quarantined elements that the file does not have any more: row id, text and reason
        :param new_ids: how many valid sessions the file has of each id that the base had none of
        """
        of_id: defaultdict[str, list[int]] = defaultdict(list)
        for row_id, raw, reason in gone:
            name = None if reason == "torn" else own_id(raw)  # a truncated end may contain parts of several
            if name is not None:
                of_id[name].append(row_id)
        for name, row_ids in of_id.items():
            if len(row_ids) <= new_ids[name]:  # otherwise it is unclear which of them was fixed
                self._main.executemany(queries.DELETE_QUARANTINE, [(row_id,) for row_id in row_ids])

    def drop_mended(self, gone: list[tuple[int, str | bytes, str]], theirs: Mapping[Identity, Version]) -> None:
        """Remove truncated ends from quarantine whose session the file now has, with all of their texts.

        :param gone: as of :meth:`drop_fixed`
        """
        for row_id, raw, reason in gone:
            if reason != "torn":
                continue
            named = [theirs[name, 0] for name in ids_in(raw) if (name, 0) in theirs]
            found = (read_document(self._staged, their.key) for their in named)
            if any(stored and fixes(stored.document, raw) for stored in found):
                self._main.execute(queries.DELETE_QUARANTINE, (row_id,))

    def quarantine(self, new: Iterable[QuarantineRow], source_id: int) -> None:
        """Quarantine staged elements, after what is in their workspaces."""
        for row in new:
            workspace_hash = row.workspace_hash or ""  # every loaded row has one
            position = next_position(self._main, ensure_workspace(self._main, workspace_hash, None), workspace_hash)
            bound = (source_id, position, self._staged_id, row.position)
            self._main.execute(merging_queries.QUARANTINE_STAGED, bound)

    def compare(self, source_id: int) -> tuple[list[QuarantineRow], list[tuple[int, str | bytes, str]]]:
        """Compare the file's invalid elements with the base's and the quarantine's.

        One that was already invalid in the base and is not in quarantine any more was fixed in SQLite; it stays fixed.

        :returns: the staged rows of those that are new, and what only the quarantine has: row id, text and reason
        """
        in_base = Counter(self._invalid_in_base)
        quarantined: defaultdict[str | bytes, deque[tuple[int, str]]] = defaultdict(deque)
        for row_id, raw, reason in self._main.execute(merging_queries.QUARANTINE_OF_SOURCE, (source_id,)):
            quarantined[raw].append((row_id, reason))
        not_quarantined = []
        for row in self._staged_invalid:
            if quarantined[row.raw]:
                quarantined[row.raw].popleft()
                in_base[row.raw] -= 1
            else:
                not_quarantined.append(row)
        new = []
        for row in not_quarantined:
            if in_base[row.raw] > 0:
                in_base[row.raw] -= 1
            else:
                new.append(row)
        return new, [(row_id, raw, reason) for raw, rows in quarantined.items() for row_id, reason in rows]
