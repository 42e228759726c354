"""Stored text is only shown: it cannot control the terminal or pass for a line of ours."""

import json
import logging
import os
import pty
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from migrator.cli import app
from migrator.text import block, plain
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import CHECKOUT, Scene, app_json, chat
from tests.support.strategies import instance, message

# To a terminal: a title, a clipboard, a cleared screen, colours, in 7 and 8 bits; a direction; a line of our own.
HOSTILE = (
    "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[2J\x9b31m\x85\x00\x7f\x08\u202edesrever\u2066\u200f\u061c\u2028\r"
    "\nFORGED line\n[bold red]markup[/] <script>alert(1)</script> '); DROP TABLE sessions; --"
)
DRIVING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
WORKSPACE = f"/home/dev/{HOSTILE}/engine"
ALIAS = "/home/dev/plain"

Command = Callable[..., Outcome]


def hostile(session_id: str, **members: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("task", "createdAt", "updatedAt", "completedAt", "model"), HOSTILE)
    return chat(f"{session_id}{HOSTILE}", **texts | members) | {
        "instances": [
            instance(
                worktreePath=f"{WORKSPACE}/.worktrees/{HOSTILE}",
                branch=HOSTILE,
                agentName=HOSTILE,
                status=HOSTILE,
                tmuxSessionId=HOSTILE,
                output=HOSTILE,
            )
        ],
        "chatHistory": [message(id=HOSTILE, content=HOSTILE, timestamp=HOSTILE)],
        HOSTILE: {HOSTILE: HOSTILE},
    }


@pytest.fixture
def planted(scene: Scene) -> Scene:
    """Hostile text in valid and invalid sessions, in file names, in what is not JSON, and in a mapping."""
    twice = f"{{{json.dumps(HOSTILE)}: 1, {json.dumps(HOSTILE)}: 2}}".encode()
    bad = [{HOSTILE: HOSTILE}, hostile("bad", status=HOSTILE), hostile("type", type=HOSTILE), HOSTILE]
    scene.write_bytes(WORKSPACE, app_json([hostile("a"), hostile("b"), *bad])[:-2] + b",\n  " + twice + b"\n]")
    name = HOSTILE.replace("/", "|").replace("\x00", "")
    (scene.root / "sessions" / f"{name}.json").write_text("[]")
    (scene.root / "sessions" / "00000000000000aa.json").write_bytes(HOSTILE.encode())
    (scene.root / "sessions" / "00000000000000bb.json").write_bytes(app_json([hostile("torn")])[:-10])
    scene.write(ALIAS, [chat("sane", workspace=ALIAS)])
    (scene.root / "workspace_mapping.json").write_text(json.dumps({HOSTILE: HOSTILE, "0" * 16: HOSTILE}))
    return scene


@pytest.fixture
def run(planted: Scene, migrator: Migrator) -> Command:
    """One command line; nothing that it prints drives anything, and no line of it is made of stored text."""

    def call(*arguments: str | Path, forged: bool = False) -> Outcome:
        outcome = migrator("--data-dir", planted.root, *arguments)
        for text in (outcome.out, outcome.err):
            assert DRIVING.search(text) is None, (arguments, DRIVING.search(text))
            assert forged or not re.search("^FORGED", text, re.MULTILINE), arguments
        if "--json" in arguments:
            assert outcome.out.isascii()
            json.loads(outcome.out)
        return outcome

    return call


def plant_in_database_and_backups(scene: Scene) -> None:
    """Plant text where that needs access to the data directory: in tables of the database, and in backups."""
    scene.change("UPDATE migration_ledger SET error = ? WHERE error IS NOT NULL", HOSTILE)
    scene.change("UPDATE migration_metadata SET json_backup_path = ?", HOSTILE)
    scene.change("UPDATE quarantine SET problems = ? WHERE id = 1", HOSTILE)
    scene.change("UPDATE quarantine SET created_at = ?", HOSTILE)
    scene.change("UPDATE workspaces SET workspace_path = ? WHERE workspace_path = ?", HOSTILE * 2, ALIAS)
    scene.change("UPDATE _sqlite_migrations SET applied_at = ?", HOSTILE)
    scene.change("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)", HOSTILE, HOSTILE)
    name = HOSTILE.replace("/", "|").replace("\x00", "")
    backups = scene.root / "backups"
    whole = next(backups.iterdir())
    shutil.copytree(whole, backups / f"20250101T000000Z-{name}")
    (backups / name).mkdir()
    (whole / name).write_text(HOSTILE)
    invalid = backups / "20250102T000000Z-invalid"
    invalid.mkdir()
    listed = [{"file": HOSTILE, "source": HOSTILE, "size": 1, "sha256": HOSTILE}]
    (invalid / "manifest.json").write_text(json.dumps({"created_at": HOSTILE, "files": listed}))
    (scene.root / f".rollback-{name}").mkdir()


