"""Maps too large to keep: their weights are computed block by block, pooled into cells and counted, and dropped.

All heads of 12 layers of 12 at 4,096 tokens are 9.7 GB; pooled to 64 × 64 cells they are 2.4 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.models.query_key import QueryKey

BLOCK = 4 << 20
"""Bytes of weights that are there at a time. Their logits, their mask and what is counted on them are blocks too: with
`TEMPORARIES` of them this is 32 MB. Larger blocks leave a processor's cache and take longer."""
TEMPORARIES = 8
_LEAST = 1e-38  # no logarithm of 0, and 0 times it is 0

Report = Callable[[int], None]
"""Told how many heads of a layer are done since the last call; what it raises ends the work."""


def _silent(done: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Some heads of one sublayer, every row of them.

    Attributes:
        cells: float32 (head, q, k) in [0, 1]: the largest weight of each block of queries and keys.
        first: float32 (head, query) in [0, 1]: the weight on the first key, where heads leave what they do not need
            (an attention sink, Xiao et al. 2024).
        entropy: float32 (head, query), in bits, ≥ 0: −Σ w·log₂ w over the row's keys; 2 to it is over how many keys the
            row spreads.
        distance: float32 (head, query), ≥ 0: Σ w·|place of the key − place of the query|, in tokens; NaN where queries
            and keys are of different texts.
    """

    cells: np.ndarray
    first: np.ndarray
    entropy: np.ndarray
    distance: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.cells, self.first, self.entropy, self.distance):
            array.setflags(write=False)


def edges(length: int, most: int) -> np.ndarray:
    """Where blocks of positions begin and end: int64 (blocks + 1,), blocks = min(length, most).

    Block i holds the positions from edges[i] to edges[i + 1] − 1. Blocks differ in length by at most 1; they are those
    that thumbnails of whole maps are pooled by.
    """
    blocks = min(length, most)
    return np.arange(blocks + 1, dtype=np.int64) * length // max(blocks, 1)


@torch.inference_mode()
def pooled(
    seen: QueryKey,
    heads: Sequence[int],
    most: int,
    *,
    own: bool = True,
    rows: tuple[int, int] | None = None,
    block: int = BLOCK,
    report: Report = _silent,
) -> Pooled:
    """The weights of some heads, never more than a block of them at a time.

    Args:
        seen: of one text (B = 1).
        heads: which.
        most: the most cells of a side.
        own: whether queries and keys are positions of one text; its last query stands where its last key does.
        rows: the first query and the one after the last; None for all. Cells are blocks of these.
        block: the most bytes of float32 weights at a time; a single row is never divided.
        report: told after each head.
    """
    assert seen.query.shape[0] == 1, "one text at a time"
    start, stop = rows or (0, seen.query.shape[2])
    keys = seen.key.shape[2]
    height = max(block // (4 * (keys + 1)), 1)  # one more for sinks
    cells, counted = [], []
    for head in heads:
        pieces = [
            _piece(seen, head, (top, min(top + height, stop)), edges(keys, most)[:-1], own=own)
            for top in range(start, stop, height)
        ]
        strips, counts = zip(*pieces, strict=True)
        cells.append(np.maximum.reduceat(np.concatenate(strips), edges(stop - start, most)[:-1], axis=0))
        counted.append(np.concatenate(counts, axis=1))
        report(1)
    return Pooled(np.stack(cells), *np.stack(counted, axis=1))


def _piece(
    seen: QueryKey, head: int, rows: tuple[int, int], columns: np.ndarray, *, own: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A block of one head's rows: their weights pooled along the keys, and what is counted.

    Returns:
        float32 (query, k), and float32 (3, query): weight on the first key, entropy, distance.
    """
    weights = seen.weights([head], rows)[0, 0]  # (q, K)
    logs = weights.clamp_min(_LEAST).log2_()
    entropy = logs.mul_(weights).sum(-1).neg_().clamp_min_(0.0)
    distance = (weights * _distances(seen, rows)).sum(-1) if own else torch.full_like(entropy, torch.nan)
    counts = torch.stack([weights[:, 0], entropy, distance])
    return np.maximum.reduceat(weights.cpu().numpy(), columns, axis=1), counts.cpu().numpy()


def _distances(seen: QueryKey, rows: tuple[int, int]) -> Tensor:
    """How many tokens each key is from each query: float32 (q, K)."""
    keys, device = seen.key.shape[2], seen.query.device
    places = torch.arange(*rows, dtype=torch.float32, device=device) + (keys - seen.query.shape[2])
    return (places[:, None] - torch.arange(keys, dtype=torch.float32, device=device)).abs_()
