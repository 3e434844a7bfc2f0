"""The matrices of heads in a real browser: colours, numbers, point, click, keys, save, files of their own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from viz.components.matrix import Matrix, matrix_data
from viz.components.standalone import standalone_html
from viz.theme import DARK, LIGHT

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = """
import numpy as np
import streamlit as st

from viz.components.matrix import Matrix, matrix, matrix_data
from viz.theme import THEMES

st.set_page_config(layout="wide")
layers, heads = (int(st.query_params.get(name, n)) for name, n in (("layers", 3), ("heads", 4)))
values = np.zeros((layers, heads))
values[0, :4] = [0.62, -0.05, np.nan, -0.62]
values[1, 1] = 0.25
notes = [[""] * heads for _ in range(layers)]
notes[0][0] = "keeps its preference in this sentence and in the one with the other ending"
marked = np.zeros((layers, heads), bool)
marked[0, 1] = True

theme = THEMES["dark" if st.checkbox("dark") else "light"]
if st.checkbox("other values"):
    values[1, 1] = -0.31
if st.checkbox("more layers"):
    values = np.concatenate([values, values])
    notes, marked = notes + notes, np.concatenate([marked, marked])
first = Matrix("own", "Source → source", values, tuple(map(tuple, notes)), marked)
second = Matrix("cross", "Output → source", np.full((2, heads), 0.1))
third = Matrix("none", "Output → output", np.full((2, heads), np.nan), empty="<i>No</i> pronoun")
st.button("again")
words = {"quantity": "<b>margin</b>", "ends": ("<i>street</i>", "animal"), "marked_means": "flips"}
chosen = st.session_state.get("chosen", ("own", 0, 0))
data = matrix_data([first, second, third], chosen=chosen, theme=theme, file_name="my heads", **words)
picked = matrix(data, key="matrix")
if picked:
    st.session_state["chosen"] = picked
