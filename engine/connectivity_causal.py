"""Connectivity of causal Transformers: a backward pass written out for many targets at once.

Targets go in chunks of neighbours, which need only the inputs up to the last of them. One forward is kept for all.
What one target does not share with another is its adjoint alone: attention weights, slopes and norms are the same, and
adjoints of a chunk go through each matrix in one product. In the last layer a target's adjoint lies at its own
position only, so there the position-wise network is applied once for each target, and keys and values get a sum of two
vectors for each head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from engine.connectivity_blocks import Block, Blocks, fitting, targets_of
from engine.connectivity_layers import Layer, Normed, Starts, past
from engine.models.transformer import EncoderLayer

ROWS = 768
"""Adjoints side by side on a CPU: more of them leave its cache."""
MOST = 16384
"""The same on a GPU, which a few rows do not keep busy."""


@dataclass(frozen=True, slots=True)
class CausalParts:
    """A causal Transformer from vectors to logits, without what does not change gradients.

    Attributes:
        layers: first to last; each position attends to itself and what is before it.
        norm: after the last layer; None for none.
        output: (words, d), from there to logits.
    """

    layers: tuple[EncoderLayer, ...]
    norm: nn.LayerNorm | None
    output: Tensor


@torch.no_grad()
def causal(
    parts: CausalParts,
    vectors: Tensor,
    words: Sequence[int],
    basis: Tensor | None = None,
    rows: int = ROWS,
) -> Blocks:
    """Gradients of each position's logit of its word, some positions at a time.

    Args:
        parts: the network.
        vectors: (T, d), what the first layer reads, positions added.
        words: T ids, −1 for none.
        basis: (features, d), or None: gradients come multiplied by it.
        rows: adjoints, one for each target and position, that go through a matrix together.
    """
    targets = targets_of(words)
    if not targets:
        return
    layers: list[Layer] = []
    for module in parts.layers:
        layers.append(Layer(module, vectors))
        vectors = layers[-1].output
    times = [time for time, _ in targets]
    given = parts.output[[word for _, word in targets]]  # (targets, d)
    if parts.norm is not None:
        given = Normed.of(parts.norm, vectors).at(times).back(given)
    starts = layers[-1].enter(given, times)
    unit_raised = None
    if layers[-1].pre and len(layers) > 1:  # few vectors through a matrix in place of many
        unit_raised = layers[-1].first.unit @ layers[-2].down
    for first, last in _groups(times, rows):
        some, whole = times[first:last], slice(first, last)
        spans = _spans(some)
        seeds = layers[-1].seeds(Starts(starts.middle[whole], starts.heads[whole]), some)
        adjoint = seeds.grow()
        for number in range(len(layers) - 2, -1, -1):
            layer = layers[number]
            if not layer.pre:
                adjoint = past(layer.second, adjoint, spans)
            if unit_raised is not None and number == len(layers) - 2:
                raised = seeds.through(layer.down, unit_raised).grow()
            else:
                raised = adjoint @ layer.down
            adjoint = layer.back(adjoint, raised, spans)
        if basis is not None:
            adjoint = adjoint @ basis.T
        for time, (start, end) in zip(some, spans, strict=True):
            yield Block((time,), slice(0, time + 1), adjoint[None, start:end])


def _groups(times: Sequence[int], rows: int) -> Iterator[tuple[int, int]]:
    """Targets first to last − 1 that together have about so many rows, at least one target each."""
    first = 0
    while first < len(times):
        last, filled = first, 0
        while last < len(times) and (last == first or filled + times[last] + 1 <= rows):
            filled += times[last] + 1
            last += 1
        yield first, last
        first = last


def _spans(times: Sequence[int]) -> list[tuple[int, int]]:
    """Where each target's rows lie: it has one for every position up to its own."""
    ends = list(accumulate(time + 1 for time in times))
    return list(pairwise([0, *ends]))


def rows_of(parts: CausalParts, length: int, budget: int, device: str) -> int:
    """How many rows at a time fit into a budget of bytes, and suit the device."""
    return fitting(budget, _each(parts), _kept(parts, length), MOST if device != "cpu" else ROWS)


def memory_of(parts: CausalParts, length: int, rows: int) -> int:
    """Bytes that `causal` takes, beside the weights: what the forward kept, and the adjoints on their way."""
    return _kept(parts, length) + max(rows, length) * _each(parts)


def _kept(parts: CausalParts, length: int) -> int:
    first = parts.layers[0]
    width, wide, heads = parts.output.shape[1], first.feedforward.up.out_features, first.attention.heads
    numbers = length * (9 * width + 2 * wide + heads * length)  # of one layer
    numbers += 4 * width**2 + wide * width  # the matrices with norms in them
    return (len(parts.layers) * numbers + 2 * heads * length**2) * parts.output.element_size()


def _each(parts: CausalParts) -> int:
    """Bytes of one row: vectors on their way, and the position-wise network."""
    return (10 * parts.output.shape[1] + parts.layers[0].feedforward.up.out_features) * parts.output.element_size()
