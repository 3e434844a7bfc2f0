"""The characters of a text along an axis: blocks where there are too many for cells, their titles, and their labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from viz.labels import isolate, markup, shorten, visible
from viz.pool import block_starts
from viz.theme import Theme

MOST_CELLS = 300
"""Of a side of a heatmap."""
EACH_UP_TO = 80
"""Characters of a text that each have a label; in a longer one its words have."""
BLANK = "·"
"""A space's label on an axis: "␣" would hang into the row below."""

_TICK_OFF = 0.05  # of a cell: a tick right in its middle would give the hover text its label


@dataclass(frozen=True, slots=True)
class CharacterAxis:
    """A text cut into blocks of characters that follow each other, of lengths that differ by at most 1.

    Attributes:
        text: at least one character.
        cells: how many blocks, from 1 to the number of characters.
    """

    text: str
    cells: int

    @classmethod
    def of(cls, text: str, most: int = MOST_CELLS) -> CharacterAxis:
        """One cell for each character, or `most` of them.

        Raises:
            ValueError: when there is no text.
        """
        if not text:
            raise ValueError("text: there is nothing to draw, give at least one character")
        return cls(text, min(len(text), most))

    @property
    def starts(self) -> np.ndarray:
        """The position at which each block begins, int64 (cells,)."""
        return block_starts(len(self.text), self.cells)

    @property
    def ends(self) -> np.ndarray:
        """The position after each block's last, int64 (cells,)."""
        return np.append(self.starts[1:], len(self.text))

    @property
    def pooled(self) -> bool:
        """Whether a block may have more than one character."""
        return self.cells < len(self.text)

    @property
    def lettered(self) -> bool:
        """Whether each character has a label."""
        return len(self.text) <= EACH_UP_TO

    def cell_of(self, position: int, name: str = "marked") -> int:
        """The block that has a position.

        Raises:
            ValueError: when the text has no such position.
        """
        if not 0 <= position < len(self.text):
            raise ValueError(f"{name} {position}: the text has positions 0 to {len(self.text) - 1}")
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def titles(self) -> tuple[str, ...]:
        """What each block is called in a sentence, counted from 1: “e” (character 12), or characters 12–15 (“ment”)."""
        return tuple(
            f"{quoted(self.text[start])} (character {start + 1})"
            if end - start == 1
            else f"characters {start + 1}–{end} ({quoted(self.text[start:end])})"
            for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        )

    def ticks(self, cell: float, room: float) -> list[tuple[int, str]]:
        """Cells with a label: all characters of a short text, else the words that have room, at their beginning.

        Args:
            cell: pixels from one cell to the next.
            room: pixels that a word's label takes along the axis.
        """
        if self.lettered:
            return [(place, BLANK if letter == " " else visible(letter)) for place, letter in enumerate(self.text)]
        words = [(self.cell_of(start), shorten(word)) for start, word in words_of(self.text)]
        return thinned(words, room / cell) or [(0, visible(self.text[0]))]


def thinned(ticks: Sequence[tuple[int, str]], distance: float) -> list[tuple[int, str]]:
    """The ticks, in rising order, without those closer than `distance` to the one before."""
    kept: list[tuple[int, str]] = []
    for place, label in ticks:
        if not kept or place - kept[-1][0] >= distance:
            kept.append((place, label))
    return kept


def words_of(text: str) -> list[tuple[int, str]]:
    """Each word and where it begins: at the space before it, which belongs to it, or at the text's beginning."""
    found, place = [], 0
    for word in text.split(" "):
        if word:
            found.append((max(place - 1, 0), word))
        place += len(word) + 1
    return found


def strongest(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Of each block the number that is farthest from 0, with its sign; of two as far the positive one.

    Args:
        values: (R, C), finite.
        rows: where each block of rows begins, int64 (r,).
        columns: the same of columns, (c,).

    Returns:
        (r, c) of the values' type.
    """
    most = np.maximum.reduceat(np.maximum.reduceat(values, rows, axis=0), columns, axis=1)
    least = np.minimum.reduceat(np.minimum.reduceat(values, rows, axis=0), columns, axis=1)
    found: np.ndarray = np.where(-least > most, least, most)
    return found


def quoted(label: str) -> str:
    """A label inside a sentence, in quotation marks, blanks made visible."""
    return f"“{isolate(label.replace(' ', '␣'))}”"


def cell_axis(ticks: Sequence[tuple[int, str]], titles: Sequence[str]) -> dict[str, Any]:
    """Labels and hover names of a Plotly axis whose cells are 0, 1, 2, ...

    Names are given once for each cell (`labelalias`): written out for each of 300 × 300 they would take megabytes.

    Args:
        ticks: cells with a label, which is text.
        titles: of all cells, Plotly's markup; "%{x}" or "%{y}" in a hover text.
    """
    return {
        "tickmode": "array",
        "tickvals": [place + _TICK_OFF for place, _ in ticks],
        "ticktext": [markup(label) for _, label in ticks],
        "hoverformat": "d",
        "labelalias": {str(place): title for place, title in enumerate(titles)},
        "showgrid": False,
        "zeroline": False,
    }


def position_axis(text: str, width: float, theme: Theme, field: str = "position", title: str | None = None) -> alt.X:
    """Positions of a text as an Altair axis, from 0, with its characters or words as labels.

    Args:
        text: T characters.
        width: of the plot, in pixels.
        theme: type sizes.
        field: of the data, a position.
        title: under the axis; None for none.
    """
    axis = CharacterAxis(text, len(text))
    cell = width / len(text)
    font = min(theme.small_size, round(cell + 2)) if axis.lettered else theme.small_size - 1
    ticks = axis.ticks(cell, 1.25 * font)
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(domain=[-0.5, len(text) - 0.5], nice=False, zero=False),
        axis=alt.Axis(
            values=[place for place, _ in ticks],
            labelExpr=_expression(ticks),
            labelAngle=0 if axis.lettered else -60,
            labelAlign="center" if axis.lettered else "right",
            labelBaseline="top" if axis.lettered else "middle",
            labelFontSize=font,
            labelOverlap=False,
            ticks=not axis.lettered,
            grid=False,
        ),
    )


def marked_rule(text: str, marked: int, x: alt.X, theme: Theme) -> alt.Chart:
    """A line at one position, on the axis of `position_axis`.

    Raises:
        ValueError: when the text has no such position.
    """
    CharacterAxis.of(text).cell_of(marked)
    data = alt.InlineData(values=[{"position": marked}])
    rule: alt.Chart = alt.Chart(data).mark_rule(color=theme.accent, strokeWidth=2).encode(x=x)
    return rule


def _expression(ticks: Sequence[tuple[int, str]]) -> str:
    """Labels by position as a Vega expression: they are strings in it, never code."""
    return f"{json.dumps({str(place): label for place, label in ticks}, ensure_ascii=True)}[datum.value]"
