"""What figures call the numbers of a map, and how several of them become one: attention is no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.types import AttentionMap, Measure


@dataclass(frozen=True, slots=True)
class Wording:
    """The words for one measure.

    Attributes:
        noun: what the map is of.
        unit: what a single number is.
        short: heads a tooltip that names a row and a column.
        looks: between a row and a column.
        looked: between a column and a row.
        may_not: between a row and a column that is masked.
        scale: of the colours.
        share: what lines carry so much of; "" where numbers of different rows have no common whole.
        rows: how pinned rows become one.
        columns: how pinned columns become one: "norm" is the root of the sum of squares.
    """

    noun: str
    unit: str
    short: str
    looks: str
    looked: str
    may_not: str
    scale: str
    share: str
    rows: Literal["sum", "max"]
    columns: Literal["sum", "norm"]


_ATTENTION = Wording(
    noun="attention",
    unit="weight",
    short="looks",
    looks="looks at",
    looked="is looked at by",
    may_not="may not look at",
    scale="attention weight",
    share="of the attention",
    rows="sum",
    columns="sum",
)


def _of_gradients(columns: Literal["sum", "norm"]) -> Wording:
    return Wording(
        noun="gradient",
        unit="gradient",
        short="gradient",
        looks="is moved by",
        looked="moves",
        may_not="cannot depend on",
        scale="gradient, 1 = the row's largest",
        share="",
        rows="max",
        columns=columns,
    )


WORDINGS: dict[Measure, Wording] = {
    "attention": _ATTENTION,
    "gradient": _of_gradients("norm"),
    "squared gradient": _of_gradients("sum"),
}


def wording(attention: AttentionMap) -> Wording:
    """The words for a map's numbers."""
    return WORDINGS[attention.measure]
