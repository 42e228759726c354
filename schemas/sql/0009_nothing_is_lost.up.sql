-- 0009_nothing_is_lost: what a merge takes out is kept, and each session has its own merge base.
--
-- Additive but for quarantine, which the app does not use: it is made anew to allow one more reason.

-- A session that a file lost is quarantined with the reason 'deleted'.
ALTER TABLE quarantine RENAME TO quarantine_before;
CREATE TABLE quarantine (
    id             INTEGER PRIMARY KEY,
    source_id      INTEGER REFERENCES migration_ledger(id) ON DELETE CASCADE,
    workspace_hash TEXT,                   -- NULL if unknown
    position       INTEGER NOT NULL,       -- its place among the sessions of its file: sessions.position has a gap there
    reason         TEXT NOT NULL,
    raw            ANY NOT NULL,           -- the bytes of the file: TEXT if they are UTF-8, else BLOB
    base           ANY,                    -- of a conflict: the version that both sides started from
    problems       TEXT NOT NULL,          -- a JSON array of {pointer, found, expected, code}
    created_at     TEXT NOT NULL,
    session_id     TEXT,                   -- of a deleted session: its id, so that it can be named without reading raw
    CHECK (reason IN ('invalid', 'unreadable', 'torn', 'conflict', 'deleted'))
) STRICT;

INSERT INTO quarantine (
    id, source_id, workspace_hash, position, reason, raw, base, problems, created_at
) SELECT id, source_id, workspace_hash, position, reason, raw, base, problems, created_at FROM quarantine_before;

DROP TABLE quarantine_before;
CREATE INDEX idx_quarantine_source ON quarantine(source_id);
CREATE INDEX idx_quarantine_workspace ON quarantine(workspace_hash);

-- Sessions that a file lost, so many of them that they stay until the user decides.
CREATE TABLE held_deletions (
    session_key    TEXT PRIMARY KEY,       -- sessions.id
    source_id      INTEGER NOT NULL REFERENCES migration_ledger(id) ON DELETE CASCADE,
    digest         BLOB NOT NULL,          -- SHA-256 of the session's canonical form when the file was found without it
    found_at       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_held_deletions_source ON held_deletions(source_id);

-- The sessions that the files of a run had lost: those that went to quarantine, and those that are held.
ALTER TABLE migration_runs ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE migration_runs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

-- The copies that a file's sessions are compared with, newest first, as a JSON array: a session is looked up in the
-- first one that has it. NULL if it is the one in backup alone.
ALTER TABLE migration_ledger ADD COLUMN bases TEXT;

-- How many invalid sessions of the file the user took out of quarantine: a rollback writes the file without them, even if
-- nothing else has changed.
ALTER TABLE migration_ledger ADD COLUMN dismissed INTEGER;

-- What hybrid mode wrote to a workspace's file, or was about to write. SQLite has, or had, everything in a file with one
-- of these SHA-256. The record is kept here, so that it always agrees with the database: an older copy of the database
-- that is put back knows only the older files.
CREATE TABLE written_files (
    workspace_hash TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    PRIMARY KEY (workspace_hash, sha256)
) STRICT, WITHOUT ROWID;

-- The number of the rules by which what is in quarantine was last found invalid.
ALTER TABLE migration_metadata ADD COLUMN quarantine_rules INTEGER;

-- The values that the documents have, also where a column holds a substitute for one that it refuses ('cancelled' as
-- a status, say): rescued_data then has the original, which counts only while the column still holds the substitute.
-- A view for everybody who counts or lists with SQL; what another program wrote to rescued_data is passed over.
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

UPDATE migration_metadata SET schema_version = 9, last_updated_at = datetime('now') WHERE id = 1;
