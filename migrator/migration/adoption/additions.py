"""Merges a file that the user adopted, without a base: it only adds to what SQLite has.

What was adopted before is passed over: SQLite has had it since then, and the user may have deleted it there. Of the
rest, a session that SQLite has already is left as it is, one that only the file has is inserted as if the app had
created it in SQLite, and one that differs goes to quarantine. Nothing is deleted or replaced. So the file is never
written: a rollback writes its sessions to the files of their workspaces.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from migrator.database import queries
from migrator.database.columns import QuarantineRow
from migrator.database.documents import (
    StoredDocument,
    append_document,
    ensure_workspace,
    next_position,
    read_source,
    read_workspace,
)
from migrator.database.quarantine import quarantine_row
from migrator.documents.parsing import Rejected
from migrator.errors import Problem
from migrator.inventory.deletions import drop_returned
from migrator.inventory.ledger import LedgerEntry
from migrator.inventory.source_files import Source
from migrator.migration.adoption.queries import QUARANTINE_OF_WORKSPACE
from migrator.migration.merging.decision import MergeResult
from migrator.migration.merging.matching import Positioned, Version, match_sessions, number_sessions
from migrator.migration.merging.merge_base import MergeBase
from migrator.staging.results import LoadedSource

_DIFFERS = Problem("", "differs in the adopted file and in SQLite", "", "session.conflict")


def adopted_before(source: Source, adopted: Mapping[str, LedgerEntry]) -> list[LedgerEntry]:
    """Return the ledger's rows of what a source may have had already when it was adopted last.

    A database has a new name once it was moved: everything counts that was taken into the workspace.

    :param adopted: the rows of all adopted files, by their names
    """
    if source.is_of_database:
        return [entry for entry in adopted.values() if entry.workspace_hash == source.workspace_hash]
    return [adopted[source.name]] if source.name in adopted else []


class Additions:
    """Merges one adopted file into a database, within the caller's transaction.

    What is not added is taken out of the counts of ``loaded``, so that no session is counted twice.

    :param main: the database
    :param staged: the staging database, on a connection of its own
    :param source_id: the number of the file's own row in the ledger
    :param bases: what was adopted before and may be in the file again
    """

    def __init__(
        self,
        main: sqlite3.Connection,
        staged: sqlite3.Connection,
        loaded: LoadedSource,
        source_id: int,
        bases: Sequence[MergeBase],
    ) -> None:
        self._main = main
        self._staged = staged
        self._loaded = loaded
        self._source_id = source_id
        self._known = {(name, version.digest) for base in bases for (name, _), version in base.versions.items()}
        self._known_texts = {text for base in bases for text in base.invalid_texts()}
        self._quarantined: dict[str, set[str | bytes]] = {}  # the texts in quarantine, by workspace
        self.result = MergeResult()

    def run(self) -> MergeResult:
        """Merge the file's sessions and its invalid elements, workspace by workspace."""
        found = defaultdict[str, list[StoredDocument]](list)
        for stored in read_source(self._staged, self._loaded.source_id):
            workspace_hash, _ = self._staged.execute(queries.WORKSPACE_BY_ID, (stored.workspace_id,)).fetchone()
            found[workspace_hash].append(stored)
        for workspace_hash, counts in self._loaded.counts.items():
            workspace_id = ensure_workspace(self._main, workspace_hash, counts.path)
            self._add_sessions(workspace_id, workspace_hash, found[workspace_hash])
        for columns in self._staged.execute(queries.QUARANTINE_ROWS_OF_SOURCE, (self._loaded.source_id,)).fetchall():
            row = QuarantineRow(*columns)
            if row.raw in self._known_texts or not self._quarantine(row):
                self._loaded.counts[row.workspace_hash or ""].quarantined -= 1
        return self.result

    def _add_sessions(self, workspace_id: int, workspace_hash: str, found: list[StoredDocument]) -> None:
        theirs = number_sessions(_positioned(found))
        ours = match_sessions(theirs, _positioned(read_workspace(self._main, workspace_id)))
        returned = defaultdict[str, set[bytes]](set)
        for (identity, their), staged in zip(theirs.items(), found, strict=True):
            our, is_known = ours.get(identity), (identity[0], their.digest) in self._known
            if our is None and not is_known:
                key = append_document(
                    self._main, staged.document, workspace_id=workspace_id, workspace_hash=workspace_hash
                )
                self.result.expected[key] = their.digest
                self.result.added += 1
                returned[identity[0]].add(their.digest)
                continue
            counts = self._loaded.counts[workspace_hash]
            counts.instances -= len(staged.document["instances"])
            counts.messages -= len(staged.document["chatHistory"])
            rejected = Rejected("conflict", staged.canonical_bytes(), [_DIFFERS])
            counts.sessions -= 1
            if our is None:
                self.result.gone += 1
            elif (
                our.digest != their.digest
                and not is_known
                and self._quarantine(quarantine_row(None, workspace_hash, 0, rejected))
            ):
                self.result.conflicts[workspace_hash] += 1
            else:
                self.result.repeated += 1
        drop_returned(self._main, workspace_hash, returned)

    def _quarantine(self, row: QuarantineRow) -> bool:
        """Quarantine an element, unless the workspace's quarantine has it already, from whatever file."""
        workspace_hash = row.workspace_hash or ""
        if workspace_hash not in self._quarantined:
            present = self._main.execute(QUARANTINE_OF_WORKSPACE, (workspace_hash,))
            self._quarantined[workspace_hash] = {raw for (raw,) in present}
        if row.raw in self._quarantined[workspace_hash]:
            return False
        self._quarantined[workspace_hash].add(row.raw)
        position = next_position(self._main, ensure_workspace(self._main, workspace_hash, None), workspace_hash)
        self._main.execute(queries.INSERT_QUARANTINE, row._replace(source_id=self._source_id, position=position))
        return True


def _positioned(documents: Iterable[StoredDocument]) -> list[Positioned]:
    return [
        Positioned(stored.position, stored.document["id"], Version(stored.digest(), stored.key)) for stored in documents
    ]
