"""The page of messages has every code that the program uses, and each code has the form ``noun.state``."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import migrator
from migrator.diagnostics.redaction import NOUNS
from migrator.errors import MigratorError
from migrator.verification import findings
from tests.support.scene import CHECKOUT

PACKAGE = Path(migrator.__file__).parent
PAGE = (CHECKOUT / "docs" / "messages.md").read_text(encoding="utf-8")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """What is passed as ``code``, and what a class or table calls its code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from texts_in(node.value)
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.Assign) and any(getattr(name, "id", "") == "code" for name in each.targets):
                    yield from texts_in(each.value)


def texts_in(node: ast.expr) -> Iterator[str]:
    branches = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    for branch in branches:
        if isinstance(branch, ast.Constant) and isinstance(branch.value, str):
            yield branch.value


@cache
def used() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    return {code for tree in trees for code in codes_in(tree)} | findings.BROKEN.keys() | findings.NOTES.keys()


def test_every_code_has_the_form_noun_dot_state() -> None:
    assert len(used()) > 50
    form = re.compile(rf"({'|'.join(NOUNS)})\.[a-z]+(_[a-z0-9]+)*")
    assert [code for code in used() if not form.fullmatch(code)] == []


def test_every_code_is_on_the_page() -> None:
    assert [code for code in sorted(used()) if f"`{code}`" not in PAGE] == []


def test_every_exception_has_a_code_of_its_own_or_of_its_base() -> None:
    assert MigratorError("x").code == MigratorError.code
    assert MigratorError("x", code="disk.full").as_message().code == "disk.full"


def test_what_the_system_says_is_on_the_page() -> None:
    for words in ("No space left on device", "Permission denied", "database is locked", "file is not a database"):
        assert words in PAGE
