"""The rows of possible tokens in a real browser: click and keys take one, each time anew; nothing moves; files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SCRIPT = """
import streamlit as st

from viz.components.choices import ChoiceRow, choices, choices_data, taken_in
from viz.theme import THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
taken = st.session_state.setdefault("taken", [])
known = (
    ChoiceRow("the", " the", 0.25, 0.5, 1203), ChoiceRow("<b>", "<b>", 0.1, 0.2, 44),
    ChoiceRow("long", " antidisestablishmentarianism", 0.05, 0.0, 3), ChoiceRow("\\n", "\\n", 0.00001, 0.0, 0),
)
rows = known[: 4 - len(taken) % 2]


def take():
    row = taken_in("rows", len(rows), start_id=str(len(taken)))
    if row is not None:
        taken.append(row)


data = choices_data(rows, total="4 of 6,144 tokens", places=4, theme=theme, start_id=str(len(taken)))
choices(data, key="rows", on_change=take)
st.text(f"taken {taken}")
gap = choices(choices_data(known[:2], theme=theme, chosen=1, name="Gap"), key="gap")
gaps = st.session_state.setdefault("gaps", [])
gaps.extend([] if gap is None else [gap])
st.text(f"gaps {gaps}")
"""


@dataclass
class Opened:
    """A page with the rows, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def row(self, index: int, name: str = "Possible next tokens") -> Locator:
        return self.page.get_by_role("listbox", name=name).get_by_role("option").nth(index)

    def said(self, text: str) -> None:
        """Python has this, and the page's run has ended."""
        expect(self.page.get_by_text(text, exact=True)).to_be_visible(timeout=PATIENCE)
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=5_000)  # Playwright's own


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def opened(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens the rows in a window of some width; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Opened] = []

        def start(width: int = 1280) -> Opened:
            context = browser.new_context(viewport={"width": width, "height": 1000})
            stack.callback(context.close)
            page = context.new_page()
            found = Opened(page)
            tabs.append(found)
            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.goto(address)
            found.row(0).wait_for(timeout=PATIENCE)
            found.said("taken []")
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_rows_say_and_draw_their_numbers(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.row(0)).to_have_attribute("aria-label", " the, model: 25.0 %, drawn: 50.0 %, count: 1,203")
    expect(tab.row(1).locator(".label")).to_have_text("<b>")
    expect(tab.row(3).locator(".label")).to_have_text("⏎")
    expect(tab.row(3)).to_have_attribute("aria-label", "⏎, model: <0.01 %, drawn: cut, count: 0")
    assert tab.page.locator(".choices b").count() == 0
    wide = "part => part.getBoundingClientRect().width"
    track, before, after = (tab.row(0).locator(part).evaluate(wide) for part in (".track", ".bar.before", ".bar.after"))
    assert before / track == pytest.approx(0.5, abs=0.01) and after / track == pytest.approx(1, abs=0.01)  # of 50 %
    expect(tab.row(1, "Gap")).to_have_attribute("aria-selected", "true")
    expect(tab.row(0, "Gap")).to_have_attribute("aria-selected", "false")


def test_a_row_is_taken_by_click_and_enter_again_and_again(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.row(1).dblclick()  # one row taken once
    tab.said("taken [1]")
    expect(tab.row(0)).to_be_focused()  # the next step's rows begin at the top
    keys = tab.page.keyboard
    keys.press("Enter")
    tab.said("taken [1, 0]")
    keys.press("Enter")  # the same row of the step after
    tab.said("taken [1, 0, 0]")
    for key, index in (("ArrowDown", 1), ("End", 2), ("ArrowDown", 2), ("Home", 0), ("ArrowUp", 0), ("ArrowDown", 1)):
        keys.press(key)
        expect(tab.row(index)).to_be_focused()
    keys.press("Space")
    tab.said("taken [1, 0, 0, 1]")
    tab.row(0, "Gap").click()
    tab.said("gaps [0]")
    tab.said("taken [1, 0, 0, 1]")


@pytest.mark.parametrize("width", [390, 1280])
def test_other_rows_move_nothing(opened: Callable[..., Opened], width: int) -> None:
    tab = opened(width)
    boxes = "all => all.map(one => one.getBoundingClientRect().toJSON())"
    parts = tab.page.locator(".st-key-rows").locator(".rows, .total, .top .number, .row:nth-child(-n+3)")
    before = parts.evaluate_all(boxes)
    tab.row(2).click()
    tab.said("taken [2]")
    expect(tab.page.get_by_role("listbox", name="Possible next tokens").get_by_role("option")).to_have_count(3)
    assert parts.evaluate_all(boxes) == before
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.locator(".choices").first.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert tab.row(0).locator(".track").evaluate("track => track.clientWidth") >= 40


def test_files_show_the_rows(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.page.get_by_text("dark", exact=True).click()
    expect(tab.page.locator(".choices").first).to_have_attribute("data-theme", "dark", timeout=PATIENCE)
    svg = saved(tab, "SVG")
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]
    assert texts[0] == "Possible next tokens" and texts[-1] == "4 of 6,144 tokens"
    assert {"the", "<b>", "⏎", "25.0 %", "cut", "1,203", "model", "drawn"} <= set(texts)
    assert any(text and text.startswith("antidis") and text.endswith("…") for text in texts)
    assert saved(tab, "PNG").startswith(b"\x89PNG")


def saved(tab: Opened, name: str) -> bytes:
    with tab.page.expect_download(timeout=PATIENCE) as waiting:
        tab.page.locator(".st-key-rows").get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()
