"""Finds the schemas, which ship inside the package in a wheel and next to it in a checkout, and optional packages."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from migrator._version import DISTRIBUTION
from migrator.errors import NotInstalled

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def schemas() -> Path:
    """Return the folder that contains ``sql/`` and ``json/``."""
    packaged = _PACKAGE / "_schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"


# The names under which the packages are imported.
EXTRAS = {"fast": ("apsw",), "report": ("jinja2", "pygal"), "browse": ("datasette", "uvicorn")}


def require_extra(extra: str, purpose: str) -> None:
    """Check that the packages of an extra are installed.

    :param purpose: what needs them, for the message
    :raises NotInstalled: a package of the extra is not installed
    """
    from importlib.util import find_spec  # few commands need an extra

    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing and getattr(sys, "frozen", False):  # set by PyInstaller; pip cannot add packages to such a program
        raise NotInstalled(
            f"{purpose} needs packages that this single-file program does not include: {', '.join(missing)}.",
            hint=f'On a computer with Python, install it: python -m pip install "{DISTRIBUTION}[{extra}]". '
            "Then run the command there, on the same data directory.",
        )
    if missing:
        raise NotInstalled(
            f"{purpose} needs packages that are not installed: {', '.join(missing)}.",
            hint=f"{install_hint(extra)} Then run the command again.",
        )


def install_hint(extra: str) -> str:
    """Return the sentence that says how to install an extra."""
    return f'Install it with: "{sys.executable}" -m pip install "{DISTRIBUTION}[{extra}]".'
