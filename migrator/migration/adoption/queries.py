"""The SQL statements of a merge without a base, and of the counts that publishing records, by name."""

from __future__ import annotations

from migrator.database.columns import SHARE_COLUMNS
from migrator.database.queries import RECORD_SHARE

QUARANTINE_OF_WORKSPACE = "SELECT raw FROM quarantine WHERE workspace_hash = ? AND reason <> 'deleted'"
# What an adopted file contributed, which may be adopted several times.
ADD_SHARE = f"""
    {RECORD_SHARE} ON CONFLICT DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in SHARE_COLUMNS[2:])}
"""
HAS_SHARES = "SELECT EXISTS (SELECT 1 FROM migration_shares WHERE source_id = ?)"
QUARANTINED_OF_SOURCE = "SELECT count(*) FROM quarantine WHERE source_id = ? AND reason <> 'deleted'"
SET_COUNTS = "UPDATE migration_ledger SET session_count = ?, instances = ?, messages = ?, quarantined = ? WHERE id = ?"
