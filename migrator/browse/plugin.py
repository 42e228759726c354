"""Renders values for Datasette's pages and adds content to the page of a row. Datasette calls these hooks."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self
from weakref import WeakKeyDictionary

from datasette import Response, hookimpl
from datasette.utils import tilde_encode, urlsafe_components
from markupsafe import Markup, escape

from migrator.browse import queries as sql
from migrator.browse.site import DATABASE
from migrator.text import block, counted

# Importing datasette makes sqlite3 print a traceback for every SQL function that raises, in the whole process. Ours
# raise if stored text is not UTF-8; SQLite reports that as an error of the statement.
sqlite3.enable_callback_tracebacks(False)  # noqa: FBT003 - as sqlite3 takes it
MOST_BYTES = 128 << 20  # of a value, and of all values that a query returns
_LONGEST_PATTERN = 1000  # of LIKE and GLOB, whose time grows with pattern and text
_SIZES: WeakKeyDictionary[sqlite3.Cursor, int] = WeakKeyDictionary()
_MOST_AGENTS = 500
_MOST_MESSAGES = 2000
_MOST_CHARACTERS = 5_000_000
# Columns that refer to another table's row.
_LINKS = {
    "session_id": "sessions",
    "session_key": "sessions",
    "message_key": "chat_messages",
    "workspace_id": "workspaces",
    "source_id": "migration_ledger",
}
# Terminal escape sequences, such as colours and titles. They are shown small, since they are not part of the text.
_CONTROL = re.compile(r"(\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|\x9b[0-?]*[ -/]*[@-~])")
_GLIMPSE = 600
_LABEL = 90
LONGEST = 1_000_000


class _BoundedRow(sqlite3.Row):
    """A row of a result that is refused as soon as it is larger than a page can show."""

    def __new__(cls, cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Self:
        size = sum(len(value) for value in values if isinstance(value, str | bytes))
        _SIZES[cursor] = _SIZES.get(cursor, 0) + size
        if _SIZES[cursor] > MOST_BYTES:
            raise sqlite3.OperationalError(f"the result is larger than {MOST_BYTES >> 20} MiB")
        return super().__new__(cls, cursor, values)


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Bound the memory that a query takes, of a value in SQLite and of all that is returned."""
    conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    conn.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_PATTERN)
    conn.row_factory = _BoundedRow


@hookimpl
def prepare_jinja2_environment(env: Any) -> None:
    """Escape control characters in every text of a template, so that it is harmless, also when pasted to a terminal."""
    env.finalize = _harmless
    env.filters |= {"whole": _value, "line": lambda value: line(str(value)), "row_link": _link}


def _harmless(value: Any) -> Any:
    if isinstance(value, Markup):  # also Datasette's own, such as the link of a row's key
        return Markup(block(str(value)))  # noqa: S704 - the escapes contain no HTML
    return block(value) if type(value) is str else value


@hookimpl
def render_cell(row: Any, value: Any, column: str, table: str | None) -> Markup | None:
    """Render a cell of a table: as a link to the row that it refers to, or as the beginning of a text."""
    key = {"sessions": "id", "session_values": "session_key", None: "session"}.get(table)
    if column == "task" and key in row.keys():  # noqa: SIM118 - a row of sqlite3
        return _link(row[key], "sessions", value)
    target = _LINKS.get(column)
    if isinstance(value, dict):  # a reference, with the label that Datasette looked up
        return _link(value["value"], target, value["label"]) if target else None
    if target and value is not None and table != target:
        return _link(value, target, value)
    return glimpse(value) if isinstance(value, str) and value else None


