-- Undoes 0010_surroundings.

ALTER TABLE migration_metadata DROP COLUMN data_dir;

DROP INDEX idx_quarantine_workspace_position;
CREATE INDEX idx_quarantine_workspace ON quarantine(workspace_hash);

UPDATE migration_metadata SET schema_version = 9, last_updated_at = datetime('now') WHERE id = 1;
