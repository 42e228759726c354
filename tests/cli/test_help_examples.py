"""Every command's help has examples, and each of them is run here, word by word, where there is something to do."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from migrator.browse import serve
from migrator.cli.app import cli
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_json, chat

LOOM = "/home/dev/loom"
FINE = (0, 3)  # done; and done, and something needs the user, as the quarantine here does
# What the shell does with the output of a command, or around it, is left out.
_EXAMPLE = re.compile(r"^ *(?:echo 'eval \"\$\()?(migrator .*?)(?: {2,}.*| > .*|\)\"'.*)?$", re.MULTILINE)
_BACKUP = "20250113T100000Z-1a2b3c4d"  # no backup can have a name that a help text knows
_ELSEWHERE = "/tmp/.ait42"


def commands(command: click.Command, context: click.Context, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command and group below this one, with what it is called."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield " ".join([*path, name]), found
        yield from commands(found, click.Context(found, info_name=name, parent=context), *path, name)


ALL = dict(commands(cli, click.Context(cli, info_name="migrator")))


def examples(command: click.Command) -> list[str]:
    return [match[1] for match in _EXAMPLE.finditer((command.help or "").replace("\b", ""))]


def named(command: click.Command) -> list[str]:
    """The command lines in quotes, in what is said of a command and of its options."""
    texts = [command.help or "", *(str(getattr(parameter, "help", None) or "") for parameter in command.params)]
    return [line for text in texts for line in re.findall(r"'(migrator [a-z][^']*)'", " ".join(text.split()))]


EXAMPLES = sorted({line for command in [cli, *ALL.values()] for line in examples(command) + named(command)})


@pytest.mark.parametrize("name", sorted(name for name, command in ALL.items() if not isinstance(command, click.Group)))
def test_every_command_has_an_example_of_itself(name: str) -> None:
    assert [line for line in examples(ALL[name]) if f" {name}" in line]


@pytest.fixture
def home(tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user with a history: two workspaces, three broken sessions, a conflict, a backup of each run."""
    home = tmp_path / "home"
    scene, elsewhere = Scene(home / ".ait42"), Scene(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    for workspace, session_id in (("shop", "competition-12-a"), ("repo", "debate-3")):
        (home / "my" / workspace).mkdir(parents=True)
        path = str((home / "my" / workspace).resolve())
        scene.write(path, [chat(session_id, workspace=path, text="login timeout, merge conflict, 会議, refactoring")])
    broken = [{name: value for name, value in chat(f"b{n}").items() if name != "task"} for n in range(3)]
    scene.write(LOOM, broken)
    elsewhere.write(LOOM, [chat("elsewhere", workspace=LOOM)])
    assert migrator("migrate", "--progress", "none").code == 3
    shop = str((home / "my" / "shop").resolve())
    scene.change("UPDATE sessions SET task = 'changed here' WHERE id = 'competition-12-a'")
    scene.write(shop, [chat("competition-12-a", workspace=shop, task="changed there")])
    assert migrator("migrate", "--progress", "none").code == 3
    assert scene.query("SELECT id, reason FROM quarantine WHERE id IN (3, 4)") == [(3, "invalid"), (4, "conflict")]
    for name in ("corrected.json", "new.json"):
        (tmp_path / name).write_bytes(app_json([chat("b2", workspace=LOOM)])[1:-1])
    (tmp_path / "copy of shop.json").write_bytes(app_json([chat("competition-13", workspace=shop)]))
    return home


def words_of(example: str, home: Path) -> list[str]:
    """What the shell makes of an example, with a backup and a place that are there."""
    backups = sorted(folder.name for folder in (home / ".ait42" / "backups").iterdir())
    names = {_BACKUP: backups[0], _ELSEWHERE: str(home.parent / "elsewhere")}
    words = [names.get(word, word) for word in shlex.split(example)[1:]]
    return [str(home) + word[1:] if word.startswith("~/") else word for word in words]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_stands(
    example: str, home: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def served(_data_dir: Any, _port: int, ready: Any) -> None:
        ready("http://127.0.0.1:1/")

    monkeypatch.setattr(serve, "serve_database", served)  # the real one runs until it is interrupted
    monkeypatch.setattr(click, "launch", opened.append)
    words = words_of(example, home)
    if words[:2] in (
        ["backups", "restore"],
        ["schema", "revert"],
    ):  # only while the files are authoritative
        assert migrator("quarantine", "retry", "--all", "--take", "ours").code in FINE
        assert migrator("rollback", "--progress", "none").code in FINE
    if words[:2] == ["backups", "restore"]:  # and only what has no newer work in its place
        for file in (home / ".ait42" / "sessions").iterdir():
            file.unlink()
    outcome = migrator(*words)
    assert outcome.code in FINE, outcome
    assert outcome.out or outcome.err
    assert bool(opened) == ("--open" in words)


def test_what_an_example_writes_is_there(home: Path, migrator: Migrator) -> None:
    for example in EXAMPLES:
        words = words_of(example, home)
        for option in {"--to", "--html", "--report"} & set(words):
            assert migrator(*words).code in FINE
            target = home.parent / words[words.index(option) + 1]
            assert target.exists(), example
            shutil.rmtree(target) if target.is_dir() else target.unlink()
