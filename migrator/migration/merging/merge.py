"""Merges three versions of a source file's sessions: the common base, SQLite's and the file's.

Sessions are matched by their ids; :mod:`~migrator.migration.merging.matching` handles ids that occur several times, and
:mod:`~migrator.migration.merging.decision` says what happens to each.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path

from migrator.database import quarantine_queries, queries
from migrator.database.columns import QuarantineRow
from migrator.database.connection import snapshot
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
from migrator.database.invalid import UNREADABLE, read_carefully, reraise_unless_data_error
from migrator.database.quarantine import quarantine_row
from migrator.database.rows import key_of_id
from migrator.documents.parsing import Rejected
from migrator.errors import Problem, TransactionError
from migrator.inventory.deletions import (
    Deletion,
    deleted_row,
    drop_returned,
    held_of_source,
    hold,
    release,
    remove,
    take_out,
)
from migrator.migration.merging import queries as merging_queries
from migrator.migration.merging.decision import Action, MergePolicy, MergeResult, decide_versions, only_in_sqlite
from migrator.migration.merging.invalid import InvalidElements, take_out_unreadable
from migrator.migration.merging.matching import (
    Identity,
    InvalidElement,
    Positioned,
    Version,
    match_sessions,
    with_earlier,
)
from migrator.migration.merging.merge_base import MergeBase, proven_deleted
from migrator.migration.merging.prepared import Preparation, Present
from migrator.staging.results import LoadedSource

_CHANGED_ON_BOTH_SIDES = Problem("", "changed in different ways in the file and in SQLite", "", "session.conflict")


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
        base: MergeBase,
        policy: MergePolicy,
        *,
        mirror: bool = False,
    ) -> None:
        self._main = main
        self._staged = staged
        self._loaded = loaded
        self._source_id = 0
        self.base = base
        self.policy = policy
        self.mirror = mirror
        self._prepared = Preparation(main, loaded.source_id)
        self._present: set[str] = set()
        self._workspaces: dict[str, int] = {}
        self._invalid = InvalidElements(main, staged, loaded.source_id, base)
        self._others: dict[tuple[int, str], list[tuple[int | None, bytes]]] = {}
        self._inserted: set[bytes] = set()
        self._unkept: list[tuple[str, Version, bytes | None]] = []
        self.result = MergeResult()

    def prepare(self, source_id: int | None, path: Path) -> None:
        """Do what takes long and needs no write lock: read, parse, and compare what will probably be compared.

        :param source_id: the number of the source, if the database knows it
        :param path: the database's, for messages
        """
        base, present = self.base.versions, list[Present]()
        if source_id is not None:
            touched = self._touched(source_id)
            with snapshot(self._main, path, "read the sessions of a file"):
                try:
                    present = self._prepared.look(source_id, touched)
                except UNREADABLE as error:  # run() quarantines what cannot be read
                    reraise_unless_data_error(error)
                self._main.execute("COMMIT")  # what was copied to the staging database stays
        self._invalid.prepare()
        theirs = match_sessions(base, self._staged_sessions)
        ours = match_sessions(theirs | base, _positioned(present))
        conflicts = []
        for identity, their in theirs.items():
            action = decide_versions(base.get(identity), ours.get(identity), their)
            if action is Action.QUARANTINE:
                conflicts.append((identity[0], their, base[identity].digest if identity in base else None))
            elif action is Action.REPLACE:
                self._prepared.compare(their.key)
        for their, text in self._with_base_texts(conflicts):
            raw = _existing(self._staged, their.key).canonical_bytes()
            self._prepared.keep(their.key, their.digest, self._conflict_row(their, raw, text))
        taken, too_many = only_in_sqlite(base, ours, theirs, (one for one in base if one not in theirs))
        for our in () if too_many else taken.values():
            stored = read_document(self._main, our.key)
            if stored is not None and stored.digest() == our.digest:
                self._prepared.keep(our.key, our.digest, deleted_row(stored, self._workspace_hash(our.key)))

    def run(self, source_id: int) -> MergeResult:
        """Merge, within the caller's transaction."""
        self._source_id = source_id
        present = self._present_now()
        self._present = {one.version.key for one in present}
        held = held_of_source(self._main, self._source_id, {one.version.key: one.version.digest for one in present})
        base = with_earlier(self._readable_base(), [one for one in present if one.version.key in held])
        new_invalid, no_longer_invalid = self._invalid.compare(source_id)
        invalid = [InvalidElement(row.position, self._invalid.own_id(row)) for row in new_invalid]
        theirs = match_sessions(base, self._staged_sessions, invalid)
        ours = match_sessions(theirs | base, present)
        deleted = self._deleted(base, theirs, new_invalid)
        self._keep_bases(theirs.keys() | deleted)
        for identity, their in theirs.items():
            our = ours.get(identity) or self._created_in_sqlite(identity, their)
            if our is not None or not self._repeats(identity, their):
                self._resolve(identity, base.get(identity), our, their)
            else:
                self._leave_out(their)
            if our is not None and our.key in held and not self.mirror:
                release(self._main, our.key)  # it is in the file again
        for their, text in self._with_base_texts(self._unkept):
            self._quarantine_theirs(their, _existing(self._staged, their.key).canonical_bytes(), text)
        self._take_out(base, ours, theirs, deleted, held)
        self._drop_returned(theirs)
        self._invalid.quarantine(new_invalid, self._source_id)
        if not self.policy.mirrored:  # in such a file an invalid element is missing even if it was not fixed
            new_ids = Counter(name for name, _ in theirs if (name, 0) not in base or self.base.is_older((name, 0)))
            self._invalid.drop_fixed(no_longer_invalid, new_ids)
            self._invalid.drop_mended(no_longer_invalid, theirs)
        return self.result

    def _present_now(self) -> list[Positioned]:
        """The sessions that SQLite has of the file, without those that cannot be read, which go to quarantine."""
        touched = self._touched(self._source_id)
        try:
            return _positioned(self._prepared.present(self._source_id, touched))
        except UNREADABLE as error:
            reraise_unless_data_error(error)
        self.result.unreadable = take_out_unreadable(self._main, self._source_id)
        return _positioned(self._prepared.present(self._source_id, touched))

    def _readable_base(self) -> dict[Identity, Version]:
        """The base, without the sessions that cannot be read in SQLite: the file's version takes their place."""
        lost = {name for key in self.result.unreadable for name in (key, key.rpartition("#")[0])}
        return {one: version for one, version in self.base.versions.items() if key_of_id(one[0]) not in lost}

    @cached_property
    def _staged_sessions(self) -> list[Positioned]:
        """The sessions of the file."""
        return [
            Positioned(stored.position, stored.document["id"], _version(stored))
            for stored in read_source(self._staged, self._loaded.source_id)
        ]

    def _touched(self, source_id: int) -> set[str]:
        """The ids whose sessions in SQLite matter: those that the file changed, and those that are held."""
        differing = Counter((session_id, version.digest) for (session_id, _), version in self.base.versions.items())
        differing.subtract((one.session_id, one.version.digest) for one in self._staged_sessions)
        touched = {session_id for (session_id, _), number in differing.items() if number}
        held = self._main.execute(quarantine_queries.HELD_OF_SOURCE, (source_id,))
        return touched | {self._prepared.id_of(key) or "" for key, _ in held}

    def _with_base_texts(
        self, conflicts: Iterable[tuple[str, Version, bytes | None]]
    ) -> Iterator[tuple[Version, bytes | None]]:
        """Yield each staged session of a conflict with the text of its base, in one pass through the base.

        :param conflicts: the id, the session, and the digest of its base
        """
        waiting: defaultdict[tuple[str, bytes], list[Version]] = defaultdict(list)
        for session_id, their, base in conflicts:
            if base is None:
                yield their, None
            else:
                waiting[session_id, base].append(their)
        for session_id, base, text in self.base.texts_of([*waiting]):
            for their in waiting.pop((session_id, base)):
                yield their, text
        for their in chain.from_iterable(waiting.values()):
            yield their, None

    def _deleted(
        self, base: Iterable[Identity], theirs: Collection[Identity], new_invalid: Iterable[QuarantineRow]
    ) -> list[Identity]:
        """The sessions of the base that the file proves to be deleted."""
        hides_some = self._loaded.blank or self._loaded.salvaged or self.base.lost is not None
        texts = (row.raw for row in new_invalid)
        return proven_deleted(base, theirs, texts, blank_or_torn=hides_some)

    def _keep_bases(self, settled: Collection[Identity]) -> None:
        """Keep the older copies for the sessions that the file neither shows nor proves to be deleted."""
        hidden = [identity for identity in self.base.versions if identity not in settled]
        self.result.hidden = len(hidden)
        if hidden:
            self.result.bases = self.base.names_for(hidden)

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
        taken, too_many = only_in_sqlite(base, decided, theirs, deleted)
        if too_many:
            hold(self._main, self._source_id, {our.key: our.digest for our in taken.values()})
        for (session_id, _), our in taken.items():
            workspace_hash = self._workspace_hash(our.key)
            item = None if too_many else self._quarantine_ours(our, workspace_hash)
            source = self._loaded.source.name
            self.result.deletions.append(Deletion(session_id, workspace_hash, source, held=too_many, item=item))

    def _quarantine_ours(self, our: Version, workspace_hash: str) -> int:
        """Quarantine a session of SQLite as deleted; return the number of the item."""
        position, source_id = self._main.execute(queries.PLACE_OF_SESSION, (our.key,)).fetchone()
        if position is not None:
            item = self._prepared.quarantine(our.key, our.digest, "deleted", source_id, position)
            if item is not None:
                remove(self._main, our.key)
                return item
        return take_out(self._main, _existing(self._main, our.key), workspace_hash)

    def _workspace_hash(self, key: str) -> str:
        """The hash of the workspace of a session in the database."""
        return str(self._main.execute(queries.WORKSPACE_OF_KEY, (key,)).fetchone()[1])

    def _drop_returned(self, theirs: Mapping[Identity, Version]) -> None:
        """Remove from quarantine the deleted sessions that the file brought back."""
        returned = defaultdict[str, set[bytes]](set)
        for (session_id, _), their in theirs.items():
            if their.digest in self._inserted:
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
        if not self.policy.mirrored:
            return False
        name = self._workspace_of(their.key)[0], identity[0]
        if name not in self._others:
            namesakes = self._namesakes(identity, their)
            self._others[name] = [(stored.source_id, stored.digest()) for stored in namesakes]
        return any(source != self._source_id and known == their.digest for source, known in self._others[name])

    def _leave_out(self, their: Version) -> None:
        """Take a session that is from another file out of what this one contributed."""
        document = _existing(self._staged, their.key).document
        counts = self._loaded.counts[self._workspace_of(their.key)[1]]
        counts.sessions -= 1
        counts.instances -= len(document["instances"])
        counts.messages -= len(document["chatHistory"])
        self.result.repeated += 1

    def _namesakes(self, identity: Identity, their: Version) -> Iterator[StoredDocument]:
        """The sessions in the database with the same id and workspace."""
        workspace_id, _ = self._workspace_of(their.key)
        for key in keys_of(self._main, workspace_id, identity[0]):
            stored = read_carefully(self._main, key)
            if isinstance(stored, StoredDocument):
                yield stored

    def _resolve(self, identity: Identity, base: Version | None, our: Version | None, their: Version) -> None:
        action = decide_versions(base, our, their)
        if action is Action.ADOPT and our is not None:
            if our.key not in self._present:  # otherwise it belongs to the source already
                self._main.execute(queries.SET_SESSION_SOURCE, (self._source_id, our.key))
                self._others.clear()
        elif action in (Action.INSERT, Action.REPLACE):
            self._apply_theirs(their, our)
        elif action is Action.QUARANTINE:
            workspace_id, workspace_hash = self._workspace_of(their.key)
            position = next_position(self._main, workspace_id, workspace_hash)
            if self._prepared.quarantine(their.key, their.digest, "conflict", self._source_id, position) is None:
                self._unkept.append((identity[0], their, None if base is None else base.digest))
            else:
                self.result.conflicts[workspace_hash] += 1

    def _apply_theirs(self, their: Version, our: Version | None) -> None:
        workspace_id, workspace_hash = self._workspace_of(their.key)
        if our is None:
            position: int | None = next_position(self._main, workspace_id, workspace_hash)
            self.result.added += 1
        else:
            position, _ = self._main.execute(queries.PLACE_OF_SESSION, (our.key,)).fetchone()
        self._inserted.add(their.digest)
        place = workspace_id, position, self._source_id
        if our is not None:
            if our.key == their.key and self._prepared.replace(their.key, *place):
                return
            delete_document(self._main, our.key)
        if self._prepared.insert(their.key, *place):
            return
        key = insert_document(
            self._main,
            _existing(self._staged, their.key).document,
            workspace_id=workspace_id,
            workspace_hash=workspace_hash,
            position=position,
            source_id=self._source_id,
        )
        self.result.expected[key] = their.digest

    def _quarantine_theirs(self, their: Version, raw: bytes, base: bytes | None) -> None:
        workspace_id, workspace_hash = self._workspace_of(their.key)
        row = self._conflict_row(their, raw, base)
        position = next_position(self._main, workspace_id, workspace_hash)
        self._main.execute(queries.INSERT_QUARANTINE, row._replace(source_id=self._source_id, position=position))
        self.result.conflicts[workspace_hash] += 1

    def _conflict_row(self, their: Version, raw: bytes, base: bytes | None) -> QuarantineRow:
        """The item for a session that changed on both sides, without its source and position."""
        rejected = Rejected("conflict", raw, [_CHANGED_ON_BOTH_SIDES])
        return quarantine_row(None, self._staged_workspaces[their.key][0], 0, rejected, base=base)

    @cached_property
    def _staged_workspaces(self) -> dict[str, tuple[str, str]]:
        """The hash and the path of each staged session's workspace."""
        rows = self._staged.execute(merging_queries.WORKSPACES_OF_SESSIONS, (self._loaded.source_id,))
        return {key: (name, path) for key, name, path in rows}

    def _workspace_of(self, key: str) -> tuple[int, str]:
        """The row id and the hash of a staged session's workspace in the database."""
        name, path = self._staged_workspaces[key]
        if name not in self._workspaces:
            self._workspaces[name] = ensure_workspace(self._main, name, path)
        return self._workspaces[name], name


def _existing(connection: sqlite3.Connection, key: str) -> StoredDocument:
    stored = read_document(connection, key)
    if stored is None:
        raise TransactionError(
            f"The session {key!r} disappeared from the database while its file was merged. Nothing was changed.",
            code="session.disappeared",
            hint="Please report this as a bug, with the output of 'migrator doctor'.",
        )
    return stored


def _positioned(present: Iterable[Present]) -> list[Positioned]:
    return [Positioned(one.position, one.session_id, Version(one.digest, one.key)) for one in present]


def _version(stored: StoredDocument) -> Version:
    return Version(stored.digest(), stored.key)
