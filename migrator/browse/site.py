"""Datasette's settings and metadata: titles, descriptions of columns, facets, labels and example queries."""

from __future__ import annotations

from typing import Any

from migrator.browse import queries as sql

DATABASE = "history"  # the name in addresses, independent of the file name
LANDING = f"/{DATABASE}/recent_sessions"
ASSETS = "assets"

SETTINGS = {
    "default_page_size": 50,
    "max_returned_rows": 1000,
    "sql_time_limit_ms": 5000,
    "facet_time_limit_ms": 1000,
    "suggest_facets": False,  # the useful ones are listed below
    "allow_download": False,  # the file alone lacks what is still in the write-ahead log
    "default_cache_ttl": 0,
    "num_sql_threads": 3,
}

_TABLES: dict[str, dict[str, Any]] = {
    "workspaces": {
        "title": "Workspaces",
        "description": "The folders that were opened in the app.",
        "label_column": "workspace_path",
        "columns": {
            "workspace_hash": "the name of the workspace's JSON file",
            "workspace_path": "unknown:… if the path is not known",
        },
    },
    "sessions": {
        "title": "Sessions",
        "description": "Competitions, ensembles and debates. The page of a session shows its agents and its chat.",
        "label_column": "task",
        "facets": ["workspace_id"],  # the columns type and status may hold substitutes
        "sort_desc": "updated_at",
        "columns": {
            "id": "the id in the JSON file, or a substitute if that was already taken",
            "type": "or a substitute: session_values has the document's own",
            "status": "or a substitute: session_values has the document's own",
            "winner_id": "the number of the instance that won",
            "total_duration": "seconds",
        },
    },
    "instances": {
        "title": "Instances",
        "description": "The agents of the sessions, each in its own worktree. The page of an instance has its output.",
        "label_column": "agent_name",
        "facets": ["status", "runtime_label", "agent_name"],
        "columns": {"instance_id": "its number in the session", "output": "the output of its terminal"},
    },
    "chat_messages": {
        "title": "Chat messages",
        "description": "All messages, oldest first. The page of a session shows its whole chat.",
        "sort": "timestamp",
        "columns": {
            "role": "or a substitute: message_values has the document's own",
            "instance_id": "the instance that wrote the message, or that it is about",
        },
    },
    "session_runtime_mix": {
        "title": "Runtimes of sessions",
        "description": "The runtimes that each session was started with.",
    },
    "quarantine": {
        "title": "Quarantine",
        "description": "Invalid sessions, the rejected sides of conflicts, and deleted sessions.",
        "facets": ["reason"],
        "columns": {"raw": "the text in the file", "base": "for a conflict: the last common version"},
    },
    "migration_ledger": {
        "title": "Files",
        "description": "The JSON files, and what happened to each one.",
        "label_column": "source",
        "facets": ["status"],
    },
    "migration_runs": {
        "title": "Runs",
        "description": "What each run of the migration found, and how long each stage took, in milliseconds.",
        "sort_desc": "id",
    },
    "session_values": {
        "title": "Sessions as in their documents",
        "description": "Each session with the type, status, id and task of its document, whatever they are.",
        "facets": ["type", "status", "workspace_id"],
        "columns": {
            "session_key": "the key of the session's row",
            "total_duration": "seconds",
            "runtime_mix": "one for each instance that was started, in order",
            "other_members": "what newer versions of the app wrote",
        },
    },
    "instance_values": {
        "title": "Instances as in their documents",
        "description": "Each instance with the number of its document.",
        "facets": ["status"],
        "columns": {"instance_key": "the key of the instance's row", "session_key": "the key of its session's row"},
    },
    "message_values": {
        "title": "Chat messages as in their documents",
        "description": "Each message with the id, role and content of its document, whatever they are.",
        "facets": ["role"],
        "columns": {"message_key": "the key of the message's row", "session_key": "the key of its session's row"},
    },
    "session_complete": {"title": "Sessions with counts"},
}
_HIDDEN = (
    "migration_shares", "rolled_back_sessions", "migration_metadata", "_sqlite_migrations", "sqlite_sequence",
    "sqlite_stat1", "sqlite_stat4",
)  # fmt: skip
_QUERIES = {
    "recent_sessions": (sql.RECENT_SESSIONS, "Recent sessions", "The 100 sessions that changed last."),
    "workspaces_at_a_glance": (
        sql.SESSIONS_IN_WORKSPACES,
        "Sessions by workspace",
        "The number of sessions in each workspace, and from when they are.",
    ),
    "types_and_statuses": (
        sql.SESSIONS_BY_STATUS,
        "Types and statuses",
        "How many sessions there are of each type and status.",
    ),
    "winners": (sql.WINNERS, "Winners", "Competitions with a winner, and what the winner changed."),
    "agents": (sql.AGENTS, "Agents", "How often each agent ran, how its runs ended, and what it changed."),
    "said": (sql.SAID, "Messages with a text", "The first 100 messages that contain exactly this text."),
    "set_aside": (
        sql.SET_ASIDE,
        "In quarantine",
        "Items that need a decision, and deleted sessions.",
    ),
}


# Datasette's metadata.
METADATA = {
    "title": "Session history",
    "description": "Read-only. Reload a page to see what has changed.",
    "extra_css_urls": [f"/{ASSETS}/browse.css"],
    "databases": {
        DATABASE: {
            "title": "Session history",
            "description": "The history of AIT42 Editor. Start with a query or with the sessions.",
            "tables": _TABLES | {name: {"hidden": True} for name in _HIDDEN},
            "queries": {
                name: {"sql": statement.strip(), "title": title, "description": description, "hide_sql": True}
                for name, (statement, title, description) in _QUERIES.items()
            },
        }
    },
}
