"""The only module that creates, fsyncs, renames and removes files.

Everything created here is private (folders 0700, files 0600, whatever the umask), because it is chat history. A file
gets its name only when it is complete and on disk: write a temporary file, fsync it, rename it, fsync the folder.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from migrator.errors import StorageIOError
from migrator.files import owners
from migrator.files.os_errors import code_and_hint, os_errors
from migrator.files.reading import CHUNK, READ, Place, size_of_file

_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows converts line ends
_SYNCS_AT_ONCE = 16
_MANY_FILES = 256
_WRITE_SIZE = 1 << 16  # bytes
# What CIFS, VirtualBox's shared folders and some FUSE file systems answer.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_NO_MODES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
_NOT_SYNCED = "What was just changed there is in place, but may not survive a power cut. Check the disk."
_FICLONE, _cannot_clone = 0x40049409, set[int]()  # the call's number in linux/fs.h; devices
_reported: set[str] = set()
TEMPORARY_SUFFIX = ".migrator-tmp"
TEMPORARY_FILES = f".*{TEMPORARY_SUFFIX}"  # a glob pattern for what a killed ``replace`` may leave behind


def as_text(path: Path) -> str:
    """Convert a path to text for a database; bytes that are not UTF-8 are escaped."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def make_private_folder(path: Path) -> None:
    """Create a folder and its missing parents, each 0700; existing folders are not changed."""
    missing = []
    current = path
    while not exists(current):
        missing.append(current)
        current = current.parent
    for folder in reversed(missing):
        with os_errors("create the folder", folder):
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                continue  # another process was faster
            settle_folder(folder)
        sync_folder(folder.parent)


def settle_folder(path: Place) -> None:
    """Make a new folder private, whatever the umask; it is reported once if the drive keeps no permissions."""
    owners.hand_over_folder(path)
    _set_mode(path, 0o700)
    # WSL's Windows drives and exFAT accept the call and keep nothing; a folder stands for its files.
    if os.name != "nt" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        report_once(f"The file system of {path} keeps no permissions: other users may be able to read what is there.")


def _set_mode(place: Place | int, mode: int) -> None:
    try:
        os.chmod(place, mode)
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise


def report_once(message: str) -> None:
    """Log what a drive does not keep, once in each process."""
    kind = message.rpartition(":")[2]
    if kind not in _reported:
        _reported.add(kind)
        import logging  # a start with nothing to do needs none

        logging.getLogger("migrator").warning(message)


