"""The memory that all attention maps of one text take, asked before they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from engine.errors import InputTooLong
from engine.huggingface.memory import shown_bytes
from engine.types import Kind

MOST = 2**30  # bytes of all maps of a text
FLOAT32 = 4  # bytes


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
