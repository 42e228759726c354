"""The path that a file proves, however the file is divided into chunks."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator import workspace
from migrator.inventory import workspace_paths as proving
from migrator.inventory.workspace_paths import PathEvidence
from tests.support.scene import app_json, chat, hash_of

WORKSPACE = '/home/dev/Prüf\\stein "1"'
CONTENT = app_json([chat(f"s-{place}", workspace=place) for place in ("/elsewhere", WORKSPACE, "/no")])


def proof(pieces: list[bytes], of: str = WORKSPACE) -> str | None:
    found = PathEvidence(hash_of(of))
    for piece in pieces:
        found.feed(piece)
    return found.path


@given(st.sets(st.integers(0, len(CONTENT)), max_size=40))
def test_the_path_is_found_however_the_file_is_divided(cuts):
    places = [0, *sorted(cuts), len(CONTENT)]
    assert proof([CONTENT[a:b] for a, b in pairwise(places)]) == WORKSPACE


def test_byte_by_byte_the_path_is_found_as_soon_as_it_is_complete():
    found = PathEvidence(hash_of(WORKSPACE))
    end = CONTENT.index(b'"', CONTENT.index(json.dumps(WORKSPACE, ensure_ascii=False).encode()[1:-1]))
    for number in range(len(CONTENT)):
        assert found.path is None or number > end
        found.feed(CONTENT[number : number + 1])
    assert found.path == WORKSPACE


def test_a_path_without_a_worktree_in_it_is_not_proven():
    assert proof([CONTENT], of="/home/dev/other") is None
    assert proof([b'"worktreePath": "', b"\xff", b'"worktreePath": 5', b'"worktreePath": ""']) is None


def test_nothing_is_searched_once_the_path_is_proven(monkeypatch: pytest.MonkeyPatch):
    found = PathEvidence(hash_of(WORKSPACE))
    found.feed(CONTENT)
    monkeypatch.setattr(proving, "prove_path", lambda *_: pytest.fail("it was looked for"))
    found.feed(CONTENT)
    assert found.path == WORKSPACE


def test_no_ancestor_is_tried_twice_however_many_chunks_name_it(monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = []
    hash_of_text = workspace.hash_of_text

    def trying(text: str) -> str:
        tried.append(text)
        return hash_of_text(text)

    monkeypatch.setattr(workspace, "hash_of_text", trying)
    proof([f'"worktreePath": "/a/b/.worktrees/c/instance-{number}"'.encode() for number in range(50)], of="/other")
    assert tried.count("/a") == tried.count("/a/b/.worktrees/c") == 1
