"""The step scrubber in a real browser: keys, slider, words, numbers, pointing, files; Python hears of steps alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engine.types import DecoderSteps, Tokens
from viz.components.steps import steps_data, steps_html
from viz.theme import LIGHT, THEMES

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
HOSTILE = "<img src=x>"
SOURCE = ("The", HOSTILE, "cat", "كلب", "sleeps", "</s>")
OUTPUT = ("Le", "chat", HOSTILE, "dort", "</s>")
SCRIPT = """
from pathlib import Path

import streamlit as st

from viz.components.steps import steps

st.set_page_config(layout="wide")
name = st.query_params.get("data", "dot")
later = st.radio("data", ["first", "at step 4", "another sentence"])
if later != "first":
    name = "dot-4" if later == "at step 4" else "none"
step = steps(Path(FOLDER, f"{name}.bin").read_bytes(), key="steps")
st.text(f"Python heard {step}")
"""

# Whether the place that is this share of a box's content is in sight; columns differ in width a little.
SEEN = """([box, share]) => {
    const place = share * box.scrollWidth;
    return box.scrollLeft <= place + 80 && box.scrollLeft + box.clientWidth >= place - 80;
}"""


def tokens(labels: tuple[str, ...]) -> Tokens:
    count = len(labels)
    special = tuple(label in ("<s>", "</s>") for label in labels)
    return Tokens("".join(labels), labels, (), tuple(range(count)), ((0, 0),) * count, special)


def decoded(attention: str, source: tuple[str, ...] = SOURCE, output: tuple[str, ...] = OUTPUT) -> DecoderSteps:
    """Random scores and their softmax; the last step predicts what is not among its five."""
    rng = np.random.default_rng(7)
    length, count = len(source), len(output)
    scores = rng.normal(scale=1.5, size=(count, length)).astype(np.float32)
    weights = np.exp(scores)
    weights /= weights.sum(axis=1, keepdims=True)
    annotations = np.tanh(rng.normal(size=(length, 48))).astype(np.float32)
    contexts = weights @ annotations
    if attention == "none":
        scores = weights = np.zeros((0, length), np.float32)
        contexts = np.tile(annotations[0], (count, 1))
    others = ("<i>bête</i>", "chien", "rouge", "une")
    rows = [((word, -0.5), *((other, -2.0 - n) for n, other in enumerate(others))) for word in output[:-1]]
    rows.append(tuple((other, -1.0 - n) for n, other in enumerate((*others, "plus"))))
    states = np.tanh(rng.normal(size=(count + 1, 40))).astype(np.float32)
    read = tokens(("<s>", *output[:-1]))
    return DecoderSteps(
        attention, tokens(source), read, tokens(output), scores, weights, annotations, contexts, states, tuple(rows)
    )


DOT = decoded("dot")
LONG = decoded("general", (*(f"word{n}" for n in range(127)), "</s>"), tuple(f"mot{n}" for n in range(192)))
DATA = {
    "dot": steps_data(DOT),
    "dot-4": steps_data(DOT, step=3),
    "none": steps_data(decoded("none"), theme=THEMES["dark"], step=1),
    "long": steps_data(LONG),
}


@dataclass
class Opened:
    """A page with the component, and what it said since."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    sent: int = 0

    @property
    def title(self) -> Locator:
        return self.page.locator(".steps .status strong")

    @property
    def status(self) -> Locator:
        return self.page.locator(".steps").get_by_role("status")

    @property
    def figure(self) -> Locator:
        return self.page.locator(".steps .figure")

    def button(self, name: str) -> Locator:
        return self.page.locator(".steps").get_by_role("button", name=name, exact=True)

    def at(self, step: int) -> None:
        """The step, counted from 1, is shown."""
        expect(self.title).to_have_text(re.compile(rf"^step {step} of "))

    def heard(self, step: int | None) -> None:
        expect(self.page.get_by_text(f"Python heard {step}", exact=True)).to_be_visible()

    def saved(self, name: str) -> bytes:
        with self.page.expect_download(timeout=PATIENCE) as waiting:
            self.button(name).click()
        return Path(waiting.value.path()).read_bytes()

    def drawn(self) -> ElementTree.Element:
        """The saved SVG, which must parse."""
        return ElementTree.fromstring(self.saved("SVG"))


def texts(drawing: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in drawing.iter() if element.tag.endswith("text")]


def flows(drawing: ElementTree.Element) -> int:
    return sum(element.get("class") == "flow" for element in drawing.iter())


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=5_000)  # Playwright's own


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    for name, data in DATA.items():
        (folder / f"{name}.bin").write_bytes(data)
    return script_app(SCRIPT.replace("FOLDER", repr(str(folder))))


