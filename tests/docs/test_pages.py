"""The pages are right: their links lead somewhere, their commands exist, and their examples run."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import click
import pytest

from benchmarks import record, report
from migrator.cli.app import cli, run
from migrator.data_dir import DATA_DIR_VARIABLE, DATABASE_VARIABLE
from migrator.database import schema
from tests.support.documentation import PAGES, README, SITE, WRITTEN, Block, blocks, blocks_of, pieces
from tests.support.scene import CHECKOUT, FIXTURES

# The fixture holds damaged content on purpose, so that "done, but some items need attention" is right too.
DONE = (0, 3)

LINK = re.compile(r"(?<!`)!?\[[^\]\n]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# In backticks: what is a command line, and what is a file of ours.
COMMAND = re.compile(r"migrator [a-z-]|make [a-z]|python -m|[A-Z_]+=\S+ make")
FILE = re.compile(r"(?:tests|schemas|fixtures|docs|benchmarks|\.ci)/[\w./-]*")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
RUN = {"console", "python"}
SHOWN = {"text", "json"}


def why_wrong(block: Block) -> str | None:
    """Why a block is neither run nor rightly left out; None where it is."""
    if block.not_run is not None:
        return None
    if block.language in SHOWN:
        return "it shows commands" if block.commands else None
    if block.language not in RUN:
        return f"nothing runs what is called {block.language!r}"
    if block.language == "console" and len(block.commands) != len(block.body.splitlines()):
        return "not every line is a command"
    if not all(command.startswith("migrator ") for command in block.commands):
        return "a command is not one of ours"
    return None


def examples(page: Path) -> list[str]:
    """The command lines of a page that are to be run, in order."""
    run = [block for block in blocks(page) if block.language == "console" and block.not_run is None]
    return [command for block in run for command in block.commands]


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
    """Load a script of docs/, which is not a package."""
    spec = spec_from_file_location(name, CHECKOUT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(os.name == "nt", reason="the picture shows paths with slashes")
def test_the_picture_shows_what_the_program_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator("make_terminal_picture")
    shown = words_in(made.PICTURE)
    monkeypatch.setattr(made, "PICTURE", tmp_path / "terminal.svg")
    made.main()
    assert words_in(tmp_path / "terminal.svg") == shown, "run 'python docs/make_terminal_picture.py'"


def words_in(picture: Path) -> list[str]:
    """What a picture says, without what differs from run to run: times, speeds, and how far a bar got ahead of them."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    text = " ".join(texts).replace("&#160;", " ")
    for varies in (r"[\d.,]+ [kMG]?B/s", r"\d+:\d+", r"in [\d.]+ m?s", r"\d{8}T\d{6}Z", r"\d+ sessions ", "━+"):
        text = re.sub(varies, "", text)
    return text.split()


@pytest.mark.parametrize("name", ["make_command_reference", "make_message_reference"])
def test_what_is_generated_is_up_to_date(name):
    made = generator(name)
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run 'make reference'"


def test_the_help_fits_into_the_page_of_commands() -> None:
    helps = [block.body for block in blocks(CHECKOUT / "docs" / "commands.md") if block.language == "text"]
    assert helps
    assert not [line for text in helps for line in text.splitlines() if len(line) > 80]


def test_troubleshooting_describes_every_error():
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


def test_every_test_file_that_the_testing_guide_names_is_there():
    page = CHECKOUT / "docs" / "testing-guide.md"
    named = re.findall(r"`(tests/[\w/.]*)`", page.read_text(encoding="utf-8"))
    assert named
    assert not [name for name in named if not (CHECKOUT / name).exists()]


# Names of other programs.
FOREIGN = {"_litestream_lock", "_litestream_seq", "allow_partial", "contentless_delete", "insert_all", "read_ndjson"}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_the_code_has_the_names_that_a_page_cites(page: Path) -> None:
    """What has an underscore or a capital within; words of a sentence have neither."""
    cited = {
        piece for piece in pieces(page) if re.fullmatch(r"[a-zA-Z]*(_[a-zA-Z]+)+|[A-Z][a-z]+([A-Z][a-z]+)+", piece)
    }
    assert cited - words_of_the_sources() - FOREIGN == set()


