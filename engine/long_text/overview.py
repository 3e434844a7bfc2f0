"""A long text at a glance: every head of every layer in a few cells, and the exact weights of a window.

All maps of a text of some thousand tokens do not fit into memory. One forward on the fused path gives the queries and
keys of each sublayer; their weights are computed block by block, pooled and dropped (`engine.long_text.pooled`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from engine.heads import BROAD, BROAD_BAR, MIXED, POINTING_BAR, Pattern
from engine.huggingface.memory import shown_bytes
from engine.long_text.pooled import BLOCK, TEMPORARIES, Report, edges, pooled
from engine.models.query_key import QueryKey
from engine.models.taps import Look, Place, looking
from engine.types import AttentionMap, Kind, Tokens, TraceRequest

if TYPE_CHECKING:
    from engine.loading import Model
    from engine.reading import Reading

CELLS = 64
"""Most rows and columns of each head's overview."""
CHARACTERS = 19_000
"""Of a text that are read: about 4,096 tokens of English."""
NEAR = 5.0
"""Mean distance in tokens up to which a head is said to look near."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an overview takes, before it is made.

    Attributes:
        positions: queries and keys of each kind of attention.
        heads: how many are computed, over all layers and kinds: the steps of `overview`.
        all_maps: bytes of every weight in float32, if all were kept.
        kept: bytes of the overview.
        at_once: bytes that are there while weights are computed, besides the model's own forward.
        seconds: about how long it takes, from one measured layer.
        request: what was asked.
        notes: what is to be said of the text, such as that it was cut.
    """

    positions: Mapping[Kind, tuple[int, int]]
    heads: int
    all_maps: int
    kept: int
    at_once: int
    seconds: float
    request: TraceRequest
    notes: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """All of it, as sentences for a screen."""
        longest = max(max(pair) for pair in self.positions.values())
        return (
            f"{longest:,} tokens and {self.heads:,} heads: all maps would take {shown_bytes(self.all_maps)}. The "
            f"overview keeps {shown_bytes(self.kept)} and needs {shown_bytes(self.at_once)} at a time beside the "
            f"model's own pass; about {duration(self.seconds)}."
        )


