"""Put quarantined items back: sessions that are valid now, and conflicts that the user has decided."""

from __future__ import annotations

import dataclasses
import io
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from migrator.authority import read_state, require_history
from migrator.backups.manifest import keep_versions, next_sequence
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.database.documents import (
    append_document,
    delete_document,
    ensure_workspace,
    insert_document,
    require_stored,
)
from migrator.database.quarantine import QuarantinedItem, texts_of, workspace_of_item
from migrator.documents.app_format import app_bytes
from migrator.documents.array_reader import BOM, read_array
from migrator.documents.document import WorktreeSession
from migrator.documents.parsing import Rejected, parse_session
from migrator.errors import Problem, SourceFileError, StaleStoreError, TornFileError, UsageError
from migrator.export.hybrid_files import change_and_update_files
from migrator.files.os_errors import os_errors
from migrator.locking import exclusive
from migrator.quarantine.conflict import ConflictFinder, read_conflict
from migrator.quarantine.items import chosen_items, require_choice, suffix_of
from migrator.report import Report

Take = Literal["theirs", "ours", "both"]
Result = Literal["restored", "replaced", "dropped", "still_invalid", "needs_edit", "needs_choice"]


@dataclass(frozen=True)
class RetriedItem(Report):
    """The result for one item.

    :ivar result: ``restored`` to its place, ``replaced`` SQLite's version, ``dropped`` for SQLite's version; or nothing
        was done, because it is ``still_invalid``, because a truncated end ``needs_edit``, or because a conflict
        ``needs_choice``
    :ivar sessions: the ids of the sessions that were inserted
    :ivar problems: why it is still invalid
    :ivar kept: the folder with the version that was dropped or replaced; also with what a corrected file replaced
    """

    id: int
    result: Result
    sessions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    kept: str | None = None


