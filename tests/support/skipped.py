"""What a run of the tests skipped, in one line."""

from collections import Counter
from collections.abc import Iterable


def in_one_line(reasons: Iterable[str]) -> str:
    """
    :param reasons: one for each test
    """
    counts = Counter(" ".join(reason.removeprefix("Skipped: ").split()) for reason in reasons)
    parts = [f"{reason} ({count})" for reason, count in counts.most_common()]
    return f"skipped {counts.total()}: {'; '.join(parts)}"
