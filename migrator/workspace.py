"""Which workspace a file belongs to: the app's hash of a path, and the proof of a path from evidence.

The hash is what ``workspace_hash`` in the app's ``session_history.rs`` computes: a file's name is a function of the
workspace path, which is stored nowhere. It can't be inverted, but the ``worktreePath`` of an instance usually lies
inside of the workspace, so that one of its ancestors hashes to the file's name, which proves it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrator.files.copying import new_sha256

if TYPE_CHECKING:
    from migrator.documents.document import WorktreeSession

HASH_PATTERN = re.compile(r"[0-9a-f]{16}")
UNKNOWN_PREFIX = "unknown:"

_WORKTREES = re.compile(r"[/\\]\.worktrees(?:[/\\]|$)")
_TAURI = ("/src-tauri", "\\src-tauri")  # of one length
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def workspace_hash(path: str | os.PathLike[str]) -> str:
    """The app's 16 hex digits for a workspace path: of the canonical path if it exists, else of the path as given.

    Invalid UTF-8 (surrogate escapes in ``path``) counts as U+FFFD, as in Rust's ``to_string_lossy``.
    """
    return hash_of_text(hashed_path(path))


def hashed_path(path: str | os.PathLike[str]) -> str:
    """The text that :func:`workspace_hash` hashes: of the spellings of a path, the one that the hash stands for."""
    raw = os.fspath(path)
    canonical = _canonicalize(raw)
    return _lossy(canonical if canonical is not None else raw.rstrip("/"))


def hash_of_text(path: str) -> str:
    """The first 16 hex digits of SHA-256 over exactly this text."""
    return new_sha256(_lossy(path).encode("utf-8")).hexdigest()[:16]


def _lossy(path: str) -> str:
    """What the app sees of a path: a file name that is not UTF-8, here surrogate escapes, with U+FFFD in it."""
    try:
        encoded = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other halves of surrogate pairs stand for no bytes at all
        encoded = path.encode("utf-8", "replace")
    return encoded.decode("utf-8", "replace")


def _canonicalize(path: str) -> str | None:
    """Rust's ``fs::canonicalize``: absolute, links resolved; None where it fails."""
    if not path:
        return None
    try:
        os.stat(path)  # realpath forgives a trailing slash behind a file; the system call does not
        resolved = os.path.realpath(path, strict=True)
    except (OSError, ValueError):
        return None
    return verbatim(resolved) if os.name == "nt" else resolved


def verbatim(path: str) -> str:
    r"""The ``\\?\`` form that canonicalisation yields on Windows: ``C:\x`` and ``\\server\share\x``."""
    if path.startswith("\\\\?\\"):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


def placeholder(name: str) -> str:
    """What stands for an unknown workspace path, e.g. ``unknown:0a1b2c3d4e5f6071``."""
    return UNKNOWN_PREFIX + name


def is_placeholder(path: str) -> bool:
    """Whether a workspace path stands for an unknown one."""
    return path.startswith(UNKNOWN_PREFIX)


def workspace_of_source(
    source: str, file_hash: str | None = None, paths: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, str]:
    """The hash and the path of the workspace that a source file stands for, of several workspaces or not.

    :param source: what the ledger calls the file
    :param file_hash: the hash in its name; None for a file of several workspaces
    :param paths: workspace hash to workspace path, as far as known
    """
    known = file_hash or hash_of_text(placeholder(source))
    return known, paths.get(known) or placeholder(file_hash or source)


def prove_path(file_hash: str, worktree_paths: Iterable[str], tried: set[str] | None = None) -> str | None:
    """The ancestor of one of the paths that hashes to ``file_hash``, or None.

    Each ancestor is tried as it stands, in Windows' verbatim form, and canonicalised if it exists here.

    :param tried: the ancestors that have been tried before, to which those of now are added
    """
    tried = set() if tried is None else tried
    for worktree_path in worktree_paths:
        likely = workspace_of(worktree_path)
        if likely is not None and likely not in tried and hash_of_text(likely) == file_hash:
            return likely  # with nothing asked of the file system, as nearly always
        for ancestor in _ancestors(worktree_path):
            if ancestor in tried:
                break  # and so were all above it
            tried.add(ancestor)
            for spelling in _spellings(ancestor):
                if hash_of_text(spelling) == file_hash:
                    return spelling
    return None


def _ancestors(path: str) -> Iterator[str]:
    """The path itself and everything above it, either separator counting."""
    current = path.rstrip("/\\")
    while current:
        yield current
        cut = max(current.rfind("/"), current.rfind("\\"))
        if cut < 0:
            return
        if cut == 0:
            yield current[0]
            return
        current = current[:cut].rstrip("/\\")


def _spellings(path: str) -> Iterator[str]:
    yield path
    if _WINDOWS_DRIVE.match(path) or path.startswith("\\\\"):
        yield verbatim(path.replace("/", "\\"))
    elif os.path.isabs(path):
        canonical = _canonicalize(path)
        if canonical is not None and canonical != path:
            yield canonical


def hashes_of(path: str) -> list[tuple[str, str]]:
    """The hashes that a workspace may have, with the spelling that each is of; the likeliest first.

    What the app hashed was the canonical path on the machine that it ran on, which may not be this one.
    """
    found = {hash_of_text(spelling): spelling for spelling in _spellings(path)}
    found.setdefault(workspace_hash(path), path)
    likeliest = hash_of_text(verbatim(path)) if _WINDOWS_DRIVE.match(path) else workspace_hash(path)
    return sorted(found.items(), key=lambda pair: pair[0] != likeliest)


def workspace_of(worktree_path: str) -> str | None:
    """The ``<W>`` of ``<W>/src-tauri/.worktrees/…`` or ``<W>/.worktrees/…``, or None for any other path."""
    found = _WORKTREES.search(worktree_path)
    if found is None:
        return None
    above = worktree_path[: found.start()]
    return (above[: -len(_TAURI[0])] if above.endswith(_TAURI) else above) or None


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
    return workspace_of_source(source)
