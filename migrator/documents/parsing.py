"""Parses the elements of a source file: from bytes to a session, or to the reasons why they are not one."""

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
from migrator.files.reading import opened


class Reading(NamedTuple):
    """A JSON value that was read without loss.

    :ivar value: the value, with integers of any size; a fraction that is not exactly a double is a Decimal
    :ivar canonical: its canonical form, if known from reading it (the bytes are exactly what the app writes)
    """

    value: Any
    canonical: bytes | None

    def canonical_bytes(self) -> bytes:
        """Return the canonical form of the session that was read."""
        return self.canonical or canonical_bytes(self.value)

    def digest(self) -> bytes:
        """Return the digest of the session that was read."""
        return digest(self.canonical_bytes())


class Rejected(NamedTuple):
    """An element that is not a valid session: its bytes and every problem."""

    reason: str
    raw: bytes
    problems: list[Problem]


def parse_element(raw: bytes, value: Any = None, *, max_depth: int = MAX_DEPTH) -> Reading:
    """Parse JSON without loss.

    orjson silently drops the first of two members with the same name and turns integers of more than 64 bits into
    doubles. A value that is written back as the same bytes lost nothing; any other is parsed again by the exact parser.

    :param value: the value that orjson parsed, if known
    :raises Unreadable: not JSON, a repeated member, a lone surrogate, or nesting deeper than ``max_depth``
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
            pass  # nested too deeply for the writer; the exact parser reports it properly
    return Reading(parse_exactly(raw, max_depth=max_depth), canonical=None)


def parse_session(raw: bytes, value: Any = None) -> Reading | Rejected:
    """Parse an element as a session, or say why it is not one.

    :param value: the value that orjson parsed, if known
    """
    try:
        reading = parse_element(raw, value)
    except Unreadable as error:
        return Rejected("unreadable", raw, [Problem(error.pointer, error.reason, "", error.code)])
    if is_valid(reading.value):
        return reading
    return Rejected("invalid", raw, problems(reading.value))


def parse_trusted(raw: bytes) -> tuple[Any, bool]:
    """Parse an element with orjson alone, and say whether the value is a valid session.

    orjson may have lost something: the caller must read the session back and compare it with these bytes.
    """
    value = parse_fast(raw)
    return value, fits_schema(value) and not nested_deeper(value, MAX_DEPTH)


def valid_session(element: Element) -> Reading | None:
    """Parse an element as a session; returns None, without a reason, if it is not one."""
    try:
        reading = parse_element(element.raw, element.value)
    except Unreadable:
        return None
    return reading if is_valid(reading.value) else None


def parse_file(path: Path) -> Iterator[tuple[Element, Reading | None]]:
    """Yield each element of a file with its session, if it is one; the rest of a truncated file is the last element."""
    with os_errors("read", path), opened(path) as file:
        try:
            for element in read_array(file):
                yield element, valid_session(element)
        except TornFileError as torn:
            yield torn_tail(file, torn), None


def text_or_bytes(raw: bytes) -> str | bytes:
    """Decode UTF-8, so that people can read the text in the database; anything else stays bytes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
