-- The journal of hybrid mode: a separate database, because either store may be the one that fails.

-- One row for each write that the second store may lack. It is inserted before the first store is written, and deleted
-- when both have the write: rows that remain after a crash are to be repaired.
CREATE TABLE IF NOT EXISTS pending_repairs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: a repair deletes all rows up to an id
    workspace_hash TEXT NOT NULL,
    workspace_path TEXT NOT NULL,
    since          TEXT NOT NULL,
    error          TEXT                               -- NULL while the write is in progress, or after a crash
) STRICT;

CREATE INDEX IF NOT EXISTS idx_pending_repairs_workspace ON pending_repairs(workspace_hash);

-- The differences that comparisons found. A digest is NULL if that store had no such session.
CREATE TABLE IF NOT EXISTS trial_differences (
    id               INTEGER PRIMARY KEY,
    workspace_hash   TEXT NOT NULL,
    workspace_path   TEXT NOT NULL,
    operation        TEXT NOT NULL,
    session_id       TEXT NOT NULL,
    primary_digest   TEXT,
    secondary_digest TEXT,
    found_at         TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS trial_counts (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    writes      INTEGER NOT NULL DEFAULT 0,
    failures    INTEGER NOT NULL DEFAULT 0,
    comparisons INTEGER NOT NULL DEFAULT 0,
    differences INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT OR IGNORE INTO trial_counts (id) VALUES (1);
