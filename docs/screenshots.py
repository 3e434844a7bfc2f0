"""Takes the pictures of README and docs from the running app: python docs/screenshots.py [FOLDER] [--all].

With --all, every view at three widths, light and dark, for looking at; without it the few that are shown, of long pages
a part.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, FloatRect, Page

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.browser import chromium, running_app
from bench.trained import all_minilm

IMAGES = Path(__file__).parent / "images"
SHOWN = (
    ("lines", 1280, "light"),
    ("grid", 1280, "dark"),
    ("playback", 1280, "light"),
    ("difference", 1280, "light"),
    ("coreference", 1280, "light"),
    ("coreference-measures", 1280, "light"),
    ("coreference-matter", 1280, "light"),
    ("beam", 1280, "dark"),
    ("memorization", 1280, "light"),
    ("memorization", 1280, "dark"),
    ("alignment", 1280, "light"),
    ("alignment-steps", 1280, "dark"),
    ("generate", 1280, "light"),
    ("cloze", 1280, "light"),
    ("own", 1280, "light"),
    ("own-neurons", 1280, "dark"),
)
TIRED = "The animal didn't cross the street because it was too tired."
WIDE = "The animal didn't cross the street because it was too wide."
PLANE = "They missed their plane because of a traffic jam."
LONG = (
    "When the old man opened the small wooden box that his sister had given him many years ago, he found a letter in "
    "it, and because it was in a language he had never learned, he asked the young woman next door to read it to him."
)
DOOR = "She opened the old red door and looked at the quiet garden."
EVENING = "It was late in the evening when the old man opened the door and"
ROOMS = "She opened the door and walked slowly into the dark room."
LETTER, ANSWER = (
    "She took the letter from her pocket and read it again.",
    "It was from her brother, and she had not heard from him for a year.",
)
PREFIXES = "the old man looked at the sea and remembered the days of his youth"


def translate(text: str = TIRED, **view: str) -> str:
    """The address of a view of the Translate page."""
    return f"/translate?{urlencode({'text': text, **view})}"


def coreference(**view: str) -> str:
    """The address of a view of the Coreference page, with the lecture's pair."""
    return f"/coreference?{urlencode({'first': TIRED, 'second': WIDE, **view})}"


def beam(text: str = PLANE, **view: str) -> str:
    """The address of a view of the Beam search page."""
    return f"/beam?{urlencode({'text': text, **view})}"


def memorization(**view: str) -> str:
    """The address of a view of the Memorization page; without a text it shows one of its examples with a pin."""
    return f"/memorization?{urlencode(view)}" if view else "/memorization"


def alignment(**view: str) -> str:
    """The address of a view of the Alignment page; without a text it shows an example."""
    return f"/alignment?{urlencode(view)}" if view else "/alignment"


def generate(**view: str) -> str:
    """The address of a view of the Generate page, with the first of its examples as the prompt."""
    return f"/generate?{urlencode({'model': 'gpt', 'prompt': EVENING, **view})}"


def cloze(**view: str) -> str:
    """The address of a view of the Cloze page."""
    return f"/cloze?{urlencode(view)}"


