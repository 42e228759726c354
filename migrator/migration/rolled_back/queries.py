"""The SQL statements that find what a rollback wrote to the files, and what has changed since, by name."""

from __future__ import annotations

from migrator.database.queries import IN_NO_FILE, IS_ADOPTED, ORDER

SESSIONS_AFTER_ROLLBACK = f"""
    SELECT s.id, r.digest, w.workspace_hash, w.workspace_path
    FROM sessions s LEFT JOIN workspaces w ON w.id = s.workspace_id
    LEFT JOIN rolled_back_sessions r ON r.session_key = s.id ORDER BY s.workspace_id, {ORDER}
"""
# The file that a rollback writes a session to: the one that it came from, or its workspace's own.
_FILE_OF_SESSION = "coalesce(l.source, 'sessions/' || w.workspace_hash || '.json')"
_WITH_FILE = "JOIN workspaces w ON w.id = s.workspace_id LEFT JOIN migration_ledger l ON l.id = s.source_id"
WRITTEN_TO_FILE = f"""
    SELECT s.id, r.digest FROM sessions s JOIN rolled_back_sessions r ON r.session_key = s.id {_WITH_FILE}
    WHERE {_FILE_OF_SESSION} = ? ORDER BY {ORDER}
"""
HAS_ROLLED_BACK = "SELECT EXISTS (SELECT 1 FROM rolled_back_sessions)"
DELETED_AFTER_ROLLBACK = """
    SELECT count(*) FROM rolled_back_sessions WHERE session_key NOT IN (SELECT id FROM sessions)
"""
SET_QUARANTINE_REASON = "UPDATE quarantine SET reason = ? WHERE id = ?"

# All sessions that the rollback wrote; without its record (of an older version, or lost by reverting the schema) all.
WRITTEN_SESSIONS = f"""
    SELECT s.id, {_FILE_OF_SESSION} FROM main.sessions s {_WITH_FILE}
    WHERE s.id IN (SELECT session_key FROM rolled_back_sessions) OR NOT EXISTS (SELECT 1 FROM rolled_back_sessions)
    ORDER BY s.rowid
"""
# The quarantined items that it wrote to the files.
WRITTEN_ITEMS = f"""
    SELECT l.source, count(*) FROM main.quarantine q JOIN main.migration_ledger l ON l.id = q.source_id
    WHERE NOT {IN_NO_FILE} AND NOT l.{IS_ADOPTED} GROUP BY l.source
"""
STAGED_KEYS = "SELECT source_id, id FROM staging.sessions"
HAS_HIDDEN_ITEMS = f"""
    SELECT EXISTS (
        SELECT 1 FROM main.quarantine q JOIN main.migration_ledger l ON l.id = q.source_id
        WHERE l.source = ? AND NOT {IN_NO_FILE} AND raw NOT IN (SELECT raw FROM staging.quarantine WHERE source_id = ?)
    )
"""
FORGET_SOURCES = "UPDATE main.sessions SET source_id = NULL"
SET_SOURCE = "UPDATE main.sessions SET source_id = ? WHERE id = ?"
# The files have what was adopted; its own file only stays known, with its items in quarantine, which are in no file of
# the app.
_NOT_ADOPTED = f"(source_id IS NULL OR source_id NOT IN (SELECT id FROM main.migration_ledger WHERE {IS_ADOPTED}))"
_EMPTY_RECORDS = (
    "DELETE FROM main.rolled_back_sessions",
    "DELETE FROM main.written_files",
    f"""
    UPDATE main.migration_ledger SET session_count = 0, instances = 0, messages = 0,
    quarantined = (SELECT count(*) FROM main.quarantine q WHERE q.source_id = main.migration_ledger.id)
    WHERE {IS_ADOPTED}
    """,
)
EMPTY = (
    f"UPDATE main.quarantine SET source_id = NULL WHERE {IN_NO_FILE}",
    f"DELETE FROM main.quarantine WHERE NOT {IN_NO_FILE} AND {_NOT_ADOPTED}",
    *(f"DELETE FROM main.{table}" for table in ("chat_messages", "instances", "session_runtime_mix", "sessions")),
    *(f"DELETE FROM main.{table}" for table in ("workspaces", "migration_shares")),
    f"DELETE FROM main.migration_ledger WHERE NOT {IS_ADOPTED}",
    *_EMPTY_RECORDS,
)
# :kept is a JSON array of the numbers of the files whose rows stay.
_KEPT = "(SELECT value FROM json_each(:kept))"
EMPTY_EXCEPT = (
    f"UPDATE main.quarantine SET source_id = NULL WHERE {IN_NO_FILE} AND source_id NOT IN {_KEPT}",
    f"""
    DELETE FROM main.quarantine
    WHERE NOT {IN_NO_FILE} AND {_NOT_ADOPTED} AND (source_id IS NULL OR source_id NOT IN {_KEPT})
    """,
    "DELETE FROM main.sessions WHERE source_id IS NULL",
    "DELETE FROM main.workspaces WHERE id NOT IN (SELECT workspace_id FROM main.sessions)",
    f"DELETE FROM main.migration_shares WHERE source_id NOT IN {_KEPT}",
    f"DELETE FROM main.migration_ledger WHERE id NOT IN {_KEPT} AND NOT {IS_ADOPTED}",
    *_EMPTY_RECORDS,
)
