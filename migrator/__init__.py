"""Migrates AIT42 Editor's session history from its JSON files to SQLite, verifies every session, and can roll back.

Each public name is imported when it is first used, so that an application which calls only ``needs_migration`` at its
start loads little else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from migrator._version import __version__

if TYPE_CHECKING:
    from migrator.api import (
        confirm_deletions,
        decline_deletions,
        list_deletions,
        migrate,
        needs_migration,
        rollback,
        verify,
    )
    from migrator.data_dir import DataDir
    from migrator.documents.document import ChatMessage, WorktreeInstance, WorktreeSession
    from migrator.errors import (
        ConnectionFailed,
        InstanceNotFound,
        MigrationFailed,
        MigrationLocked,
        MigratorError,
        RollbackFailed,
        SchemaError,
        SessionAlreadyExists,
        SessionChanged,
        SessionNotFound,
        StaleStoreError,
        StorageIOError,
        TransactionError,
        UnreadableSession,
        UsageError,
        ValidationError,
        WorkspaceNotFound,
    )
    from migrator.export.rollback import RollbackReport
    from migrator.inventory.location import resolve_data_dir
    from migrator.migration.report import MigrationReport
    from migrator.progress import Progress
    from migrator.quarantine.deletions import DecidedDeletions, HeldDeletions
    from migrator.storage.factory import open_storage
    from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
    from migrator.storage.protocol import SessionFilters, SessionStorage
    from migrator.verification.run import VerifyReport
    from migrator.worker.process import freeze_support

# The module of each public name. Those that are not listed are in migrator.errors.
_MODULES = {
    "migrator.api": (
        "confirm_deletions",
        "decline_deletions",
        "list_deletions",
        "migrate",
        "needs_migration",
        "rollback",
        "verify",
    ),
    "migrator.data_dir": ("DataDir",),
    "migrator.inventory.location": ("resolve_data_dir",),
    "migrator.documents.document": ("ChatMessage", "WorktreeInstance", "WorktreeSession"),
    "migrator.progress": ("Progress",),
    "migrator.migration.report": ("MigrationReport",),
    "migrator.export.rollback": ("RollbackReport",),
    "migrator.quarantine.deletions": ("DecidedDeletions", "HeldDeletions"),
    "migrator.verification.run": ("VerifyReport",),
    "migrator.storage.protocol": ("SessionFilters", "SessionStorage"),
    "migrator.storage.lists.summaries": ("SessionSummary", "WorkspaceSummary"),
    "migrator.storage.factory": ("open_storage",),
    "migrator.worker.process": ("freeze_support",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ChatMessage",
    "ConnectionFailed",
    "DataDir",
    "DecidedDeletions",
    "HeldDeletions",
    "InstanceNotFound",
    "MigrationFailed",
    "MigrationLocked",
    "MigrationReport",
    "MigratorError",
    "Progress",
    "RollbackFailed",
    "RollbackReport",
    "SchemaError",
    "SessionAlreadyExists",
    "SessionChanged",
    "SessionFilters",
    "SessionNotFound",
    "SessionStorage",
    "SessionSummary",
    "StaleStoreError",
    "StorageIOError",
    "TransactionError",
    "UnreadableSession",
    "UsageError",
    "ValidationError",
    "VerifyReport",
    "WorkspaceNotFound",
    "WorkspaceSummary",
    "WorktreeInstance",
    "WorktreeSession",
    "__version__",
    "confirm_deletions",
    "decline_deletions",
    "freeze_support",
    "list_deletions",
    "migrate",
    "needs_migration",
    "open_storage",
    "resolve_data_dir",
    "rollback",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_MODULE_OF.get(name, "migrator.errors")), name)
    raise AttributeError(f"module 'migrator' has no attribute {name!r}")
