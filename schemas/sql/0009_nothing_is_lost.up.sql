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

-- The copies that a file's sessions are compared with, newest first, as a JSON array: a session is looked up in the
-- first one that has it. NULL if it is the one in backup alone.
ALTER TABLE migration_ledger ADD COLUMN bases TEXT;

-- The number of the rules by which what is in quarantine was last found invalid.
ALTER TABLE migration_metadata ADD COLUMN quarantine_rules INTEGER;

UPDATE migration_metadata SET schema_version = 9, last_updated_at = datetime('now') WHERE id = 1;
