"""Runs dist/migrator without Python: the demo, and a migration that is large enough for a worker process.

Python's own settings point nowhere meanwhile: a program that needed an installed one would not start.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PROGRAM = CHECKOUT / "dist" / "migrator"
WITHOUT_PYTHON = {"PATH": os.defpath, "PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent"}
LARGE = "26MB"


def main() -> None:
    """Run all checks; the first failure ends the program with one line."""
    demo = subprocess.run([CHECKOUT / ".ci" / "demo.sh", PROGRAM], cwd=CHECKOUT, env=WITHOUT_PYTHON, check=False)
    expect(demo.returncode == 0, "the demo failed")
    with tempfile.TemporaryDirectory(prefix="migrator-sidecar-") as scratch:
        data = Path(scratch, "data")
        run(sys.executable, "-m", "benchmarks.corpus", "--size", LARGE, "--to", str(data), env=dict(os.environ))
        at = (str(PROGRAM), "--log-level", "debug", "--data-dir", str(data))
        report, log = run(*at, "migrate", "--progress", "none", "--json")
        expect(json.loads(report)["status"] == "completed", f"the migration says {report}")
        if len(os.sched_getaffinity(0)) > 1:
            expect("Started a worker process." in log, "no worker process was started")
        expect("ended early" not in log, "the worker process died")
        run(*at, "verify", "--progress", "none")
        run(*at, "report", "--html", str(data / "report.html"))
    print(f"sidecar-check: all good; {LARGE} went through two processes")


def run(*command: str, env: dict[str, str] = WITHOUT_PYTHON) -> tuple[str, str]:
    """Run a command; return what it wrote on standard output and standard error."""
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, encoding="utf-8", check=False)
    expect(done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done.stdout, done.stderr


def expect(holds: object, otherwise: str) -> None:
    """End the program unless a condition holds."""
    if not holds:
        sys.exit(f"sidecar-check failed: {otherwise}")


if __name__ == "__main__":
    main()
