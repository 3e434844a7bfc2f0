"""The view of the Coreference page: its address, and where the session keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from engine.experiments import How
from engine.interventions import Head
from engine.mentions import Words
from engine.types import KINDS
from pages._address import NUMBER, SWITCH, TEXT, Codec, Form, Invalid, choice, written
from pages._address import NUMBERS as _NUMBERS

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
    pronoun, first, second = (_NUMBERS.read(part) for part in parts)
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


def current() -> LabView:
    """The view as the session has it."""
    view: LabView = st.session_state.get("lab", LabView())
    return view


def change(**values: Any) -> None:
    """The reader chose something: the address of the view before no longer counts."""
    st.session_state["acted"] = True
    st.session_state["lab"] = replace(current(), **values)


def open_view(view: LabView) -> None:
    """Take over a whole view: an address, a pair or a request file was opened."""
    st.session_state["lab"] = view
    touch()


def ask(first: str, second: str) -> None:
    """Two sentences: what was marked in others means nothing here."""
    if (first, second) != (current().first, current().second):
        fresh = {name: getattr(CODEC.fresh, name) for name in _TEXT}
        change(first=first, second=second, off=(), **fresh)
        touch()
    else:
        change()


def touch() -> None:
    """Components take over what Python holds, not what the reader did before."""
    st.session_state["lab epoch"] = st.session_state.get("lab epoch", 0) + 1


def epoch() -> str:
    """The name of what components begin with."""
    return str(st.session_state.get("lab epoch", 0))


def arrive(fallback: LabView) -> list[str]:
    """Take over the address, if the reader has come by one; returns what of it could not be used.

    A run that a button caused still carries the address of the view before, and a run without an address has nothing to
    say: both leave the session as it is.

    Args:
        fallback: what an address without sentences opens.
    """
    state, address = st.session_state, st.query_params.to_dict()
    acted = state.pop("acted", False)
    if problems := state.pop("lab problems", None):  # a request file was opened
        state["lab address"] = address
        return list(problems)
    if "lab" in state and (acted or not address or address == state.get("lab address")):
        return []
    view, problems = CODEC.decode(address)
    if not (view.first or view.second):
        view = replace(view, first=fallback.first, second=fallback.second)
        if address:
            problems.append("The address holds no sentences: what you see is the first example.")
    state["lab address"] = address
    open_view(view)
    return problems


def scale() -> float:
    """How much larger than on a desk figures are."""
    return PRESENTER if current().presenter else 1.0


def keep_legible(key: str, width: float) -> None:
    """A figure scrolls sideways where the screen is narrower: squeezed, its labels would lie upon each other.

    Args:
        key: of the container that holds it.
        width: the least at which it can be read, in pixels.
    """
    place = f".stMainBlockContainer .st-key-{key}"
    st.html(f"<style>{place} {{ overflow-x: auto; }} {place} > * {{ min-width: {round(width)}px; }}</style>")


def widget(name: str) -> dict[str, Any]:
    """The key of a field's widget and what a change of it does; the widget begins with what the view holds."""
    key = f"lab {name}"
    st.session_state[key] = getattr(current(), name)
    return {"key": key, "on_change": _take, "args": (name,)}


def _take(name: str) -> None:
    change(**{name: st.session_state[f"lab {name}"]})
