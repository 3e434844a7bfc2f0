"""Updates under a schedule: resumable, logged, and the weights of the last part averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.training.checkpoint import RESULT, Checkpoint
from engine.training.loop import LOG_SECONDS, SNAPSHOTS, Schedule, rate_at


class Paced(Protocol):
    """What a run's configuration says of its schedule."""

    @property
    def peak_rate(self) -> float: ...
    @property
    def warmup(self) -> float: ...
    @property
    def averaged(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What a schedule is filled with.

    Attributes:
        model: float32, whose weights are averaged.
        update: makes the update of a number at a learning rate; gives the losses before it, (K,), on the device.
        validate: mean losses of held-out text, by what they are called in the log, which begins with the given name.
        adopt: puts weights into the model, and into whatever runs in its place.
        tokens: read by an update.
        steps: after which the run ends, if its minutes suffice; 0 for as many as they allow.
    """

    model: nn.Module
    update: Callable[[int, float], Tensor]
    validate: Callable[[str], Mapping[str, float]]
    adopt: Callable[[Mapping[str, Tensor]], object]
    tokens: int
    steps: float


def make_updates(
    work: Work,
    state: Checkpoint,
    run: Path,
    minutes: float,
    pace: Paced,
    report: Callable[[float, float, list[float]], Mapping[str, float]],
    save_every: float,
) -> dict[str, Tensor]:
    """Go on from a checkpoint until the schedule is over.

    Args:
        work: what is done.
        state: where the run stands.
        run: its folder, for messages.
        minutes: wall-clock time of the whole schedule, over all calls.
        pace: its rates, and the share at its end that is averaged.
        report: called every few seconds with the share that is over, the learning rate, and the mean losses since the
            last call; gives what is logged of them.
        save_every: seconds between checkpoints, and between the losses of held-out text.

    Returns:
        The averaged float32 weights, by parameter name; of a finished run, at once.

    Raises:
        ConfigError: the run has used its minutes without being finished.
    """
    average, schedule = state.average, Schedule(state, minutes, work.steps)
    marks = np.linspace(1 - pace.averaged, 1, SNAPSHOTS)
    if average.count and schedule.share < marks[average.count - 1]:  # a finished run, which now gets more time
        average.total.clear()
        average.count = 0
    if schedule.share >= 1 and average.count < SNAPSHOTS:
        raise ConfigError(
            f"The run in {run} has used {state.minutes:.1f} minutes already. Give more --minutes, or another --out."
        )
    state.cut_log()
    total: Tensor | None = None
    counted = 0
    last_log = last_save = time.monotonic()
    try:
        while True:
            share = schedule.share
            while average.count < SNAPSHOTS and share >= marks[average.count]:
                average.add(work.model)
            if share >= 1:
                break
            rate = rate_at(share, pace.peak_rate, pace.warmup)
            losses = work.update(state.step, rate)
            total = losses if total is None else total + losses  # on the device: no update waits for a number
            state.step, state.tokens, counted = state.step + 1, state.tokens + work.tokens, counted + 1
            now = time.monotonic()
            if now - last_log > LOG_SECONDS:
                means = (total / counted).tolist()
                state.log(**report(share, rate, means), rate=rate)
                total, counted, last_log = None, 0, now
            if now - last_save > save_every:
                state.log(**work.validate("validation_loss"))
                state.save()
                last_save = time.monotonic()
    finally:
        state.save()  # at the end, and when it is interrupted
    averaged = average.mean()
    last = work.validate("validation_loss")
    work.adopt(averaged)
    state.log(**last, **work.validate(RESULT))  # one line, which a finished run writes again
    return averaged
