"""How good translations are by the length of their source: one line for each model, with its intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import altair as alt

from viz.theme import HEAD_COLOURS, LIGHT, Theme, chart_config, head_colour

Measure = Literal["bleu", "accuracy", "gain"]
Point = tuple[int, int, int, float, float, float]
"""Shortest and longest source in words, lines, the value, and its interval's low and high end."""

_WIDTH, _HEIGHT = 640, 340
_DASHES = ((1, 0), (9, 4), (2, 3), (9, 3, 2, 3), (5, 5))
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
_APART = 0.45  # source words between the intervals of two models, which would hide each other
_TITLES: dict[Measure, str] = {
    "bleu": "BLEU of the greedy translation",
    "accuracy": "reference tokens predicted right",
    "gain": "BLEU points above no attention",
}


def bottleneck_chart(
    curves: Mapping[str, Sequence[Point]],
    measure: Measure = "bleu",
    *,
    names: Sequence[str] = (),
    mark: tuple[int, str] | None = None,
    theme: Theme = LIGHT,
    width: int = _WIDTH,
) -> alt.LayerChart:
    """Draw a score against the length of the source, one line for each model.

    Points stand in the middle of their bin; bars are 95 % intervals. Points of one bin are drawn a little apart, in the
    order of their models, so that no bar hides another. Colour, dashes and shape tell the models apart.

    Args:
        curves: by model, its points in rising order. Those of "bleu" and "gain" are BLEU points, "accuracy" is in
            [0, 1].
        measure: what the values are; "gain" is the difference from the model without attention.
        names: all the models that there are, in an order that stays, so that each keeps its look whichever are drawn;
            empty for those of `curves`.
        mark: a number of words and what a line there says, for example where training data ends; None for none.
        theme: colours and type sizes.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no such measure, nothing to draw, a number is not finite, an interval is not in order,
            or there are more models than looks (`MOST_MODELS`).
    """
    _check(curves, measure)
    order = [*names, *(name for name in curves if name not in names)]
    if len(order) > MOST_MODELS:
        raise ValueError(f"{len(order)} models: at most {MOST_MODELS} can be told apart, draw fewer")
    rows = _rows({name: curves[name] for name in order if name in curves}, measure)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=_length_axis(rows))
    y = _score_axis(measure, rows)
    colour, dash, shape = looks(order, list(dict.fromkeys(row["model"] for row in rows)))
    intervals = base.mark_rule(strokeWidth=1.5, opacity=0.75).encode(y=y, y2="high:Q", color=colour)
    lines = base.mark_line(strokeWidth=2.5).encode(y=_at(y, "value"), color=colour, strokeDash=dash)
    points = base.mark_point(filled=True, size=95, opacity=1).encode(y=_at(y, "value"), color=colour, shape=shape)
    told = base.mark_point(size=260, opacity=0, filled=True).encode(
        y=_at(y, "value"),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("words:N", title="source words"),
            alt.Tooltip("told:N", title=_TITLES[measure]),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("lines:Q", title="sentences"),
        ],
    )
    under = [*_zero(measure, y, theme), *_marked(mark, rows, theme)]
    layers = [*under, intervals, lines, points, told]
    chart = alt.LayerChart(layer=layers).properties(width=width, height=_HEIGHT)
    done: alt.LayerChart = chart.configure(**chart_config(theme))
    return done


MOST_MODELS = min(len(_DASHES), len(_SHAPES), len(HEAD_COLOURS))
"""More than so many do not have a look each."""


def bottleneck_summary(curves: Mapping[str, Sequence[Point]], measure: Measure = "bleu") -> str:
    """The chart in sentences, for those who do not see it: each model at its shortest and its longest sources.

    Args:
        curves: see `bottleneck_chart`.
        measure: likewise.

    Raises:
        ValueError: see `bottleneck_chart`.
    """
    _check(curves, measure)
    said = [f"{_TITLES[measure][0].upper()}{_TITLES[measure][1:]}, by the length of the source."]
    for name, points in curves.items():
        ends = points if len(points) == 1 else (points[0], points[-1])
        values = ", ".join(f"{_number(point[3], measure)} at {_words(point)} words" for point in ends)
        said.append(f"{name}: {values}.")
    return " ".join(said)


# --- Rows -------------------------------------------------------------------------------------------------------------


def _rows(curves: Mapping[str, Sequence[Point]], measure: Measure) -> list[dict[str, Any]]:
    middle = (len(curves) - 1) / 2
    return [
        {
            "model": name,
            "words": _words(point),
            "middle": (point[0] + point[1]) / 2,
            "place": (point[0] + point[1]) / 2 + (index - middle) * _APART,
            "lines": point[2],
            "value": point[3],
            "low": point[4],
            "high": point[5],
            "told": _number(point[3], measure),
            "interval": f"{_number(point[4], measure)} to {_number(point[5], measure)}",
        }
        for index, (name, points) in enumerate(curves.items())
        for point in points
    ]


