"""The view of the Beam search page, its address, and the searches that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.catalogue import ModelCard
from engine.decoding.options import STOPPINGS, BeamOptions, Penalty, SampleOptions
from engine.decoding.tree import SearchRequest
from engine.errors import InputError
from engine.text import normalise
from pages._address import NUMBER, SWITCH, TEXT, Codec, Form, Invalid, choice
from pages._session import PageView

MOST_FORCED = 6  # trees drawn beside the search
Method = Literal["beam", "samples"]
Stop = Literal["full", "likely", "never"]
Phase = Literal["expand", "keep"]
Prefix = tuple[int, ...]
LONGEST = 128  # tokens of an output; more columns help nobody
MOST_CANDIDATES = 50  # recorded at each step
STOPS: dict[Stop, str] = dict(zip(("full", "likely", "never"), STOPPINGS, strict=True))
"""How an address names the ways to stop."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """Everything that the Beam search page shows.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        text: the source.
        method: a beam search, or samples.
        beams, penalty, alpha, stop, length, repeat, shrinking, candidates: of the beam search (`BeamOptions`).
        samples, temperature, top_k, top_p, seed: of the samples (`SampleOptions`).
        forced: beginnings that further searches were forced to, as ids, in the order in which they were made.
        tree, node: the chosen node; −1 for none.
        step: how many steps are shown, 0 for the beginning alone; −1 for all.
        phase: of the last shown step.
        pruned: whether pruned candidates are drawn.
        again, other: the penalty and α that the finished hypotheses are ranked by anew; None for the search's own.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    text: str = ""
    method: Method = "beam"
    beams: int = 4
    penalty: Penalty = "length"
    alpha: float = 1.0
    stop: Stop = "likely"
    length: int = 64
    repeat: int = 0
    shrinking: bool = False
    candidates: int = 0
    samples: int = 8
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    forced: tuple[Prefix, ...] = ()
    tree: int = 0
    node: int = -1
    step: int = -1
    phase: Phase = "keep"
    pruned: bool = True
    again: Penalty | None = None
    other: float | None = None
    presenter: bool = False


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise Invalid("give a whole number")
    return int(text)


def _decimal(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise Invalid("give a number") from None
    if not -10 <= number <= 10:
        raise Invalid("give a number from -10 to 10")
    return round(number, 3)  # what an address can hold


def _prefixes(text: str) -> tuple[Prefix, ...]:
    if text.count("_") >= MOST_FORCED:
        raise Invalid(f"give at most {MOST_FORCED} beginnings")
    return tuple(tuple(_count(part) for part in one.split(".")) for one in text.split("_"))


def _node(text: str) -> int:
    return -1 if text == "none" else NUMBER.read(text)


def _step(text: str) -> int:
    return -1 if text == "all" else _count(text)


COUNT = Form(_count)
DECIMAL = Form(_decimal, lambda value: f"{value:g}")
PREFIXES = Form(_prefixes, lambda prefixes: "_".join(".".join(map(str, prefix)) for prefix in prefixes))
NODE = Form(_node, lambda value: "none" if value < 0 else str(value + 1))
STEP = Form(_step, lambda value: "all" if value < 0 else str(value))

VIEW = PageView(
    Codec(
        page="beam",
        fresh=SearchView(),
        forms={
            "model": TEXT,
            "text": TEXT,
            "method": choice(Method),
            "beams": COUNT,
            "penalty": choice(Penalty),
            "alpha": DECIMAL,
            "stop": choice(Stop),
            "length": COUNT,
            "repeat": COUNT,
            "shrinking": SWITCH,
            "candidates": COUNT,
            "samples": COUNT,
            "temperature": DECIMAL,
            "top_k": COUNT,
            "top_p": DECIMAL,
            "seed": COUNT,
            "forced": PREFIXES,
            "tree": NUMBER,
            "node": NODE,
            "step": STEP,
            "phase": choice(Phase),
            "pruned": SWITCH,
            "again": choice(Penalty),
            "other": DECIMAL,
            "presenter": SWITCH,
        },
        of_text=("text", "forced", "tree", "node", "step"),
    )
)


def options_of(view: SearchView) -> BeamOptions | SampleOptions:
    """What the view asks a search for.

    Raises:
        InputError: a value that is not possible.
    """
    if view.length > LONGEST:
        raise InputError(f"An output of {view.length:,} tokens is too long to be shown. Choose {LONGEST} at most.")
    if view.candidates > MOST_CANDIDATES:
        raise InputError(
            f"{view.candidates:,} candidates at each step are too many to be shown. Choose {MOST_CANDIDATES} at most."
        )
    if view.method == "samples":
        return SampleOptions(view.samples, view.temperature, view.top_k, view.top_p, view.seed, view.length)
    return BeamOptions(
        view.beams,
        view.candidates,
        view.length,
        view.penalty,
        view.alpha,
        STOPS[view.stop],  # type: ignore[arg-type]
        view.repeat,
        view.shrinking,
    )


def requests_of(card: ModelCard, view: SearchView) -> list[SearchRequest]:
    """The search, and those that were forced to begin with something, in their order.

    Raises:
        InputError: a value that is not possible.
    """
    options = options_of(view)
    text = normalise(view.text)
    return [SearchRequest(card.identity, text, options, prefix) for prefix in ((), *view.forced)]
