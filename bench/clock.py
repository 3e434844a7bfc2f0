"""The clock of every ratio: one thread, CPU time of this process, interleaved rounds, one ratio per round.

On a shared machine, wall-clock ratios of two things measured one after the other swing by a factor of two; these by a
few percent.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def show(self, digits: int) -> str:
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def one_thread() -> None:
    """Let torch use one CPU thread."""
    import torch

    torch.set_num_threads(1)


def interleave(
    cases: Mapping[str, Callable[[], object]], rounds: int, *, repeats: int = 1, warmup: int = 2
) -> dict[str, list[float]]:
    """CPU milliseconds of each case in each round.

    Args:
        cases: what to run, by name.
        rounds: each runs every case, in an order that turns by one, so that none always follows the same other.
        repeats: calls of a case in a row, of which the mean counts.
        warmup: rounds that do not count.
    """
    names = list(cases)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = cases[name]
            started = time.process_time()
            for _ in range(repeats):
                run()
            spent = (time.process_time() - started) * 1000 / repeats
            if number >= 0:
                times[name].append(spent)
    return times


def ratio(times: Mapping[str, Sequence[float]], case: str, to: str) -> Spread:
    """How many times longer `case` takes than `to`, round by round."""
    return Spread.of([one / other for one, other in zip(times[case], times[to], strict=True)])
