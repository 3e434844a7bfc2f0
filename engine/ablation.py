"""Some heads off at once: how often the model then still chooses the right pronoun, beside equally many random heads.

Whether the heads that attention points at, or those whose loss hurts most one by one, carry the decision between il
and elle is seen in sentences other than those they were chosen on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.decisions import Questions, forced_log_odds, require_questions
from engine.evidence import Rate, Report, rate
from engine.interventions import Head, Means
from engine.models.translator import TranslatorConfig
from engine.runner import Runner
from engine.types import KINDS

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Condition:
    """What the model says with some heads off.

    Attributes:
        heads: which are off.
        right: how often it prefers the right pronoun.
        log_odds: the mean log-odds of the right pronoun against the wrong one, in nats.
    """

    heads: tuple[Head, ...]
    right: Rate
    log_odds: float


@dataclass(frozen=True, slots=True)
class Ablation:
    """What switching some heads off does to the choice of the pronoun.

    Attributes:
        on: all heads on.
        off: the chosen heads off.
        drop: by how much the share of right pronouns falls, in [−1, 1].
        low, high: its 95 % interval, by the paired bootstrap over sentences.
        random: equally many random heads of the same kinds off, one condition for each set.
        random_on: all heads on, over the sentences of the random sets, the first of all.
        by: what stood in the heads' place.
        left_out: how many cases could not be asked.
    """

    on: Condition
    off: Condition
    drop: float
    low: float
    high: float
    random: tuple[Condition, ...]
    random_on: Condition
    by: Means
    left_out: int

    @property
    def random_shares(self) -> tuple[float, float, float]:
        """Mean, lowest and highest share of right pronouns over the random sets; NaN without any."""
        shares = [one.right.share for one in self.random] or [float("nan")]
        return float(np.mean(shares)), min(shares), max(shares)

    @property
    def random_log_odds(self) -> float:
        """The mean of the random sets' mean log-odds; NaN without any."""
        return float(np.mean([one.log_odds for one in self.random] or [float("nan")]))


def ablation(
    runner: Runner,
    questions: Questions,
    heads: Sequence[Head],
    by: Means = "zero",
    random_sets: int = 20,
    seed: int = 0,
    report: Report = lambda done: None,
    random_count: int | None = None,
) -> Ablation:
    """The choice of the pronoun with all heads on, with the chosen ones off, and with random ones off.

    Args:
        runner: the model.
        questions: the decisions, on other sentences than those that the heads were chosen on.
        heads: which are off.
        by: what stands in their outputs' place.
        random_sets: how many sets of random heads.
        seed: of the random sets and of the bootstrap.
        report: called with the number of decisions since the last call: in all as many as there are questions, and for
            each random set `random_count`.
        random_count: the random sets are measured on the first so many questions; None for all.

    Raises:
        InputError: there is nothing to ask, or the model has no such head.
    """
    require_questions(questions)
    rng = np.random.default_rng(seed)
    chosen, known = tuple(heads), questions.log_odds
    without = forced_log_odds(runner, questions.asked, chosen, by, report)
    low, high = drop_interval(known > 0, without > 0, rng)
    some = questions.asked[:random_count]
    sets = [random_heads(chosen, runner.model.config, rng) for _ in range(random_sets)]
    return Ablation(
        on=_condition((), known),
        off=_condition(chosen, without),
        drop=float(np.mean(known > 0) - np.mean(without > 0)),
        low=low,
        high=high,
        random=tuple(_condition(drawn, forced_log_odds(runner, some, drawn, by, report)) for drawn in sets),
        random_on=_condition((), known[: len(some)]),
        by=by,
        left_out=questions.left_out,
    )


def _condition(heads: tuple[Head, ...], log_odds: np.ndarray) -> Condition:
    return Condition(heads, rate(int((log_odds > 0).sum()), len(log_odds)), float(log_odds.mean()))


def drop_interval(on: np.ndarray, off: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of the fall of a share, by the paired bootstrap over sentences, `RESAMPLES` times.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (the percentile interval). Drawing
    n sentences with replacement means drawing how many of them fell, rose and stayed: one multinomial draw. Where none
    changed it is [0, 0]; of other sentences about 3 in n may still change (the rule of three).

    Args:
        on: bool (sentence,), whether each was right before.
        off: the same, after.
        rng: draws the resamples.

    Returns:
        Low and high, in [−1, 1].
    """
    count = len(on)
    fell, rose = np.mean(on & ~off), np.mean(off & ~on)
    drawn = rng.multinomial(count, [fell, rose, max(0.0, 1 - fell - rose)], size=RESAMPLES)  # (resample, 3)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / count, [2.5, 97.5])
    return float(low), float(high)


def random_heads(chosen: Sequence[Head], config: TranslatorConfig, rng: np.random.Generator) -> tuple[Head, ...]:
    """Random heads, of each kind as many as chosen ones: others than those, as long as there are others."""
    drawn: list[Head] = []
    for kind in KINDS:
        own = {head for head in chosen if head.kind == kind}
        every = [
            Head(kind, layer, head)
            for layer in range(config.attention_layers(kind))
            for head in range(config.attention_heads(kind))
        ]
        others = [head for head in every if head not in own]
        taken = [others[i] for i in rng.permutation(len(others))[: len(own)]]
        short = len(own) - len(taken)
        drawn += taken + [sorted(own)[i] for i in rng.permutation(len(own))[:short]]
    return tuple(drawn)
