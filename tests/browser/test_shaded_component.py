"""The shaded text in a real browser: it reads as written, hover, keys, masking, what Python hears, files, length."""

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
import numpy as np
import streamlit as st

from viz.components.shaded import pressed_in, shaded, shaded_data
from viz.theme import THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
start = st.radio("start", ["one", "two"])
texts = ["", "The", " <b>animal</b>", " slept", ".", "\\n", "It", " ", "un", "tired", " " + "x" * 300]
if st.checkbox("longer"):
    texts.append(" more")
labels = ["<s>", *(text.strip() or text for text in texts[1:])]
values = np.arange(len(texts), dtype=float)
values[0] = np.nan
groups = (-1, *(1,) * (len(texts) - 1))  # of two groups one has no token: the legend leaves it out
picked = shaded(
    shaded_data(
        labels, texts, values, titles=[""] * 2 + ["the animal's line"] + [""] * (len(texts) - 3), limits=(0, 5),
        legend="surprise (bits)", groups=groups, group_names=("unseen", "first"), mode="pick", theme=theme,
        name="Surprise",
    ),
    key="surprise",
).picked
st.session_state.setdefault("picks", []).extend([] if picked is None else [picked])
st.text(f"picks {st.session_state['picks']}")
words = ["[CLS]", "The", " street", " was", " wide", ".", " a"]
before = pressed_in("words", words, start_id=start)
pressed = (2,) if start == "one" else (4,)
made = shaded(
    shaded_data(
        words, words, groups=(-1, *(0,) * 6), mode="toggle", pressed=pressed, blank="[MASK]", theme=theme,
        start_id=start, name="Words",
    ),
    key="words",
).pressed
st.text(f"made {made} {before == made}")
st.button("again")
if st.checkbox("many"):
    many = [f" word{n % 97}" for n in range(5000)]
    shaded(shaded_data(many, many, np.arange(5000.0), colours="diverging", theme=theme, name="Many"), key="many")
"""
CONTRAST = """token => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const { color, backgroundColor } = getComputedStyle(token);
  const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


