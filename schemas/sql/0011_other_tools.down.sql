-- Undoes 0011_other_tools.

DROP VIEW message_values;
DROP VIEW instance_values;
DROP VIEW session_values;
CREATE VIEW session_values AS
SELECT
    s.id AS session_key,                   -- sessions.id, which child tables refer to
    CASE WHEN json_valid(s.rescued_data)
          AND s.id = json_extract(s.rescued_data, '$.columns.id[0]')
          AND json_type(s.rescued_data, '$.columns.id[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.id[1]') ELSE s.id END AS id,
    s.workspace_id,
    CASE WHEN json_valid(s.rescued_data)
          AND s.type = json_extract(s.rescued_data, '$.columns.type[0]')
          AND json_type(s.rescued_data, '$.columns.type[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.type[1]') ELSE s.type END AS type,
    CASE WHEN json_valid(s.rescued_data)
          AND s.task = json_extract(s.rescued_data, '$.columns.task[0]')
          AND json_type(s.rescued_data, '$.columns.task[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.task[1]') ELSE s.task END AS task,
    CASE WHEN json_valid(s.rescued_data)
          AND s.status = json_extract(s.rescued_data, '$.columns.status[0]')
          AND json_type(s.rescued_data, '$.columns.status[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.status[1]') ELSE s.status END AS status,
    s.created_at, s.updated_at, s.completed_at, s.model, s.timeout_seconds, s.preserve_worktrees, s.winner_id,
    -- 2^63 and more is approximate: SQLite has no such integer.
    CASE WHEN json_valid(s.rescued_data)
          AND s.total_duration = json_extract(s.rescued_data, '$.columns.total_duration[0]')
          AND json_type(s.rescued_data, '$.columns.total_duration[1]') IN ('integer', 'real')
         THEN json_extract(s.rescued_data, '$.columns.total_duration[1]') ELSE s.total_duration END AS total_duration,
    s.total_files_changed, s.total_lines_added, s.total_lines_deleted, s.position, s.source_id
FROM sessions s;

CREATE VIEW message_values AS
SELECT
    m.id AS message_key,                   -- chat_messages.id
    m.session_id AS session_key,
    CASE WHEN json_valid(m.rescued_data)
          AND m.id = json_extract(m.rescued_data, '$.columns.id[0]')
          AND json_type(m.rescued_data, '$.columns.id[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.id[1]') ELSE m.id END AS id,
    CASE WHEN json_valid(m.rescued_data)
          AND m.role = json_extract(m.rescued_data, '$.columns.role[0]')
          AND json_type(m.rescued_data, '$.columns.role[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.role[1]') ELSE m.role END AS role,
    CASE WHEN json_valid(m.rescued_data)
          AND m.content = json_extract(m.rescued_data, '$.columns.content[0]')
          AND json_type(m.rescued_data, '$.columns.content[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.content[1]') ELSE m.content END AS content,
    m.timestamp, m.instance_id, m.position, m.rowid AS row_number
FROM chat_messages m;

ALTER TABLE migration_ledger RENAME COLUMN session_count TO sessions;

UPDATE migration_metadata SET schema_version = 10, last_updated_at = datetime('now') WHERE id = 1;
