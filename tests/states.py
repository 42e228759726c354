"""Runs every command of the README in every state that a data directory can be in, and writes docs/states.md.

``python -m tests.states`` as root, who can mount, fill disks and become another user; ``--to FILE`` writes elsewhere.
Each command has a fresh copy of the state, a pipe and then a terminal of 80 columns.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib
import os
import pkgutil
import pty
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import migrator
from migrator import migrate, rollback
from migrator.admin.switch_backend import switch_backend
from migrator.cli import streams
from migrator.cli.app import run
from migrator.inventory.location import resolve_data_dir
from tests.support.scene import CHECKOUT, Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"
NOBODY = 65534
COMMANDS = """migrate; migrate --dry-run; status; report; browse --port PORT; verify; verify --repair; export --to OUT;
rollback; backend; backend json; backend hybrid; backend sqlite; sessions list; sessions show a; sessions search hello;
search-index status; search-index build; search-index drop; quarantine list; quarantine show 1; quarantine retry 1;
quarantine dismiss 1; quarantine export --to OUT; deletions list; deletions confirm --all; deletions decline --all;
backups list; backups verify; backups restore NAME; backups prune --keep 1; doctor; schema status; schema apply;
schema revert; schema check; completion bash"""
LINES = [" ".join(line.split()) for line in COMMANDS.split(";")]
# What differs from run to run, or from machine to machine.
_VARYING = {
    r"\x1b\[[0-9;?]*[A-Za-z]": "",
    r"\d{8}T\d{6}Z|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00": "TIME",
    r"\b[\d.]+ ([kMGT]B)\b": r"… \1",
    r"\bin [\d.]+ m?s\b": "in … s",
    r"(\.rehearsal-)\w+": r"\1…",
    r"(\.json\.)[\d-]+(\.migrator-tmp)": r"\1…\2",
    r"(Python [\d.]+ on )\S+": r"\1…",
    r"\bprocess \d+": "process …",
}


class State(NamedTuple):
    """One state: how it is made from a migrated data directory, and how commands are run in it."""

    name: str
    make: Callable[[Scene], object]
    user: int = 0
    output: str = "pipe"
    inside: str = ""
    mounted: str = ""


@dataclass
class Result:
    """How a command ended: its exit code, and the first line that it printed."""

    code: int
    line: str


def _json(scene: Scene) -> None:
    for found in scene.root.iterdir():
        if found.name != "sessions":
            shutil.rmtree(found) if found.is_dir() else found.unlink()


def _empty(scene: Scene) -> None:
    shutil.rmtree(scene.root)
    scene.root.mkdir()


def _instead(place: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    make(place)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE songs (title TEXT)")


def _damage(scene: Scene) -> None:
    with open(scene.database, "r+b") as file:
        page = scene.query("SELECT rootpage FROM sqlite_schema WHERE name = 'sessions'")[0][0]
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def _half(scene: Scene) -> None:
    _json(scene)
    (scene.root / "sessions.db.staging").write_bytes(b"half")
    (scene.root / "backups" / ".incomplete-20250101T000000Z-1-a").mkdir(parents=True)


def _own(scene: Scene) -> None:
    for path in [scene.root, *scene.root.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)


def _own_json(scene: Scene) -> None:
    _json(scene)
    _own(scene)


def _nothing(_: Scene) -> None:
    pass


STATES = (
    State("no directory", lambda scene: shutil.rmtree(scene.root)),
    State("the sessions folder itself", _json, inside="sessions"),
    State("an empty directory", _empty),
    State("a file in its place", lambda scene: _instead(scene.root, Path.touch)),
    State("a dangling link in its place", lambda scene: _instead(scene.root, lambda p: p.symlink_to("/nowhere"))),
    State("another user's directory", _nothing, user=NOBODY),
    State("root in another user's directory", _own),
    State("JSON files, as an ordinary user", _own_json, user=NOBODY),
    State("migrated, as an ordinary user", _own, user=NOBODY),
    State("JSON files", _json),
    State("migrated", _nothing),
    State("hybrid mode", lambda scene: switch_backend(resolve_data_dir(scene.root), "hybrid")),
    State("rolled back", lambda scene: rollback(scene.root)),
    State("half finished", _half),
    State("a lost database", lambda scene: scene.database.unlink()),
    State("the database of another program", lambda scene: _instead(scene.database, _foreign)),
    State("a text file as the database", lambda scene: scene.database.write_text("# README\n" * 500)),
    State("a dangling link as the database", lambda s: _instead(s.database, lambda p: p.symlink_to("/nowhere/x"))),
    State("a zeroed page in the database", _damage),
    State("a read-only medium", _nothing, mounted="ro"),
    State("a full disk", _nothing, mounted="full"),
    State("output to a full disk", _nothing, output="full"),
    State("closed output", _nothing, output="closed"),
)


class Machine:
    """Makes states, and runs commands in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scene = folder, Scene(folder / "DIR")
        self.template, self.out = folder / "template", folder / "OUT"
        scene = Scene(self.template)
        self.is_mounted = False
        self.template.mkdir()
        scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
        scene.write(LOOM, [chat("b", workspace=LOOM)])
        migrate(self.template)
        self.taken = socket.create_server(("127.0.0.1", 0))  # so that browse ends
        self.port = self.taken.getsockname()[1]
        self.backup = next(self.template.glob("backups/2*")).name

    def prepare(self, state: State) -> None:
        """Make the state anew."""
        self.unmount()
        for path in (self.scene.root, self.out):
            if path.is_symlink() or path.is_file():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        if state.mounted == "full":
            self.scene.root.mkdir()
            self.mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", self.scene.root)
        shutil.copytree(self.template, self.scene.root, dirs_exist_ok=True)
        os.chmod(self.scene.root, 0o700)
        self.out.mkdir(mode=0o777)
        os.chmod(self.out, 0o777)
        state.make(self.scene)
        if state.mounted == "ro":
            self.mount("--bind", self.scene.root, self.scene.root)
            _call("mount", "-o", "remount,ro,bind", self.scene.root)
        if state.mounted == "full":
            with suppress(OSError), open(self.scene.root / "full", "wb", buffering=0) as file:
                while file.write(bytes(1 << 12)):
                    pass

    def mount(self, *words: object) -> None:
        _call("mount", *words)
        self.is_mounted = True

    def unmount(self) -> None:
        if self.is_mounted:
            _call("umount", self.scene.root)
            self.is_mounted = False

    def run(self, state: State, line: str, *, terminal: bool) -> Result:
        """Run a command in a process of its own."""
        self.prepare(state)
        named = {"OUT": str(self.out), "NAME": self.backup, "PORT": str(self.port)}
        words = [named.get(word, word) for word in line.split()]
        if words[0] in ("migrate", "rollback", "backend", "verify") or words[-1] == "build":
            words += ["--progress", "none"]
        words = ["--data-dir", str(self.scene.root / state.inside), *words]
        text, code = self.on_terminal(state, words) if terminal else self.in_pipe(state, words)
        self.unmount()
        lines = [line for line in text.replace("\r", "").splitlines() if line.strip()]
        bad = [line for line in lines if "Traceback" in line or "bug in migrator" in line]
        return Result(code, self.without_variations((bad or lines or [""])[0]))

    def in_pipe(self, state: State, words: list[str]) -> tuple[str, int]:
        with tempfile.TemporaryFile() as printed:
            child = os.fork()
            if child == 0:
                os.dup2(printed.fileno(), 2)
                os.dup2(os.open("/dev/full", os.O_WRONLY) if state.output == "full" else printed.fileno(), 1)
                if state.output == "closed":
                    os.close(1)
                    # As Python itself does.
                    sys.stdout = None
                _become(state.user, words)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            printed.seek(0)
            return printed.read().decode(errors="replace"), code

    def on_terminal(self, state: State, words: list[str]) -> tuple[str, int]:
        child, terminal = pty.fork()
        if child == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.environ.update(TERM="xterm", PAGER="cat")
            _become(state.user, words)
        os.write(terminal, b"n\n")  # the answer to a question
        text = b""
        with suppress(OSError):
            while chunk := os.read(terminal, 1 << 16):
                text += chunk
        os.close(terminal)
        return text.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def without_variations(self, line: str) -> str:
        """A line, without what differs from run to run."""
        line = line.replace(f"{self.folder}/", "").replace(self.backup, "NAME").replace(str(self.port), "PORT")
        for varying, shown in _VARYING.items():
            line = re.sub(varying, shown, line)
        return line.replace("|", "\\|").strip()