def sync_folder(path: Place) -> None:
    """Sync a folder, so that names created or renamed in it survive a power cut."""
    if os.name == "nt":
        return  # Windows cannot open a folder for fsync; NTFS journals its names
    try:
        _sync(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FOLDER_SYNC:
            report_once(f"The file system of {path} cannot sync folders: after a power cut, new names may be missing.")
            return
        code, hint = ("disk.io_error", _NOT_SYNCED) if error.errno == errno.EIO else code_and_hint(error)
        message = f"Cannot sync the folder {path}: {error.strerror or error}."
        raise StorageIOError(message, code=code, hint=hint) from error


def sync_file(path: Place) -> None:
    """Sync a file, so that its contents survive a power cut."""
    with os_errors("sync", path):
        _sync(path, os.O_RDWR | _BINARY)


def _sync(path: Place, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Place) -> int:
    """Create a file, 0600, and return a descriptor that is open for writing."""
    with os_errors("create", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        try:
            owners.hand_over(descriptor, path)
            _set_mode(descriptor if os.chmod in os.supports_fd else path, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def write_new(path: Place, chunks: Iterable[bytes], *, sync: bool = True) -> int:
    """Write a file that does not exist yet and sync it; the caller must sync its folder.

    :param sync: False leaves syncing to :func:`sync_files`, which is faster for many files
    :returns: the number of bytes written
    """
    size = 0
    with os_errors("write", path):
        descriptor = _create(path)
        try:
            for chunk in _join_small(chunks):
                size += len(chunk)
                written = os.write(descriptor, chunk)
                while written < len(chunk):  # a system call may write less than it was given
                    written += os.write(descriptor, memoryview(chunk)[written:])
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return size


def clone_new(source: Place, path: Place) -> bool:
    """Create a file that shares the blocks of another until one of them changes, as btrfs and XFS can.

    :returns: False if that is not possible; then there is no file
    """
    if sys.platform != "linux":
        return False
    from fcntl import ioctl

    with suppress(OSError):
        original = os.open(source, READ)
        try:
            device = os.fstat(original).st_dev
            if device in _cannot_clone or size_of_file(original) < CHUNK:
                return False
            copy = _create(path)
            try:
                ioctl(copy, _FICLONE, original)
                return True
            except OSError:
                _cannot_clone.add(device)
                os.unlink(path)
            finally:
                os.close(copy)
        finally:
            os.close(original)
    return False


def make_lock_file(path: Path) -> bool:
    """Create an empty file for a lock, if root would otherwise create one that its folder's owner cannot use."""
    if owners.is_root() and not os.path.lexists(path):
        with suppress(StorageIOError):  # locking it reports the same error, or another process was faster
            write_new(path, (), sync=False)
            return True
    return False


def _join_small(chunks: Iterable[bytes]) -> Iterator[bytes | bytearray]:
    """Join small chunks, because each system call is expensive."""
    waiting = bytearray()
    for chunk in chunks:
        if waiting and len(waiting) + len(chunk) > _WRITE_SIZE:
            yield waiting
            waiting = bytearray()
        if len(chunk) > _WRITE_SIZE:
            yield chunk
        else:
            waiting += chunk
    if waiting:
        yield waiting


def replace(path: Path, chunks: Iterable[bytes], *, sync: bool = True) -> None:
    """Replace a file's contents atomically: at any moment it has either the old or the new contents, complete.

    :param sync: False for what has no use after a power cut
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY_SUFFIX}")
    try:
        write_new(temporary, chunks, sync=sync)
        with os_errors("replace", path):
            owners.make_like(temporary, path)
            os.replace(temporary, path)
    finally:
        remove(temporary)
    if sync:
        sync_folder(path.parent)


@contextmanager
def syncing_ahead(path: Path) -> Iterator[None]:
    """Sync a file in the background during the block, so that the final sync has little left to do."""

    def sync() -> None:
        with suppress(StorageIOError):  # the final sync reports the same error
            sync_file(path)

    syncing = threading.Thread(target=sync)
    syncing.start()
    try:
        yield
    finally:
        syncing.join()


def sync_files(folder: Path, names: Sequence[str], many: int = _MANY_FILES) -> None:
    """Sync many files of one folder, so that their contents survive a power cut.

    Several are synced at once, which file systems commit together. For very many files the whole file system is synced:
    that is a hundred times faster than one by one, but also waits for the writes of other programs.

    :param many: the number of files from which on the whole file system is synced
    """
    if len(names) >= many and _sync_file_system(folder):
        return
    if len(names) == 1:
        sync_file(folder / names[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to load; only needed for many files

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, (folder / name for name in names)):
            pass


def _sync_file_system(path: Place) -> bool:
    """Call Linux's ``syncfs``, which waits and reports errors (since 5.8), unlike ``sync``; False if there is none."""
    import ctypes  # slow to load; only needed here

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):
        return False
    with os_errors("sync the file system of", path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(descriptor)
    return True


def exists(path: Place) -> bool:
    """Whether a path exists.

    :raises StorageIOError: that cannot be determined, for example without permission
    """
    with os_errors("examine", path):
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def publish_new(source: Path, target: Path) -> bool:
    """Move a finished file to a name that must be free; nothing is ever replaced.

    :returns: False if the name is taken; then nothing was done
    """
    with os_errors("sync", source), open(source, "rb+") as file:
        os.fsync(file.fileno())
    named = link_new(source, target)
    if named is None:
        with os_errors("rename to", target):
            os.rename(source, target)
    elif not named:
        return False
    sync_folder(target.parent)
    remove(source)
    return True


def link_new(source: Path, target: Path) -> bool | None:
    """Give a file a second name; the caller must sync its folder.

    :returns: False if the name is taken, None if the file system has no hard links; then nothing was done
    """
    try:
        os.link(source, target)  # unlike a rename, a link fails if the name is taken
    except FileExistsError:
        return False
    except OSError:
        return False if target.exists() else None
    return True


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    with os_errors("remove", path):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder of ours with its contents, if it exists."""
    with os_errors("remove", path):
        if path.exists():
            import shutil  # slow to load; usually there is nothing to remove

            shutil.rmtree(path)


def rename_folder(source: Path, target: Path) -> None:
    """Rename a finished folder; the new name survives a power cut once this returns."""
    sync_folder(source)
    with os_errors("rename to", target):
        os.rename(source, target)
    sync_folder(target.parent)


def move_over(source: Path, target: Path) -> None:
    """Rename a finished and synced file, replacing an existing one; links are followed, not replaced."""
    target = Path(os.path.realpath(target))
    with os_errors("replace", target):
        owners.make_like(source, target)
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with open(source, "rb") as file:  # the target is on another file system: copy it there first
                replace(target, iter(lambda: file.read(CHUNK), b""))
            os.unlink(source)
    sync_folder(target.parent)


def move_aside(path: Path, suffixes: Sequence[str]) -> Path:
    """Rename a file or folder to a free name that ends in ``.damaged``, with the files that belong to it.

    :param suffixes: the ends of all names; the file itself, with the empty one, comes last
    :returns: the new name
    """
    aside = path.with_name(f"{path.name}.damaged")
    for number in itertools.count(2):
        if not os.path.lexists(aside):
            break
        aside = path.with_name(f"{path.name}.damaged{number}")
    for suffix in sorted(suffixes, reverse=True):
        source = path.with_name(path.name + suffix)
        with os_errors("rename", source), suppress(FileNotFoundError):
            os.rename(source, aside.with_name(aside.name + suffix))
    sync_folder(path.parent)
    return aside


def is_open_to_others(path: Path) -> bool:
    """Whether users other than the owner can access a file or folder; False for a link and for a missing path."""
    if os.name == "nt":
        return False  # files inherit their permissions from the user's folder
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & 0o077)


def make_private(path: Path) -> bool:
    """Remove the permissions of everyone but the owner from a file or folder of ours.

    :returns: False if there was nothing to remove, or another user owns it; 'migrator doctor' reports the latter
    """
    if not is_open_to_others(path):
        return False
    try:
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & 0o700)
    except OSError:
        return False
    return True
