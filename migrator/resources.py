"""The files that ship with the program: the schemas, in a wheel inside of the package, in a checkout beside it."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from migrator.errors import NotInstalled

_PACKAGE = Path(__file__).resolve().parent


@cache
def schemas() -> Path:
    """The folder that holds ``sql/`` and ``json/``."""
    packaged = _PACKAGE / "_schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"


# By the names that they are imported by.
EXTRAS = {"report": ("jinja2", "pygal"), "browse": ("datasette", "uvicorn")}


def require_extra(extra: str, purpose: str) -> None:
    """Refuse what needs packages that are installed only when somebody asks for them.

    :param purpose: what can't be done without it
    :raises NotInstalled: a package of the extra is not there
    """
    from importlib.util import find_spec  # few commands need an extra

    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing and getattr(sys, "frozen", False):  # as PyInstaller marks a program of one file: pip can't add to it
        raise NotInstalled(
            f"{purpose} needs what this program of a single file leaves out: {', '.join(missing)}.",
            hint="Where there is a Python, install migrator from a checkout of it: "
            f'python -m pip install ".[{extra}]". Then run the command there, on the same data directory.',
        )
    if missing:
        raise NotInstalled(
            f"{purpose} needs what is not installed with migrator alone: {', '.join(missing)}.",
            # With this very Python, whose pip knows which migrator is meant: others have a package of that name, too.
            hint=f'Install it with: "{sys.executable}" -m pip install "migrator[{extra}]" '
            f'(in a checkout: python -m pip install ".[{extra}]"). Then run the command again.',
        )
