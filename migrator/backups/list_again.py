"""Makes a backup usable again whose listing, or some of whose files, are missing or damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.backups.catalog import names_in
from migrator.backups.manifest import LARGEST_LISTING, MANIFEST, SUMS, is_inside, read_manifest, write_listing
from migrator.errors import BackupError
from migrator.files import copying, durable
from migrator.files.reading import contents

_DAMAGED = ".damaged"  # appended to the name of a copy that is set aside


def list_again(folder: Path, known: Sequence[dict[str, Any]]) -> bool:
    """Rewrite the manifest of a backup of files, if it is damaged or lists files that are not there as listed.

    A damaged copy stays, under another name, because it may still be of use.

    :param known: the files that the ledger knows, as a manifest lists them; used if there is no manifest
    :returns: whether it was rewritten
    """
    listed, manifest = [*known], dict[str, Any]()
    try:
        if read_manifest(folder).kind != "files":
            return False
        manifest = json.loads(contents(folder / MANIFEST, LARGEST_LISTING))
        listed = manifest["files"]
    except BackupError as error:
        if error.code not in ("backup.manifest_missing", "backup.manifest_damaged"):
            return False
    whole = [
        file
        for file in listed
        if is_inside(str(file["file"])) and copying.has_sha256(folder / file["file"], file["sha256"])
    ]
    if manifest and len(whole) == len(listed) and (folder / SUMS).is_file():
        return False
    unlisted = {Path(name).as_posix() for name in names_in(folder)} - {file["file"] for file in whole}
    unlisted -= {MANIFEST, SUMS, *manifest.get("damaged", ())}
    if not manifest and (unlisted or not whole):
        return False  # it is unknown what these files are
    damaged = {file["file"] for file in listed} & unlisted
    for name in damaged:
        durable.move_over(folder / name, folder / f"{name}{_DAMAGED}")
    made_now = {"format": 1, "created_at": folder.name.partition("-")[0], "data_dir": str(folder.parent.parent)}
    # The first member stays the first.
    manifest = {**manifest, **made_now, "unreadable": {}, **manifest, "files": whole}
    manifest["damaged"] = sorted({*manifest.get("damaged", ()), *(f"{name}{_DAMAGED}" for name in damaged)})
    manifest["written_again_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_listing(folder, manifest, whole)
    return True
