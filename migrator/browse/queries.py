"""All SQL statements of the pages in a browser, by name: those of the page of a row, and the example queries.

If a query has a column ``session`` with the key of a session, its column ``task`` becomes a link to that session.
"""

from __future__ import annotations

# For the page of one row.
ROWS_BY_KEY = {
    table: f"SELECT * FROM {table} WHERE id = :key"
    for table in ("workspaces", "sessions", "instances", "chat_messages", "quarantine", "migration_ledger")
}
SESSION_HEADING = """
    SELECT s.task, s.type, s.status, w.workspace_path FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
    WHERE s.id = :key
"""
AGENTS_OF_SESSION = """
    SELECT i.id, i.instance_id, i.agent_name, i.status, coalesce(i.runtime_label, i.runtime) AS runtime, i.model,
           i.files_changed, i.lines_added, i.lines_deleted, i.branch, i.output
    FROM instances i WHERE i.session_id = :key ORDER BY i.position NULLS LAST, i.id LIMIT :most
"""
CHAT_OF_SESSION = """
    SELECT m.id, m.role, m.timestamp, m.instance_id, m.content,
           (SELECT i.agent_name FROM instances i WHERE i.session_id = m.session_id AND i.instance_id = m.instance_id)
           AS agent
    FROM chat_messages m WHERE m.session_id = :key ORDER BY m.position NULLS LAST, m.rowid LIMIT :most
"""

# The example queries.
RECENT_SESSIONS = """
SELECT s.task, w.workspace_path AS workspace, s.type, s.status, s.updated_at, s.id AS session,
       (SELECT count(*) FROM instances i WHERE i.session_id = s.id) AS agents,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS messages
FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
ORDER BY s.updated_at DESC LIMIT 100
"""
SESSIONS_IN_WORKSPACES = """
SELECT w.workspace_path AS workspace, count(*) AS sessions, sum(s.status = 'running') AS running,
       min(s.created_at) AS first, max(s.updated_at) AS last
FROM workspaces w JOIN sessions s ON s.workspace_id = w.id
GROUP BY w.id ORDER BY last DESC
"""
WINNERS = """
SELECT s.task, i.agent_name AS winner, s.id AS session, coalesce(i.runtime_label, i.runtime) AS runtime, i.model,
       i.files_changed, i.lines_added, i.lines_deleted, s.completed_at
FROM sessions s JOIN instances i ON i.session_id = s.id AND i.instance_id = s.winner_id
WHERE s.winner_id IS NOT NULL ORDER BY s.completed_at DESC LIMIT 200
"""
AGENTS = """
SELECT i.agent_name AS agent, coalesce(i.runtime_label, i.runtime) AS runtime, count(*) AS instances,
       sum(i.status = 'completed') AS completed, sum(i.status = 'failed') AS failed,
       sum(i.files_changed) AS files_changed, sum(i.lines_added) AS lines_added, sum(i.lines_deleted) AS lines_deleted
FROM instances i GROUP BY 1, 2 ORDER BY instances DESC LIMIT 200
"""
SAID = """
SELECT s.task, m.role, m.timestamp, m.content, s.id AS session
FROM chat_messages m JOIN sessions s ON s.id = m.session_id
WHERE :text <> '' AND instr(m.content, :text) LIMIT 100
"""
SET_ASIDE = """
SELECT q.id, q.reason, coalesce(w.workspace_path, q.workspace_hash) AS workspace, l.source AS file, q.problems, q.raw
FROM quarantine q LEFT JOIN workspaces w ON w.workspace_hash = q.workspace_hash
LEFT JOIN migration_ledger l ON l.id = q.source_id ORDER BY q.id LIMIT 200
"""
