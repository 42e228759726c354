"""Measures how the CPU time of commands grows with the size of what they work on.

`python -m benchmarks.growth [CASE ...] [--sizes 1000 4000 16000]` prints the CPU seconds of each command of each case,
by size, and the exponent from the smallest to the largest: 1 means that ten times as much takes ten times as long. The
time of a command that finds nothing to do is subtracted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

SIZES = (1_000, 4_000, 16_000)
WORKSPACE_FILE = "0123456789abcdef.json"
TIME = "2025-01-13T10:00:00.000Z"

Document = dict[str, Any]
Timed = Iterator[tuple[str, float]]


def session(name: str, task: str = "a task", **members: Any) -> Document:
    document: Document = {"id": name, "type": "competition", "task": task, "status": "running", "createdAt": TIME}
    return document | {"updatedAt": TIME, "instances": [], "chatHistory": []} | members


def message(name: str, content: str = "x") -> Document:
    return {"id": name, "role": "user", "content": content, "timestamp": TIME, "instanceId": None}


def instance(number: int) -> Document:
    texts = dict.fromkeys(("worktreePath", "branch", "agentName", "tmuxSessionId"), "")
    return {"instanceId": number, "status": "idle"} | texts


def invalid(count: int) -> list[Document]:
    return [{"id": f"b{number}", "bad": number} for number in range(count)]


class Place:
    """A data directory, whose file and database a case changes between commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sessions").mkdir(parents=True)

    def write(self, documents: Iterable[Document]) -> None:
        """Write the file as an older build would."""
        text = json.dumps([*documents], indent=2, ensure_ascii=False)
        (self.root / "sessions" / WORKSPACE_FILE).write_text(text, encoding="utf-8")

    def change_all(self) -> None:
        """Change every session in SQLite."""
        with closing(sqlite3.connect(self.root / "sessions.db")) as connection, connection:
            connection.execute("UPDATE sessions SET updated_at = 'later'")

    def run(self, *command: str) -> tuple[str, float]:
        """Run a command; return it and its CPU seconds, those of its worker process included."""
        arguments = [sys.executable, "-m", "migrator", "--data-dir", str(self.root), *command]
        before = os.times()
        code = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        after = os.times()
        if code not in (0, 3):
            raise SystemExit(f"{' '.join(command)} ended with {code}")
        name = " ".join(word for word in command if not os.path.isabs(word))
        return name, after.children_user + after.children_system - before.children_user - before.children_system


def whole_life(documents: Callable[[int], list[Document]]) -> Callable[[Place, int], Timed]:
    """Return a case: migrate, verify, add one session, roll back, migrate again, and look at the quarantine."""

    def case(place: Place, size: int) -> Timed:
        place.write(documents(size))
        yield place.run("migrate")
        yield place.run("verify")
        place.write([*documents(size), session("one more")])
        yield place.run("migrate")
        place.change_all()
        yield place.run("rollback")
        yield place.run("migrate")
        yield place.run("quarantine", "export", "--to", str(place.root / "quarantined"))
        yield place.run("quarantine", "retry", "--all")

    return case


def conflicts(place: Place, size: int, *, each: int = 1) -> Timed:
    """All sessions are changed on both sides."""
    names = [f"s{number // each}" for number in range(size)]
    place.write(session(name, str(number)) for number, name in enumerate(names))
    yield place.run("migrate")
    place.change_all()
    place.write(session(name, f"{number} in the file") for number, name in enumerate(names))
    yield place.run("migrate")
    yield place.run("quarantine", "export", "--to", str(place.root / "quarantined"))
    yield place.run("quarantine", "retry", "--all", "--take", "theirs")
    yield place.run("backend", "hybrid")


def changed(place: Place, size: int) -> Timed:
    """All sessions are changed, then deleted, in the file."""
    place.write(session(f"s{number}") for number in range(size))
    yield place.run("migrate")
    place.write(session(f"s{number}", "in the file") for number in range(size))
    yield place.run("migrate")
    place.write([])
    yield place.run("migrate")


def newly_invalid(place: Place, size: int) -> Timed:
    """As many sessions become invalid as there are new ones next to them."""
    place.write(session(f"s{number // 2}", str(number)) for number in range(2 * size))
    yield place.run("migrate")
    left = [session(f"s{number}", "left") for number in range(size)]
    place.write([*left, *({"bad": number} for number in range(size))])
    yield place.run("migrate")
    place.write([*left, *({"bad": number} for number in range(size)), *(session(f"n{n}") for n in range(size))])
    yield place.run("migrate")


def after_a_rollback(place: Place, size: int) -> Timed:
    """All sessions change in SQLite after a rollback, and in the file."""
    place.write(session(f"s{number}") for number in range(size))
    yield place.run("migrate")
    yield place.run("rollback")
    place.change_all()
    place.write(session(f"s{number}", "in the file") for number in range(size))
    yield place.run("migrate")
    yield place.run("rollback")


CASES: dict[str, Callable[[Place, int], Timed]] = {
    "messages": whole_life(lambda size: [session("a", chatHistory=[message(f"m{n}") for n in range(size)])]),
    "equal message ids": whole_life(lambda size: [session("a", chatHistory=[message("m")] * size)]),
    "empty message ids": whole_life(lambda size: [session("a", chatHistory=[message("")] * size)]),
    "equal instances": whole_life(lambda size: [session("a", instances=[instance(0)] * size)]),
    "unknown members": whole_life(lambda size: [session("a") | {f"u{n}": n for n in range(size)}]),
    "runtimes": whole_life(lambda size: [session("a", runtimeMix=[f"r{n}" for n in range(size)])]),
    "equal ids": whole_life(lambda size: [session("a", str(n)) for n in range(size)]),
    "long ids": whole_life(lambda size: [session(f"{n}{'i' * 1000}", str(n)) for n in range(size)]),
    "invalid": whole_life(invalid),
    "conflicts": conflicts,
    "conflicts of one id": lambda place, size: conflicts(place, size, each=size),
    "changed": changed,
    "newly invalid": newly_invalid,
    "after a rollback": after_a_rollback,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        idle = Place(Path(temporary) / "idle")
        idle.write([])
        idle.run("migrate")
        start = min(idle.run("migrate")[1] for _ in range(3))
        for name in options.cases or CASES:
            results = [[*CASES[name](Place(Path(temporary) / f"{name} {size}"), size)] for size in options.sizes]
            for steps in zip(*results, strict=True):
                seconds = [max(spent - start, 0.01) for _, spent in steps]
                growth = math.log(seconds[-1] / seconds[0]) / math.log(options.sizes[-1] / options.sizes[0])
                shown = "  ".join(f"{spent:7.2f}" for spent in seconds)
                print(f"{name:22} {steps[0][0]:36} {shown}  exponent {growth:.2f}", flush=True)


if __name__ == "__main__":
    main()
