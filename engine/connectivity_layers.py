"""Layers of a causal Transformer as connectivity walks back through them: what a forward leaves, and the way back.

Adjoints of several targets lie one below the other, (rows, d), each target in its own span of rows, one row for every
position up to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.models.transformer import EncoderLayer

Spans = Sequence[tuple[int, int]]
STRIP = 96
"""Queries at a time: keys after the last of them need no product."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Adjoints in the last layer, at each target's own position.

    Attributes:
        middle: (n, d), of the sum after attention.
        heads: (n, H, d/H), of what each head gives.
    """

    middle: Tensor
    heads: Tensor


@dataclass(frozen=True, slots=True)
class Seeds:
    """What the adjoints of some targets are made of where the last layer reads: few vectors for many positions.

    At position j of target c it is Σ_h mix[c][j, h] vectors[c, h] − along[c][j] x̂_j, and own[c] more at the target's
    own position.

    Attributes:
        times: of the targets.
        mix: per target, (positions, 2H): how much of each head's keys and values.
        along: per target, (positions, 1): how much of x̂ the norm before the layer takes away; empty without one.
        vectors: (targets, 2H, d).
        own: (targets, d).
        unit: x̂ (T, d), what that norm gives before its weight; None without one.
    """

    times: Sequence[int]
    mix: list[Tensor]
    along: list[Tensor]
    vectors: Tensor
    own: Tensor
    unit: Tensor | None

    def through(self, matrix: Tensor, unit: Tensor | None) -> Seeds:
        """The same after a product with a matrix; `unit` is that of x̂."""
        return Seeds(self.times, self.mix, self.along, self.vectors @ matrix, self.own @ matrix, unit)

    def grow(self) -> Tensor:
        """The adjoints, (rows, d)."""
        rows = []
        for target, time in enumerate(self.times):
            found = self.mix[target] @ self.vectors[target]
            if self.unit is not None:
                found.addcmul_(self.unit[: time + 1], self.along[target], value=-1)
            found[time] += self.own[target]
            rows.append(found)
        return torch.cat(rows)


@dataclass(frozen=True, slots=True)
class Normed:
    """A layer norm that has been gone through: what it read (T, d), and the mean and 1 / deviation of that (T, 1)."""

    norm: nn.LayerNorm
    read: Tensor
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, norm: nn.LayerNorm, vectors: Tensor) -> Normed:
        spread, mean = torch.var_mean(vectors, -1, correction=0, keepdim=True)
        return cls(norm, vectors, mean, torch.rsqrt(spread + norm.eps))

    def at(self, times: Sequence[int]) -> Normed:
        """The same at some positions."""
        return Normed(self.norm, *(each[list(times)] for each in (self.read, self.mean, self.scale)))

    def until(self, end: int) -> Normed:
        """The same at the first positions."""
        return Normed(self.norm, self.read[:end], self.mean[:end], self.scale[:end])

    @property
    def unit(self) -> Tensor:
        """x̂ (T, d): what the norm gives before its weight and bias."""
        return (self.read - self.mean) * self.scale

    def back(self, given: Tensor) -> Tensor:
        """Adjoints (T, d) of the output to those of the input."""
        norm, shape = self.norm, list(self.norm.normalized_shape)
        saved = (self.read, shape, self.mean, self.scale, norm.weight, norm.bias)
        found: Tensor = torch.ops.aten.native_layer_norm_backward(given, *saved, [True, False, False])[0]
        return found


class Layer:
    """One layer: what its forward kept, and its backward."""

    def __init__(self, layer: EncoderLayer, vectors: Tensor) -> None:
        attention, network = layer.attention, layer.feedforward
        self.pre, self.heads = layer.pre, attention.heads
        scale = (vectors.shape[1] // self.heads) ** -0.5
        self.out, self.down = attention.out_proj.weight, network.down.weight
        self.into, self.up = attention.in_proj.weight, network.up.weight
        read = vectors
        if self.pre:
            self.first = Normed.of(layer.attention_norm, vectors)
            read = layer.attention_norm(vectors)
        query, key, self.value = (side[0] for side in attention.project_self(read[None]))  # (H, T, d/H)
        self.query, self.key = query * scale, key * scale
        scores = torch.matmul(self.query, key.mT)
        later = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
        self.weights = scores.masked_fill_(later, float("-inf")).softmax(-1)  # (H, T, T)
        self.mixed = torch.matmul(self.weights, self.value).transpose(0, 1).flatten(1)  # (T, d)
        middle = vectors + attention.out_proj(self.mixed)
        if not self.pre:
            self.first = Normed.of(layer.attention_norm, middle)
            middle = layer.attention_norm(middle)
        read = middle
        if self.pre:
            self.second = Normed.of(layer.feedforward_norm, middle)
            read = layer.feedforward_norm(middle)
        raised = network.up(read)
        self.slope = _slope(network.activation, raised)  # (T, feedforward)
        self.output = middle + network.down(network.activation(raised))
        if not self.pre:
            self.second = Normed.of(layer.feedforward_norm, self.output)
            self.output = layer.feedforward_norm(self.output)

    def enter(self, given: Tensor, times: Sequence[int]) -> Starts:
        """From adjoints (n, d) of the output, each at its own time, to those of what the heads give there."""
        slope, second = self.slope[list(times)], self.second.at(times)
        if not self.pre:
            given = second.back(given)
        through = (given @ self.down).mul_(slope) @ self.up
        middle = given + (second.back(through) if self.pre else through)
        if not self.pre:
            middle = self.first.at(times).back(middle)
        return Starts(middle, (middle @ self.out).unflatten(-1, (self.heads, -1)))

    def seeds(self, starts: Starts, times: Sequence[int]) -> Seeds:
        """From there to what the layer reads."""
        places = list(times)
        into = self.into.unflatten(0, (3, self.heads, -1))  # (3, H, d/H, d)
        of_heads, weights = starts.heads.transpose(0, 1), self.weights[:, places]  # (H, C, d/H), (H, C, T)
        own = (starts.heads.flatten(1) * self.mixed[places]).unflatten(1, (self.heads, -1)).sum(-1)  # (C, H)
        change = torch.bmm(of_heads, self.value.mT).sub_(own.T[..., None]).mul_(weights)
        query = torch.bmm(change, self.key).transpose(0, 1).flatten(1) @ into[0].flatten(0, 1)  # (C, d)
        pairs = torch.cat([torch.bmm(self.query[:, places], into[1]), torch.bmm(of_heads, into[2])])
        vectors = pairs.transpose(0, 1)  # (C, 2H, d)
        both = torch.cat([change, weights]).permute(1, 2, 0)  # (C, T, 2H)
        mix = [both[target, : time + 1] for target, time in enumerate(times)]
        if not self.pre:
            return Seeds(times, mix, [], vectors, query + starts.middle, None)
        norm = self.first
        vectors = vectors * norm.norm.weight
        vectors = vectors - vectors.mean(-1, keepdim=True)
        mix = [some * norm.scale[: len(some)] for some in mix]
        unit = norm.unit
        shares = torch.matmul(unit, vectors.mT) / unit.shape[1]  # (C, T, 2H)
        along = [(some * share[: len(some)]).sum(-1, keepdim=True) for some, share in zip(mix, shares, strict=True)]
        return Seeds(times, mix, along, vectors, norm.at(times).back(query) + starts.middle, unit)

    def back(self, given: Tensor, raised: Tensor, spans: Spans) -> Tensor:
        """From adjoints of the layer's output to those of what it reads.

        Args:
            given: (rows, d); written into.
            raised: (rows, feedforward), `given`, or what the second norm makes of it, through `down`; written into.
            spans: where each target's rows lie.
        """
        for start, end in spans:
            raised[start:end] *= self.slope[: end - start]
        middle = raised @ self.up
        middle = given.add_(past(self.second, middle, spans) if self.pre else middle)
        if not self.pre:
            middle = past(self.first, middle, spans)
        of_heads = middle @ self.out
        into = of_heads.new_empty(len(of_heads), len(self.into))
        for start, end in spans:
            self._attention_back(of_heads[start:end], into[start:end])
        through = into @ self.into
        return middle.add_(past(self.first, through, spans) if self.pre else through)

    def _attention_back(self, of_heads: Tensor, into: Tensor) -> None:
        """From adjoints (n, d) of what the heads give to those of queries, keys and values, into (n, 3d)."""
        own = (of_heads * self.mixed[: len(of_heads)]).unflatten(-1, (self.heads, -1)).sum(-1)  # (n, H)
        of_heads = of_heads.unflatten(-1, (self.heads, -1)).transpose(0, 1)  # (H, n, d/H)
        query, key, value = into.unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)  # each (H, n, d/H)
        for first in range((len(into) - 1) // STRIP * STRIP, -1, -STRIP):  # the last strip reaches every key
            strip, end = slice(first, first + STRIP), min(first + STRIP, len(into))
            weights = self.weights[:, first:end, :end]  # (H, strip, end)
            change = torch.bmm(of_heads[:, strip], self.value[:, :end].mT)
            change.sub_(own[strip].T[..., None]).mul_(weights)
            query[:, strip] = torch.bmm(change, self.key[:, :end])
            of_key = torch.bmm(change.mT, self.query[:, first:end])
            of_value = torch.bmm(weights.mT, of_heads[:, strip])
            if end == len(into):
                key.copy_(of_key)
                value.copy_(of_value)
            else:
                key[:, :end] += of_key
                value[:, :end] += of_value


def past(norm: Normed, given: Tensor, spans: Spans) -> Tensor:
    """Adjoints (rows, d) of a norm's output to those of its input, in place."""
    for start, end in spans:
        given[start:end] = norm.until(end - start).back(given[start:end])
    return given


def _slope(activation: Callable[[Tensor], Tensor], raised: Tensor) -> Tensor:
    """The derivative of an elementwise function."""
    with torch.enable_grad():
        leaf = raised.detach().requires_grad_()
        return torch.autograd.grad(activation(leaf).sum(), leaf)[0]
