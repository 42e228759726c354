"""Finding what was said through the index: never more work than people want to read of it.

What occurs seldom is ranked as a whole. Of what occurs in thousands of texts the sessions changed last are ranked: the
ranking that reads every place of a common word takes seconds.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from migrator.database.columns import SUMMARY_MEMBERS
from migrator.database.rows import session_summary
from migrator.search import queries as search_queries
from migrator.search.excerpts import Matcher
from migrator.search.index import MESSAGES, OUTPUTS, TASKS
from migrator.search.query import GRAM, SearchQuery, Term, words_of
from migrator.search.results import MOST_EXCERPTS, FoundSession, FoundText, message_place, output_place, sort_by_filters
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters

RANKED_AS_A_WHOLE = 3_000  # texts
_LISTED = 20_000  # texts: up to here, asking once for all is cheaper than session by session
_POOL = 50  # sessions that are ranked of what occurs more often, or more if more are wanted
_TOGETHER = 20  # sessions
# By kind of text: its rowids in the index, less the first of them, are those of its table.
_RANGES = {"task": (TASKS, MESSAGES), "message": (MESSAGES, OUTPUTS), "output": (OUTPUTS, 1 << 63)}
_PLACES: dict[str, Callable[[Any, str], str]] = {"message": message_place, "output": output_place}
_LAST = "\U0010ffff"
_EVERY = (0, (1 << 63) - 1)
_BROAD = 20_000  # places
_GAP = 200  # rowids of others that are passed over rather than asking once more


class _Hits(NamedTuple):
    """Rowids of the index.

    :ivar sure: texts that have what is looked for, as FTS5 says
    :ivar unsure: texts that may have it: reading them tells
    :ivar likely: that most of them do, too
    """

    sure: list[int]
    unsure: list[int]
    likely: bool = True


class _StoredSession(NamedTuple):
    """A session as a search shows it, by the primary key of its row."""

    key: str
    row_id: int
    workspace: str
    workspace_hash: str
    summary: dict[str, Any]


class _Candidate(NamedTuple):
    session: _StoredSession
    hits: _Hits

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Best last, as far as it can be told before any text is read."""
        hits = self.hits
        expected = [*hits.sure, *hits.unsure] if hits.likely else hits.sure
        return min(expected, default=MESSAGES) < MESSAGES, len(expected), self.session.summary["updatedAt"]


