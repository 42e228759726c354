"""Every SQL statement of full-text search, by name."""

from __future__ import annotations

from migrator.database.columns import SUMMARY_COLUMNS
from migrator.database.queries import OWN_NUMBER, columns

HAS_FTS5 = "SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')"

# Excerpts are made in a database in memory, with the tokenizer of schemas/sql/search_index.sql.
CREATE_EXCERPTS = "CREATE VIRTUAL TABLE excerpts USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')"
INSERT_EXCERPT = "INSERT INTO excerpts (rowid, text) VALUES (?, ?)"
EXCERPTS = "SELECT rowid, snippet(excerpts, 0, ?, ?, '…', 24) FROM excerpts WHERE excerpts MATCH ?"

# The index: schemas/sql/search_index.sql and the one row of search_index, which says how far it is.

INDEX_REACHED = "SELECT tasks_to, messages_to, outputs_to FROM search_index"
INDEX_OBJECTS = r"SELECT name, sql FROM sqlite_master WHERE name LIKE 'search\_%' ESCAPE '\' AND sql IS NOT NULL"
SET_INDEX_STATE = "UPDATE search_index SET state = ?, tasks_to = 0, messages_to = 0, outputs_to = 0"
LEAVE_INDEX_OUT = "UPDATE search_index SET state = 'left_out' WHERE state = 'pending'"
_EVERY = (1 << 63) - 1
COMPLETE_INDEX = f"""
    UPDATE search_index SET state = 'complete', tasks_to = {_EVERY}, messages_to = {_EVERY}, outputs_to = {_EVERY}
"""
REOPEN_INDEX = """
    UPDATE search_index
    SET state = 'building',
        tasks_to = (SELECT coalesce(max(rowid), 0) FROM sessions),
        messages_to = (SELECT coalesce(max(rowid), 0) FROM chat_messages),
        outputs_to = (SELECT coalesce(max(id), 0) FROM instances)
"""
BYTES_TO_INDEX = """
    SELECT (SELECT coalesce(sum(length(CAST(task AS BLOB))), 0) FROM sessions
            WHERE rowid > (SELECT tasks_to FROM search_index))
         + (SELECT coalesce(sum(length(CAST(content AS BLOB))), 0) FROM chat_messages
            WHERE rowid > (SELECT messages_to FROM search_index))
         + (SELECT coalesce(sum(length(CAST(output AS BLOB))), 0) FROM instances
            WHERE id > (SELECT outputs_to FROM search_index))
"""


def _next(text: str, table: str) -> str:
    """The sizes of the texts that come next."""
    return (
        f"SELECT rowid, coalesce(length(CAST({text} AS BLOB)), 0) FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"
    )


def _put(base: str, text: str, table: str) -> str:
    """Put the texts of a range of rows into the index."""
    return f"""
        INSERT INTO search_change (id, text, gone) SELECT {base} + rowid, {text}, 0 FROM {table}
        WHERE rowid > ? AND rowid <= ? AND {text} IS NOT NULL ORDER BY rowid
    """


# Of tasks, messages and outputs.
NEXT_ROWS = (_next("task", "sessions"), _next("content", "chat_messages"), _next("output", "instances"))
PUT_ROWS = (
    _put("0", "task", "sessions"),
    _put("(1 << 40)", "content", "chat_messages"),
    _put("(1 << 41)", "output", "instances"),
)
REACH_ROWS = tuple(f"UPDATE search_index SET {column} = ?" for column in ("tasks_to", "messages_to", "outputs_to"))

