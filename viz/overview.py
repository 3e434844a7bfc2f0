"""A long text's attention from afar: one head in some hundred cells a side, and what its rows do along the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
import plotly.graph_objects as go

from engine.types import AttentionMap, Tokens
from viz.axes import HeadOf, headings, kind_title
from viz.labels import isolate, markup, shorten
from viz.pool import block_starts, max_pool
from viz.theme import LIGHT, Theme, chart_config, colour_scale, plotly_layout

Range = tuple[int, int]
"""The first position and the one after the last, from 0."""

MARKERS = 64
"""Most places of a side that can be clicked."""
POINTS = 256
"""Most points of a line along the text."""
SNIPPET = 28  # characters of a place's text

# All in pixels, before scaling.
_PLOT = 450  # of the longer side
_LEAST = 160  # of the shorter one
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 110, 104, 20


def overview_heatmap(
    attention: AttentionMap,
    rows: np.ndarray,
    columns: np.ndarray,
    tokens: tuple[Tokens, Tokens],
    *,
    windows: Sequence[tuple[Range, Range]] = (),
    theme: Theme = LIGHT,
    scale: float = 1.0,
) -> go.Figure:
    """Draw one head of a long text: rows are the tokens that look, top to bottom, columns where they look.

    Axes count tokens from 1. The darkest colour is the largest weight of all but the first block of keys: what rests on
    the first token would leave the rest pale. Cells that are masked altogether are grey.

    Args:
        attention: one layer and one head between blocks, each cell the largest weight of its block, in [0, 1].
        rows: where blocks of queries begin, and the end of the last: int64 (q + 1,).
        columns: the same of keys.
        tokens: every query and every key, for what a place says under the pointer.
        windows: rows and columns that are outlined.
        theme: colours and type sizes.
        scale: cells, type and margins are this many times larger, for a projector.

    Returns:
        A figure of two traces: the heatmap "weights", with NaN in masked cells, and invisible markers "places", at most
        `MARKERS` a side, whose x and y are key and query in the middle of each place, counted from 1: Plotly tells of
        clicks on markers only.

    Raises:
        ValueError: when blocks do not fit the map or the tokens, or the scale is not a positive number.
    """
    one = HeadOf(attention, 0, 0)
    _check(one.weights, rows, columns, tokens, scale)
    masked = attention.masked()
    limit = colour_limit(one.weights)
    figure = go.Figure(layout=plotly_layout(theme))
    figure.add_trace(
        go.Heatmap(
            name="weights",
            x=columns + 0.5,
            y=rows + 0.5,
            z=np.where(masked, np.float32(np.nan), one.weights),
            zmin=0,
            zmax=limit,
            colorscale=colour_scale(theme.sequential),
            colorbar=_colour_bar(limit, float(one.weights.max()), scale),
            hoverinfo="skip",
            hoverongaps=False,
        )
    )
    figure.add_trace(_places(one.weights, rows, columns, tokens, masked, theme, scale))
    _lay_out(figure, attention, rows, columns, f"{kind_title(attention)}, {one.name}", theme, scale)
    for looking, looked in windows:
        figure.add_shape(
            type="rect", name="window", x0=looked[0] + 0.5, x1=looked[1] + 0.5, y0=looking[0] + 0.5,
            y1=looking[1] + 0.5, line={"color": theme.diverging[1], "width": 2 * scale},
        )  # fmt: skip
    if masked.any():
        figure.update_layout(plot_bgcolor=theme.mask)
    return figure


def colour_limit(weights: np.ndarray) -> float:
    """The weight of the darkest colour: the largest of all blocks of keys but the first, where there is one above 0."""
    others = float(weights[:, 1:].max(initial=0.0))
    return others or float(weights.max(initial=0.0)) or 1.0


def _check(
    weights: np.ndarray, rows: np.ndarray, columns: np.ndarray, tokens: tuple[Tokens, Tokens], scale: float
) -> None:
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale {scale}: it should be a positive number, 1 for a desk, 1.5 or 2 for a projector")
    for noun, starts, count, text in zip(("rows", "columns"), (rows, columns), weights.shape, tokens, strict=True):
        if len(starts) != count + 1 or starts[-1] != len(text):
            raise ValueError(
                f"{noun}: {len(starts)} ends up to {starts[-1]} for {count} blocks of {len(text)} tokens; give one "
                "more than blocks, up to the number of tokens"
            )


def _places(
    weights: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    tokens: tuple[Tokens, Tokens],
    masked: np.ndarray,
    theme: Theme,
    scale: float,
) -> go.Scatter:
    """What can be pointed at and clicked."""
    largest = max_pool(weights[None, None], MARKERS)[0, 0]
    gone = max_pool((~masked).astype(np.float32)[None, None], MARKERS)[0, 0] == 0
    queries, keys = (_coarse(starts) for starts in (rows, columns))
    looking, looked = (_names(text, ends) for text, ends in zip(tokens, (queries, keys), strict=True))
    there = np.argwhere(~gone)
    middle = [(ends[:-1] + ends[1:] - 1) // 2 + 1 for ends in (queries, keys)]
    return go.Scatter(
        name="places",
        x=middle[1][there[:, 1]],
        y=middle[0][there[:, 0]],
        mode="markers",
        marker={"size": 10 * scale, "opacity": 0, "symbol": "square", "color": theme.accent},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        text=[
            f"{looking[row]}<br>looks at {looked[column]}<br>largest weight {largest[row, column]:.3f}"
            for row, column in there.tolist()
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _coarse(starts: np.ndarray) -> np.ndarray:
    """Ends of at most `MARKERS` blocks of blocks."""
    blocks = len(starts) - 1
    return np.append(starts[block_starts(blocks, min(blocks, MARKERS))], starts[-1])


def _names(tokens: Tokens, starts: np.ndarray) -> list[str]:
    """What each block is called: its places, counted from 1, and how its text begins, as Plotly's markup."""
    return [_name(tokens, start, stop) for start, stop in pairwise(starts.tolist())]


