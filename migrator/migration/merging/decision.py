"""Decides what happens to a session that the base, SQLite and the file have in different ways.

B, O and T are the digests in the base, in SQLite (ours) and in the file (theirs), None where the session is missing:

==========================  ======================================  ===============================================
condition                   what happened                           what :func:`decide` returns
==========================  ======================================  ===============================================
``O == T``                  both sides did the same                 ADOPT: keep SQLite's, now as the file's session
``T == B``                  unchanged in the file                   KEEP SQLite's
``O == B``, T is None       deleted in the file                     DELETE: quarantine SQLite's, or hold it
``O == B == None``          new in the file                         INSERT after the others
``O == B``, otherwise       changed in the file                     REPLACE at the same position
else, T is None             deleted in the file, changed in SQLite  KEEP SQLite's
else                        changed on both sides                   QUARANTINE T, keep SQLite's
==========================  ======================================  ===============================================

A deleted session goes to quarantine. If a file lost too many at once, they are held: they stay in SQLite until the user
decides (:mod:`migrator.inventory.deletions`).

A session counts as deleted only if the file proves it. Three kinds of file do not: a blank one (the app writes ``[]``
when it deletes the last session, so a blank file is an interrupted write), a truncated one that was salvaged, and one
with an invalid element that mentions the session's id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from migrator.errors import Message
from migrator.inventory.deletions import Deletion, is_held
from migrator.migration.merging.matching import Identity, Version


class MergePolicy(NamedTuple):
    """What in a workspace's own file does not count as a change.

    :ivar mirrored: the files mirror SQLite (hybrid mode): they repeat sessions of the workspace's other files and leave
        out what is invalid
    """

    mirrored: bool = False


class Action(Enum):
    """What to do with one session."""

    ADOPT = auto()
    KEEP = auto()
    DELETE = auto()
    INSERT = auto()
    REPLACE = auto()
    QUARANTINE = auto()


def decide(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> Action:
    """Decide by the table of this module, from the digests of one session in the three versions."""
    if ours == theirs:
        return Action.ADOPT
    if theirs == base:
        return Action.KEEP
    if ours != base:
        return Action.KEEP if theirs is None else Action.QUARANTINE
    if theirs is None:
        return Action.DELETE
    return Action.INSERT if ours is None else Action.REPLACE


def decide_versions(base: Version | None, ours: Version | None, theirs: Version | None) -> Action:
    """Decide by the table of this module, from one session in the three versions."""
    return decide(*(None if version is None else version.digest for version in (base, ours, theirs)))


def only_in_sqlite(
    base: Mapping[Identity, Version],
    ours: Mapping[Identity, Version],
    theirs: Collection[Identity],
    deleted: Iterable[Identity],
) -> tuple[dict[Identity, Version], bool]:
    """Return the sessions that were deleted in the file alone, and whether they are so many that they are held.

    :param deleted: those that the file proves to be deleted
    """
    taken = {
        identity: ours[identity]
        for identity in deleted
        if identity in ours and decide(base[identity].digest, ours[identity].digest, None) is Action.DELETE
    }
    return taken, is_held(len(taken), sum(identity in theirs or identity in ours for identity in base))


@dataclass
class MergeResult:
    """What a merge did.

    :ivar conflicts: the number of sessions that changed on both sides, by workspace hash
    :ivar deletions: the sessions that the file lost: those that were quarantined, and those that are held
    :ivar expected: the digest that each written session must have when it is read back, by its key
    :ivar hidden: the number of sessions that the file neither shows nor proves to be deleted
    :ivar bases: the older copies that hold the base of these
    :ivar added: the number of sessions that only the file had
    :ivar repeated: the number of sessions that only repeat what SQLite has from another file
    :ivar gone: the number of sessions of an adopted file that were deleted in SQLite since it was adopted last
    :ivar lost_base: why there was nothing to compare with, if so: the merge deleted nothing
    :ivar unreadable: the sessions that could not be read in SQLite, now in quarantine: the reason of each, by its key
    """

    conflicts: Counter[str] = field(default_factory=Counter)
    deletions: list[Deletion] = field(default_factory=list)
    expected: dict[str, bytes] = field(default_factory=dict)
    hidden: int = 0
    bases: list[str] = field(default_factory=list)
    added: int = 0
    repeated: int = 0
    gone: int = 0
    lost_base: Message | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
