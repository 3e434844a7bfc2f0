"""The Alignment page in a real browser: how soon five models' panels are painted, and how soon pointing shows."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from urllib.parse import urlencode

from playwright.sync_api import Page

from bench.browser import chromium, running_app
from bench.clock import percentile
from bench.report import Cell, Goal, Report
from bench.sentences import SENTENCES

PAINTED, POINTED = 2.0, 40.0  # seconds; milliseconds: medians
PANELS = 5
READINGS, MOVES, SEED = 8, 60, 7
VIEWPORT = {"width": 1280, "height": 1000}
_METHOD = (
    "The app in one process (`OMP_NUM_THREADS=1`) and a headless Chromium, on the same machine; all five models are "
    "loaded. {readings} sentences of about 20 words that the app has not translated: from the click on Translate to "
    "the second animation frame after five new panels are there, each model's own greedy output and its forced pass "
    "included. *MB sent*: of all websocket messages of the answer, the steps below the panels included, median. "
    "Pointing: the real mouse jumps {moves} times to another cell of the second panel; from the browser's time of that "
    "event to the second frame after the words that describe the cell have changed. Wall clock."
)
# Each promise gives milliseconds from an event (the browser's own time of it) to two frames after its effect.
_PROBE = """(() => {
  const shadows = () => [...document.querySelectorAll("*")].flatMap((e) => e.shadowRoot ?? []);
  const all = (selector) => shadows().flatMap((root) => [...root.querySelectorAll(selector)]);
  const frames = (n, then) => (n ? requestAnimationFrame(() => frames(n - 1, then)) : then());
  const after = (type, ready) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`nothing after ${type} within 2 minutes`)), 120_000);
    addEventListener(type, (event) => {
      const check = () => {
        if (!ready()) return requestAnimationFrame(check);
        frames(2, () => (clearTimeout(late), resolve(performance.now() - event.timeStamp)));
      };
      check();
    }, { once: true, capture: true });
  });
  window.bench = {
    reading(count) {
      all(".alignments .panel").forEach((panel) => (panel.dataset.before = "yes"));
      bench.painted = after("click", () => all(".alignments .panel:not([data-before])").length === count);
    },
    pointing() {
      const [words] = all(".alignments .readout");
      const before = words.textContent;
      bench.moved = after("mousemove", () => words.textContent !== before);
    },
  };
})()"""


@dataclass(slots=True)
class Found:
    """What was measured: seconds to the panels, bytes of each answer, milliseconds of pointing."""

    painted: list[float] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    pointed: list[float] = field(default_factory=list)


def alignment(readings: int = READINGS, moves: int = MOVES) -> Report:
    """Run it: about a minute.

    Args:
        readings: how many sentences, at most one less than `SENTENCES` has.
        moves: of the pointer.
    """
    found, received = Found(), [0]

    def receive(payload: str | bytes) -> None:
        received[0] += len(payload.encode() if isinstance(payload, str) else payload)

    with running_app() as address, chromium() as browser:  # a new process: nothing is in its memory
        page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
        page.set_default_timeout(120_000)
        page.on("websocket", lambda socket: socket.on("framereceived", receive))
        page.goto(f"{address}/alignment?{urlencode({'text': 'All five models are loaded.'})}")
        page.locator(".alignments .panel").nth(PANELS - 1).wait_for()
        page.evaluate(_PROBE)
        for text in SENTENCES[:readings]:
            _settle(page)
            page.get_by_role("textbox", name="English", exact=True).fill(text)
            page.evaluate("count => bench.reading(count)", PANELS)
            before = received[0]
            page.get_by_role("button", name="Translate", exact=True).click()
            found.painted.append(page.evaluate("bench.painted") / 1000)
            _settle(page)
            found.sent.append(received[0] - before)
        found.pointed = _point(page, moves)
    return report(found, readings, moves)


def _settle(page: Page) -> None:
    page.wait_for_timeout(700)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'")


def _point(page: Page, moves: int) -> list[float]:
    """Let the pointer jump between cells of the second panel, the first that has a map."""
    sheet = page.locator(".alignments .panel").nth(1).locator(".sheet")
    sheet.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = sheet.bounding_box()
    assert box is not None
    chance, times, before = random.Random(SEED), list[float](), (0.0, 0.0)
    while len(times) <= moves:
        x, y = chance.uniform(0.02, 0.9), chance.uniform(0.02, 0.9)
        if abs(x - before[0]) < 0.1 or abs(y - before[1]) < 0.1:
            continue
        before = (x, y)
        page.evaluate("bench.pointing()")
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        times.append(page.evaluate("bench.moved"))
        page.wait_for_timeout(50)
    return times[1:]  # the first enters the panel


def report(found: Found, readings: int = READINGS, moves: int = MOVES) -> Report:
    """The table, the goals, and every single measurement."""
    rows: list[dict[str, Cell]] = []
    for what, times, unit, digits in (
        ("20 words: five panels painted", found.painted, "s", 2),
        ("pointing in five panels", found.pointed, "ms", 0),
    ):
        numbers = {f"p{round(100 * at)}": f"{percentile(times, at):.{digits}f} {unit}" for at in (0.5, 0.95)}
        rows.append({"what": what, "times": len(times), **numbers, "most": f"{max(times):.{digits}f} {unit}"})
    rows[0]["MB sent"], rows[1]["MB sent"] = f"{percentile(found.sent, 0.5) / 1e6:.2f}", ""
    goals = [
        Goal("20 words, five panels, p50 in seconds", percentile(found.painted, 0.5), PAINTED),
        Goal("pointing, p50 in ms", percentile(found.pointed, 0.5), POINTED),
    ]
    return Report(
        "Alignment in the browser", _METHOD.format(readings=readings, moves=moves), rows, goals, asdict(found)
    )
