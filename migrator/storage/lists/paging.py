"""Pages of a list of sessions, and the cursors that say where a page begins.

A cursor names a place between two sessions. It stays valid while others create, change and delete sessions: the page
after it has every session that was there, and none that came before it.

The SQLite store's cursor is the position of the session before it. A JSON file has no positions that last: there, a
cursor has marks of the sessions around the place, which is found again as long as one of them is left.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from migrator.documents.document import WorktreeSession
from migrator.documents.validation import abbreviated
from migrator.errors import ValidationError
from migrator.storage.filtering import Filtering
from migrator.storage.lists.summaries import ordinals_of
from migrator.storage.protocol import SessionFilters

_AROUND = 16  # sessions on each side that a cursor of a JSON file has marks of
_ID_WIDTH, _MARK_WIDTH = 8, 9  # characters
_LARGEST = (1 << 63) - 1
_ROW_CURSOR = re.compile(r"s([0-9a-f]{8})\.(-?[0-9]{1,19})?\.(-?[0-9]{1,19})")
_FILE_CURSOR = re.compile(r"j([0-9a-f]{8})\.([0-9]{1,19})\.((?:[0-9a-f]{9})*)\.((?:[0-9a-f]{9})*)")
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
                f"The filter {name} cannot be {abbreviated(value)} here: {what} use the file order alone.",
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

        What is left of the sessions around it comes in its old order, after older sessions, and without others in
        between: a new session, or one that was deleted and created again, comes after all.

        :raises ValidationError: it is not a cursor for this workspace, or none of the sessions around it is left
        """
        if after is None:
            return 0
        found = _FILE_CURSOR.fullmatch(after)
        if found is None or found[1] != self._hash:
            raise _unknown(after)
        before, around = _split(found[3]), _split(found[3] + found[4])
        older = int(found[2]) - len(before)
        place = next((place for place, mark in enumerate(self._marks) if mark in around), None)
        if place is None or place > older:
            if older and self._marks:
                raise ValidationError(
                    "The argument after cannot be used any more: all sessions around that place were deleted.",
                    code="option.cursor_lost",
                    hint="List the sessions from the beginning.",
                )
            return 0
        rest = [mark[:_ID_WIDTH] for mark in before]
        for mark in self._marks[place:]:
            own = mark[:_ID_WIDTH]  # of several sessions with one id, the first may have been deleted
            if own not in rest:
                break
            del rest[: rest.index(own) + 1]
            place += 1
        return place


def _marks(documents: Sequence[WorktreeSession]) -> list[str]:
    """Return a short text for each session: of its id, and a digit for its ordinal."""
    ids = [document["id"] for document in documents]
    return [
        f"{zlib.crc32(name.encode()):0{_ID_WIDTH}x}{min(ordinal, 15):x}"
        for name, ordinal in zip(ids, ordinals_of(ids), strict=True)
    ]


def _split(marks: str) -> list[str]:
    return [marks[at : at + _MARK_WIDTH] for at in range(0, len(marks), _MARK_WIDTH)]


def _unknown(after: str) -> ValidationError:
    return ValidationError(
        f"The argument after cannot be {abbreviated(after)}: it must be a cursor that this store returned for this "
        "workspace.",
        code="option.cursor_unknown",
        hint="List the sessions from the beginning.",
    )


def _refused(name: str, value: Any, expected: str) -> ValidationError:
    return ValidationError(
        f"The argument {name} cannot be {abbreviated(value)}: it must be {expected}.", code="option.invalid"
    )
