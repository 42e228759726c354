"""Migrates AIT42 Editor's session history from its JSON files to SQLite, verifies every session, and can roll back.

Each public name is imported when it is first used, so that an application which calls only ``needs_migration`` at its
start loads little else.
"""

from __future__ import annotations

from importlib import import_module

from migrator._version import __version__

TYPE_CHECKING = False  # type checkers take it for the one of typing, which is slow to load
if TYPE_CHECKING:
    from typing import Any

    from migrator.admin.switch_backend import BackendReport
    from migrator.api.deciding import (
        confirm_deletions,
        decline_deletions,
        dismiss_quarantined,
        export_quarantine,
        list_deletions,
        list_quarantine,
        retry_quarantined,
        show_quarantined,
    )
    from migrator.api.keeping import list_backups, prune_backups, restore_backup, verify_backups
    from migrator.api.looking import (
        build_search_index,
        drop_search_index,
        examine,
        migration_report,
        search_index_status,
        search_texts,
        status,
    )
    from migrator.api.moving import (
        export_sessions,
        migrate,
        needs_migration,
        rollback,
        show_backend,
        switch_backend,
        verify,
    )
    from migrator.authority import Backend
    from migrator.backups.catalog import BackupList, ListedBackup, VerifiedBackup, VerifiedBackups
    from migrator.backups.prune import PruneReport
    from migrator.backups.restore import RestoreReport
    from migrator.data_dir import DataDir
    from migrator.database.quarantine import QuarantinedItem, Reason
    from migrator.diagnostics.doctor import DoctorReport
    from migrator.documents.document import ChatMessage, WorktreeInstance, WorktreeSession
    from migrator.errors import (
        BackupError,
        ConnectionFailed,
        InstanceNotFound,
        Message,
        MigrationFailed,
        MigrationLocked,
        MigratorError,
        NotInstalled,
        Problem,
        QuarantineError,
        RollbackFailed,
        SchemaError,
        SessionAlreadyExists,
        SessionChanged,
        SessionNotFound,
        SourceFileError,
        StaleStoreError,
        StorageIOError,
        TransactionError,
        UnreadableSession,
        UsageError,
        ValidationError,
        WorkspaceNotFound,
    )
    from migrator.export.rollback import RollbackReport
    from migrator.export.to_folder import ExportReport
    from migrator.inventory.location import resolve_data_dir
    from migrator.inventory.status import StatusReport, WorkspaceState
    from migrator.migration.report import MigrationReport
    from migrator.progress import Listener, Progress
    from migrator.quarantine.deletions import DecidedDeletions, HeldDeletions
    from migrator.quarantine.dismiss import DismissReport
    from migrator.quarantine.items import ExportedItems, QuarantineList, ShownItem
    from migrator.quarantine.retry import RetryReport, Take
    from migrator.receipt.facts import Receipt
    from migrator.report import Report
    from migrator.search.build import IndexReport
    from migrator.search.results import FoundSession, FoundText, SearchReport
    from migrator.storage.factory import open_storage
    from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
    from migrator.storage.protocol import SessionFilters, SessionStorage, SortKey
    from migrator.verification.run import VerifyReport
    from migrator.worker.process import freeze_support

