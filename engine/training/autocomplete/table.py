"""The baseline without context: for the letters typed so far, the most frequent words that begin with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


class PrefixTable:
    """The most frequent words of each beginning.

    Attributes:
        ranks: int64 (vocabulary, longest word + 1): place, from 0, of each word among those that begin with its own
            first k letters; past its last letter, that at its last letter.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Args:
        vocabulary: words, most frequent first.
        """
        seen: Counter[str] = Counter()
        self._vocabulary = vocabulary
        self.ranks = np.zeros((len(vocabulary), max(map(len, vocabulary)) + 1), dtype=np.int64)
        for index, word in enumerate(vocabulary):
            for known in range(len(word) + 1):
                self.ranks[index, known:] = seen[word[:known]]
                seen[word[:known]] += 1

    def words(self, prefix: str, count: int = 3) -> tuple[str, ...]:
        """The most frequent words that begin with a prefix, at most `count`, most frequent first."""
        return tuple([word for word in self._vocabulary if word.startswith(prefix)][:count])

    def rank(self, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Place of the right word among the table's predictions, 0 where it is the first.

        Args:
            targets: int (N,), index of the word that is being typed.
            known: int (N,), letters of it that have been typed.

        Returns:
            int64 (N,).
        """
        return self.ranks[targets, np.minimum(known, self.ranks.shape[1] - 1)]
