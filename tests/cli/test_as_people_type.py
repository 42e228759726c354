"""What people type: dates, -q, -v and -V, `help`, the Tab key, and the answer to a question."""

import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from migrator.cli.app import cli
from migrator.cli.dates import beginning_of, end_of
from migrator.storage.timestamps import instant
from tests.cli.test_terminal import on_a_terminal
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

TODAY = date(2025, 3, 1)


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(os.name == "nt", reason="this system takes no time zone from the environment")
@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("2025-01-13", "2025-01-13"),
        ("today", "2025-03-01"),
        ("Yesterday", "2025-02-28"),
        ("7d", "2025-02-22"),
        ("2w", "2025-02-15"),
        ("0d", "2025-03-01"),
    ],
)
@pytest.mark.usefixtures("in_tokyo")
def test_a_day_is_one_of_this_zone_from_its_beginning_to_its_end(typed: str, day: str) -> None:
    begins, ends = instant(beginning_of(typed, TODAY)), instant(end_of(typed, TODAY))
    assert begins == instant(f"{day}T00:00:00+09:00")
    assert ends is not None
    assert ends[0] == instant(f"{day}T23:59:59+09:00")[0]  # type: ignore[index]
    assert ends[1] > "999999999"


@pytest.mark.parametrize("typed", ["2025-01-13T10:00:00Z", "2025-01-13 10:00:00.5+02:00"])
def test_a_time_stays_as_it_is(typed: str) -> None:
    assert beginning_of(typed) == end_of(typed) == typed


@pytest.mark.parametrize("typed", ["", "7", "7x", "-7d", "2025-02-30", "2025-13-01", "9999-12-31", "tomorrow"])
def test_what_is_no_date_is_wrong_usage(typed: str, scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "sessions", "list", "--created-to", typed, "--json")
    assert outcome.code == 2
    assert outcome.codes == ["option.invalid"]


def test_a_list_takes_what_a_search_takes(scene: Scene, migrator: Migrator) -> None:
    first, second, third = ("2025-01-12T12:00:00Z", "2025-01-13T12:00:00.9Z", "2025-01-14T12:00:00Z")
    scene.write("/a", [chat("early", workspace="/a", createdAt=first), chat("late", workspace="/a", createdAt=third)])
    scene.write("/b", [chat("between", workspace="/b", createdAt=second)])

    def listed(*options: str) -> list[str]:
        out = migrator("--data-dir", scene.root, "sessions", "list", *options, "--json").json
        return [session["id"] for session in out["sessions"]]

    assert set(listed("--created-from", "2025-01-13", "--created-to", "2025-01-13")) == {"between"}
    assert listed("--sort-by", "createdAt", "--descending") == ["late", "between", "early"]
    assert listed("--sort-by", "createdAt", "--limit", "2") == ["early", "between"]


def completed(*words: str | Path) -> set[str]:
    """What the Tab key offers in place of the last word."""
    *before, typed = map(str, words)
    return {item.value for item in ShellComplete(cli, {}, "migrator", "_X").get_completions(before, typed)}


def test_the_tab_key_offers_values(scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1", type="a;b", status="paused"), chat("s-2", status="round_2"), {"id": "bad"}])
    assert completed("--data-dir", scene.root, "sessions", "list", "--status", "p") == {
        "paused"
    }  # one that the app has
    migrator("--data-dir", scene.root, "migrate")
    at = ("--data-dir", scene.root)
    assert completed(*at, "sessions", "list", "--status", "") == {"paused", "round_2"}
    assert completed(*at, "sessions", "search", "--type", "") == {"competition"}  # a shell would run b
    assert completed(*at, "sessions", "show", "s") == {"s-1", "s-2"}
    assert completed(*at, "quarantine", "show", "") == {"1"}
    [backup] = (scene.root / "backups").iterdir()
    assert completed(*at, "backups", "restore", backup.name[:4]) == {backup.name}
    assert completed(*at, "deletions", "confirm", "") == set()
    assert completed("help", "sessions", "s") == {"show", "search"}


def test_the_tab_key_never_ends_with_an_error(scene: Scene) -> None:
    (scene.root / "sessions.db").write_text("no database")
    for words in (("sessions", "show", ""), ("sessions", "list", "--type", ""), ("quarantine", "show", "")):
        assert completed("--data-dir", scene.root, *words) <= {"competition", "ensemble", "debate"}


def test_help_shows_what_the_option_shows(migrator: Migrator) -> None:
    for words in ([], ["sessions"], ["sessions", "list"]):
        assert migrator("help", *words).out == migrator(*words, "--help").out
    assert migrator("help", "sesions").code == 2
    assert migrator("help", "migrate", "more").code == 2


@pytest.mark.parametrize("before", [True, False])
def test_quiet_prints_only_what_needs_attention(before: bool, scene: Scene, migrator: Migrator) -> None:
    def quietly(command: str) -> str:
        words = ("-q", command) if before else (command, "-q")
        return migrator("--data-dir", scene.root, *words).printed

    scene.write("/a", [chat("s-1")])
    assert quietly("migrate") == ""
    assert quietly("verify") == ""
    assert "SQLite" in quietly("status")  # which was asked for
    scene.write("/a", [chat("s-1"), {"id": "bad"}])
    assert "In quarantine" in quietly("migrate")


def test_v_and_capital_v(scene: Scene, migrator: Migrator) -> None:
    assert migrator("-V").out == migrator("--version").out
    assert migrator("--data-dir", scene.root, "status", "-v").code == 0


def test_prune_asks_on_a_terminal(scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for task in ("first", "second", "third"):
        scene.write("/a", [chat("s-1", task=task)])
        migrator("--data-dir", scene.root, "migrate")
    backups = {path.name for path in (scene.root / "backups").iterdir()}
    prune = ("--data-dir", scene.root, "backups", "prune", "--keep", "1")
    monkeypatch.setattr("migrator.cli.commands.backups.asks", lambda yes: not yes)
    monkeypatch.setattr(click, "confirm", lambda question, err: asked.append(question))
    assert migrator(*prune).code == 1
    assert len(asked) == 1
    assert {path.name for path in (scene.root / "backups").iterdir()} == backups
    assert migrator(*prune, "--yes").code == 0
    assert len(asked) == 1
    assert {path.name for path in (scene.root / "backups").iterdir()} < backups


def test_giving_up_a_lost_database_asks_on_a_terminal(scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    (scene.root / "sessions.db").unlink()
    shown = on_a_terminal("--data-dir", scene.root, "backend", "json", typed="n\n")
    assert "[y/N]" in shown
    assert "sqlite" in (scene.root / "storage.json").read_text()
    assert migrator("--data-dir", scene.root, "backend", "json").code == 0  # without a terminal, as asked
    assert "sqlite" not in (scene.root / "storage.json").read_text()
