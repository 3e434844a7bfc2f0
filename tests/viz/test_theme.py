"""Colours: contrast on both pages, and heads that colour-blind eyes tell apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from viz.theme import DARK, HEAD_COLOURS, HEAD_DASHES, LIGHT, THEMES, Theme, colour_scale, head_colour, head_dash

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> np.ndarray:
    """Linear RGB in [0, 1] of "#rrggbb"."""
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(XYZ[1] @ linear(colour))


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, eye: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of the colour as an eye with this matrix sees it."""
    xyz = XYZ @ np.clip(eye @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_contrast_formula_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0, abs=1e-3)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_contrast_on_the_page(theme: Theme) -> None:
    for colour in HEAD_COLOURS:
        assert contrast(colour, theme.background) >= 3, colour  # WCAG 1.4.11: graphics
    assert contrast(theme.text, theme.background) >= 7
    assert contrast(theme.muted, theme.background) >= 4.5  # WCAG 1.4.3: text
    assert contrast(theme.accent, theme.background) >= 3
    assert contrast(theme.accent, theme.faint) >= 3  # a bar on its track
    assert contrast(theme.hatch, theme.mask) >= 1.5  # decoration, the words stand in the tooltip


@pytest.mark.parametrize("eye", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["full", "protanopia", "deuteranopia"])
def test_heads_are_told_apart(eye: np.ndarray) -> None:
    seen = [lab(colour, eye) for colour in HEAD_COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) >= 20  # ΔE76; 2.3 is just visible


def test_head_colours_repeat_with_another_dash() -> None:
    assert [head_colour(head) for head in range(8)] == list(HEAD_COLOURS)
    looks = [(head_colour(head), head_dash(head)) for head in range(24)]
    assert len(set(looks)) == 24
    assert head_colour(8) == head_colour(0) and head_dash(7) == (1, 0) and head_dash(8) == HEAD_DASHES[1]
    assert (head_colour(24), head_dash(24)) == looks[0]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_scales_grow_from_the_background(theme: Theme) -> None:
    away = [contrast(colour, theme.background) for colour in theme.sequential]
    assert away == sorted(away) and away[0] == pytest.approx(1) and away[-1] > 10
    middle = len(theme.diverging) // 2
    assert len(theme.diverging) % 2 == 1 and theme.diverging[middle] == theme.background
    arms = [contrast(colour, theme.background) for colour in theme.diverging]
    assert arms[: middle + 1] == sorted(arms[: middle + 1], reverse=True) and arms[middle:] == sorted(arms[middle:])
    for step in range(1, middle + 1):  # equal sizes of either sign look equally strong
        assert arms[middle - step] == pytest.approx(arms[middle + step], rel=0.25)


def test_colour_scale_spans_zero_to_one() -> None:
    assert colour_scale(("#000000", "#777777", "#ffffff")) == [[0.0, "#000000"], [0.5, "#777777"], [1.0, "#ffffff"]]


def test_themes_by_name() -> None:
    assert all(theme.name == name for name, theme in THEMES.items())
    assert LIGHT.font_size >= 14 and DARK.font_size == LIGHT.font_size
