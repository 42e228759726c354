"""The SQL statements that read a damaged database and complete its copy, by name."""

from __future__ import annotations

TABLES_BY_KIND = """
    SELECT name, wr FROM pragma_table_list
    WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'
"""
FORGET_METADATA = "DELETE FROM migration_metadata"
INSERT_METADATA = "INSERT OR IGNORE INTO migration_metadata (id, migration_status) VALUES (1, ?)"
SET_SCHEMA_VERSION = "UPDATE migration_metadata SET schema_version = ?"
PLACE_OF_SESSION = "SELECT workspace_id, position, source_id FROM sessions WHERE id = ?"
WORKSPACE_OF_SESSION = "SELECT workspace_id FROM sessions WHERE id = ?"
# Of each session whose workspace is lost: the row id of that, and the hash by the file that the session came from.
WORKSPACES_BY_FILE = """
    SELECT s.workspace_id, l.workspace_hash FROM sessions s LEFT JOIN migration_ledger l ON l.id = s.source_id
    WHERE s.workspace_id NOT IN (SELECT id FROM workspaces)
"""
INSERT_LOST_WORKSPACE = "INSERT INTO workspaces (id, workspace_path, workspace_hash) VALUES (?, ?, ?)"

# Another table's page in the place of one of these tables has such rows.
REMOVE_INVALID_METADATA = """
    DELETE FROM migration_metadata
    WHERE id <> 1 OR migration_status NOT IN ('pending', 'in_progress', 'completed', 'failed', 'rolled_back')
"""
REMOVE_INVALID_WORKSPACES = """
    DELETE FROM workspaces WHERE length(workspace_hash) <> 16 OR workspace_hash GLOB '*[^0-9a-f]*'
"""
WORKSPACE_LIKE = """
    SELECT id FROM workspaces WHERE workspace_hash = ?1 OR workspace_path = ?2 ORDER BY workspace_hash = ?1 DESC
"""
MOVE_SESSIONS = "UPDATE sessions SET workspace_id = ? WHERE workspace_id = ?"
