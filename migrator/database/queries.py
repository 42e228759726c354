"""The SQL statements for documents, workspaces, the ledger, the quarantine and the migration's state, by name.

Values are always passed as ``?`` parameters. Statements that only one package uses are in its own ``queries`` module.

Sessions of a workspace are ordered by ``position``; rows without one, which the desktop app inserted, come after the
rest, in the order of insertion.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from migrator.database import columns


def aliased(alias: str, names: tuple[str, ...]) -> str:
    """Return the columns of a table, each with the table's alias."""
    return ", ".join(f"{alias}.{name}" for name in names)


def _read(alias: str, names: tuple[str, ...], session: str) -> str:
    """Return the columns to read of a child table, with ``session`` in place of its ``session_id``.

    That is a long text, which takes as long to fetch as any other.
    """
    return ", ".join(session if name == "session_id" else f"{alias}.{name}" for name in names)


# Schema.

TABLE_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
SCHEMA_VERSION = "SELECT schema_version FROM migration_metadata WHERE id = 1"
SCHEMA_OBJECTS = """
    SELECT name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND type IN ('table', 'index', 'view') AND name NOT LIKE 'sqlite^_%' ESCAPE '^'
"""
PLAIN_INDEXES = """
    SELECT name, sql FROM sqlite_master
    WHERE type = 'index' AND sql IS NOT NULL AND sql NOT LIKE 'CREATE UNIQUE%'
"""
FORGET_STEP = "DELETE FROM _sqlite_migrations WHERE migration_set = ? AND name = ?"
APPLIED_STEPS = "SELECT name, applied_at FROM _sqlite_migrations WHERE migration_set = ?"
# The table of sqlite-utils.
CREATE_STEP_RECORD = """
    CREATE TABLE "_sqlite_migrations" (
       "id" INTEGER PRIMARY KEY,
       "migration_set" TEXT,
       "name" TEXT,
       "applied_at" TEXT
    )
"""
CREATE_STEP_RECORD_INDEX = """
    CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")
"""
RECORD_STEP = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)"

# Workspaces.

WORKSPACE_BY_HASH = "SELECT id, workspace_path FROM workspaces WHERE workspace_hash = ?"
WORKSPACE_BY_ID = "SELECT workspace_hash, workspace_path FROM workspaces WHERE id = ?"
WORKSPACE_OF_KEY = """
    SELECT w.id, w.workspace_hash FROM sessions s JOIN workspaces w ON w.id = s.workspace_id WHERE s.id = ?
"""
ALL_WORKSPACES = "SELECT id, workspace_hash, workspace_path FROM workspaces ORDER BY id"
INSERT_WORKSPACE = "INSERT OR IGNORE INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?) RETURNING id"
TOUCH_WORKSPACE = "UPDATE workspaces SET last_accessed_at = datetime('now') WHERE id = ?"
SET_WORKSPACE_PATH = "UPDATE OR IGNORE workspaces SET workspace_path = ? WHERE id = ?"

# Reading documents: one session, one workspace, one source file.

ORDER = "s.position NULLS LAST, s.rowid"

PLACE_OF_SESSION = "SELECT position, source_id FROM sessions WHERE id = ?"


class DocumentStatements(NamedTuple):
    """The statements that read documents: the sessions and their child rows, in the same order."""

    sessions: str
    runtimes: str
    instances: str
    messages: str


SESSION_BY_KEY = f"SELECT {aliased('s', columns.SESSION_COLUMNS)} FROM sessions s WHERE s.id = ?"
RUNTIMES_OF_SESSION = "SELECT r.runtime FROM session_runtime_mix r WHERE r.session_id = ? ORDER BY r.id"
INSTANCES_OF_SESSION = f"""
    SELECT {_read("i", columns.READ_INSTANCE_COLUMNS, "NULL")} FROM instances i
    WHERE i.session_id = ? ORDER BY i.position NULLS LAST, i.id
"""
MESSAGES_OF_SESSION = f"""
    SELECT {_read("m", columns.READ_MESSAGE_COLUMNS, "NULL")} FROM chat_messages m
    WHERE m.session_id = ? ORDER BY m.position NULLS LAST, m.rowid
"""


