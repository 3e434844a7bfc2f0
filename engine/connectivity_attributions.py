"""Other answers to the question what an output depends on, to hold beside the gradient: signed, in units of the logit.

A gradient says what a small change of an input would do. These say what an input does against a baseline that stands
for its absence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.connectivity import BUDGET, Connectivity, Method, gradients, read
from engine.connectivity_blocks import Report, along, collect, fitting, targets_of
from engine.connectivity_generic import SequenceModel, values_of
from engine.errors import ConfigError

Baseline = Literal["zero", "mean"]
BASELINES: tuple[Baseline, ...] = ("zero", "mean")
TOGETHER = 32
"""Occluded texts at a time on a CPU."""


@dataclass(frozen=True, slots=True)
class Integrated:
    """Integrated gradients, and how well they add up.

    Attributes:
        connectivity: row = output time, column = input time; signed.
        change: float64 (T,), logit of the text − logit of the baseline, at each target; 0 at masked rows.
        error: float64 (T,), sum of the row − `change`: 0 for endlessly many steps (completeness, Sundararajan et al.
            2017, proposition 1).
    """

    connectivity: Connectivity
    change: np.ndarray
    error: np.ndarray


def baseline_of(table: Tensor, baseline: Baseline) -> Tensor:
    """The vector (d,) that stands for an absent symbol: zeros, or the mean of all symbols' vectors (symbols, d)."""
    if baseline not in BASELINES:
        raise ConfigError(f"There is no baseline {baseline!r}. Choose one of: {', '.join(BASELINES)}.")
    return torch.zeros_like(table[0]) if baseline == "zero" else table.mean(0)


def gradient_times_input(
    model: SequenceModel,
    ids: Sequence[int],
    words: Sequence[int],
    baseline: Baseline = "zero",
    *,
    method: Method = "auto",
    budget: int = BUDGET,
    report: Report | None = None,
) -> Connectivity:
    """Gradient · (x − baseline) of every input: what going there from the baseline adds, if the logit were linear.

    Source: Shrikumar et al. 2016, "Not Just a Black Box". Arguments as in `engine.connectivity.connectivity`.
    """
    table, vectors = read(model, ids, words)
    change = vectors - baseline_of(table, baseline)
    blocks = gradients(model, vectors, words, None, method, budget)
    found = collect(blocks, words, along(change), report)
    return Connectivity.of(found.numpy(), "gradient × input", words)


def integrated_gradients(
    model: SequenceModel,
    ids: Sequence[int],
    words: Sequence[int],
    baseline: Baseline = "zero",
    steps: int = 32,
    *,
    method: Method = "auto",
    budget: int = BUDGET,
    report: Report | None = None,
) -> Integrated:
    """The mean gradient on the straight way from the baseline everywhere to the text, times that way.

    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", eq. 3; the midpoint of each step.
    Arguments as in `engine.connectivity.connectivity`. The way starts at the baseline at every position: zero vectors,
    or the mean of all symbols' vectors. Each of its `steps` takes the time of a connectivity.
    """
    if steps < 1:
        raise ConfigError(f"{steps} steps: it takes at least one.")
    table, vectors = read(model, ids, words)
    change = vectors - baseline_of(table, baseline)
    start, total = vectors - change, torch.zeros(len(ids), len(ids), dtype=torch.float64)
    for step in range(steps):
        blocks = gradients(model, start + (step + 0.5) / steps * change, words, None, method, budget)
        total += collect(blocks, words, along(change), _part(report, step, steps))
    exact = (total / steps).numpy()
    targets = targets_of(words)
    with torch.no_grad():
        ends = values_of(model, torch.stack([start, vectors]), targets).cpu().double()
    moved = np.zeros(len(ids))
    moved[[time for time, _ in targets]] = (ends[1] - ends[0]).numpy()
    return Integrated(Connectivity.of(exact, "integrated gradients", words), moved, exact.sum(1) - moved)


@torch.no_grad()
def occlusion(
    model: SequenceModel,
    ids: Sequence[int],
    words: Sequence[int],
    baseline: Baseline = "zero",
    *,
    budget: int = BUDGET,
    report: Report | None = None,
) -> Connectivity:
    """How much the logit falls when the vector of one position is replaced by the baseline.

    Source: Zeiler and Fergus 2014, section 4.2; Li et al. 2016, "Understanding Neural Networks through Representation
    Erasure". Arguments as in `engine.connectivity.connectivity`.
    """
    table, vectors = read(model, ids, words)
    absent, targets = baseline_of(table, baseline), targets_of(words)
    found = torch.zeros(len(ids), len(ids), dtype=torch.float64)
    if targets:
        whole = values_of(model, vectors[None], targets)[0]  # (targets,)
        rows = [time for time, _ in targets]
        for first, last in _portions(model, len(ids), len(targets), budget, vectors):
            texts = vectors.repeat(last - first, 1, 1)
            texts[range(last - first), range(first, last)] = absent
            fallen = whole - values_of(model, texts, targets)  # (positions, targets)
            found[rows, first:last] = fallen.T.cpu().double()
            if report is not None:
                report(last / len(ids))
    return Connectivity.of(found.tril_().numpy(), "occlusion", words)


def _portions(
    model: SequenceModel, length: int, targets: int, budget: int, vectors: Tensor
) -> Iterator[tuple[int, int]]:
    """Positions first to last − 1 whose texts go together, so that their logits fit."""
    assert isinstance(model, torch.nn.Module)
    widest = max(len(parameter) for parameter in model.parameters())
    most = TOGETHER if vectors.device.type == "cpu" else length
    size = fitting(budget, 2 * length * widest * vectors.element_size(), 0, most)
    for first in range(0, length, size):
        yield first, min(first + size, length)


def _part(report: Report | None, step: int, steps: int) -> Report | None:
    """What one of several passes reports to."""
    if report is None:
        return None
    tell = report

    def within(done: float) -> None:
        tell((step + done) / steps)

    return within
