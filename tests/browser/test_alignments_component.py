"""The aligned panels in a real browser: pointing, pins, keys, gold links, saved pictures."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engine.types import AttentionMap, Tokens
from viz.components.alignments import GOLD, Gold, Panel, Pin, alignments_data, alignments_html

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SVG = "{http://www.w3.org/2000/svg}"
SOURCE = ("The", "Economic", "Area", "</s>")
OUTPUT = ("la", "zone", "<b>éco</b>")
WEIGHTS = np.array([[0.75, 0.0, 0.25, 0.0], [0.0, 0.125, 0.75, 0.125], [0.0, 0.5, 0.25, 0.25]], np.float32)
Opened = Callable[..., Page]


def words(*labels: str) -> Tokens:
    count = len(labels)
    return Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, tuple(label == "</s>" for label in labels))


def panel(name: str, weights: np.ndarray = WEIGHTS, output: tuple[str, ...] = OUTPUT, source: Any = SOURCE) -> Panel:
    read = words("<s>", *output[:-1])
    attention = AttentionMap("cross", weights[None, None], read, words(*source), words(*output))
    return Panel(name, f"note of {name}", attention, f"detail of {name}")


FIRST, SECOND = panel("additive"), panel("dot", np.full((3, 4), 0.25, np.float32))
NONE = Panel("none", "no attention: one vector", None, output=words(*OUTPUT))
OTHER = panel("other", WEIGHTS[:2], ("une", "zone"))


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens panels as a page of their own, offline; any script error fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    problems: list[str] = []

    def open_page(*panels: Panel, width: int = 1280, **more: Any) -> Page:
        data = alignments_data(panels or (FIRST, SECOND, NONE), start_id="1", **more)
        path = tmp_path / "alignments.html"
        path.write_text(alignments_html(data, title="t", note="n"), "utf-8")
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        expect(status(page)).not_to_be_empty()
        return page

    yield open_page
    context.close()
    assert problems == []


def status(page: Page) -> Locator:
    return page.get_by_role("status")


def part(page: Page, name: str, number: int = 0) -> Locator:
    """A canvas of a panel: "above", "rows", "under", "over" or "right"."""
    return page.locator(".panel").nth(number).locator(f"canvas.{name}:not(.marks)")


def pitch(page: Page) -> float:
    """Pixels of a cell of the first panel."""
    box = part(page, "under").bounding_box()
    assert box
    return box["height"] / len(OUTPUT)


def point(page: Page, name: str, column: float, row: float, number: int = 0) -> None:
    """Move the pointer to a place of a canvas, counted in cells from its top left corner."""
    box = part(page, name, number).bounding_box()
    assert box
    page.mouse.move(box["x"] + column * pitch(page), box["y"] + row * pitch(page))


def point_at_source(page: Page, column: int, number: int = 0) -> None:
    """Move the pointer to where a source label starts, just above its column."""
    box = part(page, "above", number).bounding_box()
    assert box
    page.mouse.move(box["x"] + (column + 0.5) * pitch(page) + 3, box["y"] + box["height"] - 8)


def marked(page: Page, number: int) -> list[int] | None:
    """The cells that a panel's marks enclose: first and last column, first and last row; None where there are none."""
    found = part(page, "over", number).evaluate(
        """canvas => {
          const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const [xs, ys] = [[], []];
          for (let i = 0; i < width * height; i++) if (data[4 * i + 3] > 200) { xs.push(i % width); ys.push(Math.floor(i / width)); }
          return xs.length ? [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)] : null;
        }"""  # noqa: E501
    )
    if found is None:
        return None
    side = pitch(page)
    return [round(found[0] / side), round(found[1] / side) - 1, round(found[2] / side), round(found[3] / side) - 1]


def saved(page: Page, tmp_path: Path, form: str = "SVG") -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=form).click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def texts(path: Path) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.parse(path).getroot().iter(f"{SVG}text")]


