"""The columns of each table, in the order in which their values travel as tuples."""

from __future__ import annotations

SESSION_COLUMNS = (
    "id", "workspace_id", "type", "task", "status", "created_at", "updated_at", "completed_at", "model",
    "timeout_seconds", "preserve_worktrees", "winner_id", "total_duration", "total_files_changed",
    "total_lines_added", "total_lines_deleted", "position", "rescued_data", "source_id",
)  # fmt: skip
RUNTIME_COLUMNS = ("session_id", "runtime")
INSTANCE_COLUMNS = (
    "session_id", "instance_id", "worktree_path", "branch", "agent_name", "status", "tmux_session_id", "output",
    "start_time", "end_time", "files_changed", "lines_added", "lines_deleted", "runtime", "model", "runtime_label",
    "position", "rescued_data",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "id", "session_id", "role", "content", "timestamp", "instance_id", "position", "rescued_data",
)  # fmt: skip
# What documents are read from: the position only orders the rows.
READ_INSTANCE_COLUMNS = tuple(name for name in INSTANCE_COLUMNS if name != "position")
READ_MESSAGE_COLUMNS = tuple(name for name in MESSAGE_COLUMNS if name != "position")
# What a message has of its own; the session's key and the position follow from where it stands.
PLAIN_MESSAGE_COLUMNS = ("id", "role", "content", "timestamp", "instance_id")
SUMMARY_COLUMNS = (
    "id", "type", "task", "status", "created_at", "updated_at", "total_duration", "total_files_changed",
    "rescued_data",
)  # fmt: skip
SUMMARY_MEMBERS = ("id", "type", "task", "status", "createdAt", "updatedAt", "totalDuration", "totalFilesChanged")
QUARANTINE_COLUMNS = (
    "source_id", "workspace_hash", "position", "reason", "raw", "base", "problems", "created_at",
)  # fmt: skip
WORKSPACE_COLUMNS = ("id", "workspace_path", "workspace_hash")
LEDGER_COLUMNS = (
    "source", "workspace_hash", "status", "size", "mtime_ns", "inode", "sha256", "sessions", "instances", "messages",
    "quarantined", "digest", "backup", "error", "created_at", "updated_at",
)  # fmt: skip
RUN_COLUMNS = (
    "ended_at", "program_version", "files", "failed_files", "bytes", "database_bytes", "migrated", "merged",
    "quarantined", "failed", "instances", "messages", "duration_ms", "stages", "backup",
)  # fmt: skip
SHARE_COLUMNS = (
    "source_id", "workspace_hash", "migrated", "merged", "quarantined", "failed", "instances", "messages",
)  # fmt: skip
