"""Decides which texts a support report may show: every text that is not one of migrator's own becomes a hash.

Whether a text may be shown depends on the member that holds it, never on what it looks like: a new member is hashed
until it is added here. The hashes use a random key that is not kept: equal hashes in one report stand for equal texts,
but no one can test a guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS

# How much of a command line may be shown: what follows is a name.
COMMANDS = (
    "migrator verify --repair", "migrator status", "migrator migrate", "migrator backend", "migrator quarantine list",
    "migrator deletions list",
    "migrator backups list", "migrator backups verify", "migrator backups restore", "migrator backups prune",
    "migrator verify", "migrator schema apply",
    "migrator search-index build", "ls -ld", "ls -l", "chmod 700", "chmod u+rwx", "chmod u+rw",
    "sudo chown", "icacls", "mv", "ps -p", "lsof", "df -h", "python3 -c",
)  # fmt: skip
PACKAGES = ("apsw", "click", "filelock", "jsonschema", "jsonschema-rs", "msgspec", "orjson", "sqlite-utils")
_SUBJECTS = (
    "versions|SQLite|packages|data directory|file system|file type|file access|lock|database|schema|storage.json|"
    "leftovers|backups|permissions|workspace paths|failed files|other files|quarantine|pending work|disk space|"
    "hybrid mode|deletions|replaced files|search index|rollback|database locks|owner|backup copies|programs|"
    "storage flag|loader"
)
# The first word of a code, by what it is about.
NOUNS = (
    "source", "session", "instance", "workspace", "database", "schema", "transaction", "file", "disk", "lock",
    "backup", "quarantine", "rollback", "migration", "store", "backend", "search_index", "option", "document",
    "hybrid", "worker", "report", "program",
)  # fmt: skip
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_VERSION = r"[0-9][0-9A-Za-z.+]{0,30}"
_MEMBERS = "|".join(sorted({*SESSION_MEMBERS, *INSTANCE_MEMBERS, *MESSAGE_MEMBERS}))

# What each member may show.
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
    "reason": "invalid|unreadable|torn|conflict|deleted",
    "where": _MEMBERS,
    "type": r"[A-Z][A-Za-z]{2,40}",
    "code": rf"(?:{'|'.join(NOUNS)})\.[a-z]+(?:_[a-z]+){{0,5}}",
    "errno": "E[A-Z0-9]{2,12}",
    "journal_mode": "delete|truncate|persist|memory|wal|off",
}
_KNOWN = {member: re.compile(pattern) for member, pattern in _PATTERNS.items()}
_LISTS = {"instances", "chatHistory", "runtimeMix"}
_INDEX = re.compile(r"[0-9]{1,7}")


class Redaction:
    """Hashes the texts of one report."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def redacted(self, facts: Any, name: str = "") -> Any:
        """Return the facts with every text hashed that may not be shown.

        :param name: the member that holds them
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
        """Return the hash of a text, which differs from report to report."""
        return "#" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=6).hexdigest()


def place_of(pointer: str) -> list[str | int]:
    """Split a JSON Pointer into a session; an index into one of the app's arrays becomes a number."""
    place: list[str | int] = []
    for token in pointer.split("/")[1:]:
        index = _INDEX.fullmatch(token) is not None and len(place) == 1 and place[0] in _LISTS
        place.append(int(token) if index else token)
    return place
