"""The ledger: what it says of a file decides what is left to do."""

import hashlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migrator.backups.copy_files import BackedUpFile
from migrator.backups.create import Backup
from migrator.database.columns import LEDGER_COLUMNS
from migrator.errors import Message
from migrator.inventory.ledger import LedgerEntry, find_work, read_adopted, read_ledger, record, record_failure
from migrator.inventory.source_files import Source
from migrator.migration.run_record import entries_of
from migrator.staging.results import Counts, LoadedSource

CONTENT = b"[]"
HASH = "00000000000000aa"

TORN = Message("torn", code="source.truncated")
GONE = Message("gone", code="source.unreadable")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A file that exists."""
    path = tmp_path / f"{HASH}.json"
    path.write_bytes(CONTENT)
    found = path.stat()
    return Source(f"sessions/{HASH}.json", str(path), "workspace", HASH, found.st_size, found.st_mtime_ns, found.st_ino)


@pytest.fixture
def entry(source: Source) -> LedgerEntry:
    """The file's row in the ledger after its migration."""
    return row_for(source, sha256=hashlib.sha256(CONTENT).hexdigest(), digest="d", backup="backups/b/f")


def row_for(source: Source, **more: Any) -> LedgerEntry:
    """A row as a run makes it for a source, with some columns replaced."""
    row = entries_of([LoadedSource(source, source_id=1)], Backup(None, {}))[source.name]
    return row._replace(**more)


def work(source: Source, entry: LedgerEntry | None, **options: Any) -> tuple[bool, bool, bool]:
    """Whether a file is pending, known and moved."""
    found = find_work([source], {} if entry is None else {entry.source: entry}, **options)
    return source in found.pending, source in found.known, source in found.moved


PENDING, KNOWN, MOVED = (True, False, False), (False, True, False), (False, True, True)


def test_a_file_that_is_not_in_the_ledger_is_pending(source):
    assert work(source, None) == PENDING


def test_a_file_that_looks_the_same_is_known_and_not_hashed(source, entry):
    source.path.unlink()  # if it were read, it would be pending
    assert work(source, entry) == KNOWN


@pytest.mark.parametrize("member", ["mtime_ns", "inode"])
def test_a_file_that_looks_different_with_the_same_contents_has_moved(source, entry, member):
    assert work(source._replace(**{member: 1}), entry) == MOVED


@pytest.mark.parametrize("member", ["mtime_ns", "inode"])
def test_a_file_that_looks_different_with_other_contents_is_pending(source, entry, member):
    assert work(source._replace(**{member: 1}), entry._replace(sha256="0" * 64)) == PENDING


def test_a_file_of_another_size_is_pending_and_not_hashed(source, entry):
    assert work(source._replace(size=3), entry) == PENDING  # its hash is the same: it would have moved


def test_a_file_that_cannot_be_read_is_pending(source, entry):
    source.path.unlink()
    assert work(source._replace(mtime_ns=1), entry) == PENDING


def test_a_file_that_was_never_read_is_pending_however_it_looks(source, entry):
    assert work(source, entry._replace(sha256=None)) == PENDING


def test_a_failed_file_that_looks_the_same_is_known(source, entry):
    assert work(source, entry._replace(status="failed", error=TORN)) == KNOWN


def test_a_failed_file_is_pending_if_the_run_salvages(source, entry):
    assert work(source, entry._replace(status="failed", error=TORN), salvage=True) == PENDING


def test_a_file_that_did_not_fail_is_known_if_the_run_salvages(source, entry):
    assert work(source, entry, salvage=True) == KNOWN


def test_a_failed_file_that_was_only_touched_has_moved(source, entry):
    assert work(source._replace(mtime_ns=1), entry._replace(status="failed", error=TORN)) == MOVED


def test_a_file_that_failed_after_its_migration_is_pending_once_touched(source, entry):
    """Its contents may be the migrated ones again; then the failure must be cleared."""
    assert work(source._replace(mtime_ns=1), entry._replace(status="migrated", error=TORN)) == PENDING


@pytest.mark.parametrize(("recorded", "expected"), [(GONE.code, KNOWN), (TORN.code, PENDING), (None, PENDING)])
def test_a_file_that_cannot_be_examined_is_known_while_the_reason_is_the_same(source, entry, recorded, expected):
    assert work(source._replace(error=GONE), entry._replace(error="in older words", error_code=recorded)) == expected


def test_several_files_keep_their_order(source, entry):
    others = [source._replace(name=name) for name in ("b", "a")]
    found = find_work([*others, source], {entry.source: entry})
    assert (found.pending, found.known, found.moved) == (others, [source], [])


