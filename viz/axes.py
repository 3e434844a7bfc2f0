"""The axes of a map on a screen: which layer and heads are shown, and what rows and columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

from engine.types import AttentionMap, Tokens


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
    return f"{attention.kind.capitalize()} attention, layer {layer + 1}"


def headings(attention: AttentionMap) -> tuple[str, str]:
    """What the rows (who looks) and the columns (where) are called: one name each."""
    if attention.kind == "encoder":
        return "source token", "looks at source"
    if attention.kind == "decoder":
        return "token read", "looks at output so far"
    return ("token read" if attention.predicted_tokens is None else "token predicted"), "looks at source"


def row_tokens(attention: AttentionMap) -> Tokens:
    """The tokens that `attention.row_labels` names: the predicted ones for cross maps, else those read."""
    if attention.kind == "cross" and attention.predicted_tokens is not None:
        return attention.predicted_tokens
    return attention.query_tokens


def _check(noun: str, number: int, count: int) -> int:
    if not 0 <= number < count:
        raise IndexError(f"{noun} {number}: this map has {noun}s 0 to {count - 1} (counted from 0)")
    return number
