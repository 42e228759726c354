"""A merge of one file, in the two steps that it has: what is prepared without a lock, and what happens under it."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from migrator.database.documents import (
    StoredDocument,
    delete_document,
    ensure_workspace,
    insert_document,
    read_document,
)
from migrator.database.queries import INSERT_QUARANTINE
from migrator.documents.document import WorktreeSession
from migrator.errors import TransactionError
from migrator.inventory.deletions import deleted_row, hold
from migrator.inventory.source_files import Source
from migrator.migration.merging import prepared
from migrator.migration.merging.decision import MergePolicy, MergeResult
from migrator.migration.merging.merge import Merge
from migrator.migration.merging.merge_base import BaseCopy, MergeBase
from migrator.migration.merging.prepared import create_tables
from migrator.search import index as search_index
from migrator.search.queries import SET_INDEX_STATE
from migrator.staging.results import Counts, LoadedSource
from tests.support.scene import Document, app_json, chat, hash_of, serialized
from tests.support.strategies import message, session

WORKSPACE = "/home/dev/engine"
HASH = hash_of(WORKSPACE)
FILE, OTHER_FILE = 1, 2


def insert(connection: sqlite3.Connection, documents: list[Document], source_id: int = FILE, first: int = 0) -> None:
    workspace_id = ensure_workspace(connection, HASH, WORKSPACE)
    for position, document in enumerate(documents, first):
        insert_document(
            connection,
            cast(WorktreeSession, document),
            workspace_id=workspace_id,
            workspace_hash=HASH,
            position=position,
            source_id=source_id,
        )


class Stage:
    """A database and a staging database; ``other`` is another program's connection to the first."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.path, self.staging = folder / "sessions.db", folder / "staging.db"
        for path in (self.path, self.staging):
            shutil.copyfile(template, path)
        self.main = sqlite3.connect(self.path, isolation_level=None)
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.staged = sqlite3.connect(self.staging, isolation_level=None)
        self.staged.execute("PRAGMA journal_mode = DELETE")
        self.counts = Counts(WORKSPACE, 1)

    def close(self) -> None:
        for connection in (self.main, self.other, self.staged):
            connection.close()

    def merge(self, base: list[Document], file: list[Document], *, mirrored: bool = False) -> Merge:
        insert(self.staged, file)
        copy = self.folder / "copy.json"
        copy.write_bytes(app_json(base))
        self.main.execute("ATTACH ? AS staging", (str(self.staging),))
        create_tables(self.main)
        loaded = LoadedSource(Source("f.json", "f.json", "workspace", HASH), FILE, counts={HASH: self.counts})
        copies = MergeBase("f.json", [BaseCopy("copy.json", copy)])
        return Merge(self.main, self.staged, loaded, copies, MergePolicy(mirrored=mirrored))

    def run(self, merge: Merge) -> MergeResult:
        self.main.execute("BEGIN IMMEDIATE")
        result = merge.run(FILE)
        self.main.execute("COMMIT")
        return result

    def tasks(self) -> dict[str, str]:
        return dict(self.main.execute("SELECT id, task FROM main.sessions ORDER BY position, rowid"))

    def messages(self) -> dict[str, tuple[int, str]]:
        """The row id and the content of each message."""
        rows = self.main.execute("SELECT id, rowid, content FROM main.chat_messages")
        return {key: (row_id, content) for key, row_id, content in rows}


def talk(name: str, contents: dict[str, str]) -> Document:
    messages = [message(id=key, content=text) for key, text in contents.items()]
    document: Document = session(id=name, chatHistory=messages)
    return document


@pytest.fixture
def stage(tmp_path: Path, template: Path) -> Iterator[Stage]:
    with closing(Stage(tmp_path, template)) as stage:
        yield stage


