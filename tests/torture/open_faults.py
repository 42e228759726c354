"""Faults that are known and not fixed yet: what the histories and the kills leave out until they are.

To fix one, remove its entry too: then the histories have its steps again, its own history must lose nothing (move it
to ``FIXED``), and the kills take in its pairs of commands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class OpenFault:
    """One fault.

    :ivar history: a short one that shows it
    :ivar lost: what is lost
    :ivar leaves_out: whether a step, after these, is not played
    :ivar killed: the pairs of a scenario whose command is killed, and the command that comes next; ``*`` is any
    """

    history: str
    lost: str
    leaves_out: Callable[[Sequence[str], str], bool] = lambda _history, _step: False
    killed: tuple[tuple[str, str], ...] = ()


OPEN_FAULTS: dict[str, OpenFault] = {}

# The histories of faults that were fixed: played as they are, each time.
FIXED = {
    "file begun anew": "file 0 add a; migrate; file 0 vanish; file 0 anew; migrate",
    "older database under hybrid mode": "file 0 add a; backend hybrid; snapshot; store create 0 b; putback; rollback",
    "old build writes before the rename": "file 0 add a; migrate; store create 0 b; rollback @17 file 0",
    "write while a database is restored": "file 0 add a; migrate; rollback; migrate; restore database 0 @7 store 0",
    "file gone after a rollback": "file 0 add a; migrate; rollback; file 0 vanish; migrate",
    "file truncated after a rollback": "file 0 add a; file 1 add b; migrate; rollback; file 0 tear 0.1; migrate",
    "file blank after a rollback": "file 0 add a; migrate; rollback; file 0 blank; migrate",
    "older file gone after a rollback": "file older add a; file 0 add b; migrate; rollback; file older vanish; migrate",
    "no file left, then another backend": "file 0 add a; migrate; rollback; file 0 vanish; backend sqlite",
    "changed file without backups": "file 0 add a; migrate; lose backups; file 0 add b; migrate",
    "killed rollback out of hybrid mode": "file 0 add a; backend hybrid; store create 0 b; rollback @57; migrate",
    "session moved by SQL": "file 0 add a; file 1 add b; migrate; sql move a 1; rollback",
    "workspace renamed by SQL": "file 0 add a; migrate; sql rehash 0; rollback",
    "quarantined by the rollback itself": ("file 0 add b; backend hybrid; sql rehash 0; file 0 break b; rollback"),
    "quarantined, rolled back, truncated": (
        "file 0 add a; file 0 message a; file 0 break a; migrate; rollback; file 0 tear 0.5"
    ),
    "quarantined, rolled back, blank": "file 0 add a; file 0 break a; migrate; rollback; file 0 blank; migrate",
    "older files restored where the newer ones are gone": (
        "file 0 add a; backend hybrid; sql update a; rollback; file 0 vanish; restore files -1; migrate"
    ),
    "retry --edited": "file 0 add a; file 0 break a; migrate; retry 0 edited b; rollback",
    "index half dropped before a schema step": (
        "file 0 add b; migrate; rollback; schema revert; sql update b; index drop @40"
    ),
}


def is_open(history: Sequence[str], step: str) -> bool:
    """Whether a known fault would lose something by a step after these."""
    return any(fault.leaves_out(history, step) for fault in OPEN_FAULTS.values())


def known_to_lose(scenario: str, command: str) -> bool:
    """Whether a command is known to lose something after a kill in a scenario."""
    pairs = {pair for fault in OPEN_FAULTS.values() for pair in fault.killed}
    return bool(pairs & {(scenario, command), (scenario, "*")})
