-- 0007_ids_by_their_keys: without the index on the ids that were taken.
--
-- A key that stands in for an id begins with it, so that the primary key finds both. And an index on what json_extract
-- returns is not the same to every SQLite: before 3.45 a text in JSON ends at the first NUL in it. What one version had
-- written another found damaged, where two sessions shared such an id.

DROP INDEX idx_sessions_rescued_id;

UPDATE migration_metadata SET schema_version = 7, last_updated_at = datetime('now') WHERE id = 1;
