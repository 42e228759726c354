"""Ten thousand mutated real files are read, and two thousand of them migrated.

``make torture ARGS="--parts fuzz"`` reads a million.
"""

import random
from typing import Any

import pytest

from migrator.documents.exact_json import parse_fast
from migrator.documents.parsing import Reading
from tests.support import fuzzing
from tests.support.fuzzing import EVOLVED, Mutator, cases, failures, migration_failures, seeds, smallest

SEED = 20251125
AT_ONCE = 1_000
TOGETHER = 250


@pytest.mark.parametrize("first", range(0, 4_000, AT_ONCE))
def test_the_reader_keeps_its_promises_for_any_bytes(first):
    assert failures(SEED, first, AT_ONCE) == []


@pytest.mark.parametrize("first", range(0, 1_000, TOGETHER))
def test_fast_and_careful_loading_give_the_same_result_for_any_bytes(first):
    assert migration_failures(SEED, first, TOGETHER) == []


def test_the_same_seed_and_number_make_the_same_case():
    part = list(cases(1, EVOLVED - 3, 6))
    assert [case.number for case in part] == list(range(EVOLVED - 3, EVOLVED + 3))
    assert part[4:] == list(cases(1, EVOLVED + 1, 2))
    assert part[:1] != list(cases(2, EVOLVED - 3, 1))


def test_inputs_of_every_kind_are_among_the_cases():
    kinds = [fuzzing.check(case.data, case.chunk) for case in cases(SEED, 0, 500)]
    ends = ("torn", "no array", "whole, as written", "whole, refused", "whole, other")
    for part in (*ends, "unreadable", "invalid", "session as the app has it"):
        assert any(part in kind for kind in kinds), part


def test_most_inputs_are_new():
    mutator = Mutator(random.Random(1), list(seeds()))
    assert len({mutator.make() for _ in range(500)}) > 400


def test_a_reader_that_trusts_the_fast_parser_is_detected(monkeypatch):
    def believing(raw: bytes, value: Any = None) -> Reading:
        return Reading(value or parse_fast(raw) or {}, None)

    fuzzing.kind_of.cache_clear()
    monkeypatch.setattr(fuzzing, "parse_element", believing)
    monkeypatch.setattr("migrator.documents.parsing.parse_element", believing)
    assert any(case.reason for case in cases(SEED, 0, 500))
    fuzzing.kind_of.cache_clear()


def test_a_search_in_the_wrong_place_is_detected(monkeypatch):
    monkeypatch.setattr("migrator.documents.app_format.SEPARATOR_SIZE", 5)
    assert any(case.reason for case in cases(SEED, 0, 500))


def test_a_failing_input_is_minimized():
    assert smallest(b"some noise [[ and more", lambda data: b"[[" in data) == b"[["
