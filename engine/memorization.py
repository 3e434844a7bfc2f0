"""Memorization: how far back the suggestions of a network rest on its input, as numbers over a connected text.

All of them compare shares of a row, never rows with each other: a row's **mass** is the sum of |c(t, t̃)| over input
times t, and the **share** of a position is its part of that. Shares are computed from `Connectivity.relative`, in which
nothing small is lost. Rows count that are a target's and have a mass; a masked row and a row of zeros have no shares.

Shares depend on the mode. Squaring favours what is large, so that the same network looks more forgetful "squared" than
"one-hot"; compare networks in one mode only. Squares and roots of a text's numbers are `with_mode`.

Source: the connectivity is that of Madsen 2019, "Visualizing memorization in RNNs" (Distill). The article reads its
figures by eye; the numbers here say the same of them, and `tests/engine/test_article.py` computes them for its data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.analysis import spearman
from engine.errors import ConfigError
from engine.types import ConnectedText, Connectivity

MOST_KNOWN = 8  # letters; by as many the accuracies on the models' cards are told apart
EARLIER = 10  # characters before a position, from which on its ranks are compared
SUGGESTED = 3  # words at each character


@dataclass(frozen=True, slots=True)
class MassByKnown:
    """The mass outside the current word where so many of its letters are known; those of several texts add up.

    Attributes:
        known: letters of the word that have been read, 0 at the space before it.
        total: sum over rows of the share outside, in [0, rows].
        rows: that count.
    """

    known: int
    total: float
    rows: int

    @property
    def share(self) -> float:
        """The mean over rows, in [0, 1]; NaN without rows."""
        return self.total / self.rows if self.rows else float("nan")

    def __add__(self, other: MassByKnown) -> MassByKnown:
        assert self.known == other.known
        return MassByKnown(self.known, self.total + other.total, self.rows + other.rows)


@dataclass(frozen=True, slots=True, eq=False)
class DistanceProfile:
    """How a row's mass falls off with the distance t̃ − t; the profiles of several texts add up.

    Attributes:
        totals: float64 (L + 1,), at each distance 0..L the sum over rows of the share there.
        counts: int64 (L + 1,), rows that have a position at that distance.
        lag: sum over rows of each row's mean distance, whatever L is.
    """

    totals: np.ndarray
    counts: np.ndarray
    lag: float

    def __post_init__(self) -> None:
        assert self.totals.shape == self.counts.shape and len(self.totals) > 0
        for array in (self.totals, self.counts):
            array.setflags(write=False)

    @property
    def shares(self) -> np.ndarray:
        """The mean share at each distance, float64 (L + 1,) in [0, 1]; NaN where no row has it.

        The means are over fewer and fewer rows; they add up to 1 only where every row has every distance.
        """
        return np.divide(self.totals, self.counts, out=np.full(len(self.totals), np.nan), where=self.counts > 0)

    @property
    def rows(self) -> int:
        """How many count: distance 0 is there for every row."""
        return int(self.counts[0])

    @property
    def mean_lag(self) -> float:
        """The mean over rows of each row's mean distance, in characters; NaN without rows."""
        return self.lag / self.rows if self.rows else float("nan")

    def __add__(self, other: DistanceProfile) -> DistanceProfile:
        size = max(len(self.totals), len(other.totals))
        totals, counts = np.zeros(size), np.zeros(size, dtype=np.int64)
        for one in (self, other):
            totals[: len(one.totals)] += one.totals
            counts[: len(one.counts)] += one.counts
        return DistanceProfile(totals, counts, self.lag + other.lag)


def memorization_score(text: ConnectedText, most_known: int = MOST_KNOWN) -> tuple[MassByKnown, ...]:
    """How much a suggestion rests on anything but its own word, by the letters of the word that are known.

    Of a row t̃ in the word w: Σ_{t before w} |c(t, t̃)| / Σ_t |c(t, t̃)|. The word is its letters up to t̃ **and the
    space before it**, which announces the word and tells nothing of the context. The mean is over the shares of rows,
    so that rows of large gradients count no more than others. Rows in a text's first word, before which there is
    nothing, count as 0.

    Args:
        text: in any mode; numbers in different modes differ.
        most_known: letters; rows that know more are left out.

    Returns:
        One entry for each of 0 to `most_known`.
    """
    shares, counted = _shares(text)
    outside = (shares * (text.words[:, None] != text.words)).sum(axis=1)  # (T,)
    found = []
    for known in range(most_known + 1):
        rows = outside[counted & (text.known == known)]
        found.append(MassByKnown(known, float(rows.sum()), len(rows)))
    return tuple(found)


def influence_by_distance(text: ConnectedText, longest: int | None = None) -> DistanceProfile:
    """The mean share of a row's mass at each distance, over the rows that have a position at that distance.

    Row t̃ has the distances 0..t̃, and where a network reads a window only, those within it.

    Args:
        text: in any mode.
        longest: L, the largest distance told apart; None: all that the text has.
    """
    length = len(text)
    size = max(1, length if longest is None else longest + 1)
    shares, counted = _shares(text)
    times = np.arange(length)
    distances = times[:, None] - times  # (T, T)
    reach = times - text.reached_from  # each row's longest distance
    kept = (distances >= 0) & (distances < size)
    totals = np.bincount(distances[kept], weights=shares[kept], minlength=size)
    counts = (counted[:, None] & (reach[:, None] >= np.arange(size))).sum(axis=0)
    return DistanceProfile(totals, counts.astype(np.int64), float((shares * distances).sum()))


