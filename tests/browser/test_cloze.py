"""The Cloze page in a real browser: a word is masked and filled by clicks, sections are drawn, nothing leaves here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 90_000  # milliseconds: a busy two-core machine, not a goal
READING = 240_000  # milliseconds for the model and the first run, likewise
TEXT, SECOND = "The old man sat by the river.", "The dog slept in the sun."
RIVER = 7  # its word; [CLS] is 0
SECTIONS = {  # and what is drawn in each
    "Next sentence": "[data-testid=stMetric]",
    "Which noun?": "[role=listbox]",
    "Noise": ".st-key-thread table",
    "Heads": ".st-key-lines canvas.under",
    "Fill the blanks": "[role=listbox]",
}


@dataclass
class Reader:
    """The page in a tab, and what it complained about since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def word(self, index: int) -> Locator:
        return self.page.locator(".st-key-words .token").nth(index)

    def candidate(self, index: int) -> Locator:
        return self.page.locator(".st-key-candidates").get_by_role("option").nth(index)

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(700)  # a component says where it is some 400 ms after the last change
        state = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(state, timeout=READING)

    def open_section(self, name: str) -> None:
        self.page.locator(".st-key-cloze-section").get_by_role("radio", name=name, exact=True).click()
        self.settled()

    def overflow(self) -> float:
        """By how many pixels the page is wider than the window."""
        wider: float = self.page.evaluate(
            """() => Math.max(...[...document.querySelectorAll('[data-testid=stMain], .stMainBlockContainer')]
                .map((element) => element.scrollWidth - element.clientWidth))"""
        )
        return wider


def complains(said: ConsoleMessage) -> bool:
    """Whether the console has an error; Streamlit looks for its server below a page's own address first."""
    return said.type == "error" and "/cloze/_stcore/" not in said.location["url"]


@pytest.fixture
def opened(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Callable[..., Reader]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Reader] = []

        def start(*, width: int = 1280, scheme: str = "light", **address: str) -> Reader:
            context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
            stack.callback(context.close)
            tab = Reader(context.new_page())
            tabs.append(tab)
            tab.page.set_default_timeout(PATIENCE)
            tab.page.on("request", lambda request: requested.append(request.url))
            tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
            tab.page.on("console", lambda said: tab.complaints.append(said.text) if complains(said) else None)
            tab.page.goto(f"{app_address}/cloze?{urlencode({'first': TEXT, **address})}", timeout=READING)
            tab.word(0).wait_for(timeout=READING)
            tab.settled()
            return tab

        yield start
        assert [complaint for tab in tabs for complaint in tab.complaints] == []
        for tab in tabs:
            assert not re.search("Traceback|should not have", tab.page.locator(".stApp").inner_text())
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == []


def test_a_word_is_masked_filled_emptied_and_shown_by_clicks(opened: Callable[..., Reader]) -> None:
    tab = opened()
    expect(tab.page.get_by_text("Nothing is masked")).to_be_visible()
    tab.word(RIVER).click()
    expect(tab.candidate(0)).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert tab.address["masked"] == str(RIVER + 1)
    expect(tab.word(RIVER)).to_have_attribute("aria-pressed", "true")
    put = tab.candidate(1).inner_text().split("\n")[0].strip("…▁ ")
    tab.candidate(1).click()
    expect(tab.page.get_by_text("Every blank is filled")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    expect(tab.word(RIVER)).to_contain_text(put)
    assert "taken" in tab.address
    tab.page.reload()
    expect(tab.word(RIVER)).to_contain_text(put, timeout=PATIENCE)
    tab.word(RIVER).click()
    expect(tab.candidate(0)).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert "taken" not in tab.address and tab.address["masked"] == str(RIVER + 1)
    expect(tab.word(RIVER)).to_have_attribute("aria-pressed", "true")
    tab.word(RIVER).click()
    expect(tab.page.get_by_text("Nothing is masked")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert "masked" not in tab.address
    expect(tab.word(RIVER)).to_have_text("river")


def test_every_section_is_drawn_on_a_narrow_dark_screen(opened: Callable[..., Reader]) -> None:
    tab = opened(width=390, scheme="dark", second=SECOND, masked=str(RIVER + 1))
    for name, drawn in SECTIONS.items():
        tab.open_section(name)
        expect(tab.page.locator(drawn).first).to_be_visible(timeout=PATIENCE)
        assert tab.overflow() <= 0, name
        expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_one_text_looks_at_the_other(opened: Callable[..., Reader]) -> None:
    tab = opened(second=SECOND, section="heads", look="view.heatmap~tokens.pieces")
    tab.page.locator(".st-key-heatmap .main-svg").first.wait_for()
    tab.page.locator(".st-key-cloze-between").get_by_role("radio", name="A → B", exact=True).click()
    expect(tab.page.get_by_text("A → B: what is not shown took")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert tab.address["between"] == "AB"
    ticks = tab.page.locator(".st-key-heatmap .xtick text").all_text_contents()
    assert "sun" in ticks and "river" not in ticks
    labels = tab.page.locator(".st-key-heatmap .ytick text").all_text_contents()
    assert "river" in labels and "sun" not in labels
    titles = [tab.page.locator(f".st-key-heatmap .{axis}title").text_content() for axis in "xy"]
    assert titles == ["looks at token", "token"]
