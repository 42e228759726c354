"""Draws docs/receipt.png: the receipt of a copy of fixtures/data-dir in a real browser, in light and in dark.

    python -m pip install pillow
    python docs/make_receipt_picture.py

The command really runs, in a home directory made for it, whose path is shown as /home/dev. Needs Chromium.
"""

# ruff: noqa: INP001 - a script

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from migrator import migrate  # noqa: E402 - after the path is set
from migrator.data_dir import resolve_data_dir  # noqa: E402
from migrator.receipt.facts import receipt_of  # noqa: E402
from migrator.receipt.page import page_of  # noqa: E402
from tests.browser import Browser  # noqa: E402

PICTURE = CHECKOUT / "docs" / "receipt.png"
WIDTH, HEIGHT = 1000, 2240
COLOURS = 256


def main() -> None:
    """Migrate, make the receipt, and take two pictures of it."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        shutil.copytree(CHECKOUT / "fixtures" / "data-dir", home / ".ait42")
        migrate(home / ".ait42")
        page = Path(scratch) / "receipt.html"
        source = page_of(receipt_of(resolve_data_dir(home / ".ait42"))).replace(str(home), "/home/dev")
        page.write_text(source, encoding="utf-8")
        both = Image.new("RGB", (2 * WIDTH, HEIGHT))
        for place, dark in enumerate((False, True)):
            target = Path(scratch) / f"{place}.png"
            Browser(Path(scratch)).picture(page.as_uri(), target, dark=dark, width=WIDTH, height=HEIGHT)
            both.paste(Image.open(target).convert("RGB").crop((0, 0, WIDTH, HEIGHT)), (place * WIDTH, 0))
    both.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
