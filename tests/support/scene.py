"""A data directory to play with, and ways to see what is in it that share nothing with the program."""

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from migrator.database.documents import read_workspace
from migrator.files.resources import schemas
from tests.support.strategies import instance, message, session

CHECKOUT = Path(__file__).resolve().parent.parent.parent
FIXTURES = CHECKOUT / "fixtures"
EXPECTED: dict[str, Any] = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
APP_SCHEMA = schemas() / "sql" / "0001_initial_schema.up.sql"

Document = dict[str, Any]

# Members that may be absent or null, which is the same.
OPTIONAL_IN_SESSION = {
    "completedAt", "model", "timeoutSeconds", "preserveWorktrees", "winnerId", "runtimeMix", "totalDuration",
    "totalFilesChanged", "totalLinesAdded", "totalLinesDeleted",
}  # fmt: skip
OPTIONAL_IN_INSTANCE = {
    "output", "startTime", "endTime", "filesChanged", "linesAdded", "linesDeleted", "runtime", "model", "runtimeLabel",
}  # fmt: skip
OPTIONAL_IN_MESSAGE = {"instanceId"}


def hash_of(path: str | Path) -> str:
    """The app's name for a workspace of exactly this path."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def app_json(documents: Sequence[Any]) -> bytes:
    """A workspace file as the app writes it."""
    return json.dumps(documents, indent=2, ensure_ascii=False).encode()


def chat(session_id: str, *, workspace: str = "/home/dev/engine", text: str = "hello", **members: Any) -> Document:
    """A session with an instance, whose worktree proves the workspace, and a message of its own."""
    document: Document = session(
        id=session_id,
        instances=[instance(worktreePath=f"{workspace}/.worktrees/competition-{session_id}/instance-1")],
        chatHistory=[message(id=f"msg-{session_id}", content=text)],
        **members,
    )
    return document


@dataclass
class Scene:
    """One data directory."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "sessions.db"

    @property
    def staging(self) -> Path:
        return self.root / "sessions.db.staging"

    def file_of(self, workspace: str | Path) -> Path:
        return self.root / "sessions" / f"{hash_of(workspace)}.json"

    def write(self, workspace: str | Path, documents: Sequence[Any]) -> Path:
        """The workspace's file, as the app rewrites it: in place."""
        return self.write_bytes(workspace, app_json(documents))

    def write_bytes(self, workspace: str | Path, content: bytes) -> Path:
        file = self.file_of(workspace)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def query(self, sql: str, *values: Any, database: Path | None = None) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(database or self.database)) as connection:
            return connection.execute(sql, values).fetchall()

    def change(self, sql: str, *values: Any) -> None:
        """What the app does with SQL of its own."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(sql, values)

    def documents(self, workspace_hash: str, database: Path | None = None) -> list[Document]:
        """What the app's store would list for a workspace."""
        return stored_documents(database or self.database, workspace_hash)

    def tasks(self, workspace: str | Path) -> list[str]:
        return [document["task"] for document in self.documents(hash_of(workspace))]

    def conflicts(self) -> list[Document]:
        rows = self.query("SELECT raw FROM quarantine WHERE reason = 'conflict' ORDER BY id")
        return [json.loads(raw) for (raw,) in rows]

    def status(self) -> str:
        return str(self.query("SELECT migration_status FROM migration_metadata")[0][0])

    def flag(self) -> str | None:
        try:
            backend = json.loads((self.root / "storage.json").read_bytes())["backend"]
        except FileNotFoundError:
            return None
        return str(backend)

    def listing(self) -> dict[str, tuple[int, int, str]]:
        """Every file but the lock: mode, time of change and digest (of a folder: its mode alone), by relative path."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = os.lstat(path)
            mode, name = status.st_mode, os.path.relpath(path, self.root)
            if stat.S_ISREG(mode):
                found[name] = (mode, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            else:
                found[name] = (mode, 0, "")
        found.pop("migrator.lock", None)
        return found

    def app_opens_it(self) -> sqlite3.Connection:
        """The desktop app at its start: makes the tables of its own SQL and keeps the database open."""
        connection = sqlite3.connect(self.database, isolation_level=None)
        connection.executescript(APP_SCHEMA.read_text(encoding="utf-8"))
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


def stored_documents(database: Path, workspace_hash: str) -> list[Document]:
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT id FROM workspaces WHERE workspace_hash = ?", (workspace_hash,)).fetchone()
        return [dict(stored.document) for stored in read_workspace(connection, row[0])] if row else []


def app_inserts(
    connection: sqlite3.Connection, workspace: str | Path, session_id: str, task: str, message_id: str
) -> None:
    """A session with a message, inserted as the app's statements do it."""
    connection.execute(
        "INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (str(workspace), hash_of(workspace)),
    )
    connection.execute(
        """
        INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)
        SELECT ?, id, 'competition', ?, 'running', '2025-02-01T00:00:00Z', '2025-02-01T00:00:00Z'
        FROM workspaces WHERE workspace_hash = ?
        """,
        (session_id, task, hash_of(workspace)),
    )
    connection.execute(
        "INSERT INTO chat_messages (id, session_id, role, content, timestamp) VALUES (?, ?, 'user', 'hi', '2025')",
        (message_id, session_id),
    )


def tidy(document: Document) -> Document:
    """Serialize a document so that equal ones give equal texts: a null optional member is left out."""
    return _without_nulls(document, OPTIONAL_IN_SESSION) | {
        "instances": [_without_nulls(one, OPTIONAL_IN_INSTANCE) for one in document["instances"]],
        "chatHistory": [_without_nulls(one, OPTIONAL_IN_MESSAGE) for one in document["chatHistory"]],
    }


def _without_nulls(members: Document, optional: set[str]) -> Document:
    return {name: value for name, value in members.items() if value is not None or name not in optional}


def serialized(document: Document) -> str:
    """A text that is the same for two documents exactly if they say the same: ``1`` is not ``1.0``."""
    return json.dumps(_exact(tidy(document)), sort_keys=True)


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    if isinstance(value, float | Decimal):
        return ["a fraction", str(Decimal(repr(value) if isinstance(value, float) else value).normalize())]
    return value


def parsed(content: bytes) -> list[Any]:
    """The elements of a workspace file, read by Python's own reader alone; blank is empty."""
    text = content.decode("utf-8-sig").strip()
    return json.loads(text, parse_float=Decimal) if text else []


def copy_fixture(target: Path) -> Scene:
    shutil.copytree(FIXTURES / "data-dir", target)
    return Scene(target)


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """``migrator`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "migrator", *map(str, arguments)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
