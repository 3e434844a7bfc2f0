"""A link that is the very first thing a new server is asked for."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from bench.browser import running_app

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: the model is loaded meanwhile


@pytest.mark.parametrize("path", ["translate?text=I+love+you.&view=grid", "models"])
def test_a_link_opens_its_page_with_menu_and_style(browser: Browser, path: str) -> None:
    with running_app() as address:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(f"{address}/{path}")
        heading = path.split("?")[0].capitalize()
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible(timeout=PATIENCE)
        if "grid" in path:
            expect(page.locator(".st-key-grid canvas").first).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_role("link", name="Alignment").first).to_be_visible(timeout=PATIENCE)
        assert page.get_by_text("permalink", exact=True).count() == 0
        page.context.close()
