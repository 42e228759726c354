"""Everything that could be wrong with the machine and the data directory, looked at one by one; changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from migrator._version import __version__
from migrator.data_dir import DataDir
from migrator.database import schema
from migrator.database.connection import MINIMUM_SQLITE, network_file_system
from migrator.database.state import State, state_of
from migrator.errors import MigratorError
from migrator.migration.backup import space_needed
from migrator.migration.backups import list_backups
from migrator.migration.leftovers import leftovers
from migrator.migration.lock import lock_holder
from migrator.migration.status import StatusReport, status_of
from migrator.migration.surroundings import strangers, too_open, wrong_flag
from migrator.migration.survey import survey

Level = Literal["ok", "note", "problem"]

_REPAIR = "migrator verify --repair"
_PACKAGE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar level: ``ok``; ``note``: nothing to do; ``problem``: something needs the user
    :ivar command: what mends it, or shows more
    """

    level: Level
    subject: str
    message: str
    command: str | None = None


@dataclass(frozen=True)
class DoctorReport:
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """3 where something needs the user."""
        return 3 if any(finding.level == "problem" for finding in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"status": "problems" if self.exit_code else "well"}


def examine(data_dir: DataDir) -> DoctorReport:
    """Look at everything. What can't even be looked at is a finding, too."""
    findings: list[Finding] = []
    for check in (_programs, _folder, _file_system, _lock, _database, _around, _backups, _work, _space, _trial):
        findings += _guarded(check, data_dir)
    return DoctorReport(tuple(findings))


def _guarded(check: Callable[[DataDir], Iterator[Finding]], data_dir: DataDir) -> Iterator[Finding]:
    subject = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check(data_dir)
    except MigratorError as error:
        yield Finding("problem", subject, str(error))
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        yield Finding("problem", subject, f"It can't be looked at:{where}: {error.strerror or error}.")


def _programs(_: DataDir) -> Iterator[Finding]:
    yield Finding(
        "ok", "versions", f"migrator {__version__}, Python {platform.python_version()} on {platform.platform()}."
    )
    needed = ".".join(map(str, MINIMUM_SQLITE[:2]))
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        yield Finding(
            "problem", "SQLite", f"Python has SQLite {sqlite3.sqlite_version}, {needed} is needed: use a newer Python."
        )
    else:
        yield Finding("ok", "SQLite", f"{sqlite3.sqlite_version}; {needed} is needed.")
    found, missing = _packages()
    if missing:
        yield Finding("problem", "packages", f"These are not installed: {', '.join(missing)}. Install migrator again.")
    if found:
        yield Finding("ok", "packages", ", ".join(found) + ".")


