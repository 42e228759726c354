"""Finding what was said: the words of tasks, messages and outputs, in every workspace, wherever the truth is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from migrator.data_dir import DataDir
from migrator.database.excerpts import Matcher
from migrator.errors import SourceFileError, StorageIOError, ValidationError
from migrator.migration.found import (
    MOST_EXCERPTS,
    FoundSession,
    FoundText,
    SearchReport,
    arranged,
    cut,
    summary_of,
    texts_of,
)
from migrator.migration.status import workspace_names
from migrator.search_query import SearchQuery, parse_query
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters
from migrator.storage.switch import open_storage


def search_texts(
    data_dir: DataDir, words: str, filters: SessionFilters | None = None, *, workspace: str | None = None
) -> SearchReport:
    """The sessions of which one text (task, message or output) has all the words.

    :param words: words, ``"phrases in quotes"`` and ``begin*``; whatever is typed is no error
    :param filters: which sessions to look at, and how many to return; without ``sort_by``, the best come first
    :param workspace: look at this one alone
    :raises ConnectionFailed: the database can't be opened, or this Python's SQLite can't search texts
    """
    filters = filters or SessionFilters()
    query = parse_query(words)
    if not query.terms:
        notes = ["There is nothing to look for: words have letters or digits."]
        return SearchReport(sessions=(), more=False, method="scan", notes=tuple(notes))
    notes = []
    names = [workspace] if workspace else workspace_names(data_dir)
    found = arranged(
        scan(data_dir, names, query, filters, notes, alone=workspace is not None),
        Filtering(filters),
        sorted_by=filters.sort_by is not None,
    )
    shown, more = cut(found, filters.offset, filters.limit)
    return SearchReport(shown, more, "scan", tuple(notes))


def scan(
    data_dir: DataDir,
    names: Iterable[str],
    query: SearchQuery,
    filters: SessionFilters,
    notes: list[str],
    *,
    alone: bool,
) -> Iterator[FoundSession]:
    """Read every text of the workspaces, in whichever store they are.

    :param notes: takes what could not be read
    :param alone: what is wrong with the workspace is an error, not a note
    """
    wanted = replace(filters, sort_by=None, descending=False, limit=None, offset=0)
    with open_storage(data_dir, read_only=True) as store, Matcher(query) as matcher:
        for name in names:
            try:
                sessions = store.search_sessions(name, wanted)
            except (StorageIOError, SourceFileError, ValidationError) as error:
                if alone:
                    raise
                notes.append(f"Left out {name}: {error}")  # one file that can't be read hides none of the others
                continue
            for session in sessions:
                texts = texts_of(session)
                matched = [
                    FoundText.of(kind, place, excerpt)
                    for (kind, place, _), excerpt in zip(
                        texts, matcher.excerpts([text for _, _, text in texts]), strict=True
                    )
                    if excerpt is not None
                ]
                if matched:
                    yield FoundSession(name, summary_of(session), len(matched), tuple(matched[:MOST_EXCERPTS]))
