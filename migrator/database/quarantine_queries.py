"""The SQL statements that list the quarantine, and those for sessions that files lost."""

from __future__ import annotations

_QUARANTINED = """
    SELECT q.id, CASE WHEN l.status = 'merged' THEN NULL ELSE q.source_id END, l.source,
           q.workspace_hash, w.workspace_path, q.position, q.reason, q.problems,
           q.created_at, length(CAST(q.raw AS BLOB)), q.raw
    FROM quarantine q LEFT JOIN migration_ledger l ON l.id = q.source_id
    LEFT JOIN workspaces w ON w.workspace_hash = q.workspace_hash
"""
QUARANTINED_ITEMS = f"{_QUARANTINED} ORDER BY q.id"
QUARANTINED_ITEM = f"{_QUARANTINED} WHERE q.id = ?"

# Deleted sessions: those in quarantine, and those that are held until the user decides.
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
# The file still contains the item; a rollback writes the file without it.
COUNT_DISMISSED = "UPDATE migration_ledger SET dismissed = coalesce(dismissed, 0) + 1 WHERE id = ?"

BACKUP_OF_SOURCE = "SELECT backup FROM migration_ledger WHERE id = ?"
QUARANTINE_RULES = "SELECT quarantine_rules FROM migration_metadata WHERE id = 1"
HAS_INVALID_ITEMS = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE reason IN ('invalid', 'unreadable'))"
CONFLICT_COUNT = "SELECT count(*) FROM quarantine WHERE reason = 'conflict'"
QUARANTINE_COUNT_OF_WORKSPACE = "SELECT count(*) FROM quarantine WHERE workspace_hash = ? AND reason <> 'deleted'"
SOURCES_IN_QUARANTINE = """
    SELECT DISTINCT l.source FROM quarantine q JOIN migration_ledger l ON l.id = q.source_id WHERE q.reason <> 'deleted'
"""
