"""What only some commands need, and ``pip`` installs only when it is asked to: the extras of pyproject.toml."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from migrator.errors import NotInstalled

# By the names that they are imported by.
EXTRAS = {"report": ("jinja2", "pygal"), "browse": ("datasette", "uvicorn")}


def require_extra(extra: str, purpose: str) -> None:
    """
    :param purpose: what can't be done without it
    :raises NotInstalled: a package of the extra is not there
    """
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
