"""A database in which every text that the migration report shows tries to do harm."""

from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
SCRIPT = "<script>document.title = 'taken over'</script>"
IMAGE = "<img src=x onerror=\"document.title = 'taken over'\">"
BREAKOUT = "\"'></title></svg></style></table><svg onload=\"document.title = 'taken over'\">{{ 7919 * 7907 }}"
CONTROLS = "\x1b[31mred\x1b[0m \u202ereversed\u202c \u2066isolated\u2069 \x00\x07\u200b end"
HARM = SCRIPT + IMAGE + BREAKOUT + CONTROLS
ESCAPED = "\\x1b[31mred\\x1b[0m \\u202ereversed\\u202c \\u2066isolated\\u2069 \\x00\\x07\\u200b end"
AS_TEXT = SCRIPT + IMAGE + BREAKOUT + ESCAPED


def make_hostile(scene: Scene, migrator: Migrator) -> Scene:
    """Migrate one session, then plant the harm wherever a text is read from."""
    scene.write(ENGINE, [chat("s-1"), 7])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE workspaces SET workspace_path = ?", HARM)
    scene.change("UPDATE sessions SET created_at = ?, updated_at = ?, task = ?", HARM, HARM, HARM)
    scene.change("UPDATE migration_ledger SET error = ?", HARM)
    scene.change("UPDATE migration_metadata SET json_backup_path = ?, migrated_at = ?", HARM, HARM)
    scene.change("UPDATE migration_runs SET ended_at = ?, stages = json_object(?, 5), backup = ?", HARM, HARM, HARM)
    return scene
