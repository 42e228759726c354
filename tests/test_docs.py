"""The pages are right: their links lead somewhere, their commands exist, and their examples run."""

import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import click
import pytest

from migrator.cli.app import cli, run
from migrator.data_dir import DATA_DIR_VARIABLE, DATABASE_VARIABLE
from migrator.database import schema
from tests.scene import CHECKOUT, FIXTURES

README = CHECKOUT / "README.md"
PAGES = [README, *sorted((CHECKOUT / "docs").glob("*.md"))]
# The fixture holds damaged content on purpose, so that "done, and something needs you" is right too.
DONE = (0, 3)

LINK = re.compile(r"(?<!`)!?\[[^\]\n]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def examples(page: Path) -> list[str]:
    """The command lines of a page's console blocks, in order."""
    blocks = [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language == "console"]
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ migrator")]


def words_of(example: str) -> list[str]:
    program, *words = shlex.split(example, comments=True)
    assert program == "migrator"
    return [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]


def links(page: Path) -> list[str]:
    """Where a page's links lead, those to other sites left out."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The fragments that lead to a page's headings, as forges make them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_in_table() -> set[str]:
    """The commands in the first column of the README's table of commands."""
    rows = [line.split("|")[1] for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `mig")]
    return {command for row in rows for command in re.findall(r"`migrator ([^`]+)`", row)}


def commands_of(group: click.Group, names: str = "") -> Iterator[str]:
    """Every command of the program that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{names}{name} ")
        else:
            yield names + name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    broken = []
    for target in links(page):
        path, _, fragment = unquote(target).partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (fragment and fragment not in anchors(linked)):
            broken.append(target)
    assert not broken


def test_the_readme_shows_the_picture_and_leads_to_the_design():
    assert {"docs/terminal.svg", "docs/design.md"} <= set(links(README))


def test_the_picture_fetches_nothing_from_the_network():
    picture = (CHECKOUT / "docs" / "terminal.svg").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"')\s]+", picture) == ["http://www.w3.org/2000/svg"]


def test_every_page_is_in_the_site_and_nothing_else():
    text = (CHECKOUT / "zensical.toml").read_text(encoding="utf-8")
    in_site = re.findall(r'"([\w-]+\.md)"', text)
    assert sorted(in_site) == sorted(page.name for page in PAGES if page != README)


def test_no_page_of_the_site_links_out_of_it():
    """A file of the sources is named in backticks: the site has none of them."""
    assert not [(page.name, link) for page in PAGES if page != README for link in links(page) if link.startswith("../")]


def generator(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = spec_from_file_location(name, CHECKOUT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_command_reference", "make_message_reference"])
def test_what_is_generated_is_up_to_date(name):
    made = generator(name)
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run 'make reference'"


def test_troubleshooting_tells_about_every_error():
    text = (CHECKOUT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    every = set(generator("make_message_reference").classes()) - {"MigratorError"}
    assert not {name for name in every if f"`{name}`" not in text}


def test_every_message_names_only_commands_that_there_are():
    text = (CHECKOUT / "docs" / "messages.md").read_text(encoding="utf-8")
    known = set(commands_of(cli))
    named = {match[1] for match in re.finditer(r"'migrator ([a-z-]+(?: [a-z-]+)?)", text)}
    assert named
    assert not {words for words in named if words not in known and words.split()[0] not in known}


def test_the_readme_lists_exactly_the_commands_that_there_are():
    assert commands_in_table() == set(commands_of(cli))


def test_every_test_file_that_the_readme_names_is_there():
    named = re.findall(r"`(tests/[\w/.]*)`", README.read_text(encoding="utf-8"))
    assert named
    assert not [name for name in named if not (CHECKOUT / name).exists()]


def test_the_code_has_the_names_that_the_design_cites():
    """``module.name`` in backticks is a name of ours, ``table.column`` a column; names of files are neither."""
    text = (CHECKOUT / "docs" / "design.md").read_text(encoding="utf-8")
    modules = {file.stem: file for file in (CHECKOUT / "migrator").rglob("*.py")}
    with closing(schema.fresh()) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        unknown = []
        for first, second in sorted(set(re.findall(r"`([a-z_]+)\.(\w+)`", text))):
            if second in ("py", "db", "json", "lock"):
                continue
            if first in tables:
                known = _has_column(connection, first, second)
            else:
                path = modules[first].relative_to(CHECKOUT).with_suffix("")
                known = hasattr(import_module(".".join(path.parts)), second)
            if not known:
                unknown.append(f"{first}.{second}")
    assert not unknown


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))


def test_there_are_examples_to_run():
    assert examples(README)


@pytest.fixture
def at_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, with the fixture for the data directory that is meant where none is named."""
    data_dir = tmp_path / "data"
    shutil.copytree(FIXTURES / "data-dir", data_dir)
    monkeypatch.chdir(tmp_path)
    for name in (DATABASE_VARIABLE, "STORAGE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(data_dir))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


def code_blocks(page: Path) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"]


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page)], ids=lambda page: page.name)
@pytest.mark.usefixtures("at_a_users")
def test_the_code_of_a_page_runs_from_top_to_bottom(page: Path) -> None:
    names: dict[str, object] = {}
    for block in code_blocks(page):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=lambda page: page.name)
@pytest.mark.usefixtures("at_a_users")
def test_the_examples_of_a_page_run_one_after_the_other(page, capsys):
    for example in examples(page):
        code = run(words_of(example))
        assert code in DONE, f"{example}: exit code {code}\n{capsys.readouterr().err}"
