"""A trial of both stores, as the migration sees it: what we write into the files is no news, what others write is."""

from migrator import open_storage
from tests.command_line import Migrator
from tests.scene import Scene, chat
from tests.strategies import session

ENGINE = "/home/dev/engine"


def test_what_is_in_quarantine_stays_there_when_a_trial_ends(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a") | {"status": 5}, chat("a")])
    migrator("--data-dir", scene.root, "migrate")
    assert migrator("--data-dir", scene.root, "backend", "hybrid").code == 0
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_what_is_in_quarantine_stays_there_when_a_session_of_its_id_is_made_in_a_trial(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(ENGINE, [chat("a") | {"status": 5}])
    migrator("--data-dir", scene.root, "migrate")
    assert migrator("--data-dir", scene.root, "backend", "hybrid").code == 0
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="a", task="another"))
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]
    assert scene.tasks(ENGINE) == ["another"]