# The module of each public name. Those that are not listed are in migrator.errors.
_MODULES = {
    "migrator.admin.switch_backend": "BackendReport",
    "migrator.api.deciding": "confirm_deletions decline_deletions dismiss_quarantined export_quarantine list_deletions "
    "list_quarantine retry_quarantined show_quarantined",
    "migrator.api.keeping": "list_backups prune_backups restore_backup verify_backups",
    "migrator.api.looking": "build_search_index drop_search_index examine migration_report search_index_status "
    "search_texts status",
    "migrator.api.moving": "export_sessions migrate needs_migration rollback show_backend switch_backend verify",
    "migrator.authority": "Backend",
    "migrator.backups.catalog": "BackupList ListedBackup VerifiedBackup VerifiedBackups",
    "migrator.backups.prune": "PruneReport",
    "migrator.backups.restore": "RestoreReport",
    "migrator.data_dir": "DataDir",
    "migrator.database.quarantine": "QuarantinedItem Reason",
    "migrator.diagnostics.doctor": "DoctorReport",
    "migrator.documents.document": "ChatMessage WorktreeInstance WorktreeSession",
    "migrator.export.rollback": "RollbackReport",
    "migrator.export.to_folder": "ExportReport",
    "migrator.inventory.location": "resolve_data_dir",
    "migrator.inventory.status": "StatusReport WorkspaceState",
    "migrator.migration.report": "MigrationReport",
    "migrator.progress": "Listener Progress",
    "migrator.quarantine.deletions": "DecidedDeletions HeldDeletions",
    "migrator.quarantine.dismiss": "DismissReport",
    "migrator.quarantine.items": "ExportedItems QuarantineList ShownItem",
    "migrator.quarantine.retry": "RetryReport Take",
    "migrator.receipt.facts": "Receipt",
    "migrator.report": "Report",
    "migrator.search.build": "IndexReport",
    "migrator.search.results": "FoundSession FoundText SearchReport",
    "migrator.storage.factory": "open_storage",
    "migrator.storage.lists.summaries": "SessionSummary WorkspaceSummary",
    "migrator.storage.protocol": "SessionFilters SessionStorage SortKey",
    "migrator.verification.run": "VerifyReport",
    "migrator.worker.process": "freeze_support",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Backend",
    "BackendReport",
    "BackupError",
    "BackupList",
    "ChatMessage",
    "ConnectionFailed",
    "DataDir",
    "DecidedDeletions",
    "DismissReport",
    "DoctorReport",
    "ExportReport",
    "ExportedItems",
    "FoundSession",
    "FoundText",
    "HeldDeletions",
    "IndexReport",
    "InstanceNotFound",
    "ListedBackup",
    "Listener",
    "Message",
    "MigrationFailed",
    "MigrationLocked",
    "MigrationReport",
    "MigratorError",
    "NotInstalled",
    "Problem",
    "Progress",
    "PruneReport",
    "QuarantineError",
    "QuarantineList",
    "QuarantinedItem",
    "Reason",
    "Receipt",
    "Report",
    "RestoreReport",
    "RetryReport",
    "RollbackFailed",
    "RollbackReport",
    "SchemaError",
    "SearchReport",
    "SessionAlreadyExists",
    "SessionChanged",
    "SessionFilters",
    "SessionNotFound",
    "SessionStorage",
    "SessionSummary",
    "ShownItem",
    "SortKey",
    "SourceFileError",
    "StaleStoreError",
    "StatusReport",
    "StorageIOError",
    "Take",
    "TransactionError",
    "UnreadableSession",
    "UsageError",
    "ValidationError",
    "VerifiedBackup",
    "VerifiedBackups",
    "VerifyReport",
    "WorkspaceNotFound",
    "WorkspaceState",
    "WorkspaceSummary",
    "WorktreeInstance",
    "WorktreeSession",
    "__version__",
    "build_search_index",
    "confirm_deletions",
    "decline_deletions",
    "dismiss_quarantined",
    "drop_search_index",
    "examine",
    "export_quarantine",
    "export_sessions",
    "freeze_support",
    "list_backups",
    "list_deletions",
    "list_quarantine",
    "migrate",
    "migration_report",
    "needs_migration",
    "open_storage",
    "prune_backups",
    "resolve_data_dir",
    "restore_backup",
    "retry_quarantined",
    "rollback",
    "search_index_status",
    "search_texts",
    "show_backend",
    "show_quarantined",
    "status",
    "switch_backend",
    "verify",
    "verify_backups",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_MODULE_OF.get(name, "migrator.errors")), name)
    raise AttributeError(f"module 'migrator' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
