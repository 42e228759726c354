-- Undoes 0004_rolled_back_sessions. What was written after a rollback can then no longer be found.

DROP TABLE rolled_back_sessions;

UPDATE migration_metadata SET schema_version = 3, last_updated_at = datetime('now') WHERE id = 1;
