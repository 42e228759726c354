"""Pages of a list of sessions, and the cursors that say where a page begins.

A cursor names a place between two sessions. It stays valid while others create, change and delete sessions: the page
after it has every session that was there, and none that came before it.

The SQLite store's cursor is the position of the session before it. A JSON file has no positions that last: there, a
cursor has marks of the sessions around the place, which is found again as long as one of them is left.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from migrator.documents.document import WorktreeSession
from migrator.documents.validation import abbreviated
from migrator.errors import ValidationError
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters

_AROUND = 16  # sessions on each side that a cursor of a JSON file has marks of
_MARK_SIZE = 4  # bytes
_LARGEST = (1 << 63) - 1
_ROW_CURSOR = re.compile(r"s([0-9a-f]{8})\.(-?[0-9]{1,19})?\.(-?[0-9]{1,19})")
_FILE_CURSOR = re.compile(r"j([0-9a-f]{8})\.([0-9]{1,19})\.((?:[0-9a-f]{8})*)\.((?:[0-9a-f]{8})*)")
_SORTING = ("sort_by", "descending", "limit", "offset")
_UNSORTED = SessionFilters()


class RowPlace(NamedTuple):
    """A place in the order of the table: after the session with this position (None comes last) and rowid."""

    position: int | None
    row_id: int


def page_filtering(filters: Any, after: Any, limit: Any) -> Filtering:
    """Return the filters of a page, after checking that its arguments make sense together.

    :raises ValidationError: they do not
    """
    filtering = Filtering(filters)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise _refused("limit", limit, "an integer of 1 or more")
    if after is not None and not isinstance(after, str):
        raise _refused("after", after, "the cursor of a session in a list")
    if after is not None or limit is not None:
        require_file_order(filters, "pages (after, limit)")
    return filtering


def iterated_filtering(filters: Any) -> Filtering:
    """Return filters for sessions that are read one by one.

    :raises ValidationError: they make no sense there
    """
    filtering = Filtering(filters)
    require_file_order(filters, "sessions one by one")
    return filtering


def require_file_order(filters: SessionFilters | None, what: str) -> None:
    """Check that filters only select sessions, and do not sort or count them.

    :raises ValidationError: they do
    """
    for name in _SORTING:
        value = getattr(filters, name, None)
        if filters is not None and value != getattr(_UNSORTED, name):
            raise ValidationError(
                f"The filter {name} cannot be {value!r} here: {what} use the file order alone.",
                code="option.invalid",
            )


def row_cursors(workspace_hash: str) -> str:
    """Return the beginning of every cursor in the database; after it come the session's position and rowid."""
    return f"s{workspace_hash[:8]}."


def row_place(workspace_hash: str, after: str | None) -> RowPlace | None:
    """Return the place that a cursor names in the database; None for the beginning.

    :raises ValidationError: it is not a cursor for this workspace
    """
    if after is None:
        return None
    found = _ROW_CURSOR.fullmatch(after)
    numbers = [] if found is None else [int(number) for number in found.groups()[1:] if number]
    if found is None or found[1] != workspace_hash[:8] or any(abs(number) > _LARGEST for number in numbers):
        raise _unknown(after)
    return RowPlace(numbers[0] if len(numbers) == 2 else None, numbers[-1])


class FilePlaces:
    """The places between the sessions of a JSON file."""

    def __init__(self, workspace_hash: str, documents: Sequence[WorktreeSession]) -> None:
        self._hash = workspace_hash[:8]
        self._marks = _marks(documents)

    def cursor(self, count: int) -> str:
        """Return the cursor after this many sessions."""
        before = "".join(self._marks[max(0, count - _AROUND) : count])
        return f"j{self._hash}.{count}.{before}.{''.join(self._marks[count : count + _AROUND])}"

    def find(self, after: str | None) -> int:
        """Return how many sessions are before the place that a cursor names; 0 without one.

        The place is where most of the marked sessions are on the side that they were on.

        :raises ValidationError: it is not a cursor for this workspace, or none of the sessions around it is left
        """
        if after is None:
            return 0
        found = _FILE_CURSOR.fullmatch(after)
        if found is None or found[1] != self._hash:
            raise _unknown(after)
        count, before, following = int(found[2]), _split(found[3]), _split(found[4])
        left = [0, *accumulate(mark in before for mark in self._marks)]
        right = [0, *accumulate(mark in following for mark in reversed(self._marks))][::-1]
        agreeing = [ours + theirs for ours, theirs in zip(left, right, strict=True)]
        best = max(agreeing)
        places = [place for place, number in enumerate(agreeing) if number == best]
        if left[places[0]] or count <= len(before):
            return places[0]  # what is new there comes after the place
        if best == 0 and self._marks:
            raise ValidationError(
                "The argument after cannot be used any more: all sessions around that place were deleted.",
                code="option.cursor_lost",
                hint="List the sessions from the beginning.",
            )
        return places[-1]  # older sessions come before the place


def _marks(documents: Sequence[WorktreeSession]) -> list[str]:
    """Return a short text for each session, which tells those of one id apart."""
    seen: Counter[tuple[str, str]] = Counter()
    marks = []
    for document in documents:
        own = document["id"], document["createdAt"]
        marks.append(f"{zlib.crc32(chr(0).join((*own, str(seen[own]))).encode()):08x}")
        seen[own] += 1
    return marks


def _split(marks: str) -> frozenset[str]:
    width = 2 * _MARK_SIZE
    return frozenset(marks[at : at + width] for at in range(0, len(marks), width))


def _unknown(after: str) -> ValidationError:
    return ValidationError(
        f"The argument after cannot be {abbreviated(after)}: it must be a cursor that this store returned for this "
        "workspace.",
        code="option.cursor_unknown",
        hint="List the sessions from the beginning.",
    )


def _refused(name: str, value: Any, expected: str) -> ValidationError:
    return ValidationError(f"The argument {name} cannot be {value!r}: it must be {expected}.", code="option.invalid")
