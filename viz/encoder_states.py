"""What a bidirectional encoder goes through while it reads a source, from either end."""

from __future__ import annotations

import json
import math
from typing import Literal, get_args

import altair as alt
import numpy as np
import plotly.graph_objects as go

from engine.types import EncoderStates, Tokens
from viz.characters import cell_axis, quoted, strongest, thinned
from viz.labels import label_width, markup, shorten
from viz.pool import block_starts
from viz.theme import LIGHT, Theme, chart_config, colour_scale, head_colour, plotly_layout

Direction = Literal["forwards", "backwards"]
Summary = Literal["change", "end"]

MOST_ROWS = 128
"""Of a heatmap; of more units, as many as needed share a row."""

# All in pixels.
_WIDTH, _HEIGHT = 840, 460  # that cells shrink to fit
_LARGEST = (44, 26)  # of a cell: width, height
_LEAST = 160  # of the whole: few units or tokens have larger cells
_ANGLE = -60  # of tokens above columns, in degrees
_PANEL = (400, 110)  # of an overview's panel: width, height
_ARROWS: dict[Direction, str] = {"forwards": "→ reads forwards", "backwards": "← reads backwards"}
_COLOURS: dict[Direction, str] = {"forwards": head_colour(0), "backwards": head_colour(1)}
_SUMMARIES: dict[Summary, str] = {"change": "change of state", "end": "cosine with its end"}


def encoder_state_heatmap(
    values: np.ndarray,
    tokens: Tokens,
    title: str,
    *,
    direction: Direction = "forwards",
    theme: Theme = LIGHT,
    marked: int | None = None,
    by_change: bool = True,
    limit: float | None = None,
) -> go.Figure:
    """Draw the units of one layer and direction (rows) while it reads a source (columns).

    Colours reach as far below 0 (brown) as above it (blue). More than 128 units share rows, each with the number
    farthest from 0, with its sign.

    Args:
        values: (S, U), finite: one layer of `EncoderStates.forwards` or `.backwards`.
        tokens: S of them.
        title: above the figure, before the direction.
        direction: which end it reads from; the title has an arrow.
        theme: colours and type sizes.
        marked: a column with an outline; None for none.
        by_change: whether units are sorted by the token that moves them most, so that what a token writes stands
            together; else by number.
        limit: the |value| at which colours end, so that figures compare; None for the largest drawn.

    Returns:
        A figure of one heatmap trace, named "values".

    Raises:
        ValueError: when values do not fit the tokens, one of them is not finite, there is no such position or
            direction, or the limit is not above 0.
    """
    _check(values, tokens, direction, marked, limit)
    order = unit_order(values, direction) if by_change else np.arange(values.shape[1])
    starts = _row_starts(len(order))
    cells = strongest(values[:, order].T, starts, np.arange(len(tokens))).astype(np.float32)
    farthest = float(np.abs(cells).max()) if limit is None else limit
    width = max(min(_WIDTH / len(tokens), _LARGEST[0]), _LEAST / len(tokens))
    height = max(min(_HEIGHT / len(starts), _LARGEST[1]), _LEAST / len(starts))
    trace = _cells(cells, farthest or 1.0, theme, gap=(int(width > 10), int(height > 10)))
    figure = go.Figure(trace, plotly_layout(theme))
    if marked is not None:
        half = 0.5 + 1 / width
        sides = {"x0": marked - half, "x1": marked + half, "y0": -0.5, "y1": len(starts) - 0.5}
        figure.add_shape(type="rect", name="marked", line={"color": theme.text, "width": 2}, **sides)
    rows = _row_names(order, starts)
    _lay_out(figure, f"{title} {_ARROWS[direction]}", tokens, rows, (width, height), theme)
    figure.update_yaxes(title={"text": _row_title(len(order), by_change), "standoff": 8})
    figure.update_yaxes(title_font={"size": theme.small_size})
    return figure


def encoder_overview(
    states: EncoderStates,
    *,
    summary: Summary = "change",
    theme: Theme = LIGHT,
    marked: int | None = None,
    width: int = _PANEL[0],
) -> alt.ConcatChart:
    """Draw one number for each token, layer and direction: forwards on the left, backwards on the right.

    "change" is how far the state moved when its network read the token: the root mean square over units of
    h_s − h_{s−1} forwards and h_s − h_{s+1} backwards, from a state of zeros; in [0, 2). "end" is the cosine between
    the state after a token and the state when all is read, in [−1, 1]: what comes late in reading is near 1, and how
    low the beginning stands shows how much of it has been written over. All panels have the same axis.

    Args:
        states: of every layer.
        summary: which number.
        theme: colours and type sizes.
        marked: a token with a line through it; None for none.
        width: of a panel, in pixels.

    Returns:
        Two panels for each layer.

    Raises:
        ValueError: when there is no such summary, a state is not finite, or the source has no such position.
    """
    numbers = overview_numbers(states, summary)
    if marked is not None and not 0 <= marked < len(states.source):
        raise ValueError(f"marked {marked}: the source has tokens 0 to {len(states.source) - 1}")
    every = np.concatenate([values for values in numbers.values()])
    domain = [min(0.0, float(every.min())), 1.0 if summary == "end" else float(every.max()) or 1.0]
    layers = len(states.forwards)
    panels = [
        _panel(values, states.source, (layer, direction), (summary, domain), theme, marked, width, layer == layers - 1)
        for (layer, direction), values in numbers.items()
    ]
    chart: alt.ConcatChart = alt.concat(*panels, columns=2, spacing={"row": 12, "column": 24})
    done: alt.ConcatChart = chart.configure(**chart_config(theme))
    return done


