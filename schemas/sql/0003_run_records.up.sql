-- 0003_run_records: what each run found and did, and how long it took.
--
-- Additive: two tables that neither the app nor a store reads. The migration report is made from them, and from
-- the ledger alone if a database has none of their rows.

-- One row for each run that published something, committed together with what it published. A run that found nothing to
-- do writes nothing.
CREATE TABLE migration_runs (
    id              INTEGER PRIMARY KEY,
    ended_at        TEXT NOT NULL,         -- RFC 3339, UTC: just before it was published
    program_version TEXT NOT NULL,         -- of the migrator that ran
    files           INTEGER NOT NULL,      -- that it processed
    failed_files    INTEGER NOT NULL,      -- of these: left where they are
    bytes           INTEGER NOT NULL,      -- of the files that it processed, as far as they could be read
    database_bytes  INTEGER NOT NULL,      -- size of the database at that time
    migrated        INTEGER NOT NULL,      -- sessions; with the next three: all that were found in these files
    merged          INTEGER NOT NULL,      -- from a file that SQLite already had sessions of
    quarantined     INTEGER NOT NULL,      -- invalid, or changed on both sides
    failed          INTEGER NOT NULL,      -- in files that failed, as far as they could be counted
    instances       INTEGER NOT NULL,      -- of the migrated and merged sessions
    messages        INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,      -- until it was recorded
    stages          TEXT NOT NULL,         -- a JSON object of stage to milliseconds, in the order of work
    backup          TEXT                   -- the folder with the copies
) STRICT;

-- What a workspace got from a source when that was last processed, for sources whose row in the ledger does not say it:
-- a file of several workspaces, one that was merged, and one that failed. Of any other, all of the ledger's sessions were
-- migrated.
CREATE TABLE migration_shares (
    source_id       INTEGER NOT NULL REFERENCES migration_ledger(id) ON DELETE CASCADE,
    workspace_hash  TEXT NOT NULL,
    migrated        INTEGER NOT NULL,      -- sessions; these four as in migration_runs
    merged          INTEGER NOT NULL,
    quarantined     INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    instances       INTEGER NOT NULL,
    messages        INTEGER NOT NULL,
    PRIMARY KEY (source_id, workspace_hash)
) STRICT, WITHOUT ROWID;

UPDATE migration_metadata SET schema_version = 3, last_updated_at = datetime('now') WHERE id = 1;
