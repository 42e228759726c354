"""Nothing is believed that was not read back: documents out of a database, compared with where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
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
from migrator.staging.connection import StagedConnection, open_staged, staged_errors

_ONE_VALUE = 128 << 20  # bytes of a document whose messages SQLite may put together: it has a limit of 1 GB


class ReadBack(NamedTuple):
    """What reading a source back, or a part of it, has shown.

    :ivar digests: the SHA-256 of each document's canonical form, one behind the other; theirs is the source's
    :ivar difference: where the database and the file first disagree, for a message; None where they don't
    """

    digests: bytes
    difference: str | None = None


class ElementRange(NamedTuple):
    """Some elements of a file, one behind the other.

    :ivar number: the first one's index in the file
    :ivar offset: its first byte
    :ivar sizes: of each one, in bytes
    :ivar whole: the file has no others
    """

    number: int
    offset: int
    sizes: Sequence[int]
    whole: bool

    def cut(self, size: int) -> Iterator[ElementRange]:
        """These elements in ranges of about so many bytes, or of one element where that is larger."""
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

    :ivar first: the position that the file's first element has in the database
    :ivar copy: the path of its copy
    :ivar sha256: of all that was copied, in hex
    :ivar within: which part, of an app-formatted one; None for a file as a whole
    """

    name: str
    source_id: int
    first: int
    copy: str
    sha256: str
    within: ElementRange | None

    @property
    def size(self) -> int:
        """Bytes; of a file as a whole, which was loaded with care, none: those are small, or few."""
        return sum(self.within.sizes) if self.within else 0


class StagingVerifier:
    """Compares what a staging database, which is finished, holds with the files that it came from."""

    def __init__(self, connection: StagedConnection, path: Path, on_progress: OnProgress) -> None:
        self._connection = connection
        self._path = path
        self._on_progress = on_progress

    def run(self, tasks: Sequence[CompareTask]) -> Iterator[ReadBack]:
        """What each of the tasks shows, in their order."""
        for several in _group_consecutive(tasks):
            if len(several) > 1:
                yield from self._verify_files(several)
                continue
            [task] = several
            with staged_errors("read sessions back", self._path):
                yield self._by_bytes(task, self._stored(task))

    def _stored(self, task: CompareTask) -> Iterator[CanonicalDocument]:
        if task.within is None:
            return map(whole, read_source(self._connection, task.source_id))
        begin = task.first + task.within.number
        bounds = (task.source_id, begin, begin + len(task.within.sizes))
        if max(task.within.sizes, default=0) > _ONE_VALUE:
            return map(whole, read_documents(self._connection, DOCUMENTS_OF_RANGE, *bounds))
        return canonical_range(self._connection, *bounds)

    def _verify_files(self, tasks: Sequence[CompareTask]) -> Iterator[ReadBack]:
        """Files of consecutive numbers: reading each by itself would cost tens of thousands of them too much."""
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
        """A small file, which need not be read where what is stored, put together, has its SHA-256."""
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
                found = "differs" if following else "is missing"
                return ReadBack(bytes(digests), f"the session at index {element.position} {found}")
            self._on_progress(task.name, len(element.raw), 1)
        if following is not None:
            return ReadBack(bytes(digests), f"a session too many, at position {following.stored.position}")
        return ReadBack(bytes(digests))

    def _same(self, task: CompareTask, found: CanonicalDocument, element: Element) -> bytes | None:
        """The canonical form of a document that is what the element is; None for one that is not."""
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
        """Whether the element is no session, and lies in quarantine as it is."""
        found = held.at(task.first + element.position)
        if found is None or found[0] != text_or_bytes(element.raw):
            return False
        return found[1] == "torn" or valid_session(element) is None


class _Quarantine:
    """What lies in quarantine of a source, asked for position by position: a file may hold nothing else, a million."""

    def __init__(self, connection: AnyConnection, source_id: int) -> None:
        self._connection = connection
        self._source_id = source_id
        self._rows: Iterator[tuple[int, str | bytes, str]] | None = None

    def at(self, position: int) -> tuple[str | bytes, str] | None:
        """The raw text and the reason of what stood at a position; None where nothing is."""
        if self._rows is None:
            self._rows = iter(self._connection.execute(queries.QUARANTINED_FROM, (self._source_id, position)))
        for found, raw, reason in self._rows:
            if found == position:
                return raw, reason
            if found > position:
                break
        row: tuple[str | bytes, str] | None = self._connection.execute(  # they stand in another order
            queries.QUARANTINED_AT, (self._source_id, position)
        ).fetchone()
        return row


def _group_consecutive(tasks: Sequence[CompareTask]) -> Iterator[list[CompareTask]]:
    """The tasks, those together that are files as the app writes them, whole, and of consecutive numbers."""
    together: list[CompareTask] = []
    following = 0
    for task in tasks:
        if together and not (_is_whole(together[-1]) and _is_whole(task) and task.source_id == following):
            yield together
            together = []
        together.append(task)
        following = task.source_id + 1
    if together:
        yield together


def _is_whole(task: CompareTask) -> bool:
    return task.within is not None and task.within.whole and task.size <= _ONE_VALUE


def _with_tail(file: BinaryIO) -> Iterator[Element]:
    """The elements of an array, and what is behind them where it is torn, as one more."""
    try:
        yield from read_array(file)
    except TornFileError as torn:
        yield torn_tail(file, torn)


@dataclass(frozen=True)
class CompareJob:
    """What is to be read back from a staging database that is finished, by whichever process."""

    staging: Path
    tasks: Sequence[CompareTask]

    def run(self, on_progress: OnProgress) -> list[ReadBack]:
        """What each task has shown."""
        with closing(open_staged(self.staging)) as connection:
            return [*StagingVerifier(connection, self.staging, on_progress).run(self.tasks)]
