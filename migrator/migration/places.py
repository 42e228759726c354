"""Where the files are that the database names: a name from there is a text that anybody may have put there.

Nothing is written to a place that is none of the app's own, whatever the database says.
"""

from __future__ import annotations

import os
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.errors import StorageIOError
from migrator.workspace import HASH_PATTERN

_OLDER = (".ait42", "sessions.json")


def workspace_file_name(file_hash: str) -> str:
    """``<hash>.json``.

    :raises StorageIOError: that is no hash
    """
    if HASH_PATTERN.fullmatch(file_hash) is None:
        raise StorageIOError(
            f"The database names a workspace {file_hash!r}, which is no hash: no file of the app's has that name.",
            hint="Somebody changed the table 'workspaces' by hand: put the hash right (16 hexadecimal digits).",
        )
    return f"{file_hash}.json"


def place_of_source(data_dir: DataDir, name: str) -> Path:
    """Where the file is that the ledger calls by this name.

    :raises StorageIOError: it is none of the app's
    """
    folder, _, file = name.rpartition("/")
    if name == data_dir.shared_sessions.name or (folder == "sessions" and _is_plain(file)):
        return data_dir.root / name
    place = Path(name) if "\0" not in name else Path()
    if place.is_absolute() and place.parts[-2:] == _OLDER and os.path.normpath(name) == name:
        return place
    raise StorageIOError(
        f"The ledger names a file {name!r}, which is none of the app's; nothing is written there.",
        hint="Somebody changed the table 'migration_ledger' by hand: put the column 'source' right.",
    )


def _is_plain(file: str) -> bool:
    return file.endswith(".json") and not set(file) & {"/", "\\", "\0"}