@dataclass(frozen=True)
class RetryReport(Report):
    """The results for all items that were tried.

    :ivar warnings: what else is worth knowing
    """

    items: tuple[RetriedItem, ...]
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 if an item still needs attention."""
        return 0 if all(item.result in ("restored", "replaced", "dropped") for item in self.items) else 3


def retry(
    data_dir: DataDir,
    numbers: Sequence[int] = (),
    *,
    every: bool = False,
    reason: str | None = None,
    edited: Path | None = None,
    take: Take | None = None,
) -> RetryReport:
    """Validate quarantined items again and insert each valid one at its old place, all in one transaction.

    :param numbers: the items to try
    :param every: try all items; deleted sessions only if ``reason`` names them
    :param reason: with ``every``: only the items with this reason
    :param edited: a file with the corrected session, or an array of several, for the one item named
    :param take: for conflicts: the quarantined version (``theirs``), SQLite's (``ours``), or both as two sessions
    :raises UsageError: the arguments cannot be combined
    :raises QuarantineError: there is no such item
    :raises StaleStoreError: SQLite is not authoritative, and this would change a session there
    :raises StorageIOError: the edited file cannot be read
    """
    require_choice(numbers, every=every, reason=reason)
    if edited is not None and (len(numbers) != 1 or take is not None):
        raise UsageError(
            "--edited needs exactly one item number and cannot be combined with --take.", code="option.conflict"
        )
    corrected = None if edited is None else _read_edited(edited)
    apply = partial(_apply, data_dir, None if every else numbers, reason, corrected, take)
    with exclusive(data_dir):
        require_history(data_dir)  # refuses a newer schema before anything opens it for writing
        items, warnings = change_and_update_files(data_dir, apply, lambda items: any(item.sessions for item in items))
    return RetryReport(items, tuple(warnings))


def _apply(
    data_dir: DataDir,
    numbers: Sequence[int] | None,
    reason: str | None,
    corrected: list[WorktreeSession] | list[Problem] | None,
    take: Take | None,
) -> tuple[RetriedItem, ...]:
    """Try the items that :func:`~migrator.quarantine.items.chosen_items` finds."""
    path = data_dir.database
    with opened(path) as connection:
        state = read_state(connection, path)
        if state.authority != "sqlite" and (take != "ours" or not state.has_ledger):
            raise StaleStoreError(
                "The JSON files are authoritative, not SQLite: a session restored to SQLite now would be ignored.",
                code="store.not_authoritative",
                hint="Fix the session in its JSON file ('migrator quarantine list' shows what is wrong with it), then "
                "run 'migrator migrate'. A conflict's quarantined version can be dropped with '--take ours'.",
            )
        with transaction(connection, path, "move sessions out of quarantine"):
            chosen = chosen_items(connection, numbers, reason)
            for item in chosen:
                if item.reason != "conflict" and take is not None and numbers is not None:
                    raise UsageError(
                        f"--take is for conflicts, but the reason of item {item.id} is '{item.reason}'.",
                        code="option.conflict",
                        hint="Correct it in a file and pass that with --edited FILE.",
                    )
            attempt = _Retry(connection, data_dir, corrected, take)
            # While JSON is authoritative, only conflicts can be dropped: that changes no session.
            from_files = state.authority == "json"
            return tuple(attempt.item(item) for item in chosen if not from_files or item.reason == "conflict")


@dataclass
class _Retry:
    """Puts items back within the caller's transaction."""

    connection: sqlite3.Connection
    data_dir: DataDir
    corrected: list[WorktreeSession] | list[Problem] | None
    take: Take | None

    def __post_init__(self) -> None:
        self.conflicts = ConflictFinder(self.connection, self.data_dir)
        self.paths = {file_hash for _, file_hash, _ in self.connection.execute(queries.ALL_WORKSPACES)}

    def item(self, item: QuarantinedItem) -> RetriedItem:
        """Try one item."""
        raw, _ = texts_of(self.connection, item.id)
        if self.corrected is not None:
            parsed = self.corrected
        elif item.reason == "torn":
            return RetriedItem(item.id, "needs_edit")
        elif item.reason == "conflict":
            return self.decide(item, raw) if self.take else RetriedItem(item.id, "needs_choice")
        else:
            parsed = _parse(raw)
        documents = [document for document in parsed if not isinstance(document, Problem)]
        if len(documents) < len(parsed):
            problems = tuple(problem for problem in parsed if isinstance(problem, Problem))
            return RetriedItem(item.id, "still_invalid", problems=problems)
        if item.reason == "conflict":
            return self.replace(item, raw, documents, edited=True)
        if self.corrected is None:
            return self.restore(item, documents)
        kept = self.keep(item, {f"original.{suffix_of(raw)}": raw})
        return dataclasses.replace(self.restore(item, documents), kept=str(kept))

    def decide(self, item: QuarantinedItem, raw: bytes) -> RetriedItem:
        """Resolve a conflict as ``take`` says."""
        theirs = read_conflict(item, raw)
        if self.take == "both":  # without a file, its position says nothing of its place among the sessions
            return self.append(item, theirs) if item.source_id is None else self.restore(item, [theirs])
        if self.take == "theirs":
            return self.replace(item, raw, [theirs], edited=False)
        kept = self.keep(item, {"theirs.json": raw})
        self.remove(item)
        return RetriedItem(item.id, "dropped", kept=str(kept))

    def restore(self, item: QuarantinedItem, documents: Sequence[WorktreeSession]) -> RetriedItem:
        """Insert the documents at the item's old position; those that share one keep the order of insertion."""
        for document in documents:
            self.insert(item, document, item.position, item.source_id)
            self.conflicts.forget(document["id"])
        self.remove(item)
        return RetriedItem(item.id, "restored", sessions=tuple(document["id"] for document in documents))

    def append(self, item: QuarantinedItem, document: WorktreeSession) -> RetriedItem:
        """Insert a document after all others, so that its id still stands for the session that it stood for before."""
        workspace_hash, path = workspace_of_item(item, document, self.paths)
        workspace_id = ensure_workspace(self.connection, workspace_hash, path)
        key = append_document(self.connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash)
        require_stored(self.connection, key, document)
        self.conflicts.forget(document["id"])
        self.remove(item)
        return RetriedItem(item.id, "restored", sessions=(document["id"],))

    def replace(
        self, item: QuarantinedItem, raw: bytes, documents: Sequence[WorktreeSession], *, edited: bool
    ) -> RetriedItem:
        """Replace SQLite's version of a conflict by the documents; each version that is dropped is kept in a backup."""
        ours = self.conflicts.find(item, raw)
        versions = {"theirs.json": raw} if edited else {}
        if ours is not None:
            versions["ours.json"] = app_bytes(ours.document)
        kept = self.keep(item, versions) if versions else None
        if ours is None:
            restored = self.restore(item, documents)
            return dataclasses.replace(restored, kept=None if kept is None else str(kept))
        delete_document(self.connection, ours.key)
        for document in documents:
            key = self.insert(item, document, ours.position, ours.source_id, ours.workspace_id)
            if edited:
                self.conflicts.forget(document["id"])
            else:
                self.conflicts.replaced(item, document, ours.key, key)
        if edited:
            self.conflicts.forget(ours.document["id"])
        self.remove(item)
        return RetriedItem(item.id, "replaced", tuple(document["id"] for document in documents), kept=str(kept))

    def insert(
        self,
        item: QuarantinedItem,
        document: WorktreeSession,
        position: int | None,
        source_id: int | None,
        workspace_id: int | None = None,
    ) -> str:
        """Insert a document and read it back; return its key.

        :raises TransactionError: it does not read back as it was inserted
        """
        workspace_hash, path = workspace_of_item(item, document, self.paths)
        if workspace_id is None:
            workspace_id = ensure_workspace(self.connection, workspace_hash, path)
        key = insert_document(
            self.connection,
            document,
            workspace_id=workspace_id,
            workspace_hash=workspace_hash,
            position=position,
            source_id=source_id,
        )
        require_stored(self.connection, key, document)
        return key

    def keep(self, item: QuarantinedItem, versions: dict[str, bytes]) -> Path:
        """Keep versions that are about to be dropped; return their folder."""
        return keep_versions(self.data_dir.backups, f"quarantine-{item.id}", versions, self.sequence)

    @cached_property
    def sequence(self) -> int:
        """The sequence number of the backups of this run."""
        return next_sequence(self.data_dir.backups)

    def remove(self, item: QuarantinedItem) -> None:
        """Delete an item from the quarantine."""
        self.connection.execute(queries.DELETE_QUARANTINE, (item.id,))


def _read_edited(path: Path) -> list[WorktreeSession] | list[Problem]:
    """The sessions in a file that holds one or an array of them, or all problems with them."""
    with os_errors("read", path):
        content = path.read_bytes()
    text = content.removeprefix(BOM).strip()
    if not text.startswith(b"["):
        return _parse(text)
    documents: list[WorktreeSession] = []
    problems: list[Problem] = []
    try:
        for element in read_array(io.BytesIO(text)):
            for found in _parse(element.raw):
                if isinstance(found, Problem):
                    problems.append(found._replace(pointer=f"/{element.position}{found.pointer}"))
                else:
                    documents.append(found)
    except TornFileError as error:
        problems.append(error.as_problem())
    except SourceFileError as error:
        problems.append(Problem("", error.message.removesuffix("."), "", error.code))
    if not documents and not problems:
        expected = "a session, or an array of sessions"
        problems.append(Problem("", "an empty array", expected, "document.required"))
    return problems or documents


def _parse(raw: bytes) -> list[WorktreeSession] | list[Problem]:
    parsed = parse_session(raw)
    return parsed.problems if isinstance(parsed, Rejected) else [parsed.value]
