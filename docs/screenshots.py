"""Takes the pictures of README and docs from the running app: python docs/screenshots.py [FOLDER] [--all].

With --all, every view at three widths, light and dark, for looking at; without it the few that are shown.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.browser import chromium, running_app

IMAGES = Path(__file__).parent / "images"
SHOWN = (("lines", 1280, "light"), ("grid", 1280, "dark"), ("playback", 1280, "light"), ("difference", 1280, "light"))
TIRED = "The animal didn't cross the street because it was too tired."
LONG = (
    "When the old man opened the small wooden box that his sister had given him many years ago, he found a letter in "
    "it, and because it was in a language he had never learned, he asked the young woman next door to read it to him."
)


def translate(text: str = TIRED, **view: str) -> str:
    """The address of a view of the Translate page."""
    return f"/translate?{urlencode({'text': text, **view})}"


VIEWS = {
    "home": "/",
    "lines": translate(layer="2", pins="8"),
    "all-lines": translate(layer="3"),
    "cross": translate(map="cross", layer="3", heads="7"),
    "pieces": translate(tokens="pieces", layer="2", special="hidden"),
    "mean": translate(over_heads="mean", over_layers="max"),
    "playback": translate(view="playback", step="15"),
    "encoding": translate(view="playback", step="3"),
    "grid": translate(view="grid"),
    "heatmap": translate(view="heatmap", map="cross", layer="3", heads="7"),
    "pair": translate(view="heatmap", compare="pair", layer="2", heads="3", other="2.4"),
    "difference": translate(view="heatmap", compare="difference", map="cross", layer="3", heads="1", other="3.7"),
    "mask": translate(view="heatmap", map="decoder", tokens="pieces"),
    "forced": translate(target="L'animal n'a pas traversé la rue parce qu'elle était trop fatiguée.", map="cross"),
    "presenter": translate(presenter="1", layer="2", heads="3", pins="8"),
    "presenter-grid": translate(presenter="1", view="grid"),
    "presenter-heatmap": translate(presenter="1", view="heatmap", layer="2", heads="3"),
    "presenter-playback": translate(presenter="1", view="playback", step="15"),
    "long": translate(LONG),
    "problem": translate("word " * 140, colour="red"),
    "models": "/models",
}


def settle(page: Page) -> None:
    """Wait until Streamlit stands still and its charts are painted."""
    page.wait_for_timeout(500)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=60_000)
    page.wait_for_timeout(1500)


def take(browser: Browser, address: str, view: str, width: int, scheme: str, folder: Path) -> Path:
    """One full-page picture."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{address}{VIEWS[view]}")
    page.locator("h1").first.wait_for(timeout=60_000)
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
    parser.add_argument("--only", choices=VIEWS, nargs="+", default=list(VIEWS), help="with --all: these views alone")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = itertools.product(options.only, (390, 1280, 1920), ("light", "dark")) if options.all else SHOWN
    with running_app() as address, chromium() as browser:
        for view, width, scheme in wanted:
            print(take(browser, address, view, width, scheme, options.folder))


if __name__ == "__main__":
    main()
