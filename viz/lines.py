"""The line diagram: who looks at whom, one line per (query, key, head).

Source: Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model" (the attention-head view).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from engine.types import AttentionMap
from viz.axes import check_heads, check_layer, headings, map_title
from viz.edges import MAX_LINES, Edges, strongest_edges
from viz.labels import isolate, label_width, shorten
from viz.theme import HEAD_COLOURS, LIGHT, Theme, chart_config, head_colour, head_dash
from viz.wording import Wording, wording

CANVAS_FROM = 1_500  # from this many lines a canvas paints faster than SVG elements do
_MIDDLE = 300  # pixels between the two columns, unless a width is given
_GAP = 8  # pixels between a label and the ends of its lines
_HINT = (
    "Point at a token to keep only its lines; double-click to see all again.",
    "Click a head in the legend to hide or show it.",
)
# A selection may belong to one layer only (on two of them the chart stays blank), so one table holds the tokens of both
# columns and `side` tells them apart. In a layered chart each selection hears the events of all layers, hence the two
# guards: pointing at a line is not pointing at a token, and a click on a mark does not repeat the legend's last one.
_POINT_AT_TOKEN = "pointerover[event.item && event.item.datum && event.item.datum.title]"
_CLICK_ON_LEGEND = "click[!event.item || !event.item.datum || !(event.item.datum.side || event.item.datum.line)]"
_IS_ISOLATED = (
    "!isValid(token.i) || !isValid(token.i[0]) || token.i[0] == (token.side[0] == 'query' ? datum.query : datum.key)"
)


def lines(
    attention: AttentionMap,
    layer: int,
    heads: Sequence[int] | None = None,
    *,
    threshold: float = 0.05,
    theme: Theme = LIGHT,
    step: int = 28,
    width: int | Literal["container"] | None = None,
    hint: bool = True,
    max_lines: int = MAX_LINES,
) -> alt.LayerChart:
    """Draw one layer's attention as straight lines from each position that looks (left) to where it looks (right).

    A line's thickness and opacity are its weight, its colour (and from the ninth head on its dash) is its head.
    Masked positions and weights of 0 never give a line. Pointing at a token leaves only
    its lines (all others go, and with them their tooltips) until the next token or a double-click.

    Args:
        attention: weights (layer, head, query, key) in [0, 1].
        layer: counted from 0; the title counts from 1.
        heads: counted from 0, None for all; an empty sequence draws the tokens alone. Legend counts from 1.
        threshold: the least weight that gets a line, in [0, 1].
        theme: colours and type sizes.
        step: pixels from one row to the next; the height is (rows + 1) × step, the column heads included.
        width: pixels, or "container" to follow the page; None fits the labels.
        hint: whether the subtitle says what pointing and clicking do (leave it out of a printed figure).
        max_lines: above this many lines only the strongest are drawn, and the subtitle says how many.

    Returns:
        A layered Altair chart: lines, column heads, labels, hover targets.

    Raises:
        IndexError: when the map lacks the layer or a head.
        ValueError: when the threshold is outside [0, 1] or `max_lines` is negative.
    """
    layer, shown = check_layer(attention, layer), check_heads(attention, heads)
    edges = strongest_edges(attention, layer, shown, threshold=threshold, max_lines=max_lines)
    rows = max(len(attention.query_tokens), len(attention.key_tokens), 1)
    columns = _Columns.around(attention, theme)
    subtitle = [_count(edges, threshold, wording(attention)), *(_HINT if hint else ())]
    chart = (
        alt.layer(
            _line_layer(attention, shown, columns, rows),
            _heading_layer(columns, rows, theme),
            _label_layer(columns, rows, theme),
            _target_layer(columns, rows, theme),
        )
        .properties(
            width=columns.left + _MIDDLE + columns.right if width is None else width,
            height=(rows + 1) * step,
            title=alt.TitleParams(map_title(attention, layer), subtitle=subtitle),
            usermeta={"embedOptions": {"renderer": "canvas" if len(edges.weight) > CANVAS_FROM else "svg"}},
        )
        .configure(**chart_config(theme))
    )
    # The rows come last, behind the constructor's back: altair copies and checks the data it finds at every step above,
    # which with 800 lines took three quarters of the time. `to_dict` still checks them, once.
    tokens = _token_rows(attention)
    rows_of_layers = (_line_rows(attention, edges), _heading_rows(attention), tokens, tokens)
    for part, values in zip(chart.layer, rows_of_layers, strict=True):
        part.data = alt.InlineData(values=[])
        part.data.values = values
    return chart


@dataclass(frozen=True, slots=True)
class _Columns:
    """Pixels that the labels of the left and of the right column take."""

    left: int
    right: int

    @classmethod
    def around(cls, attention: AttentionMap, theme: Theme) -> _Columns:
        left_head, right_head = headings(attention)

        def room(labels: Sequence[str], heading: str) -> int:
            widest = max((label_width(shorten(label), theme.font_size) for label in labels), default=0)
            return round(max(widest, label_width(heading, theme.small_size)) + 2 * _GAP)

        return cls(room(attention.row_labels, left_head), room(attention.key_tokens.labels, right_head))

    @property
    def line_ends(self) -> tuple[dict[str, str], dict[str, str]]:
        """Left and right ends of the lines, as Vega expressions: they follow the chart's width."""
        return {"expr": f"{self.left}"}, {"expr": f"width - {self.right}"}

    @property
    def label_anchor(self) -> dict[str, str]:
        return {"expr": f"datum.side == 'query' ? {self.left - _GAP} : width - {self.right - _GAP}"}


