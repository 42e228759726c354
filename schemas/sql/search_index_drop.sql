-- Undoes search_index.sql, even if only parts of it exist.

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
