"""Writes docs/messages.md: every message that an error of ours can have, with what it says to do, out of the code.

usage: python docs/make_message_reference.py
"""

import ast
from pathlib import Path

from migrator import errors
from migrator.database import errors as database_errors
from migrator.files import os_errors

PAGE = Path(__file__).with_name("messages.md")
PACKAGE = Path(errors.__file__).parent
HEAD = """# Messages

Every message that an error of `migrator` can have, as the code has them, and what it says to do about it; `…` stands
for what differs. [Troubleshooting](troubleshooting.md) tells about the errors one by one.
`docs/make_message_reference.py` writes this page.
"""
# Messages for whatever the operating system, or SQLite, refuses; the hint depends on its reason.
BY_REASON = {
    "StorageIOError": ("Cannot … …: …", {number: hint or "" for number, (_, hint) in os_errors._OS_HINTS.items()}),
    "ConnectionFailed": ("Cannot … in the database …: …", database_errors._UNUSABLE),
}


def classes() -> dict[str, type[errors.MigratorError]]:
    """Every error of ours, by name, in the order of the module."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MigratorError)
    }


def messages() -> dict[str, set[tuple[str, str]]]:
    """Messages and hints by the name of the error."""
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in classes()}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in found and node.args:
                hints = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
                message = text_of(node.args[0], constants)
                if message.strip("… "):
                    found[node.func.id].add((message, text_of(hints[0], constants) if hints else ""))
    for name, (message, hints) in BY_REASON.items():
        found[name] |= {(message, hint) for hint in hints.values()}
    return found


def text_of(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """A text as it stands in the code, with … for what is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, constants) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left, constants) + text_of(right, constants)
        case ast.Name(id=name) if name in constants:
            return text_of(constants[name], {})
        case _:
            return "…"


def page() -> str:
    """The whole page."""
    text = HEAD
    for name, known in messages().items():
        if known:
            text += f"\n## {name}\n\n| message | what to do |\n|---|---|\n"
            text += "".join(f"| {cell(message)} | {cell(hint)} |\n" for message, hint in sorted(known))
    return text


def cell(text: str) -> str:
    """A text in a table, in which nothing of it is markup."""
    escaped = "".join(f"\\{character}" if character in "\\`*_{}[]|" else character for character in text)
    return escaped.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