@cache
def words_of_the_sources() -> set[str]:
    folders = [CHECKOUT / name for name in ("migrator", "schemas", "tests", "benchmarks")]
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in (".py", ".sql", ".json")]
    files.remove(Path(__file__).resolve())
    return {word for file in files for word in re.findall(r"[a-zA-Z_]+", file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["design.md", "performance.md"])
def test_the_code_has_the_names_of_modules_and_tables_that_a_page_cites(name: str) -> None:
    """``module.name`` in backticks is a name of ours, ``table.column`` a column; names of files are neither."""
    text = (CHECKOUT / "docs" / name).read_text(encoding="utf-8")
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


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_block_of_code_is_run_or_says_why_not(page: Path) -> None:
    assert not {str(block): why for block in blocks(page) if (why := why_wrong(block))}


NEITHER = """
1. In a list:

   ```console
   $ migrator status
   Authoritative store: SQLite
   ```

       $ indented in the list

> ```sh
> quoted
> ```

    indented

```console
$ make demo
```

```text
$ migrator status
```

<!-- not run: for a reason -->

Words between.

```rust
```

<!-- not run: -->

```rust
```
"""
EITHER = """
- In a list:

  <!-- not run: it waits
  for a browser -->

      $ migrator browse

```console
$ migrator status
$ migrator verify
```

```python
pass
```

```text
what came out
```
"""


def test_a_block_that_is_neither_run_nor_marked_is_found_wherever_it_stands() -> None:
    assert [why_wrong(block) is None for block in blocks_of(NEITHER, README)] == [False] * 8
    assert [why_wrong(block) is None for block in blocks_of(EITHER, README)] == [True] * 4


MAKE_TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def unknown_in(line: str) -> list[str]:
    """What a command line names that there is not: a command or option of ours, a target, an extra, a module."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["migrator"]:
        return unknown_words(cli, words[1:])
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]  # what is set for the command
    if words[:1] == ["make"]:
        return [word for word in words[1:] if word not in MAKE_TARGETS]
    if words[:3] == ["python", "-m", "pip"]:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return [name for name in re.findall(r"\[(\w+)\]", line) if name not in project["optional-dependencies"]]
    if words[:2] == ["python", "-m"] and not (CHECKOUT / f"{words[2].replace('.', '/')}.py").exists():
        return [] if words[2] == "migrator" else words[2:3]
    return []


def unknown_words(command: click.Command, words: list[str]) -> list[str]:
    context = click.Context(command)
    takes_value: set[str] = set()
    known = {"--help"}
    for option in command.params:
        known |= {*option.opts, *option.secondary_opts}
        if isinstance(option, click.Option) and not option.is_flag:
            takes_value |= {*option.opts}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            if word not in known:
                return [word]
            del rest[: word in takes_value]
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            return unknown_words(found, rest) if found else [word]
    return []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_page_names_only_commands_options_targets_and_files_that_there_are(page: Path) -> None:
    """Those that are not run as well."""
    in_lines = [piece for piece in pieces(page) if COMMAND.match(piece)]
    commands = [command for block in blocks(page) for command in block.commands]
    unknown = {line: words for line in [*commands, *in_lines] if "…" not in line and (words := unknown_in(line))}
    named = [piece for piece in pieces(page) if FILE.fullmatch(piece)]
    missing = [name for name in named if not (CHECKOUT / name).exists()]
    assert (unknown, missing) == ({}, [])


def test_a_command_that_there_is_not_is_found() -> None:
    assert unknown_in("migrator backups prune --keep 1") == []
    assert unknown_in("migrator --data-dir x migrate --progress jsonl") == []
    assert unknown_in("migrator backups purge") == ["purge"]
    assert unknown_in("migrator backups prune --older 1") == ["--older"]
    assert unknown_in("make everything") == ["everything"]
    assert unknown_in('python -m pip install ".[nothing]"') == ["nothing"]
    assert unknown_in("python -m benchmarks.nothing") == ["benchmarks.nothing"]


def test_the_events_that_the_pages_show_are_such_events() -> None:
    schema_of = json.loads((CHECKOUT / "schemas" / "json" / "progress-event.schema.json").read_text(encoding="utf-8"))
    known: dict[str, set[str]] = {}
    for form in schema_of["oneOf"]:
        members = schema_of["$defs"][form["$ref"].rpartition("/")[2]]["properties"]
        known.setdefault(members["event"]["const"], set()).update(members)
    phases = schema_of["$defs"]["progress"]["properties"]["phase"]["enum"]
    shown = [line for page in SITE for block in blocks(page) for line in block.body.splitlines() if '"event"' in line]
    assert len(shown) >= 2
    for line in shown:
        event = json.loads(line.replace("[…]", "[]").replace(", …", ""))
        assert set(event) <= known[event["event"]]
        assert event.get("phase", "load") in phases


def test_the_page_of_benchmarks_has_the_figures_that_were_kept() -> None:
    kept = record._read(CHECKOUT / "docs" / "benchmarks.json")
    made = report._markdown([*kept.sizes.values()], kept.growths, kept.comparisons)
    page = (CHECKOUT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    of_the_machine = re.compile("^Measured on .*$", re.MULTILINE)
    assert of_the_machine.sub("", page) == of_the_machine.sub("", made), "run 'make bench'"


def test_the_readme_has_the_figures_that_were_kept() -> None:
    size = record._read(CHECKOUT / "docs" / "benchmarks.json").sizes["M"]
    ours, imported = (result.figures for result in size.results if result.contender in ("migrator", "json_each"))
    assert ours
    assert imported
    shares = {3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth"}
    share = shares[round(imported.wall_s / ours.wall_s)]
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"takes {share} of the time that SQLite's own JSON import takes" in text, (
        "the last measurement says otherwise"
    )
    assert f"about {round(ours.peak_rss_bytes / 1e7)}0 MB of memory" in text


@pytest.fixture
def at_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, with the fixture for the app's data directory in it."""
    shutil.copytree(FIXTURES / "data-dir", tmp_path / ".ait42")
    monkeypatch.chdir(tmp_path)
    for name in (DATA_DIR_VARIABLE, DATABASE_VARIABLE, "STORAGE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


def code_blocks(page: Path) -> list[str]:
    return [block.body for block in blocks(page) if block.language == "python" and block.not_run is None]


# Their blocks run in an order of their own, in a folder of their own: see make_worked_examples.
WORKED = {"merging.md", "rolling-back.md"}


@pytest.mark.skipif(os.name == "nt", reason="the pages show paths with slashes")
@pytest.mark.parametrize("name", sorted(WORKED))
def test_a_worked_example_prints_what_the_page_shows(name: str) -> None:
    page = CHECKOUT / "docs" / name
    made = generator("make_worked_examples")
    assert page in made.PAGES
    assert page.read_text(encoding="utf-8") == made.page_with_outputs(page), "run 'make reference'"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if code_blocks(page) and page.name not in WORKED], ids=lambda page: page.name
)
@pytest.mark.usefixtures("at_a_users")
def test_the_code_of_a_page_runs_from_top_to_bottom(page: Path) -> None:
    names: dict[str, object] = {}
    for block in code_blocks(page):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page) and page.name not in WORKED], ids=lambda page: page.name
)
@pytest.mark.usefixtures("at_a_users")
def test_the_examples_of_a_page_run_one_after_the_other(page, capsys):
    for example in examples(page):
        code = run(words_of(example))
        assert code in DONE, f"{example}: exit code {code}\n{capsys.readouterr().err}"
