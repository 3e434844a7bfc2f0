"""The save buttons in a real browser, on a page of their own: the file is the figure as it is drawn."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from plotly.offline import get_plotlyjs

from engine.types import AttentionMap, Tokens
from viz import DARK, heatmap
from viz.components.inline import script

pytestmark = pytest.mark.browser
LABELS = ("<s>", "<b>x</b>", "$5$", "שלום", "\x01", "fatigué")
SVG = "{http://www.w3.org/2000/svg}"
PAGE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0; background: {background} }}</style>
<div class="st-key-heat-map">{figure}</div><div id="place"></div>
<script type="module">{script}</script>"""


@pytest.fixture
def figure() -> go.Figure:
    """A causal map of strange tokens on a dark page."""
    count = len(LABELS)
    weights = np.tril(np.ones((1, 1, count, count), dtype=np.float32))
    tokens = Tokens("", LABELS, (), tuple(range(count)), ((0, 0),) * count, (False,) * count)
    causal = AttentionMap("decoder", weights / weights.sum(-1, keepdims=True), tokens, tokens)
    return heatmap(causal, 0, 0, theme=DARK)


@pytest.fixture
def tab(browser: Browser, figure: go.Figure, tmp_path: Path) -> Iterator[Page]:
    """The figure in a container with the key "heat map", two pixels of the screen to each of its own."""
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    drawn = f"<script>{get_plotlyjs()}</script>{drawn}"
    module = script("save").replace("export default function", "window.drawSave = function")
    file = tmp_path / "page.html"
    file.write_text(PAGE.format(figure=drawn, script=module, background=DARK.background), "utf-8")
    context = browser.new_context(viewport={"width": 900, "height": 900}, device_scale_factor=2)
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator(".js-plotly-plot .hm image").first.wait_for()
    mount(page, "heat map", "first")
    yield page
    context.close()


def mount(page: Page, container: str, name: str) -> None:
    """Run the component as Streamlit does: again and again at the same place."""
    page.evaluate(
        """data => {
            const place = document.getElementById("place");
            window.drawSave({ data, parentElement: place.shadowRoot ?? place.attachShadow({ mode: "open" }) });
        }""",
        {"container": container, "name": name},
    )


def saved(page: Page, form: str) -> tuple[str, bytes]:
    """Name and content of the file that a button gives."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Save this picture as {form}").click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_the_svg_stands_alone_and_has_every_label(tab: Page, figure: go.Figure) -> None:
    tab.locator(".js-plotly-plot .nsewdrag").first.hover()  # what hovering adds is no part of the figure
    expect(tab.locator(".hoverlayer text").first).to_be_visible()
    name, content = saved(tab, "SVG")
    assert name == "first.svg"
    root = ElementTree.fromstring(content)
    assert root.tag == f"{SVG}svg"
    size = (figure.layout.width, figure.layout.height)
    assert (float(root.attrib["width"]), float(root.attrib["height"])) == size
    assert root.attrib["viewBox"].split() == ["0", "0", *map(str, size)]
    assert root[0].tag == f"{SVG}rect" and root[0].attrib["fill"] == "rgb(14, 17, 23)"  # DARK.background
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert {"Decoder attention, layer 1, head 1", "attention weight", "<b>x</b>", "$5$", "שלום", "1.00"} <= set(texts)
    assert not any("looks at <s>" in text for text in texts)
    assert not root.findall(f".//{SVG}foreignObject") and b"http://www.w3.org" in content
    assert {text for text in content.decode().split('"') if text.startswith("http")} <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/2000/xmlns/"
    }  # fmt: skip


def test_the_png_is_the_figure_as_drawn(tab: Page, figure: go.Figure) -> None:
    tab.mouse.move(899, 899)
    shown = Image.open(io.BytesIO(tab.locator(".js-plotly-plot .svg-container").screenshot())).convert("RGB")
    name, content = saved(tab, "PNG")
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    assert name == "first.png"
    assert picture.size == shown.size == (2 * figure.layout.width, 2 * figure.layout.height)
    apart = np.abs(np.asarray(picture, float) - np.asarray(shown, float))
    # Text is smoothed a little otherwise on a canvas; a missing label or layer would be a whole area.
    assert (apart.max(axis=-1) > 64).mean() < 0.01


def test_an_empty_container_is_said_in_place(tab: Page) -> None:
    tab.on("dialog", lambda dialog: pytest.fail(f"an alert: {dialog.message}"))
    mount(tab, "no such place", "nothing")
    tab.get_by_role("button", name="Save this picture as PNG").click()
    expect(tab.get_by_role("status")).to_have_text("There is no figure to save yet.")
    mount(tab, "heat map", "there again")
    assert saved(tab, "SVG")[0] == "there again.svg"
    expect(tab.get_by_role("status")).to_have_text("")


def test_a_rerun_builds_no_second_pair(tab: Page) -> None:
    for name in ("second", "third"):
        mount(tab, "heat map", name)
    assert tab.get_by_role("button").count() == 2
    assert saved(tab, "SVG")[0] == "third.svg"


def test_the_keyboard_reaches_both_buttons(tab: Page) -> None:
    tab.get_by_role("button", name="Save this picture as SVG").focus()
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("button", name="Save this picture as PNG")).to_be_focused()
