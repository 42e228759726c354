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

-- FTS5 does not drop a table whose own tables are missing or cannot be read, so these are made readable before.
CREATE TABLE IF NOT EXISTS search_grams_data (id INTEGER PRIMARY KEY, block BLOB);
CREATE TABLE IF NOT EXISTS search_grams_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_grams_docsize (id INTEGER PRIMARY KEY, sz BLOB);
CREATE TABLE IF NOT EXISTS search_grams_config (k PRIMARY KEY, v) WITHOUT ROWID;
INSERT OR REPLACE INTO search_grams_data (id, block) VALUES (1, x''), (10, x'00000000000000');
INSERT OR REPLACE INTO search_grams_config (k, v) VALUES ('version', 4);
DROP TABLE IF EXISTS search_grams;
DROP TABLE IF EXISTS search_grams_data;
DROP TABLE IF EXISTS search_grams_idx;
DROP TABLE IF EXISTS search_grams_docsize;
DROP TABLE IF EXISTS search_grams_config;
CREATE TABLE IF NOT EXISTS search_words_data (id INTEGER PRIMARY KEY, block BLOB);
CREATE TABLE IF NOT EXISTS search_words_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_words_docsize (id INTEGER PRIMARY KEY, sz BLOB);
CREATE TABLE IF NOT EXISTS search_words_config (k PRIMARY KEY, v) WITHOUT ROWID;
INSERT OR REPLACE INTO search_words_data (id, block) VALUES (1, x''), (10, x'00000000000000');
INSERT OR REPLACE INTO search_words_config (k, v) VALUES ('version', 4);
DROP TABLE IF EXISTS search_words;
DROP TABLE IF EXISTS search_words_data;
DROP TABLE IF EXISTS search_words_idx;
DROP TABLE IF EXISTS search_words_docsize;
DROP TABLE IF EXISTS search_words_config;
