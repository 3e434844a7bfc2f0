"""The section "Long text" in a real browser: compute, pick a head, click the map, and the window is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 60_000  # milliseconds: a busy two-core machine, not a goal
SCRIPT = """
import streamlit as st

st.set_page_config(layout="wide")
st.session_state["navigated"] = True

from pages import _own_long, _shared
from pages._own import VIEW, complete

with _shared.errors_as_sentences():
    VIEW.arrive(complete)
    _own_long.draw(_shared.theme())
    VIEW.remember()
"""


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def section(browser: Browser, address: str, requested: list[str]) -> Page:
    """The section with the shipped GPT and the page's own story."""
    context = browser.new_context(viewport={"width": 1280, "height": 2400})
    page = context.new_page()
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{address}/?model=gpt&kind=decoder&layer=6&head=6")
    return page


def test_from_a_long_text_to_a_window(section: Page, requested: list[str]) -> None:
    complaints: list[str] = []
    section.on("pageerror", lambda error: complaints.append(str(error)))
    expect(section.get_by_text("it was cut at its end")).to_be_visible(timeout=PATIENCE)
    expect(section.get_by_text("256 tokens and 48 heads")).to_be_visible()
    section.get_by_role("button", name="Compute").click()
    expect(section.get_by_role("grid")).to_be_visible(timeout=PATIENCE)
    area = section.locator(".st-key-own-long-near .nsewdrag").first
    expect(area).to_be_visible(timeout=PATIENCE)
    expect(section.locator(".st-key-lines canvas.under")).to_be_visible(timeout=PATIENCE)

    box = area.bounding_box()
    assert box
    place = box["x"] + 0.25 * box["width"], box["y"] + 0.8 * box["height"]  # token 205 looks at 65
    section.mouse.move(*place)
    expect(section.locator(".st-key-own-long-near .hovertext")).to_contain_text("looks at 65–68")
    section.mouse.click(*place)
    expect(section.get_by_text("two passages")).to_be_visible(timeout=PATIENCE)
    expect(section).to_have_url(re.compile(r"row=1[67]\d&column=3\d"))
    expect(section.get_by_text(re.compile(r"puts \d+% of its attention outside"))).to_be_visible()

    grid = section.get_by_role("grid")
    frame = grid.bounding_box()
    assert frame
    grid.click(position={"x": frame["width"] * 1.5 / 8, "y": frame["height"] * 4.5 / 6})  # layer 5, head 2
    expect(section.get_by_text("Decoder attention, layer 5, head 2")).to_be_visible(timeout=PATIENCE)
    expect(section).to_have_url(re.compile(r"layer=5&head=2"))
    expect(section.get_by_role("button", name="head 2")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    expect(section.get_by_role("button", name="head 6")).to_have_attribute("aria-pressed", "false")

    assert not complaints
    assert requested and {urlsplit(url).hostname for url in requested} <= {"127.0.0.1", None, ""}
    section.context.close()