def overview_numbers(states: EncoderStates, summary: Summary = "change") -> dict[tuple[int, Direction], np.ndarray]:
    """What `encoder_overview` draws: by layer (from 0) and direction, float64 (S,)."""
    if summary not in get_args(Summary):
        raise ValueError(f"summary {summary!r}: choose one of {', '.join(get_args(Summary))}")
    both: dict[Direction, np.ndarray] = {"forwards": states.forwards, "backwards": states.backwards}
    for direction, every in both.items():
        for values in every:
            _check(values, states.source, direction)
    measure = _change if summary == "change" else _likeness
    return {
        (layer, direction): measure(every[layer].astype(np.float64), direction)
        for layer in range(len(states.forwards))
        for direction, every in both.items()
    }


def overview_text(states: EncoderStates, summary: Summary = "change") -> str:
    """`encoder_overview` in sentences, for those who do not see it."""
    said = [f"{_SUMMARIES[summary].capitalize()}, at each token."]
    for (layer, direction), values in overview_numbers(states, summary).items():
        first = 0 if direction == "forwards" else len(values) - 1
        named = {"most at": int(values.argmax()), "least at": int(values.argmin())}
        if summary == "end":  # the last token that is read has the most, 1
            named = {"read first:": first, "least at": int(values.argmin())}
        parts = [f"{how} {_token(states.source, place)}, {_number(values[place])}" for how, place in named.items()]
        said.append(f"Layer {layer + 1} {direction}: {'; '.join(parts)}.")
    return " ".join(said)


def unit_order(values: np.ndarray, direction: Direction) -> np.ndarray:
    """Units by the token that moves them most: those the source's first token moves come first.

    Units moved most by the same token are sorted by how far it moves them, upwards first.

    Args:
        values: (S, U).
        direction: which end is read first.

    Returns:
        int64 (U,), a permutation.
    """
    steps = _steps(values, direction)
    most = np.abs(steps).argmax(axis=0)
    moved = steps[most, np.arange(values.shape[1])]
    return np.lexsort((-moved, most))


# --- Numbers ----------------------------------------------------------------------------------------------------------


def _steps(values: np.ndarray, direction: Direction) -> np.ndarray:
    """What reading each token adds to the state, (S, U); it starts at zeros."""
    zeros = np.zeros_like(values[:1])
    if direction == "forwards":
        return np.diff(values, axis=0, prepend=zeros)
    return -np.diff(values, axis=0, append=zeros)


def _change(values: np.ndarray, direction: Direction) -> np.ndarray:
    """Root mean square over units of each step, (S,)."""
    moved: np.ndarray = np.sqrt((_steps(values, direction) ** 2).mean(axis=1))
    return moved


def _likeness(values: np.ndarray, direction: Direction) -> np.ndarray:
    """Cosine of each state with the last one read, (S,); 0 where one of them is all zeros."""
    end = values[-1 if direction == "forwards" else 0]
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(end)
    cosine: np.ndarray = np.divide(values @ end, lengths, out=np.zeros(len(values)), where=lengths > 0)
    return cosine.clip(-1, 1)  # rounding


# --- The heatmap ------------------------------------------------------------------------------------------------------


def _row_starts(units: int) -> np.ndarray:
    """Where rows begin: as few units share a row as make `MOST_ROWS`, in all rows as many where that goes up."""
    return block_starts(units, math.ceil(units / math.ceil(units / MOST_ROWS)))


def _cells(cells: np.ndarray, limit: float, theme: Theme, gap: tuple[int, int]) -> go.Heatmap:
    ticks = [-limit, -limit / 2, 0, limit / 2, limit]
    return go.Heatmap(
        name="values",
        z=cells,
        zmin=-limit,
        zmax=limit,
        colorscale=colour_scale(theme.diverging),
        hovertemplate="%{y} at %{x}<br>%{z:.3f}<extra></extra>",
        xgap=gap[0],
        ygap=gap[1],
        colorbar={
            "title": {"text": "value", "side": "right", "font": {"size": theme.small_size}},
            "tickvals": ticks,
            "ticktext": [f"{tick:.2g}".replace("-", "−") for tick in ticks],
            "thickness": 14,
            "outlinewidth": 0,
            "len": 1,
            "y": 0.5,
        },
    )


def _row_names(order: np.ndarray, starts: np.ndarray) -> list[str]:
    """What each row is called: "unit 17", or "units 17, 3" where it stands for several; from 1."""
    parts = np.split(order + 1, starts[1:])
    return [("unit " if len(part) == 1 else "units ") + ", ".join(map(str, part.tolist())) for part in parts]


