"""The HTML report: self-contained, accessible, and harmless whatever is stored."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pygal.etree import etree

from migrator.errors import NotInstalled
from migrator.files.resources import EXTRAS
from migrator.inventory.location import resolve_data_dir
from migrator.receipt import page
from migrator.receipt.facts import Period, Receipt, receipt_of
from migrator.receipt.page import MOST_WORKSPACES, page_of
from migrator.receipt.plots import OTHERS
from tests.support.command_line import Migrator
from tests.support.hostile import AS_TEXT, CONTROLS, make_hostile
from tests.support.scene import Scene

CSS = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
KILOBYTE = 1000


class Seen(HTMLParser):
    """The elements of a page, its texts, and the names of the attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.fixture(scope="module")
def receipt(shipped: Scene) -> Receipt:
    return receipt_of(resolve_data_dir(shipped.root))


@pytest.fixture
def hostile(scene: Scene, migrator: Migrator) -> str:
    return page_of(receipt_of(resolve_data_dir(make_hostile(scene, migrator).root)))


def test_the_command_writes_a_private_file_and_says_where(receipt: Receipt, tmp_path: Path, migrator: Migrator) -> None:
    target = tmp_path / "receipt.html"
    outcome = migrator("--data-dir", receipt.data_dir, "report", "--html", target)
    assert (outcome.code, outcome.out) == (0, f"Report written to {target}; open it in a browser.\n")
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_overwrites_nothing(receipt: Receipt, tmp_path: Path, migrator: Migrator) -> None:
    target = tmp_path / "receipt.html"
    target.write_text("something of mine")
    outcome = migrator("--data-dir", receipt.data_dir, "report", "--html", target)
    assert outcome.code == 1
    assert str(target) in outcome.err
    assert target.read_text() == "something of mine"


def test_page_and_json_at_once_name_the_page(receipt: Receipt, tmp_path: Path, migrator: Migrator) -> None:
    target = tmp_path / "receipt.html"
    made = migrator("--data-dir", receipt.data_dir, "report", "--html", target, "--json").json
    assert made["html"] == str(target)
    assert made["totals"]["found"] == receipt.totals.found


