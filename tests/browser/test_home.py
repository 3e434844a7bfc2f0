"""Home and models in a real browser: cards open a page in their state, and nothing leaves this machine."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from engine.catalogue import MODELS
from pages._permalink import CODEC
from pages._presets import PRESETS

pytestmark = pytest.mark.browser
PATIENCE = 12_000  # milliseconds: a busy two-core machine, not a goal


@pytest.fixture
def home(page: Page, app_address: str) -> Page:
    page.goto(app_address)
    page.get_by_role("heading", name="See what a trained network looks at").wait_for(timeout=PATIENCE)
    return page


def test_the_first_thing_to_see_is_a_pronoun_and_its_noun(home: Page) -> None:
    said = home.locator(".stMain").get_by_role("status").first
    expect(said).to_contain_text("it looks at animal", timeout=PATIENCE)
    home.locator(".column.query .token").nth(5).hover()
    expect(said).to_contain_text("street looks at")


@pytest.mark.parametrize("name", ["wide", "playback", "alignment", "mask"])
def test_a_card_opens_the_page_in_its_state(home: Page, name: str) -> None:
    home.locator(f".st-key-card-{name}").get_by_role("link", name="Open").click()
    expect(home.get_by_label("English")).to_have_value(PRESETS[name].text, timeout=PATIENCE)
    expect(home.locator("canvas, .js-plotly-plot .hm").first).to_be_visible(timeout=PATIENCE)
    home.wait_for_timeout(1_000)
    address = {key: values[0] for key, values in parse_qs(urlsplit(home.url).query).items()}
    assert CODEC.encode(PRESETS[name].view(MODELS["en-fr"])).items() <= address.items()
    assert home.get_by_role("alert").count() == 0


def test_home_and_models_ask_nothing_of_other_machines(home: Page, app_address: str, requested: list[str]) -> None:
    home.goto(f"{app_address}/models")
    expect(home.get_by_role("tab", name="Scores").first).to_be_visible(timeout=PATIENCE)
    expect(home.locator("canvas, svg.marks").first).to_be_visible(timeout=PATIENCE)
    assert [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")] == []