_Row = dict[str, Any]  # one datum of a chart
_LABEL_ALIGN = alt.expr("datum.side == 'query' ? 'right' : 'left'")


def _line_layer(attention: AttentionMap, heads: Sequence[int], columns: _Columns, rows: int) -> alt.Chart:
    names = [attention.head_names[head] for head in heads]
    # All heads start in the selection, so that the first click takes one out; "" keeps it from ever being empty,
    # which Vega-Lite's legend would draw as "all shown".
    toggled = alt.selection_point(
        name="shown",
        fields=["head"],
        bind=alt.LegendStreamBinding(legend=_CLICK_ON_LEGEND),  # type: ignore[arg-type]  # altair forgets this binding
        toggle="true",
        clear=False,
        empty=False,
        value=[{"head": name} for name in (*names, "")],
    )
    left, right = columns.line_ends
    legend = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=5, symbolSize=300)
    chart = (
        alt.Chart()
        .mark_rule(strokeCap="round" if max(heads, default=0) < len(HEAD_COLOURS) else "butt")
        .encode(
            x=alt.XValue(left),
            x2=alt.X2Value(right),
            y=_row_axis("query", rows),
            y2=alt.Y2("key"),
            color=alt.Color(
                "head:N",
                scale=alt.Scale(domain=names, range=[head_colour(head) for head in heads]),
                legend=legend if names else None,
            ),
            strokeWidth=alt.StrokeWidth(
                "weight:Q", scale=alt.Scale(domain=[0, 1], range=[0.5, 8], clamp=True), legend=None
            ),
            strokeOpacity=alt.StrokeOpacity(
                "weight:Q", scale=alt.Scale(domain=[0, 1], range=[0.15, 1], clamp=True), legend=None
            ),
            tooltip=_tooltips(attention),
        )
    )
    if any(head_dash(head) != head_dash(0) for head in heads):
        dashes = alt.Scale(domain=names, range=[list(head_dash(head)) for head in heads])
        chart = chart.encode(strokeDash=alt.StrokeDash("head:N", scale=dashes, legend=legend))
    return chart.transform_filter(toggled).transform_filter(_IS_ISOLATED).add_params(toggled)


def _line_rows(attention: AttentionMap, edges: Edges) -> list[_Row]:
    queries = [isolate(label) for label in attention.row_labels]
    keys = [isolate(label) for label in attention.key_tokens.labels]
    titles = _row_titles(attention)
    rows: list[_Row] = []
    for query, key, head, weight in zip(
        edges.query.tolist(), edges.key.tolist(), edges.head.tolist(), edges.weight.tolist(), strict=True
    ):
        row: _Row = {
            "query": query,
            "key": key,
            "head": attention.head_names[head],
            "weight": round(weight, 7),  # all of a float32's digits, without the noise of its float64
            "line": f"{queries[query]} → {keys[key]}, {attention.head_names[head]}, {weight:.3f}",
        }
        rows.append(row | {"row": titles[query]} if attention.predicted_tokens is not None else row)
    return rows


