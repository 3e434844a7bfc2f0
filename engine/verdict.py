"""What a minimal pair shows, in plain words: each clause has its number, and says so where methods disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.analysis import spearman
from engine.coreference import KEEPS, Decision, keeps_preference
from engine.experiments import Outcome
from engine.interventions import Head
from engine.knockout import Sweep
from engine.types import KINDS, Kind

ALMOST = 0.1  # nats: a smaller change of the log-odds is called none
SURE = 0.5  # of the output's next piece: below it the model would rather say a third word
NUMBERS = ("first", "second")


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one sentence of a pair.

    Attributes:
        outcome: what the model says at the decision.
        margins: by kind (layer, head), NaN where not measured.
        sweep: the log-odds with each head off.
        patched: the log-odds with each head's output taken from the other sentence.
    """

    outcome: Outcome
    margins: Mapping[Kind, np.ndarray]
    sweep: Sweep
    patched: Sweep


class Preferring(Protocol):
    """A sentence whose heads' preferences are known (`engine.coreference.margins`)."""

    @property
    def margins(self) -> Mapping[Kind, np.ndarray]: ...


def verdict(sides: tuple[Side, Side], decision: Decision, candidates: tuple[str, str]) -> tuple[str, ...]:
    """The clauses, in the order in which one would say them: the model, its attention, its heads, whether they agree.

    Args:
        sides: of the two sentences.
        decision: the words that are compared.
        candidates: what A and B are called.
    """
    return (
        _says(sides, decision),
        _looks(sides, candidates),
        _matters(sides),
        _carries(sides),
        *_agrees(sides),
    )


def _says(sides: tuple[Side, Side], decision: Decision) -> str:
    said = [decision.words[0] if side.outcome.log_odds > 0 else decision.words[1] for side in sides]
    first, second = (
        f"{max(side.outcome.probabilities):.0%} {word}, log-odds {signed(side.outcome.log_odds)}"
        for side, word in zip(sides, said, strict=True)
    )
    unsure = [name for name, side in zip(NUMBERS, sides, strict=True) if sum(side.outcome.probabilities) < SURE]
    if unsure:
        return (
            f"Of the two words the model prefers “{said[0]}” in the first ({first}) and “{said[1]}” in the second "
            f"({second}), but in the {' and the '.join(unsure)} it would rather say neither."
        )
    if said[0] == said[1]:
        return f"The model does not tell the sentences apart: it prefers “{said[0]}” in both ({first}; {second})."
    return (
        f"The model tells the sentences apart: “{said[0]}” in the first ({first}), "
        f"“{said[1]}” in the second ({second})."
    )


def _looks(sides: tuple[Side, Side], candidates: tuple[str, str]) -> str:
    change = change_of(sides)
    places = ranked(change)
    if not places:
        return "No head's attention can be read: the pronoun or a candidate is not marked."
    first, second = (side.margins for side in sides)
    moving = [head for head, _ in places if _moves(first, second, head)]
    keeping = [
        head for head, _ in places if keeps_preference(first[head.kind], second[head.kind])[head.layer, head.head]
    ]
    text = (
        f"{len(moving)} of {len(places)} heads look{'s' * (len(moving) == 1)} more at {candidates[0]} in one sentence "
        f"and more at {candidates[1]} in the other (by {KEEPS:g} of their attention at least); "
        f"{len(keeping)} prefer{'s' * (len(keeping) == 1)} the same noun in both."
    )
    best = places[0][0]
    one, other = (margins[best.kind][best.layer, best.head] for margins in (first, second))
    return (
        f"{text} The largest change is that of {best.name}: from {signed(one)} to {signed(other)}, "
        f"where +1 is all of its attention on {candidates[0]} and −1 all on {candidates[1]}."
    )


def _moves(first: Mapping[Kind, np.ndarray], second: Mapping[Kind, np.ndarray], head: Head) -> bool:
    one, other = (float(side[head.kind][head.layer, head.head]) for side in (first, second))
    return one * other < 0 and min(abs(one), abs(other)) >= KEEPS


