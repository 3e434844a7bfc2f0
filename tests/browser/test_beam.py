"""The tree of a beam search in a real browser: steps and phases, point, choose, walk, zoom, save, two trees."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.viz.test_beam import TREES
from viz.components.beam import BeamView, beam_data
from viz.components.standalone import standalone_html
from viz.theme import LIGHT

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # milliseconds: a busy two-core machine, not a goal
SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = """
import streamlit as st

from tests.viz.test_beam import TREES
from viz.components.beam import BeamView, beam, beam_data
from viz.theme import THEMES

st.set_page_config(layout="wide")
theme = THEMES["dark" if st.checkbox("dark") else "light"]
name = "two" if st.checkbox("another") else st.query_params.get("trees", "one")
take = st.checkbox("take over")
view = BeamView(1, "expand", (0, 1), pruned=False) if take else BeamView()
st.button("again")
pieces = {10: " il", 11: " elle", 14: " dort", 15: " rit"}
data = beam_data(TREES[name], view, theme=theme, start_id=str(take), file_name="my tree", pieces=pieces)
st.text(f"python: {beam(data, key='beam')}")
"""
STOPPED = "The search stopped: the length limit of 3 tokens."
END = f"{STOPPED} Backtrack from the best hypothesis: “elle dort”, final score −0.458"
PHASES = (
    "Start: the empty prefix",
    "Step 1: 1 prefix, 4 candidates looked at",
    "Step 1: the best 2 are kept, 2 pruned",
    "Step 2: 2 prefixes, 3 candidates looked at",
    "Step 2: the best 2 are kept, 1 pruned",
    "Step 3: 2 prefixes, 2 candidates looked at",
    "Step 3: none is kept · 1 finished: “elle dort” · 1 cut at the length limit: “il rit dort”",
)


@dataclass
class Opened:
    """A page with the tree, and what it sent and said since."""

    page: Page
    frames: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = self.page.get_by_role("tree")
        self.node = self.page.get_by_role("treeitem")  # the one that the keys have reached
        self.slider = self.page.get_by_role("slider", name="Step", exact=True)
        self.caption = self.page.locator(".caption .line")
        self.readout = self.page.locator(".readout")
        self.tip = self.page.locator(".tip")
        self.pruned = self.page.get_by_role("checkbox", name="pruned")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, moment: int) -> None:
        self.slider.fill(str(moment))

    def middle(self, *keys: str) -> tuple[float, float]:
        """The middle on the screen of the node that keys reach from the root of the best path."""
        self.tree.focus()
        self.press("Home", *keys)
        box = self.node.bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, x: float, y: float, by: float) -> None:
        """From a place on the screen to the right."""
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + by, y + 3, steps=4)
        self.page.mouse.up()

    def python(self, view: BeamView | None) -> None:
        expect(self.page.get_by_text(f"python: {view}", exact=True)).to_be_visible(timeout=PATIENCE)

    def scrolled(self) -> float:
        left: float = self.tree.evaluate("tree => tree.scrollLeft")
        return left

    def size(self) -> tuple[float, float]:
        """Width and height of the whole tree at its zoom."""
        style = self.page.locator(".space").get_attribute("style") or ""
        width, height = (float(number) for number in re.findall(r": ([\d.]+)px", style))
        return width, height

    def ink(self) -> int:
        """Pixels of the tree that have exactly the text's colour."""
        script = """(canvas, colour) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Uint32Array(data.buffer).filter((pixel) => (pixel & 0xffffff) === colour).length;
        }"""
        red, green, blue = (int(LIGHT.text[at : at + 2], 16) for at in (1, 3, 5))
        found: int = self.page.locator(".space canvas").evaluate(script, red + (green << 8) + (blue << 16))
        return found

    def saved(self, format: str) -> bytes:
        with self.page.expect_download() as saved:
            self.button(format).click()
        self.file_name = saved.value.suggested_filename
        return saved.value.path().read_bytes()

    def picture(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.saved("SVG"))


