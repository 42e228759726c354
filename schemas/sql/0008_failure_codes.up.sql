-- 0008_failure_codes: why a file failed, as a code that stays when the words of the message change.
--
-- Additive: one column behind the others of migration_ledger.

ALTER TABLE migration_ledger ADD COLUMN error_code TEXT;  -- such as source.truncated; NULL for a failure of before

UPDATE migration_metadata SET schema_version = 8, last_updated_at = datetime('now') WHERE id = 1;
