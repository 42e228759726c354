-- The journal of a trial of both stores: a database of its own, since either store may be the one that fails.

-- One row for each write that the second store may lack. It is here before the first store is written, and goes when
-- both have it: what a crash leaves behind is what is to be repaired.
CREATE TABLE IF NOT EXISTS pending_repairs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: "up to this one" stays true
    workspace_hash TEXT NOT NULL,
    workspace_path TEXT NOT NULL,
    since          TEXT NOT NULL,
    error          TEXT                               -- NULL while the write is under way, or died
) STRICT;

CREATE INDEX IF NOT EXISTS idx_pending_repairs_workspace ON pending_repairs(workspace_hash);

-- The workspace files of which the first store has all, as they are then: as they were written last by ourselves, or
-- taken up by a migration. What is in another one nobody has seen, and nothing is written over it.
CREATE TABLE IF NOT EXISTS known_files (
    workspace_hash TEXT PRIMARY KEY,
    sha256         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a comparison found. A digest is NULL where that store had no such session.
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
