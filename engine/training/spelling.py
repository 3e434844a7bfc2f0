"""How an unknown word is spelled: characters counted on rare words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from engine.words import UNKNOWN, Words

RARE = 2  # a word seen at most so often looks like an unknown word
START, END = "\ud800", "\ud801"  # no characters of any text
OUTCOMES = 0x110000 + 1  # every code point, and the end of the word
ORDER = 5


class Speller:
    """Spells words that the vocabulary lacks: characters after at most four before them, interpolated.

    Source: Witten and Bell 1991 (method C); Chen and Goodman 1998, section 2.5. The order below single characters is
    uniform over all code points and the end of the word, so that no word is impossible.
    """

    def __init__(self, words: Iterable[str], order: int = ORDER) -> None:
        """Args:
        words: those to count, each once: the rare ones, which look like unknown words.
        order: the most characters of a count, at least 1.
        """
        self.order = order
        grams: Counter[str] = Counter()
        for word in words:
            spelled = f"{START}{word}{END}"
            for end in range(1, len(spelled)):
                grams.update(spelled[start : end + 1] for start in range(max(0, end - order + 1), end + 1))
        self._counts = dict(grams)
        self._totals: Counter[str] = Counter()
        self._different: Counter[str] = Counter()
        for gram, count in grams.items():
            self._totals[gram[:-1]] += count
            self._different[gram[:-1]] += 1

    def probability(self, character: str, before: str) -> float:
        """Of a character, or `END`, after the beginning of a word (`START` included)."""
        value = 1 / OUTCOMES
        for length in range(min(self.order - 1, len(before)) + 1):
            context = before[len(before) - length :]
            if context not in self._totals:
                break
            different = self._different[context]
            seen = self._counts.get(context + character, 0)
            value = (seen + different * value) / (self._totals[context] + different)
        return value

    def bits(self, word: str) -> float:
        """−log2 of the probability to spell a word and end."""
        spelled = f"{START}{word}{END}"
        return -math.fsum(math.log2(self.probability(spelled[i], spelled[:i])) for i in range(1, len(spelled)))


def speller_of(seen: Mapping[str, int], words: Words) -> Speller:
    """The speller counted on the words seen once or twice, and on all others that the vocabulary lacks."""
    return Speller(token for token, count in seen.items() if count <= RARE or words.id_of(token) == UNKNOWN)
