"""Merges three versions of a source file's sessions: the common base, SQLite's and the file's.

Sessions are matched by their ids; :mod:`~migrator.migration.matching` handles ids that occur several times. B, O and T
are the digests in the base, in SQLite (ours) and in the file (theirs), None where the session is missing:

==========================  ======================================  ===============================================
condition                   what happened                           what :func:`decide` returns
==========================  ======================================  ===============================================
``O == T``                  both sides did the same                 ADOPT: keep SQLite's, now as the file's session
``T == B``                  unchanged in the file                   KEEP SQLite's
``O == B``, T is None       deleted in the file                     DELETE: quarantine SQLite's, or hold it
``O == B == None``          new in the file                         INSERT after the others
``O == B``, otherwise       changed in the file                     REPLACE at the same position
else, T is None             deleted in the file, changed in SQLite  KEEP SQLite's
else                        changed on both sides                   QUARANTINE T, keep SQLite's
==========================  ======================================  ===============================================

A deleted session goes to quarantine. If a file lost too many at once, they are held: they stay in SQLite until the user
decides (:mod:`migrator.inventory.deletions`).

A session counts as deleted only if the file proves it. Three kinds of file do not: a blank one (the app writes ``[]``
when it deletes the last session, so a blank file is an interrupted write), a truncated one that was salvaged, and one
with an invalid element that mentions the session's id.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

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
from migrator.documents.parsing import Rejected
from migrator.errors import Message, Problem, TransactionError
from migrator.inventory.deletions import Deletion, drop_returned, held_of_source, hold, is_held, release, take_out
from migrator.migration.matching import (
    Identity,
    Positioned,
    Unparsable,
    Version,
    ids_in,
    match_sessions,
    mends,
    own_id,
    with_earlier,
)
from migrator.migration.merge_base import MergeBase, proven_deleted
from migrator.staging.results import LoadedSource

_CHANGED_ON_BOTH_SIDES = Problem("", "changed in different ways in the file and in SQLite", "", "session.conflict")


@dataclass(frozen=True)
class MergePolicy:
    """What in a workspace's own file does not count as a change.

    :ivar mirrored: the files mirror SQLite (hybrid mode): they repeat sessions of the workspace's other files and leave
        out what is invalid
    """

    mirrored: bool = False


class Action(Enum):
    """What to do with one session."""

    ADOPT = auto()
    KEEP = auto()
    DELETE = auto()
    INSERT = auto()
    REPLACE = auto()
    QUARANTINE = auto()


def decide(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> Action:
    """Decide by the table of this module, from the digests of one session in the three versions."""
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

    :ivar conflicts: the number of sessions that changed on both sides, by workspace hash
    :ivar deletions: the sessions that the file lost: those that were quarantined, and those that are held
    :ivar expected: the digest that each written session must have when it is read back, by its key
    :ivar hidden: the number of sessions that the file neither shows nor proves to be deleted
    :ivar bases: the older copies that hold the base of these
    :ivar added: the number of sessions that only the file had
    :ivar repeated: the number of sessions that only repeat what SQLite has from another file
    :ivar lost_base: why there was nothing to compare with, if so: the merge deleted nothing
    """

    conflicts: Counter[str] = field(default_factory=Counter)
    deletions: list[Deletion] = field(default_factory=list)
    expected: dict[str, bytes] = field(default_factory=dict)
    hidden: int = 0
    bases: list[str] = field(default_factory=list)
    added: int = 0
    repeated: int = 0
    lost_base: Message | None = None


