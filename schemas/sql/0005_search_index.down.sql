-- Undoes 0005_search_index: the index, if there is one, and the record of it. It can be made again at any time.

DROP TRIGGER IF EXISTS search_task_insert;
DROP TRIGGER IF EXISTS search_task_delete;
DROP TRIGGER IF EXISTS search_task_update;
DROP TRIGGER IF EXISTS search_message_insert;
DROP TRIGGER IF EXISTS search_message_delete;
DROP TRIGGER IF EXISTS search_message_update;
DROP TRIGGER IF EXISTS search_output_insert;
DROP TRIGGER IF EXISTS search_output_delete;
DROP TRIGGER IF EXISTS search_output_update;
DROP VIEW IF EXISTS search_change;
DROP VIEW IF EXISTS search_bounded;
DROP VIEW IF EXISTS search_plain;
DROP VIEW IF EXISTS search_entry;
DROP TABLE IF EXISTS search_words_terms;
DROP TABLE IF EXISTS search_grams_terms;
DROP TABLE IF EXISTS search_grams;
DROP TABLE IF EXISTS search_words;
DROP TABLE search_index;

UPDATE migration_metadata SET schema_version = 4, last_updated_at = datetime('now') WHERE id = 1;
