"""Writes the support report: counts, states, versions and codes, but no text, path or name of the user's."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import platform
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator._version import __version__
from migrator.authority import read_flag
from migrator.backups.catalog import list_backups
from migrator.data_dir import DATA_DIR_VARIABLE, DATABASE_SUFFIXES, DATABASE_VARIABLE, DataDir
from migrator.database import queries, schema
from migrator.database.connection import network_file_system, opened
from migrator.database.errors import sqlite_errors
from migrator.diagnostics.doctor import DoctorReport
from migrator.diagnostics.redaction import COMMANDS, PACKAGES, Redaction, place_of
from migrator.errors import Message, MigratorError
from migrator.files.output import write_new_file
from migrator.inventory.ledger import LedgerEntry
from migrator.inventory.location import BACKEND_VARIABLE, SHARED_VARIABLE
from migrator.inventory.plan import make_plan
from migrator.inventory.status import status_of
from migrator.locking import leftovers
from migrator.quarantine.items import list_quarantine
from migrator.storage.hybrid.journal import read_stats
from migrator.text import pretty
from migrator.verification.data_dir_check import loose_permissions, unknown_entries
from migrator.verification.findings import Finding

_ABOUT = (
    "What migrator found, for someone who helps you. It contains no text, path or name that you or your programs "
    "wrote. A hash that begins with a number sign stands for one, the same everywhere in this report."
)
_COUNTS = ("sessions", "instances", "messages", "quarantined")
_SETTINGS = (DATA_DIR_VARIABLE, DATABASE_VARIABLE, SHARED_VARIABLE, BACKEND_VARIABLE)
_ITEMS = 200  # most items of a kind

Facts = dict[str, Any]


def write_support_report(data_dir: DataDir, examined: DoctorReport, target: Path) -> None:
    """Write the support report to a new file, as a JSON object.

    :raises StorageIOError: the file exists already, or cannot be written
    """
    content = pretty(support_report(data_dir, examined)).encode()
    write_new_file(target, [content, b"\n"], "a report")


def support_report(data_dir: DataDir, examined: DoctorReport) -> Facts:
    """Return the report as a JSON object, redacted; a part that cannot be gathered contains the error instead."""
    facts: Facts = {"about": _ABOUT, "format": 2, "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
    facts |= _machine()
    facts["findings"] = [
        {"level": found.level, "code": found.code, "subject": found.subject, "command": _command(found)}
        for found in examined.findings
    ]
    sections: dict[str, Callable[[DataDir], Any]] = {
        "data_directory": _folder,
        "database": _database,
        "workspaces": _workspaces,
        "files": _files,
        "quarantine": _quarantine,
        "backups": _backups,
        "surroundings": _surroundings,
        "trial": _trial,
    }
    for name, gather in sections.items():
        try:
            facts[name] = gather(data_dir)
        except (MigratorError, OSError) as error:
            facts[name] = {"error": _described(error)}
    redacted: Facts = Redaction().redacted(facts)
    return redacted


def _command(finding: Finding) -> str | None:
    command = finding.command if finding.level != "ok" else None
    return command and next((known for known in COMMANDS if command.startswith(known)), command)


def _described(error: BaseException) -> Facts:
    """Describe an error by its type and code, and by its cause likewise."""
    number = error.errno if isinstance(error, OSError) else None
    facts: Facts = {
        "type": type(error).__name__,
        "code": error.code if isinstance(error, MigratorError) else None,
        "errno": errno.errorcode.get(number or 0),
    }
    return facts | ({"because": _described(error.__cause__)} if error.__cause__ else {})


def _machine() -> Facts:
    versions = {name: _version_of(name) for name in PACKAGES}
    return {
        "migrator": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "encoding": sys.getfilesystemencoding(),
        "sqlite": sqlite3.sqlite_version,
        "packages": versions,
        "settings": {name: name in os.environ for name in _SETTINGS},
    }


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _folder(data_dir: DataDir) -> Facts:
    found = data_dir.root.stat()
    return {
        "name": str(data_dir.root),
        "mode": oct(stat.S_IMODE(found.st_mode)),
        "own": os.name == "nt" or found.st_uid == os.getuid(),
        "free_bytes": shutil.disk_usage(data_dir.root).free,
        "network": network_file_system(data_dir.root / "any"),
        "mapping": data_dir.workspace_mapping.exists(),
        "backend": read_flag(data_dir),
    }


def _database(data_dir: DataDir) -> Facts | None:
    path = data_dir.database
    if not path.exists():
        return None
    files = [path.with_name(path.name + suffix) for suffix in DATABASE_SUFFIXES]
    facts: Facts = {
        "name": str(path),
        "in_data_directory": path.parent == data_dir.root,
        "mode": oct(stat.S_IMODE(path.stat().st_mode)),
        "bytes": [file.stat().st_size if file.exists() else None for file in files],
        "network": network_file_system(path),
    }
    with opened(path, read_only=True) as connection, sqlite_errors("read", path):
        facts["journal_mode"] = connection.execute("PRAGMA journal_mode").fetchone()[0]
        for setting in ("page_size", "page_count", "freelist_count", "user_version", "application_id"):
            facts[setting] = connection.execute(f"PRAGMA {setting}").fetchone()[0]
        version = schema.require_known(connection, path)
        facts["schema_version"] = version
        facts["schema_differences"] = len(schema.differences(connection, version)) if version else 0
        if version:
            facts["sessions"] = connection.execute(queries.SESSION_COUNT).fetchone()[0]
            facts["instances"], facts["messages"] = connection.execute(queries.CHILD_COUNTS).fetchone()
    return facts


def _workspaces(data_dir: DataDir) -> Facts:
    status = status_of(data_dir)
    return {
        **_members(status, "authority", "backend", "migration_status", "needs_migration"),
        "warnings": len(status.warnings),
        "count": len(status.workspaces),
        "first": [
            {"name": workspace.hash, **_members(workspace, "path", "state", *_COUNTS), "code": _code(workspace.error)}
            for workspace in status.workspaces[:_ITEMS]
        ],
    }


def _files(data_dir: DataDir) -> Facts:
    found = make_plan(data_dir)
    work = {source.name: "pending" for source in found.work.pending}
    sources = [*found.work.pending, *found.work.known]
    gone = [entry for name, entry in found.ledger.items() if name not in {source.name for source in sources}]
    return {
        "count": len(sources),
        "bytes": sum(source.size for source in sources),
        "pending": len(found.work.pending),
        "others": [{"code": message.code} for message in found.unknown_files],
        "gone": [_entry(entry) for entry in gone[:_ITEMS]],
        "first": [
            {
                **_members(source, "name", "kind"),
                "bytes": source.size,
                "code": _code(source.error),
                "pending": source.name in work,
                **_entry(found.ledger.get(source.name)),
            }
            for source in sources[:_ITEMS]
        ],
    }


def _members(value: object, *names: str) -> Facts:
    return {name: getattr(value, name) for name in names}


def _code(error: str | None) -> str | None:
    """Return the code of a text about a problem; of any other text, the text itself, which will be hashed."""
    return error.code if isinstance(error, Message) else error


def _entry(entry: LedgerEntry | None) -> Facts:
    if entry is None:
        return {"ledger": None}
    counts = {"sessions": entry.session_count, **_members(entry, *_COUNTS[1:])}
    others = _members(entry, "status", "backup", "updated_at")
    return {"ledger": {"name": entry.source, "bytes": entry.size, **counts, **others, "code": _code(entry.failure)}}


def _quarantine(data_dir: DataDir) -> Facts | None:
    if not data_dir.database.exists():
        return None
    items = list_quarantine(data_dir).items
    first = [
        {
            "reason": item.reason,
            "bytes": item.size,
            "file": item.source,
            "workspace": item.workspace_hash,
            "problem_count": len(item.problems),
            "problems": [{"where": place_of(problem.pointer), "code": problem.code} for problem in item.problems[:10]],
        }
        for item in items[:_ITEMS]
    ]
    return {"count": len(items), "first": first}


def _backups(data_dir: DataDir) -> list[Facts]:
    return [
        {
            **_members(backup, "name", "kind", "files", "bytes", "state"),
            "code": _code(backup.error),
        }
        for backup in list_backups(data_dir).backups[-_ITEMS:]
    ]


def _surroundings(data_dir: DataDir) -> Facts:
    return {
        "leftovers": len(leftovers(data_dir)),
        "strangers": len(unknown_entries(data_dir)),
        "too_open": len(loose_permissions(data_dir)),
    }


def _trial(data_dir: DataDir) -> Facts | None:
    trial = read_stats(data_dir.hybrid_journal)
    return None if trial is None else asdict(trial)
