"""A diagram in a real browser: when it is painted, how soon pointing shows, what was sent for it, how large it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, Response, TimeoutError, WebSocket

from bench import bertviz
from bench.browser import chromium, serving
from bench.maps import Shape

VISITS = 5  # of which each gives a time; a peer that takes longer than SLOW to paint is visited once
SLOW = 10_000  # milliseconds
PATIENCE = 180_000  # milliseconds until a paint is given up
MOVES = 40  # of the pointer; of a peer that takes longer than LAZY for one, as many as MOST_WAITING allows
MOST_WAITING = 60_000  # milliseconds for all moves
VIEWPORT = {"width": 1280, "height": 1000}
# Data are made before: what is timed is what Streamlit and the browser do with them.
PAGE = """from pathlib import Path

import streamlit as st

from viz.components.grid import grid
from viz.components.lines import lines

st.set_page_config(layout="wide")  # as the app
mount = {"lines": lines, "grid": grid}[st.query_params["diagram"]]
if "open" in st.query_params or st.checkbox("Show"):
    mount(Path(__file__).with_name(st.query_params["data"]).read_bytes(), key="diagram")
"""


@dataclass(slots=True)
class Drawn:
    """What came of a diagram.

    Attributes:
        sent: bytes of it: of all websocket messages of the first run, or of the peer's HTML.
        scripts: bytes of what else the browser loaded for the page.
        outside: addresses of other machines that were asked for something.
        opened: milliseconds from the navigation to the second frame after it was there.
        shown: milliseconds from a click in an open page to the same.
        pointed: milliseconds from each move of the pointer to the second frame after the display has changed.
        nodes: elements of the page with it.
        problem: why the rest is missing; empty if nothing is.
    """

    sent: int = 0
    scripts: int = 0
    outside: set[str] = field(default_factory=set)
    opened: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    pointed: list[float] = field(default_factory=list)
    nodes: int = 0
    problem: str = ""


def draw_ours(diagram: str, cases: Mapping[str, tuple[Shape, bytes]]) -> dict[str, Drawn]:
    """Show each in a Streamlit page of its own: one app, one browser.

    Args:
        diagram: "lines" or "grid".
        cases: shape and packed data, by name.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "page.py").write_text(PAGE, encoding="utf-8")
        files = {name: f"{number}.bin" for number, name in enumerate(cases)}
        for name, (_, data) in cases.items():
            Path(folder, files[name]).write_bytes(data)
        with (
            serving("streamlit", "run", os.path.join(folder, "page.py"), port="--server.port") as server,
            chromium() as browser,
        ):
            return {
                name: _ours(
                    browser, f"{server.address}/?{urlencode({'diagram': diagram, 'data': files[name]})}", diagram, shape
                )
                for name, (shape, _) in cases.items()
            }


def _ours(browser: Browser, address: str, diagram: str, shape: Shape) -> Drawn:
    found = Drawn()
    with _tab(browser, diagram, shape) as page:  # counts, and warms up
        with _counting(page, address, found):
            page.goto(f"{address}&open=", wait_until="commit")
            _painted(page)
        found.nodes = page.evaluate("bench.nodes()")
    for _ in range(VISITS):
        with _tab(browser, diagram, shape) as page:
            page.goto(f"{address}&open=", wait_until="commit")
            found.opened.append(_painted(page))
    for _ in range(VISITS):
        with _tab(browser, diagram, shape) as page:
            page.goto(address)
            box = page.get_by_text("Show")
            box.wait_for()
            page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState !== 'running'")
            page.evaluate("bench.watchClick()")
            box.click()
            found.shown.append(_painted(page))
            if not found.pointed:
                found.pointed = _point(page, "mousemove")
    return found


