"""Three versions of one source file's sessions become one: what both started from, what SQLite has, what the file has.

A session is told by its id; how those of one id are told apart is in :mod:`~migrator.migration.matching`. With B, O
and T for the digests in the base, in SQLite (ours) and in the file (theirs), None where it is missing:

==========================  ======================================  ==================================================
what is seen                what happened                           what :func:`decide` says
==========================  ======================================  ==================================================
``O == T``                  both did the same                       ADOPT: SQLite keeps what it has, as the file's
``T == B``                  the file did not change it              KEEP: SQLite keeps what it has
``O == B``, T is None       deleted in the file                     DELETE
``O == B == None``          new in the file                         INSERT, behind the rest
``O == B``, otherwise       changed in the file                     REPLACE, at its place
else, T is None             deleted in the file, changed in SQLite  KEEP
else                        changed on both sides                   QUARANTINE: SQLite keeps what it has, T is put there
==========================  ======================================  ==================================================

A session counts as deleted only where the file can tell: not where the file is blank (the app writes ``[]`` when it
deletes the last one; it was interrupted), or torn and salvaged, or holds the session's id in something broken.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from pathlib import Path

from migrator.database import queries
from migrator.database.columns import QuarantineRow
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
from migrator.documents.app_format import Element
from migrator.documents.parsing import Reading, Rejected, parse_file, text_or_bytes
from migrator.errors import Problem, TransactionError
from migrator.migration.matching import (
    Identity,
    Positioned,
    Unparsable,
    Version,
    ids_in,
    match_sessions,
    number_sessions,
    own_id,
)
from migrator.staging.results import LoadedSource


@dataclass(frozen=True)
class MergePolicy:
    """What a workspace's own file may hold that is no news.

    :ivar mirrored: the files repeat what SQLite has (hybrid mode): sessions from the workspace's other files as well,
        and nothing of what is invalid
    :ivar written: gives the SHA-256 of each workspace file as it was written from SQLite, by the workspace's hash
    """

    mirrored: bool = False
    written: Callable[[], Mapping[str, str]] = dict


class Action(Enum):
    """What is done about one session."""

    ADOPT = auto()
    KEEP = auto()
    DELETE = auto()
    INSERT = auto()
    REPLACE = auto()
    QUARANTINE = auto()


def decide(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> Action:
    """The table of this module, for the digests of the three versions of one session; None where it is missing."""
    if ours == theirs:
        return Action.ADOPT
    if theirs == base:
        return Action.KEEP
    if ours != base:
        return Action.KEEP if theirs is None else Action.QUARANTINE
    if theirs is None:
        return Action.DELETE
    return Action.INSERT if ours is None else Action.REPLACE


@dataclass
class MergeResult:
    """What a merge did.

    :ivar conflicts: how many sessions changed on both sides, by workspace hash
    :ivar expected: the digest that each session written must read back with, by its key
    """

    conflicts: Counter[str] = field(default_factory=Counter)
    expected: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class MergeBase:
    """The file that both sides started from.

    :ivar path: None where there is none: then it holds nothing
    """

    path: Path | None

    def versions(self) -> dict[Identity, Version]:
        """Its sessions."""
        return number_sessions(
            Positioned(element.position, session.value["id"], Version(session.digest()))
            for element, session in self._elements()
            if session
        )

    def invalid_texts(self) -> Counter[str | bytes]:
        """What in it is no valid session."""
        return Counter(text_or_bytes(element.raw) for element, session in self._elements() if session is None)

    def text_of(self, identity: Identity) -> bytes | None:
        """One of its sessions in canonical form."""
        namesakes = (session for _, session in self._elements() if session and session.value["id"] == identity[0])
        found = next(islice(namesakes, identity[1], None), None)
        return None if found is None else found.canonical_bytes()

    def _elements(self) -> Iterator[tuple[Element, Reading | None]]:
        return iter(()) if self.path is None else parse_file(self.path)


class Merge:
    """Merges one loaded source into a database, within the caller's transaction.

    :param main: the database
    :param staged: the staging database, on a connection of its own
    :param base: the copy that the last migration of this source was made from, or None
    """

    def __init__(
        self,
        main: sqlite3.Connection,
        staged: sqlite3.Connection,
        loaded: LoadedSource,
        source_id: int,
        base: Path | None,
        policy: MergePolicy,
    ) -> None:
        self._main = main
        self._staged = staged
        self._loaded = loaded
        self._source_id = source_id
        self._base = MergeBase(base)
        self._policy = policy
        self.result = MergeResult()

    def run(self) -> MergeResult:
        base = self._base.versions()
        invalid, gone = self._compare_invalid()
        unparsable = [Unparsable(row.position, own_id(row.raw)) for row in invalid]
        theirs = match_sessions(base, _positioned(read_source(self._staged, self._loaded.source_id)), unparsable)
        ours = match_sessions(theirs | base, _positioned(read_source(self._main, self._source_id)))
        for identity in [*theirs, *self._deleted(base, theirs, invalid)]:
            their = theirs.get(identity)
            our = ours.get(identity) or self._created_in_sqlite(identity, their)
            if our is not None or their is None or not self._repeats(identity, their):
                self._resolve(identity, base.get(identity), our, their)
        for row in invalid:
            workspace_hash = row.workspace_hash or ""  # of all that is loaded it is known
            position = next_position(self._main, ensure_workspace(self._main, workspace_hash, None), workspace_hash)
            self._main.execute(queries.INSERT_QUARANTINE, row._replace(source_id=self._source_id, position=position))
        if not self._policy.mirrored:  # such files leave out what is invalid, and repeat what stands in its place
            self._drop_fixed(gone, Counter(name for name, _ in theirs if (name, 0) not in base))
        return self.result

    def _deleted(
        self, base: dict[Identity, Version], theirs: dict[Identity, Version], invalid: list[QuarantineRow]
    ) -> list[Identity]:
        """The sessions of the base that the file, as far as it can tell, holds no longer."""
        if self._loaded.blank or self._loaded.salvaged:
            return []
        gone = [identity for identity in base if identity not in theirs]
        if not gone:
            return []
        named: set[str] = set()
        for row in invalid:
            ids = ids_in(row.raw)
            if not ids:
                return []  # it may be any of them
            named |= ids
        return [identity for identity in gone if identity[0] not in named]

    def _created_in_sqlite(self, identity: Identity, their: Version | None) -> Version | None:
        """A session of that id which the app made in SQLite: it is not of this file, and still the same session."""
        if their is None or identity[1]:
            return None
        return next((_version(stored) for stored in self._namesakes(identity, their) if stored.source_id is None), None)

    def _repeats(self, identity: Identity, their: Version) -> bool:
        """Whether a session of a file that mirrors SQLite came from another file of the workspace."""
        return self._policy.mirrored and any(
            stored.source_id != self._source_id and _version(stored).digest == their.digest
            for stored in self._namesakes(identity, their)
        )

    def _namesakes(self, identity: Identity, their: Version) -> Iterator[StoredDocument]:
        """The sessions of the same id and workspace in the database."""
        workspace_id, _ = self._workspace_of(_existing(self._staged, their.key))
        for key in keys_of(self._main, workspace_id, identity[0]):
            stored = read_document(self._main, key)
            if stored is not None:
                yield stored

    def _resolve(self, identity: Identity, base: Version | None, our: Version | None, their: Version | None) -> None:
        action = decide(*(None if version is None else version.digest for version in (base, our, their)))
        if action is Action.ADOPT and our is not None:
            self._main.execute(queries.ADOPT_SESSION, (self._source_id, our.key))
        elif action is Action.DELETE and our is not None:
            delete_document(self._main, our.key)
        elif action in (Action.INSERT, Action.REPLACE) and their is not None:
            self._apply_theirs(their, our)
        elif action is Action.QUARANTINE and their is not None:
            self._quarantine_theirs(their, None if base is None else self._base.text_of(identity))

    def _apply_theirs(self, their: Version, our: Version | None) -> None:
        staged = _existing(self._staged, their.key)
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

    def _quarantine_theirs(self, their: Version, base: bytes | None) -> None:
        staged = _existing(self._staged, their.key)
        workspace_id, workspace_hash = self._workspace_of(staged)
        problem = Problem("", "a change in the file and another one in SQLite", "a change on one side only")
        rejected = Rejected("conflict", staged.canonical_bytes(), [problem])
        position = next_position(self._main, workspace_id, workspace_hash)
        row = quarantine_row(self._source_id, workspace_hash, position, rejected, base=base)
        self._main.execute(queries.INSERT_QUARANTINE, row)
        self.result.conflicts[workspace_hash] += 1

    def _drop_fixed(self, gone: list[tuple[int, str | bytes, str]], new_ids: Counter[str]) -> None:
        """Take out of quarantine what has become a valid session of the file; what is merely gone from there stays.

        :param new_ids: the ids that the file has valid sessions of and the base had none of, and how many
        """
        of_id: defaultdict[str, list[int]] = defaultdict(list)
        for row_id, raw, reason in gone:
            name = None if reason == "torn" else own_id(raw)  # a torn end may hold parts of several
            if name is not None:
                of_id[name].append(row_id)
        for name, row_ids in of_id.items():
            if len(row_ids) <= new_ids[name]:  # else nobody knows which of them was fixed
                self._main.executemany(queries.DELETE_QUARANTINE, [(row_id,) for row_id in row_ids])

    def _compare_invalid(self) -> tuple[list[QuarantineRow], list[tuple[int, str | bytes, str]]]:
        """What is invalid in the file and new, as staged; and what only the quarantine has: row id, text and reason.

        What was invalid in the base already and has left the quarantine was put right in SQLite: that stays so.
        """
        before = self._base.invalid_texts()
        left: dict[str | bytes, list[tuple[int, str]]] = defaultdict(list)
        for row_id, raw, reason in self._main.execute(queries.QUARANTINE_OF_SOURCE, (self._source_id,)):
            if reason != "conflict":
                left[raw].append((row_id, reason))
        unknown = []
        for columns in self._staged.execute(queries.QUARANTINE_ROWS_OF_SOURCE, (self._loaded.source_id,)).fetchall():
            row = QuarantineRow(*columns)
            if left[row.raw]:
                left[row.raw].pop(0)
                before[row.raw] -= 1
            else:
                unknown.append(row)
        new = []
        for row in unknown:
            if before[row.raw] > 0:
                before[row.raw] -= 1
            else:
                new.append(row)
        return new, [(row_id, raw, reason) for raw, rows in left.items() for row_id, reason in rows]

    def _workspace_of(self, staged: StoredDocument) -> tuple[int, str]:
        """The row id and the hash that a staged document's workspace has in the database."""
        row = self._staged.execute(queries.WORKSPACE_BY_ID, (staged.workspace_id,)).fetchone()
        return ensure_workspace(self._main, row[0], row[1]), row[0]


def _existing(connection: sqlite3.Connection, key: str) -> StoredDocument:
    stored = read_document(connection, key)
    if stored is None:
        raise TransactionError(f"The session {key!r} was there a moment ago and is gone.", hint="Nothing was kept.")
    return stored


def _positioned(documents: Iterable[StoredDocument]) -> list[Positioned]:
    return [Positioned(stored.position, stored.document["id"], _version(stored)) for stored in documents]


def _version(stored: StoredDocument) -> Version:
    return Version(stored.digest(), stored.key)
