"""The columns of each table, in the order that their values have in row tuples."""

from typing import NamedTuple

# The number of the rules by which a document is valid. Raise it when more becomes valid: the next run then checks again
# what is in quarantine. By the first rules, type, status and role had to be among the app's own.
RULES = 2


class SessionRow(NamedTuple):
    """A row of ``sessions``; plain tuples of its values have the same order."""

    id: str
    workspace_id: int
    type: str
    task: str
    status: str
    created_at: str
    updated_at: str
    completed_at: str | None
    model: str | None
    timeout_seconds: int | None
    preserve_worktrees: int | None
    winner_id: int | None
    total_duration: int | None
    total_files_changed: int | None
    total_lines_added: int | None
    total_lines_deleted: int | None
    position: int | None
    rescued_data: str | None
    source_id: int | None


class MessageRow(NamedTuple):
    """A row of ``chat_messages``."""

    id: str
    session_id: str
    role: str
    content: str
    timestamp: str
    instance_id: int | None
    position: int | None
    rescued_data: str | None


class QuarantineRow(NamedTuple):
    """A row of ``quarantine``, without its id."""

    source_id: int | None
    workspace_hash: str | None
    position: int
    reason: str
    raw: str | bytes
    base: str | bytes | None
    problems: str
    created_at: str
    session_id: str | None = None


SESSION_COLUMNS = SessionRow._fields
RUNTIME_COLUMNS = ("session_id", "runtime")
INSTANCE_COLUMNS = (
    "session_id", "instance_id", "worktree_path", "branch", "agent_name", "status", "tmux_session_id", "output",
    "start_time", "end_time", "files_changed", "lines_added", "lines_deleted", "runtime", "model", "runtime_label",
    "position", "rescued_data",
)  # fmt: skip
MESSAGE_COLUMNS = MessageRow._fields
CHILD_TABLES = {"session_runtime_mix": RUNTIME_COLUMNS, "instances": INSTANCE_COLUMNS, "chat_messages": MESSAGE_COLUMNS}
# The columns that documents are read from: the position only orders the rows.
READ_INSTANCE_COLUMNS = tuple(name for name in INSTANCE_COLUMNS if name != "position")
READ_MESSAGE_COLUMNS = tuple(name for name in MESSAGE_COLUMNS if name != "position")
# The columns with a message's own values; the session's key and the position follow from its place.
PLAIN_MESSAGE_COLUMNS = ("id", "role", "content", "timestamp", "instance_id")
SUMMARY_COLUMNS = (
    "id", "type", "task", "status", "created_at", "updated_at", "total_duration", "total_files_changed",
    "rescued_data",
)  # fmt: skip
SUMMARY_MEMBERS = ("id", "type", "task", "status", "createdAt", "updatedAt", "totalDuration", "totalFilesChanged")
# What lists of sessions show.
LISTED_COLUMNS = (
    "id", "type", "task", "status", "created_at", "updated_at", "completed_at", "model", "total_duration",
    "total_files_changed", "total_lines_added", "total_lines_deleted", "rescued_data",
)  # fmt: skip
LISTED_MEMBERS = (
    "id", "type", "task", "status", "createdAt", "updatedAt", "completedAt", "model", "totalDuration",
    "totalFilesChanged", "totalLinesAdded", "totalLinesDeleted",
)  # fmt: skip
QUARANTINE_COLUMNS = QuarantineRow._fields
WORKSPACE_COLUMNS = ("id", "workspace_path", "workspace_hash")
LEDGER_COLUMNS = (
    "source", "workspace_hash", "status", "size", "mtime_ns", "inode", "sha256", "session_count", "instances",
    "messages", "quarantined", "digest", "backup", "error", "created_at", "updated_at", "error_code", "bases",
    "dismissed",
)  # fmt: skip
RUN_COLUMNS = (
    "ended_at", "program_version", "files", "failed_files", "bytes", "database_bytes", "migrated", "merged",
    "quarantined", "failed", "instances", "messages", "duration_ms", "stages", "backup", "deleted", "held",
)  # fmt: skip
SHARE_COLUMNS = (
    "source_id", "workspace_hash", "migrated", "merged", "quarantined", "failed", "instances", "messages",
)  # fmt: skip
