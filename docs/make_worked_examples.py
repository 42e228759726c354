"""Runs the worked examples of docs/merging.md and docs/rolling-back.md, and writes what they print into the pages.

    python docs/make_worked_examples.py

The blocks of a page run from top to bottom in an empty folder, which is shown as /home/dev. A text block that follows a
code block holds what that printed.
"""

# ruff: noqa: S102, S603 - a script, which runs only the pages and the program of this checkout

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
PAGES = tuple(DOCS / name for name in ("merging.md", "rolling-back.md"))
SETTINGS = ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND")
_CODE = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
# What differs from run to run: names of backups, times, durations and sizes of the database.
_VARIES = re.compile(
    r"\d{8}T\d{6}Z(?:-[0-9a-f]{8}\b)?|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    r"|in [\d.]+ m?s|[\d.]+ (?:bytes?|[kMG]B)(?:/s)?"
)


def page_with_outputs(page: Path) -> str:
    """The page's text, with what its code prints now; where only times and sizes differ, the text stays as it is."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch, at_home_in(Path(scratch).resolve()) as home:
        names: dict[str, object] = {}

        def replaced(match: re.Match[str]) -> str:
            language, code, shown = match[1], match[2], match[3]
            printed = (run_commands(code) if language == "console" else run_code(code, names)).replace(
                home, "/home/dev"
            )
            if shown is None or _VARIES.sub("", shown) == _VARIES.sub("", printed):
                return match[0]
            return f"```{language}\n{code}```\n\n```text\n{printed}```\n"

        return _CODE.sub(replaced, text)


@contextlib.contextmanager
def at_home_in(folder: Path) -> Iterator[str]:
    """Work in a folder, without the user's own settings; gives its path."""
    kept = {name: os.environ.pop(name) for name in SETTINGS if name in os.environ}
    try:
        with contextlib.chdir(folder):
            yield str(folder)
    finally:
        os.environ.update(kept)


def run_commands(lines: str) -> str:
    """Run the command lines of a block; return what they print for people: notes, then standard output."""
    printed = ""
    for line in lines.splitlines():
        _, *words = shlex.split(line.removeprefix("$ "), comments=True)
        program = [sys.executable, "-m", "migrator", *words]
        done = subprocess.run(
            program, capture_output=True, encoding="utf-8", env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, check=False
        )
        if done.returncode not in (0, 3):  # a conflict needs attention
            sys.exit(f"{line} ended with exit code {done.returncode}:\n{done.stderr}")
        notes = [line for line in done.stderr.splitlines(keepends=True) if line.startswith("Note: ")]  # no progress
        printed += "".join(notes) + done.stdout
    return printed


def run_code(code: str, names: dict[str, object]) -> str:
    """Run a block of Python; return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "example", "exec"), names)
    return printed.getvalue()


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(page_with_outputs(each), encoding="utf-8")
