"""The components in the browser beside BertViz on the same weights: size, building, painting, pointing, elements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench import bertviz
from bench.clock import Spread, interleave, percentile
from bench.diagrams import MOVES, PATIENCE, SLOW, VISITS, Drawn, draw_ours, draw_peer
from bench.maps import BERT, EN_FR, LONG, MANY, Shape, attention, patterns
from bench.report import Cell, Goal, Report
from engine.types import AttentionMap

SENT, BUILD, PAINTED, NODES, OUTSIDE = 5.0, 100.0, 1000.0, 5000, 0  # MB, ms, ms, elements, requests; for BERT's shape
POINTED = 40.0  # ms, median, for the long line diagram
OURS, EVERY_LINE, PEER = "Saccade", "Saccade, threshold 0", "BertViz"
_METHOD = (
    "Softmax of seeded random scores, every fourth head at the previous token; the same float32 weights for both, all "
    "heads shown. Saccade: a Streamlit page with nothing else on it; sent: all websocket messages of the page's first "
    "run, beside it Streamlit's own front end, uncompressed. BertViz 1.4.1: its HTML, beside it require.js, jQuery and "
    "d3, served from this machine in place of the network. Build: CPU milliseconds in Python, median (quartiles) of "
    "{rounds} interleaved rounds. Painted: wall clock from the navigation, and for Saccade also from a click in the "
    "open page that makes Streamlit run again, to the second animation frame after the diagram is in the page: median "
    "(least-most) of {visits} visits, of one where that takes over {slow} s, given up after {patience} s. Pointing: "
    "from the event of a real move of the mouse to the next {target} until the second animation frame after the "
    "display has changed, {moves} moves. Elements: document and open shadow roots."
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Attributes:
        what: whose.
        shape: of the map.
        build: CPU milliseconds of each round; empty if it was not built.
        drawn: what came of it in the browser.
    """

    what: str
    shape: Shape
    build: Sequence[float]
    drawn: Drawn


def lines(rounds: int = 5) -> Report:
    """Run it: about five minutes.

    Raises:
        NoBrowser: there is no Chromium.
        NoApp: Streamlit did not start.
    """
    from viz.components.lines import LinesView, lines_data

    def build(least: float, made: AttentionMap) -> Callable[[], bytes]:
        view = LinesView(heads=tuple(range(made.heads)), least=least)
        return lambda: lines_data(made, view)

    default = LinesView().least
    ours = {OURS: lambda made: build(default, made), EVERY_LINE: lambda made: build(0.0, made)}
    cases = measure("lines", ours, "head view", (EN_FR, BERT, LONG), (EN_FR, BERT, LONG), rounds)
    goals = goals_of(cases)
    goals += [
        Goal(f"{case.what}, {LONG}: pointing, ms, p50", percentile(case.drawn.pointed, 0.5), POINTED)
        for case in cases
        if case.shape == LONG and case.what != PEER
    ]
    return report("Line diagram", cases, goals, rounds, target="token")


def grid(rounds: int = 5) -> Report:
    """Run it: about two and a half minutes.

    Raises:
        NoBrowser: there is no Chromium.
        NoApp: Streamlit did not start.
    """
    from viz.components.grid import grid_data

    def build(made: AttentionMap) -> Callable[[], bytes]:
        named = patterns(Shape(made.layers, made.heads, len(made.query_tokens)))
        return lambda: grid_data(made, named, chosen=None)

    cases = measure("grid", {OURS: build}, "model view", (EN_FR, BERT, MANY), (EN_FR, BERT), rounds)
    return report(
        "All heads", cases, goals_of(cases), rounds, target="thumbnail (BertViz: a click, pointing shows nothing)"
    )


