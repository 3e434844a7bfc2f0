"""How long a sentence takes from the Enter key to painted lines, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page

from bench.browser import chromium, running_app
from bench.clock import percentile
from bench.report import Cell, Goal, Report
from bench.sentences import SENTENCES

PAINTED = 0.6  # seconds, median
_METHOD = (
    "The app in one process (`OMP_NUM_THREADS=1`) and a headless Chromium, on the same machine. {count} sentences of "
    "20 words that the app has not seen, typed one after the other: from the Enter key to the second animation frame "
    "after the line diagram shows the sentence's last word and the new translation stands above it. Wall clock."
)
# Resolves to milliseconds from the Enter key (the browser's own time of the event) to two frames after the paint.
_WATCH = """word => {
  const letters = text => text.toLowerCase().replace(/[^a-z]/g, '');
  const diagram = () => [...document.querySelectorAll('.st-key-lines *')].find(e => e.shadowRoot)?.shadowRoot;
  const labels = () => [...(diagram()?.querySelectorAll('.token .label') ?? [])];
  const drawn = () => labels().some(label => letters(label.textContent) === word);
  const french = () => document.querySelector('p[lang=fr]')?.textContent;
  if (drawn()) throw new Error(`"${word}" is on the page already`);
  const before = french();
  window.benchPainted = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`"${word}" was not painted within 60 s`)), 60_000);
    document.addEventListener('keydown', event => {
      const check = () => {
        if (!drawn() || french() === before) return requestAnimationFrame(check);
        requestAnimationFrame(() => requestAnimationFrame(() => resolve({
          milliseconds: performance.now() - event.timeStamp,
          lines: Number(diagram().querySelector('.status').textContent.match(/([0-9,]+) lines?/)[1].replace(',', '')),
          engine: Number(document.body.innerText.match(/([0-9]+) ms on/)[1]),
        })));
      };
      requestAnimationFrame(check);
    }, {once: true, capture: true});
  });
}"""
ONE_HEAD, ALL_HEADS = "one head drawn", "all heads drawn"


def paint() -> Report:
    """Run it: about a minute and a half."""
    found: dict[str, list[dict[str, float]]] = {ONE_HEAD: [], ALL_HEADS: []}
    for heads, painted in found.items():
        with running_app() as address, chromium() as browser:  # a new process: nothing is in its memory
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(f"{address}/translate?heads={'1' if heads == ONE_HEAD else '1.2.3.4.5.6.7.8'}")
            page.locator(".st-key-lines canvas.under").wait_for(timeout=90_000)
            painted += [_ask(page, sentence) for sentence in SENTENCES]
    return _report(found)


def _settle(page: Page) -> None:
    page.wait_for_timeout(500)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'")


def _ask(page: Page, sentence: str) -> dict[str, float]:
    """Type, press Enter, wait for the paint."""
    _settle(page)
    box = page.get_by_label("English")
    box.fill(sentence)
    page.evaluate(_WATCH, sentence.split()[-1].strip(".").lower())
    box.press("Enter")
    painted: dict[str, float] = page.evaluate("window.benchPainted")
    return painted


def _report(found: dict[str, list[dict[str, float]]]) -> Report:
    rows: list[dict[str, Cell]] = []
    for heads, painted in found.items():
        times = [one["milliseconds"] / 1000 for one in painted]
        rows.append(
            {
                "page": heads,
                "lines drawn, median": round(percentile([one["lines"] for one in painted], 0.5)),
                "p50 s": f"{percentile(times, 0.5):.2f}",
                "p95 s": f"{percentile(times, 0.95):.2f}",
                "of which engine, p50 s": f"{percentile([one['engine'] for one in painted], 0.5) / 1000:.2f}",
            }
        )
    goals = [
        Goal(
            f"Enter to painted lines, {heads}, p50 in seconds",
            percentile([one["milliseconds"] / 1000 for one in painted], 0.5),
            PAINTED,
        )
        for heads, painted in found.items()
    ]
    return Report("Latency in the browser", _METHOD.format(count=len(SENTENCES)), rows, goals, {"painted": found})
