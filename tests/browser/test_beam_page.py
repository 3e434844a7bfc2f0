"""The Beam search page in a real browser: search, scrub, choose, force, re-rank, save, share; and nothing leaves it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 20_000  # milliseconds: a busy two-core machine, not a goal
TEXT = "I love you."
OTHER = "He hit me with a pie."


@pytest.fixture
def page(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Page]:
    """The page with a short sentence; at the end nothing may have failed or asked another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    opened(tab, f"{app_address}/beam?{urlencode({'text': TEXT})}")
    yield tab
    context.close()
    outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
    assert requested and outside == [] and complaints == []


def opened(tab: Page, address: str) -> Page:
    tab.goto(address)
    tree(tab).wait_for(timeout=PATIENCE)
    settled(tab)
    return tab


def tree(page: Page) -> Locator:
    return page.locator(".st-key-tree").get_by_role("tree")


def settled(page: Page) -> None:
    """Wait until the component has told the server, and Streamlit has finished the run."""
    page.wait_for_timeout(600)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=PATIENCE)


def walk(page: Page, *keys: str) -> None:
    """Walk in the tree from the first node of its best path."""
    tree(page).focus()
    for key in ("Home", *keys):
        page.keyboard.press(key)


def click_first(page: Page) -> None:
    """Click the first node of the best path."""
    walk(page)
    box = page.locator(".st-key-tree").get_by_role("treeitem").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".st-key-node")).to_be_visible(timeout=PATIENCE)
    settled(page)


def readout(page: Page) -> Locator:
    return page.locator(".st-key-tree .readout")


def prefix(page: Page) -> Locator:
    """What has been said up to the chosen node."""
    return page.locator(".st-key-node p[lang=fr]")


def caption(page: Page) -> Locator:
    return page.locator(".st-key-tree .caption .line")


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def open_menu(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.wait_for_timeout(300)


def saved(page: Page, button: Locator, folder: Path) -> Path:
    """The file that a click on a button saves."""
    with page.expect_download(timeout=PATIENCE) as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_sentence_is_searched_scrubbed_and_remembered(page: Page, browser: Browser) -> None:
    box = page.get_by_label("English")
    box.fill(OTHER)
    box.press("Enter")
    expect(caption(page)).to_contain_text("tarte", timeout=PATIENCE)
    settled(page)
    page.get_by_role("slider", name="Step", exact=True).fill("3")
    expect(caption(page)).to_contain_text("Step 2: ")
    settled(page)
    assert (address(page)["text"], address(page)["step"], address(page)["phase"]) == (OTHER, "2", "expand")
    page.get_by_role("slider", name="Step", exact=True).fill("4")
    settled(page)
    click_first(page)
    before = address(page)
    assert before["step"] == "2" and before["node"] and "phase" not in before
    page.mouse.move(5, 5)
    shown = [element.text_content() or "" for element in (caption(page), readout(page), prefix(page))]
    other = opened(browser.new_context(viewport={"width": 1280, "height": 1000}).new_page(), page.url)
    for element, text in zip((caption(other), readout(other), prefix(other)), shown, strict=True):
        expect(element).to_have_text(text, timeout=PATIENCE)
    assert address(other) == before
    other.context.close()


def test_a_node_shows_its_text_what_may_follow_and_where_it_looked(page: Page) -> None:
    expect(page.get_by_text("Choose a node of the tree")).to_be_visible()
    click_first(page)
    expect(prefix(page)).to_have_text("Je")
    expect(readout(page)).to_contain_text("“Je”")
    expect(page.locator(".st-key-following canvas, .st-key-following svg").first).to_be_visible(timeout=PATIENCE)
    lines = page.locator(".st-key-node-lines")
    expect(lines.locator("canvas.under")).to_be_visible(timeout=PATIENCE)
    expect(lines.get_by_role("status")).to_contain_text("predicts Je looks at")
    walk(page, "ArrowRight", "ArrowRight")
    page.keyboard.press("Enter")
    expect(prefix(page)).to_have_text("Je t'", timeout=PATIENCE)
    expect(lines.get_by_role("status")).to_contain_text("t'", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_forced_beginning_is_a_second_tree_until_it_is_undone(page: Page) -> None:
    click_first(page)
    own = page.get_by_label("Or a whole beginning")
    own.fill("Nous")
    own.press("Enter")
    expect(caption(page)).to_have_count(2, timeout=PATIENCE)
    expect(caption(page).nth(1)).to_contain_text("forced to begin “Nous”")
    expect(prefix(page)).to_have_text("Nous", timeout=PATIENCE)
    settled(page)
    assert address(page)["tree"] == "2" and re.fullmatch(r"\d+", address(page)["forced"])
    token = page.get_by_label("Then a token of your own")
    token.fill("日")
    token.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("none of these characters", timeout=PATIENCE)
    assert "_" not in address(page)["forced"]
    page.go_back()
    expect(caption(page)).to_have_count(1, timeout=PATIENCE)
    page.go_forward()
    expect(caption(page)).to_have_count(2, timeout=PATIENCE)
    page.get_by_role("button", name="Undo").click()
    expect(caption(page)).to_have_count(1, timeout=PATIENCE)
    settled(page)
    assert "forced" not in address(page) and "tree" not in address(page)


def test_another_penalty_is_tried_then_searched_with(page: Page) -> None:
    table = page.get_by_test_id("stDataFrame")
    expect(table).to_be_visible()
    page.locator(".st-key-beam-again").get_by_role("radio", name="GNMT").click()
    expect(page.get_by_text("nothing was searched")).to_be_visible(timeout=PATIENCE)
    settled(page)
    assert address(page)["again"] == "gnmt"
    page.get_by_role("button", name="Search with this penalty").click()
    news = page.get_by_text("Searched under this penalty: it ")
    expect(news).to_be_visible(timeout=PATIENCE)
    settled(page)
    expect(news).to_be_visible()  # until the reader does something else
    assert address(page)["penalty"] == "gnmt" and "again" not in address(page)
    table.scroll_into_view_if_needed()
    settled(page)
    table.locator(".dvn-scroller").click(position={"x": 16, "y": 52})  # the first line's box
    expect(prefix(page)).to_contain_text("aime", timeout=PATIENCE)
    expect(page.get_by_text("Nothing follows: the output has ended.")).to_be_visible()


def test_what_is_saved_agrees_with_the_tree(page: Page, browser: Browser, tmp_path: Path) -> None:
    page.get_by_role("slider", name="Step", exact=True).fill("4")
    settled(page)
    shown = caption(page).text_content() or ""
    svg = saved(page, page.locator(".st-key-tree").get_by_role("button", name="SVG"), tmp_path)
    boxes = [one for one in ElementTree.parse(svg).iter() if (one.get("class") or "").startswith("node ")]
    open_menu(page, "Save & share")
    content = json.loads(saved(page, page.get_by_role("button", name="Tree, JSON"), tmp_path).read_text("utf-8"))
    assert len(boxes) == sum(node["step"] <= 2 for node in content["nodes"])
    rows = saved(page, page.get_by_role("button", name="Hypotheses, CSV"), tmp_path).read_text("utf-8")
    found = list(csv.DictReader(io.StringIO(rows, newline="")))
    assert [row["text"] for row in found] == [one["text"] for one in content["hypotheses"]]
    path = saved(page, page.get_by_role("button", name="Tree, HTML"), tmp_path)
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 1000})
    tab = context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: asked.append(str(error)))
    tab.goto(path.as_uri())
    expect(tab.locator(".caption .line")).to_have_text(shown)
    expect(tab.get_by_role("tree")).to_be_visible()
    assert asked == [path.as_uri()]
    context.close()


