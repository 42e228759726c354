"""Searches with the index, doing no more work than the requested number of results needs.

If few texts match, all of them are ranked. If thousands match, only the most recently updated sessions are ranked:
reading every place of a common word would take seconds.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from migrator.database.columns import SUMMARY_MEMBERS
from migrator.database.rows import session_summary
from migrator.search import queries as search_queries
from migrator.search.excerpts import Matcher
from migrator.search.index import MESSAGES, OUTPUTS, TASKS
from migrator.search.ordering import ordered_keys
from migrator.search.query import CUT, LONGEST, SearchQuery, Term, words_of
from migrator.search.results import MOST_EXCERPTS, FoundSession, FoundText, message_place, output_place, sort_by_filters
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters

RANK_ALL_UP_TO = 3_000  # texts
_LIST_ALL_UP_TO = 20_000  # texts: up to here, one question for all is cheaper than one for each session
_POOL = 50  # sessions that are ranked if more texts match; more if more are requested
_BATCH = 20  # sessions
# The range of rowids in the index, by kind of text: minus the first one, they are the rowids of its table.
_RANGES = {"task": (TASKS, MESSAGES), "message": (MESSAGES, OUTPUTS), "output": (OUTPUTS, 1 << 63)}
_PLACES: dict[str, Callable[[Any, str], str]] = {"message": message_place, "output": output_place}
_LAST = "\U0010ffff"
_EVERY = (0, (1 << 63) - 1)
_BROAD = 20_000  # places: a beginning with more of them is not looked up in the index
_MOST_GRAMS = 200  # of one beginning: those with more are not looked up
_GAP = 200  # rowids between two that are asked for together


class _Hits(NamedTuple):
    """Texts found in the index, as rowids.

    :ivar sure: texts that match according to FTS5
    :ivar unsure: texts that may match and have to be read
    :ivar likely: whether most of the unsure ones are expected to match
    """

    sure: list[int]
    unsure: list[int]
    likely: bool = True


class _StoredSession(NamedTuple):
    """The summary of a session, with the primary key of its row."""

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
        """The sort key, best last, as far as it is known before any text is read."""
        hits = self.hits
        expected = [*hits.sure, *hits.unsure] if hits.likely else hits.sure
        return min(expected, default=MESSAGES) < MESSAGES, len(expected), self.session.summary["updatedAt"]


class _TextIndex:
    """The index of one database, for one query.

    :param connection: has a snapshot of the database
    """

    def __init__(self, connection: sqlite3.Connection, query: SearchQuery) -> None:
        self._connection = connection
        connection.execute("PRAGMA query_only = OFF")  # it would also forbid temporary tables
        for statement in search_queries.CREATE_TERMS:
            connection.execute(statement)
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
        return bool(self._connection.execute(search_queries.IS_BROAD, bound).fetchone())

    def _grams_beginning_with(self, beginning: str) -> list[str] | None:
        """Return the grams that begin with one or two characters; None if there are very many."""
        bound = (beginning, beginning + _LAST, _MOST_GRAMS + 1)
        found = [gram for (gram,) in self._connection.execute(search_queries.GRAMS_IN_RANGE, bound)]
        return found if len(found) <= _MOST_GRAMS else None

    def find_all(self, most: int) -> _Hits | None:
        """Return every text that may match; None if there are more than ``most``."""
        answers = [self._list(statement, match, most) for statement, match in self._questions]
        complete = [answer for answer in answers if answer is not None]
        if not complete:
            return None
        found = sorted(set(complete[0]).intersection(*complete[1:]))
        return self._hits(found, exact=self._is_exact and len(complete) == len(answers))

    def _list(self, statement: str, match: str, most: int) -> list[int] | None:
        """Return all texts that match; None if there are more than ``most``."""
        found = self._ask(statement, match, _EVERY, RANK_ALL_UP_TO + 1)
        if len(found) <= RANK_ALL_UP_TO:
            return found
        if found[-1] >= MESSAGES:  # where these end says whether it is worth listing all
            [(last,)] = self._connection.execute(search_queries.LAST_MESSAGE)
            if len(found) * last > most * (found[-1] - MESSAGES):
                return None
        found = self._ask(statement, match, _EVERY, most + 1)
        return found if len(found) <= most else None

    def _hits(self, found: list[int], *, exact: bool) -> _Hits:
        return _Hits(found, []) if exact else _Hits([], found, likely=bool(self._questions))

    def find_in_sessions(
        self, sessions: Sequence[_StoredSession], found: frozenset[int] | None, *, exact: bool
    ) -> Iterator[_Hits]:
        """Yield, for each of these sessions, its texts that may match.

        :param found: the hits of :meth:`find_all`; None asks the index about these sessions only
        :param exact: whether those match for sure
        """
        texts = []
        for session in sessions:
            messages = self._connection.execute(search_queries.MESSAGES_IN_SESSION, (session.key,))
            outputs = self._connection.execute(search_queries.OUTPUTS_IN_SESSION, (session.key,))
            own = [session.row_id, *(MESSAGES + one for (one,) in messages), *(OUTPUTS + one for (one,) in outputs)]
            texts.append(own)
        if found is None:
            exact = self._is_exact
            row_ids = sorted(one for own in texts for one in own)
            found = frozenset(row_ids)
            for statement, match in self._questions:
                found &= frozenset(self._within(statement, match, row_ids))
        for own in texts:
            yield self._hits([one for one in own if one in found], exact=exact)

    def _within(self, statement: str, match: str, row_ids: Sequence[int]) -> list[int]:
        return [found for span in _spans(row_ids) for found in self._ask(statement, match, span, -1)]

    def _ask(self, statement: str, match: str, span: tuple[int, int], most: int) -> list[int]:
        return [row_id for (row_id,) in self._connection.execute(statement, (match, *span, most))]

    def by_session(self, hits: _Hits) -> dict[str, _Hits]:
        """Group hits by session, as a dictionary with the primary keys of the sessions."""
        found: defaultdict[str, _Hits] = defaultdict(lambda: _Hits([], []))
        for row_ids, is_sure in ((hits.sure, True), (hits.unsure, False)):
            for kind, base, own in _by_kind(row_ids):
                for row_id, key in self._connection.execute(search_queries.SESSIONS_OF_TEXTS[kind], (own,)):
                    (found[key].sure if is_sure else found[key].unsure).append(base + row_id)
        return found

    def texts(self, row_ids: Sequence[int]) -> Iterator[tuple[int, str, str, str]]:
        """Yield rowid, kind, place and text of each: tasks, then messages, then outputs."""
        for kind, base, own in _by_kind(row_ids):
            for row_id, who, where, text in self._connection.execute(search_queries.TEXTS[kind], (own,)):
                if text is not None:
                    place = _PLACES[kind](who, where) if kind in _PLACES else ""
                    yield base + row_id, kind, place, text


def _sessions(connection: sqlite3.Connection, statement: str, *parameters: str) -> Iterator[_StoredSession]:
    """Yield the sessions that a statement finds."""
    for row in connection.execute(statement, parameters):
        yield _StoredSession(row[0], row[-3], row[-2], row[-1], session_summary(row))


def _by_kind(row_ids: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """Yield each kind of text among these rowids, with its first rowid and the rowids in its table, as JSON."""
    for kind, (base, end) in _RANGES.items():
        own = [row_id - base for row_id in row_ids if base <= row_id < end]
        if own:
            yield kind, base, json.dumps(own)


def _spans(row_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last rowid of each group of rowids that are close to each other."""
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
    """Yield the sessions that match, in order; each is searched for only when it is requested.

    :param connection: has a snapshot of the database
    :param filters: which sessions, and their order; the caller applies limit and offset
    :param workspace_hash: search only this workspace; None searches all
    :param elsewhere: hashes of workspaces that are served from another store
    """
    index = _TextIndex(connection, query)
    filtering = Filtering(filters)
    wanted = _chooser(connection, filtering, workspace_hash, elsewhere)
    candidates: Iterable[_Candidate]
    hits = index.find_all(_LIST_ALL_UP_TO)
    if hits is not None and len(hits.sure) + len(hits.unsure) <= RANK_ALL_UP_TO:
        by_session = index.by_session(hits)
        found = _sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(list(by_session)))
        candidates = _ranked(_Candidate(session, by_session[session.key]) for session in filter(wanted, found))
        if filters.sort_by is not None:
            candidates = sort_by_filters(((one.session.summary, one) for one in candidates), filtering)
    elif filters.sort_by is None:
        newest = filter(wanted, _newest(connection, workspace_hash))
        candidates = _rank_first(_find_candidates(index, newest, hits), filters)
    else:
        candidates = _find_candidates(index, filter(wanted, _in_order(connection, filters, workspace_hash)), hits)
    with Matcher(query) as matcher:
        yield from filter(None, (_read_candidate(index, matcher, candidate) for candidate in candidates))


