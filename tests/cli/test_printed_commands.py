"""Runs every command that one of our messages prints, exactly as it is printed, in a situation in which it is printed.

The data directory has a name that a shell takes for two words, and the database lies elsewhere: a command that does not
say so acts on another place, where there is nothing.
"""

import ast
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import migrator as package
from migrator import Backend
from migrator.errors import MigratorError
from migrator.locking import exclusive
from migrator.storage.factory import open_storage
from tests.cli.test_help_examples import EXAMPLES
from tests.support.branch_database import make_branch_database
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Scene, app_json, chat

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"
# In a command that is put together when it is printed.
_PART = "…"
_PRINTED = re.compile(
    r"'(migrator [a-z-][^'\n]*)'|run: (migrator [a-z-][^\n]*)|(?:To go back: |, then )(migrator [a-z-][^,\n]*)"
)


@dataclass(frozen=True)
class Place:
    """A data directory with its database elsewhere, and the program to call on them."""

    scene: Scene
    database: Path
    migrator: Migrator
    fill_disk: Callable[[], None]

    @property
    def options(self) -> list[str]:
        return ["--data-dir", str(self.scene.root), "--database", str(self.database)]

    def run(self, *words: str | Path) -> Outcome:
        return self.migrator(*self.options, *words)

    def migrate(self, *more: str) -> Outcome:
        return self.run("migrate", "--progress", "none", *more)

    @property
    def stored(self) -> Scene:
        """The database as if it were in the data directory."""
        return Scene(self.database.parent)


@pytest.fixture
def place(tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch, fill_disk: Callable[[], None]) -> Place:
    root, database = tmp_path / "my history", tmp_path / "of databases" / "sessions.db"
    root.mkdir(mode=0o700)
    database.parent.mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    return Place(Scene(root), database, migrator, fill_disk)


Situation = Callable[[Place], Outcome]
SITUATIONS: list[tuple[str, tuple[int, ...], Situation]] = []


def prints(line: str, *codes: int) -> Callable[[Situation], Situation]:
    """A situation in which a message names a command.

    :param line: the command, with _PART for what is put in
    :param codes: with which it may end; 0 if none are given
    """

    def note(situation: Situation) -> Situation:
        SITUATIONS.append((f"migrator {line}", codes or (0,), situation))
        return situation

    return note


def broken(session_id: str) -> dict[str, Any]:
    return {name: value for name, value in chat(session_id).items() if name != "task"}