def test_only_what_the_file_changed_is_copied_to_be_compared(stage: Stage) -> None:
    a, b, c, d = (chat(name) for name in "abcd")
    insert(stage.main, [a, b, c])
    stage.merge([a, b, c], [a, b | {"task": "in the file"}, d]).prepare(FILE, stage.path)
    assert sorted(stage.main.execute("SELECT id FROM staging.seen_sessions")) == [("b",), ("c",)]


def test_what_another_file_has_too_is_not_counted_where_the_files_mirror_the_database(stage: Stage) -> None:
    own = [chat("own"), chat("own too")]
    repeated = [chat("r1"), session(id="r2", chatHistory=[]), chat("r3")]
    insert(stage.main, own)
    insert(stage.main, repeated, OTHER_FILE, first=2)
    stage.counts.sessions, stage.counts.instances, stage.counts.messages = 5, 4, 4
    merge = stage.merge(own, [*own, *repeated], mirrored=True)
    assert stage.run(merge).repeated == 3
    assert stage.counts == Counts(WORKSPACE, 1, sessions=2, instances=2, messages=2)
    assert [*stage.tasks()] == ["own", "own too", "r1", "r2", "r3"]


@pytest.mark.parametrize("prepared", [True, False])
def test_a_session_that_the_file_lost_is_quarantined_at_its_place(stage: Stage, prepared: bool) -> None:
    a, b, c = (chat(name) for name in "abc")
    insert(stage.main, [a, b, c])
    merge = stage.merge([a, b, c], [a, c])
    if prepared:
        merge.prepare(FILE, stage.path)
        stage.main.execute("UPDATE staging.kept_items SET created_at = 'before'")
    [deletion] = stage.run(merge).deletions
    [(item, *row, raw, created_at)] = stage.main.execute(
        "SELECT id, reason, source_id, workspace_hash, position, session_id, raw, created_at FROM main.quarantine"
    )
    assert row == ["deleted", FILE, HASH, 1, "b"]
    assert serialized(json.loads(raw)) == serialized(b)
    assert (created_at == "before") is prepared
    assert (deletion.session_id, deletion.source, deletion.item, deletion.held) == ("b", "f.json", item, False)
    assert deletion.workspace_hash == HASH
    assert [*stage.tasks()] == ["a", "c"]


@pytest.mark.parametrize("prepared", [True, False])
def test_the_files_version_replaces_a_session_that_cannot_be_read(stage: Stage, prepared: bool) -> None:
    a, b = chat("a"), chat("b")
    insert(stage.main, [a, b])
    stage.main.execute("UPDATE sessions SET rescued_data = '{' WHERE id = 'b'")
    merge = stage.merge([a, b], [a, b | {"task": "in the file"}])
    if prepared:
        merge.prepare(FILE, stage.path)
    result = stage.run(merge)
    assert [*result.unreadable] == ["b"]
    assert (result.added, result.conflicts, result.deletions) == (1, {}, [])
    assert stage.tasks() == {"a": "Weave", "b": "in the file"}
    assert stage.main.execute("SELECT session_id, reason FROM main.quarantine").fetchall() == [("b", "unreadable")]


@pytest.mark.parametrize("prepared", [True, False])
def test_conflicts_come_after_everything_with_the_version_of_the_base(stage: Stage, prepared: bool) -> None:
    base = [chat(name) for name in "abc"]
    insert(stage.main, [one | {"task": f"{one['id']} in SQLite"} for one in base])
    merge = stage.merge(base, [one | {"task": f"{one['id']} in the file"} for one in base])
    if prepared:
        merge.prepare(FILE, stage.path)
        stage.main.execute("UPDATE staging.kept_items SET created_at = 'before'")
    assert stage.run(merge).conflicts == {HASH: 3}
    found = stage.main.execute(
        "SELECT reason, source_id, workspace_hash, position, raw, base, created_at FROM main.quarantine ORDER BY id"
    ).fetchall()
    assert all((row[6] == "before") is prepared for row in found)
    assert [row[:4] for row in found] == [("conflict", FILE, HASH, position) for position in (3, 4, 5)]
    assert [json.loads(row[4])["task"] for row in found] == ["a in the file", "b in the file", "c in the file"]
    assert [serialized(json.loads(row[5])) for row in found] == [serialized(one) for one in base]
    assert stage.tasks() == {"a": "a in SQLite", "b": "b in SQLite", "c": "c in SQLite"}


