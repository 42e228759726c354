"""The SQL statements of hybrid mode's journal, which is a separate database, and of the record of written files."""

from __future__ import annotations

JOURNAL_PEND = "INSERT INTO pending_repairs (workspace_hash, workspace_path, since, error) VALUES (?, ?, ?, ?)"
JOURNAL_FORGET = "DELETE FROM pending_repairs WHERE id = ?"
JOURNAL_FAILED = "UPDATE pending_repairs SET error = ? WHERE id = ?"
JOURNAL_NEWEST = "SELECT max(id) FROM pending_repairs WHERE workspace_hash = ?"
JOURNAL_PENDING = (
    "SELECT workspace_hash, min(workspace_path) FROM pending_repairs GROUP BY workspace_hash ORDER BY min(id)"
)
JOURNAL_REPAIRED = "DELETE FROM pending_repairs WHERE workspace_hash = ? AND id <= ?"
JOURNAL_DIFFER = """
    INSERT INTO trial_differences (
        workspace_hash, workspace_path, operation, session_id, primary_digest, secondary_digest, found_at
    ) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
JOURNAL_DIFFERENCES = """
    SELECT workspace_path, operation, session_id, primary_digest, secondary_digest, found_at
    FROM trial_differences ORDER BY id
"""
JOURNAL_COUNT = """
    UPDATE trial_counts
    SET writes = writes + ?, failures = failures + ?, comparisons = comparisons + ?, differences = differences + ?
"""
JOURNAL_STATS = """
    SELECT writes, failures, (SELECT count(DISTINCT workspace_hash) FROM pending_repairs), comparisons, differences
    FROM trial_counts
"""

# In sessions.db.
WRITTEN_FILES = "SELECT workspace_hash, sha256 FROM written_files"
KNOWN_FILES = f"""
    {WRITTEN_FILES} UNION
    SELECT workspace_hash, sha256 FROM migration_ledger
    WHERE source = 'sessions/' || workspace_hash || '.json' AND error IS NULL AND sha256 IS NOT NULL
"""
IS_KNOWN = """
    SELECT EXISTS (SELECT 1 FROM written_files WHERE workspace_hash = ?1 AND sha256 = ?2) OR EXISTS (
        SELECT 1 FROM migration_ledger WHERE source = 'sessions/' || ?1 || '.json' AND sha256 = ?2 AND error IS NULL
    )
"""
RECORD_WRITTEN = "INSERT OR IGNORE INTO written_files (workspace_hash, sha256) VALUES (?, ?)"
FORGET_WRITTEN = "DELETE FROM written_files WHERE workspace_hash = ? AND sha256 IS NOT ?"
