"""Connectivity as a heatmap: how much each output of a text rests on each input character up to there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go

from engine.types import ConnectedText
from viz.characters import CharacterAxis, cell_axis, quoted, strongest, words_of
from viz.labels import label_width, markup, shorten
from viz.pool import pooled_mask
from viz.theme import LIGHT, Theme, colour_scale, plotly_layout

Scaling = Literal["row", "absolute"]
DECADES = 6
"""How far the colours of absolute numbers reach down from the largest, in powers of ten."""

# All in pixels, before scaling.
_PLOT = 800  # of a side that cells shrink to fit
_LARGEST = 40  # of a cell's side
_LEAST = 160  # of the whole: a text of few characters has larger cells
_RIGHT = 120  # the colour bar, with its numbers and title
_TOP = 76  # the title and its second line
_ANGLE = -60  # of words above columns, in degrees

_MEASURES = {
    "embedding": "gradient, embedding norm",
    "one-hot": "gradient, one-hot norm",
    "squared": "gradient, squared one-hot norm",
}
_SECOND: dict[Scaling, str] = {
    "row": "each row divided by its largest, so rows do not compare",
    "absolute": "logarithmic colours, the same for all rows",
}


def connectivity_heatmap(
    text: ConnectedText,
    scaling: Scaling,
    *,
    theme: Theme = LIGHT,
    marked: int | None = None,
    scale: float = 1.0,
) -> go.Figure:
    """Draw the influence of each input character (columns) on each output (rows, top to bottom).

    Cells after a row's own time are grey, since no input there has been read; so is a whole row that has no target. A
    text of more than 300 characters is drawn in blocks, each with the number of its strongest cell.

    Source: Madsen 2019, "Visualizing memorization in RNNs".

    Args:
        text: T characters with their connectivity, float32 (T, T).
        scaling: "row" divides each row by its largest |value|, to [0, 1] or, for signed numbers, [−1, 1]; rows do not
            compare. "absolute" draws sizes |value| on logarithmic colours of `DECADES` powers of ten at most; what is
            smaller, and 0, has the lowest colour.
        theme: colours and type sizes.
        marked: a row with an outline; None for none.
        scale: cells, type and margins are this many times larger, for a projector.

    Returns:
        A figure of heatmap traces "influence", with NaN in grey cells, and, where rows have no target, "masked", whose
        cells are whole rows. The grey triangle is a shape below them.

    Raises:
        ValueError: when the scaling is none of the two, the text has no position `marked`, or the scale is not a
            positive number.
    """
    if scaling not in get_args(Scaling):
        raise ValueError(f"scaling {scaling!r}: choose one of {', '.join(get_args(Scaling))}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale {scale}: it should be a positive number, 1 for a desk, 1.5 or 2 for a projector")
    axis = CharacterAxis.of(text.text)
    cells = _Cells.of(text, axis)
    cell = max(min(_PLOT / axis.cells, _LARGEST), _LEAST / axis.cells) * scale
    figure = go.Figure(_influence(cells, scaling, theme, cell, scale), plotly_layout(theme))
    gone = np.asarray(cells.absent.all(axis=1))
    if gone.any():
        figure.add_trace(_without_target(_row_titles(text, axis), gone, axis, theme))
    figure.update_layout(shapes=_shapes(axis, cells.later, marked, theme, cell, scale))
    _lay_out(figure, text, axis, scaling, cell, theme, scale)
    return figure


@dataclass(frozen=True, slots=True)
class _Cells:
    """What the cells show, (n, n) with n blocks of characters.

    Attributes:
        shares: float32, of the row's largest |value|.
        values: float64, which hold what float32 would lose.
        later: bool, True where all inputs are after all outputs.
        absent: bool, True there and in rows without a target.
    """

    shares: np.ndarray
    values: np.ndarray
    later: np.ndarray
    absent: np.ndarray

    @classmethod
    def of(cls, text: ConnectedText, axis: CharacterAxis) -> _Cells:
        found, starts = text.connectivity, axis.starts
        later = np.triu(np.ones(found.values.shape, dtype=bool), k=1)
        return cls(
            shares=strongest(found.relative, starts, starts),
            values=strongest(found.relative * found.peaks[:, None], starts, starts),
            later=pooled_mask(later, axis.cells),
            absent=pooled_mask(later | found.masked[:, None], axis.cells),
        )


def _influence(cells: _Cells, scaling: Scaling, theme: Theme, cell: float, scale: float) -> go.Heatmap:
    """The cells as arrays that travel in base64: texts for each of 90,000 would take many megabytes."""
    with np.errstate(over="ignore", under="ignore"):
        numbers = cells.values.astype(np.float32)
    common: dict[str, Any] = {
        "name": "influence",
        "customdata": numbers,
        "hoverongaps": False,
        "xgap": 1 if cell > 10 else 0,
        "ygap": 1 if cell > 10 else 0,
    }
    hover = "%{y}<br>looks back at %{x}<br>influence %{customdata:.3~g}, SHARE of the row's largest<extra></extra>"
    if scaling == "row":
        least = -1 if (cells.shares < 0).any() else 0
        ticks = [-1, -0.5, 0, 0.5, 1] if least else [0, 0.25, 0.5, 0.75, 1]
        names = [f"{tick:.0%}".replace("-", "−") for tick in ticks]
        return go.Heatmap(
            z=_with_gaps(cells.shares, cells.absent),
            zmin=least,
            zmax=1,
            colorscale=colour_scale(theme.diverging if least else theme.sequential),
            colorbar=_colour_bar("share of the row's largest", ticks, names, theme, scale),
            hovertemplate=hover.replace("SHARE", "%{z:.1%}"),
            **common,
        )
    sizes = np.abs(cells.values)
    low, high = _decades(sizes[~cells.absent])
    logs = np.log10(np.maximum(sizes, 10.0**low))
    powers = list(range(low, high + 1))
    names = [_power(power) for power in powers]
    if (sizes[~cells.absent] < 10.0**low).any():
        names[0] = f"≤ {names[0]}"
    return go.Heatmap(
        z=_with_gaps(logs, cells.absent),
        zmin=low,
        zmax=high,
        colorscale=colour_scale(theme.sequential),
        colorbar=_colour_bar("influence", powers, names, theme, scale),
        text=np.rint(100 * cells.shares).astype(np.int8),
        hovertemplate=hover.replace("SHARE", "%{text}%"),
        **common,
    )


def _decades(sizes: np.ndarray) -> tuple[int, int]:
    """The powers of ten between which the colours of sizes ≥ 0 reach."""
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return -1, 0
    high = math.ceil(math.log10(sizes.max()))
    return max(min(math.floor(math.log10(sizes.min())), high - 1), high - DECADES), high


def _power(exponent: int) -> str:
    """A power of ten as people write it: 0.001, 100, and 10⁻⁸ as 1e−8."""
    return f"{10.0**exponent:,.{max(-exponent, 0)}f}" if -4 <= exponent <= 4 else f"1e{exponent}".replace("-", "−")


def _with_gaps(values: np.ndarray, absent: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(absent, np.float32(np.nan), values.astype(np.float32))
    return found


def _without_target(titles: list[str], gone: np.ndarray, axis: CharacterAxis, theme: Theme) -> go.Heatmap:
    """Rows that are no target's, each one wide cell."""
    return go.Heatmap(
        name="masked",
        x=[-0.5, axis.cells - 0.5],
        y0=0,
        dy=1,
        z=[[1 if absent else None] for absent in gone.tolist()],
        zmin=0,
        zmax=1,
        colorscale=[[0, theme.mask], [1, theme.mask]],
        showscale=False,
        hovertext=[[f"{title}<br>not drawn: this row has no target word"] for title in titles],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
    )