def draw_peer(view: bertviz.View, shape: Shape, html: str) -> Drawn:
    """Open BertViz's HTML in a browser of its own, which it may bring down."""
    found = Drawn(sent=len(html.encode()), scripts=sum(map(len, bertviz.libraries().values())))
    with TemporaryDirectory() as folder:
        file = Path(folder, "view.html")
        file.write_text(html, encoding="utf-8")
        try:
            while len(found.opened) < VISITS and sum(found.opened) < SLOW:
                with chromium() as browser:
                    _peer(browser, file.as_uri(), view, shape, found)
        except Error as error:
            found.problem = _why(error)
    return found


def _peer(browser: Browser, address: str, view: bertviz.View, shape: Shape, found: Drawn) -> None:
    with _tab(browser, view, shape, timeout=PATIENCE) as page:
        bertviz.serve(page.context)
        page.on("request", lambda request: _note(request, address, found))
        page.goto(address, wait_until="commit")
        found.opened.append(_painted(page))
        if not found.nodes:
            found.nodes = page.evaluate("bench.nodes()")
            found.pointed = _point(page, "click" if view == "model view" else "mousemove")


def _why(error: Error) -> str:
    """In a few words."""
    if isinstance(error, TimeoutError):
        return f"not within {PATIENCE // 1000} s"
    return "the browser ran out of memory" if "crash" in str(error).lower() else str(error).splitlines()[0]


@contextmanager
def _tab(browser: Browser, kind: str, shape: Shape, timeout: float = 60_000) -> Iterator[Page]:
    """A new tab with nothing in its memory, and the probe in it."""
    context: BrowserContext = browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(timeout)
    context.add_init_script(probe(kind, shape))
    yield context.new_page()
    context.close()  # not after an error: the tab may be gone, or too busy to close


def probe(kind: str, shape: Shape) -> str:
    """The script that watches a diagram of this kind and shape."""
    text = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")
    for name, value in {"LAYERS": shape.layers, "HEADS": shape.heads, "KIND": kind}.items():
        text = text.replace(name, str(value))
    return text


def _painted(page: Page) -> float:
    """Milliseconds until it was; fails where it is blank."""
    page.wait_for_function("bench.painted !== null || bench.error !== null")
    if problem := page.evaluate("bench.error"):
        raise RuntimeError(f"the page does not work: {problem}")
    painted: float = page.evaluate("bench.painted")
    assert page.evaluate("bench.inked()"), "there is nothing on the canvas"
    return painted


@contextmanager
def _counting(page: Page, address: str, found: Drawn) -> Iterator[None]:
    """Adds up what the page receives while this lasts."""
    responses: list[Response] = []

    def keep(response: Response) -> None:
        responses.append(response)

    def count(payload: str | bytes) -> None:
        found.sent += len(payload.encode() if isinstance(payload, str) else payload)

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", count)

    page.on("websocket", listen)
    page.on("response", keep)
    page.on("request", lambda request: _note(request, address, found))
    yield
    page.wait_for_timeout(500)
    page.remove_listener("websocket", listen)
    page.remove_listener("response", keep)
    found.scripts = sum(len(response.body()) for response in responses if response.ok)


def _note(request: Request, address: str, found: Drawn) -> None:
    """Remember a request that leaves the machine."""
    own = "/".join(address.split("/")[:3])
    if not request.url.startswith((own, "data:", "blob:")):
        found.outside.add(request.url)


def _point(page: Page, event: str) -> list[float]:
    """Move the pointer to one after the other of what is in sight; or click them, each once."""
    times: list[float] = []
    page.mouse.move(1, 1)
    path = page.evaluate("bench.path()")
    if event == "mousemove":  # the first one enters the diagram, whose layout may change with that
        page.mouse.move(*path[0][1:])
        page.wait_for_timeout(300)
        path = page.evaluate("bench.path()") * MOVES
    for number, x, y in path[1 : MOVES + 1] if event == "mousemove" else path[:MOVES]:
        page.evaluate("([i, event]) => bench.watchPoint(i, event)", [number, event])
        (page.mouse.click if event == "click" else page.mouse.move)(x, y)
        page.wait_for_function("bench.shown !== null")
        times.append(page.evaluate("bench.shown"))
        if sum(times) > MOST_WAITING:
            break
        page.wait_for_timeout(50)
    return times