# Every command that does something, with what it is given here; `test_no_command_is_left_out` counts them.
LOOKING: dict[str, list[list[str]]] = {
    "status": [[], ["--json"]],
    "report": [[], ["--json"], ["--html", "{tmp}/receipt\x1b[2J\nFORGED.html"]],
    "browse": [["--port", "\x1b[2J\nFORGED"]],
    "verify": [["--progress", "none"], ["--progress", "jsonl"], ["--json"]],
    "sessions list": [[], ["--json"], ["--workspace", WORKSPACE], ["--workspace", f"{HOSTILE}x"]],
    "sessions show": [["a"], ["b", "--json"], [HOSTILE], [""]],
    "sessions search": [[HOSTILE], ["DROP", "--json"], ["a", "--status", HOSTILE]],
    "quarantine list": [[], ["--json"]],
    "quarantine show": [["1", "--json"], ["99999"]],
    "deletions list": [[], ["--json"]],
    "backups list": [[], ["--json"]],
    "backups verify": [[], ["--json"], [HOSTILE.replace("\x00", "")]],
    "schema status": [[], ["--json"]],
    "schema check": [[], ["--json"]],
    "doctor": [[], ["--json"]],
    "backend": [[], ["--json"]],
    "search-index status": [[], ["--json"]],
    "completion": [["bash"], ["\x1b[2J"]],
    "help": [["migrate"], ["\x1b[2J\nFORGED"]],
}
CHANGING: dict[str, list[list[str]]] = {
    "migrate": [[], ["--json"], ["--salvage", "--progress", "jsonl"], ["--workspace", "\x1b[2J\nFORGED"]],
    "export": [["--to", "{tmp}/exported"], ["--to", "{tmp}/again\x1b[2J\nFORGED"]],
    "quarantine export": [["--to", "{tmp}/items\x1b[2J\nFORGED"]],
    "quarantine dismiss": [["1", "--to", "{tmp}/item\x1b[2J\nFORGED"], ["--all"], ["--all", "--reason", "\x1b[2J"]],
    "quarantine retry": [["--all"], ["1", "--edited", "{tmp}/\x1b[2J\nFORGED"], ["1", "--json"]],
    "deletions confirm": [["\x1b[2J\nFORGED"]],
    "deletions decline": [["\x1b[2J\nFORGED"], ["--all"]],
    "backups restore": [["\x1b[2J\nFORGED"], ["20250102T000000Z-invalid"]],
    "backups prune": [["--keep", "1", "--dry-run"], ["--keep", "9", "--json"]],
    "search-index drop": [[]],
    "search-index build": [[], ["--json"]],
    "schema apply": [[]],
    "schema revert": [[]],
    "rollback": [["--dry-run", "--progress", "none"], ["--progress", "none"]],
}


def test_no_command_is_left_out():
    def names(group: click.Command, words: str) -> list[str]:
        if not isinstance(group, click.Group):
            return [words]
        context = click.Context(group)
        members = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
        return [found for name, member in members if member for found in names(member, f"{words} {name}".strip())]

    assert set(names(app.cli, "")) == LOOKING.keys() | CHANGING.keys()


def test_nothing_stored_drives_the_terminal_from_any_command(run, planted, tmp_path):
    def every(commands: dict[str, list[list[str]]]) -> None:
        for words, variants in commands.items():
            for options in variants:
                run(*words.split(), *(option.replace("{tmp}", str(tmp_path)) for option in options))

    run("migrate", "--dry-run")
    every({"migrate": CHANGING["migrate"]})
    every(LOOKING)
    plant_in_database_and_backups(planted)
    every(LOOKING)
    every(CHANGING)
    every(LOOKING)


