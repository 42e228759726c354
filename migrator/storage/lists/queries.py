"""The SQL statements for lists, by name."""

from __future__ import annotations

from migrator.database.columns import LISTED_COLUMNS
from migrator.database.queries import aliased

# ?5 and ?6 are JSON arrays of the values allowed in the columns status and type, or NULL for any; the document's own
# values may differ from the columns.
_NARROWED = """
    AND (?5 IS NULL OR s.status IN (SELECT value FROM json_each(?5)))
    AND (?6 IS NULL OR s.type IN (SELECT value FROM json_each(?6)))
"""
# Two statements, because SQLite would sort for NULLS LAST: the rows with a position, and those without one.
_ORDERS = (
    ("(s.position, s.rowid) > (?2, ?3)", "ORDER BY s.position, s.rowid"),
    ("s.position IS NULL AND s.rowid > ?3", "ORDER BY s.rowid"),
)
_MEMBERS = aliased("s", LISTED_COLUMNS[:-1])
_COUNTS = """
    (SELECT count(*) FROM instances i WHERE i.session_id = s.id),
    (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)
"""
_CURSOR = "?4 || coalesce(s.position, '') || '.' || s.rowid"
_PLACE = "s.id, s.position, ?4, s.rowid"  # in place of what is counted, the ordinal and the cursor
# Whether other sessions may have the same id: their keys are derived from it (see rows.derived_keys).
_SHARED = "EXISTS (SELECT 1 FROM sessions d WHERE d.id > s.id || '#' AND d.id < s.id || '$')"
# In hex, because SQLite's JSON functions end a text at the first NUL.
_AGENTS = "(SELECT group_concat(hex(i.agent_name), ' ') FROM instances i WHERE i.session_id = s.id)"


def _statements(values: str, agents: str = "NULL", narrowed: str = _NARROWED) -> tuple[str, ...]:
    return tuple(
        f"SELECT {_MEMBERS}, {values}, s.rescued_data, {agents} FROM sessions s "
        f"WHERE s.workspace_id = ?1 AND {after} {narrowed} {order}"
        for after, order in _ORDERS
    )


ALL_SUMMARIES = _statements(f"{_COUNTS}, 0, {_CURSOR}", narrowed="")
PAGE_OF_SUMMARIES = _statements(f"{_COUNTS}, {_SHARED}, {_CURSOR}", narrowed="")
SUMMARIES = _statements(f"{_COUNTS}, {_SHARED}, {_CURSOR}")
SUMMARIES_WITH_AGENTS = _statements(f"{_COUNTS}, {_SHARED}, {_CURSOR}", _AGENTS)
PLACES = _statements(_PLACE)
PLACES_WITH_AGENTS = _statements(_PLACE, _AGENTS)

NEWEST_ROW = "SELECT coalesce(max(rowid), 0) FROM sessions"

WORKSPACES = """
    SELECT w.workspace_hash, w.workspace_path, w.last_accessed_at,
           (SELECT count(*) FROM sessions s WHERE s.workspace_id = w.id)
    FROM workspaces w ORDER BY w.workspace_hash
"""
