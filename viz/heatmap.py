"""Heatmaps: every weight of a head as a cell, rows look at columns; two heads side by side, and their difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from engine.types import AttentionMap, Tokens
from viz.axes import HeadOf, check_same_axes, headings, kind_title
from viz.heatmap_cells import Look, difference_trace, mask_trace, weights_trace
from viz.labels import label_width, markup, shorten
from viz.theme import LIGHT, Theme, plotly_layout

# All in pixels, before scaling.
_PLOT = 720  # of a side that cells shrink to fit, down to the least
_PANEL = 480  # the same where two heads share the width
_GUTTER = 36  # between two panels
_RIGHT = 110  # the colour bar, with its numbers and title
_TITLE = 40  # the title and the room around it


def heatmap(
    attention: AttentionMap,
    layer: int,
    head: int,
    *,
    theme: Theme = LIGHT,
    numbers: bool | None = None,
    scale: float = 1.0,
) -> go.Figure:
    """Draw one head's weights: rows are the positions that look, top to bottom, columns where they look.

    The colour range is always 0 to 1, so that heads compare. Masked cells are grey and hatched: they are no zeros,
    the position may not look there. Axes are numeric with the tokens as tick texts, so equal tokens keep their rows.

    Args:
        attention: weights (layer, head, query, key) in [0, 1].
        layer: counted from 0; the title has the map's own name for it.
        head: counted from 0; the title has the map's own name for it.
        theme: colours and type sizes.
        numbers: whether to write each weight into its cell; None where there is room.
        scale: cells, type and margins are this many times larger, for a projector.

    Returns:
        A figure of two heatmap traces, named "weights" and "masked"; the second only for maps with a mask.

    Raises:
        IndexError: when the map lacks the layer or the head.
        ValueError: when the scale is not a positive number.
    """
    one = HeadOf(attention, layer, head)
    look = Look.fitted(one.weights.shape, _PLOT, theme, scale, numbers)
    figure = go.Figure(weights_trace(one, look), plotly_layout(look.theme))
    masked = attention.masked()
    if masked.any():
        figure.add_trace(mask_trace(attention, masked, look))
    _lay_out(figure, attention, look, f"{kind_title(attention)}, {one.name}")
    return figure


def heatmap_pair(
    first: HeadOf, second: HeadOf, *, theme: Theme = LIGHT, numbers: bool | None = None, scale: float = 1.0
) -> go.Figure:
    """Draw two heads beside each other, with the same rows, columns and colours; zooming one zooms both.

    Args:
        first: the left one.
        second: the right one, of the same kind of attention and the same tokens.
        theme: colours and type sizes.
        numbers: whether to write each weight into its cell; None where there is room.
        scale: cells, type and margins are this many times larger, for a projector.

    Returns:
        A figure of heatmap traces "first weights" and "second weights", each with "... masked" where there is a mask.
        The left panel has the row labels, the right one the colour bar; each has its head's name above it.

    Raises:
        ValueError: when the tokens differ, or the scale is not a positive number.
    """
    check_same_axes(first.attention, second.attention)
    look = Look.fitted(first.weights.shape, _PANEL, theme, scale, numbers)
    figure = go.Figure(layout=plotly_layout(look.theme))
    for name, one, axis in (("first", first, "x"), ("second", second, "x2")):
        masked = one.attention.masked()
        figure.add_trace(weights_trace(one, look, f"{name} weights", bar=axis == "x2").update(xaxis=axis))
        if masked.any():
            figure.add_trace(mask_trace(one.attention, masked, look, f"{name} masked").update(xaxis=axis))
    _lay_out(figure, first.attention, look, kind_title(first.attention), (first.name, second.name))
    return figure


def heatmap_difference(
    first: HeadOf, second: HeadOf, *, theme: Theme = LIGHT, numbers: bool | None = None, scale: float = 1.0
) -> go.Figure:
    """Draw the first head's weights minus the second's: blue where the first looks more, brown where the second does.

    The colours reach from minus to plus the largest difference there is: two such figures do not compare by colour.

    Args:
        first: what is subtracted from.
        second: what is subtracted, of the same kind of attention and the same tokens.
        theme: colours and type sizes.
        numbers: whether to write each difference into its cell; None where there is room.
        scale: cells, type and margins are this many times larger, for a projector.

    Returns:
        A figure of two heatmap traces, named "difference" and "masked"; the second only where both have a mask.

    Raises:
        ValueError: when the tokens differ, or the scale is not a positive number.
    """
    check_same_axes(first.attention, second.attention)
    look = Look.fitted(first.weights.shape, _PLOT, theme, scale, numbers)
    masked = first.attention.masked() & second.attention.masked()
    figure = go.Figure(difference_trace(first, second, masked, look), plotly_layout(look.theme))
    if masked.any():
        figure.add_trace(mask_trace(first.attention, masked, look))
    _lay_out(figure, first.attention, look, f"{kind_title(first.attention)}, {first.name} − {second.name}")
    return figure


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where everything is, in pixels.

    Attributes:
        plot: width of one panel.
        step: from one panel's left edge to the next one's.
        wide: from the first panel's left edge to the last one's right edge.
        tall: height of the panels.
        left, right, top, bottom: margins.
        angle: of the column labels, in degrees.
    """

    plot: float
    step: float
    wide: float
    tall: float
    left: float
    right: float
    top: float
    bottom: float
    angle: int

    @classmethod
    def around(cls, attention: AttentionMap, look: Look, title: str, panel_titles: Sequence[str]) -> _Frame:
        theme, scale = look.theme, look.scale
        queries, keys = attention.row_labels, attention.key_tokens.labels
        angle = -60 if any(label_width(shorten(key), theme.small_size) > look.cell - 4 for key in keys) else 0
        plot = max(len(keys), 4) * look.cell
        # A title may be wider than what is under it: everything to its right moves away.
        over = max((_title_width(name, theme.font_size) - plot for name in panel_titles), default=0.0)
        step = plot + max(_GUTTER * scale, over)
        wide = plot + step * max(len(panel_titles) - 1, 0)
        left = 40 * scale + _widest(queries, theme)
        top = (_TITLE + (70 if panel_titles else 40)) * scale
        return cls(
            plot=plot,
            step=step,
            wide=wide,
            tall=max(len(queries), 4) * look.cell,
            left=left,
            right=max(_RIGHT * scale, over, _title_width(title, theme.title_size) - left - wide),
            top=top + (_widest(keys, theme) * math.sin(math.radians(-angle)) if angle else 0.0),
            bottom=20 * scale,
            angle=angle,
        )

    def share(self, panel: int) -> tuple[float, float]:
        """Left and right edge of a panel in units of `wide`."""
        return panel * self.step / self.wide, (panel * self.step + self.plot) / self.wide


