"""Measures one command as a whole process: its time and the resources it used."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Usage:
    """The resources that a process and its children used."""

    exit_code: int
    wall_s: float
    cpu_s: float
    """User and system time."""
    peak_rss_bytes: int
    """Of all its processes together if /proc shows them, otherwise of the largest one."""
    written_bytes: int | None
    """Bytes written to the block layer, as the kernel counts them; None if it does not."""
    stdout: str
    stderr: str


def measure(command: Sequence[str]) -> Usage:
    """Run `command` in the repository and wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        out, err, result = (Path(folder, name) for name in ("out", "err", "result"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            subprocess.run(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(result), *command],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                check=False,
            )
        if not result.exists():
            raise SystemExit(f"{command[0]} could not be started\n{_text(err)}")
        return Usage(**json.loads(result.read_bytes()), stdout=_text(out), stderr=_text(err))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
