"""The strip of output tokens: how sure the model was of each one."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from viz.labels import isolate, shorten
from viz.theme import LIGHT, Theme

_WIDTH = 4.2  # ems of the narrowest token, so that its bar can be read


def token_strip(
    labels: Sequence[str],
    logprobs: Sequence[float] | np.ndarray,
    special: Sequence[bool] | None = None,
    theme: Theme = LIGHT,
    *,
    title: str = "Probability of each output token",
    alternatives: Sequence[Sequence[tuple[str, float]]] = (),
) -> str:
    """Each output token over a bar of its probability, as HTML; tokens flow into rows like the words of a text.

    A token's probability is exp(logprob), given the source and all tokens before it. Bars start at 0 and a full bar
    (as wide as its token's place) is probability 1. It is HTML and no chart because it is text: it wraps at any width,
    is read by screen readers, and takes a hundredth of a chart's time to make.

    Args:
        labels: the tokens, T of them; any text, all of it escaped.
        logprobs: natural log-probability of each token, (T,), ≤ 0; NaN where unknown.
        special: True for tokens that are no part of the text (muted italics), (T,); None for none.
        theme: colours and type sizes.
        title: above the strip.
        alternatives: for each token what else was probable there, as (label, log-probability), best first; named in the
            tooltip. Empty for none.

    Returns:
        One HTML element with its styles inline.

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
    others = alternatives or [()] * len(labels)
    cells = [
        _cell(label, logprob, bool(is_special), choices, theme)
        for label, logprob, is_special, choices in zip(labels, values.tolist(), special, others, strict=True)
    ]
    heading = f'<div style="font-weight:bold;color:{theme.text};margin-bottom:6px">{html.escape(title)}</div>'
    flow = f'<div role="list" style="display:flex;flex-wrap:wrap;gap:10px 14px">{"".join(cells)}</div>'
    return f'<div style="font-family:{theme.font};font-size:{theme.font_size}px;line-height:1.3">{heading}{flow}</div>'


def _cell(label: str, logprob: float, special: bool, choices: Sequence[tuple[str, float]], theme: Theme) -> str:
    known = not math.isnan(logprob)
    probability = min(math.exp(logprob), 1.0) if known else 0.0
    number = _percent(probability) if known else "?"
    look = f"color:{theme.muted};font-style:italic" if special else f"color:{theme.text}"
    bar = (
        f'<div style="height:8px;background:{theme.faint}">'
        f'<div style="height:8px;width:{probability:.2%};background:{theme.accent}"></div></div>'
    )
    small = f"color:{theme.muted};font-size:{theme.small_size}px"
    said = html.escape(_tooltip(label, logprob, number, choices))
    return (
        f'<div role="listitem" title="{said}" aria-label="{said}" style="min-width:{_WIDTH}em">'
        f'<div style="{look};white-space:pre;unicode-bidi:isolate">{html.escape(shorten(label))}</div>'
        f'{bar}<div style="{small}">{html.escape(number)}</div></div>'
    )


def _tooltip(label: str, logprob: float, number: str, choices: Sequence[tuple[str, float]]) -> str:
    """E.g. "il: 89 %, log-probability -0.117. Most probable here: il 89 %, elle 1 %"."""
    natural = "unknown" if math.isnan(logprob) else f"{min(logprob, 0.0):.3f}"
    said = f"{isolate(label)}: {number}, log-probability {natural}"
    if not choices:
        return said
    named = ", ".join(f"{isolate(other)} {_percent(math.exp(value))}" for other, value in choices)
    return f"{said}. Most probable here: {named}"


def _percent(probability: float) -> str:
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{probability:.0%}".replace("%", " %")