def hits(text: ConnectedText, top: int) -> tuple[int, int]:
    """At how many characters the desired word is among the first `top` suggestions, and how many have a desired word.

    Raises:
        ConfigError: `top` is not 1, 2 or 3.
    """
    if not 1 <= top <= SUGGESTED:
        raise ConfigError(f"{top} is no number of suggestions. Choose 1 to {SUGGESTED}.")
    pairs = zip(text.desired, text.suggestions, strict=True)
    found = [word in (said for said, _ in words[:top]) for word, words in pairs if word]
    return sum(found), len(found)


def rank_agreement(row_a: np.ndarray, row_b: np.ndarray) -> float:
    """Whether two rows find the same positions important: Spearman's rank correlation of their sizes |c|, in [−1, 1].

    Equal in every mode, since squares keep the order. NaN where a row has fewer than three numbers or all are equal.
    """
    return spearman(np.abs(row_a), np.abs(row_b))


def agreement_by_position(text: ConnectedText, other: np.ndarray, earlier: int = EARLIER) -> np.ndarray:
    """`rank_agreement` of each row with the same row of another matrix, such as attention, over what both can see.

    That is the row's own position and those before it, within what the network reads at once.

    Args:
        text: in any mode.
        other: float (T, T), row = output time, column = input time.
        earlier: how many characters before a position must be seen from it.

    Returns:
        float64 (T,), NaN where the row does not count, has fewer earlier characters, or has no order to agree on.
    """
    assert other.shape == (len(text), len(text))
    relative, found = text.connectivity.relative, np.full(len(text), np.nan)
    for time in np.flatnonzero(_shares(text)[1]):
        seen = slice(text.reached_from[time], time + 1)
        if time - seen.start >= earlier:
            found[time] = rank_agreement(relative[time, seen], other[time, seen])
    return found


Measured = tuple[float, float, float]
"""A mean, and the lower and upper end of its 95 % interval."""


@dataclass(frozen=True, slots=True)
class Shorter:
    """Whether one network remembers shorter than another: what the article found of its nested LSTM and its GRU.

    Attributes:
        lags: mean distances of influence, in characters: of the one, of the other.
        outside: shares of the influence outside the current word before its first letter is known, of both.
        smaller: of these two figures, how many are smaller for the one, with intervals that do not overlap: 0 to 2.
    """

    lags: tuple[Measured, Measured]
    outside: tuple[Measured, Measured]

    @property
    def smaller(self) -> int:
        return sum(one[2] < other[1] for one, other in (self.lags, self.outside))


def remembers_shorter(one: Mapping[str, Any], other: Mapping[str, Any]) -> Shorter:
    """From what `engine.training.autocomplete.memory.mode_scores` gave of two networks in one mode."""
    lags = [(of["mean_lag"], *of["mean_lag_interval"]) for of in (one, other)]
    scores = [of["memorization"] for of in (one, other)]
    outside = [(score["by_known"][0], *score["intervals"][0]) for score in scores]
    return Shorter((lags[0], lags[1]), (outside[0], outside[1]))


def with_mode(text: ConnectedText, mode: str) -> ConnectedText:
    """The same text in another mode, where its numbers tell it: "squared" is "one-hot" squared, and that its root.

    The numbers are those that the network itself would give, up to float32 rounding. Of file data in "squared" mode
    that are 0 below 1e-38, roots below 1e-19 are 0, too.

    Raises:
        ConfigError: to or from "embedding" or an attribution, which other modes do not tell.
    """
    own = text.connectivity
    if mode == own.mode:
        return text
    if {mode, own.mode} != {"one-hot", "squared"}:
        raise ConfigError(
            f"Numbers in the mode {own.mode!r} do not tell those in {mode!r}. Compute them again from the network, or "
            'choose between "one-hot" and "squared" where one of them is at hand.'
        )
    change = np.square if mode == "squared" else np.sqrt
    peaks, relative = change(own.peaks), change(own.relative.astype(np.float64))
    with np.errstate(under="ignore", over="ignore"):
        values = (relative * peaks[:, None]).astype(np.float32)
        changed = Connectivity(values, relative.astype(np.float32), peaks, mode, own.words)
    return replace(text, connectivity=changed)


def _shares(text: ConnectedText) -> tuple[np.ndarray, np.ndarray]:
    """Each position's share of each row's mass, float64 (T, T), 0 in rows that do not count; which count, bool (T,)."""
    mass = np.abs(text.connectivity.relative.astype(np.float64))
    totals = mass.sum(axis=1, keepdims=True)
    counted = ~text.connectivity.masked & (totals[:, 0] > 0)
    return np.divide(mass, totals, out=np.zeros_like(mass), where=counted[:, None]), counted
