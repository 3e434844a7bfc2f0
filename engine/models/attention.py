"""Multi-head attention with two paths: fused (training, decoding) and explicit (capture, interventions).

Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.query_key import QueryKey
from engine.models.taps import UNTAPPED, Tap


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, out: Tensor | None = None) -> Tensor:
    """How much each query position looks at each key position. Source: Vaswani et al. 2017, eq. 1.

    Args:
        query: (B, H, Q, D).
        key: (B, H, K, D).
        mask: bool, broadcastable to (B, H, Q, K), True where looking is allowed; None allows all.
        out: (B, H, Q, K) to write the weights into, in its dtype, which saves an allocation; only where no gradient
        flows.

    Returns:
        (B, H, Q, K), `out` or of the query's dtype: softmax(QKᵀ/√D); rows sum to 1 and masked keys are exactly 0.
    """
    if out is not None and out.dtype == query.dtype and out.is_contiguous() and out.device.type == "cpu":
        return _fill_weights(query, key, mask, out)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))  # (B, H, Q, K)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if out is None:
        return torch.softmax(scores, dim=-1)
    return torch.softmax(scores, dim=-1, dtype=out.dtype, out=out)


def _fill_weights(query: Tensor, key: Tensor, mask: Tensor | None, out: Tensor) -> Tensor:
    """`attention_weights` with `out` as its only large memory: mask, scores and weights are made in place.

    On CPU a mask filled into scores afterwards takes as long as the scores themselves; here it costs nothing to speak
    of, because the product adds to it.
    """
    scores = out.flatten(0, 1)  # (B·H, Q, K), the same memory
    if mask is not None:
        out.copy_(torch.zeros(mask.shape, dtype=out.dtype).masked_fill_(~mask, float("-inf")))
    scale, keep = query.shape[-1] ** -0.5, 0 if mask is None else 1  # 0: what is in `out` does not matter, not even NaN
    torch.baddbmm(scores, query.flatten(0, 1), key.flatten(0, 1).mT, beta=keep, alpha=scale, out=scores)
    return torch.softmax(out, dim=-1, out=out)


class MultiHeadAttention(nn.Module):
    """Projections into heads, attention per head, projection back.

    The weights are one (3d, d) matrix for query, key and value, as in `torch.nn.MultiheadAttention`, so that
    self-attention is a single matrix product.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, d) to (B, H, T, d/H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project_self(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of one sequence x (B, T, d), each (B, H, T, d/H)."""
        query, key, value = self.in_proj(x).chunk(3, dim=-1)
        return self._split(query), self._split(key), self._split(value)

    def project_query(self, x: Tensor) -> Tensor:
        """Query of x (B, Q, d): (B, H, Q, d/H)."""
        width = x.shape[-1]
        return self._split(F.linear(x, self.in_proj.weight[:width], self.in_proj.bias[:width]))

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value of the sequence looked at (B, K, d), each (B, H, K, d/H); computed once per source."""
        width = memory.shape[-1]
        key, value = F.linear(memory, self.in_proj.weight[width:], self.in_proj.bias[width:]).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        tap: Tap | None = None,
    ) -> Tensor:
        """Attend and project back: (B, Q, d), from the arguments of `mix`."""
        return self.project(self.mix(query, key, value, mask=mask, causal=causal, tap=tap))

    def project(self, mixed: Tensor) -> Tensor:
        """The heads' outputs (B, H, Q, d/H) through the output matrix: (B, Q, d)."""
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def mix(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        tap: Tap | None = None,
    ) -> Tensor:
        """What each head gives: the values, weighted.

        Args:
            query: (B, H, Q, d/H).
            key: (B, H, K, d/H).
            value: (B, H, K, d/H).
            mask: as in `attention_weights`.
            causal: query i may look at keys 0..i only; excludes `mask`.
            tap: what to write down or to change. Where it asks for the weights the explicit path runs, else the fused
                one; both give the same up to rounding.

        Returns:
            (B, H, Q, d/H).
        """
        assert not (causal and mask is not None)
        tap = tap or UNTAPPED
        if tap.look is not None:
            tap.look(QueryKey(query, key, query.shape[-1] ** -0.5, mask, causal))
        needs_gradient = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
        # On CPU the backward pass of the fused kernel is far slower than the explicit one's on short sentences.
        if not tap.explicit and not (needs_gradient and query.device.type == "cpu"):
            # The kernel aligns its own causal mask at the start: with a cache in front (K > Q) it needs ours.
            square = query.shape[-2] == key.shape[-2]
            allowed = causal_mask(query, key) if causal and not square else mask
            mixed = F.scaled_dot_product_attention(query, key, value, allowed, is_causal=causal and square)
        else:
            allowed = causal_mask(query, key) if causal else mask
            looked = attention_weights(query, key, allowed, out=None if needs_gradient else tap.weights)
            if tap.change_weights is not None:
                looked = tap.change_weights(looked)
            if tap.weights is not None and looked is not tap.weights:
                tap.weights.copy_(looked.detach())
            mixed = torch.matmul(looked.to(value.dtype), value)
        if tap.change_outputs is not None:
            mixed = tap.change_outputs(mixed)
        if tap.values is not None:
            tap.values.copy_(value.detach())
        if tap.outputs is not None:
            tap.outputs.copy_(mixed.detach())
        return mixed


def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """Bool (Q, K), True where query i may look at key j: j ≤ i, aligned at the end if K > Q (a cache in front)."""
    queries, keys = query.shape[-2], key.shape[-2]
    return torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
