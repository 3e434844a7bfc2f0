"""The app as a user starts it, and a real Chromium that notes every request it makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page

from bench.browser import NoBrowser, chromium, running_app, serving


@pytest.fixture(scope="session")
def app_address() -> Iterator[str]:
    """`saccade run` on a free port of this machine; ends with the tests."""
    with running_app() as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(chromium())
        except NoBrowser as reason:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(reason))
        yield found


@pytest.fixture(scope="module")
def script_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts a Streamlit script, given as text, on a free port and gives its address; it ends with the module."""
    with ExitStack() as stack:

        def start(script: str) -> str:
            path = tmp_path_factory.mktemp("script") / "page.py"
            path.write_text(script, "utf-8")
            return stack.enter_context(serving("streamlit", "run", str(path), port="--server.port")).address

        yield start


@pytest.fixture
def requested() -> list[str]:
    """Addresses of every request of this test's page."""
    return []


@pytest.fixture
def page(browser: Browser, app_address: str, requested: list[str]) -> Iterator[Page]:
    """The Translate page as it opens, fully drawn."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.on("request", lambda request: requested.append(request.url))
    tab.goto(f"{app_address}/translate")
    tab.locator(".st-key-lines canvas.under").wait_for(timeout=30_000)
    yield tab
    context.close()
