"""A language model as searches see it: it goes on from what it has read, and drops the oldest of it when it is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.decoding.step import State, StepModel


def dropped(length: int, context: int) -> int:
    """How many of the oldest of `length` tokens a model no longer sees when it predicts the next one.

    Once a context is full, half of it falls out at a time, so that every prediction has more than half a context before
    it and most need no reading anew: the same rule for a prompt, a sample and the surprise of a text.

    Args:
        length: tokens read so far.
        context: the most that the model sees at once; 0 for any number.
    """
    if not context or length <= context:
        return 0
    half = max(1, context // 2)
    return -(-(length - context) // half) * half


@dataclass(frozen=True, slots=True)
class WindowState:
    """What has been read, and the model's own state after the part of it that it still sees.

    Attributes:
        inner: the model's state.
        seen: int64 (B, T), the tokens that it has read; (B, 0) where there is no limit to them.
    """

    inner: Any
    seen: Tensor

    def select(self, rows: Tensor) -> WindowState:
        """The state of other rows, by index."""
        return WindowState(self.inner.select(rows), self.seen.index_select(0, rows))


class Continuing:
    """Step protocol of a language model whose text may become longer than its context; it looks at no source."""

    def __init__(self, model: StepModel[Any], context: int) -> None:
        """Args:
        model: `encode` reads tokens (B, T), T from 0; `step` one more.
        context: the most tokens that it sees at once; 0 for any number.
        """
        self.model, self.context = model, context

    def encode(self, source: Tensor) -> WindowState:
        """The state after reading tokens (B, T), of which the last are seen."""
        seen = source[:, dropped(source.shape[1], self.context) :]
        inner: State = self.model.encode(seen)
        return WindowState(inner, seen if self.context else seen[:, :0])

    def step(self, state: WindowState, tokens: Tensor) -> tuple[Tensor, WindowState]:
        """Read tokens (B,); give natural log-probabilities float32 (B, V) and the next state."""
        inner, seen = state.inner, state.seen
        if self.full(state):
            seen = seen[:, dropped(self.context + 1, self.context) :]
            inner = self.model.encode(seen)
        logprobs, inner = self.model.step(inner, tokens)
        if self.context:
            seen = torch.cat([seen, tokens[:, None]], dim=1)
        return logprobs, WindowState(inner, seen)

    def step_with_cross(self, state: WindowState, tokens: Tensor) -> tuple[Tensor, WindowState, Tensor]:
        """`step`, and an empty map (B, 0, 0, 0): there is no source to look at."""
        logprobs, state = self.step(state, tokens)
        return logprobs, state, logprobs.new_zeros(len(tokens), 0, 0, 0)

    def full(self, state: WindowState) -> bool:
        """Whether the oldest tokens fall out before the next one is read."""
        return bool(self.context) and state.seen.shape[1] == self.context


def windows(length: int, context: int) -> list[tuple[int, int, int]]:
    """How a sequence is read so that each token but the first is predicted once, under the rule of `dropped`.

    Args:
        length: of the sequence, at least 2.
        context: the most tokens seen at once.

    Returns:
        (start, first, end): tokens start to end − 1 are read together, and those at first to end − 1 predict the next.
    """
    found: list[tuple[int, int, int]] = []
    first = 0
    while first < length - 1:
        start = dropped(first + 1, context)
        end = min(start + context, length - 1)
        found.append((start, first, end))
        first = end
    return found
