"""`engine.knockout.sweep` for models that are not our own: every head off in turn, by taps alone.

Ours grows one batch through its layers; of another model nothing is known but what taps reach, so that it runs once for
each attention sublayer, with a row for each of its heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.knockout import Fork, Instead, Sweep, nothing, sweep
from engine.models.taps import NO_TAPS, Change, Place, Tap, Taps
from engine.models.transformer import Transformer
from engine.runner import Runner
from engine.types import KINDS, Kind

WithTaps = Transformer | HostedSeq2Seq
"""Encoder-decoders all of whose heads taps reach."""

ROWS = 16  # heads that are off side by side, at most: each row has logits of its own


def sweep_any(runner: Runner, source: Sequence[int], fork: Fork, instead: Instead = nothing) -> Sweep:
    """The log-odds with each head off, the shortest way that the model allows.

    Args:
        runner: with any model whose heads can be changed.
        source: ids of the source, with its special tokens.
        fork: the decision.
        instead: what stands in place of a head's output.

    Raises:
        Unsupported: it has no such heads.
    """
    if isinstance(runner.model, HostedSeq2Seq):
        return sweep_by_taps(runner.model, source, fork, instead)
    return sweep(runner.transformer, source, fork, instead)


@torch.inference_mode()
def sweep_by_taps(model: WithTaps, source: Sequence[int], fork: Fork, instead: Instead = nothing) -> Sweep:
    """`engine.knockout.sweep` for any encoder-decoder."""
    off: dict[Kind, np.ndarray] = {}
    for kind in KINDS:
        layers, heads = model.config.attention_layers(kind), model.config.attention_heads(kind)
        values = np.zeros((layers, heads), dtype=np.float32)
        for layer in range(layers):
            for first in range(0, heads, ROWS):
                chosen = range(first, min(first + ROWS, heads))
                taps = {(kind, layer): Tap(change_outputs=_one_a_row((kind, layer), chosen, instead))}
                values[layer, first : first + ROWS] = _log_odds(model, source, fork, len(chosen), taps)
        off[kind] = values
    return Sweep(float(_log_odds(model, source, fork, 1, NO_TAPS)[0]), off)


@torch.inference_mode()
def outputs_of(runner: Runner, source: Sequence[int], prefix: Sequence[int]) -> dict[Place, Tensor]:
    """What every head gives, (H, Q, d/H) by sublayer: kinds may differ in their numbers of heads, and so in d/H.

    Args:
        runner: with any model.
        source: ids of the source, with its special tokens.
        prefix: ids that the decoder reads.
    """
    outputs: dict[Place, Tensor] = {}

    def kept(place: Place) -> Change:
        def keep(mixed: Tensor) -> Tensor:
            outputs[place] = mixed[0]
            return mixed

        return keep

    layers = runner.model.config.attention_layers
    taps = {(kind, layer): Tap(change_outputs=kept((kind, layer))) for kind in KINDS for layer in range(layers(kind))}
    runner.model(runner.tensor(source), runner.tensor(prefix), taps)
    return outputs


def _one_a_row(place: Place, heads: Sequence[int], instead: Instead) -> Change:
    """Heads' outputs (B, H, Q, d/H), all rows alike, to the same with another of the B heads off in each row."""

    def change(mixed: Tensor) -> Tensor:
        changed, given = mixed.clone(), instead(place, mixed[0])
        for row, head in enumerate(heads):
            changed[row, head] = given[head]
        return changed

    return change


def _log_odds(model: WithTaps, source: Sequence[int], fork: Fork, rows: int, taps: Taps) -> np.ndarray:
    """Log p(first) − log p(second) at the end of the prefix, float32 (row,), of so many copies of a sentence."""
    device = next(model.embedding.parameters()).device
    ids = torch.tensor([source], device=device).expand(rows, -1)
    read = torch.tensor([fork.prefix], device=device).expand(rows, -1)
    logits = model(ids, read, taps)[:, -1].float()
    found: np.ndarray = (logits[:, fork.first] - logits[:, fork.second]).cpu().numpy()
    return found
