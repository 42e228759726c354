-- 0008_failure_codes: records why a file failed as a code, which stays the same when the message is reworded.
--
-- Additive: one more column of migration_ledger.

ALTER TABLE migration_ledger ADD COLUMN error_code TEXT;  -- such as source.truncated; NULL for earlier failures

UPDATE migration_metadata SET schema_version = 8, last_updated_at = datetime('now') WHERE id = 1;
