"""The Coreference page in a real browser: pairs, marks, heads, interventions, many sentences; nothing leaves here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
TIRED = "The animal didn't cross the street because it was too tired."
WIDE = TIRED.replace("tired", "wide")
PAIR = {"first": TIRED, "second": WIDE}


@dataclass
class Lab:
    """The page in a tab, and what it complained about since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def box(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=f"{name} sentence")

    @property
    def verdict(self) -> Locator:
        return self.page.locator(".st-key-verdict")

    @property
    def readout(self) -> Locator:
        return self.page.locator(".st-key-matrix .readout:not(.ghost)")

    def word(self, text: int, index: int) -> Locator:
        """A word of the four texts: sentence, translation, sentence, translation."""
        return self.page.locator(".st-key-marks .text").nth(text).locator(".word").nth(index)

    def lines(self, number: int) -> Locator:
        return self.page.locator(f".st-key-lines-{number} .lines")

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(400)
        state = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(state, timeout=PATIENCE)

    def choose(self, key: str, name: str) -> None:
        self.page.locator(f".st-key-lab-{key}").get_by_role("radio", name=name, exact=True).click()
        self.settled()

    def pick(self, sheet: int, layer: int, head: int) -> None:
        """Click a head's cell, layer and head counted from 1."""
        grid = self.page.locator(".st-key-matrix").get_by_role("grid").nth(sheet)
        grid.scroll_into_view_if_needed()
        box = grid.bounding_box()
        assert box is not None
        layers = int(grid.get_attribute("aria-rowcount") or 0)
        grid.click(position={"x": (head - 0.5) * box["width"] / 8, "y": (layer - 0.5) * box["height"] / layers})
        self.page.mouse.move(2, 2)
        self.settled()

    def saved(self, button: str, folder: Path) -> str:
        """The text of the file that a button saves."""
        with self.page.expect_download(timeout=PATIENCE) as download:
            self.page.get_by_role("button", name=button, exact=True).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path.read_text("utf-8")


@pytest.fixture
def opened(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Callable[..., Lab]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Lab] = []

        def start(*, width: int = 1280, scheme: str = "light", url: str = "", **address: str) -> Lab:
            context = browser.new_context(
                viewport={"width": width, "height": 1000},
                color_scheme=scheme,  # type: ignore[arg-type]
                accept_downloads=True,
            )
            stack.callback(context.close)
            lab = Lab(context.new_page())
            tabs.append(lab)
            lab.page.on("request", lambda request: requested.append(request.url))
            lab.page.on("pageerror", lambda error: lab.complaints.append(str(error)))
            lab.page.on("dialog", lambda dialog: lab.complaints.append(dialog.message))
            lab.page.goto(url or f"{app_address}/coreference?{urlencode({**PAIR, **address})}")
            lab.page.locator(".st-key-marks .word").first.wait_for(timeout=PATIENCE)
            lab.page.get_by_role("button", name="Save & share").or_(
                lab.page.locator(".st-key-lab-presenter input:checked")
            ).first.wait_for(state="attached", timeout=PATIENCE)
            lab.settled()
            return lab

        yield start
        assert [complaint for lab in tabs for complaint in lab.complaints] == []
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == []


def test_from_a_pair_over_a_mark_to_a_head_and_back_by_reloading(opened: Callable[..., Lab]) -> None:
    lab = opened()
    pairs = lab.page.get_by_role("combobox", name="Pairs")
    pairs.click()
    pairs.press_sequentially("trophy")
    pairs.press("Enter")
    expect(lab.box("First")).to_have_value(re.compile("trophy"), timeout=PATIENCE)
    expect(lab.verdict).to_contain_text("trophy", timeout=PATIENCE)
    lab.settled()
    assert "trophy" in lab.address["first"] and "marks" not in lab.address
    before = lab.readout.text_content()
    candidate = lab.page.locator(".st-key-marks").get_by_role("radio", name="Candidate A")
    candidate.click()
    lab.word(0, 0).click()  # "The" becomes part of candidate A
    expect(lab.word(0, 0)).to_have_attribute("aria-label", "The, Candidate A")
    lab.page.wait_for_function("location.search.includes('marks=')", timeout=PATIENCE)
    lab.settled()
    assert re.fullmatch(r"\d+-1\.2-\d+", lab.address["marks"])
    expect(lab.word(0, 0)).to_have_attribute("aria-label", "The, Candidate A")  # the answer took nothing back
    assert lab.readout.text_content() != before
    lab.pick(2, 3, 4)
    assert lab.address["head"] == "cross.3.4"
    expect(lab.page.get_by_role("heading", name="Output → source, layer 3, head 4")).to_be_visible(timeout=PATIENCE)
    expect(lab.readout).to_contain_text("Picked: Output → source · layer 3, head 4")
    address, said = lab.address, lab.readout.text_content() or ""
    lab.page.reload()
    expect(lab.readout).to_have_text(said, timeout=PATIENCE)
    lab.settled()
    assert lab.address == address
    expect(lab.word(0, 0)).to_have_attribute("aria-label", "The, Candidate A")
    assert lab.page.get_by_role("alert").count() == 0


