"""The machine, as far as a data directory depends on it: programs, permissions, file system, locks, space."""

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
from pathlib import Path

from migrator._version import __version__
from migrator.authority import state_of
from migrator.backups.disk_space import space_needed
from migrator.backups.prune import what_to_prune
from migrator.data_dir import BESIDE_DATABASE, DataDir
from migrator.database.connection import MINIMUM_SQLITE, network_file_system
from migrator.errors import MigratorError
from migrator.inventory.plan import make_plan
from migrator.locking import lock_holder
from migrator.text import size
from migrator.verification.findings import Finding, command, fix_permissions_command, move_aside_command, ok, problem

_PACKAGE = re.compile(r"[A-Za-z0-9._-]+")


def programs(_: DataDir) -> Iterator[Finding]:
    """Python, SQLite and the packages."""
    yield ok("versions", f"migrator {__version__}, Python {platform.python_version()} on {platform.platform()}.")
    needed = ".".join(map(str, MINIMUM_SQLITE[:2]))
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        message = (
            f"Python has SQLite {sqlite3.sqlite_version}, {needed} is needed: install migrator with a newer Python. "
            "This tells what one has."
        )
        yield problem("SQLite", message, command("python3", "-c", "import sqlite3; print(sqlite3.sqlite_version)"))
    else:
        yield ok("SQLite", f"{sqlite3.sqlite_version}; {needed} is needed.")
    found, missing = [], []
    # Run from a checkout it has none; what is missing could not have been imported there.
    with suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("migrator") or []:
            name = _PACKAGE.match(requirement)
            if name is None or "extra ==" in requirement:
                continue
            try:
                found.append(f"{name[0]} {importlib.metadata.version(name[0])}")
            except importlib.metadata.PackageNotFoundError:
                missing.append(requirement.partition(";")[0].strip())
    if missing:
        install = command(sys.executable, "-m", "pip", "install", *missing)
        yield problem("packages", f"These are not installed: {', '.join(missing)}.", install)
    if found:
        yield ok("packages", ", ".join(found) + ".")


def folder(data_dir: DataDir) -> Iterator[Finding]:
    """The data directory, and who may use it and what is in it."""
    subject, root = "data directory", data_dir.root
    if not os.path.lexists(root):
        message = "does not exist: the app has not run for this user, or keeps its data elsewhere (--data-dir)."
        yield Finding("note", subject, f"{root} {message}")
        return
    if not root.is_dir():
        yield problem(subject, f"{root} is no folder. Name the right one with --data-dir.", command("ls", "-ld", root))
        return
    found = root.stat()
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield problem(subject, f"You may not read and write {root}.", fix_permissions_command(root))
    elif os.name != "nt" and found.st_uid != os.getuid():
        yield _of_another_user(subject, root, found.st_uid)
    elif os.name != "nt" and stat.S_IMODE(found.st_mode) & 0o077:
        yield Finding("note", subject, f"Others than you may look into {root}.", command("chmod", "700", root))
    else:
        yield ok(subject, f"{root} is yours.")


def _of_another_user(subject: str, path: Path, owner: int) -> Finding:
    you = os.getuid()
    message = f"{path} belongs to user {owner}, you are {you}."
    if you != 0:
        return problem(subject, message, command("sudo", "chown", "-R", str(you), path))
    message = f"{path} belongs to user {owner}, and you are root: what you make here, that user may not change. "
    return problem(subject, f"{message}Run migrator as that user.", command("ls", "-ld", path))


def places(data_dir: DataDir) -> Iterator[Finding]:
    """What is of the wrong kind in the data directory, or may not be used, or not be changed, by this user."""
    for path, needed in _used(data_dir):
        try:
            found = path.stat()
        except OSError:
            if path.is_symlink() and path != data_dir.database:  # which is told of with what it holds
                message = f"{path} is a link to nothing: perhaps a disk is not mounted."
                yield problem("in the way", message, command("ls", "-l", path))
            continue  # it is not there, or what it lies in is told of already
        if stat.S_ISDIR(found.st_mode) != bool(needed & os.X_OK):
            kind = "folder" if needed & os.X_OK else "file"
            message = f"{path} is no {kind}, and in the way of the one that belongs there."
            yield problem("in the way", message, move_aside_command(path))
        elif os.name != "nt" and found.st_uid not in (os.getuid(), data_dir.root.stat().st_uid):
            yield _of_another_user("owner", path, found.st_uid)
        elif not os.access(path, needed):
            verb = "read and write" if needed & os.W_OK else "read"
            yield problem("permissions", f"You may not {verb} {path}.", fix_permissions_command(path))


def _used(data_dir: DataDir) -> Iterator[tuple[Path, int]]:
    """What migrator uses, with what it must be allowed to do with it."""
    reading, writing, within = os.R_OK, os.R_OK | os.W_OK, os.R_OK | os.W_OK | os.X_OK
    yield data_dir.sessions, within
    yield data_dir.backups, within
    yield data_dir.locks, within
    yield data_dir.flag, writing
    yield data_dir.shared_sessions, writing
    yield data_dir.workspace_mapping, reading
    if data_dir.database.parent != data_dir.root:
        yield data_dir.database.parent, within
    for suffix in BESIDE_DATABASE:
        yield data_dir.database.with_name(data_dir.database.name + suffix), writing
    if data_dir.sessions.is_dir() and os.access(data_dir.sessions, os.R_OK | os.X_OK):
        yield from ((file, reading) for file in sorted(data_dir.sessions.glob("*.json")))


def file_system(data_dir: DataDir) -> Iterator[Finding]:
    """Where the database lies."""
    kind = network_file_system(data_dir.database)
    if kind is None:
        yield ok("file system", "No network file system, as far as can be told: SQLite uses its fast log.")
        return
    message = (
        f"{data_dir.database} is on a network file system ({kind}): SQLite works there with its old journal, which is "
        "slower, and is safe only while one machine at a time uses it. --database can place it on a local disk."
    )
    yield Finding("note", "file system", message)


def lock(data_dir: DataDir) -> Iterator[Finding]:
    """The lock of the migrators."""
    path = data_dir.lock
    if path.exists() and not path.is_file():
        yield problem("lock", f"{path} is no file, so that no migrator can lock it.", move_aside_command(path))
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        message = f"You may not open {path}, without which no migrator works."
        yield problem("lock", message, fix_permissions_command(path))
    elif (holder := lock_holder(data_dir)) is None:
        yield ok("lock", "No migrator is at work.")
    else:
        yield Finding("note", "lock", f"A migrator is at work: {holder} holds {path}.", "migrator status")


def space(data_dir: DataDir) -> Iterator[Finding]:
    """Whether what is left to do fits on the disks."""
    try:
        state_of(data_dir.database)
    except MigratorError:
        return  # told with the database
    for disk in space_needed(data_dir, make_plan(data_dir).work.pending):
        needed, free = size(disk.needed), size(disk.free)
        if disk.free >= disk.needed:
            yield ok("space", f"{free} are free in {disk.folder}; a migration now needs about {needed}.")
            continue
        message = f"A migration needs about {needed} in {disk.folder}; {free} are free."
        more = command("df", "-h", disk.folder)
        with suppress(MigratorError):
            more = "migrator backups prune --keep 1" if what_to_prune(data_dir, 1).removed else more
        yield problem("space", message, more)
