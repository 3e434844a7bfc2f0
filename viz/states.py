"""What hidden units do while a network reads: gates and states over the characters of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import altair as alt
import numpy as np
import plotly.graph_objects as go

from viz.characters import CharacterAxis, cell_axis, marked_rule, position_axis, strongest
from viz.labels import label_width, markup, visible
from viz.pool import block_starts
from viz.theme import LIGHT, Theme, chart_config, colour_scale, head_colour, head_dash, plotly_layout

Kind = Literal["gate", "state"]
MOST_UNITS = 256
"""Rows of a heatmap; of more units, those beside each other share one."""

# All in pixels.
_WIDTH, _HEIGHT = 840, 560  # that cells shrink to fit
_LARGEST = (40, 26)  # of a cell: width, height
_LEAST = 160  # of the whole: few units or characters have larger cells
_ANGLE = -60  # of words above columns, in degrees


def state_heatmap(
    values: np.ndarray,
    text: str,
    title: str,
    *,
    kind: Kind,
    theme: Theme = LIGHT,
    marked: int | None = None,
    units: Sequence[int] | None = None,
) -> go.Figure:
    """Draw hidden units (rows) while a network reads a text (columns).

    More than 300 characters or 256 units are drawn in blocks, each with the number farthest from 0, with its sign.

    Args:
        values: (T, U), finite; in [0, 1] for a gate.
        text: T characters.
        title: above the figure.
        kind: "gate" has colours from 0 to 1, "state" colours from minus to plus the largest |value| drawn.
        theme: colours and type sizes.
        marked: a column with an outline; None for none.
        units: the rows, counted from 0, from top to bottom; None for all. Labels count from 1.

    Returns:
        A figure of one heatmap trace, named "values".

    Raises:
        ValueError: when the kind is none of the two, values do not fit the text or the kind, or there is no such unit
            or position.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind {kind!r}: choose one of {', '.join(get_args(Kind))}")
    _check_values(values, text)
    chosen = list(range(values.shape[1])) if units is None else list(units)
    if not chosen or not all(0 <= unit < values.shape[1] for unit in chosen):
        raise ValueError(f"units {chosen}: give at least one, from 0 to {values.shape[1] - 1}")
    if kind == "gate" and (values.min() < -1e-6 or values.max() > 1 + 1e-6):
        raise ValueError(f"values from {values.min():g} to {values.max():g}: a gate's are in [0, 1]")
    axis = CharacterAxis.of(text)
    starts = block_starts(len(chosen), min(len(chosen), MOST_UNITS))
    cells = strongest(values[:, chosen].T, starts, axis.starts).astype(np.float32)
    width = max(min(_WIDTH / axis.cells, _LARGEST[0]), _LEAST / axis.cells)
    height = max(min(_HEIGHT / len(starts), _LARGEST[1]), _LEAST / len(starts))
    limit = 1.0 if kind == "gate" else float(np.abs(cells).max()) or 1.0
    figure = go.Figure(_cells(cells, kind, limit, theme, gap=1 if min(width, height) > 10 else 0), plotly_layout(theme))
    if marked is not None:
        column, half = axis.cell_of(marked), 0.5 + 1 / width
        sides = {"x0": column - half, "x1": column + half, "y0": -0.5, "y1": len(starts) - 0.5}
        figure.add_shape(type="rect", name="marked", line={"color": theme.text, "width": 2}, **sides)
    _lay_out(figure, title, axis, _blocks(chosen, starts), (width, height), theme)
    return figure


