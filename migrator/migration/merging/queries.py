"""The SQL statements of a merge into an existing database, to which the staging database is attached as ``staging``."""

from __future__ import annotations

from migrator.database.columns import CHILD_TABLES, QUARANTINE_COLUMNS, SESSION_COLUMNS
from migrator.database.queries import IN_NO_FILE, ORDER
from migrator.staging.queries import CONTENT_COLUMNS, same_values

PLACES_OF_SOURCE = (
    f"SELECT s.id, s.position, s.rescued_data FROM main.sessions s WHERE s.source_id = ? ORDER BY {ORDER}"
)
QUARANTINE_OF_SOURCE = f"""
    SELECT id, raw, reason FROM main.quarantine WHERE source_id = ? AND NOT {IN_NO_FILE} ORDER BY position, id
"""
WORKSPACES_OF_SESSIONS = """
    SELECT s.id, w.workspace_hash, w.workspace_path FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
    WHERE s.source_id = ?
"""
UNSYNCED = ("PRAGMA staging.journal_mode = MEMORY", "PRAGMA staging.synchronous = OFF")
# The rows that sessions of the database had when they were looked at; ?1 is the number of the staged source.
_SEEN = {"sessions": ("id", CONTENT_COLUMNS), **{table: ("session_id", names) for table, names in CHILD_TABLES.items()}}
# What identifies a row of a session.
_ROW = {"instances": "instance_id", "chat_messages": "id"}


def _create_seen(table: str, key: str, names: tuple[str, ...]) -> tuple[str, str]:
    columns = ", ".join(("0 AS of_source", "rowid AS row_id", *names))
    indexed = ", ".join(("of_source", key, *filter(None, [_ROW.get(table)])))
    return (
        f"CREATE TABLE staging.seen_{table} AS SELECT {columns} FROM main.{table} WHERE 0",
        f"CREATE INDEX staging.seen_{table}_by_key ON seen_{table} ({indexed})",
    )


CREATE_SEEN = (
    *(statement for table, (key, names) in _SEEN.items() for statement in _create_seen(table, key, names)),
    *(
        f"CREATE TABLE staging.{what}_{table} (session_key TEXT, row_id INTEGER, PRIMARY KEY (session_key, row_id))"
        for table in _ROW
        for what in ("gone", "new")
    ),
)
SEE = tuple(
    f"INSERT INTO staging.seen_{table} SELECT ?1, rowid, {', '.join(names)} FROM main.{table} WHERE {key} = ?2"
    for table, (key, names) in _SEEN.items()
)
# The rows of a session that are not staged, and the staged ones that it has not, or with other values; ?2 is its key.
COMPARE_WITH_STAGED = tuple(
    f"""
    INSERT INTO staging.{what}_{table}
    SELECT {left}.session_id, {row_id} FROM staging.{rows} WHERE {of} AND {left}.session_id = ?2 AND NOT EXISTS (
        SELECT 1 FROM staging.{others} AND m.session_id = s.session_id AND m.{own} = s.{own} {same}
    )
    """
    for table, own in _ROW.items()
    for what, left, row_id, rows, of, others, same in (
        ("gone", "m", "m.row_id", f"seen_{table} m", "m.of_source = ?1", f"{table} s WHERE 1", ""),
        (
            "new",
            "s",
            "s.rowid",
            f"{table} s",
            "1",
            f"seen_{table} m WHERE m.of_source = ?1",
            f"AND {same_values(CHILD_TABLES[table])}",
        ),
    )
)
# The keys of those that have other rows now.
CHANGED_SINCE_SEEN = (
    *(
        f"""
        SELECT s.{key} FROM staging.seen_{table} s LEFT JOIN main.{table} m ON m.rowid = s.row_id
        WHERE s.of_source = ?1 AND NOT ({same_values(names)})
        """
        for table, (key, names) in _SEEN.items()
    ),
    *(
        f"""
        SELECT s.id FROM staging.seen_sessions s WHERE s.of_source = ?1
        AND (SELECT count(*) FROM main.{table} WHERE session_id = s.id)
            <> (SELECT count(*) FROM staging.seen_{table} WHERE of_source = ?1 AND session_id = s.id)
        """
        for table in CHILD_TABLES
    ),
)

# About how many bytes of texts a merge takes out, which a search index must forget.
_TEXT = {"instances": "output", "chat_messages": "content"}
TEXT_TAKEN_OUT = """
    SELECT (SELECT coalesce(sum(length(raw)), 0) FROM staging.kept_items WHERE reason = 'deleted')
""" + "".join(
    f"""
    + (SELECT coalesce(sum(length(m.{text})), 0) FROM staging.gone_{table} g JOIN main.{table} m ON m.rowid = g.row_id)
    + (SELECT coalesce(sum(length(m.{text})), 0) FROM staging.new_{table} n JOIN staging.{table} s ON s.rowid = n.row_id
        JOIN main.{table} m ON m.session_id = n.session_key AND m.{_ROW[table]} = s.{_ROW[table]})
    """
    for table, text in _TEXT.items()
)
# Rows for the quarantine that are complete but for their source and position.
CREATE_KEPT = f"""
    CREATE TABLE staging.kept_items (
        session_key TEXT, {", ".join(QUARANTINE_COLUMNS)}, PRIMARY KEY (session_key, reason)
    )
"""
KEEP_ITEM = f"""
    INSERT OR REPLACE INTO staging.kept_items (session_key, {", ".join(QUARANTINE_COLUMNS)})
    VALUES ({", ".join("?" * (len(QUARANTINE_COLUMNS) + 1))})
"""


