"""Writes docs/messages.md from the code: every message with what to do about it, its code and its exit code.

usage: python docs/make_message_reference.py
"""

import ast
import errno
import re
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from migrator import errors
from migrator.database import errors as database_errors
from migrator.diagnostics.redaction import NOUNS
from migrator.files import os_errors
from migrator.verification import findings

PAGE = Path(__file__).with_name("messages.md")
PACKAGE = Path(errors.__file__).parent
CODE = re.compile(rf"(?:{'|'.join(NOUNS)})\.(?!(?:db|json|lock|sql)$)[a-z]+(?:_[a-z0-9]+)*")
HEAD = """# Messages

Every message about an error or a problem. To find one that you see, search this page for some of its words; `…` stands
for a part that varies, such as a name or a number. [Troubleshooting](troubleshooting.md) explains the common ones.

The code names the cause, and stays the same when a message is reworded: programs should look at it, not at the words.
It is the `code` of an exception, of an entry in `problems`, and of a finding of `doctor`. The exit code is that of a
command that fails with the message. For a text in the report of a command that finished, it is 3 if the text is about
something that needs attention, and 0 if it is only a warning. `verify` ends with 1 if anything is broken. A message
that repeats another one after a colon has that one's code: *of the cause*.

`docs/make_message_reference.py` writes this page.
"""
IN_A_REPORT = "0 or 3"  # the exit code with a text in a report
OF_THE_CAUSE = "*of the cause*"  # the code, where a message is about another error
# What the operating system and SQLite say, at the end of the message.
SYSTEM_SAYS = {
    errno.ENOENT: "No such file or directory", errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded", errno.EACCES: "Permission denied", errno.EPERM: "Operation not permitted",
    errno.EROFS: "Read-only file system", errno.ENOTDIR: "Not a directory", errno.EISDIR: "Is a directory",
    errno.EEXIST: "File exists", errno.EIO: "Input/output error", errno.EFBIG: "File too large",
}  # fmt: skip
SQLITE_SAYS = {
    sqlite3.SQLITE_BUSY: "database is locked", sqlite3.SQLITE_LOCKED: "database table is locked",
    sqlite3.SQLITE_CANTOPEN: "unable to open database file", sqlite3.SQLITE_NOTADB: "file is not a database",
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
    sqlite3.SQLITE_READONLY: "attempt to write a readonly database", sqlite3.SQLITE_PERM: "access permission denied",
    sqlite3.SQLITE_FULL: "database or disk is full", sqlite3.SQLITE_IOERR: "disk I/O error",
}  # fmt: skip
NO_HINT = ast.Constant("")
MOST_VARIANTS = 12  # of one message; a part with more of them becomes …


class Row(NamedTuple):
    """One message.

    :ivar name: the class of the exception, or what reports it
    """

    message: str
    hint: str
    code: str
    exit_code: str
    name: str


def classes() -> dict[str, type[errors.MigratorError]]:
    """Return every exception class, by name, in the order of the module."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MigratorError)
    }


class Module:
    """One module of the program, with the texts that its calls are given."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(PACKAGE).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                yield name, node

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around one, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def texts(self, node: ast.AST | None, call: ast.expr | ast.stmt) -> list[str]:
        """Return every text that an argument may be, with … for what varies."""
        found = ["…"]
        match node:
            case ast.Constant(value=str(text)):
                found = [text]
            case ast.JoinedStr(values=parts):
                found = self.joined(parts, call)
            case ast.FormattedValue(value=value):
                found = self.texts(value, call)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = self.joined([left, right], call)
            case ast.IfExp(body=body, orelse=orelse):
                found = [*self.texts(body, call), *self.texts(orelse, call)]
            case ast.Call(func=ast.Name(id="counted"), args=[_, ast.Constant(value=str(noun))]):
                found = [f"… {noun}s"]
            case ast.Name(id=name):
                found = self.assigned(name, call) or found
        return found

    def joined(self, parts: Iterable[ast.expr], call: ast.expr | ast.stmt) -> list[str]:
        found = [""]
        for part in parts:
            texts = self.texts(part, call)
            if len(found) * len(texts) > MOST_VARIANTS:
                texts = ["…"]
            found = [before + text for before, text in product(found, texts)]
        return found

    def assigned(self, name: str, node: ast.expr | ast.stmt) -> list[str]:
        """Return the texts that a variable may have at a node: those of the last assignments before it."""
        around = [*self.around(node)]
        functions = [each for each in around if isinstance(each, ast.FunctionDef)]
        for scope in [*functions[:1], self.tree]:
            found: list[str] = []
            for assignment in self.assignments(scope, name):
                if scope is not self.tree and assignment.lineno >= node.lineno:
                    continue
                texts = self.texts(assignment.value, assignment)
                branches = [each for each in self.around(assignment) if isinstance(each, ast.If) and each not in around]
                if isinstance(assignment, ast.AugAssign):
                    before = self.assigned(name, assignment)
                    found += [first + more for first, more in product(before, texts)]
                    return found + (before if branches else [])
                found += texts
                if not branches or (branches[-1].orelse and assignment.lineno < branches[-1].orelse[0].lineno):
                    return found
            if found:
                return found
        return []

    def assignments(self, scope: ast.AST, name: str) -> list[ast.Assign | ast.AugAssign]:
        """Return the assignments to a variable, the last one first."""
        found = []
        for node in ast.walk(scope) if scope is not self.tree else self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, ast.Assign | ast.AugAssign) and any(
                isinstance(target, ast.Name) and target.id == name for target in targets
            ):
                found.append(node)
        return sorted(found, key=lambda node: -node.lineno)


