"""Finding what was said through the index: never more work than people want to read of it.

What occurs seldom is ranked as a whole. Of what occurs in thousands of texts the sessions changed last are ranked: the
ranking that reads every place of a common word takes seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from migrator.database.columns import SUMMARY_MEMBERS
from migrator.search.excerpts import Matcher
from migrator.search.index import MESSAGES, OUTPUTS
from migrator.search.lookup import Hits, Listing, StoredSession, StoredText, TextIndex
from migrator.search.query import SearchQuery
from migrator.search.results import MOST_EXCERPTS, FoundSession, FoundText, message_place, output_place
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters

RANKED_AS_A_WHOLE = 3_000  # texts
_LISTED = 20_000  # texts: up to here, asking once for all is cheaper than session by session
_POOL = 50  # sessions that are ranked of what occurs more often, or more if more are wanted
_TOGETHER = 20  # sessions


class _Candidate(NamedTuple):
    session: StoredSession
    hits: Hits

    @property
    def rank(self) -> tuple[bool, int, str]:
        """As far as it can be told before any text is read."""
        expected = self.hits.expected
        return min(expected, default=MESSAGES) < MESSAGES, len(expected), self.session.summary["updatedAt"]


def search_with_index(
    connection: sqlite3.Connection,
    query: SearchQuery,
    filters: SessionFilters,
    *,
    workspace_hash: str | None,
    elsewhere: Collection[str],
) -> Iterator[FoundSession]:
    """The sessions in their order, each found when it is asked for.

    :param connection: on which everything read is of one state
    :param filters: which sessions, and their order; limit and offset are the caller's business
    :param workspace_hash: of the only workspace to look at, or None for all
    :param elsewhere: hashes of workspaces that are served from another store
    """
    index = TextIndex(connection, query)
    filtering = Filtering(filters)

    def wanted(session: StoredSession) -> bool:
        if session.workspace_hash in elsewhere or workspace_hash not in (None, session.workspace_hash):
            return False
        if filtering.text is not None:
            session.summary["instances"] = index.agents(session)
        return filtering.matches(session.summary)

    rare = index.listed(RANKED_AS_A_WHOLE)
    if rare is not None:
        by_key = index.by_session(rare)
        sessions = filter(wanted, index.sessions(by_key))
        candidates: Iterable[_Candidate] = [_Candidate(session, by_key[session.key]) for session in sessions]
        candidates = _in_order(candidates, filters, filtering)
    else:
        newest = filter(wanted, index.newest(workspace_hash))
        ordered = newest if filters.sort_by is None else _sorted(list(newest), filtering)
        candidates = _having(index, ordered, index.listed(_LISTED))
        if filters.sort_by is None:
            candidates = _best_of_the_first(candidates, filters)
    with Matcher(query) as matcher:
        for candidate in candidates:
            found = _looked_at(index, matcher, candidate)
            if found is not None:
                yield found


def _having(index: TextIndex, sessions: Iterable[StoredSession], hits: Hits | None) -> Iterator[_Candidate]:
    """Those of the sessions that may have what is looked for, in their order; some are looked at together."""
    listed = None if hits is None else Listing(frozenset(hits.sure), frozenset(hits.unsure))
    rest = iter(sessions)
    while some := list(islice(rest, _TOGETHER)):
        for session, found in zip(some, index.in_sessions(some, listed), strict=True):
            if found.sure or found.unsure:
                yield _Candidate(session, found)


def _in_order(candidates: Iterable[_Candidate], filters: SessionFilters, filtering: Filtering) -> list[_Candidate]:
    ranked = sorted(candidates, key=lambda one: one.rank, reverse=True)
    if filters.sort_by is None:
        return ranked
    by_key = {candidate.session.key: candidate for candidate in ranked}
    return [by_key[session.key] for session in _sorted([one.session for one in ranked], filtering)]


def _sorted(sessions: list[StoredSession], filtering: Filtering) -> list[StoredSession]:
    return [one["session"] for one in filtering.sort([{**s.summary, "session": s} for s in sessions])]


def _best_of_the_first(candidates: Iterable[_Candidate], filters: SessionFilters) -> Iterator[_Candidate]:
    """As many as are wanted and more, ranked; then the others, in their own order."""
    rest = iter(candidates)
    pool = None if filters.limit is None else max(_POOL, 2 * (filters.offset + filters.limit))
    yield from sorted(islice(rest, pool), key=lambda one: one.rank, reverse=True)
    yield from rest


def _looked_at(index: TextIndex, matcher: Matcher, candidate: _Candidate) -> FoundSession | None:
    """The session with its excerpts; None where none of its texts has it after all."""
    sure, unsure = sorted(candidate.hits.sure), sorted(candidate.hits.unsure)
    texts = index.texts([*sure[:MOST_EXCERPTS], *unsure])
    excerpts = zip(texts, matcher.excerpts([text.text for text in texts], most=MOST_EXCERPTS), strict=True)
    having = sorted(((text, excerpt) for text, excerpt in excerpts if excerpt is not None), key=lambda pair: pair[0].id)
    if not having:
        return None
    shown = tuple(FoundText(*_place(text), *excerpt) for text, excerpt in having[:MOST_EXCERPTS])
    session = candidate.session
    summary = {name: session.summary[name] for name in SUMMARY_MEMBERS}
    return FoundSession(session.workspace, summary, len(having) + max(0, len(sure) - MOST_EXCERPTS), shown)


def _place(text: StoredText) -> tuple[str, str]:
    if text.id < MESSAGES:
        return "task", ""
    if text.id < OUTPUTS:
        return "message", message_place(text.who, text.where)
    return "output", output_place(text.who, text.where)
