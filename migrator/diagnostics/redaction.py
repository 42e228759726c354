"""Facts that may be shown to a stranger: every text that is not of a closed set of our own words becomes a hash.

A fact is let through by the member that it stands under, never by what it looks like: a new member is hashed until
somebody decides what may stand there. The hashes are keyed, and the key is forgotten with the report: two that are
alike stand for the same text, and nobody can try out which text that is.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS

# What the messages of our own errors say, shortened to a label; the messages themselves name files and quote contents.
_CAUSES = {
    "it is torn": "torn",
    "is not UTF-8": "not UTF-8",
    "NUL bytes": "NUL bytes",
    "JSON object, not an array": "an object",
    "no JSON array": "no array",
    "its name is not a workspace's hash": "name",
    "link to nothing": "dangling link",
    "folder or a device": "no file",
    "ermission denied": "permission denied",
    "changed while": "changed while read",
    "twice in one object": "member twice",
    "surrogate": "surrogate",
    "nesting deeper": "nesting",
    "no JSON number": "no number",
    "out of all bounds": "number out of bounds",
    "broken JSON": "broken JSON",
    "newer migrator": "newer",
    "half-written or damaged": "damaged",
    "is damaged": "damaged",
    "has no manifest": "no manifest",
    "Another program keeps it locked": "locked",
    "not an SQLite database": "no database",
    "disk is full": "full",
    "No space left": "full",
    "Input/output error": "I/O error",
    "ead-only": "read-only",
}
# Of a command line, no more than this: what follows names something.
COMMANDS = (
    "migrator verify --repair", "migrator status", "migrator migrate", "migrator backend", "migrator quarantine list",
    "migrator backups list", "migrator backups verify", "migrator backups restore", "migrator backups prune",
    "migrator verify", "migrator schema apply", "ls -ld", "ls -l", "chmod 700", "chmod u+rwx", "chmod u+rw",
    "sudo chown", "icacls", "mv", "ps -p", "lsof", "df -h", "python3 -c",
)  # fmt: skip
PACKAGES = ("apsw", "click", "filelock", "jsonschema", "jsonschema-rs", "msgspec", "orjson", "rich", "sqlite-utils")
_SUBJECTS = (
    "versions|SQLite|packages|data directory|file system|lock|database|schema|flag|leftovers|backups|permissions|"
    "workspace paths|failed files|quarantine|pending work|space|trial of both stores|database locks|owner|merge base|"
    "in the way|programs|folder|places|around|work|trial"
)
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_VERSION = r"[0-9][0-9A-Za-z.+]{0,30}"
_MEMBERS = "|".join(sorted({*SESSION_MEMBERS, *INSTANCE_MEMBERS, *MESSAGE_MEMBERS}))

# What may stand under a member as it is.
_PATTERNS = {
    "about": r"[A-Z][A-Za-z ,.:-]+",
    "made_at": _TIME,
    "updated_at": _TIME,
    "migrator": _VERSION,
    "python": _VERSION,
    "sqlite": _VERSION,
    **dict.fromkeys(PACKAGES, _VERSION),
    "implementation": "CPython|PyPy|GraalVM",
    "system": "Linux|Darwin|Windows|FreeBSD",
    "machine": r"[a-zA-Z0-9_]{2,12}",
    "encoding": r"[a-z0-9-]{2,12}",
    "level": "ok|note|problem",
    "subject": _SUBJECTS,
    "command": "|".join(COMMANDS),
    "mode": "0o[0-7]{1,4}",
    "network": "[a-z0-9.]{2,15}",
    "backend": "json|sqlite|hybrid",
    "authority": "json|sqlite|hybrid",
    "migration_status": "pending|in_progress|completed|failed|rolled_back",
    "status": "migrated|merged|failed|rolled_back",
    "state": "new|changed|migrated|failed|unknown|damaged",
    "kind": "workspace|shared|older|files|database|versions",
    "reason": "invalid|unreadable|torn|conflict",
    "where": _MEMBERS,
    "type": r"[A-Z][A-Za-z]{2,40}",
    "cause": "|".join(sorted(set(_CAUSES.values()))),
    "errno": "E[A-Z0-9]{2,12}",
    "journal_mode": "delete|truncate|persist|memory|wal|off",
}
_KNOWN = {member: re.compile(pattern) for member, pattern in _PATTERNS.items()}
_LISTS = {"instances", "chatHistory", "runtimeMix"}
_INDEX = re.compile(r"[0-9]{1,7}")


class Redaction:
    """One report's hashes."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def redacted(self, facts: Any, name: str = "") -> Any:
        """The facts with every text that is not known to be ours as a hash.

        :param name: the member that they stand under
        """
        if isinstance(facts, dict):
            return {member: self.redacted(value, member) for member, value in facts.items()}
        if isinstance(facts, (list, tuple)):
            return [self.redacted(value, name) for value in facts]
        if isinstance(facts, str):
            known = _KNOWN.get(name)
            return facts if known is not None and known.fullmatch(facts) else self.hashed(facts)
        return facts

    def hashed(self, text: str) -> str:
        """What stands for a text in this report, and in no other."""
        return "#" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=6).hexdigest()


def cause_of(message: str) -> str | None:
    """What an error message of ours is about, in one of a few words; None where that can't be told."""
    return next((label for phrase, label in _CAUSES.items() if phrase in message), None)


def place_of(pointer: str) -> list[str | int]:
    """The tokens of a JSON Pointer into a session: of an array of ours, an index as a number."""
    place: list[str | int] = []
    for token in pointer.split("/")[1:]:
        index = _INDEX.fullmatch(token) is not None and len(place) == 1 and place[0] in _LISTS
        place.append(int(token) if index else token)
    return place
