"""Values as shades: which colour each has, and the numbers that the legend puts at the ends of the scale."""

from __future__ import annotations

from typing import Literal

import numpy as np

from viz.theme import Theme

LEVELS = 64  # the level of the last colour; 0 is the first's, and a diverging scale's middle is 32
UNKNOWN = 255  # the level of a token without a value

Colours = Literal["sequential", "diverging"]


def shade_colours(theme: Theme, colours: Colours) -> tuple[str, ...]:
    """The scale's colours in equal steps, "#rrggbb" for each level from 0 to `LEVELS`, mixed between the theme's."""
    given = theme.sequential if colours == "sequential" else theme.diverging
    channels = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in given])
    places = np.linspace(0, len(given) - 1, LEVELS + 1)
    mixed = np.stack([np.interp(places, np.arange(len(given)), channel) for channel in channels.T], axis=1)
    return tuple("#" + "".join(f"{round(part):02x}" for part in row) for row in mixed.tolist())


def limits_of(values: np.ndarray, colours: Colours, limits: tuple[float, float] | None) -> tuple[float, float]:
    """The values of the first and the last colour.

    Args:
        values: any floats; those not finite do not count.
        colours: diverging limits are of one size, the larger of the two.
        limits: as given; None for 0 to the largest value, or ± the largest size. Where all are 0, 1 is the largest.

    Raises:
        ValueError: when the given limits are not finite or not in order.
    """
    if limits is not None:
        low, high = map(float, limits)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"limits ({low:g}, {high:g}): give two numbers, the lower one first")
    else:
        finite = values[np.isfinite(values)]
        low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
        if low == high:
            high = low + 1
    if colours == "sequential":
        return low, high
    size = max(abs(low), abs(high))
    return -size, size


def levels(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """The level of each value, uint8: 0 to `LEVELS`, those beyond a limit at its end; `UNKNOWN` for NaN."""
    low, high = limits
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.where(np.isnan(share), UNKNOWN, np.rint(np.nan_to_num(share) * LEVELS)).astype(np.uint8)


def legend_ticks(values: np.ndarray, limits: tuple[float, float]) -> tuple[str, str, str]:
    """The scale's first, middle and last number; "≤" and "≥" where values lie beyond."""
    low, high = limits
    first, middle, last = (number(value) for value in (low, (low + high) / 2, high))
    beyond = (values < low).any(), (values > high).any()
    return f"≤ {first}" if beyond[0] else first, middle, f"≥ {last}" if beyond[1] else last


def number(value: float) -> str:
    """A number in three digits, or whole from 1,000 on, with a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return text.replace("-", "−")
