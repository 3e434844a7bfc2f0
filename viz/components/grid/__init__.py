"""Thumbnails of all heads of all layers in the browser: what each does at a glance, the one picked goes to Python.

Source: Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model" (the model view).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.types import AttentionMap
from viz.axes import check_head, check_layer, headings, kind_title
from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack
from viz.pool import max_pool, pooled_mask
from viz.theme import LIGHT, Theme

LEVELS = 255
SIDE = 64  # most rows and columns of a thumbnail: 12 × 12 heads are 0.6 MB
MANY_HEADS = 256  # more heads than this get smaller thumbnails on the screen,
MANY_SIDE = 32  # and so fewer cells: 32 × 32 heads are 1 MB

_mount = register("grid")


def grid_data(
    attention: AttentionMap,
    patterns: Sequence[Sequence[str]],
    *,
    chosen: tuple[int, int] | None,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    file_name: str = "heads",
) -> bytes:
    """What the component receives.

    Each thumbnail travels as shares of its head's largest weight, so that a head that spreads its attention thin keeps
    its shades.

    Args:
        attention: weights (layer, head, query, key) in [0, 1].
        patterns: for each layer and head what it does, with its score where it has one: "previous token 0.82"; "" for
            nothing to say.
        chosen: (layer, head) that is outlined, counted from 0; None for none.
        theme: colours and type sizes.
        scale: of type; above 1 for a projector.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when `patterns` has other layers or heads than the map.
        IndexError: when the map lacks the chosen head.
    """
    if [len(row) for row in patterns] != [attention.heads] * attention.layers:
        raise ValueError(f"patterns: give one text for each of {attention.layers} layers × {attention.heads} heads")
    side = thumbnail_side(attention.layers * attention.heads)
    pooled = max_pool(attention.weights, side)
    levels, peaks = shares(pooled)
    header = {
        **theme_header(theme, scale),
        "sequential": theme.sequential,
        "mask": theme.mask,
        "title": kind_title(attention),
        "headings": headings(attention),
        "layers": attention.layer_names,
        "heads": attention.head_names,
        "patterns": [list(row) for row in patterns],
        "chosen": chosen and (check_layer(attention, chosen[0]), check_head(attention, chosen[1])),
        "tokens": attention.weights.shape[2:],
        "cells": pooled.shape[2:],
        "levels": LEVELS,
        "file_name": file_name,
    }
    arrays = {"weights": levels, "peaks": peaks}
    masked = attention.masked()
    if masked.any():
        arrays["masked"] = pooled_mask(masked, side).astype(np.uint8)
    return pack(header, arrays)


def thumbnail_side(heads: int) -> int:
    """The most rows and columns of each of so many thumbnails."""
    return SIDE if heads <= MANY_HEADS else MANY_SIDE


def shares(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights as shares of their head's largest: uint8 (layer, head, q, k) with `LEVELS` for 1, and the largest.

    A share is off by at most half a level; the largest weights are float32 (layer, head) in [0, 1].
    """
    weights = np.clip(np.nan_to_num(weights), 0, 1)
    peaks = weights.max(axis=(-2, -1), initial=0)
    whole = np.where(peaks > 0, peaks, 1)[..., None, None]
    return np.rint(weights / whole * LEVELS).astype(np.uint8), peaks


def grid(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> tuple[int, int] | None:
    """Mount the thumbnails.

    Args:
        data: from `grid_data`.
        key: its name on the page.
        on_change: called when the reader has picked a head, by click or Enter.

    Returns:
        The (layer, head), counted from 0, that this very run is due to; None in every other run.
    """
    result = _mount(key=key, data=data, on_picked_change=on_change)
    return (int(result.picked["layer"]), int(result.picked["head"])) if result.picked else None
