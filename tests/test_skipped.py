"""The line about skipped tests at the end of a run."""

from tests.support.skipped import in_one_line


def test_what_was_skipped_is_one_line_with_a_count_for_each_reason():
    reasons = ["Skipped: no strace here", "Skipped: no mounts:\n  not permitted", "Skipped: no strace here"]
    assert in_one_line(reasons) == "skipped 3: no strace here (2); no mounts: not permitted (1)"