def _name(tokens: Tokens, start: int, stop: int) -> str:
    places = f"{start + 1:,}" if stop - start == 1 else f"{start + 1:,}–{stop:,}"
    spans = [span for span, special in zip(tokens.spans[start:stop], tokens.special[start:stop], strict=True)
             if not special and span[1] > span[0]]  # fmt: skip
    text = tokens.text[spans[0][0] : spans[-1][1]] if spans else " ".join(tokens.labels[start:stop])
    return markup(f"{places}: {isolate(shorten(text, SNIPPET))}")


def _lay_out(
    figure: go.Figure,
    attention: AttentionMap,
    rows: np.ndarray,
    columns: np.ndarray,
    title: str,
    theme: Theme,
    scale: float,
) -> None:
    queries, keys = int(rows[-1]), int(columns[-1])
    unit = _PLOT / max(queries, keys)
    wide, tall = max(unit * keys, _LEAST), max(unit * queries, _LEAST)
    small = round(theme.small_size * scale)
    row_name, column_name = headings(attention)
    ticks: dict[str, Any] = {
        "showgrid": False, "zeroline": False, "ticks": "outside", "tickformat": ",d", "tickfont": {"size": small},
        "nticks": 8,
    }  # fmt: skip
    figure.update_layout(
        width=round((_LEFT + wide + _RIGHT) * scale),
        height=round((_TOP + tall + _BOTTOM) * scale),
        margin={"l": _LEFT * scale, "r": _RIGHT * scale, "t": _TOP * scale, "b": _BOTTOM * scale},
        title={"text": markup(title), "x": 0, "xref": "container", "y": 1, "yanchor": "top", "yref": "container"},
        title_font={"size": round(theme.title_size * scale)},
        title_pad={"t": 12 * scale, "l": 12 * scale},
        hovermode="closest",
        xaxis={**ticks, "side": "top", "range": [0.5, keys + 0.5], "title": {"text": f"{column_name}, number"}},
        yaxis={**ticks, "range": [queries + 0.5, 0.5], "title": {"text": f"{row_name}, number"}},
    )


