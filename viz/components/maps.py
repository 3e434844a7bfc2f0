"""An attention map as a component receives it: tokens, names and colours in the header, weights as whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.types import AttentionMap, Tokens
from viz.axes import headings
from viz.labels import isolate, shorten
from viz.theme import HEAD_DASHES, Theme, head_colour, head_dash

FINE_UP_TO = 1 << 19  # weights that travel with 16 bits each, 1 MB; more of them get 8
MOST_WEIGHTS = 1 << 22  # weights that travel at once; beyond that a component gets the shown layer alone
ROW = 28  # pixels from one token to the next


def quantised(weights: np.ndarray) -> tuple[np.ndarray, int]:
    """Weights as whole numbers and the number that stands for 1: 65,535 for small maps, else 255.

    A weight is off by at most half a step, so that with 255 steps those below 0.002 become 0.
    """
    levels = 65_535 if weights.size <= FINE_UP_TO else 255
    numbers = np.rint(np.clip(np.nan_to_num(weights), 0, 1) * levels)
    return numbers.astype(np.uint16 if levels > 255 else np.uint8), levels


def theme_header(theme: Theme, scale: float) -> dict[str, Any]:
    """Colours, type sizes and the row height that every component draws with."""
    names = ("name", "background", "text", "muted", "faint", "accent", "font", "font_size", "small_size", "title_size")
    return {"theme": {name: getattr(theme, name) for name in names}, "scale": scale, "row": ROW}


def token_header(tokens: Tokens, titles: list[str] | None = None) -> list[dict[str, Any]]:
    """Label, full title and kind of each position."""
    whole = titles or [isolate(label) for label in tokens.labels]
    return [
        {"label": shorten(label), "title": title, "special": bool(special)}
        for label, title, special in zip(tokens.labels, whole, tokens.special, strict=True)
    ]


def axes_header(attention: AttentionMap) -> dict[str, Any]:
    """Tokens and headings of a map's two axes."""
    titles = [isolate(attention.row_title(row)) for row in range(len(attention.query_tokens))]
    return {
        "tokens": {
            "query": token_header(attention.row_tokens, titles),
            "key": token_header(attention.key_tokens),
        },
        "headings": headings(attention),
    }


def head_header(attention: AttentionMap, theme: Theme) -> dict[str, Any]:
    """Names of layers and heads, and each head's colour and dash; what is no single head has the accent colour."""
    numbered = {
        "layers": attention.layer_names == tuple(f"layer {i + 1}" for i in range(attention.layers)),
        "heads": all(_is_numbered(name, i + 1) for i, name in enumerate(attention.head_names)),
    }
    heads = range(attention.heads)
    plain = HEAD_DASHES[0]
    return {
        "layers": attention.layer_names,
        "heads": attention.head_names,
        "numbered": numbered,
        "colours": [head_colour(head) if numbered["heads"] else theme.accent for head in heads],
        "dashes": [None if head_dash(head) == plain or not numbered["heads"] else head_dash(head) for head in heads],
    }


def _is_numbered(name: str, number: int) -> bool:
    """Whether a head is called by its number: "head 3", or "head 3 (key head 1)" where it shares its keys."""
    return name == f"head {number}" or name.startswith(f"head {number} (")
