-- 0004_rolled_back_sessions: what went into the JSON files at the last rollback.
--
-- Additive: one table that neither the app nor a store reads. An app that held the database open through a rollback may
-- write to it afterwards; the next run finds what is not as it was, and brings it in instead of emptying the tables.

CREATE TABLE rolled_back_sessions (
    session_key    TEXT PRIMARY KEY,       -- sessions.id as it was then; the session may be gone since
    digest         BLOB NOT NULL           -- SHA-256 of the document's canonical form, as it stands in its file
) STRICT, WITHOUT ROWID;

UPDATE migration_metadata SET schema_version = 4, last_updated_at = datetime('now') WHERE id = 1;
