"""The neurons of a head: what each dimension of a query and a key adds to the logit, and what becomes of that.

Source: Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model", the neuron view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import InputError, Unsupported
from engine.models.query_key import QueryKey
from engine.models.taps import looking
from engine.types import Kind, Tokens, TraceRequest

if TYPE_CHECKING:
    from engine.loading import Model
    from engine.reading import Reading

FORBIDDEN = -9_000.0
"""A mask that adds less than this forbids: libraries write −10,000 or the lowest number there is, and the weight is 0.
What positions add (ALiBi) stays far above it."""


@dataclass(frozen=True, slots=True)
class HeadVectors:
    """What one head compares in one forward: its queries and keys, kept on the CPU.

    Attributes:
        request: what was asked.
        kind: which attention.
        layer, head: from 0.
        key_head: the key head that it looks through, from 0; `head` itself where each has one of its own.
        shared_by: the heads that look through the same key head, this one among them.
        compared: batch of 1, one head, float32.
        query_tokens, key_tokens: of both axes.
        predicted_tokens: what each row predicts; None for encoder maps.
    """

    request: TraceRequest
    kind: Kind
    layer: int
    head: int
    key_head: int
    shared_by: tuple[int, ...]
    compared: QueryKey
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Neurons:
    """One row of one head, dimension by dimension. D is the head's width, K the number of keys.

    For every key that may be looked at, logits = running[:, −1] + bias + capped, up to rounding.

    Attributes:
        request, kind, layer, head, key_head, shared_by, query_tokens, key_tokens, predicted_tokens: see `HeadVectors`.
        row: the position that looks, from 0.
        scaling: what q⊙k is multiplied by, usually 1/√D.
        cap: logits are pressed into (−cap, cap) by cap·tanh(x/cap); None for none.
        sink: the logit of a learned sink, which takes weight and gives none; None for none.
        sink_weight: its weight, in [0, 1]; 0 for none.
        query: float32 (D,), rotated where positions are rotary.
        keys: float32 (K, D), the same.
        products: float32 (K, D), q⊙k·scaling: what each dimension adds to the logit.
        running: float32 (K, D), their sums from the first dimension to each; the last is q·k·scaling.
        bias: float32 (K,), what relative positions add: a T5 bias or ALiBi; 0 where nothing is added.
        capped: float32 (K,), what the cap changes; 0 where there is none.
        logits: float32 (K,), what the softmax is taken of; −∞ where looking is forbidden.
        weights: float32 (K,) in [0, 1], the attention weights; they sum to 1 with `sink_weight`.
        allowed: bool (K,), False where a mask forbids looking.
    """

    request: TraceRequest
    kind: Kind
    layer: int
    head: int
    key_head: int
    shared_by: tuple[int, ...]
    row: int
    scaling: float
    cap: float | None
    sink: float | None
    sink_weight: float
    query: np.ndarray
    keys: np.ndarray
    products: np.ndarray
    running: np.ndarray
    bias: np.ndarray
    capped: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    allowed: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None

    def __post_init__(self) -> None:
        for name in ("query", "keys", "products", "running", "bias", "capped", "logits", "weights", "allowed"):
            getattr(self, name).setflags(write=False)

    @property
    def width(self) -> int:
        """D."""
        return len(self.query)


def neurons(reading: Reading, kind: Kind, layer: int, head: int, query: int) -> Neurons:
    """One row of one head, from one forward.

    Args:
        reading: the text, ready to be run.
        kind: which attention.
        layer: from 0.
        head: from 0.
        query: the position that looks, from 0.

    Raises:
        InputError: there is no such kind, layer, head or position.
        Unsupported: the sublayer lets nobody look at its queries and keys, or they are not finite.
        DeviceError: out of memory.
    """
    return neurons_at(head_vectors(reading, kind, layer, head), query)


def head_vectors(reading: Reading, kind: Kind, layer: int, head: int) -> HeadVectors:
    """What one head compares, from one forward on the fused path; rows of it cost no other forward.

    In half precision the vectors are the model's own and what follows from them is computed in float32: weights then
    differ from the model's by its rounding.

    Raises:
        InputError, Unsupported, DeviceError: see `neurons`.
    """
    if kind not in reading.axes:
        raise InputError(f"This model has no {kind} attention. Choose one of: {', '.join(reading.axes)}.")
    _check("layer", layer, reading.layers[kind])
    _check("head", head, reading.heads[kind])
    seen: list[tuple[QueryKey, int]] = []
    reading.run(looking({(kind, layer): lambda compared: seen.append((_one_head(compared, head), compared.groups))}))
    if not seen:
        raise Unsupported(
            f"The {kind} attention of layer {layer + 1} does not show its queries and keys. Look at its maps instead."
        )
    compared, groups = seen[0]
    if not (torch.isfinite(compared.query).all() and torch.isfinite(compared.key).all()):
        raise Unsupported(
            f"Queries or keys of layer {layer + 1} are not finite numbers. Open the model in float32 or bfloat16."
        )
    axes, key_head = reading.axes[kind], head // groups
    shared_by = tuple(range(key_head * groups, (key_head + 1) * groups))
    return HeadVectors(
        reading.request, kind, layer, head, key_head, shared_by, compared, axes.query, axes.key, axes.predicted
    )


@torch.inference_mode()
def neurons_at(vectors: HeadVectors, query: int) -> Neurons:
    """The neurons of one position that looks.

    Raises:
        InputError: there is no such position.
    """
    compared = vectors.compared
    _check("position", query, compared.query.shape[2])
    rows = (query, query + 1)
    looks, keys = compared.query[0, 0, query], compared.key[0, 0]  # (D,), (K, D)
    products = looks * keys * compared.scaling
    running = products.cumsum(-1)
    # A query of zeros has only what masks and positions add.
    nothing = replace(compared, query=torch.zeros(()).expand(compared.query.shape), cap=None)
    logits = compared.logits(rows=rows)[0, 0, 0]
    added = nothing.logits(rows=rows)[0, 0, 0]
    allowed = added > FORBIDDEN
    bias = added.where(allowed, torch.zeros(()))
    capped = torch.zeros_like(bias)
    if compared.cap is not None:
        capped = (logits - replace(compared, cap=None).logits(rows=rows)[0, 0, 0]).where(allowed, torch.zeros(()))
    weights = compared.weights(rows=rows)[0, 0, 0]
    sink = None if compared.sinks is None else float(compared.sinks[0])
    return Neurons(
        request=vectors.request,
        kind=vectors.kind,
        layer=vectors.layer,
        head=vectors.head,
        key_head=vectors.key_head,
        shared_by=vectors.shared_by,
        row=query,
        scaling=compared.scaling,
        cap=compared.cap,
        sink=sink,
        sink_weight=0.0 if sink is None else max(0.0, 1 - float(weights.sum())),
        query=_array(looks),
        keys=_array(keys),
        products=_array(products),
        running=_array(running),
        bias=_array(bias),
        capped=_array(capped),
        logits=_array(logits.masked_fill(~allowed, -torch.inf)),
        weights=_array(weights),
        allowed=allowed.numpy().copy(),
        query_tokens=vectors.query_tokens,
        key_tokens=vectors.key_tokens,
        predicted_tokens=vectors.predicted_tokens,
    )


def outline_of(model: Model, text: str, second: str = "") -> Reading:
    """What a text can be asked for: its tokens, layers and heads, to be kept: nothing in it holds the model.

    Args:
        model: any that reads a text with attention.
        text: what it reads.
        second: the other segment of a pair, or an output that is forced; "" for none.

    Raises:
        InputError: the text cannot be used as it is.
        Unsupported: the model has no attention.
    """
    from engine.reading import reading_of

    return replace(reading_of(model, text, second), run=_without_model)


def head_vectors_of(model: Model, text: str, second: str, kind: Kind, layer: int, head: int) -> HeadVectors:
    """`head_vectors` of a text in a model, its arguments plain.

    Raises:
        InputError, Unsupported, DeviceError: see `outline_of` and `neurons`.
    """
    from engine.reading import reading_of

    return head_vectors(reading_of(model, text, second), kind, layer, head)


def likely_row(tokens: Tokens) -> int:
    """A position worth looking at first: the last token that is a word or part of one; the last one where none is."""
    rows = range(len(tokens))
    words = [row for row in rows if not tokens.special[row] and any(map(str.isalnum, tokens.labels[row]))]
    return (words or rows)[-1]


def _one_head(compared: QueryKey, head: int) -> QueryKey:
    """One head of the first text, float32 copies on the CPU: the forward's own tensors are let go."""
    one = compared.of_heads([head])
    return replace(
        one,
        query=_kept(one.query[:1]),
        key=_kept(one.key[:1]),
        mask=None if one.mask is None else _kept(one.mask[:1]),
        bias=None if one.bias is None else _kept(one.bias[:1]),
        sinks=None if one.sinks is None else _kept(one.sinks),
    )


def _kept(values: Tensor) -> Tensor:
    """A copy on the CPU, bool or float32."""
    dtype = torch.bool if values.dtype == torch.bool else torch.float32
    return values.detach().to("cpu", dtype, copy=True)


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.numpy().copy()
    return found


def _check(noun: str, given: int, count: int) -> None:
    if not 0 <= given < count:
        raise InputError(f"There is no {noun} {given + 1}: choose one from 1 to {count}.")


def _without_model(_: Any) -> None:
    raise AssertionError("an outline runs nothing")
