"""Array maths over traces: merging pieces into words, how much a head looks at a noun, rollout, value-weighted maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from engine.types import AttentionMap, Tokens


def merge_words(attention: AttentionMap) -> AttentionMap:
    """The same map between words: the sum over a word's key pieces, the mean over its query pieces.

    Rows still sum to 1. Cross maps are grouped by the words predicted, encoder and decoder maps by the words
    themselves. Without rows or columns (a map whose every token is hidden) it comes back without them.
    """
    predicted = attention.predicted_tokens
    by = attention.row_tokens
    rows, columns = word_groups(by), word_groups(attention.key_tokens)
    totals = _sums(_sums(attention.weights, columns, axis=3), rows, axis=2)
    sizes = np.array([len(group) for group in rows], dtype=np.float32)[:, None]
    read = rows if by is attention.query_tokens else _words_at(attention.query_tokens, [group[0] for group in rows])
    return AttentionMap(
        attention.kind,
        (totals / sizes).astype(np.float32),
        merge_tokens(attention.query_tokens, read),
        merge_tokens(attention.key_tokens, columns),
        None if predicted is None else merge_tokens(predicted, rows),
        attention.layer_names,
        attention.head_names,
        source_name=attention.source_name,
    )


def _sums(weights: np.ndarray, groups: Sequence[range], axis: int) -> np.ndarray:
    """The sum over each group of neighbours along one axis; an axis without groups stays empty."""
    starts = np.array([group[0] for group in groups], dtype=np.intp)  # the dtype is for no groups at all
    sums: np.ndarray = np.add.reduceat(weights, starts, axis=axis)
    return sums


def word_groups(tokens: Tokens) -> list[range]:
    """Runs of positions that belong to the same word."""
    starts = [i for i in range(len(tokens)) if i == 0 or tokens.words[i] != tokens.words[i - 1]]
    return [range(a, b) for a, b in pairwise([*starts, len(tokens)])]


def _words_at(tokens: Tokens, positions: Sequence[int]) -> list[range]:
    """The whole word around each position: what a step read last, where rows are grouped by what they predict."""
    words = word_groups(tokens)
    return [next(word for word in words if position in word) for position in positions]


def merge_tokens(tokens: Tokens, groups: Sequence[range]) -> Tokens:
    """One position per group; its label is the text it spans, or the labels joined where special tokens are in it."""
    labels, spans, special = [], [], []
    for group in groups:
        inside = [tokens.spans[i] for i in group if not tokens.special[i]]
        span = (min(a for a, _ in inside), max(b for _, b in inside)) if inside else (0, 0)
        mixed = any(tokens.special[i] for i in group)
        word = "" if mixed else tokens.text[slice(*span)].strip() or tokens.labels[group[0]]
        labels.append(word or "".join(tokens.labels[i] for i in group))
        spans.append(span)
        special.append(not inside)
    return Tokens(tokens.text, tuple(labels), (), tuple(range(len(labels))), tuple(spans), tuple(special))


def merge_logprobs(logprobs: np.ndarray, tokens: Tokens) -> tuple[Tokens, np.ndarray]:
    """Words of an output and their log-probabilities: the sum over a word's pieces (chain rule).

    Args:
        logprobs: float32 (T,), natural logarithm.
        tokens: the T tokens predicted.
    """
    groups = word_groups(tokens)
    return merge_tokens(tokens, groups), np.add.reduceat(logprobs, [group[0] for group in groups])


def positions_of(tokens: Tokens, start: int, end: int) -> tuple[int, ...]:
    """Positions whose characters overlap [start, end) of the text."""
    return tuple(i for i, (a, b) in enumerate(tokens.spans) if not tokens.special[i] and a < end and b > start)


def span_mass(weights: np.ndarray, query: int, spans: Sequence[Sequence[int]]) -> np.ndarray:
    """How much one position looks at each span of positions, for every layer and head.

    Args:
        weights: (layer, head, query, key).
        query: the row.
        spans: key positions of each span.

    Returns:
        (span, layer, head), in [0, 1]: the sum over the span's positions.
    """
    row = weights[:, :, query]
    return np.stack([row[:, :, list(span)].sum(axis=-1) for span in spans])


def resolves(weights: np.ndarray, query: int, candidates: Sequence[Sequence[int]], answer: int) -> np.ndarray:
    """Whether each head gives the right candidate more mass than every other one.

    Returns:
        bool (layer, head).
    """
    mass = span_mass(weights, query, candidates)
    others = np.delete(mass, answer, axis=0)
    result: np.ndarray = mass[answer] > others.max(axis=0)
    return result


def rollout(attention: AttentionMap) -> AttentionMap:
    """How much of each input position reaches each position of each layer, if attention alone moved information.

    Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", eq. 1: Ã(l) = A(l) Ã(l-1), where A(l)
    is half the mean over heads, half the identity (for the residual connection).

    Args:
        attention: encoder or decoder self-attention, with the model's own rows.

    Returns:
        A map with weights (layer, 1, query, input position); rows sum to 1 and what is masked stays 0.
    """
    assert attention.kind != "cross", "rollout follows one sequence through its layers"
    size = len(attention.query_tokens)
    mean = attention.weights.mean(axis=1, dtype=np.float64)  # (layer, T, T)
    reached, rows = np.eye(size), []
    for layer in (mean + np.eye(size)) / 2:
        reached = layer @ reached
        rows.append(reached)
    return replace(
        attention,
        weights=np.array(rows, dtype=np.float32)[:, None],
        head_names=(f"rollout of {attention.heads} heads",),
    )


def value_weighted(attention: AttentionMap, norms: np.ndarray) -> AttentionMap:
    """How large what each position adds to the row's output is: ‖α v W_O‖, divided by the row's sum.

    Source: Kobayashi et al. 2020, "Attention is Not Only a Weight", eq. 5, where v W_O is f(x).

    Args:
        attention: the model's own weights α.
        norms: ‖v W_O‖, float (layer, head, key), ≥ 0.

    Returns:
        A map whose rows sum to 1; a row that adds nothing at all is 0.
    """
    sizes = attention.weights.astype(np.float64) * norms[:, :, None, :]
    sums = sizes.sum(axis=-1, keepdims=True)
    shares = np.divide(sizes, sums, out=np.zeros_like(sizes), where=sums > 0)
    return replace(attention, weights=shares.astype(np.float32))


def word_sums(values: np.ndarray, tokens: Tokens) -> np.ndarray:
    """The last axis, one number for each piece, added up over the pieces of each word."""
    return _sums(values, word_groups(tokens), axis=-1)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two rows, in [−1, 1]; equal values share their mean rank.

    NaN where a row has fewer than three numbers or all of them are equal: there is no order to agree on.
    """
    from scipy.stats import spearmanr

    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
