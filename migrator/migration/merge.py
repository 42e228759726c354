"""Three versions of one source file's sessions become one: what both started from, what SQLite has, what the file has.

A session is told by its id; how those of one id are told apart is in :mod:`~migrator.migration.matching`. With B, O
and T for the digests in the base, in SQLite (ours) and in the file (theirs), None where it is missing:

==========================  ======================================  =========================================
what is seen                what happened                           what is done
==========================  ======================================  =========================================
``T == B``                  the file did not change it              SQLite keeps what it has
``O == T``                  both did the same                       SQLite keeps what it has
``O == B``, T is None       deleted in the file                     deleted
``O == B == None``          new in the file                         inserted, behind the rest
``O == B``, otherwise       changed in the file                     replaced, at its place
else, T is None             deleted in the file, changed in SQLite  SQLite keeps what it has
else                        changed on both sides                   SQLite keeps what it has; T to quarantine
==========================  ======================================  =========================================

A session counts as deleted only where the file can tell: not where the file is blank (the app writes ``[]`` when it
deletes the last one; it was interrupted), or torn and salvaged, or holds the session's id in something broken.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from migrator.database import queries
from migrator.database.documents import (
    StoredDocument,
    delete_document,
    ensure_workspace,
    insert_document,
    keys_of,
    next_position,
    read_document,
    read_source,
)
from migrator.database.quarantine import quarantine_row
from migrator.documents.parsing import Rejected, parse_file, text_or_bytes
from migrator.errors import Problem, TransactionError
from migrator.migration.matching import Broken, Identity, Placed, Version, by_contents, by_order, ids_in, own_id
from migrator.staging.results import LoadedSource


@dataclass
class MergeResult:
    """What a merge did.

    :ivar conflicts: how many sessions changed on both sides, by workspace hash
    :ivar expected: the digest that each session written must read back with, by its key
    """

    conflicts: Counter[str] = field(default_factory=Counter)
    expected: dict[str, bytes] = field(default_factory=dict)


class Merge:
    """Merges one loaded source into a database, within the caller's transaction.

    :param main: the database
    :param staged: the staging database, on a connection of its own
    :param base: the copy that the last migration of this source was made from, or None
    :param in_trial: both stores run: the file repeats sessions that came from other files of the workspace
    """

    def __init__(
        self,
        main: sqlite3.Connection,
        staged: sqlite3.Connection,
        loaded: LoadedSource,
        source_id: int,
        base: Path | None,
        *,
        in_trial: bool = False,
    ) -> None:
        self._main = main
        self._staged = staged
        self._loaded = loaded
        self._source_id = source_id
        self._base = base
        self._in_trial = in_trial
        self.result = MergeResult()

    def run(self) -> MergeResult:
        base = by_order(self._placed_in_base())
        new, gone = self._newly_broken()
        broken = [Broken(row[2], own_id(row[4])) for row in new]
        theirs = by_contents(base, [*_placed(read_source(self._staged, self._loaded.source_id))], broken)
        ours = by_contents(theirs | base, [*_placed(read_source(self._main, self._source_id))])
        for identity in [*theirs, *self._deleted(base, theirs, new)]:
            their = theirs.get(identity)
            our = ours.get(identity) or self._born_in_sqlite(identity, their)
            if our is None and their is not None and self._repeats(identity, their):
                continue
            self._settle(identity, base.get(identity), our, their)
        self._set_broken_aside(new)
        if not self._in_trial:  # the files of one leave out what is broken, and repeat what stands in its place
            self._drop_mended(gone, Counter(name for name, _ in theirs if (name, 0) not in base))
        return self.result

    def _deleted(
        self, base: dict[Identity, Version], theirs: dict[Identity, Version], newly_broken: list[Any]
    ) -> list[Identity]:
        """The sessions of the base that the file, as far as it can tell, holds no longer."""
        if self._loaded.blank or self._loaded.salvaged:
            return []
        gone = [identity for identity in base if identity not in theirs]
        if not gone:
            return []
        broken: set[str] = set()
        for row in newly_broken:
            named = ids_in(row[4])
            if not named:
                return []  # it may be any of them
            broken |= named
        return [identity for identity in gone if identity[0] not in broken]

    def _placed_in_base(self) -> Iterator[Placed]:
        for element, session in () if self._base is None else parse_file(self._base):
            if session:
                yield Placed(element.position, session.value["id"], Version(session.digest()))

    def _born_in_sqlite(self, identity: Identity, their: Version | None) -> Version | None:
        """A session of that id which the app made in SQLite: it is not of this file, and still the same session."""
        if their is None or identity[1]:
            return None
        staged = self._staged_document(their.key)
        workspace = self._workspace_of(staged)
        for key in keys_of(self._main, workspace[0], identity[0]):
            stored = read_document(self._main, key)
            if stored is not None and stored.source_id is None:
                return _version(stored)
        return None

    def _repeats(self, identity: Identity, their: Version) -> bool:
        """Whether a session of the file is one that SQLite has from another file of the workspace."""
        if not self._in_trial:
            return False
        workspace_id, _ = self._workspace_of(self._staged_document(their.key))
        found = (read_document(self._main, key) for key in keys_of(self._main, workspace_id, identity[0]))
        return any(
            stored.source_id != self._source_id and _version(stored).digest == their.digest
            for stored in found
            if stored is not None
        )

    def _settle(self, identity: Identity, base: Version | None, our: Version | None, their: Version | None) -> None:
        b, o, t = _digest(base), _digest(our), _digest(their)
        if o == t:
            if our is not None:
                self._main.execute(queries.ADOPT_SESSION, (self._source_id, our.key))
            return
        if t == b:
            return
        if o == b:
            if their is None and our is not None:
                delete_document(self._main, our.key)
            elif their is not None:
                self._take(their, our)
        elif their is not None:
            self._set_aside(identity, base, their)

    def _take(self, their: Version, our: Version | None) -> None:
        staged = self._staged_document(their.key)
        workspace_id, workspace_hash = self._workspace_of(staged)
        if our is None:
            position: int | None = next_position(self._main, workspace_id, workspace_hash)
        else:
            position = _existing(self._main, our.key).position
            delete_document(self._main, our.key)
        key = insert_document(
            self._main,
            staged.document,
            workspace_id=workspace_id,
            workspace_hash=workspace_hash,
            position=position,
            source_id=self._source_id,
        )
        self.result.expected[key] = their.digest

    def _set_aside(self, identity: Identity, base: Version | None, their: Version) -> None:
        staged = self._staged_document(their.key)
        workspace_id, workspace_hash = self._workspace_of(staged)
        started_from = None
        if base is not None and self._base is not None:
            started_from = _find(self._base, identity)
        problem = Problem("", "a change in the file and another one in SQLite", "a change on one side only")
        rejected = Rejected("conflict", staged.canonical_bytes(), [problem])
        position = next_position(self._main, workspace_id, workspace_hash)
        row = quarantine_row(self._source_id, workspace_hash, position, rejected, base=started_from)
        self._main.execute(queries.INSERT_QUARANTINE, row)
        self.result.conflicts[workspace_hash] += 1

    def _set_broken_aside(self, newly_broken: list[Any]) -> None:
        for row in newly_broken:
            workspace_id = ensure_workspace(self._main, row[1], None)
            position = next_position(self._main, workspace_id, row[1])
            self._main.execute(queries.INSERT_QUARANTINE, (self._source_id, row[1], position, *row[3:]))

    def _drop_mended(self, gone: list[tuple[int, str | bytes, str]], new_ids: Counter[str]) -> None:
        """Take out of quarantine what has become a valid session of the file; what is merely gone from there stays.

        :param new_ids: the ids that the file has valid sessions of and the base had none of, and how many
        """
        of_id: defaultdict[str, list[int]] = defaultdict(list)
        for row_id, raw, reason in gone:
            name = None if reason == "torn" else own_id(raw)  # a torn end may hold parts of several
            if name is not None:
                of_id[name].append(row_id)
        for name, row_ids in of_id.items():
            if len(row_ids) <= new_ids[name]:  # else nobody knows which of them was mended
                self._main.executemany(queries.DELETE_QUARANTINE, [(row_id,) for row_id in row_ids])

    def _newly_broken(self) -> tuple[list[Any], list[tuple[int, str | bytes, str]]]:
        """The staged rows of the quarantine that are new; and of those that only the database has id, text and reason.

        What was broken in the base already and has left the quarantine was put right in SQLite: that stays so.
        """
        before = Counter(() if self._base is None else _rejected_texts(self._base))
        left: dict[str | bytes, list[tuple[int, str]]] = defaultdict(list)
        for row_id, raw, reason in self._main.execute(queries.QUARANTINE_OF_SOURCE, (self._source_id,)):
            if reason != "conflict":
                left[raw].append((row_id, reason))
        unknown = []
        for row in self._staged.execute(queries.QUARANTINE_ROWS_OF_SOURCE, (self._loaded.source_id,)).fetchall():
            if left[row[4]]:
                left[row[4]].pop(0)
                before[row[4]] -= 1
            else:
                unknown.append(row)
        only_here = [(row_id, raw, reason) for raw, rows in left.items() for row_id, reason in rows]
        new = []
        for row in unknown:
            if before[row[4]] > 0:
                before[row[4]] -= 1
            else:
                new.append(row)
        return new, only_here

    def _staged_document(self, key: str) -> StoredDocument:
        return _existing(self._staged, key)

    def _workspace_of(self, staged: StoredDocument) -> tuple[int, str]:
        """The row id and the hash that a staged document's workspace has in the database."""
        row = self._staged.execute(queries.WORKSPACE_BY_ID, (staged.workspace_id,)).fetchone()
        return ensure_workspace(self._main, row[0], row[1]), row[0]


def _existing(connection: sqlite3.Connection, key: str) -> StoredDocument:
    stored = read_document(connection, key)
    if stored is None:
        raise TransactionError(f"The session {key!r} was there a moment ago and is gone.", hint="Nothing was kept.")
    return stored


def _placed(documents: Iterator[StoredDocument]) -> Iterator[Placed]:
    for stored in documents:
        yield Placed(stored.position, stored.document["id"], _version(stored))


def _version(stored: StoredDocument) -> Version:
    return Version(stored.digest(), stored.key)


def _digest(version: Version | None) -> bytes | None:
    return None if version is None else version.digest


def _find(path: Path, identity: Identity) -> bytes | None:
    sessions = (session for _, session in parse_file(path) if session and session.value["id"] == identity[0])
    found = next(islice(sessions, identity[1], None), None)
    return None if found is None else found.canonical_bytes()


def _rejected_texts(path: Path) -> Iterator[str | bytes]:
    """What is no valid session in a file, a torn end included, as the quarantine would hold it."""
    return (text_or_bytes(element.raw) for element, session in parse_file(path) if session is None)
