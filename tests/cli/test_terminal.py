"""The command line in a terminal: completion, paging, progress bars; plain output in a pipe."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from migrator.cli.layout import width_of
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

WORKSPACE = "/home/dev/engine"


def on_a_terminal(*arguments: str | Path, typed: str = "", **settings: str) -> str:
    """What a terminal of 24 lines and 80 columns gets from one command line."""
    master, slave = pty.openpty()
    settings = {"TERM": "xterm", "LINES": "24", "COLUMNS": "80"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "migrator", *map(str, arguments)],
        stdin=slave, stdout=slave, stderr=slave, env=os.environ | settings,
    )  # fmt: skip
    os.close(slave)
    os.write(master, typed.encode())
    shown = b""
    try:
        while chunk := os.read(master, 65_536):
            shown += chunk
    except OSError:  # how Linux says that no process has the terminal open any more
        pass
    finally:
        os.close(master)
        process.wait(timeout=60)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def many(scene: Scene) -> Scene:
    scene.write(WORKSPACE, [chat(f"s-{number}") for number in range(60)])
    return scene


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that marks what passes through it."""
    script = tmp_path / "pager.sh"
    script.write_text("#!/bin/sh\nsed 's/^/paged: /'\n")
    script.chmod(0o700)
    return str(script)


def test_a_list_longer_than_the_terminal_goes_through_the_pager(many: Scene, pager: str) -> None:
    shown = on_a_terminal("--data-dir", many.root, "sessions", "list", PAGER=pager).splitlines()
    assert len(shown) > 60
    assert all(line.startswith("paged: ") for line in shown)


def test_a_list_that_fits_on_the_terminal_needs_no_pager(many: Scene, pager: str) -> None:
    shown = on_a_terminal("--data-dir", many.root, "sessions", "list", "--limit", "5", PAGER=pager)
    assert "paged: " not in shown
    assert "5 sessions" in shown


@pytest.mark.parametrize("command", [["list"], ["search", "--status", "failed"], ["search", "nothing"]])
def test_an_empty_list_is_no_error(scene: Scene, command: list[str]) -> None:
    shown = on_a_terminal("--data-dir", scene.root, "sessions", *command)
    assert "No sessions" in shown or "Nothing found" in shown
    assert "bug in migrator" not in shown


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_ids_and_tasks_can_be_read_on_a_narrow_terminal(scene: Scene, columns: str) -> None:
    scene.write(WORKSPACE, [chat("competition-123-8f0e5c12", task="Fix the login of the shop")])
    shown = on_a_terminal("--data-dir", scene.root, "sessions", "list", COLUMNS=columns)
    assert "competition-123-8f0" in shown
    assert "Fix the login" in shown
    assert ("CREATED" in shown) == (columns != "60")
    assert ("MSGS" in shown) == (columns == "120")
    assert max(map(width_of, shown.splitlines())) <= int(columns)


def test_a_list_is_grouped_by_workspace(scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("a-1", workspace="/a"), chat("a-2", workspace="/a")])
    scene.write("/b", [chat("b-1", workspace="/b", task="日本語" * 30)])
    migrator("--data-dir", scene.root, "migrate")
    shown = on_a_terminal("--data-dir", scene.root, "sessions", "list", NO_COLOR="1")
    groups = [[line.split()[0] for line in group.splitlines()] for group in shown.split("\n\n")]
    assert groups == [["ID"], ["/a", "a-1", "a-2"], ["/b", "b-1"], ["3"]]
    assert all(width_of(line) <= 80 for line in shown.splitlines())


def test_an_id_is_taken_as_a_narrow_list_shows_it(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("competition-123-8f0e5c12"), chat("competition-124")])
    listed = on_a_terminal("--data-dir", scene.root, "sessions", "list", COLUMNS="60")
    shortened = next(word for word in listed.split() if word.endswith("…"))
    shown = on_a_terminal("--data-dir", scene.root, "sessions", "show", shortened)
    assert shown.startswith("competition-123-8f0e5c12  ")


