"""The SQL statements that fill a staging database, merge shards into it, and publish it into an existing database.

A shard is attached as ``shard``; a staging database that is published into an existing one, as ``staging``. Statements
for both take the schema's name as a parameter.
"""

from __future__ import annotations

from functools import cache

from migrator.database.columns import (
    CHILD_TABLES,
    INSTANCE_COLUMNS,
    MESSAGE_COLUMNS,
    PLAIN_MESSAGE_COLUMNS,
    QUARANTINE_COLUMNS,
    RUNTIME_COLUMNS,
    SESSION_COLUMNS,
)
from migrator.database.queries import aliased

_TABLES = ("sessions", *CHILD_TABLES, "quarantine")

# Filling a staging database.

TABLE_SQL = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
LAST_ROWIDS = f"SELECT {', '.join(f'(SELECT coalesce(max(rowid), 0) FROM {table})' for table in _TABLES)}"
# One for each number of LAST_ROWIDS, in its order.
FORGET_AFTER = tuple(f"DELETE FROM {table} WHERE rowid > ?" for table in _TABLES)
LAST_MESSAGE = "SELECT coalesce(max(rowid), 0) FROM chat_messages"
DELETE_MESSAGES_AFTER = "DELETE FROM chat_messages WHERE rowid > ?"
# Removes all rows of a source, which is then loaded again.
DROP_SOURCE = (
    *(
        f"DELETE FROM {table} WHERE session_id IN (SELECT id FROM sessions WHERE source_id = ?)"
        for table in CHILD_TABLES
    ),
    "DELETE FROM sessions WHERE source_id = ?",
    "DELETE FROM quarantine WHERE source_id = ?",
)
QUARANTINED_AT = "SELECT raw, reason FROM quarantine WHERE source_id = ? AND position = ?"
QUARANTINED_FROM = "SELECT position, raw, reason FROM quarantine WHERE source_id = ? AND position >= ? ORDER BY id"


@cache
def insert_plain_messages(count: int) -> str:
    """One INSERT for a number of messages of one session, which skips those whose key is taken.

    ?1 is the session's key, ?2 the position of the first message; then come the PLAIN_MESSAGE_COLUMNS of each. Values
    that the statement computes itself need not be bound, which is faster.
    """
    own = ", ".join("?" * len(PLAIN_MESSAGE_COLUMNS))
    values = ", ".join([f"(?1, ?2, {own})", *(f"(?1, ?2 + {number}, {own})" for number in range(1, count))])
    names = ", ".join(("session_id", "position", *PLAIN_MESSAGE_COLUMNS))
    return f"INSERT OR IGNORE INTO chat_messages ({names}) VALUES {values}"


# An attached database, and keys that exist both there and in the main database.

# With SQLite's 2 MB, pages of indexes are written and read again and again while large rows are copied.
LARGER_CACHES = ("PRAGMA main.cache_size = -16000", "PRAGMA staging.cache_size = -16000")
ATTACH = "ATTACH DATABASE ? AS ?"
DETACH = "DETACH DATABASE ?"
# A session's key is changed before the keys in its child rows.
DEFER_FOREIGN_KEYS = "PRAGMA defer_foreign_keys = ON"


def key_taken(schema: str, table: str) -> str:
    """Find a row with a given key in the main or the attached database."""
    return f"SELECT 1 FROM main.{table} WHERE id = ?1 UNION ALL SELECT 1 FROM {schema}.{table} WHERE id = ?1"


@cache
def rekey_session(schema: str) -> tuple[str, ...]:
    """Give a session and its child rows another key: ?1 is the new key, ?2 the rescued data, ?3 the old key."""
    return (
        f"UPDATE {schema}.sessions SET id = ?1, rescued_data = ?2 WHERE id = ?3",
        *(f"UPDATE {schema}.{table} SET session_id = ?1 WHERE session_id = ?3" for table in CHILD_TABLES),
    )


def rekey_message(schema: str) -> str:
    """Give a message another key."""
    return f"UPDATE {schema}.chat_messages SET id = ?, rescued_data = ? WHERE id = ?"


# Merging a shard.

SHARD_TAKEN_SESSIONS = f"""
    SELECT {", ".join(SESSION_COLUMNS)} FROM shard.sessions WHERE id IN (SELECT id FROM main.sessions) ORDER BY rowid
"""


def _merge_in(table: str, names: tuple[str, ...], how: str = "INSERT", position: str = "position") -> str:
    values = ", ".join(position if name == "position" else name for name in names)
    return f"{how} INTO main.{table} ({', '.join(names)}) SELECT {values} FROM shard.{table} ORDER BY rowid"


