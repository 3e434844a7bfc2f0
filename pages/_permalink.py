"""A view of the Translate page and its address: it restores model, text and everything that is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engine.connectivity_blocks import Mode
from engine.types import Kind
from pages._address import HEAD, NUMBER, NUMBERS, SHARE, SWITCH, TEXT, Codec, Form, Invalid, choice

Figure = Literal["lines", "playback", "grid", "heatmap"]
Unit = Literal["words", "pieces"]
Special = Literal["shown", "hidden", "renormalised"]
Over = Literal["each", "mean", "max"]
Measure = Literal["attention", "gradient"]
Compare = Literal["one", "pair", "difference"]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the Translate page shows. None stands for the page's own choice.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        text: the source.
        target: an output that is forced; None for the model's own.
        measure: attention, or gradients of what was said.
        norm: of gradients: which one.
        map: which attention; gradients have no encoder map.
        view: which figure.
        tokens: whole words or the model's pieces.
        special: whether special tokens are shown, hidden, or hidden with the rest renormalised.
        sink: the same for the first token, on which heads often rest.
        over_heads: each head, or their mean or maximum.
        over_layers: each layer, or their mean or maximum.
        layer: counted from 0.
        heads: counted from 0, in rising order.
        pins: pinned positions that look, counted from 0.
        at: pinned positions looked at, counted from 0.
        least: the least weight of a line; None where lines are chosen by mass.
        mass: the share of each row that lines carry; None where they are chosen by weight.
        compare: one head as heatmap, two side by side, or their difference.
        other: layer and head of the second heatmap.
        step: of the playback.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    text: str = ""
    target: str | None = None
    measure: Measure = "attention"
    norm: Mode = "one-hot"
    map: Kind = "encoder"
    view: Figure = "lines"
    tokens: Unit = "words"
    special: Special = "shown"
    sink: Special = "shown"
    over_heads: Over = "each"
    over_layers: Over = "each"
    layer: int | None = None
    heads: tuple[int, ...] | None = None
    pins: tuple[int, ...] = ()
    at: tuple[int, ...] = ()
    least: float | None = None
    mass: float | None = None
    compare: Compare = "one"
    other: Place | None = None
    step: int = 0
    presenter: bool = False


CODEC = Codec(
    page="translate",
    fresh=View(),
    forms={
        "model": TEXT,
        "text": TEXT,
        "target": TEXT,
        "measure": choice(Measure),
        "norm": choice(Mode),
        "map": choice(Kind),
        "view": choice(Figure),
        "tokens": choice(Unit),
        "special": choice(Special),
        "sink": choice(Special),
        "over_heads": choice(Over),
        "over_layers": choice(Over),
        "layer": NUMBER,
        "heads": NUMBERS,
        "pins": NUMBERS,
        "at": NUMBERS,
        "least": SHARE,
        "mass": SHARE,
        "compare": choice(Compare),
        "other": HEAD,
        "step": NUMBER,
        "presenter": SWITCH,
    },
    of_text=("text", "target", "pins", "at", "step"),
)


# ---- as a part of another page's view ----

_NOT_LOOK = ("model", "text", "target", "presenter")


def look_only(view: View) -> View:
    """What a view chooses of a trace, without what the trace is of."""
    return replace(view, **{name: getattr(CODEC.fresh, name) for name in _NOT_LOOK})


def without_pins(view: View) -> View:
    """The same for another text, whose positions are others."""
    return replace(view, pins=(), at=(), step=0)


def _read_look(text: str) -> View:
    pairs = [part.partition(".")[::2] for part in text.split("~") if part]
    values = {name: value for name, value in pairs if name in CODEC.forms and name not in _NOT_LOOK}
    if len(values) < len(pairs):
        raise Invalid("give choices such as view.grid~layer.3")
    view, problems = CODEC.decode(values)
    if problems:
        raise Invalid("it chooses what is not there")
    return view


LOOK = Form(_read_look, lambda view: "~".join(f"{name}.{text}" for name, text in CODEC.encode(view).items()))
"""One field that holds how a trace is looked at: "view.grid~layer.3"."""
