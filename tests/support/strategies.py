"""What a workspace file may hold, as hypothesis strategies; and the exact comparison that ``==`` is not."""

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from migrator.database.rows import DocumentRows, from_rows
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS

U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1

Json = st.SearchStrategy[Any]

# Terminal captures, every script, and what JSON, SQL or a terminal might trip over.
AWKWARD_TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x1b[31mred\x1b[0m",
    "".join(map(chr, range(0x20))),
    "\x7f",
    "\x85\u2028\u2029\ufeff",
    '"\\/',
    "\n  },\n  {",
    "\\u0000",
    "👩‍💻🎉",
    "日本語のセッション",
    "e\u0301 é",
    "'; DROP TABLE sessions; --",
    "\U0010ffff",
]


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are exactly the same: 1, 1.0, True and Decimal(1) all differ, and so does the order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


def of_rows(rows: DocumentRows) -> tuple[Any, bool]:
    """The document of rows as they are written, and whether it is plain: read, they come without their position."""
    instances, messages = ([(*row[:-2], row[-1]) for row in part] for part in (rows.instances, rows.messages))
    return from_rows(rows.session, [name for _, name in rows.runtimes], instances, messages)


def texts() -> st.SearchStrategy[str]:
    return st.sampled_from(AWKWARD_TEXTS) | st.text(max_size=12)


def _no_double_holds(number: Decimal) -> bool:
    return Decimal(repr(float(number))) != number


def inexact_decimals() -> st.SearchStrategy[Decimal]:
    """Fractions and powers of ten that would change if they were read as doubles."""
    drawn = st.builds(
        lambda digits, exponent: Decimal(f"{digits}E{exponent}"),
        st.integers(-(10**24), 10**24),
        st.integers(-400, 400).filter(bool),
    )
    known = [Decimal("0.1000000000000000055511151231257827"), Decimal("1E+400"), Decimal("-1E-400")]
    return st.sampled_from(known) | drawn.filter(_no_double_holds)


def integers() -> st.SearchStrategy[int]:
    edges = [0, -1, U32_MAX, (1 << 63) - 1, 1 << 63, -(1 << 63), -(1 << 63) - 1, U64_MAX, U64_MAX + 1, 10**60]
    return st.sampled_from(edges) | st.integers() | st.integers(-(10**40), 10**40)


def fractions() -> Json:
    return (
        st.sampled_from([1.0, 0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308])
        | st.floats(allow_nan=False, allow_infinity=False)
        | inexact_decimals()
    )


def json_values(*, with_fractions: bool = True) -> Json:
    """Any JSON value that can be kept exactly."""
    scalars = st.none() | st.booleans() | integers() | texts()
    return st.recursive(
        scalars | fractions() if with_fractions else scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=5,
    )


def u32() -> st.SearchStrategy[int]:
    return st.sampled_from([0, 1, U32_MAX]) | st.integers(0, U32_MAX)


def u64() -> st.SearchStrategy[int]:
    return st.sampled_from([0, (1 << 63) - 1, 1 << 63, U64_MAX]) | st.integers(0, U64_MAX)


def timestamps() -> st.SearchStrategy[str]:
    return st.sampled_from(["2025-01-13T10:00:00.000Z", "2025-01-13T10:00:00.123456789+00:00"]) | texts()


def session_ids() -> st.SearchStrategy[str]:
    """Few of them, so that they are often taken; some look like a key that is derived from a taken one."""
    return st.sampled_from(["", "s", "s", "t", "s#aaaaaaaaaaaaaaaa.1", "s\x00t"]) | texts()


def message_ids() -> st.SearchStrategy[str]:
    return st.sampled_from(["", "msg-1", "msg-1", "msg-1-response", "msg-1#s.1", "#s.0"]) | texts()


def session_statuses() -> st.SearchStrategy[str]:
    rounds = st.integers(0, 10**25).map("round_{}".format)
    known = ["running", "completed", "failed", "paused", "round_2", "round_007"]
    return st.sampled_from([*known, "cancelled", "Running", "running\n", "round_", "round_x"]) | rounds | texts()


def session_types() -> st.SearchStrategy[str]:
    return st.sampled_from(["competition", "ensemble", "debate", "tournament", "Debate"]) | texts()


def roles() -> st.SearchStrategy[str]:
    return st.sampled_from(["user", "assistant", "system", "tool", "System"]) | texts()


def runtime_mixes() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(["claude", "codex", "gemini"]) | texts(), max_size=4)


