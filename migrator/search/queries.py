"""All SQL statements of full-text search, by name."""

from __future__ import annotations

from migrator.database.columns import SUMMARY_COLUMNS
from migrator.database.queries import OWN_NUMBER, OWN_ROLE, aliased

HAS_FTS5 = "SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')"

# Excerpts are made in a database in memory, with the tokenizer of schemas/sql/search_index.sql.
CREATE_EXCERPTS = "CREATE VIRTUAL TABLE excerpts USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')"
INSERT_EXCERPT = "INSERT INTO excerpts (rowid, text) VALUES (?, ?)"
MATCHING = "SELECT rowid FROM excerpts WHERE excerpts MATCH ? ORDER BY rowid"

# The index: schemas/sql/search_index.sql, and the one row of search_index, which says how far it is built.

INDEX_OBJECTS = r"SELECT name, sql FROM sqlite_master WHERE name LIKE 'search\_%' ESCAPE '\' AND sql IS NOT NULL"
SET_INDEX_STATE = "UPDATE search_index SET state = ?, tasks_to = 0, messages_to = 0, outputs_to = 0"
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
INDEX_TABLES = ("search_words", "search_grams")
# What is added to the rowids, the column that is searched, its table, and how far the index is built.
_TEXTS = (
    ("0", "task", "sessions", "tasks_to"),
    ("(1 << 40)", "content", "chat_messages", "messages_to"),
    ("(1 << 41)", "output", "instances", "outputs_to"),
)
BYTES_TO_INDEX = "SELECT " + " + ".join(
    f"""
    (SELECT coalesce(sum(length(CAST({text} AS BLOB))), 0) FROM {table}
     WHERE rowid > (SELECT {reached} FROM search_index))
    """
    for _, text, table, reached in _TEXTS
)
HAS_ROWS_TO_INDEX = "SELECT " + " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} WHERE rowid > (SELECT {reached} FROM search_index))"
    for _, _, table, reached in _TEXTS
)
# Is the last text in the index not the last one in the tables? So it is after rows were added or removed at the end
# without the triggers, and after they were numbered anew, unless no number was missing before.
IS_STALE = "SELECT " + " OR ".join(
    f"""
    (SELECT max(id) FROM (
        SELECT max(id) AS id FROM search_words_docsize WHERE id > {base} AND id < {end}
        UNION ALL SELECT max(id) FROM search_grams_docsize WHERE id > {base} AND id < {end}
    )) IS NOT (SELECT {base} + rowid FROM {table} WHERE {text} IS NOT NULL ORDER BY rowid DESC LIMIT 1)
    """
    for (base, text, table, _), end in zip(_TEXTS, (*(one[0] for one in _TEXTS[1:]), _EVERY), strict=True)
)

# What FTS5 needs to open a table: the record of its structure, and whether the others are there.
OPEN_TABLE = {
    table: f"""
    SELECT (SELECT block FROM {table}_data WHERE id = 10),
           EXISTS (SELECT 1 FROM {table}_data WHERE id = 1)
           AND EXISTS (SELECT 1 FROM {table}_config WHERE k = 'version' AND v IN (4, 5))
           AND NOT EXISTS (SELECT 1 FROM {table}_idx, {table}_docsize WHERE 0)
    """
    for table in INDEX_TABLES
}

