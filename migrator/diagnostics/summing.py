"""Sums up findings that say the same of several files, with one command for all of them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice

from migrator.errors import Message
from migrator.verification.findings import Finding, command

_SHOWN = 3  # findings of a kind that are shown one by one
_NAMED = 20  # paths in one command; for more, it changes their folder


def summed(findings: Iterable[Finding]) -> list[Finding]:
    """Replace findings of one kind, if they are many and one command fixes all, by the first of them and a count."""
    kinds: dict[tuple[str, str, str, bool, tuple[str, ...]], list[Finding]] = {}
    for found in findings:
        words = shlex.split(found.command or "")
        kind = (found.level, found.subject, found.code, found.command is None, tuple(words[:-1]))
        kinds.setdefault(kind, []).append(found)
    return [one for same in kinds.values() for one in (same if len(same) <= _SHOWN else [_sum(same)])]


def _sum(same: Sequence[Finding]) -> Finding:
    first = same[0].message
    text = f"{first.message} There are {len(same) - 1:,} more like this: 'migrator doctor --json' lists all."
    message = Message(text, code=first.code, hint=first.hint)
    return Finding(same[0].level, same[0].code, same[0].subject, message, _for_all(same))


def _for_all(same: Sequence[Finding]) -> str | None:
    """The command that does for all what each finding's command does for one."""
    lines = [shlex.split(found.command) for found in same if found.command]
    if not lines:
        return None
    words, last = lines[0][:-1], list(dict.fromkeys(line[-1] for line in lines))
    if len(last) <= _NAMED or words[0] not in ("chmod", "sudo"):
        return command(*words, *islice(last, _NAMED))
    recursive = words if "-R" in words else [*words[:-1], "-R", words[-1]]
    return command(*recursive, os.path.commonpath([os.path.dirname(path) for path in last]))
