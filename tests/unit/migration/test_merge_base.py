"""From which backup copies the base of a merge is read, and why it cannot be."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migrator import migrate
from migrator.data_dir import DataDir
from migrator.database.connection import connect_read_only
from migrator.errors import StorageIOError
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.migration.merging.matching import Identity
from migrator.migration.merging.merge_base import base_of, proven_deleted
from tests.support.scene import Scene, chat, hash_of

ENGINE = "/home/dev/engine"


@pytest.fixture
def places(scene: Scene) -> DataDir:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root, search_index=False)
    return DataDir(scene.root, scene.database)


@pytest.fixture
def known(places: DataDir) -> LedgerEntry:
    with closing(connect_read_only(places.database)) as connection:
        return read_ledger(connection)[f"sessions/{hash_of(ENGINE)}.json"]


def copy_of(known: LedgerEntry, places: DataDir) -> Path:
    assert known.backup
    return places.recorded(known.backup)


def damage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("newest", [True, False])
def test_an_intact_copy_is_the_base(places: DataDir, known: LedgerEntry, newest: bool) -> None:
    """That of another backup is compared with its manifest."""
    base = base_of(known if newest else known._replace(bases=json.dumps([known.backup]), backup=None), places)
    assert base.lost is None
    assert base.copies == [(known.backup, copy_of(known, places))]
    assert [*base.versions] == [("a", 0)]
    assert not base.is_older(("a", 0))
    assert not base.is_older(("b", 0))


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize(
    ("change", "code"), [(Path.unlink, "backup.file_missing"), (damage, "backup.file_damaged")], ids=["gone", "damaged"]
)
def test_no_copy_after_a_damaged_one_is_used(
    places: DataDir, known: LedgerEntry, change: Callable[[Path], None], code: str, *, newest: bool
) -> None:
    copy = copy_of(known, places)
    other = copy.with_name("other.json")
    other.write_bytes(copy.read_bytes())
    change(copy)
    names = [known.backup, f"{known.backup}".replace(copy.name, other.name)]
    base = base_of(known._replace(bases=json.dumps(names), backup=known.backup if newest else None), places)
    assert base.lost
    assert (base.lost.code, base.copies) == (code, [])
    assert base.lost.message == f"{copy} is {code[len('backup.file_') :]}"


def test_the_copies_before_a_damaged_one_are_kept(places: DataDir, known: LedgerEntry) -> None:
    base = base_of(known._replace(bases=json.dumps([known.backup, "gone/file.json"])), places)
    assert base.lost
    assert base.lost.code == "backup.file_missing"
    assert base.copies == [(known.backup, copy_of(known, places))]


def test_a_copy_that_cannot_be_read_is_damaged(
    places: DataDir, known: LedgerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> str:
        raise StorageIOError("Cannot read it.")

    monkeypatch.setattr("migrator.files.copying.sha256_of", refuse)
    lost = base_of(known, places).lost
    assert lost
    assert lost.code == "backup.file_damaged"


def test_without_a_copy_there_is_no_base(places: DataDir, known: LedgerEntry) -> None:
    base = base_of(known._replace(backup=None, bases=None), places)
    assert base.lost
    assert (base.lost.code, base.copies, base.versions) == ("backup.file_missing", [], {})


A, B, C = ("a", 0), ("b", 0), ("c", 0)


@pytest.mark.parametrize(
    ("now", "invalid", "hidden", "deleted"),
    [
        ([A], [], False, [B, C]),
        ([A], [], True, []),
        ([A], ['{"id": "b", 7', b'{"id": "c", 7'], False, []),
        ([A], ['{"id": "b", 7', b'{"id": "x", 7'], False, [C]),
        ([A], ['{"id": "b", 7', "7"], False, []),
        ([A, B, C], ["7"], False, []),
    ],
    ids=["missing", "the file hides some", "all are mentioned", "one is mentioned", "may be any", "none is missing"],
)
def test_what_the_file_lacks_and_does_not_mention_is_deleted(
    now: list[Identity], invalid: list[str | bytes], hidden: bool, deleted: list[Identity]
) -> None:
    assert proven_deleted([A, B, C], now, invalid, blank_or_torn=hidden) == deleted
