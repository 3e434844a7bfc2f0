"""The Memorization page in a real browser: linked panels, pins, sections, stopping, typing; nothing leaves here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.test_connectivity_component import PIXEL, PLACE

pytestmark = pytest.mark.browser
PATIENCE = 60_000  # milliseconds: a busy two-core machine, not a goal
READING = 240_000  # milliseconds for 1,000 characters, likewise
TEXT = "the old man looked at the sea"
FOLDED = f" {TEXT}"
TWO = "autocomplete-gru_autocomplete-transformer"
ALL = ("tanh RNN", "GRU", "LSTM", "nested LSTM", "Transformer")
LONG = (TEXT + " and ") * 32
SECTIONS = {  # and where each is drawn
    "Whole matrix": ".st-key-heatmap .js-plotly-plot .hm",
    "By distance": ".st-key-distance canvas, .st-key-distance svg",
    "Memorization score": ".st-key-memory canvas, .st-key-memory svg",
    "Accuracy": ".st-key-accuracy canvas, .st-key-accuracy svg, [data-testid=stAlertContainer]",
    "States & gates": ".st-key-units canvas, .st-key-units svg",
    "Attention beside gradient": "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg",
    "Other measures": ".st-key-measures canvas, .st-key-measures svg",
}


@dataclass
class Reader:
    """The page in a tab, and what it sent and complained about since."""

    page: Page
    frames: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    @property
    def panels(self) -> Locator:
        return self.page.locator(".connectivity")

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Text", exact=True)

    def sheet(self, network: str) -> Locator:
        return self.page.get_by_role("slider", name=f"{network}: character whose suggestion is explained", exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def spot(self, network: str, index: int) -> tuple[float, float]:
        """The middle of a character of the first line, in pixels of its sheet."""
        left, width, size = self.sheet(network).evaluate(PLACE, FOLDED[: index + 1])
        return left + width / 2, 0.8 * size

    def point(self, network: str, index: int) -> None:
        x, y = self.spot(network, index)
        self.sheet(network).hover(position={"x": x, "y": y})

    def click(self, network: str, index: int) -> None:
        x, y = self.spot(network, index)
        self.sheet(network).click(position={"x": x, "y": y})

    def shaded(self, network: str) -> list[bool]:
        """Whether there is colour behind each character."""
        spots = [self.spot(network, index)[0] for index in range(len(FOLDED))]
        return [bool(self.sheet(network).evaluate(PIXEL, [x, 2])) for x in spots]

    def at(self, position: int, *networks: str, pinned: bool = False) -> None:
        """Panels show this position, counted from 0."""
        said = re.compile(rf"^character {position + 1} of \d+{', pinned' if pinned else ''};")
        for network in networks or ("GRU", "Transformer"):
            expect(self.sheet(network)).to_have_attribute("aria-valuetext", said, timeout=PATIENCE)

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(600)  # a panel says where it is 400 ms after the last change
        state = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(state, timeout=READING)

    def wait_for_address(self, part: str) -> None:
        self.page.wait_for_function("part => location.search.includes(part)", arg=part, timeout=PATIENCE)

    def choose(self, key: str, name: str) -> None:
        self.page.locator(f".st-key-memorization-{key}").get_by_role("radio", name=name, exact=True).click()
        self.settled()

    def ask(self, text: str) -> None:
        self.box.fill(text)
        self.button("Show").click()

    def top(self, network: str) -> float:
        """Where a panel's text begins below the title, in pixels."""
        title, sheet = self.page.locator("h1").bounding_box(), self.sheet(network).bounding_box()
        assert title and sheet
        return sheet["y"] - title["y"]

    def height(self) -> float:
        """Of the first panel's letters, in pixels."""
        size: float = self.panels.first.locator(".sheet").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        return size


