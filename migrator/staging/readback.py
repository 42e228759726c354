"""Reads sessions back from the staging database, and compares them with the files that they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from migrator.database.canonical import CanonicalDocument, canonical_files, canonical_range, read_whole, whole
from migrator.database.connection import AnyConnection
from migrator.database.documents import read_documents, read_source
from migrator.database.queries import DOCUMENTS_OF_RANGE
from migrator.documents import app_format
from migrator.documents.app_format import Element, array_of
from migrator.documents.array_reader import read_array, torn_tail
from migrator.documents.document import digest
from migrator.documents.parsing import text_or_bytes, valid_session
from migrator.errors import TornFileError
from migrator.files.os_errors import os_errors
from migrator.files.reading import SMALL, opened
from migrator.progress import OnProgress
from migrator.staging import queries
from migrator.staging.connections.interface import LoaderName, StagedConnection
from migrator.staging.connections.opening import open_staged, staged_errors

_LARGEST_VALUE = 128 << 20  # bytes; SQLite joins the messages of documents up to this size (its limit is 1 GB)


class ReadBack(NamedTuple):
    """The result of reading a source, or a part of it, back.

    :ivar digests: the concatenated SHA-256 of each document's canonical form; their SHA-256 is the source's digest
    :ivar difference: the first difference between database and file, for a message; None if there is none
    """

    digests: bytes
    difference: str | None = None


class ElementRange(NamedTuple):
    """Consecutive elements of a file.

    :ivar number: the index of the first one in the file
    :ivar offset: the offset of its first byte
    :ivar sizes: the size of each one in bytes
    :ivar whole: the file has no other elements
    """

    number: int
    offset: int
    sizes: Sequence[int]
    whole: bool

    def cut(self, size: int) -> Iterator[ElementRange]:
        """Cut the range into ranges of about ``size`` bytes; a larger element is a range of its own."""
        number, offset = self.number, self.offset
        begin = taken = 0
        for end, one in enumerate(self.sizes, 1):
            taken += one
            if taken >= size or end == len(self.sizes):
                sizes = self.sizes[begin:end]
                yield ElementRange(number, offset, sizes, whole=self.whole and len(sizes) == len(self.sizes))
                number += len(sizes)
                offset += taken + len(sizes) * app_format.SEPARATOR_SIZE
                begin, taken = end, 0


class CompareTask(NamedTuple):
    """A source to read back, or a part of it.

    :ivar first: the position in the database of the file's first element
    :ivar copy: the path of its backup copy
    :ivar sha256: the SHA-256 of the original, in hex
    :ivar within: the part of an app-formatted file; None for a whole file that was loaded carefully
    """

    name: str
    source_id: int
    first: int
    copy: str
    sha256: str
    within: ElementRange | None

    @property
    def size(self) -> int:
        """The size in bytes; 0 for a file that was loaded carefully: those are small or few."""
        return sum(self.within.sizes) if self.within else 0


class StagingVerifier:
    """Compares a finished staging database with the files that were loaded into it."""

    def __init__(self, connection: StagedConnection, path: Path, on_progress: OnProgress) -> None:
        self._connection = connection
        self._path = path
        self._on_progress = on_progress

    def run(self, tasks: Sequence[CompareTask]) -> Iterator[ReadBack]:
        """Yield the result of each task, in order."""
        for group in _group_consecutive(tasks):
            if len(group) > 1:
                yield from self._verify_files(group)
                continue
            [task] = group
            with staged_errors("read sessions back", self._path):
                yield self._by_bytes(task, self._stored(task))

    def _stored(self, task: CompareTask) -> Iterator[CanonicalDocument]:
        if task.within is None:
            return map(whole, read_source(self._connection, task.source_id))
        begin = task.first + task.within.number
        bounds = (task.source_id, begin, begin + len(task.within.sizes))
        if max(task.within.sizes, default=0) > _LARGEST_VALUE:
            return map(whole, read_documents(self._connection, DOCUMENTS_OF_RANGE, *bounds))
        return canonical_range(self._connection, *bounds)

    def _verify_files(self, tasks: Sequence[CompareTask]) -> Iterator[ReadBack]:
        """Verify files with consecutive ids by one query: a query for each of tens of thousands would be slow."""
        everything = canonical_files(self._connection, tasks[0].source_id, tasks[-1].source_id)
        sources = groupby(everything, attrgetter("stored.source_id"))
        source = None
        for task in tasks:
            with staged_errors("read sessions back", self._path):
                source = source or next(sources, None)
                stored: Iterator[CanonicalDocument] = iter(())
                if source is not None and source[0] == task.source_id:
                    stored, source = source[1], None
                yield self._by_sha256(task, stored) if task.size <= SMALL else self._by_bytes(task, stored)

    def _by_bytes(self, task: CompareTask, stored: Iterator[CanonicalDocument]) -> ReadBack:
        with os_errors("read", task.copy), opened(task.copy) as file:
            elements = app_format.split_again(file, *task.within[:3]) if task.within else _with_tail(file)
            return self._compare(task, elements, stored)

    def _by_sha256(self, task: CompareTask, stored: Iterator[CanonicalDocument]) -> ReadBack:
        """Verify a small file, which need not be read if the stored sessions, written as a file, have its SHA-256."""
        documents = [*stored]
        texts = [document.text for document in documents]
        positions = [document.stored.position for document in documents]
        sha256 = hashlib.sha256(b"".join(array_of(texts))).hexdigest()
        if sha256 != task.sha256 or positions != [*range(task.first, task.first + len(texts))]:
            return self._by_bytes(task, iter(documents))
        for text in texts:
            self._on_progress(task.name, len(text), 1)
        return ReadBack(b"".join(map(digest, texts)))

    def _compare(self, task: CompareTask, elements: Iterable[Element], stored: Iterator[CanonicalDocument]) -> ReadBack:
        digests = bytearray()
        held = _Quarantine(self._connection, task.source_id)
        following = next(stored, None)
        for element in elements:
            text = None if following is None else self._same(task, following, element)
            if text is not None:
                digests += digest(text)
                following = next(stored, None)
            elif not self._is_quarantined(task, element, held):
                found = "differs" if following else "is missing from the database"
                return ReadBack(bytes(digests), f"the session at index {element.position} {found}")
            self._on_progress(task.name, len(element.raw), 1)
        if following is not None:
            extra = f"the database has an extra session at position {following.stored.position}"
            return ReadBack(bytes(digests), extra)
        return ReadBack(bytes(digests))

    def _same(self, task: CompareTask, found: CanonicalDocument, element: Element) -> bytes | None:
        """Return the canonical form of a stored document if it equals the element, else None."""
        if found.stored.position != task.first + element.position:
            return None
        if found.text != element.raw and not found.whole:
            found = read_whole(self._connection, found)
        if found.text != element.raw:
            session = valid_session(element)
            if session is None or session.canonical_bytes() != found.text:
                return None
        return found.text

    @staticmethod
    def _is_quarantined(task: CompareTask, element: Element, held: _Quarantine) -> bool:
        """Whether the element is not a session and was quarantined unchanged."""
        found = held.at(task.first + element.position)
        if found is None or found[0] != text_or_bytes(element.raw):
            return False
        return found[1] == "torn" or valid_session(element) is None


class _Quarantine:
    """The quarantined elements of a source, read in order of position: a file may have a million of them."""

    def __init__(self, connection: AnyConnection, source_id: int) -> None:
        self._connection = connection
        self._source_id = source_id
        self._rows: Iterator[tuple[int, str | bytes, str]] | None = None

    def at(self, position: int) -> tuple[str | bytes, str] | None:
        """Return the raw text and the reason of the element at a position, or None."""
        if self._rows is None:
            self._rows = iter(self._connection.execute(queries.QUARANTINED_FROM, (self._source_id, position)))
        for found, raw, reason in self._rows:
            if found == position:
                return raw, reason
            if found > position:
                break
        row: tuple[str | bytes, str] | None = self._connection.execute(  # the rows are in another order
            queries.QUARANTINED_AT, (self._source_id, position)
        ).fetchone()
        return row


def _group_consecutive(tasks: Sequence[CompareTask]) -> Iterator[list[CompareTask]]:
    """Group the tasks: whole app-formatted files with consecutive ids are one group, any other task is its own."""
    group: list[CompareTask] = []
    following = 0
    for task in tasks:
        if group and not (_is_whole(group[-1]) and _is_whole(task) and task.source_id == following):
            yield group
            group = []
        group.append(task)
        following = task.source_id + 1
    if group:
        yield group


def _is_whole(task: CompareTask) -> bool:
    return task.within is not None and task.within.whole and task.size <= _LARGEST_VALUE


def _with_tail(file: BinaryIO) -> Iterator[Element]:
    """Yield the elements of an array; if it is truncated, the rest of the file is the last element."""
    try:
        yield from read_array(file)
    except TornFileError as torn:
        yield torn_tail(file, torn)


class CompareJob(NamedTuple):
    """The job of reading part of a finished staging database back, in either process."""

    staging: Path
    loader: LoaderName
    tasks: Sequence[CompareTask]

    def run(self, on_progress: OnProgress) -> list[ReadBack]:
        """Return the result of each task."""
        with closing(open_staged(self.staging, self.loader)) as connection:
            return [*StagingVerifier(connection, self.staging, on_progress).run(self.tasks)]