INSTANCE_REQUIRED: dict[str, Json] = {
    "instanceId": st.integers(0, 2) | u32(),
    "worktreePath": st.just("/home/dev/engine/.worktrees/instance-1") | texts(),
    "branch": texts(),
    "agentName": texts(),
    "status": st.sampled_from(["idle", "running", "completed", "failed", "paused", "archived"]) | texts(),
    "tmuxSessionId": texts(),
}
INSTANCE_OPTIONAL: dict[str, Json] = {
    "output": texts(),
    "startTime": timestamps(),
    "endTime": timestamps(),
    "filesChanged": u32(),
    "linesAdded": u32(),
    "linesDeleted": u32(),
    "runtime": texts(),
    "model": texts(),
    "runtimeLabel": texts(),
}
MESSAGE_REQUIRED: dict[str, Json] = {
    "id": message_ids(),
    "role": roles(),
    "content": texts(),
    "timestamp": timestamps(),
}
MESSAGE_OPTIONAL: dict[str, Json] = {"instanceId": u32()}
SESSION_REQUIRED: dict[str, Json] = {
    "id": session_ids(),
    "type": session_types(),
    "task": texts(),
    "status": session_statuses(),
    "createdAt": timestamps(),
    "updatedAt": timestamps(),
}
SESSION_OPTIONAL: dict[str, Json] = {
    "completedAt": timestamps(),
    "model": texts(),
    "timeoutSeconds": u32(),
    "preserveWorktrees": st.booleans(),
    "winnerId": u32(),
    "runtimeMix": runtime_mixes(),
    "totalDuration": u64(),
    "totalFilesChanged": u32(),
    "totalLinesAdded": u32(),
    "totalLinesDeleted": u32(),
}

_FUTURE_NAMES = ["evaluation", "integrationPhase", "testsPassed", "executionTime", "columns", "members", "", "~/", "ID"]


def _objects(
    required: dict[str, Json], optional: dict[str, Json], known: tuple[str, ...], unknown: Json | None
) -> Json:
    """Objects with these members and, unless ``unknown`` is None, sometimes with unknown members."""
    nullable = {name: st.none() | values for name, values in optional.items()}
    names = (st.sampled_from(_FUTURE_NAMES) | texts()).filter(lambda name: name not in known)
    future = st.nothing() if unknown is None else st.dictionaries(names, unknown, min_size=1, max_size=2)

    def turned(members: dict[str, Any], further: dict[str, Any], turn: int) -> dict[str, Any]:
        items = list((members | further).items())
        return dict(items[turn:] + items[:turn])  # the order of members means nothing

    return st.builds(
        turned,
        st.fixed_dictionaries(required, optional=nullable),
        st.just({}) | future,
        st.sampled_from([0, 0, 0, 1, 5]),
    )


@cache
def instances(unknown: Json | None) -> Json:
    return _objects(INSTANCE_REQUIRED, INSTANCE_OPTIONAL, INSTANCE_MEMBERS, unknown)


@cache
def messages(unknown: Json | None) -> Json:
    return _objects(MESSAGE_REQUIRED, MESSAGE_OPTIONAL, MESSAGE_MEMBERS, unknown)


_ANY_JSON = json_values()


@cache
def documents(unknown: Json | None = _ANY_JSON) -> Json:
    """Every valid session; ``unknown`` makes the values of members that the app doesn't know, None makes none."""
    children = {
        "instances": st.lists(instances(unknown), max_size=3),
        "chatHistory": st.lists(messages(unknown), max_size=3),
    }
    return _objects(SESSION_REQUIRED | children, SESSION_OPTIONAL, SESSION_MEMBERS, unknown)


def files() -> st.SearchStrategy[list[Any]]:
    """The array of a whole workspace file; ids repeat."""
    return st.lists(documents(), max_size=4)


