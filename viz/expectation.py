"""How well several models expect each word of one text: a line for each, which falls where it has lost the thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from engine.types import Tokens
from viz.bottleneck import looks
from viz.labels import shorten
from viz.theme import LIGHT, Theme, chart_config

AROUND = 2  # words on either side over which a line is smoothed
_STEP, _HEIGHT = 34, 300  # pixels


def expected_words(
    words: Tokens,
    logprobs: Mapping[str, np.ndarray],
    *,
    names: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> alt.LayerChart:
    """Draw the probability that each model gives each word of the same output, after the right words before it.

    Points are single words; a line is the geometric mean over a word and the two on either side, so that one unlikely
    word does not hide the trend.

    Args:
        words: W words of the output.
        logprobs: by model, float (W,), natural log-probabilities, ≤ 0.
        names: all the models that there are, in an order that stays, so that each keeps its look whichever are drawn;
            empty for those of `logprobs`.
        theme: colours and type sizes.

    Raises:
        ValueError: when there is nothing to draw, or a model has other words.
    """
    if not len(words) or not logprobs:
        raise ValueError("expected_words: give at least one word and one model")
    if any(len(values) != len(words) for values in logprobs.values()):
        raise ValueError(f"expected_words: give one log-probability for each of {len(words)} words")
    places = [f"{index} {shorten(label)}" for index, label in enumerate(words.labels)]
    rows = [
        {
            "model": name,
            "place": place,
            "word": shorten(label),
            "one": math.exp(value),
            "mean": math.exp(mean),
            "told": f"{math.exp(value):.1%}".replace("%", " %"),
        }
        for name, values in logprobs.items()
        for place, label, value, mean in zip(places, words.labels, values, smoothed(values), strict=True)
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "place:N",
            sort=places,
            title=None,
            axis=alt.Axis(labelExpr="substring(datum.label, indexof(datum.label, ' ') + 1)", labelAngle=-50),
        )
    )
    colour, dash, shape = looks([*names, *(name for name in logprobs if name not in names)], list(logprobs))
    y = alt.Y("mean:Q", title="probability", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    told = [alt.Tooltip("model:N"), alt.Tooltip("word:N"), alt.Tooltip("told:N", title="probability")]
    single = y.copy(deep=True)
    single.shorthand = "one:Q"
    lines = base.mark_line(strokeWidth=2.5).encode(y=y, color=colour, strokeDash=dash)
    points = base.mark_point(filled=True, size=40, opacity=0.5).encode(
        y=single, color=colour, shape=shape, tooltip=told
    )
    chart = alt.LayerChart(layer=[points, lines]).properties(width=_STEP * len(words), height=_HEIGHT)
    config = chart_config(theme)
    config["legend"] |= {"orient": "top"}  # beside a plot as wide as a text it would be cut off
    done: alt.LayerChart = chart.configure(**config)
    return done


def smoothed(values: np.ndarray) -> list[float]:
    """The mean of each number and its neighbours, at most `AROUND` on either side."""
    return [float(np.mean(values[max(0, i - AROUND) : i + AROUND + 1])) for i in range(len(values))]
