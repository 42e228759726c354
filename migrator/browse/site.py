"""What Datasette is told about the database: titles, what columns mean, facets, labels, and queries to begin with."""

from __future__ import annotations

from typing import Any

from migrator.browse import queries as sql

DATABASE = "history"  # its name in addresses, whatever the file is called
LANDING = f"/{DATABASE}/recent_sessions"
ASSETS = "assets"

SETTINGS = {
    "default_page_size": 50,
    "max_returned_rows": 1000,
    "sql_time_limit_ms": 5000,
    "facet_time_limit_ms": 1000,
    "suggest_facets": False,  # the useful ones are there
    "allow_download": False,  # what is still in the log would be missing in it
    "default_cache_ttl": 0,
    "num_sql_threads": 3,
}

_TABLES: dict[str, dict[str, Any]] = {
    "workspaces": {
        "title": "Workspaces",
        "description": "The folders that were opened in the app.",
        "label_column": "workspace_path",
        "columns": {
            "workspace_hash": "names the workspace's JSON file",
            "workspace_path": "unknown:… where nothing tells it",
        },
    },
    "sessions": {
        "title": "Sessions",
        "description": "Competitions, ensembles and debates. The page of each one shows its agents and its whole chat.",
        "label_column": "task",
        "facets": ["type", "status", "workspace_id"],
        "sort_desc": "updated_at",
        "columns": {
            "id": "as in the JSON, or a stand-in where that was taken",
            "winner_id": "the number of the instance that won",
            "total_duration": "seconds",
        },
    },
    "instances": {
        "title": "Instances",
        "description": "The agents of the sessions, each in its own worktree. The page of each one shows its output.",
        "label_column": "agent_name",
        "facets": ["status", "runtime_label", "agent_name"],
        "columns": {"instance_id": "its number in the session", "output": "what its terminal showed"},
    },
    "chat_messages": {
        "title": "Chat messages",
        "description": "What was said, oldest first. The page of a session shows its chat as a whole.",
        "facets": ["role"],
        "sort": "timestamp",
        "columns": {"instance_id": "the instance that it is about or from"},
    },
    "session_runtime_mix": {
        "title": "Runtimes of sessions",
        "description": "Which runtimes a session was started with.",
    },
    "quarantine": {
        "title": "Quarantine",
        "description": "What is no valid session, and the losing side of conflicts, whole as it was found.",
        "facets": ["reason"],
        "columns": {"raw": "as it stands in the file", "base": "of a conflict: what both sides started from"},
    },
    "migration_ledger": {
        "title": "Files",
        "description": "What was done with each JSON file.",
        "label_column": "source",
        "facets": ["status"],
    },
    "migration_runs": {
        "title": "Runs",
        "description": "What each run of the migration found, and how long it took (milliseconds, by stage).",
        "sort_desc": "id",
    },
    "session_complete": {"title": "Sessions with counts"},
}
_HIDDEN = (
    "migration_shares", "rolled_back_sessions", "migration_metadata", "_sqlite_migrations", "sqlite_sequence",
    "sqlite_stat1", "sqlite_stat4",
)  # fmt: skip
_QUERIES = {
    "recent_sessions": (sql.RECENT_SESSIONS, "Recent sessions", "The hundred that changed last."),
    "workspaces_at_a_glance": (
        sql.SESSIONS_IN_WORKSPACES,
        "Workspaces at a glance",
        "How much happened where, and when.",
    ),
    "winners": (sql.WINNERS, "Who won", "Competitions with a winner, and what it changed."),
    "agents": (sql.AGENTS, "Agents", "How often each one ran, how it ended, what it changed."),
    "said": (sql.SAID, "Who said it", "Messages with these very letters in them, the first hundred."),
    "set_aside": (sql.SET_ASIDE, "In quarantine", "What waits for a decision, with what is wrong with it."),
}


# Datasette's metadata.
METADATA = {
    "title": "Session history",
    "description": "Read-only. What is changed in the app meanwhile shows when a page is loaded again.",
    "extra_css_urls": [f"/{ASSETS}/browse.css"],
    "databases": {
        DATABASE: {
            "title": "Session history",
            "description": "The history of AIT42 Editor. Begin with a query, or with the sessions.",
            "tables": _TABLES | {name: {"hidden": True} for name in _HIDDEN},
            "queries": {
                name: {"sql": statement.strip(), "title": title, "description": description, "hide_sql": True}
                for name, (statement, title, description) in _QUERIES.items()
            },
        }
    },
}
