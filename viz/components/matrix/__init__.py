"""One number for each head in the browser: layers × heads as coloured cells, the one picked goes to Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack
from viz.theme import LIGHT, Theme

LEAST_LIMIT = 1e-9  # values that are all smaller are 0 for the colours
NOTHING = "nothing measured"

_mount = register("matrix")


@dataclass(frozen=True, slots=True)
class Matrix:
    """One number for each head of one kind of attention.

    Attributes:
        id: what a pick returns, e.g. "encoder".
        name: the heading, e.g. "Source → source".
        values: float (layer, head); NaN for what was not measured.
        notes: for each layer and head more to say about it, "" for nothing; () for no notes at all.
        marked: bool (layer, head), heads that get a dot; None for none.
        empty: what is said in place of a matrix of which nothing was measured.
    """

    id: str
    name: str
    values: np.ndarray
    notes: tuple[tuple[str, ...], ...] = ()
    marked: np.ndarray | None = None
    empty: str = ""


def matrix_data(
    matrices: Sequence[Matrix],
    *,
    quantity: str,
    diverging: bool = True,
    limit: float | None = None,
    digits: int = 2,
    ends: tuple[str, str] = ("", ""),
    marked_means: str = "",
    chosen: tuple[str, int, int] | None = None,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    file_name: str = "heads",
) -> bytes:
    """What the component receives.

    One scale of colours serves all matrices, so that they can be compared.

    Args:
        matrices: from left to right.
        quantity: what the numbers are, the figure's heading.
        diverging: colours for both signs, symmetric about 0; otherwise from 0 to `limit`.
        limit: the value of the strongest colour, above 0; None for the largest value, sign aside. Values beyond it
            have that colour too.
        digits: decimals of a number.
        ends: what the scale's lower and upper end mean, e.g. ("looks at street", "looks at animal").
        marked_means: what a dot means; "" leaves it without a legend.
        chosen: (id, layer, head) that is outlined, counted from 0; None for none.
        theme: colours and type sizes.
        scale: of type and cells; above 1 for a projector.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when there is no matrix, two have the same id, values are infinite or not (layer, head), notes or
            marks are of other heads than the values, or the limit is not above 0.
        IndexError: when the chosen head is not there.
    """
    if not matrices:
        raise ValueError("matrices: give at least one")
    names = [matrix.id for matrix in matrices]
    if len(set(names)) < len(names):
        raise ValueError(f"matrices: give each another id, these repeat: {', '.join(names)}")
    if limit is not None and not 0 < limit < np.inf:
        raise ValueError(f"limit is {limit}: give a number above 0, or None for the largest value")
    tables = [_checked(matrix) for matrix in matrices]
    header = {
        **theme_header(theme, scale),
        "hatch": theme.hatch,
        "colours": theme.diverging if diverging else theme.sequential,
        "diverging": diverging,
        "limit": largest(tables) if limit is None else float(limit),
        "digits": digits,
        "quantity": quantity,
        "ends": ends,
        "marked_means": marked_means,
        "matrices": [_described(matrix, table) for matrix, table in zip(matrices, tables, strict=True)],
        "chosen": chosen and _found(matrices, chosen),
        "file_name": file_name,
    }
    arrays = {"values": np.concatenate([table.ravel() for table in tables])}
    if any(matrix.marked is not None for matrix in matrices):
        arrays["marked"] = np.concatenate([_marks(matrix).ravel() for matrix in matrices])
    return pack(header, arrays)


def largest(tables: Sequence[np.ndarray]) -> float:
    """The largest value of all, sign and NaN aside; 1 where all are 0 or none is measured."""
    sizes = np.concatenate([np.abs(table).ravel() for table in tables])
    peak = float(np.nanmax(sizes)) if np.isfinite(sizes).any() else 0.0
    return peak if peak > LEAST_LIMIT else 1.0


def _checked(matrix: Matrix) -> np.ndarray:
    """Its values as float32 (layer, head).

    Raises:
        ValueError: see `matrix_data`.
    """
    values = np.asarray(matrix.values, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"{matrix.id}: values have {values.ndim} axes, give them as (layer, head)")
    if np.isinf(values).any():
        raise ValueError(f"{matrix.id}: values are infinite, give NaN for what was not measured")
    layers, heads = values.shape
    if matrix.notes and [len(row) for row in matrix.notes] != [heads] * layers:
        raise ValueError(f"{matrix.id}: give one note for each of {layers} layers × {heads} heads, or none at all")
    if matrix.marked is not None and np.shape(matrix.marked) != (layers, heads):
        raise ValueError(f"{matrix.id}: give one mark for each of {layers} layers × {heads} heads, or None")
    return values


def _marks(matrix: Matrix) -> np.ndarray:
    """1 for each marked head, uint8 (layer, head)."""
    marked = np.zeros(np.shape(matrix.values)) if matrix.marked is None else matrix.marked
    return np.asarray(marked, dtype=bool).astype(np.uint8)


def _described(matrix: Matrix, values: np.ndarray) -> dict[str, Any]:
    """The part of the header that is this matrix's."""
    measured = bool(np.isfinite(values).any())
    return {
        "id": matrix.id,
        "name": matrix.name,
        "layers": values.shape[0],
        "heads": values.shape[1],
        "notes": [list(row) for row in matrix.notes],
        "empty": "" if measured else matrix.empty or ("" if values.size else NOTHING),
    }


def _found(matrices: Sequence[Matrix], chosen: tuple[str, int, int]) -> tuple[str, int, int]:
    """The chosen head, if it is there.

    Raises:
        IndexError: when it is not.
    """
    name, layer, head = chosen[0], index(chosen[1]), index(chosen[2])
    for matrix in matrices:
        if matrix.id == name:
            layers, heads = np.shape(matrix.values)
            if 0 <= layer < layers and 0 <= head < heads:
                return name, layer, head
            raise IndexError(
                f"chosen: {name} has {layers} layers × {heads} heads, counted from 0, and no ({layer}, {head})"
            )
    raise IndexError(f"chosen: no matrix is called {name}, choose among {', '.join(one.id for one in matrices)}")


def matrix(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> tuple[str, int, int] | None:
    """Mount the matrices.

    Args:
        data: from `matrix_data`.
        key: its name on the page.
        on_change: called when the reader has picked a head, by click or Enter.

    Returns:
        The (id, layer, head), counted from 0, that this very run is due to; None in every other run.
    """
    picked = _mount(key=key, data=data, on_picked_change=on_change).picked
    return (str(picked["id"]), int(picked["layer"]), int(picked["head"])) if picked else None
