"""The axes of a map on a screen: which layer and heads are shown, and what rows and columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import numpy as np

from engine.types import AttentionMap
from viz.wording import wording


@dataclass(frozen=True, slots=True)
class HeadOf:
    """One head of a map.

    Attributes:
        attention: weights (layer, head, query, key) in [0, 1].
        layer: counted from 0.
        head: counted from 0.

    Raises:
        IndexError: when the map lacks the layer or the head.
    """

    attention: AttentionMap
    layer: int
    head: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", check_layer(self.attention, self.layer))
        object.__setattr__(self, "head", check_head(self.attention, self.head))

    @property
    def weights(self) -> np.ndarray:
        """The head's weights, float32 (query, key) in [0, 1]."""
        return self.attention.weights[self.layer, self.head]

    @property
    def name(self) -> str:
        """E.g. "layer 3, head 1", or what was put together: "layer 3, mean of 8 heads"."""
        return f"{self.attention.layer_names[self.layer]}, {self.attention.head_names[self.head]}"


def check_same_axes(first: AttentionMap, second: AttentionMap) -> None:
    """Check that two maps can be compared cell by cell.

    Raises:
        ValueError: when they are of different kinds or measures, or rows or columns name different tokens.
    """
    if first.measure != second.measure:
        raise ValueError(f"Maps of {first.measure} and {second.measure} are no like numbers: choose one for both")
    if first.kind != second.kind:
        raise ValueError(f"Maps of {first.kind} and {second.kind} attention have other axes: choose one kind for both")
    for noun, ours, theirs in (
        ("rows", first.row_labels, second.row_labels),
        ("columns", first.key_tokens.labels, second.key_tokens.labels),
    ):
        if len(ours) != len(theirs):
            raise ValueError(f"The maps have {len(ours)} and {len(theirs)} {noun}: choose two of the same texts")
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
            if one != other:
                raise ValueError(
                    f"The maps have different tokens in their {noun}: {one!r} and {other!r} are number {place}; "
                    "choose two of the same texts"
                )


def check_layer(attention: AttentionMap, layer: int) -> int:
    """The layer as a plain int, counted from 0.

    Raises:
        IndexError: when the map has no such layer; negative numbers do not count from the end.
    """
    return _check("layer", index(layer), attention.layers)


def check_head(attention: AttentionMap, head: int) -> int:
    """The head as a plain int, counted from 0.

    Raises:
        IndexError: when the map has no such head; negative numbers do not count from the end.
    """
    return _check("head", index(head), attention.heads)


def check_heads(attention: AttentionMap, heads: Sequence[int] | None) -> tuple[int, ...]:
    """The heads in rising order, each once; all of them for None.

    Raises:
        IndexError: when the map lacks one of them.
    """
    if heads is None:
        return tuple(range(attention.heads))
    return tuple(sorted({check_head(attention, head) for head in heads}))


def map_title(attention: AttentionMap, layer: int) -> str:
    """E.g. "Encoder attention, layer 3": screens count layers from 1."""
    return f"{kind_title(attention)}, {attention.layer_names[layer]}"


def kind_title(attention: AttentionMap) -> str:
    """E.g. "Encoder attention"."""
    return f"{attention.kind.capitalize()} {wording(attention).noun}"


def headings(attention: AttentionMap) -> tuple[str, str]:
    """What the rows (who looks) and the columns (where) are called: one name each."""
    before = "output so far" if attention.source_name else "text so far"  # of which a prompt may be a part
    if attention.measure != "attention":
        return "token predicted", f"moved by {'source' if attention.kind == 'cross' else before}"
    if attention.kind == "encoder":
        name = attention.source_name
        return f"{name} token".strip(), f"looks at {name or 'token'}"
    if attention.kind == "decoder":
        return "token read", f"looks at {before}"
    return ("token read" if attention.predicted_tokens is None else "token predicted"), "looks at source"


def _check(noun: str, number: int, count: int) -> int:
    if not 0 <= number < count:
        raise IndexError(f"{noun} {number}: this map has {noun}s 0 to {count - 1} (counted from 0)")
    return number
