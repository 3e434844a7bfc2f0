"""What is asked of attention maps: before they are made whether they fit, and afterwards whether they are numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from engine.errors import InputTooLong, Unsupported
from engine.huggingface.memory import shown_bytes
from engine.types import Kind

MOST = 2**30  # bytes of all maps of a text
FLOAT32 = 4  # bytes
NOT_FINITE = (
    "What this model computes are not finite numbers: its weights are damaged, or half precision is too narrow. Open "
    "it in float32, or copy its files again."
)


class Sizes(Protocol):
    """The shape of a model's attention."""

    def attention_layers(self, kind: Kind) -> int: ...

    def attention_heads(self, kind: Kind) -> int: ...


def check_maps(sizes: Sizes, lengths: Mapping[Kind, tuple[int, int]]) -> None:
    """Whether every map of a text may be made at once.

    Args:
        sizes: of the model.
        lengths: tokens that look and tokens that are looked at, by kind of attention.

    Raises:
        InputTooLong: all of them, in float32, would take more than `MOST` bytes; it says how many tokens would do.
    """
    cells = sum(
        sizes.attention_layers(kind) * sizes.attention_heads(kind) * rows * columns
        for kind, (rows, columns) in lengths.items()
    )
    if FLOAT32 * cells <= MOST:
        return
    longest = max(max(pair) for pair in lengths.values())
    most = int(longest * math.sqrt(MOST / (FLOAT32 * cells)))
    raise InputTooLong(
        f"All attention maps of these {longest:,} tokens would take {shown_bytes(FLOAT32 * cells)}; "
        f"{shown_bytes(MOST)} is the most. Shorten the text to about {most:,} tokens, or look at it under “Long text” "
        "on the page “Your model”."
    )


def check_finite(weights: np.ndarray) -> None:
    """Whether weights are numbers.

    Raises:
        Unsupported: some are not.
    """
    if not np.isfinite(weights.sum(dtype=np.float64)):
        raise Unsupported(NOT_FINITE)