def test_without_the_extra_it_says_what_to_install(
    receipt: Receipt, tmp_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygal", None)  # which is not there then
    outcome = migrator("--data-dir", receipt.data_dir, "report", "--html", tmp_path / "receipt.html")
    assert outcome.code == 1
    assert "pygal" in outcome.err
    assert f'"{sys.executable}" -m pip install "ait42-migrator[report]"' in outcome.err
    assert not (tmp_path / "receipt.html").exists()


def test_without_the_extra_text_and_json_work_all_the_same(
    receipt: Receipt, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in EXTRAS["report"]:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotInstalled):
        page_of(receipt)
    assert migrator("--data-dir", receipt.data_dir, "report").code == 0
    assert migrator("--data-dir", receipt.data_dir, "report", "--json").code == 0


def test_the_page_has_every_number_of_the_sum(receipt: Receipt) -> None:
    seen = Seen(page_of(receipt))
    totals = receipt.totals
    for number in (totals.found, totals.migrated, totals.merged, totals.quarantined, totals.failed):
        assert f"{number:,}" in seen.texts


def test_the_page_names_every_workspace(receipt: Receipt) -> None:
    text = Seen(page_of(receipt)).text
    assert [account.path for account in receipt.workspaces if account.path not in text] == []


def test_the_page_shows_what_needs_attention_and_how_to_go_back(receipt: Receipt) -> None:
    text = Seen(page_of(receipt)).text
    for need in receipt.needs:
        assert need.message in text
    assert "migrator rollback --dry-run\nmigrator rollback\n" in text


def test_the_page_loads_nothing_and_runs_nothing(receipt: Receipt) -> None:
    source = page_of(receipt)
    seen = Seen(source)
    assert not {tag for tag, _ in seen.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    assert not {name for _, attributes in seen.elements for name in attributes if name.startswith("on")}
    assert not {name for _, attributes in seen.elements for name in attributes} & {"src", "href", "xlink:href", "style"}
    assert "url(" not in source
    assert "@import" not in source
    [policy] = [each["content"] for each in seen.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_plot_has_a_name_a_description_and_a_table(receipt: Receipt) -> None:
    seen = Seen(page_of(receipt))
    plots = seen.all("svg")
    assert len(plots) == 5
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    tags = [tag for tag, _ in seen.elements]
    for place in [place for place, tag in enumerate(tags) if tag == "svg"]:
        assert tags[place + 1 : place + 3] == ["title", "desc"]
        assert "table" in tags[place:]


def test_pygal_draws_without_lxml_where_that_is_installed(receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    other = object()
    for name, value in (("_lxml_etree", other), ("_etree", other), ("lxml", True)):
        monkeypatch.setattr(etree, name, value)
    assert len(Seen(page_of(receipt)).all("svg")) == 5
    assert etree._etree is other


def test_every_cell_of_a_table_has_a_heading(receipt: Receipt) -> None:
    seen = Seen(page_of(receipt))
    assert len(seen.all("table")) == 4
    assert all(heading["scope"] in ("col", "row") for heading in seen.all("th"))


def test_stored_texts_are_shown_as_text(hostile: str) -> None:
    seen = Seen(hostile)
    assert "script" not in {tag for tag, _ in seen.elements}
    assert seen.text.count(AS_TEXT) >= 4  # the path, the error, what needs somebody, the stage
    assert "62615533" not in "".join(text for text in seen.texts if "taken over" in text)


def test_no_control_character_reaches_the_page(hostile: str) -> None:
    assert not set(hostile) & (set(CONTROLS) - set(map(chr, range(32, 127))))


def test_thousands_of_workspaces_still_make_a_small_page(receipt: Receipt) -> None:
    one = receipt.workspaces[0]
    many = tuple(replace(one, path=f"/home/dev/projects/workspace-{number:06}") for number in range(5000))
    source = page_of(replace(receipt, workspaces=many, totals=replace(receipt.totals, workspaces=5000)))
    assert len(source) < 300 * KILOBYTE
    assert f"{5000 - MOST_WORKSPACES:,} smaller workspaces are not shown" in source


def test_a_report_without_runs_and_sessions_is_a_page_too(receipt: Receipt) -> None:
    nothing = replace(receipt.totals, found=0, migrated=0, quarantined=0, failed=0)
    source = page_of(
        replace(receipt, runs=(), sessions_over_time=(), workspaces=(), needs=(), totals=nothing, recorded=False)
    )
    assert "before runs were recorded" in source
    assert "Nothing." in source


def test_types_and_statuses_are_the_documents_own_and_rare_ones_are_taken_together(receipt: Receipt) -> None:
    statuses = ["running", *(f"own-{letter}" for letter in "abcde"), "\x1b[31m<b>"]
    periods = tuple(Period("2025-01-13", "tournament", status, 9 - at) for at, status in enumerate(statuses))
    source = page_of(replace(receipt, sessions_over_time=periods))
    text = Seen(source).text
    assert all(value in text for value in ("tournament", "own-a", "own-b", "own-c", OTHERS))
    assert "own-d" not in text
    assert "\x1b" not in source


# Contrast, as WCAG 2 computes it.


PALETTES = [
    dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", PALETTES, ids=["light", "dark", "print"])
@pytest.mark.parametrize("text", ["ink", "quiet", "failed", "good"])
def test_texts_stand_out_from_the_paper(text: str, colours: dict[str, str]) -> None:
    assert contrast(colours[text], colours["paper"]) >= 4.5


@pytest.mark.parametrize("colours", PALETTES, ids=["light", "dark", "print"])
def test_bars_stand_out_from_the_paper(colours: dict[str, str]) -> None:
    bars = set(colours) - {"paper", "raised", "ink", "quiet", "line", "good"}
    assert len(bars) == 14
    assert [name for name in sorted(bars) if contrast(colours[name], colours["paper"]) < 3] == []
