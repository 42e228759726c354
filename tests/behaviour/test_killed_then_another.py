"""A command that was killed is followed by another one: whatever that is, every session is still there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import migrator
from migrator.export import rollback as rollback_module
from tests.support.scene import Scene, chat

WORKSPACE = "/home/dev/engine"


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def rolled_back_before_its_flag(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A rollback out of hybrid mode, killed after its commit and before it writes storage.json."""
    scene.write(WORKSPACE, [chat(f"s-{number}") for number in range(5)])
    migrator.migrate(scene.root)
    switch_backend(scene, "hybrid")
    with migrator.open_storage(scene.root) as store:
        created: Any = chat("created")
        store.create_session(WORKSPACE, created)

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(rollback_module, "write_flag", die)
        with pytest.raises(Killed):
            migrator.rollback(scene.root)
    assert (scene.status(), scene.flag()) == ("rolled_back", "hybrid")
    return scene


def switch_backend(scene: Scene, backend: Any) -> None:
    from migrator.admin.switch_backend import switch_backend as switch

    switch(migrator.resolve_data_dir(scene.root), backend)


FOLLOWERS: dict[str, Callable[[Scene], object]] = {
    "migrate": lambda scene: migrator.migrate(scene.root),
    "migrate, twice": lambda scene: [migrator.migrate(scene.root), migrator.migrate(scene.root)],
    "backend sqlite": lambda scene: switch_backend(scene, "sqlite"),
    "backend hybrid": lambda scene: switch_backend(scene, "hybrid"),
    "backend json": lambda scene: switch_backend(scene, "json"),
    "rollback": lambda scene: migrator.rollback(scene.root),
    "verify --repair": lambda scene: migrator.verify(scene.root, repair=True),
}


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_every_session_outlives_a_killed_rollback_and_the_next_command(
    rolled_back_before_its_flag: Scene, follower: str
) -> None:
    scene = rolled_back_before_its_flag
    FOLLOWERS[follower](scene)
    everything = [*(f"s-{number}" for number in range(5)), "created"]
    with migrator.open_storage(scene.root) as store:
        assert [session["id"] for session in store.get_all_sessions(WORKSPACE)] == everything
    migrator.migrate(scene.root)
    migrator.rollback(scene.root)
    file: Path = scene.file_of(WORKSPACE)
    assert [session["id"] for session in json.loads(file.read_bytes())] == everything
