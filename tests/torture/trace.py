"""What a run asked the operating system to write, sync, create, rename and remove, in order, as ``strace`` saw it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

_CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,lseek,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync_file_range,syncfs,sync,msync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_UNKNOWN = {
    "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "fallocate", "truncate", "msync",
    "sync_file_range", "syncfs", "sync", "symlink", "symlinkat",
}  # fmt: skip
_LINE = re.compile(r"(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.DOTALL)
_RESULT = re.compile(r"\)\s+=\s+(-?\d+|\?)(?:<((?:\\x..)*)>(\(deleted\))?)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(\d+)<((?:\\x..)*)>(\(deleted\))?")
_FOLDER = re.compile(r"(?:AT_FDCWD|\d+)<((?:\\x..)*)>")


@dataclass(frozen=True)
class Call:
    """One call that changed, or synced, something in the data directory.

    :ivar what: ``create``, ``write``, ``truncate``, ``sync``, ``rename``, ``link``, ``unlink``, ``mkdir`` or ``rmdir``
    :ivar path: of what, absolute; of a new name the new one
    :ivar other: the old name
    :ivar begun: how many calls had ended when this one began: only what they did does a sync speak of
    """

    what: str
    path: str
    other: str = ""
    offset: int = 0
    data: bytes = b""
    begun: int = 0


NO_STRACE = "no strace here, so that no power cut is tried (Debian: apt-get install strace)"


class CannotTrace(Exception):
    """This machine has no strace, or does not let it work."""


def record(root: Path, arguments: Sequence[str], log: Path) -> list[Call]:
    """Run a Python program under strace, and return what it did in the data directory.

    :raises CannotTrace: that can't be done here
    """
    if shutil.which("strace") is None:
        raise CannotTrace(NO_STRACE)
    command = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-e", f"trace={_CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=100, check=False
    )
    if not log.exists() or "ptrace" in done.stderr or "invalid option" in done.stderr:
        raise CannotTrace(done.stderr[-300:])
    assert done.returncode in (0, 3), done
    return list(_read(log, os.path.realpath(root)))


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _read(log: Path, root: str) -> Iterator[Call]:
    begun: dict[tuple[str, str], tuple[str, int]] = {}
    places: dict[str, int] = {}
    count = 0
    with open(log, encoding="ascii") as lines:
        for line in lines:
            match = _LINE.match(line)
            if match is None:
                continue
            process, resumed, name, rest = match.groups()
            start = count
            if resumed:
                name = resumed
                head, start = begun.pop((process, name))
                rest = head + rest
            elif rest.rstrip().endswith("<unfinished ...>"):
                begun[process, name] = rest.rstrip().removesuffix("<unfinished ...>"), count
                continue
            for call in _calls(name, rest, start, places):
                if call.path == root or call.path.startswith(root + os.sep):
                    yield call
                    count += 1


def _calls(name: str, rest: str, begun: int, places: dict[str, int]) -> Iterator[Call]:
    """What one call did, if it did anything.

    :param places: where the next ``write`` goes, by path; brought up to date
    """
    result = _RESULT.search(rest)
    if result is None or result[1] == "?" or int(result[1]) < 0:
        return
    descriptor = _DESCRIPTOR.match(rest)
    if descriptor and descriptor[3]:
        return  # no one will ever see it
    if name in _UNKNOWN:
        raise AssertionError(f"the program does something that the simulation does not know: {name}({rest[:80]}")
    texts = [_decoded(text) for text in _TEXT.findall(rest)]
    if name in _OF_DESCRIPTORS:
        assert descriptor is not None
        path = os.fsdecode(_decoded(descriptor[2]))
        last = rest[: result.start()].rpartition(", ")[2]
        yield from _of_descriptor(name, path, texts, int(result[1]), last, begun, places)
        return
    folders = [os.fsdecode(_decoded(text)) for text in _FOLDER.findall(rest)] or [str(CHECKOUT)]
    where = [folders[min(number, len(folders) - 1)] for number in range(len(texts))]
    names = [os.path.normpath(os.path.join(*pair)) for pair in zip(where, map(os.fsdecode, texts), strict=True)]
    if name in ("openat", "creat"):
        places[names[0]] = 0
        if "O_CREAT" in rest or name == "creat":
            yield Call("create", names[0], begun=begun)
        if "O_TRUNC" in rest or name == "creat":
            yield Call("truncate", names[0], begun=begun)
        return
    name = name.replace("rmdir", "unlink")
    what = next(what for what in ("rename", "link", "mkdir", "unlink") if name.startswith(what))
    if what == "rename":
        places[names[1]] = places.pop(names[0], 0)
    yield Call(what, names[-1], names[0] if len(names) > 1 else "", begun=begun)


_OF_DESCRIPTORS = ("write", "pwrite64", "lseek", "ftruncate", "fsync", "fdatasync")


def _of_descriptor(
    name: str, path: str, texts: list[bytes], value: int, last: str, begun: int, places: dict[str, int]
) -> Iterator[Call]:
    """What a call did to an open file.

    :param value: what it returned
    :param last: its last argument
    """
    match name:
        case "write":
            yield Call("write", path, offset=places.get(path, 0), data=texts[0][:value], begun=begun)
            places[path] = places.get(path, 0) + value
        case "pwrite64":
            yield Call("write", path, offset=int(last), data=texts[0][:value], begun=begun)
        case "lseek":
            places[path] = value
        case "ftruncate":
            yield Call("truncate", path, offset=int(last), begun=begun)
        case _:
            yield Call("sync", path, begun=begun)
