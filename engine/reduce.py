"""Smaller maps: one head from many, one layer from many, and maps without special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.errors import InputError
from engine.types import AttentionMap, Tokens

Reduction = Literal["mean", "max"]


def reduce_heads(attention: AttentionMap, how: Reduction) -> AttentionMap:
    """The mean or the maximum over the heads of each layer; a map of one head comes back as it is.

    Rows of a mean still sum to 1, those of a maximum to 1 or more. Masked keys stay exactly 0.

    Returns:
        A map with weights float32 (layer, 1, query, key), in [0, 1], and a head named "mean of 8 heads".
    """
    if attention.heads == 1:
        return attention
    return replace(
        attention,
        weights=_reduced(attention.weights, how, axis=1),
        head_names=(f"{how} of {attention.heads} heads",),
    )


def reduce_layers(attention: AttentionMap, how: Reduction) -> AttentionMap:
    """The mean or the maximum over the layers of each head; a map of one layer comes back as it is.

    Head 3 of one layer and head 3 of the next have nothing in common but their number: reduce the heads first where a
    result is to mean something.

    Returns:
        A map with weights float32 (1, head, query, key), in [0, 1], and a layer named "max of 6 layers".
    """
    if attention.layers == 1:
        return attention
    return replace(
        attention,
        weights=_reduced(attention.weights, how, axis=0),
        layer_names=(f"{how} of {attention.layers} layers",),
    )


def _reduced(weights: np.ndarray, how: Reduction, axis: int) -> np.ndarray:
    """Float32 with one entry on `axis`. Means are added up in float64, so that none is above its maximum."""
    if how == "max":
        result: np.ndarray = weights.max(axis=axis, keepdims=True)
    else:
        result = weights.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.float32)
    return result


@dataclass(frozen=True, slots=True)
class Hidden:
    """A map without its special tokens, and what went with them.

    Attributes:
        attention: the map between the positions that are left.
        removed: float32 (layer, head, query), in [0, 1] where the map's rows sum to 1: what each row that is left gave
            to the keys that are hidden.
    """

    attention: AttentionMap
    removed: np.ndarray

    def __post_init__(self) -> None:
        assert self.removed.shape == self.attention.weights.shape[:3] and self.removed.dtype == np.float32
        self.removed.setflags(write=False)


def hide_special(attention: AttentionMap, *, renormalise: bool) -> Hidden:
    """`hide` of special tokens."""
    return hide(attention, special=True, first=False, renormalise=renormalise)


def hide(attention: AttentionMap, *, special: bool, first: bool, renormalise: bool) -> Hidden:
    """The same map without the columns of some keys and without the rows that such a token names.

    A row is named by the token predicted in cross maps and by the token itself in the others, where a position loses
    its row and its column together: what is left of a decoder map is still causal. The first key is where many heads
    rest when they have nothing to look for, whatever token it is (Xiao et al. 2024, “attention sinks”). Its row goes
    with it where a text looks at itself; a cross map keeps its rows, which are of another text.

    Args:
        attention: pieces or words; special are those that `Tokens.special` marks.
        special: hide special tokens.
        first: hide the first token.
        renormalise: divide each row by what is left of it, so that it sums to 1 again. A row that gave everything to
            hidden keys stays 0.

    Returns:
        The map, which has no rows or no columns where all of them are special, and the mass that went.
    """
    rows = _kept(attention.row_tokens, special, first and attention.kind != "cross")
    columns = _kept(attention.key_tokens, special, first)
    hidden = sorted({*range(len(attention.key_tokens))} - {*columns})
    weights = attention.weights[:, :, rows].astype(np.float64)
    kept, removed = weights[..., columns], weights[..., hidden].sum(axis=-1)
    if renormalise:
        left = kept.sum(axis=-1, keepdims=True)
        kept = np.divide(kept, left, out=np.zeros_like(kept), where=left > 0)
    predicted = attention.predicted_tokens
    smaller = replace(
        attention,
        weights=kept.astype(np.float32),
        query_tokens=select(attention.query_tokens, rows),
        key_tokens=select(attention.key_tokens, columns),
        predicted_tokens=None if predicted is None else select(predicted, rows),
    )
    return Hidden(smaller, removed.astype(np.float32))


def _kept(tokens: Tokens, special: bool, first: bool) -> list[int]:
    return [i for i, marked in enumerate(tokens.special) if not (special and marked) and not (first and i == 0)]


def select(tokens: Tokens, positions: Sequence[int]) -> Tokens:
    """Some positions of a text, in the order given; each keeps its word's index, so that indices may have gaps."""
    return Tokens(
        tokens.text,
        tuple(tokens.labels[i] for i in positions),
        tuple(tokens.ids[i] for i in positions) if tokens.ids else (),
        tuple(tokens.words[i] for i in positions),
        tuple(tokens.spans[i] for i in positions),
        tuple(tokens.special[i] for i in positions),
    )


def between(
    attention: AttentionMap, segments: Sequence[int], query: int | None = None, key: int | None = None
) -> Hidden:
    """Only how the tokens of one text look at those of another: A→B of a pair.

    [CLS] and the first [SEP] are of the first text, the second [SEP] is of the second.

    Args:
        attention: between pieces, every token at every other one.
        segments: the text of each piece, 0 or 1.
        query: the text whose tokens look; None for both.
        key: the text that is looked at; None for both.

    Returns:
        The map, its rows no longer summing to 1 where columns went, and what each row gave to those columns.

    Raises:
        InputError: no token is of that text.
    """
    assert len(segments) == len(attention.query_tokens) == len(attention.key_tokens)
    rows, columns = _of_text(segments, query), _of_text(segments, key)
    others = sorted(set(range(len(segments))) - set(columns))
    looked = attention.weights[:, :, rows]
    smaller = replace(
        attention,
        weights=looked[..., columns],
        query_tokens=select(attention.query_tokens, rows),
        key_tokens=select(attention.key_tokens, columns),
    )
    return Hidden(smaller, looked[..., others].sum(axis=-1, dtype=np.float64).astype(np.float32))


def _of_text(segments: Sequence[int], text: int | None) -> list[int]:
    found = [i for i, segment in enumerate(segments) if text is None or segment == text]
    if not found:
        raise InputError("There is one text only. Type a second one to see how the two look at each other.")
    return found
