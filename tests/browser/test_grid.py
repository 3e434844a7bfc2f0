"""The grid of heads in a real browser: point, click, keys, highlight, save; hover asks the server nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from viz.theme import DARK, LIGHT

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = """
import numpy as np
import streamlit as st

from engine.types import AttentionMap, Tokens
from viz.components.grid import grid, grid_data
from viz.theme import THEMES

st.set_page_config(layout="wide")
layers, heads, length = (int(st.query_params.get(name, n)) for name, n in (("layers", 3), ("heads", 4), ("length", 6)))
labels = tuple(f"<b>{i}</b>" for i in range(length))
tokens = Tokens("", labels, (), tuple(range(length)), ((0, 0),) * length, (False,) * length)
weights = np.zeros((layers, heads, length, length), np.float32)
weights[..., 0] = 1  # every head looks at the first token,
weights[:, 1] = np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]  # head 2 at all so far
patterns = [[f"<i>first</i> token 0.{layer}{head}" for head in range(heads)] for layer in range(layers)]
for row in patterns:
    row[1] = "broad 0.50"
attention = AttentionMap("decoder", weights, tokens, tokens, tokens)

theme = THEMES["dark" if st.checkbox("dark") else "light"]
if st.checkbox("first layer only"):
    attention = AttentionMap("decoder", weights[:1], tokens, tokens, tokens, layer_names=("maximum of 3 layers",))
    patterns = patterns[:1]