def documents(where: str, order: str = ORDER) -> DocumentStatements:
    """Return the statements that read all sessions matching a condition.

    CROSS JOIN keeps SQLite from using the child table as the outer loop, so nothing needs sorting.
    """
    return DocumentStatements(
        f"SELECT {aliased('s', columns.SESSION_COLUMNS)}, s.rowid FROM sessions s WHERE {where} ORDER BY {order}",
        f"""
        SELECT s.rowid, r.runtime FROM sessions s CROSS JOIN session_runtime_mix r ON r.session_id = s.id
        WHERE {where} ORDER BY {order}, r.id
        """,
        f"""
        SELECT {_read("i", columns.READ_INSTANCE_COLUMNS, "s.rowid")}
        FROM sessions s CROSS JOIN instances i ON i.session_id = s.id
        WHERE {where} ORDER BY {order}, i.position NULLS LAST, i.id
        """,
        f"""
        SELECT {_read("m", columns.READ_MESSAGE_COLUMNS, "s.rowid")}
        FROM sessions s CROSS JOIN chat_messages m ON m.session_id = s.id
        WHERE {where} ORDER BY {order}, m.position NULLS LAST, m.rowid
        """,
    )


DOCUMENTS_OF_WORKSPACE = documents("s.workspace_id = ?")
DOCUMENTS_OF_SOURCE = documents("s.source_id = ?")
# ?1 is a JSON array of rowids. Sorted by rowid, as SQLite looks the sessions up.
CHOSEN_DOCUMENTS = documents("s.rowid IN (SELECT value FROM json_each(?1))", order="s.rowid")
IN_RANGE = "s.source_id = ?1 AND s.position >= ?2 AND s.position < ?3"
DOCUMENTS_OF_RANGE = documents(IN_RANGE)
# Several files, one after the other. Without NULLS LAST the order is the index's; it is the same if all rows have a
# position.
IN_FILES = "s.source_id BETWEEN ?1 AND ?2"
FILES_IN_ORDER = "s.source_id, s.position, s.rowid"
DOCUMENTS_OF_FILES = documents(IN_FILES, FILES_IN_ORDER)
KEYS_OF_WORKSPACE = f"SELECT s.id FROM sessions s WHERE s.workspace_id = ? ORDER BY {ORDER}"
SOURCES_OF_WORKSPACE = f"SELECT s.id, s.source_id FROM sessions s WHERE s.workspace_id = ? ORDER BY {ORDER}"
KEYS_OF_SOURCE = f"SELECT s.id FROM sessions s WHERE s.source_id = ? ORDER BY {ORDER}"

# The sessions that may have an id in their document: the one with this key, and those with a key derived from it, which
# are between ?3 and ?4. No index on the workspace (hence the +) and no sorting: either would scan the whole workspace.
# rescued_data is read as bytes because another program may have written invalid text there.
KEYS_BY_DOCUMENT_ID = """
    SELECT s.id, s.position, s.rowid, CAST(s.rescued_data AS BLOB) FROM sessions s
    WHERE +s.workspace_id = ?1 AND s.id = ?2
    UNION ALL
    SELECT s.id, s.position, s.rowid, CAST(s.rescued_data AS BLOB) FROM sessions s
    WHERE +s.workspace_id = ?1 AND s.id > ?3 AND s.id < ?4 AND s.rescued_data IS NOT NULL
"""

# Writing documents: single rows for the stores and the merge, many rows at once for loading.

SESSION_KEY_TAKEN = "SELECT 1 FROM sessions WHERE id = ?"
MESSAGE_KEY_TAKEN = "SELECT 1 FROM chat_messages WHERE id = ?"


@cache
def insert(table: str, names: tuple[str, ...], rows: int = 1, how: str = "INSERT") -> str:
    """Return one INSERT for this number of rows.

    :param how: ``INSERT OR IGNORE`` skips rows whose key is taken
    """
    values = ", ".join([f"({', '.join('?' * len(names))})"] * rows)
    return f"{how} INTO {table} ({', '.join(names)}) VALUES {values}"


def insert_messages_or_ignore(rows: int) -> str:
    """Return one INSERT for this number of messages; those whose key is taken are skipped."""
    return insert("chat_messages", columns.MESSAGE_COLUMNS, rows, "INSERT OR IGNORE")