def test_what_was_planted_is_shown_escaped(run):
    run("migrate")
    assert r"\x1b[2J" in run("sessions", "list").out
    assert r"\u202edesrever" in run("sessions", "show", "a").out
    assert r"\x9b31m" in run("quarantine", "list").out
    assert r"\x1b]0;owned" in run("status").out


def test_a_conflict_is_shown_without_driving_anything(run, planted):
    run("migrate")
    planted.change("UPDATE sessions SET task = task || ?", f"{HOSTILE} ours")
    planted.write(WORKSPACE, [hostile("a", task=f"{HOSTILE} theirs"), hostile("b")])
    run("migrate")
    (number,) = planted.query("SELECT id FROM quarantine WHERE reason = 'conflict' LIMIT 1")[0]
    assert r"\u001b[2J" in run("quarantine", "show", str(number)).out


def test_what_is_not_json_is_shown_in_full_but_for_what_controls_the_terminal(run, planted):
    run("migrate", "--salvage")
    for (number,) in planted.query("SELECT id FROM quarantine"):
        run("quarantine", "show", str(number), forged=True)  # the text itself, after its description


def test_wrong_usage_is_quoted_without_driving_anything(run):
    for arguments in (["\x1b[2J"], ["migrate", "--\x1b[2J"], ["sessions", "show"], ["quarantine", "show", "\x1b[2J"]):
        assert run(*arguments).code == 2


def test_a_file_name_as_an_argument_is_quoted_without_driving_anything(run, tmp_path):
    assert run("--database", f"{tmp_path}/\x1b[2J\nFORGED/db", "schema", "status").code == 1
    assert run("--database", "postgres://\x1b[2J\nFORGED", "status").code == 2


def test_texts_that_try_to_be_sql_are_texts(run, planted):
    run("migrate")
    run("sessions", "search", "'); DROP TABLE sessions; --")
    assert len(planted.query("SELECT id FROM sessions")) == 5
    assert planted.query("PRAGMA integrity_check") == [("ok",)]
    assert run("verify").code == 0


def on_a_terminal(*arguments: str | Path, environment: dict[str, str]) -> str:
    """What a terminal is sent by one command line."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "migrator", *map(str, arguments)],
            cwd=CHECKOUT,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        sent = b""
        try:
            while piece := terminal.read(1 << 16):
                sent += piece
        except OSError:  # how Linux says that no process has the terminal open any more
            pass
        process.wait(timeout=60)
    return sent.decode("utf-8", "replace")


def test_a_terminal_is_sent_no_sequence_that_was_stored(planted, tmp_path):
    home = {"HOME": str(tmp_path)}
    sent = on_a_terminal("--data-dir", planted.root, "migrate", "--progress", "bar", environment=home)
    sent += on_a_terminal("--data-dir", planted.root, "sessions", "list", environment=home)
    sent += on_a_terminal("--data-dir", planted.root, "sessions", "show", "a", environment=home)
    for sequence in ("\x1b]0;", "\x1b]52", "\x1b[2J\x9b", "\x9b", "\x85", "\u202e", "\u2066", "\x08", "\x00", "\x7f"):
        assert sequence not in sent
    assert "[bold red]markup[/]" in sent  # and to the library that draws, it is no markup
    assert not re.search("^FORGED", sent.replace("\r", "\n"), re.MULTILINE)


def test_a_traceback_asked_for_drives_nothing(scene, capfd, monkeypatch, break_migrate):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    break_migrate(HOSTILE)
    assert app.run(["--data-dir", str(scene.root), "--log-level", "debug", "migrate"]) == 1
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert DRIVING.search(err) is None


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Zl", "Zp"])
def test_every_character_of_a_driving_category_is_escaped(category):
    found = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == category]
    assert found
    assert not [c for c in found if c in plain(f"a{c}b")]
    assert not [c for c in found if c not in "\n\t" and c in block(f"a{c}b")]


def test_letters_of_every_script_and_emoji_are_left_as_they_are():
    text = "Grüße, 日本語, العربية, ไทย, 👍🏽, e\u0301, ½ \xa0"
    assert plain(text) == text
    assert block(text) == text


def test_a_block_keeps_lines_and_tabs_and_a_line_does_not():
    assert plain("a\n\tb") == r"a\n\tb"
    assert block("a\n\tb\r\nc", "  ") == "  a\n  \tb\n  c"


def test_the_hostile_text_has_many_ways_to_drive_a_terminal():
    assert len(set(DRIVING.findall(HOSTILE))) >= 12
