"""Every name of a workspace finds it: its hash, a path as status shows it, a link, the case on another volume."""

import os
from pathlib import Path
from typing import Any

import pytest

from migrator import migrate
from migrator.workspace import hashed_path, named_workspace, workspace_hash
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat, hash_of


@pytest.fixture
def linked(scene: Scene, tmp_path: Path) -> tuple[Scene, Path, Path]:
    """A workspace whose file is named after a link to it, as one code path of the app does it; the link; its target."""
    target, link = tmp_path / "real", tmp_path / "link"
    target.mkdir()
    link.symlink_to(target)
    scene.write(link, [chat("behind", workspace=str(link))])
    scene.write("/home/dev/gone", [chat("gone", workspace="/elsewhere")])
    return scene, link, target


@pytest.mark.parametrize("state", ["json", "sqlite"])
def test_any_name_that_status_shows_finds_it(
    linked: tuple[Scene, Path, Path], migrator: Migrator, tmp_path: Path, state: str
) -> None:
    scene, link, target = linked
    if state == "sqlite":
        migrate(scene.root)
    shown = migrator("--data-dir", scene.root, "status", "--json").json["workspaces"]
    names = dict.fromkeys([str(link), f"{link}/"], "behind")
    if state == "sqlite":  # the path of a file that is not migrated yet is unknown
        names[str(target)] = "behind"
    names |= {
        one[key]: "behind" if one["hash"] == hash_of(link) else "gone" for one in shown for key in ("hash", "path")
    }
    assert len(names) == 6
    for number, (name, wanted) in enumerate(names.items()):
        listed = migrator("--data-dir", scene.root, "sessions", "list", "--workspace", name, "--json")
        assert [one["id"] for one in listed.json["sessions"]] == [wanted], name
        found = migrator("--data-dir", scene.root, "sessions", "search", "Weave", "--workspace", name, "--json")
        assert [one["id"] for one in found.json["sessions"]] == [wanted], name
        assert migrator("--data-dir", scene.root, "sessions", "show", wanted, "--workspace", name).code == 0, name
        run = migrator("--data-dir", scene.root, "migrate", "--dry-run", "--workspace", name, "--json")
        assert "workspace.not_found" not in run.out, name
        if state == "sqlite":
            to = tmp_path / f"out{number}"
            assert migrator("--data-dir", scene.root, "export", "--to", to, "--workspace", name).code == 0, name
            (file,) = to.glob("*.json")
            assert file.stem == (hash_of(link) if wanted == "behind" else hash_of("/home/dev/gone"))


def test_a_name_of_nothing_is_still_named(linked: tuple[Scene, Path, Path], migrator: Migrator) -> None:
    outcome = migrator("--data-dir", linked[0].root, "migrate", "--workspace", "0" * 16, "--json")
    assert "no sessions of the workspace" in outcome.printed
    assert named_workspace("/no/such", {}) == hash_of("/no/such")


def ignore_case(monkeypatch: pytest.MonkeyPatch, volume: Path) -> None:
    """Let the file system ignore the case below a folder, as on a Mac."""

    def on_disk(path: Any) -> Any:
        if not isinstance(path, str) or not path.startswith(f"{volume}/"):
            return path
        found = str(volume)
        for name in path.removeprefix(f"{volume}/").split("/"):
            real = {one.lower(): one for one in _listdir(found)} if os.path.isdir(found) else {}
            found = f"{found}/{real.get(name.lower(), name)}"
        return found

    _listdir = os.listdir
    for function in ("stat", "lstat", "access"):
        real = getattr(os, function)
        monkeypatch.setattr(os, function, lambda path, *rest, real=real, **more: real(on_disk(path), *rest, **more))


@pytest.mark.skipif(os.name == "nt", reason="Windows itself answers with the case on disk")
def test_the_case_is_that_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Path(os.path.realpath(tmp_path)) / "Volume"
    (volume / "Work" / "Été").mkdir(parents=True)
    (volume / "Work" / "123").mkdir()
    ignore_case(monkeypatch, volume)
    for spelling in ("Work/Été", "work/été", "WORK/ÉTÉ/"):
        assert hashed_path(f"{volume}/{spelling}") == f"{volume}/Work/Été"
        assert workspace_hash(f"{volume}/{spelling}") == hash_of(f"{volume}/Work/Été")
    assert hashed_path(f"{volume}/work/123") == f"{volume}/Work/123"
    assert hashed_path(f"{volume}/work/none/") == f"{volume}/work/none"


def test_where_the_case_counts_it_stays(tmp_path: Path) -> None:
    for name in ("one", "ONE"):
        (tmp_path / name).mkdir()
    (tmp_path / "TWO").symlink_to(tmp_path / "two")
    (tmp_path / "two").mkdir()
    for name in ("one", "ONE", "two"):
        assert hashed_path(tmp_path / name) == f"{os.path.realpath(tmp_path)}/{name}"


@pytest.mark.parametrize("command", [["list"], ["search", "hello"]])
def test_a_workspace_that_is_not_here_is_said_not_to_be(scene: Scene, migrator: Migrator, command: list[str]) -> None:
    scene.write("/home/dev/engine", [chat("a")])
    for _ in range(2):  # while the files are authoritative, and while SQLite is
        outcome = migrator("--data-dir", scene.root, "sessions", *command, "--workspace", "/no/such", "--json")
        assert (outcome.code, ["/no/such" in note for note in outcome.json["notes"]]) == (0, [True])
        assert migrator("--data-dir", scene.root, "migrate").code == 0