def _colour_bar(limit: float, largest: float, scale: float) -> dict[str, Any]:
    ticks = [0, limit / 2, limit]
    names = [f"{tick:.2g}" for tick in ticks]
    if largest > limit:
        names[-1] = f"≥ {names[-1]}"
    return {
        "title": {"text": "largest weight", "side": "right"},
        "tickvals": ticks,
        "ticktext": names,
        "thickness": 14 * scale,
        "outlinewidth": 0,
    }


# ---- along the text ----


def row_profile(
    first: np.ndarray,
    entropy: np.ndarray,
    distance: np.ndarray,
    *,
    theme: Theme = LIGHT,
    width: int = 560,
    scale: float = 1.0,
) -> alt.VConcatChart:
    """Draw what each row of a head does along a text: the weight on its first key, its entropy and its mean distance.

    Of more than `POINTS` rows, those beside each other share a point: their mean.

    Args:
        first: (query,), in [0, 1].
        entropy: (query,), in bits.
        distance: (query,), in tokens; all NaN where a text looks at another one, and then not drawn.
        theme: colours and type sizes.
        width: of the plots, in pixels.
        scale: type and plots are this many times larger, for a projector.

    Returns:
        A chart of two or three line charts, one above the other.

    Raises:
        ValueError: when the three are not of the same rows.
    """
    if not len(first) == len(entropy) == len(distance) > 0:
        raise ValueError(f"{len(first)}, {len(entropy)} and {len(distance)} rows: give the same number of each")
    starts = block_starts(len(first), min(len(first), POINTS))
    ends = np.append(starts[1:], len(first))
    drawn = [("weight on the first token", first, ".2f"), ("entropy, bits", entropy, ".2f")]
    if not np.isnan(distance).any():
        drawn.append(("mean distance, tokens", distance, ".1f"))
    charts = []
    for name, values, form in drawn:
        means = np.add.reduceat(values.astype(np.float64), starts) / (ends - starts)
        rows = [
            {
                "row": place,
                "value": round(value, 6),
                "tokens": f"{start + 1:,}" + (f"–{end:,}" if end - start > 1 else ""),
            }
            for place, value, start, end in zip(
                ((starts + ends + 1) / 2).tolist(), means.tolist(), starts.tolist(), ends.tolist(), strict=True
            )
        ]
        axis = alt.Axis(
            tickCount=6, title="token that looks, number" if name == drawn[-1][0] else None, format=",d", grid=False
        )
        top = alt.Scale(domain=[0, 1]) if values is first else alt.Scale(zero=True)
        charts.append(
            alt.Chart(alt.InlineData(values=rows), title=alt.Title(name, anchor="start", fontSize=round(13 * scale)))
            .mark_line(color=theme.accent, strokeWidth=1.5 * scale)
            .encode(
                x=alt.X("row:Q", axis=axis, scale=alt.Scale(domain=[1, max(len(first), 2)], nice=False)),
                y=alt.Y("value:Q", title=None, scale=top),
                tooltip=[alt.Tooltip("tokens:N"), alt.Tooltip("value:Q", title=name, format=form)],
            )
            .properties(width=round(width * scale), height=round(90 * scale))
        )
    return alt.vconcat(*charts, spacing=14).configure(**_config(theme, scale))


def _config(theme: Theme, scale: float) -> dict[str, Any]:
    size = round(theme.small_size * scale)
    found = chart_config(theme)
    return found | {
        "axis": found["axis"] | {"labelFontSize": size, "titleFontSize": size},
        "title": {"color": theme.text, "fontWeight": "normal"},
    }
