"""The shipped data directory becomes a verified database with the numbers that its README promises."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrator.cli.app import run
from migrator.database import schema
from tests.support.scene import EXPECTED, FIXTURES, Document, Scene, copy_fixture, parsed, serialized, stored_documents

DATA = EXPECTED["data_dir"]
SOURCES: list[Document] = DATA["sources"]
UNPLACED = hashlib.sha256(b"unknown:sessions.json").hexdigest()[:16]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Document]:
    """The fixture after ``migrate --json`` under umask 0, and the report. Tests must not change it."""
    root = tmp_path_factory.mktemp("fixture")
    scene = copy_fixture(root / "ait42")
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("click.echo", lambda text="", **_: printed.append(text))
        before = os.umask(0)
        try:
            code = run(["--data-dir", str(scene.root), "migrate", "--json", "--progress", "none"])
        finally:
            os.umask(before)
    assert code == DATA["exit_code"]
    report: Document = json.loads("".join(printed))
    return scene, report


def expected_workspaces() -> dict[str, Document]:
    """What each workspace must get from all files together, by hash."""
    expected: dict[str, Document] = {}
    for source in SOURCES:
        for share in source.get("workspaces", [source]):
            into = expected.setdefault(
                share["hash"] or UNPLACED,
                {"path": None, "valid": 0, "instances": 0, "messages": 0, "quarantined": 0, "failed": False},
            )
            into["path"] = into["path"] or share["path"]
            into["failed"] |= source["outcome"] == "fails"
            for number in ("valid", "instances", "messages", "quarantined"):
                into[number] += share[number]
    return expected


def bad_positions(source: Document) -> set[int]:
    """The positions of the sessions that the fixture makes invalid on purpose."""
    return {2, 4, 7} if source["quarantined"] else set()


def test_each_workspace_has_the_promised_path_and_counts(migrated: tuple[Scene, Document]) -> None:
    _, report = migrated
    found = {
        workspace["hash"]: {
            "path": None if workspace["path"].startswith("unknown:") else workspace["path"],
            "valid": workspace["sessions"],
            "instances": workspace["instances"],
            "messages": workspace["messages"],
            "quarantined": workspace["quarantined"],
            "failed": workspace["status"] == "failed",
        }
        for workspace in report["workspaces"]
    }
    expected = expected_workspaces()
    expected["e53d85828aa67105"]["path"] = (
        "/Users/dev/code/ledger-sync"  # its complete sessions prove it, salvaged or not
    )
    assert found == expected


def test_the_totals_are_as_promised(migrated: tuple[Scene, Document]) -> None:
    _, report = migrated
    totals = DATA["totals"]
    assert report["status"] == "completed_with_problems"
    assert report["totals"] == {
        "workspaces": totals["workspaces"],
        "sessions": totals["valid"],
        "instances": totals["instances"],
        "messages": totals["messages"],
        "quarantined": totals["quarantined"],
        "failed": totals["failed"],
        "deleted": 0,
        "held": 0,
        "bytes": totals["bytes"],
    }


def test_the_tables_have_the_promised_counts(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    counts = scene.query(
        "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM instances), "
        "(SELECT count(*) FROM chat_messages), (SELECT count(*) FROM quarantine)"
    )
    totals = DATA["totals"]
    assert counts == [(totals["valid"], totals["instances"], totals["messages"], totals["quarantined"])]


@pytest.mark.parametrize("source", [s for s in SOURCES if s["hash"]], ids=lambda s: s["file"])
def test_every_valid_document_of_a_workspace_file_reads_back_in_order(
    migrated: tuple[Scene, Document], source: Document
) -> None:
    scene, _ = migrated
    content = (scene.root / source["file"]).read_bytes()
    expected = []
    if source["outcome"] != "fails":
        bad = bad_positions(source)
        expected = [serialized(d) for position, d in enumerate(parsed(content)) if position not in bad]
    stored = [serialized(document) for document in stored_documents(scene.database, source["hash"])]
    assert len(expected) == source["valid"]
    assert stored[: len(expected)] == expected


def test_the_shared_files_sessions_come_after_those_of_each_workspaces_own_file(
    migrated: tuple[Scene, Document],
) -> None:
    scene, _ = migrated
    shared = next(source for source in SOURCES if source["file"] == "sessions.json")
    documents = parsed((scene.root / "sessions.json").read_bytes())
    own = {source["hash"]: source["valid"] for source in SOURCES if source["hash"]}
    distributed = []
    for share in shared["workspaces"]:
        workspace_hash = share["hash"] or UNPLACED
        stored = stored_documents(scene.database, workspace_hash)
        tail = [serialized(document) for document in stored[own.get(workspace_hash, 0) :]]
        assert len(tail) == share["valid"]
        order = [serialized(document) for document in documents]
        assert [order.index(text) for text in tail] == sorted(order.index(text) for text in tail)
        distributed += tail
    assert sorted(distributed) == sorted(serialized(document) for document in documents)


def test_quarantined_sessions_are_kept_byte_for_byte_with_every_reason(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    source = next(source for source in SOURCES if source["quarantined"])
    content = (scene.root / source["file"]).read_bytes().decode()
    rows = scene.query("SELECT position, raw, problems, workspace_hash, reason FROM quarantine ORDER BY position")
    assert [row[0] for row in rows] == [2, 4, 7]
    assert all(row[1] in content and row[3] == source["hash"] and row[4] == "invalid" for row in rows)
    pointers = [[problem["pointer"] for problem in json.loads(row[2])] for row in rows]
    assert pointers == [
        ["/chatHistory"],
        ["/instances/0/instanceId", "/totalFilesChanged"],
        ["/task", "/timeoutSeconds"],
    ]


def test_the_source_files_are_not_changed(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    originals = [path for path in (FIXTURES / "data-dir").rglob("*") if path.is_file()]
    assert originals
    for original in originals:
        assert (scene.root / original.relative_to(FIXTURES / "data-dir")).read_bytes() == original.read_bytes()


def test_the_backup_can_be_checked_by_hand(migrated: tuple[Scene, Document]) -> None:
    _, report = migrated
    backup = Path(report["backup_path"])
    listed = {}
    for line in (backup / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, separator, name = line[:64], line[64:66], line[66:]
        assert separator == "  "
        assert hashlib.sha256((backup / name).read_bytes()).hexdigest() == digest
        listed[name] = digest
    assert set(listed) == {source["file"] for source in SOURCES}
    copies = {os.path.relpath(path, backup) for path in backup.rglob("*") if path.is_file()}
    assert copies == set(listed) | {"SHA256SUMS", "manifest.json"}


def test_the_manifest_has_size_and_digest_of_each_copy(migrated: tuple[Scene, Document]) -> None:
    scene, report = migrated
    manifest = json.loads((Path(report["backup_path"]) / "manifest.json").read_bytes())
    assert manifest["data_dir"] == str(scene.root)
    assert manifest["unreadable"] == {}
    found = {entry["source"]: (entry["size"], entry["sha256"]) for entry in manifest["files"]}
    assert found == {
        source["file"]: (
            source["bytes"],
            hashlib.sha256((scene.root / source["file"]).read_bytes()).hexdigest(),
        )
        for source in SOURCES
    }


def test_the_database_records_that_it_is_authoritative_and_the_backups_path(
    migrated: tuple[Scene, Document],
) -> None:
    scene, report = migrated
    rows = scene.query("SELECT schema_version, migration_status, json_backup_path FROM migration_metadata")
    assert rows == [(schema.latest_version(), "completed", report["backup_path"])]
    assert scene.flag() == "sqlite"


def test_everything_created_is_private_whatever_the_umask(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    made = [scene.root / name for name in ("sessions.db", "storage.json", "migrator.lock", "backups")]
    made += (scene.root / "backups").rglob("*")
    modes: dict[bool, set[int]] = {True: set(), False: set()}
    for path in made:
        modes[path.is_dir()].add(stat.S_IMODE(path.stat().st_mode))
    assert modes == {True: {0o700}, False: {0o600}}


def test_no_temporary_files_are_left(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    assert sorted(path.name for path in scene.root.iterdir()) == [
        "backups",
        "migrator.lock",
        "sessions",
        "sessions.db",
        "sessions.json",
        "storage.json",
        "workspace_mapping.json",
    ]
    assert not [name for name in os.listdir(scene.root / "backups") if name.startswith(".")]


def test_sqlites_own_checks_pass(migrated: tuple[Scene, Document]) -> None:
    scene, _ = migrated
    assert scene.query("PRAGMA integrity_check") == [("ok",)]
    assert scene.query("PRAGMA foreign_key_check") == []


def test_verify_finds_no_problems(migrated: tuple[Scene, Document], monkeypatch: Any) -> None:
    scene, _ = migrated
    printed: list[str] = []
    monkeypatch.setattr("click.echo", lambda text="", **_: printed.append(text))
    assert run(["--data-dir", str(scene.root), "verify", "--json", "--progress", "none"]) == 0
    report = json.loads("".join(printed))
    assert (report["status"], report["broken"]) == ("clean", [])
    assert report["sessions"] == DATA["totals"]["valid"]
    assert {source["database"] for source in report["sources"]} == {"unchanged", "none"}


def test_every_file_of_the_fixture_is_as_its_generator_writes_it() -> None:
    program = [sys.executable, str(FIXTURES / "make_fixtures.py"), "--check"]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
