-- 0007_ids_by_their_keys: drops the index on the ids that were taken.
--
-- A key that replaces an id begins with that id, so a range of the primary key finds both. And versions of SQLite
-- disagree on an index of what json_extract returns: before 3.45, it ends at the first NUL. If two sessions shared an id
-- with a NUL, one version reported the index that another one had written as damaged.

DROP INDEX idx_sessions_rescued_id;

UPDATE migration_metadata SET schema_version = 7, last_updated_at = datetime('now') WHERE id = 1;
