"""What SessionFilters mean: one implementation, which both stores apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from migrator.storage.protocol import SessionFilters, several
from migrator.storage.timestamps import Instant, instant, instant_of

Document = TypeVar("Document", bound=Mapping[str, Any])

_SORTED_BY = {"duration": "totalDuration", "filesChanged": "totalFilesChanged"}


class Filtering:
    """Filters, ready to be applied to documents or to summaries of them.

    A document has to have the members that the filters look at; ``instances`` matters only where there is a text.

    :ivar statuses: the statuses to let through, None for all
    :ivar types: likewise the types
    :ivar text: what to look for, case folded; None without a text
    """

    def __init__(self, filters: SessionFilters | None) -> None:
        filters = filters or SessionFilters()
        self.statuses = frozenset(several(filters.status)) or None
        self.types = frozenset(several(filters.session_type)) or None
        self.text = filters.text.casefold() if filters.text else None
        self._from = _bound(filters.created_from)
        self._to = _bound(filters.created_to)
        self._filters = filters

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether the document is let through."""
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
        """The documents, given in file order, sorted as the filters say."""
        filters = self._filters
        if filters.sort_by is None:
            return [*reversed(documents)] if filters.descending else [*documents]
        by = filters.sort_by
        keyed: list[tuple[Any, Document]] = [
            (document.get(_SORTED_BY[by]) if by in _SORTED_BY else instant(document[by]), document)
            for document in documents
        ]
        having = [pair for pair in keyed if pair[0] is not None]
        having.sort(key=lambda pair: pair[0], reverse=filters.descending)  # reverse keeps ties in their order
        arranged = [document for _, document in having]
        arranged += [document for value, document in keyed if value is None]
        return arranged

    def arrange(self, documents: Sequence[Document]) -> list[Document]:
        """The documents sorted, and cut as the filters say."""
        filters = self._filters
        end = None if filters.limit is None else filters.offset + filters.limit
        return self.sort(documents)[filters.offset : end]

    def apply(self, documents: Sequence[Document]) -> list[Document]:
        """The documents that match, arranged."""
        return self.arrange([document for document in documents if self.matches(document)])


def _bound(value: str | datetime | None) -> Instant | None:
    return instant_of(value) if isinstance(value, datetime) else instant(value) if value is not None else None
