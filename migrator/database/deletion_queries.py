"""The SQL statements for the sessions that files lost: those in quarantine, and those that are held."""

from __future__ import annotations

DELETED_COUNT = "SELECT count(*) FROM quarantine WHERE reason = 'deleted'"
DELETED_ITEMS = """
    SELECT q.id, q.session_id, q.workspace_hash, l.source, q.created_at
    FROM quarantine q LEFT JOIN migration_ledger l ON l.id = q.source_id WHERE q.reason = 'deleted' ORDER BY q.id
"""
DELETED_OF_WORKSPACE = "SELECT id, session_id FROM quarantine WHERE workspace_hash = ? AND reason = 'deleted'"
HELD_DELETIONS = """
    SELECT h.session_key, h.digest, h.found_at, l.source, w.workspace_hash, w.workspace_path
    FROM held_deletions h JOIN sessions s ON s.id = h.session_key JOIN workspaces w ON w.id = s.workspace_id
    JOIN migration_ledger l ON l.id = h.source_id ORDER BY h.found_at, s.workspace_id, s.position, s.rowid
"""
HELD_OF_SOURCE = "SELECT session_key, digest FROM held_deletions WHERE source_id = ?"
HOLD_DELETION = """
    INSERT OR REPLACE INTO held_deletions (session_key, source_id, digest, found_at) VALUES (?, ?, ?, ?)
"""
RELEASE_DELETION = "DELETE FROM held_deletions WHERE session_key = ?"
RELEASE_DELETIONS = "DELETE FROM held_deletions"
