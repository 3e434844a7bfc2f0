"""The view of the Coreference page: its address, and where the session keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import streamlit as st

from engine.catalogue import ModelCard
from engine.experiments import How
from engine.interventions import Head
from engine.mentions import Words
from engine.pairs import load_pairs
from engine.types import KINDS
from pages._address import NUMBER, NUMBERS, SWITCH, TEXT, Codec, Form, Invalid, choice, written
from pages._session import PageView

PRESENTER = 1.5  # how much larger type and rows are for the last row of a classroom
Section = Literal["heads", "measures", "interventions", "many"]
Shown = Literal["change", "first", "second"]
Sentence = Literal["first", "second"]
Weights = Literal["raw", "value"]
Onto = Literal["A", "B"]
Scope = Literal["head", "layer", "kind"]
Marked = tuple[Words, Words, Words]
"""The words of the pronoun, of candidate A and of candidate B."""


@dataclass(frozen=True, slots=True)
class LabView:
    """Everything that the Coreference page shows. None stands for what the page finds by itself.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        first, second: the sentences.
        marks, marks2: pronoun, A and B in each English sentence.
        french, french2: the same in each translation.
        prefix: what the output has said before it decides; None for the common beginning.
        left, right: the two words that are compared; None for those of the translations.
        section: what is open.
        head: the head that is looked at.
        shown: which preferences the matrix has.
        weights: raw or value-weighted lines.
        sentence: in which heads are switched off.
        by: what stands in place of a head that is switched off.
        off: more heads that are off together with it.
        onto: where attention is moved.
        scope: whose attention is moved.
        contrast: differentiate against the other word.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    first: str = ""
    second: str = ""
    marks: Marked | None = None
    marks2: Marked | None = None
    french: Marked | None = None
    french2: Marked | None = None
    prefix: str | None = None
    left: str | None = None
    right: str | None = None
    section: Section = "heads"
    head: Head | None = None
    shown: Shown = "change"
    weights: Weights = "raw"
    sentence: Sentence = "first"
    by: How = "zero"
    off: tuple[Head, ...] = ()
    onto: Onto = "B"
    scope: Scope = "kind"
    contrast: bool = False
    presenter: bool = False


def _marked(text: str) -> Marked:
    parts = text.split("-")
    if len(parts) != 3:
        raise Invalid("give pronoun, A and B, such as 8-2-6")
    pronoun, first, second = (NUMBERS.read(part) for part in parts)
    if len({*pronoun, *first, *second}) < len(pronoun) + len(first) + len(second):
        raise Invalid("give each word one role")
    return pronoun, first, second


def _head(text: str) -> Head:
    kind, _, place = text.partition(".")
    layer, _, head = place.partition(".")
    if kind not in KINDS:
        raise Invalid("give kind, layer and head, such as encoder.2.3")
    return Head(kind, NUMBER.read(layer), NUMBER.read(head))


def _of_head(head: Head) -> str:
    return f"{head.kind}.{head.layer + 1}.{head.head + 1}"


MARKED = Form(_marked, lambda marked: "-".join(map(written, marked)))
HEAD = Form(_head, _of_head)
HEADS = Form(
    lambda text: tuple(dict.fromkeys(_head(part) for part in text.split("_"))),
    lambda heads: "_".join(map(_of_head, heads)),
)

CODEC = Codec(
    page="coreference",
    fresh=LabView(),
    forms={
        "model": TEXT,
        "first": TEXT,
        "second": TEXT,
        "marks": MARKED,
        "marks2": MARKED,
        "french": MARKED,
        "french2": MARKED,
        "prefix": TEXT,
        "left": TEXT,
        "right": TEXT,
        "section": choice(Section),
        "head": HEAD,
        "shown": choice(Shown),
        "weights": choice(Weights),
        "sentence": choice(Sentence),
        "by": choice(How),
        "off": HEADS,
        "onto": choice(Onto),
        "scope": choice(Scope),
        "contrast": SWITCH,
        "presenter": SWITCH,
    },
    of_text=("first", "second", "marks", "marks2", "french", "french2", "prefix", "left", "right"),
)

_TEXT = ("marks", "marks2", "french", "french2", "prefix", "left", "right")


VIEW = PageView(CODEC, "lab")


def complete(view: LabView, addressed: bool) -> tuple[LabView, list[str]]:
    """A view with sentences, and what is to be said of it: the lecture's pair where there are none."""
    if view.first or view.second:
        return view, []
    pair = load_pairs()[0]
    said = ["The address holds no sentences: what you see is the first example."] if addressed else []
    return replace(view, first=pair.first, second=pair.second), said


def meet(card: ModelCard) -> str:
    """Another model says something else, and its heads are others; the identity of the one before (`PageView.meet`)."""
    said = {name: getattr(CODEC.fresh, name) for name in ("french", "french2", "prefix", "left", "right")}
    return VIEW.meet(card.identity, head=None, off=(), **said)


def ask(first: str, second: str) -> None:
    """Two sentences: what was marked in others means nothing here."""
    view = VIEW.current()
    if (first, second) == (view.first, view.second):
        VIEW.change()
        return
    fresh = {name: getattr(CODEC.fresh, name) for name in _TEXT}
    VIEW.change(first=first, second=second, off=(), **fresh)
    VIEW.touch()


def scale() -> float:
    """How much larger than on a desk figures are."""
    return PRESENTER if VIEW.current().presenter else 1.0


def keep_legible(key: str, width: float) -> None:
    """A figure scrolls sideways where the screen is narrower: squeezed, its labels would lie upon each other.

    Args:
        key: of the container that holds it.
        width: the least at which it can be read, in pixels.
    """
    place = f".stMainBlockContainer .st-key-{key}"
    st.html(f"<style>{place} {{ overflow-x: auto; }} {place} > * {{ min-width: {round(width)}px; }}</style>")
