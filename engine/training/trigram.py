"""Counting words, pairs and triples of words: the training of the trigram model, and its bits per character."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ConfigError, EmptyInput, InputError, InputTooLong
from engine.models.trigram import Table, Trigram, TrigramConfig
from engine.prose import normalise_prose
from engine.training.autocomplete.text import find_text
from engine.training.language.text import HELD_OUT, TRAIN, read_prose
from engine.training.run import RECORD
from engine.training.spelling import RARE, Speller, speller_of
from engine.weights import CONFIG, WEIGHTS, sha256_of, write_json
from engine.words import PARAGRAPH, UNKNOWN, WORDS, Words, split_words

BITS = 21  # of an id in a packed key: three ids fit into 63 bits
MOST_WORDS = 60_000  # of a table that ships or is made of an own text
MOST_CHARACTERS, LEAST_WORDS = 10_000_000, 100  # of an own text
PRUNED_FROM = 1_000_000  # tokens of an own text, from which triples seen once are left out
STOPS = (".", "!", "?")
CLOSERS = ('"', "'", ")", "]", "_")  # what may stand between a full stop and the next sentence
OPENERS = "\"'([_"
ABBREVIATIONS = ("Mr", "Mrs", "Ms", "Dr", "St", "Rev", "Capt", "Col", "Gen", "Prof", "Hon", "Messrs", "Esq", "Mme")


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


def all_words(seen: Mapping[str, int]) -> Words:
    """The vocabulary of a model with everything: the words that were seen twice."""
    return Words.of_counts(seen, 1 << BITS, RARE)


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
        least_triple: times that a triple was seen.
        least_start: times that a pair began a sentence.
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
        text: any prose, at most 10 million characters.

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
        count = f"{length} word{'s' * (length > 1)}"
        raise InputError(f"The text has {count}; counting needs {LEAST_WORDS} at least. Give a longer text.")
    seen = count_tokens([prose])
    words = Words.of_counts(seen, MOST_WORDS)
    least = 2 if seen.total() >= PRUNED_FROM else 1
    return words, prune(count_words([prose], words), words, 1, least)


# --- Bits per character -----------------------------------------------------------------------------------------------


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


# --- A run ------------------------------------------------------------------------------------------------------------


def train_trigram(
    config: TrigramTraining, data: Path, run: Path, report: Callable[[str], None] = lambda done: None
) -> dict[str, Any]:
    """Count the training books, prune, measure on the held-out books, and write the model.

    The folder gets `weights.safetensors`, `words.json`, `config.json` and `run.json`, the record.

    Args:
        config: the run.
        data: folder with the texts.
        run: the run folder.
        report: called with what has been done, in words.

    Returns:
        The record: settings, sizes, seconds, the checksum of the held-out file, and bits per character on its books of
        the table and of the model with everything counted, whose vocabulary is all words seen twice.

    Raises:
        ConfigError: a text is missing or empty.
    """
    began = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    books, held_out = read_prose(find_text(data, TRAIN)), find_text(data, HELD_OUT)
    text = PARAGRAPH.join(read_prose(held_out))
    seen = count_tokens(books)
    report(f"{seen.total():,} tokens of {len(books)} books, {len(seen):,} different ones")
    words = Words.of_counts(seen, config.vocabulary, config.least_word)
    model = prune(count_words(books, words), words, config.least_pair, config.least_triple, config.least_start)
    model.save(run)
    words.save(run / WORDS)
    pruned_bits = bits_per_character(model, words, text, speller_of(seen, words))
    report(f"{len(model.table.triple_counts):,} triples, {pruned_bits:.4f} bits per character")
    most = all_words(seen)
    full = full_trigram(count_words(books, most), most)
    full_bits = bits_per_character(full, most, text, speller_of(seen, most))
    report(f"with all {len(full.table.triple_counts):,} triples {full_bits:.4f} bits per character")
    record = {
        "config": asdict(config),
        "books": len(books),
        "characters": sum(map(len, books)),
        "tokens": seen.total(),
        "different_tokens": len(seen),
        "table": _sizes(model),
        "bytes": sum((run / name).stat().st_size for name in (WEIGHTS, WORDS, CONFIG)),
        "full_table": _sizes(full),
        "held_out_characters": len(text),
        "held_out_sha256": sha256_of(held_out),
        "bits_per_character": round(pruned_bits, 4),
        "full_bits_per_character": round(full_bits, 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(run / RECORD, record)
    return record


def _sizes(model: Trigram) -> dict[str, int]:
    table = model.table
    return {"words": model.config.words, "pairs": len(table.pair_counts), "triples": len(table.triple_counts)}
