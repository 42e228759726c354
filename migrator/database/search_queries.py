"""Every SQL statement of full-text search, by name; the rest is in :mod:`migrator.database.queries`."""

from __future__ import annotations

HAS_FTS5 = "SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')"

# Excerpts are made in a database in memory, with the tokenizer of schemas/sql/search_index.up.sql.
CREATE_EXCERPTS = "CREATE VIRTUAL TABLE excerpts USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')"
INSERT_EXCERPT = "INSERT INTO excerpts (rowid, text) VALUES (?, ?)"
EXCERPTS = "SELECT rowid, snippet(excerpts, 0, ?, ?, '…', 24) FROM excerpts WHERE excerpts MATCH ?"
