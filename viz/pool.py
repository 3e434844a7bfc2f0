"""Maps made small enough for a thumbnail, with every strong weight kept: each cell is the maximum of its block."""

from __future__ import annotations

import numpy as np


def max_pool(weights: np.ndarray, most: int) -> np.ndarray:
    """Maps of at most `most` rows and columns; each cell is the largest weight of its block.

    A maximum keeps the one key that a row looks at, where a mean would wash it out. Blocks along an axis differ in
    length by at most 1.

    Args:
        weights: float32 (layer, head, query, key).
        most: the most rows and columns of the result, ≥ 1.

    Returns:
        float32 (layer, head, q, k) with q = min(query, most) and k = min(key, most): the weights themselves where
        nothing has to be pooled.

    Raises:
        ValueError: when `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"most {most}: a thumbnail has at least 1 row and column")
    for axis in (-2, -1):  # rows first: whole rows at once, and fewer of them left for the columns
        if weights.shape[axis] > most:
            weights = np.maximum.reduceat(weights, block_starts(weights.shape[axis], most), axis=axis)
    return weights


def pooled_mask(masked: np.ndarray, most: int) -> np.ndarray:
    """Bool (q, k): True where a whole block of `max_pool` is masked; `masked` is bool (query, key)."""
    seen = (~masked).astype(np.float32)[None, None]
    pooled: np.ndarray = max_pool(seen, most)[0, 0] == 0
    return pooled


def block_starts(length: int, blocks: int) -> np.ndarray:
    """Where each of `blocks` blocks of `length` positions begins: int64 (blocks,), blocks ≤ length."""
    return np.arange(blocks) * length // blocks
