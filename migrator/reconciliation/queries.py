"""The SQL statements that put rows right before a run or a rollback, by name."""

from __future__ import annotations

# Sessions in other workspaces than that of their file: other programs' SQL moved them. A shared file has no workspace.
PLACES_OUTSIDE_THEIR_SOURCE = """
    SELECT DISTINCT l.id, l.source, l.workspace_hash, w.id, w.workspace_hash, w.workspace_path
    FROM sessions s JOIN migration_ledger l ON l.id = s.source_id JOIN workspaces w ON w.id = s.workspace_id
    WHERE l.workspace_hash IS NOT w.workspace_hash
"""
KEYS_OF_SOURCE_IN_WORKSPACE = "SELECT id FROM sessions WHERE source_id = ? AND workspace_id = ? ORDER BY rowid"
WORKTREES_OF_SESSION = "SELECT worktree_path FROM instances WHERE session_id = ?"
SESSIONS_IN_WORKSPACE = "SELECT count(*) FROM sessions WHERE workspace_id = ?"
DETACH = "UPDATE sessions SET source_id = NULL WHERE id = ?"
DETACH_TO_THE_END = "UPDATE sessions SET source_id = NULL, position = NULL WHERE id = ?"

# What comes back from quarantine, and the counts of its file.
SET_QUARANTINE_RULES = "UPDATE migration_metadata SET quarantine_rules = ? WHERE id = 1"
COUNT_READMITTED = """
    UPDATE migration_shares SET quarantined = quarantined - 1, migrated = migrated + 1, instances = instances + ?,
           messages = messages + ?
    WHERE source_id = ? AND workspace_hash = ? AND quarantined > 0
"""
RECOUNT_SOURCE = """
    UPDATE migration_ledger SET session_count = ?, instances = ?, messages = ?, quarantined = ?, digest = ? WHERE id = ?
"""
