"""Databases as an earlier branch of the app made them, in two shapes; only what matters of their tables."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.scene import Document, hash_of

SESSION = {
    "id": "id", "session_type": "type", "task": "task", "status": "status", "created_at": "createdAt",
    "updated_at": "updatedAt", "completed_at": "completedAt", "model": "model", "timeout_seconds": "timeoutSeconds",
    "preserve_worktrees": "preserveWorktrees", "winner_id": "winnerId", "total_duration": "totalDuration",
    "total_files_changed": "totalFilesChanged", "total_lines_added": "totalLinesAdded",
    "total_lines_deleted": "totalLinesDeleted",
}  # fmt: skip
INSTANCE = {
    "instance_id": "instanceId", "worktree_path": "worktreePath", "branch": "branch", "agent_name": "agentName",
    "status": "status", "tmux_session_id": "tmuxSessionId", "output": "output", "start_time": "startTime",
    "end_time": "endTime", "files_changed": "filesChanged", "lines_added": "linesAdded",
    "lines_deleted": "linesDeleted", "runtime": "runtime", "model": "model", "runtime_label": "runtimeLabel",
}  # fmt: skip
MESSAGE = {"id": "id", "role": "role", "content": "content", "timestamp": "timestamp", "instance_id": "instanceId"}

_COUNTS = ", instance_count INTEGER NOT NULL DEFAULT 0, message_count INTEGER NOT NULL DEFAULT 0"
_TABLES = """
    CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT);
    CREATE TABLE workspaces (hash TEXT PRIMARY KEY, path TEXT NOT NULL, last_accessed TEXT DEFAULT (datetime('now')));
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, workspace_hash TEXT NOT NULL REFERENCES workspaces(hash), session_type TEXT NOT NULL,
        task TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, completed_at TEXT,
        model TEXT, timeout_seconds INTEGER CHECK (timeout_seconds > 0), preserve_worktrees INTEGER DEFAULT 0,
        winner_id INTEGER, runtime_mix TEXT, total_duration INTEGER, total_files_changed INTEGER,
        total_lines_added INTEGER, total_lines_deleted INTEGER{counts}
    );
    CREATE TABLE instances (
        id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id),
        instance_id INTEGER NOT NULL, worktree_path TEXT NOT NULL, branch TEXT NOT NULL, agent_name TEXT NOT NULL,
        status TEXT NOT NULL, tmux_session_id TEXT NOT NULL, output TEXT, start_time TEXT, end_time TEXT,
        files_changed INTEGER, lines_added INTEGER, lines_deleted INTEGER, runtime TEXT, model TEXT,
        runtime_label TEXT, UNIQUE (session_id, instance_id)
    );
    CREATE TABLE chat_messages (
        id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions(id), role TEXT NOT NULL,
        content TEXT NOT NULL, timestamp TEXT NOT NULL, instance_id INTEGER
    );
"""
_METADATA = """
    CREATE TABLE migration_metadata (
        id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL DEFAULT 1,
        migrated_at TEXT NOT NULL DEFAULT (datetime('now')), json_backup_path TEXT,
        migration_status TEXT NOT NULL DEFAULT 'pending', last_updated_at TEXT NOT NULL DEFAULT (datetime('now'))
    );
    INSERT INTO migration_metadata (id) VALUES (1);
"""
SHAPES = {
    1: _TABLES.format(counts=_COUNTS) + "CREATE VIRTUAL TABLE sessions_fts USING fts5(task, content='sessions');",
    2: _TABLES.format(counts="") + _METADATA,
}


def make_branch_database(path: Path, shape: int, history: Mapping[str, Sequence[Document]]) -> Path:
    """Make a database of the branch with the sessions of each workspace path."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SHAPES[shape])
        for workspace, documents in history.items():
            connection.execute("INSERT INTO workspaces (hash, path) VALUES (?, ?)", (hash_of(workspace), workspace))
            for document in documents:
                mix = document.get("runtimeMix")
                of_session = {
                    "workspace_hash": hash_of(workspace),
                    "runtime_mix": None if mix is None else json.dumps(mix),
                }
                _insert(connection, "sessions", SESSION, document, of_session)
                child = {"session_id": document["id"]}
                for instance in document["instances"]:
                    _insert(connection, "instances", INSTANCE, instance, child)
                for message in document["chatHistory"]:
                    _insert(connection, "chat_messages", MESSAGE, message, child)
    return path


def _insert(
    connection: sqlite3.Connection, table: str, names: Mapping[str, str], members: Document, more: dict[str, Any]
) -> None:
    values = {column: members.get(name) for column, name in names.items()} | more
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()])
