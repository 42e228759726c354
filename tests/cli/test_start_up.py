"""What an app's start loads: nothing that only a start with work to do has a use for."""

import json
import os
import subprocess
import sys

import pytest

from migrator import migrate
from tests.support.scene import CHECKOUT, chat

# Each takes one to thirty milliseconds to load.
HEAVY = {
    "_decimal", "_hashlib", "apsw", "bz2", "jsonschema", "jsonschema_rs", "lzma", "msgspec", "orjson", "shutil",
    "sqlite_utils", "tempfile",
}  # fmt: skip
# What click needs anyway, and an app that only asks has no use for.
CLICKS = {"click", "dataclasses", "inspect"}
LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
COMMAND = "from migrator.cli import main; main()"
NEEDED = "from migrator import needs_migration; assert not needs_migration(sys.argv[2])"


@pytest.mark.parametrize(
    ("program", "arguments", "needless"),
    [
        (COMMAND, ("--progress", "none"), HEAVY),
        (COMMAND, ("--json", "--progress", "none"), HEAVY),
        (NEEDED, (), HEAVY | CLICKS),
    ],
    ids=["migrate", "migrate --json", "needs_migration"],
)
def test_a_start_with_nothing_to_do_loads_nothing_heavy(scene, program, arguments, needless):
    scene.write("/home/dev/engine", [chat("a")])
    migrate(scene.root)
    script = f"import atexit, sys\natexit.register(lambda: exec({LOADED!r}))\n{program}"
    command = [
        sys.executable,
        "-c",
        script,
        "--data-dir",
        str(scene.root),
        *(("migrate", *arguments) if arguments else ()),
    ]
    # Measured coverage comes along into programs, and with it what it loads.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ended = subprocess.run(command, check=False, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0
    loaded = set(json.loads(ended.stderr.splitlines()[-1]))
    assert "migrator.authority" in loaded
    assert not loaded & needless
