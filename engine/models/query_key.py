"""Queries and keys: all that the attention weights of one sublayer are computed from, for any heads and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class QueryKey:
    """What one attention sublayer compares in one forward, before any change of its weights.

    Its tensors are those of the forward and not copies: whoever keeps one keeps all of it alive.

    Attributes:
        query: (B, H, Q, D), rotated where positions are rotary.
        key: (B, G, K, D); G divides H, and query heads h·H/G to (h+1)·H/G − 1 share key head h (grouped-query
            attention, Ainslie et al. 2023). G = H where each head has keys of its own.
        scaling: what q·k is multiplied by, usually 1/√D.
        mask: broadcastable to (B, H, Q, K): bool, True where looking is allowed, or float, added to the logits; None
            allows all.
        causal: query i may look at keys 0..i+K−Q only; besides `mask`.
        bias: float, broadcastable to (B, H, Q, K), added to the logits: relative positions (Raffel et al. 2020).
        cap: logits are pressed into (−cap, cap) by cap·tanh(x/cap) before masks are added; None for none.
        sinks: (H,), a logit beside those of each row that takes weight and gives none; None for none.
    """

    query: Tensor
    key: Tensor
    scaling: float
    mask: Tensor | None = None
    causal: bool = False
    bias: Tensor | None = None
    cap: float | None = None
    sinks: Tensor | None = None

    @property
    def heads(self) -> int:
        return self.query.shape[1]

    @property
    def groups(self) -> int:
        """How many query heads share one key head; 1 where none do."""
        return self.query.shape[1] // self.key.shape[1]

    def of_heads(self, heads: Sequence[int]) -> QueryKey:
        """The same of some query heads, each with a key head of its own."""
        query, key = self._of(heads, None)
        parts = [None if part is None else _part(part, heads, None) for part in (self.mask, self.bias)]
        sinks = None if self.sinks is None else self.sinks[list(heads)]
        return replace(self, query=query, key=key, mask=parts[0], bias=parts[1], sinks=sinks)

    def logits(self, heads: Sequence[int] | None = None, rows: tuple[int, int] | None = None) -> Tensor:
        """What the softmax is taken of: q·k·scaling with bias, cap and masks; −∞ where looking is forbidden.

        Args:
            heads: which; None for all.
            rows: the first query position and the one after the last; None for all.

        Returns:
            (B, len(heads), rows, K), of the query's dtype.
        """
        query, key = self._of(heads, rows)
        scores = torch.matmul(query * self.scaling, key.transpose(-1, -2))  # (B, h, q, K)
        if self.bias is not None:
            scores = scores + _part(self.bias, heads, rows)
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        if self.causal:
            start = self._rows(rows)[0] + self.key.shape[2] - self.query.shape[2]
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril(start)
            scores = scores.masked_fill(~allowed, -torch.inf)
        if self.mask is None:
            return scores
        mask = _part(self.mask, heads, rows)
        return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask

    def weights(self, heads: Sequence[int] | None = None, rows: tuple[int, int] | None = None) -> Tensor:
        """Attention weights of some heads and rows. Source: Vaswani et al. 2017, eq. 1.

        Returns:
            float32, or float64 of such queries (B, len(heads), rows, K); rows sum to 1 (to less where there are sinks),
            masked keys are exactly 0.
        """
        scores = self.logits(heads, rows)
        exact = torch.float64 if scores.dtype == torch.float64 else torch.float32
        if self.sinks is None:
            return torch.softmax(scores, dim=-1, dtype=exact)
        sinks = self.sinks if heads is None else self.sinks[list(heads)]
        beside = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:-1], 1)
        return torch.softmax(torch.cat([scores, beside], dim=-1), dim=-1, dtype=exact)[..., :-1]

    def weights_into(self, out: Tensor) -> Tensor:
        """All weights, with `out` (B, H, Q, K) as the only large memory where that is possible; returns `out`.

        On CPU a mask filled into scores afterwards takes as long as the scores themselves; here it costs nothing to
        speak of, because the product adds to it.
        """
        plain = self.cap is None and self.sinks is None and out.is_contiguous()
        if not plain or out.dtype != self.query.dtype or out.device != self.query.device:
            out.copy_(self.weights())
            return out
        query, key = self._of(None, None)
        added = self._added(out)
        if added:
            first, *more = added
            out.copy_(first)
            for one in more:
                out.add_(one)
        scores = out.flatten(0, 1)  # (B·H, Q, K), the same memory
        # with beta 0 what is in `out` does not matter, not even NaN
        queries, keys = query.flatten(0, 1), key.flatten(0, 1).mT
        torch.baddbmm(scores, queries, keys, beta=1 if added else 0, alpha=self.scaling, out=scores)
        return torch.softmax(out, dim=-1, out=out)

    def _added(self, out: Tensor) -> list[Tensor]:
        """What is added to the products, each broadcastable to (B, H, Q, K)."""
        forbidden = []
        if self.causal:
            shape = self.query.shape[2], self.key.shape[2]
            forbidden.append(~torch.ones(shape, dtype=torch.bool, device=out.device).tril(shape[1] - shape[0]))
        if self.mask is not None and self.mask.dtype == torch.bool:
            forbidden.append(~self.mask)
        masks = [torch.zeros(one.shape, dtype=out.dtype, device=out.device).masked_fill_(one, -torch.inf)
                 for one in forbidden]  # fmt: skip
        floats = [one for one in (self.bias, self.mask) if one is not None and one.dtype != torch.bool]
        return [*masks, *floats]

    def _of(self, heads: Sequence[int] | None, rows: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        """Queries (B, h, q, D) and the keys that each of them meets (B, h, K, D)."""
        start, stop = self._rows(rows)
        query, key = self.query[:, :, start:stop], self.key
        if heads is not None:
            return query[:, list(heads)], key[:, [head // self.groups for head in heads]]
        return query, key if self.groups == 1 else key.repeat_interleave(self.groups, dim=1)

    def _rows(self, rows: tuple[int, int] | None) -> tuple[int, int]:
        return rows or (0, self.query.shape[2])


def _part(values: Tensor, heads: Sequence[int] | None, rows: tuple[int, int] | None) -> Tensor:
    """Some heads and rows of what is broadcast over (B, H, Q, K); an axis of length 1 stays."""
    while values.ndim < 4:
        values = values[None]
    if heads is not None and values.shape[1] > 1:
        values = values[:, list(heads)]
    if rows is not None and values.shape[2] > 1:
        values = values[:, :, rows[0] : rows[1]]
    return values