def test_what_another_program_changes_after_the_preparation_is_not_lost(stage: Stage) -> None:
    a, b, c, d = (chat(name) for name in "abcd")
    insert(stage.main, [a, b, c, d])
    merge = stage.merge([a, b, c, d], [a, c | {"task": "in the file"}, d | {"task": "in the file"}])
    merge.prepare(FILE, stage.path)
    stage.other.execute("UPDATE sessions SET task = 'in SQLite' WHERE id IN ('b', 'c')")
    result = stage.run(merge)
    assert stage.tasks() == {"a": "Weave", "b": "in SQLite", "c": "in SQLite", "d": "in the file"}
    assert (result.conflicts, result.deletions) == ({HASH: 1}, [])


@pytest.mark.parametrize("changed", [True, False])
def test_a_held_session_is_held_until_it_changes_even_after_the_preparation(stage: Stage, changed: bool) -> None:
    a, b, new = (chat(name) for name in ("a", "b", "new"))
    insert(stage.main, [a, b])
    held = read_document(stage.main, "b")
    assert held
    hold(stage.main, FILE, {"b": held.digest()})
    merge = stage.merge([a], [a, new])
    merge.prepare(FILE, stage.path)
    stage.other.execute("UPDATE sessions SET task = 'in SQLite' WHERE id = ?", ("b" if changed else "a",))
    stage.run(merge)
    assert stage.main.execute("SELECT session_key FROM main.held_deletions").fetchall() == ([] if changed else [("b",)])
    assert [*stage.tasks()] == ["a", "b", "new"]


@pytest.mark.parametrize("index", [None, "building", "complete"])
def test_only_rows_that_the_file_changed_are_written(stage: Stage, index: str | None) -> None:
    old, after = talk("old", {"m1": "one", "m2": "two", "m3": "three"}), talk("after", {"m4": "four"})
    new = talk("old", {"m1": "one", "m2": "two, changed", "m5": "five"})
    insert(stage.main, [old, after])
    if index:  # what is changed gets a new number, and is left to the builder
        search_index.begin(stage.main)
        stage.main.execute(SET_INDEX_STATE, (index,))
    merge = stage.merge([old, after], [new, after])
    merge.prepare(FILE, stage.path)
    stage.run(merge)
    stayed = {"m1": (1, "one"), "m4": (4, "four")}
    if index:
        assert stage.messages() == stayed | {"m2": (5, "two, changed"), "m5": (6, "five")}
    else:
        assert stage.messages() == stayed | {"m2": (2, "two, changed"), "m5": (5, "five")}


def test_a_message_that_got_the_number_of_another_after_the_preparation_stays(stage: Stage) -> None:
    old, other = talk("old", {"m1": "one", "m2": "two"}), talk("other", {})
    insert(stage.main, [old, other])
    merge = stage.merge([old, other], [talk("old", {"m1": "one"}), other])
    merge.prepare(FILE, stage.path)
    row = "SELECT {}, role, content, timestamp FROM chat_messages WHERE id = 'm1'"
    insert_row = "INSERT INTO chat_messages (session_id, id, role, content, timestamp) "
    stage.other.execute("DELETE FROM chat_messages WHERE id = 'm2'")
    stage.other.execute(insert_row + row.format("'other', 'mine'"))
    stage.other.execute(insert_row + row.format("'old', 'm2'"))
    stage.other.execute("UPDATE chat_messages SET content = 'two' WHERE id = 'm2'")
    assert stage.messages()["mine"] == (2, "one")
    stage.run(merge)
    assert {*stage.messages()} == {"m1", "mine"}


