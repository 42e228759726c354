"""Every command and every function, where the machine refuses: an error of ours each time, and never a foreign one."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrator import migrate, open_storage, verify
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat, hash_of

ENGINE = "/home/dev/engine"
COMMANDS = (
    "migrate", "migrate --dry-run", "migrate --progress jsonl", "status", "status --json", "report", "verify",
    "verify --repair", "doctor", "doctor --report out.json", "sessions list", "sessions show a",
    "sessions search hello", "export --to out", "rollback --dry-run", "rollback", "backend", "backend hybrid",
    "backend json", "quarantine list",
    "quarantine show 1", "quarantine retry --all", "quarantine export --to out", "backups list", "backups verify",
    "backups prune --keep 1", "search-index status", "search-index drop", "search-index build", "schema status",
    "schema apply", "schema check", "schema revert",
)  # fmt: skip
# For each folder that it reads, runs every command and function, as another user if it can, and prints how each ended.
# Before, it runs all of them where nothing is refused: another user may be unable to read the modules.
DRIVER = """
import contextlib, importlib, io, json, os, pkgutil, sys
import migrator, migrator.browse
from migrator import MigratorError, migrate, needs_migration, open_storage, resolve_data_dir, rollback, verify
from migrator.cli.app import run

engine, commands = sys.argv[1], json.loads(sys.argv[2])
for found in pkgutil.walk_packages(migrator.__path__, "migrator."):
    if found.name not in ("migrator.__main__", "migrator.frozen"):
        importlib.import_module(found.name)

def use_store(root):
    with open_storage(root, read_only=True) as store:
        store.get_all_sessions(engine)
    with open_storage(root) as store:
        store.get_all_sessions(engine)
        store.append_chat_message(engine, "a", {"id": "m", "role": "user", "content": "x", "timestamp": "2025"})

