"""The page in headless Chromium: no request, no complaint, fits a phone, can be read by all."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mdl.calls import Command
from tests.mdl.report.conftest import Page

pytestmark = pytest.mark.process

OpenPage = Callable[..., Page]
EVIL = "<script>alert(1)</script>\"'><img src=http://192.0.2.1/x onerror=alert(2)></title></style>"
CONTRAST = """
(() => {
  const numbers = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = numbers(getComputedStyle(node).backgroundColor);
      if (found.length === 3) return found;
    }
    return [255, 255, 255];
  };
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
    if (!own || ["SCRIPT", "STYLE", "title"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(numbers(node.tagName === "text" ? style.fill : style.color)),
      light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName} ${node.textContent.slice(0, 40)} ${ratio}`);
  }
  return bad;
})()
"""
WITHOUT_WORDS = """
[...document.querySelectorAll("img, svg")].filter((node) =>
  !(node.getAttribute("alt") || node.getAttribute("aria-label")
    || node.getAttribute("aria-hidden") === "true")).length
"""


@pytest.fixture(scope="module")
def page(trained: Path, mdl: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a finished run and of a stranger's, stopped, whose every string is hostile."""
    folder = tmp_path_factory.mktemp("page")
    stranger = folder / "stranger<b>"
    shutil.copytree(trained, stranger)
    (stranger / "checkpoint.pt").unlink()
    config = json.loads((trained / "config.json").read_text())
    config["config"] |= {"recipe": EVIL, EVIL: EVIL, "network": EVIL}
    config["versions"]["cpu"] = EVIL
    (stranger / "config.json").write_text(json.dumps(config))
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    for line in lines[:3]:
        line["num_nonzeros"][EVIL] = 5
        line["screened"] = {EVIL: 0.5, "conv1": 1}
    text = "\n".join(map(json.dumps, lines[:3]))
    (stranger / "metrics.jsonl").write_text(text)
    out = folder / "report.html"
    done = mdl("report", str(trained), str(stranger), "-o", str(out), "--title", EVIL)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_asks_for_nothing_complains_of_nothing_and_fits(
    page: Path, width: int, dark: bool, open_page: OpenPage
) -> None:
    shown = open_page(page, width=width, dark=dark)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(CONTRAST) == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width  # with all open
    assert shown.evaluate(WITHOUT_WORDS) == 0
    assert [url for url in shown.requests if not url.startswith("data:")] == [
        page.resolve().as_uri()
    ]
    assert shown.complaints == []


def test_light_and_dark_differ(page: Path, open_page: OpenPage) -> None:
    color = "getComputedStyle(document.body).backgroundColor"
    assert open_page(page).evaluate(color) != open_page(page, dark=True).evaluate(color)


def test_strings_of_files_stay_text(page: Path, open_page: OpenPage) -> None:
    shown = open_page(page)
    assert shown.evaluate("document.scripts.length") == 1
    assert shown.evaluate("document.title") == EVIL
    assert shown.evaluate("document.querySelectorAll('img:not([src^=\"data:\"])').length") == 0
    # The page's own words are counted: settings, versions, layers and titles hold the string.
    assert shown.evaluate("document.body.textContent").count("alert(2)") > 5


def test_a_pointer_and_the_keys_show_the_values_of_an_epoch(
    page: Path, open_page: OpenPage
) -> None:
    shown = open_page(page, width=1280)
    tip = "document.querySelector('figure .tip:not([hidden])')?.textContent ?? null"
    assert shown.evaluate(tip) is None
    place = json.loads(
        shown.evaluate("""(() => {
          const svg = document.querySelector("figure svg[role]");
          svg.scrollIntoView({ block: "center" });
          const box = svg.getBoundingClientRect();
          return JSON.stringify([box.left + box.width * 0.97, box.top + box.height / 2]);
        })()""")
    )
    shown.move(*place)
    assert re.match(r"epoch 4run[\d.]+$", shown.evaluate(tip))
    shown.evaluate('document.querySelector("figure svg[role]").focus()')
    shown.press("ArrowLeft")
    assert re.match(r"epoch 3run[\d.]+stranger<b>[\d.]+$", shown.evaluate(tip))
    cursors = "[...document.querySelectorAll('.cursor')].filter((g) => g.children.length).length"
    assert shown.evaluate(cursors) > 3  # the other charts mark the same epoch
    shown.press("Escape")
    assert shown.evaluate(tip) is None
    assert shown.complaints == []


def test_it_prints(page: Path, open_page: OpenPage) -> None:
    printed = open_page(page, width=1280, dark=True).paper()
    assert printed.startswith(b"%PDF") and len(printed) > 10_000


def test_this_browser_would_see_a_request_and_a_complaint(
    tmp_path: Path, open_page: OpenPage
) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<p>x<img src=http://192.0.2.1/x.png><script>console.error('no')</script>")
    shown = open_page(bad)
    assert any(url.startswith("http://192.0.2.1") for url in shown.requests)
    assert any("no" in text for text in shown.complaints)


def test_lines_and_marks_stand_out_in_both_themes(page: Path, open_page: OpenPage) -> None:
    """Graphics need 3 to 1 against the card."""
    names = [f"--c{place}" for place in range(8)] + [f"--p{place}" for place in range(5)]
    for dark in (False, True):
        shown = open_page(page, dark=dark)
        get = "getComputedStyle(document.documentElement).getPropertyValue('{}').trim()"
        card = luminance(shown.evaluate(get.format("--card")))
        for name in names:
            color = luminance(shown.evaluate(get.format(name)))
            ratio = (max(card, color) + 0.05) / (min(card, color) + 0.05)
            assert ratio >= 3, (name, dark, ratio)


def luminance(color: str) -> float:
    """Of #rrggbb, as WCAG defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
