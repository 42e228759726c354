"""The workspace path that a file proves: the one above its worktrees that hashes to the file's name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from migrator.workspace import prove_path

_WORKTREE_PATH = re.compile(rb'"worktreePath"\s*+:\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")')
_OVERLAP = 1 << 16  # longer than any path, so that none is cut in two


class Proof:
    """Looks for the proof in a file that goes by in pieces; the file need not even be whole.

    :ivar path: None as long as nothing has proven it
    """

    def __init__(self, file_hash: str) -> None:
        self.path: str | None = None
        self._file_hash = file_hash
        self._seen: set[bytes] = set()
        self._tried: set[str] = set()
        self._rest = b""

    def look_at(self, chunk: bytes) -> None:
        """Take the next piece of the file."""
        if self.path is None:
            window = self._rest + chunk
            self.path = prove_path(self._file_hash, self._worktree_paths(window), self._tried)
            self._rest = window[-_OVERLAP:]

    def _worktree_paths(self, window: bytes) -> Iterator[str]:
        """The texts behind ``"worktreePath":``, each spelling once."""
        for found in _WORKTREE_PATH.finditer(window):
            if found[1] not in self._seen:
                self._seen.add(found[1])
                text = _text(found[1])
                if text:
                    yield text


def _text(literal: bytes) -> str | None:
    try:
        text = json.loads(literal) if b"\\" in literal else literal[1:-1].decode()
    except ValueError:
        return None
    return text if isinstance(text, str) else None
