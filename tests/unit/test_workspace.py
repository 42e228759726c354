"""A workspace's hash is the app's, and a path counts only if its hash proves it."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator import workspace
from migrator.workspace import (
    HASH_PATTERN,
    hash_of_text,
    hashes_of,
    is_placeholder,
    placeholder,
    prove_path,
    verbatim,
    workspace_hash,
    workspace_of,
)

posix_only = pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
MISSING = "/no/such/place/anywhere/engine"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# The hash.


def test_the_hash_is_the_first_sixteen_hex_digits_of_sha_256():
    assert hash_of_text("abc") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    assert hash_of_text("/home/日本/🎉") == sha("/home/日本/🎉")
    assert HASH_PATTERN.fullmatch(hash_of_text(""))


@posix_only
def test_an_existing_path_is_hashed_in_its_canonical_form(tmp_path, monkeypatch):
    real = tmp_path.resolve() / "engine"
    (real / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(real)
    spellings = [
        str(real),
        f"{real}/",
        f"{real}//",
        f"{real}/.",
        f"{real}/src/..",
        str(tmp_path / "link"),
        ".",
        "src/..",
    ]
    assert {workspace_hash(spelling) for spelling in spellings} == {sha(str(real))}
    assert workspace_hash(real) == sha(str(real))
    assert workspace_hash(f"{tmp_path}/link/src/") == sha(f"{real}/src")


@posix_only
def test_a_missing_path_is_hashed_as_given_without_trailing_slashes(tmp_path):
    assert workspace_hash(MISSING) == workspace_hash(MISSING + "/") == workspace_hash(MISSING + "///") == sha(MISSING)
    assert workspace_hash("/no/such/../place") == sha("/no/such/../place")
    assert workspace_hash("no such relative path/") == sha("no such relative path")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert workspace_hash(tmp_path / "dangling") == sha(str(tmp_path / "dangling"))


@posix_only
def test_a_file_with_a_trailing_slash_does_not_exist(tmp_path):
    folder = tmp_path.resolve()
    (folder / "file").touch()
    (folder / "link").symlink_to(folder / "file")
    assert workspace_hash(f"{folder}/link") == sha(f"{folder}/file")
    assert workspace_hash(f"{folder}/link/") == sha(f"{folder}/link")


@posix_only
def test_the_root_stays_the_root():
    assert workspace_hash("/") == workspace_hash("//") == workspace_hash("/..") == sha("/")


def test_an_empty_path_is_hashed_as_an_empty_text():
    assert workspace_hash("") == sha("")


def test_a_path_with_a_nul_cannot_exist_and_is_hashed_as_given():
    assert workspace_hash("/tmp/a\x00b/") == sha("/tmp/a\x00b")


@posix_only
@pytest.mark.parametrize(
    ("raw", "lossy"),
    [
        (b"/w/\xff", "/w/\ufffd"),
        (b"/w/a\xe6\x97b", "/w/a\ufffdb"),
        (b"/w/\xf0\x9f\x8e/\x80", "/w/\ufffd/\ufffd"),
        (b"/w/\xed\xa0\x80", "/w/\ufffd\ufffd\ufffd"),
        (b"/w/\xc0\xaf", "/w/\ufffd\ufffd"),
    ],
)
def test_invalid_utf_8_counts_as_replacement_characters(raw, lossy):
    assert workspace_hash(os.fsdecode(raw)) == sha(lossy)


@posix_only
def test_an_existing_path_of_invalid_utf_8_is_canonicalised_first(tmp_path):
    folder = os.fsencode(tmp_path.resolve()) + b"/\xff"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert workspace_hash(os.fsdecode(folder + b"/.")) == sha(f"{tmp_path.resolve()}/\ufffd")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\Users\\dev", "\\\\?\\C:\\Users\\dev"),
        ("\\\\server\\share\\w", "\\\\?\\UNC\\server\\share\\w"),
        ("\\\\?\\C:\\Users\\dev", "\\\\?\\C:\\Users\\dev"),
        ("\\\\?\\UNC\\server\\share", "\\\\?\\UNC\\server\\share"),
    ],
)
def test_the_verbatim_form_is_what_canonicalisation_yields_on_windows(path, expected):
    assert verbatim(path) == expected
    assert verbatim(verbatim(path)) == verbatim(path)


@given(st.text())
def test_every_text_has_a_hash(path):
    assert HASH_PATTERN.fullmatch(workspace_hash(path))


# Every hash that a path may have.


@posix_only
def test_a_link_may_be_hashed_resolved_or_as_given_and_resolved_is_more_likely(tmp_path):
    real = tmp_path.resolve() / "real"
    real.mkdir()
    link = tmp_path.resolve() / "link"
    link.symlink_to(real)
    assert hashes_of(str(link)) == [(sha(str(real)), str(real)), (sha(str(link)), str(link))]
    assert hashes_of(str(real)) == [(sha(str(real)), str(real))]


def test_a_missing_path_has_one_hash():
    assert hashes_of(MISSING) == [(sha(MISSING), MISSING)]


def test_a_windows_path_is_most_likely_hashed_in_its_verbatim_form():
    path, form = "C:\\Users\\dev", "\\\\?\\C:\\Users\\dev"
    assert hashes_of(path) == [(sha(form), form), (sha(path), path)]
    assert hashes_of("C:/Users/dev")[0][1] in (form, "C:/Users/dev")
    assert (sha(form), form) in hashes_of("C:/Users/dev")


def test_a_windows_share_may_be_hashed_in_its_verbatim_form():
    path, form = "\\\\server\\share\\w", "\\\\?\\UNC\\server\\share\\w"
    assert sorted(hashes_of(path)) == sorted([(sha(form), form), (sha(path), path)])


@given(st.text(alphabet="/\\ab.:C", max_size=12))
def test_each_hash_is_of_its_spelling_or_of_that_path_in_canonical_form(path):
    for found, spelling in hashes_of(path):
        assert found in (hash_of_text(spelling), workspace_hash(spelling))


# Proof.


@pytest.mark.parametrize(
    "worktree",
    [
        f"{MISSING}/src-tauri/.worktrees/competition-0a1b2c3d/instance-1",
        f"{MISSING}/.worktrees/x",
        f"{MISSING}/",
        MISSING,
        f"{MISSING}//deep///er//",
    ],
)
def test_a_parent_folder_that_hashes_to_the_name_of_the_file_is_the_workspace(worktree):
    assert prove_path(sha(MISSING), ["", "relative", "/elsewhere/entirely", worktree]) == MISSING


def test_the_root_itself_can_be_the_workspace():
    assert prove_path(sha("/"), ["/.worktrees/instance-1"]) == "/"


def test_a_windows_workspace_is_proven_in_its_verbatim_form():
    form = "\\\\?\\C:\\Users\\dev\\engine"
    assert prove_path(sha(form), ["C:\\Users\\dev\\engine\\.worktrees\\x"]) == form
    assert prove_path(sha(form), ["C:/Users/dev/engine/.worktrees/x"]) == form
    share = "\\\\?\\UNC\\server\\share\\w"
    assert prove_path(sha(share), ["\\\\server\\share\\w\\.worktrees\\x"]) == share


@posix_only
def test_a_workspace_behind_a_link_is_proven_by_what_the_link_points_to(tmp_path):
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    link = str(tmp_path.resolve() / "link")
    assert prove_path(sha(str(real)), [f"{link}/.worktrees/x"]) == str(real)
    assert prove_path(sha(link), [f"{link}/.worktrees/x"]) == link


def test_a_path_that_is_not_a_parent_folder_proves_nothing():
    assert prove_path(sha(MISSING), []) is None
    assert prove_path(sha(MISSING), ["", "/", MISSING + "s/.worktrees/x", MISSING[1:], "/no/such"]) is None


@given(st.lists(st.text(alphabet="/\\ab.", max_size=10), max_size=4), st.text(alphabet="/\\ab.", max_size=6))
def test_a_wrong_path_is_never_proven(worktrees, workspace_path):
    file_hash = hash_of_text(workspace_path)
    proven = prove_path(file_hash, worktrees)
    assert proven is None or hash_of_text(proven) == file_hash
    assert prove_path("0" * 16, worktrees) is None


@given(st.lists(st.sampled_from(["a", "b c", "日本", "..", "src-tauri"]), min_size=1, max_size=5), st.data())
def test_every_ancestor_of_a_worktree_can_be_proven(names, data):
    depth = data.draw(st.integers(1, len(names)))
    ancestor = "/nowhere/" + "/".join(names[:depth])
    assert prove_path(sha(ancestor), ["/nowhere/" + "/".join(names) + "/"]) == ancestor


def test_ten_thousand_worktrees_of_one_workspace_are_hashed_once_each(monkeypatch):
    count = 0

    def counted(path: str) -> str:
        nonlocal count
        count += 1
        return sha(path)

    monkeypatch.setattr(workspace, "hash_of_text", counted)
    prove_path("0" * 16, [f"{MISSING}/.worktrees/c/instance-{number}" for number in range(10_000)])
    assert count < 10_020


# The usual places of worktrees.


@pytest.mark.parametrize(
    ("worktree", "expected"),
    [
        ("/w/src-tauri/.worktrees/competition-1/instance-2", "/w"),
        ("/w/.worktrees/x", "/w"),
        ("/w/.worktrees", "/w"),
        ("/w/src-tauri/x/.worktrees/y", "/w/src-tauri/x"),
        ("C:\\w\\src-tauri\\.worktrees\\x", "C:\\w"),
        ("C:/w/.worktrees/x", "C:/w"),
        ("C:\\w\\src-tauri/.worktrees\\x", "C:\\w"),
        ("/src-tauri/.worktrees/x", None),
        ("src-tauri/.worktrees/x", "src-tauri"),
        ("/w/.worktrees/v/.worktrees/x", "/w"),
        ("/.worktrees/x", None),
        ("/w/.worktreesx/y", None),
        ("/w/worktrees/y", None),
        ("/w/x.worktrees/y", None),
        (".worktrees/x", None),
        ("/w", None),
        ("", None),
    ],
)
def test_the_workspace_is_the_path_before_the_worktrees_folder(worktree, expected):
    assert workspace_of(worktree) == expected


# Unknown paths.


def test_a_placeholder_is_recognized_and_no_path_is_one():
    assert placeholder("0a1b2c3d4e5f6071") == "unknown:0a1b2c3d4e5f6071"
    assert is_placeholder(placeholder("x"))
    assert not is_placeholder(str(Path("unknown").absolute()))
