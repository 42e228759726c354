-- 0010_surroundings: what surrounds the database, so that it is used only where it belongs.
--
-- Additive.

-- The data directory whose files are in this database, as an absolute path with links resolved; recorded when a
-- migration is published, or SQLite is made authoritative. Bytes of the path that are not UTF-8 are escaped. NULL before
-- that. It counts only for a database outside every data directory: one in a data directory belongs to that one, so that
-- copies and snapshots of a whole directory work.
ALTER TABLE migration_metadata ADD COLUMN data_dir TEXT;

-- The last position in a workspace is found at once, however much is in quarantine.
DROP INDEX idx_quarantine_workspace;
CREATE INDEX idx_quarantine_workspace_position ON quarantine(workspace_hash, position);

UPDATE migration_metadata SET schema_version = 10, last_updated_at = datetime('now') WHERE id = 1;