st.button("again")
picked = grid(grid_data(attention, patterns, chosen=(0, 0), theme=theme, file_name="my heads"), key="heads")
st.text(f"picked {picked}")
"""


@dataclass
class Opened:
    """A page with the grid, and what it sent and said since."""

    page: Page
    frames: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def sheet(self) -> Locator:
        return self.page.get_by_role("grid")

    @property
    def status(self) -> Locator:
        return self.page.locator(".grid .status")

    @property
    def preview(self) -> Locator:
        return self.page.locator(".preview")

    def middle(self, layer: int, head: int, of: tuple[int, int] = (3, 4)) -> tuple[float, float]:
        """The middle of a thumbnail on the screen."""
        box = self.sheet.bounding_box()
        assert box
        return box["x"] + (head + 0.5) * box["width"] / of[1], box["y"] + (layer + 0.5) * box["height"] / of[0]

    def point(self, layer: int, head: int, of: tuple[int, int] = (3, 4)) -> None:
        self.page.mouse.move(*self.middle(layer, head, of))

    def colour(self, layer: int, head: int, across: float, down: float) -> str:
        """The colour within a thumbnail of the 3 × 4 grid, at shares of its width and height: "#rrggbb"."""
        found: str = self.sheet.locator("canvas").evaluate(
            """(canvas, [x, y]) => {
              const [r, g, b] = canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
              return "#" + [r, g, b].map((value) => value.toString(16).padStart(2, "0")).join("");
            }""",
            [(head + across) / 4, (layer + down) / 3],
        )
        return found


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def open_grid(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens the grid in a window of some size; at the end nothing may have failed or asked another machine."""
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
            found.sheet.wait_for(timeout=PATIENCE)
            expect(page.get_by_text("picked", exact=False)).to_be_visible(timeout=PATIENCE)
            return found

        yield start
        assert [complaint for one in opened for complaint in one.complaints] == []
        assert requested
        assert [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")] == []


def test_pointing_shows_name_pattern_and_a_larger_picture(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    expect(grid.status).to_have_text("Open: layer 1, head 1: <i>first</i> token 0.00")
    frames = len(grid.frames)
    grid.point(2, 3)
    expect(grid.status).to_have_text("layer 3, head 4: <i>first</i> token 0.23")
    expect(grid.preview).to_contain_text("layer 3, head 4")
    expect(grid.preview).to_contain_text("click to open")
    expect(grid.preview.locator("canvas")).to_be_visible()
    assert len(grid.frames) == frames > 0
    grid.page.mouse.move(2, 2)
    expect(grid.preview).to_be_hidden()
    expect(grid.status).to_contain_text("Open: layer 1, head 1")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_preview_covers_no_pointer_and_stays_inside(open_grid: Callable[..., Opened], width: int) -> None:
    grid = open_grid(width=width)
    for layer in range(3):
        for head in range(4):
            grid.point(layer, head)
            expect(grid.preview).to_contain_text(f"layer {layer + 1}, head {head + 1}")
            x, y = grid.middle(layer, head)
            panel, whole = grid.preview.bounding_box(), grid.page.locator(".grid").bounding_box()
            assert panel and whole
            right, bottom = panel["x"] + panel["width"], panel["y"] + panel["height"]
            assert not (panel["x"] <= x <= right and panel["y"] <= y <= bottom)
            half = 0.5  # layout rounds to fractions of a pixel
            assert panel["x"] >= whole["x"] - half and right <= whole["x"] + whole["width"] + half
            assert panel["y"] >= whole["y"] - half and bottom <= whole["y"] + whole["height"] + half


def test_a_click_gives_layer_and_head_once(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    grid.page.mouse.click(*grid.middle(1, 2))
    expect(grid.page.get_by_text("picked (1, 2)")).to_be_visible(timeout=PATIENCE)
    grid.page.mouse.move(2, 2)
    expect(grid.status).to_contain_text("Open: layer 2, head 3")
    grid.page.get_by_role("button", name="again").click()
    expect(grid.page.get_by_text("picked None")).to_be_visible(timeout=PATIENCE)
    grid.page.mouse.click(*grid.middle(1, 2))  # the same head again is an event again
    expect(grid.page.get_by_text("picked (1, 2)")).to_be_visible(timeout=PATIENCE)


def test_arrow_keys_and_enter_do_the_same(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    keys = grid.page.keyboard
    grid.page.get_by_role("button", name="PNG").focus()
    keys.press("Tab")
    expect(grid.sheet).to_be_focused()
    expect(grid.status).to_have_text("layer 1, head 1: <i>first</i> token 0.00")
    keys.press("ArrowRight")
    keys.press("ArrowDown")
    expect(grid.status).to_have_text("layer 2, head 2: broad 0.50")
    cell = grid.page.get_by_role("gridcell", name="layer 2, head 2: broad 0.50")
    expect(cell).to_have_attribute("aria-colindex", "2")
    expect(cell).to_have_attribute("aria-selected", "false")
    expect(grid.preview).to_be_visible()
    keys.press("Enter")
    expect(grid.page.get_by_text("picked (1, 1)")).to_be_visible(timeout=PATIENCE)
    expect(cell).to_have_attribute("aria-selected", "true")
    expect(grid.sheet).to_be_focused()
    keys.press("Escape")
    expect(grid.preview).to_be_hidden()
    keys.press("Tab")
    expect(grid.sheet).not_to_be_focused()


def test_the_keys_stop_at_the_borders(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    grid.sheet.focus()
    for key, name in (
        ("ArrowLeft", "layer 1, head 1"),
        ("End", "layer 1, head 4"),
        ("ArrowRight", "layer 1, head 4"),
        ("PageDown", "layer 3, head 4"),
        ("ArrowDown", "layer 3, head 4"),
        ("Home", "layer 3, head 1"),
        ("Control+End", "layer 3, head 4"),
        ("Control+Home", "layer 1, head 1"),
    ):
        grid.page.keyboard.press(key)
        expect(grid.status).to_contain_text(name)
    grid.page.keyboard.press("Space")
    expect(grid.page.get_by_text("picked (0, 0)")).to_be_visible(timeout=PATIENCE)


def test_colours_are_weights_and_masked_cells_are_grey(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    assert grid.colour(0, 0, 0.1, 0.5) == LIGHT.sequential[-1]
    assert grid.colour(0, 0, 0.3, 0.9) == LIGHT.sequential[0]
    assert grid.colour(0, 0, 0.9, 0.1) == LIGHT.mask
    pale = grid.colour(0, 1, 0.5, 0.95)  # 1/6
    assert pale not in LIGHT.sequential
    grid.page.get_by_label("What a shade means").select_option("share")
    assert grid.colour(0, 1, 0.5, 0.95) == pale  # the first row's weight is 1
    grid.page.get_by_text("dark", exact=True).click()
    expect(grid.page.locator(".grid")).to_have_attribute("data-theme", "dark", timeout=PATIENCE)
    assert grid.colour(0, 0, 0.1, 0.5) == DARK.sequential[-1]
    assert grid.colour(0, 0, 0.9, 0.1) == DARK.mask


def test_highlighting_dims_the_other_heads(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    button = grid.page.get_by_role("button", name="Highlight broad: 3 heads")
    first, broad = grid.colour(1, 0, 0.1, 0.5), grid.colour(1, 1, 0.1, 0.5)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert grid.colour(1, 0, 0.1, 0.5) != first
    assert grid.colour(1, 1, 0.1, 0.5) == broad
    button.click()
    assert grid.colour(1, 0, 0.1, 0.5) == first


def test_the_same_data_changes_nothing(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    grid.page.get_by_role("button", name="Highlight broad").click()
    grid.sheet.evaluate("sheet => (sheet.dataset.first = 'yes')")
    grid.page.mouse.click(*grid.middle(1, 2))
    expect(grid.page.get_by_text("picked (1, 2)")).to_be_visible(timeout=PATIENCE)
    expect(grid.sheet).to_have_attribute("data-first", "yes")
    expect(grid.page.get_by_role("button", name="Highlight broad")).to_have_attribute("aria-pressed", "true")
    assert grid.page.locator(".outline.chosen").count() == 1


def test_another_map_takes_the_place_of_the_first(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    grid.point(2, 3)
    grid.page.get_by_text("first layer only", exact=True).click()
    expect(grid.sheet).to_have_attribute("aria-rowcount", "1", timeout=PATIENCE)
    grid.point(0, 3, (1, 4))
    expect(grid.status).to_have_text("maximum of 3 layers, head 4: <i>first</i> token 0.03")
    expect(grid.page.get_by_text("maximum of 3 layers", exact=True)).to_be_in_viewport(ratio=1)
    assert grid.page.locator(".sheet canvas").count() == 1


def test_the_saved_picture_shows_every_head(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid()
    with grid.page.expect_download() as saved:
        grid.page.get_by_role("button", name="SVG").click()
    assert saved.value.suggested_filename == "my heads.svg"
    root = ElementTree.parse(saved.value.path()).getroot()
    assert root.tag == f"{SVG}svg"
    images = root.findall(f"{SVG}image")
    assert len(images) == 3 * 4 + 1  # and the colour scale
    assert all(image.get("href", "").startswith("data:image/png;base64,") for image in images)
    assert {"Decoder attention: all heads", "layer", "head", "4", "masked"} <= {
        text.text for text in root.iter(f"{SVG}text")
    }
    assert sum(line.get("stroke") == LIGHT.accent for line in root.iter(f"{SVG}line")) == 4
    with grid.page.expect_download() as saved:
        grid.page.get_by_role("button", name="PNG").click()
    assert saved.value.suggested_filename == "my heads.png"
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_thirty_two_layers_of_thirty_two_heads(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid("layers=32&heads=32&length=64")
    grid.page.mouse.move(2, 2)
    grid.point(3, 31, (32, 32))
    expect(grid.status).to_have_text("layer 4, head 32: <i>first</i> token 0.331")
    expect(grid.preview).to_contain_text("layer 4, head 32")
    assert grid.page.locator(".grid *").count() <= 200 + 32 + 32
    assert not scrolls(grid)


def test_a_phone_shows_eight_heads_without_scrolling(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid("layers=6&heads=8", 390, 844)
    assert not scrolls(grid)
    box = grid.sheet.bounding_box()
    assert box and box["x"] + box["width"] <= 390


def test_what_does_not_fit_scrolls_inside_the_component(open_grid: Callable[..., Opened]) -> None:
    grid = open_grid("layers=2&heads=32", 390, 844)
    assert scrolls(grid)
    assert grid.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    grid.sheet.focus()
    grid.page.keyboard.press("End")
    expect(grid.status).to_contain_text("layer 1, head 32")
    outline = grid.page.locator(".outline.pointed")
    expect(outline).to_be_in_viewport(ratio=0.95)  # fractions of a pixel may stay outside
    expect(grid.page.locator(".layers .label").first).to_be_in_viewport(ratio=1)


def scrolls(grid: Opened) -> bool:
    found: bool = grid.page.locator(".frame").evaluate("frame => frame.scrollWidth > frame.clientWidth")
    return found
