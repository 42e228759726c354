"""Matches the sessions of one version of a file with those of another.

A session is identified by its id. If a file has the same id several times, unchanged sessions are matched by their
contents, and the others by their order. An invalid element may then be the changed form of one of them, so it counts
in that order too.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from migrator.documents.document import WorktreeSession

Identity = tuple[str, int]


class Version(NamedTuple):
    """One session in one version of a file; ``key`` is its primary key if it is in a database."""

    digest: bytes
    key: str = ""


class Positioned(NamedTuple):
    """A session and its position among the elements of its file; None if the app created it in SQLite."""

    position: int | None
    session_id: str
    version: Version


class InvalidElement(NamedTuple):
    """An element of a file that is not a session: its position and its id, None if it has none."""

    position: int
    session_id: str | None


def number_sessions(found: Iterable[Positioned]) -> dict[Identity, Version]:
    """Identify the sessions of the first version of a file: an id and a number, in file order, from 0."""
    seen: defaultdict[str, int] = defaultdict(int)
    versions = {}
    for placed in found:
        versions[placed.session_id, seen[placed.session_id]] = placed.version
        seen[placed.session_id] += 1
    return versions


def with_earlier(versions: Mapping[Identity, Version], earlier: Iterable[Positioned]) -> dict[Identity, Version]:
    """Add sessions of earlier versions of a file that this one does not have; they follow those of the same id."""
    added = dict(versions)
    known: defaultdict[str, dict[bytes, int]] = defaultdict(dict)  # the first number of each digest
    for (session_id, number), version in sorted(versions.items()):
        known[session_id].setdefault(version.digest, number)
    free: defaultdict[str, int] = defaultdict(int)
    for one in earlier:
        while (one.session_id, free[one.session_id]) in added:
            free[one.session_id] += 1
        digest, number = one.version.digest, free[one.session_id]
        number = min(number, known[one.session_id].setdefault(digest, number))
        known[one.session_id][digest] = number
        added[one.session_id, number] = Version(digest)
    return added


def match_sessions(
    before: Mapping[Identity, Version], found: Sequence[Positioned], invalid: Sequence[InvalidElement] = ()
) -> dict[Identity, Version]:
    """Identify the sessions of a later version as those of the one before, and return them in file order.

    :param invalid: the elements of the later version that are not sessions and that the one before did not have
    """
    old: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    for (session_id, number), version in before.items():
        old[session_id][number] = version.digest
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, placed in enumerate(found):
        places[placed.session_id].append(index)
    numbers, claims = [0] * len(found), _Claims(invalid)
    for session_id, indexes in places.items():
        known = old.get(session_id, {})
        if len(indexes) > 1 or len(known) > 1:
            for index, number in _numbers(known, [(index, found[index]) for index in indexes], claims):
                numbers[index] = number
    return {(placed.session_id, number): placed.version for placed, number in zip(found, numbers, strict=True)}


def _numbers(
    known: dict[int, bytes], found: list[tuple[int, Positioned]], claims: _Claims
) -> Iterable[tuple[int, int]]:
    """Yield the index and the number of each session of one id, which are in file order."""
    of_contents: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for number, digest in sorted(known.items()):
        of_contents[digest].append(number)
    left = dict(known)
    changed: list[tuple[float, int]] = []
    for index, placed in found:
        same = of_contents.get(placed.version.digest)
        if same:
            number = same.popleft()
            del left[number]
            yield index, number
        else:
            changed.append((inf if placed.position is None else placed.position, index))
    missing, new = sorted(left), max(known, default=-1) + 1
    # If some are missing, invalid elements may be what is left of them.
    places = claims.of(found[0][1].session_id) if len(changed) < len(left) else ()
    for before, (position, index) in enumerate(changed):
        order = before + sum(bisect_left(place, position) for place in places)
        yield index, missing[order] if order < len(missing) else new + order - len(missing)


class _Claims:
    """The places of invalid elements, by the id that they have."""

    def __init__(self, invalid: Iterable[InvalidElement]) -> None:
        self._places: defaultdict[str | None, list[int]] = defaultdict(list)
        for one in sorted(invalid, key=attrgetter("position")):
            self._places[one.session_id].append(one.position)

    def of(self, session_id: str) -> list[list[int]]:
        """The places of those that may be a session of this id: they have it, or none."""
        return [self._places[name] for name in (session_id, None) if name in self._places]


def own_id(raw: str | bytes) -> str | None:
    """The id of an invalid element itself, None if it has none; ids of its instances and messages do not count."""
    text = raw if isinstance(raw, str) else raw.decode(errors="surrogateescape")
    try:
        value = json.loads(text)  # accepts more than the strict reader does
    except (ValueError, RecursionError):
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


_NAME = re.compile(rb'"id"\s*+:\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")')


def ids_in(raw: str | bytes) -> set[str]:
    """Every id in the text of an invalid element, including those of its messages."""
    data = raw.encode() if isinstance(raw, str) else raw
    names = set()
    for literal in _NAME.findall(data):
        with suppress(orjson.JSONDecodeError):
            names.add(orjson.loads(literal))
    return names


_LITERAL = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?', re.DOTALL)
_CHANGES = frozenset({"status", "updatedAt", "completedAt", "endTime"})  # what the app goes on changing


def fixes(session: WorktreeSession, torn: str | bytes) -> bool:
    """Whether a session has every text of a truncated end that begins with it.

    What the app goes on changing does not count.
    """
    data = torn.encode() if isinstance(torn, str) else torn
    texts: list[str] = []
    name, end = "", 0
    for literal in _LITERAL.finditer(data):
        end = literal.end()
        try:
            text = str(orjson.loads(literal[1]))
        except orjson.JSONDecodeError:
            return False
        if literal[2]:
            name = text
        elif name not in _CHANGES:
            texts.append(text)
    if not texts or texts[0] != session["id"] or not data.lstrip(b" \t\r\n,").startswith(b"{"):
        return False
    cut = data[end:].partition(b'"')[2]  # the beginning of a text that the tear cut
    found = set(_texts_in(session))
    if name in _CHANGES:
        cut = b""
    return found.issuperset(texts) and any(text.startswith(_readable(cut)) for text in found)


def _readable(cut: bytes) -> str:
    """Return as much of the beginning of a JSON text as can be read: a character or an escape may be cut, too."""
    for lost in range(12):  # an escape of two halves without its last digit has 11 bytes
        with suppress(orjson.JSONDecodeError):
            return str(orjson.loads(b'"' + cut[: len(cut) - lost] + b'"'))
    return cut.decode(errors="replace")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        yield from value if isinstance(value, dict) else ()
        for member in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(member)
