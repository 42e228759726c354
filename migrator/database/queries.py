"""Every SQL statement of the program, by name. ``?`` for values, never text put together.

Order in a workspace: by ``position``; rows without one, which the desktop app inserted, come after the rest, in the
order in which they were inserted.
"""

from __future__ import annotations

from functools import cache

from migrator.database.columns import (
    INSTANCE_COLUMNS,
    LEDGER_COLUMNS,
    MESSAGE_COLUMNS,
    PLAIN_MESSAGE_COLUMNS,
    QUARANTINE_COLUMNS,
    READ_INSTANCE_COLUMNS,
    READ_MESSAGE_COLUMNS,
    RUN_COLUMNS,
    RUNTIME_COLUMNS,
    SESSION_COLUMNS,
    SHARE_COLUMNS,
    SUMMARY_COLUMNS,
)


def _columns(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _read(alias: str, names: tuple[str, ...], session: str) -> str:
    """The columns of a child as a document is read from them: which session it belongs to, as a short number or not at
    all. Fetching a text that nobody needs costs as much as one that is.
    """
    return ", ".join(session if name == "session_id" else f"{alias}.{name}" for name in names)


_SESSION = _columns("s", SESSION_COLUMNS)
_MESSAGE = _columns("m", MESSAGE_COLUMNS)

# Schema.

TABLE_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
TABLE_SQL = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
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
# As sqlite-utils makes and fills it.
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
ALL_WORKSPACES = "SELECT id, workspace_hash, workspace_path FROM workspaces ORDER BY id"
INSERT_WORKSPACE = "INSERT OR IGNORE INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?) RETURNING id"
TOUCH_WORKSPACE = "UPDATE workspaces SET last_accessed_at = datetime('now') WHERE id = ?"
NAME_WORKSPACE = "UPDATE OR IGNORE workspaces SET workspace_path = ? WHERE id = ?"

# Reading documents: one session, one workspace, one source file.

_ORDER = "s.position NULLS LAST, s.rowid"

SESSION_BY_KEY = f"SELECT {_SESSION} FROM sessions s WHERE s.id = ?"
PLACE_OF_SESSION = "SELECT position, source_id FROM sessions WHERE id = ?"
RUNTIMES_OF_SESSION = "SELECT r.runtime FROM session_runtime_mix r WHERE r.session_id = ? ORDER BY r.id"
INSTANCES_OF_SESSION = f"""
    SELECT {_read("i", READ_INSTANCE_COLUMNS, "NULL")} FROM instances i
    WHERE i.session_id = ? ORDER BY i.position NULLS LAST, i.id
"""
MESSAGES_OF_SESSION = f"""
    SELECT {_read("m", READ_MESSAGE_COLUMNS, "NULL")} FROM chat_messages m
    WHERE m.session_id = ? ORDER BY m.position NULLS LAST, m.rowid
"""

# The sessions of a whole workspace, or of one source file, with all that belongs to them, in a fixed number of
# statements. CROSS JOIN keeps SQLite from choosing the child as the outer loop, so that nothing needs sorting.
_SESSIONS = f"SELECT {_SESSION}, s.rowid FROM sessions s WHERE %s ORDER BY {_ORDER}"
_RUNTIMES = f"""
    SELECT s.rowid, r.runtime FROM sessions s CROSS JOIN session_runtime_mix r ON r.session_id = s.id
    WHERE %s ORDER BY {_ORDER}, r.id
"""
_INSTANCES = f"""
    SELECT {_read("i", READ_INSTANCE_COLUMNS, "s.rowid")} FROM sessions s CROSS JOIN instances i ON i.session_id = s.id
    WHERE %s ORDER BY {_ORDER}, i.position NULLS LAST, i.id
"""
_MESSAGES = f"""
    SELECT {_read("m", READ_MESSAGE_COLUMNS, "s.rowid")}
    FROM sessions s CROSS JOIN chat_messages m ON m.session_id = s.id
    WHERE %s ORDER BY {_ORDER}, m.position NULLS LAST, m.rowid
"""
_IN_WORKSPACE = "s.workspace_id = ?"
SESSIONS_OF_WORKSPACE = _SESSIONS % _IN_WORKSPACE
RUNTIMES_OF_WORKSPACE = _RUNTIMES % _IN_WORKSPACE
INSTANCES_OF_WORKSPACE = _INSTANCES % _IN_WORKSPACE
MESSAGES_OF_WORKSPACE = _MESSAGES % _IN_WORKSPACE
KEYS_OF_WORKSPACE = f"SELECT s.id FROM sessions s WHERE s.workspace_id = ? ORDER BY {_ORDER}"
SOURCES_OF_WORKSPACE = f"SELECT s.id, s.source_id FROM sessions s WHERE s.workspace_id = ? ORDER BY {_ORDER}"
_IN_SOURCE = "s.source_id = ?"
KEYS_OF_SOURCE = f"SELECT s.id FROM sessions s WHERE s.source_id = ? ORDER BY {_ORDER}"
_IN_STRETCH = "s.source_id = ?1 AND s.position >= ?2 AND s.position < ?3"
SESSIONS_OF_SOURCE = _SESSIONS % _IN_SOURCE
RUNTIMES_OF_SOURCE = _RUNTIMES % _IN_SOURCE
INSTANCES_OF_SOURCE = _INSTANCES % _IN_SOURCE
MESSAGES_OF_SOURCE = _MESSAGES % _IN_SOURCE
SESSIONS_OF_STRETCH = _SESSIONS % _IN_STRETCH
RUNTIMES_OF_STRETCH = _RUNTIMES % _IN_STRETCH
INSTANCES_OF_STRETCH = _INSTANCES % _IN_STRETCH
MESSAGES_OF_STRETCH = _MESSAGES % _IN_STRETCH
# Of several files, one after the other. Without NULLS LAST the index has this order, which is the same where all have
# a position.
_IN_FILES = "s.source_id BETWEEN ?1 AND ?2"
_FILES_IN_ORDER = "s.source_id, s.position, s.rowid"


def _file_by_file(statement: str) -> str:
    return statement.replace(_ORDER, _FILES_IN_ORDER) % _IN_FILES


RUNTIMES_OF_FILES = _file_by_file(_RUNTIMES)
INSTANCES_OF_FILES = _file_by_file(_INSTANCES)


# ?1 is a JSON array of rowids; their order is the one in which SQLite looks the sessions up.
def _chosen(statement: str) -> str:
    return statement.replace(_ORDER, "s.rowid") % "s.rowid IN (SELECT value FROM json_each(?1))"


CHOSEN_SESSIONS = _chosen(_SESSIONS)
RUNTIMES_OF_CHOSEN = _chosen(_RUNTIMES)
INSTANCES_OF_CHOSEN = _chosen(_INSTANCES)
MESSAGES_OF_CHOSEN = _chosen(_MESSAGES)

# Searching: what is searched of each session of a workspace. ?2 and ?3 are JSON arrays of what the columns status and
# type may hold, or NULL for anything; the document's own status may be another.
_NARROWED = """
    s.workspace_id = ?1
    AND (?2 IS NULL OR s.status IN (SELECT value FROM json_each(?2)))
    AND (?3 IS NULL OR s.type IN (SELECT value FROM json_each(?3)))
"""
SUMMARIES = f"""
    SELECT {_columns("s", SUMMARY_COLUMNS)}, s.rowid FROM sessions s WHERE {_NARROWED} ORDER BY {_ORDER}
"""
AGENTS_OF_SUMMARIES = f"""
    SELECT s.rowid, i.agent_name FROM sessions s CROSS JOIN instances i ON i.session_id = s.id WHERE {_NARROWED}
"""

# Those that may have an id in their document: the one whose key it is, and those whose key stands in for theirs, all of
# which lie between ?3 and ?4. Not by the workspace, and not sorted: for either SQLite would walk the whole workspace.
# As bytes, for what is rescued may be no text where others wrote it.
KEYS_BY_DOCUMENT_ID = """
    SELECT s.id, s.position, s.rowid, CAST(s.rescued_data AS BLOB) FROM sessions s
    WHERE +s.workspace_id = ?1 AND s.id = ?2
    UNION ALL
    SELECT s.id, s.position, s.rowid, CAST(s.rescued_data AS BLOB) FROM sessions s
    WHERE +s.workspace_id = ?1 AND s.id > ?3 AND s.id < ?4 AND s.rescued_data IS NOT NULL
"""

# Loading.

SESSION_KEY_TAKEN = "SELECT 1 FROM sessions WHERE id = ?"
MESSAGE_KEY_TAKEN = "SELECT 1 FROM chat_messages WHERE id = ?"
LAST_ROWIDS = """
    SELECT (SELECT coalesce(max(rowid), 0) FROM sessions), (SELECT coalesce(max(rowid), 0) FROM session_runtime_mix),
           (SELECT coalesce(max(rowid), 0) FROM instances), (SELECT coalesce(max(rowid), 0) FROM chat_messages),
           (SELECT coalesce(max(rowid), 0) FROM quarantine)
"""
# One for each number of LAST_ROWIDS, in its order.
FORGET_AFTER = (
    "DELETE FROM sessions WHERE rowid > ?",
    "DELETE FROM session_runtime_mix WHERE rowid > ?",
    "DELETE FROM instances WHERE rowid > ?",
    "DELETE FROM chat_messages WHERE rowid > ?",
    "DELETE FROM quarantine WHERE rowid > ?",
)
MESSAGE_KEYS_AFTER = "SELECT id FROM chat_messages WHERE rowid > ? ORDER BY rowid"

# Single rows, as the stores and the merge write them, and many at once, as they are loaded.


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@cache
def insert_many(table: str, columns: tuple[str, ...], rows: int) -> str:
    """One INSERT for so many rows."""
    values = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"


def insert_messages_or_ignore(rows: int) -> str:
    """One INSERT for so many messages; those whose key is taken are left out."""
    return insert_many("chat_messages", MESSAGE_COLUMNS, rows).replace("INSERT", "INSERT OR IGNORE", 1)


@cache
def insert_plain_messages(count: int) -> str:
    """One INSERT for so many messages of one session, those whose key is taken left out.

    ?1 is the session's key, ?2 the position of the first one; then come the PLAIN_MESSAGE_COLUMNS of each. A value that
    need not be handed over is the fastest.
    """
    own = ", ".join("?" * len(PLAIN_MESSAGE_COLUMNS))
    values = ", ".join(["(?1, ?2, " + own + ")", *(f"(?1, ?2 + {number}, {own})" for number in range(1, count))])
    columns = ", ".join(("session_id", "position", *PLAIN_MESSAGE_COLUMNS))
    return f"INSERT OR IGNORE INTO chat_messages ({columns}) VALUES {values}"


INSERT_SESSION = _insert("sessions", SESSION_COLUMNS)
INSERT_RUNTIME = _insert("session_runtime_mix", RUNTIME_COLUMNS)
INSERT_INSTANCE = _insert("instances", INSTANCE_COLUMNS)
INSERT_MESSAGE = _insert("chat_messages", MESSAGE_COLUMNS)
INSERT_QUARANTINE = _insert("quarantine", QUARANTINE_COLUMNS)
DELETE_SESSION = "DELETE FROM sessions WHERE id = ?"
# A session that is replaced keeps its key, workspace, position and source.
_REPLACED = [name for name in SESSION_COLUMNS if name not in ("id", "workspace_id", "position", "source_id")]
UPDATE_SESSION = f"UPDATE sessions SET {', '.join(f'{name} = ?' for name in _REPLACED)} WHERE id = ?"
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
ADOPT_SESSION = "UPDATE sessions SET source_id = ? WHERE id = ?"

# A source that was loaded in vain: what it brought is loaded anew.
DROP_SOURCE = (
    "DELETE FROM session_runtime_mix WHERE session_id IN (SELECT id FROM sessions WHERE source_id = ?)",
    "DELETE FROM instances WHERE session_id IN (SELECT id FROM sessions WHERE source_id = ?)",
    "DELETE FROM chat_messages WHERE session_id IN (SELECT id FROM sessions WHERE source_id = ?)",
    "DELETE FROM sessions WHERE source_id = ?",
    "DELETE FROM quarantine WHERE source_id = ?",
)

# The part of a database under construction that another process filled; attached as "shard".
ATTACH_SHARD = "ATTACH DATABASE ? AS shard"
DETACH_SHARD = "DETACH DATABASE shard"
SHARD_TAKEN_SESSIONS = f"""
    SELECT {", ".join(SESSION_COLUMNS)} FROM shard.sessions WHERE id IN (SELECT id FROM main.sessions) ORDER BY rowid
"""
SHARD_KEY_TAKEN = "SELECT 1 FROM main.sessions WHERE id = ?1 UNION ALL SELECT 1 FROM shard.sessions WHERE id = ?1"
REKEY_SHARD_SESSION = "UPDATE shard.sessions SET id = ?, rescued_data = ? WHERE id = ?"
REKEY_SHARD_CHILDREN = (
    "UPDATE shard.session_runtime_mix SET session_id = ? WHERE session_id = ?",
    "UPDATE shard.instances SET session_id = ? WHERE session_id = ?",
    "UPDATE shard.chat_messages SET session_id = ? WHERE session_id = ?",
)


def _take_over(table: str, columns: tuple[str, ...], how: str = "INSERT", position: str = "position") -> str:
    taken = ", ".join(position if name == "position" else name for name in columns)
    return f"{how} INTO main.{table} ({', '.join(columns)}) SELECT {taken} FROM shard.{table} ORDER BY rowid"


# ?1 is a source whose first ?2 elements are elsewhere.
_PLACE = "position + CASE source_id WHEN ?1 THEN ?2 ELSE 0 END"
TAKE_OVER_PLACED = (
    _take_over("sessions", SESSION_COLUMNS, position=_PLACE),
    _take_over("quarantine", QUARANTINE_COLUMNS, position=_PLACE),
)
TAKE_OVER = (_take_over("session_runtime_mix", RUNTIME_COLUMNS), _take_over("instances", INSTANCE_COLUMNS))
TAKE_OVER_MESSAGES = _take_over("chat_messages", MESSAGE_COLUMNS, "INSERT OR IGNORE")
SHARD_MESSAGE_COUNT = "SELECT count(*) FROM shard.chat_messages"
SHARD_TAKEN_MESSAGES = f"""
    SELECT {_MESSAGE} FROM shard.chat_messages m JOIN main.chat_messages t ON t.id = m.id
    WHERE t.session_id <> m.session_id ORDER BY m.rowid
"""

# The next free place in a workspace; sessions and what is quarantined share the numbers.
NEXT_POSITION = """
    SELECT max(
        coalesce((SELECT max(position) FROM sessions WHERE workspace_id = ?1), -1),
        coalesce((SELECT max(position) FROM quarantine WHERE workspace_hash = ?2), -1)
    ) + 1
"""

# Where one that has no position stands, further ones can only get behind it without one, too.
WORKSPACE_HAS_UNPLACED = "SELECT 1 FROM sessions WHERE workspace_id = ? AND position IS NULL LIMIT 1"
# The place of a further message; and a number for its key, should its own be taken.
NEXT_MESSAGE_POSITION = """
    SELECT CASE WHEN EXISTS (SELECT 1 FROM chat_messages WHERE session_id = ?1 AND position IS NULL) THEN NULL
                ELSE (SELECT coalesce(max(position), -1) + 1 FROM chat_messages WHERE session_id = ?1) END,
           (SELECT coalesce(max(rowid), 0) + 1 FROM chat_messages)
"""
# The first instance of a number, of those that have it for their own; a stand-in for a number is 2^32 or more.
_OWN_NUMBER = """
    CASE WHEN json_extract(i.rescued_data, '$.columns.instance_id[0]') = i.instance_id
         THEN json_extract(i.rescued_data, '$.columns.instance_id[1]') ELSE i.instance_id END
"""
INSTANCE_BY_NUMBER = f"""
    SELECT i.id FROM instances i
    WHERE i.session_id = ?1 AND (i.instance_id = ?2 OR i.instance_id >= 4294967296) AND {_OWN_NUMBER} = ?2
    ORDER BY i.position NULLS LAST, i.id LIMIT 1
"""

# Publishing into a database that exists: the staging database is attached as "staging".
ATTACH_STAGING = "ATTACH DATABASE ? AS staging"
DETACH_STAGING = "DETACH DATABASE staging"
STAGED_TAKEN_SESSIONS = """
    SELECT s.id, w.workspace_hash, s.position FROM staging.sessions s JOIN staging.workspaces w ON w.id = s.workspace_id
    WHERE s.source_id = ? AND s.id IN (SELECT id FROM main.sessions) ORDER BY s.rowid
"""
STAGED_SESSION = f"SELECT {', '.join(SESSION_COLUMNS)} FROM staging.sessions WHERE id = ?"
# A session's key changes before those of its children follow.
DEFER_FOREIGN_KEYS = "PRAGMA defer_foreign_keys = ON"
REKEY_STAGED_SESSION = "UPDATE staging.sessions SET id = ?, rescued_data = ? WHERE id = ?"
REKEY_STAGED_CHILDREN = (
    "UPDATE staging.session_runtime_mix SET session_id = ? WHERE session_id = ?",
    "UPDATE staging.instances SET session_id = ? WHERE session_id = ?",
    "UPDATE staging.chat_messages SET session_id = ? WHERE session_id = ?",
)
STAGED_TAKEN_MESSAGES = f"""
    SELECT {_MESSAGE} FROM staging.sessions s CROSS JOIN staging.chat_messages m ON m.session_id = s.id
    WHERE s.source_id = ? AND m.id IN (SELECT id FROM main.chat_messages) ORDER BY m.rowid
"""
REKEY_STAGED_MESSAGE = "UPDATE staging.chat_messages SET id = ?, rescued_data = ? WHERE id = ?"
STAGED_KEY_TAKEN = """
    SELECT 1 FROM main.sessions WHERE id = ?1 UNION ALL SELECT 1 FROM staging.sessions WHERE id = ?1
"""
STAGED_MESSAGE_KEY_TAKEN = """
    SELECT 1 FROM main.chat_messages WHERE id = ?1 UNION ALL SELECT 1 FROM staging.chat_messages WHERE id = ?1
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


def _copy_children(table: str, columns: tuple[str, ...]) -> str:
    return f"""
        INSERT INTO main.{table} ({", ".join(columns)})
        SELECT {_columns("c", columns)} FROM staging.sessions s
        CROSS JOIN staging.{table} c ON c.session_id = s.id WHERE s.source_id = ?1 ORDER BY s.rowid, c.rowid
    """


COPY_CHILDREN = (
    _copy_children("session_runtime_mix", RUNTIME_COLUMNS),
    _copy_children("instances", INSTANCE_COLUMNS),
    _copy_children("chat_messages", MESSAGE_COLUMNS),
)
_COPIED_QUARANTINE = ", ".join(
    {"source_id": "?3", "position": "position + ?2"}.get(name, name) for name in QUARANTINE_COLUMNS
)
COPY_QUARANTINE = f"""
    INSERT INTO main.quarantine ({", ".join(QUARANTINE_COLUMNS)})
    SELECT {_COPIED_QUARANTINE} FROM staging.quarantine WHERE source_id = ?1 ORDER BY id
"""
QUARANTINE_ROWS_OF_SOURCE = f"""
    SELECT {", ".join(QUARANTINE_COLUMNS)} FROM quarantine WHERE source_id = ? ORDER BY position, id
"""
QUARANTINED_AT = "SELECT raw, reason FROM quarantine WHERE source_id = ? AND position = ?"
QUARANTINED_FROM = "SELECT position, raw, reason FROM quarantine WHERE source_id = ? AND position >= ? ORDER BY id"
QUARANTINE_OF_SOURCE = "SELECT id, raw, reason FROM quarantine WHERE source_id = ? ORDER BY position, id"
BORN_IN_SQLITE = """
    SELECT 1 FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
    WHERE w.workspace_hash = ? AND s.source_id IS NULL LIMIT 1
"""
FROM_OTHER_FILES = """
    SELECT 1 FROM sessions s JOIN workspaces w ON w.id = s.workspace_id JOIN migration_ledger l ON l.id = s.source_id
    WHERE w.workspace_hash = ? AND l.source <> 'sessions/' || w.workspace_hash || '.json' LIMIT 1
"""
# What the files can't hold, the losing side of conflicts, outlives the wipe.
EMPTY_FOR_ANOTHER_RUN = (
    "UPDATE main.quarantine SET source_id = NULL WHERE reason = 'conflict'",
    "DELETE FROM main.quarantine WHERE reason <> 'conflict'",
    "DELETE FROM main.chat_messages",
    "DELETE FROM main.instances",
    "DELETE FROM main.session_runtime_mix",
    "DELETE FROM main.sessions",
    "DELETE FROM main.workspaces",
    "DELETE FROM main.migration_shares",
    "DELETE FROM main.migration_ledger",
    "DELETE FROM main.rolled_back_sessions",
)

# What went into the files at a rollback, and what has become of it since.
FORGET_ROLLED_BACK = "DELETE FROM rolled_back_sessions"
RECORD_ROLLED_BACK = "INSERT OR REPLACE INTO rolled_back_sessions (session_key, digest) VALUES (?, ?)"
SESSIONS_AFTER_ROLLBACK = f"""
    SELECT s.id, r.digest, w.workspace_hash, w.workspace_path
    FROM sessions s LEFT JOIN workspaces w ON w.id = s.workspace_id
    LEFT JOIN rolled_back_sessions r ON r.session_key = s.id ORDER BY s.workspace_id, {_ORDER}
"""
HAS_ROLLED_BACK = "SELECT EXISTS (SELECT 1 FROM rolled_back_sessions)"
DELETED_AFTER_ROLLBACK = """
    SELECT count(*) FROM rolled_back_sessions WHERE session_key NOT IN (SELECT id FROM sessions)
"""
CALL_QUARANTINED = "UPDATE quarantine SET reason = ? WHERE id = ?"

# The ledger.
LEDGER = f"SELECT id, {', '.join(LEDGER_COLUMNS)} FROM migration_ledger ORDER BY id"
LEDGER_ID = "SELECT id FROM migration_ledger WHERE source = ?"
_LEDGER_UPDATES = ", ".join(
    f"{name} = excluded.{name}" for name in LEDGER_COLUMNS if name not in ("source", "created_at")
)
RECORD_SOURCE = f"""
    INSERT INTO migration_ledger ({", ".join(LEDGER_COLUMNS)}) VALUES ({", ".join("?" * len(LEDGER_COLUMNS))})
    ON CONFLICT (source) DO UPDATE SET {_LEDGER_UPDATES}
"""
BACKUPS_IN_USE = "SELECT source, backup FROM migration_ledger WHERE backup IS NOT NULL ORDER BY id"
# A file that was migrated once and fails now: what was migrated stays, and stays the base of the next merge.
FAIL_KNOWN_SOURCE = """
    UPDATE migration_ledger SET error = ?, mtime_ns = ?, inode = ?, size = ?, updated_at = ? WHERE source = ?
"""
# What a run brought.
DATABASE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
RECORD_RUN = _insert("migration_runs", RUN_COLUMNS)
RECORD_SHARE = _insert("migration_shares", SHARE_COLUMNS)
FORGET_SHARES = "DELETE FROM migration_shares WHERE source_id = ?"
RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM migration_runs ORDER BY id"
SHARES = f"SELECT {', '.join(SHARE_COLUMNS)} FROM migration_shares ORDER BY source_id, workspace_hash"
SESSIONS_BY_WORKSPACE = """
    SELECT w.workspace_hash, count(*) FROM sessions s JOIN workspaces w ON w.id = s.workspace_id GROUP BY w.id
"""
QUARANTINE_BY_WORKSPACE = "SELECT workspace_hash, count(*) FROM quarantine GROUP BY workspace_hash"
SESSIONS_BY_DAY = "SELECT substr(created_at, 1, 10), type, status, count(*) FROM sessions GROUP BY 1, 2, 3"

TOUCH_SOURCE = "UPDATE migration_ledger SET size = ?, mtime_ns = ?, inode = ? WHERE source = ?"
FAILED_WORKSPACES = """
    SELECT workspace_hash FROM migration_ledger
    WHERE status = 'failed' AND source = 'sessions/' || workspace_hash || '.json'
"""

# Counts.
COUNTS_OF_SOURCE = """
    SELECT w.workspace_hash, w.workspace_path, count(*),
           sum((SELECT count(*) FROM instances i WHERE i.session_id = s.id)),
           sum((SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id))
    FROM sessions s JOIN workspaces w ON w.id = s.workspace_id WHERE s.source_id = ? GROUP BY w.id ORDER BY w.id
"""
COUNTS_OF_WORKSPACES = """
    SELECT w.workspace_hash, w.workspace_path,
           (SELECT count(*) FROM sessions s WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM sessions s JOIN instances i ON i.session_id = s.id WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM sessions s JOIN chat_messages m ON m.session_id = s.id WHERE s.workspace_id = w.id),
           (SELECT count(*) FROM quarantine q WHERE q.workspace_hash = w.workspace_hash)
    FROM workspaces w ORDER BY w.id
"""
# Sessions that no workspace leads to; foreign keys forbid them, but a tool that does not turn these on can make some.
UNREACHABLE_SESSIONS = """
    SELECT id, workspace_id FROM sessions WHERE workspace_id NOT IN (SELECT id FROM workspaces) ORDER BY rowid
"""
# Rows that name a file which the ledger does not know: the foreign keys would have made these NULL.
DISOWN_STRAYS = (
    """
    UPDATE sessions SET source_id = NULL
    WHERE source_id NOT IN (SELECT id FROM migration_ledger WHERE status <> 'failed')
    """,
    """
    UPDATE quarantine SET source_id = NULL
    WHERE source_id NOT IN (SELECT id FROM migration_ledger WHERE status <> 'failed')
    """,
)
HOMELESS_QUARANTINE = """
    SELECT workspace_hash, raw FROM quarantine WHERE source_id IS NULL AND reason <> 'conflict'
    ORDER BY workspace_hash, position, id
"""


def _orphaned(table: str, columns: tuple[str, ...]) -> str:
    """The keys are compared once each, along the index; few are missing, if any."""
    return f"""
        SELECT {", ".join(columns)} FROM {table} WHERE session_id IN (
            SELECT session_id FROM (SELECT DISTINCT session_id FROM {table})
            WHERE session_id NOT IN (SELECT id FROM sessions)
        ) ORDER BY rowid
    """


ORPHANED_RUNTIMES = _orphaned("session_runtime_mix", RUNTIME_COLUMNS)
ORPHANED_INSTANCES = _orphaned("instances", INSTANCE_COLUMNS)
ORPHANED_MESSAGES = _orphaned("chat_messages", MESSAGE_COLUMNS)
SESSION_KEYS = "SELECT id FROM sessions ORDER BY rowid"
CONFLICT_COUNT = "SELECT count(*) FROM quarantine WHERE reason = 'conflict'"
RESTORABLE_QUARANTINE = """
    SELECT position, raw, reason FROM quarantine WHERE source_id = ? AND reason <> 'conflict' ORDER BY position, id
"""
HAS_SESSIONS = "SELECT EXISTS (SELECT 1 FROM sessions)"
SESSION_COUNT = "SELECT count(*) FROM sessions"
VIEW_COUNTS = "SELECT count(*), total(instance_count), total(message_count) FROM session_complete"
CHILD_COUNTS = "SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM chat_messages)"
TABLE_COUNTS = """
    SELECT (SELECT count(*) FROM sessions), (SELECT total(1) FROM instances), (SELECT total(1) FROM chat_messages)
"""

# Quarantine, as its commands show it.
_QUARANTINED = """
    SELECT q.id, q.source_id, l.source, q.workspace_hash, w.workspace_path, q.position, q.reason, q.problems,
           q.created_at, length(CAST(q.raw AS BLOB))
    FROM quarantine q LEFT JOIN migration_ledger l ON l.id = q.source_id
    LEFT JOIN workspaces w ON w.workspace_hash = q.workspace_hash
"""
QUARANTINED_ITEMS = f"{_QUARANTINED} ORDER BY q.id"
QUARANTINED_ITEM = f"{_QUARANTINED} WHERE q.id = ?"
QUARANTINED_TEXTS = "SELECT raw, base FROM quarantine WHERE id = ?"
BACKUP_OF_SOURCE = "SELECT backup FROM migration_ledger WHERE id = ?"
QUARANTINE_COUNT = "SELECT count(*) FROM quarantine"
QUARANTINE_COUNT_OF_WORKSPACE = "SELECT count(*) FROM quarantine WHERE workspace_hash = ?"

# The state of the migration.
METADATA = """
    SELECT schema_version, migration_status, json_backup_path, migrated_at FROM migration_metadata WHERE id = 1
"""
STATUS = "SELECT migration_status FROM migration_metadata WHERE id = 1"
SET_STATUS = """
    UPDATE migration_metadata SET migration_status = ?, last_updated_at = datetime('now') WHERE id = 1
"""
SET_COMPLETED = """
    UPDATE migration_metadata
    SET migration_status = 'completed', json_backup_path = coalesce(?, json_backup_path),
        migrated_at = datetime('now'), last_updated_at = datetime('now')
    WHERE id = 1
"""

# The journal of a trial of both stores, which is a database of its own.
JOURNAL_PEND = "INSERT INTO pending_repairs (workspace_hash, workspace_path, since, error) VALUES (?, ?, ?, ?)"
JOURNAL_FORGET = "DELETE FROM pending_repairs WHERE id = ?"
JOURNAL_FAILED = "UPDATE pending_repairs SET error = ? WHERE id = ?"
JOURNAL_NEWEST = "SELECT max(id) FROM pending_repairs WHERE workspace_hash = ?"
JOURNAL_PENDING = (
    "SELECT workspace_hash, min(workspace_path) FROM pending_repairs GROUP BY workspace_hash ORDER BY min(id)"
)
JOURNAL_REPAIRED = "DELETE FROM pending_repairs WHERE workspace_hash = ? AND id <= ?"
JOURNAL_KNOW = """
    INSERT INTO known_files (workspace_hash, sha256) VALUES (?, ?)
    ON CONFLICT (workspace_hash) DO UPDATE SET sha256 = excluded.sha256
"""
JOURNAL_KNOWN = "SELECT sha256 FROM known_files WHERE workspace_hash = ?"
JOURNAL_ALL_KNOWN = "SELECT workspace_hash, sha256 FROM known_files"
JOURNAL_DIFFER = """
    INSERT INTO trial_differences (
        workspace_hash, workspace_path, operation, session_id, primary_digest, secondary_digest, found_at
    ) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
JOURNAL_DIFFERENCES = """
    SELECT workspace_path, operation, session_id, primary_digest, secondary_digest, found_at
    FROM trial_differences ORDER BY id
"""
JOURNAL_COUNT = """
    UPDATE trial_counts
    SET writes = writes + ?, failures = failures + ?, comparisons = comparisons + ?, differences = differences + ?
"""
JOURNAL_STATS = """
    SELECT writes, failures, (SELECT count(DISTINCT workspace_hash) FROM pending_repairs), comparisons, differences
    FROM trial_counts
"""


INDEX_STATE = "SELECT state FROM search_index"