def own(section: str, **view: str) -> str:
    """The address of a view of the Your model page, with a sentence in the trained encoder."""
    return f"/your_model?{urlencode({'section': section, 'text': TIRED, **view})}"


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
    "coreference": coreference(),
    "coreference-measures": coreference(section="measures", head="cross.3.1", contrast="1"),
    "coreference-matter": coreference(section="interventions", by="other"),
    "presenter-coreference": coreference(presenter="1"),
    "beam": beam(beams="5", node="24"),
    "beam-2": beam("He hit me with a pie.", beams="2", shrinking="1"),
    "beam-10": beam(beams="10"),
    "beam-samples": beam(method="samples", temperature="0.8"),
    "presenter-beam": beam(presenter="1"),
    "memorization": memorization(),
    "memorization-inside": memorization(text=PREFIXES, position="12", section="inside", network="autocomplete-gru"),
    "memorization-attention": memorization(text=PREFIXES, position="12", section="attention"),
    "memorization-measures": memorization(text=PREFIXES, position="12", section="measures"),
    "memorization-distance": memorization(text=PREFIXES, position="12", section="distance"),
    "memorization-memory": memorization(text=PREFIXES, position="12", section="memory"),
    "memorization-accuracy": memorization(text=PREFIXES, position="12", section="accuracy"),
    "memorization-typing": memorization(text="the old man looked at the s", doing="type"),
    "presenter-memorization": memorization(text=PREFIXES, position="12", presenter="1"),
    "alignment": alignment(),
    "alignment-common": alignment(text=DOOR, outputs="common", view="lines"),
    "alignment-gold": alignment(pair="1"),
    "alignment-steps": alignment(text=DOOR, section="steps", network="en-fr-rnn-additive", step="5", numbers="1"),
    "alignment-states": alignment(text=DOOR, section="states", summary="end"),
    "alignment-units": alignment(text=DOOR, section="states", direction="backwards"),
    "alignment-thread": alignment(text=LONG, outputs="common", section="thread"),
    "alignment-lengths": alignment(section="lengths"),
    "alignment-quality": alignment(section="quality"),
    "presenter-alignment": alignment(presenter="1"),
    "generate": generate(taken="572.227.30.12", branches="572.113.12.419_572.227.30.12_570.10.190"),
    "generate-attention": generate(taken="572.227.30.12.1330", section="attention"),
    "generate-surprise": generate(section="surprise"),
    "cloze": cloze(first=ROOMS, masked="5.12", filling="one by one"),
    "cloze-heads": cloze(first=LETTER, second=ANSWER, section="heads", between="AB"),
    "own": own("attention", look="layer.3~sink.hidden~pins.8"),
    "own-open": own("open"),
    "own-neurons": own("neurons", kind="encoder", layer="5", head="10", query="11"),
    "own-long": own("long"),
    "own-uploaded": own("upload"),
    "problem": translate("word " * 140, colour="red"),
    "models": "/models",
}


# What is shown of a page that is longer than a picture should be: from the first element down to the last.
PARTS = {
    "coreference": ("h1", ".st-key-matrix"),
    "coreference-measures": ("[data-testid=stButtonGroup]", ".st-key-agreement-2"),
    "coreference-matter": ("[data-testid=stButtonGroup]", "text=The moved attention keeps its sum"),
    "beam": ("h1", ".st-key-tree"),
    "memorization": ("h1", ".st-key-panel-autocomplete-transformer"),
    "alignment": ("h1", ".st-key-alignments"),
    "alignment-steps": ("[data-testid=stButtonGroup]:has-text('Step by step')", ".st-key-steps"),
    "generate": ("h1", ".st-key-tree"),
    "cloze": ("h1", ".st-key-candidates"),
    "own": ("h1", ".st-key-lines"),
    "own-neurons": ("h1", ".st-key-own-neurons"),
}
MARGIN = 8


def settle(page: Page) -> None:
    """Wait until Streamlit stands still and its charts are painted."""
    page.wait_for_timeout(500)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'", timeout=60_000)
    page.wait_for_timeout(1500)


def part(page: Page, view: str, width: int) -> FloatRect | None:
    """Where the shown part of a view stands; None for all of it."""
    if view not in PARTS:
        return None
    first, last = (page.locator(selector).first.bounding_box() for selector in PARTS[view])
    assert first and last
    top = max(0, first["y"] - MARGIN)
    return {"x": 0, "y": top, "width": width, "height": last["y"] + last["height"] + MARGIN - top}


def take(
    browser: Browser, address: str, view: str, width: int, scheme: str, folder: Path, *, whole: bool = True
) -> Path:
    """One picture, of the full page or of the part that is shown."""
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
    page.screenshot(path=path, clip=None if whole else part(page, view, width))
    context.close()
    return path


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    parser.add_argument("--all", action="store_true", help="every view at 390, 1280 and 1920 px, light and dark")
    parser.add_argument("--only", choices=VIEWS, nargs="+", default=list(VIEWS), help="these views alone")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    every = itertools.product(options.only, (390, 1280, 1920), ("light", "dark"))
    wanted = every if options.all else (shown for shown in SHOWN if shown[0] in options.only)
    with all_minilm(), running_app() as address, chromium() as browser:
        for view, width, scheme in wanted:
            print(take(browser, address, view, width, scheme, options.folder, whole=options.all))


if __name__ == "__main__":
    main()