class _TextIndex:
    """The index of one database, for one query.

    :param connection: on which everything read is of one state
    """

    def __init__(self, connection: sqlite3.Connection, query: SearchQuery) -> None:
        self._connection = connection
        # FTS5 reads every place of the words that begin so, each time it is asked.
        narrow = SearchQuery(tuple(term for term in query.terms if not (term.prefix and self._is_broad(term))))
        self._spaced = query.word_match is not None
        self._broad = narrow != query
        self._words = narrow.word_match if self._spaced else None
        self._grams = query.gram_match
        self._short = [term.folded for term in query.terms if len(term.folded) < GRAM]  # as beginnings of grams

    def _is_broad(self, term: Term) -> bool:
        """Whether words that begin so occur in very many places."""
        last = words_of(term.text)[-1]
        bound = (last, last + _LAST, _BROAD)
        return bool(self._connection.execute(search_queries.IS_BROAD, bound).fetchone())

    def listed(self, most: int) -> _Hits | None:
        """Every text that may have what is looked for, None where they are more than ``most``."""
        if self._spaced and self._words is None:
            return None
        words = self._ask(search_queries.WORD_HITS, self._words, _EVERY, most + 1)
        if len(words) > most:
            return None
        # Of several ways to narrow it down, those that come to an end.
        ways = []
        if self._grams:
            ways.append(self._ask(search_queries.GRAM_HITS, self._grams, _EVERY, most + 1))
        for term in self._short:
            bound = (term, term + _LAST, most + 1)
            ways.append([row_id for (row_id,) in self._connection.execute(search_queries.SHORT_HITS, bound)])
        ended = [set(way) for way in ways if len(way) <= most]
        return self._hits(words, sorted(set.intersection(*ended))) if ended else None

    def _hits(self, words: list[int], grams: list[int]) -> _Hits:
        return _Hits([], [*words, *grams]) if self._broad else _Hits(words, grams)

    def in_sessions(
        self, sessions: Sequence[_StoredSession], listed: tuple[frozenset[int], frozenset[int]] | None
    ) -> Iterator[_Hits]:
        """Of each of these sessions, the texts that may have what is looked for.

        :param listed: what :meth:`listed` is sure of, and what not; None asks the index for these sessions alone, for
            those that stand close to each other together
        """
        texts = []
        for session in sessions:
            messages = self._connection.execute(search_queries.MESSAGES_IN_SESSION, (session.key,))
            outputs = self._connection.execute(search_queries.OUTPUTS_IN_SESSION, (session.key,))
            own = [session.row_id, *(MESSAGES + one for (one,) in messages), *(OUTPUTS + one for (one,) in outputs)]
            texts.append(own)
        if listed is not None:
            sure, unsure = listed
            for own in texts:
                yield _Hits([one for one in own if one in sure], [one for one in own if one in unsure])
            return
        row_ids = sorted(one for own in texts for one in own)
        words = frozenset(self._within(search_queries.WORD_HITS, self._words, row_ids))
        if self._grams is None or (self._spaced and self._words is None):
            # One of the two tables can't be asked.
            sure = frozenset() if self._broad else words
            for own in texts:
                yield _Hits([one for one in own if one in sure], [one for one in own if one not in sure], likely=False)
            return
        grams = frozenset(self._within(search_queries.GRAM_HITS, self._grams, row_ids))
        for own in texts:
            yield self._hits([one for one in own if one in words], [one for one in own if one in grams])

    def _within(self, statement: str, match: str | None, row_ids: Sequence[int]) -> list[int]:
        return [found for stretch in _stretches(row_ids) for found in self._ask(statement, match, stretch, -1)]

    def _ask(self, statement: str, match: str | None, stretch: tuple[int, int], most: int) -> list[int]:
        if match is None:
            return []
        return [row_id for (row_id,) in self._connection.execute(statement, (match, *stretch, most))]

    def by_session(self, hits: _Hits) -> dict[str, _Hits]:
        """The hits of each session, by the session's primary key."""
        found: defaultdict[str, _Hits] = defaultdict(lambda: _Hits([], []))
        for row_ids, is_sure in ((hits.sure, True), (hits.unsure, False)):
            for kind, base, own in _by_kind(row_ids):
                for row_id, key in self._connection.execute(search_queries.SESSIONS_OF_TEXTS[kind], (own,)):
                    (found[key].sure if is_sure else found[key].unsure).append(base + row_id)
        return found

    def sessions(self, statement: str, *parameters: str) -> Iterator[_StoredSession]:
        """The sessions that a query finds."""
        for row in self._connection.execute(statement, parameters):
            yield _StoredSession(row[0], row[-3], row[-2], row[-1], session_summary(row))

    def texts(self, row_ids: Sequence[int]) -> Iterator[tuple[int, str, str, str]]:
        """Rowid, kind, place and text of each: tasks, then messages, then outputs."""
        for kind, base, own in _by_kind(row_ids):
            for row_id, who, where, text in self._connection.execute(search_queries.TEXTS[kind], (own,)):
                if text is not None:
                    place = _PLACES[kind](who, where) if kind in _PLACES else ""
                    yield base + row_id, kind, place, text