class Merge:
    """Merges one loaded source into a database, within the caller's transaction.

    :param main: the database
    :param staged: the staging database, on a connection of its own
    :param base: what the file and SQLite both had
    :param mirror: the file is as SQLite wrote it, so a held session in it did not come back
    """

    def __init__(
        self,
        main: sqlite3.Connection,
        staged: sqlite3.Connection,
        loaded: LoadedSource,
        source_id: int,
        base: MergeBase,
        policy: MergePolicy,
        *,
        mirror: bool = False,
    ) -> None:
        self._main = main
        self._staged = staged
        self._loaded = loaded
        self._source_id = source_id
        self._base = base
        self._policy = policy
        self._mirror = mirror
        self.result = MergeResult()

    def run(self) -> MergeResult:
        present = _positioned(read_source(self._main, self._source_id))
        held = held_of_source(self._main, self._source_id, {one.version.key: one.version.digest for one in present})
        base = with_earlier(self._base.versions, [one for one in present if one.version.key in held])
        new_invalid, no_longer_invalid = self._compare_invalid()
        unparsable = [Unparsable(row.position, own_id(row.raw)) for row in new_invalid]
        theirs = match_sessions(base, _positioned(read_source(self._staged, self._loaded.source_id)), unparsable)
        ours = match_sessions(theirs | base, present)
        deleted = self._deleted(base, theirs, new_invalid)
        self._keep_bases(theirs.keys() | deleted)
        for identity, their in theirs.items():
            our = ours.get(identity) or self._created_in_sqlite(identity, their)
            if our is not None or not self._repeats(identity, their):
                self._resolve(identity, base.get(identity), our, their)
            else:
                self._leave_out(their)
            if our is not None and our.key in held and not self._mirror:
                release(self._main, our.key)  # it is in the file again
        self._take_out(base, ours, theirs, deleted, held)
        self._drop_returned(theirs)
        for row in new_invalid:
            workspace_hash = row.workspace_hash or ""  # every loaded row has one
            position = next_position(self._main, ensure_workspace(self._main, workspace_hash, None), workspace_hash)
            self._main.execute(queries.INSERT_QUARANTINE, row._replace(source_id=self._source_id, position=position))
        if not self._policy.mirrored:  # in such a file an invalid element is missing even if it was not fixed
            new_ids = Counter(name for name, _ in theirs if (name, 0) not in base or self._base.is_older((name, 0)))
            self._drop_fixed(no_longer_invalid, new_ids)
            self._drop_mended([(row_id, raw) for row_id, raw, reason in no_longer_invalid if reason == "torn"], theirs)
        return self.result

    def _deleted(
        self, base: Iterable[Identity], theirs: Collection[Identity], new_invalid: Iterable[QuarantineRow]
    ) -> list[Identity]:
        """The sessions of the base that the file proves to be deleted."""
        hides_some = self._loaded.blank or self._loaded.salvaged or self._base.lost is not None
        texts = (row.raw for row in new_invalid)
        return proven_deleted(base, theirs, texts, blank_or_torn=hides_some)

    def _keep_bases(self, settled: Collection[Identity]) -> None:
        """Keep the older copies for the sessions that the file neither shows nor proves to be deleted."""
        hidden = [identity for identity in self._base.versions if identity not in settled]
        self.result.hidden = len(hidden)
        if hidden:
            self.result.bases = self._base.names_for(hidden)

    def _take_out(
        self,
        base: dict[Identity, Version],
        ours: dict[Identity, Version],
        theirs: dict[Identity, Version],
        deleted: list[Identity],
        held: Mapping[str, bytes],
    ) -> None:
        """Quarantine the sessions that were deleted in the file, or hold them if they are too many.

        Sessions that both sides deleted do not count, nor do those that are held already.
        """
        decided = {identity: our for identity, our in ours.items() if our.key not in held}
        taken = {
            identity: decided[identity]
            for identity in deleted
            if identity in decided and decide(base[identity].digest, decided[identity].digest, None) is Action.DELETE
        }
        too_many = is_held(len(taken), sum(identity in theirs or identity in decided for identity in base))
        if too_many:
            hold(self._main, self._source_id, {our.key: our.digest for our in taken.values()})
        for (session_id, _), our in taken.items():
            stored = _existing(self._main, our.key)
            workspace_hash = self._main.execute(queries.WORKSPACE_BY_ID, (stored.workspace_id,)).fetchone()[0]
            item = None if too_many else take_out(self._main, stored, workspace_hash)
            source = self._loaded.source.name
            self.result.deletions.append(Deletion(session_id, workspace_hash, source, held=too_many, item=item))

    def _drop_returned(self, theirs: Mapping[Identity, Version]) -> None:
        """Remove from quarantine the deleted sessions that the file brought back."""
        returned = defaultdict[str, set[bytes]](set)
        inserted = {*self.result.expected.values()}
        for (session_id, _), their in theirs.items():
            if their.digest in inserted:
                returned[session_id].add(their.digest)
        if returned:
            for workspace_hash in self._loaded.counts:
                drop_returned(self._main, workspace_hash, returned)

    def _created_in_sqlite(self, identity: Identity, their: Version) -> Version | None:
        """The session with this id that the app created in SQLite: no file has it, but it is the same session."""
        if identity[1]:
            return None
        return next((_version(stored) for stored in self._namesakes(identity, their) if stored.source_id is None), None)

    def _repeats(self, identity: Identity, their: Version) -> bool:
        """Whether a file that mirrors SQLite only repeats a session from another file of the workspace."""
        return self._policy.mirrored and any(
            stored.source_id != self._source_id and _version(stored).digest == their.digest
            for stored in self._namesakes(identity, their)
        )

    def _leave_out(self, their: Version) -> None:
        """Take a session that is from another file out of what this one contributed."""
        staged = _existing(self._staged, their.key)
        counts = self._loaded.counts[self._workspace_of(staged)[1]]
        counts.sessions -= 1
        counts.instances -= len(staged.document["instances"])
        counts.messages -= len(staged.document["chatHistory"])
        self.result.repeated += 1

    def _namesakes(self, identity: Identity, their: Version) -> Iterator[StoredDocument]:
        """The sessions in the database with the same id and workspace."""
        workspace_id, _ = self._workspace_of(_existing(self._staged, their.key))
        for key in keys_of(self._main, workspace_id, identity[0]):
            stored = read_document(self._main, key)
            if stored is not None:
                yield stored

    def _resolve(self, identity: Identity, base: Version | None, our: Version | None, their: Version) -> None:
        action = decide(*(None if version is None else version.digest for version in (base, our, their)))
        if action is Action.ADOPT and our is not None:
            self._main.execute(queries.SET_SESSION_SOURCE, (self._source_id, our.key))
        elif action in (Action.INSERT, Action.REPLACE):
            self._apply_theirs(their, our)
        elif action is Action.QUARANTINE:
            self._quarantine_theirs(their, None if base is None else self._base.text_of(identity[0], base.digest))

    def _apply_theirs(self, their: Version, our: Version | None) -> None:
        staged = _existing(self._staged, their.key)
        workspace_id, workspace_hash = self._workspace_of(staged)
        if our is None:
            position: int | None = next_position(self._main, workspace_id, workspace_hash)
            self.result.added += 1
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
        rejected = Rejected("conflict", staged.canonical_bytes(), [_CHANGED_ON_BOTH_SIDES])
        position = next_position(self._main, workspace_id, workspace_hash)
        row = quarantine_row(self._source_id, workspace_hash, position, rejected, base=base)
        self._main.execute(queries.INSERT_QUARANTINE, row)
        self.result.conflicts[workspace_hash] += 1

    def _drop_fixed(self, gone: list[tuple[int, str | bytes, str]], new_ids: Counter[str]) -> None:
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

    def _drop_mended(self, torn: list[tuple[int, str | bytes]], theirs: dict[Identity, Version]) -> None:
        """Remove truncated ends from quarantine whose session the file now has, with all of their texts.

        :param torn: the truncated ends that the file does not have any more: row id and text
        """
        for row_id, raw in torn:
            named = [theirs[name, 0] for name in ids_in(raw) if (name, 0) in theirs]
            if any(mends(_existing(self._staged, their.key).document, raw) for their in named):
                self._main.execute(queries.DELETE_QUARANTINE, (row_id,))

    def _compare_invalid(self) -> tuple[list[QuarantineRow], list[tuple[int, str | bytes, str]]]:
        """Compare the file's invalid elements with the base's and the quarantine's.

        One that was already invalid in the base and is not in quarantine any more was fixed in SQLite; it stays fixed.

        :returns: the staged rows of those that are new, and what only the quarantine has: row id, text and reason
        """
        in_base = self._base.invalid_texts()
        quarantined: dict[str | bytes, list[tuple[int, str]]] = defaultdict(list)
        for row_id, raw, reason in self._main.execute(queries.QUARANTINE_OF_SOURCE, (self._source_id,)):
            if reason not in ("conflict", "deleted"):
                quarantined[raw].append((row_id, reason))
        not_quarantined = []
        for columns in self._staged.execute(queries.QUARANTINE_ROWS_OF_SOURCE, (self._loaded.source_id,)).fetchall():
            row = QuarantineRow(*columns)
            if quarantined[row.raw]:
                quarantined[row.raw].pop(0)
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

    def _workspace_of(self, staged: StoredDocument) -> tuple[int, str]:
        """The row id and the hash of a staged document's workspace in the database."""
        row = self._staged.execute(queries.WORKSPACE_BY_ID, (staged.workspace_id,)).fetchone()
        return ensure_workspace(self._main, row[0], row[1]), row[0]


def _existing(connection: sqlite3.Connection, key: str) -> StoredDocument:
    stored = read_document(connection, key)
    if stored is None:
        raise TransactionError(
            f"The session {key!r} disappeared from the database while its file was merged. Nothing was changed.",
            code="session.disappeared",
            hint="Please report this as a bug, with the output of 'migrator doctor'.",
        )
    return stored


def _positioned(documents: Iterable[StoredDocument]) -> list[Positioned]:
    return [Positioned(stored.position, stored.document["id"], _version(stored)) for stored in documents]


def _version(stored: StoredDocument) -> Version:
    return Version(stored.digest(), stored.key)
