"""The cells of a heatmap as Plotly traces: weights, what a mask hides, and the difference of two heads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.types import AttentionMap
from viz.axes import HeadOf
from viz.labels import isolate, markup
from viz.theme import Theme, colour_scale
from viz.wording import wording

_CELL = (6, 44)  # least and most pixels of a cell's side
_NUMBERS_FROM = 40  # pixels of a cell's side: smaller ones have no room for a number
_HATCH_UP_TO = 48
_LEAST_RANGE = 0.01  # of a difference: noise of the last digits is no picture


@dataclass(frozen=True, slots=True)
class Look:
    """How cells are drawn.

    Attributes:
        theme: colours, and type sizes that are scaled already.
        scale: how much larger than on a desk everything is.
        cell: pixels of a cell's side, scaled.
        numbers: whether each cell has its number.
    """

    theme: Theme
    scale: float
    cell: float
    numbers: bool

    @classmethod
    def fitted(cls, shape: tuple[int, ...], side: float, theme: Theme, scale: float, numbers: bool | None) -> Look:
        """Cells that fit into `side` pixels (before scaling), with numbers where there is room for them.

        Raises:
            ValueError: when the scale is not a positive number.
        """
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale {scale}: it should be a positive number, 1 for a desk, 1.5 or 2 for a projector")
        cell = min(max(side / max(*shape, 1), _CELL[0]), _CELL[1])
        sizes = {name: round(getattr(theme, name) * scale) for name in ("font_size", "small_size", "title_size")}
        return cls(replace(theme, **sizes), scale, cell * scale, cell >= _NUMBERS_FROM if numbers is None else numbers)

    @property
    def gap(self) -> int:
        """Pixels between cells."""
        return 1 if self.cell > 10 else 0


def weights_trace(head: HeadOf, look: Look, name: str = "weights", *, bar: bool = True) -> go.Heatmap:
    """One head's weights, 0 to 1, empty where a mask forbids looking."""
    queries, keys = _titles(head.attention)
    words = wording(head.attention)
    return go.Heatmap(
        z=_without(head.weights, head.attention.masked()),
        zmin=0,
        zmax=1,
        colorscale=colour_scale(look.theme.sequential),
        hovertext=[
            [f"{query} {words.looks} {key}: {weight:.3f}" for key, weight in zip(keys, row, strict=True)]
            for query, row in zip(queries, head.weights.tolist(), strict=True)
        ],
        texttemplate="%{z:.2f}" if look.numbers else None,
        textfont={"size": min(look.theme.small_size, look.cell / 2.7)},
        showscale=bar,
        colorbar=_colour_bar(words.scale, [0, 0.25, 0.5, 0.75, 1], look) if bar else None,
        **_every_cell(name, look),
    )


def difference_trace(first: HeadOf, second: HeadOf, masked: np.ndarray, look: Look) -> go.Heatmap:
    """The first head's weights minus the second's on a range symmetric about 0, empty where `masked`."""
    difference = np.where(masked, 0, first.weights.astype(np.float64) - second.weights)
    queries, keys = _titles(first.attention)
    limit = max(float(np.abs(difference).max(initial=0)), _LEAST_RANGE)
    ticks = [-limit, -limit / 2, 0, limit / 2, limit]
    words = wording(first.attention)
    bar = _colour_bar(f"difference in {words.unit}", ticks, look)
    return go.Heatmap(
        z=_without(difference, masked),
        zmin=-limit,
        zmax=limit,
        colorscale=colour_scale(look.theme.diverging),
        hovertext=[
            [
                f"{query} {words.looks} {key}: {a:.3f} − {b:.3f} = {signed(a - b, '.3f')}"
                for key, a, b in zip(keys, ours, theirs, strict=True)
            ]
            for query, ours, theirs in zip(queries, first.weights.tolist(), second.weights.tolist(), strict=True)
        ],
        text=_numbers(difference, masked) if look.numbers else None,
        texttemplate="%{text}" if look.numbers else None,
        textfont={"size": min(look.theme.small_size, look.cell / 3.4)},
        colorbar=bar | {"ticktext": [signed(tick, ".2g") for tick in ticks]},
        **_every_cell("difference", look),
    )


def mask_trace(attention: AttentionMap, masked: np.ndarray, look: Look, name: str = "masked") -> go.Heatmap:
    """The masked cells, grey and hatched."""
    queries, keys = _titles(attention)
    may_not = wording(attention).may_not
    return go.Heatmap(
        z=_without(np.ones(masked.shape, dtype=np.float32), ~masked),
        zmin=0,
        zmax=1,
        colorscale=[[0, look.theme.mask], [1, look.theme.mask]],
        showscale=False,
        hovertext=[[f"{query} {may_not} {key}: masked" for key in keys] for query in queries],
        text=[["╱" if cell_is_masked else "" for cell_is_masked in row] for row in masked.tolist()],
        texttemplate="%{text}" if max(masked.shape) <= _HATCH_UP_TO else None,
        textfont={"color": look.theme.hatch, "size": look.cell / 2},
        **_every_cell(name, look),
    )


def signed(value: float, form: str) -> str:
    """A number with its sign, "−" and not a hyphen; what rounds to zero has none."""
    text = format(abs(value), form)
    if not float(text):
        return text
    return f"{'−' if value < 0 else '+'}{text}"


def _numbers(values: np.ndarray, absent: np.ndarray) -> list[list[str]]:
    return [
        ["" if gone else signed(value, ".2f") for value, gone in zip(row, gaps, strict=True)]
        for row, gaps in zip(values.tolist(), absent.tolist(), strict=True)
    ]


def _every_cell(name: str, look: Look) -> dict[str, Any]:
    return {
        "name": name,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "hoverongaps": False,
        "xgap": look.gap,
        "ygap": look.gap,
    }


def _colour_bar(title: str, ticks: list[float], look: Look) -> dict[str, Any]:
    return {
        "title": {"text": title, "side": "right"},
        "tickvals": ticks,
        "thickness": 14 * look.scale,
        "outlinewidth": 0,
        "len": 1,
        "y": 0.5,
    }


def _titles(attention: AttentionMap) -> tuple[list[str], list[str]]:
    queries = [markup(isolate(attention.row_title(row))) for row in range(len(attention.query_tokens))]
    return queries, [markup(isolate(label)) for label in attention.key_tokens.labels]


def _without(values: np.ndarray, absent: np.ndarray) -> list[list[float | None]]:
    """The values as lists, None (an empty cell) where absent; rounded to the digits of a float32."""
    rounded = np.round(values.astype(np.float64), 7).tolist()
    return [
        [None if gone else value for value, gone in zip(row, gaps, strict=True)]
        for row, gaps in zip(rounded, absent.tolist(), strict=True)
    ]
