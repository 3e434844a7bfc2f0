"""The Translate page in a real browser: type, translate, save, share; and nothing leaves this machine."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engine.record import load_trace

pytestmark = pytest.mark.browser
PATIENCE = 12_000  # milliseconds: a busy two-core machine, not a goal
TIRED = "The animal didn't cross the street because it was too tired."
SVG = "{http://www.w3.org/2000/svg}"


def diagram(page: Page) -> Locator:
    return page.locator(".st-key-lines .lines")


def token(page: Page, side: str, index: int) -> Locator:
    return diagram(page).locator(f".column.{side} .token").nth(index)


def status(page: Page) -> Locator:
    return diagram(page).get_by_role("status")


def ask(page: Page, text: str) -> None:
    box = page.get_by_label("English")
    box.fill(text)
    box.press("Enter")


def settled(page: Page) -> None:
    """Wait until Streamlit has finished the run."""
    page.wait_for_timeout(500)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=PATIENCE)


def choose(page: Page, key: str, name: str) -> None:
    page.locator(f".st-key-{key}").get_by_role("radio", name=name, exact=True).click()
    settled(page)


def saved(page: Page, button: Locator, folder: Path) -> Path:
    """The file that a click on a button saves."""
    with page.expect_download(timeout=PATIENCE) as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def open_menu(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.wait_for_timeout(300)


def test_type_a_sentence_and_read_its_translation(page: Page, requested: list[str]) -> None:
    ask(page, "I love you.")
    expect(page.locator("p[lang=fr]")).to_contain_text("aime", timeout=PATIENCE)
    expect(page.get_by_text("3 words in")).to_be_visible(timeout=PATIENCE)
    expect(token(page, "query", 1)).to_have_text("love", timeout=PATIENCE)
    outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
    assert requested and outside == []


def test_a_preset_opens_its_sentence_with_its_pronoun_pinned(page: Page) -> None:
    open_menu(page, "Examples")
    page.get_by_role("button", name="“it” was too wide").click()
    expect(page.get_by_label("English")).to_have_value("The animal didn't cross the street because it was too wide.")
    expect(page.locator("p[lang=fr]")).to_contain_text("rue", timeout=PATIENCE)
    expect(status(page)).to_contain_text("it looks at street", timeout=PATIENCE)


def test_markup_in_the_text_is_shown_and_never_run(page: Page) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    ask(page, "<img src=x onerror=alert(1)> <script>alert(2)</script> I am here.")
    expect(diagram(page).get_by_text("script", exact=True).first).to_be_visible(timeout=PATIENCE)
    assert page.locator("p[lang=fr] img, p[lang=fr] script").count() == 0
    assert diagram(page).locator("img, script").count() == 0


def test_a_long_text_is_refused_with_the_limit(page: Page) -> None:
    ask(page, "word " * 300)
    expect(page.get_by_role("alert")).to_contain_text("128 at most", timeout=PATIENCE)
    expect(page.get_by_role("alert")).not_to_contain_text("Traceback")


def test_every_view_is_drawn_for_every_map(page: Page) -> None:
    for kind in ("Source → source", "Output → output", "Output → source"):
        choose(page, "map", kind)
        for view, drawn in (
            ("All heads", ".st-key-grid canvas"),
            ("Heatmap", ".st-key-heatmap .js-plotly-plot .hm"),
            ("Lines", ".st-key-lines canvas.under"),
        ):
            choose(page, "view", view)
            expect(page.locator(drawn).first).to_be_visible(timeout=PATIENCE)
    choose(page, "view", "Playback")
    expect(page.locator(".st-key-player canvas").first).to_be_visible(timeout=PATIENCE)
    assert page.get_by_role("alert").count() == 0


def test_a_thumbnail_opens_its_head(page: Page) -> None:
    choose(page, "view", "All heads")
    canvas = page.locator(".st-key-grid canvas").first
    expect(canvas).to_be_visible(timeout=PATIENCE)
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 0.56, "y": box["height"] * 0.42})  # of 6 × 8: layer 3, head 5
    expect(diagram(page)).to_be_visible(timeout=PATIENCE)
    settled(page)
    assert (address(page)["layer"], address(page)["heads"]) == ("3", "5")


def test_the_address_restores_what_was_done_in_the_browser(page: Page, browser: Browser) -> None:
    diagram(page).get_by_role("radio", name="layer 3").click()
    diagram(page).get_by_role("button", name="head 6").click()
    token(page, "query", 5).click()
    diagram(page).get_by_label("Threshold").fill("12")
    page.wait_for_timeout(1_000)
    settled(page)
    page.mouse.move(5, 5)
    before, message = address(page), status(page).text_content()
    assert before["layer"] == "3" and "6" in before["heads"].split(".")
    assert before["pins"] == "6.8" and before["least"] == "0.12"
    other = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    other.goto(page.url)
    expect(status(other)).to_have_text(message or "", timeout=PATIENCE)
    settled(other)
    assert address(other) == before
    other.context.close()


def test_going_back_restores_the_view_before(page: Page) -> None:
    choose(page, "map", "Output → source")
    assert address(page)["map"] == "cross"
    page.go_back()
    expect(diagram(page).get_by_text("source token")).to_be_visible(timeout=PATIENCE)
    assert "map" not in address(page)


def test_what_is_saved_is_what_is_shown(page: Page, tmp_path: Path) -> None:
    svg = saved(page, diagram(page).get_by_role("button", name="SVG"), tmp_path)
    lines = ElementTree.parse(svg).getroot().findall(f".//{SVG}line[@class='attention']")
    assert len(lines) >= 1
    head = address(page)["heads"]
    assert all(f"head {head}," in (line.findtext(f"{SVG}title") or "") for line in lines)
    open_menu(page, "Save & share")
    table = saved(page, page.get_by_role("button", name="Shown map, CSV"), tmp_path)
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"), newline="")))
    assert {row["head"] for row in rows} == {str(int(head) - 1)}  # files count from 0
    everything = load_trace(saved(page, page.get_by_role("button", name="All maps, NPZ"), tmp_path))
    assert everything.request.text == TIRED
    it = [row for row in rows if row["query"] == "it"]
    assert sum(float(row["weight"]) for row in it) == pytest.approx(1, abs=1e-5)  # float32, 14 terms
    assert max(it, key=lambda row: float(row["weight"]))["key"] == "animal"
    assert everything.maps["encoder"].weights.shape[:2] == (6, 8)
    assert np.allclose(everything.maps["encoder"].weights.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("view", ["Lines", "Playback", "All heads"])
def test_the_figure_works_as_a_page_of_its_own(page: Page, browser: Browser, tmp_path: Path, view: str) -> None:
    if view != "Lines":
        choose(page, "view", view)
    else:  # what was done in the browser is in the file
        diagram(page).get_by_role("radio", name="layer 5").click()
        token(page, "query", 1).click()
        page.wait_for_timeout(1_000)
        settled(page)
    component = page.locator(".st-key-lines, .st-key-player, .st-key-grid").get_by_role("status")
    page.mouse.move(5, 5)
    shown = component.text_content() or ""
    open_menu(page, "Save & share")
    path = saved(page, page.get_by_role("button", name="Figure, HTML"), tmp_path)
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 1000})
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(path.as_uri())
    expect(tab.get_by_role("status")).to_have_text(shown)
    assert tab.locator("canvas").first.bounding_box()
    assert problems == []
    context.close()


def test_the_request_file_opens_the_same_view(page: Page, tmp_path: Path) -> None:
    choose(page, "map", "Output → source")
    before = address(page)
    open_menu(page, "Save & share")
    path = saved(page, page.get_by_role("button", name="Request file"), tmp_path)
    assert json.loads(path.read_text("utf-8"))["map"] == "cross"
    page.keyboard.press("Escape")
    ask(page, "I am tired.")
    expect(token(page, "key", 1)).to_contain_text("am", timeout=PATIENCE)
    settled(page)
    open_menu(page, "Save & share")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_label("English")).to_have_value(TIRED, timeout=PATIENCE)
    settled(page)
    assert address(page) == before


def test_a_forced_translation_changes_the_maps(page: Page) -> None:
    open_menu(page, "Edit the translation")
    page.get_by_label("French").fill("Oui.")
    page.get_by_label("French").press("Enter")
    expect(page.get_by_text("is yours", exact=False).first).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("Escape")
    choose(page, "map", "Output → source")
    expect(token(page, "query", 0)).to_have_text("Oui")
    assert address(page)["target"] == "Oui."


def test_the_whole_page_works_by_keyboard(page: Page) -> None:
    page.get_by_label("English").focus()
    page.keyboard.type(" ")  # the box has the focus and takes keys
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.shadowRoot?.activeElement?.className ?? ''").startswith("layer"):
            break
    else:
        pytest.fail("Tab never reached the diagram")
    page.keyboard.press("End")
    expect(diagram(page).get_by_role("radio", name="layer 6")).to_have_attribute("aria-checked", "true")


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Browser, app_address: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = context.new_page()
    tab.goto(f"{app_address}/translate?text=I+love+you.")
    tab.locator(".st-key-lines canvas.under").wait_for(timeout=PATIENCE)
    over = tab.evaluate(
        """() => [...document.querySelectorAll('.stMainBlockContainer *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .filter(e => !e.closest('.st-key-heatmap, [data-testid=stButtonGroup]'))
            .map(e => e.className)"""
    )
    assert over == []
    background = tab.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness > 600) == (scheme == "light")
    context.close()