def duration(seconds: float) -> str:
    """A time for people, as coarse as it is sure."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds" if seconds < 10 else f"{5 * round(seconds / 5)} seconds"
    return f"{seconds / 60:.0f} minutes"


@dataclass(frozen=True, slots=True)
class Overview:
    """Every head of every layer, pooled, and what its rows do on average; most of it by kind of attention.

    Attributes:
        request: what was asked.
        pooled: float32 (layer, head, q, k), q and k at most `CELLS`: the largest weight of each block; what is masked
            for all of a block is exactly 0.
        rows: the first query of each block, and the end of the last: int64 (q + 1,).
        columns: the same for keys, int64 (k + 1,).
        first: float32 (layer, head), the mean over all rows of the weight on the first key, in [0, 1].
        entropy: the mean of the rows' entropies, in bits.
        distance: the mean of the rows' mean distances, in tokens; NaN where a text looks at another one.
        head_names: what a screen calls them.
        source_name: what a screen calls the text that an encoder reads.
        notes: what is to be said of the text.
    """

    request: TraceRequest
    pooled: Mapping[Kind, np.ndarray]
    rows: Mapping[Kind, np.ndarray]
    columns: Mapping[Kind, np.ndarray]
    first: Mapping[Kind, np.ndarray]
    entropy: Mapping[Kind, np.ndarray]
    distance: Mapping[Kind, np.ndarray]
    head_names: Mapping[Kind, tuple[str, ...]]
    source_name: str = "source"
    notes: tuple[str, ...] = ()

    def attention(self, kind: Kind) -> AttentionMap:
        """The pooled maps as maps between blocks of tokens; their rows are maxima and do not sum to 1."""
        names = self.head_names[kind]
        rows, columns = block_tokens(self.rows[kind]), block_tokens(self.columns[kind])
        return AttentionMap(kind, self.pooled[kind], rows, columns, head_names=names, source_name=self.source_name)

    def patterns(self, kind: Kind) -> tuple[tuple[Pattern, ...], ...]:
        """What each head does most, by layer and head, from the means over all rows.

        "first token" with the mass there, "near" with the mean distance in tokens, "broad" with the entropy as a share
        of that of even attention; "mixed" for none of them.
        """
        most = self._even(kind)
        layers = zip(self.first[kind], self.distance[kind], self.entropy[kind] / most, strict=True)
        return tuple(tuple(_pattern(*map(float, head)) for head in zip(*layer, strict=True)) for layer in layers)

    def sharpest(self, kind: Kind) -> tuple[int, int]:
        """The layer and head that point most sharply at other tokens than the first: something to begin with."""
        blunt = self.first[kind] + self.entropy[kind] / self._even(kind)
        layer, head = np.unravel_index(int(blunt.argmin()), blunt.shape)
        return int(layer), int(head)

    def _even(self, kind: Kind) -> float:
        """Mean entropy of rows, in bits, that give the same weight to every key; of a decoder, to all so far.

        What a sliding window hides is counted too, so that a layer with one seems less broad than it is.
        """
        keys = int(self.columns[kind][-1])
        allowed = np.arange(1, keys + 1) if kind == "decoder" else np.array([keys])
        return max(float(np.log2(allowed).mean()), 1e-9)


def _pattern(first: float, distance: float, spread: float) -> Pattern:
    if first >= POINTING_BAR:
        return Pattern("first token", first)
    if distance <= NEAR:  # not where it is NaN
        return Pattern("near", distance)
    return Pattern(BROAD, spread) if spread >= BROAD_BAR else Pattern(MIXED, 0.0)


def block_tokens(starts: np.ndarray) -> Tokens:
    """Blocks of positions as tokens, labelled by their first and last place, from 1.

    Args:
        starts: from `engine.long_text.pooled.edges`.
    """
    count = len(starts) - 1
    labels = tuple(_range(start, stop) for start, stop in pairwise(starts.tolist()))
    return Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, (False,) * count)


def _range(start: int, stop: int) -> str:
    return f"{start + 1:,}" if stop - start == 1 else f"{start + 1:,}–{stop:,}"


# ---- before and while it is made ----


class Enough(Exception):
    """Ends a forward whose rest nobody needs."""


def until_enough(reading: Reading, looks: Mapping[Place, Look]) -> None:
    """A forward that a look may end with `Enough`."""
    with suppress(Enough):
        reading.run(looking(looks))


def long_reading(model: Model, text: str, second: str = "") -> Reading:
    """A text in a model, as much of it as the model takes; its notes say what was cut.

    Of very long a text only the beginning is tokenized: some models refuse more, and it would take many seconds.

    Raises:
        Unsupported: the model has no attention that can be watched.
        InputError: a text that cannot be used.
    """
    from engine.reading import reading_of

    if len(text) <= CHARACTERS:
        return reading_of(model, text, second, cut=True)
    space = text.rfind(" ", CHARACTERS - 100, CHARACTERS)
    kept = text[: space if space > 0 else CHARACTERS]
    found = reading_of(model, kept, second, cut=True)
    note = f"This text has {len(text):,} characters: it was cut after {len(kept):,}."
    return replace(found, notes=(note, *found.notes))


def positions(reading: Reading) -> dict[Kind, tuple[int, int]]:
    """Queries and keys of each kind of attention."""
    return {kind: (len(axes.query), len(axes.key)) for kind, axes in reading.axes.items()}


def estimate(reading: Reading) -> Estimate:
    """What the overview of a text takes: sizes by counting, the time by measuring the model's first layer on it.

    The forward goes on to its second sublayer, where it is ended; in the first one a head is pooled.
    Other layers are taken to be as fast as the first, and attention to another text to be half as much work as a layer.

    Raises:
        DeviceError: out of memory.
    """
    sizes = positions(reading)
    count = {kind: reading.layers[kind] * reading.heads[kind] for kind in sizes}
    weights = {kind: count[kind] * rows * columns for kind, (rows, columns) in sizes.items()}
    each_cell, each_row = _measured(reading)
    layers = sum(reading.layers[kind] * rows * (0.5 if kind == "cross" else 1.0) for kind, (rows, _) in sizes.items())
    return Estimate(
        positions=sizes,
        heads=sum(count.values()),
        all_maps=4 * sum(weights.values()),
        kept=4 * sum(count[kind] * (min(q, CELLS) * min(k, CELLS) + 3) for kind, (q, k) in sizes.items()),
        at_once=TEMPORARIES * min(BLOCK, max(4 * rows * columns for rows, columns in sizes.values())),
        seconds=sum(weights.values()) * each_cell + layers * each_row,
        request=reading.request,
        notes=reading.notes,
    )


def _measured(reading: Reading) -> tuple[float, float]:
    """Seconds for each weight, and for each row of a layer's forward."""
    times: list[float] = []
    cells, spent, rows = 1, 0.0, 1

    def look(seen: QueryKey) -> None:
        nonlocal cells, spent, rows
        started = time.perf_counter()
        if times:
            times.append(started)
            raise Enough
        queries, keys = seen.query.shape[2], seen.key.shape[2]
        pooled(seen, [0], CELLS)
        times.append(time.perf_counter())
        cells, spent, rows = queries * keys, times[0] - started, queries

    until_enough(reading, {(kind, layer): look for kind in reading.layers for layer in range(reading.layers[kind])})
    if len(times) < 2:  # one sublayer only: the forward is over
        times.append(time.perf_counter())
    return spent / cells, (times[1] - times[0]) / rows