def _by_kind(row_ids: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """The kinds of text that are among them, each with its first rowid, and its rows' rowids as JSON."""
    for kind, (base, end) in _RANGES.items():
        own = [row_id - base for row_id in row_ids if base <= row_id < end]
        if own:
            yield kind, base, json.dumps(own)


def _stretches(row_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of the rowids that stand close to each other."""
    first = last = row_ids[0]
    for row_id in row_ids[1:]:
        if row_id - last > _GAP:
            yield first, last
            first = row_id
        last = row_id
    yield first, last


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
    index = _TextIndex(connection, query)
    filtering = Filtering(filters)

    def wanted(session: _StoredSession) -> bool:
        if session.workspace_hash in elsewhere or workspace_hash not in (None, session.workspace_hash):
            return False
        if filtering.text is not None:
            agents = connection.execute(search_queries.AGENTS_IN_SESSION, (session.key,))
            session.summary["instances"] = [{"agentName": name} for (name,) in agents]
        return filtering.matches(session.summary)

    rare = index.listed(RANKED_AS_A_WHOLE)
    candidates: Iterable[_Candidate]
    if rare is not None:
        hits = index.by_session(rare)
        sessions = filter(wanted, index.sessions(search_queries.INFO_OF_SESSIONS, json.dumps(list(hits))))
        candidates = _ranked(_Candidate(session, hits[session.key]) for session in sessions)
        if filters.sort_by is not None:
            candidates = sort_by_filters(((one.session.summary, one) for one in candidates), filtering)
    else:
        scope = () if workspace_hash is None else (workspace_hash,)
        newest = search_queries.NEWEST_OF_WORKSPACE if scope else search_queries.NEWEST_SESSIONS
        sessions = filter(wanted, index.sessions(newest, *scope))
        listed = index.listed(_LISTED)
        if filters.sort_by is None:
            candidates = _best_of_the_first(_having(index, sessions, listed), filters)
        else:
            ordered = sort_by_filters(((session.summary, session) for session in sessions), filtering)
            candidates = _having(index, ordered, listed)
    with Matcher(query) as matcher:
        yield from filter(None, (_looked_at(index, matcher, candidate) for candidate in candidates))


def _ranked(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return sorted(candidates, key=lambda one: one.rank, reverse=True)


def _having(index: _TextIndex, sessions: Iterable[_StoredSession], hits: _Hits | None) -> Iterator[_Candidate]:
    """Those of the sessions that may have what is looked for, in their order; some are looked at together."""
    listed = None if hits is None else (frozenset(hits.sure), frozenset(hits.unsure))
    rest = iter(sessions)
    while some := list(islice(rest, _TOGETHER)):
        for session, found in zip(some, index.in_sessions(some, listed), strict=True):
            if found.sure or found.unsure:
                yield _Candidate(session, found)


def _best_of_the_first(candidates: Iterator[_Candidate], filters: SessionFilters) -> Iterator[_Candidate]:
    """As many as are wanted and more, ranked; then the others, in their own order."""
    pool = None if filters.limit is None else max(_POOL, 2 * (filters.offset + filters.limit))
    yield from _ranked(islice(candidates, pool))
    yield from candidates


def _looked_at(index: _TextIndex, matcher: Matcher, candidate: _Candidate) -> FoundSession | None:
    """The session with its excerpts; None where none of its texts has it after all."""
    sure, unsure = sorted(candidate.hits.sure), sorted(candidate.hits.unsure)
    texts = list(index.texts([*sure[:MOST_EXCERPTS], *unsure]))
    excerpts = matcher.excerpts([text for *_, text in texts], most=MOST_EXCERPTS)
    having = [
        (row_id, FoundText(kind, place, *excerpt))
        for (row_id, kind, place, _), excerpt in zip(texts, excerpts, strict=True)
        if excerpt is not None
    ]
    if not having:
        return None
    having.sort(key=lambda found: found[0])
    session = candidate.session
    summary = {name: session.summary[name] for name in SUMMARY_MEMBERS}
    shown = tuple(text for _, text in having[:MOST_EXCERPTS])
    return FoundSession(session.workspace, summary, len(having) + max(0, len(sure) - MOST_EXCERPTS), shown)
