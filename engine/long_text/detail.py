"""One sublayer of a long text, near: its queries and keys are kept, and with them any of its weights can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.errors import InputError
from engine.long_text.overview import Enough, block_tokens, head_names, until_enough
from engine.long_text.passages import Range, check
from engine.long_text.pooled import edges, pooled
from engine.models.query_key import QueryKey
from engine.reduce import select
from engine.types import NO_TOKENS, AttentionMap, Kind, Tokens, Trace, TraceRequest

if TYPE_CHECKING:
    from engine.reading import Reading

SIDE = 256
"""Most rows and columns of one head's map."""
KEPT = 48 << 20
"""Bytes of queries, keys and what is added to their products that are kept of all heads of a layer: those of 16 heads
of 64 dimensions at 4,096 tokens, with a mask. Of a layer with more, the one head alone that was asked for is kept."""

LEAST_OUTSIDE = 0.005
"""Of a row: less than this would be said to be 0 %."""


@dataclass(frozen=True, slots=True)
class Zoomed:
    """One head's map in at most 256 × 256 cells, and what each of its rows does.

    Attributes:
        attention: one layer and head between blocks of tokens, each cell the largest weight of its block; rows do not
            sum to 1.
        rows, columns: where blocks begin and end, see `Overview`.
        query_tokens, key_tokens: of every position.
        first, entropy, distance: float32 (query,), of every row: see `engine.long_text.pooled.Pooled`.
    """

    attention: AttentionMap
    rows: np.ndarray
    columns: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    first: np.ndarray
    entropy: np.ndarray
    distance: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Float32 (q, k) in [0, 1]."""
        return self.attention.weights[0, 0]


@dataclass(frozen=True, slots=True)
class Window:
    """The exact weights of a part of a sublayer.

    Attributes:
        attention: one layer; float32, cut out of whole rows, which therefore do not sum to 1.
        rows, columns: the positions that were asked for. Where a text looks at itself, the map has the tokens of both
            on either side, so that what is masked of a causal one is what is above its diagonal.
        outside: float32 (head, query) in [0, 1]: what each row of the map gives to tokens that the map has not.
        sizes: how many queries and keys the whole text has.
    """

    attention: AttentionMap
    rows: Range
    columns: Range
    outside: np.ndarray
    sizes: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether there is nothing outside: its rows and columns are all there are."""
        return self.sizes == self.attention.weights.shape[2:]

    def statement(self, heads: Sequence[int]) -> str:
        """What some heads leave out, in a sentence for a screen.

        Args:
            heads: which of the window's, from 0; at least one.
        """
        share, many = float(self.outside[list(heads)].mean()), len(heads) > 1
        who = f"{len(heads)} heads put" if many else f"{self.attention.head_names[heads[0]]} puts"
        part = "next to nothing" if share < LEAST_OUTSIDE else f"{share:.0%}"
        their, mean = ("their", ", on average over heads") if many else ("its", "")
        return f"In these rows {who} {part} of {their} attention outside the window{mean}."

    def trace(self, request: TraceRequest) -> Trace:
        """The window as ordinary views draw it: a text of its tokens, of which nothing was said or scored."""
        one, nothing = self.attention, np.zeros(0, dtype=np.float32)
        if one.kind == "encoder":
            return Trace(request, one.key_tokens, NO_TOKENS, NO_TOKENS, "", {one.kind: one}, nothing)
        source = one.key_tokens if one.kind == "cross" else NO_TOKENS
        predicted = one.predicted_tokens or NO_TOKENS
        return Trace(request, source, one.query_tokens, predicted, "", {one.kind: one}, nothing)