def test_a_row_has_the_columns_of_the_table_in_their_order(source):
    assert LedgerEntry._fields == ("id", *LEDGER_COLUMNS)


def test_a_row_has_what_is_known_of_the_file_and_the_time(source):
    row = row_for(source)
    now = datetime.now(UTC)
    for moment in (row.created_at, row.updated_at):
        assert abs((datetime.fromisoformat(moment) - now).total_seconds()) < 60
        assert "." not in moment
    assert row._replace(created_at="", updated_at="") == LedgerEntry(
        id=1, source=source.name, workspace_hash=HASH, status="migrated", size=2, mtime_ns=source.mtime_ns,
        inode=source.inode, sha256=None, session_count=0, instances=0, messages=0, quarantined=0, digest="",
        backup=None, error=None, created_at="", updated_at="",
    )  # fmt: skip


def test_a_processed_file_has_the_sums_of_its_workspaces_and_the_path_of_its_copy(source, tmp_path):
    loaded = LoadedSource(source, digest="d")
    loaded.counts = {name: Counts(name, number) for number, name in enumerate("ab")}
    for number, count in enumerate(loaded.counts.values(), 1):
        count.sessions, count.instances, count.messages, count.quarantined = (
            number * factor for factor in (1, 10, 100, 1000)
        )
    failed = LoadedSource(source._replace(name="failed"), digest="d", error=TORN)
    unread = LoadedSource(source._replace(name="unread"), digest="d", error=GONE)
    copies = {
        "failed": BackedUpFile(failed.source, "sessions/f.json", 2, "s2"),
        source.name: BackedUpFile(source, "sessions/x.json", 2, "s1"),
    }
    saved = Backup(tmp_path / "backups" / "b", copies)
    found = entries_of([loaded, failed, unread], saved)
    shown = (
        "status",
        "sha256",
        "session_count",
        "instances",
        "messages",
        "quarantined",
        "digest",
        "backup",
        "error_code",
    )
    assert {name: tuple(getattr(row, member) for member in shown) for name, row in found.items()} == {
        source.name: ("migrated", "s1", 3, 30, 300, 3000, "d", "backups/b/sessions/x.json", None),
        "failed": ("failed", "s2", 0, 0, 0, 0, None, "backups/b/sessions/f.json", "source.truncated"),
        "unread": ("failed", None, 0, 0, 0, 0, None, None, "source.unreadable"),
    }


def test_if_nothing_could_be_copied_no_row_names_a_copy(source, tmp_path):
    failed = LoadedSource(source, error=GONE)
    found = entries_of([failed], Backup(None, {}))
    assert (found[source.name].backup, found[source.name].sha256) == (None, None)


def row_of(database: sqlite3.Connection, source: Source) -> LedgerEntry:
    return read_ledger(database)[source.name]


def test_a_recorded_row_can_be_read(database, source, entry):
    number = record(database, row_for(source, sha256=entry.sha256, digest="d", backup="backups/b/f"))
    assert row_of(database, source)._replace(created_at="", updated_at="") == entry._replace(
        id=number, created_at="", updated_at=""
    )


def test_the_rows_of_adopted_files_are_read_separately(database, source, entry):
    adopted = row_for(source._replace(name="sessions/copy.json"), status="merged")
    for one in (entry, adopted):
        record(database, one)
    assert [*read_ledger(database)] == [source.name]
    assert [*read_adopted(database)] == [adopted.source]
    assert read_adopted(database)[adopted.source][1:] == adopted[1:]


def test_recording_a_source_again_keeps_the_number_and_the_time_of_creation(database, source):
    first = record(database, row_for(source, created_at="then", session_count=1))
    other = record(database, row_for(source._replace(name="other")))
    assert record(database, row_for(source, created_at="now", session_count=2)) == first != other
    found = row_of(database, source)
    assert (found.created_at, found.session_count) == ("then", 2)


def test_a_recorded_failure_keeps_the_rest_of_the_row(database, source):
    record(database, row_for(source, sha256="s", session_count=7, digest="d"))
    record_failure(
        database, row_for(source._replace(size=9, mtime_ns=8, inode=6), sha256="t", error=TORN, updated_at="u")
    )
    found = row_of(database, source)
    assert (found.error, found.size, found.mtime_ns, found.inode, found.updated_at) == ("torn", 9, 8, 6, "u")
    assert (found.status, found.sha256, found.session_count, found.digest) == ("migrated", "s", 7, "d")


def test_a_file_that_could_not_be_read_is_examined_again_in_the_next_run(database, source):
    record(database, row_for(source, sha256="s"))
    record_failure(database, row_for(source, error="permission denied"))
    found = row_of(database, source)
    assert (found.mtime_ns, found.inode, found.size) == (-1, -1, source.size)
