"""Checks what a data directory needs from the machine: programs, permissions, file system, locks, disk space."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from migrator._version import DISTRIBUTION, __version__
from migrator.authority import state_of
from migrator.backups.disk_space import space_needed
from migrator.backups.prune import what_to_prune
from migrator.data_dir import DATABASE_SUFFIXES, FLAG, WRONG_PLACES, DataDir, wrong_place
from migrator.database.connection import MINIMUM_SQLITE, network_file_system
from migrator.errors import MigratorError
from migrator.files.owners import is_out_of_reach, user_name, who_owns
from migrator.inventory.plan import make_plan
from migrator.locking import lock_holder
from migrator.staging.connections.choice import NOT_INSTALLED, apsw_problem, in_words
from migrator.text import size
from migrator.verification.findings import (
    Finding,
    command,
    fix_permissions_command,
    move_aside_command,
    note,
    ok,
    problem,
)

_FULL = 1 << 20  # bytes: a disk with less free space is full
_PACKAGE = re.compile(r"[A-Za-z0-9._-]+")


def programs(_: DataDir) -> Iterator[Finding]:
    """Check Python, SQLite and the packages."""
    versions = f"migrator {__version__}, Python {platform.python_version()} on {platform.platform()}."
    yield ok("versions", versions, code="program.versions")
    needed = ".".join(map(str, MINIMUM_SQLITE[:2]))
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        message = f"This Python has SQLite {sqlite3.sqlite_version}; version {needed} or newer is required."
        hint = "Install migrator with a newer Python; this command prints the SQLite version of one."
        show = command("python3", "-c", "import sqlite3; print(sqlite3.sqlite_version)")
        yield problem("SQLite", message, show, code="program.sqlite_too_old", hint=hint)
    else:
        yield ok("SQLite", f"{sqlite3.sqlite_version} ({needed} or newer is required).", code="program.sqlite_found")
    found, missing = [], []
    # A checkout that is not installed has no metadata; missing packages would have shown on import.
    with suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
            name = _PACKAGE.match(requirement)
            if name is None or "extra ==" in requirement:
                continue
            try:
                found.append(f"{name[0]} {importlib.metadata.version(name[0])}")
            except importlib.metadata.PackageNotFoundError:
                missing.append(requirement.partition(";")[0].strip())
    if missing:
        install = command(sys.executable, "-m", "pip", "install", *missing)
        message = f"These packages are not installed: {', '.join(missing)}."
        yield problem("packages", message, install, code="program.part_missing")
    if found:
        yield ok("packages", ", ".join(found) + ".", code="program.packages_found")
    apsw = apsw_problem()
    usable = apsw is None or apsw == NOT_INSTALLED
    said = f"'migrate' loads with {in_words()}."
    yield (ok if usable else note)("loader", said, code="program.loader")


def data_directory(data_dir: DataDir) -> Iterator[Finding]:
    """Check that the data directory exists and is the app's, and who can access it."""
    subject, root = "data directory", data_dir.root
    for setting in data_dir.notes:
        level = problem if setting.code == "database.other_data_dir" else note
        yield level("settings", setting.message, code=setting.code, hint=setting.hint)
    closed = closed_folder(root)
    if closed is not None:
        message = f"You do not have permission to use what is in {closed}.{who_owns(closed)}"
        yield problem(subject, message, fix_permissions_command(closed), code="file.permission_denied")
        return
    wrong = wrong_place(data_dir)
    if wrong is not None:
        level = problem if wrong.code in WRONG_PLACES else note
        yield level(subject, wrong.message, code=wrong.code, hint=wrong.hint)
        return
    if not os.path.lexists(root):
        yield ok(subject, f"{root} does not exist; the database is elsewhere.", code="file.missing")
        return
    if not root.is_dir():
        hint = "Name the right one with --data-dir."
        show = command("ls", "-ld", root)
        yield problem(subject, f"{root} is not a directory.", show, code="file.not_a_directory", hint=hint)
        return
    found = root.stat()
    if _is_read_only(root):
        message = f"{root} is on a read-only file system: you can look at everything, but change nothing."
        yield note(subject, message, code="disk.read_only")
    elif not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        message = f"You do not have permission to read and write {root}.{who_owns(root)}"
        yield problem(subject, message, fix_permissions_command(root), code="file.permission_denied")
    elif os.name != "nt" and found.st_uid != os.getuid():
        if os.getuid() != 0:
            yield _of_another_user(subject, root, found.st_uid, os.getuid())
            return
        message = f"{root} belongs to the user {user_name(found.st_uid)}, who also gets what you create there as root."
        yield note(subject, message, code="file.other_owner")
    elif os.name != "nt" and stat.S_IMODE(found.st_mode) & 0o077:
        message = f"Other users can read {root}."
        yield note(subject, message, command("chmod", "700", root), code="file.open_to_others")
    else:
        yield ok(subject, f"{root} is yours.", code="file.accessible")


def closed_folder(root: Path) -> Path | None:
    """Return the folder that keeps this user out: ``root`` or the first one above it; None if nothing does."""
    closed = [*takewhile(lambda folder: is_out_of_reach(folder / FLAG), (root, *root.parents))]
    return closed[-1] if closed else None


def _is_read_only(path: Path) -> bool:
    with suppress(OSError, AttributeError):  # Windows has no statvfs
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return False


