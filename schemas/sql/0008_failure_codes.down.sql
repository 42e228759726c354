-- Undoes 0008_failure_codes.

ALTER TABLE migration_ledger DROP COLUMN error_code;

UPDATE migration_metadata SET schema_version = 7, last_updated_at = datetime('now') WHERE id = 1;
