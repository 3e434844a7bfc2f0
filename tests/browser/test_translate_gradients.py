"""The Translate page's gradients in a real browser: switch, point, pin, change the norm, save."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 20_000  # milliseconds: a busy two-core machine, not a goal
TIRED = "The animal didn't cross the street because it was too tired."
SVG = "{http://www.w3.org/2000/svg}"


def diagram(page: Page) -> Locator:
    return page.locator(".st-key-lines .lines")


def token(page: Page, side: str, label: str) -> Locator:
    return diagram(page).locator(f".column.{side} .token").filter(has=page.get_by_text(label, exact=True)).first


def status(page: Page) -> Locator:
    return diagram(page).get_by_role("status")


def settled(page: Page) -> None:
    """Wait until Streamlit has finished the run."""
    page.wait_for_timeout(500)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=PATIENCE)


def choose(page: Page, key: str, name: str) -> None:
    page.locator(f".st-key-{key}").get_by_role("radio", name=name, exact=True).click()
    settled(page)


def saved(page: Page, button: Locator, folder: Path) -> Path:
    with page.expect_download(timeout=PATIENCE) as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def numbers(page: Page, side: str) -> dict[str, float]:
    """What stands beside each token while one of the other side is picked."""
    cells = diagram(page).locator(f".column.{side} .token").all()
    read = [
        (cell.locator(".label").text_content() or "", cell.locator(".value").text_content() or "0") for cell in cells
    ]
    return {label: float(value or 0) for label, value in read}


@pytest.fixture
def gradients(page: Page) -> Page:
    """The first sentence with the switch at gradients."""
    choose(page, "measure", "Gradient")
    expect(status(page)).to_contain_text("with gradient ≥ 0.30", timeout=PATIENCE)
    return page


def test_the_switch_draws_lines_and_a_heatmap_and_goes_back(gradients: Page) -> None:
    expect(diagram(gradients).get_by_text("moved by source")).to_be_visible()
    assert "of the attention" not in (status(gradients).text_content() or "")
    assert (diagram(gradients).locator("canvas.under").get_attribute("aria-label") or "").startswith("Cross gradient")
    assert diagram(gradients).get_by_role("radio", name="layer 1").count() == 0
    choose(gradients, "map", "Output → output")
    choose(gradients, "view", "Heatmap")
    expect(gradients.locator(".st-key-heatmap .js-plotly-plot .hm").first).to_be_visible(timeout=PATIENCE)
    expect(gradients.locator(".st-key-heatmap")).to_contain_text("Decoder gradient, whole model, one-hot norm")
    assert gradients.get_by_role("alert").count() == 0
    choose(gradients, "measure", "Attention")
    expect(gradients.locator(".st-key-heatmap")).to_contain_text("Decoder attention", timeout=PATIENCE)


def test_animal_moves_il_most(gradients: Page) -> None:
    token(gradients, "query", "il").hover()
    expect(status(gradients)).to_contain_text("is moved by animal 1.000")
    token(gradients, "key", "animal").hover()
    expect(status(gradients)).to_contain_text("animal moves ")


def test_pins_are_no_sums(gradients: Page) -> None:
    """Of two rows the larger, of two columns the root of the sum of squares; squared columns add up."""
    for label in ("il", "rue"):
        token(gradients, "query", label).click()
    gradients.mouse.move(5, 5)
    expect(status(gradients)).to_contain_text("largest of 2 tokens")
    together = numbers(gradients, "key")
    assert together["animal"] == together["street"] == 1
    gradients.keyboard.press("Escape")
    rows = {}
    for label in ("animal", "street"):
        token(gradients, "key", label).hover()
        rows[label] = numbers(gradients, "query")
    for label in ("animal", "street"):
        token(gradients, "key", label).click()
    gradients.mouse.move(5, 5)
    expect(status(gradients)).to_contain_text("norm over 2 tokens")
    both = numbers(gradients, "query")
    for label in ("il", "rue", "traversé"):
        assert both[label] == pytest.approx(math.hypot(rows["animal"][label], rows["street"][label]), abs=2e-3)


def test_what_is_saved_says_gradient(gradients: Page, tmp_path: Path) -> None:
    svg = saved(gradients, diagram(gradients).get_by_role("button", name="SVG"), tmp_path)
    assert svg.name == "cross-gradient-one-hot.svg"
    text = svg.read_text("utf-8")
    assert "Cross gradient, whole model: one-hot norm" in text and "Cross attention" not in text
    assert len(ElementTree.fromstring(text).findall(f".//{SVG}line")) > 10
    png = saved(gradients, diagram(gradients).get_by_role("button", name="PNG"), tmp_path)
    assert png.name == "cross-gradient-one-hot.png" and png.read_bytes()[:4] == b"\x89PNG"
    gradients.get_by_role("button", name="Save & share").click()
    gradients.wait_for_timeout(300)
    table = saved(gradients, gradients.get_by_role("button", name="Shown gradients, CSV"), tmp_path)
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"), newline="")))
    il = [row for row in rows if row["predicts"] == "il"]
    assert max(il, key=lambda row: float(row["gradient"]))["key"] == "animal"
    whole = saved(gradients, gradients.get_by_role("button", name="All gradients, JSON"), tmp_path)
    assert json.loads(whole.read_text("utf-8"))["text"] == TIRED
    page = saved(gradients, gradients.get_by_role("button", name="Figure, HTML"), tmp_path)
    assert page.name == "en-fr-cross-gradient-one-hot-lines.html"


def test_the_address_restores_gradients(gradients: Page, browser: Browser) -> None:
    token(gradients, "query", "il").click()
    diagram(gradients).get_by_label("Threshold").fill("70")
    gradients.wait_for_timeout(1_000)
    settled(gradients)
    gradients.mouse.move(5, 5)
    message = status(gradients).text_content() or ""
    query = {name: values[0] for name, values in parse_qs(urlsplit(gradients.url).query).items()}
    assert (query["measure"], query["map"], query["least"], query["pins"]) == ("gradient", "cross", "0.7", "11")
    other = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    other.goto(gradients.url)
    expect(status(other)).to_have_text(message, timeout=PATIENCE)
    other.context.close()


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_is_wider_than_the_screen(browser: Browser, app_address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    tab.goto(f"{app_address}/translate?{urlencode({'text': 'I love you.', 'measure': 'gradient'})}")
    tab.locator(".st-key-lines canvas.under").wait_for(timeout=30_000)
    over = tab.evaluate(
        """() => [...document.querySelectorAll('.stMainBlockContainer *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .filter(e => !e.closest('[data-testid=stButtonGroup]'))
            .map(e => e.className)"""
    )
    assert over == []
    context.close()
