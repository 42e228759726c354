"""The SQL statements for lists, by name."""

from __future__ import annotations

from migrator.database.columns import LISTED_COLUMNS
from migrator.database.queries import aliased

# ?2 and ?3 are JSON arrays of the values allowed in the columns status and type, or NULL for any; the document's own
# values may differ from the columns.
_NARROWED = """
    s.workspace_id = ?1
    AND (?2 IS NULL OR s.status IN (SELECT value FROM json_each(?2)))
    AND (?3 IS NULL OR s.type IN (SELECT value FROM json_each(?3)))
"""
# Two statements, because SQLite would sort for NULLS LAST: the rows with a position, and those without one.
_ORDERS = (
    "(s.position, s.rowid) > (?4, ?5) ORDER BY s.position, s.rowid",
    "s.position IS NULL AND s.rowid > ?5 ORDER BY s.rowid",
)
_MEMBERS = aliased("s", LISTED_COLUMNS[:-1])
_ROW = "coalesce(s.position, ''), s.rowid, s.rescued_data"  # as a cursor has them
_COUNTS = """
    (SELECT count(*) FROM instances i WHERE i.session_id = s.id),
    (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)
"""
_PLACE = "s.id, NULL, 0, s.position, s.rowid, s.rescued_data"  # in place of what is counted: the key
# Whether other sessions may have the same id: their keys are derived from it (see rows.derived_keys).
_SHARED = "EXISTS (SELECT 1 FROM sessions d WHERE d.id > s.id || '#' AND d.id < s.id || '$')"
# In hex, because SQLite's JSON functions end a text at the first NUL.
_AGENTS = "(SELECT group_concat(hex(i.agent_name), ' ') FROM instances i WHERE i.session_id = s.id)"


def _statements(values: str) -> tuple[str, ...]:
    return tuple(f"SELECT {_MEMBERS}, {values} FROM sessions s WHERE {_NARROWED} AND {order}" for order in _ORDERS)


ALL_SUMMARIES = _statements(f"{_COUNTS}, 0, {_ROW}, NULL")
SUMMARIES = _statements(f"{_COUNTS}, {_SHARED}, {_ROW}, NULL")
SUMMARIES_WITH_AGENTS = _statements(f"{_COUNTS}, {_SHARED}, {_ROW}, {_AGENTS}")
PLACES = _statements(f"{_PLACE}, NULL")
PLACES_WITH_AGENTS = _statements(f"{_PLACE}, {_AGENTS}")

WORKSPACES = """
    SELECT w.workspace_hash, w.workspace_path, w.last_accessed_at,
           (SELECT count(*) FROM sessions s WHERE s.workspace_id = w.id)
    FROM workspaces w ORDER BY w.workspace_hash
"""
