"""Every head switched off in turn: what each is worth to one decision of the model.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 3 (one head at a time); here the
change of a log-odds takes the place of the change of BLEU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.models.taps import Place
from engine.models.transformer import DecoderLayer, EncoderLayer, Transformer
from engine.types import KINDS, Kind

Instead = Callable[[Place, Tensor], Tensor]
"""What stands in place of heads' outputs: from a sublayer and its own (H, Q, d/H) to others of that shape.

Q is every position, or the last alone: nothing else counts in the last decoder layer."""


def nothing(place: Place, own: Tensor) -> Tensor:
    """Zero: a head that says nothing."""
    return torch.zeros_like(own)


def averages(means: Mapping[Place, Tensor]) -> Instead:
    """What each head says on average, (H, d/H) by sublayer (`engine.reference`)."""
    return lambda place, own: means[place][:, None].to(own).expand_as(own)


def from_another_run(outputs: Mapping[Place, Tensor], positions: Mapping[Kind, Sequence[tuple[int, int]]]) -> Instead:
    """What each head gives in another run, at the positions aligned with this one's; elsewhere its own.

    Args:
        outputs: of the other run, (H, Q, d/H) by sublayer; it has read as many output tokens as this one.
        positions: by kind, (there, here).
    """

    def instead(place: Place, own: Tensor) -> Tensor:
        pairs = positions[place[0]]
        length = outputs[place].shape[1] if place[0] != "encoder" else own.shape[1]
        assert own.shape[1] in (1, length), "the prefixes differ in length"
        first = length - own.shape[1]
        changed = own.clone()
        for there, here in pairs:
            if here >= first:
                changed[:, here - first] = outputs[place][:, there].to(own)
        return changed

    return instead


@dataclass(frozen=True, slots=True)
class Fork:
    """A place where an output may go on in two ways: the prefix both share, and the piece that tells them apart.

    Attributes:
        prefix: ids that the decoder has read when it decides, <s> first.
        first, second: the piece that each of the two ways goes on with.
    """

    prefix: tuple[int, ...]
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The log-odds of a fork with each head off in turn.

    Attributes:
        base: with all heads on: log p(first) − log p(second), in nats.
        off: by kind, float32 (layer, head): the same with this head off.
    """

    base: float
    off: Mapping[Kind, np.ndarray]

    @property
    def change(self) -> dict[Kind, np.ndarray]:
        """By kind, float32 (layer, head): what switching the head off adds to the log-odds."""
        return {kind: off - np.float32(self.base) for kind, off in self.off.items()}


@torch.inference_mode()
def log_odds(model: Transformer, source: Sequence[int], fork: Fork) -> float:
    """Log p(first) − log p(second) at the end of the prefix, in nats, with all heads on."""
    device = model.embedding.tokens.weight.device
    logits = model(torch.tensor([source], device=device), torch.tensor([fork.prefix], device=device))[0, -1]
    return float(logits[fork.first] - logits[fork.second])


@torch.inference_mode()
def sweep(model: Transformer, source: Sequence[int], fork: Fork, instead: Instead = nothing) -> Sweep:
    """The log-odds with each head off, all of them in one forward.

    The batch begins with the sentence as it is and grows by one row for each head where that head comes to pass: what
    comes before a head is computed once, and the rest of the network for many heads side by side. The last decoder
    layer computes only the position that decides.

    Args:
        model: the model.
        source: ids of the source, </s> last.
        fork: the decision.
        instead: what stands in place of a head's output.
    """
    device, heads = model.embedding.tokens.weight.device, model.config.heads
    x = model.embedding.place(model.embedding(torch.tensor([source], device=device)))
    for index, layer in enumerate(model.encoder):
        assert isinstance(layer, EncoderLayer)
        mixed = layer.attention.mix(*layer.project(x))
        mixed = torch.cat([mixed, _each_off(mixed[:1], instead, ("encoder", index))])
        x = layer.finish(_grown(x, heads), layer.attention.project(mixed))
    memory = model.encoder_norm(x)  # (1 + encoder heads, S, d)
    x = model.embedding.place(model.embedding(torch.tensor([fork.prefix], device=device))).expand(len(memory), -1, -1)
    for index, layer in enumerate(model.decoder):
        assert isinstance(layer, DecoderLayer)
        last = index == len(model.decoder) - 1
        query, key, value = layer.project(x)
        if last:  # nothing after it looks at the other positions
            x, query = x[:, -1:], query[:, :, -1:]
        mixed = layer.attention.mix(query, key, value, causal=True)
        mixed = torch.cat([mixed, _each_off(mixed[:1], instead, ("decoder", index))])
        x = layer.after_self(_grown(x, heads), layer.attention.project(mixed))
        keys, values = layer.cross.project_memory(memory)
        mixed = _cross(layer, x, keys, values)
        mixed = torch.cat([mixed, _each_off(mixed[:1], instead, ("cross", index))])
        x = layer.finish(_grown(x, heads), layer.cross.project(mixed))
    hidden = model.decoder_norm(x[:, -1])
    pieces = torch.tensor([fork.first, fork.second], device=device)
    bias = 0.0 if model.output_bias is None else model.output_bias[pieces]
    logits = (hidden @ model.embedding.tokens.weight[pieces].T + bias).float()  # (1 + all heads, 2)
    return _sorted((logits[:, 0] - logits[:, 1]).cpu().numpy(), model)


def _grown(x: Tensor, count: int) -> Tensor:
    """The batch with `count` more rows like the first."""
    return torch.cat([x, x[:1].expand(count, *x.shape[1:])])


def _each_off(mixed: Tensor, instead: Instead, place: Place) -> Tensor:
    """Heads' outputs (1, H, Q, d/H) as (H, H, Q, d/H): in row h, head h is off."""
    heads = mixed.shape[1]
    rows = mixed.repeat(heads, 1, 1, 1)
    each = torch.arange(heads, device=mixed.device)
    rows[each, each] = instead(place, mixed[0])
    return rows


def _cross(layer: DecoderLayer, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Cross-attention of a batch of which the first rows have a memory each and those behind the first row's."""
    query, own = layer.project_cross(x), len(keys)
    first, behind = query[:own], query[own:]
    shared = (side[:1].expand(len(behind), -1, -1, -1) for side in (keys, values))
    return torch.cat([layer.cross.mix(first, keys, values), layer.cross.mix(behind, *shared)])


def _sorted(values: np.ndarray, model: Transformer) -> Sweep:
    """Rows of the grown batch by kind, layer and head."""
    config, heads = model.config, model.config.heads
    off: dict[Kind, list[np.ndarray]] = {kind: [] for kind in KINDS}
    kinds: list[Kind] = ["encoder"] * config.encoder_layers
    for _ in range(config.decoder_layers):
        kinds += ["decoder", "cross"]
    for index, kind in enumerate(kinds):
        off[kind].append(values[1 + index * heads : 1 + (index + 1) * heads])
    return Sweep(float(values[0]), {kind: np.stack(rows).astype(np.float32) for kind, rows in off.items()})
