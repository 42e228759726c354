"""Checks the types that a program sees, with mypy and pyright: the Python of all pages and docs/examples uses them.

The blocks of a page are one program, as the tests run them. pyright also checks that the public names have complete
types.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))  # a script of a folder without a package

import migrator  # noqa: E402 - after the path is set
from tests.support.documentation import WRITTEN, blocks  # noqa: E402


def main() -> None:
    """Run all checks; end with 1 if one fails."""
    with tempfile.TemporaryDirectory(prefix="migrator-types-") as name:
        folder = Path(name)
        write_blocks(folder)
        for example in (CHECKOUT / "docs" / "examples").glob("*.py"):
            shutil.copy(example, folder)
        settings = {"extraPaths": [str(CHECKOUT)], "pythonVersion": "3.11"}
        (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
        programs = [str(path) for path in sorted(folder.glob("*.py"))]
        found = run("mypy", "--strict", *programs), run("pyright", "--project", str(folder))
    untyped = untyped_names()
    if any(done.returncode for done in found) or untyped:
        for done in found:
            print(done.stdout + done.stderr)
        sys.exit(f"Types that a program sees are wrong, or incomplete in: {', '.join(untyped) or 'none'}")
    print(f"{len(programs)} programs use the types rightly; {len(migrator.__all__)} public names have complete ones")


def write_blocks(folder: Path) -> None:
    """Write the Python of each page into a file, on the lines that it has on the page."""
    for page in WRITTEN:
        lines: list[str] = []
        for block in blocks(page):
            if block.language == "python":
                lines += [""] * (block.line - len(lines)) + block.body.splitlines()
        if lines:
            program = folder / f"page_{page.stem.replace('-', '_')}.py"
            program.write_text("\n".join(lines) + "\n", encoding="utf-8")


def untyped_names() -> list[str]:
    """List the public names whose types are not complete, in what pyright says of every module."""
    done = run("pyright", "--verifytypes", "migrator", "--ignoreexternal", "--outputjson")
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    known = {found["name"] for found in symbols if found["isTypeKnown"] and not found["isTypeAmbiguous"]}
    return [name for name in migrator.__all__ if f"migrator.{name}" not in known and name != "__version__"]


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment."""
    # An editable installation leaves a folder of the package's name with the schemas alone, which pyright finds first.
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-m", tool, *arguments]
    return subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, encoding="utf-8", check=False)


if __name__ == "__main__":
    main()