def _packages() -> tuple[list[str], list[str]]:
    """The packages that migrator needs: those that are there, with their versions, and those that are not."""
    found, missing = [], []
    try:
        required = importlib.metadata.requires("migrator") or []
    except importlib.metadata.PackageNotFoundError:
        return [], []  # run from a checkout; what is missing could not have been imported
    for requirement in required:
        name = _PACKAGE.match(requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            found.append(f"{name[0]} {importlib.metadata.version(name[0])}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name[0])
    return found, missing


def _folder(data_dir: DataDir) -> Iterator[Finding]:
    subject, root = "data directory", data_dir.root
    if not os.path.lexists(root):
        yield Finding(
            "note",
            subject,
            f"{root} does not exist: the app has not run for this user, or keeps its data elsewhere (--data-dir).",
        )
        return
    if not root.is_dir():
        yield Finding("problem", subject, f"{root} is no folder. Name the right one with --data-dir.")
        return
    found = root.stat()
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("problem", subject, f"You may not read and write {root}.", f"ls -ld {root}")
    elif os.name != "nt" and found.st_uid != os.getuid():
        yield Finding(
            "problem", subject, f"{root} belongs to user {found.st_uid}, you are {os.getuid()}.", f"ls -ld {root}"
        )
    elif os.name != "nt" and stat.S_IMODE(found.st_mode) & 0o077:
        yield Finding("note", subject, f"Others than you may look into {root}.", f"chmod 700 {root}")
    else:
        yield Finding("ok", subject, f"{root} is yours.")


def _file_system(data_dir: DataDir) -> Iterator[Finding]:
    kind = network_file_system(data_dir.database)
    if kind is None:
        yield Finding("ok", "file system", "No network file system, as far as can be told: SQLite uses its fast log.")
        return
    yield Finding(
        "note",
        "file system",
        f"{data_dir.database} is on a network file system ({kind}): SQLite works there with its old journal, which is "
        "slower, and is safe only while one machine at a time uses it. --database can place it on a local disk.",
    )


def _lock(data_dir: DataDir) -> Iterator[Finding]:
    holder = lock_holder(data_dir)
    if holder is None:
        yield Finding("ok", "lock", "No migrator is at work.")
    else:
        yield Finding("note", "lock", f"A migrator is at work: {holder} holds {data_dir.lock}.", "migrator status")


def _database(data_dir: DataDir) -> Iterator[Finding]:
    subject, path = "database", data_dir.database
    state = state_of(path)
    if not path.exists():
        yield Finding("ok", subject, f"There is none at {path} yet; the JSON files hold the truth.")
        return
    truth = "SQLite holds" if state.authority == "sqlite" else "the JSON files hold"
    known = schema.latest_version()
    yield Finding(
        "ok", subject, f"{path}: schema version {state.schema_version}, migration {state.status}; {truth} the truth."
    )
    if 0 < state.schema_version < known:
        level: Level = "problem" if state.authority == "sqlite" else "note"
        behind = f"Version {state.schema_version}; this migrator works with {known}."
        yield Finding(level, "schema", behind, "migrator schema apply")


def _around(data_dir: DataDir) -> Iterator[Finding]:
    state = _state_or_none(data_dir)
    backend = None if state is None else wrong_flag(data_dir, state)
    if backend is not None:
        yield Finding("problem", "flag", f"{data_dir.flag} does not say {backend!r}, which is the authority.", _REPAIR)
    elif state is not None:
        yield Finding("ok", "flag", "storage.json agrees with the authority, or there is none and none is needed.")
    if lock_holder(data_dir) is None:
        for path in leftovers(data_dir):
            yield Finding("problem", "leftovers", f"{path} was left by a run that died.", _REPAIR)
    for path in strangers(data_dir):
        yield Finding("note", "backups", f"{path} is no backup; nothing uses it.")
    for path in too_open(data_dir):
        yield Finding("problem", "permissions", f"Others than you may use {path}.", _REPAIR)


def _state_or_none(data_dir: DataDir) -> State | None:
    try:
        return state_of(data_dir.database)
    except MigratorError:
        return None  # told with the database


def _backups(data_dir: DataDir) -> Iterator[Finding]:
    listed = list_backups(data_dir)
    for backup in listed:
        if backup.state == "damaged":
            yield Finding(
                "problem", "backups", f"{backup.name}: {backup.error}", f"migrator backups verify {backup.name}"
            )
    if listed:
        size = sum(backup.bytes for backup in listed) / 1e6
        yield Finding("ok", "backups", f"{len(listed)} of them, {size:,.1f} MB.", "migrator backups list")


def _work(data_dir: DataDir) -> Iterator[Finding]:
    if _state_or_none(data_dir) is None:
        return
    status = status_of(data_dir)
    for warning in status.warnings:
        yield Finding("note", "workspace paths", warning)
    yield from _pending(status)
    for workspace in status.workspaces:
        if workspace.error:
            torn = "--salvage" in workspace.error
            command = "migrator migrate --salvage" if torn else "migrator status"
            yield Finding("problem", "failed files", f"{workspace.path}: {workspace.error}", command)
    if status.quarantined:
        yield Finding(
            "problem", "quarantine", f"{status.quarantined} item(s) wait for a decision.", "migrator quarantine list"
        )
    else:
        yield Finding("ok", "quarantine", "Nothing is in it.")


def _pending(status: StatusReport) -> Iterator[Finding]:
    count = len(status.changed_files)
    if count and status.backend == "hybrid":
        yield Finding(
            "note", "pending work", f"{count} file(s) are new or changed: while both stores run, they follow."
        )
    elif status.needs_migration:
        yield Finding("problem", "pending work", f"{count} file(s) are new or changed.", "migrator migrate")
    elif count:
        yield Finding(
            "note", "pending work", "After a rollback the app runs on the JSON files again.", "migrator migrate"
        )
    else:
        yield Finding("ok", "pending work", "Every file is known and unchanged.")


def _space(data_dir: DataDir) -> Iterator[Finding]:
    if _state_or_none(data_dir) is None:
        return
    for space in space_needed(data_dir, survey(data_dir).work.pending):
        needed, free = f"{space.needed / 1e6:,.1f} MB", f"{space.free / 1e6:,.0f} MB"
        if space.free < space.needed:
            yield Finding("problem", "space", f"A migration needs about {needed} in {space.folder}; {free} are free.")
        else:
            yield Finding("ok", "space", f"{free} are free in {space.folder}; a migration now needs about {needed}.")


def _trial(data_dir: DataDir) -> Iterator[Finding]:
    if not data_dir.hybrid_journal.exists():
        return
    from migrator.storage.hybrid import read_trial  # only a trial of both stores pays for its loading

    trial = read_trial(data_dir.hybrid_journal)
    if trial is None:
        return
    told = (
        f"{trial.writes} writes and {trial.comparisons} comparisons: {trial.failures} failures, "
        f"{trial.pending_repairs} pending repairs, {trial.differences} differences."
    )
    level: Level = "problem" if trial.pending_repairs or trial.differences else "ok"
    yield Finding(level, "trial of both stores", told, "migrator backend")


def summary(report: DoctorReport) -> str:
    """The report in one sentence."""
    problems = sum(finding.level == "problem" for finding in report.findings)
    if not problems:
        return "All is well."
    return "One thing needs you." if problems == 1 else f"{problems} things need you."