@dataclass(frozen=True, slots=True)
class Sublayer:
    """Queries and keys of a sublayer in one forward, on the CPU.

    Attributes:
        request: what was asked.
        kind: which attention.
        layer: from 0.
        heads: which of the layer's heads are there, from 0.
        seen: of those heads.
        query_tokens, key_tokens, predicted_tokens: see `AttentionMap`.
        names: of those heads on a screen.
        source_name: see `AttentionMap`.
    """

    request: TraceRequest
    kind: Kind
    layer: int
    heads: tuple[int, ...]
    seen: QueryKey
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None
    names: tuple[str, ...]
    source_name: str = "source"

    def zoomed(self, head: int, size: int = SIDE) -> Zoomed:
        """One head's map in cells.

        Raises:
            InputError: the head is not there.
        """
        place = self._place(head)
        one = pooled(self.seen, [place], size, own=self.kind != "cross")
        rows, columns = edges(len(self.query_tokens), size), edges(len(self.key_tokens), size)
        attention = AttentionMap(
            self.kind,
            one.cells[None],
            block_tokens(rows),
            block_tokens(columns),
            layer_names=(f"layer {self.layer + 1}",),
            head_names=(self.names[place],),
            source_name=self.source_name,
        )
        tokens = (self.query_tokens, self.key_tokens)
        return Zoomed(attention, rows, columns, *tokens, one.first[0], one.entropy[0], one.distance[0])

    def window(self, rows: Range, columns: Range, heads: Sequence[int] | None = None) -> Window:
        """The exact weights of some rows and columns.

        Args:
            rows: queries, at most `WINDOW`.
            columns: keys, at most `WINDOW`.
            heads: which; None for all that are there.

        Raises:
            InputError: a head, rows or columns that are not there, or too many.
        """
        check(rows, len(self.query_tokens), "rows")
        check(columns, len(self.key_tokens), "columns")
        chosen = self.heads if heads is None else tuple(heads)
        places = [self._place(head) for head in chosen]
        queries, keys = [*range(*rows)], [*range(*columns)]
        if self.kind != "cross":
            queries = keys = sorted({*queries, *keys})
        parts = [self._cut(place, queries, keys) for place in places]
        predicted = self.predicted_tokens
        attention = AttentionMap(
            self.kind,
            np.stack([weights for weights, _ in parts])[None],
            select(self.query_tokens, queries),
            select(self.key_tokens, keys),
            None if predicted is None else select(predicted, queries),
            (f"layer {self.layer + 1}",),
            tuple(self.names[place] for place in places),
            source_name=self.source_name,
        )
        outside = np.stack([row for _, row in parts])
        return Window(attention, rows, columns, outside, (len(self.query_tokens), len(self.key_tokens)))

    @torch.inference_mode()
    def _cut(self, place: int, queries: Sequence[int], keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Some rows and columns of a head, float32 (query, key), and what each row gives to the others, (query,).

        Neighbouring queries are computed at once.
        """
        breaks = [i for i in range(1, len(queries)) if queries[i] != queries[i - 1] + 1]
        runs = zip([0, *breaks], [*breaks, len(queries)], strict=True)
        spans = [(queries[start], queries[stop - 1] + 1) for start, stop in runs]
        whole = torch.cat([self.seen.weights([place], span)[0, 0] for span in spans])  # (q, K)
        others = torch.ones(whole.shape[1])
        others[list(keys)] = 0.0
        return whole[:, list(keys)].numpy(), (whole @ others).clamp(0.0, 1.0).numpy()

    def _place(self, head: int) -> int:
        if head not in self.heads:
            there = f"heads {self.heads[0] + 1} to {self.heads[-1] + 1}" if len(self.heads) > 1 else "one other head"
            raise InputError(f"Head {head + 1} is not there: this layer was opened with {there}. Choose another head.")
        return self.heads.index(head)


def sublayer(reading: Reading, kind: Kind, layer: int, head: int) -> Sublayer:
    """Queries and keys of one sublayer: of all its heads where they take at most `KEPT` bytes, else of the one head.

    The forward ends behind that sublayer.

    Raises:
        InputError: no such sublayer or head.
        DeviceError: out of memory.
    """
    layers, heads = reading.layers.get(kind, 0), reading.heads.get(kind, 0)
    if not (0 <= layer < layers and 0 <= head < heads):
        raise InputError(
            f"There is no {kind} layer {layer + 1} with a head {head + 1}: this model has {layers} layers of {heads} "
            "heads of that kind. Choose others."
        )
    kept: list[tuple[tuple[int, ...], QueryKey]] = []

    def look(seen: QueryKey) -> None:
        chosen = tuple(range(heads)) if _bytes(seen) <= KEPT else (head,)
        kept.append((chosen, _of(seen, None if len(chosen) == heads else chosen)))
        raise Enough

    until_enough(reading, {(kind, layer): look})
    ((chosen, seen),) = kept
    axes, names = reading.axes[kind], head_names(reading, kind)
    named = tuple(names[one] for one in chosen)
    tokens = (axes.query, axes.key, axes.predicted)
    return Sublayer(reading.request, kind, layer, chosen, seen, *tokens, named, reading.source_name)


def _bytes(seen: QueryKey) -> int:
    """What keeping it takes."""
    parts = [part for part in (seen.query, seen.key, seen.mask, seen.bias) if part is not None]
    return sum(_lean(part).numel() * part.element_size() for part in parts)


def _of(seen: QueryKey, heads: Sequence[int] | None) -> QueryKey:
    """A copy on the CPU that keeps nothing of the forward alive; each of some heads with a key head of its own."""
    some = seen if heads is None else seen.of_heads(heads)
    return replace(
        some,
        query=_copy(some.query),
        key=_copy(some.key),
        mask=None if some.mask is None else _copy(some.mask),
        bias=None if some.bias is None else _copy(some.bias),
        sinks=None if some.sinks is None else _copy(some.sinks),
    )


def _lean(values: Tensor) -> Tensor:
    """The same without repetitions: axes along which it was expanded have length 1."""
    for axis, step in enumerate(values.stride()):
        if step == 0:
            values = values.narrow(axis, 0, 1)
    return values


def _copy(values: Tensor) -> Tensor:
    return _lean(values).to("cpu", copy=True)
