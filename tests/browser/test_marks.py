"""The marked texts in a real browser: click, keys, one role for a word, what Python receives and when it takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SCRIPT = """
import streamlit as st

from viz.components.marks import MarkedText, Role, marks, marks_data
from viz.theme import HEAD_COLOURS, THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
start = st.radio("start", ["one", "two"])
other = st.checkbox("other marks")
violet, ochre, _, _, green, *_ = HEAD_COLOURS
roles = [Role("pronoun", "Pronoun", violet, "it"), Role("a", "A", green), Role("b", "B", ochre)]
words = ("The", "animal", "didn't", "cross", "the", "street", "because", "it", "was", "too", "tired", ".")
spaces = (False, *(True,) * 10, False)
french = "L'|animal| n'|a| pas| traversé| la| rue| parce| qu'|il| était| trop| <b>fatigué</b>|.".split("|")
apart = tuple(word[0] == " " for word in french)
hebrew = "החיה לא חצתה את הרחוב".split()
given = {"pronoun": (7,), "a": (0, 1), "b": (5,)} if start == "one" else {"pronoun": (7,), "a": (3,)}
given = {"b": (0,)} if other else given
texts = [
    MarkedText("Sentence 1", words, spaces, given, (10,)),
    MarkedText("French", tuple(map(str.strip, french)), apart, {}, (13,), "fr", ("a", "b")),
    MarkedText("Hebrew", tuple(hebrew), (False, *(True,) * 4), {}, lang="he"),
]
st.button("again")
made = marks(marks_data(texts, roles, theme=theme, start_id=start), key="marks")
st.text(f"made {made and made[0]}")
st.text(f"french {made and made[1]}")
"""
START = {"Pronoun": "it", "A": "The animal", "B": "street"}


@dataclass
class Opened:
    """A page with the texts, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def role(self, name: str) -> Locator:
        return self.page.get_by_role("radio", name=name, exact=True)

    def text(self, name: str = "Sentence 1") -> Locator:
        return self.page.get_by_role("group", name=name)

    def word(self, index: int, text: str = "Sentence 1") -> Locator:
        return self.text(text).get_by_role("button").nth(index)

    def said(self, text: str) -> None:
        expect(self.page.locator(".marks .status")).to_have_text(text)

    def marked(self, text: str = "Sentence 1") -> dict[str, str]:
        """The words of each role, as a screen reader is told them."""
        found: dict[str, list[str]] = {}
        for word in self.text(text).get_by_role("button", pressed=True).all():
            said, _, role = (word.get_attribute("aria-label") or "").rpartition(", ")
            found.setdefault(role, []).append(said)
        return {role: " ".join(words) for role, words in found.items()}

    def made(self, said: str) -> None:
        """Python has these marks of sentence 1."""
        expect(self.page.get_by_text(f"made {said}", exact=True)).to_be_visible(timeout=PATIENCE)
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    def darken(self) -> None:
        self.page.get_by_text("dark", exact=True).click()
        expect(self.page.locator(".marks")).to_have_attribute("data-theme", "dark", timeout=PATIENCE)

    def boxes(self) -> list[dict[str, float]]:
        """Where everything stands: the component, its words and chips."""
        found: list[dict[str, float]] = self.page.locator(".marks, .marks .word, .marks .chip").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().toJSON())"
        )
        return found


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
            found.text().wait_for(timeout=PATIENCE)
            found.made("None")
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_texts_are_shown_as_they_are_written(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.text()).to_have_text("The animal didn't cross the street because it was too tired.")
    expect(tab.text("French")).to_have_text("L'animal n'a pas traversé la rue parce qu'il était trop <b>fatigué</b>.")
    expect(tab.text("French")).to_have_attribute("lang", "fr")
    assert tab.page.locator(".marks b").count() == 0
    assert tab.marked() == START and tab.marked("French") == {}
    expect(tab.role("Pronoun")).to_have_attribute("aria-checked", "true")
    expect(tab.page.get_by_text("Choose a role, then click its words.")).to_be_visible()
    words = tab.text().get_by_role("button")
    lines = words.evaluate_all("all => all.map(word => getComputedStyle(word).textDecorationLine)")
    assert lines == ["none"] * 10 + ["underline", "none"]
    badges = words.evaluate_all("all => all.map(word => word.dataset.badge ?? '')")
    assert badges == ["A", "", "", "", "", "B", "", "it", "", "", "", ""]  # one for a span of words


