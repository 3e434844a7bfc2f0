"""The line diagram in a real browser, as the page of its own that "Figure, HTML" saves: no server behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from engine.types import AttentionMap, Tokens
from viz.components.lines import LinesView, lines_data
from viz.components.standalone import standalone_html
from viz.theme import LIGHT

pytestmark = pytest.mark.browser
WORDS = ("The", "<b>animal</b>", "שלום", "e\u0301te\u0301", "👩🏽‍🚀", "</s>")
LAYERS, HEADS, COUNT = 2, 3, len(WORDS)
LEAST = 0.05
SVG = "{http://www.w3.org/2000/svg}"
Opened = Callable[..., Page]


def attention(words: tuple[str, ...] = WORDS) -> AttentionMap:
    """Random rows that sum to 1, some of them sharp."""
    count = len(words)
    scores = np.random.default_rng(3).normal(scale=2.0, size=(LAYERS, HEADS, count, count))
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    tokens = Tokens("", words, (), tuple(range(count)), ((0, 0),) * count, tuple(word == "</s>" for word in words))
    return AttentionMap("encoder", weights.astype(np.float32), tokens, tokens)


WEIGHTS = np.rint(attention().weights.astype(float) * 65_535) / 65_535  # as they travel


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens the diagram of layer 1 with the heads given, offline; any script error fails the test."""
    context = browser.new_context(viewport={"width": 900, "height": 800}, offline=True, accept_downloads=True)
    problems: list[str] = []

    def open_page(heads: tuple[int, ...] = (0, 1, 2), words: tuple[str, ...] = WORDS, **view: object) -> Page:
        data = lines_data(attention(words), LinesView(layer=0, heads=heads, **view), start_id="1")  # type: ignore[arg-type]
        path = tmp_path / "lines.html"
        path.write_text(standalone_html("lines", data, title="t", note="n", theme=LIGHT), "utf-8")
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    context.close()
    assert problems == []


def said(page: Page) -> str:
    return page.get_by_role("status").text_content() or ""


def token(page: Page, side: str, index: int):
    return page.locator(f".column.{side} .token").nth(index)


def head(page: Page, index: int):
    return page.get_by_role("button", name=f"head {index + 1}")


def expected(heads: tuple[int, ...], layer: int = 0, least: float = LEAST) -> np.ndarray:
    """(head, query, key) of the lines that there should be."""
    return np.argwhere(WEIGHTS[layer, list(heads)] >= least)


