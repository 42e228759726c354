"""A wrong value of an option ends with 2, and the message names the option as it was typed."""

import pytest

from tests.support.command_line import Migrator

WRONG = [
    ("sessions list --limit -1", "--limit"),
    ("sessions list --limit many", "--limit"),
    ("sessions list --limit 99999999999999999999", "--limit"),
    ("sessions list --workspace ''", "--workspace"),
    ("sessions search --created-from tomorrow", "--created-from"),
    ("sessions list --created-to 2025", "--created-to"),
    ("sessions search --sort-by size", "--sort-by"),
    ("quarantine show x", "ID"),
    ("quarantine show 9223372036854775808", "ID"),
    ("quarantine export --to ''", "--to"),
    ("migrate --workspace ''", "--workspace"),
    ("export --to ''", "--to"),
    ("report --html ''", "--html"),
    ("doctor --report ''", "--report"),
    ("backups prune --keep 0", "--keep"),
    ("backups prune --keep few", "--keep"),
    ("backups restore ''", "NAME"),
    ("browse --port 65536", "--port"),
]


@pytest.mark.parametrize(("line", "option"), WRONG)
def test_a_wrong_value_ends_with_2_in_the_words_of_the_option(scene, migrator: Migrator, line, option):
    before = scene.listing()
    outcome = migrator("--data-dir", scene.root, *(word.strip("'") for word in line.split(" ")))
    assert outcome.code == 2
    assert f"'{option}'" in outcome.err
    assert scene.listing() == before
