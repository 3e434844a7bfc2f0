"""Gradients of a trace: what the switch shows in place of attention, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.connectivity_blocks import Mode
from engine.runner import Runner
from engine.saliency import GradientMap, Saliency, Side, hide_special, merge_words, saliency_of, special_first
from engine.types import Trace
from pages import _shared
from pages._permalink import View
from pages._shown import NAMES, Figure, Shown, hides, renormalises
from viz.components.save import save_picture

FIGURES = ("lines", "heatmap")
"""What draws gradients; the others are about heads."""

HELP = (
    "**Attention**: where each head looks. **Gradient**: how strongly each word that was read moves the logit of each "
    "word that is said, ‖∂ logit / ∂ one-hot input‖ through all layers and heads (Madsen 2019). Each row is "
    "divided by its own largest: compare within a row, not between rows."
)
MAP_HELP = (
    "**Output → output**: the words said before. **Output → source**: the source words. A row is the step that "
    "predicts its token, and its numbers say what moves that token's logit."
)
NORM_HELP = (
    "Of the gradient with respect to the token: **One-hot**, as if the input were one number for each word of the "
    "vocabulary; **Embedding**, with respect to the vector that stands for the token; **Squared**, the one-hot norm "
    "squared, which leaves the strongest."
)
NO_HEADS = "A gradient goes through every layer and head at once: there is none to choose."
_WITH_RESPECT_TO: dict[Mode, str] = {
    "one-hot": "‖∂ logit of the word said / ∂ one-hot input‖",
    "embedding": "‖∂ logit of the word said / ∂ embedding of the input‖",
    "squared": "‖∂ logit of the word said / ∂ one-hot input‖²",
}


def fall_back(sides: Sequence[Side]) -> list[Side]:
    """Which maps there are; a map or a figure that gradients do not have becomes another, with a sentence.

    Args:
        sides: of the model whose gradients are shown, the first one to begin with.
    """
    state = st.session_state
    if state.get("map") not in sides:
        state["map"] = sides[0]
    if (asked := state.get("view")) not in FIGURES:
        state["view"] = "lines"
        if asked is not None:
            st.info(f"“{NAMES['view'][asked]}” shows attention, head by head. Gradients are shown as lines or heatmap.")
    return list(reversed(sides))


def made(card: ModelCard, trace: Trace, mode: Mode) -> Saliency:
    """The gradients of a trace, from memory or under a progress bar."""
    total = len(trace.predicted)

    def compute(runner: Runner, report: Callable[[int], None]) -> Saliency:
        return saliency_of(runner, trace, mode, _shared.in_steps(report, total))

    title = "Gradients of each output token"
    return _shared.computed_slowly(card, title, total, compute, ("saliency", trace.request, mode))


def shown(saliency: Saliency, view: View) -> Shown:
    """A map put together as the view says: words, then hidden tokens."""
    gradient = _whole(saliency, view)
    if hides(view):
        special, first = view.special != "shown", view.sink != "shown"
        gradient = hide_special(gradient, rescale=renormalises(view), special=special, first=first)
    return Shown(gradient.drawn, None, gradient)


def _whole(saliency: Saliency, view: View) -> GradientMap:
    """The map between words or pieces, with special tokens."""
    gradient = saliency.maps[cast(Side, view.map)]
    return merge_words(gradient) if view.tokens == "words" else gradient


def heatmap(shown: Shown, file_name: str, theme: viz.Theme, scale: float) -> Figure:
    """The heatmap of gradients: there is one, so there is nothing to compare."""
    figure = viz.heatmap(shown.attention, 0, 0, theme=theme, scale=scale)
    with st.container(key="heatmap"):
        described = f"Heatmap: {figure.layout.title.text}"
        st.plotly_chart(figure, theme=None, width="content", alt=described)
    save_picture("heatmap", file_name, key="save picture")
    return Figure(None, None, 0, (0,))


def statement(saliency: Saliency, view: View) -> str:
    """What the numbers are and what was done to them, in a few sentences."""
    by = "" if not hides(view) else " of what is left" if renormalises(view) else ", hidden ones included"
    parts = [
        f"{_WITH_RESPECT_TO[saliency.mode]}: each row is divided by its own largest{by}, so rows cannot be compared "
        "with each other."
    ]
    if view.tokens == "words":
        how = "sum" if saliency.mode == "squared" else "root of the sum of squares"
        parts.append(f"Words: the {how} over the pieces that move, the largest over the pieces that are moved.")
    if view.special != "shown":
        whole = _whole(saliency, view)
        rows = sum(not special for special in whole.predicted.special)
        parts.append(
            f"Special tokens are hidden: in {special_first(whole)} of {rows} rows one of them was the largest."
        )
    if view.sink != "shown":
        parts.append(f"The first {'word' if view.tokens == 'words' else 'token'} that is read is hidden.")
    return " ".join(parts)
