"""The files that ship with the program: the schemas, in a wheel inside of the package, in a checkout beside it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def schemas() -> Path:
    """The folder that holds ``sql/`` and ``json/``."""
    packaged = _PACKAGE / "_schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"
