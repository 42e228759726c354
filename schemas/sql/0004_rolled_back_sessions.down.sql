-- Undoes 0004_rolled_back_sessions. What was written after a rollback can't be told from the rest any more.

DROP TABLE rolled_back_sessions;

UPDATE migration_metadata SET schema_version = 3, last_updated_at = datetime('now') WHERE id = 1;
