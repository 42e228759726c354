"""Arrays that are made to cost: they cost what their size is, in time and in memory, whatever is in them."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrator.data_dir import resolve_data_dir
from migrator.documents import array_reader
from migrator.documents.app_format import find_sessions, split
from migrator.documents.array_reader import read_array
from migrator.documents.validation import problems
from migrator.migration.run import run_migration
from migrator.staging import queries, readback
from migrator.worker.limits import Limits
from tests.behaviour.test_memory import LIMIT, migrate_measured
from tests.support.scene import Scene, app_json, chat

SMALL = b'{\n    "a":1}'  # begins like a session of the app's
END = b"\n  }\n]"


class Watched(io.BytesIO):
    """A file that knows how far it was read."""

    farthest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.farthest = max(self.farthest, self.tell())
        return data


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_guess_that_failed_is_not_made_again_before_the_same_cut(monkeypatch):
    """Thousands of small elements, and one place that looks like the end of a session behind all of them."""
    parsed = []
    monkeypatch.setattr(array_reader, "parse_fast", lambda raw: parsed.append(len(raw)))
    data = b"[\n  " + b",".join([SMALL] * 3_000) + b',{\n    "b": 1\n  },\n  {\n    "a": 1\n  }\n]'
    assert sum(1 for _ in read_array(io.BytesIO(data))) == 3_002
    assert sum(parsed) < 4 * len(data)


def test_a_guess_is_made_again_behind_a_session_that_is_broken(monkeypatch):
    seen = []

    def scanned(reader: Any, index: int) -> int:
        seen.append(index)
        return original(reader, index)

    original = array_reader._Reader._scanned_end
    monkeypatch.setattr(array_reader._Reader, "_scanned_end", scanned)
    data = app_json([chat("a"), chat("b"), chat("c")]).replace(b'"id": "b"', b'"id": bad', 1)
    assert len(list(read_array(io.BytesIO(data), chunk=64))) == 3
    assert seen == [1]


def test_no_more_than_so_much_is_held_in_memory_for_a_guess():
    data = b"[\n  " + b",".join([SMALL] * 3_000) + END
    file = Watched(data)
    reader = array_reader._Reader(file, 64, 1 << 12)
    file.farthest = largest = 0
    for number, element in enumerate(reader.elements()):
        largest = max(largest, len(reader.buffer), file.farthest - element.offset)
        if number == 2_000:
            break
    assert largest < 4 << 12


def test_a_session_that_is_larger_than_a_guess_may_be_is_read_all_the_same():
    documents = [chat("a"), chat("large", text="x" * 20_000), chat("b")]
    data = app_json(documents)
    found = read_array(io.BytesIO(data), chunk=100, search_limit=1 << 10)
    assert [element.value for element in found] == documents


@pytest.mark.parametrize("cut", range(len(b"\n  },\n  {")))
def test_an_extent_without_an_end_in_sight_is_given_up_and_not_taken_for_whole(tmp_path, cut):
    """Wherever the window happens to end: also where what is in it is a session, and more follows."""
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


def test_a_file_of_a_single_session_beyond_all_bounds_is_migrated(scene):
    scene.write("/home/dev/engine", [chat("large", text="x" * 20_000), chat("small")])
    report = run_migration(resolve_data_dir(scene.root), limits=Limits(chunk=1 << 9, search_limit=1 << 10))
    assert report.totals.sessions == 2


def test_a_file_of_nothing_but_bad_sessions_is_read_back_in_one_go(scene, monkeypatch):
    """Each looked up by itself, with no index to find it by, they would cost the square of their number."""
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


def test_of_a_million_problems_the_first_are_told():
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
def test_arrays_made_to_cost_take_bounded_memory(scene, content):
    scene.write_bytes("/home/dev/engine", content)
    code, peak = migrate_measured(scene.root)
    assert code == 3
    assert peak < LIMIT
