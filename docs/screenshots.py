"""Takes the pictures of README and docs from the running app: python docs/screenshots.py [FOLDER] [--all].

With --all, every view at three widths, light and dark, for looking at; without it the few that are shown.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.browser import chromium, running_app

IMAGES = Path(__file__).parent / "images"
SHOWN = (("lines", 1280, "light"), ("lines", 1280, "dark"), ("heatmap", 1280, "light"))
VIEWS = ("lines", "heatmap", "cross", "mask", "pieces", "long", "error")
LONG = (
    "When the old man opened the small wooden box that his sister had given him many years ago, he found a letter in "
    "it, and because it was in a language he had never learned, he asked the young woman next door to read it to him."
)


def ask(page: Page, text: str) -> None:
    """Type a sentence and press Enter."""
    box = page.get_by_label("English")
    box.fill(text)
    box.press("Enter")


def choose(page: Page, key: str, name: str) -> None:
    """Click one option of a segmented control."""
    page.locator(f".st-key-{key}").get_by_role("radio", name=name).click()


def open_view(page: Page, view: str) -> None:
    """Bring the freshly opened page into a view."""
    if view == "heatmap":
        choose(page, "view", "Heatmap")
    elif view == "cross":
        choose(page, "map", "Output → source")
    elif view == "mask":
        choose(page, "map", "Output → output")
        choose(page, "view", "Heatmap")
    elif view == "pieces":
        choose(page, "unit", "Pieces")
    elif view == "long":
        ask(page, LONG)
    elif view == "error":
        ask(page, "word " * 300)


def settle(page: Page) -> None:
    """Wait until Streamlit stands still and its charts are painted."""
    page.wait_for_timeout(500)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_timeout(1200)


def take(browser: Browser, address: str, view: str, width: int, scheme: str, folder: Path) -> Path:
    """One full-page picture."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(address)
    page.locator(".st-key-lines svg, .st-key-lines canvas").first.wait_for(timeout=60_000)
    open_view(page, view)
    settle(page)
    # the page scrolls inside Streamlit's own frame: a taller window shows all of it
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": max(900, min(height, 4000))})
    settle(page)
    path = folder / f"{view}-{width}-{scheme}.png"
    page.screenshot(path=path)
    context.close()
    return path


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    parser.add_argument("--all", action="store_true", help="every view at 390, 1280 and 1920 px, light and dark")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = itertools.product(VIEWS, (390, 1280, 1920), ("light", "dark")) if options.all else SHOWN
    with running_app() as address, chromium() as browser:
        for view, width, scheme in wanted:
            print(take(browser, address, view, width, scheme, options.folder))


if __name__ == "__main__":
    main()
