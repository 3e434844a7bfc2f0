"""The playback component in a real browser: step, play, choose heads, save; nothing goes to the server for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.browser import ROOT, free_port
from engine.types import AttentionMap, Kind, Tokens
from viz.components.playback import PlaybackView, playback_data

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
LAYERS, HEADS, LEAST = 3, 4, 0.1
SOURCE = ("The", " animal", "<b>", " كلب", " 🐶", " was", " tired", "</s>")
OUTPUT = ("<s>", "L'", "animal", "<b>", " كلب", " 🐶", " était", "</s>")
SCRIPT = """
from pathlib import Path

import streamlit as st

from viz.components.playback import playback

st.set_page_config(layout="wide")
name = st.query_params.get("data", "plain")
view = playback(Path(__file__).with_name(f"{name}.bin").read_bytes(), key="playback")
st.text(f"view: {view}")
"""


def tokens(labels: tuple[str, ...]) -> Tokens:
    count = len(labels)
    special = tuple(label in ("<s>", "</s>") for label in labels)
    return Tokens("".join(labels), labels, (), tuple(range(count)), ((0, 0),) * count, special)


def sentence(source: tuple[str, ...], output: tuple[str, ...]) -> dict[Kind, AttentionMap]:
    """Maps of random rows that sum to 1; no weight is so near the threshold that rounding could decide."""
    rng = np.random.default_rng(3)
    read, predicted = tokens(output[:-1]), tokens(output[1:])

    def softmax(rows: int, columns: int, causal: bool = False) -> np.ndarray:
        scores = rng.normal(scale=1.7, size=(LAYERS, HEADS, rows, columns))
        if causal:
            scores[..., np.triu(np.ones((rows, columns), dtype=bool), k=1)] = -np.inf
        weights = np.exp(scores)
        return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)

    size, steps = len(source), len(read)
    return {
        "encoder": AttentionMap("encoder", softmax(size, size), tokens(source), tokens(source)),
        "decoder": AttentionMap("decoder", softmax(steps, steps, causal=True), read, read, predicted),
        "cross": AttentionMap("cross", softmax(steps, size), read, tokens(source), predicted),
    }


MAPS = sentence(SOURCE, OUTPUT)
STEPS = LAYERS + len(OUTPUT) - 1


def lines_of(step: int, least: float = LEAST, layer: int = LAYERS - 1) -> int:
    """Weights of a step that reach the threshold."""
    if step < LAYERS:
        return int((MAPS["encoder"].weights[step] >= least).sum())
    row = step - LAYERS
    return sum(int((MAPS[kind].weights[layer, :, row] >= least).sum()) for kind in ("cross", "decoder"))


def data(maps: dict[Kind, AttentionMap], **options: object) -> bytes:
    steps = len(maps["cross"].query_tokens)
    logprobs = np.log(np.linspace(0.95, 0.3, steps, dtype=np.float32))
    labels = maps["cross"].predicted_tokens.labels  # type: ignore[union-attr]
    alternatives = tuple(
        ((label, float(lp)), ("chien", -2.5), ("<i>bête</i>", -3.2)) for label, lp in zip(labels, logprobs, strict=True)
    )
    return playback_data(maps, logprobs, alternatives, PlaybackView(least=LEAST), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of nothing but the component, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("playback")
    (folder / "page.py").write_text(SCRIPT)
    long = sentence(SOURCE[:-1] * 9 + SOURCE[-1:], OUTPUT[:1] + OUTPUT[1:-1] * 10 + OUTPUT[-1:])
    for name, content in {"plain": MAPS, "alignment": {"cross": MAPS["cross"]}, "long": long}.items():
        (folder / f"{name}.bin").write_bytes(data(content))
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "page.py"), "--server.port", str(port)]
    with (folder / "log").open("w") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    server.kill()
    pytest.fail(f"the page did not start:\n{log.read_text()}")


class Tab:
    """A page with the component, and what it said to the console, the network and the server."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requested: list[str] = []
        self.sent = 0
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("websocket", lambda socket: socket.on("framesent", lambda _: self.count()))

    def count(self) -> None:
        self.sent += 1

    @property
    def label(self) -> Locator:
        return self.page.locator(".status strong")

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status").filter(has=self.page.locator("strong"))

    def button(self, name: str) -> Locator:
        return self.page.locator(".playback").get_by_role("button", name=name, exact=True)

    def saved(self, name: str) -> bytes:
        with self.page.expect_download(timeout=PATIENCE) as waiting:
            self.button(name).click()
        return Path(waiting.value.path()).read_bytes()

    def lines(self) -> int:
        """Lines in the saved SVG, which must parse."""
        root = ElementTree.fromstring(self.saved("SVG"))
        return sum(element.get("class") == "attention" for element in root.iter())


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Tab]:
    """The component of the short sentence at its first step."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    tab = Tab(context.new_page())
    tab.page.goto(address)
    tab.label.wait_for(timeout=PATIENCE)
    yield tab
    outside = [url for url in tab.requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
    assert tab.requested and outside == [] and tab.errors == []
    context.close()


def test_buttons_step_through_encoder_and_decoder(opened: Tab) -> None:
    expect(opened.label).to_have_text("encoder layer 1 of 3")
    expect(opened.button("Step back")).to_be_disabled()
    for layer in (2, 3):
        opened.button("Step forward").click()
        expect(opened.label).to_have_text(f"encoder layer {layer} of 3")
    opened.button("Step forward").click()
    expect(opened.label).to_have_text(re.compile("step 1 of 7: reads .<s>.+ → predicts .+L'"))
    expect(opened.status).to_contain_text("95 %")
    expect(opened.status).to_contain_text("<i>bête</i>")
    opened.button("Step back").click()
    expect(opened.label).to_have_text("encoder layer 3 of 3")
    opened.button("Restart").click()
    expect(opened.label).to_have_text("encoder layer 1 of 3")


def test_keys_step_and_tokens_appear_one_by_one(opened: Tab) -> None:
    output = opened.page.get_by_role("list", name="Output").get_by_role("listitem")
    expect(output).to_have_count(1)  # <s>: hidden tokens are in no accessibility tree
    figure = opened.page.locator(".figure")
    places = [opened.page.locator(name) for name in (".playback", ".figure", ".column.b", ".column.c")]
    before = [place.bounding_box() for place in places]
    figure.focus()
    for _ in range(LAYERS + 1):
        figure.press("ArrowRight")
    expect(output).to_have_count(3)
    expect(output.nth(2)).to_contain_text("animal")
    figure.press("ArrowLeft")
    expect(output).to_have_count(2)
    figure.press("End")
    expect(opened.label).to_have_text(re.compile("step 7 of 7"))
    expect(output).to_have_count(len(OUTPUT))
    assert [place.bounding_box() for place in places] == before  # nothing jumps
    assert output.nth(3).locator(".label").text_content() == "<b>"
    figure.press("Home")
    expect(opened.label).to_have_text("encoder layer 1 of 3")


def test_playing_goes_on_by_itself_and_stops_at_the_end(opened: Tab) -> None:
    opened.page.get_by_role("combobox", name="Speed").select_option("2")
    opened.page.locator(".figure").press("Space")
    expect(opened.button("Pause")).to_be_visible()
    expect(opened.label).to_have_text(re.compile("step [2-6] of 7"), timeout=PATIENCE)
    opened.button("Pause").click()
    expect(opened.button("Play")).to_be_visible()
    opened.button("Play").click()
    expect(opened.label).to_have_text(re.compile("step 7 of 7"), timeout=PATIENCE)
    expect(opened.button("Play")).to_be_visible()
    expect(opened.button("Step forward")).to_be_disabled()
    expect(opened.page.get_by_text("view: PlaybackView")).to_contain_text(f"step={STEPS - 1}", timeout=PATIENCE)


def test_a_saved_step_has_one_line_for_each_weight_above_the_threshold(opened: Tab) -> None:
    for step in range(STEPS):
        if step:
            opened.button("Step forward").click()
        if step in (0, LAYERS - 1, LAYERS, STEPS - 1):  # a browser grows wary of a page that saves ten files in a row
            assert opened.lines() == lines_of(step), step
    first = MAPS["cross"].weights[0], MAPS["decoder"].weights[0]
    opened.page.get_by_role("combobox", name="Decoder layer").select_option("layer 1")
    assert opened.lines() == lines_of(STEPS - 1, layer=0) == sum(int((w[:, -1] >= LEAST).sum()) for w in first)
    opened.page.get_by_role("combobox", name="Decoder layer").select_option("mean of layers")
    means = [MAPS[kind].weights.mean(axis=0)[:, -1] for kind in ("cross", "decoder")]
    assert opened.lines() == sum(int((mean >= LEAST).sum()) for mean in means)
    assert opened.saved("PNG").startswith(b"\x89PNG")


def test_lines_can_be_kept_and_thinned_out(opened: Tab) -> None:
    opened.page.locator(".figure").press("End")
    opened.page.get_by_label("keep lines").check()
    assert opened.lines() == sum(lines_of(step) for step in range(LAYERS, STEPS))
    opened.page.get_by_label("keep lines").uncheck()
    slider = opened.page.get_by_role("slider", name="Least weight of a line")
    slider.fill("30")
    assert opened.lines() == lines_of(STEPS - 1, least=0.3)
    slider.fill("0")
    row = np.concatenate([MAPS[kind].weights[-1, :, -1] for kind in ("cross", "decoder")], axis=1)
    assert opened.lines() == int((row > 0).sum())


def test_a_head_can_be_hidden(opened: Tab) -> None:
    weights = MAPS["encoder"].weights[0]
    head = opened.button("head 2")
    head.click()
    expect(head).to_have_attribute("aria-pressed", "false")
    assert opened.lines() == int((weights[[0, 2, 3]] >= LEAST).sum())
    head.dblclick()
    assert opened.lines() == int((weights[1] >= LEAST).sum())
    opened.button("none").click()
    expect(opened.status).to_contain_text("no head is shown")
    assert opened.lines() == 0


def test_pointing_at_a_token_leaves_its_lines_alone(opened: Tab) -> None:
    weights = MAPS["encoder"].weights
    opened.page.get_by_role("list", name="Source as it enters").get_by_text("tired").hover()
    expect(opened.status).to_contain_text(f"{int((weights[0, ..., 6] >= LEAST).sum())} lines")
    opened.page.get_by_role("list", name="Source as the encoder leaves it").get_by_text("tired").hover()
    expect(opened.status).to_contain_text(f"{int((weights[0, :, 6] >= LEAST).sum())} lines")
    opened.page.mouse.move(1, 1)
    expect(opened.status).to_contain_text(f"{lines_of(0)} lines")
    figure = opened.page.locator(".figure")
    figure.press("ArrowDown")
    figure.press("ArrowDown")
    figure.press("ArrowRight")  # the same token, one layer on
    assert opened.lines() == int((weights[1, :, 1] >= LEAST).sum())
    figure.press("Escape")
    assert opened.lines() == lines_of(1)


def test_stepping_needs_no_server(opened: Tab) -> None:
    opened.page.wait_for_timeout(1_000)  # the page's own start has been said
    before = opened.sent
    opened.page.locator(".figure").press("Space")
    expect(opened.label).to_have_text(re.compile("layer 3 of 3|step . of 7"), timeout=PATIENCE)
    assert opened.sent == before
    # All at once, inside the page: no answer of the server could have come in between.
    label = opened.page.locator(".playback").evaluate(
        """root => {
            root.querySelector("button.restart").click();
            for (let n = 0; n < 6; n++) root.querySelector("button.forward").click();
            return root.querySelector(".status strong").textContent;
        }"""
    )
    assert label.startswith("step 4 of 7")
    expect(opened.page.get_by_text("view: PlaybackView")).to_contain_text("step=6, layer=2", timeout=PATIENCE)
    expect(opened.label).to_have_text(re.compile("step 4 of 7"))


def test_a_model_with_alignment_alone_starts_with_the_first_token(opened: Tab) -> None:
    opened.page.goto(f"{opened.page.url.split('?')[0]}?data=alignment")
    expect(opened.label).to_have_text(re.compile("step 1 of 7"), timeout=PATIENCE)
    assert opened.lines() == int((MAPS["cross"].weights[-1, :, 0] >= LEAST).sum())


def test_a_long_sentence_keeps_its_token_in_sight(opened: Tab) -> None:
    opened.page.goto(f"{opened.page.url.split('?')[0]}?data=long")
    figure = opened.page.locator(".figure")
    expect(opened.label).to_have_text("encoder layer 1 of 3", timeout=PATIENCE)
    figure.press("End")
    expect(opened.label).to_have_text(re.compile("step 61 of 61"))
    expect(figure.locator(".token.now")).to_be_in_viewport()
    frame = figure.bounding_box()
    assert frame is not None and frame["height"] <= 760  # 76 % of the window


def test_no_motion_where_the_reader_wants_none(opened: Tab) -> None:
    opened.page.emulate_media(reduced_motion="reduce")
    picture = opened.page.locator(".figure canvas")
    opened.button("Step forward").click()
    first = picture.evaluate("canvas => canvas.toDataURL()")
    opened.page.wait_for_timeout(600)
    assert picture.evaluate("canvas => canvas.toDataURL()") == first