def rows() -> set[Row]:
    """Return every message."""
    found = set(_by_reason())
    for path in sorted(PACKAGE.rglob("*.py")):
        module = Module(path)
        for name, call in module.calls():
            found |= set(_rows_of(module, name, call))
    for level, known in (("1", findings.BROKEN), ("0", findings.NOTES)):
        for code, (message, hint) in known.items():
            found.add(Row(_blank(message), _blank(hint or ""), code, level, "verify"))
    return {row for row in found if row.message.strip("….,:; ")}


def _rows_of(module: Module, name: str, call: ast.Call) -> Iterator[Row]:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    kind = classes().get(name)
    place = 0
    if kind is not None:
        codes, exit_code = [kind.code], str(kind.exit_code)
    elif name == "Message" and module.name != "errors.py":
        codes, exit_code = [], IN_A_REPORT
    elif name == "Problem" and len(call.args) >= 3:
        yield from _problem(module, call, keywords)
        return
    elif name == "__init__" and module.name == "errors.py":
        own = next(node.name for node in module.around(call) if isinstance(node, ast.ClassDef))
        kind = classes().get(own)
        if kind is None or kind is errors.MigratorError or not call.args:
            return
        codes, exit_code = [kind.code], str(kind.exit_code)
    elif "code" in keywords and module.name.split("/")[0] in ("verification", "diagnostics"):
        place = 2 if name == "finding" else 1
        exit_code = {"ok": "0", "note": "0"}.get(name, "1" if module.name == "verification/run.py" else "3")
        codes, name = [], module.name.split("/")[0]
    else:
        return
    if "code" in keywords:
        given = [text for text in module.texts(keywords["code"], call) if CODE.fullmatch(text)]
        codes = given or ([OF_THE_CAUSE] if isinstance(keywords["code"], ast.Attribute) else codes)
    if len(call.args) <= place:
        return
    for message, hint, code in product(
        module.texts(call.args[place], call), module.texts(keywords.get("hint", NO_HINT), call), codes
    ):
        if code != OF_THE_CAUSE or ": " in message:
            yield Row(_tidy(message), _tidy(hint), code, exit_code, name)


def _problem(module: Module, call: ast.Call, keywords: dict[str | None, ast.expr]) -> Iterator[Row]:
    given = keywords.get("code") or (call.args[3] if len(call.args) > 3 else None)
    codes = [text for text in module.texts(given, call) if CODE.fullmatch(text)] or ["document.invalid"]
    for found, expected, code in product(module.texts(call.args[1], call), module.texts(call.args[2], call), codes):
        yield Row(_tidy(str(errors.Problem("…", found, expected, code))), "", code, IN_A_REPORT, "Problem")


def _by_reason() -> Iterator[Row]:
    """Yield the messages for what the operating system or SQLite refuses."""
    for number, (code, hint) in os_errors._OS_HINTS.items():
        message = f"Cannot … …: {SYSTEM_SAYS[number]}."
        yield Row(message, hint or "", code, "1", "StorageIOError")
    for number, (code, hint) in database_errors._UNUSABLE.items():
        message = f"Cannot … the database …: {SQLITE_SAYS[number]}."
        yield Row(message, hint, code, "1", "ConnectionFailed")


def _blank(text: str) -> str:
    """Replace the fields of a format string with …."""
    return _tidy(re.sub(r"\{[^}]*\}", "…", text))


def _tidy(text: str) -> str:
    return re.sub(r"…(?:\s*…)+", "…", " ".join(text.split()))


def codes() -> dict[str, set[tuple[str, str]]]:
    """Return every code that the program uses, with the exit codes and exception classes that it comes with."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.setdefault(node.value, set())
    for row in rows():
        if row.code != OF_THE_CAUSE:
            found.setdefault(row.code, set()).add((row.exit_code, row.name))
    for kind in classes().values():
        found[kind.code].add((str(kind.exit_code), kind.__name__))
    return found


def page() -> str:
    """Return the whole page."""
    text = HEAD + "\n## By the words\n\n| message | what to do | code | exit code |\n|---|---|---|---|\n"
    for row in sorted(rows(), key=_by_words):
        code = row.code if row.code == OF_THE_CAUSE else f"`{row.code}`"
        text += f"| {cell(row.message)} | {cell(row.hint)} | {code} | {row.exit_code} |\n"
    text += "\n## By the code\n\n| code | exception | exit code |\n|---|---|---|\n"
    for code, found in sorted(codes().items()):
        names = ", ".join(f"`{name}`" for name in sorted({name for _, name in found if name in classes()}))
        exits = {number for exit_codes, _ in found for number in exit_codes.split(" or ")}
        text += f"| `{code}` | {names} | {' or '.join(sorted(exits)) or IN_A_REPORT} |\n"
    return text


def _by_words(row: Row) -> tuple[str, Row]:
    return re.sub(r"^\W+", "", row.message).casefold(), row


def cell(text: str) -> str:
    """Escape a text for a table, so that nothing of it is markup."""
    escaped = "".join(f"\\{character}" if character in "\\`*_{}[]|" else character for character in text)
    return escaped.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
