"""Finds the workspace of a file: computes the app's hash of a path, and proves a path by its hash.

The hash is the one that ``workspace_hash`` in the app's ``session_history.rs`` computes from the workspace's path. It
is the file's name, and the path itself is stored nowhere. But the ``worktreePath`` of an instance is usually inside the
workspace: if one of its parent folders hashes to the file's name, that folder is the workspace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrator.files.copying import new_sha256

if TYPE_CHECKING:
    from migrator.documents.document import WorktreeSession

HASH_PATTERN = re.compile(r"[0-9a-f]{16}")
UNKNOWN_PREFIX = "unknown:"

_WORKTREES = re.compile(r"[/\\]\.worktrees(?:[/\\]|$)")
_TAURI = ("/src-tauri", "\\src-tauri")  # both have the same length
_WINDOWS_DRIVE = r"[A-Za-z]:[\\/]"


def workspace_hash(path: str | os.PathLike[str]) -> str:
    """Return the app's hash of a workspace path, 16 hex digits: of the canonical path if it exists, else as given.

    Invalid UTF-8 (surrogate escapes in ``path``) is replaced by U+FFFD, as in Rust's ``to_string_lossy``.
    """
    return hash_of_text(hashed_path(path))


def hashed_path(path: str | os.PathLike[str]) -> str:
    """Return the text that :func:`workspace_hash` hashes for a path."""
    raw = os.fspath(path)
    canonical = _canonicalize(raw)
    return _lossy(canonical if canonical is not None else raw.rstrip("/"))


def hash_of_text(path: str) -> str:
    """Return the first 16 hex digits of SHA-256 over exactly this text."""
    return new_sha256(_lossy(path).encode("utf-8")).hexdigest()[:16]


def _lossy(path: str) -> str:
    """Convert a path to the text that the app sees: bytes that are not UTF-8 (surrogate escapes) become U+FFFD."""
    try:
        encoded = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other lone surrogates do not represent bytes
        encoded = path.encode("utf-8", "replace")
    return encoded.decode("utf-8", "replace")


def _canonicalize(path: str) -> str | None:
    """Do what Rust's ``fs::canonicalize`` does: make a path absolute and resolve links; None if that fails."""
    if not path:
        return None
    try:
        os.stat(path)  # unlike realpath, it rejects a file name with a trailing slash
        resolved = os.path.realpath(path, strict=True)
    except (OSError, ValueError):
        return None
    return verbatim(resolved) if os.name == "nt" else _in_case_on_disk(resolved)


def _in_case_on_disk(path: str) -> str:
    """Return an absolute path in the case that it has on disk, also where the file system ignores the case."""
    parts = path.split("/")
    for number, name in enumerate(parts):
        folder, other = "/".join(parts[:number]), name.swapcase()
        if other == name or not os.access(f"{folder}/{other}", os.F_OK):
            continue  # the usual case, without the cost of an exception
        with suppress(OSError):
            if os.path.samefile(f"{folder}/{other}", f"{folder}/{name}"):
                names = os.listdir(folder or "/")
                parts[number] = next((n for n in (name, *names) if n in names and n.lower() == name.lower()), name)
    return "/".join(parts)


def named_workspace(given: str | os.PathLike[str], known: Mapping[str, str]) -> str:
    """Return the hash of the workspace that the user named: by its hash, or by any path of its folder.

    :param known: the path of each known workspace, or a placeholder, by hash
    """
    text = os.fspath(given)
    bare = text.removeprefix(UNKNOWN_PREFIX)
    if HASH_PATTERN.fullmatch(bare) and (bare in known or bare != text):
        return bare
    candidates = [file_hash for file_hash, path in known.items() if path == text]
    candidates += [file_hash for file_hash, _ in hashes_of(absolute_path(text)) if file_hash in known]
    real = None if candidates else _canonicalize(text)
    if real is not None:  # another link to it may have been hashed
        candidates = [file_hash for file_hash, path in known.items() if _canonicalize(path) == real]
    return candidates[0] if candidates else workspace_hash(text)


def absolute_path(name: str | os.PathLike[str]) -> str:
    """Return the path of a workspace that the user gave; one that is not on this machine is taken as it is."""
    path = os.fspath(name)
    return os.path.abspath(path) if os.path.exists(path) else path.rstrip("/") or path


