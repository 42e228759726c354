"""Real files, mutated, through the real reader: what must hold for any bytes whatsoever.

``make torture ARGS="--parts fuzz"`` does a million, ``python -m tests.support.fuzzing --seed S --case N`` one again. A
case is its seed and its number: nothing else decides what it is.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import msgspec

from migrator.database.documents import read_workspace
from migrator.database.rows import to_rows
from migrator.documents import app_format
from migrator.documents.app_format import Element
from migrator.documents.array_reader import read_array
from migrator.documents.document import canonical_bytes, normal_form
from migrator.documents.exact_json import parse_fast
from migrator.documents.parsing import Rejected, parse_element, parse_session
from migrator.documents.structs import decode_session
from migrator.errors import SourceFileError, TornFileError
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from tests.support.scene import FIXTURES, Scene, app_json
from tests.support.strategies import AWKWARD_TEXTS, of_rows, same

LARGEST_SEED = 6_000  # bytes
KEPT = 1_000  # inputs that showed something new, to go on from
EVOLVED = 250  # the number of cases in one series of evolution

# What JSON readers disagree on, and what breaks the ones that are careless.
TOKENS = [
    b"-0", b"-0.0", b"1.0", b"1e400", b"1E-400", b"0.1000000000000000055511151231257827", b"1e5", b"01", b"+1", b".5",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"9" * 400, b"1" + b"0" * 5_000,
    b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"{}", b"[]", b'""', b'"\\ud800"', b'"\\udc00\\ud800"',
    b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\\x"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"',
    b'"\n"', b'"\x00"', b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe", b"\x00", b"\x1e", b"\r\n", b"\xe2\x80\xa8", b"/**/",
    b"[" * 130, b"[" * 126 + b"]" * 126, b'{"a":' * 200, b"]", b"}", b",", b":", b'"', b"\\", b"[", b"{",
    b"\n  },\n  {", b"\n  }\n]", b"[\n  {", b'{\n    "', b"\n]", b'"id": "twice",',
    b'"worktreePath": "/a/.worktrees/b",',
]  # fmt: skip
# U+E000 stands for one of the tokens, which no JSON writer would write.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 200, 1.5, [], {}, [[]], [None], {"": 0},
    "running", "round_1", "round_", "user", "debate", *AWKWARD_TEXTS, "x" * 5_000, {"__proto__": {"id": 1}},
    *["\ue000"] * 20,
]  # fmt: skip


_STAND_IN = re.compile(rb'"(?:\xee\x80\x80|\\ue000)"')
_MEMBER = re.compile(rb'"[A-Za-z]+": ')


class Failure(AssertionError):
    """Something does not hold for these bytes."""


@cache
def seeds() -> tuple[bytes, ...]:
    """Pieces of the shipped files, small enough to try thousands of."""
    found = []
    for file in sorted((FIXTURES / "data-dir" / "sessions").glob("*.json")):
        try:
            documents = json.loads(file.read_bytes() or b"[]")
        except ValueError:
            continue  # the truncated one: there are others among the damaged files
        short = [_shortened(document) for document in documents]
        found += [app_json(short[start : start + 2]) for start in range(0, min(len(short), 12), 2)]
    found += [file.read_bytes()[:LARGEST_SEED] for file in sorted((FIXTURES / "damaged").glob("*.json"))]
    return tuple(piece for piece in found if len(piece) <= LARGEST_SEED)


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value[:80]
    if isinstance(value, list):
        return [_shortened(member) for member in value[:3]]
    if isinstance(value, dict):
        return {name: _shortened(member) for name, member in value.items()}
    return value


class Mutator:
    """Makes new inputs out of those that there are."""

    def __init__(self, dice: random.Random, corpus: list[bytes]) -> None:
        self.dice = dice
        self.corpus = corpus

    def make(self) -> bytes:
        data = self.dice.choice(self.corpus)
        count = self.dice.choice((1, 1, 2, 4, 8))
        if self.dice.random() < 0.7 and (made := self.restructured(data)) != data:
            data, count = made, self.dice.choice((0, 0, 0, 0, 1, 2))
        for _ in range(count):
            data = self.dice.choice(self.BYTES)(self, data)
        return data[: 4 * LARGEST_SEED]

    # Bytes, whatever they mean.

    def spot(self, data: bytes) -> int:
        return self.dice.randint(0, len(data))

    def part(self, data: bytes) -> tuple[int, int]:
        start = self.spot(data)
        return start, min(len(data), start + int(self.dice.expovariate(1 / 40)) + 1)

    def flipped(self, data: bytes) -> bytes:
        if not data:
            return data
        changed = bytearray(data)
        changed[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
        return bytes(changed)

    def without(self, data: bytes) -> bytes:
        start, end = self.part(data)
        return data[:start] + data[end:]

    def doubled(self, data: bytes) -> bytes:
        start, end = self.part(data)
        return data[:end] + data[start:end] + data[end:]

    def torn(self, data: bytes) -> bytes:
        return data[: self.spot(data)]

    def zeroed(self, data: bytes) -> bytes:
        at = self.spot(data)
        return data[:at] + b"\0" * (len(data) - at)

    def with_token(self, data: bytes) -> bytes:
        at = self.spot(data)
        return data[:at] + self.dice.choice(TOKENS) + data[at:]

    def with_token_for_value(self, data: bytes) -> bytes:
        colons = [found.start() for found in re.finditer(b":", data)]
        if not colons:
            return self.with_token(data)
        at = self.dice.choice(colons) + 1
        end = min((found for mark in (b",", b"\n", b"}") if (found := data.find(mark, at)) >= 0), default=len(data))
        return data[:at] + self.dice.choice(TOKENS) + data[end:]

    def spliced(self, data: bytes) -> bytes:
        other = self.dice.choice(self.corpus)
        return data[: self.spot(data)] + other[self.spot(other) :]

    def joined(self, data: bytes) -> bytes:
        return data.rstrip()[:-1] + self.dice.choice((b",", b"", b"\n,\r\n", b",,")) + self.dice.choice(self.corpus)[1:]

    def elsewhere(self, data: bytes) -> bytes:
        encoding = self.dice.choice(("utf-16", "utf-16-le", "utf-8-sig", "latin-1", "utf-32"))
        return data.decode("utf-8", "replace").encode(encoding, "replace")

    def respaced(self, data: bytes) -> bytes:
        return data.replace(*self.dice.choice(((b"\n", b"\r\n"), (b"\n", b""), (b"  ", b"\t"), (b": ", b":"))))

    BYTES: tuple[Callable[[Mutator, bytes], bytes], ...] = (
        flipped, flipped, without, doubled, torn, zeroed, with_token, with_token, with_token_for_value,
        with_token_for_value, spliced, joined, elsewhere, respaced,
    )  # fmt: skip

    # JSON, by what it says.

    def restructured(self, data: bytes) -> bytes:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return data
        for _ in range(self.dice.choice((1, 1, 2, 5))):
            self.change(value)
        layout: dict[str, Any] = self.dice.choice(
            ({"indent": 2}, {"indent": 2}, {"indent": 2}, {"separators": (",", ":")}, {"indent": 4}, {})
        )
        text = json.dumps(value, ensure_ascii=self.dice.random() < 0.2, **layout)
        made = text.encode("utf-8", "surrogatepass")
        made = _STAND_IN.sub(lambda _: self.dice.choice(TOKENS), made)
        return self.with_a_member_twice(made) if self.dice.random() < 0.1 else made

    def with_a_member_twice(self, data: bytes) -> bytes:
        members = list(_MEMBER.finditer(data))
        if not members:
            return data
        at = self.dice.choice(members)
        return data[: at.start()] + at[0] + self.dice.choice((b"1, ", b"null, ", b'"x",\n    ')) + data[at.start() :]

    def change(self, value: Any) -> None:
        """One change somewhere in a value."""
        while isinstance(value, (list, dict)) and value:
            places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
            place = self.dice.choice(places)
            inner = value[place]
            if isinstance(inner, (list, dict)) and inner and self.dice.random() < 0.7:
                value = inner
                continue
            how = self.dice.randrange(5)
            if how == 0:
                del value[place]
            elif how > 2:
                value[place] = copy.deepcopy(self.dice.choice(VALUES))  # which a later change may go into
            elif isinstance(value, dict):
                name = self.dice.choice(("", "id", "new", "instances", "\u2028", place + " ")) if how == 1 else place
                value[name] = value.pop(place)  # after the others
            elif how == 1:
                value.append(copy.deepcopy(inner))
            else:
                self.dice.shuffle(value)
            return


# What must hold.


class Outcome(NamedTuple):
    """What the reader makes of some bytes.

    :ivar end: ``whole``, ``torn`` or ``no array``
    :ivar offset: where it is truncated
    """

    elements: list[Element]
    end: str
    offset: int = -1


def read(data: bytes, chunk: int = 1 << 20) -> Outcome:
    elements: list[Element] = []
    try:
        elements.extend(read_array(io.BytesIO(data), chunk=chunk))
    except TornFileError as torn:
        require(torn.whole == len(elements), "a truncated file says how many elements are complete")
        return Outcome(elements, "torn", torn.offset)
    except SourceFileError:
        require(not elements, "a file that is not an array has no elements")
        return Outcome(elements, "no array")
    return Outcome(elements, "whole")


def require(condition: object, promise: str) -> None:
    if not condition:
        raise Failure(promise)


def places(elements: Sequence[Element]) -> list[tuple[int, int, bytes]]:
    return [element[:3] for element in elements]


def check(data: bytes, chunk: int) -> str:
    """Everything that must hold for one input; says in a few words what kind of input it was.

    :raises Failure: something does not
    """
    found = read(data)
    again = read(data, chunk)
    require(places(found.elements) == places(again.elements), "the size of a piece changes no element")
    require(found[1:] == again[1:], "the size of a piece does not change the end")
    end = 0
    for number, element in enumerate(found.elements):
        require(element.position == number, "positions count from 0")
        require(data[element.offset :].startswith(element.raw), "an element is what stands at its offset")
        between = data[end : element.offset].removeprefix(b"\xef\xbb\xbf").replace(b",", b"").replace(b"[", b"", 1)
        require(not between.strip(b" \t\r\n"), "nothing but commas and space is between two elements")
        end = element.offset + len(element.raw)
    require(found.end != "torn" or found.offset >= end, "the truncated end comes after the complete elements")
    kinds = [kind_of(element.raw) for element in found.elements]
    check_against_python(data, found, kinds)
    guess = check_guess(data, found)
    return f"{found.end}, {guess}, {', '.join(sorted(set(kinds)))}"


@lru_cache(1 << 14)
def kind_of(raw: bytes) -> str:
    """What an element is, its own promises being checked; most stand in many inputs."""
    parsed = parse_session(raw)
    if isinstance(parsed, Rejected):
        require(parsed.raw == raw and parsed.problems, "what is refused is kept as it is, with reasons")
        first = parsed.problems[0]
        return f"{parsed.reason} {''.join(c for c in first.pointer if not c.isdigit())[:40]} {first.expected[:20]}"
    document = parsed.value
    serialized = parsed.canonical_bytes()
    require(serialized == canonical_bytes(document), "bytes that are said to be canonical are")
    read_again = parse_element(serialized).value
    require(canonical_bytes(read_again) == serialized, "the canonical form reads as itself")
    rows = to_rows(document, key=document["id"] or "spare")
    require(same(of_rows(rows)[0], normal_form(document)), "the rows of a document make the document")
    quick = decode_session(raw)
    if quick is None:
        return "session"
    taken = msgspec.to_builtins(quick)
    # Read back, it is compared with the bytes: where that would find nothing, there must be nothing to find.
    require(same(taken, normal_form(document)) or serialized != raw, "both ways to decode a session give the same")
    return "session as the app has it"


def check_guess(data: bytes, careful: Outcome) -> str:
    """That a file is as the app writes it, once believed, gives what the careful reader gives."""
    file: Any = io.BytesIO(data)
    within = app_format.find_sessions(file)
    if within is None:
        return "other"
    elements = list(app_format.split(file, within))
    pieces = list(app_format.split(file, within, chunk=7))
    require(pieces == elements, "read in small pieces it is taken apart in the same way")
    if not all(decode_session(e.raw) or type(parse_fast(e.raw)) is dict for e in elements):
        return "refused"
    require(careful.end == "whole", "what is taken for whole is whole")
    require(places(elements) == places(careful.elements), "cutting without parsing finds the same elements")
    sizes = [len(element.raw) for element in elements]
    known = list(app_format.split_again(file, 0, within.start, sizes))
    require(places(known) == places(elements), "known elements are found again")
    for piece in (1, 700):
        parts = [e.raw for part in app_format.partition(file, within, piece) for e in app_format.split(file, part)]
        require(parts == [element.raw for element in elements], "in parts it is the same")
    return "as written"


def check_against_python(data: bytes, found: Outcome, kinds: Sequence[str]) -> None:
    """Python's own reader is of the same opinion, as far as it has one."""
    try:
        value = _PYTHONS.decode(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        good = found.end == "whole" and found.elements and all(kind.startswith("session") for kind in kinds)
        require(not good, "what is whole and valid throughout is JSON to Python, too")
        return
    if not isinstance(value, list):
        require(found.end == "no array" or not data.strip(), "what Python does not read as an array is not one")
        return
    require(found.end == "whole" and len(found.elements) == len(value), "what is an array to Python is one")
    for element, kind, other in zip(found.elements, kinds, value, strict=True):
        if kind.startswith("session"):
            document = parse_element(element.raw, element.value).value
            require(_comparable(document) == _comparable(other), "a session says what it says to Python")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("twice")
    return members


def _no(name: str) -> None:
    raise ValueError(name)


def _fraction(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        raise ValueError("out of all bounds") from None


def _integer(digits: str) -> int | Decimal:
    if digits == "-0":
        return Decimal(digits)
    return int(digits) if len(digits) < 4_000 else Decimal(digits)


_PYTHONS = json.JSONDecoder(object_pairs_hook=_once, parse_float=_fraction, parse_int=_integer, parse_constant=_no)


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_comparable(member) for member in value]
    if isinstance(value, (float, Decimal)):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        return ("fraction", exact, exact.is_signed())
    return (type(value).__name__, value)


# Cases, one after the other.


class Case(NamedTuple):
    """One input, checked.

    :ivar reason: what does not hold for it; None if everything does
    """

    number: int
    data: bytes
    chunk: int
    reason: str | None


def cases(seed: int, first: int, count: int) -> Iterator[Case]:
    """Inputs by their numbers; what shows something new is mutated further, within a range of numbers."""
    number = first - first % EVOLVED
    while number < first + count:
        dice = random.Random(f"{seed} {number}")
        corpus, seen = list(seeds()), set[str]()
        mutator = Mutator(dice, corpus)
        for _ in range(min(EVOLVED, first + count - number)):
            data, chunk = mutator.make(), dice.choice((1, 2, 3, 7, 64, 1_000))
            kind, reason = checked(data, chunk)
            if number >= first:
                yield Case(number, data, chunk, reason)
            if kind not in seen and len(corpus) < KEPT:
                seen.add(kind)
                corpus.append(data)
            number += 1


def failures(seed: int, first: int, count: int) -> list[str]:
    """What does not hold for so many cases, each with what does it again."""
    found = []
    for number, data, chunk, reason in cases(seed, first, count):
        if reason is not None:
            small = smallest(data, lambda smaller: failure(smaller, chunk) == reason)  # noqa: B023 - called at once
            found.append(f"seed {seed}, case {number}: {reason}, for {small[:300]!r}")
    return found


def failure(data: bytes, chunk: int) -> str | None:
    return checked(data, chunk)[1]


def checked(data: bytes, chunk: int) -> tuple[str, str | None]:
    """The kind of an input, empty where something does not hold for it; and what that is."""
    try:
        return check(data, chunk), None
    except Exception as error:  # noqa: BLE001 - anything that comes out is one
        return "", f"{type(error).__name__}: {error}"


def smallest(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """The input with everything left out that can be left out."""
    size = len(data) // 2
    while size:
        start = 0
        while start < len(data):
            shorter = data[:start] + data[start + size :]
            if fails(shorter):
                data = shorter
            else:
                start += size
        size //= 2
    return data


# Whole migrations of many inputs at once, on the guess and with every care.


@contextmanager
def without_guessing() -> Iterator[None]:
    with mock.patch.object(app_format, "find_sessions", return_value=None):
        yield


def migrated(contents: Sequence[bytes], place: Path) -> dict[str, Any]:
    """Everything that a migration of files of these contents leaves, but for times."""
    scene = Scene(place)
    (place / "sessions").mkdir(parents=True)
    for number, content in enumerate(contents):
        (place / "sessions" / f"{number:016x}.json").write_bytes(content)
    report = run_migration(resolve_data_dir(place))
    found: dict[str, Any] = {
        "status": report.status,
        "errors": [error.replace(str(place), "") for error in report.errors],
    }
    if scene.database.exists():
        # Which of two sessions of one id has it as its key depends on the order of loading; what they are does not.
        with closing(sqlite3.connect(scene.database)) as connection:
            workspaces = connection.execute("SELECT id, workspace_hash FROM workspaces ORDER BY workspace_hash")
            found["documents"] = {
                name: [repr(stored.document) for stored in read_workspace(connection, number)]
                for number, name in workspaces.fetchall()
            }
        found["quarantine"] = scene.query(
            "SELECT workspace_hash, position, reason, raw, problems FROM quarantine ORDER BY 1, 2"
        )
        found["ledger"] = scene.query(
            "SELECT source, status, sha256, session_count, instances, messages, quarantined, digest, error "
            "FROM migration_ledger ORDER BY source"
        )
        found["broken"] = scene.query("PRAGMA integrity_check") + scene.query("PRAGMA foreign_key_check")
    return found


def migrations_agree(contents: Sequence[bytes], place: Path) -> None:
    """
    :raises Failure: guessing gives another result than care
    """
    guessed = migrated(contents, place / "guessed")
    with without_guessing():
        careful = migrated(contents, place / "careful")
    for name, value in careful.items():
        require(guessed[name] == value, f"migrations on the guess and with every care give the same {name}")


def migration_failures(seed: int, first: int, count: int) -> list[str]:
    """Check files by whole migrations, unlike :func:`failures`; return the file that failed, if any."""
    contents = [case.data for case in cases(seed, first, count)]
    place = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    try:
        migrations_agree(contents, place)
    except Exception as error:  # noqa: BLE001 - anything that comes out is one
        return [f"seed {seed}, cases {first} to {first + count - 1} migrated together: {type(error).__name__}: {error}"]
    finally:
        shutil.rmtree(place)
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="Do one case again.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--case", type=int, required=True)
    arguments = parser.parse_args()
    [(_, data, chunk, _)] = cases(arguments.seed, arguments.case, 1)
    sys.stdout.write(f"{data!r}\nread in pieces of {chunk}: ")
    sys.stdout.write(f"{check(data, chunk)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
