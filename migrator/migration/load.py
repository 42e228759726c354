"""One source file into the staging database: bytes → documents → rows, the rest to quarantine."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from migrator.database.columns import QUARANTINE_COLUMNS
from migrator.database.rows import derived_key, to_rows
from migrator.document import Reading, SequenceDigest, WorktreeSession, canonical, read_element
from migrator.errors import Problem, SourceFileError, TornFileError, os_errors
from migrator.exact_json import Unreadable, to_json
from migrator.json_array import Element, read_array
from migrator.migration.discover import Source
from migrator.migration.staging import Staging
from migrator.validation import is_valid, problems
from migrator.workspace import hash_of_text, hashes_of, placeholder, workspace_of


class Rejected(NamedTuple):
    """An element that is no valid session: its bytes and every reason."""

    reason: str
    raw: bytes
    problems: list[Problem]


@dataclass
class Counts:
    """What one workspace got from one file."""

    path: str
    workspace_id: int
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0


@dataclass
class LoadedSource:
    """What became of one file in the staging database.

    :ivar counts: by workspace hash
    :ivar digest: of its valid documents in file order, as they were read from the file
    :ivar blank: the file holds nothing at all, not even an empty array
    :ivar error: why the whole file failed; then nothing of it is in the staging database
    :ivar examples: the first few quarantined elements, as messages
    """

    source: Source
    source_id: int = 0
    counts: dict[str, Counts] = field(default_factory=dict)
    digest: str = ""
    error: str | None = None
    salvaged: bool = False
    blank: bool = False
    examples: list[str] = field(default_factory=list)

    @property
    def sessions(self) -> int:
        return sum(counts.sessions for counts in self.counts.values())

    @property
    def quarantined(self) -> int:
        return sum(counts.quarantined for counts in self.counts.values())


_EXAMPLES = 20


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
                if not _is_session(element):
                    yield text_or_bytes(element.raw)
        except TornFileError as torn:
            file.seek(torn.offset)
            yield text_or_bytes(file.read())


def _is_session(element: Element) -> bool:
    try:
        return is_valid(read_element(element.raw, element.value).value)
    except Unreadable:
        return False


class Loader:
    """Loads source files one after the other.

    :param paths: workspace hash to workspace path, as far as known
    :param salvage: take what is whole of a torn file, and its torn end into quarantine
    """

    def __init__(self, staging: Staging, paths: dict[str, str], *, salvage: bool = False) -> None:
        self._staging = staging
        self._paths = paths
        self._salvage = salvage
        self._behind = 0  # every place taken so far

    def load(self, loaded: LoadedSource, copy: Path, advance: Callable[[int], None]) -> None:
        """Load the copy of a source file.

        ``loaded.source_id`` is the number that its row in the ledger will have.

        :param advance: called with the number of bytes that are done, after each element
        """
        self._staging.begin_source()
        try:
            self._load(loaded, copy, advance)
        except SourceFileError as error:
            if self._salvage and isinstance(error, TornFileError):
                self._keep_tail(loaded, copy, error)
                return
            self._staging.forget_source()
            loaded.counts.clear()
            loaded.examples.clear()
            loaded.digest = ""
            loaded.error = str(error)

    def _load(self, loaded: LoadedSource, copy: Path, advance: Callable[[int], None]) -> None:
        staging, digest = self._staging, SequenceDigest()
        # A workspace's own file comes first; what other files bring stands behind it.
        first = 0 if loaded.source.kind == "workspace" else self._behind
        if loaded.source.workspace_hash is not None:
            self._counts(loaded, loaded.source.workspace_hash)
        loaded.blank = _is_blank(copy)
        with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
            try:
                for element in read_array(file):
                    parsed = parse_session(element)
                    position = first + element.position
                    self._behind = max(self._behind, position + 1)
                    advance(element.offset + len(element.raw))
                    if isinstance(parsed, Rejected):
                        self._quarantine(loaded, parsed, element.position, position)
                        continue
                    document = parsed.value
                    digest.add(parsed.canonical or canonical(document))
                    workspace_hash, path = self._workspace(loaded.source, document)
                    counts = self._counts(loaded, workspace_hash, path)
                    spare_key = derived_key(document["id"], workspace_hash, element.position)
                    rows = to_rows(
                        document,
                        key=document["id"] or spare_key,
                        workspace_id=counts.workspace_id,
                        position=position,
                        source_id=loaded.source_id,
                    )
                    staging.add(rows, len(element.raw), spare_key)
                    counts.sessions += 1
                    counts.instances += len(rows.instances)
                    counts.messages += len(rows.messages)
            finally:
                loaded.digest = digest.hexdigest()

    def _counts(self, loaded: LoadedSource, workspace_hash: str, path: str | None = None) -> Counts:
        counts = loaded.counts.get(workspace_hash)
        if counts is None:
            path = path or self._paths.get(workspace_hash) or placeholder(workspace_hash)
            counts = loaded.counts[workspace_hash] = Counts(path, self._staging.workspace_id(workspace_hash, path))
        return counts

    def _workspace(self, source: Source, document: WorktreeSession) -> tuple[str, str | None]:
        """The workspace that a document belongs to: its file's, or what its worktrees show."""
        if source.workspace_hash is not None:
            return source.workspace_hash, None
        return workspace_shown(document, source.name, self._paths)

    def _quarantine(self, loaded: LoadedSource, rejected: Rejected, index: int, position: int) -> None:
        workspace_hash = loaded.source.workspace_hash
        if workspace_hash is None:
            unplaced = placeholder(loaded.source.name)
            workspace_hash = hash_of_text(unplaced)
            self._counts(loaded, workspace_hash, unplaced)
        loaded.counts[workspace_hash].quarantined += 1
        if len(loaded.examples) < _EXAMPLES:
            shown = "; ".join(map(str, rejected.problems[:3]))
            loaded.examples.append(f"{loaded.source.name}, session at index {index}: {shown}.")
        row = quarantine_row(loaded.source_id, workspace_hash, position, rejected)
        self._staging.quarantine(row, len(rejected.raw) + len(row[QUARANTINE_COLUMNS.index("problems")]))

    def _keep_tail(self, loaded: LoadedSource, copy: Path, torn: TornFileError) -> None:
        with os_errors("read", copy), open(copy, "rb") as file:
            file.seek(torn.offset)
            tail = file.read()
        loaded.salvaged = True
        problem = Problem("", torn.message, "the rest of the array")
        position = torn.whole if loaded.source.kind == "workspace" else self._behind
        self._behind = max(self._behind, position + 1)
        self._quarantine(loaded, Rejected("torn", tail, [problem]), torn.whole, position)


