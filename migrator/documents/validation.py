"""Is this a session? ``schemas/json/session.schema.json`` is the contract; this asks it fast, or answers at length.

``jsonschema-rs`` gives the verdict (about 1 GB/s), ``jsonschema`` the reasons (about 5 MB/s), so that a valid document
never meets the slow one. Both read the same schema; a property test holds them to the same verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from migrator.documents.document import SESSION_MEMBERS
from migrator.documents.exact_json import MAX_DEPTH, escape_pointer
from migrator.errors import Problem, ValidationError
from migrator.resources import schemas

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SESSION_NUMBERS = ("timeoutSeconds", "winnerId", *(name for name in SESSION_MEMBERS if name.startswith("total")))
_INSTANCE_NUMBERS = ("instanceId", "filesChanged", "linesAdded", "linesDeleted")
_SHOWN = 60
_MOST_PROBLEMS = 500
_LONGEST_INTEGER = 13_000  # bits; Python spells out integers of up to 4,300 digits


@cache
def _schema() -> dict[str, Any]:
    text = (schemas() / "json" / "session.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _fast() -> Callable[[Any], bool]:
    import jsonschema_rs  # only a run that validates pays for its loading

    return jsonschema_rs.Draft202012Validator(_schema()).is_valid


@cache
def _reference() -> Validator:
    from jsonschema import Draft202012Validator, validators  # only an invalid document pays for its loading

    # serde refuses 1.0 for an integer; JSON Schema by itself does not.
    strict = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # it has no types of its own
    return cast("Validator", extend(Draft202012Validator, {"pattern": _whole_pattern}, type_checker=strict)(_schema()))


def _whole_pattern(_validator: Any, pattern: str, text: Any, _schema: Any) -> Iterator[Any]:
    """The keyword ``pattern`` where ``$`` is the end: to Python's re it is before a last line feed, too."""
    from jsonschema.exceptions import ValidationError as Refusal

    if isinstance(text, str) and not re.fullmatch(pattern, text):
        yield Refusal(f"{text!r} does not match {pattern!r}")


def is_valid(document: Any) -> bool:
    """The verdict on a value that was read from JSON."""
    return fits_schema(document) and not _has_fractional_integer(document)


def fits_schema(document: Any) -> bool:
    """The verdict of JSON Schema by itself, which takes 1.0 for an integer."""
    return _fast()(document)


def _has_fractional_integer(session: Any) -> bool:
    """Whether a member that must be an integer is written as a fraction; the shape is known to be right."""
    for name in _SESSION_NUMBERS:
        if isinstance(session.get(name), (float, Decimal)):
            return True
    for instance in session["instances"]:
        for name in _INSTANCE_NUMBERS:
            if isinstance(instance.get(name), (float, Decimal)):
                return True
    return any(isinstance(message.get("instanceId"), (float, Decimal)) for message in session["chatHistory"])


def problems(document: Any) -> list[Problem]:
    """The reasons why a JSON value is not a session, in document order, the first few hundred; empty for a valid one.

    An array of a million empty objects has six million: listed, they would take a hundred times its memory.
    """
    if not isinstance(document, dict):
        return [Problem("", abbreviated(document), "object")]  # of which a file may hold a million, without a long look
    found = list(islice(_reference().iter_errors(document), _MOST_PROBLEMS + 1))
    errors = sorted(found[:_MOST_PROBLEMS], key=lambda error: _place(document, error.absolute_path))
    listed = [_explain(error) for error in errors]
    if len(found) > len(errors):
        listed.append(Problem("", f"more than {_MOST_PROBLEMS} problems", "none; these are the first that were found"))
    return listed


def _place(document: Any, path: Iterable[str | int]) -> list[int]:
    """Where a value stands in the document, to sort by; a missing member stands where its object does."""
    place, value = [], document
    for token in path:
        place.append(token if isinstance(token, int) else list(value).index(token))
        value = value[token]
    return place


def _explain(error: Any) -> Problem:
    pointer = "".join(f"/{escape_pointer(str(token))}" for token in error.absolute_path)
    match error.validator:
        case "required":
            # jsonschema reports each missing member by itself, and names it in the message alone
            name = next(name for name in error.validator_value if error.message.startswith(repr(name)))
            return Problem(f"{pointer}/{name}", "nothing", "this member, which every one has")
        case "type":
            wanted = error.validator_value
            expected = " or ".join(wanted) if isinstance(wanted, list) else wanted
        case "enum":
            expected = "one of " + ", ".join(map(str, error.validator_value))
        case "pattern":
            expected = "one of running, completed, failed, paused, round_1, round_2, …"
        case "minimum":
            expected = f"a number of {error.validator_value} or more"
        case "maximum":
            expected = f"a number of {error.validator_value} or less"
        case _:
            expected = error.message
    return Problem(pointer, abbreviated(error.instance), expected)


def abbreviated(value: Any) -> str:
    """A value for a message: short, and with nothing in it that could drive a terminal."""
    if isinstance(value, dict):
        return f"an object with {len(value)} members"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    literal = value[:_SHOWN] if isinstance(value, str) else value
    text = str(value) if isinstance(value, Decimal) else json.dumps(literal)
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "…"


def require_session(document: Any) -> None:
    """Refuse what is no valid session, or could not be written as JSON and read back.

    :raises ValidationError: with every problem
    """
    reasons = list(_no_json(document, "", 1))
    if not reasons and not is_valid(document):
        reasons = problems(document)
    if reasons:
        count = "1 problem" if len(reasons) == 1 else f"{len(reasons)} problems"
        raise ValidationError(f"This is not a valid session ({count}): {_listed(reasons)}", reasons)


def require_message(message: Any) -> None:
    """Refuse what is no valid chat message, or could not be written as JSON and read back.

    :raises ValidationError: with every problem, the pointers starting at the message
    """
    reasons = list(_no_json(message, "", 3))
    if not reasons:
        around = _AROUND_A_MESSAGE | {"chatHistory": [message]}
        if not is_valid(around):
            inside = "/chatHistory/0"
            reasons = [reason._replace(pointer=reason.pointer.removeprefix(inside)) for reason in problems(around)]
    if reasons:
        raise ValidationError(f"This is not a valid chat message: {_listed(reasons)}", reasons)


# A message is asked about as part of a session that is valid but for it.
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


def _no_json(value: Any, pointer: str, depth: int) -> Iterator[Problem]:
    """What JSON can't say: a caller's dict may hold anything, unlike a file."""
    if depth > MAX_DEPTH and isinstance(value, (dict, list)):
        yield Problem(pointer, "more levels", f"at most {MAX_DEPTH} levels of nesting")
    elif isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                yield Problem(pointer, f"a member named {name!r}", "texts for names")
            else:
                yield from _no_json(name, pointer, depth)
                yield from _no_json(member, f"{pointer}/{escape_pointer(name)}", depth + 1)
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _no_json(member, f"{pointer}/{position}", depth + 1)
    else:
        problem = _no_json_scalar(value)
        if problem is not None:
            yield Problem(pointer, *problem)


def _no_json_scalar(value: Any) -> tuple[str, str] | None:
    """What was found and what was expected, where a value is no JSON scalar."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return "half of a surrogate pair", "text that UTF-8 can hold"
    elif isinstance(value, (float, Decimal)):
        # To math, a Decimal beyond all doubles is infinite.
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return None if finite else (str(value), "a finite number")
    elif isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return f"an integer of {value.bit_length():,} bits", f"at most {_LONGEST_INTEGER:,} bits"
    elif value is not None and not isinstance(value, int):
        return f"a {type(value).__name__}", "a JSON value"
    return None