@prints("migrate")
def there_is_no_database(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    return place.run("schema", "status")


@prints("migrate")
def files_are_new(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    return place.run("status")


@prints("migrate")
def nothing_was_migrated_yet(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    return place.run("verify")


@prints("migrate")
def the_doctor_finds_new_files(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    return place.run("doctor")


@prints("migrate")
def a_file_changed_since(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    place.migrate()
    place.scene.write(ENGINE, [chat("b")])
    return place.run("verify")


@prints("migrate --salvage", 3)
def a_file_is_torn(place: Place) -> Outcome:
    place.scene.write_bytes(ENGINE, app_json([chat("a"), chat("b")])[:-40])
    return place.migrate()


@prints("migrate --adopt FILE")
def a_file_may_be_a_copy(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a")])
    (place.scene.root / "sessions" / "copy.json").write_bytes(app_json([chat("b")]))
    (place.scene.root / "sessions" / "copy.json").replace("FILE")
    (place.scene.root / "sessions" / "copy.json").symlink_to(Path("FILE").resolve())
    return place.run("status")


@prints("migrate --from-database FILE")
def an_earlier_branch_of_the_app_made_the_database(place: Place) -> Outcome:
    make_branch_database(place.database, 2, {ENGINE: [chat("a")]})
    Path("FILE").symlink_to(place.database)
    return place.run("status")


@prints("migrate --salvage", 3)
def the_doctor_finds_a_torn_file(place: Place) -> Outcome:
    a_file_is_torn(place)
    return place.run("doctor")


@prints("status")
def there_are_more_workspaces_than_fit(place: Place) -> Outcome:
    for number in range(40):
        place.scene.write(f"/w/{number}", [chat("a", workspace=f"/w/{number}")])
    return place.migrate()


@prints("status")
def another_migrator_is_at_work(place: Place) -> Outcome:
    from migrator.inventory.location import resolve_data_dir

    with exclusive(resolve_data_dir(place.scene.root, place.database)):
        return place.run("schema", "apply")


@prints("status")
def there_is_no_such_workspace_to_export(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    return place.run("export", "--to", "out", "--workspace", LOOM)


@prints("migrate")
def a_file_is_no_array(place: Place) -> Outcome:
    place.scene.write_bytes(ENGINE, b'{"no": "array"}')
    place.migrate()
    return place.run("status")


@prints("sessions list")
def there_is_no_such_session(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    return place.run("sessions", "show", "nobody")


@prints("search-index build")
def there_is_no_search_index(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate("--no-search-index")
    return place.run("search-index", "status")


@prints("search-index build")
def a_search_reads_every_text(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate("--no-search-index")
    return place.run("sessions", "search", "a")


@prints("status")
def a_file_that_failed_is_left_out_of_an_export(place: Place) -> Outcome:
    a_file_is_torn(place)
    return place.run("export", "--to", "out")


@prints("doctor", 3)
def sessions_are_listed_while_the_database_is_gone(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    place.database.unlink()
    return place.run("sessions", "list")


@prints("quarantine list")
def a_session_is_not_valid(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a"), broken("b")])
    return place.migrate()


@prints("quarantine list")
def the_doctor_finds_something_in_quarantine(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    return place.run("doctor")


@prints("quarantine list")
def a_retry_after_a_rollback(place: Place) -> Outcome:
    a_conflict(place)
    place.run("rollback")
    return place.run("quarantine", "retry", "1", "--take", "theirs")


@prints("quarantine list")
def there_is_no_such_item(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    return place.run("quarantine", "show", "77")


@prints(f"quarantine show {_PART}")
def the_quarantine_is_listed(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    return place.run("quarantine", "list")


@prints("quarantine export --to quarantined")
def an_item_is_not_text(place: Place) -> Outcome:
    content = app_json([chat("a"), chat("b")]).replace(b'"id": "b"', b'"id": "\xff"')
    place.scene.write_bytes(ENGINE, content)
    place.migrate()
    return place.run("quarantine", "show", "1")


@prints("quarantine export --to quarantined")
def an_invalid_session_is_shown(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    return place.run("quarantine", "show", "1")


@prints(f"quarantine retry {_PART} --edited {_PART}")
def an_invalid_session_was_put_right(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    place.run("quarantine", "export", "--to", "quarantined")
    Path("quarantined/1.json").write_text(json.dumps(chat("b")))
    return place.run("quarantine", "show", "1")


@prints("quarantine list")
def the_status_shows_the_quarantine(place: Place) -> Outcome:
    a_session_is_not_valid(place)
    return place.run("status")


def a_conflict(place: Place) -> None:
    place.scene.write(ENGINE, [chat("a", task="first")])
    place.migrate()
    place.stored.change("UPDATE sessions SET task = 'second'")
    place.scene.write(ENGINE, [chat("a", task="third")])
    assert place.migrate().code == 3


@prints(f"quarantine retry {_PART} --take theirs")
def a_conflict_is_shown(place: Place) -> Outcome:
    a_conflict(place)
    return place.run("quarantine", "show", "1")


@prints("rollback")
def a_restore_while_sqlite_is_authoritative(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    (backup,) = (place.scene.root / "backups").iterdir()
    return place.run("backups", "restore", backup.name)


@prints("rollback")
def a_revert_while_sqlite_is_authoritative(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    return place.run("schema", "revert")


@prints("quarantine export --to quarantined")
@prints("quarantine retry --all --take ours")
def a_revert_with_a_conflict_in_quarantine(place: Place) -> Outcome:
    a_conflict(place)
    place.run("rollback")
    return place.run("schema", "revert")


@prints("rollback --dry-run")
def a_report_shows_the_way_back(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    return place.run("report")


@prints("schema apply")
def there_is_no_step_to_undo(place: Place) -> Outcome:
    place.run("schema", "apply")
    while place.run("schema", "revert").code == 0:
        pass
    return place.run("schema", "revert")


@prints("schema apply")
def the_schema_is_too_old(place: Place) -> Outcome:
    place.stored.app_opens_it().close()
    return place.run("verify")


@prints("doctor", 3)
def the_database_is_none(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    place.database.write_bytes(b"garbage" * 1000)
    return place.run("status")


@prints("doctor --json", 3)
def the_doctor_finds_the_same_many_times(place: Place) -> Outcome:
    for number in range(9):
        path = place.scene.write(f"/w/{number}", [chat("a"), chat("b")])
        path.write_bytes(path.read_bytes()[:-40])
    place.migrate()
    return place.run("doctor")


@prints("backups list")
def there_is_no_such_backup(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    return place.run("backups", "verify", "nothing")


@prints(f"backups verify {_PART}", 1)
def a_damaged_backup_is_restored(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    place.run("rollback")
    (backup,) = (place.scene.root / "backups").iterdir()
    next((backup / "sessions").iterdir()).write_bytes(b"[]")
    return place.run("backups", "restore", backup.name)


@prints(f"backups verify {_PART}", 1)
def the_doctor_finds_a_damaged_backup(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    (backup,) = (place.scene.root / "backups").iterdir()
    (backup / "manifest.json").write_bytes(b"{")
    return place.run("doctor")


@prints("verify --repair")
def a_backup_is_damaged(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    shutil.rmtree(next((place.scene.root / "backups").iterdir()) / "sessions")
    return place.run("backups", "verify")


@prints("verify --repair")
def a_flip_was_interrupted(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    flag = place.scene.root / "storage.json"
    flag.write_text(json.dumps(json.loads(flag.read_bytes()) | {"backend": "json"}))
    return place.run("verify")


@prints("verify --repair", 1)
def the_database_is_damaged(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    content = bytearray(place.database.read_bytes())
    content[100:200] = b"\xff" * 100
    place.database.write_bytes(content)
    return place.run("quarantine", "list")


@prints(f"backups restore {_PART}")
def the_database_is_gone(place: Place) -> Outcome:
    files_are_new(place)
    for command in ("migrate", "rollback", "migrate"):
        place.run(command)
    place.database.unlink()
    return place.run("doctor")


@prints(f"backups restore {_PART} --overwrite-newer-work")
def the_database_is_destroyed(place: Place) -> Outcome:
    the_database_is_gone(place)
    place.database.write_bytes(b"garbage" * 1000)
    return place.run("doctor")


@prints("backups prune --keep 1")
def there_is_no_space_left(place: Place) -> Outcome:
    files_are_new(place)
    place.migrate()
    for number in range(2):
        place.stored.change("UPDATE sessions SET task = ?", str(number))
        place.run("rollback")
        place.migrate()
    place.scene.write(ENGINE, [chat("b")])
    place.fill_disk()
    return place.run("doctor")


@prints("backend")
def hybrid_mode_left_something_to_repair(place: Place) -> Outcome:
    files_are_new(place)
    place.run("backend", "hybrid")
    with open_storage(place.scene.root, database=place.database) as store:
        store.get_all_sessions(ENGINE)
        place.scene.file_of(ENGINE).write_bytes(app_json([chat("other")]))
        store.get_all_sessions(ENGINE)
    return place.run("doctor")


def refusal_of_the_library(place: Place, backend: Backend) -> Outcome:
    """The message that a program gets from the library."""
    files_are_new(place)
    place.migrate()
    with pytest.raises(MigratorError) as refused:
        open_storage(place.scene.root, backend, database=place.database)
    return Outcome(1, "", "", str(refused.value))


@prints(f"backend {_PART}")
def the_wrong_store_is_requested(place: Place) -> Outcome:
    return refusal_of_the_library(place, "json")


@prints("backend hybrid")
def hybrid_mode_is_requested_but_not_on(place: Place) -> Outcome:
    return refusal_of_the_library(place, "hybrid")


@prints("quarantine dismiss --all --reason deleted")
def a_schema_step_would_lose_deleted_sessions(place: Place) -> Outcome:
    a_session_was_deleted(place)
    place.run("rollback", "--progress", "none")
    return place.run("schema", "revert")


@prints(f"quarantine retry {_PART}")
def a_session_was_deleted(place: Place) -> Outcome:
    place.scene.write(ENGINE, [chat("a"), chat("b")])
    place.migrate()
    place.scene.write(ENGINE, [chat("a")])
    return place.migrate()


def commands_in(text: str) -> list[str]:
    return ["".join(found) for found in _PRINTED.findall(text)]


def without_place(line: str) -> list[str]:
    """The words of a printed command without the options that say where it acts."""
    words = shlex.split(line)
    while len(words) > 1 and words[1] in ("--data-dir", "--database"):
        del words[1:3]
    return words


def fits(words: list[str], pattern: str) -> bool:
    expected = pattern.split()
    return len(words) == len(expected) and all(e in (_PART, w) for e, w in zip(expected, words, strict=True))


@pytest.mark.parametrize(("line", "codes", "situation"), SITUATIONS, ids=lambda part: getattr(part, "__name__", None))
def test_a_printed_command_works_as_it_is_printed(place, line, codes, situation):
    printed = situation(place).printed
    found = [command for command in commands_in(printed) if fits(without_place(command), line)]
    assert found, printed
    words = shlex.split(found[0])
    assert words[1:5] == place.options
    outcome = place.migrator(*words[1:])
    assert outcome.code in codes, outcome.err


def named_in_the_source() -> set[str]:
    """Every command that a text of the package names: in quotes, or as a finding's command."""
    found = set()
    for text in texts():
        found |= {command for command in re.findall(r"'(migrator [a-z][^']*)'", text) if command.isprintable()}
        if re.fullmatch(rf"migrator [a-z][a-z0-9 {_PART}-]*", text):
            found.add(text.strip())
    return {" ".join(command.split()) for command in found}


@cache
def texts() -> tuple[str, ...]:
    return tuple(texts_in_the_source())


def texts_in_the_source() -> Iterator[str]:
    """Every text in the package that a message may be made of; not those that take words away from a report."""
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if path.name == "redaction.py":
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else _PART for part in node.values]
                yield "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
                yield node.value


def test_there_is_a_situation_for_every_command_that_a_message_names():
    run = {line for line, _, _ in SITUATIONS} | set(EXAMPLES)
    assert len(run) > 10
    assert not {line for line in named_in_the_source() if not any(fits(line.split(), known) for known in run)}


def test_no_message_leaves_the_plural_to_its_reader():
    assert not [text for text in texts() if re.search(r"[a-z]\(s\)", text)]


def test_what_is_printed_for_programs_acts_on_the_same_place(place):
    the_doctor_finds_new_files(place)
    report = json.loads(place.run("doctor", "--json").printed)
    (line,) = {finding["command"] for finding in report["findings"] if finding["level"] == "problem"}
    assert shlex.split(line)[1:5] == place.options


def test_stored_texts_stay_as_they_are(place):
    task = "Run 'migrator migrate' first"
    place.scene.write(ENGINE, [chat("a", task=task), broken("b") | {"model": task}])
    place.migrate()
    assert json.loads(place.run("sessions", "show", "a", "--json").printed)["sessions"][0]["session"]["task"] == task
    assert task in place.run("sessions", "show", "a").printed
    assert task in json.loads(place.run("quarantine", "show", "1", "--json").printed)["raw"]
