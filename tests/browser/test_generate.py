"""The Generate page in a real browser: tokens taken and gone back to, a sample stopped, heads; nothing leaves here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 180_000  # milliseconds: a busy two-core machine that loads every script for the first time, not a goal
ROOT = Path(__file__).parents[2]
PROMPT = "The old man looked at the"
SLOW = """
import runpy, sys, time
import streamlit as st
sys.path.insert(0, {root!r})
st.set_page_config(layout="wide")
st.session_state["navigated"] = True
from engine.generator import Generator
if Generator.stream.__name__ == "stream":
    own = Generator.stream
    def slowly(self, *arguments):
        for one in own(self, *arguments):
            time.sleep(0.1)
            yield one
    Generator.stream = slowly
runpy.run_path({page!r})
"""
"""The page with a model that takes its time, so that there is time to stop it."""


@dataclass
class Reader:
    """The page in a tab."""

    page: Page

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("listbox", name="Possible next tokens").get_by_role("option")

    @property
    def tokens(self) -> Locator:
        return self.page.get_by_role("group", name="The text so far", exact=True).locator(".token")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(600)
        self.page.wait_for_function(
            "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'", timeout=PATIENCE
        )


@pytest.fixture
def opened(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Callable[..., Reader]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        complaints: list[str] = []

        def opener(width: int = 1280, slow: str = "", **address: str) -> Reader:
            context = browser.new_context(viewport={"width": width, "height": 1000}, accept_downloads=True)
            stack.callback(context.close)
            tab = context.new_page()
            tab.on("request", lambda request: requested.append(request.url))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            place = slow or f"{app_address}/generate"
            tab.goto(f"{place}?{urlencode({'prompt': PROMPT, 'model': 'gpt', **address})}", timeout=PATIENCE)
            reader = Reader(tab)
            if not slow:
                tab.get_by_role("button", name="Save & share").wait_for(timeout=PATIENCE)
                reader.settled()
            return reader

        yield opener
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == [] and complaints == []


def test_tokens_are_taken_and_gone_back_to_and_the_address_opens_the_same(opened: Callable[..., Reader]) -> None:
    reader = opened()
    expect(reader.rows).to_have_count(12, timeout=PATIENCE)
    expect(reader.tokens.first).to_be_visible(timeout=PATIENCE)
    begun = reader.tokens.count()
    reader.rows.nth(1).click()
    expect(reader.tokens).to_have_count(begun + 1, timeout=PATIENCE)
    reader.rows.nth(0).click()
    expect(reader.tokens).to_have_count(begun + 2, timeout=PATIENCE)
    reader.settled()
    two = reader.address["taken"]
    reader.tokens.nth(begun).click()
    expect(reader.tokens).to_have_count(begun + 1, timeout=PATIENCE)
    reader.settled()
    assert reader.address["taken"] == two.split(".")[0] and reader.address["branches"] == two
    reader.rows.nth(2).click()
    expect(reader.tokens).to_have_count(begun + 2, timeout=PATIENCE)
    reader.settled()
    walks = reader.address["branches"].split("_")
    assert len(walks) == 2 and walks[0] == two and walks[1] == reader.address["taken"]
    tree = reader.page.locator(".st-key-tree").get_by_role("tree")
    tree.focus()
    reader.page.keyboard.press("Home")  # the first node of the way that is chosen
    reader.page.keyboard.press("Enter")
    expect(reader.tokens).to_have_count(begun + 1, timeout=PATIENCE)
    reader.settled()
    tree = reader.page.locator(".st-key-tree")
    expect(tree.locator(".readout")).to_contain_text("sum so far")
    expect(tree.locator(".readout")).not_to_contain_text("rank")  # nobody searched
    expect(tree.locator(".caption")).to_be_hidden()
    again = opened(**reader.address)
    expect(again.tokens).to_have_count(begun + 1, timeout=PATIENCE)
    assert again.address == reader.address


def test_a_sample_is_stopped_and_keeps_what_was_drawn(
    opened: Callable[..., Reader], script_app: Callable[[str], str]
) -> None:
    slow = script_app(SLOW.format(root=str(ROOT), page=str(ROOT / "pages" / "generate.py")))
    reader = opened(slow=slow, section="sample", length="300", seed="11")
    reader.button("Stop").click(timeout=PATIENCE)
    expect(reader.page.get_by_text("Stopped after")).to_be_visible(timeout=PATIENCE)
    reader.settled()
    assert 0 < reader.page.locator(".shaded .token").count() < 300
    reader.button("Go on").click()
    expect(reader.page.get_by_text("Stopped after")).to_have_count(0, timeout=PATIENCE)
    expect(reader.button("Stop")).to_be_visible(timeout=PATIENCE)


def test_a_head_is_picked_and_the_translate_page_keeps_its_own(opened: Callable[..., Reader]) -> None:
    reader = opened(section="attention", look="view.grid")
    grid = reader.page.locator(".st-key-grid canvas").first
    expect(grid).to_be_visible(timeout=PATIENCE)
    reader.page.get_by_role("radio", name="Lines", exact=True).click()
    expect(reader.page.locator(".st-key-lines canvas.under")).to_be_visible(timeout=PATIENCE)
    reader.settled()
    assert "view.grid" not in reader.address["look"]
    reader.page.get_by_role("radio", name="Heatmap", exact=True).click()
    expect(reader.page.locator(".st-key-heatmap .js-plotly-plot .hm").first).to_be_visible(timeout=PATIENCE)
    reader.page.get_by_role("link", name="Translate").first.click()
    expect(reader.page.locator(".st-key-lines canvas.under")).to_be_visible(timeout=PATIENCE)
    assert "map=decoder" not in reader.page.url


@pytest.mark.parametrize("section", ["next", "compare", "trigram"])
def test_nothing_is_wider_than_a_telephone(opened: Callable[..., Reader], section: str) -> None:
    reader = opened(width=390, section=section)
    wide = "one => one.scrollWidth - one.clientWidth"
    assert reader.page.locator("[data-testid=stMain]").evaluate(wide) <= 0
