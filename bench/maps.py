"""Attention maps of any size, made up: what diagrams are measured with. No model is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.sentences import SENTENCES
from engine.types import AttentionMap, Tokens

SPREAD = 2.0  # standard deviation of the scores: most weights are small, some lines stand out
AHEAD = 10.0  # a peaked head's score for the previous token, beyond the others
EVERY = 4  # every so many-th head is peaked


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """How large a map is."""

    layers: int
    heads: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.layers} × {self.heads}, {self.tokens} tokens"


EN_FR = Shape(6, 8, 20)
BERT = Shape(12, 12, 128)
LONG = Shape(1, 8, 512)
MANY = Shape(32, 32, 64)


def attention(shape: Shape) -> AttentionMap:
    """An encoder map of a shape, the same each time: softmax of random scores, some heads at the previous token."""
    tokens = words(shape.tokens)
    return AttentionMap("encoder", weights(shape), tokens, tokens)


def weights(shape: Shape) -> np.ndarray:
    """float32 (layer, head, query, key); rows sum to 1."""
    size = (shape.layers, shape.heads, shape.tokens, shape.tokens)
    scores = np.random.default_rng(0).standard_normal(size, dtype=np.float32) * np.float32(SPREAD)
    rows = np.arange(shape.tokens)
    scores[:, ::EVERY, rows, np.maximum(rows - 1, 0)] += AHEAD
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    found: np.ndarray = raised / raised.sum(-1, keepdims=True)
    return found


def words(count: int) -> Tokens:
    """So many English words, again from the beginning where there are not enough."""
    supply = " ".join(SENTENCES).replace(".", "").split()
    labels = tuple(supply[i % len(supply)] for i in range(count))
    ends = np.cumsum([len(label) + 1 for label in labels]) - 1
    spans = tuple((int(end) - len(label), int(end)) for end, label in zip(ends, labels, strict=True))
    return Tokens(" ".join(labels), labels, (), tuple(range(count)), spans, (False,) * count)


def patterns(shape: Shape) -> list[list[str]]:
    """What each head does, as the page of all heads says it."""
    row = ["" if head % EVERY else "previous token 0.90" for head in range(shape.heads)]
    return [row] * shape.layers