def end_of(function, *arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = function(*arguments)
        except MigratorError as error:
            code = error.exit_code
        except BaseException as error:
            code = repr(error)
    return code if isinstance(code, (int, str)) else 0, err.getvalue()

def every_end(root, out):
    ended = {}
    for command in commands:
        words = [f"{out}-{len(ended)}.json" if word.startswith("out") else word for word in command.split()]
        ended[command] = end_of(run, ["--data-dir", root, *words])
    for function in (resolve_data_dir, needs_migration, migrate, verify, rollback, use_store):
        ended[function.__name__] = end_of(function, root)
    return ended

every_end("healthy", "healthy-out")
every_end("no-such-folder", "healthy-out")
for folder in sys.stdin:
    child = os.fork()
    if child == 0:
        os.chdir(folder.strip())
        os.environ["HOME"] = folder.strip()
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65_534, 65_534, 65_534)
            os.setresuid(65_534, 65_534, 65_534)
        print(json.dumps(every_end("data", "out")), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""


def not_searchable(root: Path) -> None:
    root.chmod(0o600)


def not_readable(root: Path) -> None:
    root.chmod(0o300)


def not_writable(root: Path) -> None:
    for folder in (root / "sessions", root / "backups", root):
        folder.chmod(0o500)


def nothing_allowed(root: Path) -> None:
    root.chmod(0)


def no_files_allowed(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            path.chmod(0)


def sessions_not_allowed(root: Path) -> None:
    (root / "sessions").chmod(0)


def backups_not_allowed(root: Path) -> None:
    (root / "backups").chmod(0)


def database_not_allowed(root: Path) -> None:
    (root / "sessions.db").chmod(0)


def a_file_in_its_place(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("not a folder")


def gone(root: Path) -> None:
    shutil.rmtree(root)


def a_dangling_link(root: Path) -> None:
    shutil.rmtree(root)
    root.symlink_to(root.parent / "nowhere")


def folders_in_the_place_of_files(root: Path) -> None:
    for name in ("sessions.db", "storage.json", "migrator.lock", f"sessions/{hash_of(ENGINE)}.json"):
        (root / name).unlink(missing_ok=True)
        (root / name).mkdir()


def files_in_the_place_of_folders(root: Path) -> None:
    for name in ("sessions", "backups", "locks"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).write_text("not a folder")


def of_another_user(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, 0, 0)


MODES = (
    not_searchable, not_readable, not_writable, nothing_allowed, no_files_allowed, sessions_not_allowed,
    backups_not_allowed, database_not_allowed, of_another_user,
)  # fmt: skip
STATES = (
    *MODES, a_file_in_its_place, gone, a_dangling_link, folders_in_the_place_of_files, files_in_the_place_of_folders,
)  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can reach."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own are closed to other users
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen[str]]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    scene = Scene(folder / "healthy")
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    migrate(scene.root)
    scene.write(ENGINE, [chat("a"), chat("b"), {"id": "invalid"}])
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, ENGINE, json.dumps(COMMANDS)],
            cwd=folder, env=os.environ | {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        yield process
        process.communicate(timeout=60)
    said = (folder / "errors").read_text()
    shutil.rmtree(folder)
    assert process.returncode == 0, said


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize(
    ("state", "first"),
    [(state, "migrated") for state in STATES] + [(state, "json") for state in (not_searchable, not_writable, gone)],
)
def test_what_the_machine_refuses_is_an_error_of_ours(
    driver: subprocess.Popen[str], folder: Path, state: Callable[[Path], None], first: str
) -> None:
    scene = Scene(folder / "data")
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    if first == "migrated":
        migrate(scene.root)
        scene.write(ENGINE, [chat("a"), chat("b"), {"id": "invalid"}])
    is_root = os.geteuid() == 0
    if not is_root and state is of_another_user:
        pytest.skip("needs root")
    if is_root:
        for path in (folder, scene.root, *scene.root.rglob("*")):
            os.chown(path, 65_534, 65_534)
    (scene.root / "backups").mkdir(exist_ok=True)
    state(scene.root)
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(f"{folder}\n")
    driver.stdin.flush()
    ended = json.loads(driver.stdout.readline())
    foreign = {name: code for name, (code, said) in ended.items() if code not in (0, 1, 2, 3) or "bug in" in said}
    assert not foreign, {name: ended[name] for name in foreign}
    code, said = ended["migrate --progress jsonl"]
    event = json.loads(said.splitlines()[-1])
    assert (event["event"], event["exit_code"]) == ("finished", code)


# What other SQL may have done to a database


LAST_POSITION = "UPDATE sessions SET position = 9223372036854775807"
LAST_POSITION_OF_A_MESSAGE = "UPDATE chat_messages SET position = 9223372036854775807"
# What is read of a run has nothing to do with where rows are: one change of each at once.
DAMAGE = {
    "the last position, and stages that are not JSON": f"{LAST_POSITION}; UPDATE migration_runs SET stages = '[1'",
    "the last position of a message, and stages that are a list": (
        f"{LAST_POSITION_OF_A_MESSAGE}; UPDATE migration_runs SET stages = '[1, 2]'"
    ),
    "the last rowid, and stages that are texts": (
        "UPDATE chat_messages SET rowid = 9223372036854775807; "
        """UPDATE migration_runs SET stages = '{"load": "x", "verify": -1, "publish": 1e999}'"""
    ),
    "a trigger": "CREATE TRIGGER foreign_one BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'no'); END",
    "a trigger that fails": "CREATE TRIGGER foreign_one AFTER INSERT ON sessions BEGIN DELETE FROM no_such_table; END",
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_other_sql_did_ends_no_command_as_a_bug(
    scene: Scene, migrator: Migrator, tmp_path: Path, change: str
) -> None:
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    migrate(scene.root)
    with closing(sqlite3.connect(scene.database)) as other:
        other.executescript(change)
    scene.write(ENGINE, [chat("a"), chat("b"), {"id": "invalid"}])
    for number, command in enumerate(("report", "migrate", *COMMANDS)):
        arguments = [str(tmp_path / f"{word}-{number}") if word.startswith("out") else word for word in command.split()]
        assert migrator("--data-dir", scene.root, *arguments).code in (0, 1, 2, 3), command  # it looks for bugs


def test_sessions_after_the_last_position_keep_their_order(scene: Scene) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    scene.change(LAST_POSITION)
    scene.change(LAST_POSITION_OF_A_MESSAGE)
    with open_storage(scene.root) as store:
        for name in ("b", "c"):
            store.create_session(ENGINE, chat(name))  # type: ignore[arg-type]
            store.append_chat_message(
                ENGINE, "a", {"id": name, "role": "user", "content": name, "timestamp": "2025-01-13T10:00:00Z"}
            )
        assert [session["id"] for session in store.get_all_sessions(ENGINE)] == ["a", "b", "c"]
        assert [message["id"] for message in store.get_session(ENGINE, "a")["chatHistory"]][1:] == ["b", "c"]
    assert verify(scene.root).broken == ()
