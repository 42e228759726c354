"""No text is lost that was not deleted, whatever is written on either side and whatever commands follow.

Every text is a token, written once. It counts as *needed* until it is deleted in one of these ways:

- an old build rewrites a file without it, also if it found no file or a blank one and started over (if it is killed
  while it writes, or if the file vanishes, only what nothing else holds is deleted);
- a statement or a store replaces or deletes the session in the database, or in the file that the app uses;
- a user replaces a quarantined item by another version (except in a conflict: then both versions are kept).

A needed token must be found in one of these places, and nowhere else counts, above all no backup that may be pruned:

1. the authoritative store: the sessions in SQLite, or in all session files;
2. the quarantine, for what the files cannot hold: all of it while SQLite is authoritative, conflicts afterwards;
3. a file that was kept next to another one, or a version that a user dropped, which pruning keeps;
4. a file that, according to the ledger, was not migrated in its present state; or, after a rollback, the database, for
   what was written there since.
"""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from migrator import MigratorError, migrate, open_storage, rollback, verify
from migrator.admin.schema_steps import revert_step
from migrator.admin.switch_backend import switch_backend
from migrator.authority import Backend
from migrator.backups.prune import prune_backups
from migrator.data_dir import DataDir
from migrator.documents.array_reader import read_array
from migrator.errors import QuarantineError, SourceFileError, StaleStoreError
from migrator.inventory.location import resolve_data_dir
from migrator.quarantine.retry import Take, retry
from tests.support.scene import Document, Scene, app_inserts, hash_of
from tests.support.strategies import instance, message, session

TOKEN = re.compile(rb"<t\d+>")
# Few of everything, so that they often meet.
ids = st.sampled_from(["a", "b", "c"])
places = st.sampled_from([0, 0, 0, 1, 2, 3])
workspaces = st.sampled_from([0, 0, 1])
sources = st.sampled_from(["own 0", "own 0", "own 0", "own 1", "older 0", "shared"])
writings = st.sampled_from(["create", "update", "append", "delete", "list"])
breakings = st.sampled_from(["status", "twice", "text", "bytes"])


def tokens(*contents: bytes | str) -> set[str]:
    found = (TOKEN.findall(one.encode() if isinstance(one, str) else one) for one in contents)
    return {token.decode() for some in found for token in some}


def elements(content: bytes) -> list[bytes] | None:
    """The elements of an array of sessions as they are; None if it is truncated."""
    try:
        return [element.raw for element in read_array(BytesIO(content))]
    except SourceFileError:
        return None


def array(parts: list[bytes]) -> bytes:
    return b"[\n  " + b",\n  ".join(parts) + b"\n]" if parts else b"[]"


