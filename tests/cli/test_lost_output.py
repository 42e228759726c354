"""Standard output or standard error is full, closed or missing: the exit code is that of the work."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest

from migrator import migrate
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

WORKSPACE = "/home/dev/engine"
ONLY_PRINT = (
    "--version", "--help", "migrate --help", "status", "status --json", "report", "sessions list", "sessions show s-1",
    "sessions search hello", "quarantine list", "quarantine show 1", "backups list", "search-index status",
    "schema status", "backend", "completion bash",
)  # fmt: skip
WORK = (
    "migrate", "migrate --json", "migrate --progress jsonl", "migrate --dry-run", "verify", "doctor", "export --to out",
    "quarantine export --to out", "quarantine retry --all", "backups verify", "backups prune --keep 1", "rollback",
    "rollback --json", "backend hybrid", "backend json", "search-index drop", "search-index build", "schema apply",
    "schema check", "report --html out.html",
)  # fmt: skip
PIPE_CLOSES = "| true; exit ${PIPESTATUS[0]}"
# The first command has all of them, each other one its own: a process takes a third of a second.
REDIRECTIONS = (">/dev/full", ">&-", ">&- 2>&-", "2>/dev/full", PIPE_CLOSES)
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was migrated, with an invalid session and a file that changed since."""
    scene = Scene(tmp_path_factory.mktemp("prepared"))
    scene.write(WORKSPACE, [chat("s-1"), {"id": "invalid"}])
    migrate(scene.root)
    scene.write(WORKSPACE, [chat("s-1"), chat("s-2"), {"id": "invalid"}])
    return scene.root


def undisturbed(prepared: Path, place: Path, command: str, migrator: Migrator) -> tuple[int, str]:
    """Run a command in this process; returns its exit code and the authoritative store."""
    with inside(prepared, place):
        return migrator("--data-dir", "data", *command.split()).code, Scene(Path("data")).status()


@contextmanager
def inside(prepared: Path, place: Path) -> Iterator[None]:
    """A folder with a fresh copy, which is the current one."""
    shutil.copytree(prepared, place / "data")
    with chdir(place):
        yield
    shutil.rmtree(place / "data")
    for path in place.glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(prepared: Path, place: Path, command: str, redirection: str) -> tuple[int, str, str]:
    """Run a command in a fresh copy; returns its exit code, its standard error and the authoritative store."""
    program = f'"{sys.executable}" -m migrator --data-dir data {command} {redirection}'
    with inside(prepared, place):
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr, Scene(Path("data")).status()


@needs_full
@pytest.mark.parametrize(("number", "command"), [*enumerate(ONLY_PRINT)])
def test_a_command_that_only_prints_fails_without_its_output(
    prepared: Path, tmp_path: Path, number: int, command: str
) -> None:
    lost = (">/dev/full", ">&-")[number % 2]
    code, said, _ = run(prepared, tmp_path, command, lost)
    assert code == 1, lost
    assert "Cannot write the output" in said
    assert "bug in migrator" not in said
    # That standard error cannot be written, or that a reader closes the pipe, is not a failure.
    harmless = ("2>&-", PIPE_CLOSES)[number // 2 % 2]
    assert run(prepared, tmp_path, command, harmless)[0] == 0, harmless


@needs_full
@pytest.mark.parametrize(("number", "command"), [*enumerate(WORK)])
def test_a_command_that_works_ends_with_the_code_of_its_work(
    prepared: Path, tmp_path: Path, number: int, command: str, migrator: Migrator
) -> None:
    code, state = undisturbed(prepared, tmp_path, command, migrator)
    for redirection in [REDIRECTIONS[number % 5]] if number else REDIRECTIONS:
        ended, said, after = run(prepared, tmp_path, command, redirection)
        assert (ended, after) == (code, state), redirection
        assert "bug in migrator" not in said
        assert "Nothing was" not in said
        assert ("Cannot write the output" in said) == (redirection in (">/dev/full", ">&-"))


def test_a_file_that_is_opened_does_not_become_standard_output(tmp_path: Path) -> None:
    """With descriptor 1 closed, the next file that is opened would get its number, and what is printed after it."""
    program = "import os; from migrator.cli.streams import protect_output as p; p(); os._exit(open('f', 'w').fileno())"
    script = f'"{sys.executable}" -c "{program}" >&- 2>&- <&-'
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False).returncode > 2
