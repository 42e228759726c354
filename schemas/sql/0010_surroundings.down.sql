-- Undoes 0010_surroundings.

ALTER TABLE migration_metadata DROP COLUMN data_dir;

UPDATE migration_metadata SET schema_version = 9, last_updated_at = datetime('now') WHERE id = 1;