def _words(point: Point) -> str:
    """E.g. "16–20"."""
    return f"{point[0]}–{point[1]}" if point[0] < point[1] else str(point[0])


def _number(value: float, measure: Measure) -> str:
    """E.g. "23.4" BLEU, "61.2 %", "+3.1" BLEU points."""
    if measure == "accuracy":
        return f"{value:.1%}".replace("%", " %")
    text = f"{value:+.1f}" if measure == "gain" else f"{value:.1f}"
    return text.replace("-", "−")


# --- Axes and looks ---------------------------------------------------------------------------------------------------


def _length_axis(rows: Sequence[Mapping[str, Any]]) -> alt.X:
    """Source words; ticks are the middles of bins, labelled by what is in them."""
    bins = sorted({row["middle"]: row["words"] for row in rows}.items())
    labels = "{" + ", ".join(f"'{middle:g}': '{words}'" for middle, words in bins) + "}"
    axis = alt.Axis(
        values=[middle for middle, _ in bins], labelExpr=f"{labels}[datum.value]", grid=False, labelOverlap=False
    )
    ends = [number for row in rows for number in map(int, row["words"].split("–"))]
    domain = [min(ends) - 1, max(ends) + 1]
    return alt.X("place:Q", title="source words", axis=axis, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _score_axis(measure: Measure, rows: Sequence[Mapping[str, Any]]) -> alt.Y:
    """Scores from 0, the field being the low end of intervals; gains as far down as they go."""
    axis = alt.Axis(format="~%" if measure == "accuracy" else "~f", tickCount=6)
    top = max(0.0, *(row["high"] for row in rows))
    least = min(0.0, *(row["low"] for row in rows)) if measure == "gain" else 0.0
    domain = [least, top if top > least else least + 1]
    return alt.Y("low:Q", title=_TITLES[measure], axis=axis, scale=alt.Scale(domain=domain, nice=True))


def _at(y: alt.Y, field: str) -> alt.Y:
    """The same axis for another field."""
    other = y.copy()
    other.shorthand = f"{field}:Q"
    return other


def looks(order: Sequence[str], drawn: Sequence[str]) -> tuple[alt.Color, alt.StrokeDash, alt.Shape]:
    """Colour, dashes and shape of each model that is drawn, in one legend, whose symbols dashes would fray."""
    places = [order.index(name) for name in drawn]
    legend = alt.Legend(title=None, labelLimit=300, symbolSize=200, symbolOpacity=1, symbolDash=[1, 0])

    def scale(values: Sequence[Any]) -> alt.Scale:
        return alt.Scale(domain=list(drawn), range=[values[place] for place in places])

    return (
        alt.Color("model:N", scale=scale([head_colour(index) for index in range(MOST_MODELS)]), legend=legend),
        alt.StrokeDash("model:N", scale=scale([list(dash) for dash in _DASHES]), legend=legend),
        alt.Shape("model:N", scale=scale(_SHAPES), legend=legend),
    )


def _zero(measure: Measure, y: alt.Y, theme: Theme) -> list[alt.Chart]:
    """Where a gain would be none."""
    if measure != "gain":
        return []
    data = alt.InlineData(values=[{"low": 0}])
    return [alt.Chart(data).mark_rule(color=theme.muted, strokeWidth=1.5).encode(y=y)]


def _marked(mark: tuple[int, str] | None, rows: Sequence[Mapping[str, Any]], theme: Theme) -> list[alt.Chart]:
    """A line between two numbers of words, with a text beside it."""
    if mark is None:
        return []
    data = alt.InlineData(values=[{"place": mark[0] + 0.5, "says": mark[1]}])
    base = alt.Chart(data).encode(x=_length_axis(rows))
    says = base.mark_text(align="left", dx=6, dy=8, color=theme.muted, fontSize=theme.small_size)
    return [
        base.mark_rule(color=theme.muted, strokeDash=[4, 4]),
        says.encode(text="says:N", y=alt.value(0)),
    ]


def _check(curves: Mapping[str, Sequence[Point]], measure: Measure) -> None:
    if measure not in get_args(Measure):
        raise ValueError(f"measure {measure!r}: choose one of {', '.join(get_args(Measure))}")
    if not curves or not all(curves.values()):
        raise ValueError("curves: give at least one model, and at least one point of each")
    for name, points in curves.items():
        for shortest, longest, _, value, low, high in points:
            if not all(map(math.isfinite, (value, low, high))):
                raise ValueError(f"{name}: not all of its numbers are finite, leave those points out")
            if low > high or shortest > longest:
                raise ValueError(
                    f"{name}: {shortest} to {longest} words, {low:g} to {high:g}: give the lower one first"
                )
            if measure == "accuracy" and not 0 <= value <= 1:
                raise ValueError(f"{name}: an accuracy of {value:g}: give shares of 1, no percentages")
