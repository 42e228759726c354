"""The base of a merge: what a source file and SQLite both had, session by session.

It is read from backup copies of the file. Usually that is one copy: the file as it was migrated last. After a file that
showed only a part of its sessions (it was blank, truncated, or had invalid elements), the others keep the base that
they had, in an older copy. After a rollback it is the copy of the database that the rollback wrote the files from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from migrator.backups.manifest import read_manifest
from migrator.data_dir import DataDir
from migrator.database.connection import connect_read_only
from migrator.database.documents import StoredDocument
from migrator.documents.array_reader import read_array, torn_tail
from migrator.documents.parsing import Reading, text_or_bytes, valid_session
from migrator.errors import BackupError, Message, MigratorError, TornFileError
from migrator.files import copying
from migrator.files.os_errors import os_errors
from migrator.inventory.ledger import LedgerEntry
from migrator.migration.merging.matching import Identity, Positioned, Version, ids_in, match_sessions, number_sessions
from migrator.migration.rolled_back.written import written_to

_DATABASE = b"SQLite format 3\0"


class BaseCopy(NamedTuple):
    """One backup copy.

    :ivar name: as the ledger records it
    """

    name: str
    path: Path


class MergeBase:
    """The base of one file.

    :ivar copies: the copies, newest first; a session is looked up in the first one that has it
    :ivar lost: why a copy cannot be used, if so; then nothing counts as deleted

    :param source: the file's name in the ledger
    """

    def __init__(self, source: str, copies: Iterable[BaseCopy] = (), *, lost: Message | None = None) -> None:
        self.copies = [*copies]
        self.lost = lost
        self._source = source
        self._names: dict[Identity, str] = {}

    @cached_property
    def versions(self) -> dict[Identity, Version]:
        """The sessions of the base."""
        found: dict[Identity, Version] = {}
        for copy in reversed(self.copies):
            contents = _Contents(copy.path, self._source)
            sessions = contents.sessions()
            if not found:
                found = number_sessions(sessions)
                self._names = dict.fromkeys(found, copy.name)
                continue
            newer = match_sessions(found, [*sessions])
            for identity in proven_deleted(found, newer, contents.invalid, blank_or_torn=contents.is_torn):
                del found[identity]
            found |= newer
            self._names |= dict.fromkeys(newer, copy.name)
        return found

    def is_older(self, identity: Identity) -> bool:
        """Whether only an older copy has this session."""
        return identity in self.versions and self._names[identity] != self.copies[0].name

    def names_for(self, identities: Iterable[Identity]) -> list[str]:
        """The names of the copies that have these sessions, newest first."""
        needed = {self._names[identity] for identity in identities}
        return [copy.name for copy in self.copies if copy.name in needed]

    def invalid_texts(self) -> Counter[str | bytes]:
        """The elements of the base that are not valid sessions."""
        found: Counter[str | bytes] = Counter()
        for copy in self.copies:
            contents = _Contents(copy.path, self._source)
            for _ in contents.documents():
                pass
            found |= Counter(text_or_bytes(raw) for raw in contents.invalid)
            if not contents.is_torn:
                break  # what an older copy had was fixed or removed since
        return found

    def texts_of(self, wanted: Collection[tuple[str, bytes]]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield id, digest and canonical form of sessions of the base, one at a time.

        :param wanted: the id and the digest of each
        """
        missing = set(wanted)
        for copy in self.copies:
            documents = _Contents(copy.path, self._source).documents() if missing else ()
            for _, session_id, session in documents:
                if (found := (session_id, session.digest())) in missing:
                    missing.remove(found)
                    yield *found, session.canonical_bytes()


def base_of(known: LedgerEntry, data_dir: DataDir) -> MergeBase:
    """The base of a file that was migrated before, from the copies that the ledger names.

    If one is missing or damaged, the older ones are not used either: they may have what was deleted since.
    """
    copies: list[BaseCopy] = []
    for name in known.base_copies:
        path = data_dir.recorded(name)
        code = _damage(path, known.sha256 if name == known.backup else _listed_sha256(path))
        if code is not None:
            return MergeBase(known.source, copies, lost=Message(f"{path} is {code.rpartition('_')[2]}", code=code))
        copies.append(BaseCopy(name, path))
    lost = None if copies else Message("there is none", code="backup.file_missing")
    return MergeBase(known.source, copies, lost=lost)


def _damage(path: Path, sha256: str | None) -> str | None:
    """The code of what is wrong with a copy; None if it is intact."""
    if not path.is_file():
        return "backup.file_missing"
    try:
        return None if copying.sha256_of(path) == sha256 else "backup.file_damaged"
    except MigratorError:
        return "backup.file_damaged"


def _listed_sha256(path: Path) -> str | None:
    """The SHA-256 of a copy by the manifest of its backup."""
    for folder in path.parents[:2]:
        with suppress(BackupError):
            listed = {folder / file.file: file.sha256 for file in read_manifest(folder).files}
            return listed.get(path)
    return None


def proven_deleted(
    before: Iterable[Identity], now: Collection[Identity], invalid: Iterable[str | bytes], *, blank_or_torn: bool
) -> list[Identity]:
    """The sessions that a later version of a file proves to be deleted.

    :param now: the sessions of the later version
    :param invalid: its new elements that are not sessions; one may be what is left of a session that it mentions
    """
    if blank_or_torn:
        return []
    missing = [identity for identity in before if identity not in now]
    if not missing:
        return []
    mentioned: set[str] = set()
    for raw in invalid:
        ids = ids_in(raw)
        if not ids:
            return []  # it may be any of the missing sessions
        mentioned |= ids
    return [identity for identity in missing if identity[0] not in mentioned]


class _Contents:
    """What one copy holds of a file.

    :ivar invalid: the elements that are not sessions, once all sessions were read
    :ivar is_torn: the copy is truncated; likewise
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self.invalid: list[bytes] = []
        self.is_torn = False

    def sessions(self) -> Iterator[Positioned]:
        """The sessions in their order."""
        for position, session_id, session in self.documents():
            yield Positioned(position, session_id, Version(session.digest()))

    def documents(self) -> Iterator[tuple[int | None, str, Reading | StoredDocument]]:
        """The position, the id and the contents of each session, one at a time."""
        with os_errors("read", self._path), open(self._path, "rb", buffering=0) as file:
            if file.read(len(_DATABASE)) == _DATABASE:
                with closing(connect_read_only(self._path, immutable=True)) as connection:
                    for stored in written_to(connection, self._source):
                        yield stored.position, stored.document["id"], stored
                return
            try:
                for element in read_array(file):
                    session = valid_session(element)
                    if session is None:
                        self.invalid.append(element.raw)
                    else:
                        yield element.position, session.value["id"], session
            except TornFileError as torn:
                self.is_torn = True
                self.invalid.append(torn_tail(file, torn).raw)