def _quarantine(table: str, where: str) -> str:
    """Quarantine a prepared row: ?1 is its source, ?2 its position."""
    values = ", ".join({"source_id": "?1", "position": "?2"}.get(name, name) for name in QUARANTINE_COLUMNS)
    return f"""
        INSERT INTO main.quarantine ({", ".join(QUARANTINE_COLUMNS)}) SELECT {values} FROM staging.{table} WHERE {where}
    """


QUARANTINE_KEPT = _quarantine("kept_items", "session_key = ?3 AND reason = ?4")
QUARANTINE_STAGED = _quarantine("quarantine", "source_id = ?3 AND position = ?4")

# Copying a staged session; ?1 is its key.
_PLACED_SESSION = {"workspace_id": "?2", "position": "?3", "source_id": "?4"}
COPY_STAGED = (
    f"""
    INSERT INTO main.sessions ({", ".join(SESSION_COLUMNS)})
    SELECT {", ".join(_PLACED_SESSION.get(name, name) for name in SESSION_COLUMNS)} FROM staging.sessions WHERE id = ?1
    """,
    *(
        f"""
        INSERT OR IGNORE INTO main.{table} ({", ".join(names)})
        SELECT {", ".join(names)} FROM staging.{table} WHERE session_id = ?1 ORDER BY rowid
        """
        for table, names in CHILD_TABLES.items()
    ),
)
# Without the key: SQLite would look for child rows that refer to it, as if it were new.
_REPLACED = tuple(name for name in SESSION_COLUMNS if name != "id")


def _copy_new(table: str) -> str:
    names, own = CHILD_TABLES[table], _ROW[table]
    key = own if own == "id" else f"session_id, {own}"
    replaced = [name for name in names if name not in ("session_id", own)]
    return f"""
        INSERT INTO main.{table} ({", ".join(names)}) SELECT {", ".join(names)} FROM staging.{table}
        WHERE rowid IN (SELECT row_id FROM staging.new_{table} WHERE session_key = ?1) ORDER BY rowid
        ON CONFLICT ({key}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in replaced)}
        WHERE session_id = excluded.session_id
    """


# Deletes the rows that will be replaced: with a search index, whose triggers take out the old texts and leave those of
# rows with new numbers to the builder.
DELETE_CHANGED = tuple(
    f"""
    DELETE FROM main.{table} WHERE session_id = ?1 AND {own} IN (
        SELECT s.{own} FROM staging.new_{table} n JOIN staging.{table} s ON s.rowid = n.row_id
        WHERE n.session_key = ?1
    )
    """
    for table, own in _ROW.items()
)
# Replacing one by the staged one with the same key, once it was compared. The runtimes are read in the order in which
# they were inserted.
REPLACE_BY_STAGED = (
    f"""
    UPDATE main.sessions SET ({", ".join(_REPLACED)}) =
        (SELECT {", ".join(_PLACED_SESSION.get(name, name) for name in _REPLACED)} FROM staging.sessions WHERE id = ?1)
    WHERE id = ?1
    """,
    "DELETE FROM main.session_runtime_mix WHERE session_id = ?1",
    COPY_STAGED[1],
    *(
        statement
        for table in _ROW
        for statement in (
            f"""
            DELETE FROM main.{table}
            WHERE rowid IN (SELECT row_id FROM staging.gone_{table} WHERE session_key = ?1)
            """,
            _copy_new(table),
        )
    ),
)
_RUNTIMES = "SELECT json_group_array(runtime) FROM (SELECT runtime FROM {} WHERE session_id = ?1 ORDER BY id)"
# Whether a session differs from the staged one with the same key, apart from its place.
DIFFERS_FROM_STAGED = f"""
    SELECT EXISTS (
        SELECT 1 FROM staging.sessions s LEFT JOIN main.sessions m ON m.id = s.id
        WHERE s.id = ?1 AND NOT ({same_values(CONTENT_COLUMNS)})
    ) OR ({_RUNTIMES.format("main.session_runtime_mix")}) <> ({_RUNTIMES.format("staging.session_runtime_mix")})
""" + "".join(
    f"""
    OR EXISTS (
        SELECT 1 FROM staging.{table} s LEFT JOIN main.{table} m ON m.session_id = s.session_id AND m.{own} = s.{own}
        WHERE s.session_id = ?1 AND NOT ({same_values(CHILD_TABLES[table])})
    ) OR (SELECT count(*) FROM main.{table} WHERE session_id = ?1)
        <> (SELECT count(*) FROM staging.{table} WHERE session_id = ?1)
    """
    for table, own in _ROW.items()
)
