"""What a program can call: the same as the command line, with texts that lead to the same places."""

import inspect
import json
import pkgutil
import pydoc
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import migrator as api
from migrator import ConnectionFailed, MigratorError, UsageError, ValidationError
from migrator.cli.app import run
from migrator.storage.sqlite import SqliteStorage
from migrator.storage.wrappers import FallbackStorage
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import CHECKOUT, Scene, chat

ENGINE = "/home/dev/engine"
INTERFACE = CHECKOUT / "docs" / "api-design.md"

# Each function with the command that does the same; both only look.
LOOKING: list[tuple[Callable[[Path], Any], str]] = [
    (api.status, "status"),
    (api.migration_report, "report"),
    (lambda root: api.search_texts("hello", root), "sessions search hello"),
    (api.search_index_status, "search-index status"),
    (api.list_quarantine, "quarantine list"),
    (lambda root: api.show_quarantined(1, root), "quarantine show 1"),
    (api.list_deletions, "deletions list"),
    (api.show_backend, "backend"),
    (api.list_backups, "backups list"),
    (api.verify_backups, "backups verify"),
    (lambda root: api.prune_backups(1, root, dry_run=True), "backups prune --keep 1 --dry-run"),
    (api.examine, "doctor"),
]


@pytest.fixture
def migrated(scene: Scene) -> Scene:
    """A migrated workspace, with one session in quarantine and a truncated file."""
    scene.write(ENGINE, [chat("a"), {"id": "b"}])
    scene.write_bytes("/home/dev/loom", b'[{"id": ')
    api.migrate(scene.root)
    return scene


def test_every_public_name_is_shown_and_explained_and_on_the_page() -> None:
    text, page = pydoc.plain(pydoc.render_doc(api)), INTERFACE.read_text(encoding="utf-8")
    assert set(api.__all__) <= set(dir(api))
    assert not [name for name in api.__all__ if name not in text and name != "__version__"]
    assert not [name for name in api.__all__ if not re.search(rf"`{name}\b", page)]
    assert not set(api.__all__) & {module.name for module in pkgutil.iter_modules(api.__path__)}  # it would be shadowed


@pytest.mark.parametrize(("function", "command"), LOOKING, ids=lambda value: value if isinstance(value, str) else "")
def test_a_function_reports_what_the_command_reports(
    function: Callable[[Path], Any], command: str, migrated: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["--data-dir", str(migrated.root), *command.split(), "--json"])
    report = function(migrated.root)
    assert report.exit_code == code
    varying = {"made_at": None}
    assert json.loads(json.dumps(report.to_json())) | varying == json.loads(capsys.readouterr().out) | varying


def test_a_program_exports_decides_and_switches(migrated: Scene, tmp_path: Path) -> None:
    exported = api.export_sessions(tmp_path / "out", migrated.root, workspaces=[ENGINE])
    assert [workspace.sessions for workspace in exported.workspaces] == [1]
    assert len(api.export_quarantine(tmp_path / "held", migrated.root).items) == 1
    edited = tmp_path / "b.json"
    edited.write_text(json.dumps(chat("b")))
    assert api.retry_quarantined(None, migrated.root).exit_code == 3
    assert api.retry_quarantined([1], migrated.root, edited=edited).items[0].sessions == ("b",)
    assert api.dismiss_quarantined(None, migrated.root).items == ()
    assert api.drop_search_index(migrated.root).state == "left_out"
    assert api.build_search_index(migrated.root).state == "complete"
    assert api.switch_backend("json", migrated.root).backend == "json"
    (files,) = [backup for backup in api.list_backups(migrated.root).backups if backup.kind == "files"]
    assert api.restore_backup(files.name, migrated.root, overwrite_newer_work=True).name == files.name


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("workspaces", lambda root, value: api.migrate(root, workspaces=value)),
        ("adopt", lambda root, value: api.migrate(root, adopt=value)),
        ("workspaces", lambda root, value: api.export_sessions(root / "out", root, workspaces=value)),
        ("names", lambda root, value: api.verify_backups(root, names=value)),
        ("ids", lambda root, value: api.confirm_deletions(value, root)),
        ("ids", lambda root, value: api.decline_deletions(value, root)),
        ("numbers", lambda root, value: api.retry_quarantined(value, root)),
        ("numbers", lambda root, value: api.dismiss_quarantined(value, root)),
    ],
)
def test_one_value_where_several_are_taken_is_refused(argument: str, call: Callable[..., Any], scene: Scene) -> None:
    for value in ("/one/path", Path("/one/path"), 1):
        with raises(UsageError, "option.type") as caught:
            call(scene.root, value)
        assert argument in caught.value.message


class Folder:
    """A path that is not text, as os.scandir has them for a folder that was named in bytes."""

    def __fspath__(self) -> bytes:
        return b"/tmp"


@pytest.mark.parametrize("data_dir", ["", "  ", b"/tmp", 1, Folder(), "a\0b", "\ud800"])
def test_what_is_no_data_directory_is_refused_everywhere(data_dir: Any) -> None:
    calls: tuple[Callable[[Any], Any], ...] = (
        api.migrate, api.rollback, api.verify, api.needs_migration, api.resolve_data_dir, api.open_storage, api.status,
        api.migration_report, api.list_backups, api.list_quarantine, api.show_backend, api.list_deletions,
    )  # fmt: skip
    for call in calls:
        with pytest.raises(UsageError) as caught:
            call(data_dir)
        assert caught.value.code in ("option.data_dir_empty", "option.type", "option.invalid")