def overview(reading: Reading, report: Report = lambda done: None, *, block: int = BLOCK) -> Overview:
    """Every head of every layer, in one forward on the fused path.

    Args:
        reading: the text in its model.
        report: told after each head, `Estimate.heads` times; what it raises ends the forward.
        block: the most bytes of weights at a time.

    Raises:
        DeviceError: out of memory.
    """
    found: dict[Place, tuple[np.ndarray, ...]] = {}

    def look_of(kind: Kind, layer: int) -> Look:
        def look(seen: QueryKey) -> None:
            one = pooled(seen, range(seen.heads), CELLS, own=kind != "cross", block=block, report=report)
            means = (values.mean(axis=1, dtype=np.float64) for values in (one.first, one.entropy, one.distance))
            found[kind, layer] = (one.cells, *(mean.astype(np.float32) for mean in means))

        return look

    places = [(kind, layer) for kind in reading.layers for layer in range(reading.layers[kind])]
    reading.run(looking({place: look_of(*place) for place in places}))
    assert set(found) == set(places), "every sublayer was looked at"
    sizes = positions(reading)
    stacked = {
        kind: [_frozen(np.stack(parts)) for parts in zip(*(found[kind, n] for n in range(layers)), strict=True)]
        for kind, layers in reading.layers.items()
    }
    return Overview(
        request=reading.request,
        pooled={kind: parts[0] for kind, parts in stacked.items()},
        rows={kind: _frozen(edges(rows, CELLS)) for kind, (rows, _) in sizes.items()},
        columns={kind: _frozen(edges(columns, CELLS)) for kind, (_, columns) in sizes.items()},
        first={kind: parts[1] for kind, parts in stacked.items()},
        entropy={kind: parts[2] for kind, parts in stacked.items()},
        distance={kind: parts[3] for kind, parts in stacked.items()},
        head_names={kind: head_names(reading, kind) for kind in reading.layers},
        source_name=reading.source_name,
        notes=reading.notes,
    )


def head_names(reading: Reading, kind: Kind) -> tuple[str, ...]:
    """What a screen calls the heads of a kind."""
    return reading.head_names.get(kind) or tuple(f"head {head + 1}" for head in range(reading.heads[kind]))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
