"""An export compares each file that it wrote with the database before it reports the file."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator.documents.app_format import app_file
from migrator.errors import StorageIOError
from migrator.export import to_folder
from migrator.inventory.location import resolve_data_dir
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, chat, hash_of, parsed

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"

Change = Callable[[list[Document]], list[Document]]


def changed_text(documents: list[Document]) -> list[Document]:
    return [*documents[:-1], {**documents[-1], "task": documents[-1]["task"] + "!"}]


def changed_message(documents: list[Document]) -> list[Document]:
    [message] = documents[0]["chatHistory"]
    return [{**documents[0], "chatHistory": [{**message, "content": "bye"}]}, *documents[1:]]


def without_unknown_member(documents: list[Document]) -> list[Document]:
    return [{name: value for name, value in document.items() if name != "evaluation"} for document in documents]


WRONG: dict[str, Change] = {
    "a session less": lambda documents: documents[:-1],
    "no session": lambda documents: [],
    "a session more": lambda documents: [*documents, documents[0]],
    "a session twice in the place of another": lambda documents: [documents[0], documents[0], *documents[2:]],
    "another order": lambda documents: [documents[1], documents[0], *documents[2:]],
    "another text": changed_text,
    "another message": changed_message,
    "an unknown member less": without_unknown_member,
}


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a"), chat("b"), chat("c", evaluation={"score": 1})])
    scene.write(LOOM, [chat("d", workspace=LOOM)])
    assert migrator("--data-dir", scene.root, "migrate", "--progress", "none").code == 0
    return scene


def write_wrongly(monkeypatch: pytest.MonkeyPatch, write: Callable[[list[Document]], Iterator[bytes]]) -> None:
    """Let an export write other bytes for the workspace with the three sessions, and believe in them."""

    def wrong(documents: Any) -> Iterator[bytes]:
        held = [*documents]
        return write(held) if len(held) == 3 else app_file(held)

    monkeypatch.setattr(to_folder, "app_file", wrong)


def require_refusal(scene: Scene, target: Path) -> None:
    with pytest.raises(StorageIOError) as raised:
        to_folder.export(resolve_data_dir(scene.root), target)
    assert raised.value.code == "file.readback_failed"
    assert hash_of(ENGINE) in raised.value.message
    assert [*target.iterdir()] == []


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_other_sessions_than_the_database_has_are_not_exported(
    migrated: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    write_wrongly(monkeypatch, lambda documents: app_file(change(documents)))  # type: ignore[arg-type]
    require_refusal(migrated, tmp_path / "out")


@pytest.mark.parametrize(
    "end", [b"", b"\n]", b"\n]]", b"\n  },\n  5\n]", b"\n  },\n  null\n]", b'\n  "id": "d"\n  }\n]']
)
def test_bytes_that_are_not_the_sessions_are_not_exported(
    migrated: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    def write(documents: list[Document]) -> Iterator[bytes]:
        yield b"".join(app_file(documents)).removesuffix(b"\n  }\n]") + end  # type: ignore[arg-type]

    write_wrongly(monkeypatch, write)
    require_refusal(migrated, tmp_path / "out")


def test_what_the_file_holds_decides_and_not_what_was_meant_to_be_written(
    migrated: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last piece of the file comes when the others are on the disk, and another program changes them there."""
    target = tmp_path / "out"

    def write(documents: list[Document]) -> Iterator[bytes]:
        yield b"".join(app_file(documents)).removesuffix(b"]") + b" " * (1 << 22)  # type: ignore[arg-type]
        [written] = target.glob(f".export*/{hash_of(ENGINE)}.json")
        with open(written, "r+b") as file:
            file.seek(file.read().index(b"hello"))
            file.write(b"jello")
        yield b"]"

    write_wrongly(monkeypatch, write)
    require_refusal(migrated, target)


def test_a_file_that_is_right_is_reported_with_what_it_holds(migrated: Scene, tmp_path: Path) -> None:
    report = to_folder.export(resolve_data_dir(migrated.root), tmp_path / "out")
    assert {file.path: file.sessions for file in report.workspaces} == {ENGINE: 3, LOOM: 1}
    for file in report.workspaces:
        content = Path(file.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(parsed(content)) == file.sessions


def test_sessions_are_compared_with_the_database_as_it_is(migrated: Scene, tmp_path: Path) -> None:
    with closing(sqlite3.connect(migrated.database)) as connection:
        [(number,)] = connection.execute("SELECT id FROM workspaces WHERE workspace_path = ?", (ENGINE,)).fetchall()
        written = migrated.file_of(ENGINE)
        assert to_folder.require_same_sessions(connection, number, written, tmp_path / "a.json") == 3
        connection.execute("UPDATE chat_messages SET content = 'bye' WHERE session_id = 'b'")
        with pytest.raises(StorageIOError) as raised:
            to_folder.require_same_sessions(connection, number, written, tmp_path / "a.json")
        assert raised.value.code == "file.readback_failed"
        assert "session 2" in raised.value.message
    assert [session["id"] for session in json.loads(written.read_bytes())] == ["a", "b", "c"]