def _tooltips(attention: AttentionMap) -> list[alt.Tooltip]:
    line = alt.Tooltip("line:N", title=wording(attention).short)
    return [line] if attention.predicted_tokens is None else [line, alt.Tooltip("row:N", title="step")]


def _heading_rows(attention: AttentionMap) -> list[_Row]:
    left, right = headings(attention)
    return [{"side": "query", "i": -1, "text": left}, {"side": "key", "i": -1, "text": right}]


def _heading_layer(columns: _Columns, rows: int, theme: Theme) -> alt.Chart:
    return (
        alt.Chart()
        .mark_text(align=_LABEL_ALIGN, baseline="middle", fontSize=theme.small_size, color=theme.muted)
        .encode(x=alt.XValue(columns.label_anchor), y=_row_axis("i", rows), text="text:N", tooltip=alt.value(None))
    )


def _label_layer(columns: _Columns, rows: int, theme: Theme) -> alt.Chart:
    return (
        alt.Chart()
        .mark_text(
            align=_LABEL_ALIGN,
            baseline="middle",
            fontSize=theme.font_size,
            fontStyle=alt.expr("datum.special ? 'italic' : 'normal'"),
            color=alt.expr(f"datum.special ? '{theme.muted}' : '{theme.text}'"),
        )
        .encode(x=alt.XValue(columns.label_anchor), y=_row_axis("i", rows), text="label:N")
    )


def _target_layer(columns: _Columns, rows: int, theme: Theme) -> alt.Chart:
    """Rectangles over the labels: text alone is a target too small to point at."""
    token = alt.selection_point(name="token", fields=["side", "i"], on=_POINT_AT_TOKEN, clear="dblclick", toggle=False)
    left, right = columns.line_ends
    return (
        alt.Chart()
        .mark_rect(color=theme.accent, cornerRadius=3, cursor="pointer")
        .encode(
            x=alt.XValue({"expr": f"datum.side == 'query' ? 0 : {right['expr']}"}),
            x2=alt.X2Value({"expr": f"datum.side == 'query' ? {left['expr']} : width"}),
            y=_row_axis("top", rows),
            y2=alt.Y2("bottom"),
            opacity=alt.condition(token, alt.value(0.2), alt.value(0), empty=False),
            tooltip=alt.Tooltip("title:N"),
        )
        .add_params(token)
    )


def _token_rows(attention: AttentionMap) -> list[_Row]:
    def column(side: str, labels: Sequence[str], titles: Sequence[str], special: Sequence[bool]) -> list[_Row]:
        return [
            {
                "side": side,
                "i": i,
                "top": i - 0.5,
                "bottom": i + 0.5,
                "label": shorten(label),
                "title": title,
                "special": bool(is_special),
            }
            for i, (label, title, is_special) in enumerate(zip(labels, titles, special, strict=True))
        ]

    keys = attention.key_tokens
    return column("query", attention.row_labels, _row_titles(attention), attention.row_tokens.special) + column(
        "key", keys.labels, [isolate(label) for label in keys.labels], keys.special
    )


def _row_titles(attention: AttentionMap) -> list[str]:
    return [isolate(attention.row_title(row)) for row in range(len(attention.query_tokens))]


def _row_axis(field: str, rows: int) -> alt.Y:
    """Row 0 at the top, above it one row for the column heads."""
    scale = alt.Scale(domain=[-1.5, rows - 0.5], reverse=True, nice=False, zero=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=None)


def _count(edges: Edges, threshold: float, words: Wording) -> str:
    drawn = len(edges.weight)
    lines = f"lines with {words.unit} ≥ {threshold:g}"
    share = f": {edges.mass:.0%} {words.share}" if words.share else ""
    if drawn < edges.candidates:
        return f"The {drawn:,} strongest of {edges.candidates:,} {lines}{share}"
    return f"{drawn:,} of {edges.candidates:,} {lines}{share}"
