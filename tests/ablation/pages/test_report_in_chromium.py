"""The page in a browser: it works, makes no requests, and is accessible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_helpers import CHROMIUM, Tab, chromium
from page_helpers import write_results

from ablation.pages import make_page, read_results, to_html
from skelcon.data import SkeletonDataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium (apt-get install chromium)"),
]

LOW_CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = parse(getComputedStyle(each).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".hidden, svg, script")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) bad.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""
"""Visible text with a lower contrast than WCAG 2, level AA (success criterion 1.4.3)."""
NAMELESS = """
[...document.querySelectorAll("button, a, summary, img, [role=region], [role=dialog], nav")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.textContent.trim() || each.alt || each.ariaLabel
                      || each.getAttribute("aria-labelledby")))
  .map((each) => each.outerHTML.slice(0, 80))
"""
SMALL = """
[...document.querySelectorAll("button")].filter((each) => each.checkVisibility())
  .map((each) => each.getBoundingClientRect()).filter((box) => Math.min(box.width, box.height) < 24)
  .length
"""
COLUMN = """
[...document.querySelector("table.numbers").tBodies[0].rows]
  .map((row) => Number(row.cells[1].dataset.value))
"""
SORTED_BY = 'document.querySelector("table.numbers").tHead.rows[0].cells[1].ariaSort'
OPEN = 'document.querySelectorAll(":popover-open").length'


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page(eight: SkeletonDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("browsed") / "results"
    write_results(results, eight)
    path = results / "report.html"
    path.write_text(to_html(make_page(read_results(results))))
    return path


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (360, False), (360, True)]
)
def test_the_page_is_complete_and_legible_and_logs_no_errors(
    tab: Tab, page: Path, width: int, dark: bool
) -> None:
    tab.open(page, width=width, dark=dark)
    tab.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask("[...document.images].filter((each) => !each.naturalWidth).length") == 0
    assert tab.ask("document.images.length") >= 4
    assert tab.ask(LOW_CONTRAST) == []
    assert tab.ask(NAMELESS) == []
    assert tab.ask(SMALL) == 0
    assert tab.ask("document.querySelectorAll('main, header, nav[aria-label]').length") == 3
    assert tab.problems == []
    loaded = [each for each in tab.requests if not each.startswith("data:")]
    assert loaded == [page.as_uri()]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_column_is_sorted_by_the_keyboard(tab: Tab, page: Path, width: int) -> None:
    tab.open(page, width=width)
    first = tab.ask(COLUMN)
    tab.ask('document.querySelector("table.numbers th:nth-child(2) button").focus()')
    for turn, order in (("descending", sorted(first)[::-1]), ("ascending", sorted(first))):
        tab.press("Enter")
        assert tab.ask(SORTED_BY) == turn
        assert tab.ask(COLUMN) == order
    tab.press("Space")
    assert (tab.ask(SORTED_BY), tab.ask(COLUMN)) == ("none", first)
    last = "document.querySelector('table.numbers').tBodies[1].rows[1].cells[0].textContent.trim()"
    assert tab.ask(last) == "random weights"


@pytest.mark.parametrize("width", [360, 1280])
def test_a_number_is_explained_by_the_keyboard(tab: Tab, page: Path, width: int) -> None:
    tab.open(page, width=width)
    button = 'document.querySelector("table.numbers td button")'
    tab.ask(f"{button}.focus()")
    tab.press("Enter")
    assert tab.ask(OPEN) == 1
    assert "95 % interval" in tab.ask('document.querySelector(":popover-open").innerText')
    tab.wait_for('document.activeElement === document.querySelector(":popover-open")')
    box = tab.ask('document.querySelector(":popover-open").getBoundingClientRect().toJSON()')
    assert box["left"] >= 0
    assert box["right"] <= width
    assert tab.ask(LOW_CONTRAST) == []
    tab.press("Tab")
    assert tab.ask("document.activeElement.textContent") == "Close"
    tab.press("Escape")
    assert tab.ask(OPEN) == 0
    assert tab.ask(f"document.activeElement === {button}")


def test_colours_can_be_changed(tab: Tab, page: Path) -> None:
    tab.open(page)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = tab.ask(colour)
    tab.ask('document.querySelector(".theme").click()')
    assert tab.ask(colour) != light
    assert tab.ask(LOW_CONTRAST) == []
    tab.do("Emulation.setEmulatedMedia", media="print")
    assert tab.ask(colour) == "rgb(255, 255, 255)"
    assert tab.ask(LOW_CONTRAST) == []
    assert (
        tab.ask("[...document.querySelectorAll('.theme, nav')].some((e) => e.checkVisibility())")
        is False
    )
