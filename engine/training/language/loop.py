"""The training loop of the language models: a schedule that ends by updates or by the clock, resumable, averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.training.checkpoint import Checkpoint
from engine.training.language.config import LanguageTraining
from engine.training.language.tasks import VALIDATION_SEED, VALIDATION_STEPS, Task
from engine.training.loop import CLIP, Average, Precision, keep_freed_memory
from engine.training.updates import Work, make_updates

CHECKPOINT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the loop reports while it runs.

    Attributes:
        share: of the schedule, in [0, 1].
        step: updates made.
        tokens: read so far.
        loss: mean over the steps since the last report, in nats per token to predict.
        second: the same of the second objective.
        rate: learning rate.
    """

    share: float
    step: int
    tokens: int
    loss: float
    second: float
    rate: float


def optimizers_of(config: LanguageTraining, model: nn.Module, device: str) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between layers (Jordan et al. 2024), AdamW for all else; or AdamW alone."""
    matrices = [
        parameter
        for name, parameter in model.named_parameters()
        if config.optimizer == "muon" and parameter.ndim == 2 and name.startswith("layers.")
    ]
    chosen = set(map(id, matrices))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            rest, lr=0.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=config.weight_decay, fused=device != "mps"
        )
    ]
    if matrices:
        # Steps as long as AdamW's, so that one rate serves both.
        found.append(
            torch.optim.Muon(matrices, lr=0.0, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    return found


def train(
    config: LanguageTraining,
    task: Task,
    run: Path,
    minutes: float,
    *,
    initial: dict[str, Tensor] | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Tensor]:
    """Train until the updates are made or `minutes` of wall-clock time are used, over all calls on the same run.

    Args:
        config: the run.
        task: model and text.
        run: folder for the log and the checkpoint; a checkpoint there is resumed.
        minutes: the most that the whole schedule takes; it ends earlier only by `config.updates`.
        initial: weights to start from instead of random ones; what it lacks stays random.
        device: "cpu", "cuda" or "mps".
        report: called every few seconds.

    Returns:
        The averaged float32 weights, by parameter name; of a finished run, at once.

    Raises:
        ConfigError: the run has used its minutes without being finished, or the text is too short for a batch.
    """
    keep_freed_memory()
    run.mkdir(parents=True, exist_ok=True)
    if initial is not None:
        task.model.load_state_dict(initial, strict=False)
    precision = Precision.of(task.to(device).train(), torch.bfloat16)  # type: ignore[arg-type]
    optimizers = optimizers_of(config, task.model, device)
    state = Checkpoint(run, task.model, optimizers, Average({}))
    precision.publish()

    def tell(share: float, rate: float, losses: list[float]) -> dict[str, float]:
        first, second = losses
        report(Progress(share, state.step, state.tokens, first, second, rate))
        return {"loss": first, "second_loss": second}

    def adopt(weights: Mapping[str, Tensor]) -> None:
        task.model.load_state_dict(weights)
        precision.publish()

    work = Work(
        task.model,
        update=lambda step, rate: update(precision, optimizers, step, rate),
        validate=lambda name: validation_losses(precision, name),
        adopt=adopt,
        tokens=task.tokens,
        steps=config.updates,
    )
    return make_updates(work, state, run, minutes, config, tell, CHECKPOINT_SECONDS)


def update(precision: Precision, optimizers: list[torch.optim.Optimizer], step: int, rate: float) -> Tensor:
    """One step of every optimizer; returns both losses before it, (2,), on the device."""
    first, second = precision.working.losses(step, precision.compute)  # type: ignore[call-arg, arg-type]
    (first + second).backward()
    precision.collect_gradients()
    torch.nn.utils.clip_grad_norm_(precision.master.parameters(), CLIP)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    precision.publish()
    return torch.stack([first.detach(), second.detach()])


@torch.no_grad()
def validation_losses(precision: Precision, name: str) -> dict[str, float]:
    """Both mean losses over the same batches of the held-out books, named `name` and `name`_second."""
    found = [
        [float(loss) for loss in precision.working.losses(VALIDATION_SEED + step, precision.compute, held_out=True)]  # type: ignore[call-arg, arg-type]
        for step in range(VALIDATION_STEPS)
    ]
    first, second = np.mean(found, axis=0)
    return {name: float(first), f"{name}_second": float(second)}
