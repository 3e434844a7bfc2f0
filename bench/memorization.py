"""The Memorization page in a real browser: how soon panels are painted, pointing shows, and a letter is answered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlencode

from playwright.sync_api import Page

from bench.browser import chromium, running_app
from bench.clock import percentile
from bench.report import Cell, Goal, Report
from bench.sentences import SENTENCES
from engine.characters import fold_text

FIRST, ALL, POINTED = 1.5, 10.0, 40.0  # seconds; seconds; milliseconds: medians
SHORT, LONG = 300, 1000  # characters
NETWORKS = 5
READINGS = {SHORT: 5, LONG: 2}  # texts of each length
MOVES = 60  # of the pointer
LETTERS = 60  # typed
SEED = 7
VIEWPORT = {"width": 1280, "height": 1000}
_METHOD = (
    "The app in one process (`OMP_NUM_THREADS=1`) and a headless Chromium, on the same machine; all five networks are "
    "loaded. Texts of about {short} and {long:,} characters that the app has not read: from the click on Show to the "
    "second animation frame after the first panel, or all five, shows the new text. *MB sent*: of all websocket "
    "messages of the answer, the matrix of one network below the panels included, median. Pointing: the real mouse "
    "jumps {moves} times to another character of {long:,}; from the browser's time of that event to the second frame "
    "after all five panels show it. Typing: {letters} letters, each when the one before has been answered; from the "
    "key to the second frame after all five networks' suggestions are of the new text. Wall clock."
)
# Each promise gives milliseconds from an event (the browser's own time of it) to two frames after its effect.
_PROBE = """(() => {
  const shadows = () => [...document.querySelectorAll("*")].flatMap((e) => e.shadowRoot ?? []);
  const sheets = () => shadows().flatMap((root) => [...root.querySelectorAll(".connectivity .sheet")]);
  const value = (sheet, name) => sheet.getAttribute(`aria-value${name}`);
  const strips = () => shadows().flatMap((root) => [...root.querySelectorAll(".typing .strip")]);
  const frames = (n, then) => (n ? requestAnimationFrame(() => frames(n - 1, then)) : then());
  const after = (type, ready) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`nothing after ${type} within 5 minutes`)), 300_000);
    addEventListener(type, (event) => {
      const check = () => {
        if (!ready()) return requestAnimationFrame(check);
        frames(2, () => (clearTimeout(late), resolve(performance.now() - event.timeStamp)));
      };
      check();
    }, { once: true, capture: true });
  });
  const drawn = (size) => (sheet) => value(sheet, "max") === String(size) && sheet.style.height;
  const painted = (size) => sheets().filter(drawn(size)).length;
  window.bench = {
    reading(size, all) {
      if (painted(size)) throw new Error(`a text of ${size} characters is on the page already`);
      bench.first = after("click", () => painted(size) >= 1);
      bench.last = after("click", () => painted(size) >= all);
    },
    pointing() {
      const all = sheets();
      const now = () => new Set(all.map((sheet) => value(sheet, "now")));
      const [before] = now();
      bench.moved = after("mousemove", () => now().size === 1 && !now().has(before));
    },
    typing(text) {
      const read = (strip) => strip.getAttribute("aria-label").endsWith(text);
      bench.answered = after("keydown", () => strips().every(read));
    },
  };
})()"""


@dataclass(slots=True)
class Found:
    """What was measured.

    Attributes:
        first, last: seconds to the first panel and to all, by length of the text.
        sent: bytes of each answer, likewise.
        pointed, typed: milliseconds.
    """

    first: dict[int, list[float]] = field(default_factory=dict)
    last: dict[int, list[float]] = field(default_factory=dict)
    sent: dict[int, list[int]] = field(default_factory=dict)
    pointed: list[float] = field(default_factory=list)
    typed: list[float] = field(default_factory=list)


def memorization(readings: dict[int, int] | None = None, moves: int = MOVES, letters: int = LETTERS) -> Report:
    """Run it: about two minutes.

    Args:
        readings: how many texts of which length, the longest last.
        moves: of the pointer.
        letters: typed, at most 100.
    """
    readings = readings or READINGS
    found = Found()
    received: list[int] = []

    def receive(payload: str | bytes) -> None:
        received.append(len(payload.encode() if isinstance(payload, str) else payload))

    with running_app() as address, chromium() as browser:  # a new process: nothing is in its memory
        page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
        page.set_default_timeout(300_000)
        page.on("websocket", lambda socket: socket.on("framereceived", receive))
        page.goto(f"{address}/memorization?{urlencode({'text': 'networks are loaded'})}")
        page.locator(".connectivity").nth(NETWORKS - 1).wait_for()
        page.evaluate(_PROBE)
        for length, count in readings.items():
            for text in texts(length, count):
                _read(page, text, length, found, received)
        found.pointed = _point(page, moves)
        page.goto(f"{address}/memorization?{urlencode({'doing': 'type', 'text': _all(0)[:SHORT]})}")
        page.locator(".typing .strip").nth(NETWORKS - 1).wait_for()
        page.evaluate(_PROBE)
        found.typed = _type(page, _all(0)[:SHORT], letters)
    return report(found, moves, letters)


def texts(length: int, count: int) -> list[str]:
    """Different texts of about one length: the first has it, and each has one character less than the one before."""
    return [_all(number)[: length - number] for number in range(count)]


def _all(first: int) -> str:
    """Every sentence in the networks' letters, from one of them on."""
    return fold_text(" ".join([*SENTENCES[first:], *SENTENCES[:first]])).strip()