def _row_title(units: int, by_change: bool) -> str:
    counted = f"{units} unit{'s' if units > 1 else ''}"
    return f"{counted}, by largest change" if by_change else counted


def _lay_out(
    figure: go.Figure, title: str, tokens: Tokens, rows: list[str], cell: tuple[float, float], theme: Theme
) -> None:
    font = theme.small_size
    ticks = thinned([(place, shorten(label)) for place, label in enumerate(tokens.labels)], 1.1 * font / cell[0])
    slope = math.sin(math.radians(-_ANGLE))
    left, top = 56, 64 + slope * max(label_width(label, font) for _, label in ticks)
    wide, tall = len(tokens) * cell[0], len(rows) * cell[1]
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
    columns = cell_axis(ticks, [markup(_token(tokens, place)) for place in range(len(tokens))])
    texts = [markup(label) for _, label in ticks]
    columns["ticktext"] = [
        f"<i>{text}</i>" if tokens.special[place] else text for text, (place, _) in zip(texts, ticks, strict=True)
    ]
    figure.update_xaxes(
        side="top", range=[-0.5, len(tokens) - 0.5], tickangle=_ANGLE, tickfont={"size": font}, **columns
    )
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], ticks="", **cell_axis([], rows))


# --- The overview -----------------------------------------------------------------------------------------------------


def _panel(
    values: np.ndarray,
    tokens: Tokens,
    of: tuple[int, Direction],
    axis: tuple[Summary, list[float]],
    theme: Theme,
    marked: int | None,
    width: int,
    labelled: bool,
) -> alt.LayerChart:
    (layer, direction), (summary, domain) = of, axis
    rows = [
        {"left": place - 0.45, "right": place + 0.45, "token": shorten(label), "number": place + 1, "value": value}
        for place, (label, value) in enumerate(zip(tokens.labels, np.round(values, 6).tolist(), strict=True))
    ]
    x = _token_axis(tokens, width, theme, labelled)
    y = alt.Y("value:Q", title=_SUMMARIES[summary], scale=alt.Scale(domain=domain), axis=alt.Axis(tickCount=3))
    base = alt.Chart(alt.InlineData(values=rows))
    bars = base.mark_rect(color=_COLOURS[direction]).encode(
        x=x,
        x2="right:Q",
        y=y,
        y2=alt.Y2Datum(0),
        tooltip=[
            alt.Tooltip("token:N"),
            alt.Tooltip("number:Q", title="position"),
            alt.Tooltip("value:Q", title=_SUMMARIES[summary], format=".3f"),
        ],
    )
    rule = []
    if marked is not None:
        data = alt.InlineData(values=[{"left": marked}])
        rule = [alt.Chart(data).mark_rule(color=theme.accent, strokeWidth=2).encode(x=x)]
    title = alt.Title(f"Layer {layer + 1} {_ARROWS[direction]}", fontSize=theme.font_size, offset=6)
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, *rule])
    done: alt.LayerChart = chart.properties(width=width, height=_PANEL[1], title=title)
    return done


def _token_axis(tokens: Tokens, width: float, theme: Theme, labelled: bool) -> alt.X:
    """Positions from 0, with the tokens as labels; their text is a string in the expression, never code."""
    font = theme.small_size - 1
    shown = [(place, shorten(label)) for place, label in enumerate(tokens.labels)]
    ticks = thinned(shown, 1.25 * font * len(tokens) / width)
    texts = json.dumps({str(place): label for place, label in ticks}, ensure_ascii=True)
    axis = alt.Axis(
        values=[place for place, _ in ticks],
        labelExpr=f"{texts}[datum.value]",
        labelAngle=_ANGLE,
        labelAlign="right",
        labelBaseline="middle",
        labelFontSize=font,
        labelOverlap=False,
        labels=labelled,
        ticks=labelled,
        grid=False,
    )
    scale = alt.Scale(domain=[-0.5, len(tokens) - 0.5], nice=False, zero=False)
    return alt.X("left:Q", title=None, scale=scale, axis=axis)


def _token(tokens: Tokens, place: int) -> str:
    """E.g. “cat” (token 2), counted from 1."""
    return f"{quoted(tokens.labels[place])} (token {place + 1})"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _check(
    values: np.ndarray,
    tokens: Tokens,
    direction: Direction,
    marked: int | None = None,
    limit: float | None = None,
) -> None:
    if direction not in get_args(Direction):
        raise ValueError(f"direction {direction!r}: choose one of {', '.join(get_args(Direction))}")
    if values.ndim != 2 or len(values) != len(tokens) or not values.size:
        raise ValueError(f"values {values.shape} for {len(tokens)} tokens: give (tokens, units), one or more of each")
    if not np.isfinite(values).all():
        raise ValueError("values: not all of them are finite, so they cannot be drawn")
    if marked is not None and not 0 <= marked < len(tokens):
        raise ValueError(f"marked {marked}: the source has tokens 0 to {len(tokens) - 1}")
    if limit is not None and not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"limit {limit}: give a number above 0")