def classes(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Boxes ("node kept") or edges ("edge pruned") of a saved picture."""
    return [one for one in picture.iter() if (one.get("class") or "").startswith(name)]


def texts(picture: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in picture.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def address(browser: Browser, script_app: Callable[[str], str]) -> str:
    return script_app(SCRIPT)


@pytest.fixture
def open_tree(browser: Browser, address: str, requested: list[str]) -> Iterator[Callable[..., Opened]]:
    """Opens trees in a window of some size; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        opened: list[Opened] = []

        def start(trees: str = "one", width: int = 1280, height: int = 900, motion: str = "reduce") -> Opened:
            context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion=motion)  # type: ignore[arg-type]
            stack.callback(context.close)
            page = context.new_page()
            found = Opened(page)
            opened.append(found)
            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
            page.on("websocket", lambda socket: socket.on("framesent", lambda _: found.frames.append(1)))
            page.goto(f"{address}/?trees={trees}")
            found.tree.wait_for(timeout=PATIENCE)
            found.python(None)
            return found

        yield start
        assert [complaint for one in opened for complaint in one.complaints] == []
        assert requested
        assert [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")] == []


def test_each_phase_says_what_happens(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    expect(tree.caption).to_have_text(END)
    for moment, said in enumerate((*PHASES, END)):
        tree.go(moment)
        expect(tree.caption).to_have_text(said)
        expect(tree.slider).to_have_attribute("aria-valuetext", said)
    tree.go(3)
    tree.python(BeamView(2, "expand"))
    tree.go(7)
    tree.python(BeamView())
    expect(tree.button("Step forward")).to_be_disabled()
    tree.button("Step back").click()
    tree.python(BeamView(3, "keep"))


def test_scrubbing_moves_nothing_but_the_tree(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("two", motion="no-preference")
    still = (tree.tree, tree.readout, tree.slider)
    boxes = [locator.bounding_box() for locator in still]
    for moment in (0, 1, 4, 6, 7):
        tree.go(moment)
        assert [locator.bounding_box() for locator in still] == boxes
    tree.page.mouse.move(*tree.middle("ArrowRight"))
    expect(tree.tip).to_be_visible()
    assert [locator.bounding_box() for locator in still] == boxes


def test_playing_goes_from_phase_to_phase_and_stops_at_the_end(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree(motion="no-preference")
    tree.go(4)
    tree.python(BeamView(2))
    note = "new MutationObserver(() => (window.said ??= []).push(line.textContent))"
    tree.caption.evaluate(f"line => {note}.observe(line, {{ childList: true }})")
    frames = len(tree.frames)
    tree.button("Play").click()
    expect(tree.button("Pause")).to_be_visible()
    expect(tree.caption).to_have_text(END, timeout=PATIENCE)
    assert tree.page.evaluate("window.said") == [*PHASES[5:], END]
    expect(tree.button("Play")).to_be_visible()
    tree.python(BeamView())
    assert len(tree.frames) <= frames + 1  # told once, at its end
    tree.tree.focus()
    tree.press("Space", "Space")  # again from the start, and pause
    expect(tree.caption).to_have_text(PHASES[0])
    tree.python(BeamView(0))


def test_pointing_reads_a_node_and_asks_no_server(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    place = tree.middle("ArrowDown")  # of the pruned one, whose label looks like markup
    tree.button("SVG").focus()
    frames, ink = len(tree.frames), tree.ink()
    tree.page.mouse.move(*place)
    said = "“<b>on</b>” · 13.5 % · log-probability −2.000 · score −2.000 · step 1 · rank 3 · pruned: rank 3 of k = 2"
    expect(tree.readout).to_have_text(f"{said} · so far: <b>on</b>")
    expect(tree.tip).to_contain_text("pruned: rank 3 of k = 2")
    tip = tree.tip.bounding_box()
    assert tip and not (tip["y"] <= place[1] <= tip["y"] + tip["height"])
    assert len(tree.frames) == frames
    assert tree.ink() > ink + 100  # its path to the root, thick and in the text's colour
    tree.page.mouse.move(5, 5)
    expect(tree.tip).to_be_hidden()
    assert tree.ink() == ink
    tree.go(1)
    tree.page.mouse.move(*place)
    expect(tree.readout).to_contain_text("rank 3 · not decided yet")


def test_a_click_gives_python_the_node(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    place = tree.middle("ArrowUp")
    tree.page.mouse.click(*place)
    tree.python(BeamView(node=(0, 0)))
    tree.press("ArrowRight")  # keys go on from there, with the pointer still over it
    expect(tree.readout).to_contain_text("“rit” · 36.8 %")
    tree.page.mouse.move(5, 5)
    tree.press("ArrowLeft")
    expect(tree.readout).to_contain_text("Chosen: “il” · 60.7 %")
    tree.button("again").click()
    tree.python(BeamView(node=(0, 0)))
    expect(tree.readout).to_contain_text("Chosen: “il”")
    tree.drag(*place, by=60)  # which chooses nothing
    tree.tree.focus()
    tree.press("Escape")
    tree.python(BeamView())


def test_keys_follow_the_tree_and_choose(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    tree.button("PNG").focus()
    tree.press("Tab")
    expect(tree.tree).to_be_focused()
    walk = "elle Right dort Right </s> Right </s> Down dort Left rit Down part Down part Left il Left il"
    tree.press("Home")
    for word in walk.split():
        if word in ("Left", "Right", "Down"):
            tree.press(f"Arrow{word}")
            continue
        expect(tree.node).to_have_attribute("aria-label", re.compile(f"^“{re.escape(word)}” · "))
        expect(tree.readout).to_contain_text(f"“{word}”")
    tree.press("End")
    for name, value in {"aria-level": "3", "aria-posinset": "1", "aria-setsize": "2"}.items():
        expect(tree.node).to_have_attribute(name, value)
    tree.press("ArrowDown")
    expect(tree.readout).to_contain_text("cut: the length limit, hypothesis 2, final score −0.667 · on the greedy path")
    expect(tree.readout).to_contain_text("so far: il rit dort")
    expect(tree.node).to_have_attribute("aria-selected", "false")
    tree.press("Enter")
    tree.python(BeamView(node=(0, 8)))
    expect(tree.node).to_have_attribute("aria-selected", "true")
    expect(tree.tree).to_be_focused()


def test_pruned_candidates_can_be_hidden(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    _, high = tree.size()
    assert len(classes(tree.picture(), "node pruned")) == 3
    tree.pruned.click()
    tree.python(BeamView(pruned=False))
    assert tree.size()[1] < high
    picture = tree.picture()
    assert not classes(picture, "node pruned") and not classes(picture, "edge pruned")
    assert len(classes(picture, "node ")) == 6
    tree.middle()
    tree.press("ArrowDown")
    expect(tree.readout).to_contain_text("“elle”")  # nothing below it any more


def test_zoom_by_button_key_and_wheel(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("large")
    tree.tree.focus()  # which scrolls the page to it
    width, height = tree.size()
    box = tree.tree.bounding_box()
    assert box and width > 3 * box["width"]
    tree.button("Zoom in").click()
    assert tree.size()[0] > 1.2 * width
    tree.press("-")
    assert tree.size() == (width, height)
    tree.press("0")
    assert tree.size()[0] <= box["width"] and tree.size()[1] <= box["height"]
    assert tree.tree.evaluate("t => t.scrollWidth <= t.clientWidth && t.scrollHeight <= t.clientHeight")
    fitted = tree.size()[0]
    tree.page.mouse.move(box["x"] + 300, box["y"] + 200)
    tree.page.keyboard.down("Control")
    tree.page.mouse.wheel(0, -120)
    tree.page.keyboard.up("Control")
    expect(tree.page.locator(".space")).not_to_have_attribute("style", re.compile(f"width: {fitted:.0f}px"))
    assert tree.size()[0] > fitted
    assert tree.tree.bounding_box() == box


def test_the_current_step_stays_in_sight_and_dragging_pans(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("large")
    tree.go(80)
    expect(tree.caption).to_have_text("Step 40: the best 10 are kept, 10 pruned")
    assert tree.scrolled() > 1_000
    tree.tree.focus()
    tree.press("End")
    expect(tree.node).to_have_attribute("aria-level", "40")
    expect(tree.node).to_be_in_viewport(ratio=0.95)
    before = tree.scrolled()
    box = tree.tree.bounding_box()
    assert box
    tree.drag(box["x"] + 300, box["y"] + 200, by=200)
    assert tree.scrolled() == pytest.approx(before - 200, abs=1)  # browsers round scroll positions
    tree.python(BeamView(40))  # nothing was chosen
    tree.go(2)
    assert tree.scrolled() < 200


def test_the_saved_picture_holds_labels_scores_and_dashes(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    picture = tree.picture()
    assert tree.file_name == "my tree.svg"
    said = texts(picture)
    assert {"k = 2", "start", "<b>on</b>", "elle", "dort", "</s>", "greedy leaves here", END} <= set(said)
    assert {"−1.38", "−0.25", "−2.00"} <= set(said)  # −1.375, −0.25 and −2
    assert said.count("g") == 4  # three nodes of the greedy path, and the legend
    assert len(classes(picture, "edge ")) == len(classes(picture, "node ")) == 9
    assert all(edge.get("stroke-dasharray") for edge in classes(picture, "edge pruned"))
    assert not any(edge.get("stroke-dasharray") for edge in classes(picture, "edge kept"))
    best = [edge for edge in classes(picture, "edge ") if "best" in (edge.get("class") or "")]
    assert len(best) == 3 and {edge.get("stroke") for edge in best} == {LIGHT.accent}
    assert {float(edge.get("stroke-width", 0)) for edge in best} == {4}
    slanted = [one.text for one in picture.iter(f"{SVG}text") if one.get("font-style") == "italic"]
    assert "</s>" in slanted and "elle" not in slanted
    tree.go(1)
    picture = tree.picture()
    assert tree.file_name == "my tree-1-expand.svg"
    assert len(classes(picture, "node candidate")) == len(classes(picture, "node ")) == 4
    assert not any(edge.get("stroke-dasharray") for edge in classes(picture, "edge "))
    assert tree.saved("PNG").startswith(b"\x89PNG")


def test_two_trees_stand_one_below_the_other(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("two")
    tree.go(1)
    expect(tree.caption).to_have_text([f"k = 2 — {PHASES[1]}", "forced after “nous” — Step 1: “nous” is forced"])
    tree.go(7)
    picture = tree.picture()
    assert {"k = 2", "forced after “nous”"} <= set(texts(picture))
    (forced,) = classes(picture, "edge forced")
    free = classes(picture, "edge kept best")
    assert all(float(forced.get("stroke-width", 0)) < float(edge.get("stroke-width", 0)) for edge in free)
    assert len(free) == 3
    tree.middle("ArrowUp")
    tree.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown")
    expect(tree.readout).to_contain_text("“nous” · 5.0 % · log-probability −3.000")
    tree.press("ArrowRight", "Enter")
    tree.python(BeamView(node=(1, 1)))


def test_samples_show_how_many_go_through(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("samples")
    expect(tree.pruned).to_be_hidden()
    tree.go(1)
    expect(tree.caption).to_have_text("Step 1: 1 prefix, 4 tokens drawn, 2 different")
    tree.go(2)
    expect(tree.caption).to_have_text("Step 1: 2 prefixes go on")
    picture = tree.picture()
    assert {"−0.50 · 3×", "−1.00 · 1×"} <= set(texts(picture))
    thick, thin = (float(edge.get("stroke-width", 0)) for edge in classes(picture, "edge kept"))
    assert thick > 2 * thin
    tree.middle()
    expect(tree.readout).to_contain_text("3 of 4 samples")


def test_a_phone_scrolls_the_tree_and_not_the_page(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree("two", 390, 844)
    assert tree.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tree.tree.evaluate("t => t.scrollWidth > t.clientWidth")
    for locator in (tree.slider, tree.button("Play"), tree.button("Zoom in"), tree.button("SVG")):
        box = locator.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    tree.middle()
    tree.press("End")
    expect(tree.node).to_be_in_viewport(ratio=0.95)


def test_a_rerun_keeps_focus_and_view_until_python_takes_over(open_tree: Callable[..., Opened]) -> None:
    tree = open_tree()
    tree.button("Zoom in").click()
    tree.go(4)
    tree.python(BeamView(2, "keep"))
    tree.middle("ArrowDown")
    wide = tree.size()[0]
    for name in ("dark", "another"):  # by script, so that the focus stays where it is
        tree.page.get_by_role("checkbox", name=name).evaluate("box => box.click()")
    expect(tree.page.locator(".beam")).to_have_attribute("data-theme", "dark", timeout=PATIENCE)
    expect(tree.caption).to_have_count(2, timeout=PATIENCE)
    expect(tree.caption.first).to_have_text("k = 2 — Step 2: the best 2 are kept, 1 pruned")
    expect(tree.tree).to_be_focused()
    expect(tree.readout).to_contain_text("“<b>on</b>”")
    assert tree.size()[0] == pytest.approx(wide, rel=0.1)  # the second tree has a longer label
    tree.page.get_by_text("take over", exact=True).click()
    said = "Step 1: 1 prefix, 4 candidates looked at, 2 of them hidden"
    expect(tree.caption.first).to_have_text(f"k = 2 — {said}", timeout=PATIENCE)
    expect(tree.pruned).not_to_be_checked()
    expect(tree.readout).to_contain_text("Chosen: “elle”")
    tree.go(2)
    tree.python(BeamView(1, node=(0, 1), pruned=False))


def test_a_file_of_its_own_works_offline(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "beam.html"
    data = beam_data(TREES["two"], BeamView())
    path.write_text(standalone_html("beam", data, title="t", note="n", theme=LIGHT), "utf-8")
    context = browser.new_context(offline=True)
    tree = Opened(context.new_page())
    tree.page.on("pageerror", lambda error: tree.complaints.append(str(error)))
    tree.page.goto(path.as_uri())
    expect(tree.caption.first).to_have_text(f"k = 2 — {END}")
    tree.tree.focus()
    tree.press("End")
    expect(tree.readout).to_contain_text("so far: elle | dort")
    tree.press("Enter")
    expect(tree.node).to_have_attribute("aria-selected", "true")
    context.close()
    assert tree.complaints == []