def _of_another_user(subject: str, path: Path, owner: int, user: int) -> Finding:
    message = f"{path} belongs to the user {user_name(owner)}, not to {user_name(user)}."
    return problem(subject, message, command("sudo", "chown", "-R", str(user), path), code="file.other_owner")


def _users(root: Path) -> tuple[int, ...]:
    """Return the users who may own what is in the data directory; as root, that is its owner."""
    if os.name != "nt":
        with suppress(OSError):
            owner, you = root.stat().st_uid, os.getuid()
            return (owner, you) if you != 0 else (owner,)
    return (0,)


def file_access(data_dir: DataDir) -> Iterator[Finding]:
    """Check the type, owner and permissions of the files and folders that migrator uses."""
    users = _users(data_dir.root)
    for path, needed in _used(data_dir):
        try:
            found = path.stat()
        except OSError:
            if path.is_symlink() and path != data_dir.database:  # data.database reports that one
                message = f"{path} is a link to a missing file; perhaps a disk is not mounted."
                yield problem("file type", message, command("ls", "-l", path), code="file.broken_link")
            continue  # it does not exist, or its folder has been reported
        if stat.S_ISDIR(found.st_mode) != bool(needed & os.X_OK):
            found_is, kind = ("not a directory", "directory") if needed & os.X_OK else ("a directory", "file")
            message = f"{path} is {found_is}, but migrator needs a {kind} of that name."
            yield problem("file type", message, move_aside_command(path), code="file.in_the_way")
        elif os.name != "nt" and found.st_uid not in users:
            yield _of_another_user("owner", path, found.st_uid, users[-1])
        elif not os.access(path, needed & ~os.W_OK if _is_read_only(path) else needed):
            verb = "read and write" if needed & os.W_OK else "read"
            message = f"You do not have permission to {verb} {path}.{who_owns(path)}"
            yield problem("permissions", message, fix_permissions_command(path), code="file.permission_denied")


def _used(data_dir: DataDir) -> Iterator[tuple[Path, int]]:
    """Yield each path that migrator uses, with the access that it needs."""
    reading, writing, within = os.R_OK, os.R_OK | os.W_OK, os.R_OK | os.W_OK | os.X_OK
    yield data_dir.sessions, within
    yield data_dir.backups, within
    yield data_dir.locks, within
    yield data_dir.lock, writing
    yield data_dir.flag, writing
    yield data_dir.hybrid_journal, writing
    yield data_dir.shared_sessions, writing
    yield data_dir.workspace_mapping, reading
    if data_dir.database.parent != data_dir.root:
        yield data_dir.database.parent, within
    for suffix in DATABASE_SUFFIXES:
        yield data_dir.database.with_name(data_dir.database.name + suffix), writing
    if data_dir.sessions.is_dir() and os.access(data_dir.sessions, os.R_OK | os.X_OK):
        yield from ((file, reading) for file in sorted(data_dir.sessions.glob("*.json")))


def file_system(data_dir: DataDir) -> Iterator[Finding]:
    """Check whether the database is on a network file system."""
    kind = network_file_system(data_dir.database)
    if kind is None:
        message = "The database appears to be on a local disk, where SQLite can use WAL mode."
        yield ok("file system", message, code="disk.local")
        return
    message = (
        f"{data_dir.database} is on a network file system ({kind}): SQLite uses its slower rollback journal there, and "
        "only one machine at a time may use the database."
    )
    yield note("file system", message, code="disk.network", hint="--database can place it on a local disk.")


def lock(data_dir: DataDir) -> Iterator[Finding]:
    """Check the lock that lets only one migrator run at a time."""
    path = data_dir.lock
    if path.exists() and not path.is_file():
        message = f"{path} is not a file, so migrator cannot lock it."
        yield problem("lock", message, move_aside_command(path), code="file.in_the_way")
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK) and not _is_read_only(path):
        message = f"You do not have permission to open {path}, which migrator must lock."
        yield problem("lock", message, fix_permissions_command(path), code="file.permission_denied")
    elif (holder := lock_holder(data_dir)) is None:
        yield ok("lock", "No other migrator is running.", code="lock.free")
    else:
        message = f"Another migrator is running: {holder} holds {path}."
        yield note("lock", message, "migrator status", code="migration.locked")


def disk_space(data_dir: DataDir) -> Iterator[Finding]:
    """Check whether the disks have room for what is left to migrate, and for anything at all."""
    try:
        state_of(data_dir.database)
        pending = make_plan(data_dir).work.pending
    except MigratorError:
        pending = []  # other checks report that
    for disk in space_needed(data_dir, pending):
        free = size(disk.free)
        if disk.free >= max(disk.needed, _FULL):
            message = f"{free} free in {disk.folder}"
            message += f"; a migration needs about {size(disk.needed)}." if disk.needed else "."
            yield ok("disk space", message, code="disk.sufficient")
            continue
        message = f"The disk of {disk.folder} is full: {free} free. SQLite needs some space for every write."
        if disk.free < disk.needed:
            needed = size(disk.needed)
            message = f"A migration needs about {needed} in {disk.folder}, where only {free} are free."
        more = command("df", "-h", disk.folder)
        with suppress(MigratorError):
            more = "migrator backups prune --keep 1" if what_to_prune(data_dir, 1).removed else more
        yield problem("disk space", message, more, code="disk.full")