# What serde refuses for a member of each kind, whatever else is right.
_NO_TEXT: list[Any] = [0, 1.5, True, [], {}, ["text"]]
_NO_INTEGER: list[Any] = [-1, 1.0, 1e3, -0.0, 0.5, True, False, "1", "", [], {}, Decimal("1E+400"), 10**30, -(10**30)]
_NO_U32 = [*_NO_INTEGER, U32_MAX + 1]
_NO_U64 = [*_NO_INTEGER, U64_MAX + 1]
_NO_LIST: list[Any] = [{}, "", 0, False]


def _wrong_values(
    required: dict[str, Json], optional: dict[str, Json], special: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    wrong = {name: [*special.get(name, _NO_TEXT), None] for name in required}
    return wrong | {name: special.get(name, _NO_TEXT) for name in optional}


_WRONG_IN_SESSION = _wrong_values(
    SESSION_REQUIRED | {"instances": st.none(), "chatHistory": st.none()},
    SESSION_OPTIONAL,
    {
        "instances": [*_NO_LIST, [None], [[]], ["text"]],
        "chatHistory": [*_NO_LIST, [None], [[]], ["text"]],
        "preserveWorktrees": [0, 1, 1.0, "true", []],
        "runtimeMix": [*_NO_LIST, [None], [1], [["claude"]]],
        "totalDuration": _NO_U64,
    }
    | dict.fromkeys(
        ["timeoutSeconds", "winnerId", "totalFilesChanged", "totalLinesAdded", "totalLinesDeleted"], _NO_U32
    ),
)
_WRONG_IN_INSTANCE = _wrong_values(
    INSTANCE_REQUIRED,
    INSTANCE_OPTIONAL,
    dict.fromkeys(["instanceId", "filesChanged", "linesAdded", "linesDeleted"], _NO_U32),
)
_WRONG_IN_MESSAGE = _wrong_values(MESSAGE_REQUIRED, MESSAGE_OPTIONAL, {"instanceId": _NO_U32})


@st.composite
def _made_invalid(
    draw: st.DrawFn, make: Callable[[], Json], required: list[str], wrong: dict[str, list[Any]]
) -> tuple[dict[str, Any], str]:
    """A valid object with one member taken out or made wrong, and the name of that member."""
    value = draw(make())
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(required))
        del value[name]
    else:
        name = draw(st.sampled_from(sorted(wrong)))
        value[name] = draw(st.sampled_from(wrong[name]))
    return value, name


@st.composite
def invalid_documents(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A session that is valid but for one member, and the JSON Pointer that the problem's pointer begins with."""
    children = {"instances": (INSTANCE_REQUIRED, _WRONG_IN_INSTANCE, instances)}
    children["chatHistory"] = (MESSAGE_REQUIRED, _WRONG_IN_MESSAGE, messages)
    place = draw(st.sampled_from(["", *children]))
    if not place:
        required = [*SESSION_REQUIRED, *children]
        document, name = draw(_made_invalid(documents, required, _WRONG_IN_SESSION))
        return document, f"/{name}"
    names, wrong, make = children[place]
    document = draw(documents())
    value, name = draw(_made_invalid(lambda: make(_ANY_JSON), list(names), wrong))
    position = draw(st.integers(0, len(document[place])))
    document[place].insert(position, value)
    return document, f"/{place}/{position}/{name}"


def session(**members: Any) -> Any:
    """A small valid session, with these members besides or instead."""
    return {
        "id": "session-1",
        "type": "competition",
        "task": "Weave",
        "status": "running",
        "createdAt": "2025-01-13T10:00:00.000Z",
        "updatedAt": "2025-01-13T10:00:01.000Z",
        "instances": [],
        "chatHistory": [],
    } | members


def instance(**members: Any) -> Any:
    """A small valid instance, with these members besides or instead."""
    return {
        "instanceId": 1,
        "worktreePath": "/home/dev/engine/.worktrees/instance-1",
        "branch": "b",
        "agentName": "a",
        "status": "idle",
        "tmuxSessionId": "t",
    } | members


def message(**members: Any) -> Any:
    """A small valid chat message, with these members besides or instead."""
    return {"id": "msg-1", "role": "user", "content": "hello", "timestamp": "2025-01-13T10:00:00.000Z"} | members