def test_pointing_at_a_source_word_marks_its_column_in_every_panel(opened: Opened) -> None:
    page = opened(FIRST, OTHER, NONE)
    expect(page.locator(".compared")).to_contain_text("Each panel has its own output words")
    assert marked(page, 0) is None
    point_at_source(page, 2)
    expect(status(page)).to_have_text(
        "additive · source word “Area” is looked at by: zone 75 %, la 25 %, <b>éco</b> 25 % · other: zone 75 %"
    )
    assert marked(page, 0) == [2, 2, 0, 2]
    assert marked(page, 1) == [2, 2, 0, 1]
    page.mouse.move(1270, 890)
    expect(status(page)).to_contain_text("Point at a word")
    assert marked(page, 0) is None


def test_pointing_at_a_row_marks_it_in_every_panel_with_the_same_rows(opened: Opened) -> None:
    page = opened()
    expect(page.locator(".compared")).to_contain_text("so that rows can be compared")
    words_of_none = page.locator(".panel").nth(2).locator("canvas.rows.marks")
    before = words_of_none.evaluate("canvas => canvas.toDataURL()")
    point(page, "rows", 0.5, 1.5)
    expect(status(page)).to_have_text(
        "additive · output word “zone” looks at: Area 75 %, Economic 13 %, </s> 13 % · dot: The 25 %"
    )
    assert marked(page, 0) == marked(page, 1) == [0, 3, 1, 1]
    assert words_of_none.evaluate("canvas => canvas.toDataURL()") != before  # the word is marked there too


def test_a_row_is_its_own_panels_where_outputs_differ(opened: Opened) -> None:
    page = opened(FIRST, OTHER)
    point(page, "rows", 0.5, 1.5, 1)
    expect(status(page)).to_have_text("other · output word “zone” looks at: Area 75 %, Economic 13 %, </s> 13 %")
    assert marked(page, 1) == [0, 3, 1, 1]
    assert marked(page, 0) is None


def test_the_tip_reads_a_cell_in_every_panel(opened: Opened) -> None:
    page = opened()
    point(page, "under", 2.5, 1.5)
    tip = page.locator(".tip")
    expect(tip.locator(".title")).to_have_text("reads la → predicts zone: 75 %")
    expect(tip.locator(".note")).to_have_text("looks at Area")
    expect(tip.locator(".values > span:not(.weight)")).to_have_text(["additive", "75 %", "dot", "25 %"])
    assert marked(page, 0) == [0, 3, 0, 2]  # its whole row and column
    box, at = tip.bounding_box(), part(page, "under").bounding_box()
    assert box and at
    x, y = at["x"] + 2.5 * pitch(page), at["y"] + 1.5 * pitch(page)
    assert not (box["x"] <= x <= box["x"] + box["width"] and box["y"] <= y <= box["y"] + box["height"])


def test_a_click_pins_and_escape_clears(opened: Opened) -> None:
    page = opened()
    clear = page.get_by_role("button", name="Clear pin")
    expect(clear).to_be_hidden()
    point_at_source(page, 1)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(1270, 890)
    expect(status(page)).to_contain_text("Pinned: additive · source word “Economic” is looked at by")
    assert marked(page, 0) == marked(page, 1) == [1, 1, 0, 2]
    point(page, "rows", 0.5, 0.5)  # pointing beside a pin reads something else and keeps it
    expect(status(page)).to_contain_text("output word “la”")
    assert marked(page, 0) == [0, 3, 0, 2]
    page.keyboard.press("Escape")
    expect(clear).to_be_hidden()
    page.mouse.move(1270, 890)
    assert marked(page, 0) is None
    point(page, "under", 0.5, 2.5)
    for shown in (True, False):  # the same cell twice
        page.mouse.down()
        page.mouse.up()
        expect(clear).to_be_visible() if shown else expect(clear).to_be_hidden()


