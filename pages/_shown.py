"""A map as it is drawn, the figure it was drawn as, and what the screen calls each choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.analysis import merge_words
from engine.reduce import hide, reduce_heads, reduce_layers
from engine.saliency import GradientMap
from engine.types import AttentionMap
from pages._permalink import View

NAMES: dict[str, dict[str, str]] = {
    "measure": {"attention": "Attention", "gradient": "Gradient"},
    "norm": {"one-hot": "One-hot", "embedding": "Embedding", "squared": "Squared"},
    "map": {"encoder": "Source → source", "decoder": "Output → output", "cross": "Output → source"},
    "view": {"lines": "Lines", "playback": "Playback", "grid": "All heads", "heatmap": "Heatmap"},
    "tokens": {"words": "Words", "pieces": "Pieces"},
    "special": {"shown": "Shown", "hidden": "Hidden", "renormalised": "Hidden, rest renormalised"},
    "sink": {"shown": "Shown", "hidden": "Hidden", "renormalised": "Hidden, rest renormalised"},
    "over_heads": {"each": "Each", "mean": "Mean", "max": "Maximum"},
    "over_layers": {"each": "Each", "mean": "Mean", "max": "Maximum"},
    "compare": {"one": "One head", "pair": "Side by side", "difference": "Difference"},
}
"""What the screen calls the options of each choice."""


def hides(view: View) -> bool:
    """Whether some tokens are hidden."""
    return view.special != "shown" or view.sink != "shown"


def renormalises(view: View) -> bool:
    """Whether rows are divided by what hidden tokens leave of them."""
    return "renormalised" in (view.special, view.sink)


def hidden_tokens(view: View) -> str:
    """What is hidden, in words: "Special tokens and the first word are hidden"."""
    first = f"the first {'word' if view.tokens == 'words' else 'token'}"
    if view.special == "shown":
        return f"{first[0].upper()}{first[1:]} is hidden"
    return "Special tokens are hidden" if view.sink == "shown" else f"Special tokens and {first} are hidden"


@dataclass(frozen=True, slots=True)
class Shown:
    """A map as it is drawn.

    Attributes:
        attention: after merging, hiding and reducing.
        removed: (layer, head, query): what hidden tokens took of each row; None where none are hidden.
        gradient: what `attention` was drawn from, where it holds no attention; it was merged and hidden likewise.
    """

    attention: AttentionMap
    removed: np.ndarray | None
    gradient: GradientMap | None = None

    @classmethod
    def of(cls, attention: AttentionMap, view: View) -> Shown:
        """The map put together as the view says: words, then hidden tokens, then heads, then layers."""
        removed = None
        if view.tokens == "words":
            attention = merge_words(attention)
        if hides(view):
            special, first = view.special != "shown", view.sink != "shown"
            hidden = hide(attention, special=special, first=first, renormalise=renormalises(view))
            attention, removed = hidden.attention, hidden.removed
        if view.over_heads != "each":
            attention = reduce_heads(attention, view.over_heads)
            removed = None if removed is None else removed.mean(axis=1, keepdims=True)
        if view.over_layers != "each":
            attention = reduce_layers(attention, view.over_layers)
            removed = None if removed is None else removed.mean(axis=0, keepdims=True)
        return cls(attention, removed)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was drawn, for saving.

    Attributes:
        component: the folder of the component that drew it; None for a chart.
        pack: makes the component's data for the view as it is now.
        layer: the layer that is shown.
        heads: the heads whose weights a table holds; empty where a figure shows more than a layer.
    """

    component: str | None
    pack: Callable[[], bytes] | None
    layer: int
    heads: tuple[int, ...]