def test_another_version_of_a_session_is_no_repetition(stage: Stage) -> None:
    own, theirs = chat("own"), chat("theirs")
    insert(stage.main, [own])
    insert(stage.main, [theirs | {"task": "in the other file"}], OTHER_FILE, first=1)
    merge = stage.merge([own], [own, theirs], mirrored=True)
    result = stage.run(merge)
    assert (result.repeated, result.added) == (0, 1)
    assert sorted(stage.tasks().values()) == ["Weave", "Weave", "in the other file"]
    sources = stage.main.execute("SELECT task, source_id FROM main.sessions ORDER BY source_id, task").fetchall()
    assert sources == [("Weave", FILE), ("Weave", FILE), ("in the other file", OTHER_FILE)]


def test_a_staged_session_that_is_gone_ends_the_merge(stage: Stage) -> None:
    base = chat("a")
    insert(stage.main, [base | {"task": "in SQLite"}])
    merge = stage.merge([base], [base | {"task": "in the file"}])
    assert merge.base.versions  # read, and so are the staged sessions below
    merge._staged_sessions  # noqa: B018
    stage.staged.execute("DELETE FROM sessions")
    with pytest.raises(TransactionError) as error:
        merge.prepare(FILE, stage.path)
    assert (error.value.code, bool(error.value.hint)) == ("session.disappeared", True)


def test_what_the_file_brings_back_leaves_quarantine_and_comes_last(stage: Stage) -> None:
    a, b, new, later = (chat(name) for name in ("a", "b", "new", "later"))
    insert(stage.main, [a, b, later])
    for key, position in (("b", 1), ("later", 7)):
        stored = read_document(stage.main, key)
        assert stored
        row = deleted_row(stored, HASH)._replace(source_id=FILE, position=position)
        stage.main.execute(INSERT_QUARANTINE, row)
        delete_document(stage.main, key)
    assert stage.run(stage.merge([a], [a, b, new])).added == 2
    assert stage.main.execute("SELECT session_id FROM main.quarantine").fetchall() == [("later",)]
    places = stage.main.execute("SELECT id, position FROM main.sessions ORDER BY position").fetchall()
    assert places == [("a", 0), ("b", 8), ("new", 9)]


def test_what_no_program_changed_meanwhile_is_not_read_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = chat("a", unknown=1), chat("b"), chat("c")
    insert(stage.main, [a, b, c])
    merge = stage.merge([a, b, c], [a, b | {"task": "in the file"}, c])
    merge.prepare(FILE, stage.path)
    stage.other.execute("UPDATE sessions SET task = 'in SQLite' WHERE id = 'b'")
    read: list[str] = []

    def read_once_more(connection: sqlite3.Connection, key: str) -> StoredDocument | None:
        read.append(key)
        return read_document(connection, key)

    monkeypatch.setattr(prepared, "read_document", read_once_more)
    monkeypatch.setattr(prepared, "read_source", None)
    assert stage.run(merge).conflicts == {HASH: 1}
    assert read == ["b"]


@pytest.mark.parametrize("mirror", [False, True])
def test_a_held_session_that_is_in_the_file_again_is_not_held_unless_sqlite_wrote_the_file(
    stage: Stage, mirror: bool
) -> None:
    a, b, c = chat("a"), chat("b"), chat("c")
    insert(stage.main, [a, b, c])
    for key in ("b", "c"):
        held = read_document(stage.main, key)
        assert held
        hold(stage.main, FILE, {key: held.digest()})
    merge = stage.merge([a], [a, b])
    merge.mirror = mirror
    stage.run(merge)
    left = [key for (key,) in stage.main.execute("SELECT session_key FROM main.held_deletions ORDER BY session_key")]
    assert left == (["b", "c"] if mirror else ["c"])
    assert [*stage.tasks()] == ["a", "b", "c"]
