"""Validates sessions against ``schemas/json/session.schema.json``: a fast verdict, and detailed problems if needed.

``jsonschema-rs`` decides (about 1 GB/s); ``jsonschema`` explains (about 5 MB/s), and only for invalid documents. Both
use the same schema; a property test checks that they agree.
"""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from migrator.documents.document import SESSION_MEMBERS
from migrator.documents.exact_json import LONE_SURROGATE, MAX_DEPTH, escape_pointer
from migrator.errors import Problem, ValidationError
from migrator.files.resources import schemas
from migrator.text import counted

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SESSION_NUMBERS = ("timeoutSeconds", "winnerId", *(name for name in SESSION_MEMBERS if name.startswith("total")))
_INSTANCE_NUMBERS = ("instanceId", "filesChanged", "linesAdded", "linesDeleted")
_SHOWN = 60
_MOST_PROBLEMS = 500
_SCALARS = (str, int, bool, float, Decimal)
_LONGEST_INTEGER = 13_000  # bits; Python converts integers of up to 4,300 digits to text
_TYPES = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "object": "an object",
    "string": "a string",
}


@cache
def _schema() -> dict[str, Any]:
    text = (schemas() / "json" / "session.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold interrupts back until the end of the block: a package written in Rust panics at one while it is loaded."""
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts are raised in the main thread
        return
    held: list[int] = []
    handlers = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in replaced:
        signal.signal(number, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        for number in held[:1]:
            signal.raise_signal(number)


@cache
def _fast() -> Callable[[Any], bool]:
    with _interrupts_held():
        import jsonschema_rs  # slow to load; only a run that validates needs it
    return jsonschema_rs.Draft202012Validator(_schema()).is_valid


@cache
def _reference() -> Validator:
    from jsonschema import Draft202012Validator, validators  # slow to load; only an invalid document needs it

    # serde rejects 1.0 for an integer; JSON Schema accepts it.
    strict = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # it is untyped
    return cast("Validator", extend(Draft202012Validator, type_checker=strict)(_schema()))


def is_valid(document: Any) -> bool:
    """Whether a value that was read from JSON is a valid session."""
    return fits_schema(document) and not _has_fractional_integer(document)


def fits_schema(document: Any) -> bool:
    """Whether a value conforms to the JSON Schema alone, which accepts 1.0 as an integer."""
    return _fast()(document)


def _has_fractional_integer(session: Any) -> bool:
    """Whether a member that must be an integer is written as a fraction; the shape must be valid."""
    for name in _SESSION_NUMBERS:
        if isinstance(session.get(name), (float, Decimal)):
            return True
    for instance in session["instances"]:
        for name in _INSTANCE_NUMBERS:
            if isinstance(instance.get(name), (float, Decimal)):
                return True
    return any(isinstance(message.get("instanceId"), (float, Decimal)) for message in session["chatHistory"])


def problems(document: Any) -> list[Problem]:
    """List the reasons why a JSON value is not a session, in document order; empty for a valid one.

    Only the first few hundred are listed: an array of a million empty objects has six million problems, which would
    take a hundred times its memory.
    """
    if not isinstance(document, dict):  # decided without the slow validator: a file may contain a million of these
        return [Problem("", abbreviated(document), _TYPES["object"], "document.type")]
    found = list(islice(_reference().iter_errors(document), _MOST_PROBLEMS + 1))
    errors = sorted(found[:_MOST_PROBLEMS], key=lambda error: _place(document, error.absolute_path))
    listed = [_explain(error) for error in errors]
    if len(found) > len(errors):
        more = f"more than {_MOST_PROBLEMS} problems; only the first are listed"
        listed.append(Problem("", more, "", "document.more_problems"))
    return listed


def _place(document: Any, path: Iterable[str | int]) -> list[int]:
    """Return the place of a value in the document, as a sort key; a missing member has the place of its object."""
    place, value = [], document
    for token in path:
        place.append(token if isinstance(token, int) else list(value).index(token))
        value = value[token]
    return place


def _explain(error: Any) -> Problem:
    pointer = "".join(f"/{escape_pointer(str(token))}" for token in error.absolute_path)
    match error.validator:
        case "required":
            # jsonschema reports each missing member separately, but names it only in the message
            name = next(name for name in error.validator_value if error.message.startswith(repr(name)))
            return Problem(f"{pointer}/{name}", "required member is missing", "", "document.required")
        case "type":
            wanted = error.validator_value
            names = wanted if isinstance(wanted, list) else [wanted]
            expected, code = " or ".join(_TYPES.get(str(name), str(name)) for name in names), "document.type"
        case "minimum":
            expected, code = f"a number of at least {error.validator_value}", "document.range"
        case "maximum":
            expected, code = f"a number of at most {error.validator_value}", "document.range"
        case _:
            expected, code = error.message, "document.invalid"
    return Problem(pointer, abbreviated(error.instance), expected, code)


def abbreviated(value: Any) -> str:
    """Format a value for a message: short, and without anything that could control a terminal."""
    if isinstance(value, dict):
        return f"an object with {counted(len(value), 'member')}"
    if isinstance(value, list):
        return f"an array with {counted(len(value), 'element')}"
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return f"an integer of {value.bit_length():,} bits"
    if value is not None and not isinstance(value, _SCALARS):
        return f"a {type(value).__name__}"
    literal = value[:_SHOWN] if isinstance(value, str) else value
    text = str(value) if isinstance(value, Decimal) else json.dumps(literal)
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "…"


def require_session(document: Any) -> None:
    """Reject anything that is not a valid session or could not be written as JSON and read back.

    :raises ValidationError: with every problem
    """
    reasons = list(_not_json(document, "", 1))
    if not reasons and not is_valid(document):
        reasons = problems(document)
    if reasons:
        count = counted(len(reasons), "problem")
        raise ValidationError(f"This is not a valid session ({count}): {_listed(reasons)}", reasons)


def require_message(message: Any) -> None:
    """Reject anything that is not a valid chat message or could not be written as JSON and read back.

    :raises ValidationError: with every problem; the pointers start at the message
    """
    reasons = list(_not_json(message, "", 3))
    if not reasons:
        around = _AROUND_A_MESSAGE | {"chatHistory": [message]}
        if not is_valid(around):
            inside = "/chatHistory/0"
            reasons = [reason._replace(pointer=reason.pointer.removeprefix(inside)) for reason in problems(around)]
    if reasons:
        raise ValidationError(f"This is not a valid chat message: {_listed(reasons)}", reasons)


# A message is validated as part of a session that is otherwise valid.
_AROUND_A_MESSAGE: dict[str, Any] = {
    "id": "",
    "type": "debate",
    "task": "",
    "status": "running",
    "createdAt": "",
    "updatedAt": "",
    "instances": [],
}


def _listed(reasons: list[Problem]) -> str:
    more = f"; and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return "; ".join(map(str, reasons[:5])) + more + "."


def _not_json(value: Any, pointer: str, depth: int) -> Iterator[Problem]:
    """Find what JSON cannot represent: unlike a file, a caller's dict may contain anything."""
    if depth > MAX_DEPTH and isinstance(value, (dict, list)):
        yield Problem(pointer, f"nested deeper than {MAX_DEPTH} levels", "", "document.too_deep")
    elif isinstance(value, dict):
        for name, member in value.items():
            if type(name) is not str:
                yield Problem(pointer, f"a member named {name!r}", "only strings as names", "document.member_name")
            else:
                yield from _not_json(name, pointer, depth)
                yield from _not_json(member, f"{pointer}/{escape_pointer(name)}", depth + 1)
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _not_json(member, f"{pointer}/{position}", depth + 1)
    else:
        problem = _not_a_scalar(value, pointer)
        if problem is not None:
            yield problem


def _not_a_scalar(value: Any, pointer: str) -> Problem | None:
    """Say why a value is not a JSON scalar; None if it is one."""
    is_named = isinstance(value, Enum) and isinstance(value, (str, int))
    if value is not None and type(value) not in _SCALARS and not is_named:  # the libraries refuse other subclasses
        return Problem(pointer, f"a Python {type(value).__name__}", "a JSON value", "document.not_json")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return Problem(pointer, LONE_SURROGATE, "", "document.lone_surrogate")
    elif isinstance(value, (float, Decimal)):
        # math considers a Decimal infinite if it is larger than any double.
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return None if finite else Problem(pointer, str(value), "a finite number", "document.not_finite")
    elif isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        expected = f"at most {_LONGEST_INTEGER:,} bits"
        return Problem(pointer, abbreviated(value), expected, "document.number_too_large")
    return None
