"""How strongly each earlier input influences each output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MASKED = -1
"""In place of a word's index: the row is no target's, e.g. since its word is outside the vocabulary."""


@dataclass(frozen=True, slots=True)
class Connectivity:
    """One number for each output time and input time. Source: Madsen 2019.

    Modes, with g the gradient of the target's logit with respect to an input's vector and E (symbols, d) the vectors of
    all symbols: "embedding" ‖g‖₂, "one-hot" √(gᵀEᵀE g), which is the norm with respect to the one-hot input, and
    "squared" gᵀEᵀE g, without the root, which the article's figures show. Rows are not comparable with each other.

    Attributes:
        values: float32 (T, T), or (T, S) for the source of an encoder-decoder model; row = output time t̃, column =
            input time t. After a row's own time exactly 0; a masked row is 0 throughout. "squared" numbers below 1e-38
            are 0 here, as in the article's data.
        relative: float32, each row divided by its largest |value|, which loses nothing small; 0 where all is 0.
        peaks: float64 (T,), those largest.
        mode: "embedding", "one-hot" or "squared", or the name of an attribution, whose values are signed.
        words: whose logit each row is about; −1 where the row is masked.
    """

    values: np.ndarray
    relative: np.ndarray
    peaks: np.ndarray
    mode: str
    words: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.values.shape == self.relative.shape and self.values.dtype == self.relative.dtype == np.float32
        assert len(self.values) == len(self.words) == len(self.peaks)
        for array in (self.values, self.relative, self.peaks):
            array.setflags(write=False)

    @classmethod
    def of(cls, exact: np.ndarray, mode: str, words: Sequence[int]) -> Connectivity:
        """From float64 numbers."""
        peaks = np.abs(exact).max(1, initial=0.0)
        relative = np.divide(exact, peaks[:, None], out=np.zeros_like(exact), where=peaks[:, None] > 0)
        with np.errstate(under="ignore", over="ignore"):
            return cls(exact.astype(np.float32), relative.astype(np.float32), peaks, mode, tuple(words))

    @property
    def masked(self) -> np.ndarray:
        """Bool (T,), True at rows that are no target's."""
        return np.array(self.words) == MASKED


Suggestions = tuple[tuple[str, float], ...]
"""Words and their probabilities in [0, 1], most probable first."""


@dataclass(frozen=True, slots=True)
class ConnectedText:
    """A text, what a network suggests at each character, and what each suggestion rests on.

    Position t has read the characters 0..t and predicts the word that character t belongs to; a space belongs to the
    word after it. Source: Madsen 2019, "Visualizing memorization in RNNs".

    Attributes:
        name: of the network, for people.
        text: the characters (T,), each a small letter a-z or a space; the first is a space in a network of this
            project.
        desired: (T,) the word that each character belongs to; "" where it is outside the vocabulary or unfinished.
        suggestions: (T,) the three most probable words at each character.
        targets: (T,) the word whose logit each row of `connectivity` is about; "" where the row is masked.
        connectivity: float32 (T, T), row = output time, column = input time; rows masked where `targets` is "".
        window: the most characters that are read at once; 0 where the whole text is.
        first: (T,) the first character that can have reached each position; empty where `window` tells it: the
            positions before that many characters see everything, each later one the last so many.
    """

    name: str
    text: str
    desired: tuple[str, ...]
    suggestions: tuple[Suggestions, ...]
    targets: tuple[str, ...]
    connectivity: Connectivity
    window: int = 0
    first: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        length = len(self.text)
        assert len(self.first) in (0, length) and all(0 <= start <= time for time, start in enumerate(self.first))
        assert len(self.desired) == len(self.suggestions) == len(self.targets) == length
        assert self.connectivity.values.shape == (length, length)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def words(self) -> np.ndarray:
        """The number of each character's word, from 0; a space belongs to the word after it: int (T,)."""
        spaces = np.array([letter == " " for letter in self.text], dtype=int)
        return np.cumsum(spaces) - int(self.text[:1] == " ")

    @property
    def known(self) -> np.ndarray:
        """How many letters of its word each position has read: 0 at the space before it, int (T,)."""
        counts, count = [], 0
        for letter in self.text:
            count = 0 if letter == " " else count + 1
            counts.append(count)
        return np.array(counts, dtype=int)

    @property
    def reached_from(self) -> np.ndarray:
        """The first character that can have reached each position, int (T,)."""
        if self.first:
            return np.array(self.first, dtype=int)
        times = np.arange(len(self))
        return np.maximum(0, times - self.window + 1) if self.window else np.zeros_like(times)