def test_arguments_of_the_wrong_kind_are_usage_errors(scene: Scene) -> None:
    root = scene.root
    calls: list[Callable[[Any], Any]] = [
        lambda value: api.status(root, database=value),
        lambda value: api.migrate(root, from_database=value),
        lambda value: api.migrate(root, workspaces=[value]),
        lambda value: api.migrate(root, adopt=[value]),
        lambda value: api.migrate(root, loader=value),
        lambda value: api.migrate(root, progress=[value]),  # type: ignore[arg-type]
        lambda value: api.migration_report(root, html=value),
        lambda value: api.export_sessions(value, root),
        lambda value: api.export_quarantine(value, root),
        lambda value: api.show_quarantined(value, root),
        lambda value: api.retry_quarantined([value], root),
        lambda value: api.retry_quarantined([1], root, edited=value),
        lambda value: api.dismiss_quarantined([1], root, to=value),
        lambda value: api.prune_backups(value, root),
        lambda value: api.open_storage(root, cache_size=value),
        lambda value: api.open_storage(root, mmap_size=value),
    ]
    for call in calls:
        for value in (b"x", Folder(), "", [1], True, 1 << 63, 10**5000):
            with pytest.raises(UsageError):
                call(value)
    for call in (
        lambda value: api.search_texts(value, root),
        lambda value: api.search_texts("x", root, workspace=value),
        lambda value: api.search_texts("x", root, filters=value),
        lambda value: api.restore_backup(value, root),
        lambda value: api.verify_backups(root, names=[value]),
        lambda value: api.confirm_deletions([value], root),
    ):
        for value in (b"x", Folder(), 1):
            with pytest.raises((UsageError, ValidationError)):
                call(value)
    assert list(root.iterdir()) == []


def test_a_database_that_is_named_counts_with_places_that_were_found_before(scene: Scene, tmp_path: Path) -> None:
    places = api.resolve_data_dir(scene.root)
    assert api.resolve_data_dir(places) is places
    assert api.status(places, database=tmp_path / "other.db").database == str(tmp_path / "other.db")


def test_values_that_are_none_of_the_choices_are_refused(scene: Scene) -> None:
    wrong: Any = "mine"
    for call in (
        lambda: api.retry_quarantined([1], scene.root, take=wrong),
        lambda: api.retry_quarantined(None, scene.root, reason=wrong),
        lambda: api.dismiss_quarantined(None, scene.root, reason=wrong),
        lambda: api.switch_backend(wrong, scene.root),
        lambda: api.open_storage(scene.root, wrong),
        lambda: api.open_storage(scene.root, pool_size=0),
        lambda: api.open_storage(scene.root, acquire_timeout=-1),
        lambda: api.open_storage(scene.root, busy_timeout=float("nan")),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_busy_store_names_a_parameter_that_there_is(migrated: Scene) -> None:
    with api.open_storage(migrated.root, pool_size=1, acquire_timeout=0.01, busy_timeout=0.5) as store:
        assert isinstance(store, FallbackStorage)
        sqlite = store._stores[0]
        assert isinstance(sqlite, SqliteStorage)
        with sqlite._pool.connection() as connection:
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (500,)
            with raises(ConnectionFailed, "store.busy") as caught:
                store.get_all_sessions(ENGINE)
    named = set(re.findall(r"\w+_\w+", (caught.value.hint or "").replace("open_storage", "")))
    assert named
    assert named <= set(inspect.signature(api.open_storage).parameters)


def commands_in(text: str) -> list[list[str]]:
    """The commands that a text names in single quotes, as a shell would read them."""
    return [shlex.split(command) for command in re.findall("'(migrator [^']+)'", text)]


def test_commands_in_texts_lead_to_the_places_that_were_used(tmp_path: Path) -> None:
    root, database = tmp_path / "my data", tmp_path / "my other.db"
    root.mkdir()
    scene, options = Scene(root), ["--data-dir", str(root), "--database", str(database)]
    scene.write(ENGINE, [chat("a"), {"id": "b"}])
    report = api.migrate(root, database=database)
    api.drop_search_index(root, database=database)
    found = api.search_texts("hello", root, database=database)
    texts = [*report.errors, *report.warnings, *found.notes]
    with pytest.raises(MigratorError) as unknown:
        api.show_quarantined(7, root, database=database)
    with pytest.raises(MigratorError) as refused:
        api.open_storage(root, "json", database=database)
    store = api.open_storage(root, "json", database=database, read_only=True)
    with store, pytest.raises(MigratorError) as written:
        store.delete_session(ENGINE, "a")
    texts += [str(error.value) for error in (unknown, refused, written)]
    commands = [command for text in texts for command in commands_in(text)]
    assert len(commands) >= 4
    assert all(command[:5] == ["migrator", *options] for command in commands)
    assert unknown.value.hint is not None
    assert str(root) in unknown.value.hint


def test_the_default_place_needs_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrator: Migrator) -> None:
    root = tmp_path / "home" / ".ait42"
    root.mkdir(parents=True)
    Scene(root).write(ENGINE, [chat("a")])
    api.migrate()
    with pytest.raises(MigratorError) as caught:
        api.show_quarantined(7)
    assert commands_in(str(caught.value)) == [["migrator", "quarantine", "list"]]
    monkeypatch.setenv("AIT42_DATA_DIR", str(root))  # the user's shell may have another value, or none
    with pytest.raises(MigratorError) as caught:
        api.show_quarantined(7)
    assert commands_in(str(caught.value))[0][1:3] == ["--data-dir", str(root)]