st.text(f"picked {picked}")
"""


@dataclass
class Opened:
    """A page with the matrices, and what it sent and said since."""

    page: Page
    frames: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def sheet(self, number: int = 0) -> Locator:
        return self.page.get_by_role("grid").nth(number)

    @property
    def readout(self) -> Locator:
        return self.page.locator(".readout:not(.ghost)")

    @property
    def tip(self) -> Locator:
        return self.page.locator(".tip")

    def middle(self, layer: int, head: int, of: tuple[int, int] = (3, 4), number: int = 0) -> tuple[float, float]:
        """The middle of a cell on the screen."""
        box = self.sheet(number).bounding_box()
        assert box
        return box["x"] + (head + 0.5) * box["width"] / of[1], box["y"] + (layer + 0.5) * box["height"] / of[0]

    def point(self, layer: int, head: int, of: tuple[int, int] = (3, 4), number: int = 0) -> None:
        self.page.mouse.move(*self.middle(layer, head, of, number))

    def pixels(self, layer: int, head: int) -> np.ndarray:
        """The colours of a cell of the first matrix, of 3 × 4: int (y, x, rgb)."""
        flat = self.sheet().evaluate(
            """(sheet, [layer, head]) => {
              const canvas = sheet.querySelector("canvas");
              const [wide, high] = [canvas.width / 4, canvas.height / 3];
              const context = canvas.getContext("2d");
              const { data, width, height } = context.getImageData(head * wide, layer * high, wide, high);
              return [height, width, ...data];
            }""",
            [layer, head],
        )
        return np.array(flat[2:]).reshape(flat[0], flat[1], 4)[2:-2, 2:-2, :3]  # without the gap and the rim

    def colour(self, layer: int, head: int) -> str:
        """The colour of a cell below its number, "#rrggbb"."""
        cell = self.pixels(layer, head)
        return "#" + "".join(f"{part:02x}" for part in cell[int(len(cell) * 0.85), len(cell[0]) // 4])


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def open_matrix(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens the matrices in a window of some size; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        opened: list[Opened] = []

        def start(query: str = "", width: int = 1280, height: int = 1000) -> Opened:
            context = browser.new_context(viewport={"width": width, "height": height})
            stack.callback(context.close)
            page = context.new_page()
            found = Opened(page)
            opened.append(found)
            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.on("websocket", lambda socket: socket.on("framesent", lambda _: found.frames.append(1)))
            page.goto(f"{address}/?{query}")
            found.sheet().wait_for(timeout=PATIENCE)
            expect(page.get_by_text("picked None")).to_be_visible(timeout=PATIENCE)
            return found

        yield start
        assert [complaint for one in opened for complaint in one.complaints] == []
        assert requested
        assert [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")] == []


def test_colours_are_values_blue_above_and_brown_below_zero(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    assert matrix.colour(0, 0) == LIGHT.diverging[-1]  # +0.62, the largest
    assert matrix.colour(0, 3) == LIGHT.diverging[0]
    assert matrix.colour(1, 0) == LIGHT.diverging[3] == LIGHT.background  # 0
    red, _, blue = (int(matrix.colour(1, 1)[at : at + 2], 16) for at in (1, 3, 5))
    assert blue > red + 50  # +0.25
    red, _, blue = (int(matrix.colour(0, 1)[at : at + 2], 16) for at in (1, 3, 5))
    assert red > blue  # −0.05
    hatched = matrix.pixels(0, 2)
    assert (hatched == 255).all(axis=-1).any() and (hatched < 200).all(axis=-1).any()
    matrix.page.get_by_text("dark", exact=True).click()
    expect(matrix.page.locator(".matrix")).to_have_attribute("data-theme", "dark", timeout=PATIENCE)
    assert matrix.colour(0, 0) == DARK.diverging[-1] and matrix.colour(0, 3) == DARK.diverging[0]


def test_numbers_and_dots_stand_in_their_cells(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    strong = matrix.pixels(0, 0)
    assert (strong > 200).all(axis=-1).sum() > 20  # white ink on dark blue
    middle = slice(len(strong) // 3, -len(strong) // 3)
    assert (matrix.pixels(2, 2)[middle] < 60).all(axis=-1).any()  # dark ink on white
    corner = (slice(0, len(strong) // 3), slice(-len(strong[0]) // 3, None))
    assert (matrix.pixels(0, 1)[corner] < 60).all(axis=-1).sum() > 8  # the dot
    assert not (matrix.pixels(1, 1)[corner] < 60).all(axis=-1).any()


def test_heading_scale_and_keys_say_what_is_shown(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    expect(matrix.page.get_by_role("heading", name="<b>margin</b>")).to_be_visible()
    expect(matrix.page.locator(".ticks span")).to_have_text(["−0.62", "0", "+0.62"])
    expect(matrix.page.locator(".end")).to_have_text(["<i>street</i>", "animal"])
    expect(matrix.page.locator(".key")).to_have_text(["flips", "not measured"])
    expect(matrix.page.locator(".heading")).to_have_text(["Source → source", "Output → source", "Output → output"])
    expect(matrix.page.locator(".none")).to_have_text("<i>No</i> pronoun")
    assert matrix.page.get_by_role("grid").count() == 2


def test_pointing_reads_a_cell_and_moves_nothing(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    note = "keeps its preference in this sentence and in the one with the other ending"
    expect(matrix.readout).to_have_text(f"Picked: Source → source · layer 1, head 1 · <b>margin</b>: +0.62 · {note}")
    frames, before = len(matrix.frames), matrix.page.locator(".matrix").bounding_box()
    for layer, head, number, said in (
        (0, 0, 0, f"Source → source · layer 1, head 1 · <b>margin</b>: +0.62 · {note}"),
        (0, 1, 0, "Source → source · layer 1, head 2 · <b>margin</b>: −0.05 · flips"),
        (0, 2, 0, "Source → source · layer 1, head 3 · <b>margin</b>: not measured"),
        (2, 3, 0, "Source → source · layer 3, head 4 · <b>margin</b>: 0.00"),
        (1, 3, 1, "Output → source · layer 2, head 4 · <b>margin</b>: +0.10"),
    ):
        of = (2, 4) if number else (3, 4)
        matrix.point(layer, head, of, number)
        expect(matrix.readout).to_have_text(said)
        assert matrix.page.locator(".matrix").bounding_box() == before
        x, y = matrix.middle(layer, head, of, number)
        box = matrix.page.locator(".outline.pointed:visible").bounding_box()
        assert box and box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"]
    assert len(matrix.frames) == frames > 0
    matrix.page.mouse.move(2, 2)
    expect(matrix.tip).to_be_hidden()
    expect(matrix.readout).to_contain_text("Picked: Source → source")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_tip_covers_no_pointer_and_stays_inside(open_matrix: Callable[..., Opened], width: int) -> None:
    matrix = open_matrix(width=width)
    for layer in range(3):
        for head in range(4):
            matrix.point(layer, head)
            expect(matrix.tip).to_contain_text(f"layer {layer + 1}, head {head + 1}: ")
            x, y = matrix.middle(layer, head)
            panel, whole = matrix.tip.bounding_box(), matrix.page.locator(".matrix").bounding_box()
            assert panel and whole
            right, bottom = panel["x"] + panel["width"], panel["y"] + panel["height"]
            assert not (panel["x"] <= x <= right and panel["y"] <= y <= bottom)
            half = 0.5  # layout rounds to fractions of a pixel
            assert panel["x"] >= whole["x"] - half and right <= whole["x"] + whole["width"] + half
            assert panel["y"] >= whole["y"] - half and bottom <= whole["y"] + whole["height"] + half


def test_a_click_gives_matrix_layer_and_head_once(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    matrix.page.mouse.click(*matrix.middle(1, 2, (2, 4), 1))
    expect(matrix.page.get_by_text("picked ('cross', 1, 2)")).to_be_visible(timeout=PATIENCE)
    matrix.page.mouse.move(2, 2)
    expect(matrix.readout).to_contain_text("Picked: Output → source · layer 2, head 3")
    matrix.page.get_by_role("button", name="again").click()
    expect(matrix.page.get_by_text("picked None")).to_be_visible(timeout=PATIENCE)
    expect(matrix.readout).to_contain_text("Picked: Output → source · layer 2, head 3")
    assert matrix.page.locator(".outline.chosen:visible").count() == 1
    matrix.page.mouse.click(*matrix.middle(1, 2, (2, 4), 1))  # the same head again is an event again
    expect(matrix.page.get_by_text("picked ('cross', 1, 2)")).to_be_visible(timeout=PATIENCE)


def test_arrow_keys_and_enter_do_the_same(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    keys = matrix.page.keyboard
    matrix.page.get_by_role("button", name="PNG").focus()
    keys.press("Tab")
    expect(matrix.sheet()).to_be_focused()
    cell = matrix.page.get_by_role("gridcell", name="layer 1, head 1: +0.62 keeps its preference in this sentence")
    expect(cell).to_have_attribute("aria-selected", "true")
    keys.press("ArrowRight")
    expect(matrix.page.get_by_role("gridcell", name="layer 1, head 2: −0.05 flips", exact=True)).to_be_visible()
    keys.press("ArrowDown")
    cell = matrix.page.get_by_role("gridcell", name="layer 2, head 2: +0.25", exact=True)
    expect(cell).to_have_attribute("aria-colindex", "2")
    expect(cell).to_have_attribute("aria-selected", "false")
    expect(matrix.readout).to_have_text("Source → source · layer 2, head 2 · <b>margin</b>: +0.25")
    keys.press("Enter")
    expect(matrix.page.get_by_text("picked ('own', 1, 1)")).to_be_visible(timeout=PATIENCE)
    expect(cell).to_have_attribute("aria-selected", "true")
    expect(matrix.sheet()).to_be_focused()
    expect(matrix.tip).to_be_visible()
    keys.press("Escape")
    expect(matrix.tip).to_be_hidden()
    keys.press("Tab")
    expect(matrix.sheet(1)).to_be_focused()
    expect(matrix.readout).to_contain_text("Output → source · layer 1, head 1")


def test_the_keys_stop_at_the_borders(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    matrix.sheet().focus()
    for key, name in (
        ("ArrowLeft", "layer 1, head 1"),
        ("End", "layer 1, head 4"),
        ("ArrowRight", "layer 1, head 4"),
        ("PageDown", "layer 3, head 4"),
        ("ArrowDown", "layer 3, head 4"),
        ("Home", "layer 3, head 1"),
        ("Control+Home", "layer 1, head 1"),
        ("Control+End", "layer 3, head 4"),
    ):
        matrix.page.keyboard.press(key)
        expect(matrix.readout).to_contain_text(name)
    matrix.page.keyboard.press("Space")
    expect(matrix.page.get_by_text("picked ('own', 2, 3)")).to_be_visible(timeout=PATIENCE)


def test_other_values_keep_elements_and_more_layers_keep_the_cell(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    matrix.sheet().evaluate("sheet => (sheet.dataset.first = 'yes')")
    before = matrix.colour(1, 1)
    matrix.sheet().focus()
    matrix.page.keyboard.press("ArrowRight")
    matrix.page.keyboard.press("ArrowDown")
    click = "box => box.click()"  # by script, so that the focus stays where it is
    matrix.page.get_by_role("checkbox", name="other values").evaluate(click)
    expect(matrix.readout).to_contain_text("layer 2, head 2 · <b>margin</b>: −0.31", timeout=PATIENCE)
    assert matrix.colour(1, 1) != before
    expect(matrix.sheet()).to_have_attribute("data-first", "yes")
    expect(matrix.sheet()).to_be_focused()
    matrix.page.get_by_role("checkbox", name="more layers").evaluate(click)
    expect(matrix.sheet()).to_have_attribute("aria-rowcount", "6", timeout=PATIENCE)
    expect(matrix.sheet()).to_be_focused()
    expect(matrix.readout).to_contain_text("Source → source · layer 2, head 2")


def test_the_saved_picture_holds_all_numbers_words_and_marks(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix()
    with matrix.page.expect_download() as saved:
        matrix.page.get_by_role("button", name="SVG").click()
    assert saved.value.suggested_filename == "my heads.svg"
    root = ElementTree.parse(saved.value.path()).getroot()
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"<b>margin</b>", "Source → source", "<i>No</i> pronoun", "layer", "head", "4", "flips"} <= set(texts)
    assert {"−0.62", "0", "+0.62", "<i>street</i>", "animal", "not measured"} <= set(texts)
    assert [texts.count(text) for text in ("+.62", "−.05", "−.62", "+.25", ".00", "+.10")] == [1, 1, 1, 1, 7, 8]
    fills = [rect.get("fill") for rect in root.iter(f"{SVG}rect")]
    assert fills.count(LIGHT.diverging[-1]) == fills.count(LIGHT.diverging[0]) == 1
    lines = list(root.iter(f"{SVG}line"))
    assert sum(line.get("stroke") == LIGHT.accent for line in lines) == 4
    assert sum(line.get("stroke") == LIGHT.text for line in lines) == 2  # a dot, and the one of the legend
    wide, high = float(root.get("width", 0)), float(root.get("height", 0))
    for rect in root.iter(f"{SVG}rect"):
        x, y, width, height = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert x >= 0 and x + width <= wide and y >= 0 and y + height <= high
    with matrix.page.expect_download() as saved:
        matrix.page.get_by_role("button", name="PNG").click()
    assert saved.value.suggested_filename == "my heads.png"
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", ["layers=6&heads=8", "layers=12&heads=12", "layers=16&heads=16"])
def test_a_phone_shows_every_head_without_scrolling(open_matrix: Callable[..., Opened], shape: str) -> None:
    matrix = open_matrix(shape, 390, 844)
    assert not scrolls(matrix)
    assert matrix.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    first, second = matrix.sheet().bounding_box(), matrix.sheet(1).bounding_box()
    assert first and second and first["x"] + first["width"] <= 390
    assert second["x"] == first["x"] and second["y"] > first["y"] + first["height"]
    assert matrix.page.locator(".matrix *").count() <= 250


def test_what_does_not_fit_scrolls_inside_the_component(open_matrix: Callable[..., Opened]) -> None:
    matrix = open_matrix("layers=2&heads=32", 390, 844)
    assert scrolls(matrix)
    assert matrix.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    matrix.sheet().focus()
    matrix.page.keyboard.press("End")
    expect(matrix.readout).to_contain_text("layer 1, head 32")
    outline = matrix.page.locator(".outline.pointed:visible")
    expect(outline).to_be_in_viewport(ratio=0.95)  # fractions of a pixel may stay outside
    expect(matrix.page.locator(".layers .label").first).to_be_in_viewport(ratio=0.95)


@pytest.mark.parametrize(
    ("diverging", "values", "ticks", "said"),
    [
        (True, [0.5, -1.5], ["≤ −1.00", "0", "+1.00"], "−1.50"),  # −1.5 lies beyond the limit
        (False, [0.5, 1.5], ["0", "≥ 1.00"], "1.50"),
    ],
)
def test_a_file_of_its_own_works_offline(
    browser: Browser, tmp_path: Path, diverging: bool, values: list[float], ticks: list[str], said: str
) -> None:
    data = matrix_data([Matrix("a", "A", np.array([values]))], quantity="margin", limit=1.0, diverging=diverging)
    path = tmp_path / "heads.html"
    path.write_text(standalone_html("matrix", data, title="t", note="n", theme=LIGHT), "utf-8")
    context = browser.new_context(offline=True)
    problems: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator(".ticks span")).to_have_text(ticks)
    page.get_by_role("grid").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_have_text(f"layer 1, head 2: {said}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("gridcell")).to_have_attribute("aria-selected", "true")
    context.close()
    assert problems == []


def scrolls(matrix: Opened) -> bool:
    found: bool = matrix.page.locator(".frame").evaluate("frame => frame.scrollWidth > frame.clientWidth")
    return found