def _settle(page: Page) -> None:
    page.wait_for_timeout(700)  # a panel tells Python where it is 400 ms after the last change
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'")


def _read(page: Page, text: str, length: int, found: Found, received: list[int]) -> None:
    """Ask for a text, wait for all panels and what is below them.

    Args:
        received: grows by the bytes of each websocket message.
    """
    _settle(page)
    page.get_by_role("textbox", name="Text", exact=True).fill(text)
    page.evaluate("([size, all]) => bench.reading(size, all)", [len(text) + 1, NETWORKS])  # a space comes before it
    before = len(received)
    page.get_by_role("button", name="Show", exact=True).click()
    found.first.setdefault(length, []).append(page.evaluate("bench.first") / 1000)
    found.last.setdefault(length, []).append(page.evaluate("bench.last") / 1000)
    _settle(page)
    found.sent.setdefault(length, []).append(sum(received[before:]))


def _point(page: Page, moves: int) -> list[float]:
    """Let the pointer jump between characters of the first panel, each time far from where it was."""
    sheet = page.locator(".connectivity .sheet").first
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    assert box is not None
    chance = random.Random(SEED)
    times: list[float] = []
    before = (0.0, 0.0)
    while len(times) <= moves:
        # the last line may be short, and every line has no room for a word at its end
        x, y = chance.uniform(0.02, 0.8), chance.uniform(0.02, 0.8)
        if abs(x - before[0]) < 0.1:
            continue
        before = (x, y)
        page.evaluate("bench.pointing()")
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        times.append(page.evaluate("bench.moved"))
        page.wait_for_timeout(50)
    return times[1:]  # the first enters the panel


def _type(page: Page, begun: str, letters: int) -> list[float]:
    """Type at the end of a text, one letter after the other."""
    box = page.get_by_role("textbox", name="Your text")
    box.press("End")
    times: list[float] = []
    typed = begun
    for letter in _all(5)[:letters]:
        typed += letter
        page.evaluate("text => bench.typing(text)", typed[-40:])
        page.keyboard.type(letter)
        times.append(page.evaluate("bench.answered"))
        page.wait_for_timeout(60)
    return times


def report(found: Found, moves: int = MOVES, letters: int = LETTERS) -> Report:
    """The table, the goals, and every single measurement."""
    rows: list[dict[str, Cell]] = []
    for length in found.last:
        sent = f"{percentile(found.sent[length], 0.5) / 1e6:.2f}"
        rows.append(_row(f"{length:,} characters: first panel painted", found.first[length], "s", 2))
        rows.append(_row(f"{length:,} characters: all five", found.last[length], "s", 2) | {"MB sent": sent})
    longest = max(found.last)
    rows.append(_row(f"pointing in {longest:,} characters, five panels", found.pointed, "ms", 0))
    rows.append(_row("a letter typed, five networks", found.typed, "ms", 0))
    shortest = min(found.last)
    goals = [
        Goal(f"{shortest} characters, first panel, p50 in seconds", percentile(found.first[shortest], 0.5), FIRST),
        Goal(f"{shortest} characters, all five, p50 in seconds", percentile(found.last[shortest], 0.5), ALL),
        Goal(f"pointing in {longest:,} characters, p50 in ms", percentile(found.pointed, 0.5), POINTED),
    ]
    method = _METHOD.format(short=shortest, long=longest, moves=moves, letters=letters)
    return Report("Memorization in the browser", method, rows, goals, asdict(found))


def _row(what: str, times: Sequence[float], unit: str, digits: int) -> dict[str, Cell]:
    return {
        "what": what,
        "times": len(times),
        "p50": f"{percentile(times, 0.5):.{digits}f} {unit}",
        "p95": f"{percentile(times, 0.95):.{digits}f} {unit}",
        "most": f"{max(times):.{digits}f} {unit}",
        "MB sent": "",
    }
