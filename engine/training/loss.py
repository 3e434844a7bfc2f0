"""Label-smoothed cross-entropy fused with the output matrix, so that no (tokens, vocabulary) array is ever kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512  # per chunk: 512 x 8k float32 logits are 16 MB and stay in a CPU's last-level cache


class _FusedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, matrix: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        vocabulary, count = matrix.shape[0], hidden.shape[0]
        grad_hidden = torch.empty_like(hidden)
        grad_matrix = torch.zeros(matrix.shape, dtype=torch.float32, device=matrix.device)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        low = smoothing / vocabulary
        weight = matrix.to(hidden.dtype)
        for first in range(0, count, ROWS):
            rows = slice(first, first + ROWS)
            logits = (hidden[rows] @ weight.t()).float()  # (R, V)
            target = targets[rows, None]
            total += torch.logsumexp(logits, -1).sum()
            total -= (1 - smoothing) * logits.gather(1, target).sum() + low * logits.sum()
            # d loss / d logits = softmax - smoothed target distribution
            gradient = torch.softmax(logits, -1).sub_(low)
            gradient.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=torch.float32))
            gradient = gradient.to(hidden.dtype)
            grad_hidden[rows] = gradient @ weight
            grad_matrix += gradient.t() @ hidden[rows]
        ctx.save_for_backward(grad_hidden, grad_matrix.to(matrix.dtype))
        return total / count

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_hidden, grad_matrix = ctx.saved_tensors
        scale = grad_outputs[0] / grad_hidden.shape[0]
        return grad_hidden * scale.to(grad_hidden.dtype), grad_matrix * scale.to(grad_matrix.dtype), None, None


def cross_entropy(hidden: Tensor, matrix: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean label-smoothed cross-entropy of targets under softmax(hidden @ matrixᵀ), in nats.

    Equals `F.cross_entropy(hidden @ matrix.T, targets, label_smoothing=smoothing)`. Loss and gradients are computed
    chunk by
    chunk in the forward pass. Source: Szegedy et al. 2016, section 7, for the smoothing.

    Args:
        hidden: (N, d).
        matrix: (V, d), the output matrix; products run in `hidden`'s dtype, sums over rows in float32.
        targets: int64 (N,), in 0..V-1.
        smoothing: share of the probability spread evenly over the vocabulary, in [0, 1).

    Returns:
        float32 scalar.
    """
    loss: Tensor = _FusedCrossEntropy.apply(hidden, matrix, targets, smoothing)
    return loss