@dataclass
class Opened:
    """A page with the two texts, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def text(self, name: str = "Surprise") -> Locator:
        return self.page.get_by_role("group", name=name, exact=True)

    def token(self, index: int, name: str = "Surprise") -> Locator:
        return self.text(name).locator(".token").nth(index)

    def pressed(self) -> list[int]:
        """Which words are pressed, as a screen reader is told."""
        states = self.text("Words").locator(".token").evaluate_all("all => all.map(one => one.ariaPressed)")
        return [index for index, state in enumerate(states) if state == "true"]

    def focused(self) -> int:
        """The token that has the focus, −1 for none."""
        found = self.text().locator(".token").evaluate_all("all => all.findIndex(one => one.matches(':focus'))")
        return int(found)

    def tip(self, text: str, key: str = "surprise") -> None:
        expect(self.page.locator(f".st-key-{key} .tip")).to_have_text(text)
        expect(self.page.locator(f".st-key-{key} .tip")).to_be_visible()

    def said(self, text: str) -> None:
        """Python has this, and the page's run has ended."""
        expect(self.page.get_by_text(text, exact=True)).to_be_visible(timeout=PATIENCE)
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    def check(self, label: str) -> None:
        self.page.get_by_text(label, exact=True).click()


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
    """Opens the texts in a window of some width; at the end nothing may have failed or asked another machine."""
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
            found.text("Words").wait_for(timeout=PATIENCE)
            found.said("made None True")
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_it_reads_as_it_is_written_and_every_shade_can_be_read(opened: Callable[..., Opened]) -> None:
    tab = opened()
    written = "text => text.innerText"
    assert tab.text().evaluate(written) == "<s>The <b>animal</b> slept.\nIt untired " + "x" * 300
    assert tab.page.locator(".shaded b").count() == 0
    ticks = tab.page.locator(".st-key-surprise .ticks span")
    assert ticks.all_inner_texts() == ["0", "2.5", "≥ 5"]
    expect(tab.page.locator(".st-key-surprise .key")).to_have_text(["first", "no value"])
    assert "unknown" in (tab.token(0).get_attribute("class") or "")
    for _ in range(2):
        tokens = tab.text().locator(".token:not(.chip)")
        assert min(tokens.evaluate_all(f"all => all.map({CONTRAST})")) >= 4.5
        assert len(set(tokens.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)"))) == 5
        tab.check("dark")
        expect(tab.page.locator(".shaded").first).to_have_attribute("data-theme", "dark", timeout=PATIENCE)


def test_hover_and_keys_show_a_line_and_a_click_is_told(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.token(2).hover()
    tab.tip("the animal's line")
    tab.token(3).hover()
    tab.tip("“slept” · surprise (bits): 3.00 · first")
    tab.token(3).click()
    tab.said("picks [3]")
    keys = tab.page.keyboard
    for key, index in (("ArrowLeft", 2), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1)):
        keys.press(key)
        expect(tab.token(index)).to_be_focused()
    keys.press("ArrowDown")
    assert 6 <= tab.focused() <= 9  # the line's beginning, below "The"
    keys.press("ArrowUp")
    assert tab.focused() <= 2
    tab.token(1).focus()
    keys.press("ArrowRight")
    expect(tab.token(2)).to_be_focused()
    tab.tip("the animal's line")
    keys.press("Enter")
    tab.said("picks [3, 2]")
    keys.press("Space")  # the same again is news
    tab.said("picks [3, 2, 2]")
    expect(tab.token(2)).to_be_focused()
    tab.token(5).hover()
    tab.tip("“⏎” · surprise (bits): 5.00 · first")


def test_words_are_masked_in_place_and_python_is_told(opened: Callable[..., Opened]) -> None:
    tab = opened()
    assert tab.pressed() == [2]
    places = "all => all.map(one => one.getBoundingClientRect().toJSON())"
    words = tab.text("Words").locator(".token")
    before = words.evaluate_all(places)
    tab.token(4, "Words").click()
    tab.token(2, "Words").click()
    tab.token(6, "Words").click()
    tab.token(0, "Words").click()  # [CLS] stays as it is
    assert tab.pressed() == [4, 6]
    tab.said("made (4, 6) True")
    assert words.evaluate_all(places) == before
    look = "word => [getComputedStyle(word).color, getComputedStyle(word, '::after').content, word.dataset.blank ?? '']"
    assert tab.token(6, "Words").evaluate(look) == ["rgba(0, 0, 0, 0)", '"a"', ""]  # no room for the blank's name
    tab.token(1, "Words").focus()
    tab.page.keyboard.press("Space")
    assert tab.pressed() == [1, 4, 6]
    tab.said("made (1, 4, 6) True")
    expect(tab.page.locator(".st-key-words [role=status]")).to_have_text("“The” is masked: [MASK].")


def test_another_start_takes_over_and_back_python_knows(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.token(1, "Words").click()
    tab.said("made (1, 2) True")
    tab.check("dark")
    expect(tab.page.locator(".shaded").first).to_have_attribute("data-theme", "dark", timeout=PATIENCE)
    assert tab.pressed() == [1, 2]  # the reader's own outlast another look
    tab.check("two")
    expect(tab.token(4, "Words")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    tab.said("made None True")
    tab.check("one")
    expect(tab.token(2, "Words")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    assert tab.pressed() == [2]
    tab.said("made None True")


def test_a_longer_text_keeps_its_elements_and_a_narrow_window_scrolls_nowhere(opened: Callable[..., Opened]) -> None:
    tab = opened(390)
    tab.token(10).evaluate("token => (token.dataset.first = 'yes')")
    tab.check("longer")
    expect(tab.token(11)).to_have_text("more", timeout=PATIENCE)
    expect(tab.token(10)).to_have_attribute("data-first", "yes")
    assert tab.text().evaluate("text => text.innerText.endsWith('x more')")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.locator(".shaded").first.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_files_show_the_text_and_what_is_masked(opened: Callable[..., Opened]) -> None:
    tab = opened()
    root = ElementTree.fromstring(saved(tab, "words", "SVG"))
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert texts[:3] == ["Words", "[CLS]", "The"]
    assert {"was", "wide", ".", "[MASK]"} <= set(texts) and texts.count("street") == 1
    svg = saved(tab, "surprise", "SVG").decode()
    assert "&lt;b&gt;animal&lt;/b&gt;" in svg and "≥ 5" in svg and "<b>" not in svg
    assert svg.count("x" * 40) >= 2  # a long word in the lines of the screen
    assert saved(tab, "surprise", "PNG").startswith(b"\x89PNG")


def test_five_thousand_tokens_answer_at_once(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.check("many")
    many = tab.page.get_by_role("list", name="Many")
    expect(many.locator(".token")).to_have_count(5000, timeout=PATIENCE)
    assert many.evaluate("text => text.getRootNode().querySelectorAll('.token[tabindex=\"0\"]').length") >= 1
    token = many.locator(".token").nth(2500)
    token.scroll_into_view_if_needed()
    token.hover()
    tab.tip("“word75” · 2,500", "many")
    token.click()
    tab.page.keyboard.press("ArrowRight")
    expect(many.locator(".token").nth(2501)).to_be_focused()
    tab.tip("“word76” · 2,501", "many")


def saved(tab: Opened, key: str, name: str) -> bytes:
    with tab.page.expect_download(timeout=PATIENCE) as waiting:
        tab.page.locator(f".st-key-{key}").get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()
