"""Migrations and rollbacks in any order, while both sides write: no version is ever lost."""

import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from migrator import migrate, rollback, verify
from migrator.data_dir import DataDir
from migrator.inventory.location import resolve_data_dir
from migrator.storage.sqlite import SqliteStorage
from tests.support.scene import Document, Scene, app_inserts, hash_of
from tests.support.strategies import session

WORKSPACES = ("/w/one", "/w/two")
# Few of everything, so that both sides often change the same session.
workspaces = st.sampled_from([WORKSPACES[0], *WORKSPACES])
ids = st.sampled_from(["a", "b"])
places = st.sampled_from([0, 0, 0, 1, 2])


class ThereAndBack(RuleBasedStateMachine):
    """Each version of a session has a task of its own, a token, by which it is found again.

    A token counts as needed from when it was written until a side that sees it replaces or deletes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.scene = Scene(Path(self.folder.name))
        self.data_dir: DataDir = resolve_data_dir(self.folder.name)
        self.count = 0
        self.needed: set[str] = set()
        self.gone: set[str] = set()
        self.unmerged: set[str] = set()  # written into a file that no migration has seen
        self.settled = True  # no file was changed since the last migration or rollback
        self.doubled: set[str] = set()  # ids that a workspace had several times

    @initialize(migrated=st.booleans())
    def a_session_in_each(self, migrated: bool) -> None:
        for workspace in WORKSPACES:
            self.write(workspace, [session(id="a", task=self.token())])
        if migrated:
            self.there(salvage=False)

    def teardown(self) -> None:
        report = verify(self.data_dir)
        self.folder.cleanup()
        assert report.broken == ()

    def token(self) -> str:
        self.count += 1
        token = f"<{self.count}>"
        self.needed.add(token)
        return token

    def drop(self, token: str) -> None:
        self.needed.discard(token)
        self.gone.add(token)

    @property
    def sqlite_is_the_truth(self) -> bool:
        return self.scene.database.exists() and self.scene.status() == "completed"

    # What an old build does with the files, whichever store is authoritative.

    def read(self, workspace: str) -> list[Document] | None:
        """The file's sessions; None if it is truncated."""
        path = self.scene.file_of(workspace)
        if not path.exists():
            return []
        try:
            documents: list[Document] = json.loads(path.read_bytes())
        except ValueError:
            return None
        return documents

    def write(self, workspace: str, documents: list[Document]) -> None:
        self.settled = False
        self.scene.write(workspace, documents)

    @rule(workspace=workspaces, session_id=ids)
    def an_old_build_adds_a_session(self, workspace: str, session_id: str) -> None:
        documents = self.read(workspace)
        if documents is None:
            return
        if any(document["id"] == session_id for document in documents):
            self.doubled.add(session_id)
        token = self.token()
        self.unmerged.add(token)
        self.write(workspace, [*documents, session(id=session_id, task=token)])

    @rule(workspace=workspaces, place=places)
    def an_old_build_changes_a_session(self, workspace: str, place: int) -> None:
        documents = self.read(workspace)
        if documents is None or place >= len(documents):
            return
        self.drop(documents[place]["task"])
        token = self.token()
        self.unmerged.add(token)
        documents[place]["task"] = token
        self.write(workspace, documents)

    @rule(workspace=workspaces, place=places)
    def an_old_build_deletes_a_session(self, workspace: str, place: int) -> None:
        documents = self.read(workspace)
        if documents is None or place >= len(documents):
            return
        self.drop(documents.pop(place)["task"])
        self.write(workspace, documents)

    @rule(workspace=workspaces)
    def an_old_build_is_killed_while_it_writes(self, workspace: str) -> None:
        documents = self.read(workspace)
        if not documents:
            return
        path = self.scene.file_of(workspace)
        self.gone.clear()  # what it no longer held may be in a side file, and what it replaced may come back
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rindex(b'"status"')])
        lost = [document["task"] for document in documents if document["task"].encode() not in path.read_bytes()]
        assert not lost  # only the end of the last session is torn off

    # What the app does with its own SQL, and what the store does, while SQLite is authoritative.

    @precondition(lambda self: self.sqlite_is_the_truth)
    @rule(workspace=workspaces, session_id=ids)
    def the_app_inserts_a_session(self, workspace: str, session_id: str) -> None:
        if self.scene.query("SELECT 1 FROM sessions WHERE id = ?", session_id):
            return
        self.doubled.add(session_id)  # a session of that id may stand in the file
        token = self.token()
        with closing(sqlite3.connect(self.scene.database)) as app, app:
            app_inserts(app, workspace, session_id, token, f"msg-{self.count}")

    @precondition(lambda self: self.sqlite_is_the_truth)
    @rule(workspace=workspaces, place=places)
    def the_app_changes_a_session(self, workspace: str, place: int) -> None:
        rows = self.scene.query(
            """
            SELECT s.id, task FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
            WHERE workspace_hash = ? ORDER BY position NULLS LAST, s.rowid
            """,
            hash_of(workspace),
        )
        if place >= len(rows):
            return
        self.drop(rows[place][1])
        self.scene.change("UPDATE sessions SET task = ? WHERE id = ?", self.token(), rows[place][0])

    @precondition(lambda self: self.sqlite_is_the_truth)
    @rule(workspace=workspaces, session_id=ids)
    def the_store_deletes_sessions(self, workspace: str, session_id: str) -> None:
        doomed = [one["task"] for one in self.scene.documents(hash_of(workspace)) if one["id"] == session_id]
        if not doomed:
            return
        for token in doomed:
            self.drop(token)
        with SqliteStorage(self.scene.database) as store:
            store.delete_session(workspace, session_id)

    # There, and back.

    @rule(salvage=st.booleans())
    def there(self, salvage: bool) -> None:
        report = migrate(self.data_dir, salvage=salvage)
        assert report.status != "failed"
        self.unmerged.clear()
        self.settled = True
        self.hold(report.errors)

    @rule()
    def back(self) -> None:
        report = rollback(self.data_dir)
        assert report.exit_code == (3 if report.errors or any(f.kept_beside for f in report.workspaces) else 0)
        if report.status == "rolled_back":
            self.unmerged.clear()
            self.settled = True
            self.hold(report.errors)
        assert not self.sqlite_is_the_truth

    def hold(self, errors: Sequence[str]) -> None:
        """What a run has held, and says so, is not deleted: it stays until the user decides, also over a rollback."""
        if any(getattr(error, "code", None) == "session.deletion_held" for error in errors):
            self.gone.difference_update(document["task"] for document in self.authoritative())

    @invariant()
    def nothing_is_lost(self) -> None:
        found = self.found()
        missing = [token for token in self.needed - self.unmerged if token not in found]
        assert not missing, (missing, found)

    @invariant()
    def what_was_deleted_does_not_come_back(self) -> None:
        if self.sqlite_is_the_truth and not self.settled:
            return  # the next migration hears of it
        back = [document["task"] for document in self.authoritative() if document["id"] not in self.doubled]
        assert not self.gone.intersection(back)

    def authoritative(self) -> list[Document]:
        """What the app shows."""
        if self.sqlite_is_the_truth:
            return [one for workspace in WORKSPACES for one in self.scene.documents(hash_of(workspace))]
        return [one for workspace in WORKSPACES for one in self.read(workspace) or []]

    def found(self) -> str:
        """Where versions may be: the authoritative store, the quarantine, side files, files that were not migrated."""
        texts = [document["task"] for document in self.authoritative()]
        if self.scene.database.exists():
            texts += [str(raw) for (raw,) in self.scene.query("SELECT raw FROM quarantine")]
        for path in self.scene.root.glob("sessions/*"):
            torn = path.suffix == ".json" and not path.read_bytes().endswith(b"]")
            if torn or path.suffix != ".json":
                texts.append(path.read_text())
        return "\n".join(texts)


TestThereAndBack = ThereAndBack.TestCase
TestThereAndBack.settings = settings(max_examples=16, stateful_step_count=20, deadline=None)