@pytest.fixture
def opened(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens the component in a window of some width; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Opened] = []

        def start(name: str = "dot", width: int = 1280, **options: str) -> Opened:
            context = browser.new_context(viewport={"width": width, "height": 1100}, **options)  # type: ignore[arg-type]
            stack.callback(context.close)
            found = Opened(context.new_page())
            tabs.append(found)
            page = found.page

            def count(_: object) -> None:
                found.sent += 1

            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.on("websocket", lambda socket: socket.on("framesent", count))
            page.goto(f"{address}?data={name}", timeout=3 * PATIENCE)
            found.title.wait_for(timeout=PATIENCE)
            found.heard(None)
            return found

        yield start
        assert [complaint for one in tabs for complaint in one.complaints] == []
        assert requested and not [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]


def test_keys_buttons_words_and_slider_go_to_a_step(opened: Callable[..., Opened]) -> None:
    tab = opened()
    expect(tab.title).to_have_text("step 1 of 5: reads “<s>” → predicts “Le”")
    expect(tab.button("Step back")).to_be_disabled()
    slider = tab.page.get_by_role("slider", name="Step")
    before = tab.figure.bounding_box()
    tab.figure.press("ArrowRight")
    expect(tab.title).to_have_text("step 2 of 5: reads “Le” → predicts “chat”")
    tab.figure.press("End")
    tab.at(5)
    expect(tab.button("Step forward")).to_be_disabled()
    expect(tab.status).to_contain_text("not what is predicted here")
    tab.button("Step back").click()
    tab.at(4)
    tab.button("Step back").press("Home")
    tab.at(1)
    tab.button("Step forward").click()
    tab.at(2)
    slider.fill("3")
    tab.at(4)
    slider.press("ArrowLeft")
    tab.at(3)
    expect(slider).to_have_attribute("aria-valuetext", f"step 3 of 5: reads “chat” → predicts “{HOSTILE}”")
    words = tab.page.get_by_role("group", name="Output, word by word").get_by_role("button")
    expect(words.nth(2)).to_have_attribute("aria-current", "step")
    words.nth(4).click()  # a word that is still to come
    tab.at(5)
    words.nth(4).press("ArrowLeft")
    expect(words.nth(3)).to_be_focused()
    tab.at(4)
    words.nth(0).click()
    tab.at(1)
    assert words.evaluate_all("all => all.filter((word) => word.tabIndex === 0).length") == 1
    assert tab.figure.bounding_box() == before  # nothing jumps