INSERT_SESSION = insert("sessions", columns.SESSION_COLUMNS)
INSERT_RUNTIME = insert("session_runtime_mix", columns.RUNTIME_COLUMNS)
INSERT_INSTANCE = insert("instances", columns.INSTANCE_COLUMNS)
INSERT_MESSAGE = insert("chat_messages", columns.MESSAGE_COLUMNS)
INSERT_QUARANTINE = insert("quarantine", columns.QUARANTINE_COLUMNS)
DELETE_SESSION = "DELETE FROM sessions WHERE id = ?"
# A session that is replaced keeps its key, workspace, position and source.
_KEPT = ("id", "workspace_id", "position", "source_id")
REPLACED_COLUMNS = [name for name in columns.SESSION_COLUMNS if name not in _KEPT]
UPDATE_SESSION = f"UPDATE sessions SET {', '.join(f'{name} = ?' for name in REPLACED_COLUMNS)} WHERE id = ?"
DELETE_MESSAGES = "DELETE FROM chat_messages WHERE session_id = ?"
DELETE_CHILDREN = (
    "DELETE FROM session_runtime_mix WHERE session_id = ?",
    "DELETE FROM instances WHERE session_id = ?",
    DELETE_MESSAGES,
)
MOVE_SESSION = "UPDATE sessions SET position = ? WHERE id = ?"
SET_UPDATED_AT = "UPDATE sessions SET updated_at = ? WHERE id = ?"
SET_INSTANCE_STATUS = "UPDATE instances SET status = ? WHERE id = ?"
DELETE_QUARANTINE = "DELETE FROM quarantine WHERE id = ?"
SET_SESSION_SOURCE = "UPDATE sessions SET source_id = ? WHERE id = ?"

_LAST_BUT_ONE = (1 << 63) - 2  # after the last number there is none: the next session shares it, and comes after
# The next free position in a workspace; sessions and quarantined items share the numbers.
NEXT_POSITION = f"""
    SELECT min({_LAST_BUT_ONE}, max(
        coalesce((SELECT max(position) FROM sessions WHERE workspace_id = ?1), -1),
        coalesce((SELECT max(position) FROM quarantine WHERE workspace_hash = ?2), -1)
    )) + 1
"""

# Sessions without a position come last, so a session after them must not have one either.
WORKSPACE_HAS_UNPLACED = "SELECT 1 FROM sessions WHERE workspace_id = ? AND position IS NULL LIMIT 1"
# The position for an appended message; and a number for its key, in case its own is taken.
NEXT_MESSAGE_POSITION = f"""
    SELECT CASE WHEN EXISTS (SELECT 1 FROM chat_messages WHERE session_id = ?1 AND position IS NULL) THEN NULL
                ELSE (SELECT min(coalesce(max(position), -1), {_LAST_BUT_ONE}) + 1 FROM chat_messages
                      WHERE session_id = ?1) END,
           (SELECT min(coalesce(max(rowid), 0), {_LAST_BUT_ONE}) + 1 FROM chat_messages)
"""
# The first instance whose own number this is; a substitute number is 2^32 or more.
OWN_NUMBER = """
    CASE WHEN json_extract(i.rescued_data, '$.columns.instance_id[0]') = i.instance_id
         THEN json_extract(i.rescued_data, '$.columns.instance_id[1]') ELSE i.instance_id END
"""
# The role in a message's document.
OWN_ROLE = """
    CASE WHEN json_valid(m.rescued_data) AND json_extract(m.rescued_data, '$.columns.role[0]') = m.role
         THEN json_extract(m.rescued_data, '$.columns.role[1]') ELSE m.role END
"""
INSTANCE_BY_NUMBER = f"""
    SELECT i.id FROM instances i
    WHERE i.session_id = ?1 AND (i.instance_id = ?2 OR i.instance_id >= 4294967296) AND {OWN_NUMBER} = ?2
    ORDER BY i.position NULLS LAST, i.id LIMIT 1
"""

QUARANTINE_ROWS_OF_SOURCE = f"""
    SELECT {", ".join(columns.QUARANTINE_COLUMNS)} FROM quarantine WHERE source_id = ? ORDER BY position, id
"""
CREATED_IN_SQLITE = """
    SELECT 1 FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
    WHERE w.workspace_hash = ? AND s.source_id IS NULL LIMIT 1
"""
FROM_OTHER_FILES = """
    SELECT 1 FROM sessions s JOIN workspaces w ON w.id = s.workspace_id JOIN migration_ledger l ON l.id = s.source_id
    WHERE w.workspace_hash = ? AND l.source <> 'sessions/' || w.workspace_hash || '.json' LIMIT 1
"""
# What no file has stays: the losing versions of conflicts, and deleted sessions.
IN_NO_FILE = "reason IN ('conflict', 'deleted')"

# The sessions that a rollback wrote to the files.
FORGET_ROLLED_BACK = "DELETE FROM rolled_back_sessions"
# The rows of a session in the columns of step 1.
_ADDED = ("position", "rescued_data", "source_id")
APP_ROWS = [
    f"SELECT {', '.join(name for name in names if name not in _ADDED)} FROM {table} WHERE {of} = ?"
    for table, of, names in (
        ("sessions", "id", columns.SESSION_COLUMNS),
        *((table, "session_id", names) for table, names in columns.CHILD_TABLES.items()),
    )
]
ROLLED_BACK = "SELECT session_key, digest FROM rolled_back_sessions"
RECORD_ROLLED_BACK = "INSERT OR REPLACE INTO rolled_back_sessions (session_key, digest) VALUES (?, ?)"

