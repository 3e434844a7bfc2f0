"""Linked panels of connected text in a real browser: point, pin, keys, play, what Python hears; names stay text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engine.types import ConnectedText, Connectivity
from viz.components.connectivity import SHADES, TextView, connectivity_data
from viz.components.standalone import standalone_html
from viz.theme import LIGHT

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
HOSTILE = "<img src=x onerror=alert(1)>"
TEXT = " the cat sat on a mat"
UNKNOWN = 9, 10, 11, 8  # the positions of " sat", which is outside the vocabulary
SCRIPT = '''
import numpy as np
import streamlit as st

from engine.types import ConnectedText, Connectivity
from viz.components.connectivity import TextView, connectivity_data, connectivity_text

st.set_page_config(layout="wide")
text = " the cat sat on a mat"
long = " " + "x" * 300 + " the end"
shown = long if st.query_params.get("text") == "long" else text
words = shown[1:].split(" ")
belongs = np.cumsum([letter == " " for letter in shown]) - 1
desired = tuple("" if words[word] == "sat" else words[word] for word in belongs)
size = len(shown)


def connected(name, power):
    """In row t character i has ((i + 1) / (t + 1)) ** power of the row's largest influence, its last character's."""
    rows, columns = np.mgrid[:size, :size]
    values = np.where(columns <= rows, ((columns + 1) / (rows + 1)) ** power, 0.0)
    masked = [-1 if not word else 0 for word in desired]
    values[np.array(masked) < 0] = 0
    window = int(st.query_params.get("window", 0))
    values[rows - columns >= (window or size)] = 0
    steps = tuple(((word or "on", 0.5), ("other", 0.25), ("third", 0.004)) for word in desired)
    return ConnectedText(name, shown, desired, steps, desired, Connectivity.of(values, "one-hot", masked), window)


start = st.radio("start", ["one", "two"])
view = TextView() if start == "one" else TextView(6, True)
late = st.checkbox("one more")
told = st.session_state.setdefault("told", [])


def heard(key):
    told.append((key, TextView.of(st.session_state[key].view)))


panels = [("one", "linear", 1, "g"), ("two", "<img src=x onerror=alert(1)>", 3, "g"), ("apart", "apart", 1, "h")]
for key, name, power, group in panels + [("late", "late", 1, "g")] * late:
    data = connectivity_data(
        connected(name, power), view, group=group, controls=key in ("one", "apart"), start_id=start,
        subtitle=name if key == "two" else "",
    )
    connectivity_text(data, key=key, on_change=lambda key=key: heard(key))
st.text("told " + "; ".join(f"{key} {view.position} {view.pinned}" for key, view in told))
'''
# The middle of a character that stands in the first line, and the colour of its box's corner, where no letter reaches.
PLACE = """(sheet, before) => {
    const { fontSize, fontFamily } = getComputedStyle(sheet);
    const context = document.createElement("canvas").getContext("2d");
    context.font = `${fontSize} ${fontFamily}`;
    const wide = context.measureText("m".repeat(50)).width / 50;
    const widths = [...before].map((letter) => (letter === " " ? 0.72 : 1) * wide);
    return [widths.slice(0, -1).reduce((sum, width) => sum + width, 0), widths.at(-1), parseFloat(fontSize)];
}"""
PIXEL = """(sheet, [x, y]) => {
    const canvas = sheet.querySelector("canvas");
    const [red, green, blue, alpha] = canvas.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data;
    return alpha ? `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}` : "";
}"""


@dataclass
class Opened:
    """A page with three panels or four, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    sent: int = 0

    def panel(self, key: str = "one") -> Locator:
        return self.page.locator(f".st-key-{key} .connectivity")

    def sheet(self, key: str = "one") -> Locator:
        return self.panel(key).get_by_role("slider")

    def button(self, name: str) -> Locator:
        return self.panel().get_by_role("button", name=name, exact=True)

    def spot(self, index: int, key: str = "one") -> tuple[float, float]:
        """The middle of a character of the first line, in pixels of its sheet."""
        left, width, size = self.sheet(key).evaluate(PLACE, TEXT[: index + 1])
        return left + width / 2, 0.8 * size

    def point(self, index: int, key: str = "one") -> None:
        x, y = self.spot(index, key)
        self.sheet(key).hover(position={"x": x, "y": y})

    def click(self, index: int, key: str = "one") -> None:
        x, y = self.spot(index, key)
        self.sheet(key).click(position={"x": x, "y": y})

    def colours(self, key: str = "one") -> list[str]:
        """Behind each character; "" where nothing is drawn."""
        found: list[str] = []
        for index in range(len(TEXT)):
            x, _ = self.spot(index, key)
            found.append(self.sheet(key).evaluate(PIXEL, [x, 2]))
        return found

    def at(self, position: int, key: str = "one", pinned: bool = False) -> None:
        """A panel shows this position, counted from 0."""
        said = rf"^character {position + 1} of {len(TEXT)}{', pinned' if pinned else ''};"
        expect(self.sheet(key)).to_have_attribute("aria-valuetext", re.compile(said))

    def told(self, *said: str) -> None:
        """Python has heard this, and nothing else."""
        expect(self.page.get_by_text(re.compile("^told"))).to_have_text(f"told {'; '.join(said)}".strip())
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    def caption(self, key: str, text: str | re.Pattern[str]) -> None:
        expect(self.panel(key).locator(".caption")).to_have_text(text)

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
    """Opens the panels in a window of some width; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Opened] = []

        def start(query: str = "", width: int = 1280, touch: bool = False) -> Opened:
            context = browser.new_context(viewport={"width": width, "height": 1000}, has_touch=touch)
            stack.callback(context.close)
            page = context.new_page()
            found = Opened(page)
            tabs.append(found)

            def count(_: object) -> None:
                found.sent += 1

            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.on("websocket", lambda socket: socket.on("framesent", count))
            page.goto(f"{address}?{query}")
            found.sheet("apart").wait_for(timeout=PATIENCE)
            found.told()
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_pointing_shades_what_came_before_in_every_panel_of_the_group(opened: Callable[..., Opened]) -> None:
    tab = opened()
    assert set(tab.colours()) == {SHADES[0]}  # nothing is chosen
    tab.page.wait_for_timeout(1_000)  # the page's own start has been said
    before = tab.sent
    tab.point(6)
    tab.at(6, "one")
    tab.at(6, "two")
    after = [""] * (len(TEXT) - 7)
    for key, power in (("one", 1), ("two", 3)):
        assert tab.colours(key) == [shade(((column + 1) / 7) ** power) for column in range(7)] + after
    expect(tab.panel().locator(".reading")).to_have_text("reads “…ca” → cat")
    expect(tab.panel().locator(".suggestion.right")).to_have_text("cat✓ 50 %")
    expect(tab.panel().locator(".suggestion").nth(2)).to_have_text("third<1 %")
    tab.point(4, "two")  # a space: it tells nothing of the word after it
    tab.at(4, "one")
    expect(tab.panel("two").locator(".reading")).to_have_text("reads “the␣” → cat")
    expect(tab.sheet("apart")).to_have_attribute("aria-valuetext", "no character is chosen")
    tab.page.wait_for_timeout(1_000)
    assert tab.sent == before  # pointing needs no server


def test_a_click_pins_and_python_hears_of_it(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.click(7)
    tab.told("one 7 True")
    tab.at(7, "two", pinned=True)
    tab.point(3, "two")  # the pin stays, and the pointer asks for one character's share
    tab.at(7, "one", pinned=True)
    tab.caption("one", "influence of “e” at 4 on “cat” at 8: 50 % of the row's largest")
    tab.caption("two", "influence of “e” at 4 on “cat” at 8: 13 % of the row's largest")  # (4/8)³
    tab.point(4, "two")
    tab.caption("one", "influence of the space at 5 on “cat” at 8: 62 % of the row's largest")  # 159 of 255
    tab.click(6, "two")
    tab.at(6, "one", pinned=True)
    tab.told("one 7 True", "two 6 True")
    tab.click(6, "one")
    tab.at(6, "two")
    tab.told("one 7 True", "two 6 True", "one 6 False")
    tab.click(7, "one")  # what this panel said first is news again
    tab.told("one 7 True", "two 6 True", "one 6 False", "one 7 True")


def test_escape_lets_go_and_enter_pins(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.click(7)
    tab.told("one 7 True")
    tab.page.keyboard.press("Escape")
    tab.at(7, "two")
    tab.told("one 7 True", "one 7 False")
    tab.point(2)
    tab.at(2, "two")
    tab.sheet("two").press("Enter")
    tab.at(2, "one", pinned=True)
    tab.told("one 7 True", "one 7 False", "two 2 True")
    expect(tab.button("Pinned")).to_have_attribute("aria-pressed", "true")
    tab.button("Pinned").click()
    tab.at(2, "two")
    tab.told("one 7 True", "one 7 False", "two 2 True", "one 2 False")


def test_keys_move_by_character_and_by_word(opened: Callable[..., Opened]) -> None:
    tab = opened()
    sheet = tab.sheet("two")
    on, back, last = "ArrowRight", "ArrowLeft", len(TEXT) - 1
    moves = [(on, 0), (on, 1), (on, 2), (back, 1)]
    moves += [(f"Shift+{on}", 4), (f"Control+{on}", 8), (on, 9)]  # at 4 and 8 are the spaces that words begin with
    moves += [(f"Control+{back}", 8), (f"Shift+{back}", 4), ("End", last), (on, last), ("Home", 0), (back, 0)]
    for key, position in moves:
        sheet.press(key)
        tab.at(position, "one")
        tab.at(position, "two")
    expect(tab.panel().locator(".where")).to_have_text(f"1 of {len(TEXT)}")
    sheet.press("End")
    expect(tab.page.get_by_text(re.compile("^told"))).to_have_text(re.compile(f"two {last} False$"))
    tab.button("One character back").click()
    tab.at(last - 1, "two")


def test_playing_moves_all_panels_and_tells_python_when_it_stops(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.click(2)
    tab.told("one 2 True")
    tab.page.keyboard.press("Space")
    expect(tab.button("Pause")).to_be_visible()
    expect(tab.sheet("two")).to_have_attribute("aria-valuetext", re.compile("^character (?!3 )"))
    tab.button("Pause").click()
    expect(tab.button("Play")).to_be_visible()
    expect(tab.page.get_by_text(re.compile(r"told one 2 True; one (\d+) True$"))).to_be_visible()
    stopped = tab.sheet("two").get_attribute("aria-valuetext")
    tab.page.wait_for_timeout(800)
    assert tab.sheet("two").get_attribute("aria-valuetext") == stopped
    tab.panel().get_by_role("combobox", name="Speed").select_option("4")
    tab.sheet("two").press("Space")
    tab.at(len(TEXT) - 1, "one", pinned=True)
    expect(tab.button("Play")).to_be_visible()
    expect(tab.page.get_by_text(re.compile(f"two {len(TEXT) - 1} True$"))).to_be_visible()
    tab.button("Play").click()  # from the end it begins again
    expect(tab.sheet("two")).to_have_attribute("aria-valuetext", re.compile(f"^character (?!{len(TEXT)} )"))


def test_a_panel_that_comes_late_takes_the_position_over(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.click(7)
    tab.told("one 7 True")
    tab.check("one more")
    tab.at(7, "late", pinned=True)
    tab.click(5, "late")
    tab.at(5, "one", pinned=True)
    tab.told("one 7 True", "late 5 True")
    tab.check("one more")
    expect(tab.panel("late")).to_have_count(0)
    tab.sheet("two").press("ArrowRight")
    tab.at(6, "one", pinned=True)
    tab.told("one 7 True", "late 5 True", "two 6 True")


def test_python_moves_the_panels_only_when_it_means_it(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.click(3)
    tab.told("one 3 True")  # the run that this made sent the first view again
    tab.at(3, "two", pinned=True)
    tab.check("two")
    for key in ("one", "two", "apart"):
        tab.at(6, key, pinned=True)
    tab.page.wait_for_timeout(800)
    tab.at(6, pinned=True)  # nothing plays by itself
    tab.told("one 3 True")


def test_a_word_outside_the_vocabulary_has_no_shading(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.point(6)
    tab.at(6)
    assert tab.colours()[6]
    for position in UNKNOWN:
        tab.point(position)
        tab.at(position)
        tab.caption("one", "no target here: the word is outside the vocabulary")
        expect(tab.panel().locator(".reading")).to_contain_text("→ outside the vocabulary")
        assert not any(tab.colours())
    tab.point(12)
    tab.at(12)
    assert all(tab.colours()[:13])


def test_names_are_text(opened: Callable[..., Opened]) -> None:
    tab = opened()
    head = tab.panel("two").locator(".head")
    expect(head.locator("strong")).to_have_text(HOSTILE)
    expect(head.locator(".subtitle")).to_have_text(HOSTILE)
    assert tab.panel("two").locator("img").count() == 0
    assert HOSTILE in (tab.sheet("two").get_attribute("aria-label") or "")
    tab.point(6, "two")
    root = ElementTree.fromstring(saved(tab, "two", "SVG"))
    assert f"{HOSTILE} · {HOSTILE}" in [element.text for element in root.iter()]


def test_a_saved_picture_shows_what_is_shown(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.point(6)
    tab.at(6)
    root = ElementTree.fromstring(saved(tab, "one", "SVG"))
    letters = [element for element in root.iter() if "mono" in element.get("font-family", "")]
    assert "".join(letter.text or "" for letter in letters) == TEXT.replace(" ", "")
    white = [letter.text for letter in letters if letter.get("fill") == "#ffffff"]
    assert white == list("theca")
    fills = [element.get("fill") for element in root.iter() if element.tag.endswith("rect")]
    assert SHADES[-1] in fills
    said = " ".join(element.text or "" for element in root.iter())
    assert "influence of each character on “cat” at 7" in said and "click" not in said
    assert "reads “…ca” → cat" in said and "rows and panels are not comparable" in said
    assert saved(tab, "one", "PNG").startswith(b"\x89PNG")


def test_characters_out_of_reach_are_hatched_and_the_caption_says_so(opened: Callable[..., Opened]) -> None:
    tab = opened("window=4")
    tab.click(7)
    tab.at(7, "one", pinned=True)
    tab.caption("one", re.compile("hatched: too far back, 4 characters at most are read$"))
    colours = tab.colours()
    assert colours[4:8] == [shade((column + 1) / 8) for column in range(4, 8)]
    assert not {shade(level / 255) for level in range(256)} & set(colours[:4])
    tab.point(2)
    tab.caption("one", "influence of “h” at 3 on “cat” at 8: none, too far back, 4 characters at most are read")
    tab.click(3)
    tab.at(3, "one", pinned=True)
    assert tab.colours()[:4] == [shade((column + 1) / 4) for column in range(4)]  # all within reach


def test_a_narrow_window_scrolls_nowhere_and_nothing_jumps(opened: Callable[..., Opened]) -> None:
    tab = opened(width=390)
    boxes = "all => all.map(one => one.getBoundingClientRect().toJSON())"
    parts = tab.page.locator(".connectivity, .sheet, .caption, .line, .legend")
    tab.sheet().focus()
    before = parts.evaluate_all(boxes)
    for position in (0, 6, *UNKNOWN[:2], len(TEXT) - 1):
        tab.sheet().press("Home")
        for _ in range(position):
            tab.sheet().press("ArrowRight")
        tab.at(position)
        assert parts.evaluate_all(boxes) == before
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_word_longer_than_a_line_is_broken(opened: Callable[..., Opened]) -> None:
    tab = opened("text=long", width=390)
    sheet = tab.sheet()
    box = sheet.bounding_box()
    assert box is not None
    size = sheet.evaluate("sheet => parseFloat(getComputedStyle(sheet).fontSize)")
    assert box["height"] >= 8 * size  # 309 characters of 10 pixels in 350
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sheet.press("End")
    expect(sheet).to_have_attribute("aria-valuetext", re.compile("^character 309 of 309;"))


def test_a_tap_pins(opened: Callable[..., Opened]) -> None:
    tab = opened(width=390, touch=True)
    x, y = tab.spot(6)
    tab.sheet().tap(position={"x": x, "y": y})
    tab.at(6, "two", pinned=True)
    tab.told("one 6 True")
    tab.sheet().tap(position={"x": x, "y": y})
    tab.at(6, "two")


def test_a_file_of_its_own_works_offline(browser: Browser, tmp_path: Path) -> None:
    values = np.tril(np.ones((4, 4)))
    steps = ((("at", 0.5), ("a", 0.25)),) * 4
    text = ConnectedText("GRU", " at ", ("at",) * 4, steps, ("at",) * 4, Connectivity.of(values, "one-hot", (0,) * 4))
    data = connectivity_data(text, TextView(1, True), group="g", controls=True, start_id="a")
    path = tmp_path / "memorization.html"
    path.write_text(standalone_html("connectivity", data, title="t", note="n", theme=LIGHT), "utf-8")
    context = browser.new_context(offline=True)
    problems: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("^character 2 of 4, pinned"))
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".where")).to_have_text("4 of 4")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    context.close()
    assert problems == []


def shade(share: float) -> str:
    """The colour of a share of the row's largest influence, which travels in 255ths; channels are rounded half up."""
    place = round(share * 255) / 255 * (len(SHADES) - 1)
    at = min(int(place), len(SHADES) - 2)
    one, other = ([int(SHADES[n][c : c + 2], 16) for c in (1, 3, 5)] for n in (at, at + 1))
    mixed = (int(low + (high - low) * (place - at) + 0.5) for low, high in zip(one, other, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def saved(tab: Opened, key: str, name: str) -> bytes:
    with tab.page.expect_download(timeout=PATIENCE) as waiting:
        tab.panel(key).get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()
