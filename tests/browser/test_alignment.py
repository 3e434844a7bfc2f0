"""The Alignment page in a real browser: linked panels, pins, gold links, steps, sections; nothing leaves here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from engine.catalogue import MODELS
from engine.gold_links import shipped_pairs
from pages._align import TEXT_ASKED, all_cards, name_of

pytestmark = pytest.mark.browser
PATIENCE = 90_000  # milliseconds: a busy two-core machine, not a goal
READING = 240_000  # milliseconds for five models and their traces, likewise
TEXT = "I am very tired."
ALL = [name_of(card) for card in all_cards()]
NONE, DOT, TRANSFORMER = (name_of(MODELS[name]) for name in ("en-fr-rnn-none", "en-fr-rnn-dot", "en-fr"))
THREE = "en-fr-rnn-none_en-fr-rnn-dot_en-fr"
SECTIONS = {  # and where each is drawn
    "Step by step": ".st-key-steps .figure canvas",
    "Encoder states": ".st-key-encoder canvas, .st-key-encoder svg",
    "Where the thread is lost": ".st-key-thread canvas, .st-key-thread svg",
    "Quality by length": ".st-key-lengths canvas, .st-key-lengths svg, [data-testid=stAlertContainer]",
    "Alignment quality": "[data-testid=stTable], [data-testid=stAlertContainer]",
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
        return self.page.locator(".alignments .panel")

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="English", exact=True)

    @property
    def said(self) -> Locator:
        """The line of text above the panels."""
        return self.page.locator(".alignments .readout")

    @property
    def step(self) -> Locator:
        return self.page.locator(".steps .status strong")

    def panel(self, model: str) -> Locator:
        return self.page.get_by_role("group", name=model, exact=True)

    def part(self, model: str, name: str) -> Locator:
        """A canvas of a panel: "rows", "above", "under" or "over"."""
        return self.panel(model).locator(f"canvas.{name}:not(.marks)")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def pitch(self, model: str) -> float:
        """Pixels of a cell."""
        cells = self.panel(model).locator(".body").get_attribute("aria-label") or ""
        found = re.search(r"(\d+) output words?", cells)
        box = self.part(model, "under").bounding_box()
        assert found and box
        return box["height"] / int(found[1])

    def point(self, model: str, row: int, column: int) -> None:
        side = self.pitch(model)
        self.part(model, "under").hover(position={"x": (column + 0.5) * side, "y": (row + 0.5) * side})

    def marked(self, model: str) -> bool:
        """Whether anything is marked over a panel's map."""
        found: bool = self.part(model, "over").evaluate(
            """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
                .some((value, i) => i % 4 === 3 && value > 100)"""
        )
        return found

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(700)  # a component says where it is 400 ms after the last change
        state = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(state, timeout=READING)

    def wait_for_address(self, part: str) -> None:
        self.page.wait_for_function("part => location.search.includes(part)", arg=part, timeout=PATIENCE)

    def choose(self, key: str, name: str) -> None:
        self.page.locator(f".st-key-alignment-{key}").get_by_role("radio", name=name, exact=True).click()
        self.settled()

    def ask(self, text: str) -> None:
        self.box.fill(text)
        self.button("Translate").click()
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
    return said.type == "error" and "/alignment/_stcore/" not in said.location["url"]


