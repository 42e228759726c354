"""The SQL statements that find out whether the last copy of a session is in a backup."""

# The id in a document may be in rescued_data, in which another program may have written invalid text.
SESSIONS_OF_WORKSPACES = """
    SELECT w.workspace_hash, s.id, CAST(s.rescued_data AS BLOB)
    FROM sessions s LEFT JOIN workspaces w ON w.id = s.workspace_id
"""
SESSIONS_OF_STEP_1 = """
    SELECT w.workspace_hash, s.id, NULL FROM sessions s LEFT JOIN workspaces w ON w.id = s.workspace_id
"""
QUARANTINED_BY_WORKSPACE = "SELECT workspace_hash, raw FROM quarantine"
WORKSPACES_OF_SOURCES = "SELECT source, workspace_hash FROM migration_ledger"