# Checking it: a copy among the temporary tables, beside what every text says should be in it.
_SHOULD_BE = """
    SELECT rowid AS id, searched_text(task) AS text FROM main.sessions
    WHERE rowid <= (SELECT tasks_to FROM main.search_index)
    UNION ALL
    SELECT (1 << 40) + rowid, searched_text(content) FROM main.chat_messages
    WHERE rowid <= (SELECT messages_to FROM main.search_index)
    UNION ALL
    SELECT (1 << 41) + id, searched_text(output) FROM main.instances
    WHERE output IS NOT NULL AND id <= (SELECT outputs_to FROM main.search_index)
"""
_OPTIONS = "content_rowid = 'id', columnsize = 0"
CREATE_INDEX_COPY = (
    f"CREATE TEMP VIEW should_be_words AS SELECT id, text FROM ({_SHOULD_BE}) WHERE NOT is_unspaced(text)",
    f"CREATE TEMP VIEW should_be_grams AS SELECT id, text || '  ' AS text FROM ({_SHOULD_BE}) WHERE is_unspaced(text)",
    f"""
    CREATE VIRTUAL TABLE temp.copied_words USING fts5(
        text, content = 'should_be_words', {_OPTIONS}, tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    f"""
    CREATE VIRTUAL TABLE temp.copied_grams USING fts5(
        text, content = 'should_be_grams', {_OPTIONS}, detail = none, tokenize = 'trigram'
    )
    """,
)
COPY_INDEX = tuple(
    statement
    for kind in ("words", "grams")
    for part in ("data", "idx")
    for statement in (
        f"DELETE FROM temp.copied_{kind}_{part}",
        f"INSERT INTO temp.copied_{kind}_{part} SELECT * FROM main.search_{kind}_{part}",
    )
)
CHECK_INDEX = {
    f"search_{kind}": f"INSERT INTO temp.copied_{kind} (copied_{kind}, rank) VALUES ('integrity-check', 1)"
    for kind in ("words", "grams")
}
DROP_INDEX_COPY = (
    "DROP TABLE IF EXISTS temp.copied_words",
    "DROP TABLE IF EXISTS temp.copied_grams",
    "DROP VIEW IF EXISTS temp.should_be_words",
    "DROP VIEW IF EXISTS temp.should_be_grams",
)

# Asking it. Rowids come in order, so that a LIMIT stops it early.
WORD_HITS = "SELECT rowid FROM search_words WHERE search_words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4"
GRAM_HITS = "SELECT rowid FROM search_grams WHERE search_grams MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4"
# The same text once for each of its grams that begin so.
SHORT_HITS = "SELECT doc FROM search_grams_terms WHERE term >= ? AND term <= ? LIMIT ?"
# Of the words that begin so: is there a ?3rd place?
IS_BROAD = "SELECT 1 FROM search_words_terms WHERE term >= ?1 AND term <= ?2 LIMIT 1 OFFSET ?3"

_THESE = "IN (SELECT value FROM json_each(?))"
SESSIONS_OF_TEXTS = {
    "task": f"SELECT rowid, id FROM sessions WHERE rowid {_THESE}",
    "message": f"SELECT rowid, session_id FROM chat_messages WHERE rowid {_THESE}",
    "output": f"SELECT id, session_id FROM instances WHERE id {_THESE}",
}
MESSAGES_IN_SESSION = "SELECT rowid FROM chat_messages WHERE session_id = ? ORDER BY rowid"
OUTPUTS_IN_SESSION = "SELECT id FROM instances WHERE session_id = ? ORDER BY id"
AGENTS_IN_SESSION = "SELECT agent_name FROM instances WHERE session_id = ?"

_INFO = f"""
    SELECT {columns("s", SUMMARY_COLUMNS)}, s.rowid, w.workspace_path, w.workspace_hash
    FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
"""
INFO_OF_SESSIONS = f"{_INFO} WHERE s.id {_THESE}"
NEWEST_SESSIONS = f"{_INFO} ORDER BY s.updated_at DESC"
NEWEST_OF_WORKSPACE = f"{_INFO} WHERE w.workspace_hash = ? ORDER BY s.updated_at DESC"

TEXTS = {
    "task": f"SELECT rowid, '', '', task FROM sessions WHERE rowid {_THESE}",
    "message": f"SELECT rowid, role, timestamp, content FROM chat_messages WHERE rowid {_THESE} ORDER BY rowid",
    "output": f"SELECT i.id, {OWN_NUMBER}, i.agent_name, i.output FROM instances i WHERE i.id {_THESE} ORDER BY i.id",
}
INDEX_BYTES = """
    SELECT (SELECT coalesce(sum(length(block)), 0) FROM search_words_data)
         + (SELECT coalesce(sum(length(block)), 0) FROM search_grams_data)
"""