def _is_blank(copy: Path) -> bool:
    with os_errors("read", copy), open(copy, "rb") as file:
        return all(b"[" not in chunk for chunk in iter(lambda: file.read(1 << 20), b""))


def workspace_shown(document: WorktreeSession, source: str, paths: Container[str]) -> tuple[str, str]:
    """The hash and the path of the workspace that a session's worktrees show; else a stand-in for its file.

    :param paths: the hashes of the workspaces that are known
    """
    for instance in document["instances"]:
        path = workspace_of(instance["worktreePath"])
        if path:
            candidates = hashes_of(path)
            known = [(h, spelling) for h, spelling in candidates if h in paths]
            return (known or candidates)[0]
    unplaced = placeholder(source)
    return hash_of_text(unplaced), unplaced


def quarantine_row(
    source_id: int | None,
    workspace_hash: str | None,
    position: int,
    rejected: Rejected,
    base: bytes | None = None,
) -> tuple[Any, ...]:
    """A row in the order of QUARANTINE_COLUMNS."""
    return (
        source_id,
        workspace_hash,
        position,
        rejected.reason,
        text_or_bytes(rejected.raw),
        None if base is None else text_or_bytes(base),
        to_json([problem._asdict() for problem in rejected.problems]),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def text_or_bytes(raw: bytes) -> str | bytes:
    """The text if it is UTF-8, so that people can read it in the database; the bytes otherwise."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
