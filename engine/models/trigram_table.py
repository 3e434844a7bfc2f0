"""Counts of words, pairs and triples of words as sorted arrays: the weights of a trigram model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Table:
    """Counts as sorted arrays. The text is a ring: every word and every pair has something after it.

    A pair's words are row and column of a sparse matrix, stored by rows; so are a triple's pair and third word. What a
    smaller table leaves out keeps its share: a row's total counts everything that was seen.

    Attributes:
        word_counts: int (V,), times that each word was seen.
        word_left: int (V,), what the pairs leave to single words: see `pair_left`.
        word_totals: int (V,), the sum of `pair_left` over all words after this one, pairs left out included.
        pair_offsets: int (V + 1,), where the pairs of each first word begin.
        pair_seconds: int (P,), their second words, rising within a row.
        pair_counts: int (P,), times that each pair was seen.
        pair_left: int (P,), what the triples leave to the pair as their end: one for each triple in the table (the
            number of different words before it), and all counts of those that were left out.
        triple_offsets: int (P + 1,), where the triples of each pair begin.
        triple_thirds: int (T,), their third words, rising within a row.
        triple_counts: int (T,), times that each triple was seen.
        start_pairs: int (S,), indices of the pairs that begin sentences, rising.
        start_counts: int (S,), how often they do.
    """

    word_counts: np.ndarray
    word_left: np.ndarray
    word_totals: np.ndarray
    pair_offsets: np.ndarray
    pair_seconds: np.ndarray
    pair_counts: np.ndarray
    pair_left: np.ndarray
    triple_offsets: np.ndarray
    triple_thirds: np.ndarray
    triple_counts: np.ndarray
    start_pairs: np.ndarray
    start_counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by its name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def pair_firsts(self) -> np.ndarray:
        """The first word of each pair: int64 (P,)."""
        return np.repeat(np.arange(len(self.word_counts)), np.diff(self.pair_offsets))

    @cached_property
    def triple_pairs(self) -> np.ndarray:
        """The pair of each triple's first two words: int64 (T,)."""
        return np.repeat(np.arange(len(self.pair_counts)), np.diff(self.triple_offsets))

    @cached_property
    def pair_keys(self) -> np.ndarray:
        """First word × V + second, rising: int64 (P,)."""
        return self.pair_firsts * len(self.word_counts) + self.pair_seconds

    @cached_property
    def triple_keys(self) -> np.ndarray:
        """Pair × V + third word, rising: int64 (T,)."""
        return self.triple_pairs * len(self.word_counts) + self.triple_thirds

    def fault(self, words: int) -> str:
        """What is wrong with arrays from a file, for a vocabulary of `words`; "" if nothing is."""
        for name, array in self.arrays().items():
            if array.ndim != 1 or array.dtype.kind not in "iu":
                return f"{name} is no list of whole numbers"
            if len(array) and array.min() < (1 if name in ("pair_counts", "pair_left", "triple_counts") else 0):
                return f"{name} holds a number that is too small"
        pairs, triples = len(self.pair_seconds), len(self.triple_thirds)
        lengths = {
            "word_counts": words, "word_left": words, "word_totals": words, "pair_offsets": words + 1,
            "pair_counts": pairs, "pair_left": pairs, "triple_offsets": pairs + 1, "triple_counts": triples,
            "start_counts": len(self.start_pairs),
        }  # fmt: skip
        for name, length in lengths.items():
            if len(getattr(self, name)) != length:
                return f"{name} has {len(getattr(self, name))} numbers instead of {length}"
        for name, end in (("pair_offsets", pairs), ("triple_offsets", triples)):
            offsets = getattr(self, name)
            if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
                return f"{name} do not rise from 0 to {end}"
        for name, below in (("pair_seconds", words), ("triple_thirds", words), ("start_pairs", pairs)):
            if (getattr(self, name) >= below).any():
                return f"{name} holds an id above {below - 1}"
        for name in ("pair_keys", "triple_keys", "start_pairs"):
            if (np.diff(getattr(self, name)) <= 0).any():
                return f"{name.removesuffix('_keys')} are not in rising order"
        if (row_sums(self.pair_firsts, self.pair_left, words) > self.word_totals).any():
            return "the pairs of a word sum to more than its total"
        if (row_sums(self.triple_pairs, self.triple_counts, pairs) > self.pair_counts).any():
            return "the triples of a pair sum to more than its count"
        return ""


def row_sums(rows: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sum of the values of each row: float64 (count,)."""
    return np.bincount(rows, weights=values, minlength=count)


def find_keys(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted key stands in rising keys, -1 where it does not: int64, the shape of `wanted`."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def narrowed(array: np.ndarray) -> np.ndarray:
    """The same whole numbers as uint16 if they fit, else as int32."""
    small = not len(array) or int(array.max()) < 2**16
    return np.ascontiguousarray(array, dtype=np.uint16 if small else np.int32)


def widened(array: np.ndarray) -> np.ndarray:
    """Whole numbers as int32, in which their sums and differences fit; others as they are."""
    return array.astype(np.int32) if array.dtype.kind in "iu" and array.dtype != np.int64 else array
