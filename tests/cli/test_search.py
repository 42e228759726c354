"""``sessions search``: what it prints on a terminal, in a pipe, and as JSON."""

from pathlib import Path
from time import sleep

import pytest

from migrator.cli.app import run
from migrator.database import schema
from migrator.database.connection import opened
from migrator.search.results import SearchReport
from tests.cli.test_terminal import on_a_terminal
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

WORKSPACE = "/home/dev/engine"


@pytest.fixture
def talked(scene: Scene, migrator: Migrator) -> Path:
    scene.write(
        WORKSPACE,
        [
            chat("s-1", text="The \x1b[31mLogin\x1b[0m form\tfails", task="Fix it"),
            chat("s-2", text="nothing", task="Fix the login <b>form</b>\u202e"),
        ],
    )
    migrator("--data-dir", scene.root, "migrate")
    return scene.root


def test_in_a_pipe_each_excerpt_is_a_line(talked: Path, migrator: Migrator) -> None:
    lines = migrator("--data-dir", talked, "sessions", "search", "login", "form").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["ID", "s-2", "s-1"]
    assert lines[1].split("\t")[1:] == [WORKSPACE, "task", "", "Fix the login <b>form</b>\\u202e"]
    assert lines[2].endswith("\tThe Login form fails")


def test_on_a_terminal_the_places_stand_out(talked: Path) -> None:
    shown = on_a_terminal("--data-dir", talked, "sessions", "search", "login")
    assert "Fix the \x1b[1m\x1b[4mlogin\x1b[0m <b>form</b>\\u202e" in shown
    assert "2 sessions" in shown


def test_as_json_the_places_are_numbers(talked: Path, migrator: Migrator) -> None:
    [found] = migrator("--data-dir", talked, "sessions", "search", "fails", "--json").json["sessions"]
    assert (found["workspace"], found["id"], found["texts"]) == (WORKSPACE, "s-1", 1)
    [excerpt] = found["excerpts"]
    [(begin, end)] = excerpt["marks"]
    assert excerpt["text"][begin:end] == "fails"


def test_the_json_names_the_same_place_in_its_commands(talked: Path, migrator: Migrator) -> None:
    migrator("--data-dir", talked, "search-index", "drop")
    printed = migrator("--data-dir", talked, "sessions", "search", "fails", "--json").printed
    assert f"'migrator --data-dir {talked} search-index build'" in printed


@pytest.mark.parametrize("command", ["build", "drop"])
def test_an_agent_without_a_name_leaves_no_gap(command: str, scene: Scene, migrator: Migrator) -> None:
    session = chat("s-1")
    session["instances"][0] |= {"agentName": "", "output": "a rare word"}
    scene.write(WORKSPACE, [session])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "search-index", command)
    [found] = migrator("--data-dir", scene.root, "sessions", "search", "rare", "--json").json["sessions"]
    assert [excerpt["place"] for excerpt in found["excerpts"]] == ["instance 1"]


def test_a_search_that_takes_long_says_so_on_a_terminal(
    talked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object, **__: object) -> SearchReport:
        sleep(0.2)
        return SearchReport((), more=False, method="scan")

    monkeypatch.setattr("migrator.cli.commands.sessions.search_texts", slow)
    monkeypatch.setattr("migrator.cli.output.PATIENCE", 0.01)
    for on_terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda: on_terminal)  # noqa: B023 - used before it changes
        assert run(["--data-dir", str(talked), "sessions", "search", "login"]) == 0
        assert ("every text is read" in capsys.readouterr().err) == on_terminal


def test_a_quote_or_an_operator_is_not_an_error(talked: Path, migrator: Migrator) -> None:
    for words in ('"login', "login AND (", "* NEAR", "'; DROP TABLE sessions"):
        assert migrator("--data-dir", talked, "sessions", "search", words).code == 0


def test_words_that_cannot_be_searched_for_get_a_note(talked: Path, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", talked, "sessions", "search", "=>")
    assert (outcome.code, outcome.out.count("\n")) == (0, 1)
    assert outcome.err.startswith("Note: ")


def test_without_words_the_options_alone_choose(talked: Path, migrator: Migrator) -> None:
    listed = migrator("--data-dir", talked, "sessions", "search", "--text", "FIX IT", "--json").json["sessions"]
    assert [session["id"] for session in listed] == ["s-1"]


def test_a_note_says_that_there_is_more_than_the_limit(talked: Path) -> None:
    assert "--limit" in on_a_terminal("--data-dir", talked, "sessions", "search", "login", "--limit", "1")


@pytest.mark.parametrize("store", ["files", "sqlite", "older schema"])
def test_any_status_and_type_may_be_given_and_where_none_matches_the_ones_that_exist_are_named(
    store: str, scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [chat("s-1", status="cancelled"), chat("s-2", type="tournament"), chat("s-3", status="")])
    if store != "files":
        migrator("--data-dir", scene.root, "migrate")
    if store == "older schema":
        with opened(scene.database) as connection:
            schema.revert(connection, scene.database)
    for options, expected in ((["--status", "cancelled"], ["s-1"]), (["--type", "tournament"], ["s-2"])):
        for name in ("list", "search"):
            found = migrator("--data-dir", scene.root, "sessions", name, *options, "--json").json
            assert [session["id"] for session in found["sessions"]] == expected
            assert found["notes"] == []
    for command in (["list"], ["search"], ["search", "hello"]):
        none = [*command, "--status", "unheard-of", "--type", "paused"]
        outcome = migrator("--data-dir", scene.root, "sessions", *none, "--json")
        statuses, types = outcome.json["notes"][-2:]
        assert all(value in statuses for value in ("cancelled (1 ", "(empty) (1 "))
        assert "paused" not in statuses
        assert "tournament (1 " in types
        assert "tournament (1 " in migrator("--data-dir", scene.root, "sessions", *none).err
    assert (
        migrator("--data-dir", scene.root, "sessions", "list", "--workspace", WORKSPACE, "--json").json["notes"] == []
    )


def test_existing_values_are_not_named_where_only_the_words_are_not_found(talked: Path, migrator: Migrator) -> None:
    named = ("--data-dir", talked, "sessions", "search", "--type", "competition", "--json")
    assert len(migrator(*named, "login").json["sessions"]) == 2
    found = migrator(*named, "no-such-word").json
    assert (found["sessions"], found["notes"]) == ([], [])


def test_an_excerpt_names_the_role_that_the_document_has(scene: Scene, migrator: Migrator) -> None:
    session = chat("s-1", text="a rare word")
    session["chatHistory"][0]["role"] = "tool"
    scene.write(WORKSPACE, [session])
    migrator("--data-dir", scene.root, "migrate")
    for _ in range(2):
        [found] = migrator("--data-dir", scene.root, "sessions", "search", "rare", "--json").json["sessions"]
        assert found["excerpts"][0]["place"].startswith("tool")
        migrator("--data-dir", scene.root, "search-index", "drop")
