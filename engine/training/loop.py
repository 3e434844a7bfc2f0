"""One training loop: bfloat16 compute over float32 weights, a schedule that ends by the clock, resumable, averaged."""

from __future__ import annotations

import copy
import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.training.config import TrainingConfig
from engine.training.data import Batch
from engine.training.learners import Learner, learner_of

SNAPSHOTS = 8
LOG_SECONDS = 15.0
CHECKPOINT_SECONDS = 300.0
CLIP = 1.0


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks instead of returning them: a step's buffers are then mapped once, not every
    step.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            libc.mallopt(mmap_threshold, 1 << 30)
            libc.mallopt(trim_threshold, (1 << 31) - 1)


@dataclass(frozen=True, slots=True)
class Precision:
    """A float32 learner that is updated, and a copy in the compute type that runs.

    The embedding stays float32 in both: its gradient sums over every occurrence of a piece, which bfloat16 cannot. So
    do all weights of a recurrent translator, whose products are rounded as they are computed.
    """

    master: Learner
    working: Learner
    compute: torch.dtype

    @classmethod
    def of(cls, master: Learner, compute: torch.dtype) -> Precision:
        working = copy.deepcopy(master)
        for module in working.modules():
            if isinstance(module, master.rounded):
                module.to(compute)
        return cls(master, working, compute)

    def collect_gradients(self) -> None:
        """Move the working copy's gradients to the master, in float32."""
        for own, other in zip(self.master.parameters(), self.working.parameters(), strict=True):
            own.grad = None if other.grad is None else other.grad.to(own.dtype)
            other.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Round the master's weights into the working copy."""
        for own, other in zip(self.master.parameters(), self.working.parameters(), strict=True):
            other.copy_(own)


def rate_at(progress: float, peak: float, warmup: float) -> float:
    """Learning rate at a share of the run in [0, 1]: a linear rise to `peak`, then a linear fall to 0."""
    if progress < warmup:
        return peak * progress / warmup
    return peak * max(0.0, 1.0 - progress) / (1.0 - warmup)