def test_a_word_elsewhere_takes_the_place_of_all_the_role_had(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.role("A").click()
    tab.word(3).click()
    assert tab.marked() == {**START, "A": "cross"}
    tab.said("Sentence 1: A is “cross”.")
    tab.made("{'pronoun': (7,), 'a': (3,), 'b': (5,)}")


def test_a_word_beside_is_added_on_either_side(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.role("B").click()
    tab.word(4).click()
    tab.word(6).click()
    assert tab.marked() == {**START, "B": "the street because"}
    tab.said("Sentence 1: B is “the street because”.")
    tab.made("{'pronoun': (7,), 'a': (0, 1), 'b': (4, 5, 6)}")


def test_a_marked_word_is_unmarked(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.word(7).click()
    assert tab.marked() == {"A": "The animal", "B": "street"}
    expect(tab.word(7)).to_have_attribute("aria-label", "it")
    tab.said("Sentence 1: Pronoun is not marked.")
    tab.made("{'pronoun': (), 'a': (0, 1), 'b': (5,)}")


def test_a_word_has_one_role(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.role("B").click()
    tab.word(1).click()
    assert tab.marked() == {"Pronoun": "it", "A": "The", "B": "animal"}
    tab.said("Sentence 1: B is “animal”; A is “The”.")
    tab.word(0).click()  # beside, and taken as well
    assert tab.marked() == {"Pronoun": "it", "B": "The animal"}
    tab.said("Sentence 1: B is “The animal”; A is not marked.")
    tab.made("{'pronoun': (7,), 'a': (), 'b': (0, 1)}")


def test_a_text_keeps_to_its_roles(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.word(1, "French")).to_have_attribute("aria-disabled", "true")
    tab.word(1, "French").click(force=True)
    assert tab.marked("French") == {}
    tab.said("French: Pronoun cannot be marked here.")
    tab.role("A").click()
    tab.word(0, "French").click()
    tab.word(1, "French").click()
    tab.said("French: A is “L'animal”.")
    expect(tab.page.get_by_text("french {'a': (0, 1), 'b': ()}")).to_be_visible(timeout=PATIENCE)
    assert tab.marked() == START  # each text for itself


def test_everything_can_be_done_by_keyboard(opened: Callable[..., Opened]) -> None:
    tab = opened()
    keys = tab.page.keyboard
    tab.page.get_by_role("button", name="again").focus()
    keys.press("Tab")
    expect(tab.role("Pronoun")).to_be_focused()
    keys.press("ArrowRight")
    expect(tab.role("A")).to_be_focused()
    expect(tab.role("A")).to_have_attribute("aria-checked", "true")
    keys.press("Tab")
    expect(tab.word(0)).to_be_focused()
    steps = [("End", 11), ("ArrowLeft", 10), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowRight", 2)]
    for key, index in steps:
        keys.press(key)
        expect(tab.word(index)).to_be_focused()
    keys.press("Enter")
    assert tab.marked() == {**START, "A": "The animal didn't"}
    keys.press("3")
    tab.said("B is chosen.")
    keys.press("Space")
    assert tab.marked() == {**START, "A": "The animal", "B": "didn't"}
    tab.made("{'pronoun': (7,), 'a': (0, 1), 'b': (2,)}")
    expect(tab.word(2)).to_be_focused()  # the answer has not taken the focus away
    keys.press("Tab")
    expect(tab.word(0, "French")).to_be_focused()
    keys.press("Tab")
    keys.press("ArrowLeft")  # right to left: the next word
    expect(tab.word(1, "Hebrew")).to_be_focused()
    for back in (tab.word(0, "French"), tab.word(2), tab.role("B")):
        keys.press("Shift+Tab")
        expect(back).to_be_focused()


def test_another_start_takes_over_and_the_readers_marks_are_gone(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.word(8).click()
    tab.made("{'pronoun': (7, 8), 'a': (0, 1), 'b': (5,)}")
    tab.page.get_by_text("two", exact=True).click()
    expect(tab.word(3)).to_have_attribute("aria-label", "cross, A", timeout=PATIENCE)
    assert tab.marked() == {"Pronoun": "it", "A": "cross"}
    tab.made("None")
    tab.page.get_by_text("one", exact=True).click()  # back: Python's marks again, and Python knows
    expect(tab.word(5)).to_have_attribute("aria-label", "street, B", timeout=PATIENCE)
    assert tab.marked() == START
    tab.made("None")
    tab.word(8).click()  # the same once more
    tab.made("{'pronoun': (7, 8), 'a': (0, 1), 'b': (5,)}")


def test_the_readers_marks_outlast_a_rerun_other_marks_and_the_dark(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.word(8).click()
    tab.made("{'pronoun': (7, 8), 'a': (0, 1), 'b': (5,)}")
    tab.text().evaluate("text => (text.dataset.first = 'yes')")
    tab.page.get_by_role("button", name="again").click()
    tab.page.get_by_text("other marks", exact=True).click()
    tab.darken()
    assert tab.marked() == {**START, "Pronoun": "it was"}
    expect(tab.text()).to_have_attribute("data-first", "yes")
    tab.made("{'pronoun': (7, 8), 'a': (0, 1), 'b': (5,)}")


@pytest.mark.parametrize("width", [390, 1280])
def test_marks_move_nothing(opened: Callable[..., Opened], width: int) -> None:
    tab = opened(width)
    before = tab.boxes()
    for role, index in (("Pronoun", 10), ("A", 5), ("B", 1), ("B", 2)):
        tab.role(role).click()
        tab.word(index).click()
    assert tab.marked() == {"Pronoun": "tired", "A": "street", "B": "animal didn't"}
    assert tab.boxes() == before


def test_a_phone_has_room_for_every_badge(opened: Callable[..., Opened]) -> None:
    tab = opened(390)
    words = tab.text().get_by_role("button")
    assert len(set(words.evaluate_all("all => all.map(word => word.offsetTop)"))) > 1  # the text wraps
    for index in (*range(0, 12, 2), *range(1, 12, 2)):  # never beside the one before: each has the badge once
        tab.word(index).click()
        expect(tab.word(index)).to_have_attribute("data-badge", "it")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.page.locator(".marks").evaluate("marks => marks.scrollWidth <= marks.clientWidth")


CONTRAST = """word => {
  const luminance = (colour) => {  // of "rgb(1, 2, 3)" or "color(srgb 0.1 0.2 0.3)"
    const channels = colour.match(/[\\d.]+/g).slice(0, 3).map((n) => (colour.startsWith("rgb") ? n / 255 : +n));
    const [r, g, b] = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [null, "::after"].map((part) => {
    const { color, backgroundColor } = getComputedStyle(word, part);
    const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_marked_words_and_badges_can_be_read(opened: Callable[..., Opened], dark: bool) -> None:
    tab = opened()
    if dark:
        tab.darken()
    tab.page.mouse.move(2, 2)
    for index in (0, 5, 7):
        word, badge = tab.word(index).evaluate(CONTRAST)
        assert word >= 4.5 and badge >= 4.5
    background = "word => getComputedStyle(word).backgroundColor"
    assert len({tab.word(index).evaluate(background) for index in (0, 5, 7, 9)}) == 4
