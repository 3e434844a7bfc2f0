"""How well attention finds which words translate which: maps between hand-linked words, and scores against the links.

A link is (source word, target word), both from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

import numpy as np

from engine.errors import InputError
from engine.text import french_spacing, normalise
from engine.types import AttentionMap, LinkedPair, Tokens

Language = Literal["en", "fr"]
Step = Literal["predicts", "reads"]
Link = tuple[int, int]
Spans = tuple[tuple[int, int], ...]
RESAMPLES = 1000
_BEFORE = {",", ".", ")", "]", "...", "…", "....", "....."}  # no space before these, in both languages
_AFTER = {"(", "["}  # and none after these
_MARKS = {"?", "!", ";", ":"}  # none before these in English; in French `french_spacing` decides
_APOSTROPHES = "'’ʼ"
_QUOTES = {'"', "“", "”", "„", "«", "»"}
_ENGLISH_ENDING = re.compile(rf"(?:[{_APOSTROPHES}]\w+|n[{_APOSTROPHES}]t)$", re.IGNORECASE)  # "'s", "'ll", "'t", "n't"
_FRENCH_CLITIC = re.compile(rf"\w[{_APOSTROPHES}]$")  # "l'", "qu'", "aujourd'"


class LinkCounts(NamedTuple):
    """What the scores of an alignment A against sure links S and possible links P are made of; pairs add up.

    Attributes:
        aligned: |A|.
        sure: |S|.
        in_sure: |A ∩ S|.
        in_possible: |A ∩ P|.
    """

    aligned: int
    sure: int
    in_sure: int
    in_possible: int


def detokenised(words: Sequence[str], language: Language) -> tuple[str, Spans]:
    """Text as people write it, and where each word stands in it.

    Spaces are left out before full stops, after "l'", inside brackets and quotes and so on; French keeps one before
    ? ! : ; (`engine.text.french_spacing`). The text is already normalised, so that `Tokens.text` of a model that reads
    it is the same and the offsets hold there.

    Args:
        words: one sentence, punctuation as words of its own.
        language: "en" or "fr".

    Returns:
        The text, and for each word its characters' offsets [start, end).

    Raises:
        InputError: a word has no character that shows.
    """
    english = language == "en"
    glued = _quote_sides(words)
    text, join = "", True  # join: the next word follows at once
    for index, word in enumerate(words):
        side = glued.get(index) or ("" if not english else _single_side(words, index))
        ending = english and (_ENGLISH_ENDING.match(word) is not None or word in _MARKS or word == "%")
        left = word in _BEFORE or side == "left" or ending
        text += word if join or left else f" {word}"
        join = word in _AFTER or side == "right" or (not english and _FRENCH_CLITIC.search(word) is not None)
    text = normalise(text) if english else french_spacing(normalise(text))
    return text, word_spans(text, words)


def _quote_sides(words: Sequence[str]) -> dict[int, str]:
    """For each double quote the side it has no space on: opening ones "right", closing ones "left".

    They take turns, but one at the very end closes. Where they do not come out even, a sentence that ends with one but
    does not begin with one began inside a quotation.
    """
    places = [index for index, word in enumerate(words) if word in _QUOTES]
    ends = len(words) > 1 and len(words) - 1 in places
    inside = len(places) % 2 == 1 and ends and places[0] > 0
    sides = {place: "left" if (turn + inside) % 2 else "right" for turn, place in enumerate(places)}
    return sides | ({len(words) - 1: "left"} if ends else {})


def _single_side(words: Sequence[str], index: int) -> str:
    """The same for an apostrophe that is a word: it opens a quotation at the start and after , : and double quotes."""
    if words[index] not in _APOSTROPHES:
        return ""
    opens = index == 0 or words[index - 1] in {",", ":", *_QUOTES}
    return "right" if opens else "left"


def word_spans(text: str, words: Sequence[str]) -> Spans:
    """Where each word stands in a normalised text that is made of them; spaces do not count.

    Raises:
        InputError: the text is not made of these words, or a word has no character that shows.
    """
    kept = [place for place, character in enumerate(text) if character != " "]
    letters = "".join(text[place] for place in kept)
    spans, at = [], 0
    for number, word in enumerate(words, 1):
        bare = normalise(word).replace(" ", "")
        if not bare:
            raise InputError(f"Word {number} has no character that shows. Leave it out and number the links anew.")
        if not letters.startswith(bare, at):
            raise InputError(f"The text does not go on with word {number}, “{word}”. Give the words of this very text.")
        spans.append((kept[at], kept[at + len(bare) - 1] + 1))
        at += len(bare)
    if at < len(letters):
        raise InputError(f"The text goes on after its {len(words)} words. Give the words of the whole text.")
    return tuple(spans)


def word_map(
    attention: AttentionMap, source_words: Sequence[str], target_words: Sequence[str], by: Step = "predicts"
) -> AttentionMap:
    """A cross map between given words instead of pieces.

    A source word gets the sum of its pieces' weights; a piece that covers several words is shared out by characters. A
    target word gets the mean of the rows that predict its pieces, or that read them: a Transformer's head may look for
    the source of the word just read (Chen et al. 2020, "Accurate Word Alignment Induction from Neural Machine
    Translation", who align so). Special tokens are dropped: rows sum to 1 less what they gave to </s>, and nothing is
    divided again.

    Args:
        attention: a cross map of an output that ends with </s>.
        source_words: the words of the source, as `detokenised` wrote it.
        target_words: the words of the output.
        by: which steps a target word's rows are. Rows of steps that read have no `predicted_tokens`.

    Returns:
        A map of kind "cross" with weights float32 (layer, head, target word, source word), in [0, 1].

    Raises:
        InputError: the map is of another text.
    """
    assert attention.kind == "cross" and attention.measure == "attention"
    source = attention.key_tokens
    steps = attention.row_tokens if by == "predicts" else attention.query_tokens
    rows = _overlaps(steps, word_spans(steps.text, target_words))
    columns = _overlaps(source, word_spans(source.text, source_words))
    means = (rows > 0) / np.maximum((rows > 0).sum(axis=0), 1)
    shares = columns / np.maximum(columns.sum(axis=1, keepdims=True), 1)
    weights = means.T @ attention.weights.astype(np.float64) @ shares
    target = _word_tokens(steps.text, target_words)
    return AttentionMap(
        "cross",
        np.minimum(weights, 1).astype(np.float32),  # rounding in float32 may put a sum just over 1
        _read(target, attention.query_tokens.labels[0]) if by == "predicts" else target,
        _word_tokens(source.text, source_words),
        target if by == "predicts" else None,
        attention.layer_names,
        attention.head_names,
    )


def _overlaps(tokens: Tokens, spans: Spans) -> np.ndarray:
    """How many characters each position shares with each word, float64 (position, word); special tokens none.

    A piece without characters (a lone word boundary) counts as one of the word that begins there.
    """
    starts, ends = np.array(tokens.spans, dtype=np.float64).reshape(-1, 2).T[:, :, None]
    first, last = np.array(spans, dtype=np.float64).reshape(-1, 2).T[:, None, :]
    shared = np.clip(np.minimum(ends, last) - np.maximum(starts, first), 0, None)
    shared += (starts == ends) & (first <= starts) & (starts < last)
    return np.where(np.array(tokens.special, dtype=bool)[:, None], 0.0, shared)


def _word_tokens(text: str, words: Sequence[str]) -> Tokens:
    count = len(words)
    return Tokens(text, tuple(words), (), tuple(range(count)), word_spans(text, words), (False,) * count)


def _read(predicted: Tokens, start: str) -> Tokens:
    """What is read before each word is predicted: what every output begins with, and the words but the last."""
    return Tokens(
        predicted.text,
        (start, *predicted.labels[:-1]),
        (),
        predicted.words,
        ((0, 0), *predicted.spans[:-1]),
        (True, *predicted.special[:-1]),
    )


def alignment_of(matrix: np.ndarray) -> frozenset[Link]:
    """Each target word linked to the source word it looks at most; of equals to the first.

    Args:
        matrix: weights (target word, source word), such as one head of `word_map`.
    """
    return frozenset((int(source), target) for target, source in enumerate(matrix.argmax(axis=1)))


def diagonal(source: int, target: int) -> frozenset[Link]:
    """The baseline that reads no word: each target word linked to the source word at the same relative place.

    Args:
        source: words of the source, at least 1.
        target: words of the target.
    """
    return frozenset(((2 * j + 1) * source // (2 * target), j) for j in range(target))


def link_counts(aligned: AbstractSet[Link], sure: AbstractSet[Link], possible: AbstractSet[Link]) -> LinkCounts:
    """The counts of one pair; sure links are possible too."""
    return LinkCounts(len(aligned), len(sure), len(aligned & sure), len(aligned & (possible | sure)))


def count_heads(weights: np.ndarray, pair: LinkedPair) -> np.ndarray:
    """`link_counts` of the alignment of every head at once.

    Args:
        weights: (..., target word, source word).
        pair: the links.

    Returns:
        int (..., 4), in the order of `LinkCounts`.
    """
    best = weights.argmax(axis=-1)
    steps = np.arange(len(pair.target))
    hits = [_matrix(links, pair)[steps, best].sum(axis=-1) for links in (pair.sure, pair.possible)]
    both = [np.full(best.shape[:-1], len(some)) for some in (pair.target, pair.sure)]
    return np.stack([*both, *hits], axis=-1)


def _matrix(links: Iterable[Link], pair: LinkedPair) -> np.ndarray:
    """Bool (target word, source word), True where there is a link."""
    matrix = np.zeros((len(pair.target), len(pair.source)), dtype=bool)
    for source, target in links:
        matrix[target, source] = True
    return matrix


def error_rates(counts: np.ndarray) -> np.ndarray:
    """Alignment error rate 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|), in [0, 1]. Source: Och and Ney 2003, section 5.

    For a corpus give the sums over its pairs, which is not the mean of their rates.

    Args:
        counts: (..., 4), in the order of `LinkCounts`.

    Returns:
        (...), NaN where neither A nor S has a link.
    """
    aligned, sure, in_sure, in_possible = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return 1 - _divided(in_sure + in_possible, aligned + sure)


def precisions(counts: np.ndarray) -> np.ndarray:
    """|A ∩ P| / |A|, as `error_rates`; NaN where A has no link."""
    return _divided(counts[..., 3], counts[..., 0])


def recalls(counts: np.ndarray) -> np.ndarray:
    """|A ∩ S| / |S|, as `error_rates`; NaN where S has no link."""
    return _divided(counts[..., 2], counts[..., 1])


def _divided(parts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    parts, totals = np.asarray(parts, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    return np.divide(parts, totals, out=np.full(parts.shape, np.nan), where=totals > 0)


def alignment_error_rate(aligned: AbstractSet[Link], sure: AbstractSet[Link], possible: AbstractSet[Link]) -> float:
    """`error_rates` of one pair; 0 is right, 1 has nothing in common."""
    return float(error_rates(np.array(link_counts(aligned, sure, possible))))


def given_hits(aligned: AbstractSet[Link], pair: LinkedPair) -> tuple[int, int]:
    """Of the target words that have a link, how many an alignment links to one of theirs; and how many have one."""
    linked = {target for _, target in pair.possible}
    return len({target for _, target in aligned & pair.possible}), len(linked)


def link_accuracy(matrix: np.ndarray, pair: LinkedPair) -> float:
    """Share of the target words with a link whose best source word is one of theirs, in [0, 1]; NaN without links.

    For pairs of which only some links are given, where alignment error rate would punish what nobody judged.

    Args:
        matrix: weights (target word, source word).
        pair: the links; sure and possible ones count alike.
    """
    right, count = given_hits(alignment_of(matrix), pair)
    return right / count if count else float("nan")


def resample(pairs: int, seed: int = 0, times: int = RESAMPLES) -> np.ndarray:
    """Bootstrap over sentence pairs: how often each is drawn in as many draws as there are pairs.

    Source: Efron and Tibshirani 1993. The same seed gives the same draws: scores of two alignments on them are paired.

    Returns:
        int (times, pairs), rows sum to `pairs`.
    """
    return np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), size=times)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of resampled scores (time, ...): their 2.5th and 97.5th percentiles."""
    low, high = np.percentile(values, (2.5, 97.5), axis=0)
    return low, high