def measure(
    diagram: str,
    ours: Mapping[str, Callable[[AttentionMap], Callable[[], bytes]]],
    view: bertviz.View,
    shapes: Sequence[Shape],
    peers: Sequence[Shape],
    rounds: int,
) -> list[Case]:
    """Build all, then draw all; the peer only for `peers`, and only if it is installed."""
    if lacking := bertviz.missing():
        print(f"bench: {lacking}", file=sys.stderr)
    built: dict[Shape, dict[str, list[float]]] = {}
    data: dict[str, tuple[Shape, bytes]] = {}
    html: dict[Shape, str] = {}
    for shape in shapes:
        made = attention(shape)
        builders: dict[str, Callable[[], bytes | str]] = {what: make(made) for what, make in ours.items()}
        data |= {_name(what, shape): (shape, make(made)()) for what, make in ours.items()}
        if shape in peers and not lacking:
            builders[PEER] = peer = bertviz.builder(view, made)
            html[shape] = peer()
        built[shape] = interleave(builders, rounds, warmup=1)
    drawn = draw_ours(diagram, data)
    cases = []
    for shape in shapes:
        cases += [Case(what, shape, built[shape][what], drawn[_name(what, shape)]) for what in ours]
        if shape in html:
            cases.append(Case(PEER, shape, built[shape][PEER], draw_peer(view, shape, html.pop(shape))))
    return cases


def _name(what: str, shape: Shape) -> str:
    return f"{what}, {shape}"


def goals_of(cases: Sequence[Case]) -> list[Goal]:
    """For ours as the page opens, with BERT's shape; and for all of ours that nothing came from elsewhere."""
    goals = []
    for case in cases:
        if case.what == OURS and case.shape == BERT:
            goals += [
                Goal(f"{BERT}: MB sent", case.drawn.sent / 1e6, SENT),
                Goal(f"{BERT}: CPU ms to build", Spread.of(case.build).median, BUILD),
                Goal(f"{BERT}: ms from the click to the paint, median", percentile(case.drawn.shown, 0.5), PAINTED),
                Goal(f"{BERT}: elements", case.drawn.nodes, NODES),
            ]
    elsewhere = {url for case in cases if case.what != PEER for url in case.drawn.outside}
    return [*goals, Goal("requests to other machines", len(elsewhere), OUTSIDE)]


def report(name: str, cases: Sequence[Case], goals: Sequence[Goal], rounds: int, target: str) -> Report:
    """The table, and every single measurement by name."""
    method = _METHOD.format(
        rounds=rounds, visits=VISITS, slow=SLOW // 1000, patience=PATIENCE // 1000, moves=MOVES, target=target
    )
    figures = {
        _name(case.what, case.shape): {
            "build_ms": list(case.build),
            **asdict(case.drawn),
            "outside": sorted(case.drawn.outside),
        }
        for case in cases
    }
    return Report(name, method, [row(case) for case in cases], goals, figures)


def row(case: Case) -> dict[str, Cell]:
    """A line of the table; what did not come about says why."""
    drawn = case.drawn
    lacking = drawn.problem or "-"
    return {
        "what": case.what,
        "tokens": case.shape.tokens,
        "layers × heads": f"{case.shape.layers} × {case.shape.heads}",
        "MB sent": f"{drawn.sent / 1e6:.2f}",
        "beside it, MB": f"{drawn.scripts / 1e6:.2f}",
        "build, CPU ms": Spread.of(case.build).show(1),
        "painted from the navigation, ms": _times(drawn.opened) or lacking,
        "from a click, ms": _times(drawn.shown) or "-",
        "pointing, p50 / max ms": f"{percentile(drawn.pointed, 0.5):.0f} / {max(drawn.pointed):.0f}"
        if drawn.pointed
        else lacking,
        "elements": f"{drawn.nodes:,}" if drawn.nodes else lacking,
    }


def _times(times: Sequence[float]) -> str:
    """Median, least and most; a single one as it is."""
    if len(times) < 2:
        return "".join(f"{one:.0f}" for one in times)
    return f"{percentile(times, 0.5):.0f} ({min(times):.0f}-{max(times):.0f})"
