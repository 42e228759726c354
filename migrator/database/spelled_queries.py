"""The SQL statements by which SQLite itself spells messages as the app writes them."""

from __future__ import annotations

from migrator.database.queries import _FILES_IN_ORDER, _IN_FILES, _IN_STRETCH, _ORDER, _SESSION

# What a rescued id or content was, as long as its column holds the stand-in.
_ORIGINAL = """CASE WHEN m.rescued_data IS NOT NULL AND m.{0} = json_extract(m.rescued_data, '$.columns.{0}[0]')
        THEN json_extract(m.rescued_data, '$.columns.{0}[1]') ELSE m.{0} END"""
# Within a workspace file. A message that has other members besides leaves a gap.
_MESSAGE = f"""CASE WHEN m.rescued_data IS NOT NULL AND json_type(m.rescued_data, '$.members') IS NOT NULL THEN ''
    ELSE '      {{
        "id": ' || json_quote({_ORIGINAL.format("id")}) || ',
        "role": ' || json_quote(m.role) || ',
        "content": ' || json_quote({_ORIGINAL.format("content")}) || ',
        "timestamp": ' || json_quote(m.timestamp) || ',
        "instanceId": ' || coalesce(m.instance_id, 'null') || '
      }}' END"""
# Sessions with all of their messages as one value: NULL where there are none.
_SESSIONS = f"""
    SELECT {_SESSION}, s.rowid, CAST((
        SELECT group_concat({_MESSAGE}, ',
') FROM (SELECT * FROM chat_messages c WHERE c.session_id = s.id ORDER BY c.position NULLS LAST, c.rowid) m
    ) AS BLOB)
    FROM sessions s
"""
SESSIONS_OF_STRETCH = f"{_SESSIONS} WHERE {_IN_STRETCH} ORDER BY {_ORDER}"
SESSIONS_OF_FILES = f"{_SESSIONS} WHERE {_IN_FILES} ORDER BY {_FILES_IN_ORDER}"
