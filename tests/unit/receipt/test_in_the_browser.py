"""The report in a real browser: nothing runs, nothing is fetched, and it fits light, dark, narrow and paper."""

import re
from pathlib import Path

import pytest

from migrator.inventory.location import resolve_data_dir
from migrator.receipt.facts import receipt_of
from migrator.receipt.page import page_of
from tests.support.browser import Browser, program
from tests.support.command_line import Migrator
from tests.support.hostile import make_hostile
from tests.support.scene import Scene

# A probe of the test's own, in a page without its policy: it notes what a person would see.
PROBE = """<script>
const root = document.documentElement;
root.dataset.background = getComputedStyle(document.body).backgroundColor;
root.dataset.overflow = root.scrollWidth - root.clientWidth;
root.dataset.shown = [...document.querySelectorAll('svg')].filter(each => each.getBBox().width > 100).length;
</script>"""
POLICY = re.compile(r"<meta http-equiv[^>]*>")
LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program()
    return Browser(tmp_path)


def page(scene: Scene, target: Path, *, probe: bool = False) -> str:
    """The address of the page; with the probe, and without the policy that would stop it."""
    source = page_of(receipt_of(resolve_data_dir(scene.root)))
    if probe:
        source, found = POLICY.subn("", source)
        assert found == 1
        source = source.replace("</body>", f"{PROBE}</body>")
    target.write_text(source, encoding="utf-8")
    return target.as_uri()


def noted(dom: str, name: str) -> str:
    found = re.search(rf'data-{name}="([^"]*)"', dom)
    assert found is not None
    return found[1]


def test_nothing_that_is_stored_runs_even_without_the_policy(
    scene: Scene, migrator: Migrator, browser: Browser, tmp_path: Path
) -> None:
    dom = browser.dom(page(make_hostile(scene, migrator), tmp_path / "receipt.html", probe=True))
    assert noted(dom, "shown") == "5"  # the probe ran, so that others could have
    assert "<title>Migration report</title>" in dom


def test_the_policy_stops_what_would_run(shipped: Scene, browser: Browser, tmp_path: Path) -> None:
    address = page(shipped, tmp_path / "receipt.html")
    source = (tmp_path / "receipt.html").read_text(encoding="utf-8")
    (tmp_path / "receipt.html").write_text(source.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    assert "data-background" not in browser.dom(address)


def test_showing_it_asks_nothing_of_the_network(shipped: Scene, browser: Browser, tmp_path: Path) -> None:
    assert browser.connections(page(shipped, tmp_path / "receipt.html")) == []


def test_what_a_page_asks_of_the_network_would_be_seen(shipped: Scene, browser: Browser, tmp_path: Path) -> None:
    address = page(shipped, tmp_path / "receipt.html", probe=True)
    with (tmp_path / "receipt.html").open("a", encoding="utf-8") as file:
        file.write('<img src="http://127.0.0.1:54321/picture">')
    assert browser.connections(address) == ["http://127.0.0.1:54321/picture"]


@pytest.mark.parametrize(("scheme", "background"), [(LIGHT, "rgb(255, 255, 255)"), (DARK, "rgb(20, 23, 28)")])
def test_it_follows_the_readers_choice_of_light_or_dark(
    scheme: str, background: str, shipped: Scene, browser: Browser, tmp_path: Path
) -> None:
    dom = browser.dom(page(shipped, tmp_path / "receipt.html", probe=True), scheme)
    assert noted(dom, "background") == background
    assert noted(dom, "shown") == "5"


@pytest.mark.parametrize("width", [500, 1100])
def test_it_fits_narrow_and_wide_windows(width: int, shipped: Scene, browser: Browser, tmp_path: Path) -> None:
    dom = browser.dom(page(shipped, tmp_path / "receipt.html", probe=True), f"--window-size={width},900")
    assert noted(dom, "overflow") == "0"


def test_it_prints(shipped: Scene, browser: Browser, tmp_path: Path) -> None:
    printed = browser.pdf(page(shipped, tmp_path / "receipt.html"), tmp_path / "receipt.pdf")
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b", printed)) <= 8
