"""The training loop: one order of the text for every model, a schedule that ends by epochs or by the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.models.autocomplete import Autocomplete
from engine.training.autocomplete.batches import Feed
from engine.training.autocomplete.config import AutocompleteTraining
from engine.training.autocomplete.gradient import Gradient, gradient_of
from engine.training.autocomplete.scores import read
from engine.training.autocomplete.text import OUTSIDE, Text
from engine.training.checkpoint import Checkpoint
from engine.training.loop import CLIP, Average, keep_freed_memory
from engine.training.updates import Work, make_updates

CHECKPOINT_SECONDS = 60.0  # a whole run takes a GPU a few minutes


@dataclass(frozen=True, slots=True)
class Progress:
    """What the loop reports while it runs.

    Attributes:
        share: of the schedule, in [0, 1].
        step: updates made.
        characters: read so far.
        loss: mean over the steps since the last report, in nats.
        rate: learning rate.
    """

    share: float
    step: int
    characters: int
    loss: float
    rate: float


def train(
    config: AutocompleteTraining,
    text: Text,
    validation: Text,
    run: Path,
    minutes: float,
    *,
    initial: dict[str, Tensor] | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Tensor]:
    """Train until the epochs are read or `minutes` of wall-clock time are used, over all calls on the same run.

    Args:
        config: the run.
        text: to learn from.
        validation: text whose loss is logged.
        run: folder for the log and the checkpoint; a checkpoint there is resumed.
        minutes: the most that the whole schedule takes; it ends earlier only by `config.epochs`.
        initial: weights to start from instead of random ones.
        device: "cpu", "cuda" or "mps".
        report: called every few seconds.

    Returns:
        The averaged float32 weights, by parameter name; of a finished run, at once.

    Raises:
        ConfigError: the run has used its minutes without being finished, or the text is too short for a batch.
    """
    torch.manual_seed(config.seed)
    keep_freed_memory()
    run.mkdir(parents=True, exist_ok=True)
    model = Autocomplete(config.model)
    if initial is None:
        expect_frequencies(model, text)
    else:
        model.load_state_dict(initial)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=config.weight_decay,
        fused=device != "mps",
    )  # fmt: skip
    state = Checkpoint(run, model, [optimizer], Average({}))
    feed = Feed(text, config.batch, config.length, config.seed, device, config.sampled)
    gradient = gradient_of(model, bfloat16=config.bfloat16, graph=config.graph)

    def tell(share: float, rate: float, losses: list[float]) -> dict[str, float]:
        report(Progress(share, state.step, state.tokens, losses[0], rate))
        return {"loss": losses[0]}

    work = Work(
        model,
        update=lambda step, rate: update(model, optimizer, gradient, feed.batch(step), rate)[None],
        validate=lambda name: {name: validation_loss(model, validation, config.length)},
        adopt=model.load_state_dict,
        tokens=feed.characters,
        steps=config.epochs * feed.steps,
    )
    return make_updates(work, state, run, minutes, config, tell, CHECKPOINT_SECONDS)


@torch.no_grad()
def expect_frequencies(model: Autocomplete, text: Text) -> None:
    """Set the output's bias to how often words are asked for, so that no step is spent on learning that."""
    asked = np.bincount(text.targets[text.targets != OUTSIDE], minlength=model.config.words) + 1.0
    model.output.bias.copy_(torch.from_numpy(np.log(asked / asked.sum())))


def update(
    model: Autocomplete, optimizer: torch.optim.Optimizer, gradient: Gradient, batch: tuple[Tensor, Tensor], rate: float
) -> Tensor:
    """One optimizer step on a batch of ids and targets; returns the loss before it, on the device."""
    loss = gradient(*batch)
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss


def validation_loss(model: nn.Module, text: Text, length: int) -> float:
    """Mean cross-entropy in nats over the characters of a text whose word is in the vocabulary."""
    reading = read(model, text, length)
    return float(reading.surprise[reading.counted].mean())
