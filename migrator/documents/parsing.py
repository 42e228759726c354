"""What a source file holds: from bytes to a session, or to the reasons why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from migrator.documents.app_format import Element
from migrator.documents.array_reader import read_array, torn_tail
from migrator.documents.document import canonical_bytes, digest, is_normal, pretty_element
from migrator.documents.exact_json import MAX_DEPTH, Unreadable, nested_deeper, parse_exactly, parse_fast
from migrator.documents.validation import fits_schema, is_valid, problems
from migrator.errors import Problem, TornFileError
from migrator.files.os_errors import os_errors


class Reading(NamedTuple):
    """A JSON value read without loss.

    :ivar value: the value; integers of any size; a fraction that no double holds is a Decimal
    :ivar canonical: its canonical form, where reading it has shown that already (the app wrote it, and nothing else)
    """

    value: Any
    canonical: bytes | None

    def canonical_bytes(self) -> bytes:
        """The canonical form of the session that was read."""
        return self.canonical or canonical_bytes(self.value)

    def digest(self) -> bytes:
        """The digest of the session that was read."""
        return digest(self.canonical_bytes())


class Rejected(NamedTuple):
    """An element that is no valid session: its bytes and every reason."""

    reason: str
    raw: bytes
    problems: list[Problem]


def parse_element(raw: bytes, value: Any = None, *, max_depth: int = MAX_DEPTH) -> Reading:
    """Parse JSON and lose nothing.

    orjson drops the first of two members of one name and turns integers past 64 bits into doubles, without a word. A
    value that writes back to the very same bytes lost nothing; any other is read again by the exact parser.

    :param value: what orjson reads in the bytes, where that is known
    :raises Unreadable: no JSON, members repeated, lone surrogates, nested deeper than ``max_depth``
    """
    if value is None:
        value = parse_fast(raw)
    if value is not None:
        try:
            if pretty_element(value) == raw:
                if is_normal(value):
                    return Reading(value, canonical=raw)
                if not nested_deeper(value, max_depth):
                    return Reading(value, canonical=None)
            elif orjson.dumps(value) == raw and not nested_deeper(value, max_depth):
                return Reading(value, canonical=None)
        except (TypeError, RecursionError):
            pass  # nested too deep for the writer: the exact parser says so properly
    return Reading(parse_exactly(raw, max_depth=max_depth), canonical=None)


def parse_session(raw: bytes, value: Any = None) -> Reading | Rejected:
    """The session that an element holds, or why it holds none.

    :param value: what orjson reads in the bytes, where that is known
    """
    try:
        reading = parse_element(raw, value)
    except Unreadable as error:
        return Rejected("unreadable", raw, [Problem(error.pointer, error.reason, "valid JSON")])
    if is_valid(reading.value):
        return reading
    return Rejected("invalid", raw, problems(reading.value))


def parse_trusted(raw: bytes) -> tuple[Any, bool]:
    """What orjson reads in an element, and whether that is a valid session; what orjson lost, if anything, is lost.

    The caller has to read the session back and to compare it with these bytes.
    """
    value = parse_fast(raw)
    return value, fits_schema(value) and not nested_deeper(value, MAX_DEPTH)


def valid_session(element: Element) -> Reading | None:
    """The session that an element holds, or None, with no word about why."""
    try:
        reading = parse_element(element.raw, element.value)
    except Unreadable:
        return None
    return reading if is_valid(reading.value) else None


def parse_file(path: Path) -> Iterator[tuple[Element, Reading | None]]:
    """Each element of a file, with the session that it holds if any; the end of a torn file comes as one more."""
    with os_errors("read", path), open(path, "rb", buffering=0) as file:
        try:
            for element in read_array(file):
                yield element, valid_session(element)
        except TornFileError as torn:
            yield torn_tail(file, torn), None


def text_or_bytes(raw: bytes) -> str | bytes:
    """The text if it is UTF-8, so that people can read it in the database; the bytes otherwise."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
