"""Asking the index for full-text search which texts may have what is looked for, and of which sessions they are."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from migrator.database.rows import session_summary
from migrator.search import queries as search_queries
from migrator.search.index import MESSAGES, OUTPUTS
from migrator.search.query import SearchQuery, Term, words_of

_LAST = "\U0010ffff"
_EVERY = (0, (1 << 63) - 1)
_BROAD = 20_000  # places
_GAP = 200  # rowids of others that are passed over rather than asking once more


class Hits(NamedTuple):
    """Rowids of the index.

    :ivar sure: texts that have what is looked for, as FTS5 says
    :ivar unsure: texts that may have it: reading them tells
    :ivar likely: that most of them do, too
    """

    sure: list[int]
    unsure: list[int]
    likely: bool = True

    @property
    def expected(self) -> list[int]:
        """Those that have it, as far as it can be told before any text is read."""
        return [*self.sure, *self.unsure] if self.likely else self.sure


class Listing(NamedTuple):
    """Hits, to look rowids up in."""

    sure: frozenset[int]
    unsure: frozenset[int]


class StoredSession(NamedTuple):
    """A session as a search shows it.

    :ivar key: the primary key of its row
    :ivar summary: as :func:`~migrator.database.rows.session_summary` has it
    """

    key: str
    row_id: int
    workspace: str
    workspace_hash: str
    summary: dict[str, Any]


class StoredText(NamedTuple):
    """A text that the index has.

    :ivar who: of a message its role, of an output its instance's number
    :ivar where: of a message its time, of an output its agent
    """

    id: int
    who: Any
    where: str
    text: str


class TextIndex:
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
        self._short = query.short_terms

    def _is_broad(self, term: Term) -> bool:
        """Whether words that begin so occur in very many places."""
        words = words_of(term.text)
        bound = (words[-1], words[-1] + _LAST, _BROAD)
        return bool(words) and bool(self._connection.execute(search_queries.IS_BROAD, bound).fetchone())

    def listed(self, most: int) -> Hits | None:
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
        if not ended:
            return None
        return self._hits(words, sorted(set.intersection(*ended)))

    def _hits(self, words: list[int], grams: list[int]) -> Hits:
        return Hits([], [*words, *grams]) if self._broad else Hits(words, grams)

    def in_sessions(self, sessions: Sequence[StoredSession], listed: Listing | None) -> Iterator[Hits]:
        """Of each of these sessions, the texts that may have what is looked for.

        :param listed: what :meth:`listed` found, as sets; None asks the index for these sessions alone, for those that
            stand close to each other together
        """
        texts = [self.texts_of(session) for session in sessions]
        if listed is not None:
            for own in texts:
                yield Hits([one for one in own if one in listed.sure], [one for one in own if one in listed.unsure])
            return
        row_ids = sorted(one for own in texts for one in own)
        words = frozenset(self._within(search_queries.WORD_HITS, self._words, row_ids))
        if self._grams is None or (self._spaced and self._words is None):
            # One of the two tables can't be asked.
            sure = frozenset[int]() if self._broad else words
            for own in texts:
                yield Hits([one for one in own if one in sure], [one for one in own if one not in sure], likely=False)
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

    def texts_of(self, session: StoredSession) -> list[int]:
        """The rowids of all texts of a session, in order."""
        messages = self._connection.execute(search_queries.MESSAGES_IN_SESSION, (session.key,))
        outputs = self._connection.execute(search_queries.OUTPUTS_IN_SESSION, (session.key,))
        return [session.row_id, *(MESSAGES + one for (one,) in messages), *(OUTPUTS + one for (one,) in outputs)]

    def by_session(self, hits: Hits) -> dict[str, Hits]:
        """The hits of each session, by the session's primary key."""
        found: defaultdict[str, Hits] = defaultdict(lambda: Hits([], []))
        for row_ids, is_sure in ((hits.sure, True), (hits.unsure, False)):
            for statement, base, own in _by_kind(
                row_ids,
                search_queries.SESSIONS_OF_TASKS,
                search_queries.SESSIONS_OF_MESSAGES,
                search_queries.SESSIONS_OF_OUTPUTS,
            ):
                for row_id, key in self._connection.execute(statement, (json.dumps(own),)):
                    (found[key].sure if is_sure else found[key].unsure).append(base + row_id)
        return found

    def sessions(self, keys: Iterable[str]) -> Iterator[StoredSession]:
        """The sessions that have these primary keys."""
        return map(_stored, self._connection.execute(search_queries.INFO_OF_SESSIONS, (json.dumps(list(keys)),)))

    def newest(self, workspace_hash: str | None) -> Iterator[StoredSession]:
        """Every session, of one workspace or of all, the one changed last first."""
        if workspace_hash is None:
            return map(_stored, self._connection.execute(search_queries.NEWEST_SESSIONS))
        return map(_stored, self._connection.execute(search_queries.NEWEST_OF_WORKSPACE, (workspace_hash,)))

    def agents(self, session: StoredSession) -> list[dict[str, str]]:
        """What a filter on agents' names looks at."""
        rows = self._connection.execute(search_queries.AGENTS_IN_SESSION, (session.key,))
        return [{"agentName": name} for (name,) in rows]

    def texts(self, row_ids: Sequence[int]) -> list[StoredText]:
        """The texts themselves: tasks, then messages, then outputs."""
        found = []
        for statement, base, own in _by_kind(
            row_ids, search_queries.TASK_TEXTS, search_queries.MESSAGE_TEXTS, search_queries.OUTPUT_TEXTS
        ):
            for row_id, who, where, text in self._connection.execute(statement, (json.dumps(own),)):
                if text is not None:
                    found.append(StoredText(base + row_id, who, where, text))
        return found


def _by_kind(row_ids: Sequence[int], tasks: str, messages: str, outputs: str) -> Iterator[tuple[str, int, list[int]]]:
    """For each kind of text that is among them: its statement, its base, and the rowids in its table."""
    for statement, base, end in ((tasks, 0, MESSAGES), (messages, MESSAGES, OUTPUTS), (outputs, OUTPUTS, 1 << 63)):
        own = [row_id - base for row_id in row_ids if base <= row_id < end]
        if own:
            yield statement, base, own


def _stretches(row_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of the rowids that stand close to each other."""
    first = last = row_ids[0]
    for row_id in row_ids[1:]:
        if row_id - last > _GAP:
            yield first, last
            first = row_id
        last = row_id
    yield first, last


def _stored(row: tuple[Any, ...]) -> StoredSession:
    return StoredSession(row[0], row[-3], row[-2], row[-1], session_summary(row))
