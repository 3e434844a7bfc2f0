"""What a head does in one map: how well each of a few plain patterns describes it, and which one fits best.

Source: Clark et al. 2019, What Does BERT Look At?, sections 3.1 to 3.3: heads that look at the next or previous token,
at delimiters, or broadly.

Scores are of one text and say what a head does there. In a text of few tokens even attention, the same weight on every
key, puts much mass on any key: what names a head is how far its score is above that of even attention.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.types import AttentionMap, Kind, Tokens

MIXED = "mixed"
BROAD = "broad"
ALIGNMENT = "alignment"
POINTING_BAR = 0.3  # of the way from what even attention scores to 1
ALIGNMENT_BAR = 0.5  # the same, higher: any sharp head of a translator reaches some source positions
BROAD_BAR = 0.75  # of the entropy of even attention: among 16 keys, the entropy of even attention to 8


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern that describes a head best.

    Attributes:
        name: one of the map's kind in `PATTERNS`, or "mixed" where none reaches its bar.
        score: that pattern's, in [0, 1]; 0 for "mixed".
    """

    name: str
    score: float


def head_scores(attention: AttentionMap) -> dict[str, np.ndarray]:
    """How well each pattern of the map's kind describes each head; what each means is said at its function.

    Rows of special tokens and rows with a single key to look at do not count; a map without any other row scores 0.

    Returns:
        By name, in the order of `PATTERNS`: float64 (layer, head) in [0, 1]. For most it is the mean over rows of the
        mass on the keys that the pattern names.
    """
    rows = _rows(attention)
    return {name: np.clip(score(rows), 0.0, 1.0) for name, score in PATTERNS[attention.kind].items()}


def head_patterns(attention: AttentionMap) -> tuple[tuple[Pattern, ...], ...]:
    """The pattern that fits each head best, by layer and head.

    A score fits by how far it is on the way from the score of even attention on the same tokens to 1. The best fit that
    reaches its bar names the head, the earlier in `PATTERNS` of two equals; "broad" only names a head that nothing
    else does.
    """
    scores, even = head_scores(attention), head_scores(_even(attention))
    fits = {name: _fit(values, float(even[name][0, 0])) for name, values in scores.items() if name != BROAD}

    def pattern(layer: int, head: int) -> Pattern:
        reached = [name for name, fit in fits.items() if fit[layer, head] >= _bar(name)]
        if not reached and scores[BROAD][layer, head] >= BROAD_BAR:
            reached = [BROAD]
        if not reached:
            return Pattern(MIXED, 0.0)
        best = BROAD if reached == [BROAD] else max(reached, key=lambda name: float(fits[name][layer, head]))
        return Pattern(best, float(scores[best][layer, head]))

    return tuple(tuple(pattern(layer, head) for head in range(attention.heads)) for layer in range(attention.layers))


def _bar(name: str) -> float:
    return ALIGNMENT_BAR if name == ALIGNMENT else POINTING_BAR


def _fit(scores: np.ndarray, even: float) -> np.ndarray:
    """How far scores are on the way from `even` to 1, negative below it; 0 where even attention scores 1 itself."""
    return (scores - even) / (1 - even) if even < 1 else np.zeros_like(scores)


def _even(attention: AttentionMap) -> AttentionMap:
    """One head that gives the same weight to every key it may look at."""
    allowed = (~attention.masked()).astype(np.float32)
    weights = allowed / np.maximum(allowed.sum(axis=1, keepdims=True), 1)
    return AttentionMap(
        attention.kind, weights[None, None], attention.query_tokens, attention.key_tokens, attention.predicted_tokens
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """A map as the scores read it.

    Attributes:
        weights: float64 (layer, head, query, key). Rows that add up to more than 1 (a maximum over heads) are divided
            by their sum; rows with less than 1 (special tokens hidden) are not, so that what went counts as elsewhere.
        counted: bool (query,), True for rows that count: those of tokens that are not special and could choose
            between two keys at least.
        allowed: int (query,), how many keys a row may look at.
        keys: the tokens looked at.
        own: whether the rows' tokens are the keys, so that a row has a key of its own and neighbours of it; one text
            that looks at another has none.
    """

    weights: np.ndarray
    counted: np.ndarray
    allowed: np.ndarray
    keys: Tokens
    own: bool


def _rows(attention: AttentionMap) -> _Rows:
    weights = attention.weights.astype(np.float64)
    allowed = (~attention.masked()).sum(axis=1)
    counted = ~np.array(attention.row_tokens.special, dtype=bool) & (allowed >= 2)
    shares = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1.0)
    own = attention.query_tokens == attention.key_tokens
    return _Rows(shares, counted, allowed, attention.key_tokens, own)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(layer, head): the mean over the chosen rows, 0 where there are none.

    Args:
        values: (layer, head, query).
        chosen: bool (query,).
    """
    total: np.ndarray = values[:, :, chosen].sum(axis=-1)
    return total / max(int(chosen.sum()), 1)


def _neighbour(rows: _Rows, offset: int) -> np.ndarray:
    """Mass on the key `offset` positions after the row's own, over the rows that have such a key; 0 where none has."""
    if not rows.own:
        return np.zeros(rows.weights.shape[:2])
    size = len(rows.counted)
    places = np.arange(size) + offset
    exists = (places >= 0) & (places < size)
    places = np.clip(places, 0, max(size - 1, 0))
    return _mean(rows.weights[:, :, np.arange(size), places], rows.counted & exists)


