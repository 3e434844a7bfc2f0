"""A small recurrent translator with weights of trained size, sentences for it, and how exact its results are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.edits import Intervened
from engine.interventions import Head
from engine.models.seq2seq import (
    ATTENTIONS,
    Seq2Seq,
    Seq2SeqConfig,
    Seq2SeqState,
)  # fmt: skip

SMALL = Seq2SeqConfig(19, "additive", embedding=6, layers=2, encoder_width=5, width=7)
# Source rows end with </s>, then padding; target rows start with <s>.
SOURCE = torch.tensor([[5, 9, 14, 7, 11, 3], [8, 6, 3, 0, 0, 0], [12, 4, 18, 15, 3, 0]])
TARGET = torch.tensor([[2, 7, 13, 5, 16], [2, 10, 4, 4, 17], [2, 18, 9, 0, 0]])
LENGTHS, TARGET_LENGTHS = torch.tensor([6, 3, 5]), (5, 5, 3)
BATCH, SPAN, STEPS = 3, SOURCE.shape[1], TARGET.shape[1]
# Two ways to the same sums of up to 23 products of numbers around 1, through two layers and eleven steps: some tens of
# roundings of 2^-53. A gate, a direction, a mask or a position out of place changes logits by 1e-2 or more.
FLOAT64 = {"rtol": 0, "atol": 1e-12}
# Maps and log-probabilities come out in float32 from the float64 models here: half a unit of the last place, 3e-8 of a
# weight of up to 1, 5e-7 of a log-probability of up to −16.
WEIGHTS32, LOGPROBS32 = {"rtol": 0, "atol": 6e-8}, {"rtol": 0, "atol": 1e-6}
HEAD = Head("cross", 0, 0)
ATTENDING = ATTENTIONS[1:]

KINDS = pytest.mark.parametrize("kind", ATTENTIONS)
SCORED = pytest.mark.parametrize("kind", ATTENDING)


def build(kind: str, **changes: object) -> Seq2Seq:
    """A float64 model with weights of trained size, so that attention is uneven and every parameter matters."""
    model = Seq2Seq(replace(SMALL, attention=kind, **changes)).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        size = 4.0 if name.startswith(("keys", "score")) else 1.5
        matrix = parameter.ndim > 1 or "direction" in name
        parameter.copy_(noise * (size * parameter.shape[-1] ** -0.5 if matrix else 0.3))
    return model


def sentences() -> list[tuple[int, Tensor, Tensor]]:
    """Row, source (1, S) and target (1, T) of each sentence without its padding."""
    lengths = zip(LENGTHS.tolist(), TARGET_LENGTHS, strict=True)
    return [(row, SOURCE[row : row + 1, :s], TARGET[row : row + 1, :t]) for row, (s, t) in enumerate(lengths)]


def stepwise(model: Seq2Seq | Intervened, state: Seq2SeqState, target: Tensor) -> tuple[Tensor, Seq2SeqState]:
    """Log-probabilities (B, T, V), one step at a time, and the last state."""
    found = []
    for tokens in target.unbind(1):
        logprobs, state = model.step(state, tokens)
        found.append(logprobs)
    return torch.stack(found, dim=1), state


def torch_encoder(model: Seq2Seq, layers: int) -> nn.GRU:
    """torch's bidirectional network with the weights of our first layers."""
    theirs = nn.GRU(6, 5, layers, batch_first=True, bidirectional=True, dtype=torch.float64)
    for index, layer in enumerate(list(model.encoder)[:layers]):
        for suffix, stack in (("", layer.forwards), ("_reverse", layer.backwards)):
            for name, value in stack.network.named_parameters():
                theirs.get_parameter(f"{name.removesuffix('0')}{index}{suffix}").data.copy_(value)
    return theirs