def _chooser(
    connection: sqlite3.Connection, filtering: Filtering, workspace_hash: str | None, elsewhere: Collection[str]
) -> Callable[[_StoredSession], bool]:
    def wanted(session: _StoredSession) -> bool:
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
    marked = connection.execute(search_queries.WORD_HITS, (f'"{CUT}"', *_EVERY, -1))
    texts = Counter(
        key
        for kind, _, own in _by_kind([row_id for (row_id,) in marked])
        for (key,) in connection.execute(search_queries.SESSIONS_OF_LONG_TEXTS[kind], (own, LONGEST))
    )
    if not texts:
        return 0
    wanted = _chooser(connection, Filtering(filters), workspace_hash, elsewhere)
    sessions = _sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(list(texts)))
    return sum(texts[session.key] for session in sessions if wanted(session))


def _newest(connection: sqlite3.Connection, workspace_hash: str | None) -> Iterator[_StoredSession]:
    if workspace_hash is None:
        return _sessions(connection, search_queries.NEWEST_SESSIONS)
    return _sessions(connection, search_queries.NEWEST_OF_WORKSPACE, workspace_hash)


def _in_order(
    connection: sqlite3.Connection, filters: SessionFilters, workspace_hash: str | None
) -> Iterator[_StoredSession]:
    """Yield the sessions in the order of ``sort_by``, each read only when it is requested."""
    keys = ordered_keys(connection, filters, workspace_hash)
    if keys is None:
        every = ((session.summary, session) for session in _newest(connection, workspace_hash))
        yield from sort_by_filters(every, Filtering(filters))
        return
    for at in range(0, len(keys), _BATCH):
        batch = keys[at : at + _BATCH]
        found = _sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(batch))
        by_key = {session.key: session for session in found}
        yield from (by_key[key] for key in batch)


