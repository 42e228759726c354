"""The decision about a session, from the digests of its three versions: the table of the module, row by row."""

import pytest

from migrator.migration.merging.decision import Action, decide

A, B, C = b"a", b"b", b"c"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "action"),
    [
        (A, A, A, Action.ADOPT),
        (A, B, B, Action.ADOPT),
        (None, A, A, Action.ADOPT),
        (A, None, None, Action.ADOPT),
        (A, B, A, Action.KEEP),
        (A, None, A, Action.KEEP),
        (None, A, None, Action.KEEP),
        (A, A, None, Action.DELETE),
        (None, None, A, Action.INSERT),
        (A, A, B, Action.REPLACE),
        (A, B, None, Action.KEEP),
        (A, B, C, Action.QUARANTINE),
        (A, None, B, Action.QUARANTINE),
        (None, A, B, Action.QUARANTINE),
    ],
)
def test_each_row_of_the_table_has_its_decision(base, ours, theirs, action):
    assert decide(base, ours, theirs) is action
