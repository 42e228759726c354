"""Counts the calls from one package into another during the migration of one file with three sessions.

``python -m benchmarks.crossings`` migrates with one process, without a search index, and prints the calls by pair of
packages; ``--modules`` names the modules as well. A module next to the packages counts as a package.
Context managers that translate errors are not counted, nor are lambdas and comprehensions, which belong to the
function that they are written in.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

import migrator
from benchmarks.corpus import Shape, write_corpus

PACKAGE = Path(migrator.__file__).parent
ERROR_TRANSLATION = {"files/os_errors.py", "database/errors.py"}
SHAPE = Shape(files=1, sessions=3, instances=6, messages=6, varied=False, capture_every=0)


class Crossings:
    """A profiler that counts calls from one package of migrator into another."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._places: dict[CodeType, str | None] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or frame.f_back is None:
            return
        callee = self._place(frame)
        if callee is None or callee in ERROR_TRANSLATION or frame.f_code.co_name.startswith("<"):
            return
        caller = self._caller(frame.f_back)
        if caller and caller not in ERROR_TRANSLATION and package_of(caller) != package_of(callee):
            self.calls[caller, callee] += 1

    def _caller(self, frame: FrameType | None) -> str | None:
        """The nearest frame in migrator, skipping libraries that call back."""
        while frame is not None:
            place = self._place(frame)
            if place is not None:
                return place
            frame = frame.f_back
        return None

    def _place(self, frame: FrameType) -> str | None:
        code = frame.f_code
        if code not in self._places:
            path = Path(code.co_filename)
            inside = path.is_relative_to(PACKAGE) and code.co_name != "<module>"
            self._places[code] = path.relative_to(PACKAGE).as_posix() if inside else None
        return self._places[code]


def package_of(place: str) -> str:
    """The package that a file of migrator belongs to."""
    return place.partition("/")[0].removesuffix(".py")


def count() -> Counter[tuple[str, str]]:
    """Migrate two new data directories, and count the second time, when everything is loaded."""
    crossings = Crossings()
    for profiler in (None, crossings):
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(SHAPE, Path(folder))
            sys.setprofile(profiler)
            try:
                report = migrator.migrate(folder, search_index=False)
            finally:
                sys.setprofile(None)
            assert report.totals.sessions == 3, report
    return crossings.calls


def main() -> None:
    """Print the calls, most frequent first, and their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", action="store_true", help="name the modules, not only the packages")
    modules = parser.parse_args().modules
    os.environ.pop("DATABASE_URL", None)
    calls: Counter[tuple[str, str]] = Counter()
    for (caller, callee), number in count().items():
        calls[(caller, callee) if modules else (package_of(caller), package_of(callee))] += number
    for (caller, callee), number in calls.most_common():
        print(f"{number:5}  {caller} → {callee}")
    print(f"{sum(calls.values()):5}  calls from one package into another")


if __name__ == "__main__":
    main()
