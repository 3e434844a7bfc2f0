"""The heatmap of one head: every weight as a cell, rows look at columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.types import AttentionMap, Tokens
from viz.axes import check_head, check_layer, headings, map_title, row_tokens
from viz.labels import isolate, label_width, markup, shorten
from viz.theme import LIGHT, Theme, colour_scale, plotly_layout

_CELL = (6, 44)  # least and most pixels of a cell's side
_PLOT = 720  # pixels of a side that cells shrink to fit, down to the least
_NUMBERS_UP_TO = 18  # positions: more do not leave room for a number in a cell
_HATCH_UP_TO = 48


def heatmap(
    attention: AttentionMap, layer: int, head: int, *, theme: Theme = LIGHT, numbers: bool | None = None
) -> go.Figure:
    """Draw one head's weights: rows are the positions that look, top to bottom, columns where they look.

    The colour range is always 0 to 1, so that heads compare. Masked cells are grey and hatched: they are no zeros,
    the position may not look there. Axes are numeric with the tokens as tick texts, so equal tokens keep their rows.

    Args:
        attention: weights (layer, head, query, key) in [0, 1].
        layer: counted from 0; the title counts from 1.
        head: counted from 0; the title counts from 1.
        theme: colours and type sizes.
        numbers: whether to write each weight into its cell; None where there is room.

    Returns:
        A figure of two heatmap traces, named "weights" and "masked"; the second only for maps with a mask.

    Raises:
        IndexError: when the map lacks the layer or the head.
    """
    weights = attention.weights[check_layer(attention, layer), check_head(attention, head)]  # (Q, K)
    masked = attention.masked()
    cell = _cell_size(weights.shape)
    if numbers is None:
        numbers = max(weights.shape, default=0) <= _NUMBERS_UP_TO
    figure = go.Figure(_weights_trace(attention, weights, masked, numbers, cell, theme), plotly_layout(theme))
    if masked.any():
        figure.add_trace(_mask_trace(attention, masked, cell, theme))
    _lay_out(figure, attention, cell, theme)
    figure.update_layout(title={"text": f"{map_title(attention, layer)}, head {head + 1}"})
    return figure


def _weights_trace(
    attention: AttentionMap, weights: np.ndarray, masked: np.ndarray, numbers: bool, cell: float, theme: Theme
) -> go.Heatmap:
    queries, keys = _titles(attention)
    return go.Heatmap(
        name="weights",
        z=_without(weights, masked),
        zmin=0,
        zmax=1,
        colorscale=colour_scale(theme.sequential),
        hovertext=[
            [f"{query} looks at {key}: {weight:.3f}" for key, weight in zip(keys, row, strict=True)]
            for query, row in zip(queries, weights.tolist(), strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        texttemplate="%{z:.2f}" if numbers else None,
        textfont={"size": min(theme.small_size, cell / 2.7)},
        xgap=1 if cell > 10 else 0,
        ygap=1 if cell > 10 else 0,
        colorbar={
            "title": {"text": "attention weight", "side": "right"},
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "thickness": 14,
            "outlinewidth": 0,
            "len": 1,
            "y": 0.5,
        },
    )


def _mask_trace(attention: AttentionMap, masked: np.ndarray, cell: float, theme: Theme) -> go.Heatmap:
    queries, keys = _titles(attention)
    return go.Heatmap(
        name="masked",
        z=_without(np.ones(masked.shape, dtype=np.float32), ~masked),
        zmin=0,
        zmax=1,
        colorscale=[[0, theme.mask], [1, theme.mask]],
        showscale=False,
        hovertext=[[f"{query} may not look at {key}: masked" for key in keys] for query in queries],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        text=[["╱" if cell_is_masked else "" for cell_is_masked in row] for row in masked.tolist()],
        texttemplate="%{text}" if max(masked.shape) <= _HATCH_UP_TO else None,
        textfont={"color": theme.hatch, "size": cell / 2},
        xgap=1 if cell > 10 else 0,
        ygap=1 if cell > 10 else 0,
    )


def _lay_out(figure: go.Figure, attention: AttentionMap, cell: float, theme: Theme) -> None:
    queries, keys = attention.row_labels, attention.key_tokens.labels
    angle = -60 if any(label_width(shorten(key), theme.small_size) > cell - 4 for key in keys) else 0
    left = 40 + _widest(queries, theme)
    top = 80 + (_widest(keys, theme) * math.sin(math.radians(-angle)) if angle else 0.0)
    figure.update_layout(
        width=round(left + max(len(keys), 4) * cell + 110),
        height=round(top + max(len(queries), 4) * cell + 20),
        margin={"l": left, "r": 110, "t": top, "b": 20},
        title={"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yanchor": "top", "pad": {"t": 12, "l": 12}},
        title_font={"size": theme.title_size},
    )
    row_name, column_name = headings(attention)
    figure.update_xaxes(**_axis(attention.key_tokens, keys, cell, theme), side="top", tickangle=angle)
    figure.update_xaxes(range=[-0.5, len(keys) - 0.5], title={"text": column_name, "standoff": 6})
    figure.update_yaxes(**_axis(row_tokens(attention), queries, cell, theme))
    figure.update_yaxes(range=[len(queries) - 0.5, -0.5], title={"text": row_name, "standoff": 6})


def _axis(tokens: Tokens, labels: tuple[str, ...], cell: float, theme: Theme) -> dict[str, Any]:
    every = max(math.ceil((theme.small_size + 1) / cell), 1)
    texts = [markup(shorten(label)) for label in labels]
    shown = [f"<i>{text}</i>" if special else text for text, special in zip(texts, tokens.special, strict=True)]
    return {
        "tickmode": "array",
        "tickvals": list(range(0, len(labels), every)),
        "ticktext": shown[::every],
        "tickfont": {"size": theme.small_size + 1 if every == 1 else theme.small_size - 2},
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
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


def _cell_size(shape: tuple[int, ...]) -> float:
    return min(max(_PLOT / max(*shape, 1), _CELL[0]), _CELL[1])


def _widest(labels: tuple[str, ...], theme: Theme) -> float:
    return max((label_width(shorten(label), theme.small_size + 1) for label in labels), default=0.0)