# The ledger.
# All columns, since a database that has not been upgraded yet lacks the last ones.
# An adopted file is not one that sessions are kept for: SQLite has them as its own. And earlier versions recorded files
# with other names than a hash as failed.
IS_ADOPTED = "status = 'merged'"
_WORKSPACE_FILE = f"'sessions/{'[0-9a-f]' * 16}.json'"
LEDGER = f"""
    SELECT * FROM migration_ledger WHERE NOT {IS_ADOPTED}
    AND (status <> 'failed' OR source NOT LIKE 'sessions/%' OR source GLOB {_WORKSPACE_FILE}) ORDER BY id
"""
ADOPTED = f"SELECT * FROM migration_ledger WHERE {IS_ADOPTED} ORDER BY id"
LEDGER_ID = "SELECT id FROM migration_ledger WHERE source = ?"
_LEDGER_UPDATES = ", ".join(
    f"{name} = excluded.{name}" for name in columns.LEDGER_COLUMNS if name not in ("source", "created_at", "dismissed")
)
RECORD_SOURCE = f"""
    {insert("migration_ledger", columns.LEDGER_COLUMNS)}
    ON CONFLICT (source) DO UPDATE SET {_LEDGER_UPDATES}
"""
FORGET_COPIES = "UPDATE migration_ledger SET backup = ?, bases = ? WHERE source = ?"
SET_BASES = "UPDATE migration_ledger SET bases = ? WHERE id = ?"
# A file that was migrated before and fails now: its migrated sessions stay, and stay the base of the next merge.
FAIL_KNOWN_SOURCE = """
    UPDATE migration_ledger SET error = ?, error_code = ?, mtime_ns = ?, inode = ?, size = ?, updated_at = ?
    WHERE source = ?
"""
# The records of runs.
DATABASE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
RECORD_RUN = insert("migration_runs", columns.RUN_COLUMNS)
RECORD_SHARE = insert("migration_shares", columns.SHARE_COLUMNS)
FORGET_SHARES = "DELETE FROM migration_shares WHERE source_id = ?"
# All columns, as of the ledger.
RUNS = "SELECT * FROM migration_runs ORDER BY id"
SHARES = f"SELECT {', '.join(columns.SHARE_COLUMNS)} FROM migration_shares ORDER BY source_id, workspace_hash"
SESSIONS_BY_WORKSPACE = """
    SELECT w.workspace_hash, count(*) FROM sessions s JOIN workspaces w ON w.id = s.workspace_id GROUP BY w.id
"""
QUARANTINE_BY_WORKSPACE = """
    SELECT workspace_hash, count(*) FROM quarantine WHERE reason <> 'deleted' GROUP BY workspace_hash
"""
# How many items are in quarantine, and how many files failed.
HIDDEN = f"""
    SELECT (SELECT count(*) FROM quarantine WHERE reason <> 'deleted'),
           (SELECT count(*) FROM ({LEDGER}) WHERE error <> '')
"""
SESSIONS_BY_DAY = "SELECT substr(created_at, 1, 10), type, status, count(*) FROM session_values GROUP BY 1, 2, 3"

TOUCH_SOURCE = "UPDATE migration_ledger SET size = ?, mtime_ns = ?, inode = ? WHERE source = ?"
FAILED_WORKSPACES = f"""
    SELECT workspace_hash FROM migration_ledger
    WHERE status = 'failed' AND source = 'sessions/' || workspace_hash || '.json' AND source GLOB {_WORKSPACE_FILE}
"""