def _lay_out(
    figure: go.Figure, attention: AttentionMap, look: Look, title: str, panel_titles: Sequence[str] = ()
) -> None:
    """Size, margins, title and axes; with `panel_titles` of as many panels side by side, else of one."""
    frame = _Frame.around(attention, look, title, panel_titles)
    standoff = 6 * look.scale
    figure.update_layout(
        width=round(frame.left + frame.wide + frame.right),
        height=round(frame.top + frame.tall + frame.bottom),
        margin={"l": frame.left, "r": frame.right, "t": frame.top, "b": frame.bottom},
        title={"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yanchor": "top"},
        title_text=markup(title),
        title_font={"size": look.theme.title_size},
        title_pad={"t": 12 * look.scale, "l": 12 * look.scale},
    )
    row_name, column_name = headings(attention)
    figure.update_yaxes(**_axis(attention.row_tokens, attention.row_labels, look))
    figure.update_yaxes(range=[len(attention.row_labels) - 0.5, -0.5], title={"text": row_name, "standoff": standoff})
    keys = attention.key_tokens
    columns = _axis(keys, keys.labels, look) | {"side": "top", "tickangle": frame.angle}
    columns |= {"range": [-0.5, len(keys) - 0.5], "title": {"text": column_name, "standoff": standoff}}
    figure.update_layout(xaxis=columns)
    for panel, name in enumerate(panel_titles):
        placed = {"domain": frame.share(panel), "anchor": "y", "matches": "x" if panel else None}
        figure.update_layout({f"xaxis{panel + 1}" if panel else "xaxis": columns | placed})
        _name_panel(figure, frame, look, panel, name)


def _name_panel(figure: go.Figure, frame: _Frame, look: Look, panel: int, name: str) -> None:
    """A panel's title, at its left edge, under the figure's."""
    figure.add_annotation(
        text=markup(name),
        font={"size": look.theme.font_size},
        showarrow=False,
        xref="paper",
        x=frame.share(panel)[0],
        xanchor="left",
        yref="paper",
        y=1,
        yanchor="top",
        yshift=frame.top - _TITLE * look.scale,
    )


def _axis(tokens: Tokens, labels: tuple[str, ...], look: Look) -> dict[str, Any]:
    small = look.theme.small_size
    every = max(math.ceil((small + 1) / look.cell), 1)
    texts = [markup(shorten(label)) for label in labels]
    shown = [f"<i>{text}</i>" if special else text for text, special in zip(texts, tokens.special, strict=True)]
    return {
        "tickmode": "array",
        "tickvals": list(range(0, len(labels), every)),
        "ticktext": shown[::every],
        "tickfont": {"size": small + 1 if every == 1 else small - 2},
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }


def _title_width(title: str, font_size: float) -> float:
    """Pixels of a title, with some room around it."""
    return label_width(title, font_size) + 1.5 * font_size


def _widest(labels: tuple[str, ...], theme: Theme) -> float:
    return max((label_width(shorten(label), theme.small_size + 1) for label in labels), default=0.0)
