-- Undoes 0009_nothing_is_lost.

DROP VIEW message_values;
DROP VIEW session_values;

ALTER TABLE quarantine RENAME TO quarantine_before;
CREATE TABLE quarantine (
    id             INTEGER PRIMARY KEY,
    source_id      INTEGER REFERENCES migration_ledger(id) ON DELETE CASCADE,
    workspace_hash TEXT,                   -- NULL if it is unknown
    position       INTEGER NOT NULL,       -- its place among the sessions of its file: sessions.position has a gap there
    reason         TEXT NOT NULL,
    raw            ANY NOT NULL,           -- the bytes of the file: TEXT if they are UTF-8, else BLOB
    base           ANY,                    -- of a conflict: the version that both sides started from
    problems       TEXT NOT NULL,          -- a JSON array of {pointer, found, expected}
    created_at     TEXT NOT NULL,
    CHECK (reason IN ('invalid', 'unreadable', 'torn', 'conflict'))
) STRICT;

INSERT INTO quarantine (
    id, source_id, workspace_hash, position, reason, raw, base, problems, created_at
) SELECT id, source_id, workspace_hash, position, reason, raw, base, problems, created_at FROM quarantine_before;

DROP TABLE quarantine_before;
CREATE INDEX idx_quarantine_source ON quarantine(source_id);
CREATE INDEX idx_quarantine_workspace ON quarantine(workspace_hash);

DROP TABLE held_deletions;
ALTER TABLE migration_runs DROP COLUMN deleted;
ALTER TABLE migration_runs DROP COLUMN held;
DROP TABLE written_files;
ALTER TABLE migration_ledger DROP COLUMN dismissed;
ALTER TABLE migration_ledger DROP COLUMN bases;
ALTER TABLE migration_metadata DROP COLUMN quarantine_rules;

UPDATE migration_metadata SET schema_version = 8, last_updated_at = datetime('now') WHERE id = 1;
