"""What is searched of sessions, read without the instances and messages that make them heavy."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from migrator.database import queries
from migrator.database.rows import session_summary, status_column
from migrator.errors import UnreadableSession


def read_summaries(
    connection: sqlite3.Connection,
    workspace_id: int,
    *,
    statuses: Collection[str] | None = None,
    types: Collection[str] | None = None,
    with_agents: bool = False,
) -> list[dict[str, Any]]:
    """What is searched of each session of a workspace, in file order, without its messages.

    Besides, ``row_id`` and ``key`` say which row it is.

    :param statuses: leave out some sessions of other statuses, not all: the caller looks at the document's own
    :param types: leave out sessions of other types
    :param with_agents: with ``instances``, of which each has its ``agentName`` alone
    """
    columns = sorted({status_column(status) for status in statuses}) if statuses is not None else None
    bound = (workspace_id, _json_or_none(columns), _json_or_none(types))
    summaries = []
    for row in connection.execute(queries.SUMMARIES, bound):
        try:
            summary = session_summary(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # as in reading the whole document
            raise UnreadableSession(row[0], error) from error
        summary["key"], summary["row_id"] = row[0], row[-1]
        summaries.append(summary)
    if with_agents:
        agents = defaultdict(list)
        for row_id, name in connection.execute(queries.AGENTS_OF_SUMMARIES, bound):
            agents[row_id].append({"agentName": name})
        for summary in summaries:
            summary["instances"] = agents[summary["row_id"]]
    return summaries


def _json_or_none(values: Collection[str] | None) -> str | None:
    return None if values is None else json.dumps(list(values))
