"""Which weights of a layer become lines: those at the threshold or above it, at most so many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.types import AttentionMap

MAX_LINES = 8_000  # more lines make hovering over a chart slow; the strongest are kept


@dataclass(frozen=True, slots=True)
class Edges:
    """The lines of a diagram, weakest first, so that strong lines lie on top.

    Attributes:
        query: int (E,), the row that looks.
        key: int (E,), the position looked at.
        head: int (E,), counted from 0.
        weight: float32 (E,), in (0, 1].
        candidates: how many weights reach the threshold, drawn or not.
        mass: the share of the shown heads' attention that the lines carry, in [0, 1].
    """

    query: np.ndarray
    key: np.ndarray
    head: np.ndarray
    weight: np.ndarray
    candidates: int
    mass: float


def strongest_edges(
    attention: AttentionMap,
    layer: int,
    heads: Sequence[int],
    *,
    threshold: float = 0.05,
    max_lines: int = MAX_LINES,
) -> Edges:
    """The (query, key, head) whose weight reaches the threshold, the strongest `max_lines` of them.

    Raises:
        ValueError: when the threshold is outside [0, 1] or `max_lines` is negative.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold}: weights lie between 0 and 1, give a threshold there")
    if max_lines < 0:
        raise ValueError(f"max_lines {max_lines}: give 0 or more")
    weights = np.where(attention.masked(), 0, attention.weights[layer, list(heads)])  # (H, Q, K)
    head, query, key = np.nonzero((weights >= np.float32(threshold)) & (weights > 0))
    weight = weights[head, query, key]
    order = np.argsort(weight, kind="stable")[max(len(weight) - max_lines, 0) :]
    total = float(np.nansum(weights, dtype=np.float64))
    return Edges(
        query=query[order],
        key=key[order],
        head=np.asarray(heads, dtype=int)[head[order]],
        weight=weight[order],
        candidates=len(weight),
        mass=float(weight[order].sum(dtype=np.float64)) / total if total else 0.0,
    )
