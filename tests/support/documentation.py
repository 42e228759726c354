"""The pages, taken apart: every block of code that they show, however it is set, and every piece of code in a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.scene import CHECKOUT

README = CHECKOUT / "README.md"
SITE = sorted((CHECKOUT / "docs").glob("*.md"))
PAGES = [README, *SITE]
# What a program wrote is held to that program by a test of its own.
GENERATED = {"commands.md", "messages.md", "benchmarks.md"}
WRITTEN = [*(page for page in PAGES if page.name not in GENERATED), CHECKOUT / "fixtures" / "README.md"]

# Before a block of commands or code that no test runs, with the reason: <!-- not run: it waits for a browser -->
_MARK = re.compile(r"<!-- not run: (\S.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code.

    :ivar language: what its fence says; empty for a block that is merely indented
    :ivar not_run: why no test runs it, where a mark before it says so
    """

    page: Path
    line: int
    language: str
    body: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The command lines that follow a prompt."""
        return [line[2:] for line in self.body.splitlines() if line.startswith("$ ")]


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The blocks of a page in order, those in lists and quotations included."""
    return tuple(blocks_of(page.read_text(encoding="utf-8"), page))


def blocks_of(text: str, page: Path) -> Iterator[Block]:
    """The blocks of a page of this text."""
    mark = None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            language = (token.info.split() or [""])[0]
            line = (token.map or [0])[0] + 1
            yield Block(page, line, language, token.content, mark)
        if token.nesting == 0 or token.type.endswith("_open"):
            marked = _MARK.fullmatch(token.content.strip()) if token.type == "html_block" else None
            mark = marked[1] if marked else None


def pieces(page: Path) -> Iterator[str]:
    """The code in the lines of a page: what stands between backticks, with a line end as a space."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or []:
            if child.type == "code_inline":
                yield " ".join(child.content.split())
