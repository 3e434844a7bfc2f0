"""How well a decoder's state and a source position go together: the attention scores of recurrent translators."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from engine.errors import ConfigError

ScoreKind = Literal["additive", "dot", "general"]
SCORES: tuple[ScoreKind, ...] = get_args(ScoreKind)


class AdditiveScore(nn.Module):
    """v · tanh(W s + k). Source: Bahdanau et al. 2015, equation in section 3.1 and appendix A.1.2.

    The paper's U h is the key k here: all scores read projected keys.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.direction = nn.Parameter(torch.empty(width))
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.normal_(self.direction, std=width**-0.5)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """States (B, H) and keys (B, S, H) to scores (B, S)."""
        return torch.tanh(self.query(query)[:, None] + keys) @ self.direction


class DotScore(nn.Module):
    """s · k. Source: Luong et al. 2015, equation 8, "dot"; not scaled.

    With keys that are projected, as here for all scores, it can express all that "general" can: they differ in how the
    same product is parametrised.
    """

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """States (B, H) and keys (B, S, H) to scores (B, S)."""
        return torch.bmm(keys, query[:, :, None])[:, :, 0]


class GeneralScore(nn.Module):
    """S · W k. Source: Luong et al. 2015, equation 8, "general"; with the identity as W it is "dot"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        nn.init.normal_(self.weight, std=1 / math.sqrt(width))

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """States (B, H) and keys (B, S, H) to scores (B, S)."""
        return torch.bmm(keys, (query @ self.weight)[:, :, None])[:, :, 0]


def score_of(kind: str, width: int) -> AdditiveScore | DotScore | GeneralScore:
    """The score of a name, for states and keys of a width.

    Raises:
        ConfigError: no such score.
    """
    if kind == "additive":
        return AdditiveScore(width)
    if kind == "dot":
        return DotScore()
    if kind == "general":
        return GeneralScore(width)
    raise ConfigError(f"There is no attention score {kind!r}. Choose one of: {', '.join(SCORES)}.")
