"""The command line, called in this process, with its promises checked at each call."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from migrator.cli.app import run
from tests.support.scene import Scene


@dataclass(frozen=True)
class Outcome:
    """The result of one command line.

    :ivar out: standard output, without the location options in printed commands
    :ivar err: standard error, likewise
    :ivar printed: both, unchanged
    """

    code: int
    out: str
    err: str
    printed: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def codes(self) -> list[str]:
        """The codes of the problems in the report, or of the failure, of a command with ``--json``."""
        return [problem["code"] for problem in self.json["problems"]]


Migrator = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings and the home of the user who runs the tests."""
    for name in ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # does not exist: tests find only their own files


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An empty data directory."""
    root = tmp_path / "ait42"
    root.mkdir()
    return Scene(root)


@pytest.fixture
def migrator(capsys: pytest.CaptureFixture[str]) -> Migrator:
    """Runs one command line; whatever it is given, no traceback and no raw escape reaches the user."""

    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "bug in migrator" not in captured.err, captured.err
        assert "\x1b" not in captured.out + captured.err
        # With quotes where the place has spaces, and these with a backslash where they stand in JSON.
        place = re.compile(r'(?<=migrator )(?:--(?:data-dir|database) (?:\\?"[^"\\]*\\?"|\S+) )+')
        out, err = (place.sub("", text) for text in captured)
        return Outcome(code, out, err, captured.out + captured.err)

    return call
