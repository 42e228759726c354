"""What another program wrote to a file while it was replaced is named by every report, until it is moved away."""

import hashlib
import os
from pathlib import Path

import pytest

from migrator import migrate, rollback
from migrator.admin.switch_backend import switch_backend
from migrator.diagnostics.doctor import examine
from migrator.inventory.location import resolve_data_dir
from migrator.inventory.status import status_of
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
CODE = "file.written_late"


@pytest.fixture
def migrated(scene: Scene) -> Scene:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    return scene


def left_with_second_name(scene: Scene, content: bytes) -> Path:
    """A file as it is left if a program had it open while it was replaced, and wrote this."""
    target = scene.file_of(ENGINE)
    second = target.with_name(f".{target.name}.{hashlib.sha256(b'[]').hexdigest()}.replaced")
    second.write_bytes(content)
    return second


def test_an_idle_run_looks_at_a_replaced_file_and_reports_what_it_keeps(migrated):
    second = left_with_second_name(migrated, b"[1]")
    report = migrate(migrated.root)
    assert [warning.code for warning in report.warnings] == [CODE]
    kept = migrated.file_of(ENGINE).with_name(f"{migrated.file_of(ENGINE).name}.written-late")
    assert (kept.read_bytes(), second.exists()) == (b"[1]", False)
    places = resolve_data_dir(migrated.root)
    assert CODE in [warning.code for warning in status_of(places).warnings]
    assert CODE in [found.code for found in examine(places).findings if found.level == "problem"]
    assert [problem["code"] for problem in switch_backend(places, "hybrid").to_json()["problems"]] == [CODE]
    assert [problem["code"] for problem in rollback(migrated.root).to_json()["problems"]] == [CODE]
    kept.unlink()
    assert not status_of(places).warnings


def test_a_replaced_file_that_no_program_wrote_to_is_forgotten(migrated):
    second = left_with_second_name(migrated, b"[]")
    os.utime(second, (0, 0))
    assert migrate(migrated.root).warnings == ()
    assert not second.exists()


@pytest.mark.parametrize("content", [b"[]", b"[1]"])
def test_a_switch_with_nothing_to_switch_looks_at_a_replaced_file_too(migrated, content):
    places = resolve_data_dir(migrated.root)
    rollback(places)
    second = left_with_second_name(migrated, content)
    os.utime(second, (0, 0))
    report = switch_backend(places, "json")
    assert not second.exists()
    assert [problem["code"] for problem in report.to_json()["problems"]] == ([CODE] if content == b"[1]" else [])