class Elapsed(Protocol):
    """What a run has used up."""

    step: int

    @property
    def minutes(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much of a run is over.

    Attributes:
        state: where it stands.
        minutes: the most that it takes.
        steps: after which it ends, if the minutes suffice; 0 for as many as they allow.
    """

    state: Elapsed
    minutes: float
    steps: float

    @property
    def share(self) -> float:
        """The larger of the minutes' and the steps' share, over 1 when a run is finished.

        Steps count from their middle: the first one's share comes from its number, not from the clock.
        """
        by_clock = self.state.minutes / self.minutes
        return max(by_clock, (self.state.step + 0.5) / self.steps) if self.steps else by_clock


@dataclass(slots=True)
class Average:
    """Running mean of snapshots. Source: Vaswani et al. 2017, section 6.1 (checkpoint averaging)."""

    total: dict[str, Tensor]
    count: int = 0

    def add(self, model: nn.Module) -> None:
        for name, value in model.state_dict().items():
            if self.count == 0:
                self.total[name] = value.detach().cpu().double()  # on the CPU: MPS has no float64
            else:
                self.total[name] += value.detach().cpu().double()
        self.count += 1

    def mean(self) -> dict[str, Tensor]:
        return {name: (value / self.count).float() for name, value in self.total.items()}


@dataclass(frozen=True, slots=True)
class Progress:
    """What the loop reports while it runs."""

    share: float
    step: int
    tokens: int
    loss: float
    antecedent_loss: float
    rate: float


def train(
    config: TrainingConfig,
    stream: Callable[[int], Iterator[Batch]],
    validation: list[Batch],
    run: Path,
    minutes: float,
    *,
    initial: dict[str, Tensor] | None = None,
    vectors: Tensor | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Tensor]:
    """Train until the updates are made or `minutes` of wall-clock time are used, over all calls on the same run.

    Args:
        config: the run.
        stream: gives an endless stream of batches for a seed.
        validation: batches whose mean loss is logged.
        run: folder for `log.jsonl` and `checkpoint.safetensors`; a checkpoint there is resumed.
        minutes: the most that the whole schedule takes; it ends earlier only by `config.updates`.
        initial: weights of the model to start from instead of random ones.
        vectors: (vocabulary, width), token vectors to start from.
        device: "cpu", "cuda" or "mps".
        report: called every few seconds.

    Returns:
        The averaged float32 weights, by parameter name. A run resumed in its last part averages what is left of it.

    Raises:
        ConfigError: the run in the folder has made its updates or used its minutes already.
    """
    torch.manual_seed(config.seed)
    keep_freed_memory()
    run.mkdir(parents=True, exist_ok=True)
    learner = learner_of(config)
    if vectors is not None:
        learner.model.embedding.tokens.load_state_dict({"weight": vectors})
    if initial is not None:
        learner.model.load_state_dict(initial)
    precision = Precision.of(learner.to(device), torch.bfloat16)
    optimizer = torch.optim.AdamW(
        precision.master.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01, fused=device != "mps"
    )
    clock = Clock(run, precision, optimizer)
    schedule = Schedule(clock, minutes, config.updates)
    before = schedule.share if clock.step else 0.0  # what earlier calls used
    if config.updates and clock.step >= config.updates:
        raise ConfigError(f"The run in {run} has made its {config.updates} updates already. Give another --out.")
    if before >= 1:
        raise ConfigError(
            f"The run in {run} has used {clock.minutes:.1f} minutes already. Give more --minutes, or another --out."
        )
    clock.cut_log()
    marks = np.linspace(1 - config.averaged, 1, SNAPSHOTS)
    average, marks = Average({}), marks[marks >= before]
    totals, last_log, last_save = np.zeros(3), time.monotonic(), time.monotonic()
    try:
        for batch in stream(config.seed + clock.step):
            share = schedule.share
            while average.count < len(marks) and share >= marks[average.count]:
                average.add(precision.master.model)
            if share >= 1:
                break
            rate = rate_at(share, config.peak_rate, config.warmup)
            totals += update(precision, optimizer, batch, config, rate)
            clock.step += 1
            clock.tokens += batch.tokens
            now = time.monotonic()
            if now - last_log > LOG_SECONDS:
                means = totals[:2] / totals[2]
                progress = Progress(share, clock.step, clock.tokens, float(means[0]), float(means[1]), rate)
                report(progress)
                clock.log(loss=progress.loss, antecedent_loss=progress.antecedent_loss, rate=rate)
                totals[:], last_log = 0, now
            if now - last_save > CHECKPOINT_SECONDS:
                clock.log(validation_loss=evaluate_loss(precision, validation, config))
                clock.save()
                last_save = time.monotonic()
    finally:
        clock.save()  # at the end, and when it is interrupted
    averaged = average.mean()
    clock.log(validation_loss=evaluate_loss(precision, validation, config))
    precision.master.model.load_state_dict(averaged)
    precision.publish()
    clock.log(averaged_validation_loss=evaluate_loss(precision, validation, config))
    return averaged


def update(
    precision: Precision, optimizer: torch.optim.Optimizer, batch: Batch, config: TrainingConfig, rate: float
) -> np.ndarray:
    """One optimizer step; returns translation loss, antecedent loss and 1, to be summed up."""
    translation, antecedent = precision.working.losses(batch, config, precision.compute)
    share = len(batch.antecedents) / len(batch.source)  # pronouns per sentence: each weighs the same in every batch
    (translation + config.antecedent_weight * share * antecedent).backward()
    precision.collect_gradients()
    torch.nn.utils.clip_grad_norm_(precision.master.parameters(), CLIP)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    precision.publish()
    return np.array([float(translation.detach()), float(antecedent.detach()), 1.0])


@torch.no_grad()
def evaluate_loss(precision: Precision, validation: list[Batch], config: TrainingConfig) -> float:
    """Label-smoothed cross-entropy per target token, mean over validation batches, in nats."""
    losses = [float(precision.working.losses(batch, config, precision.compute)[0]) for batch in validation]
    weights = [int((batch.predicted != config.model.pad).sum()) for batch in validation]
    return float(np.average(losses, weights=weights)) if losses else float("nan")


class Clock:
    """Where a run stands: step, tokens, minutes used so far; its log and its checkpoint."""

    def __init__(self, run: Path, precision: Precision, optimizer: torch.optim.Optimizer) -> None:
        self.step = 0
        self.tokens = 0
        self._before = 0.0
        self._started = time.monotonic()
        self._log = run / "log.jsonl"
        self._path = run / "checkpoint.safetensors"
        self._precision = precision
        self._optimizer = optimizer
        if self._path.is_file():
            self._resume()

    @property
    def minutes(self) -> float:
        return self._before + (time.monotonic() - self._started) / 60

    def log(self, **values: float) -> None:
        """Append one JSON line: step, tokens, minutes and the values."""
        place = {"step": self.step, "tokens": self.tokens, "minutes": round(self.minutes, 2)}
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
        with self._log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(place | rounded) + "\n")

    def cut_log(self) -> None:
        """Drop the lines of steps after the checkpoint, which are taken again; without a checkpoint, all."""
        resumed = self._path.is_file()
        lines = self._log.read_text("utf-8").splitlines() if resumed and self._log.is_file() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.step]
        self._log.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def save(self) -> None:
        """Weights, both moments of the optimizer and the clock, replacing the last checkpoint at once."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self._precision.master.named_parameters():
            state: dict[str, Any] = self._optimizer.state.get(parameter, {})
            tensors[f"weight.{name}"] = parameter.detach()
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    tensors[f"{moment}.{name}"] = state[moment]
        place = {"step": str(self.step), "tokens": str(self.tokens), "minutes": str(self.minutes)}
        temporary = self._path.with_suffix(".new")
        safetensors.torch.save_file(
            {name: t.contiguous().cpu() for name, t in tensors.items()}, temporary, metadata=place
        )
        temporary.replace(self._path)

    def _resume(self) -> None:
        with safetensors.safe_open(self._path, framework="pt") as file:
            place = file.metadata()
            self.step, self.tokens, self._before = int(place["step"]), int(place["tokens"]), float(place["minutes"])
            saved = set(file.keys())
            fused = self._optimizer.defaults["fused"]  # the fused kernel counts steps beside the parameter
            for name, parameter in self._precision.master.named_parameters():
                with torch.no_grad():
                    parameter.copy_(file.get_tensor(f"weight.{name}"))
                if f"exp_avg.{name}" not in saved:  # it has had no gradient yet
                    continue
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step), device=parameter.device if fused else "cpu"),
                    "exp_avg": file.get_tensor(f"exp_avg.{name}").to(parameter.device),
                    "exp_avg_sq": file.get_tensor(f"exp_avg_sq.{name}").to(parameter.device),
                }
        self._precision.publish()