class NothingIsLost(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.scene = Scene(root / "data")
        self.workspaces = [str(root / "w0"), str(root / "w1")]
        for workspace in self.workspaces:
            Path(workspace, ".ait42").mkdir(parents=True)
        (self.scene.root / "sessions").mkdir(parents=True)
        mapping = {hash_of(workspace): workspace for workspace in self.workspaces}
        (self.scene.root / "workspace_mapping.json").write_text(json.dumps(mapping))
        self.files = {
            "own 0": self.scene.file_of(self.workspaces[0]),
            "own 1": self.scene.file_of(self.workspaces[1]),
            "older 0": Path(self.workspaces[0], ".ait42", "sessions.json"),
            "shared": self.scene.root / "sessions.json",
        }
        self.data_dir: DataDir = resolve_data_dir(self.scene.root)
        self.count = 0
        self.needed: set[str] = set()
        self.damaged: dict[str, set[str]] = {}  # what files held before they were truncated or vanished
        self.late: set[str] = set()  # written to SQLite while the files are authoritative

    def teardown(self) -> None:
        report = verify(self.data_dir)
        self.folder.cleanup()
        assert report.broken == ()

    @initialize(begin=st.lists(sources, max_size=3), migrated=st.booleans())
    def begin(self, begin: list[str], migrated: bool) -> None:
        for source in begin:
            self.an_old_build_adds_a_session(source, "a")
        if migrated:
            self.there(salvage=False)

    # The model.

    def token(self) -> str:
        self.count += 1
        token = f"<t{self.count}>"
        self.needed.add(token)
        return token

    def document(self, source: str, session_id: str) -> Document:
        workspace = self.workspaces[int(source[-1])] if source[-1] in "01" else self.workspaces[self.count % 2]
        shows_none = source == "shared" and self.count % 3 == 0
        worktree = "" if shows_none else f"{workspace}/.worktrees/competition-a/instance-1"
        document: Document = session(id=session_id, task=self.token(), instances=[instance(worktreePath=worktree)])
        return document

    def element(self, source: str, session_id: str, how: str | None = None) -> bytes:
        """What stands for a session in a file; broken, if it says how."""
        document = self.document(source, session_id)
        text = json.dumps(document).encode()
        if how is None:
            return text
        if how == "status":
            return json.dumps(document | {"status": 5}).encode()
        if how == "twice":
            return text[:-1] + b', "id": "a"}'
        return json.dumps(document["task"]).encode() if how == "text" else text.replace(b"<t", b"\xff<t", 1)

    @property
    def status(self) -> str | None:
        found = self.rows("SELECT migration_status FROM migration_metadata")
        return str(found[0][0]) if found else None

    @property
    def sqlite_is_the_truth(self) -> bool:
        return self.status == "completed"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds; nothing where the table is not there."""
        if not self.scene.database.exists():
            return []
        with closing(sqlite3.connect(self.scene.database)) as connection, suppress(sqlite3.OperationalError):
            return connection.execute(sql).fetchall()
        return []

    def in_sessions(self) -> set[str]:
        texts = self.rows("SELECT task || coalesce(rescued_data, '') FROM sessions") or self.rows(
            "SELECT task FROM sessions"
        )
        return tokens(*(text for (text,) in [*texts, *self.rows("SELECT content FROM chat_messages")]))

    def in_quarantine(self, which: str = "1") -> set[str]:
        return tokens(*(raw for (raw,) in self.rows(f"SELECT raw FROM quarantine WHERE {which}")))

    def in_files(self) -> set[str]:
        return tokens(*(path.read_bytes() for path in self.files.values() if path.is_file()))

    def not_taken_up(self) -> Iterator[Path]:
        """The files that SQLite, by its own record, has not all of as they are."""
        known = {name: (sha256, error) for name, sha256, error in self.rows(
            "SELECT source, sha256, error FROM migration_ledger"
        )}  # fmt: skip
        in_trial = self.rows("SELECT workspace_hash, sha256 FROM written_files")
        for path in self.files.values():
            if path.is_file():
                name = str(path.relative_to(self.scene.root)) if path.is_relative_to(self.scene.root) else str(path)
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                if known.get(name) != (sha256, None) and (path.stem, sha256) not in in_trial:
                    yield path

    def found(self) -> set[str]:
        aside = [
            *self.scene.root.glob("sessions/*.json.*"),
            *self.scene.root.glob("sessions.json.*"),
            *Path(self.workspaces[0], ".ait42").glob("sessions.json.*"),
            *self.scene.root.glob("backups/*-quarantine-*/*"),
        ]
        found = tokens(*(path.read_bytes() for path in aside))
        if self.sqlite_is_the_truth:
            unknown = tokens(*(path.read_bytes() for path in self.not_taken_up()))
            return found | self.in_sessions() | self.in_quarantine() | unknown
        return found | self.in_files() | self.in_quarantine("reason = 'conflict'") | (self.late & self.in_sessions())

    @invariant()
    def nothing_is_lost(self) -> None:
        missing = self.needed - self.found()
        assert not missing, sorted(missing)

    # What an old build, or a person, does with the files, whichever store is authoritative.

    def read(self, source: str) -> list[bytes] | None:
        path = self.files[source]
        return elements(path.read_bytes()) if path.is_file() else []

    def write(self, source: str, parts: list[bytes]) -> None:
        path = self.files[source]
        before = self.damaged.pop(source, set()) | (tokens(path.read_bytes()) if path.is_file() else set())
        path.write_bytes(array(parts))
        self.needed -= before - tokens(path.read_bytes())

    def damage(self, source: str, damage: Callable[[Path], None]) -> None:
        """Text that vanishes in this way was not deleted; it is lost only if nothing else holds it."""
        path = self.files[source]
        before = tokens(path.read_bytes())
        damage(path)
        gone = before - (tokens(path.read_bytes()) if path.is_file() else set())
        self.needed -= gone - self.found()
        self.damaged[source] = self.damaged.get(source, set()) | before

    @rule(source=sources, session_id=ids)
    def an_old_build_adds_a_session(self, source: str, session_id: str) -> None:
        parts = self.read(source)
        if parts is not None:
            self.write(source, [*parts, self.element(source, session_id)])

    @rule(source=sources, session_id=ids, how=breakings, place=places)
    def the_user_puts_in_something_broken(self, source: str, session_id: str, how: str, place: int) -> None:
        parts = self.read(source)
        if parts is not None:
            self.write(source, [*parts[:place], self.element(source, session_id, how), *parts[place:]])

    @rule(source=sources, place=places, how=st.none() | breakings)
    def the_user_changes_a_session_breaks_or_fixes_it(self, source: str, place: int, how: str | None) -> None:
        parts = self.read(source)
        if parts is None or place >= len(parts):
            return
        try:
            session_id = json.loads(parts[place])["id"]
        except (ValueError, TypeError):
            session_id = "a"
        parts[place] = self.element(source, session_id, how)
        self.write(source, parts)

    @rule(source=sources, place=places)
    def an_old_build_deletes_a_session(self, source: str, place: int) -> None:
        parts = self.read(source)
        if parts is not None and place < len(parts):
            self.write(source, parts[:place] + parts[place + 1 :])

    @rule(source=sources, part=st.sampled_from([0.0, 0.5, 0.9]))
    def an_old_build_is_killed_while_it_writes(self, source: str, part: float) -> None:
        if self.files[source].is_file():
            self.damage(source, lambda path: os.truncate(path, int(path.stat().st_size * part)))

    @rule(source=sources)
    def a_file_vanishes(self, source: str) -> None:
        if self.files[source].is_file():
            self.damage(source, Path.unlink)

    # What the app does with its own SQL: also after a rollback, if it still has the database open.

    @precondition(lambda self: self.status in ("completed", "rolled_back"))
    @rule(workspace=workspaces, session_id=ids, change=st.sampled_from(["insert", "update", "update", "delete"]))
    def the_app_runs_sql(self, workspace: int, session_id: str, change: str) -> None:
        before = self.in_sessions()
        token = ""
        if change == "insert" and not self.scene.query("SELECT 1 FROM sessions WHERE id = ?", session_id):
            token = self.token()
            with closing(sqlite3.connect(self.scene.database)) as app, app:
                app_inserts(app, self.workspaces[workspace], session_id, token, f"msg-{self.count}")
        elif change == "update" and self.scene.query("SELECT 1 FROM sessions WHERE id = ?", session_id):
            token = self.token()
            self.scene.change("UPDATE sessions SET task = ? WHERE id = ?", token, session_id)
        elif change == "delete":
            self.scene.change("DELETE FROM sessions WHERE id = ?", session_id)
        if self.sqlite_is_the_truth:
            self.needed -= before - self.in_sessions()
        elif change == "update" and token:
            self.needed -= before - self.in_sessions()  # it will be replaced in the files as well
        else:
            self.needed -= self.late & before - self.in_sessions()
        if not self.sqlite_is_the_truth and token:
            self.late.add(token)

    # What the app does through the store that it runs on.

    @rule(workspace=workspaces, session_id=ids, change=writings)
    def the_store_writes(self, workspace: int, session_id: str, change: str) -> None:
        place = self.workspaces[workspace]
        seen = self.in_sessions if self.sqlite_is_the_truth else self.in_files
        before, files_before = seen(), self.in_files()
        try:
            with open_storage(self.data_dir) as store:
                if change == "create":
                    store.create_session(place, session(id=session_id, task=self.token()))
                elif change == "update":
                    store.update_session(place, session(id=session_id, task=self.token()))
                elif change == "append":
                    store.add_chat_message(place, session_id, message(content=self.token()))
                elif change == "delete":
                    store.delete_session(place, session_id)
                else:
                    store.get_all_sessions(place)
        except MigratorError:
            self.needed.discard(f"<t{self.count}>") if f"<t{self.count}>" not in self.found() else None
            return
        self.needed -= before - seen()
        if self.sqlite_is_the_truth and self.scene.flag() == "sqlite":
            self.needed -= files_before - self.in_files()  # a workspace that failed is served from its file

    # There, and back.

    @rule(salvage=st.booleans())
    def there(self, salvage: bool) -> None:
        assert migrate(self.data_dir, salvage=salvage).status != "failed"
        self.late.clear()

    @rule()
    def back(self) -> None:
        rollback(self.data_dir)
        assert not self.sqlite_is_the_truth

    @rule(backend=st.sampled_from(["json", "sqlite", "hybrid", "hybrid"]))
    def the_app_is_switched(self, backend: Backend) -> None:
        with suppress(StaleStoreError):
            switch_backend(self.data_dir, backend)
        if self.sqlite_is_the_truth:
            self.late.clear()

    @rule(take=st.sampled_from(["theirs", "ours", "both"]), place=places)
    def the_user_decides_a_conflict(self, take: Take, place: int) -> None:
        conflicts = self.rows("SELECT id FROM quarantine WHERE reason = 'conflict' ORDER BY id")
        if place < len(conflicts):
            with suppress(QuarantineError, StaleStoreError):
                retry(self.data_dir, [conflicts[place][0]], take=take)

    @precondition(lambda self: self.sqlite_is_the_truth)
    @rule(session_id=ids, place=places)
    def the_user_fixes_what_is_in_quarantine(self, session_id: str, place: int) -> None:
        items = self.rows("SELECT id, raw, reason FROM quarantine ORDER BY id")
        if place >= len(items):
            return
        number, raw, reason = items[place]
        edited = Path(self.folder.name, "edited.json")
        token = self.token()
        edited.write_text(json.dumps(session(id=session_id, task=token)))
        try:
            retry(self.data_dir, [number], edited=edited)
        except QuarantineError:
            self.needed.discard(token)
            return
        if reason != "conflict":
            self.needed -= tokens(raw)

    @precondition(lambda self: self.status is not None)
    @rule()
    def the_user_retries_all(self) -> None:
        with suppress(StaleStoreError):
            retry(self.data_dir, every=True)

    @rule()
    def backups_are_pruned(self) -> None:
        prune_backups(self.data_dir, 1)

    @precondition(lambda self: self.status == "rolled_back")
    @rule()
    def a_schema_step_is_undone(self) -> None:
        with suppress(MigratorError):
            revert_step(self.data_dir)


TestNothingIsLost = NothingIsLost.TestCase
# HYPOTHESIS_PROFILE=thorough looks at ten times as many.
TestNothingIsLost.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=25, deadline=None)
