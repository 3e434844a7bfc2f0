"""What may come next, or stand in a gap: a row for each token with its probabilities; a click takes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import streamlit as st

from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack, unpack
from viz.labels import isolate, visible
from viz.theme import LIGHT, Theme

REACHES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""What a whole bar can stand for."""

CUT = "cut"  # instead of a probability of 0 after cutting the improbable off

_mount = register("choices")


class Row(Protocol):
    """One token that can be taken; the engine's choices are such rows as they are."""

    @property
    def label(self) -> str:
        """Its name, for a token that adds no text."""

    @property
    def text(self) -> str:
        """What it adds to the text, with its spaces and line breaks; shown with signs for them."""

    @property
    def before(self) -> float:
        """Its probability by the model, in [0, 1]."""

    @property
    def after(self) -> float | None:
        """That after temperature and cuts, 0 where it cannot be drawn; None where there is only one."""

    @property
    def count(self) -> int | None:
        """How often it was counted; None where nothing was."""


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A row of its own, as `Row` describes it: a candidate for a gap, say, with one probability."""

    label: str
    text: str
    before: float
    after: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns' titles; those of columns without numbers are not shown."""

    label: str = "next token"
    before: str = "model"
    after: str = "drawn"
    count: str = "count"


def choices_data(
    rows: Sequence[Row],
    *,
    columns: Columns | None = None,
    chosen: int | None = None,
    total: str = "",
    reach: float | None = None,
    places: int = 0,
    name: str = "Possible next tokens",
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    file_name: str = "choices",
) -> bytes:
    """What the component receives.

    Args:
        rows: from top to bottom, as given.
        columns: their titles; None for those of `Columns`.
        chosen: the row that has been taken already, from 0; None for none.
        total: a line below: how many tokens there are, and what all of these come to.
        reach: the probability that a whole bar stands for, in (0, 1]; None for the least of `REACHES` that holds all.
        places: rows that there is room for at least, so that nothing below moves when there are fewer.
        name: for screen readers and above a saved picture.
        theme: colours and type sizes.
        scale: of type and rows; above 1 for a projector.
        start_id: of the place in the text that the rows are for; with another one, or with other tokens, a row that was
            clicked before is taken no more, and the keys begin at the top again.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when a probability is outside [0, 1], a count is negative, or there is no row `chosen`.
    """
    columns = columns or Columns()
    if chosen is not None and not 0 <= chosen < len(rows):
        raise ValueError(f"chosen: no row {chosen}: there are {len(rows)}, counted from 0")
    if reach is not None and not 0 < reach <= 1:
        raise ValueError(f"reach {reach:g}: choose a probability above 0, at most 1")
    for row in rows:
        _check(row)
    whole = reach or _reach([value for row in rows for value in (row.before, row.after or 0.0)])
    header = {
        **theme_header(theme, scale),
        "name": name,
        "columns": asdict(columns),
        "rows": [_sent(row, whole) for row in rows],
        "shows": {
            "after": any(row.after is not None for row in rows),
            "count": any(row.count is not None for row in rows),
        },
        "reach": percentage(whole, whole=True),
        "chosen": chosen,
        "total": total,
        "places": max(places, len(rows)),
        "file_name": file_name,
        "start": start_id,
        "start_id": _identity(rows, start_id),
    }
    return pack(header, {})


def choices(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> int | None:
    """Mount the rows.

    Args:
        data: from `choices_data`.
        key: its name on the page.
        on_change: called when the reader has taken a row; `taken_in` says which.

    Returns:
        The row, counted from 0, that this very run is due to; None in every other run, and where the rows are no longer
        those that were clicked.
    """
    taken = _mount(key=key, data=data, on_taken_change=on_change).taken
    header = unpack(data)[0]
    return _taken(taken, "start_id", header["start_id"], len(header["rows"]))


def taken_in(key: str, count: int, *, start_id: str = "") -> int | None:
    """The row that this run is due to, before the rows are mounted; None in every other run.

    Args:
        key: of the rows.
        count: how many there were.
        start_id: as `choices_data` got it; a row of another place in the text is nobody's any more.
    """
    return _taken(getattr(st.session_state.get(key), "taken", None), "start", start_id, count)


def percentage(probability: float, *, whole: bool = False) -> str:
    """A probability for people: "23.4 %", "0.12 %", "<0.01 %", ">99.9 %"; exact ends are "0 %" and "100 %".

    Args:
        probability: in [0, 1].
        whole: without needless digits, for a scale: "5 %".
    """
    percent = 100 * probability
    if whole or probability in (0, 1):
        return f"{percent:g} %"
    if percent < 0.005:
        return "<0.01 %"
    if round(percent, 1) >= 100:
        return ">99.9 %"
    return f"{percent:.2f} %" if round(percent, 2) < 1 else f"{percent:.1f} %"


def _taken(sent: Any, name: str, start: str, count: int) -> int | None:
    """The row that the browser sent, if it is one of these: anybody can send anything."""
    if not isinstance(sent, Mapping) or sent.get(name) != start:
        return None
    row = sent.get("taken")
    if isinstance(row, bool) or not isinstance(row, int | float) or row not in range(count):
        return None
    return int(row)


def _identity(rows: Sequence[Row], start_id: str) -> str:
    """A name of the start that no other tokens have; probabilities may change."""
    parts = [start_id, [[row.label, row.text] for row in rows]]
    return hashlib.sha1(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()


def _reach(values: Sequence[float]) -> float:
    """The least of `REACHES` that holds all values; 1 where there is none."""
    largest = max(values, default=1.0)
    return next((reach for reach in REACHES if largest <= reach), 1.0)


def _check(row: Row) -> None:
    for what, value in (("before", row.before), ("after", row.after)):
        if value is not None and not 0 <= value <= 1 + 1e-4:  # float32 sums of softmax terms end a little above 1
            raise ValueError(f"{row.label}: {what} {value:g} is outside [0, 1]: give a probability")
    if row.count is not None and row.count < 0:
        raise ValueError(f"{row.label}: count {row.count}: give 0 or more")


def _sent(row: Row, whole: float) -> dict[str, Any]:
    """A row as it travels: its numbers as they are written, and the lengths of its bars in [0, 1]."""
    before, after = min(row.before, 1.0), None if row.after is None else min(row.after, 1.0)
    return {
        "shown": _signs(row.text or row.label),
        "title": isolate(row.text or row.label),
        "before": percentage(before),
        "after": "" if after is None else percentage(after) if after else CUT,
        "count": "" if row.count is None else f"{row.count:,}",
        "bars": [round(min(value / whole, 1.0), 5) for value in (before, after) if value is not None],
    }


def _signs(text: str) -> str:
    """The text with a sign for each space at its ends and each line break."""
    text = visible(text)
    inner = text.strip(" ")
    start = len(text) - len(text.lstrip(" "))
    return "␣" * start + inner + "␣" * (len(text) - start - len(inner))


__all__ = ["ChoiceRow", "Columns", "Row", "choices", "choices_data", "percentage", "taken_in"]
