"""Every store under test, a second store that fails on request, and the small model that all are compared with."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.data_dir import DataDir
from migrator.database.columns import LISTED_MEMBERS
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS
from migrator.errors import (
    ConnectionFailed,
    InstanceNotFound,
    SessionAlreadyExists,
    SessionChanged,
    SessionNotFound,
    WorkspaceNotFound,
)
from migrator.storage.filtering import Filtering
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.protocol import MirrorableStorage, SessionFilters, SessionStorage
from migrator.storage.sqlite import SqliteStorage
from migrator.workspace import workspace_hash
from tests.support.strategies import same

Document = dict[str, Any]


@dataclass
class Opened:
    """A store and, of a hybrid one, the two that it is made of."""

    store: SessionStorage
    parts: list[MirrorableStorage] = field(default_factory=list)

    def load(self, path: str, documents: list[Any]) -> None:
        """Give the workspace these documents, as an app or a migration before us may have left them."""
        for part in self.parts:
            part.replace_workspace(path, documents)


class Flaky:
    """A store that fails whenever ``failing()`` says so, and otherwise passes every call on."""

    def __init__(self, store: Any, failing: Callable[[str], bool]) -> None:
        self.store = store
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if self.failing(name):
                raise ConnectionFailed(f"{name} failed on purpose.")
            return getattr(self.store, name)(*args, **named)

        return call


def data_dir(folder: Path) -> DataDir:
    return DataDir(root=folder, database=folder / "sessions.db")


def open_json(folder: Path) -> Opened:
    store = JsonStorage(data_dir(folder))
    return Opened(store, [store])


def open_sqlite(folder: Path) -> Opened:
    store = SqliteStorage(folder / "sessions.db")
    return Opened(store, [store])


def open_memory(folder: Path) -> Opened:
    store = SqliteStorage(":memory:")
    return Opened(store, [store])


def open_hybrid_from_json(folder: Path) -> Opened:
    parts: list[MirrorableStorage] = [JsonStorage(data_dir(folder)), SqliteStorage(folder / "sessions.db")]
    return Opened(HybridStorage(parts[0], parts[1], folder / "hybrid.db"), parts)


def open_hybrid_from_sqlite(folder: Path) -> Opened:
    parts: list[MirrorableStorage] = [SqliteStorage(folder / "sessions.db"), JsonStorage(data_dir(folder))]
    return Opened(HybridStorage(parts[0], parts[1], folder / "hybrid.db"), parts)


def open_hybrid_that_fails(folder: Path) -> Opened:
    """The second store takes nothing at all."""
    primary = SqliteStorage(folder / "sessions.db")
    secondary: Any = Flaky(JsonStorage(data_dir(folder)), lambda name: name != "close")
    return Opened(HybridStorage(primary, secondary, folder / "hybrid.db"), [primary])


STORES: dict[str, Callable[[Path], Opened]] = {
    "json": open_json,
    "sqlite": open_sqlite,
    "sqlite in memory": open_memory,
    "hybrid json → sqlite": open_hybrid_from_json,
    "hybrid sqlite → json": open_hybrid_from_sqlite,
    "hybrid with a failing second store": open_hybrid_that_fails,
}


def prepared(template: Path, folder: Path) -> Path:
    """A folder with a database whose schema is there already: making it takes longer than most tests."""
    folder.mkdir()
    shutil.copyfile(template, folder / "sessions.db")
    return folder


class Model:
    """What the stores are to do, in a few lines and in memory. Documents given to it are valid."""

    def __init__(self) -> None:
        self.workspaces: dict[str, list[Document]] = {}

    def load(self, path: str, documents: list[Document]) -> None:
        self.workspaces[path] = [normal(document) for document in documents]

    def create_session(self, path: str, session: Document) -> Document:
        return self.create_sessions(path, [session])[0]

    def create_sessions(self, path: str, sessions: list[Document]) -> list[Document]:
        ids = [document["id"] for document in [*self.workspaces.get(path, []), *sessions]]
        if any(ids.count(session["id"]) > 1 for session in sessions):
            raise SessionAlreadyExists("")
        if sessions:
            self.workspaces.setdefault(path, []).extend(map(normal, sessions))
        return [normal(session) for session in sessions]

    def update_session(
        self, path: str, session: Document, expected: Document | None = None, ordinal: int = 0
    ) -> Document:
        found = self.find(path, session["id"], ordinal)
        if expected is not None and not same(found, normal(expected)):
            raise SessionChanged("", expected=expected, found=found)
        found.clear()
        found.update(normal(session))
        return found

    def get_session(self, path: str, session_id: str, ordinal: int = 0) -> Document:
        return self.find(path, session_id, ordinal)

    def get_all_sessions(self, path: str) -> list[Document]:
        return self.workspaces.get(path, [])

    def list_sessions(self, path: str, filters: SessionFilters | None = None) -> list[tuple[Any, ...]]:
        """What SessionSummary has, but for the cursor."""
        found = []
        ids: list[str] = []
        for document in self.workspaces.get(path, []):
            counts = len(document["instances"]), len(document["chatHistory"]), ids.count(document["id"])
            ids.append(document["id"])
            found.append({**document, "": (*(document[name] for name in LISTED_MEMBERS), *counts)})
        return [document[""] for document in Filtering(filters).apply(found)]

    def list_workspaces(self) -> list[tuple[str, int]]:
        return sorted((workspace_hash(path), len(found)) for path, found in self.workspaces.items())

    def delete_session(self, path: str, session_id: str, ordinal: int | None = None) -> None:
        chosen = self.find(path, session_id, ordinal or 0)
        self.workspaces[path] = [
            document
            for document in self.workspaces[path]
            if document is not chosen and (ordinal is not None or document["id"] != session_id)
        ]

    def add_chat_message(self, path: str, session_id: str, message: Document, now: str, ordinal: int = 0) -> Document:
        found = self.find(path, session_id, ordinal)
        found["chatHistory"].append(ordered(message, MESSAGE_MEMBERS))
        found["updatedAt"] = now
        return found

    def update_instance_status(
        self, path: str, session_id: str, number: int, status: str, now: str, ordinal: int = 0
    ) -> Document:
        found = self.find(path, session_id, ordinal)
        for instance in found["instances"]:
            if instance["instanceId"] == number:
                instance["status"] = status
                found["updatedAt"] = now
                return found
        raise InstanceNotFound("")

    def search_sessions(self, path: str, filters: SessionFilters) -> list[Document]:
        return Filtering(filters).apply(self.workspaces.get(path, []))

    def find(self, path: str, session_id: str, ordinal: int = 0) -> Document:
        if path not in self.workspaces:
            raise WorkspaceNotFound("")
        found = [document for document in self.workspaces[path] if document["id"] == session_id]
        if ordinal >= len(found):
            raise SessionNotFound("")
        return found[ordinal]


def ordered(members: Document, names: tuple[str, ...]) -> Document:
    known = {name: members.get(name) for name in names}
    return copy.deepcopy(known | {name: value for name, value in members.items() if name not in known})


def normal(session: Any) -> Document:
    """A document as a store returns it."""
    document = ordered(session, SESSION_MEMBERS)
    document["instances"] = [ordered(instance, INSTANCE_MEMBERS) for instance in document["instances"]]
    document["chatHistory"] = [ordered(message, MESSAGE_MEMBERS) for message in document["chatHistory"]]
    return document
