"""A part of a long text's maps: neighbouring tokens of source and output, few enough for every view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.reduce import select
from engine.types import AttentionMap, Kind, Trace


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a trace, and what it leaves out.

    Attributes:
        trace: whose maps are between the window's tokens; its notes and its request are those of the whole.
        outside: by kind, in [0, 1]: what the rows that are shown give to columns that are not, the mean over layers,
            heads and rows.
    """

    trace: Trace
    outside: Mapping[Kind, float]


def window_of(trace: Trace, size: int, source: int = 0, output: int = 0) -> Window:
    """The maps between `size` tokens of each text.

    Rows and columns of an encoder or a decoder map stay the same tokens: what is left of a decoder's is causal.

    Args:
        trace: of any length.
        size: the most tokens, ≥ 1.
        source: where the source's begin, from 0; beyond the last window it stands for that.
        output: the same for the output.
    """
    assert size >= 1 and min(source, output) >= 0
    there = {"source": _part(len(trace.source), size, source), "output": _part(len(trace.read), size, output)}
    places = {"encoder": ("source", "source"), "decoder": ("output", "output"), "cross": ("output", "source")}
    maps: dict[Kind, AttentionMap] = {}
    outside: dict[Kind, float] = {}
    for kind, whole in trace.maps.items():
        rows, columns = (there[name] for name in places[kind])
        maps[kind], outside[kind] = _cut(whole, rows, columns)
    steps = there["output"]
    return Window(
        replace(
            trace,
            source=select(trace.source, there["source"]),
            read=select(trace.read, steps),
            predicted=select(trace.predicted, steps),
            maps=maps,
            token_logprobs=trace.token_logprobs[steps.start : steps.stop],
            alternatives=trace.alternatives[steps.start : steps.stop],
        ),
        outside,
    )


def _part(length: int, size: int, start: int) -> range:
    first = max(min(start, length - size), 0)
    return range(first, min(first + size, length))


def _cut(whole: AttentionMap, rows: range, columns: range) -> tuple[AttentionMap, float]:
    looked = whole.weights[:, :, rows.start : rows.stop]
    weights = np.ascontiguousarray(looked[..., columns.start : columns.stop])
    left = looked.sum(dtype=np.float64) - weights.sum(dtype=np.float64)
    predicted = whole.predicted_tokens
    cut = replace(
        whole,
        weights=weights,
        query_tokens=select(whole.query_tokens, rows),
        key_tokens=select(whole.key_tokens, columns),
        predicted_tokens=None if predicted is None else select(predicted, rows),
    )
    return cut, max(float(left) / (whole.layers * whole.heads * len(rows)), 0.0)
