"""Searches with the index, doing no more work than the requested number of results needs.

If few texts match, all sessions are ranked. If thousands match, they come in blocks, those that changed last first, and
each block is ranked: reading every place of a common word would take seconds. The order does not depend on the limit:
pages must fit together.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from migrator.database.columns import SUMMARY_MEMBERS
from migrator.search import queries as search_queries
from migrator.search.excerpts import Matcher
from migrator.search.index import MESSAGES, OUTPUTS, TASKS
from migrator.search.ordering import StoredSession, read_sessions, sessions_in_order
from migrator.search.query import CUT, LONGEST, SearchQuery, Term, words_of
from migrator.search.results import (
    MOST_EXCERPTS,
    FoundSession,
    FoundText,
    Rank,
    message_place,
    output_place,
    rank_of,
    sort_by_filters,
)
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters

RANK_ALL_UP_TO = 1_000  # texts: to list more takes milliseconds for a phrase
_LIST_ALL_UP_TO = 20_000  # texts: up to here, one question for all is cheaper than one for each session
BLOCK = 30  # sessions that are ranked together if more texts match
# The range of rowids in the index, by kind of text: minus the first one, they are the rowids of its table.
_RANGES = {"task": (TASKS, MESSAGES), "message": (MESSAGES, OUTPUTS), "output": (OUTPUTS, 1 << 63)}
_PLACES: dict[str, Callable[[Any, str], str]] = {"message": message_place, "output": output_place}
_LAST = "\U0010ffff"
_EVERY = (0, (1 << 63) - 1)
_BROAD = 20_000  # places: a beginning with more of them is not looked up in the index
_MOST_GRAMS = 200  # of one beginning: those with more are not looked up
_GAP = 200  # rowids between two that are asked for together
_TOGETHER = 100  # texts that are read at once
_Span = tuple[int, int]  # the first and the last rowid


class _Hits(NamedTuple):
    """Texts found in the index.

    :ivar row_ids: in order
    :ivar exact: whether all of them match according to FTS5; otherwise they may match, and have to be read
    :ivar likely: whether most of them are expected to match
    """

    row_ids: list[int]
    exact: bool
    likely: bool = True


class _Candidate(NamedTuple):
    session: StoredSession
    hits: _Hits

    @property
    def rank(self) -> Rank:
        """The sort key, best last, as far as it is known before any text is read."""
        expected = self.hits.row_ids if self.hits.likely else []
        in_task = bool(expected) and expected[0] < MESSAGES
        return rank_of(self.session.summary, self.session.workspace, in_task=in_task, matches=len(expected))

    @property
    def to_read(self) -> list[int]:
        """The texts that are needed for the answer."""
        return self.hits.row_ids[:MOST_EXCERPTS] if self.hits.exact else self.hits.row_ids


class _TextIndex:
    """The index of one database, for one query.

    :param connection: has a snapshot of the database
    """

    def __init__(self, connection: sqlite3.Connection, query: SearchQuery) -> None:
        self._connection = connection
        # FTS5 reads every place of all words with a beginning, each time: too slow for a broad one.
        narrow = SearchQuery(tuple(term for term in query.terms if not (term.prefix and self._is_broad(term))))
        words, self._is_exact = narrow.word_match, narrow == query
        grams = narrow.gram_match(self._grams_beginning_with)
        self._questions = [
            (statement, match)
            for statement, match in ((search_queries.WORD_HITS, words), (search_queries.GRAM_HITS, grams))
            if match is not None
        ]
        if query.unspaced:
            self._is_exact &= grams is not None and all(term.is_one_gram for term in query.unspaced)

    def _is_broad(self, term: Term) -> bool:
        """Return whether words with this beginning occur in very many places."""
        if term.unspaced:
            return False
        last = words_of(term.text)[-1]
        bound = (last, last + _LAST, _BROAD)
        return bool(self._terms("words").execute(search_queries.IS_BROAD, bound).fetchone())

    def _terms(self, kind: str) -> sqlite3.Connection:
        """Return the connection, with the temporary table of the terms."""
        self._connection.execute("PRAGMA query_only = OFF")  # it would also forbid temporary tables
        self._connection.execute(search_queries.CREATE_TERMS[kind])
        return self._connection

    def _grams_beginning_with(self, beginning: str) -> list[str] | None:
        """Return the grams that begin with one or two characters; None if there are very many."""
        bound = (beginning, beginning + _LAST, _MOST_GRAMS + 1)
        found = [gram for (gram,) in self._terms("grams").execute(search_queries.GRAMS_IN_RANGE, bound)]
        return found if len(found) <= _MOST_GRAMS else None

    def find_all(self, most: int) -> _Hits | None:
        """Return every text that may match; None if there are more than ``most``."""
        answers = [self._list(statement, match, most) for statement, match in self._questions]
        complete = [answer for answer in answers if answer is not None]
        # Many must be the same that find_in_sessions would find: the order of sessions depends on their number.
        if not complete or (most > RANK_ALL_UP_TO and len(complete) < len(answers)):
            return None
        found = sorted(set(complete[0]).intersection(*complete[1:]))
        return self._hits(found, exact=self._is_exact and len(complete) == len(answers))

    def _list(self, statement: str, match: str, most: int) -> list[int] | None:
        """Return all texts that match; None if there are more than ``most``."""
        some = min(most, RANK_ALL_UP_TO)
        further = self._ask(statement, match, _EVERY, limit=1, offset=some)  # far cheaper than a list
        if further and some == most:
            return None
        if further and further[0] >= MESSAGES:  # where this one is says whether it is worth listing all
            [(last,)] = self._connection.execute(search_queries.LAST_MESSAGE)
            if some * last > most * (further[0] - MESSAGES):
                return None
        found = self._ask(statement, match, _EVERY, limit=most + 1)
        return found if len(found) <= most else None

    def _hits(self, found: list[int], *, exact: bool) -> _Hits:
        return _Hits(found, exact, likely=exact or bool(self._questions))

    def find_in_sessions(self, sessions: Sequence[StoredSession], hits: _Hits | None) -> Iterator[_Hits]:
        """Yield, for each of these sessions, its texts that may match.

        :param hits: those of :meth:`find_all`; None asks the index about these sessions only
        """
        spans = [self._spans_in(session) for session in sessions]
        if hits is not None:
            found = hits.row_ids
        elif self._questions:
            joined = _joined(sorted(chain.from_iterable(spans)))
            answers = [self._within(statement, match, joined) for statement, match in self._questions]
            found = answers[0] if len(answers) == 1 else sorted(set(answers[0]).intersection(*answers[1:]))
        else:
            found = [row_id for own in spans for first, last in own for row_id in range(first, last + 1)]
            found.sort()
        for own in spans:
            inside = [found[bisect_left(found, first) : bisect_right(found, last)] for first, last in own]
            yield self._hits([*chain.from_iterable(inside)], exact=self._is_exact if hits is None else hits.exact)

    def _spans_in(self, session: StoredSession) -> list[_Span]:
        """Return the rowids of the session's texts, in order."""
        spans = [(session.row_id, session.row_id)]
        for kind, statement in search_queries.SPAN_IN_SESSION.items():
            base, _ = _RANGES[kind]
            first, last, rows = self._connection.execute(statement, (session.key,)).fetchone()
            if rows and last - first < rows:
                spans.append((base + first, base + last))
            elif rows:  # rows of other sessions are between
                listed = self._connection.execute(search_queries.ROWS_IN_SESSION[kind], (session.key,))
                spans += [(base + row_id, base + row_id) for (row_id,) in listed]
        return spans

    def _within(self, statement: str, match: str, spans: Iterable[_Span]) -> list[int]:
        return [found for span in spans for found in self._ask(statement, match, span)]

    def _ask(self, statement: str, match: str, span: _Span, *, limit: int = -1, offset: int = 0) -> list[int]:
        return [row_id for (row_id,) in self._connection.execute(statement, (match, *span, limit, offset))]

    def by_session(self, hits: _Hits) -> dict[str, _Hits]:
        """Group hits by session, as a dictionary with the primary keys of the sessions."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for kind, base, own in _by_kind(hits.row_ids):
            for row_id, key in self._connection.execute(search_queries.SESSIONS_OF_TEXTS[kind], (own,)):
                found[key].append(base + row_id)
        return {key: hits._replace(row_ids=sorted(row_ids)) for key, row_ids in found.items()}

    def texts(self, row_ids: Sequence[int]) -> Iterator[tuple[int, str, str, str]]:
        """Yield rowid, kind, place and text of each: tasks, then messages, then outputs."""
        for kind, base, own in _by_kind(row_ids):
            for row_id, who, where, text in self._connection.execute(search_queries.TEXTS[kind], (own,)):
                if text is not None:
                    place = _PLACES[kind](who, where) if kind in _PLACES else ""
                    yield base + row_id, kind, place, text


def _by_kind(row_ids: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """Yield each kind of text among these rowids, with its first rowid and the rowids in its table, as JSON."""
    for kind, (base, end) in _RANGES.items():
        own = [row_id - base for row_id in row_ids if base <= row_id < end]
        if own:
            yield kind, base, json.dumps(own)


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """Join spans that are close to each other."""
    joined: list[_Span] = []
    for first, last in spans:
        if joined and first - joined[-1][1] <= _GAP:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return joined


def search_with_index(
    connection: sqlite3.Connection,
    query: SearchQuery,
    filters: SessionFilters,
    *,
    workspace_hash: str | None,
    elsewhere: Collection[str],
) -> Iterator[FoundSession]:
    """Yield the sessions that match, in order; each is searched for only when it is requested.

    :param connection: has a snapshot of the database
    :param filters: which sessions, and their order; the caller applies limit and offset
    :param workspace_hash: search only this workspace; None searches all
    :param elsewhere: hashes of workspaces that are served from another store
    """
    index = _TextIndex(connection, query)
    filtering = Filtering(filters)
    wanted = _chooser(connection, filtering, workspace_hash, elsewhere)
    wished = None if filters.limit is None else filters.offset + filters.limit
    candidates: Iterable[_Candidate]
    hits = index.find_all(RANK_ALL_UP_TO)
    if hits is not None:
        by_session = index.by_session(hits)
        found = read_sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(list(by_session)))
        candidates = _ranked(_Candidate(session, by_session[session.key]) for session in filter(wanted, found))
        if filters.sort_by is not None:
            candidates = sort_by_filters(((one.session.summary, one) for one in candidates), filtering)
    else:
        sessions = filter(wanted, sessions_in_order(connection, filters, workspace_hash))
        blocks = _find_in_blocks(index, sessions, wished)
        candidates = chain.from_iterable(blocks if filters.sort_by else map(_ranked, blocks))
    with Matcher(query) as matcher:
        for batch in _batches(candidates, BLOCK if wished is None else wished + 1):
            yield from _read_candidates(index, matcher, batch)


def _chooser(
    connection: sqlite3.Connection, filtering: Filtering, workspace_hash: str | None, elsewhere: Collection[str]
) -> Callable[[StoredSession], bool]:
    def wanted(session: StoredSession) -> bool:
        if session.workspace_hash in elsewhere or workspace_hash not in (None, session.workspace_hash):
            return False
        if filtering.text is not None:
            agents = connection.execute(search_queries.AGENTS_IN_SESSION, (session.key,))
            session.summary["instances"] = [{"agentName": name} for (name,) in agents]
        return filtering.matches(session.summary)

    return wanted


def count_long_texts(
    connection: sqlite3.Connection, filters: SessionFilters, *, workspace_hash: str | None, elsewhere: Collection[str]
) -> int:
    """Return how many texts of the sessions that are searched are not in the index to their end."""
    marked = connection.execute(search_queries.WORD_HITS, (f'"{CUT}"', *_EVERY, -1, 0))
    texts = Counter(
        key
        for kind, _, own in _by_kind([row_id for (row_id,) in marked])
        for (key,) in connection.execute(search_queries.SESSIONS_OF_LONG_TEXTS[kind], (own, LONGEST))
    )
    if not texts:
        return 0
    wanted = _chooser(connection, Filtering(filters), workspace_hash, elsewhere)
    sessions = read_sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(list(texts)))
    return sum(texts[session.key] for session in sessions if wanted(session))


def _ranked(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return sorted(candidates, key=lambda one: one.rank, reverse=True)


def _find_in_blocks(
    index: _TextIndex, sessions: Iterator[StoredSession], wished: int | None
) -> Iterator[list[_Candidate]]:
    """Yield those that may match of each block of sessions, in the given order.

    :param wished: how many are enough; None for all
    """
    hits, found, is_first = None, 0, True
    while block := list(islice(sessions, BLOCK)):
        asked = zip(block, index.find_in_sessions(block, hits), strict=True)
        candidates = [_Candidate(session, own) for session, own in asked if own.row_ids]
        yield candidates
        found += len(candidates)
        if is_first and (wished is None or found < wished):
            hits = index.find_all(_LIST_ALL_UP_TO)
        is_first = False


def _batches(candidates: Iterable[_Candidate], most: int) -> Iterator[list[_Candidate]]:
    """Yield at most so many candidates at a time, whose texts are few."""
    batch, texts = list[_Candidate](), 0
    for candidate in candidates:
        batch.append(candidate)
        texts += len(candidate.to_read)
        if len(batch) == most or texts >= _TOGETHER:
            yield batch
            batch, texts = [], 0
    yield batch


def _read_candidates(index: _TextIndex, matcher: Matcher, candidates: Sequence[_Candidate]) -> Iterator[FoundSession]:
    """Read the texts of candidates; yield those sessions of which a text matches, with their excerpts."""
    wanted = [row_id for candidate in candidates for row_id in candidate.to_read]
    read = {row_id: found for row_id, *found in index.texts(sorted(wanted))}
    for candidate in candidates:
        session, hits = candidate
        texts = [read[row_id] for row_id in candidate.to_read if row_id in read]
        excerpts = matcher.excerpts([text for *_, text in texts], most=MOST_EXCERPTS, sure=hits.exact)
        shown = [
            FoundText(kind, place, *excerpt)
            for (kind, place, _), excerpt in zip(texts, excerpts, strict=True)
            if excerpt is not None
        ]
        if shown:
            summary = {name: session.summary[name] for name in SUMMARY_MEMBERS}
            count = len(hits.row_ids) if hits.exact else len(shown)
            yield FoundSession(session.workspace, summary, count, tuple(shown[:MOST_EXCERPTS]))
