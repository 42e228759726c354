"""Makes small changes to the most critical modules, and checks whether the tests notice them.

``make mutants`` tries all of them, which takes hours; ``make mutants ARGS="--sample 200 --seed 1"`` tries a sample.
It lists those that no test noticed, and prints how many were noticed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
MUTMUT = [sys.executable, "-m", "mutmut"]
KILLED = {"killed", "timeout", "segfault", "caught by type check"}
_RESULT = re.compile(r"^\s+(\S+__mutmut_\d+): (.+)$", re.MULTILINE)


def mutmut(*arguments: str, quiet: bool = False) -> str:
    """Run mutmut; returns what it printed if ``quiet``."""
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutants"}
    done = subprocess.run(
        [*MUTMUT, *arguments],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
        check=False,
    )
    return done.stdout or ""


def results() -> dict[str, str]:
    """What became of each mutant that there is, by its name."""
    return dict(_RESULT.findall(mutmut("results", "--all", "true", quiet=True)))


def main() -> int:
    """Try them, and report."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--sample", type=int, help="try so many alone")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    jobs = ["--max-children", str(arguments.jobs)]
    if arguments.sample is None:
        mutmut("run", *jobs)
    else:
        mutmut("run", *jobs, "no such mutant", quiet=True)  # which makes them, and finds out what tests reach them
        names = sorted(results())
        dice = random.Random(arguments.seed)  # noqa: S311 - a sample is no secret
        chosen = dice.sample(names, min(arguments.sample, len(names)))
        print(f"{len(chosen)} of {len(names)} mutants, seed {arguments.seed}")
        mutmut("run", *jobs, *chosen)
    tried = {name: result for name, result in results().items() if result != "not checked"}
    killed = sum(result in KILLED for result in tried.values())
    for name, result in sorted(tried.items()):
        if result not in KILLED:
            print(f"{result}: {name}")
    print(f"{killed} of {len(tried)} killed ({killed / max(1, len(tried)):.1%}); {dict(Counter(tried.values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
