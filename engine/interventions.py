"""Interventions: what may be changed in a forward, as plain values that a request can carry.

Layers, heads and positions count from 0; positions are the model's own pieces, not words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from engine.types import KINDS, Kind

Means = Literal["zero", "mean"]


class Head(NamedTuple):
    """One attention head."""

    kind: Kind
    layer: int
    head: int

    @property
    def name(self) -> str:
        """As screens say it: "encoder layer 2, head 3"."""
        return f"{self.kind} layer {self.layer + 1}, head {self.head + 1}"


@dataclass(frozen=True, slots=True)
class KnockOut:
    """Heads that are switched off, at every position. Source: Michel et al. 2019, section 2.3; Voita et al. 2019.

    Attributes:
        heads: which.
        by: what stands in place of a head's output: "zero", or its "mean" over a reference set
            (`engine.reference`), which keeps what the head says of every sentence alike.
    """

    heads: tuple[Head, ...]
    by: Means = "zero"


@dataclass(frozen=True, slots=True)
class Patch:
    """A head's output in another run, put in the place of its own. Source: Vig et al. 2020; Wang et al. 2023.

    Attributes:
        heads: which.
        text: the source of the other run.
        target: the output that the other run is forced to; needed for decoder and cross heads.
        positions: (there, here): which position of the other run goes to which of this one.
    """

    heads: tuple[Head, ...]
    text: str
    target: str | None
    positions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Force:
    """Attention that is moved from some keys to others, in some rows; each row's sum stays what it was.

    The keys moved to share the mass as their own weights do, or evenly where these are 0.

    Attributes:
        heads: which.
        rows: query positions.
        keys: where the mass is taken from.
        onto: where it goes.
    """

    heads: tuple[Head, ...]
    rows: tuple[int, ...]
    keys: tuple[int, ...]
    onto: tuple[int, ...]


Intervention = KnockOut | Patch | Force


def to_json(intervention: Intervention) -> dict[str, Any]:
    """Plain values, "do" first: "knock out", "patch" or "force"."""
    do = next(name for name, kind in _KINDS.items() if isinstance(intervention, kind))
    return {"do": do, **asdict(intervention)}


def from_json(values: Mapping[str, Any]) -> Intervention:
    """What `to_json` gave, also after a way through a JSON file.

    Raises:
        ValueError: it is no intervention.
    """
    try:
        fields = {name: _frozen(value) for name, value in values.items()}
        kind = _KINDS[fields.pop("do")]
        fields["heads"] = tuple(Head(*head) for head in fields["heads"])
        made = kind(**fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("this is no intervention") from error
    if not _is_sound(made):
        raise ValueError("this is no intervention")
    return made


def _frozen(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _is_sound(made: Intervention) -> bool:
    """Whether every field has what its type says: files and addresses may hold anything."""
    if not all(head.kind in KINDS and _are_counts(head[1:]) for head in made.heads):
        return False
    if isinstance(made, KnockOut):
        return made.by in get_args(Means)
    if isinstance(made, Force):
        return all(map(_are_counts, (made.rows, made.keys, made.onto)))
    texts = isinstance(made.text, str) and isinstance(made.target, str | None)
    return texts and _is_row(made.positions) and all(_are_counts(pair) and len(pair) == 2 for pair in made.positions)


def _are_counts(values: Any) -> bool:
    """Whether these are positions, layers or heads: a tuple of whole numbers from 0."""
    return _is_row(values) and all(type(value) is int and value >= 0 for value in values)


def _is_row(values: Any) -> bool:
    return isinstance(values, tuple)


_KINDS: Mapping[str, type[KnockOut] | type[Patch] | type[Force]] = {
    "knock out": KnockOut,
    "patch": Patch,
    "force": Force,
}
