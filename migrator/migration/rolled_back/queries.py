"""The SQL statements that find what a rollback wrote to the files, and what has changed since, by name."""

from __future__ import annotations

from migrator.database.queries import ORDER

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
