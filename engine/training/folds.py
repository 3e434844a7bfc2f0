"""What training never shows: the lecture's two sentences, and an eighth of the noun pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from typing import Literal

from engine.training.lexicon import Noun
from engine.training.sentences import Draft

Fold = Literal["train", "valid", "test", "lecture"]

LECTURE = (
    ("The animal didn't cross the street because it was too tired.", "il"),
    ("The animal didn't cross the street because it was too wide.", "elle"),
)
LECTURE_ITS = (
    "The Law will never be perfect, but its application should be just."  # after Vaswani et al. 2017, figure 4
)
LECTURE_NOUNS = frozenset({"animal", "street"})


@cache
def pair_fold(first: Noun, second: Noun) -> Fold:
    """Return which part of the data may show two nouns together.

    About 12 % of the opposite-gender pairs are held out, chosen by a hash that no Python version changes. Pairs of one
    gender all train: their sentences say nothing about il or elle.
    """
    names = sorted((first.english, second.english))
    if set(names) == LECTURE_NOUNS:
        return "lecture"
    if first.gender == second.gender or not LECTURE_NOUNS.isdisjoint(names):
        return "train"
    number = int.from_bytes(hashlib.sha256(" ".join(names).encode()).digest()[:4], "big") % 100
    return "valid" if number < 6 else "test" if number < 12 else "train"


def folds(nouns: Iterable[Noun]) -> set[Fold]:
    """Return the folds of all pairs among `nouns`."""
    return {pair_fold(first, second) for first, second in combinations(nouns, 2)}


def resembles_lecture(draft: Draft) -> bool:
    """Return whether a sentence puts "animal" with "tired" or "street" with "wide", whatever its pronouns mean."""
    names = draft.names
    return ("animal" in names and " tired" in draft.english) or ("street" in names and " wide" in draft.english)
