"""The Translate page in a real browser: type, translate, change head, hover; and nothing leaves this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal


def lines_chart(page: Page) -> Locator:
    return page.locator(".st-key-lines")


def drawn_lines(page: Page) -> int:
    """Lines in the diagram's SVG."""
    return lines_chart(page).locator("svg .mark-rule line").count()


def ask(page: Page, text: str) -> None:
    box = page.get_by_label("English")
    box.fill(text)
    box.press("Enter")


def settled(page: Page) -> None:
    """Wait until Streamlit has finished the run and its charts."""
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=PATIENCE)


def test_type_a_sentence_and_read_its_translation(page: Page, requested: list[str]) -> None:
    ask(page, "I love you.")
    expect(page.locator("p[lang=fr]")).to_contain_text("aime", timeout=PATIENCE)
    expect(page.get_by_text("3 words in")).to_be_visible(timeout=PATIENCE)
    outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
    assert requested and outside == []


def test_a_preset_opens_its_sentence(page: Page) -> None:
    page.get_by_role("button", name="it was too wide").click()
    expect(page.get_by_label("English")).to_have_value("The animal didn't cross the street because it was too wide.")
    expect(page.locator("p[lang=fr]")).to_contain_text("rue", timeout=PATIENCE)


def test_choosing_other_heads_redraws_the_lines(page: Page) -> None:
    titles = lines_chart(page).get_by_text("layer", exact=False)
    expect(titles.first).to_be_visible(timeout=PATIENCE)
    page.locator(".st-key-layer-encoder").get_by_role("radio", name="1", exact=True).click()
    expect(lines_chart(page).get_by_text("layer 1", exact=False).first).to_be_visible(timeout=PATIENCE)
    legend = lines_chart(page).locator("svg .role-legend-label")
    settled(page)
    before = legend.count()
    pills = page.locator(".st-key-heads-encoder").get_by_role("button")
    pills.nth(0).click()
    expect(legend).not_to_have_count(before, timeout=PATIENCE)


def test_pointing_at_a_token_leaves_only_its_lines(page: Page) -> None:
    page.locator(".st-key-map").get_by_role("radio", name="Output → source").click()
    expect(lines_chart(page).get_by_text("cross", exact=False).first).to_be_visible(timeout=PATIENCE)
    settled(page)
    everything = drawn_lines(page)
    token = lines_chart(page).locator("svg .mark-rect path[aria-roledescription]").nth(2)
    token.hover(force=True)
    page.wait_for_function(
        "n => document.querySelectorAll('.st-key-lines svg .mark-rule line').length < n",
        arg=everything,
        timeout=PATIENCE,
    )
    assert 0 < drawn_lines(page) < everything


def test_clicking_the_legend_hides_a_head(page: Page) -> None:
    page.locator(".st-key-map").get_by_role("radio", name="Output → source").click()
    expect(lines_chart(page).get_by_text("cross", exact=False).first).to_be_visible(timeout=PATIENCE)
    settled(page)
    before = drawn_lines(page)
    lines_chart(page).locator("svg .role-legend-symbol path").first.click(force=True)
    page.wait_for_function(
        "n => document.querySelectorAll('.st-key-lines svg .mark-rule line').length < n", arg=before, timeout=PATIENCE
    )


def test_the_heatmap_shows_numbers_and_a_mask(page: Page) -> None:
    page.locator(".st-key-map").get_by_role("radio", name="Output → output").click()
    page.locator(".st-key-view").get_by_role("radio", name="Heatmap").click()
    expect(page.locator(".js-plotly-plot .hm").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("attention weight")).to_be_visible(timeout=PATIENCE)


def test_markup_in_the_text_is_shown_and_never_run(page: Page) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    ask(page, "<img src=x onerror=alert(1)> <script>alert(2)</script> I am here.")
    expect(lines_chart(page).get_by_text("script", exact=False).first).to_be_visible(timeout=PATIENCE)
    assert page.locator("p[lang=fr] img, p[lang=fr] script").count() == 0


def test_a_long_text_is_refused_with_the_limit(page: Page) -> None:
    ask(page, "word " * 300)
    expect(page.get_by_role("alert")).to_contain_text("128 at most", timeout=PATIENCE)
    expect(page.get_by_role("alert")).not_to_contain_text("Traceback")
