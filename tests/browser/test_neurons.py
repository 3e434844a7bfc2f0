"""The neurons in a real browser: keys by click and arrows, dimensions with their numbers, both modes, sizes, files."""

from __future__ import annotations

import re
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
import torch

from engine.models.query_key import QueryKey
from engine.neurons import HeadVectors, neurons_at
from engine.types import Tokens, TraceRequest
from viz.components.neurons import neurons, neurons_data, picked_in
from viz.theme import THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
row = int(st.radio("row", ["3", "1"], horizontal=True))
width = int(st.query_params.get("width", 4))
count = int(st.query_params.get("keys", 5))
times = int(st.query_params.get("times", 1))
labels = ("<s>", "The", "<b>x</b>", "شارع", "end", *(f"t{n}" * times for n in range(5, count)))
tokens = Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, (True,) + (False,) * (count - 1))
query = torch.zeros(1, 1, count, width)
key = torch.zeros(1, 1, count, width)
query[0, 0, :, :4] = torch.tensor([1.0, -2.0, 0.5, 4.0])
key[0, 0, :5, :4] = torch.tensor([
    [0.0, 0.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0], [4.0, 1.0, 2.0, 0.5], [-1.0, 1.0, 1.0, 0.0], [8.0, 8.0, 8.0, 8.0]
])
bias = torch.tensor([0.0, 0.5] + [0.0] * (count - 2)) if "bias" in st.query_params else None
seen = QueryKey(query, key, 0.5, causal=True, bias=bias)
request = TraceRequest("one@12345678", "", None, 0)
found = neurons_at(HeadVectors(request, "decoder", 0, 1, 1, (1,), seen, tokens, tokens), row)
taken = st.session_state.setdefault("taken", [])


def take():
    key = picked_in("neurons", found)
    if key is not None:
        taken.append(key)


scale = float(st.query_params.get("scale", 1))
neurons(neurons_data(found, theme=theme, scale=scale), key="neurons", on_change=take)
st.text(f"taken {taken}")
"""

CUT = """
window.written = [];
window.cut = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const { actualBoundingBoxLeft: left, actualBoundingBoxRight: right } = this.measureText(text);
  if (x - left < 0 || x + right > this.canvas.clientWidth) window.cut.push(text);
  window.written.push(text);
  write.call(this, text, x, y);
};
"""
"""Notes every text, and those that reach over an edge of their canvas."""

SECTION = """
import streamlit as st

from pages import _own_neurons, _shared
from pages._own import VIEW

