"""Two processes together load everything, once and in order; a shard has at most one range of a file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.documents import app_format
from migrator.inventory.source_files import Source
from migrator.staging import partition as division
from migrator.staging.partition import WorkItem, divide
from migrator.staging.results import LoadedSource
from migrator.worker.limits import LIMITS
from tests.support.scene import app_json, chat

SHARD = LIMITS.shard


def part(number: int, size: int, path: str = "") -> WorkItem:
    """Make an item of a source that is named as the path of its copy."""
    loaded = LoadedSource(Source(path or f"file {number}", path, "workspace", "h", size), number, path)
    return WorkItem(loaded, size, None)


@given(sizes=st.lists(st.integers(0, SHARD // division._PIECE_DIVISOR), max_size=60))
def test_small_files_are_divided_in_order(sizes: list[int]) -> None:
    parts = [part(number, size) for number, size in enumerate(sizes)]
    mine, shards = divide(parts, SHARD)
    assert [*mine, *(each for shard in shards for each in shard)] == parts
    assert all(shards)
    largest = max(sizes, default=0)
    own = sum(each.size for each in mine)
    assert abs(own - division._OWN_SHARE * sum(sizes)) <= largest
    for shard in shards:
        assert sum(each.size for each in shard[:-1]) < SHARD


def test_the_shards_get_smaller_so_that_the_last_one_is_short() -> None:
    _, shards = divide([part(number, 1 << 20) for number in range(400)], SHARD)
    sizes = [sum(each.size for each in shard) for shard in shards]
    assert sizes[0] == SHARD
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= SHARD // 8


def large_file(folder: Path, sessions: int) -> WorkItem:
    path = folder / "file"
    path.write_bytes(app_json([chat(f"s-{number}") for number in range(sessions)]))
    return part(1, path.stat().st_size, str(path))


@pytest.mark.parametrize("sessions", [40, 200])
def test_a_large_file_is_cut_between_its_sessions(sessions: int, tmp_path: Path) -> None:
    whole = large_file(tmp_path, sessions)
    mine, shards = divide([whole, part(2, 10)], 8_000)
    assert all(len({each.loaded.source_id for each in shard}) == len(shard) for shard in shards)
    assert max(each.size for each in mine) < 2 * 8_000 // division._PIECE_DIVISOR + whole.size // sessions
    extents = [each.within for where in (mine, *shards) for each in where if each.loaded.source_id == 1]
    with Path(whole.loaded.source.name).open("rb", buffering=0) as file:
        extent = app_format.find_sessions(file)
        assert extent is not None
        expected = [element.raw for element in app_format.split(file, extent)]
        found = [element.raw for within in extents if within for element in app_format.split(file, within)]
    assert found == expected


def test_a_large_session_stays_whole(tmp_path: Path) -> None:
    whole = large_file(tmp_path, 1)
    assert whole.size > 3 * 800 // division._PIECE_DIVISOR
    mine, shards = divide([whole], 800)
    assert [*mine, *(each for shard in shards for each in shard)] == [whole]


def test_a_file_that_is_not_app_formatted_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"[" + b" " * 5_000 + b"]")
    mine, shards = divide([part(1, 5_002, str(path))], 800)
    assert [each.within for where in (mine, *shards) for each in where] == [None]
