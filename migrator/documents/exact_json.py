"""JSON without loss: integers of any size, exact fractions, and nothing dropped silently.

orjson is fast, but turns integers of more than 64 bits into doubles and drops the first of two members with the same
name. What it cannot keep exactly is read and written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

# The limit of serde_json; a session with deeper nesting may be an attack and is quarantined.
MAX_DEPTH = 128
LONE_SURROGATE = "half of a surrogate pair, which UTF-8 cannot represent"


class Unreadable(ValueError):
    """Bytes that are not a JSON value, or one that cannot be kept exactly.

    :ivar code: the code of the cause, as in :class:`~migrator.errors.Problem`
    :ivar pointer: a JSON Pointer to the place, if it is known
    """

    def __init__(self, reason: str, code: str, pointer: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.pointer = pointer


def parse_fast(raw: bytes) -> Any:
    """Parse with orjson, which may silently lose something; returns None if it cannot parse the bytes."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def parse_exactly(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON without loss; what cannot be kept exactly, such as a repeated member, is rejected.

    :raises Unreadable: not JSON, a repeated member, a lone surrogate, or nesting deeper than ``max_depth``
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"0x{raw[error.start]:02x} at byte {error.start}"
        raise Unreadable(f"not UTF-8 ({place})", "document.wrong_encoding") from None
    if _deeper_than(raw, max_depth):
        raise Unreadable(f"nested deeper than {max_depth} levels", "document.too_deep")
    try:
        value = _EXACT.decode(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
        raise Unreadable(f"invalid JSON ({reason})", "document.invalid_json") from None
    surrogate = next(_lone_surrogates(value, ""), None)
    if surrogate is not None:
        raise Unreadable(LONE_SURROGATE, "document.lone_surrogate", surrogate)
    return value


def nested_deeper(value: Any, limit: int) -> bool:
    """Whether a parsed value has more levels than ``limit``; it works level by level, so at any depth."""
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
                raise Unreadable(
                    f"the member {json.dumps(name)} appears twice in one object", "document.repeated_member"
                )
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
        raise Unreadable(f"the number {digits[:40]} is out of range", "document.number_too_large") from None
    return exact


def _reject_constant(name: str) -> Any:
    raise Unreadable(f"{name} is not a JSON number", "document.not_finite")


_EXACT = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_exact_integer,
    parse_float=_exact_fraction,
    parse_constant=_reject_constant,
)


def _lone_surrogates(value: Any, pointer: str) -> Iterator[str]:
    """Yield JSON Pointers to the strings that cannot be encoded as UTF-8."""
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
    """Escape one reference token of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def to_json(value: Any) -> str:
    """Write any JSON value as compact text, exactly: integers of any size, Decimals as written."""
    return encode(value, 0).decode()


def encode(value: Any, options: int) -> bytes:
    """Write any JSON value as UTF-8, exactly; ``options`` are those of ``orjson.dumps``."""
    try:
        return orjson.dumps(value, default=_exact_number, option=options)
    except TypeError:
        return orjson.dumps(_with_fragments(value), default=_exact_number, option=options)


def _exact_number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _with_fragments(value: Any) -> Any:
    """Replace the integers that are too large for orjson by their text; raises nothing of its own."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:  # orjson writes the others
        return orjson.Fragment(str(value).encode())
    if isinstance(value, dict):
        return {name: _with_fragments(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_fragments(member) for member in value]
    return value