@pytest.fixture
def opened(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Callable[..., Reader]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Reader] = []

        def start(*, width: int = 1280, scheme: str = "light", bare: bool = False, **address: str) -> Reader:
            context = browser.new_context(
                viewport={"width": width, "height": 1000},
                color_scheme=scheme,  # type: ignore[arg-type]
                accept_downloads=True,
            )
            stack.callback(context.close)
            tab = Reader(context.new_page())
            tabs.append(tab)
            tab.page.set_default_timeout(PATIENCE)
            tab.page.on("request", lambda request: requested.append(request.url))
            tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
            tab.page.on("console", lambda said: tab.complaints.append(said.text) if complains(said) else None)
            tab.page.on("dialog", lambda dialog: tab.complaints.append(dialog.message))
            tab.page.on("websocket", lambda socket: socket.on("framesent", lambda _: tab.frames.append(1)))
            query = {} if bare else {"models": THREE, "text": TEXT, **address}
            if "pair" in query:
                del query["text"]
            tab.page.goto(f"{app_address}/alignment?{urlencode(query)}", timeout=READING)
            tab.panels.or_(tab.page.get_by_role("alert")).first.wait_for(timeout=READING)
            tab.settled()
            return tab

        yield start
        assert [complaint for tab in tabs for complaint in tab.complaints] == []
        for tab in tabs:
            assert tab.page.get_by_test_id("stException").count() == 0
            assert not re.search("Traceback|should not have", tab.page.locator(".stApp").inner_text())
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == []


