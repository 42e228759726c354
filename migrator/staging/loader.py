"""Loads one source file into the staging database: bytes → documents → rows; invalid sessions go to quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple

from msgspec.structs import astuple

from migrator.database.quarantine import quarantine_row
from migrator.database.rows import derived_key, key_of_id, to_rows
from migrator.documents import app_format
from migrator.documents.app_format import ByteRange, Element
from migrator.documents.array_reader import read_array, torn_tail
from migrator.documents.document import SESSION_MEMBERS
from migrator.documents.parsing import Reading, Rejected, parse_session, parse_trusted
from migrator.documents.structs import Session, decode_session
from migrator.errors import SourceFileError, TornFileError
from migrator.files.copying import damaged_copy, new_sha256
from migrator.files.os_errors import os_errors
from migrator.files.reading import opened, small
from migrator.progress import OnProgress
from migrator.staging.plain_messages import plain_instance_rows, plain_messages, plain_of_values
from migrator.staging.results import EXAMPLES, Counts, LoadedRange, LoadedSource
from migrator.staging.row_writer import RowWriter
from migrator.worker.limits import LIMITS, Limits
from migrator.workspace import placeholder, workspace_of_source, workspace_shown


class LoadTask(NamedTuple):
    """A source file to load, or a range of it; small, because tens of thousands may be sent to another process.

    :ivar workspace_path: a placeholder if it is not known
    :ivar workspace_id: the row id that its workspace will have
    :ivar copy: the path of its backup copy
    :ivar sha256: the expected SHA-256 of the whole copy, in hex
    :ivar within: the range to load; None for the whole file
    """

    name: str
    workspace_hash: str
    workspace_path: str
    workspace_id: int
    source_id: int
    copy: str
    sha256: str
    within: ByteRange | None


class Loader:
    """Loads source files one after another.

    :param rows: receives the rows
    :param workspace_id: given a workspace's hash and path, returns the row id that it will have
    :param paths: workspace hash to workspace path, as far as known
    :param salvage: load the complete sessions of a truncated file, and quarantine the rest
    :param on_progress: called after each element
    """

    def __init__(
        self,
        rows: RowWriter,
        workspace_id: Callable[[str, str], int],
        paths: dict[str, str],
        on_progress: OnProgress,
        limits: Limits = LIMITS,
        *,
        salvage: bool = False,
    ) -> None:
        self._rows = rows
        self._workspace_id = workspace_id
        self._paths = paths
        self._salvage = salvage
        self._on_progress = on_progress
        self._limits = limits

    def load_carefully(self, loaded: LoadedSource) -> None:
        """Load a source file's copy, whatever its format."""
        copy = loaded.copy
        self._rows.begin_source()
        if loaded.source.workspace_hash is not None:  # a file without sessions still makes its workspace known
            self._counts(loaded, loaded.source.workspace_hash)
        with os_errors("read", copy), open(copy, "rb") as file:
            loaded.blank = all(b"[" not in chunk for chunk in iter(lambda: file.read(1 << 20), b""))
        try:
            with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
                for element in read_array(file, search_limit=self._limits.search_limit):
                    self._take(loaded, parse_session(element.raw, element.value), element.position, len(element.raw))
                    self._on_progress(loaded.source.name, len(element.raw), 1)
        except SourceFileError as error:
            if self._salvage and isinstance(error, TornFileError):
                with os_errors("read", copy), open(copy, "rb") as file:
                    tail = torn_tail(file, error)
                loaded.salvaged = True
                self._quarantine(loaded, Rejected("torn", tail.raw, [error.as_problem()]), tail.position)
                return
            self._rows.forget_source()
            loaded.unread_sessions = loaded.elements
            loaded.reset()
            loaded.error = error.as_message()

    def load_fast(self, loaded: LoadedSource, within: ByteRange | None) -> LoadedRange | None:
        """Load a source file's copy, or a range of it, on the assumption that the file is app-formatted.

        orjson may lose something silently, such as the first of two members with the same name. That is noticed when
        the sessions are read back and compared with the file.

        :returns: where its elements are; None if the file is not app-formatted, and then nothing is loaded
        :raises MigrationFailed: the copy differs from the original, as far as this is noticed here
        """
        copy = loaded.copy
        self._rows.begin_source()
        with os_errors("read", copy):
            content = small(copy) if within is None else None
        if content is not None and new_sha256(content).hexdigest() != loaded.sha256:
            raise damaged_copy(copy)
        with os_errors("read", copy), opened(copy) if content is None else BytesIO(content) as file:
            within = within or app_format.find_sessions(file)
            if within is None:
                return None
            chunk, search_limit = self._limits.chunk, self._limits.search_limit
            sizes = self._load_elements(loaded, app_format.split(file, within, chunk=chunk, search_limit=search_limit))
            return LoadedRange(within.start, sizes, verified=content is not None) if sizes else None

    def _load_elements(self, loaded: LoadedSource, elements: Iterable[Element]) -> list[int] | None:
        """Load elements, and return their sizes; if one is not a JSON object, load nothing and return None."""
        self._counts(loaded, loaded.source.workspace_hash or "")
        loaded.app_formatted = True
        preceding, sizes = loaded.elements, []
        for element in elements:
            index, size = preceding + element.position, len(element.raw)
            session = decode_session(element.raw)
            if session is None or not self._add_session(loaded, session, index, size):
                document, is_valid = parse_trusted(element.raw)
                if type(document) is not dict:
                    self._rows.forget_source()
                    loaded.reset()
                    return None
                if is_valid:
                    self._add(loaded, document, index, size)
                else:
                    self._take(loaded, parse_session(element.raw, document), index, size)
            sizes.append(size)
            self._on_progress(loaded.source.name, size, 1)
        return sizes

    def _add_session(self, loaded: LoadedSource, session: Session, index: int, size: int) -> bool:
        """Load a session that has exactly the app's members; returns False if it needs more care."""
        messages = plain_of_values(list(chain.from_iterable(map(astuple, session.chatHistory))))
        instances = plain_instance_rows(key_of_id(session.id), list(map(astuple, session.instances)))
        if messages is None or instances is None or not session.id:
            return False
        document: Any = {name: getattr(session, name) for name in SESSION_MEMBERS}
        document["instances"] = document["chatHistory"] = []
        workspace_hash = loaded.source.workspace_hash or ""
        counts = loaded.counts[workspace_hash]
        position = loaded.first_position + index
        rows = to_rows(document, workspace_id=counts.workspace_id, position=position, source_id=loaded.source_id)
        self._rows.add(rows._replace(instances=instances), messages, size, (workspace_hash, index))
        counts.sessions += 1
        counts.instances += len(instances)
        counts.messages += len(messages)
        loaded.elements += 1
        return True

    def _take(self, loaded: LoadedSource, parsed: Reading | Rejected, index: int, size: int) -> None:
        if isinstance(parsed, Rejected):
            self._quarantine(loaded, parsed, index)
        else:
            self._add(loaded, parsed.value, index, size)

    def _add(self, loaded: LoadedSource, document: Any, index: int, size: int) -> None:
        workspace_hash, path = loaded.source.workspace_hash, None
        if workspace_hash is None:  # find it from the session's worktrees
            workspace_hash, path = workspace_shown(document, loaded.source.name, self._paths)
        counts = self._counts(loaded, workspace_hash, path)
        messages = plain_messages(document["chatHistory"])
        rows = to_rows(
            document,
            key=key_of_id(document["id"]) or derived_key("", workspace_hash, index),
            workspace_id=counts.workspace_id,
            position=loaded.first_position + index,
            source_id=loaded.source_id,
            with_messages=messages is None,
        )
        self._rows.add(rows, messages, size, (workspace_hash, index))
        counts.sessions += 1
        counts.instances += len(rows.instances)
        counts.messages += len(document["chatHistory"])
        loaded.elements += 1

    def _counts(self, loaded: LoadedSource, workspace_hash: str, path: str | None = None) -> Counts:
        counts = loaded.counts.get(workspace_hash)
        if counts is None:
            path = path or self._paths.get(workspace_hash) or placeholder(workspace_hash)
            counts = loaded.counts[workspace_hash] = Counts(path, self._workspace_id(workspace_hash, path))
        return counts

    def _quarantine(self, loaded: LoadedSource, rejected: Rejected, index: int) -> None:
        workspace_hash = loaded.source.workspace_hash
        if workspace_hash is None:
            workspace_hash, path = workspace_of_source(loaded.source.name)
            self._counts(loaded, workspace_hash, path)
        loaded.counts[workspace_hash].quarantined += 1
        loaded.elements += 1
        if len(loaded.rejected) < EXAMPLES:
            loaded.rejected.append((index, "; ".join(map(str, rejected.problems[:3]))))
        row = quarantine_row(loaded.source_id, workspace_hash, loaded.first_position + index, rejected)
        self._rows.quarantine(row, len(rejected.raw) + len(row.problems))