def test_a_request_file_opens_the_same_search(page: Page, tmp_path: Path) -> None:
    click_first(page)
    before = address(page)
    open_menu(page, "Save & share")
    path = saved(page, page.get_by_role("button", name="Request file"), tmp_path)
    page.keyboard.press("Escape")
    box = page.get_by_label("English")
    box.fill(OTHER)
    box.press("Enter")
    expect(caption(page)).to_contain_text("tarte", timeout=PATIENCE)
    settled(page)
    open_menu(page, "Save & share")
    page.locator("input[type=file]").set_input_files(path)
    expect(box).to_have_value(TEXT, timeout=PATIENCE)
    expect(prefix(page)).to_have_text("Je", timeout=PATIENCE)
    settled(page)
    assert address(page) == before


def test_the_presenter_has_larger_type_and_fewer_controls(page: Page) -> None:
    size = "element => parseFloat(getComputedStyle(element).fontSize)"
    plain = readout(page).evaluate(size)
    page.get_by_text("Presenter", exact=True).click()
    expect(page.get_by_role("button", name="Save & share")).to_have_count(0, timeout=PATIENCE)
    settled(page)
    assert readout(page).evaluate(size) > plain and address(page)["presenter"] == "1"
    expect(page.get_by_role("button", name="Examples")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (390, "light"), (1920, "dark")])
def test_nothing_is_wider_than_the_screen(browser: Browser, app_address: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    query = urlencode({"text": "They missed their plane because of a traffic jam.", "beams": "10", "node": "1"})
    tab = opened(context.new_page(), f"{app_address}/beam?{query}")
    tab.locator(".st-key-node-lines canvas.under").wait_for(timeout=PATIENCE)
    over = tab.evaluate(
        """() => [...document.querySelectorAll('.stMainBlockContainer *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .filter(e => !e.closest('[data-testid=stDataFrame], [data-testid=stButtonGroup]'))
            .map(e => e.className)"""
    )
    assert over == []
    assert tab.evaluate("document.querySelector('.stMain').scrollWidth <= innerWidth")
    background = tab.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 600) == (scheme == "light")
    context.close()
