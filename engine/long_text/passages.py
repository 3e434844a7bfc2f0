"""Where the window of a long text is: rows and columns near a place, never more than a screen can show."""

from __future__ import annotations

from engine.errors import InputError
from engine.types import Kind

WINDOW = 128
"""Most queries and most keys of a window."""

Range = tuple[int, int]
"""The first position and the one after the last, from 0."""


def around(kind: Kind, queries: int, keys: int, row: int, column: int) -> tuple[Range, Range]:
    """The rows and columns of the window that begins at a place, moved inside where it would reach over an end.

    Where a text looks at itself the window is one passage if row and column are near each other, else two of half the
    length: together never more than `WINDOW` tokens. Of a causal map a column after the row, where nothing may be
    looked at, becomes the row.

    Args:
        kind: which attention.
        queries: how many there are.
        keys: how many there are.
        row: from 0; beyond the end counts as the last.
        column: the same.
    """
    if kind == "cross":
        return _from(row, WINDOW, queries), _from(column, WINDOW, keys)
    row, column = min(row, queries - 1), min(column, keys - 1)
    if kind == "decoder":
        column = min(row, column)
    rows, columns = _from(row, WINDOW // 2, queries), _from(column, WINDOW // 2, keys)
    if rows[0] <= columns[1] and columns[0] <= rows[1]:  # they touch or overlap
        whole = _from(min(rows[0], columns[0]), WINDOW, queries)
        return whole, whole
    return rows, columns


def centred(kind: Kind, queries: int, keys: int, row: int, column: int) -> tuple[int, int]:
    """Where a window begins, row and column, that has a place in its middle; arguments as of `around`."""
    if kind == "decoder":
        column = min(row, column)
    size = WINDOW // 2 if kind != "cross" and abs(row - column) >= WINDOW // 2 else WINDOW
    rows, columns = around(kind, queries, keys, max(row - size // 2, 0), max(column - size // 2, 0))
    return rows[0], columns[0]


def check(some: Range, length: int, noun: str) -> None:
    """Refuse positions that are not there, and too many.

    Args:
        some: the positions.
        length: how many there are.
        noun: what they are called: "rows".

    Raises:
        InputError: the message says what is wrong.
    """
    start, stop = some
    if not 0 <= start < stop <= length:
        raise InputError(
            f"There are no {noun} {start + 1} to {stop}: the text has {length:,} tokens there. Choose others."
        )
    if stop - start > WINDOW:
        raise InputError(f"A window has at most {WINDOW} {noun}, and these are {stop - start:,}. Choose fewer.")


def _from(start: int, most: int, length: int) -> Range:
    size = min(most, length)
    start = min(max(start, 0), length - size)
    return start, start + size