def _become(user: int, words: list[str]) -> None:
    """Run the command line in this process, a child, and end it."""
    code = 70
    try:
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        if sys.stdout is not None:
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        os.umask(0o022)
        streams.protect_output()
        code = run(words)
        with suppress(OSError):
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
    except BaseException:  # noqa: BLE001 - the page shows it
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _call(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=CHECKOUT / "docs" / "states.md")
    parser.add_argument("--only", type=re.compile, default="", help="a pattern of the states to try")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root can mount, and become another user")
    for name in ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND"):
        os.environ.pop(name, None)
    page = [
        "# Commands in every state\n",
        "What each command of the README says where something is not as it should be: its exit code, and the first",
        "line that it prints into a pipe. On a terminal of 80 columns, where a question is answered with no, the exit",
        "code is the same, unless two are given.",
        "`python -m tests.states` writes this page; [reliability](reliability.md) says what is promised.\n",
    ]
    for module in pkgutil.walk_packages(migrator.__path__, "migrator."):  # another user may not be able to read them
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("email.parser", "email.message", "email.policy"):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.environ["HOME"] = str(Path(folder) / "home")
        machine = Machine(Path(folder))
        for state in STATES:
            if re.search(options.only, state.name):
                page += section(machine, state)
    options.to.write_text("\n".join(page) + "\n", encoding="utf-8")


def section(machine: Machine, state: State) -> list[str]:
    """The part of the page about one state."""
    rows = [f"## {state.name[0].upper()}{state.name[1:]}\n", "| command | exit code | first line |", "|---|---|---|"]
    for line in LINES:
        found = machine.run(state, line, terminal=False)
        code = str(found.code)
        if state.output == "pipe":
            other = machine.run(state, line, terminal=True)
            code = code if other.code == found.code else f"{code}, on a terminal {other.code}"
        rows.append(f"| `{line}` | {code} | {found.line} |")
    return [*rows, ""]


if __name__ == "__main__":
    main()