def _matters(sides: tuple[Side, Side]) -> str:
    parts = []
    for name, side in zip(NUMBERS, sides, strict=True):
        head, value = ranked(side.sweep.change)[0]
        parts.append(
            f"in the {name} sentence {head.name} matters most (log-odds from {signed(side.sweep.base)} to "
            f"{signed(side.sweep.base + value)}), {_turning(side.sweep)}"
        )
    return f"Switching heads off one at a time: {'; '.join(parts)}."


def _turning(sweep: Sweep) -> str:
    """How many heads turn the answer, each by itself."""
    count = len(turning(sweep))
    return "and no head turns the answer" if not count else f"and {count} turn{'s' * (count == 1)} the answer"


def _carries(sides: tuple[Side, Side]) -> str:
    parts = []
    for name, side in zip(NUMBERS, sides, strict=True):
        head, value = ranked(side.patched.change)[0]
        after = side.patched.base + value
        moves = f"{head.name} moves the log-odds from {signed(side.patched.base)} to {signed(after)}"
        if abs(value) < ALMOST:
            moves = f"no head moves the log-odds by {ALMOST:g} or more (now {signed(side.patched.base)})"
        parts.append(f"in the {name}, {moves}, {_turning(side.patched)}")
    return f"Giving one head what it says in the other sentence (activation patching): {'; '.join(parts)}."


def _agrees(sides: tuple[Side, Side]) -> list[str]:
    """Whether the heads that look are the heads that matter."""
    looks = ranked(change_of(sides))
    if len(looks) < 3:
        return []
    worth = {head: value for head, value in effects(sides)}
    order = spearman(np.array([abs(value) for _, value in looks]), np.array([worth[head] for head, _ in looks]))
    best = looks[0][0]
    place = [head for head, _ in effects(sides)].index(best) + 1
    first = (
        f"The head whose attention changes most, {best.name}, changes the log-odds by {worth[best]:.2f} on average "
        f"when it is off: number {place} of {len(worth)}."
    )
    if worth[best] < ALMOST:
        first += " The answer hardly depends on this head alone, whatever its attention shows."
    if math.isnan(order):  # all of them changed alike, or none mattered
        return [first]
    words = "agree" if order >= 0.5 else "agree only in part" if order >= 0.2 else "do not agree"
    return [
        first,
        f"Over all heads, how much the attention changes and how much switching off matters {words}: "
        f"rank correlation {signed(order)}.",
    ]


def change_of(sides: tuple[Preferring, Preferring]) -> dict[Kind, np.ndarray]:
    """By kind, float32 (layer, head): the margin in the first sentence minus that in the second."""
    return {kind: sides[0].margins[kind] - sides[1].margins[kind] for kind in KINDS}


def effects(sides: tuple[Side, Side]) -> list[tuple[Head, float]]:
    """Every head with the size of what switching it off does to the log-odds, the mean over both sentences; largest
    first.
    """
    first, second = (side.sweep.change for side in sides)
    return ranked({kind: (np.abs(first[kind]) + np.abs(second[kind])) / 2 for kind in KINDS})


def turning(sweep: Sweep) -> list[Head]:
    """The heads that turn the answer, each by itself."""
    return [head for head, off in ranked(sweep.off) if off * sweep.base < 0]


def ranked(values: Mapping[Kind, np.ndarray]) -> list[tuple[Head, float]]:
    """Every head that was measured with its value, the largest size first; the earlier of equals."""
    found = [
        (Head(kind, int(layer), int(head)), float(array[layer, head]))
        for kind, array in values.items()
        for layer, head in np.argwhere(~np.isnan(array))
    ]
    return sorted(found, key=lambda item: -abs(item[1]))


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, which is a minus sign and no hyphen: "+0.31", "−1.20"; none where it rounds to zero, and
    "–" for NaN.
    """
    if math.isnan(value):
        return "–"
    size = f"{abs(value):.{digits}f}"
    return size if float(size) == 0 else f"{'−' if value < 0 else '+'}{size}"
