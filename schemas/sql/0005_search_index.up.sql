-- 0005_search_index: records how far the full-text index is built.
--
-- Additive: one table. The index itself is in search_index.sql: it is built after a migration is published, may be
-- left out, and needs an SQLite with FTS5; a database without the index does not.

CREATE TABLE search_index (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    state          TEXT NOT NULL,
    -- The texts of rows up to these rowids are in the index, and triggers keep them up to date; the later rows are left
    -- to the builder. When the index is complete, all three are the largest integer.
    tasks_to       INTEGER NOT NULL DEFAULT 0,
    messages_to    INTEGER NOT NULL DEFAULT 0,
    outputs_to     INTEGER NOT NULL DEFAULT 0,
    CHECK (state IN ('pending', 'building', 'complete', 'left_out'))
) STRICT;

-- pending: the next 'migrate' builds it.
INSERT INTO search_index (id, state) VALUES (1, 'pending');

UPDATE migration_metadata SET schema_version = 5, last_updated_at = datetime('now') WHERE id = 1;
