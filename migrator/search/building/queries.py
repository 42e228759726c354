"""All SQL statements that build the search index, by name."""

from __future__ import annotations

from migrator.search.queries import _TEXTS, INDEX_TABLES

MARKS = "SELECT state, tasks_to, messages_to, outputs_to FROM search_index"
REACH_ROWS = tuple(f"UPDATE search_index SET {reached} = ?" for _, _, _, reached in _TEXTS)
# The bytes of the texts after the marks.
SIZES = tuple(
    f"""
    SELECT coalesce(sum(length(CAST({text} AS BLOB))), 0) FROM {table}
    WHERE rowid > (SELECT {reached} FROM search_index)
    """
    for _, text, table, reached in _TEXTS
)
ROWS = tuple(
    f"SELECT rowid, {text} FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid" for _, text, table, _ in _TEXTS
)
TEXT_NOW = tuple(f"SELECT {text} FROM {table} WHERE rowid = ?" for _, text, table, _ in _TEXTS)

PUT = tuple(f"INSERT INTO {table} (rowid, text) VALUES (?, ?)" for table in INDEX_TABLES)
TAKE_OUT = tuple(f"INSERT INTO {table} ({table}, rowid, text) VALUES ('delete', ?, ?)" for table in INDEX_TABLES)
SET_OPTION = tuple(f"INSERT INTO {table} ({table}, rank) VALUES (?, ?)" for table in INDEX_TABLES)

# What changed since a bulk build began: schemas/sql/search_index_build.sql.
SET_AHEAD = "INSERT INTO search_ahead (tasks_to, messages_to, outputs_to) SELECT " + ", ".join(
    f"(SELECT max({reached}, coalesce((SELECT max(rowid) FROM {table}), 0)) FROM search_index)"
    for _, _, table, reached in _TEXTS
)
AHEAD = "SELECT tasks_to, messages_to, outputs_to FROM search_ahead"
CHANGED = "SELECT id, text FROM search_changed WHERE id > ? AND id <= ? ORDER BY id"
EVERY_CHANGE = "SELECT id, text FROM search_changed ORDER BY id"
REACH_AHEAD = "UPDATE search_index SET (tasks_to, messages_to, outputs_to) = (SELECT * FROM search_ahead)"

# A piece, attached as ``piece``. FTS5 numbers a page by its segment, times 2^37, and its place there.
ATTACH = "ATTACH DATABASE ? AS piece"
DETACH = "DETACH DATABASE piece"
RECORD = {table: f"SELECT block FROM {table}_data WHERE id = ?" for table in INDEX_TABLES}
PIECE_RECORD = {table: f"SELECT block FROM piece.{table}_data WHERE id = ?" for table in INDEX_TABLES}
SET_RECORD = {table: f"UPDATE {table}_data SET block = ?2 WHERE id = ?1" for table in INDEX_TABLES}
END_OF_PAGES = {
    table: f"SELECT max(id) FROM (SELECT id FROM piece.{table}_data WHERE id > ? AND id < ? ORDER BY id LIMIT ?)"
    for table in INDEX_TABLES
}
COPY_PAGES = {
    table: f"""
    INSERT INTO main.{table}_data (id, block)
    SELECT id + ?1, block FROM piece.{table}_data WHERE id > ?2 AND id <= ?3 ORDER BY id
    """
    for table in INDEX_TABLES
}
COPY_TERMS = {
    table: f"""
    INSERT INTO main.{table}_idx (segid, term, pgno)
    SELECT ?1, term, pgno FROM piece.{table}_idx WHERE segid = ?2 ORDER BY term
    """
    for table in INDEX_TABLES
}
END_OF_SIZES = {
    table: f"SELECT max(id) FROM (SELECT id FROM piece.{table}_docsize WHERE id > ? ORDER BY id LIMIT ?)"
    for table in INDEX_TABLES
}
COPY_SIZES = {
    table: f"""
    INSERT INTO main.{table}_docsize (id, sz)
    SELECT id, sz FROM piece.{table}_docsize WHERE id > ? AND id <= ? ORDER BY id
    """
    for table in INDEX_TABLES
}
WRITE_NOTHING = "DELETE FROM search_words_data WHERE 0"
# Pages, terms and sizes that a build has copied and not made use of.
DROP_PAGES = {
    table: f"DELETE FROM {table}_data WHERE id IN (SELECT id FROM {table}_data WHERE id >= ? AND id < ? LIMIT ?)"
    for table in INDEX_TABLES
}
NEXT_PAGE = {table: f"SELECT min(id) FROM {table}_data WHERE id >= ?" for table in INDEX_TABLES}
DROP_TERMS = {table: f"DELETE FROM {table}_idx WHERE segid = ?" for table in INDEX_TABLES}
DROP_SIZES = {
    table: f"""
    DELETE FROM {table}_docsize WHERE id IN (SELECT id FROM {table}_docsize WHERE id > ? AND id < ? LIMIT ?)
    """
    for table in INDEX_TABLES
}
# FTS5's own tables, some rows at a time.
_KEYS = {"data": "id", "idx": "(segid, term)", "docsize": "id"}
EMPTY = {
    f"{table}_{own}": f"DELETE FROM {table}_{own} WHERE {key} IN (SELECT {key.strip('()')} FROM {table}_{own} LIMIT ?)"
    for table in INDEX_TABLES
    for own, key in _KEYS.items()
}
