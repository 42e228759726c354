"""Builds the sdist and from it the wheel, installs only the wheel, and migrates with it outside of the checkout.

Catches what tests in a checkout cannot see: a schema, a module or a dependency that is not in the wheel.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parent.parent
FIXTURE = CHECKOUT / "fixtures" / "data-dir"
SETTINGS = ("AIT42_DATA_DIR", "DATABASE_URL", "STORAGE_BACKEND", "PYTHONPATH", "PYTHONHOME")
# The fixture contains damaged data on purpose, so "done, but some items need attention" is right too.
MIGRATED = (0, 3)


def main() -> None:
    """Run all checks; the first failure ends the program with one line."""
    with tempfile.TemporaryDirectory(prefix="migrator-wheel-") as name:
        scratch = Path(name)
        sdist, wheel = build(scratch / "dist")
        check_sdist(sdist)
        check_wheel(wheel)
        commands, version = install(wheel, scratch / "venv"), wheel.name.split("-")[1]
        alone = check_installed(commands, scratch, "sqlite-utils", version)
        run(sys.executable, "-m", "pip", "--python", commands / "python", "install", "-qq", f"{wheel}[fast]")
        fast = check_installed(commands, scratch, "apsw", version)
        expect(alone == fast, f"the loaders report different workspaces: {alone} and {fast}")
    print("wheel-check: all good")


def build(into: Path) -> tuple[Path, Path]:
    """Build as a release does: the sdist from the checkout, the wheel from the sdist."""
    run(sys.executable, "-m", "build", "--outdir", into, CHECKOUT)
    (sdist,) = into.glob("*.tar.gz")
    (wheel,) = into.glob("*.whl")
    return sdist, wheel


def check_sdist(sdist: Path) -> None:
    """Check that the sdist can be built and tested from."""
    with tarfile.open(sdist) as archive:
        files = {PurePosixPath(*PurePosixPath(m.name).parts[1:]) for m in archive.getmembers() if m.isfile()}
    needed = {PurePosixPath(p) for p in ("pyproject.toml", "README.md", "LICENSE", "Makefile", ".ci/run")}
    for folder in ("migrator", "schemas", "fixtures", "tests"):
        needed |= {PurePosixPath(folder, file) for file in files_under(CHECKOUT / folder)}
    expect(not (missing := needed - files), f"{sdist.name} lacks {names(missing)}")
    print(f"{sdist.name}: {len(files)} files, schemas, tests and fixtures among them")


def check_wheel(wheel: Path) -> None:
    """Check that the wheel holds the package and the schemas, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        files = {PurePosixPath(n) for n in archive.namelist() if not n.endswith("/")}
        (metadata,) = (archive.read(n).decode() for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    broken = re.findall(r"\]\((?!https://)[^)]*\)", metadata)
    expect(not broken, f"the page of {wheel.name} links to files that a package index does not have: {broken}")
    needed = {PurePosixPath("migrator", file) for file in files_under(CHECKOUT / "migrator")}
    needed |= {PurePosixPath("migrator/_schemas", file) for file in files_under(CHECKOUT / "schemas")}
    expect(not (missing := needed - files), f"{wheel.name} lacks {names(missing)}")
    expect(
        any(file.match("_schemas/sql/*.sql") for file in files)
        and any(file.match("_schemas/json/*.json") for file in files),
        f"{wheel.name} holds no schemas",
    )
    strays = {file for file in files - needed if not file.parts[0].endswith(".dist-info")}
    expect(not strays, f"{wheel.name} holds what is not part of the package: {names(strays)}")
    print(f"{wheel.name}: {len(files)} files, the schemas among them, no tests, no fixtures")


def install(wheel: Path, environment: Path) -> Path:
    """Install the wheel into an empty environment; return the folder of its commands."""
    # Created without pip and filled from outside, so that it works without ensurepip.
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    commands = environment / ("Scripts" if os.name == "nt" else "bin")
    run(sys.executable, "-m", "pip", "--python", commands / "python", "install", "-qq", wheel)
    run(commands / "python", "-m", "pip", "check", cwd=environment)
    return commands


def check_installed(commands: Path, scratch: Path, loader: str, version: str) -> list[object]:
    """Migrate a copy of the fixture with the installed program, from a folder outside of the checkout.

    :param loader: the one that the program must choose by itself
    :returns: the workspaces as its status shows them
    """
    where = run(commands / "python", "-c", "import migrator; print(migrator.__file__)", cwd=scratch)
    expect(Path(where.strip()).is_relative_to(scratch.resolve()), f"the wheel is not what runs, but {where}")

    program = commands / "migrator"
    printed = run(program, "--version", cwd=scratch)
    expect(version in printed, f"migrator --version says {printed!r}, the wheel is {version}")
    expect(f"loads with {loader}" in printed, f"migrator --version says {printed!r}, not that it loads with {loader}")

    data = scratch / f"data-{loader}"
    shutil.copytree(FIXTURE, data)
    run(program, "--data-dir", data, "migrate", cwd=scratch, allowed=MIGRATED)
    status = json.loads(run(program, "--data-dir", data, "status", "--json", cwd=scratch, allowed=MIGRATED))
    expect(status["authority"] == "sqlite", f"after migrate the authority is {status['authority']!r}")
    print(f"installed {version}: migrated {len(status['workspaces'])} workspaces, the authority is sqlite")
    counts = ("hash", "sessions", "instances", "messages", "quarantined")
    return [[found[name] for name in counts] for found in status["workspaces"]]


def run(*command: str | Path, cwd: Path = CHECKOUT, allowed: tuple[int, ...] = (0,)) -> str:
    """Run a command without the user's own settings; return its stdout."""
    settings = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, env=settings, capture_output=True, encoding="utf-8", check=False)
    expect(
        done.returncode in allowed,
        f"{' '.join(words)}\n{done.stdout}{done.stderr}exit code {done.returncode}",
    )
    return done.stdout


def files_under(folder: Path) -> set[Path]:
    """List the files below a folder, relative to it, without what Python leaves there."""
    files = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    return {file for file in files if "__pycache__" not in file.parts}


def names(files: set[PurePosixPath]) -> str:
    """Format a set of paths."""
    return ", ".join(sorted(map(str, files)))


def expect(holds: object, otherwise: str) -> None:
    """End the program unless a condition holds."""
    if not holds:
        sys.exit(f"wheel-check failed: {otherwise}")


if __name__ == "__main__":
    main()
