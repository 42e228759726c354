"""storage.json, the feature flag: which backend the app runs on.

It points at a store and is written after what it points at; where it disagrees with the database's own record, that
was a flip which something interrupted, and the database is right.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from migrator.data_dir import DEFAULT_DATABASE, LARGEST_FLAG, DataDir, place_in, recorded_database
from migrator.database.schema import LEDGER_VERSION
from migrator.database.state import State, state_of
from migrator.errors import StaleStoreError
from migrator.files import durable
from migrator.files.reading import contents

Backend = Literal["json", "sqlite", "hybrid"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def read_flag(path: Path) -> Backend | None:
    """The backend that the file names; None where there is no file, or none that makes sense."""
    named = _content(path).get("backend")
    return named if named in BACKENDS else None


def write_flag(places: DataDir, backend: Backend) -> None:
    """Point the app at a backend, and at a database that is not in the data directory; nothing where it does already.

    Whoever opens the data directory without a word about the database finds it there: see ``resolve_data_dir``.

    :raises StaleStoreError: it points at another database, which holds the truth
    """
    path = places.flag
    require_no_other_truth(places)
    elsewhere = places.database != path.parent / DEFAULT_DATABASE
    database = place_in(path.parent, places.database) if elsewhere else None
    known = _content(path)
    if known.get("backend") == backend and known.get("database") == database:
        return
    content = {"backend": backend, "changed_at": datetime.now(UTC).isoformat(timespec="seconds")}
    if database is not None:
        content["database"] = database
    durable.make_private_folder(path.parent)
    durable.replace(path, [json.dumps(content, indent=2).encode() + b"\n"])


def require_no_other_truth(places: DataDir) -> None:
    """Refuse to work with a database while another one holds the truth of the data directory.

    :raises StaleStoreError: the one that storage.json names, or the one in the usual place, does
    """
    recorded = recorded_database(places.flag.parent)
    if recorded == places.database or os.path.realpath(recorded) == os.path.realpath(places.database):
        return
    if state_of(recorded).authority == "sqlite":
        raise StaleStoreError(
            f"{recorded} holds the truth of {places.root}; with {places.database} in its place, that would be hidden.",
            hint="Leave out --database (and unset $DATABASE_URL), or move that database there first. "
            "Nothing was changed.",
        )


def require_truth(places: DataDir, state: State) -> None:
    """Refuse to work with files that are old, where the database that they were migrated to is gone.

    :raises StaleStoreError: storage.json says that SQLite holds the truth, and it is not there
    """
    lost = lost_truth(places, state)
    if lost is not None:
        raise StaleStoreError(lost, hint=WHERE_TRUTH_IS_LOST)


WHERE_TRUTH_IS_LOST = (
    "Put it back, or restore a copy of it: 'migrator backups list' shows what there is. If it is lost for good, "
    "'migrator backend json' makes the JSON files the truth, as old as they are. Nothing was changed."
)


def lost_truth(places: DataDir, state: State) -> str | None:
    """That the database is gone which storage.json says holds the truth; None where nothing is amiss.

    The flag is written after the database: it never points at one that has not been migrated to.

    :param state: of the database
    """
    backend = read_flag(places.root / places.flag.name)
    if backend not in ("sqlite", "hybrid") or places.output != places.root:  # a rehearsal has a database of its own
        return None
    if state.schema_version >= LEDGER_VERSION:
        return None
    if places.database.exists():
        gone = "what lies there now never was migrated to"
    elif os.path.lexists(places.database):
        gone = "there is only a link to nothing"
    else:
        gone = "it is not there"
    return f"SQLite holds the truth, as {places.flag} says, but {places.database} is gone: {gone}."


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(contents(path, LARGEST_FLAG))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def point_at_sqlite(data_dir: DataDir) -> None:
    """Have the app run on SQLite; a trial of both stores goes on as one."""
    if read_flag(data_dir.flag) != "hybrid":
        write_flag(data_dir, "sqlite")
