"""The step protocol: all that a search sees of a model."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from torch import Tensor


class State(Protocol):
    """What a decoder carries from step to step. States are values: a step gives a new one and leaves the old as it
    was.
    """

    def select(self, rows: Tensor) -> Self:
        """The state of other rows, by index: to keep, drop or repeat hypotheses."""


S = TypeVar("S", bound=State)


class StepModel(Protocol[S]):
    """A model with a decoder."""

    def encode(self, source: Tensor) -> S:
        """Source ids (B, S), padded, to the state before the first step."""

    def step(self, state: S, tokens: Tensor) -> tuple[Tensor, S]:
        """Read tokens (B,); give natural log-probabilities float32 (B, V) of the next ones, and the next state."""


class MapModel(StepModel[S], Protocol[S]):
    """A model with a decoder that also shows where each step looks."""

    def step_with_cross(self, state: S, tokens: Tensor) -> tuple[Tensor, S, Tensor]:
        """`step`, and the attention of each row over the source: float32 (B, layer, head, S)."""
