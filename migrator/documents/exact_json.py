"""JSON without loss: integers of any size, fractions as they stand, and nothing that is dropped without a word.

orjson is fast and turns integers past 64 bits into doubles, and the first of two members of one name into nothing. What
it can't keep exactly is read, and written, here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

# Where serde_json gives up; a session nested deeper can't be told from an attack, and goes to quarantine.
MAX_DEPTH = 128


class Unreadable(ValueError):
    """Bytes that are no JSON value, or one that can't be kept exactly.

    :ivar pointer: a JSON Pointer to the place, where one can be given
    """

    def __init__(self, reason: str, pointer: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer


def parse_fast(raw: bytes) -> Any:
    """What orjson reads in the bytes, or None where it can't; it may have lost something without a word."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def parse_exactly(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON and lose nothing: members repeated, say, are refused.

    :raises Unreadable: no JSON, members repeated, lone surrogates, nested deeper than ``max_depth``
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"a byte that is not UTF-8 (0x{raw[error.start]:02x} at byte {error.start} of it)") from None
    if _deeper_than(raw, max_depth):
        raise Unreadable(f"nesting deeper than {max_depth} levels")
    try:
        value = _EXACT.decode(text)
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno}, column {error.colno} of it"
        raise Unreadable(f"broken JSON ({error.msg.removesuffix(' at')} {where})") from None
    surrogate = next(_lone_surrogates(value, ""), None)
    if surrogate is not None:
        raise Unreadable("half of a surrogate pair, which UTF-8 can't hold", surrogate)
    return value


def nested_deeper(value: Any, limit: int) -> bool:
    """Whether a value that was parsed has more levels than ``limit``; level by level, so at any depth."""
    level = [value] if type(value) is dict or type(value) is list else []
    for _ in range(limit):
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) is dict or type(member) is list
        ]
        if not level:
            return False
    return True


_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|([\[{])|[\]}]', re.DOTALL)


def _deeper_than(raw: bytes, limit: int) -> bool:
    depth = 0
    for token in _BRACKETS.finditer(raw):
        if token[1]:
            depth += 1
            if depth > limit:
                return True
        elif token[0][:1] != b'"':
            depth -= 1
    return False


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Unreadable(f"the member {json.dumps(name)} twice in one object")
            seen.add(name)
    return members


def _exact_integer(digits: str) -> int | float | Decimal:
    if digits == "-0":
        return -0.0  # an integer zero has no sign
    return int(digits) if len(digits) < 4000 else Decimal(digits)  # Python limits int() to 4,300 digits


def _exact_fraction(digits: str) -> float | Decimal:
    number = float(digits)
    try:
        exact = Decimal(digits)
        if Decimal(repr(number)) == exact:
            return number
    except InvalidOperation:
        raise Unreadable(f"the number {digits[:40]}, which is out of all bounds") from None
    return exact


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name}, which is no JSON number")


_EXACT = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_exact_integer,
    parse_float=_exact_fraction,
    parse_constant=_no_constant,
)


def _lone_surrogates(value: Any, pointer: str) -> Iterator[str]:
    """JSON Pointers to the texts that UTF-8 can't hold."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            yield pointer
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _lone_surrogates(name, pointer)
            yield from _lone_surrogates(member, f"{pointer}/{escape_pointer(name)}")
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _lone_surrogates(member, f"{pointer}/{position}")


def escape_pointer(name: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def to_json(value: Any) -> str:
    """Any JSON value as compact text, exactly: integers of any size, Decimals as written."""
    return encode(value, 0).decode()


def encode(value: Any, options: int) -> bytes:
    """Any JSON value as UTF-8 text, exactly; ``options`` are those of ``orjson.dumps``."""
    try:
        return orjson.dumps(value, default=_exact_number, option=options)
    except TypeError:
        return orjson.dumps(_with_fragments(value), default=_exact_number, option=options)


def _exact_number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"{type(value).__name__} is no JSON")


def _with_fragments(value: Any) -> Any:
    """The value with the integers that orjson refuses spelled out; raises nothing of its own."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:  # which orjson writes
        return orjson.Fragment(str(value).encode())
    if isinstance(value, dict):
        return {name: _with_fragments(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_fragments(member) for member in value]
    return value