def test_arrow_keys_read_cells_and_labels_and_enter_pins(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="PNG").focus()
    page.keyboard.press("Tab")
    grid = page.get_by_role("grid", name="additive: attention, 3 output words × 4 source words")
    expect(grid).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(status(page)).to_contain_text(
        "output word “zone” looks at: Area 75 %, Economic 13 %, </s> 13 % · at “Economic”: 13 % · dot: 25 %"
    )
    expect(page.get_by_role("gridcell", name="zone, Economic: 13 %")).to_have_attribute("aria-selected", "false")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(status(page)).to_contain_text("output word “zone” looks at: Area 75 %, Economic 13 %, </s> 13 % · dot")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Clear pin")).to_be_visible()
    expect(page.get_by_role("gridcell", name="zone")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+End")
    expect(status(page)).to_contain_text("“<b>éco</b>” looks at: Economic 50 %")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    expect(status(page)).to_contain_text("source word “</s>”")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Clear pin")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(status(page)).to_contain_text("dot · output word “la”")


def edge(page: Page, column: int, row: int) -> float:
    """The share of a cell's upper edge, two pixels inside, that has the colour of gold links."""
    side = pitch(page)
    pixels = part(page, "under").evaluate(
        "(canvas, [x, y, n]) => [...canvas.getContext('2d').getImageData(x, y, n, 1).data]",
        [round(column * side) + 4, round(row * side) + 2, round(side) - 8],
    )
    wanted = [int(GOLD[at : at + 2], 16) for at in (1, 3, 5)]
    return float((np.abs(np.array(pixels).reshape(-1, 4)[:, :3] - wanted).max(axis=1) < 24).mean())


def test_gold_links_are_outlined_solid_where_sure_and_dashed_where_possible(opened: Opened) -> None:
    page = opened(gold=Gold(frozenset({(2, 1)}), frozenset({(1, 2)})))
    assert edge(page, 2, 1) == 1
    assert 0.25 < edge(page, 1, 2) < 0.85
    assert edge(page, 0, 0) == edge(page, 3, 1) == 0
    expect(
        page.get_by_role("img", name="Legend: attention weight from 0 to 100 %; sure gold link; possible")
    ).to_be_visible()


def test_a_model_without_attention_lists_its_words(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    listed = page.get_by_role("listbox", name="none: attention, no attention: one vector. 3 output words")
    listed.focus()
    page.keyboard.press("ArrowDown")
    expect(status(page)).to_have_text(
        "none · output word “zone” · no attention: one vector · additive: Area 75 % · dot: The 25 %"
    )
    expect(part(page, "above", 2)).to_be_hidden()
    assert texts(saved(page, tmp_path)).count("zone") == 3


def test_text_of_any_kind_stays_text(opened: Opened, tmp_path: Path) -> None:
    hostile = ("<img src=x onerror=alert(1)>", "שלום", "👩🏽‍🚀", "a\u0001&b")
    name = "</script><i>name</i>"
    page = opened(panel(name, np.full((4, 4), 0.25, np.float32), hostile, hostile), title=name)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    expect(page.get_by_role("heading", name=name)).to_have_count(2)
    point(page, "under", 1.5, 1.5)
    assert page.locator(".alignments img, .alignments i").count() == 0
    written = texts(saved(page, tmp_path))
    assert written.count("<img src=x on…") == written.count("👩🏽‍🚀") == 2
    assert "a\ufffd&b" in written


def test_the_saved_picture_has_labels_words_and_numbers(opened: Opened, tmp_path: Path) -> None:
    page = opened(title="One sentence", numbers=True, pinned=Pin(row=1), file_name="mine")
    svg = saved(page, tmp_path)
    assert svg.name == "mine.svg"
    written = texts(svg)
    assert {"One sentence", "note of additive", "detail of dot", "Economic", "zone", "75", "25", "100 %"} <= set(
        written
    )
    assert written.count("75") == 2 and written.count("Area") == 2
    assert any("output word “zone” looks at" in text for text in written)
    png = saved(page, tmp_path, "PNG").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    root = ElementTree.parse(svg).getroot()
    assert (width, height) == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))
    plain = opened(FIRST)
    assert "75" not in texts(saved(plain, tmp_path))


