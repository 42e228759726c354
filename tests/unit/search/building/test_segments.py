"""The two records in which FTS5 says of what an index consists: their bytes, and what is added to them."""

import pytest

from migrator.search.building.segments import Level, Segment, Structure, UnknownFormat, add_averages

COOKIE = b"\0\0\0\7"
STRUCTURE = Structure(COOKIE, 300, [Level(0, []), Level(2, [Segment(1, 1, 5), Segment(1001, 1, 200)])])
RECORD = COOKIE + bytes([2, 2, 0x82, 0x2C, 0, 0, 2, 2, 1, 1, 5, 0x87, 0x69, 1, 0x81, 0x48])


def test_a_structure_has_these_bytes() -> None:
    assert STRUCTURE.block() == RECORD
    assert Structure.read(RECORD) == STRUCTURE
    assert [segment.number for segment in STRUCTURE.segments] == [1, 1001]


@pytest.mark.parametrize("written", [0, 127, 128, (1 << 14) - 1, 1 << 14, (1 << 56) - 1])
def test_a_number_is_read_as_it_was_written(written: int) -> None:
    assert Structure.read(Structure(COOKIE, written, []).block()).written == written


def test_the_ninth_byte_of_a_number_has_eight_bits() -> None:
    assert Structure.read(COOKIE + bytes([0, 0]) + b"\xff" * 9).written == (1 << 64) - 1


def test_a_number_that_counts_nothing_real_is_not_written() -> None:
    with pytest.raises(UnknownFormat):
        Structure(COOKIE, 1 << 56, []).block()


@pytest.mark.parametrize("record", [b"", COOKIE, RECORD[:-2], COOKIE + b"\xff\0\0\1" + bytes(20)])
def test_a_record_of_another_kind_is_not_read(record: bytes) -> None:
    with pytest.raises(UnknownFormat):
        Structure.read(record)


def test_new_segments_get_numbers_that_are_not_in_use() -> None:
    assert STRUCTURE.free_numbers() == list(range(1002, 1999))


@pytest.mark.parametrize(("levels", "empty"), [([], 2), ([Level(1, [Segment(1, 1, 5)])], 1), ([Level(0, [])] * 3, 0)])
def test_segments_are_added_as_the_oldest_three_on_a_level(levels: list[Level], empty: int) -> None:
    added = [Segment(1001 + number, 1, 2) for number in range(7)]
    structure = Structure(COOKIE, 9, levels).with_segments(added)
    assert [(level.merging, list(level.segments)) for level in structure.levels] == [
        *((level.merging, list(level.segments)) for level in levels),
        *[(0, [])] * empty,
        (0, added[:3]),
        (0, added[3:6]),
        (0, added[6:]),
    ]
    assert (structure.cookie, structure.written) == (COOKIE, 9)


def test_the_counts_of_rows_and_words_are_added_up() -> None:
    assert add_averages([b"\2\5", b"", b"\x81\0\3"]) == b"\x81\2\x08"
    with pytest.raises(ValueError, match="argument"):
        add_averages([b"\2\5", b"\2\5\6"])  # of a table with another column
