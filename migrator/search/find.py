"""Searches the tasks, messages and outputs of all workspaces in the authoritative store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

from migrator.authority import NO_DATABASE, has_database, read_state
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.columns import SUMMARY_MEMBERS
from migrator.database.connection import opened, snapshot
from migrator.documents.document import WorktreeSession
from migrator.inventory.status import name_of_workspace, note_of_loss, notes_of_hidden, workspace_names
from migrator.salvage.access import read_what_can_be_read
from migrator.search.excerpts import Matcher
from migrator.search.index import index_state, quick_problems
from migrator.search.lookup import count_long_texts, search_with_index
from migrator.search.query import LONGEST, SearchQuery, is_too_long, parse_query
from migrator.search.results import (
    MOST_EXCERPTS,
    FoundSession,
    FoundText,
    SearchReport,
    searchable_texts,
    sort_by_filters,
)
from migrator.search.sessions import read_workspaces
from migrator.search.values import notes_on_values
from migrator.storage.arguments import workspace_ref
from migrator.storage.factory import is_served_by_sqlite
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters, SessionStorage
from migrator.text import counted
from migrator.workspace import placeholder


def search_texts(
    data_dir: DataDir, words: str, filters: SessionFilters | None = None, *, workspace: str | None = None
) -> SearchReport:
    """Find the sessions with a text (task, message or output) that contains all the words.

    :param words: words, ``"phrases in quotes"`` and ``begin*``; no input is an error
    :param filters: which sessions to search, and how many to return; without ``sort_by``, the best match comes first
    :param workspace: search only this one
    :raises ValidationError: the filters are not SessionFilters, or the workspace is not the path of one
    :raises ConnectionFailed: the database cannot be opened, or the SQLite of this Python has no FTS5
    """
    Filtering(filters)
    if workspace is not None:
        workspace_ref(workspace)
    chosen, query = filters or SessionFilters(), parse_query(words)
    report, missing = read_what_can_be_read(data_dir, lambda places: _search(places, query, chosen, workspace))
    return replace(report, errors=missing)


def _search(data_dir: DataDir, query: SearchQuery, filters: SessionFilters, workspace: str | None) -> SearchReport:
    end = None if filters.limit is None else filters.offset + filters.limit
    indexed = None
    with _opened(data_dir.database) as connection:
        workspace = name_of_workspace(data_dir, workspace, connection) if workspace else workspace
        if not query.terms:
            note = "Nothing to search for: a word needs at least one letter or digit."
            return SearchReport(sessions=(), more=False, method="scan", notes=(note,))
        state = NO_DATABASE if connection is None else read_state(connection, data_dir.database)
        loss = note_of_loss(data_dir, state)
        notes: list[str] = [*notes_of_hidden(data_dir, workspace, connection), *([] if loss is None else [loss])]
        if connection is not None and is_served_by_sqlite(data_dir, state):
            with snapshot(connection, data_dir.database, "search"):
                indexed = _ask_index(connection, query, filters, workspace, notes, None if end is None else end + 1)
    if indexed is None:
        found, names = list[FoundSession](), [workspace] if workspace else workspace_names(data_dir)
    else:
        found, elsewhere = indexed
        one = workspace_ref(workspace) if workspace else None
        names = [placeholder(name) for name in elsewhere if one is None or name == one.hash]
    scanned = list(_scan(data_dir, names, query, filters, notes, alone=workspace is not None)) if names else []
    if scanned:
        found = sorted([*found, *scanned], key=lambda one: one.rank, reverse=True)
        if filters.sort_by is not None:
            found = sort_by_filters(((one.session, one) for one in found), Filtering(filters))
    if not found:
        notes += notes_on_values(data_dir, workspace, filters)
    page, more = tuple(found[filters.offset : end]), end is not None and len(found) > end
    return SearchReport(page, more, "scan" if indexed is None else "index", tuple(notes))


def _opened(path: Path) -> AbstractContextManager[sqlite3.Connection | None]:
    """Open the database to read it, once for everything: each opening parses the schema anew."""
    return opened(path, read_only=True) if has_database(path) else nullcontext()


def _ask_index(
    connection: sqlite3.Connection,
    query: SearchQuery,
    filters: SessionFilters,
    workspace: str | None,
    notes: list[str],
    most: int | None,
) -> tuple[list[FoundSession], frozenset[str]] | None:
    """Search with the index, for at most ``most`` sessions; return None, and note why, if it cannot be used.

    :param connection: has a snapshot of the database
    :returns: the sessions, and the hashes of workspaces that are not in it, since they could not be migrated
    """
    state = index_state(connection)
    if state == "complete" and not quick_problems(connection, state):
        own = workspace_ref(workspace).hash if workspace else None
        elsewhere = frozenset(name for (name,) in connection.execute(queries.FAILED_WORKSPACES))
        found = search_with_index(connection, query, filters, workspace_hash=own, elsewhere=elsewhere)
        notes += _note_of_long(count_long_texts(connection, filters, workspace_hash=own, elsewhere=elsewhere))
        # What another store finds comes in between: only with all of them do pages fit together.
        return list(islice(found, None if elsewhere else most)), elsewhere
    if state == "complete":
        notes.append("The search index is damaged, so every text was read. 'migrator verify --repair' rebuilds it.")
    elif state == "building":
        notes.append("The search index is incomplete, so every text was read. 'migrator search-index build' goes on.")
    else:
        notes.append("There is no search index, so every text was read. 'migrator search-index build' builds one.")
    return None


def _scan(
    data_dir: DataDir,
    names: Iterable[str],
    query: SearchQuery,
    filters: SessionFilters,
    notes: list[str],
    *,
    alone: bool,
) -> Iterator[FoundSession]:
    """Read every text of the workspaces, from the store that each one is in.

    :param alone: a workspace that cannot be read is an error, not a note
    """
    wanted = replace(filters, sort_by=None, descending=False, limit=None, offset=0)
    long = 0
    with Matcher(query) as matcher:

        def read(store: SessionStorage, name: str) -> list[WorktreeSession]:
            return store.search_sessions(name, wanted)

        for name, sessions in read_workspaces(data_dir, names, read, notes.append, alone=alone):
            for session in sessions:
                texts = searchable_texts(session)
                long += sum(is_too_long(text) for _, _, text in texts)
                excerpts = matcher.excerpts([text for _, _, text in texts], most=MOST_EXCERPTS)
                matched = [
                    FoundText(kind, place, *excerpt)
                    for (kind, place, _), excerpt in zip(texts, excerpts, strict=True)
                    if excerpt is not None
                ]
                if matched:
                    summary = {member: session.get(member) for member in SUMMARY_MEMBERS}
                    yield FoundSession(name, summary, len(matched), tuple(matched[:MOST_EXCERPTS]))
    notes += _note_of_long(long)


def _note_of_long(texts: int) -> list[str]:
    if not texts:
        return []
    verb = "is" if texts == 1 else "are"
    return [f"{counted(texts, 'text')} {verb} not searched to the end, but only up to {LONGEST:,} characters."]
