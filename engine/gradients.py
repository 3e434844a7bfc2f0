"""Gradients of what a model says: with respect to the vectors it reads, and to its attention weights.

This is the generic path: one forward and one backward through `forward_from_embeddings`, for any model that has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.models.taps import NO_TAPS, Place, Tap, Taps
from engine.models.translator import Translator
from engine.types import Kind


class Differentiable(Protocol):
    """A model whose output can be computed from vectors instead of ids.

    `embedding` gives scaled token vectors (B, S, d) of source ids (B, S), `target_embedding` those of what the decoder
    reads; most models have one matrix for both.
    """

    @property
    def embedding(self) -> nn.Module: ...

    @property
    def target_embedding(self) -> nn.Module: ...

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Objective:
    """The number that is differentiated: the logit of a piece at the end of a prefix, or a difference of two.

    Attributes:
        prefix: ids that the decoder has read, <s> first; its last position decides.
        piece: whose logit.
        against: a piece whose logit is subtracted (Yin and Neubig 2022, contrastive explanations); None for none.
    """

    prefix: tuple[int, ...]
    piece: int
    against: int | None = None

    def of(self, logits: Tensor) -> Tensor:
        """The number, a scalar, from logits (1, T, vocabulary)."""
        last = logits[0, -1]
        return last[self.piece] if self.against is None else last[self.piece] - last[self.against]


@dataclass(frozen=True, slots=True)
class InputGradients:
    """The gradient of an objective with respect to the scaled token vectors, before positions are added.

    Attributes:
        value: the objective itself.
        source: (S, d).
        target: (T, d), of the prefix.
    """

    value: float
    source: Tensor
    target: Tensor


def input_gradients(model: Differentiable, source: Sequence[int], objective: Objective) -> InputGradients:
    """How the objective changes with each vector that is read. Source: Simonyan et al. 2014, section 3.

    Args:
        model: evaluated as it is; its own parameters get no gradient.
        source: ids of the source, </s> last.
        objective: what is differentiated.
    """
    (read, written), value = _forward(model, source, objective, NO_TAPS)
    first, second = torch.autograd.grad(value, (read, written))
    return InputGradients(float(value.detach()), first[0], second[0])


def attention_gradients(
    model: Translator, source: Sequence[int], objective: Objective
) -> dict[Place, tuple[Tensor, Tensor]]:
    """Every attention weight and the gradient of the objective with respect to it.

    The weights are taken as free numbers: the derivative is that of adding a little to one of them after the softmax,
    with the rest of its row left alone. Weight × gradient is then, to first order, what this one look adds to the
    objective (Chefer et al. 2021, section 3.1, before the mean over heads and the cut at 0).

    Returns:
        By sublayer, weights and gradient, each (H, Q, K).
    """
    added: dict[Place, Tensor] = {}
    buffers: dict[Place, Tensor] = {}
    long, wide = len(source), len(objective.prefix)
    sides: dict[Kind, tuple[int, int]] = {"encoder": (long, long), "decoder": (wide, wide), "cross": (wide, long)}
    shapes: dict[Place, tuple[int, int]] = {
        (kind, layer): shape for kind, shape in sides.items() for layer in range(model.config.attention_layers(kind))
    }
    like = next(model.embedding.parameters())
    for place, shape in shapes.items():
        size = (1, model.config.attention_heads(place[0]), *shape)
        added[place] = like.new_zeros(size).requires_grad_()
        buffers[place] = like.new_empty(size)
    taps = {place: Tap(weights=buffers[place], change_weights=added[place].__add__) for place in shapes}
    _, value = _forward(model, source, objective, taps)
    gradients = torch.autograd.grad(value, list(added.values()))
    return {place: (buffers[place][0], gradient[0]) for place, gradient in zip(added, gradients, strict=True)}


def _forward(
    model: Differentiable, source: Sequence[int], objective: Objective, taps: Taps
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The vectors read, as leaves that gradients are taken against, and the objective."""
    device = next(model.embedding.parameters()).device
    with torch.enable_grad():
        vectors = [
            embedding(torch.tensor([ids], device=device)).detach().requires_grad_()
            for embedding, ids in ((model.embedding, tuple(source)), (model.target_embedding, objective.prefix))
        ]
        value = objective.of(model.forward_from_embeddings(vectors[0], vectors[1], None, taps))
    return (vectors[0], vectors[1]), value


def gradient_times_attention(parts: Mapping[Place, tuple[Tensor, Tensor]]) -> dict[Place, Tensor]:
    """Weight × gradient of every sublayer, (H, Q, K), signed."""
    return {place: weights * gradient for place, (weights, gradient) in parts.items()}
