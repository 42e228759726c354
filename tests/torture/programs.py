"""What an app does through the stores, as programs that can be killed; and changes to the world they run in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migrator import open_storage
from migrator.storage import timestamps
from migrator.storage.protocol import SessionStorage
from tests.scene import chat as chat_session
from tests.strategies import message

WORKSPACE = "/home/dev/loom"


def chat(session_id: str, task: str) -> Any:
    return chat_session(session_id, workspace=WORKSPACE, task=task)


WRITES: list[Callable[[SessionStorage], object]] = [
    lambda store: store.create_session(WORKSPACE, chat("w-1", task="new")),
    lambda store: store.add_chat_message(WORKSPACE, "w-1", message(id="msg-w", content="go on")),
    lambda store: store.update_instance_status(WORKSPACE, "w-1", 1, "completed"),
    lambda store: store.update_session(WORKSPACE, chat("loom-1", task="changed")),
    lambda store: store.delete_session(WORKSPACE, "loom-2"),
]


def write(root: str, count: str) -> None:
    """The first so many writes, through the store that holds the truth, by a clock that stands still."""
    timestamps.now = lambda: "2025-02-01T00:00:00Z"
    with open_storage(root) as store:
        for change in WRITES[: int(count)]:
            change(store)