def test_lines_carry_the_weights_and_a_pin_leaves_its_own_at_full_strength(opened: Opened, tmp_path: Path) -> None:
    def lines(page: Page) -> dict[str, float]:
        root = ElementTree.parse(saved(page, tmp_path)).getroot()
        found = [
            (line.findtext(f"{SVG}title"), float(line.attrib["stroke-opacity"])) for line in root.iter(f"{SVG}line")
        ]
        return {title: opacity for title, opacity in found if title}  # of several with one title the last, on top

    page = opened(FIRST, view="lines")
    wanted = {f"{OUTPUT[q]} → {SOURCE[k]}" for q, k in np.argwhere(WEIGHTS >= 0.05)}
    assert {title.rsplit(",", 1)[0] for title in lines(page)} == wanted
    assert lines(page)["zone → Area, 75 %"] == pytest.approx(0.15 + 0.85 * 0.75, abs=1e-3)  # 16-bit weights
    page.get_by_role("listbox", name="additive").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect(status(page)).to_contain_text("source word “Economic” is looked at by: <b>éco</b> 50 %")
    strong = {title.rsplit(",", 1)[0] for title, opacity in lines(page).items() if opacity > 0.15}
    assert strong == {"zone → Economic", "zone → Area", "zone → </s>"}
    assert {*SOURCE, *OUTPUT} <= set(texts(saved(page, tmp_path)))


def test_narrow_windows_stack_panels_and_a_wide_one_scrolls_in_its_own_box(opened: Opened) -> None:
    source = tuple(f"w{n}" for n in range(60))
    wide = panel("wide", np.full((3, 60), 1 / 60, np.float32), OUTPUT, source)
    page = opened(wide, panel("second", np.full((3, 60), 1 / 60, np.float32), OUTPUT, source), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tops = [box["y"] for box in (page.locator(".panel").nth(n).bounding_box() for n in (0, 1)) if box]
    assert tops[1] > tops[0]
    assert pitch(page) == 12
    body = page.locator(".body").first
    assert body.evaluate("body => body.scrollWidth > body.clientWidth")
    body.focus()
    page.keyboard.press("End")
    expect(status(page)).to_contain_text("at “w59”: 2 %")
    assert body.evaluate("body => body.scrollLeft") > 300
    labels, box = part(page, "rows").bounding_box(), body.bounding_box()
    assert labels and box and labels["x"] == pytest.approx(box["x"], abs=1)  # the rows' labels stay in view


SCRIPT = """
import numpy as np
import streamlit as st

from engine.types import AttentionMap, Tokens
from viz.components.alignments import Panel, alignments, alignments_data

def words(*labels):
    return Tokens("", labels, (), tuple(range(len(labels))), ((0, 0),) * len(labels), (False,) * len(labels))

weights = np.eye(2, dtype=np.float32)[None, None]
maps = AttentionMap("cross", weights, words("<s>", "a"), words("x", "y"), words("a", "b"))
view = "lines" if st.checkbox("lines") else "heatmap"
pin = alignments(alignments_data([Panel("one", "", maps)], view=view), key="alignments")
st.text(f"pinned {pin}")
"""


def test_the_server_hears_of_pins_and_a_rerun_keeps_them(browser: Browser, script_app: Callable[[str], str]) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(script_app(SCRIPT))
    grid = page.get_by_role("grid", name="one")
    grid.focus(timeout=PATIENCE)
    expect(page.get_by_text("pinned None")).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_text("pinned Pin(source=0, row=1, panel=0)")).to_be_visible(timeout=PATIENCE)
    page.get_by_text("lines", exact=True).click()
    expect(page.get_by_role("listbox", name="one")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Clear pin")).to_be_visible()
    page.get_by_role("button", name="Clear pin").click()
    expect(page.get_by_text("pinned Pin(source=None, row=None, panel=0)")).to_be_visible(timeout=PATIENCE)
    page.close()