# Checking the index: a copy in temporary tables is compared with views of what it should contain.
_SHOULD_BE = " UNION ALL ".join(
    f"""
    SELECT {base} + rowid AS id, {text} AS text FROM main.{table}
    WHERE {text} IS NOT NULL AND rowid <= (SELECT {reached} FROM main.search_index)
    """
    for base, text, table, reached in _TEXTS
)
_OPTIONS = "content_rowid = 'id'"
CREATE_INDEX_COPY = (
    *(
        f"""
        CREATE TEMP VIEW should_be_{kind} AS
        SELECT id, indexed_{kind}(text) AS text FROM ({_SHOULD_BE}) WHERE indexed_{kind}(text) IS NOT NULL
        """
        for kind in ("words", "grams")
    ),
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
# Of the sizes, those of texts up to the marks: a build may have copied more.
_COPIED = {
    "data": "1",
    "idx": "1",
    "docsize": " OR ".join(
        f"(id >= {base} AND id - {base} <= (SELECT {reached} FROM main.search_index) AND id < {end})"
        for (base, *_, reached), end in zip(_TEXTS, ("(1 << 40)", "(1 << 41)", "(1 << 62)"), strict=True)
    ),
}
COPY_INDEX = tuple(
    statement
    for kind in ("words", "grams")
    for part, wanted in _COPIED.items()
    for statement in (
        f"DELETE FROM temp.copied_{kind}_{part}",
        f"INSERT INTO temp.copied_{kind}_{part} SELECT * FROM main.search_{kind}_{part} WHERE {wanted}",
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

# The terms of the index: temporary, because a program that reads every table would read each place of each term.
CREATE_TERMS = {
    kind: f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_{kind}_terms USING fts5vocab(main, search_{kind}, instance)"
    for kind in ("words", "grams")
}

LAST_MESSAGE = "SELECT coalesce(max(rowid), 0) FROM chat_messages"

# Searching. Rowids come in order, so that a LIMIT ends it early.
WORD_HITS = "SELECT rowid FROM search_words WHERE search_words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4 OFFSET ?5"
GRAM_HITS = "SELECT rowid FROM search_grams WHERE search_grams MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4 OFFSET ?5"
# The next gram that is there: a scan would read every place of each.
_NEXT_GRAM = "SELECT term FROM search_grams_terms WHERE term >= {} AND term <= ?2 LIMIT 1"
GRAMS_IN_RANGE = f"""
    WITH RECURSIVE found (gram) AS (
        SELECT ({_NEXT_GRAM.format("?1")})
        UNION ALL SELECT ({_NEXT_GRAM.format("gram || char(1)")}) FROM found WHERE gram IS NOT NULL
    )
    SELECT gram FROM found WHERE gram IS NOT NULL LIMIT ?3
"""
# Do words with this beginning occur in more than ?3 places?
IS_BROAD = "SELECT 1 FROM search_words_terms WHERE term >= ?1 AND term <= ?2 LIMIT 1 OFFSET ?3"

_THESE = "IN (SELECT value FROM json_each(?))"
SESSIONS_OF_TEXTS = {
    "task": f"SELECT rowid, id FROM sessions WHERE rowid {_THESE}",
    "message": f"SELECT rowid, session_id FROM chat_messages WHERE rowid {_THESE}",
    "output": f"SELECT id, session_id FROM instances WHERE id {_THESE}",
}
SESSIONS_OF_LONG_TEXTS = {
    "task": f"SELECT id FROM sessions WHERE rowid {_THESE} AND length(task) > ?",
    "message": f"SELECT session_id FROM chat_messages WHERE rowid {_THESE} AND length(content) > ?",
    "output": f"SELECT session_id FROM instances WHERE id {_THESE} AND length(output) > ?",
}
# The first and the last row of a session, and their number: if that is all between, the rows need not be listed. Asked
# about several sessions at once, SQLite would compare the keys of all rows.
SPAN_IN_SESSION = {
    "message": "SELECT min(rowid), max(rowid), count(*) FROM chat_messages WHERE session_id = ?",
    "output": "SELECT min(id), max(id), count(*) FROM instances WHERE session_id = ?",
}
ROWS_IN_SESSION = {
    "message": "SELECT rowid FROM chat_messages WHERE session_id = ? ORDER BY rowid",
    "output": "SELECT id FROM instances WHERE session_id = ? ORDER BY id",
}
AGENTS_IN_SESSION = "SELECT agent_name FROM instances WHERE session_id = ?"

_INFO = f"""
    SELECT {aliased("s", SUMMARY_COLUMNS)}, s.rowid, w.workspace_path, w.workspace_hash
    FROM sessions s {{}} JOIN workspaces w ON w.id = s.workspace_id
"""
INFO_OF_SESSIONS = f"{_INFO.format('')} WHERE s.id {_THESE}"
# ?1 is the hash of a workspace, ?2 and ?3 are JSON arrays of the values allowed in the columns status and type; each
# may be NULL for any. The document's own values may differ from the columns.
_CHOSEN = """
    {} (?2 IS NULL OR s.status IN (SELECT value FROM json_each(?2)))
    AND (?3 IS NULL OR s.type IN (SELECT value FROM json_each(?3)))
"""
_OF_ONE = f"{_INFO.format('')} {_CHOSEN.format('WHERE w.workspace_hash = ?1 AND')}"
# Read in the order of an index, as far as they are asked for: CROSS keeps SQLite from reading and sorting all of them.
_OF_ALL = f"{_INFO.format('CROSS')} {_CHOSEN.format('WHERE ?1 IS NULL AND')}"
# By what they are sorted, in descending order or not, and whether they are those of one workspace.
IN_TIME_ORDER = {
    (name, descending, of_one): f"{chosen} ORDER BY s.{column}{' DESC' * descending}"
    for name, column in (("createdAt", "created_at"), ("updatedAt", "updated_at"))
    for descending in (False, True)
    for of_one, chosen in ((False, _OF_ALL), (True, _OF_ONE))
}
# Are all of them as the app writes them, in UTC? Then the order of the texts is that of the times, up to the second.
# The first pattern is the most frequent one: GLOB takes the time.
ARE_PLAIN_TIMES = {
    name: f"""
        SELECT NOT EXISTS (
            SELECT 1 FROM sessions
            WHERE {column} NOT GLOB '????-??-??T??:??:[0-5]?.???Z'
              AND {column} NOT GLOB '????-??-??T??:??:[0-5]?*Z' AND {column} NOT GLOB '????-??-??T??:??:[0-5]?*+00:00'
        )
    """
    for name, column in (("createdAt", "created_at"), ("updatedAt", "updated_at"))
}
_SORTED_BY = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "duration": "total_duration",
    "filesChanged": "total_files_changed",
}
# The third value says whether the document has another value than the column.
KEYS_TO_SORT = {
    name: f"""
        SELECT s.id, s.{column}, instr(s.rescued_data, '"{column}"') > 0
        FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
        WHERE ?1 IS NULL OR w.workspace_hash = ?1 ORDER BY s.updated_at DESC, s.rowid
    """
    for name, column in _SORTED_BY.items()
}

TEXTS = {
    "task": f"SELECT rowid, '', '', task FROM sessions WHERE rowid {_THESE}",
    "message": f"""
        SELECT m.rowid, {OWN_ROLE}, m.timestamp, m.content FROM chat_messages m WHERE m.rowid {_THESE} ORDER BY m.rowid
    """,
    "output": f"SELECT i.id, {OWN_NUMBER}, i.agent_name, i.output FROM instances i WHERE i.id {_THESE} ORDER BY i.id",
}
# ?1 is the hash of one workspace, or NULL for all.
TYPES_AND_STATUSES = """
    SELECT s.type, s.status, count(*) FROM session_values s JOIN workspaces w ON w.id = s.workspace_id
    WHERE ?1 IS NULL OR w.workspace_hash = ?1 GROUP BY 1, 2 ORDER BY 1, 2
"""
IDS_THAT_BEGIN = "SELECT DISTINCT id FROM session_values WHERE substr(id, 1, length(?1)) = ?1 ORDER BY 1 LIMIT 100"
INDEX_BYTES = """
    SELECT (SELECT coalesce(sum(length(block)), 0) FROM search_words_data)
         + (SELECT coalesce(sum(length(block)), 0) FROM search_grams_data)
"""