def _ranked(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return sorted(candidates, key=lambda one: one.rank, reverse=True)


def _find_candidates(index: _TextIndex, sessions: Iterable[_StoredSession], hits: _Hits | None) -> Iterator[_Candidate]:
    """Yield the sessions that may match, in the given order, asking the index about a batch at a time."""
    found = None if hits is None else frozenset(hits.sure or hits.unsure)
    exact = hits is not None and not hits.unsure
    rest = iter(sessions)
    while batch := list(islice(rest, _BATCH)):
        for session, own in zip(batch, index.find_in_sessions(batch, found, exact=exact), strict=True):
            if own.sure or own.unsure:
                yield _Candidate(session, own)


def _rank_first(candidates: Iterator[_Candidate], filters: SessionFilters) -> Iterator[_Candidate]:
    """Rank the first candidates, more than are requested; then yield the others in their order."""
    pool = None if filters.limit is None else max(_POOL, 2 * (filters.offset + filters.limit))
    yield from _ranked(islice(candidates, pool))
    yield from candidates


def _read_candidate(index: _TextIndex, matcher: Matcher, candidate: _Candidate) -> FoundSession | None:
    """Read the texts of a candidate; return the session with its excerpts, or None if no text matches after all."""
    sure, unsure = sorted(candidate.hits.sure), sorted(candidate.hits.unsure)
    texts = list(index.texts([*sure[:MOST_EXCERPTS], *unsure]))
    excerpts = matcher.excerpts([text for *_, text in texts], most=MOST_EXCERPTS, sure=not unsure)
    matching = [
        (row_id, FoundText(kind, place, *excerpt))
        for (row_id, kind, place, _), excerpt in zip(texts, excerpts, strict=True)
        if excerpt is not None
    ]
    if not matching:
        return None
    matching.sort(key=lambda found: found[0])
    session = candidate.session
    summary = {name: session.summary[name] for name in SUMMARY_MEMBERS}
    shown = tuple(text for _, text in matching[:MOST_EXCERPTS])
    return FoundSession(session.workspace, summary, len(matching) + max(0, len(sure) - MOST_EXCERPTS), shown)