def verbatim(path: str) -> str:
    r"""Return the ``\\?\`` form that canonicalization yields on Windows, for ``C:\x`` and ``\\server\share\x``."""
    if path.startswith("\\\\?\\"):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


def placeholder(name: str) -> str:
    """Return the placeholder for an unknown workspace path, such as ``unknown:0a1b2c3d4e5f6071``."""
    return UNKNOWN_PREFIX + name


def is_hash(value: object) -> bool:
    """Whether a value is the hash of a workspace, as the app makes it."""
    return isinstance(value, str) and HASH_PATTERN.fullmatch(value) is not None


def is_placeholder(path: str) -> bool:
    """Whether a workspace path is a placeholder for an unknown one."""
    return path.startswith(UNKNOWN_PREFIX)


def workspace_of_source(
    source: str, file_hash: str | None = None, paths: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, str]:
    """Return the hash and the path of the workspace of a source file; for a shared file, those of a placeholder.

    :param source: the file's name in the ledger
    :param file_hash: the hash in the file's name; None for a file shared by several workspaces
    :param paths: workspace hash to workspace path, as far as known
    """
    known = file_hash or hash_of_text(placeholder(source))
    return known, paths.get(known) or placeholder(file_hash or source)


def prove_path(file_hash: str, worktree_paths: Iterable[str], tried: set[str] | None = None) -> str | None:
    """Find a parent folder of one of the paths that hashes to ``file_hash``; None if there is none.

    Each folder is tried as it is written, in Windows' verbatim form, and in canonical form if it exists here.

    :param tried: the folders that were already tried; those tried now are added
    """
    tried = set() if tried is None else tried
    for worktree_path in worktree_paths:
        likely = workspace_of(worktree_path)
        if likely is not None and likely not in tried and hash_of_text(likely) == file_hash:
            return likely  # the usual case, which needs no access to the file system
        for ancestor in _ancestors(worktree_path):
            if ancestor in tried:
                break  # the folders above it were tried as well
            tried.add(ancestor)
            for spelling in _spellings(ancestor):
                if hash_of_text(spelling) == file_hash:
                    return spelling
    return None


def known_ancestor(path: str, known: Container[str]) -> tuple[str, str] | None:
    """Find a parent folder of a path that is one of these workspaces; returns its hash and spelling.

    :param known: hashes
    """
    for ancestor in _ancestors(path):
        for spelling in _spellings(ancestor):
            if hash_of_text(spelling) in known:
                return hash_of_text(spelling), spelling
    return None


def _ancestors(path: str) -> Iterator[str]:
    """Yield the path itself and every folder above it; both separators are recognized."""
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
    if re.match(_WINDOWS_DRIVE, path) or path.startswith("\\\\"):
        yield verbatim(path.replace("/", "\\"))
    elif os.path.isabs(path):
        canonical = _canonicalize(path)
        if canonical is not None and canonical != path:
            yield canonical


def hashes_of(path: str) -> list[tuple[str, str]]:
    """List the hashes that a workspace may have, each with the spelling of the path; the most likely first.

    The app hashed the canonical path on the computer it ran on, which may be another one.
    """
    found = {hash_of_text(spelling): spelling for spelling in _spellings(path)}
    found.setdefault(workspace_hash(path), path)
    likeliest = hash_of_text(verbatim(path)) if re.match(_WINDOWS_DRIVE, path) else workspace_hash(path)
    return sorted(found.items(), key=lambda pair: pair[0] != likeliest)


def workspace_of(worktree_path: str) -> str | None:
    """Return ``<W>`` for ``<W>/src-tauri/.worktrees/…`` and ``<W>/.worktrees/…``, and None for any other path."""
    found = _WORKTREES.search(worktree_path)
    if found is None:
        return None
    above = worktree_path[: found.start()]
    return (above[: -len(_TAURI[0])] if above.endswith(_TAURI) else above) or None


def workspace_shown(document: WorktreeSession, source: str, paths: Container[str]) -> tuple[str, str]:
    """Return the hash and the path of the workspace that a session's worktrees are in; else a placeholder.

    :param paths: the hashes of the known workspaces
    """
    for instance in document["instances"]:
        path = workspace_of(instance["worktreePath"])
        if path:
            candidates = hashes_of(path)
            known = [(h, spelling) for h, spelling in candidates if h in paths]
            return (known or candidates)[0]
    return workspace_of_source(source)
