"""The box for typing in a real browser: nothing typed is lost, focus and caret stay, suggestions are inserted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SCRIPT = """
import time

import numpy as np
import streamlit as st

from engine.characters import fold
from viz.components.typing_along import Rest, Typed, typed_in, typing_along, typing_data
from viz.theme import THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
start = st.radio("start", ["one", "two"])
st.button("again")
forget = st.button("forget")
examples = {"one": "parts of nor", "two": "Café 3 in"}
typed = typed_in("typing", start_id=start) or Typed(examples[start])
if forget or ("deaf" in typed.text and typed.serial < 3):
    typed = Typed(examples[start])
wait = 2 if "slow" in typed.text else 0.2
time.sleep(wait)
counts = st.session_state.setdefault("counts", [0, []])
counts[0] += 1
counts[1].append(typed.serial)
read = fold(typed.text)
begun = len(read.text) - read.known[-1]
word = read.text[begun:]
rng = np.random.default_rng(len(read.text))


def network(name, suggestions):
    influence = rng.random(len(read.text)) ** 4
    influence[begun:] = np.maximum(influence[begun:], 0.6)
    return Rest(name, suggestions, read.text, (influence / influence.max()).astype(np.float32), begun)


rests = [
    network("GRU", ((word + "th", 0.62), (word + "mal", 0.21), (word + "thern", 0.004))),
    network("Nested LSTM", ((word + "mandy", 0.4), (word + "ever", 0.3))),
    network("<b>x</b>", (("<img src=x onerror=alert(1)>", 0.9), ("</span>", 0.05), ("internationally", 0.01))),
    network("Transformer", ((word + "way", 0.99), (word + "se", 0.01), (word, 0.0))),
]
data = typing_data(
    rests[:1] if "few" in typed.text else rests,
    typed,
    changes=[str(change) for change in read.changes],
    theme=theme,
    start_id=start,
)
made = typing_along(data, key="typing")
st.text(f"made {made and made.text!r}")
st.text(f"runs {counts[0]}")
st.text(f"rising {counts[1] == sorted(counts[1])}")
"""


@dataclass
class Opened:
    """A page with the box, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Your text")

    @property
    def caret(self) -> tuple[int, int]:
        first, last = self.box.evaluate("box => [box.selectionStart, box.selectionEnd]")
        return first, last

    def suggestion(self, network: int, rank: int) -> Locator:
        return self.page.locator(".network").nth(network).locator(".suggestion").nth(rank)

    def reads(self, text: str, network: int = 0) -> None:
        """The network's row, as it is answered, ends with this text and is up to date."""
        expect(self.page.locator(".strip .letters").nth(network)).to_have_text(re.compile(f"{text}$"), timeout=PATIENCE)
        expect(self.page.locator(".networks")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)

    def made(self, text: str) -> None:
        """Python has this text, and has answered."""
        expect(self.page.get_by_text(f"made {text!r}", exact=True)).to_be_visible(timeout=PATIENCE)
        self.rests()

    def rests(self) -> None:
        expect(self.page.get_by_test_id("stApp")).to_have_attribute(
            "data-test-script-state", "notRunning", timeout=PATIENCE
        )

    @property
    def runs(self) -> int:
        return int((self.page.get_by_text(re.compile(r"^runs \d+$")).text_content() or "").split()[1])

    def settled_runs(self) -> int:
        """The runs so far; a rerun that nobody wanted would begin within this time."""
        self.page.wait_for_timeout(1000)
        self.rests()
        return self.runs

    def boxes(self) -> list[dict[str, float]]:
        """Where everything stands that must not move."""
        found: list[dict[str, float]] = self.page.locator(
            ".typing, .typing textarea, .under, .network, .strip, .suggestion, .hint"
        ).evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
        return found

    def darken(self) -> None:
        self.page.get_by_text("dark", exact=True).click()
        expect(self.page.locator(".typing")).to_have_attribute("data-theme", "dark", timeout=PATIENCE)


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def opened(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens the box in a window of some width; at the end nothing may have failed or asked another machine."""
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
            page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
            page.goto(address)
            found.box.wait_for(timeout=PATIENCE)
            found.reads("parts of nor")
            found.rests()
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_quick_typing_loses_nothing_and_ends_with_the_last_text_s_answer(opened: Callable[..., Opened]) -> None:
    tab = opened()
    text = "the recurrent cracks of charts"
    assert len(text) == 30
    tab.box.fill("")
    tab.page.keyboard.type(text, delay=30)
    expect(tab.box).to_have_value(text)
    tab.reads(f" {text}")
    tab.made(text)
    expect(tab.box).to_have_value(text)
    expect(tab.page.get_by_text("rising True", exact=True)).to_be_visible()  # no answer to an older text came later
    assert 3 <= tab.settled_runs() <= 20  # fewer questions than characters, with answers in between
    assert tab.page.get_by_role("dialog").count() == 0
    expect(tab.suggestion(0, 0)).to_have_accessible_name("chartsth, 62 %")
    expect(tab.suggestion(0, 2)).to_have_accessible_name("chartsthern, <1 %")


def test_one_question_at_a_time(opened: Callable[..., Opened]) -> None:
    tab = opened()
    before = tab.settled_runs()
    tab.box.fill("slow")
    tab.page.wait_for_timeout(300)  # the question is on its way for two seconds
    for text in ("slow a", "slow ab", "slow abc"):
        tab.box.fill(text)
        tab.page.wait_for_timeout(100)
    tab.made("slow abc")
    assert tab.settled_runs() == before + 2


def test_focus_and_caret_outlast_the_answers(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.evaluate("box => (box.dataset.first = 'yes')")
    tab.box.click()
    tab.box.evaluate("box => box.setSelectionRange(5, 5)")
    tab.page.keyboard.type("few")  # the answer has fewer networks
    tab.page.keyboard.press("Shift+ArrowRight")
    tab.page.keyboard.press("Shift+ArrowRight")
    expect(tab.page.locator(".network")).to_have_count(1, timeout=PATIENCE)
    tab.reads(" partsfew of nor")
    tab.made("partsfew of nor")
    expect(tab.box).to_be_focused()
    assert tab.caret == (8, 10)
    tab.darken()
    expect(tab.box).to_have_attribute("data-first", "yes")
    expect(tab.box).to_have_value("partsfew of nor")


def test_a_click_inserts_the_word_in_place_of_its_letters(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.suggestion(1, 0).click()
    expect(tab.box).to_have_value("parts of normandy ")
    expect(tab.box).to_be_focused()
    assert tab.caret == (18, 18)
    tab.reads(" parts of normandy ", network=3)
    tab.suggestion(3, 0).click()  # no letters yet: after the space
    expect(tab.box).to_have_value("parts of normandy way ")
    tab.made("parts of normandy way ")
    tab.page.keyboard.press("Control+z")
    expect(tab.box).to_have_value("parts of normandy ")
    tab.made("parts of normandy ")


@pytest.mark.parametrize(("key", "word"), [("1", "north"), ("2", "normal"), ("3", "northern")])
def test_alt_and_a_number_insert_the_first_network_s_word(opened: Callable[..., Opened], key: str, word: str) -> None:
    tab = opened()
    tab.box.click()
    tab.page.keyboard.press(f"Alt+{key}")
    expect(tab.box).to_have_value(f"parts of {word} ")
    tab.made(f"parts of {word} ")


def test_folded_letters_belong_to_the_word(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("a 3d’Éle\u0301")
    tab.reads(" a dele")
    tab.suggestion(0, 1).click()
    expect(tab.box).to_have_value("a 3delemal ")  # the digit is no letter: a space to the networks


def test_suggestions_of_an_older_word_are_not_inserted(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("slow")
    tab.reads(" slow")
    tab.box.fill("slow and")  # the answer takes two seconds
    tab.page.keyboard.press("Alt+1")
    expect(tab.box).to_have_value("slow and")
    expect(tab.page.locator(".unseen")).to_contain_text("One moment")
    tab.reads(" slow and")
    tab.page.keyboard.press("Alt+1")
    expect(tab.box).to_have_value("slow andth ")


def test_everything_can_be_done_by_keyboard(opened: Callable[..., Opened]) -> None:
    tab = opened()
    keys = tab.page.keyboard
    tab.page.get_by_role("button", name="forget").focus()
    keys.press("Tab")
    expect(tab.box).to_be_focused()
    keys.press("End")
    keys.press("ArrowDown")
    expect(tab.suggestion(0, 0)).to_be_focused()
    steps = [("ArrowRight", 0, 1), ("ArrowDown", 1, 1), ("ArrowRight", 1, 1), ("Home", 1, 0), ("End", 1, 1)]
    for key, network, rank in steps:  # the second network has two words
        keys.press(key)
        expect(tab.suggestion(network, rank)).to_be_focused()
    keys.press("Tab")  # inserts where the arrows have led
    expect(tab.box).to_have_value("parts of norever ")
    expect(tab.box).to_be_focused()
    tab.reads(" norever ")
    for network, rank in ((0, 1), (1, 1), (2, 0)):  # Tab itself passes by: nobody is caught
        keys.press("Tab")
        expect(tab.suggestion(network, rank)).to_be_focused()
    keys.press("Shift+Tab")
    keys.press("Enter")
    expect(tab.box).to_have_value("parts of norever ever ")
    tab.reads(" ever ")
    keys.press("ArrowDown")
    keys.press("Escape")
    expect(tab.box).to_be_focused()
    keys.press("ArrowDown")
    before = tab.settled_runs()
    keys.press("r")  # goes on with the text; elsewhere it is Streamlit's key for a rerun
    expect(tab.box).to_be_focused()
    tab.reads(" ever r")
    assert tab.settled_runs() == before + 1
    keys.press("Tab")
    for _ in range(4):
        keys.press("Tab")
    assert not tab.page.locator(".typing").evaluate("root => root.contains(root.getRootNode().activeElement)")
    expect(tab.box).to_have_value("parts of norever ever r")


def test_no_text_is_markup(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.page.locator(".network .name").nth(2)).to_have_text("<b>x</b>")
    expect(tab.suggestion(2, 0).locator(".word")).to_have_text("<img src=x onerror=alert(1)>")
    tab.suggestion(2, 1).click()
    expect(tab.box).to_have_value("parts of </span> ")
    tab.made("parts of </span> ")
    assert tab.page.locator(".typing b, .typing img").count() == 0


def test_what_is_folded_is_said(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("é 3 <i>")
    expect(tab.page.locator(".changes")).to_have_text(re.compile(r"^Read as: é → e · 3 → space · "), timeout=PATIENCE)
    tab.box.fill("plain")
    expect(tab.page.locator(".changes")).to_have_text("", timeout=PATIENCE)


def test_another_start_takes_over_and_the_same_does_not(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("mine")
    tab.made("mine")
    tab.page.get_by_role("button", name="again").click()
    tab.page.wait_for_timeout(600)
    expect(tab.box).to_have_value("mine")
    tab.page.get_by_text("two", exact=True).click()
    expect(tab.box).to_have_value("Café 3 in", timeout=PATIENCE)
    tab.reads(" cafe in")
    expect(tab.page.get_by_text("made None", exact=True)).to_be_visible(timeout=PATIENCE)
    tab.box.press("End")
    tab.page.keyboard.type("to")
    tab.made("Café 3 into")


def test_the_box_is_full_at_its_limit(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("")
    tab.box.click()
    tab.page.keyboard.insert_text("ab " * 332 + "abcd")
    expect(tab.page.locator(".count")).to_have_text("1,000 / 1,000")
    tab.page.keyboard.type("e")
    assert len(tab.box.input_value()) == 1000
    tab.reads(" abcd")
    tab.page.keyboard.press("Alt+1")
    expect(tab.page.locator(".unseen")).to_have_text("No room for “abcdth”: the box takes 1,000 characters.")
    assert len(tab.box.input_value()) == 1000
    assert tab.page.locator(".strip.cut").count() == 4
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_suggestions_of_an_older_text_are_marked_after_a_while(opened: Callable[..., Opened]) -> None:
    tab = opened()
    late = tab.page.locator(".late")
    tab.box.evaluate(
        """box => {
          const root = box.getRootNode();
          window.marks = [];
          const typing = root.querySelector(".typing");
          const note = () => window.marks.push([performance.now(), typing.classList.contains("behind")]);
          new MutationObserver(note).observe(typing, {attributeFilter: ["class"]});
          box.addEventListener("input", () => (window.asked = performance.now()));
        }"""
    )
    tab.box.fill("slow")
    expect(late).to_have_text("catching up …")
    expect(tab.page.locator(".networks")).to_have_attribute("aria-busy", "true")
    expect(tab.page.locator(".strip .letters").first).to_have_text(" parts of nor")  # still shown
    tab.reads(" slow")
    expect(late).to_have_text("")
    asked = tab.page.evaluate("window.asked")
    marked = tab.page.evaluate("window.marks")
    changes = [marked[i] for i in range(len(marked)) if i == 0 or marked[i][1] != marked[i - 1][1]]
    assert [behind for _, behind in changes if behind] == [True]  # once, and not at once
    assert next(time for time, behind in changes if behind) - asked >= 295


@pytest.mark.parametrize("width", [390, 1280])
def test_answers_move_nothing(opened: Callable[..., Opened], width: int) -> None:
    tab = opened(width)
    before = tab.boxes()
    for text in ("", "x", "of 3 é ж", "a word of letters, of which there are"):
        tab.box.fill(text)
        tab.made(text)
        assert tab.boxes() == before
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.box.fill("\n" * 6)
    grown = tab.box.bounding_box()
    assert grown and grown["height"] > before[1]["height"]


def test_the_word_so_far_is_underlined_and_influence_shaded(opened: Callable[..., Opened]) -> None:
    tab = opened()
    letters = tab.page.locator(".strip").first.locator(".letters span")
    assert letters.evaluate_all("all => all.map(one => one.className && one.textContent).join('')") == "nor"
    colours = letters.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    assert len(colours) == 13 and "rgb(53, 183, 121)" in colours and len(set(colours)) > 3
    assert tab.page.locator(".strip").first.evaluate("one => getComputedStyle(one).color") == "rgb(255, 255, 255)"


def test_a_text_that_python_has_forgotten_is_sent_again(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("mine")
    tab.made("mine")
    tab.page.get_by_role("button", name="forget").click()  # Python answers its own example, as after a lost session
    tab.page.wait_for_timeout(1000)
    expect(tab.box).to_have_value("mine")
    tab.reads("^ mine")


def test_a_question_without_an_answer_is_asked_once_more(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.box.fill("h")
    tab.reads("^ h")
    before = tab.settled_runs()
    tab.box.fill("deaf")  # the second question; the third is answered
    tab.page.wait_for_timeout(1500)
    expect(tab.page.locator(".networks")).to_have_attribute("aria-busy", "true")
    tab.reads("^ deaf")
    assert tab.settled_runs() == before + 2
