"""How a search runs: what beam search and sampling may be asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.errors import InputError

MOST_BEAMS = 16
MOST_SAMPLES = 32
COLDEST, HOTTEST = 1e-30, 1e30  # temperatures by which float32 can be divided
MOST_SEED = 2**63 - 1
Stopping = Literal["when k are finished", "when no better one is likely", "never early"]
STOPPINGS: tuple[Stopping, ...] = ("when k are finished", "when no better one is likely", "never early")
"""`early_stopping` of transformers: True, False and "never"."""
Penalty = Literal["length", "gnmt"]


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """How a search runs.

    Attributes:
        beams: k, from 1 to 16.
        candidates: how many expansions of each step are recorded at least; those that the search looks at always are.
        max_length: the most tokens to generate, </s> included.
        penalty: what a finished hypothesis's sum of log-probabilities is divided by: "length", len^α, or "gnmt",
            ((5 + len) / 6)^α (Wu et al. 2016, eq. 14, without coverage); len counts the tokens generated, </s> too.
        alpha: α; 0 divides by 1.
        stopping: when the search ends.
        no_repeat: no n-gram of this many tokens comes twice; 0 allows all.
        shrinking: the lecture's beam: a hypothesis that ends leaves its place empty, and the search goes on with k
            minus the finished ones, until none is left.
    """

    beams: int = 4
    candidates: int = 0
    max_length: int = 64
    penalty: Penalty = "length"
    alpha: float = 1.0
    stopping: Stopping = "when no better one is likely"
    no_repeat: int = 0
    shrinking: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.beams <= MOST_BEAMS:
            raise InputError(f"A beam of {self.beams} is not possible. Choose k from 1 to {MOST_BEAMS}.")
        if self.max_length < 1:
            raise InputError("The output needs room for one token at least. Choose a larger limit.")
        if not math.isfinite(self.alpha) or abs(self.alpha) > 10:
            raise InputError(f"A length penalty with α = {self.alpha} is not possible. Choose α from −10 to 10.")
        if self.no_repeat < 0 or self.candidates < 0:
            raise InputError("Counts below 0 mean nothing here. Choose 0 or more.")

    def divisor(self, length: int) -> float:
        """What the sum of a hypothesis of so many tokens is divided by."""
        base = length if self.penalty == "length" else (5 + length) / 6
        return float(base**self.alpha)


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """How outputs are drawn at random.

    Attributes:
        samples: how many.
        temperature: log-probabilities are divided by it before the draw; below 1 sharper, above 1 flatter.
        top_k: only so many of the most probable tokens can be drawn, and those as probable as the last of them; 0 for
            all.
        top_p: only the fewest tokens that together have this probability can be drawn (Holtzman et al. 2020); 1 for
            all.
        seed: of the draw, 0 or more; the same seed gives the same samples.
        max_length: the most tokens to generate, </s> included.
    """

    samples: int = 8
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    max_length: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise InputError(f"{self.samples} samples are not possible. Choose from 1 to {MOST_SAMPLES}.")
        if not COLDEST <= self.temperature <= HOTTEST:
            raise InputError(
                f"The temperature must be above 0, and from {COLDEST:g} to {HOTTEST:g}. Choose 1 for the model's own "
                "probabilities."
            )
        if not 0 <= self.seed <= MOST_SEED:
            raise InputError(f"A seed is a whole number from 0 to {MOST_SEED:,}, and this one is not. Choose another.")
        if not 0 < self.top_p <= 1 or self.top_k < 0:
            raise InputError("Choose top-p above 0 and up to 1, and top-k from 0, which stands for all.")
        if self.max_length < 1:
            raise InputError("The output needs room for one token at least. Choose a larger limit.")
