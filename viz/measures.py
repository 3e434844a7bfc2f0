"""Several measures of the same words, one row each, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from viz.labels import isolate, label_width, markup, shorten
from viz.theme import LIGHT, Theme, colour_scale, plotly_layout

_CELL = 42  # pixels of a cell's side, before scaling
_ROW = 34
_SMALL = 0.05  # of a row's largest: smaller numbers are not written


def measure_rows(
    words: Sequence[str],
    rows: Mapping[str, np.ndarray],
    special: Sequence[bool] | None = None,
    *,
    title: str = "",
    theme: Theme = LIGHT,
    scale: float = 1.0,
) -> go.Figure:
    """Draw measures as rows over the same words; each row has colours of its own.

    A row is divided by its largest size, since measures have different units: colours compare the words of one row, not
    two rows. Blue is above 0, brown below. The numbers are the measures' own; a row's name says its largest size.

    Args:
        words: the columns, W of them.
        rows: by name, (W,), finite.
        special: True for words that are no part of the text (italics); None for none.
        title: above the figure.
        theme: colours and type sizes.
        scale: of cells and type, for a projector.

    Raises:
        ValueError: when there is no row, or one has another length than the words.
    """
    if not rows:
        raise ValueError("rows: give at least one measure")
    for name, values in rows.items():
        if len(values) != len(words):
            raise ValueError(f"{name} has {len(values)} numbers for {len(words)} words: give one for each")
    table = np.array([np.asarray(values, dtype=np.float64) for values in rows.values()])
    largest = np.abs(table).max(axis=1, keepdims=True, initial=0.0)
    shares = np.divide(table, largest, out=np.zeros_like(table), where=largest > 0)
    numbers = [
        [_short(value) if abs(share) >= _SMALL else "" for value, share in zip(values, own, strict=True)]
        for values, own in zip(table.tolist(), shares.tolist(), strict=True)
    ]
    names = [f"{name}, up to {peak:.2g}" for name, peak in zip(rows, largest[:, 0].tolist(), strict=True)]
    hover = [
        [
            f"{markup(name)}, {markup(isolate(word))}: {_number(value, 4)}"
            for word, value in zip(words, values, strict=True)
        ]
        for name, values in zip(rows, table.tolist(), strict=True)
    ]
    special = [False] * len(words) if special is None else special
    texts = [shorten(word) for word in words]
    labels = [f"<i>{markup(text)}</i>" if apart else markup(text) for text, apart in zip(texts, special, strict=True)]
    figure = _cells(shares, numbers, hover, theme, scale)
    _lay_out(figure, names, labels, texts, title, theme, scale)
    return figure


def agreement_table(
    names: Sequence[str], table: np.ndarray, *, title: str = "", theme: Theme = LIGHT, scale: float = 1.0
) -> go.Figure:
    """Draw rank correlations of measures as a square of cells, from −1 (brown) to +1 (blue).

    Args:
        names: of the measures, M of them.
        table: (M, M) in [−1, 1]; NaN where there is no order to compare.
        title: above the figure.
        theme: colours and type sizes.
        scale: of cells and type, for a projector.

    Raises:
        ValueError: when the table is not (M, M).
    """
    if table.shape != (len(names), len(names)):
        raise ValueError(f"table is {table.shape} for {len(names)} names: give one row and one column for each")
    numbers = [["–" if np.isnan(value) else _short(value) for value in row] for row in table.tolist()]
    hover = [
        [
            f"{markup(one)} and {markup(other)}: {'no order to compare' if np.isnan(value) else _number(value)}"
            for other, value in zip(names, values, strict=True)
        ]
        for one, values in zip(names, table.tolist(), strict=True)
    ]
    figure = _cells(table, numbers, hover, theme, scale)
    _lay_out(figure, names, [markup(name) for name in names], names, title, theme, scale)
    return figure


def _number(value: float, digits: int = 2) -> str:
    """With a minus sign that is none in front of zero."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _short(value: float) -> str:
    """Two digits in little room: "1.0", ".31", "−.05"; nothing for what rounds to 0."""
    text = _number(value)
    if float(text.replace("−", "-")) == 0:
        return ""
    return _number(value, 1) if abs(value) >= 0.995 else text.replace("0.", ".")


def _cells(
    shares: np.ndarray, numbers: list[list[str]], hover: list[list[str]], theme: Theme, scale: float
) -> go.Figure:
    trace = go.Heatmap(
        z=shares.tolist(),
        zmin=-1,
        zmax=1,
        colorscale=colour_scale(theme.diverging),
        showscale=False,
        text=numbers,
        texttemplate="%{text}",
        textfont={"size": round((theme.small_size - 1) * scale)},
        hovertext=hover,
        hoverinfo="text",
        xgap=1,
        ygap=1,
    )
    return go.Figure(trace, plotly_layout(theme))


def _lay_out(
    figure: go.Figure,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[str],
    title: str,
    theme: Theme,
    scale: float,
) -> None:
    """Axes and margins: the rows' names as text, the columns' as Plotly's markup and, to be measured, as text."""
    font = round((theme.small_size + 1) * scale)
    widest = max((label_width(text, font) for text in texts), default=0.0)
    angle = -50 if widest > _CELL * scale - 6 else 0
    left = max((label_width(name, font) for name in rows), default=0.0) + 16 * scale
    # A label at 50° is cos 50° = 0.64 of its length wide and sin 50° = 0.77 high; it begins in the middle of its cell.
    right = max(44 * scale, widest * 0.64 - _CELL * scale / 2 + 14 if angle else 0)
    top = (34 * scale if title else 8) + (widest * 0.77 + 14 if angle else 24 * scale)
    size = {"tickfont": {"size": font}, "showgrid": False, "zeroline": False, "ticks": ""}
    figure.update_layout(
        width=round(left + len(columns) * _CELL * scale + right),
        height=round(top + len(rows) * _ROW * scale + 8),
        margin={"l": left, "r": right, "t": top, "b": 8},
        title={"text": markup(title), "x": 0, "xref": "container", "y": 1, "yanchor": "top", "pad": {"t": 6, "l": 4}},
        title_font={"size": round(theme.font_size * scale)},
    )
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=list(columns), side="top", tickangle=angle, **size)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=list(map(markup, rows)), autorange="reversed", **size)
