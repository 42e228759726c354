"""Builds dist/migrator from the checkout and its dependencies: one file that runs without an installed Python."""

import shutil
import sys
import tempfile
from pathlib import Path

import PyInstaller.__main__

CHECKOUT = Path(__file__).resolve().parent.parent
# What dependencies use only for things that migrator does not need; datasette, since browse is not included.
UNUSED = (
    "asyncio",
    "datasette",
    "hypothesis",
    "markdown_it",
    "multiprocessing",
    "numpy",
    "pip",
    "pygments",
    "requests",
    "setuptools",
    "ssl",
    "tkinter",
    "urllib3",
    "yaml",
)


def main() -> None:
    """Build it, and print its size."""
    with tempfile.TemporaryDirectory(prefix="migrator-sidecar-") as scratch:
        PyInstaller.__main__.run(
            [
                *("--onefile", "--console", "--noconfirm", "--clean", "--log-level=ERROR"),
                "--name=migrator",
                f"--distpath={CHECKOUT / 'dist'}",
                f"--workpath={scratch}",
                f"--specpath={scratch}",
                f"--paths={CHECKOUT}",
                f"--add-data={CHECKOUT / 'schemas'}:migrator/_schemas",
                "--collect-submodules=migrator",  # commands are loaded by name
                *("--collect-data=migrator.receipt", "--collect-data=pygal"),
                *(f"--exclude-module={name}" for name in UNUSED),
                *(("--strip",) if sys.platform == "linux" and shutil.which("strip") else ()),
                str(CHECKOUT / "migrator" / "frozen.py"),
            ]
        )
    (program,) = (path for path in (CHECKOUT / "dist").iterdir() if path.stem == "migrator")
    print(f"{program.relative_to(CHECKOUT)}: {program.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
