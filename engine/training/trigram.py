"""Counting words, pairs and triples of words: the training of the trigram model, and its bits per character."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ConfigError, EmptyInput, InputError, InputTooLong
from engine.models.trigram import Table, Trigram, TrigramConfig
from engine.prose import normalise_prose
from engine.training.language.text import read_prose
from engine.weights import WEIGHTS, sha256_of, write_json
from engine.words import PARAGRAPH, UNKNOWN, WORDS, Words, split_words

BITS = 21  # of an id in a packed key: three ids fit into 63 bits
MOST_WORDS = 60_000  # of a table that ships or is made of an own text
MOST_CHARACTERS, LEAST_WORDS = 20_000_000, 100  # of an own text
PRUNED_FROM = 1_000_000  # tokens of an own text, from which triples seen once are left out
RARE = 2  # a word seen at most so often looks like an unknown word
STOPS = (".", "!", "?")
CLOSERS = ('"', "'", ")", "]", "_")  # what may stand between a full stop and the next sentence
OPENERS = "\"'([_"
ABBREVIATIONS = ("Mr", "Mrs", "Ms", "Dr", "St", "Rev", "Capt", "Col", "Gen", "Prof", "Hon", "Messrs", "Esq", "Mme")
START, END = "\ud800", "\ud801"  # no characters of any text
OUTCOMES = 0x110000 + 1  # every code point, and the end of the word
ORDER = 5


@dataclass(frozen=True, slots=True)
class TrigramTraining:
    """One run of `saccade train trigram`.

    Attributes:
        name: of the model that comes out.
        vocabulary: the most different words, "<unk>" included.
        least_word: times that a word of the vocabulary was seen.
        least_pair: times that a pair of the table was seen, unless a triple of the table begins with it.
        least_triple: times that a triple of the table was seen.
        least_start: times that a pair began a sentence, to be among the table's starts.
    """

    name: str = "trigram"
    vocabulary: int = 30_000
    least_word: int = 2
    least_pair: int = 3
    least_triple: int = 3
    least_start: int = 5

    def __post_init__(self) -> None:
        if not 100 <= self.vocabulary <= MOST_WORDS:
            raise ConfigError(f"vocabulary {self.vocabulary}: choose 100 to {MOST_WORDS} words.")
        if min(self.least_word, self.least_pair, self.least_triple, self.least_start) < 1:
            raise ConfigError("least_word, least_pair, least_triple and least_start are at least 1.")


# --- Counting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Counts:
    """Every triple of a text, which is closed to a ring, so that pairs and words are sums of triples.

    Attributes:
        words: size of the vocabulary.
        triples: int64 (T,), three ids of `BITS` bits each, rising.
        counts: int64 (T,), times that each was seen.
        starts: int64 (S,), two ids of pairs that begin sentences, rising.
        start_counts: int64 (S,), how often they do.
    """

    words: int
    triples: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    start_counts: np.ndarray


def count_tokens(books: Iterable[str]) -> Counter[str]:
    """How often each token was seen; a paragraph break stands before each book."""
    counts: Counter[str] = Counter()
    for book in books:
        counts.update(split_words(book))
        counts[PARAGRAPH] += 1
    return counts


def count_words(books: Iterable[str], words: Words) -> Counts:
    """Every triple of some books, one after another, and after the last the first again.

    Args:
        books: normalised prose.
        words: the vocabulary.
    """
    paragraph = np.array([words.id_of(PARAGRAPH)], dtype=np.int32)
    parts = [part for book in books for part in (paragraph, words.encode_ids(book))]
    ids = np.concatenate(parts).astype(np.int64)
    begins = np.flatnonzero(_begins(ids, words))
    ids = np.concatenate([ids, ids[:2]])
    triples, counts = np.unique((ids[:-2] << 2 * BITS) | (ids[1:-1] << BITS) | ids[2:], return_counts=True)
    starts, start_counts = np.unique((ids[begins] << BITS) | ids[begins + 1], return_counts=True)
    return Counts(len(words), triples, counts, starts, start_counts)


def _begins(ids: np.ndarray, words: Words) -> np.ndarray:
    """Where a sentence begins: after a full stop with its quotation marks, or after a break; bool (N,)."""
    paragraph, abbreviations = words.id_of(PARAGRAPH), _ids_of(words, _abbreviations())
    ended = np.isin(ids, _ids_of(words, STOPS))
    ended[1:] &= ~np.isin(ids[:-1], abbreviations)
    closers = np.isin(ids, _ids_of(words, CLOSERS))
    for _ in range(2):  # a quotation within a quotation
        ended[1:] |= closers[1:] & ended[:-1]
    ended |= ids == paragraph
    begins = np.roll(ended, 1) & _opens(words)[ids]
    return begins


def _opens(words: Words) -> np.ndarray:
    """Which words may begin a sentence: with a capital, a digit or an opening mark after the space; bool (V,)."""
    firsts = (token[1:2] if token.startswith(" ") else "" for token in words.vocabulary)
    return np.array([first.isupper() or first.isdigit() or (first != "" and first in OPENERS) for first in firsts])


def _abbreviations() -> tuple[str, ...]:
    """Tokens whose full stop ends no sentence: titles, and single letters but I, which ends sentences."""
    letters = tuple("ABCDEFGHJKLMNOPQRSTUVWXYZ")
    return tuple(f"{space}{word}" for word in ABBREVIATIONS + letters for space in (" ", ""))


def _ids_of(words: Words, tokens: Iterable[str]) -> tuple[int, ...]:
    """The ids of those tokens that are in the vocabulary, rising."""
    return tuple(sorted({words.id_of(token) for token in tokens} - {UNKNOWN}))


# --- The table --------------------------------------------------------------------------------------------------------


def full_trigram(counts: Counts, words: Words) -> Trigram:
    """The model of everything that was counted."""
    return prune(counts, words, 1, 1, 1)


def prune(counts: Counts, words: Words, least_pair: int, least_triple: int, least_start: int = 1) -> Trigram:
    """A model of the triples, pairs and starts that were seen often enough.

    What is left out goes to the order below: a pair's total still counts every triple, and the counts left out join
    what the order below is estimated from. Discounts are those of the full counts.

    Args:
        counts: of a text.
        words: their vocabulary.
        least_pair: times that a pair was seen; pairs that begin a triple of the table stay all the same.
        least_triple, least_start: times that a triple was seen, and that a pair began a sentence.
    """
    low = (1 << BITS) - 1
    size = counts.words
    pair_rows = np.flatnonzero(np.diff(counts.triples >> BITS, prepend=-1))
    pairs, pair_counts = counts.triples[pair_rows] >> BITS, np.add.reduceat(counts.counts, pair_rows)
    word_counts = np.bincount(pairs >> BITS, weights=pair_counts, minlength=size).astype(np.int64)

    kept_triples = counts.counts >= least_triple
    ends = np.searchsorted(pairs, counts.triples & ((1 << 2 * BITS) - 1))
    left = np.where(kept_triples, 1, counts.counts)
    pair_left = np.bincount(ends, weights=left, minlength=len(pairs)).astype(np.int64)
    triple_rows = np.repeat(np.arange(len(pairs)), np.diff(pair_rows, append=len(counts.triples)))

    kept_pairs = pair_counts >= least_pair
    kept_pairs[triple_rows[kept_triples]] = True
    word_left = np.bincount(pairs & low, weights=np.where(kept_pairs, 1, pair_left), minlength=size).astype(np.int64)
    word_totals = np.bincount(pairs >> BITS, weights=pair_left, minlength=size).astype(np.int64)

    lengths = np.bincount(triple_rows[kept_triples], minlength=len(pairs))[kept_pairs]
    starts = (counts.start_counts >= least_start) & np.isin(counts.starts, pairs[kept_pairs])
    table = Table(
        word_counts=word_counts,
        word_left=word_left,
        word_totals=word_totals,
        pair_offsets=_offsets(np.bincount(pairs[kept_pairs] >> BITS, minlength=size)),
        pair_seconds=pairs[kept_pairs] & low,
        pair_counts=pair_counts[kept_pairs],
        pair_left=pair_left[kept_pairs],
        triple_offsets=_offsets(lengths),
        triple_thirds=counts.triples[kept_triples] & low,
        triple_counts=counts.counts[kept_triples],
        start_pairs=np.searchsorted(pairs[kept_pairs], counts.starts[starts]),
        start_counts=counts.start_counts[starts],
    )
    discounts = (discounts_of(counts.counts), discounts_of(pair_left), discounts_of(word_left))
    config = TrigramConfig(
        size, words.id_of(PARAGRAPH), _ids_of(words, STOPS), _ids_of(words, _abbreviations()), discounts
    )
    return Trigram(config, table)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    """Where rows of these lengths begin, and the end of the last."""
    return np.concatenate([[0], np.cumsum(lengths)])


def discounts_of(counts: np.ndarray) -> tuple[float, float, float]:
    """What to take off counts of 1, 2, and 3 or more.

    Source: Chen and Goodman 1998, eq. 26 (modified Kneser-Ney); where a small text has no number seen so often, one
    discount for all, Ney et al. 1994; where that has none either, 1/2.

    Args:
        counts: int (N,), of different things.
    """
    one, two, three, four = (int((counts == seen).sum()) for seen in (1, 2, 3, 4))
    if not one or not two:
        return 0.5, 0.5, 0.5
    single = one / (one + 2 * two)
    if not three or not four:
        return single, single, single
    found = (1 - 2 * single * two / one, 2 - 3 * single * three / two, 3 - 4 * single * four / three)
    first, second, third = (value if 0 < value < seen else single for seen, value in enumerate(found, 1))
    return first, second, third


def count_text(text: str) -> tuple[Words, Trigram]:
    """The words and the model of a text of one's own, everything counted; of a long one not the triples seen once.

    Args:
        text: any prose, at most 20 million characters.

    Raises:
        EmptyInput: nothing is left after normalisation.
        InputTooLong: the text is longer.
        InputError: it has fewer than 100 words.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputTooLong(
            f"The text has {len(text):,} characters; {MOST_CHARACTERS:,} is the most. Give a part of it."
        )
    prose = normalise_prose(text)
    if not prose:
        raise EmptyInput("The text is empty. Give a text of a few pages: the longer, the better.")
    length = len(prose.split())
    if length < LEAST_WORDS:
        raise InputError(f"The text has {length} words; counting needs {LEAST_WORDS} at least. Give a longer text.")
    seen = count_tokens([prose])
    words = Words.of_counts(seen, MOST_WORDS)
    least = 2 if seen.total() >= PRUNED_FROM else 1
    return words, prune(count_words([prose], words), words, 1, least)


# --- Bits per character -----------------------------------------------------------------------------------------------


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


def rare_speller(seen: Counter[str]) -> Speller:
    """The speller of the words seen once or twice."""
    return Speller(token for token, count in sorted(seen.items()) if count <= RARE)


def bits_per_character(model: Trigram, words: Words, text: str, speller: Speller) -> float:
    """The mean surprise of a text's characters: −log2 p of all its tokens over the number of characters.

    An unknown word costs the probability of `UNKNOWN` and its spelling. Other ways to cut the text into tokens count
    for nothing, so that this is an upper bound of the model's own bits.

    Args:
        model: what predicts the tokens; a paragraph break stands before the first.
        words: its vocabulary.
        text: normalised prose.
        speller: of unknown words.

    Raises:
        EmptyInput: there is no text.
    """
    if not text:
        raise EmptyInput("There is no text to measure. Give one with words in it.")
    tokens = split_words(text)
    ids = words.ids_of(tokens)
    bits = -float(np.log2(model.probabilities(ids)).sum())
    unknown = Counter(tokens[place] for place in np.flatnonzero(ids == UNKNOWN))
    return (bits + math.fsum(count * speller.bits(token) for token, count in unknown.items())) / len(text)
