-- Makes tables of the index readable, as empty ones, so that they can be dropped: FTS5 does not drop a table whose own
-- tables are missing or cannot be read.

CREATE TABLE IF NOT EXISTS search_grams_data (id INTEGER PRIMARY KEY, block BLOB);
CREATE TABLE IF NOT EXISTS search_grams_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_grams_docsize (id INTEGER PRIMARY KEY, sz BLOB);
CREATE TABLE IF NOT EXISTS search_grams_config (k PRIMARY KEY, v) WITHOUT ROWID;
INSERT OR REPLACE INTO search_grams_data (id, block) VALUES (1, x''), (10, x'00000000000000');
INSERT OR REPLACE INTO search_grams_config (k, v) VALUES ('version', 4);
CREATE TABLE IF NOT EXISTS search_words_data (id INTEGER PRIMARY KEY, block BLOB);
CREATE TABLE IF NOT EXISTS search_words_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_words_docsize (id INTEGER PRIMARY KEY, sz BLOB);
CREATE TABLE IF NOT EXISTS search_words_config (k PRIMARY KEY, v) WITHOUT ROWID;
INSERT OR REPLACE INTO search_words_data (id, block) VALUES (1, x''), (10, x'00000000000000');
INSERT OR REPLACE INTO search_words_config (k, v) VALUES ('version', 4);