def test_python_hears_of_the_step_once_the_reader_has_settled(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.page.wait_for_timeout(1_000)  # the page's own start has been said
    before = tab.sent
    label = tab.page.locator(".steps").evaluate(  # all at once: no answer of the server could have come in between
        """root => {
            for (const name of ["forward", "forward", "forward", "back"]) root.querySelector(`button.${name}`).click();
            return root.querySelector(".status strong").textContent;
        }"""
    )
    assert label.startswith("step 3 of 5") and tab.sent == before
    tab.heard(2)
    tab.page.get_by_text("at step 4").click()  # the page means another one
    tab.at(4)
    tab.figure.press("Home")
    tab.at(1)
    tab.heard(0)
    tab.page.get_by_text("another sentence").click()
    tab.heard(None)  # what was told of the other one is no step of this
    tab.at(2)


def test_playing_steps_to_the_end(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.figure.press("Space")
    expect(tab.button("Pause")).to_be_visible()
    tab.at(2)
    tab.button("Pause").click()
    expect(tab.button("Play")).to_be_visible()
    tab.figure.press("End")
    tab.figure.press("ArrowLeft")
    tab.button("Play").click()
    tab.at(5)
    expect(tab.button("Play")).to_be_visible()
    tab.heard(4)


def test_nothing_plays_where_the_reader_wants_no_motion(opened: Callable[..., Opened]) -> None:
    tab = opened(reduced_motion="reduce")
    expect(tab.button("Play")).to_be_disabled()
    expect(tab.button("Play")).to_have_attribute("title", re.compile("go step by step"))
    tab.figure.press("Space")
    expect(tab.button("Pause")).to_have_count(0)
    tab.figure.press("ArrowRight")
    tab.at(2)


def test_pointing_at_a_source_token_tells_its_score_and_weight(opened: Callable[..., Opened]) -> None:
    tab = opened()
    told = re.compile(r"score e (−?[\d.]+), weight α ([\d.]+)")
    box = tab.page.locator(".steps .scroll")
    wide, tall = box.evaluate("element => [element.clientWidth, element.clientHeight]")
    picture = tab.page.locator(".steps canvas")
    plain = picture.evaluate("canvas => canvas.toDataURL()")
    box.hover(position={"x": wide - 20, "y": tall - 20})  # the last column reaches the end: </s>, or nothing beyond it
    tab.page.mouse.move(1, 1)
    for _ in range(3):
        tab.figure.press("ArrowDown")
    expect(tab.status).to_contain_text("“cat”, source token 3 of 6")
    said = told.search(tab.status.inner_text())
    assert said is not None
    assert abs(float(said[1].replace("−", "-")) - DOT.scores[0, 2]) <= 0.005 + 1e-6
    assert abs(float(said[2]) - DOT.weights[0, 2]) <= 0.0005 + 1e-6
    tab.figure.press("ArrowRight")  # the same token at the next step
    expect(tab.status).to_contain_text(f"weight α {DOT.weights[1, 2]:.3f}")
    expect(picture).to_have_attribute("aria-label", re.compile("step 2 of 5.*“cat”, source token 3"))
    tab.figure.press("ArrowLeft")
    tab.figure.press("Escape")
    expect(tab.status).to_contain_text("looks at")
    tab.page.wait_for_function(
        "([canvas, plain]) => canvas.toDataURL() === plain", arg=[picture.element_handle(), plain]
    )
    box.hover(position={"x": wide / 2, "y": tall - 20})
    expect(tab.status).to_contain_text(told)
    tab.page.mouse.move(1, 1)
    expect(tab.status).to_contain_text("looks at")


def test_a_saved_step_shows_what_the_screen_shows(opened: Callable[..., Opened]) -> None:
    tab = opened()
    drawing = tab.drawn()
    assert flows(drawing) == int((DOT.weights[0] >= 0.004).sum())
    written = texts(drawing)
    assert "step 1 of 5: reads “<s>” → predicts “Le”" in written
    assert set(SOURCE) <= set(written) and "e = s·k" in written
    assert f"{DOT.weights[0, 0]:.2f}" not in written
    tab.page.get_by_label("numbers").check()
    tab.button("Step forward").click()
    written = texts(tab.drawn())
    for weight, score in zip(DOT.weights[1], DOT.scores[1], strict=True):
        assert f"{weight:.2f}" in written and f"{score:.2f}".replace("-", "−") in written
    assert f"{np.exp(-0.5):.3f}" in written and "✓" in written
    tab.figure.press("End")
    assert "which is not among these" in texts(tab.drawn())
    assert tab.saved("PNG").startswith(b"\x89PNG")


def test_without_attention_one_summary_feeds_every_step(opened: Callable[..., Opened]) -> None:
    tab = opened("none")
    expect(tab.title).to_have_text("step 2 of 5: reads “Le” → predicts “chat”")
    expect(tab.status).to_contain_text("one summary of the whole source, the same at every step")
    assert tab.page.locator(".steps").get_attribute("data-theme") == "dark"
    drawing = tab.drawn()
    assert flows(drawing) == 0
    written = " ".join(texts(drawing))
    assert "summary of the whole source" in written and "softmax" not in written and "score" not in written
    tab.figure.press("ArrowDown")
    expect(tab.status).to_contain_text("“The”, source token 1 of 6: part of the summary")
    tab.figure.press("ArrowRight")
    tab.at(3)


def test_token_text_is_text(opened: Callable[..., Opened]) -> None:
    tab = opened()
    tab.figure.press("End")
    tab.figure.press("ArrowDown")
    tab.figure.press("ArrowDown")
    expect(tab.status).to_contain_text(f"“{HOSTILE}”, source token 2")
    assert tab.page.locator(".steps").locator("img, i, s").count() == 0
    expect(tab.page.locator(".steps .word").nth(2)).to_have_text(HOSTILE)


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_a_long_sentence_scrolls_inside_its_box(opened: Callable[..., Opened], width: int) -> None:
    tab = opened("long", width)
    box = tab.page.locator(".steps .scroll")
    room, content = box.evaluate("element => [element.clientWidth, element.scrollWidth]")
    assert content > 4 * room
    assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    tab.figure.press("End")
    tab.at(192)
    best = int(LONG.weights[191].argmax())
    word = tab.page.locator(".steps .word").nth(191)
    expect(word).to_be_in_viewport()
    held = word.evaluate("word => word.offsetTop + word.offsetHeight - word.parentElement.scrollTop")
    assert 0 < held <= word.evaluate("word => word.parentElement.clientHeight") + 1
    tab.page.wait_for_function(SEEN, arg=[box.element_handle(), best / len(LONG.source)])


def test_a_narrow_figure_is_as_wide_as_its_place(opened: Callable[..., Opened]) -> None:
    tab = opened(width=390)
    place, canvas = tab.figure.bounding_box(), tab.page.locator(".steps canvas").bounding_box()
    assert place is not None and canvas is not None
    assert canvas["width"] <= place["width"] + 1 and place["x"] + place["width"] <= 390


def test_the_file_of_its_own_works_without_a_server(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "steps.html"
    path.write_text(steps_html(DATA["dot"], title="t", note="n", theme=LIGHT), "utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab = Opened(context.new_page())
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.goto(path.as_uri())
    tab.at(1)
    tab.figure.press("End")
    tab.at(5)
    assert flows(tab.drawn()) == int((DOT.weights[4] >= 0.004).sum())
    assert tab.complaints == []
    context.close()
