"""What a source file holds: sessions, and what is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from migrator.documents.array_reader import Element, read_array
from migrator.documents.document import Reading, WorktreeSession, canonical, read_element
from migrator.documents.exact_json import Unreadable
from migrator.documents.validation import is_valid, problems
from migrator.errors import Problem, TornFileError
from migrator.files.os_errors import os_errors


class Rejected(NamedTuple):
    """An element that is no valid session: its bytes and every reason."""

    reason: str
    raw: bytes
    problems: list[Problem]


def parse_session(element: Element) -> Reading | Rejected:
    """The document that an element holds, or why it holds none."""
    try:
        reading = read_element(element.raw, element.value)
    except Unreadable as error:
        return Rejected("unreadable", element.raw, [Problem(error.pointer, error.reason, "valid JSON")])
    if is_valid(reading.value):
        return reading
    return Rejected("invalid", element.raw, problems(reading.value))


def valid_documents(path: Path) -> Iterator[tuple[int, WorktreeSession, bytes]]:
    """The valid sessions of a file with their index and canonical form, as far as the file is whole."""
    with os_errors("read", path), open(path, "rb", buffering=0) as file, suppress(TornFileError):
        for element in read_array(file):
            parsed = parse_session(element)
            if isinstance(parsed, Reading):
                yield element.position, parsed.value, parsed.canonical or canonical(parsed.value)


def rejected_texts(path: Path) -> Iterator[str | bytes]:
    """What is no valid session in a file, a torn end included, as the quarantine would hold it."""
    with os_errors("read", path), open(path, "rb") as file:
        try:
            for element in read_array(file):
                if not is_session(element):
                    yield text_or_bytes(element.raw)
        except TornFileError as torn:
            file.seek(torn.offset)
            yield text_or_bytes(file.read())


def is_session(element: Element) -> bool:
    """Whether an element holds a valid session, with no word about why not."""
    try:
        return is_valid(read_element(element.raw, element.value).value)
    except Unreadable:
        return False


def text_or_bytes(raw: bytes) -> str | bytes:
    """The text if it is UTF-8, so that people can read it in the database; the bytes otherwise."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
