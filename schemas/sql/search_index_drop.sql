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

-- With their own tables, which stay if FTS5 does not know the table any more.
DROP TABLE IF EXISTS search_grams;
DROP TABLE IF EXISTS search_grams_data;
DROP TABLE IF EXISTS search_grams_idx;
DROP TABLE IF EXISTS search_grams_docsize;
DROP TABLE IF EXISTS search_grams_config;
DROP TABLE IF EXISTS search_words;
DROP TABLE IF EXISTS search_words_data;
DROP TABLE IF EXISTS search_words_idx;
DROP TABLE IF EXISTS search_words_docsize;
DROP TABLE IF EXISTS search_words_config;
