"""Draws docs/terminal.svg: a migration with one quarantined session, exactly as the program prints it.

    python docs/make_terminal_picture.py

The commands really run, in a temporary home directory, whose path is shown as /home/dev.
"""

# ruff: noqa: S603 - a script, which runs only this checkout's own program

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

CHECKOUT = Path(__file__).resolve().parent.parent
FIXTURES = CHECKOUT / "fixtures"
PICTURE = CHECKOUT / "docs" / "terminal.svg"
# The options make a pipe look like the terminal that the commands alone would find.
COMMANDS = (("migrate", "--progress", "bar"), ("verify", "--progress", "none"))
COLUMNS = 120
SETTINGS = ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND")
# rich's frame fetches its font from the network; any monospaced font does.
FROM_THE_NETWORK = re.compile(r"<!--.*?-->\s*|@font-face \{.*?\}\s*", re.DOTALL)
# Of the fixture: workspaces in which every session is valid. One file with one invalid session is added.
WHOLE = ("1629fe615d2de3c7", "2add148f6aa6e224", "ab6d8d3e12f7412c", "ac2ade19253917ed")
ONE_INVALID = "missing-member.json"


def main() -> None:
    """Run the commands, and draw what they print."""
    with tempfile.TemporaryDirectory() as scratch, open(os.devnull, "w", encoding="utf-8") as nowhere:
        home = Path(scratch) / "home"
        make_data_directory(home / ".ait42")
        console = Console(record=True, width=COLUMNS, file=nowhere, color_system="truecolor", force_terminal=True)
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (f"migrator {command[0]}", "bold")))
            printed = Text(run(command, home).replace(str(home), "/home/dev"))
            printed.highlight_regex("━+", "green")
            console.print(printed)
        picture = FROM_THE_NETWORK.sub("", console.export_svg(title="migrator", unique_id="terminal"))
    PICTURE.write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n", encoding="utf-8")


def make_data_directory(place: Path) -> None:
    """A data directory with five workspaces, of which one has an invalid session."""
    (place / "sessions").mkdir(parents=True)
    for hash_ in WHOLE:
        shutil.copy(FIXTURES / "data-dir" / "sessions" / f"{hash_}.json", place / "sessions")
    expected = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
    hash_ = expected["damaged"]["hash"]
    shutil.copy(FIXTURES / "damaged" / ONE_INVALID, place / "sessions" / f"{hash_}.json")


def run(command: tuple[str, ...], home: Path) -> str:
    """Run one command in the temporary home directory; return what it prints."""
    settings = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    settings |= {"HOME": str(home), "USERPROFILE": str(home), "COLUMNS": str(COLUMNS), "PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-m", "migrator", *command]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(words, cwd=home, env=settings, check=False, **both)
    printed = done.stdout.decode()
    if done.returncode not in (0, 3):  # one session is invalid on purpose
        sys.exit(f"migrator {' '.join(command)} ended with exit code {done.returncode}:\n{printed}")
    return "\n".join(line.rpartition("\r")[2] for line in printed.split("\n"))  # of a bar, the last drawing


if __name__ == "__main__":
    main()
