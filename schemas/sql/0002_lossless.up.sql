-- 0002_lossless: stores what the documents contain and the tables of 0001 cannot.
--
-- Additive: the desktop app runs its own SQL on this database, so every column of 0001 keeps its name, type and
-- meaning, and every new one may be NULL.

-- One row for each file that sessions were, or should have been, migrated from.
CREATE TABLE migration_ledger (
    id             INTEGER PRIMARY KEY,
    source         TEXT NOT NULL UNIQUE,   -- 'sessions/<hash>.json', 'sessions.json', or the full path of a file elsewhere
    workspace_hash TEXT,                   -- NULL if the file holds several workspaces
    status         TEXT NOT NULL,          -- a failed file stays where it is, and the app reads it
    size           INTEGER NOT NULL,       -- bytes
    mtime_ns       INTEGER NOT NULL,       -- with size and inode: shows whether the file must be hashed again
    inode          INTEGER NOT NULL,
    sha256         TEXT,                   -- NULL if the file could not be read at all
    sessions       INTEGER NOT NULL DEFAULT 0,
    instances      INTEGER NOT NULL DEFAULT 0,
    messages       INTEGER NOT NULL DEFAULT 0,
    quarantined    INTEGER NOT NULL DEFAULT 0,
    digest         TEXT,                   -- of the sessions, in order, as they were read back from this database
    backup         TEXT,                   -- the copy, relative to the data directory if it is inside it
    error          TEXT,                   -- why it failed
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    CHECK (status IN ('migrated', 'merged', 'failed', 'rolled_back'))
) STRICT;

CREATE INDEX idx_migration_ledger_workspace ON migration_ledger(workspace_hash);

-- Invalid sessions and the losing versions of conflicts, complete: nothing is discarded because it is invalid.
CREATE TABLE quarantine (
    id             INTEGER PRIMARY KEY,
    source_id      INTEGER REFERENCES migration_ledger(id) ON DELETE CASCADE,
    workspace_hash TEXT,                   -- NULL if it is unknown
    position       INTEGER NOT NULL,       -- its place among the sessions of its file; sessions.position has a gap there
    reason         TEXT NOT NULL,
    raw            ANY NOT NULL,           -- the bytes of the file: TEXT if they are UTF-8, else BLOB
    base           ANY,                    -- of a conflict: the version that both sides started from
    problems       TEXT NOT NULL,          -- a JSON array of {pointer, found, expected}
    created_at     TEXT NOT NULL,
    CHECK (reason IN ('invalid', 'unreadable', 'torn', 'conflict'))
) STRICT;

CREATE INDEX idx_quarantine_source ON quarantine(source_id);
CREATE INDEX idx_quarantine_workspace ON quarantine(workspace_hash);

-- Array order carries meaning, and timestamps tie. NULL (a row that the app inserted) comes last, in rowid order.
ALTER TABLE sessions ADD COLUMN position INTEGER;
-- A JSON object: what the columns of this row cannot hold exactly. NULL for nearly every row.
--   members: unknown members, as they were.
--   columns: {column: [substitute, original]}; the original counts only while the column still holds the substitute.
ALTER TABLE sessions ADD COLUMN rescued_data TEXT;
-- The file that the session was migrated from; NULL for one that was created in SQLite.
ALTER TABLE sessions ADD COLUMN source_id INTEGER REFERENCES migration_ledger(id) ON DELETE SET NULL;

ALTER TABLE instances ADD COLUMN position INTEGER;
ALTER TABLE instances ADD COLUMN rescued_data TEXT;

ALTER TABLE chat_messages ADD COLUMN position INTEGER;
ALTER TABLE chat_messages ADD COLUMN rescued_data TEXT;

-- Redundant: UNIQUE made the same index already, or the index below begins with the same columns.
DROP INDEX idx_workspaces_path;
DROP INDEX idx_workspaces_hash;
DROP INDEX idx_runtime_mix_session;
DROP INDEX idx_instances_session;
DROP INDEX idx_instances_session_instance;
DROP INDEX idx_sessions_workspace;
DROP INDEX idx_chat_messages_session;

CREATE INDEX idx_sessions_workspace_position ON sessions(workspace_id, position);
CREATE INDEX idx_sessions_source ON sessions(source_id, position) WHERE source_id IS NOT NULL;
CREATE INDEX idx_instances_session_position ON instances(session_id, position);
CREATE INDEX idx_chat_messages_session_position ON chat_messages(session_id, position);
-- A session whose id was taken in the table is looked up by the id that it has in its document.
CREATE INDEX idx_sessions_rescued_id ON sessions(workspace_id, json_extract(rescued_data, '$.columns.id[1]'))
    WHERE json_extract(rescued_data, '$.columns.id[1]') IS NOT NULL;

-- The view of 0001 joins three child tables and so multiplies their rows before it counts them; counted one by one
-- they cost what they are. Same columns.
DROP VIEW session_complete;
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
    (SELECT COUNT(*) FROM instances i WHERE i.session_id = s.id) AS instance_count,
    (SELECT COUNT(*) FROM chat_messages cm WHERE cm.session_id = s.id) AS message_count,
    (SELECT GROUP_CONCAT(srm.runtime) FROM session_runtime_mix srm WHERE srm.session_id = s.id) AS runtime_mix
FROM sessions s
JOIN workspaces w ON s.workspace_id = w.id;

UPDATE migration_metadata SET schema_version = 2, last_updated_at = datetime('now') WHERE id = 1;
