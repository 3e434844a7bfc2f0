"""What may come next: the most probable tokens as bars."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import altair as alt

from viz.labels import isolate, shorten
from viz.theme import LIGHT, Theme, chart_config

_BAR = 24  # pixels from one bar to the next
_ROOM = 0.7  # bars above this probability hold their number


def distribution(
    tokens: Sequence[tuple[str, float]], theme: Theme = LIGHT, *, title: str = "", width: int = 360, scale: float = 1.0
) -> alt.LayerChart:
    """Draw the probabilities of some tokens as horizontal bars, in the order given, with their percentages.

    Bars start at 0 and the axis ends at 1, so that two such charts compare.

    Args:
        tokens: (label, natural log-probability ≤ 0); equal labels keep bars of their own.
        theme: colours and type sizes.
        title: above the chart.
        width: of the plot, in pixels.
        scale: of bars and type, for a projector.

    Raises:
        ValueError: when there is no token, or a log-probability is above 0.
    """
    if not tokens:
        raise ValueError("tokens: give at least one")
    if any(value > 1e-4 for _, value in tokens):  # float32 sums of softmax terms end a little above 0
        raise ValueError("a log-probability is above 0: give logarithms of probabilities")
    rows = [
        {
            "place": place,
            "label": shorten(label),
            "whole": isolate(label),
            "probability": min(math.exp(value), 1.0),
            "logprob": round(min(value, 0.0), 3) if value > -math.inf else None,  # JSON has no infinity
        }
        for place, (label, value) in enumerate(tokens)
    ]
    names = {place: shorten(label) for place, (label, _) in enumerate(tokens)}
    label_of = f"{_expression(names)}[datum.value]"
    small, font = round(theme.small_size * scale), round((theme.small_size + 1) * scale)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y(
            "place:O",
            title=None,
            axis=alt.Axis(labelExpr=label_of, labelFontSize=font, ticks=False, domain=False, labelLimit=160),
        )
    )
    bars = base.mark_bar(color=theme.accent).encode(
        x=alt.X(
            "probability:Q",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", title=None, labelFontSize=small, tickCount=5),
        ),
        tooltip=[
            alt.Tooltip("whole:N", title="token"),
            alt.Tooltip("probability:Q", format=".2%"),
            alt.Tooltip("logprob:Q", title="log-probability"),
        ],
    )
    inside = f"datum.probability > {_ROOM}"  # beside a long bar there is no room for its number
    numbers = base.mark_text(
        align=alt.expr(f"{inside} ? 'right' : 'left'"), dx=alt.expr(f"{inside} ? -4 : 4"), fontSize=small
    ).encode(
        x="probability:Q",
        text=alt.Text("probability:Q", format=".1%"),
        color=alt.condition(inside, alt.value(theme.background), alt.value(theme.text)),
    )
    chart = alt.layer(bars, numbers).properties(width=width, height=round(_BAR * scale * len(rows)))
    if title:
        chart = chart.properties(title=title)
    return chart.configure(**chart_config(theme))


def _expression(names: dict[int, str]) -> str:
    """An object as a Vega expression: labels are strings in it, never code."""
    return json.dumps({str(place): name for place, name in names.items()}, ensure_ascii=True)
