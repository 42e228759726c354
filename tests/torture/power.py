"""What a disk may hold after a power cut: everything that was synced, and of the rest whatever it likes.

A file's contents are those at its last sync, with any of the later writes, whole or in part, in any order. A name in a
folder is as at the folder's last sync, or as any later moment left it; each folder by itself. What a name leads to, and
whether it exists, are thus as loose as POSIX has them, but for one thing that all journals keep: a rename is one step.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.scenarios import Play
from tests.torture.trace import Call, record

PASSING = "-shm"  # shared memory, which SQLite makes anew from the log

Content = dict[str, bytes | None]  # by relative path; None for a folder
Keep = Callable[[bytes | None], bytes | bool]  # of a write, or (None) of a change of length: whether, or what of it


@dataclass
class _File:
    synced: bytes = b""
    later: list[tuple[int, int, bytes | None]] = field(default_factory=list)  # when, where, and data or a new length

    def content(self, keep: Keep, until: int | None = None) -> bytes:
        now = bytearray(self.synced)
        for when, offset, data in self.later:
            kept = keep(data) if until is None or when < until else False
            if kept is False:
                continue
            now.extend(bytes(max(0, offset - len(now))))
            if data is None:
                del now[offset:]
            else:
                piece = kept if isinstance(kept, bytes) else data
                now[offset : offset + len(piece)] = piece
        return bytes(now)

    def sync(self, until: int) -> None:
        """What was written before a sync began is on the disk when it ends."""
        self.synced = self.content(lambda _: True, until)
        self.later = [one for one in self.later if one[0] >= until]


@dataclass
class _Folder:
    names: dict[str, _File | _Folder] = field(default_factory=dict)  # as synced
    later: list[list[tuple[_Folder, str, _File | _Folder | None]]] = field(default_factory=list)


class Disk:
    """A data directory on a disk that may lose its power.

    :param root: as it is before anything happens, all of it on the disk for good
    """

    def __init__(self, root: Path) -> None:
        self._root_path = os.path.realpath(root)
        self._count = 0
        self._root = self._read(Path(self._root_path))
        self._now: dict[str, _File | _Folder] = {}
        self._note(self._root_path, self._root)

    def _read(self, folder: Path) -> _Folder:
        found = _Folder()
        for path in folder.iterdir():
            found.names[path.name] = self._read(path) if path.is_dir() else _File(path.read_bytes())
        return found

    def _note(self, path: str, what: _File | _Folder) -> None:
        self._now[path] = what
        if isinstance(what, _Folder):
            for name, member in what.names.items():
                self._note(f"{path}/{name}", member)

    def apply(self, call: Call) -> None:
        """Let a call happen, as far as the operating system's memory is concerned; of a sync, also on the disk."""
        match call.what:
            case "create":
                if call.path not in self._now:
                    self._name(call.path, _File())
            case "mkdir":
                self._name(call.path, _Folder())
            case "write" | "truncate":
                file = self._now[call.path]
                assert isinstance(file, _File)
                file.later.append((self._count, call.offset, call.data if call.what == "write" else None))
            case "sync":
                self._sync(self._now[call.path], call.begun)
            case "link":
                self._name(call.path, self._now[call.other])
            case "rename":
                self._move(call.other, call.path)
            case "unlink":
                self._unname(call.path)
        self._count += 1

    def _folder_of(self, path: str) -> tuple[_Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self._now[parent]
        assert isinstance(folder, _Folder)
        return folder, name

    def _name(self, path: str, what: _File | _Folder) -> None:
        folder, name = self._folder_of(path)
        folder.later.append([(folder, name, what)])
        self._now[path] = what

    def _unname(self, path: str) -> None:
        folder, name = self._folder_of(path)
        folder.later.append([(folder, name, None)])
        del self._now[path]

    def _move(self, old: str, new: str) -> None:
        source, old_name = self._folder_of(old)
        target, new_name = self._folder_of(new)
        what = self._now.pop(old)
        target.later.append([(source, old_name, None), (target, new_name, what)])
        for path in [path for path in self._now if path.startswith(old + "/")]:
            self._now[new + path[len(old) :]] = self._now.pop(path)
        self._now[new] = what

    def _sync(self, what: _File | _Folder, begun: int) -> None:
        if isinstance(what, _File):
            what.sync(begun)
            return
        for step in what.later:
            for folder, name, member in step:
                _set(folder.names, name, member)
        what.later.clear()

    def after_the_cut(self, names: Callable[[int], int], keep: Keep) -> Content:
        """What is there when the power is back.

        :param names: of so many changes of a folder since its last sync, how many the disk has
        :param keep: of a write since the last sync, whether, or what of it, the disk has
        """
        folders = {id(what): what for what in self._now.values() if isinstance(what, _Folder)}
        entries = {key: dict(folder.names) for key, folder in folders.items()}
        for folder in folders.values():
            for step in folder.later[: names(len(folder.later))]:
                for changed, name, member in step:
                    _set(entries.setdefault(id(changed), dict(changed.names)), name, member)
        found: Content = {}
        contents: dict[int, bytes] = {}

        def walk(folder: _Folder, prefix: str) -> None:
            for name, member in sorted(entries.get(id(folder), folder.names).items()):
                if name.endswith(PASSING):
                    continue
                if isinstance(member, _Folder):
                    found[prefix + name] = None
                    walk(member, f"{prefix}{name}/")
                else:
                    if id(member) not in contents:  # two names of one file
                        contents[id(member)] = member.content(keep)
                    found[prefix + name] = contents[id(member)]

        walk(self._root, "")
        return found


def _set(names: dict[str, _File | _Folder], name: str, member: _File | _Folder | None) -> None:
    if member is None:
        names.pop(name, None)
    else:
        names[name] = member


def states(
    root: Path, calls: Sequence[Call], dice: random.Random, *, by_dice: int = 1, at: Container[int] | None = None
) -> Iterator[tuple[str, Content]]:
    """Every different state that a power cut between two calls may leave: the four extremes, and some by the dice.

    :param at: after which calls, by number; after each, if nothing is said
    :returns: each with the call before it, for people
    """
    disk = Disk(root)
    seen: set[bytes] = set()

    def part(data: bytes | None) -> bytes | bool:
        fate = dice.random()
        if fate < 0.45 or data is None:
            return fate < 0.45
        return data[: dice.randrange(len(data) + 1)] if fate < 0.6 else False

    some: list[tuple[Callable[[int], int], Keep]] = [
        (lambda _: 0, lambda _: False),
        (lambda count: count, lambda _: False),
        (lambda _: 0, lambda _: True),
        (lambda count: count, lambda _: True),
    ]
    some += [(lambda count: dice.randint(0, count), part)] * by_dice
    for number, call in enumerate(calls):
        disk.apply(call)
        if at is not None and number not in at:
            continue
        for names, keep in some:
            content = disk.after_the_cut(names, keep)
            digest = _digest(content)
            if digest not in seen:
                seen.add(digest)
                yield f"{call.what} {os.path.relpath(call.path, root)}", content


def _digest(content: Content) -> bytes:
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(f"{name} {None if data is None else len(data)} ".encode())
        digest.update(data or b"")
    return digest.digest()


def put(content: Content, root: Path) -> None:
    """Make the data directory what the disk holds."""
    for name, data in sorted(content.items()):
        path = root / name
        if data is None:
            path.mkdir(mode=0o700, exist_ok=True)
        else:
            path.write_bytes(data)
            path.chmod(0o600)


def recorded(play: Play) -> list[Call]:
    """What the scenario's command does to the disk, by a process of its own.

    :raises CannotTrace: this system does not show it
    """
    play.reset()
    command = play.stage.command(play.scenario.command)
    program = ["-m", "tests.torture.programs", *command[1:]] if command[0] == "call" else ["-m", "migrator", *command]
    calls = record(play.scene.root, program, play.stage.launcher.scratch / "trace")
    play.reset()
    return calls


def cut(play: Play, before: str, content: Content) -> None:
    """Let the power be back, and find on the disk what it holds; then everything must hold that is promised.

    :raises AssertionError: it does not
    """
    try:
        shutil.rmtree(play.scene.root)
        play.scene.root.mkdir()
        put(content, play.scene.root)
        play.require_whole()
        play.require_finished()
    except Exception as error:
        raise AssertionError(f"The power went after {before}: {error}") from error
