"""The messages about sessions written to SQLite after a rollback: a code for each outcome, and the numbers."""

from pathlib import Path

import pytest

from migrator.migration.rolled_back.changes import PostRollbackChanges


@pytest.mark.parametrize(
    ("changes", "warnings", "errors"),
    [
        (PostRollbackChanges(), [], []),
        (PostRollbackChanges(applied=3), ["rollback.changes_applied"], []),
        (PostRollbackChanges(deleted=3), ["rollback.deletions_undone"], []),
        (PostRollbackChanges(conflicts=3), [], ["session.conflict"]),
        (PostRollbackChanges(invalid=3), [], ["session.quarantined"]),
        (
            PostRollbackChanges(3, 3, 3, 3),
            ["rollback.changes_applied", "rollback.deletions_undone"],
            ["session.conflict", "session.quarantined"],
        ),
    ],
)
def test_each_outcome_has_its_code_and_number(changes, warnings, errors):
    assert [message.code for message in changes.warnings()] == warnings
    assert [message.code for message in changes.errors()] == errors
    assert all("3 sessions" in message for message in [*changes.warnings(), *changes.errors()])


def test_one_session_is_not_several():
    changes = PostRollbackChanges(1, 1, 1, 1)
    for message in [*changes.warnings(), *changes.errors()]:
        assert message.startswith("1 session ")
        assert "after the rollback was " in message


def test_the_copy_of_the_database_is_named():
    [message] = PostRollbackChanges(copy=Path("backups/x-database-rolled-back/sessions.db")).warnings()
    assert (message.code, "x-database-rolled-back" in message.message) == ("rollback.database_kept", True)
