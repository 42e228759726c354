"""The one place that creates, fsyncs, renames and removes files.

Everything made here is private (folders 0700, files 0600, whatever the umask): chat history is nobody else's business.
A name comes to exist only when what it names is whole and on the disk: write beside, fsync, rename, fsync the folder.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from migrator.errors import StorageIOError
from migrator.files.os_errors import os_errors
from migrator.files.reading import CHUNK, Place

_BINARY = getattr(os, "O_BINARY", 0)  # Windows, which would turn line ends
_SYNCS_AT_ONCE = 16
_MANY_FILES = 256
_AT_ONCE = 1 << 16  # bytes
BESIDE = ".migrator-tmp"
LEFTOVERS = f".*{BESIDE}"  # what a killed ``replace`` may leave, for glob


def as_text(path: Path) -> str:
    """The path as text that a database can hold; bytes in it that are no text are spelled out."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def make_private_folder(path: Path) -> None:
    """Make the folder and its missing parents, each 0700; one that exists is left as it is."""
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
                continue  # somebody else was faster
            os.chmod(folder, 0o700)
        sync_folder(folder.parent)


def sync_folder(path: Place) -> None:
    """Make names created or renamed in the folder survive a power cut."""
    if os.name == "nt":
        return  # Windows can't open a folder for fsync; NTFS journals its names
    with os_errors("sync the folder", path):
        _sync(path, os.O_RDONLY)


def sync_file(path: Place) -> None:
    """Make a file's contents survive a power cut."""
    with os_errors("sync", path):
        _sync(path, os.O_RDWR | _BINARY)


def _sync(path: Place, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Place) -> int:
    """The descriptor of a new file, 0600, open for writing."""
    with os_errors("create", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        try:
            os.chmod(path, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def write_new(path: Place, chunks: Iterable[bytes], *, sync: bool = True) -> int:
    """Write a file that does not exist yet and sync it; its folder is the caller's to sync.

    :param sync: False leaves the syncing to :func:`sync_files`, which is faster for many
    :returns: how many bytes were written
    """
    size = 0
    with os_errors("write", path):
        descriptor = _create(path)
        try:
            for chunk in _gathered(chunks):
                size += len(chunk)
                written = os.write(descriptor, chunk)
                while written < len(chunk):  # a system call may take less at a time
                    written += os.write(descriptor, memoryview(chunk)[written:])
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return size


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes | bytearray]:
    """The bytes of the chunks, small ones together: each call of the operating system takes its time."""
    waiting = bytearray()
    for chunk in chunks:
        if waiting and len(waiting) + len(chunk) > _AT_ONCE:
            yield waiting
            waiting = bytearray()
        if len(chunk) > _AT_ONCE:
            yield chunk
        else:
            waiting += chunk
    if waiting:
        yield waiting


def replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Give the file new contents, all at once: at every instant it holds the old or the new, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{BESIDE}")
    try:
        write_new(beside, chunks)
        with os_errors("replace", path):
            os.replace(beside, path)
    finally:
        remove(beside)
    sync_folder(path.parent)


@contextmanager
def syncing_ahead(path: Path) -> Iterator[None]:
    """Sync a file while the block goes on, so that little is left to wait for when it is synced for good."""

    def sync() -> None:
        with suppress(StorageIOError):  # whoever syncs it for good meets the same trouble, and tells
            sync_file(path)

    syncing = threading.Thread(target=sync)
    syncing.start()
    try:
        yield
    finally:
        syncing.join()


def sync_files(folder: Path, names: Sequence[str], many: int = _MANY_FILES) -> None:
    """Make the contents of many files of one folder, or in folders of it, survive a power cut.

    Several at once, which file systems commit together; or, where there are very many, all that the file system has:
    a hundred times faster than one by one, at the price of waiting for what other programs have written, too.

    :param many: files from which on that is done
    """
    if len(names) >= many and _sync_file_system(folder):
        return
    if len(names) == 1:
        sync_file(folder / names[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # only who has many files pays for its loading

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, (folder / name for name in names)):
            pass


def _sync_file_system(path: Place) -> bool:
    """Linux's ``syncfs``, which waits and, unlike ``sync``, tells of errors (since 5.8); False where there is none."""
    import ctypes  # nobody else pays for its loading

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
    """Whether something is there.

    :raises StorageIOError: that can't be told, for lack of permission or the like
    """
    with os_errors("look at", path):
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def publish_new(source: Path, target: Path) -> bool:
    """Move a finished file to a name that nothing has yet; never replaces anything.

    :returns: False, and nothing done, when the name is taken
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
    """Give a file a second name, which is the caller's to sync with its folder.

    :returns: False where something has that name already, None where the file system has no hard links; then nothing
        was done
    """
    try:
        os.link(source, target)  # unlike rename, a link fails when the name is taken
    except FileExistsError:
        return False
    except OSError:
        return False if target.exists() else None
    return True


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with os_errors("remove", path):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder of ours with all that is in it, if it is there."""
    with os_errors("remove", path):
        if path.exists():
            import shutil  # with all its ways to pack files, which a look that finds nothing to do should not load

            shutil.rmtree(path)


def rename_folder(source: Path, target: Path) -> None:
    """Give a finished folder its name, for good once this returns."""
    sync_folder(source)
    with os_errors("rename to", target):
        os.rename(source, target)
    sync_folder(target.parent)


def move_over(source: Path, target: Path) -> None:
    """Give a finished and synced file its name, in place of whatever has it; links are followed, not replaced."""
    target = Path(os.path.realpath(target))
    with os_errors("replace", target):
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with open(source, "rb") as file:  # another file system: copy it there first
                replace(target, iter(lambda: file.read(CHUNK), b""))
            os.unlink(source)
    sync_folder(target.parent)


def is_open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may use a file or a folder; of a link, and of what is not there, nobody says so."""
    if os.name == "nt":
        return False  # its files inherit who may use them from the user's folder
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & 0o077)


def make_private(path: Path) -> bool:
    """Take everybody but the owner out of the mode of a file or a folder of ours.

    :returns: False where there was nothing to take, or somebody else owns it: whoever looks later tells
    """
    if not is_open_to_others(path):
        return False
    try:
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & 0o700)
    except OSError:
        return False
    return True
