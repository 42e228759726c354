"""A workspace's older ``.ait42/sessions.json`` is found by the first run, wherever its path is known from."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, hash_of


def unknown(session_id: str) -> Document:
    return chat(session_id) | {"instances": []}


@pytest.mark.parametrize("known_from", ["the shared file", "a truncated shared file", "the database of the app"])
def test_an_older_file_is_found_by_the_first_run(
    known_from: str, scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    workspace = tmp_path.resolve() / "shop"
    (workspace / ".ait42").mkdir(parents=True)
    (workspace / ".ait42" / "sessions.json").write_bytes(app_json([unknown("older")]))
    if known_from == "the database of the app":
        with closing(scene.app_opens_it()) as connection:
            values = (str(workspace), hash_of(workspace))
            connection.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)", values)
    else:
        shared = app_json([chat("shared", workspace=str(workspace))])
        (scene.root / "sessions.json").write_bytes(shared if known_from == "the shared file" else shared[:-3])
    migrator("--data-dir", scene.root, "migrate")
    assert "older" in [document["id"] for document in scene.documents(hash_of(workspace))]
    again = migrator("--data-dir", scene.root, "migrate", "--json").json
    assert again["status"] == "nothing_to_do"