@hookimpl
def extra_template_vars(
    table: str | None, view_name: str, request: Any, datasette: Any
) -> Callable[[], Awaitable[Any]]:
    """Give the template of a row the whole row, and that of a session also its agents and its chat."""

    async def variables() -> dict[str, Any]:
        if view_name != "row" or table not in sql.ROWS_BY_KEY:
            return {}
        (key,) = urlsafe_components(request.url_vars["pks"])
        database = datasette.get_database(DATABASE)

        async def rows(statement: str, most: int = 1) -> list[dict[str, Any]]:
            found = await database.execute(statement, {"key": key, "most": most})
            return [dict(row) for row in found.rows]

        record = (await rows(sql.ROWS_BY_KEY[table]))[0]
        values: dict[str, Any] = {"record": record}
        if table == "sessions":
            agents = await rows(sql.AGENTS_OF_SESSION, _MOST_AGENTS)
            messages = await rows(sql.CHAT_OF_SESSION, _MOST_MESSAGES)
            values |= {
                "heading": (await rows(sql.SESSION_HEADING))[0],
                "agents": agents,
                "outputs": together((agent["output"] for agent in agents), _MOST_CHARACTERS),
                "messages": messages,
                "contents": together((message["content"] for message in messages), _MOST_CHARACTERS),
                "most_messages": _MOST_MESSAGES,
            }
        return values

    return variables


@hookimpl
def handle_exception(datasette: Any, exception: Exception) -> Callable[[], Awaitable[Any]]:
    """Show a page that says what went wrong. Datasette's own handler would also print a traceback with stored data."""

    async def page() -> Any:
        status = getattr(exception, "status", 500)
        message = str(getattr(exception, "message", exception)) or type(exception).__name__
        if status >= 500:  # an error of the program, not of the request
            logging.getLogger("migrator").debug("A page failed:", exc_info=exception)
        members = {"ok": False, "error": message, "status": status, "title": None}
        text = await datasette.render_template("error.html", members)
        return Response.html(text, status=status)

    return page


def _value(value: Any, column: str = "") -> Any:
    """Render a value for the page of its row."""
    if value is None or value == "":
        return Markup('<span class="none">none</span>')
    if column in _LINKS:
        return _link(value, _LINKS[column], value)
    if isinstance(value, bytes):
        return whole(value.decode(errors="backslashreplace"))
    return whole(value) if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else str(value)


def _link(key: Any, table: str, label: Any) -> Markup:
    address = f"/{DATABASE}/{table}/{tilde_encode(str(key))}"
    return Markup('<a href="{}" dir="auto">{}</a>').format(address, line(str(label)) or escape("(empty)"))


def line(text: str) -> Markup:
    """Render the beginning of a text in one line."""
    first = " ".join(text[: 4 * _LABEL].split())
    return escape(block(first if len(first) <= _LABEL else first[: _LABEL - 1] + "…"))


def glimpse(text: str) -> Markup:
    """Render a text for a cell of a table: only its beginning if it is long."""
    if len(text) <= _LABEL and text.isprintable():
        return escape(text)
    return _pre(text[:_GLIMPSE], len(text) - _GLIMPSE)


def whole(text: str, most: int = LONGEST) -> Markup:
    """Render a text for the page of its row: at most ``most`` characters."""
    return _pre(text[:most], len(text) - most)


def together(texts: Iterable[str | None], most: int) -> list[Markup]:
    """Render several texts for one page: whole ones until the page gets too large for a browser, then beginnings."""
    rendered = []
    for text in (text or "" for text in texts):
        rendered.append(whole(text, max(_GLIMPSE, min(LONGEST, most))))
        most -= len(text)
    return rendered


def _pre(text: str, left: int) -> Markup:
    pieces = _CONTROL.split(text)  # every second piece is an escape sequence
    kind = "stored terminal" if len(pieces) > 1 else "stored"
    parts = [
        Markup('<span class="control">{}</span>').format(block(piece)) if number % 2 else escape(block(piece))
        for number, piece in enumerate(pieces)
    ]
    more = Markup('<span class="more">… {}</span>').format(counted(left, "more character")) if left > 0 else Markup()
    return Markup('<pre class="{}" dir="auto">{}{}</pre>').format(kind, Markup().join(parts), more)
