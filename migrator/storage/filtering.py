"""Applies SessionFilters to documents, in the same way for every store."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from migrator.errors import ValidationError
from migrator.storage.protocol import SessionFilters, required_instant, several
from migrator.storage.timestamps import instant

_Item = TypeVar("_Item")
Document = TypeVar("Document", bound=Mapping[str, Any])

_SORTED_BY = {"duration": "totalDuration", "filesChanged": "totalFilesChanged"}


_EVERYTHING = SessionFilters()


class Filtering:
    """SessionFilters, prepared to be applied to documents or summaries of documents.

    A document must have the members that the filters compare; ``instances`` is needed only with a text.

    :ivar is_empty: they select, sort and limit nothing
    :ivar statuses: the statuses that match, None for all
    :ivar types: the types that match, None for all
    :ivar text: the text to search for, case-folded, or None
    :raises ValidationError: the argument is something else
    """

    def __init__(self, filters: SessionFilters | None) -> None:
        filters = _EVERYTHING if filters is None else filters
        if not isinstance(filters, SessionFilters):
            raise ValidationError(
                f"The argument filters must be SessionFilters, not a {type(filters).__name__}.", code="option.type"
            )
        self.is_empty = filters == _EVERYTHING
        self.statuses = frozenset(several(filters.status)) or None
        self.types = frozenset(several(filters.session_type)) or None
        self.text = filters.text.casefold() if filters.text else None
        self._from = required_instant("created_from", filters.created_from)
        self._to = required_instant("created_to", filters.created_to)
        self._filters = filters

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Return whether the document matches every filter."""
        return (
            (self.statuses is None or document["status"] in self.statuses)
            and (self.types is None or document["type"] in self.types)
            and self._in_time(document)
            and (
                self.text is None
                or self.text in document["task"].casefold()
                or self.text in document["id"].casefold()
                or any(self.text in instance["agentName"].casefold() for instance in document["instances"])
            )
        )

    def _in_time(self, document: Mapping[str, Any]) -> bool:
        if self._from is None and self._to is None:
            return True
        created = instant(document["createdAt"])
        return (
            created is not None
            and (self._from is None or self._from <= created)
            and (self._to is None or created <= self._to)
        )

    def sort(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents, given in file order, sorted as the filters say."""
        filters = self._filters
        if filters.sort_by is None:
            return [*reversed(documents)] if filters.descending else [*documents]
        by = filters.sort_by
        keyed: list[tuple[Any, Document]] = [
            (document.get(_SORTED_BY[by]) if by in _SORTED_BY else instant(document[by]), document)
            for document in documents
        ]
        with_value = [pair for pair in keyed if pair[0] is not None]
        with_value.sort(key=lambda pair: pair[0], reverse=filters.descending)  # reverse keeps the order of ties
        in_order = [document for _, document in with_value]
        in_order += [document for value, document in keyed if value is None]
        return in_order

    def paginate(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents sorted, limited to the filters' offset and limit."""
        filters = self._filters
        end = None if filters.limit is None else filters.offset + filters.limit
        return self.sort(documents)[filters.offset : end]

    def apply(self, documents: Iterable[Document], most: int | None = None) -> list[Document]:
        """Return the documents that match, sorted and limited; in file order, no more are taken than needed.

        :param most: maximum number of documents, for filters without a limit
        """
        filters, matching = self._filters, filter(self.matches, documents)
        if filters.sort_by is not None or filters.descending:
            return self.paginate(list(matching))[:most]
        return first(matching, filters.limit if most is None else most, filters.offset)


def first(items: Iterable[_Item], count: int | None, begin: int = 0) -> list[_Item]:
    """Return at most ``count`` items (None for all) after ``begin`` others; no more are taken than needed."""
    end = None if count is None else min(begin + count, sys.maxsize)
    return list(islice(items, min(begin, sys.maxsize), end))