def test_the_first_view_paints_a_panel_for_each_model(opened: Callable[..., Reader]) -> None:
    tab = opened(bare=True)
    expect(tab.panels).to_have_count(len(ALL))
    for model in ALL:
        expect(tab.panel(model).get_by_role("heading", name=model, exact=True)).to_be_visible()
        colours = tab.part(model, "under").evaluate(
            """canvas => new Set(new Uint32Array(
                canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
        )
        assert colours > 2, model  # shades, or the words that say that there is no attention
    expect(tab.box).to_have_value(TEXT_ASKED)
    expect(tab.page.get_by_role("alert")).to_have_count(0)
    expect(tab.step).to_contain_text("step 1 of ", timeout=PATIENCE)
    assert tab.overflow() <= 0


def test_pointing_links_the_panels_without_asking_python(opened: Callable[..., Reader]) -> None:
    tab = opened(outputs="common")
    frames = len(tab.frames)
    for model, row, column in ((DOT, 1, 0), (TRANSFORMER, 0, 2), (DOT, 2, 3)):
        tab.point(model, row, column)
        expect(tab.said).to_contain_text(f"{model} · output word")
        assert tab.marked(DOT) and tab.marked(TRANSFORMER)
        other = TRANSFORMER if model == DOT else DOT
        expect(tab.page.locator(".alignments .tip")).to_contain_text(other)
    tab.page.mouse.move(2, 990)
    expect(tab.said).to_contain_text("Point at a word")
    assert not tab.marked(DOT) and not tab.marked(TRANSFORMER)
    tab.page.wait_for_timeout(700)
    assert len(tab.frames) == frames and not {"row", "source", "panel"} & set(tab.address)


def test_a_pin_is_in_the_address_and_survives_reloading(opened: Callable[..., Reader]) -> None:
    tab = opened()
    tab.point(TRANSFORMER, 1, 2)
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.page.mouse.move(2, 990)
    expect(tab.said).to_contain_text(f"Pinned: {TRANSFORMER} · output word")
    tab.wait_for_address("row=2")
    tab.settled()
    assert (tab.address["source"], tab.address["row"], tab.address["panel"]) == ("3", "2", "en-fr")
    said = tab.said.text_content() or ""
    tab.page.reload()
    expect(tab.said).to_have_text(said, timeout=READING)
    tab.settled()
    tab.choose("view", "Lines")
    expect(tab.said).to_have_text(said)
    pills = tab.page.locator(".st-key-alignment-models")
    pills.get_by_text(DOT, exact=True).click()  # another panel goes: the pin stays with its model
    expect(tab.panels).to_have_count(2)
    tab.settled()
    expect(tab.said).to_contain_text(f"Pinned: {TRANSFORMER} · output word")
    tab.button("Clear pin").click()
    tab.page.wait_for_function("!location.search.includes('row=')", timeout=PATIENCE)
    tab.settled()
    tab.ask("She reads a book.")
    expect(tab.said).to_contain_text("Point at a word")


def test_sections_are_switched_and_panels_stay_as_they_are(opened: Callable[..., Reader]) -> None:
    tab = opened(row="2", panel="en-fr-rnn-dot")
    marked = tab.part(DOT, "under")
    marked.evaluate("canvas => (canvas.seen = true)")
    for section, drawn in SECTIONS.items():
        tab.choose("section", section)
        expect(tab.page.locator(drawn).first).to_be_visible()
        assert marked.evaluate("canvas => canvas.seen === true"), section  # the same element
    assert tab.address["section"] == "quality" and tab.address["row"] == "2"
    expect(tab.said).to_contain_text(f"Pinned: {DOT} · output word")
    tab.choose("section", "Encoder states")
    tab.choose("direction", "← Backwards")
    expect(tab.page.locator(".st-key-heatmap .gtitle")).to_contain_text("encoder layer 1")
    tab.choose("depth", "2")
    expect(tab.page.locator(".st-key-heatmap .gtitle")).to_contain_text("encoder layer 2")


def test_the_steps_are_gone_through_by_keyboard_and_remembered(opened: Callable[..., Reader]) -> None:
    tab = opened()
    tab.choose("network", DOT)
    figure = tab.page.locator(".steps .figure")
    figure.focus()
    for key, step in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        tab.page.keyboard.press(key)
        expect(tab.step).to_have_text(re.compile(f"^step {step} of "))
    tab.wait_for_address("step=2")
    tab.settled()
    expect(figure).to_be_focused()
    tab.page.keyboard.press("End")
    expect(tab.step).to_contain_text("predicts “</s>”")
    tab.page.keyboard.press("Home")
    expect(tab.step).to_have_text(re.compile("^step 1 of .*reads “<s>”"))
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_address("step=2")
    tab.settled()
    tab.choose("network", NONE)
    expect(tab.step).to_have_text(re.compile("^step 2 of "))
    tab.page.reload()
    expect(tab.step).to_have_text(re.compile("^step 2 of "), timeout=READING)
    tab.settled()
    assert tab.address["network"] == "en-fr-rnn-none"


def test_gold_links_lie_over_every_map_until_another_sentence_comes(opened: Callable[..., Reader]) -> None:
    tab = opened(pair="1")
    legend = tab.page.get_by_role("img", name=re.compile("^Legend: .*gold link"))
    expect(legend).to_be_visible()
    pair = shipped_pairs()[0]
    linked = len({target for _, target in pair.possible})
    for model in (DOT, TRANSFORMER):
        expect(tab.panel(model).locator(".notes")).to_contain_text(f"of {linked} linked words look most at a gold word")
        label = tab.panel(model).locator(".body").get_attribute("aria-label") or ""
        assert f"{len(pair.target)} output words × {len(pair.source)} source words" in label
    expect(tab.page.locator(".alignments .compared")).to_contain_text("so that rows can be compared")
    tab.ask(TEXT)
    expect(legend).to_have_count(0)
    assert tab.address["text"] == TEXT and "pair" not in tab.address
    tab.button("Sentences with gold links").click()
    tab.button("Do you know why the small shops close so early?").click()
    expect(legend).to_be_visible()
    tab.settled()
    assert tab.address["pair"] == "4" and "text" not in tab.address


def test_pairs_of_one_s_own_are_read_and_their_words_stay_text(opened: Callable[..., Reader], tmp_path: Path) -> None:
    good, bad = tmp_path / "pairs.tsv", tmp_path / "bad.tsv"
    good.write_text("The <img/src=x/onerror=alert(1)> sleeps .\tLe <b>chat</b> dort .\t0-0 1p1 2-2 3-3\n", "utf-8")
    bad.write_text("The cat\tLe chat\tnothing\n", "utf-8")
    tab = opened()
    tab.button("Sentences with gold links").click()
    files = tab.page.locator("input[type=file]").first
    files.set_input_files(bad)
    expect(tab.page.get_by_role("alert")).to_contain_text("'nothing' is no link")
    tab.settled()
    files.set_input_files(good)
    own = tab.page.locator(".st-key-align-own-0").get_by_role("button")
    expect(own).to_contain_text("onerror=alert(1)")
    own.click()
    expect(tab.page.get_by_role("img", name=re.compile("^Legend: .*gold link"))).to_be_visible()
    tab.settled()
    assert tab.page.locator(".alignments img, .alignments b, [data-testid=stMain] img[src=x]").count() == 0


def test_one_output_is_forced_on_all_and_corrected(opened: Callable[..., Reader]) -> None:
    tab = opened()
    compared = tab.page.locator(".alignments .compared")
    tab.choose("outputs", "One output for all")
    expect(compared).to_contain_text("so that rows can be compared")
    typed = tab.page.get_by_role("textbox", name="Forced on all models")
    typed.fill("Nous étions fatigués.")
    tab.button("Force").click()
    tab.wait_for_address("target=")
    for model in (NONE, DOT, TRANSFORMER):
        expect(tab.panel(model).locator(".body")).to_have_attribute("aria-label", re.compile("4 output words"))
    expect(tab.page.get_by_text("Log-probability of this output")).to_contain_text(f"{TRANSFORMER} −")
    typed.fill("日本語")
    tab.button("Force").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("The common translation could not be used")
    expect(tab.panels).to_have_count(3)
    expect(typed).to_have_value("日本語")
    tab.settled()
    assert "target" not in tab.address


def test_hostile_and_impossible_text(opened: Callable[..., Reader]) -> None:
    tab = opened()
    tab.ask("<img src=x onerror=alert(1)> <b>שלום</b> 🦊 **on**")
    expect(tab.panels).to_have_count(3)
    assert tab.page.locator("[data-testid=stMain] img[src=x], [data-testid=stMain] b").count() == 0
    for text, message in (
        ("x" * 10_000, "takes 128 at most"),
        ("日本語", "knows none of these characters"),
        ("", "There is no text yet"),
    ):
        tab.ask(text)
        expect(tab.page.get_by_role("alert")).to_contain_text(message)
        expect(tab.panels).to_have_count(0)
        expect(tab.box).to_have_value(text)
    tab.ask(TEXT)
    expect(tab.panels).to_have_count(3)
    expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_the_saved_page_works_offline(opened: Callable[..., Reader], browser: Browser, tmp_path: Path) -> None:
    tab = opened(pair="1", view="lines")
    tab.button("Save & share").click()
    with tab.page.expect_download(timeout=PATIENCE) as download:
        tab.button("Panels as a page").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    expect(page.locator(".alignments .panel")).to_have_count(3)
    expect(page.get_by_role("listbox", name=DOT)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Legend: .*gold link"))).to_be_visible()
    expect(page.get_by_text("Rows: the words said")).to_be_visible()
    context.close()


def test_the_presenter_has_larger_type_and_fewer_controls(opened: Callable[..., Reader]) -> None:
    tab = opened()
    heading = tab.panel(DOT).get_by_role("heading")
    size = "element => parseFloat(getComputedStyle(element).fontSize)"
    small = heading.evaluate(size)
    tab.page.get_by_text("Presenter", exact=True).click()
    expect(tab.button("Examples")).to_have_count(0)
    tab.settled()
    assert heading.evaluate(size) > 1.2 * small and tab.address["presenter"] == "1"
    expect(tab.button("Save & share")).to_have_count(0)
    assert tab.overflow() <= 1


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark"), (1920, "light")])
def test_every_section_fits_the_screen_and_its_colours(opened: Callable[..., Reader], width: int, scheme: str) -> None:
    tab = opened(bare=True, width=width, scheme=scheme)
    expect(tab.panels).to_have_count(len(ALL))
    for section, drawn in SECTIONS.items():
        tab.choose("section", section)
        expect(tab.page.locator(drawn).first).to_be_visible()
        assert tab.overflow() <= 1, section  # half pixels are rounded
    assert tab.page.locator(".alignments").get_attribute("data-theme") == scheme
    tab.choose("view", "Lines")
    assert tab.overflow() <= 1
