"""Where a run stands, kept so that going on equals never having stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from engine.training.loop import Average

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
STEP, MOMENTS = "step", ("exp_avg", "exp_avg_sq", "momentum_buffer")  # of AdamW, and of Muon
RESULT = "averaged_validation_loss"  # in the last line of a finished run


class Checkpoint:
    """Step, tokens and minutes of a run; its weights, both moments, the average so far, and its log.

    Attributes:
        step: updates made.
        tokens: read so far, padding included; of a network that reads characters, these.
        average: of the weights in the run's last part, as far as it has come.
    """

    def __init__(
        self, run: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], average: Average
    ) -> None:
        """Takes up the checkpoint in the folder, if there is one. Each parameter belongs to one of the optimizers."""
        self.step = 0
        self.tokens = 0
        self._before = 0.0
        self._started = time.monotonic()
        self._path, self._log = run / CHECKPOINT, run / LOG
        self._model, self.average = model, average
        self._optimizer = {
            id(parameter): optimizer
            for optimizer in optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        self.resumed = self._path.is_file()
        if self.resumed:
            self._resume()

    @property
    def minutes(self) -> float:
        """Wall-clock time of all calls that worked on the run."""
        return self._before + (time.monotonic() - self._started) / 60

    def log(self, **values: float) -> None:
        """Append one JSON line: step, tokens, minutes and the values."""
        place = {"step": self.step, "tokens": self.tokens, "minutes": round(self.minutes, 2)}
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
        with self._log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(place | rounded) + "\n")

    def cut_log(self) -> None:
        """Drop what is written again: the lines of steps after the checkpoint, and a result; without one, all."""
        lines = self._log.read_text("utf-8").splitlines() if self.resumed and self._log.is_file() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.step and RESULT not in line]
        self._log.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def save(self) -> None:
        """Replace the last checkpoint at once."""
        tensors: dict[str, Tensor] = {f"average.{name}": total for name, total in self.average.total.items()}
        for name, parameter in self._model.named_parameters():
            tensors[f"weight.{name}"] = parameter.detach()
            state: dict[str, Any] = self._optimizer[id(parameter)].state.get(parameter, {})
            tensors |= {f"{key}.{name}": value for key, value in state.items() if key != STEP}
        place = {
            "step": self.step, "tokens": self.tokens, "minutes": self.minutes, "averaged": self.average.count
        }  # fmt: skip
        temporary = self._path.with_suffix(".new")
        safetensors.torch.save_file(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            temporary,
            metadata={name: str(value) for name, value in place.items()},
        )
        temporary.replace(self._path)

    def _resume(self) -> None:
        with safetensors.safe_open(self._path, framework="pt") as file:
            place, saved = file.metadata(), set(file.keys())
            self.step, self.tokens = int(place["step"]), int(place["tokens"])
            self._before, self.average.count = float(place["minutes"]), int(place["averaged"])
            for name, parameter in self._model.named_parameters():
                with torch.no_grad():
                    parameter.copy_(file.get_tensor(f"weight.{name}"))
                keys = [key.removesuffix(f".{name}") for key in saved if key.endswith(f".{name}")]
                moments = [key for key in keys if key in MOMENTS]
                if moments:
                    optimizer = self._optimizer[id(parameter)]
                    optimizer.state[parameter] = {
                        moment: file.get_tensor(f"{moment}.{name}").to(parameter.device) for moment in moments
                    }
                    if isinstance(optimizer, torch.optim.AdamW):
                        on_device = bool(optimizer.defaults["fused"])  # the fused kernel counts steps there
                        where = parameter.device if on_device else "cpu"
                        optimizer.state[parameter][STEP] = torch.tensor(float(self.step), device=where)
            for key in saved:
                if key.startswith("average."):
                    self.average.total[key.removeprefix("average.")] = file.get_tensor(key)