st.set_page_config(layout="wide")
st.session_state["navigated"] = True  # this script is the whole app
VIEW.arrive(lambda view, asked: (view, []))
_own_neurons.draw(_shared.theme())
VIEW.remember()
"""


@dataclass
class Opened:
    """A page with the neurons, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def root(self) -> Locator:
        return self.page.locator(".neurons")

    @property
    def figure(self) -> Locator:
        return self.page.get_by_role("slider")

    @property
    def readout(self) -> Locator:
        return self.root.locator(".readout")

    def key(self, index: int) -> Locator:
        return self.page.get_by_role("listbox").get_by_role("option").nth(index)

    def chosen(self, index: int) -> None:
        expect(self.key(index)).to_have_attribute("aria-selected", "true")
        expect(self.page.locator(".key[aria-selected=true]")).to_have_count(1)

    def equation(self, text: str) -> None:
        expect(self.root.locator(".equation .sum")).to_have_text(text)

    def said(self, text: str) -> None:
        """Python has this, and the page's run has ended."""
        expect(self.page.get_by_text(text, exact=True)).to_be_visible(timeout=PATIENCE)
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    def save(self, name: str) -> bytes:
        with self.page.expect_download(timeout=PATIENCE) as waiting:
            self.page.get_by_role("button", name=name, exact=True).click()
        return Path(waiting.value.path()).read_bytes()


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
    """Opens the figure in a window of some width; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Opened] = []

        def start(query: str = "", width: int = 1280) -> Opened:
            context = browser.new_context(viewport={"width": width, "height": 1000})
            stack.callback(context.close)
            page = context.new_page()
            found = Opened(page)
            tabs.append(found)
            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.goto(f"{address}?{query}")
            found.key(0).wait_for(timeout=PATIENCE)
            found.said("taken []")
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_a_row_says_its_numbers(opened: Callable[..., Opened]) -> None:
    tab = opened()
    # products of the third key with the query (1, −2, 0.5, 4), halved: 2, −1, 0.5, 1
    tab.chosen(2)  # the one with the most weight
    tab.equation("Σ q⊙k × 0.500 = 2.50 = logit → softmax → weight 58.4 %")
    expect(tab.root.locator(".equation .pair")).to_have_text("\u2068شارع\u2069 looks at <b>x</b>")
    assert tab.root.locator("b").count() == 0
    expect(tab.key(1)).to_have_attribute("aria-label", "2: The, weight 35.4 %, logit 2.00")
    expect(tab.key(4)).to_have_attribute("aria-label", "5: end, weight 0 %, logit masked")
    expect(tab.root.locator(".note")).to_have_text("Masked keys: 1 of 5, this position may not look at them.")
    track, bar = (
        tab.key(1).locator(part).evaluate("part => part.getBoundingClientRect().width") for part in (".track", ".bar")
    )
    assert bar / track == pytest.approx(0.354, abs=0.02)  # of 100 %


def test_bias_and_mask_stand_in_the_sum(opened: Callable[..., Opened]) -> None:
    tab = opened("bias=1")
    tab.key(1).click()
    tab.equation("Σ q⊙k × 0.500 = 2.00, + bias 0.500 = logit 2.50 → softmax → weight 47.5 %")
    tab.key(4).click()
    tab.equation("Σ q⊙k × 0.500 = 14.0, but masked: this position may not look there → weight 0 %")


def test_a_key_is_chosen_by_click_and_keys_and_kept(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.key(0).click()
    tab.chosen(0)
    tab.said("taken [0]")
    keys = tab.page.keyboard
    for name, index in (("ArrowDown", 1), ("End", 4), ("ArrowDown", 4), ("ArrowUp", 3), ("Home", 0), ("ArrowDown", 1)):
        keys.press(name)
        tab.chosen(index)
        expect(tab.key(index)).to_be_focused()
    tab.said("taken [0, 1]")  # once they settled
    tab.page.get_by_text("dark", exact=True).click()
    expect(tab.root).to_have_attribute("data-theme", "dark")
    tab.chosen(1)  # the reader's own stays
    tab.page.locator("label", has_text="1").last.click()  # another row has another beginning
    expect(tab.page.get_by_role("listbox")).to_have_attribute("aria-label", "Keys of The")
    tab.chosen(1)
    expect(tab.key(2)).to_have_attribute("aria-label", "3: <b>x</b>, weight 0 %, logit masked")


def test_dimensions_say_their_numbers(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.figure.focus()
    expect(tab.figure).to_have_attribute("aria-valuemax", "4")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    told = "dimension 2 · q −2.00 × k 1.00 × 0.500 = −1.00 · sum so far 1.00"
    expect(tab.readout).to_have_text(told)
    expect(tab.figure).to_have_attribute("aria-valuetext", told)
    expect(tab.figure).to_have_attribute("aria-valuenow", "2")
    tab.page.keyboard.press("Escape")
    expect(tab.readout).to_have_class("readout idle")
    box = tab.figure.bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 60)
    expect(tab.readout).to_contain_text("dimension 4 · q 4.00 × k 0.500 × 0.500 = 1.00 · sum so far 2.50")


def test_the_largest_contributions_come_first(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.page.get_by_text("Sort dimensions by contribution").click()
    tab.figure.focus()
    told = []
    for _ in range(4):
        tab.page.keyboard.press("ArrowRight")
        told.append((tab.readout.text_content() or "").split(" · "))
    assert [parts[0] for parts in told] == ["dimension 1", "dimension 2", "dimension 4", "dimension 3"]
    assert [parts[2] for parts in told] == [f"sum so far {sum}" for sum in ("2.00", "1.00", "2.00", "2.50")]


def test_all_keys_stand_below_each_other(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.figure).to_be_visible()
    tab.page.get_by_role("button", name="All keys").click()
    expect(tab.figure).to_be_hidden()
    pixels = """canvas => [...canvas.getContext("2d").getImageData(0, 0, 4, 1).data]"""
    third = tab.key(2).locator("canvas.heat").evaluate(pixels)
    colours = [tuple(third[4 * n : 4 * n + 3]) for n in range(4)]
    blue, orange = (lambda c: c[2] > c[0]), (lambda c: c[0] > c[2])
    assert [blue(c) for c in colours] == [True, False, True, True] and orange(colours[1])
    assert set(tab.key(0).locator("canvas.heat").evaluate(pixels)) == {255}  # zero has the page's colour
    expect(tab.root.locator(".spark polyline")).to_have_count(5)
    tab.key(1).locator("canvas.heat").hover(position={"x": 3, "y": 5})
    expect(tab.readout).to_have_text("The · dimension 1 · q 1.00 × k 2.00 × 0.500 = 1.00 · sum so far 1.00")
    tab.key(1).click()
    tab.chosen(1)
    tab.page.get_by_role("button", name="One key").click()
    expect(tab.figure).to_be_visible()
    tab.equation("Σ q⊙k × 0.500 = 2.00 = logit → softmax → weight 35.4 %")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_it_fits_every_window(opened: Callable[..., Opened], width: int) -> None:
    tab = opened("width=128&keys=40", width)
    for mode in ("All keys", "One key"):
        tab.page.get_by_role("button", name=mode).click()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.root.evaluate("one => one.scrollWidth <= one.clientWidth")
    seen = """list => { const box = list.getBoundingClientRect();
        const key = list.querySelector("[aria-selected=true]").getBoundingClientRect();
        return key.top >= box.top - 1 && key.bottom <= box.bottom + 1; }"""
    assert tab.page.get_by_role("listbox").evaluate(seen)
    assert tab.figure.locator("canvas").evaluate("canvas => canvas.clientWidth") > 250


@pytest.mark.parametrize(
    ("scale", "width", "beside"), [(1, 390, False), (1, 900, True), (1.4, 1280, True), (2, 1280, False)]
)
def test_no_label_is_cut(opened: Callable[..., Opened], scale: float, width: int, beside: bool) -> None:
    tab = opened("width=128&keys=40", width)
    tab.page.add_init_script(CUT)
    tab.page.goto(f"{tab.page.url.split('?')[0]}?width=128&keys=40&times=9&scale={scale}")
    tab.key(0).wait_for(timeout=PATIENCE)
    tab.said("taken []")
    tab.page.add_style_tag(content=f"html {{ font-size: {100 if scale == 1 else 125}%; }}")
    tab.page.get_by_role("button", name="All keys").click()
    tab.page.evaluate("cut.length = 0")
    tab.page.get_by_role("button", name="One key").click()
    expect(tab.figure).to_be_visible()
    assert tab.page.evaluate("cut") == [] and "<b>x</b>" in tab.page.evaluate("written")
    tab.key(6).click()
    tab.chosen(6)
    assert tab.page.evaluate("cut") == []
    names = [text for text in tab.page.evaluate("written") if text.startswith("t6")]
    assert names and (scale == 2 or all(re.fullmatch("t6t6.*…", name) for name in names)), "too long for its margin"
    list_box, figure = tab.page.get_by_role("listbox").bounding_box(), tab.figure.bounding_box()
    assert list_box is not None and figure is not None
    assert (figure["x"] > list_box["x"] + 10) is beside and (figure["y"] > list_box["y"] + 100) is not beside


def test_many_keys_are_few_elements_and_the_chosen_one_is_in_view(opened: Callable[..., Opened]) -> None:
    tab = opened("keys=900&width=64")
    expect(tab.page.get_by_role("option")).to_have_count(512)
    expect(tab.root.locator(".note")).to_contain_text("512 of 900 keys: those with the most weight, together 100 %")
    assert tab.root.evaluate("one => one.querySelectorAll('*').length") < 6_000
    tab.key(0).click()
    tab.page.keyboard.press("End")
    tab.chosen(511)
    assert tab.page.get_by_role("listbox").evaluate("list => list.scrollTop") > 5_000


def test_files_show_what_is_on_the_screen(opened: Callable[..., Opened]) -> None:
    tab = opened()
    svg = ElementTree.fromstring(tab.save("SVG"))
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert texts[0] == "Decoder attention, layer 1, head 2"
    assert {"<b>x</b>", "The", "58.4 %", "masked", "q", "k", "q ⊙ k", "sum", "running", "2.50"} <= set(texts)
    assert any("Σ q⊙k × 0.500 = 2.50 = logit" in (text or "") for text in texts)
    rects = sum(element.tag.endswith("rect") for element in svg.iter())
    tab.page.get_by_role("button", name="All keys").click()
    svg = ElementTree.fromstring(tab.save("SVG"))
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert "q ⊙ k" not in texts and "running sum" in texts
    assert sum(element.tag.endswith("rect") for element in svg.iter()) != rects
    width, height = (float(svg.attrib[name]) for name in ("width", "height"))
    for element in svg.iter():
        if element.tag.endswith("rect"):
            x, y, wide, high = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0 and x + wide <= width + 1 and y + high <= height + 1
    assert tab.save("PNG").startswith(b"\x89PNG")


def test_the_section_takes_queries_and_keys_into_the_address(
    browser: Browser, script_app: Callable[[str], str]
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    try:
        page.goto(f"{script_app(SECTION)}?model=en-fr&kind=cross&layer=3&head=2")
        tab = Opened(page)
        tab.key(0).wait_for(timeout=PATIENCE)
        text = page.get_by_role("group", name="The token that looks: choose one")
        text.get_by_text("animal", exact=True).click()
        expect(page.get_by_role("listbox")).to_have_attribute("aria-label", "Keys of reads ' → predicts animal")
        tab.key(6).click()
        expect(page).to_have_url(re.compile(r"kind=cross&layer=3&head=2&query=3&key=7$"))
        tab.chosen(6)
        text.get_by_text("rue", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("listbox")).to_have_attribute("aria-label", "Keys of reads la → predicts rue")
        tab.chosen(6)  # the same key of another row
        page.reload()
        expect(page.get_by_role("listbox")).to_have_attribute("aria-label", "Keys of reads la → predicts rue")
        tab.chosen(6)
    finally:
        page.close()
