"""Small attention maps with known weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from engine.types import AttentionMap, Kind, Tokens

STRANGE = (
    "<s>",
    "<b>x</b>",
    "שלום",
    "👩🏽‍🚀",
    "e\u0301te\u0301",
    "$5$",
    "\n",
    " ",
    "same",
    "same",
    "antidisestablishment",
)


def tokens(labels: Sequence[str]) -> Tokens:
    """Tokens with these labels; "<s>" and "</s>" are special."""
    count = len(labels)
    return Tokens(
        text=" ".join(labels),
        labels=tuple(labels),
        ids=(),
        words=tuple(range(count)),
        spans=((0, 0),) * count,
        special=tuple(label in ("<s>", "</s>") for label in labels),
    )


def attention_map(
    kind: Kind, queries: Sequence[str], keys: Sequence[str] | None = None, layers: int = 2, heads: int = 3
) -> AttentionMap:
    """A map of random rows that sum to 1, causal for "decoder"; decoder and cross maps predict the next token."""
    keys = queries if keys is None else keys
    rng = np.random.default_rng(7)
    scores = rng.normal(scale=1.5, size=(layers, heads, len(queries), len(keys)))
    if kind == "decoder":
        scores[..., np.triu(np.ones(scores.shape[2:], dtype=bool), k=1)] = -np.inf
    weights = np.exp(scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    predicted = None if kind == "encoder" else tokens((*queries[1:], "</s>"))
    return AttentionMap(kind, weights.astype(np.float32), tokens(queries), tokens(keys), predicted)


@pytest.fixture
def make_map() -> Callable[..., AttentionMap]:
    return attention_map


@pytest.fixture
def encoder() -> AttentionMap:
    return attention_map("encoder", ("The", "animal", "was", "tired", "</s>"))


@pytest.fixture
def decoder() -> AttentionMap:
    return attention_map("decoder", ("<s>", "L'animal", "était", "fatigué"))


@pytest.fixture
def cross() -> AttentionMap:
    return attention_map("cross", ("<s>", "L'animal", "était"), ("The", "animal", "was", "tired", "</s>"))


@pytest.fixture
def strange() -> AttentionMap:
    return attention_map("encoder", STRANGE)
