"""Draws docs/receipt.png and docs/browse.png: what 'migrator report' and 'migrator browse' show of fixtures/data-dir.

    python -m pip install pillow
    python docs/make_page_pictures.py

The commands really run, on a copy in a temporary home directory, whose path is shown as /home/dev. Needs Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from migrator import migrate  # noqa: E402 - after the path is set
from migrator.inventory.location import resolve_data_dir  # noqa: E402
from migrator.receipt.facts import receipt_of  # noqa: E402
from migrator.receipt.page import page_of  # noqa: E402
from tests.support.browser import Browser  # noqa: E402
from tests.support.pages import browsing  # noqa: E402

DOCS = CHECKOUT / "docs"
WIDTH = 1000
COLOURS = 256
SESSION = "d96e183c-7adc-4000-8005-f173d29ba870"  # of the fixture: four agents and a chat


def main() -> None:
    """Migrate the fixture, and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        shutil.copytree(CHECKOUT / "fixtures" / "data-dir", home / ".ait42")
        migrate(home / ".ait42")
        browser = Browser(Path(scratch))
        page = Path(scratch) / "receipt.html"
        source = page_of(receipt_of(resolve_data_dir(home / ".ait42"))).replace(str(home), "/home/dev")
        page.write_text(source, encoding="utf-8")
        height = 2240
        taken = [browser.picture(page.as_uri(), dark=dark, width=WIDTH, height=height) for dark in (False, True)]
        side_by_side(taken, height, DOCS / "receipt.png")
        height = 1400
        with browsing(home / ".ait42") as visitor:
            pages = ("/history/recent_sessions", f"/history/sessions/{SESSION}")
            taken = [browser.picture(visitor.keyed(each), width=WIDTH, height=height) for each in pages]
        side_by_side(taken, height, DOCS / "browse.png")


def side_by_side(taken: list[Path], height: int, target: Path) -> None:
    """Join two pictures into one with a small palette."""
    both = Image.new("RGB", (2 * WIDTH, height))
    for place, picture in enumerate(taken):
        both.paste(Image.open(picture).convert("RGB").crop((0, 0, WIDTH, height)), (place * WIDTH, 0))
    both.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(target, optimize=True)


if __name__ == "__main__":
    main()
