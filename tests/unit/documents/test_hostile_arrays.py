"""Hostile arrays take time and memory in proportion to their size, whatever they contain."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrator.documents import array_reader
from migrator.documents.app_format import find_sessions, split
from migrator.documents.array_reader import read_array
from migrator.documents.validation import problems
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from migrator.staging import queries, readback
from migrator.worker.limits import Limits
from tests.behaviour.test_memory import LIMIT, migrate_measured
from tests.support.scene import Scene, app_json, chat

SMALL = b'{\n    "a":1}'  # begins like a session of the app's
END = b"\n  }\n]"


class Watched(io.BytesIO):
    """A file that records how far it was read."""

    farthest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.farthest = max(self.farthest, self.tell())
        return data


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_splitting_that_failed_is_not_tried_again_before_the_same_delimiter(monkeypatch):
    """The file has thousands of small elements, and then one place that looks like the end of a session."""
    parsed = []
    monkeypatch.setattr(array_reader, "parse_fast", lambda raw: parsed.append(len(raw)))
    data = b"[\n  " + b",".join([SMALL] * 3_000) + b',{\n    "b": 1\n  },\n  {\n    "a": 1\n  }\n]'
    assert sum(1 for _ in read_array(io.BytesIO(data))) == 3_002
    assert sum(parsed) < 4 * len(data)


def test_splitting_is_tried_again_after_an_invalid_session(monkeypatch):
    seen = []

    def scanned(reader: Any, index: int) -> int:
        seen.append(index)
        return original(reader, index)

    original = array_reader._Reader._scanned_end
    monkeypatch.setattr(array_reader._Reader, "_scanned_end", scanned)
    data = app_json([chat("a"), chat("b"), chat("c")]).replace(b'"id": "b"', b'"id": bad', 1)
    assert len(list(read_array(io.BytesIO(data), chunk=64))) == 3
    assert seen == [1]


def test_splitting_uses_bounded_memory():
    data = b"[\n  " + b",".join([SMALL] * 3_000) + END
    file = Watched(data)
    reader = array_reader._Reader(file, 64, 1 << 12)
    file.farthest = largest = 0
    for number, element in enumerate(reader.elements()):
        largest = max(largest, len(reader.buffer), file.farthest - element.offset)
        if number == 2_000:
            break
    assert largest < 4 << 12


def test_a_session_larger_than_the_search_limit_is_read():
    documents = [chat("a"), chat("large", text="x" * 20_000), chat("b")]
    data = app_json(documents)
    found = read_array(io.BytesIO(data), chunk=100, search_limit=1 << 10)
    assert [element.value for element in found] == documents


@pytest.mark.parametrize("cut", range(len(b"\n  },\n  {")))
def test_a_session_whose_end_is_not_found_is_never_taken_for_complete(tmp_path, cut):
    """This holds wherever the window ends, even if its contents are a session and more follows."""
    first = chat("a", text="x" * 3_000)
    data = app_json([first, chat("b")])
    behind = data.index(b"\n  },\n  {") + cut - len(b"[\n  ")
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        within = find_sessions(file)
        assert within is not None
        raws = [element.raw for element in split(file, within, chunk=behind, search_limit=behind - 1)]
    whole = [element.raw for element in read_array(io.BytesIO(data))]
    assert raws in (whole, [b"{"])


def test_a_file_with_a_session_larger_than_the_search_limit_is_migrated(scene):
    scene.write("/home/dev/engine", [chat("large", text="x" * 20_000), chat("small")])
    report = run_migration(resolve_data_dir(scene.root), limits=Limits(chunk=1 << 9, search_limit=1 << 10))
    assert report.totals.sessions == 2


def test_a_file_of_only_invalid_sessions_is_read_back_with_one_query(scene, monkeypatch):
    """One query for each, without an index, would take quadratic time."""
    looked_up = []

    class Asked(readback._Quarantine):
        def __init__(self, connection: Any, source_id: int) -> None:
            def execute(statement: str, *values: Any) -> Any:
                looked_up.append(statement)
                return connection.execute(statement, *values)

            super().__init__(SimpleNamespace(execute=execute), source_id)

    monkeypatch.setattr(readback, "_Quarantine", Asked)
    scene.write_bytes("/home/dev/engine", b"[" + b",".join([b"{}", b"1"] * 200) + b"]")
    assert run_migration(resolve_data_dir(scene.root)).totals.quarantined == 400
    assert looked_up == [queries.QUARANTINED_FROM]


def test_only_the_first_problems_are_listed():
    document = chat("a") | {"instances": [{}] * 1_000}
    found = problems(document)
    assert len(found) == 501
    assert found[0].pointer == "/instances/0/instanceId"
    assert found[-1].code == "document.more_problems"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="the figures are Linux's")
@pytest.mark.parametrize(
    "content",
    [
        b"[" + b",".join([b"1"] * 8_000) + b"]",
        b"[" * 5_000_000,
        b'[{"a":' * 1_000_000,
        app_json([chat("a") | {"instances": [0]}]).replace(b"0\n    ]", b"{}," * 300_000 + b"{}]"),
        b"[\n  " + b",".join([SMALL] * 8_000) + END,
    ],
    ids=["scalars", "depth", "deep objects", "empty instances", "false starts"],
)  # fmt: skip
def test_hostile_arrays_take_bounded_memory(scene, content):
    scene.write_bytes("/home/dev/engine", content)
    code, peak = migrate_measured(scene.root)
    assert code == 3
    assert peak < LIMIT
