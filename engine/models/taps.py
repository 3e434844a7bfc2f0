"""Taps: what a forward writes down of its attention sublayers, and what it changes there, as arguments of the forward.

Nothing of a run stays on a model, so that threads can share one: a forward gets its taps and gives them back filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from engine.models.query_key import QueryKey
from engine.types import Kind

Place = tuple[Kind, int]
"""An attention sublayer: its kind and its layer, from 0."""

Change = Callable[[Tensor], Tensor]
"""A function from a tensor to another of the same shape; it never writes into its argument."""

Look = Callable[[QueryKey], None]
"""What is done with a sublayer's queries and keys while they are there."""


@dataclass(frozen=True, slots=True)
class Tap:
    """One attention sublayer, watched or changed. What is written down is what was used: after any change.

    Attributes:
        weights: a buffer, float32 (B, H, Q, K), for the attention weights.
        values: a buffer (B, H, K, d/H) for the value vectors.
        outputs: a buffer (B, H, Q, d/H) for what each head gives, before the output matrix W_O.
        change_weights: applied to the weights (B, H, Q, K) after the softmax.
        change_outputs: applied to the heads' outputs (B, H, Q, d/H) before W_O.
        look: given the queries and keys, from which the weights of some heads and rows can be computed; the forward
            itself stays on the fused path. They are those before any change.
    """

    weights: Tensor | None = None
    values: Tensor | None = None
    outputs: Tensor | None = None
    change_weights: Change | None = None
    change_outputs: Change | None = None
    look: Look | None = None

    @property
    def explicit(self) -> bool:
        """Whether the weights are needed one by one, which the fused kernel never has."""
        return self.weights is not None or self.change_weights is not None


Taps = Mapping[Place, Tap]
"""The taps of one forward; sublayers without one run as they are."""

UNTAPPED = Tap()
NO_TAPS: Taps = {}


def looking(looks: Mapping[Place, Look]) -> Taps:
    """Taps that look at queries and keys, and leave the forward on its fused path."""
    return {place: Tap(look=look) for place, look in looks.items()}


def watching(taps: Taps, buffers: Mapping[Kind, Iterable[Tensor]]) -> Taps:
    """The same taps, and those that write down every attention weight.

    Args:
        taps: what else a forward writes down or changes.
        buffers: for each kind of attention one buffer a layer, float32 (B, H, Q, K).
    """
    places = {(kind, layer): buffer for kind, some in buffers.items() for layer, buffer in enumerate(some)}
    return {**taps} | {place: replace(taps.get(place, UNTAPPED), weights=buffer) for place, buffer in places.items()}