def _previous(rows: _Rows) -> np.ndarray:
    return _neighbour(rows, -1)


def _next(rows: _Rows) -> np.ndarray:
    return _neighbour(rows, 1)


def _same(rows: _Rows) -> np.ndarray:
    return _neighbour(rows, 0)


def _first(rows: _Rows) -> np.ndarray:
    """Mass on the first key."""
    return _mean(rows.weights[..., :1].sum(axis=-1), rows.counted)


def _first_of_others(rows: _Rows) -> np.ndarray:
    """Mass on the first key, over the rows of other tokens: for the first one it is the token itself."""
    others = np.arange(len(rows.counted)) > 0 if rows.own else True
    return _mean(rows.weights[..., :1].sum(axis=-1), rows.counted & others)


def _delimiters(rows: _Rows) -> np.ndarray:
    """Mass on special tokens and punctuation; the first key is left to "first token"."""
    keys = _delimiting(rows.keys) & (np.arange(len(rows.keys)) > 0)
    return _mean(rows.weights[..., keys].sum(axis=-1), rows.counted)


def _delimiting(tokens: Tokens) -> np.ndarray:
    """Bool (T,): special tokens, and labels of nothing but Unicode punctuation (category P)."""
    pairs = zip(tokens.labels, tokens.special, strict=True)
    return np.array([special or _is_punctuation(label) for label, special in pairs], dtype=bool)


def _is_punctuation(label: str) -> bool:
    return bool(label) and all(unicodedata.category(character).startswith("P") for character in label)


def _one_word(rows: _Rows) -> np.ndarray:
    """The largest mean mass on one and the same word that is neither special nor punctuation; 0 for fewer than two
    rows.
    """
    best = np.zeros(rows.weights.shape[:2])
    if rows.counted.sum() < 2:
        return best
    mass = rows.weights[:, :, rows.counted].mean(axis=2)  # (layer, head, key)
    words, usable = np.array(rows.keys.words, dtype=np.int64), ~_delimiting(rows.keys)
    for word in np.unique(words[usable]):
        best = np.maximum(best, mass[..., usable & (words == word)].sum(axis=-1))
    return best


def _alignment(rows: _Rows) -> np.ndarray:
    """Coverage times sharpness: how far a head points sharply and, over the whole output, everywhere in the source.

    Coverage is the share of source positions that are not special and are the strongest key of at least one row;
    sharpness is the mean of the rows' strongest weights. A heuristic: no alignment made by people is behind it, and a
    head that points at the wrong words in turn scores as high.
    """
    layers, heads = rows.weights.shape[:2]
    text = ~np.array(rows.keys.special, dtype=bool)
    if not text.any() or not rows.counted.any():
        return np.zeros((layers, heads))
    chosen = rows.weights[:, :, rows.counted]
    strongest = chosen.argmax(axis=-1)[..., None] == np.arange(len(rows.keys))
    reached = strongest & (chosen > 0)  # an empty row has no strongest key
    coverage: np.ndarray = reached.any(axis=2)[..., text].mean(axis=-1)
    return coverage * _mean(rows.weights.max(axis=-1), rows.counted)


def _broad(rows: _Rows) -> np.ndarray:
    """Entropy divided by the logarithm of how many keys the row may look at: 1 for equal weights, 0 for one key.

    Where a row sums to less than 1, the entropy of what is left counts for the share that is left.
    """
    mass = rows.weights.sum(axis=-1)
    shares = np.divide(rows.weights, mass[..., None], out=np.zeros_like(rows.weights), where=mass[..., None] > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = -(shares * logs).sum(axis=-1)
    return _mean(mass * entropy / np.log(np.maximum(rows.allowed, 2)), rows.counted)


PATTERNS: Mapping[Kind, Mapping[str, Callable[[_Rows], np.ndarray]]] = {
    "encoder": {
        "previous token": _previous,
        "next token": _next,
        "same token": _same,
        "first token": _first_of_others,
        "delimiters": _delimiters,
        BROAD: _broad,
    },
    "decoder": {  # later tokens are masked
        "previous token": _previous,
        "same token": _same,
        "first token": _first_of_others,
        "delimiters": _delimiters,
        BROAD: _broad,
    },
    "cross": {
        ALIGNMENT: _alignment,
        "first token": _first,
        "delimiters": _delimiters,
        "one word": _one_word,
        BROAD: _broad,
    },
}
