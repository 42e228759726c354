-- 0005_search_index: how far the index for full-text search is.
--
-- Additive: one table. The index itself is in search_index.sql: it is made after a migration was published, may be left
-- out, and needs an SQLite with FTS5, which a database without it does not.

CREATE TABLE search_index (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    state          TEXT NOT NULL,
    -- The texts of rows up to these rowids are in the index, and triggers keep them true; those of rows behind them the
    -- builder has yet to reach. All are the largest integer once it is complete.
    tasks_to       INTEGER NOT NULL DEFAULT 0,
    messages_to    INTEGER NOT NULL DEFAULT 0,
    outputs_to     INTEGER NOT NULL DEFAULT 0,
    CHECK (state IN ('pending', 'building', 'complete', 'left_out'))
) STRICT;

-- pending: the next 'migrate' makes it.
INSERT INTO search_index (id, state) VALUES (1, 'pending');

UPDATE migration_metadata SET schema_version = 5, last_updated_at = datetime('now') WHERE id = 1;