def saved_lines(page: Page, tmp_path: Path) -> list[str]:
    """The titles of the lines in the SVG that the page saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name="SVG").click()
    path = tmp_path / "saved.svg"
    download.value.save_as(path)
    root = ElementTree.parse(path).getroot()
    return [line.findtext(f"{SVG}title") or "" for line in root.findall(f".//{SVG}line[@class='attention']")]


def test_every_weight_at_the_threshold_is_a_line(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    lines = expected((0, 1, 2))
    assert said(page).startswith(f"{len(lines)} lines with weight ≥ 0.05")
    titles = saved_lines(page, tmp_path)
    wanted = [f"{WORDS[q]} → {WORDS[k]}, head {h + 1}, {WEIGHTS[0, h, q, k]:.3f}" for h, q, k in lines]
    assert sorted(titles) == sorted(wanted)


def test_a_click_toggles_a_head_and_a_double_click_isolates_it(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    head(page, 1).click()
    expect(head(page, 1)).to_have_attribute("aria-pressed", "false")
    assert said(page).startswith(f"{len(expected((0, 2)))} lines")
    head(page, 2).dblclick()
    assert said(page).startswith(f"{len(expected((2,)))} lines")
    assert all("head 3" in title for title in saved_lines(page, tmp_path))
    page.get_by_role("button", name="all", exact=True).click()
    assert said(page).startswith(f"{len(expected((0, 1, 2)))} lines")
    page.get_by_role("button", name="none", exact=True).click()
    assert "No head is shown" in said(page)


def test_pointing_isolates_shades_and_gives_numbers(opened: Opened, tmp_path: Path) -> None:
    page = opened(heads=(1,))
    token(page, "query", 0).hover()
    row = WEIGHTS[0, 1, 0]
    for index, weight in enumerate(row):
        shown = token(page, "key", index).locator(".value").text_content()
        assert shown == (f"{weight:.3f}" if weight >= 0.005 else "")
    assert "linear-gradient" in (token(page, "key", int(row.argmax())).get_attribute("style") or "")
    assert f"{WORDS[row.argmax()]}" in said(page).replace("\u2068", "").replace("\u2069", "")
    page.mouse.move(880, 790)
    assert said(page).startswith(f"{len(expected((1,)))} lines")
    assert token(page, "key", 0).locator(".value").text_content() == ""


def test_pins_are_summed_and_the_sum_is_stated(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    token(page, "query", 0).click()
    token(page, "query", 3).click()
    page.mouse.move(880, 790)
    assert "sum of 2 tokens, mean of 3 heads" in said(page)
    sums = WEIGHTS[0][:, [0, 3]].sum(axis=1).mean(axis=0)
    for index, total in enumerate(sums):
        shown = float(token(page, "key", index).locator(".value").text_content() or 0)
        assert shown == pytest.approx(total if total >= 0.005 else 0, abs=6e-4)  # three digits of 16-bit weights
    titles = saved_lines(page, tmp_path)
    assert {title.split(" → ")[0] for title in titles} <= {WORDS[0], WORDS[3]}
    assert len(titles) == len([line for line in expected((0, 1, 2)) if line[1] in (0, 3)])
    token(page, "key", 1).hover()  # with pins on the other side, each head is read for the pair
    pair = WEIGHTS[0][:, [0, 3], 1].sum(axis=1)
    assert f"head 1 {pair[0]:.3f} · head 2 {pair[1]:.3f} · head 3 {pair[2]:.3f}" in said(page)
    page.get_by_role("button", name="Clear pins").click()
    page.mouse.move(880, 790)
    assert said(page).startswith(f"{len(expected((0, 1, 2)))} lines")


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_the_fewest_lines_that_carry_a_share_of_each_row(opened: Opened, share: float) -> None:
    page = opened(heads=(0, 2))
    page.get_by_label("Which lines are drawn").select_option("mass")
    page.get_by_label("Threshold").fill(str(round(share * 100)))
    rows = -np.sort(-np.rint(WEIGHTS[0][[0, 2]] * 65_535), axis=-1)
    needed = ((np.cumsum(rows, axis=-1) - rows) < share * rows.sum(-1, keepdims=True)) & (rows > 0)
    assert said(page).startswith(f"{needed.sum()} lines that carry {round(share * 100)} % of each row")


def test_the_threshold_by_weight(opened: Opened) -> None:
    page = opened()
    page.get_by_label("Threshold").fill("30")
    assert said(page).startswith(f"{len(expected((0, 1, 2), least=0.3))} lines with weight ≥ 0.30")


def test_the_layer_changes_in_the_browser(opened: Opened) -> None:
    page = opened()
    page.get_by_role("radio", name="layer 2").click()
    assert said(page).startswith(f"{len(expected((0, 1, 2), layer=1))} lines")


def test_pointing_at_a_line_names_it(opened: Opened) -> None:
    page = opened(heads=(0,), least=0.0)
    box = page.locator("canvas.under").bounding_box()
    assert box is not None
    strongest = np.unravel_index(WEIGHTS[0, 0].argmax(), (COUNT, COUNT))
    row = box["height"] / COUNT
    page.mouse.move(box["x"] + 5, box["y"] + (strongest[0] + 0.5) * row)  # near where it begins
    tip = page.locator(".tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("head 1")


def tops(page: Page, row: int) -> tuple[float, float]:
    """Where the lines' canvas begins, and the middle of a row's token."""
    canvas, word = page.locator("canvas.under").bounding_box(), token(page, "query", row).bounding_box()
    assert canvas is not None and word is not None
    return canvas["y"], word["y"] + word["height"] / 2


def test_lines_stay_with_their_words_when_the_page_scrolls(opened: Opened) -> None:
    page = opened(words=tuple(f"w{n}" for n in range(60)), heads=(0,), least=0.0)
    first = token(page, "query", 0).bounding_box()
    assert first is not None
    page.mouse.move(450, 700)
    page.mouse.wheel(0, 900)
    page.wait_for_function("scrollY > 600")
    top = tops(page, 0)[0]
    assert abs(top - (first["y"] - page.evaluate("scrollY"))) < 2
    row = next(n for n in range(60) if tops(page, n)[1] > 100)  # in view
    box = page.locator("canvas.under").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, tops(page, row)[1])  # where its lines begin
    expect(page.locator(".tip")).to_contain_text(f"w{row} →")
    tip = page.locator(".tip").bounding_box()
    assert tip is not None and 0 < tip["y"] - tops(page, row)[1] < 60


def test_a_figure_with_a_scroll_bar_of_its_own_draws_the_rows_in_view(opened: Opened) -> None:
    page = opened(words=tuple(f"w{n}" for n in range(180)), heads=(0,), least=0.0)
    expect(page.locator(".figure.tall")).to_have_count(1)
    still = tops(page, 0)[0]
    page.locator(".figure").evaluate("figure => figure.scrollTop = 1500")
    assert abs(tops(page, 0)[0] - still) < 2, "the canvas stays, and is drawn anew"
    page.locator(".figure").scroll_into_view_if_needed()
    row = next(n for n in range(180) if tops(page, n)[1] > 300)
    box = page.locator("canvas.under").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, tops(page, row)[1])
    expect(page.locator(".tip")).to_contain_text(f"w{row} →")


def test_everything_can_be_done_by_keyboard(opened: Opened) -> None:
    page = opened()
    page.get_by_role("radio", name="layer 1").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="layer 2")).to_have_attribute("aria-checked", "true")
    page.keyboard.press("[")
    expect(page.get_by_role("radio", name="layer 1")).to_have_attribute("aria-checked", "true")
    head(page, 0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(head(page, 1)).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Shift+Enter")
    assert said(page).startswith(f"{len(expected((1,)))} lines")
    page.keyboard.press("a")
    token(page, "query", 0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(token(page, "query", 1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(token(page, "key", 1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(token(page, "query", 1)).to_have_attribute("aria-selected", "false")
    page.keyboard.press("2")
    expect(head(page, 1)).to_have_attribute("aria-pressed", "false")


def test_tokens_are_text_and_named_for_a_screen_reader(opened: Opened) -> None:
    page = opened()
    listbox = page.get_by_role("listbox", name="source token")
    assert [option.strip("\u2068\u2069") for option in listbox.get_by_role("option").all_text_contents()] == list(WORDS)
    assert page.locator(".lines b").count() == 0
    expect(page.get_by_role("img", name="Encoder attention, layer 1", exact=False)).to_be_visible()
    expect(page.get_by_role("radiogroup", name="Layer")).to_be_visible()


def test_a_png_of_twice_the_size_is_saved(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    path = tmp_path / "saved.png"
    download.value.save_as(path)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width = int.from_bytes(content[16:20], "big")
    figure = page.locator(".figure").bounding_box()
    assert figure is not None and width >= 2 * figure["width"]
