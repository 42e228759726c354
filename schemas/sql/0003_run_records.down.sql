-- Undoes 0003_run_records. The records of the runs are lost; what the runs migrated stays.

DROP TABLE migration_shares;
DROP TABLE migration_runs;

UPDATE migration_metadata SET schema_version = 2, last_updated_at = datetime('now') WHERE id = 1;
