-- 0004_rolled_back_sessions: records which sessions the last rollback wrote to the JSON files.
--
-- Additive: one table that neither the app nor a store reads. An app that keeps the database open during a rollback may
-- write to it afterwards. With this table the next run finds what has changed, and migrates or quarantines it.

CREATE TABLE rolled_back_sessions (
    session_key    TEXT PRIMARY KEY,       -- sessions.id at that time; the session may have been deleted since
    digest         BLOB NOT NULL           -- SHA-256 of the document's canonical form, as it is in its file
) STRICT, WITHOUT ROWID;

UPDATE migration_metadata SET schema_version = 4, last_updated_at = datetime('now') WHERE id = 1;
