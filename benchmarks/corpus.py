"""Generates seeded corpora in the app's own format, to measure with.

`python -m benchmarks.corpus --size S --to DIR` writes `DIR/sessions/<hash>.json` and prints the totals
as JSON. The same size and seed give the same bytes. Memory is limited by one session, whatever the size.

Left out on purpose: durations above 2^63-1, at which every rival stops; and NUL, at which SQLite's JSON functions
silently truncate a text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import orjson

from benchmarks.results import Totals

Document = dict[str, Any]
Choice = TypeVar("Choice")

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
SESSION_SLOT_MS = 3_600_000  # an hour per session keeps the chat ids, made of milliseconds, distinct
TWIN_EVERY_PAIRS = 50  # one pair of neighbours in 50 shares its id: 1% of the sessions are second copies
SHARED_CLOCK_EVERY = 400  # such a session starts in its predecessor's millisecond, so that chat ids clash
REPEATED_MESSAGE_ID = 0.0005  # share of the messages that repeat their predecessor's id
POOL_SIZE = 2_000  # number of different texts in a corpus
CAPTURE_BYTES = 200_000

PROSE = (
    "agent branch build cache check commit compile config diff error file fix flag index lint log "
    "merge module output parse patch query refactor render retry review run schema session step "
    "test token type update worktree"
)
WORDS = PROSE.split()
JAPANESE = (
    "競技モードの結果を比較してください。",
    "テストが失敗しました。ログを確認します。",
    "実装を見直して、もう一度ビルドします。",
    "ワークツリーを作成しました🚀",
)
ANSI = (
    "\x1b[32m✔\x1b[0m ok",
    "\x1b[1;31merror\x1b[0m: mismatched types",
    "\x1b[2K\r\x1b[33mwarning\x1b[0m unused",
    "\x1b[36m→\x1b[0m\tnext",
)
CODE = (
    'println!("{}", path.display());',
    "const re = /^\\w+\\/(\\d+)$/;",
    'let s = "a\\\\b";',
    "if (a < b && c > d) { return null; }",
)
RUNTIMES = ("claude", "codex", "gemini")
MODELS = ("sonnet", "opus", "gpt-5", "gemini-2.5-pro")
SESSION_STATUS = ("completed", "completed", "completed", "failed", "paused", "running")
INSTANCE_STATUS = ("completed", "completed", "completed", "failed", "archived", "idle", "paused")


@dataclass(frozen=True)
class Shape:
    """The shape of a corpus: counts over all its files, and mean text lengths in bytes."""

    files: int
    sessions: int
    instances: int
    messages: int
    content_bytes: int = 210
    output_bytes: int = 300
    varied: bool = True
    """Whether sessions differ in their counts and some ids occur twice."""
    stretch_last: int = 0
    """Bytes added to the last message of each file."""
    capture_every: int = 2_000
    """One instance in this many has a whole terminal capture, on average; 0: none has."""
    file_bytes: int | None = None
    """Exact size of the only file; the counts are then ratios."""


TINY = Shape(20_000, 20_000, 40_000, 100_000, content_bytes=110, varied=False, capture_every=0)
# A file has 4 bytes of brackets, a further session in the same file 2 bytes of comma: 1,000 sessions in one
# file are 2 * 999 bytes shorter than in 1,000 files, and stretch_last adds those.
TINY_REFERENCE = replace(TINY, files=20, stretch_last=2 * (TINY.sessions // 20 - 1))
SHAPES = {
    "S": Shape(100, 1_000, 10_000, 10_000, content_bytes=60, output_bytes=60, capture_every=10_000),
    "M": Shape(20, 10_000, 100_000, 1_000_000),
    "five-files": Shape(5, 500, 5_000, 50_000),
    "XL": Shape(200, 100_000, 1_000_000, 10_000_000),  # ten times M
    "tiny": TINY,
    "tiny-reference": TINY_REFERENCE,
}
HUGE_BYTES = 1_000_000_000
GROWTH_BYTES = (10_000_000, 31_600_000, 100_000_000, 316_000_000, 1_000_000_000)


def sized(file_bytes: int) -> Shape:
    """A shape with one file of exactly `file_bytes` bytes and sessions like those of M."""
    return replace(SHAPES["M"], files=1, file_bytes=file_bytes)


def shape_of(size: str, file_bytes: int = HUGE_BYTES) -> Shape:
    """Return the shape for the name of a size.

    `S`, `five-files`, `M`, `XL`, `tiny`, `tiny-reference`; `huge` (one file of `file_bytes` bytes); `25MB`-like sizes
    (one file; decimal units); or `files:sessions:instances:messages`. Raises ValueError for anything else.
    """
    if size in SHAPES:
        return SHAPES[size]
    if size == "huge":
        return sized(file_bytes)
    if match := re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", size):
        files, sessions, instances, messages = map(int, match.groups())
        return Shape(files, sessions, instances, messages)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(B|KB|MB|GB)", size.upper()):
        unit = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}[match[2]]
        return sized(round(float(match[1]) * unit))
    raise ValueError(f"unknown size {size!r}")


def workspace_path(number: int) -> str:
    """The path of the n-th workspace; all have the same length, so that sizes do not depend on numbers."""
    return f"/Users/dev/projects/editor-{number:05d}"


def workspace_hash(path: str) -> str:
    """The hash in the name of a workspace's file: 16 hex digits of SHA-256."""
    return hashlib.sha256(path.encode()).hexdigest()[:16]