def unit_lines(
    values: np.ndarray,
    text: str,
    names: Sequence[str],
    *,
    theme: Theme = LIGHT,
    marked: int | None = None,
    width: int = 720,
) -> alt.LayerChart:
    """Draw what some hidden units do while a network reads a text, one line each.

    Args:
        values: (T, k), finite.
        text: T characters.
        names: of the k units; equal ones would be one line.
        theme: colours and type sizes.
        marked: a position with a line through it; None for none.
        width: of the plot, in pixels.

    Raises:
        ValueError: when values do not fit the text or the names, two names are equal, or the text has no position
            `marked`.
    """
    _check_values(values, text)
    if len(names) != values.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"{len(names)} names for {values.shape[1]} units: give each one of its own")
    rows = [
        {"unit": name, "position": place, "number": place + 1, "character": visible(letter), "value": round(value, 6)}
        for name, line in zip(names, values.T.astype(float).tolist(), strict=True)
        for place, (letter, value) in enumerate(zip(text, line, strict=True))
    ]
    x = position_axis(text, width, theme)
    indices = range(len(names))
    legend = alt.Legend(title=None, labelLimit=260, symbolType="stroke", symbolStrokeWidth=4)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=alt.Y("value:Q", title="value"))
    colours = alt.Scale(domain=list(names), range=list(map(head_colour, indices)))
    dashes = alt.Scale(domain=list(names), range=[list(head_dash(index)) for index in indices])
    lines = base.mark_line(strokeWidth=2).encode(
        color=alt.Color("unit:N", scale=colours, legend=legend),
        strokeDash=alt.StrokeDash("unit:N", scale=dashes, legend=None),
    )
    told = base.mark_point(size=120, opacity=0, filled=True).encode(
        tooltip=[
            alt.Tooltip("unit:N"),
            alt.Tooltip("character:N"),
            alt.Tooltip("number:Q", title="position"),
            alt.Tooltip("value:Q", format=".3f"),
        ]
    )
    rule = [] if marked is None else [marked_rule(text, marked, x, theme)]
    chart = alt.LayerChart(layer=[*rule, lines, told]).properties(width=width, height=220)
    done: alt.LayerChart = chart.configure(**chart_config(theme))
    return done


def _cells(cells: np.ndarray, kind: Kind, limit: float, theme: Theme, gap: int) -> go.Heatmap:
    ticks = [0, 0.25, 0.5, 0.75, 1] if kind == "gate" else [-limit, -limit / 2, 0, limit / 2, limit]
    names = [f"{tick:.2g}".replace("-", "−") for tick in ticks]
    return go.Heatmap(
        name="values",
        z=cells,
        zmin=0 if kind == "gate" else -limit,
        zmax=limit,
        colorscale=colour_scale(theme.sequential if kind == "gate" else theme.diverging),
        hovertemplate="%{y} at %{x}<br>%{z:.3f}<extra></extra>",
        xgap=gap,
        ygap=gap,
        colorbar={
            "title": {
                "text": "gate" if kind == "gate" else "value",
                "side": "right",
                "font": {"size": theme.small_size},
            },
            "tickvals": ticks,
            "ticktext": names,
            "thickness": 14,
            "outlinewidth": 0,
            "len": 1,
            "y": 0.5,
        },
    )


def _blocks(units: Sequence[int], starts: np.ndarray) -> list[str]:
    """What each row is called: "unit 17", or "unit 17 and 1 more" where it stands for several."""
    ends = [*starts[1:].tolist(), len(units)]
    return [
        f"unit {units[start] + 1}" + (f" and {end - start - 1} more" if end - start > 1 else "")
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]


def _lay_out(
    figure: go.Figure, title: str, axis: CharacterAxis, names: list[str], cell: tuple[float, float], theme: Theme
) -> None:
    font = min(theme.small_size, cell[0] + 1) if axis.lettered else theme.small_size - 1
    columns = axis.ticks(cell[0], 1.3 * font)
    every = max(math.ceil(1.25 * (theme.small_size - 1) / cell[1]), 1)
    rows = [(place, names[place].split(" and ")[0]) for place in range(0, len(names), every)]
    left = 24 + max(label_width(label, theme.small_size) for _, label in rows)
    slope = math.sin(math.radians(-_ANGLE))
    top = 50 + (1.6 * font if axis.lettered else 14 + slope * max(label_width(label, font) for _, label in columns))
    wide, tall = axis.cells * cell[0], len(names) * cell[1]
    right = max(100.0, label_width(title, theme.title_size) + 24 - left - wide)
    figure.update_layout(
        width=round(left + wide + right),
        height=round(top + tall + 16),
        margin={"l": left, "r": right, "t": top, "b": 16},
        title={"text": markup(title), "font": {"size": theme.title_size}, "pad": {"t": 12, "l": 12}},
        title_x=0,
        title_xref="container",
        title_y=1,
        title_yanchor="top",
    )
    figure.update_xaxes(
        side="top",
        range=[-0.5, axis.cells - 0.5],
        tickangle=0 if axis.lettered else _ANGLE,
        tickfont={"size": font},
        ticks="" if axis.lettered else "outside",
        **cell_axis(columns, list(map(markup, axis.titles()))),
    )
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5],
        tickfont={"size": theme.small_size - 1},
        **cell_axis(rows, names),
    )


def _check_values(values: np.ndarray, text: str) -> None:
    if values.ndim != 2 or len(values) != len(text) or not values.size:
        raise ValueError(
            f"values {values.shape} for {len(text)} characters: give (characters, units), one or more of each"
        )
    if not np.isfinite(values).all():
        raise ValueError("values: not all of them are finite, so they cannot be drawn")
