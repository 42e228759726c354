-- Undoes 0003_run_records. What the runs did is forgotten; what they brought stays.

DROP TABLE migration_shares;
DROP TABLE migration_runs;

UPDATE migration_metadata SET schema_version = 2, last_updated_at = datetime('now') WHERE id = 1;