class Texts:
    """A fixed pool of texts: prose, code, Japanese and terminal colours.

    Only `random()` is drawn on: its sequence for a seed is guaranteed, that of `choice` and its like is not.
    """

    def __init__(self, seed: int, mean_bytes: int) -> None:
        rng = random.Random(f"{seed}/texts/{mean_bytes}")
        lengths = (min(8 * mean_bytes, -mean_bytes * math.log(1 - rng.random())) for _ in range(POOL_SIZE))
        self._pool = [_text(rng, max(1, round(length))) for length in lengths]

    def draw(self, rng: random.Random) -> str:
        return self._pool[int(rng.random() * POOL_SIZE)]

    def capture(self, rng: random.Random) -> str:
        """A text of about CAPTURE_BYTES, like a whole terminal buffer."""
        parts: list[str] = []
        length = 0
        while length < CAPTURE_BYTES:
            parts.append(self.draw(rng))
            length += len(parts[-1]) + 1
        return "\n".join(parts)


def _pick(rng: random.Random, options: Sequence[Choice]) -> Choice:
    return options[int(rng.random() * len(options))]


def _line(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.08:
        return _pick(rng, JAPANESE)
    if kind < 0.16:
        return _pick(rng, ANSI)
    if kind < 0.26:
        return _pick(rng, CODE)
    return " ".join(_pick(rng, WORDS) for _ in range(4 + int(rng.random() * 8)))


def _text(rng: random.Random, length: int) -> str:
    text = _line(rng)
    while len(text) < length:
        text += "\n" + _line(rng)
    return text[:length]


def _javascript_time(ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:23] + "Z"


def _rust_time(ms: int, nanoseconds: int) -> str:
    return f"{_javascript_time(ms)[:-1]}{nanoseconds:06d}+00:00"


@dataclass(frozen=True)
class Plan:
    """A planned session: its number in the corpus, its counts, and whether it is a second copy."""

    number: int
    instances: int
    messages: int
    twin: bool = False


def _share(total: int, parts: int, part: int) -> int:
    return total * (part + 1) // parts - total * part // parts


def _pair(rng: random.Random, number: int, first: Plan, second: Plan) -> tuple[Plan, Plan]:
    """Make two neighbours unequal, or copies of each other; their sums stay."""
    if (number // 2) % TWIN_EVERY_PAIRS == TWIN_EVERY_PAIRS // 2:
        # The app adds messages to the first of the two only.
        messages = first.messages + second.messages
        return replace(first, messages=messages), Plan(first.number, second.instances, 0, twin=True)
    moved = int(rng.random() * second.instances), int(rng.random() * second.messages)
    return (
        replace(first, instances=first.instances + moved[0], messages=first.messages + moved[1]),
        replace(second, instances=second.instances - moved[0], messages=second.messages - moved[1]),
    )


def _plans(shape: Shape, seed: int, numbers: Iterator[int]) -> Iterator[Plan]:
    """Plan the sessions with these numbers, all in one file."""
    for number in numbers:
        first = _even_plan(shape, number)
        follower = next(numbers, None) if shape.varied else None
        if follower is None:
            yield first
        else:
            rng = random.Random(f"{seed}/{number}/pair")
            yield from _pair(rng, number, first, _even_plan(shape, follower))


def _even_plan(shape: Shape, number: int) -> Plan:
    part = number % shape.sessions
    instances = _share(shape.instances, shape.sessions, part)
    return Plan(number, instances, _share(shape.messages, shape.sessions, part))


def _runtime_mix(rng: random.Random, instances: int) -> list[str] | None:
    # One entry per instance, in order, with repeats.
    return [_pick(rng, RUNTIMES) for _ in range(instances)] if rng.random() < 0.7 else None


class Sessions:
    """Builds documents; a session depends only on the seed and its number."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._seed = seed
        self._capture_chance = 1 / shape.capture_every if shape.capture_every else 0.0
        self._content = Texts(seed, shape.content_bytes)
        self._output = Texts(seed, shape.output_bytes)

    def build(self, plan: Plan, workspace: str) -> Document:
        """Build a planned session as the app writes it, members in the order of its struct.

        A twin draws the same numbers as its first, so that id, task and times agree.
        """
        rng = random.Random(f"{self._seed}/{plan.number}")
        kind = _pick(rng, ("competition", "competition", "ensemble", "debate"))
        key = f"{rng.getrandbits(32):08x}"
        start = self._start_ms(plan.number)
        end = start + 60_000 + int(rng.random() * 3_000_000)
        status = _pick(rng, SESSION_STATUS)
        if kind == "debate" and rng.random() < 0.1:
            status = f"round_{1 + int(rng.random() * 3)}"
        done = status == "completed"
        session: Document = {
            "id": f"{kind}-{plan.number:06d}-{key}",
            "type": kind,
            "task": "" if rng.random() < 0.003 else _text(rng, 20 + int(rng.random() * 60)),
            "status": status,
            "createdAt": _javascript_time(start),
            "updatedAt": _rust_time(end, int(rng.random() * 1_000_000)),
            "completedAt": _javascript_time(end) if done else None,
            "instances": [],
            "chatHistory": [],
            "model": _pick(rng, MODELS),
            "timeoutSeconds": _pick(rng, (300, 600, 1800, None)),
            "preserveWorktrees": _pick(rng, (True, False, None)),
            "winnerId": 1 + int(rng.random() * max(1, plan.instances)) if done else None,
            "runtimeMix": _runtime_mix(rng, plan.instances),
            "totalDuration": end - start if done else None,
            "totalFilesChanged": int(rng.random() * 40) if done else None,
            "totalLinesAdded": int(rng.random() * 2_000) if done else None,
            "totalLinesDeleted": int(rng.random() * 900) if done else None,
        }
        if rng.random() < 0.01:
            session["evaluation"] = {"score": round(rng.random() * 10, 2), "notes": self._output.draw(rng)}
        folder = f"{workspace}/src-tauri/.worktrees/{kind}-{key}"
        session["instances"] = [
            self._instance(rng, folder, kind, key, position, position + (0 if plan.twin else 1), end)
            for position in range(plan.instances)
        ]
        session["chatHistory"] = self._messages(rng, start, plan)
        return session

    def _start_ms(self, number: int) -> int:
        shared = number % SHARED_CLOCK_EVERY == SHARED_CLOCK_EVERY - 1
        return (number - shared) * SESSION_SLOT_MS

    def _instance(
        self, rng: random.Random, folder: str, kind: str, key: str, position: int, number: int, end: int
    ) -> Document:
        # A debate's instances share one worktree, branch and terminal.
        member = "debate" if kind == "debate" else f"instance-{number}"
        started = rng.random() < 0.8
        # The first one is always complete: its path proves the workspace.
        blank = position > 0 and rng.random() < 0.02
        runtime = _pick(rng, RUNTIMES)
        instance: Document = {
            "instanceId": number,
            "worktreePath": "" if blank else f"{folder}/{member}",
            "branch": "" if blank else f"{kind}/{key}/{member}",
            "agentName": f"agent-{number}",
            "status": _pick(rng, INSTANCE_STATUS),
            "tmuxSessionId": "" if blank else f"ait42-{key}-{member}",
            "output": self._terminal(rng),
            "startTime": _javascript_time(end - 50_000) if started else None,
            "endTime": _rust_time(end - 1_000, int(rng.random() * 1_000_000)) if started else None,
            "filesChanged": int(rng.random() * 12) if started else None,
            "linesAdded": int(rng.random() * 400) if started else None,
            "linesDeleted": int(rng.random() * 200) if started else None,
            "runtime": runtime,
            "model": _pick(rng, MODELS),
            "runtimeLabel": runtime.capitalize(),
        }
        if rng.random() < 0.01:
            instance["testsPassed"] = int(rng.random() * 50)
        return instance

    def _terminal(self, rng: random.Random) -> str | None:
        chance = rng.random()
        if chance < self._capture_chance:
            return self._output.capture(rng)
        return self._output.draw(rng) if chance < 0.3 else None

    def _messages(self, rng: random.Random, start: int, plan: Plan) -> list[Document]:
        messages: list[Document] = []
        now = start
        for position in range(plan.messages):
            role, identity, instance = _speaker(rng, position, now, plan.instances)
            if messages and rng.random() < REPEATED_MESSAGE_ID:
                identity = messages[-1]["id"]
            message = {
                "id": identity,
                "role": role,
                "content": "" if rng.random() < 0.001 else self._content.draw(rng),
                "timestamp": _javascript_time(now) if role == "user" else _rust_time(now, position),
                "instanceId": instance,
            }
            messages.append(message)
            now += 1 + int(rng.random() * 20_000)
        return messages


def _speaker(rng: random.Random, position: int, now: int, instances: int) -> tuple[str, str, int | None]:
    """Role, id and instance of a message: user and assistant take turns, and sometimes the system."""
    identity = f"msg-{1_704_067_200_000 + now}"
    if position % 2 == 0:
        return "user", identity, None
    if rng.random() < 0.05:
        return "system", f"{identity}-system", None
    number = 1 + int(rng.random() * max(1, instances))
    if rng.random() < 0.1:
        return "assistant", f"history-{number}-{1_704_067_200_000 + now}", number
    return "assistant", f"{identity}-response", number


def encode(session: Document) -> bytes:
    """Serialize one element of the array, indented as in the app's files."""
    return orjson.dumps([session], option=orjson.OPT_INDENT_2)[2:-2]


def _stretch(session: Document, bytes_: int) -> None:
    session["chatHistory"][-1]["content"] += ("build ok; " * (bytes_ // 10 + 1))[:bytes_]


class _FileWriter:
    """Writes one workspace file, session by session."""

    def __init__(self, path: Path, totals: Totals) -> None:
        self._file = path.open("xb", buffering=1 << 20)
        self._totals = totals
        self.written = self._file.write(b"[\n")
        self._empty = True

    def add(self, session: Document, encoded: bytes) -> None:
        if not self._empty:
            self.written += self._file.write(b",\n")
        self._empty = False
        self.written += self._file.write(encoded)
        self._totals.sessions += 1
        self._totals.instances += len(session["instances"])
        self._totals.messages += len(session["chatHistory"])

    def close(self) -> None:
        self.written += self._file.write(b"\n]")
        self._file.close()
        self._totals.files += 1
        self._totals.bytes += self.written


def _write_counted_file(
    writer: _FileWriter, shape: Shape, seed: int, sessions: Sessions, workspace: str, numbers: range
) -> None:
    for plan in _plans(shape, seed, iter(numbers)):
        session = sessions.build(plan, workspace)
        if shape.stretch_last and plan.number == numbers[-1]:
            _stretch(session, shape.stretch_last)
        writer.add(session, encode(session))


def _write_sized_file(
    writer: _FileWriter, shape: Shape, seed: int, sessions: Sessions, workspace: str, size: int
) -> None:
    """Write sessions up to `size` bytes; the last one's only message fills it up exactly."""
    last = sessions.build(Plan(999_999, 1, 1), workspace)
    last["chatHistory"][0]["content"] = ""
    room_for_last = len(encode(last)) + len(b",\n\n]")
    if size < len(b"[\n") + room_for_last:
        raise ValueError(f"a file of {size} bytes is too small for one session")
    for plan in _plans(shape, seed, count()):
        session = sessions.build(plan, workspace)
        encoded = encode(session)
        if writer.written + len(b",\n") + len(encoded) + room_for_last > size:
            break
        writer.add(session, encoded)
    separator = 2 if writer.written > len(b"[\n") else 0
    _stretch(last, size - writer.written - separator - len(encode(last)) - len(b"\n]"))
    writer.add(last, encode(last))


def write_corpus(shape: Shape, data_dir: Path, seed: int = 1) -> Totals:
    """Write the corpus to `data_dir/sessions` and return its totals.

    Raises FileExistsError where a `sessions` directory exists: a mixture of two corpora measures nothing.
    """
    folder = data_dir / "sessions"
    folder.mkdir(parents=True)
    sessions = Sessions(shape, seed)
    totals = Totals()
    first = 0
    for number in range(shape.files):
        workspace = workspace_path(number)
        writer = _FileWriter(folder / f"{workspace_hash(workspace)}.json", totals)
        if shape.file_bytes is not None:
            _write_sized_file(writer, shape, seed, sessions, workspace, shape.file_bytes)
        else:
            numbers = range(first, first + _share(shape.sessions, shape.files, number))
            _write_counted_file(writer, shape, seed, sessions, workspace, numbers)
            first = numbers.stop
        writer.close()
    return totals


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description="Write a corpus.")
    parser.add_argument(
        "--size",
        required=True,
        help="S, five-files, M, XL, huge, tiny, tiny-reference, 25MB (one file) or files:sessions:instances:messages",
    )
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="a new data directory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=HUGE_BYTES, help="size of `huge` (default 10^9)")
    options = parser.parse_args(argv)
    try:
        shape = shape_of(options.size, options.bytes)
        totals = write_corpus(shape, options.to, options.seed)
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    print(json.dumps(asdict(totals)))


if __name__ == "__main__":
    main()
