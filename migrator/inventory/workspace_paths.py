"""Workspace paths that the user gave or that a file proves.

A path is proven if it is an ancestor of a worktree in the file and its hash is the file's name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.database.connection import opened, transaction
from migrator.errors import Message
from migrator.files.reading import contents
from migrator.workspace import (
    HASH_PATTERN,
    UNKNOWN_PREFIX,
    absolute_path,
    hashes_of,
    known_ancestor,
    prove_path,
    workspace_hash,
    workspace_of,
)

# Compiled when it is used, as most starts load nothing.
_WORKTREE_PATH = rb'"worktreePath"\s*+:\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")'
_OVERLAP = 1 << 16  # longer than any path, so that a chunk boundary cannot split one
_LARGEST_MAPPING = 1 << 26  # bytes


class Worktrees:
    """Finds the paths of worktrees in a file, chunk by chunk, each once. The file may be truncated."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._rest = b""

    def in_next(self, chunk: bytes) -> Iterator[str]:
        """The values of ``"worktreePath"`` in the next chunk of the file."""
        window = self._rest + chunk
        self._rest = window[-_OVERLAP:]
        for found in re.finditer(_WORKTREE_PATH, window):
            if found[1] not in self._seen:
                self._seen.add(found[1])
                with suppress(ValueError):
                    text = json.loads(found[1]) if b"\\" in found[1] else found[1][1:-1].decode()
                    if text:
                        yield text


class PathEvidence:
    """Searches a file for the path of its workspace, chunk by chunk.

    :ivar path: the proven path; None until it is found
    """

    def __init__(self, file_hash: str) -> None:
        self.path: str | None = None
        self._file_hash = file_hash
        self._worktrees = Worktrees()
        self._tried: set[str] = set()

    def feed(self, chunk: bytes) -> None:
        """Search the next chunk of the file."""
        if self.path is None:
            self.path = prove_path(self._file_hash, self._worktrees.in_next(chunk), self._tried)

    @property
    def proven(self) -> list[tuple[str, str]]:
        """The hash and the path that the file proves."""
        return [] if self.path is None else [(self._file_hash, self.path)]


class SharedEvidence:
    """Collects the workspaces that the worktrees in a file are in, chunk by chunk.

    :param known: the hashes of known workspaces, which worktrees anywhere inside them show
    """

    def __init__(self, known: Container[str] | None = None) -> None:
        self._known = known
        self._found: dict[str, str] = {}
        self._tried: set[str] = set()
        self._worktrees = Worktrees()

    def feed(self, chunk: bytes) -> None:
        """Search the next chunk of the file."""
        for worktree in self._worktrees.in_next(chunk):
            path = workspace_of(worktree)
            shown = None if self._known is None else known_ancestor(worktree, self._known)
            if shown is None and path and path not in self._tried:
                self._tried.add(path)
                shown = hashes_of(path)[0]
            if shown is not None:
                self._found.setdefault(*shown)

    @property
    def proven(self) -> list[tuple[str, str]]:
        """The hash and the path of each workspace."""
        return [*self._found.items()]


def known_paths(data_dir: DataDir, named: Iterable[str | os.PathLike[str]]) -> tuple[dict[str, str], list[Message]]:
    """Workspace paths that the user gave: those of ``workspace_mapping.json``, overridden by ``named``.

    An entry of the mapping is used only if the path has the given hash.

    :returns: workspace hash to path, and warnings about invalid entries
    """
    paths, warnings = _mapped_paths(data_dir.workspace_mapping)
    for name in named:
        absolute = absolute_path(name)
        if not HASH_PATTERN.fullmatch(absolute.removeprefix(UNKNOWN_PREFIX)):
            paths |= {file_hash: spelling for file_hash, spelling in hashes_of(absolute) if file_hash not in paths}
            paths[workspace_hash(absolute)] = absolute
    return paths, warnings


def _mapped_paths(mapping: Path) -> tuple[dict[str, str], list[Message]]:
    if not os.path.lexists(mapping):
        return {}, []
    if not os.path.isfile(mapping):  # reading a pipe or a device might never end
        return {}, [_ignored(mapping, "it is not a file")]
    try:
        content = json.loads(contents(mapping, _LARGEST_MAPPING))
    except (OSError, ValueError, RecursionError) as error:
        return {}, [_ignored(mapping, f"it cannot be read as JSON ({error})")]
    if not isinstance(content, dict):
        return {}, [_ignored(mapping, "it does not contain a JSON object of hashes and paths")]
    paths, warnings = {}, []
    for key, value in content.items():
        # Both directions occur: {"hash": "path"} and {"path": "hash"}.
        for file_hash, path in ((key, value), (value, key)):
            if isinstance(file_hash, str) and isinstance(path, str) and HASH_PATTERN.fullmatch(file_hash):
                if _hashes_to(path, file_hash):
                    paths[file_hash] = path
                else:
                    reason = f"{path[:80]!r} does not have the hash {file_hash}"
                    warnings.append(_ignored(f"an entry of {mapping}", reason))
                break
        else:
            reason = f"{key[:80]!r} and its value are not a workspace hash and a path"
            warnings.append(_ignored(f"an entry of {mapping}", reason))
    return paths, warnings


def _ignored(what: object, reason: str) -> Message:
    return Message(f"Ignored {what}: {reason}.", code="workspace.invalid_mapping")


def _hashes_to(path: str, file_hash: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False  # half of a surrogate pair: no file system has such a path
    return any(found == file_hash for found, _ in hashes_of(path))


def name_workspaces(data_dir: DataDir, unnamed: Mapping[str, str]) -> None:
    """Fill in the paths that became known since the workspaces were migrated.

    :param unnamed: workspace hash to workspace path
    """
    if not unnamed:
        return
    from migrator.database.documents import ensure_workspace  # seldom needed and slow to load

    path = data_dir.database
    with opened(path) as connection, transaction(connection, path, "record the path of a workspace"):
        for file_hash, name in unnamed.items():
            ensure_workspace(connection, file_hash, name)