def test_a_head_s_lines_difference_and_value_weighted_norms(opened: Callable[..., Lab]) -> None:
    lab = opened()
    lab.pick(0, 2, 6)
    for number, noun in ((1, "animal"), (2, "street")):
        expect(lab.lines(number).get_by_role("status")).to_contain_text(f"it looks at {noun}", timeout=PATIENCE)
    title = lab.page.locator(".st-key-heatmap .gtitle")
    expect(title).to_contain_text("layer 2, head 6, first sentence − layer 2, head 6, second sentence")
    raw = lab.page.locator(".st-key-heatmap .heatmaplayer").inner_html()
    lab.choose("weights", "Value-weighted")
    assert lab.address["weights"] == "value"
    expect(lab.page.get_by_text("Value-weighted maps, rows divided by their sums.")).to_be_visible(timeout=PATIENCE)
    assert lab.page.locator(".st-key-heatmap .heatmaplayer").inner_html() != raw
    lab.choose("shown", "Second sentence")
    expect(lab.readout).to_contain_text("Preference: animal − street", timeout=PATIENCE)
    lab.choose("section", "Beyond weights")
    rows = lab.page.locator(".st-key-measures-1 .ytick")
    expect(rows).to_have_count(5, timeout=PATIENCE)
    expect(lab.page.locator(".st-key-agreement-2 .hm")).to_be_visible(timeout=PATIENCE)
    numbers = lab.page.locator(".st-key-measures-1 .heatmap-label, .st-key-measures-1 .hm text")
    before = numbers.all_text_contents()
    lab.page.locator(".st-key-lab-contrast label").first.click()
    lab.settled()
    assert lab.address["contrast"] == "1"
    assert numbers.all_text_contents() != before
    lab.choose("section", "Which heads matter")
    lab.page.go_back()
    expect(rows).to_have_count(5, timeout=PATIENCE)
    lab.settled()
    assert lab.address["section"] == "measures"


def test_heads_off_patched_and_forced_change_what_is_said(opened: Callable[..., Lab]) -> None:
    lab = opened(section="interventions", head="cross.4.8")
    cards = lab.page.locator("[data-testid=stMain] p[lang=fr]")
    expect(cards).to_have_count(4, timeout=PATIENCE)
    expect(cards.nth(0)).to_contain_text("(unchanged)")
    expect(cards.nth(2).locator("ins")).to_have_text(["qu'elle", "fatiguée."])  # all cross heads look at the street
    assert cards.nth(2).locator("del").all_text_contents() == ["qu'il", "fatigué."]
    lab.choose("by", "From the other sentence")
    assert lab.address["by"] == "other"
    lab.pick(0, 1, 7)
    expect(lab.page.get_by_role("heading", name="Encoder layer 1, head 7, and what is said without it")).to_be_visible()
    expect(cards.nth(0).locator("ins").first).to_have_text("qu'elle", timeout=PATIENCE)  # one head turns the answer
    together = lab.page.get_by_role("combobox", name="Together with")
    together.click()
    together.press_sequentially("cross layer 3, head 1")
    together.press("Enter")
    together.press("Escape")  # its list would cover what comes next
    lab.page.wait_for_function("location.search.includes('off=')", timeout=PATIENCE)
    lab.settled()
    assert lab.address["off"] == "cross.3.1"
    expect(cards).to_have_count(4)
    lab.choose("onto", "from street to animal")
    expect(cards.nth(2)).to_contain_text("(unchanged)", timeout=PATIENCE)
    assert lab.page.get_by_role("alert").count() == 0


def test_many_sentences_are_measured_saved_and_lead_to_a_head(opened: Callable[..., Lab], tmp_path: Path) -> None:
    lab = opened(section="many")
    slider = lab.page.get_by_role("slider", name="How many")
    slider.focus()
    slider.press("ArrowLeft")
    lab.settled()
    lab.page.get_by_role("button", name="Measure", exact=True).click()
    expect(lab.page.get_by_role("heading", name="50 × nouns never seen together")).to_be_visible(timeout=PATIENCE)
    expect(lab.page.get_by_text("% of 50 (95 % interval")).to_be_visible()
    expect(lab.page.locator(".st-key-matrix").get_by_role("grid")).to_have_count(2, timeout=PATIENCE)
    heads = list(csv.DictReader(io.StringIO(lab.saved("Heads, CSV", tmp_path), newline="")))
    assert len(heads) == (6 + 4) * 8
    sentences = list(csv.DictReader(io.StringIO(lab.saved("Sentences, CSV", tmp_path), newline="")))
    assert len(sentences) == 50
    lab.pick(1, 2, 3)
    assert lab.address["head"] == "cross.2.3"
    lab.choose("section", "Which heads look")
    expect(lab.page.get_by_role("heading", name="Output → source, layer 2, head 3")).to_be_visible(timeout=PATIENCE)
    lab.choose("section", "Over many sentences")
    expect(lab.page.get_by_role("heading", name="50 × nouns never seen together")).to_be_visible(timeout=PATIENCE)


