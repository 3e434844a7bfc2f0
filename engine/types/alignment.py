"""What a recurrent translator goes through, and words that somebody has linked by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types.trace import Tokens


@dataclass(frozen=True, slots=True)
class EncoderStates:
    """What a bidirectional encoder went through while it read a source.

    Attributes:
        source: the source's tokens, </s> included.
        forwards: float32 (layer, S, H) in (−1, 1): at s, the network that has read the source up to s.
        backwards: the same, of the network that reads from the end: it has read the source from s on.
    """

    source: Tokens
    forwards: np.ndarray
    backwards: np.ndarray

    def __post_init__(self) -> None:
        assert self.forwards.shape == self.backwards.shape and self.forwards.shape[1] == len(self.source)


@dataclass(frozen=True, slots=True)
class DecoderSteps:
    """How a recurrent decoder made each word: scores → softmax → weighted sum → output.

    Source: Bahdanau et al. 2015, section 3.1. Step t reads `read[t]` and predicts `predicted[t]`; its query is the
    state before it, `states[t]`.

    Attributes:
        attention: "additive", "dot" or "general"; "none" for one vector that stands for the whole source.
        source: the source's tokens, </s> included.
        read: the tokens read, <s> first.
        predicted: the tokens predicted.
        scores: float32 (T, S), before the softmax; (0, S) without attention.
        weights: float32 (T, S), their softmax, rows sum to 1; (0, S) without attention.
        annotations: float32 (S, D): both halves of the encoder's last layer, what is summed up.
        contexts: float32 (T, D): the weighted sums; without attention the source's summary in every row.
        states: float32 (T + 1, H) in (−1, 1): the decoder before its first step, and after each.
        alternatives: for each step the most probable tokens as (label, natural log-probability), best first.
    """

    attention: str
    source: Tokens
    read: Tokens
    predicted: Tokens
    scores: np.ndarray
    weights: np.ndarray
    annotations: np.ndarray
    contexts: np.ndarray
    states: np.ndarray
    alternatives: tuple[tuple[tuple[str, float], ...], ...]

    def __post_init__(self) -> None:
        steps, length = len(self.read), len(self.source)
        assert len(self.predicted) == steps and len(self.states) == steps + 1 and len(self.contexts) == steps
        assert self.scores.shape == self.weights.shape and self.weights.shape in ((steps, length), (0, length))


@dataclass(frozen=True, slots=True)
class LinkedPair:
    """A sentence pair whose words somebody has linked by hand. Source of sure and possible: Och and Ney 2003.

    Attributes:
        source: the source's words (English).
        target: the target's words (French).
        sure: links (source word, target word), from 0, that every alignment should have.
        possible: links that an alignment may have; all sure ones are among them.
        partial: whether only some of the true links are given, so that a missing link says nothing.
        name: what a menu calls it.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]
    partial: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        assert self.sure <= self.possible
        for source, target in self.possible:
            assert 0 <= source < len(self.source) and 0 <= target < len(self.target)