def _row_titles(text: ConnectedText, axis: CharacterAxis) -> list[str]:
    """What each row reads, predicts and is about; of a block of rows what they read, all as Plotly's markup."""
    titles = []
    for title, start, end in zip(axis.titles(), axis.starts.tolist(), axis.ends.tolist(), strict=True):
        said = markup(f"reads {title}")
        if end - start == 1:
            if text.suggestions[start]:
                word, probability = text.suggestions[start][0]
                said += markup(f" → predicts {quoted(word)}, {probability:.0%}")
            if text.targets[start]:
                said += f"<br>{markup(f'target word {quoted(text.targets[start])}')}"
        titles.append(said)
    return titles


def _shapes(
    axis: CharacterAxis, later: np.ndarray, marked: int | None, theme: Theme, cell: float, scale: float
) -> list[dict[str, Any]]:
    """The grey triangle of what is not read yet, with its steps, and the marked row's outline."""
    steps = [f"M-0.5,-0.5H{axis.cells - 0.5}V{axis.cells - 0.5}"]
    for row in range(axis.cells - 1, -1, -1):  # from the lowest row up, along the last cell that is read
        steps.append(f"H{int(np.count_nonzero(~later[row])) - 0.5}V{row - 0.5}")
    path = {"type": "path", "path": "".join(steps) + "Z", "fillcolor": theme.mask, "line": {"width": 0}}
    shapes: list[dict[str, Any]] = [path | {"layer": "below", "xref": "x", "yref": "y", "name": "not read yet"}]
    if marked is not None:
        row = axis.cell_of(marked)
        line = {"color": theme.text, "width": 2 * scale}
        half = 0.5 + scale / cell  # half a stroke outside: thin cells stay to be seen
        sides = {"x0": -0.5, "x1": axis.cells - 0.5, "y0": row - half, "y1": row + half}
        shapes.append({"type": "rect", "layer": "above", "name": "marked", "line": line} | sides)
    return shapes


