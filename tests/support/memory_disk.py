"""Let tests write into memory: none needs its files after a crash of the machine, so none has to wait for a disk."""

import os
import sys
import tempfile

MEMORY_DISK = "/dev/shm"
ENOUGH = 2 << 30  # bytes


def write_into_memory() -> None:
    """Make a file system in memory the place for temporary files, unless ``TMPDIR`` names another one."""
    if "TMPDIR" not in os.environ and _is_usable(MEMORY_DISK):
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY_DISK


def _is_usable(folder: str) -> bool:
    """Whether there is space for the tests, and programs that they write there may be started."""
    if sys.platform != "linux" or not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ENOUGH and not found.f_flag & os.ST_NOEXEC