# ?1 is a source whose first ?2 elements are not in the shard.
_PLACE = "position + CASE source_id WHEN ?1 THEN ?2 ELSE 0 END"
MERGE_IN_PLACED = (
    _merge_in("sessions", SESSION_COLUMNS, position=_PLACE),
    _merge_in("quarantine", QUARANTINE_COLUMNS, position=_PLACE),
)
MERGE_IN = (_merge_in("session_runtime_mix", RUNTIME_COLUMNS), _merge_in("instances", INSTANCE_COLUMNS))
MERGE_IN_MESSAGES = _merge_in("chat_messages", MESSAGE_COLUMNS, "INSERT OR IGNORE")
SHARD_MESSAGE_COUNT = "SELECT count(*) FROM shard.chat_messages"
SHARD_TAKEN_MESSAGES = f"""
    SELECT {aliased("m", MESSAGE_COLUMNS)} FROM shard.chat_messages m JOIN main.chat_messages t ON t.id = m.id
    WHERE t.session_id <> m.session_id ORDER BY m.rowid
"""

_PLACED = ("workspace_id", "position", "source_id")
CONTENT_COLUMNS = tuple(name for name in SESSION_COLUMNS if name not in _PLACED)


def same_values(names: tuple[str, ...]) -> str:
    """The condition that the rows ``m`` and ``s`` have the same values; false if there is no ``m``."""
    return " AND ".join(f"m.{name} IS s.{name}" for name in names)


# Publishing into an existing database.

STAGED_TAKEN_SESSIONS = f"""
    SELECT {aliased("s", SESSION_COLUMNS)}, w.workspace_hash
    FROM staging.sessions s JOIN staging.workspaces w ON w.id = s.workspace_id
    WHERE s.source_id = ? AND s.id IN (SELECT id FROM main.sessions) ORDER BY s.rowid
"""
STAGED_TAKEN_MESSAGES = f"""
    SELECT {aliased("m", MESSAGE_COLUMNS)}
    FROM staging.sessions s CROSS JOIN staging.chat_messages m ON m.session_id = s.id
    WHERE s.source_id = ? AND m.id IN (SELECT id FROM main.chat_messages) ORDER BY m.rowid
"""
_COPIED_SESSION = ", ".join(
    {"workspace_id": "w.id", "position": "s.position + ?2", "source_id": "?3"}.get(name, f"s.{name}")
    for name in SESSION_COLUMNS
)
COPY_SESSIONS = f"""
    INSERT INTO main.sessions ({", ".join(SESSION_COLUMNS)})
    SELECT {_COPIED_SESSION} FROM staging.sessions s
    JOIN staging.workspaces sw ON sw.id = s.workspace_id
    JOIN main.workspaces w ON w.workspace_hash = sw.workspace_hash
    WHERE s.source_id = ?1 ORDER BY s.rowid
"""
COPY_CHILDREN = tuple(
    f"""
    INSERT INTO main.{table} ({", ".join(names)})
    SELECT {aliased("c", names)} FROM staging.sessions s
    CROSS JOIN staging.{table} c ON c.session_id = s.id WHERE s.source_id = ?1 ORDER BY s.rowid, c.rowid
    """
    for table, names in CHILD_TABLES.items()
)
_KEYS = (
    "m.session_id = s.session_id AND m.runtime = s.runtime",
    "m.session_id = s.session_id AND m.instance_id = s.instance_id",
    "m.id = s.id",
)
# Whether the rows of a copied source differ from the staged ones; bound like COPY_SESSIONS.
COPY_DIFFERS = f"""
    SELECT (SELECT count(*) FROM main.sessions WHERE source_id = ?3)
        <> (SELECT count(*) FROM staging.sessions WHERE source_id = ?1)
    OR EXISTS (
        SELECT 1 FROM staging.sessions s LEFT JOIN main.sessions m ON m.id = s.id
        WHERE s.source_id = ?1
        AND NOT (m.source_id IS ?3 AND m.position IS s.position + ?2 AND {same_values(CONTENT_COLUMNS)})
    )
""" + "".join(
    f"""
    OR EXISTS (
        SELECT 1 FROM staging.sessions o CROSS JOIN staging.{table} s ON s.session_id = o.id
        LEFT JOIN main.{table} m ON {on} WHERE o.source_id = ?1 AND NOT ({same_values(names)})
    ) OR (SELECT count(*) FROM main.sessions o CROSS JOIN main.{table} m ON m.session_id = o.id WHERE o.source_id = ?3)
        <> (SELECT count(*) FROM staging.sessions o CROSS JOIN staging.{table} s ON s.session_id = o.id
            WHERE o.source_id = ?1)
    """
    for (table, names), on in zip(CHILD_TABLES.items(), _KEYS, strict=True)
)

_COPIED_QUARANTINE = ", ".join(
    {"source_id": "?3", "position": "position + ?2"}.get(name, name) for name in QUARANTINE_COLUMNS
)
COPY_QUARANTINE = f"""
    INSERT INTO main.quarantine ({", ".join(QUARANTINE_COLUMNS)})
    SELECT {_COPIED_QUARANTINE} FROM staging.quarantine WHERE source_id = ?1 ORDER BY id
"""
