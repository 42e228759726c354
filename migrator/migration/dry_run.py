"""A dry run: a real run in a scratch data directory, so that nothing of the user's is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.authority import read_flag, write_flag
from migrator.data_dir import DEFAULT_DATABASE, DataDir, ScratchDataDir
from migrator.database.connection import copy_database, opened
from migrator.errors import MigratorError
from migrator.files import durable
from migrator.files.os_errors import os_errors
from migrator.locking import DRY_RUN
from migrator.salvage.access import DAMAGE


@contextmanager
def scratch_data_dir(data_dir: DataDir) -> Iterator[DataDir]:
    """A scratch data directory with copies of the database and storage.json; removed at the end of the block."""
    parent = data_dir.root if os.access(data_dir.root, os.W_OK) else None
    with os_errors("create a scratch folder in", parent or tempfile.gettempdir()):
        folder = Path(tempfile.mkdtemp(prefix=DRY_RUN, dir=parent))
    scratch = ScratchDataDir(root=data_dir.root, database=folder / DEFAULT_DATABASE)
    try:
        with os_errors("restrict access to", folder):
            durable.settle_folder(folder)  # the umask may have removed some of these permissions
        flag = read_flag(data_dir)
        if flag is not None:
            write_flag(scratch, flag)
        if data_dir.database.exists():
            with opened(data_dir.database, read_only=True) as connection:
                copy_database(connection, data_dir.database, scratch.database)
        yield scratch
    except MigratorError as error:
        if error.code in DAMAGE:  # the copy has it from the database
            error.message = error.message.replace(os.fspath(scratch.database), os.fspath(data_dir.database))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