# Counts.
COUNTS_OF_SOURCE = """
    SELECT w.workspace_hash, w.workspace_path, count(*),
           sum((SELECT count(*) FROM instances i WHERE i.session_id = s.id)),
           sum((SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id))
    FROM sessions s JOIN workspaces w ON w.id = s.workspace_id WHERE s.source_id = ? GROUP BY w.id ORDER BY w.id
"""
PATHS_OF_WORKSPACES = "SELECT workspace_hash, workspace_path FROM workspaces ORDER BY id"
COUNTS_OF_WORKSPACES = """
    SELECT w.workspace_hash, w.workspace_path,
           (SELECT count(*) FROM sessions s WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM sessions s JOIN instances i ON i.session_id = s.id WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM sessions s JOIN chat_messages m ON m.session_id = s.id WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM quarantine q WHERE q.workspace_hash = w.workspace_hash AND q.reason <> 'deleted')
    FROM workspaces w ORDER BY w.id
"""
# Sessions without a workspace; a program that does not turn foreign keys on can create them.
UNREACHABLE_SESSIONS = """
    SELECT id, workspace_id FROM sessions WHERE workspace_id NOT IN (SELECT id FROM workspaces) ORDER BY rowid
"""
# Rows with a source file that the ledger does not have: foreign keys would have made these NULL.
CLEAR_UNKNOWN_SOURCES = tuple(
    f"UPDATE {table} SET source_id = NULL "
    "WHERE source_id NOT IN (SELECT id FROM migration_ledger WHERE status <> 'failed')"
    for table in ("sessions", "quarantine")
)
UNOWNED_QUARANTINE = f"""
    SELECT workspace_hash, raw FROM quarantine
    WHERE (source_id IS NULL OR source_id IN (SELECT id FROM migration_ledger WHERE {IS_ADOPTED}))
        AND NOT {IN_NO_FILE}
    ORDER BY workspace_hash, position, id
"""
# Child rows of missing sessions. Each key is compared once, along the index.
ORPHANED = {
    table: f"""
        SELECT {", ".join(names)} FROM {table} WHERE session_id IN (
            SELECT session_id FROM (SELECT DISTINCT session_id FROM {table})
            WHERE session_id NOT IN (SELECT id FROM sessions)
        ) ORDER BY rowid
    """
    for table, names in columns.CHILD_TABLES.items()
}
SESSION_KEYS = "SELECT id FROM sessions ORDER BY rowid"
RESTORABLE_QUARANTINE = f"""
    SELECT position, raw, reason FROM quarantine WHERE source_id = ? AND NOT {IN_NO_FILE} ORDER BY position, id
"""
HAS_SESSIONS = "SELECT EXISTS (SELECT 1 FROM sessions)"
HOLDS_SOMETHING = f"""
    SELECT EXISTS (SELECT 1 FROM sessions)
        OR EXISTS (SELECT 1 FROM quarantine WHERE source_id IS NOT NULL AND NOT {IN_NO_FILE})
"""
SESSION_COUNT = "SELECT count(*) FROM sessions"
VIEW_COUNTS = "SELECT count(*), total(instance_count), total(message_count) FROM session_complete"
ALL_COUNTS = """
    SELECT (SELECT count(*) FROM workspaces), (SELECT count(*) FROM sessions), (SELECT count(*) FROM instances),
           (SELECT count(*) FROM chat_messages)
"""
CHILD_COUNTS = "SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM chat_messages)"
TABLE_COUNTS = """
    SELECT (SELECT count(*) FROM sessions), (SELECT total(1) FROM instances), (SELECT total(1) FROM chat_messages)
"""

# The quarantine, for its commands.
QUARANTINED_TEXTS = "SELECT raw, base FROM quarantine WHERE id = ?"
# Deleted sessions wait for no decision, so they are counted on their own.
QUARANTINE_COUNT = "SELECT count(*) FROM quarantine WHERE reason <> 'deleted'"

# A number that differs once another connection has changed the database.
DATA_VERSION = "PRAGMA main.data_version"
# The state of the migration.
METADATA = "SELECT schema_version, migration_status, json_backup_path, migrated_at FROM migration_metadata WHERE id = 1"
STATUS = "SELECT migration_status FROM migration_metadata WHERE id = 1"
SET_STATUS = "UPDATE migration_metadata SET migration_status = ?, last_updated_at = datetime('now') WHERE id = 1"
SET_COMPLETED = f"""
    UPDATE migration_metadata
    SET migration_status = 'completed', json_backup_path = coalesce(?, json_backup_path),
        migrated_at = datetime('now'), last_updated_at = datetime('now'), quarantine_rules = {columns.RULES},
        data_dir = ?
    WHERE id = 1
"""
DATA_DIR = "SELECT data_dir FROM migration_metadata WHERE id = 1"
SET_DATA_DIR = "UPDATE migration_metadata SET data_dir = ? WHERE id = 1"

# An index of an older version, which other tools cannot read, is built again.
_OLD_INDEX = "EXISTS (SELECT 1 FROM sqlite_master WHERE instr(sql, ' USING fts5('))"
INDEX_STATE = f"SELECT iif(state = 'complete' AND {_OLD_INDEX}, 'building', state) FROM search_index"