def test_a_head_is_picked_and_a_word_marked_by_keyboard_alone(opened: Callable[..., Lab]) -> None:
    lab = opened()
    keys, inside = lab.page.keyboard, "document.activeElement?.shadowRoot?.activeElement?.%s ?? ''"
    lab.box("Second").focus()
    for wanted in ("className.split(' ')[0]", "getAttribute('role')"):
        for _ in range(60):
            keys.press("Tab")
            here = lab.page.evaluate(inside % wanted)
            if here in ("word", "grid"):
                break
        else:
            pytest.fail("Tab never got there")
        if here == "word":
            keys.press("2")
            keys.press("Enter")
            expect(lab.word(0, 0)).to_have_attribute("aria-label", "The, Candidate A")
            lab.page.wait_for_function("location.search.includes('marks=')", timeout=PATIENCE)
            lab.settled()
            assert lab.page.evaluate(inside % "className").startswith("word")  # the focus stays
    keys.press("Control+Home")
    keys.press("ArrowDown")
    keys.press("ArrowRight")
    keys.press("Enter")
    lab.page.wait_for_function("location.search.includes('head=')", timeout=PATIENCE)
    lab.settled()
    assert lab.address["head"] == "encoder.2.2"
    assert lab.page.evaluate(inside % "getAttribute('role')") == "grid"
    expect(lab.page.get_by_role("heading", name="Source → source, layer 2, head 2")).to_be_visible(timeout=PATIENCE)


def test_the_link_opens_the_same_view_in_another_window(opened: Callable[..., Lab]) -> None:
    lab = opened(section="interventions", head="cross.3.1", by="mean", sentence="second", marks="8-1.2-6")
    lab.page.get_by_role("button", name="Save & share").click()
    link = lab.page.locator("[data-testid=stCode] code").text_content() or ""
    assert link.split("?")[0] == lab.page.url.split("?")[0]
    said = lab.readout.text_content() or ""
    other = opened(url=link)
    expect(other.readout).to_have_text(said, timeout=PATIENCE)
    assert other.address == lab.address


def test_markup_in_a_sentence_is_shown_and_never_run(opened: Callable[..., Lab]) -> None:
    odd = "The <img src=x onerror=alert(1)> dog saw the **cat** because <b>it</b> was tired."
    lab = opened(first=odd)
    expect(lab.page.locator(".st-key-marks .text").nth(0)).to_contain_text("onerror")
    assert lab.page.locator("[data-testid=stMain] img[src=x]").count() == 0
    lab.box("First").fill("")
    lab.page.get_by_role("button", name="Compare", exact=True).click()
    expect(lab.page.get_by_role("alert")).to_contain_text("First sentence: There is no text yet", timeout=PATIENCE)
    expect(lab.page.locator(".st-key-marks .word")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1920, "light")])
def test_every_section_fits_the_screen_and_its_colours(opened: Callable[..., Lab], width: int, scheme: str) -> None:
    lab = opened(width=width, scheme=scheme, **({"presenter": "1"} if width == 1920 else {}))
    for section, drawn in (
        ("Which heads look", ".st-key-heatmap .hm"),
        ("Beyond weights", ".st-key-agreement-2 .hm"),
        ("Which heads matter", ".st-key-matrix canvas"),
        ("Over many sentences", ".st-key-lab-source"),
    ):
        lab.choose("section", section)
        expect(lab.page.locator(drawn).first).to_be_visible(timeout=PATIENCE)
        over = lab.page.evaluate(
            """() => [...document.querySelectorAll('[data-testid=stMain], .stMainBlockContainer')]
                .map((e) => e.scrollWidth - e.clientWidth)"""
        )
        assert max(over) <= 0
        cells = lab.page.evaluate(  # columns of a figure that are too narrow for a number lie upon each other
            """() => [...document.querySelectorAll('.js-plotly-plot')].map((plot) =>
                plot.querySelector('.hm').getBoundingClientRect().width / plot.querySelectorAll('.xtick').length)"""
        )
        assert all(cell >= 22 for cell in cells)
    font = "word => parseFloat(getComputedStyle(word).fontSize)"
    assert (lab.page.locator(".st-key-marks .word").first.evaluate(font) > 25) == (width == 1920)
    background = lab.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 600) == (scheme == "light")
    assert lab.page.locator(".st-key-marks .marks").get_attribute("data-theme") == scheme
