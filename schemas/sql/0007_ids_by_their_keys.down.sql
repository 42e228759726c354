-- Undoes 0007_ids_by_their_keys.

CREATE INDEX idx_sessions_rescued_id ON sessions(workspace_id, json_extract(rescued_data, '$.columns.id[1]'))
    WHERE json_extract(rescued_data, '$.columns.id[1]') IS NOT NULL;

UPDATE migration_metadata SET schema_version = 6, last_updated_at = datetime('now') WHERE id = 1;
