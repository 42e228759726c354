"""All SQL statements of the pages in a browser, by name: those of the page of a row, and the example queries.

They read ``session_values`` and ``message_values``, so that a status, a type or a role is the document's own.

If a query has a column ``session`` with the key of a session, its column ``task`` becomes a link to that session.
"""

from __future__ import annotations

# For the page of one row.
ROWS_BY_KEY = {
    table: f"SELECT * FROM {table} WHERE id = :key"
    for table in ("workspaces", "sessions", "instances", "chat_messages", "quarantine", "migration_ledger")
}
SESSION_HEADING = """
    SELECT s.task, s.type, s.status, w.workspace_path
    FROM session_values s JOIN workspaces w ON w.id = s.workspace_id WHERE s.session_key = :key
"""
AGENTS_OF_SESSION = """
    SELECT i.id, i.instance_id, i.agent_name, i.status, coalesce(i.runtime_label, i.runtime) AS runtime, i.model,
           i.files_changed, i.lines_added, i.lines_deleted, i.branch, i.output
    FROM instances i WHERE i.session_id = :key ORDER BY i.position NULLS LAST, i.id LIMIT :most
"""
CHAT_OF_SESSION = """
    SELECT m.message_key AS id, m.role, m.timestamp, m.instance_id, m.content,
           (SELECT i.agent_name FROM instances i WHERE i.session_id = m.session_key AND i.instance_id = m.instance_id)
           AS agent
    FROM message_values m WHERE m.session_key = :key ORDER BY m.position NULLS LAST, m.row_number LIMIT :most
"""

# The example queries.
RECENT_SESSIONS = """
SELECT s.task, w.workspace_path AS workspace, s.type, s.status, s.updated_at, s.session_key AS session,
       (SELECT count(*) FROM instances i WHERE i.session_id = s.session_key) AS agents,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.session_key) AS messages
FROM session_values s JOIN workspaces w ON w.id = s.workspace_id
ORDER BY s.updated_at DESC LIMIT 100
"""
SESSIONS_IN_WORKSPACES = """
SELECT w.workspace_path AS workspace, count(*) AS sessions,
       sum(s.status = 'running' OR s.status GLOB 'round_[0-9]*') AS running,
       min(s.created_at) AS first, max(s.updated_at) AS last
FROM workspaces w JOIN session_values s ON s.workspace_id = w.id
GROUP BY w.id ORDER BY last DESC
"""
WINNERS = """
SELECT s.task, i.agent_name AS winner, s.session_key AS session,
       coalesce(i.runtime_label, i.runtime) AS runtime, i.model,
       i.files_changed, i.lines_added, i.lines_deleted, s.completed_at
FROM session_values s JOIN instances i ON i.session_id = s.session_key AND i.instance_id = s.winner_id
WHERE s.winner_id IS NOT NULL ORDER BY s.completed_at DESC LIMIT 200
"""
AGENTS = """
SELECT i.agent_name AS agent, coalesce(i.runtime_label, i.runtime) AS runtime, count(*) AS instances,
       sum(i.status = 'completed') AS completed, sum(i.status = 'failed') AS failed,
       sum(i.files_changed) AS files_changed, sum(i.lines_added) AS lines_added, sum(i.lines_deleted) AS lines_deleted
FROM instances i GROUP BY 1, 2 ORDER BY instances DESC LIMIT 200
"""
SAID = """
SELECT s.task, m.role, m.timestamp, m.content, s.session_key AS session
FROM message_values m JOIN session_values s ON s.session_key = m.session_key
WHERE :text <> '' AND instr(m.content, :text) LIMIT 100
"""
SET_ASIDE = """
SELECT q.id, q.reason, coalesce(w.workspace_path, q.workspace_hash) AS workspace, l.source AS file, q.problems, q.raw
FROM quarantine q LEFT JOIN workspaces w ON w.workspace_hash = q.workspace_hash
LEFT JOIN migration_ledger l ON l.id = q.source_id ORDER BY q.id LIMIT 200
"""
SESSIONS_BY_STATUS = """
SELECT s.type, s.status, count(*) AS sessions, min(s.created_at) AS first, max(s.updated_at) AS last
FROM session_values s GROUP BY 1, 2 ORDER BY sessions DESC, 1, 2 LIMIT 500
"""
