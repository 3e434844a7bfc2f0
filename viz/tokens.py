"""The strip of output tokens: how sure the model was of each one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from viz.labels import isolate, label_width, shorten
from viz.theme import LIGHT, Theme, chart_config

_ROW = 64  # pixels from one row of tokens to the next: label, bar, number, space
_GAP = 14  # pixels between two tokens


def token_strip(
    labels: Sequence[str],
    logprobs: Sequence[float] | np.ndarray,
    special: Sequence[bool] | None = None,
    theme: Theme = LIGHT,
    *,
    title: str = "Probability of each output token",
    alternatives: Sequence[Sequence[tuple[str, float]]] = (),
    width: int = 760,
) -> alt.LayerChart:
    """Draw each output token over a bar of its probability; tokens flow into rows like the words of a text.

    A token's probability is exp(logprob), given the source and all tokens before it. Bars start at 0 and a full bar
    (as wide as its token's place) is probability 1.

    Args:
        labels: the tokens, T of them.
        logprobs: natural log-probability of each token, (T,), ≤ 0; NaN where unknown.
        special: True for tokens that are no part of the text (muted italics), (T,); None for none.
        theme: colours and type sizes.
        title: above the strip.
        alternatives: for each token what else was probable there, as (label, log-probability), best first; named in the
            tooltip. Empty for none.
        width: pixels after which tokens go on in a new row.

    Returns:
        A layered Altair chart whose height grows with the rows of tokens.

    Raises:
        ValueError: when the lengths differ or a log-probability is above 0.
    """
    special = [False] * len(labels) if special is None else special
    values = np.asarray(logprobs, dtype=np.float64)
    if alternatives and len(alternatives) != len(labels):
        raise ValueError(f"{len(labels)} labels and {len(alternatives)} lists of alternatives: give one per token")
    if not len(labels) == len(values) == len(special):
        raise ValueError(
            f"{len(labels)} labels, {len(values)} log-probabilities, {len(special)} special marks: give one per token"
        )
    if (values > 1e-4).any():  # float32 sums of softmax terms end a little above 0
        raise ValueError(f"log-probability {np.nanmax(values):g}: it must be 0 or less (give logarithms)")
    places = _flow(labels, theme, width)
    rows = [
        _row(label, logprob, bool(is_special), place)
        for label, logprob, is_special, place in zip(labels, values.tolist(), special, places, strict=True)
    ]
    for row, choices in zip(rows, alternatives, strict=False):
        row["choices"] = ", ".join(f"{isolate(label)} {_percent(math.exp(logprob))}" for label, logprob in choices)
    lines = 1 + max((place.line for place in places), default=0)
    right = max((place.right for place in places), default=0.0)
    return (
        alt.layer(*_layers(rows, lines, max(float(width), right), theme))
        .properties(
            width=max(width, math.ceil(right)),
            height=lines * _ROW,
            title=alt.TitleParams(title, fontSize=theme.font_size),
        )
        .configure(**chart_config(theme))
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a token stands: its row of the strip and its left and right edge in pixels."""

    line: int
    left: float
    right: float


def _flow(labels: Sequence[str], theme: Theme, width: int) -> list[_Place]:
    places: list[_Place] = []
    line, left = 0, 0.0
    for label in labels:
        room = max(label_width(shorten(label), theme.font_size), label_width("100 %", theme.small_size))
        if left > 0 and left + room > width:
            line, left = line + 1, 0.0
        places.append(_Place(line, left, left + room))
        left += room + _GAP
    return places


def _row(label: str, logprob: float, special: bool, place: _Place) -> dict[str, Any]:
    known = not math.isnan(logprob)
    probability = min(math.exp(logprob), 1.0) if known else 0.0
    number = _percent(probability) if known else "?"
    return {
        "label": shorten(label),
        "token": isolate(label),
        "probability": round(probability, 7) if known else None,
        "logprob": f"{min(logprob, 0.0):.3f}" if known else "unknown",
        "number": number,
        "special": special,
        "line": place.line,
        "left": round(place.left, 1),
        "right": round(place.right, 1),
        "filled": round(place.left + probability * (place.right - place.left), 1),
    }


def _percent(probability: float) -> str:
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{probability:.0%}".replace("%", " %")


def _layers(rows: list[dict[str, Any]], lines: int, width: float, theme: Theme) -> list[alt.Chart]:
    across = alt.Scale(domain=[0, width], nice=False, zero=False)
    down = alt.Scale(domain=[0, lines], reverse=True, nice=False, zero=False)
    left = alt.X("left:Q", scale=across, axis=None)
    tooltip = [
        alt.Tooltip("token:N", title="token"),
        alt.Tooltip("probability:Q", format=".4f", title="probability"),
        alt.Tooltip("logprob:N", title="log-probability"),
    ]
    if any("choices" in row for row in rows):
        tooltip.append(alt.Tooltip("choices:N", title="most probable here"))

    def layer(offset: float, kind: str, **mark: Any) -> alt.Chart:
        """Marks of one kind, `offset` of a row's height below its top."""
        base = alt.Chart(alt.InlineData(values=rows)).transform_calculate(at=f"datum.line + {offset}")
        chart = getattr(base, f"mark_{kind}")(**mark)
        return chart.encode(x=left, y=alt.Y("at:Q", scale=down, axis=None), tooltip=tooltip)

    muted_special = alt.expr(f"datum.special ? '{theme.muted}' : '{theme.text}'")
    italic_special = alt.expr("datum.special ? 'italic' : 'normal'")
    text: dict[str, Any] = {"align": "left", "baseline": "middle"}
    return [
        layer(0.2, "text", **text, fontSize=theme.font_size, color=muted_special, fontStyle=italic_special).encode(
            text="label:N"
        ),
        layer(0.45, "rule", strokeWidth=8, color=theme.faint).encode(x2="right"),
        layer(0.45, "rule", strokeWidth=8, color=theme.accent).encode(x2="filled"),
        layer(0.7, "text", **text, fontSize=theme.small_size, color=theme.muted).encode(text="number:N"),
    ]