def screen_of(sent: str, columns: int) -> list[str]:
    """The lines of a terminal after what it was sent, without colours."""
    lines, row, column = [""], 0, 0
    for character in re.sub(r"\x1b\[[0-9;]*m", "", sent):
        if character == "\r":
            column = 0
        elif character == "\n" or column == columns:
            row, column = row + 1, 0 if character != "\n" else column
            lines += [""] * (row + 1 - len(lines))
        if character.isprintable():
            lines[row] = lines[row].ljust(column)[:column] + character + lines[row][column + 1 :]
            column += 1
    return lines


def test_ctrl_c_leaves_each_bar_once(scene: Scene) -> None:
    for number in range(4):
        workspace = f"/home/dev/{number}"
        texts = [chat(f"s-{one}", workspace=workspace, text="x" * 50_000) for one in range(100)]
        scene.write(workspace, texts)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "migrator", "--data-dir", str(scene.root), "migrate"]
    process, master = pty.fork()
    if not process:
        os.execve(sys.executable, command, environment | {"TERM": "xterm"})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    sent, pressed = b"", False
    try:
        while chunk := os.read(master, 65_536):
            sent += chunk
            if not pressed and b"Loading" in sent:
                os.write(master, b"\x03")
                pressed = True
    except OSError:  # how Linux says that no process has the terminal open any more
        pass
    finally:
        os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    shown = screen_of(sent.decode(), 80)
    assert "^C" in sent.decode()
    bars = [line.split()[0] for line in shown if re.match("(Backing up|Loading|Verifying) ", line)]
    assert "Loading" in bars
    assert len(bars) == len(set(bars))


@pytest.mark.parametrize("columns", ["60", "80"])
def test_progress_takes_one_line_for_each_phase(columns: str, scene: Scene) -> None:
    scene.write(WORKSPACE, [chat(f"s-{number}", text="x" * 20_000) for number in range(60)])
    shown = on_a_terminal("--data-dir", scene.root, "migrate", COLUMNS=columns)
    bars = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).partition("Migrated")[0].replace("\r", "\n")
    assert "Verifying" in bars
    assert {line.split()[0] for line in bars.split("\n") if line.strip()} == {
        "Backing", "Loading", "Verifying", "Indexing",
    }  # fmt: skip


def test_in_a_pipe_a_list_is_plain_lines_with_tabs(many: Scene, migrator: Migrator) -> None:
    lines = migrator("--data-dir", many.root, "sessions", "list").out.splitlines()
    assert len(lines) == 61
    assert {line.count("\t") for line in lines} == {7}


def test_with_no_color_a_terminal_gets_no_colours(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    shown = on_a_terminal("--data-dir", scene.root, "migrate", NO_COLOR="1")
    assert "Migrated 1 session" in shown
    assert "\x1b[3" not in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_is_a_script_that_the_shell_takes(shell: str, migrator: Migrator, tmp_path: Path) -> None:
    outcome = migrator("completion", shell)
    assert outcome.code == 0
    assert "_MIGRATOR_COMPLETE" in outcome.out
    program = shutil.which(shell)
    if program:
        script = tmp_path / "completion"
        script.write_text(outcome.out)
        assert subprocess.run([program, "-n", script], check=False, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("migrator sess", {"sessions"}),
        ("migrator sessions s", {"show", "search"}),
        ("migrator migrate --s", {"--strict", "--salvage"}),
        ("migrator backend ", {"json", "sqlite", "hybrid"}),
    ],
)
def test_the_shell_gets_the_possible_completions(typed: str, completed: set[str]) -> None:
    words = typed.split(" ")
    variables = {"_MIGRATOR_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "migrator"], env=os.environ | variables, check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completed


def test_a_shell_that_is_not_known_is_wrong_usage(migrator: Migrator) -> None:
    outcome = migrator("completion", "tcsh")
    assert (outcome.code, outcome.out) == (2, "")
    assert "'tcsh'" in outcome.err
