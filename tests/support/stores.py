"""Every store under test, a second store that fails on request, and the small model that all are compared with."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.data_dir import DataDir
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS
from migrator.errors import (
    ConnectionFailed,
    InstanceNotFound,
    SessionAlreadyExists,
    SessionNotFound,
    WorkspaceNotFound,
)
from migrator.storage.filtering import Filtering
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.protocol import MirrorableStorage, SessionFilters, SessionStorage
from migrator.storage.sqlite import SqliteStorage

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
        if any(document["id"] == session["id"] for document in self.workspaces.get(path, [])):
            raise SessionAlreadyExists("")
        self.workspaces.setdefault(path, []).append(normal(session))
        return normal(session)

    def update_session(self, path: str, session: Document) -> Document:
        found = self.find(path, session["id"])
        found.clear()
        found.update(normal(session))
        return found

    def get_session(self, path: str, session_id: str) -> Document:
        return self.find(path, session_id)

    def get_all_sessions(self, path: str) -> list[Document]:
        return self.workspaces.get(path, [])

    def delete_session(self, path: str, session_id: str) -> None:
        self.find(path, session_id)
        self.workspaces[path] = [document for document in self.workspaces[path] if document["id"] != session_id]

    def add_chat_message(self, path: str, session_id: str, message: Document, now: str) -> Document:
        found = self.find(path, session_id)
        found["chatHistory"].append(ordered(message, MESSAGE_MEMBERS))
        found["updatedAt"] = now
        return found

    def update_instance_status(self, path: str, session_id: str, number: int, status: str, now: str) -> Document:
        found = self.find(path, session_id)
        for instance in found["instances"]:
            if instance["instanceId"] == number:
                instance["status"] = status
                found["updatedAt"] = now
                return found
        raise InstanceNotFound("")

    def search_sessions(self, path: str, filters: SessionFilters) -> list[Document]:
        return Filtering(filters).apply(self.workspaces.get(path, []))

    def find(self, path: str, session_id: str) -> Document:
        if path not in self.workspaces:
            raise WorkspaceNotFound("")
        for document in self.workspaces[path]:
            if document["id"] == session_id:
                return document
        raise SessionNotFound("")


def ordered(members: Document, names: tuple[str, ...]) -> Document:
    known = {name: members.get(name) for name in names}
    return copy.deepcopy(known | {name: value for name, value in members.items() if name not in known})


def normal(session: Any) -> Document:
    """A document as a store returns it."""
    document = ordered(session, SESSION_MEMBERS)
    document["instances"] = [ordered(instance, INSTANCE_MEMBERS) for instance in document["instances"]]
    document["chatHistory"] = [ordered(message, MESSAGE_MEMBERS) for message in document["chatHistory"]]
    return document
