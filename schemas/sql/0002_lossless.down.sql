-- Undoes 0002_lossless: restores the tables, indexes and view of 0001. What the new columns and tables hold is lost, so
-- 'migrator schema revert' refuses while they hold anything.

DROP VIEW session_complete;

DROP INDEX idx_sessions_rescued_id;
DROP INDEX idx_chat_messages_session_position;
DROP INDEX idx_instances_session_position;
DROP INDEX idx_sessions_source;
DROP INDEX idx_sessions_workspace_position;

ALTER TABLE chat_messages DROP COLUMN rescued_data;
ALTER TABLE chat_messages DROP COLUMN position;
ALTER TABLE instances DROP COLUMN rescued_data;
ALTER TABLE instances DROP COLUMN position;
ALTER TABLE sessions DROP COLUMN source_id;
ALTER TABLE sessions DROP COLUMN rescued_data;
ALTER TABLE sessions DROP COLUMN position;

DROP TABLE quarantine;
DROP TABLE migration_ledger;

CREATE INDEX idx_workspaces_path ON workspaces(workspace_path);
CREATE INDEX idx_workspaces_hash ON workspaces(workspace_hash);
CREATE INDEX idx_runtime_mix_session ON session_runtime_mix(session_id);
CREATE INDEX idx_instances_session ON instances(session_id);
CREATE INDEX idx_instances_session_instance ON instances(session_id, instance_id);
CREATE INDEX idx_sessions_workspace ON sessions(workspace_id);
CREATE INDEX idx_chat_messages_session ON chat_messages(session_id);

CREATE VIEW session_complete AS
SELECT
    s.id,
    s.workspace_id,
    w.workspace_path,
    s.type,
    s.task,
    s.status,
    s.created_at,
    s.updated_at,
    s.completed_at,
    s.model,
    s.timeout_seconds,
    s.preserve_worktrees,
    s.winner_id,
    s.total_duration,
    s.total_files_changed,
    s.total_lines_added,
    s.total_lines_deleted,
    COUNT(DISTINCT i.id) as instance_count,
    COUNT(DISTINCT cm.id) as message_count,
    GROUP_CONCAT(DISTINCT srm.runtime) as runtime_mix
FROM sessions s
JOIN workspaces w ON s.workspace_id = w.id
LEFT JOIN instances i ON s.id = i.session_id
LEFT JOIN chat_messages cm ON s.id = cm.session_id
LEFT JOIN session_runtime_mix srm ON s.id = srm.session_id
GROUP BY s.id;

UPDATE migration_metadata SET schema_version = 1, last_updated_at = datetime('now') WHERE id = 1;
