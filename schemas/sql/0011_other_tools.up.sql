-- 0011_other_tools: what other programs stumble over when they read the database.
--
-- A column of migration_ledger, which the app does not use, gets another name; a view has more columns, and there is
-- a new one.

-- sessions.source_id refers to this table. Tools that make a model of each table call the way back "sessions" too.
ALTER TABLE migration_ledger RENAME COLUMN sessions TO session_count;  -- sessions in the file

-- The values that the documents have. Each column has one type, which drivers and data frames can read; the casts say
-- which, since SQLite does not know it of an expression.
DROP VIEW session_values;
CREATE VIEW session_values AS
SELECT
    s.id AS session_key,                   -- sessions.id, which child tables refer to
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND s.id = json_extract(s.rescued_data, '$.columns.id[0]')
          AND json_type(s.rescued_data, '$.columns.id[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.id[1]') ELSE s.id END AS TEXT) AS id,
    s.workspace_id,
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND s.type = json_extract(s.rescued_data, '$.columns.type[0]')
          AND json_type(s.rescued_data, '$.columns.type[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.type[1]') ELSE s.type END AS TEXT) AS type,
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND s.task = json_extract(s.rescued_data, '$.columns.task[0]')
          AND json_type(s.rescued_data, '$.columns.task[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.task[1]') ELSE s.task END AS TEXT) AS task,
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND s.status = json_extract(s.rescued_data, '$.columns.status[0]')
          AND json_type(s.rescued_data, '$.columns.status[1]') = 'text'
         THEN json_extract(s.rescued_data, '$.columns.status[1]') ELSE s.status END AS TEXT) AS status,
    s.created_at, s.updated_at, s.completed_at, s.model, s.timeout_seconds, s.preserve_worktrees, s.winner_id,
    -- A text: it may be 2^64 - 1, SQLite's integers end at 2^63 - 1, and those of JavaScript at 2^53.
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND s.total_duration = json_extract(s.rescued_data, '$.columns.total_duration[0]')
          AND json_type(s.rescued_data, '$.columns.total_duration[1]') IN ('integer', 'real')
         THEN (SELECT rtrim(substr(pair.both, instr(pair.both, ',') + 1), ']') FROM (
                   SELECT json_extract(s.rescued_data, '$.columns.total_duration') AS both) pair)
         ELSE s.total_duration END AS TEXT) AS total_duration,
    s.total_files_changed, s.total_lines_added, s.total_lines_deleted, s.position, s.source_id,
    -- A JSON array, in order and with repeats; NULL is not the same as an empty one.
    CAST(CASE WHEN json_valid(s.rescued_data)
          AND json_type(s.rescued_data, '$.columns.runtime_mix[1]') = 'array'
          AND (SELECT json_group_array(e.value) FROM json_each(s.rescued_data, '$.columns.runtime_mix[0]') e)
            = (SELECT json_group_array(r.runtime) FROM (
                   SELECT runtime FROM session_runtime_mix WHERE session_id = s.id ORDER BY id) r)
         THEN json_extract(s.rescued_data, '$.columns.runtime_mix[1]')
         ELSE (SELECT nullif(json_group_array(r.runtime), '[]') FROM (
                   SELECT runtime FROM session_runtime_mix WHERE session_id = s.id ORDER BY id) r)
         END AS TEXT) AS runtime_mix,
    -- A JSON object of the members that have no column; numbers as they are written in the document.
    CAST(CASE WHEN json_valid(s.rescued_data) AND json_type(s.rescued_data, '$.members') = 'object'
         THEN json_extract(s.rescued_data, '$.members') END AS TEXT) AS other_members
FROM sessions s;

CREATE VIEW instance_values AS
SELECT
    i.id AS instance_key,                  -- instances.id
    i.session_id AS session_key,
    CAST(CASE WHEN json_valid(i.rescued_data)
          AND i.instance_id = json_extract(i.rescued_data, '$.columns.instance_id[0]')
          AND json_type(i.rescued_data, '$.columns.instance_id[1]') = 'integer'
         THEN json_extract(i.rescued_data, '$.columns.instance_id[1]') ELSE i.instance_id END AS INTEGER) AS instance_id,
    i.worktree_path, i.branch, i.agent_name, i.status, i.tmux_session_id, i.output, i.start_time, i.end_time,
    i.files_changed, i.lines_added, i.lines_deleted, i.runtime, i.model, i.runtime_label, i.position,
    CAST(CASE WHEN json_valid(i.rescued_data) AND json_type(i.rescued_data, '$.members') = 'object'
         THEN json_extract(i.rescued_data, '$.members') END AS TEXT) AS other_members
FROM instances i;

DROP VIEW message_values;
CREATE VIEW message_values AS
SELECT
    m.id AS message_key,                   -- chat_messages.id
    m.session_id AS session_key,
    CAST(CASE WHEN json_valid(m.rescued_data)
          AND m.id = json_extract(m.rescued_data, '$.columns.id[0]')
          AND json_type(m.rescued_data, '$.columns.id[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.id[1]') ELSE m.id END AS TEXT) AS id,
    CAST(CASE WHEN json_valid(m.rescued_data)
          AND m.role = json_extract(m.rescued_data, '$.columns.role[0]')
          AND json_type(m.rescued_data, '$.columns.role[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.role[1]') ELSE m.role END AS TEXT) AS role,
    CAST(CASE WHEN json_valid(m.rescued_data)
          AND m.content = json_extract(m.rescued_data, '$.columns.content[0]')
          AND json_type(m.rescued_data, '$.columns.content[1]') = 'text'
         THEN json_extract(m.rescued_data, '$.columns.content[1]') ELSE m.content END AS TEXT) AS content,
    m.timestamp, m.instance_id, m.position, m.rowid AS row_number,
    CAST(CASE WHEN json_valid(m.rescued_data) AND json_type(m.rescued_data, '$.members') = 'object'
         THEN json_extract(m.rescued_data, '$.members') END AS TEXT) AS other_members
FROM chat_messages m;

UPDATE migration_metadata SET schema_version = 11, last_updated_at = datetime('now') WHERE id = 1;