def _lay_out(
    figure: go.Figure,
    text: ConnectedText,
    axis: CharacterAxis,
    scaling: Scaling,
    cell: float,
    theme: Theme,
    scale: float,
) -> None:
    """Size, margins, title and axes; the axes name their cells in hover texts by `labelalias`."""
    font = min(theme.small_size * scale, cell + scale) if axis.lettered else (theme.small_size - 1) * scale
    columns, rows = axis.ticks(cell, 1.3 * font), _row_ticks(axis, cell, 1.2 * font)
    title = f"{text.name}: what each output rests on"
    mode = text.connectivity.mode
    second = f"{_MEASURES.get(mode, mode)}; {_SECOND[scaling]}"
    side = axis.cells * cell
    left = 34 * scale + max(label_width(label, font) for _, label in rows)
    tall = (
        1.2 * font if axis.lettered else math.sin(math.radians(-_ANGLE)) * max(label_width(b, font) for _, b in columns)
    )
    top = (_TOP + 34) * scale + tall
    needed = max(
        label_width(title, theme.title_size * scale),
        label_width(second, theme.small_size * scale),
    )
    right = max(_RIGHT * scale, needed + 24 * scale - left - side)
    figure.update_layout(
        width=round(left + side + right),
        height=round(top + side + 16 * scale),
        margin={"l": left, "r": right, "t": top, "b": 16 * scale},
        title={
            "text": markup(title),
            "font": {"size": theme.title_size * scale},
            "subtitle": {"text": second, "font": {"size": theme.small_size * scale, "color": theme.muted}},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 12 * scale, "l": 12 * scale},
        },
        hoverlabel_font_size=theme.font_size * scale,
    )
    common = {"tickfont": {"size": font}, "ticks": "" if axis.lettered else "outside"}
    name = {"font": {"size": theme.small_size * scale}, "standoff": 6 * scale}
    figure.update_xaxes(
        side="top",
        range=[-0.5, axis.cells - 0.5],
        title={"text": "character read", **name},
        tickangle=0 if axis.lettered else _ANGLE,
        **cell_axis(columns, [markup(title) for title in axis.titles()]),
        **common,
    )
    figure.update_yaxes(
        range=[axis.cells - 0.5, -0.5],
        title={"text": "output after reading", **name},
        **cell_axis(rows, _row_titles(text, axis)),
        **common,
    )


def _row_ticks(axis: CharacterAxis, cell: float, room: float) -> list[tuple[int, str]]:
    """The characters, each word beside the first of its own; of a longer text the words that have room."""
    if not axis.lettered:
        return axis.ticks(cell, room)
    words = dict(words_of(axis.text))
    characters = axis.ticks(cell, room)
    return [(place, f"{shorten(words[place])}  {sign}" if place in words else sign) for place, sign in characters]


def _colour_bar(title: str, ticks: list[Any], names: list[str], theme: Theme, scale: float) -> dict[str, Any]:
    return {
        "title": {"text": markup(title), "side": "right", "font": {"size": theme.small_size * scale}},
        "tickvals": ticks,
        "ticktext": names,
        "tickfont": {"size": theme.small_size * scale},
        "thickness": 14 * scale,
        "outlinewidth": 0,
        "len": 1,
        "y": 0.5,
    }