@pytest.fixture
def opened(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Callable[..., Reader]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Reader] = []

        def start(*, width: int = 1280, scheme: str = "light", bare: bool = False, **address: str) -> Reader:
            context = browser.new_context(
                viewport={"width": width, "height": 1000},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            stack.callback(context.close)
            tab = Reader(context.new_page())
            tabs.append(tab)
            tab.page.on("request", lambda request: requested.append(request.url))
            tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
            tab.page.on("dialog", lambda dialog: tab.complaints.append(dialog.message))
            tab.page.on("websocket", lambda socket: socket.on("framesent", lambda _: tab.frames.append(1)))
            query = {} if bare else {"networks": TWO, "text": TEXT, **address}
            tab.page.goto(f"{app_address}/memorization?{urlencode(query)}")
            drawn = tab.page.locator(".connectivity, .typing").or_(tab.page.get_by_role("alert"))
            drawn.first.wait_for(timeout=READING)
            tab.settled()
            return tab

        yield start
        assert [complaint for tab in tabs for complaint in tab.complaints] == []
        for tab in tabs:
            assert tab.page.get_by_test_id("stException").count() == 0
            assert not re.search("Traceback|should not have", tab.page.locator(".stApp").inner_text())
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == []


def test_the_first_view_has_every_network_and_a_pin_that_shows_something(opened: Callable[..., Reader]) -> None:
    tab = opened(bare=True)
    expect(tab.panels).to_have_count(len(ALL), timeout=READING)
    for network in ALL:
        expect(tab.sheet(network)).to_have_attribute("aria-valuetext", re.compile(", pinned;"), timeout=PATIENCE)
    for caption in tab.panels.locator(".caption").all():
        expect(caption).to_contain_text("pinned: influence of each character on")  # its word is in the vocabulary
    expect(tab.button("Play")).to_have_count(1)  # one transport for all
    expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_pointing_shades_every_panel_and_a_click_pins(opened: Callable[..., Reader]) -> None:
    tab = opened(section="measures")
    expect(tab.page.get_by_text("Pin a character in the text above")).to_be_visible(timeout=PATIENCE)
    frames = len(tab.frames)
    for pointed, position in (("GRU", 6), ("Transformer", 16)):
        tab.point(pointed, position)
        tab.at(position)
        for network in ("GRU", "Transformer"):
            assert tab.shaded(network) == [index <= position for index in range(len(FOLDED))]
    assert len(tab.frames) == frames and "position" not in tab.address  # Python was not asked
    tab.click("Transformer", 10)
    tab.at(10, pinned=True)
    tab.wait_for_address("position=11")
    expect(tab.page.get_by_text("What the logit of man rests on.")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    tab.point("GRU", 3)
    tab.at(10, pinned=True)
    said = re.compile(r"^influence of “.?e.?” at 4 on “.?man.?” at 11: (<?\d+ %) of the row's largest$")
    expect(tab.panels.first.locator(".caption")).to_have_text(said)
    tab.page.keyboard.press("ArrowRight")  # the panel that was clicked has the focus
    tab.at(11, pinned=True)
    tab.page.keyboard.press("Shift+ArrowRight")
    tab.at(12, pinned=True)
    expect(tab.page.get_by_text("What the logit of looked rests on.")).to_be_visible(timeout=PATIENCE)
    tab.wait_for_address("position=13")
    tab.click("GRU", 12)
    tab.page.wait_for_function("!location.search.includes('position')", timeout=PATIENCE)
    expect(tab.page.get_by_text("Pin a character in the text above")).to_be_visible(timeout=PATIENCE)


def test_playing_goes_through_all_panels_and_pauses(opened: Callable[..., Reader]) -> None:
    tab = opened(text=f"{TEXT} and {TEXT}", position="3")
    tab.page.get_by_label("Speed").select_option("0.5")
    tab.sheet("Transformer").focus()
    tab.page.keyboard.press("Space")
    for network in ("GRU", "Transformer"):
        expect(tab.sheet(network)).not_to_have_attribute("aria-valuenow", "3", timeout=PATIENCE)
    expect(tab.button("Pause")).to_be_visible()
    tab.page.keyboard.press("Space")
    expect(tab.button("Play")).to_be_visible()
    tab.settled()
    where = [tab.sheet(network).get_attribute("aria-valuenow") or "" for network in ("GRU", "Transformer")]
    assert where[0] == where[1] == tab.address["position"] and 3 < int(where[0]) < 2 * len(FOLDED)
    tab.button("Play").click()
    tab.button("Pause").click()
    expect(tab.button("Play")).to_be_visible()


def test_networks_and_sections_come_and_go_and_panels_stay(opened: Callable[..., Reader]) -> None:
    tab = opened(position="11")
    mark, marked = "sheet => (sheet.seen = true)", "sheet => sheet.seen === true"
    for network in ("GRU", "Transformer"):
        tab.sheet(network).evaluate(mark)
    place = tab.top("Transformer")
    tab.choose("section", "Memorization score")
    assert tab.address["section"] == "memory"
    tab.choose("section", "Whole matrix")
    tab.choose("network", "Transformer")
    expect(tab.page.locator(".st-key-heatmap .gtitle")).to_contain_text("Transformer", timeout=PATIENCE)
    assert tab.top("Transformer") == place
    assert all(tab.sheet(network).evaluate(marked) for network in ("GRU", "Transformer"))  # the same elements
    pills = tab.page.locator(".st-key-memorization-networks")
    pills.get_by_text("tanh RNN", exact=True).click()
    expect(tab.panels).to_have_count(3, timeout=PATIENCE)
    tab.at(10, "tanh RNN", "GRU", "Transformer", pinned=True)
    tab.settled()
    assert "autocomplete-rnn@" in tab.address["networks"]
    pills.get_by_text("Transformer", exact=True).click()
    expect(tab.panels).to_have_count(2, timeout=PATIENCE)
    tab.at(10, "tanh RNN", "GRU", pinned=True)
    tab.settled()
    assert "transformer" not in tab.address["networks"] and tab.address["position"] == "11"
    expect(tab.button("Play")).to_have_count(1)


def test_examples_strange_characters_and_texts_that_cannot_be_read(opened: Callable[..., Reader]) -> None:
    tab = opened(position="11")
    tab.button("Examples").click()
    tab.button("A word out of its letters").click()
    expect(tab.box).to_have_value(re.compile("days of his youth"), timeout=PATIENCE)
    tab.settled()
    assert tab.address["text"].endswith("days of his youth") and "position" not in tab.address
    tab.page.keyboard.press("Escape")
    tab.ask("The <b>séa</b> № 5\nand **on**")
    folded = tab.page.get_by_text("The networks read a to z and the space. Folded:")
    expect(folded).to_contain_text("é → e", timeout=PATIENCE)
    expect(folded).to_contain_text("5 → space")
    expect(folded).to_contain_text("* → space (4 times)")
    expect(tab.page.locator("[data-testid=stMain] b")).to_have_count(0)
    tab.settled()
    for text, message in (
        ("x" * 100_000, "100,000 characters"),
        ("a" * 1_001, "Shorten it"),
        ("12345", "letters a to z"),
        ("", "Type at least one letter"),
    ):
        tab.ask(text)
        expect(tab.page.get_by_role("alert")).to_contain_text(message, timeout=PATIENCE)
        expect(tab.panels).to_have_count(0, timeout=PATIENCE)
        tab.settled()
    tab.ask(TEXT)
    expect(tab.panels).to_have_count(2, timeout=PATIENCE)


def test_a_long_reading_can_be_stopped_and_gone_on_with(opened: Callable[..., Reader]) -> None:
    tab = opened(networks="autocomplete-rnn_autocomplete-lstm")
    expect(tab.panels).to_have_count(2)
    tab.ask(LONG[:1_000].strip())
    tab.page.get_by_text("Characters read by LSTM").wait_for(timeout=READING)
    stop = tab.page.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True)  # not Streamlit's own
    stop.click()
    expect(tab.page.get_by_text("Stopped. Not read: LSTM.")).to_be_visible(timeout=PATIENCE)
    expect(tab.panels).to_have_count(1, timeout=PATIENCE)
    expect(tab.sheet("tanh RNN")).to_have_attribute("aria-valuemax", re.compile("^9|^1,?0"))
    tab.settled()
    expect(stop).to_have_count(0)
    tab.choose("section", "By distance")  # which reads nothing
    expect(tab.page.get_by_text("Stopped. Not read: LSTM.")).to_be_visible()
    tab.button("Go on").click()
    expect(tab.sheet("LSTM")).to_be_visible(timeout=READING)
    tab.settled()
    expect(tab.panels).to_have_count(2)
    expect(tab.page.get_by_text("Stopped.")).to_have_count(0)


def test_typing_is_suggested_to_with_every_letter(opened: Callable[..., Reader]) -> None:
    tab = opened(doing="type", text="the old m")
    box = tab.page.get_by_role("textbox", name="Your text")
    expect(box).to_have_value("the old m", timeout=PATIENCE)
    words = tab.page.locator(".typing .network").first.get_by_role("button")
    read = tab.page.locator(".typing .strip").first
    expect(words).to_have_count(3, timeout=PATIENCE)
    seen = [words.all_text_contents()]
    box.press("End")
    for letters in ("a", "n ", "l", "o"):
        box.press_sequentially(letters)
        typed = "the old " + "".join(("m", "a", "n ", "l", "o")[: len(seen) + 1])
        expect(read).to_have_attribute("aria-label", re.compile(rf"Text read: +{typed}$"), timeout=PATIENCE)
        seen.append(words.all_text_contents())
    assert len({tuple(said) for said in seen}) == len(seen)
    tab.settled()
    assert tab.address["text"] == "the old man " and tab.address["doing"] == "type"  # whole words
    first = words.first.locator(".word").text_content() or ""
    words.first.click()
    expect(box).to_have_value(f"the old man {first} ", timeout=PATIENCE)
    expect(read).to_have_attribute("aria-label", re.compile(rf"the old man {first} $"), timeout=PATIENCE)
    expect(box).to_be_focused()
    box.press_sequentially("é")
    expect(tab.page.locator(".typing .changes")).to_contain_text("é → e", timeout=PATIENCE)
    tab.settled()
    tab.choose("doing", "Read a text")
    expect(tab.box).to_have_value(f"the old man {first} é", timeout=PATIENCE)
    expect(tab.panels).to_have_count(2, timeout=PATIENCE)
    tab.ask(TEXT)
    expect(tab.sheet("GRU")).to_have_attribute("aria-valuemax", str(len(FOLDED)), timeout=PATIENCE)
    tab.settled()
    tab.choose("doing", "Type along")
    expect(box).to_have_value(TEXT, timeout=PATIENCE)  # what was typed before is forgotten


def test_a_run_in_the_articles_layout_is_one_more_panel(opened: Callable[..., Reader], tmp_path: Path) -> None:
    rows = [
        {
            "char": letter,
            "target": "cat",
            "predict": ["cat", "<img src=x onerror=alert(1)>", "can"],
            "probability": [0.5, 0.25, 0.125],
            "connectivity": [(other + 1) ** 2 if other <= place else 0 for other in range(4)],
        }
        for place, letter in enumerate(" cat")
    ]
    good, bad = tmp_path / "connectivity_gru.json", tmp_path / "bad.json"
    good.write_text(json.dumps(rows), "utf-8")
    bad.write_text("[1]", "utf-8")
    tab = opened(position="11")
    tab.button("The article's run").click()
    tab.page.locator("input[type=file]").first.set_input_files([good, bad])
    expect(tab.page.get_by_role("alert")).to_contain_text("bad.json: Row 1", timeout=PATIENCE)
    expect(tab.panels).to_have_count(3, timeout=PATIENCE)
    tab.page.keyboard.press("Escape")
    tab.settled()
    theirs = tab.sheet("GRU, the article's")
    theirs.focus()
    tab.page.keyboard.press("End")
    tab.at(3, "GRU, the article's")
    said = theirs.get_attribute("aria-valuetext") or ""
    assert "the word is cat" in said and "25 %" in said and "onerror" in said
    tab.at(10, pinned=True)  # a text of its own moves by itself
    tab.settled()
    assert tab.address["position"] == "11"


def test_reloading_brings_everything_back(opened: Callable[..., Reader]) -> None:
    tab = opened()
    tab.choose("section", "Other measures")
    tab.choose("baseline", "The mean of all characters")
    tab.choose("network", "Transformer")
    tab.choose("mode", "squared")
    tab.click("GRU", 17)
    tab.at(17, pinned=True)
    tab.wait_for_address("position=18")
    expect(tab.page.get_by_text("What the logit of looked rests on.")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    address = tab.address
    assert (address["section"], address["baseline"], address["mode"]) == ("measures", "mean", "squared")
    said = [tab.sheet(network).get_attribute("aria-valuetext") for network in ("GRU", "Transformer")]
    tab.page.reload()
    for network, text in zip(("GRU", "Transformer"), said, strict=True):
        expect(tab.sheet(network)).to_have_attribute("aria-valuetext", text or "", timeout=READING)
    expect(tab.page.get_by_text("What the logit of looked rests on.")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert tab.address == address and tab.page.get_by_role("alert").count() == 0
    small = tab.height()
    tab.page.get_by_text("Presenter", exact=True).click()
    expect(tab.button("Examples")).to_have_count(0, timeout=PATIENCE)
    tab.settled()
    assert tab.height() > 1.2 * small and tab.address["presenter"] == "1"
    expect(tab.page.get_by_role("button", name="Save & share")).to_have_count(0)
    tab.at(17, pinned=True)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_section_fits_the_screen_and_its_colours(opened: Callable[..., Reader], width: int, scheme: str) -> None:
    tab = opened(width=width, scheme=scheme, position="11")
    over = """() => Math.max(...[...document.querySelectorAll('[data-testid=stMain], .stMainBlockContainer')]
        .map((e) => e.scrollWidth - e.clientWidth))"""
    for section, drawn in SECTIONS.items():
        tab.choose("section", section)
        expect(tab.page.locator(drawn).first).to_be_visible(timeout=PATIENCE)
        assert tab.page.evaluate(over) <= 1, section  # half pixels are rounded
    assert set(tab.panels.evaluate_all("all => all.map((panel) => panel.dataset.theme)")) == {scheme}
    tab.choose("doing", "Type along")
    expect(tab.page.locator(".typing .network")).to_have_count(2, timeout=PATIENCE)
    assert tab.page.evaluate(over) <= 0
