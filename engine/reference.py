"""What each head says on average: the mean of its output over a named set of sentences.

Replacing a head's output by this mean, instead of by 0, takes away what it says of the sentence at hand and keeps
what it says of every sentence alike, which later layers count on.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.decoding.search import pad_rows
from engine.huggingface.hosted import Shape
from engine.models.taps import Place, Tap
from engine.models.translator import Translator
from engine.text import TranslationTokenizer
from engine.types import KINDS

SENTENCES = 200
NAME = f"the mean over {SENTENCES} sentences of the pronoun grammar's validation half"
BATCH = 40

_lock = threading.Lock()
_known: WeakKeyDictionary[Translator, dict[Place, Tensor]] = WeakKeyDictionary()


def reference_means(model: Translator, tokenizer: TranslationTokenizer) -> dict[Place, Tensor]:
    """`mean_outputs` over the reference set that `NAME` names: computed once for a model, about a second.

    A sentence longer than the model reads ends where the model does.
    """
    with _lock:
        if model not in _known:
            from engine.training.synthetic import set_a

            end = (model.config.context if isinstance(model.config, Shape) else 0) or None
            pairs = [
                (tokenizer.encode(example.english).ids[:end], tokenizer.encode_output(example.french).ids[:end])
                for example in set_a("valid", SENTENCES)
            ]
            _known[model] = mean_outputs(model, pairs, tokenizer.pad, tokenizer.start)
        return _known[model]


@torch.inference_mode()
def mean_outputs(
    model: Translator, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int, start: int
) -> dict[Place, Tensor]:
    """The mean of each head's output before W_O over all positions of teacher-forced pairs.

    Args:
        model: the model.
        pairs: ids of source and output, </s> last in both.
        pad: id of padding.
        start: id that the decoder reads first.

    Returns:
        By sublayer, (H, d/H).
    """
    device = next(model.embedding.parameters()).device
    sums: dict[Place, Tensor] = {}
    counts: dict[str, int] = {"source": 0, "target": 0}
    for first in range(0, len(pairs), BATCH):
        batch = pairs[first : first + BATCH]
        source = pad_rows([ids for ids, _ in batch], pad, device)
        target = pad_rows([[start, *ids[:-1]] for _, ids in batch], pad, device)
        there = {"source": _is_text(source, [len(ids) for ids, _ in batch])}
        there["target"] = _is_text(target, [len(ids) for _, ids in batch])
        taps = output_buffers(model, len(batch), source.shape[1], target.shape[1])
        model(source, target, taps)
        for side, positions in there.items():
            counts[side] += int(positions.sum())
        for place, tap in taps.items():
            assert tap.outputs is not None
            rows = there["source" if place[0] == "encoder" else "target"]  # (B, Q)
            total = (tap.outputs * rows[:, None, :, None]).sum(dim=(0, 2))
            sums[place] = sums.get(place, torch.zeros_like(total)) + total
    return {place: total / counts["source" if place[0] == "encoder" else "target"] for place, total in sums.items()}


def _is_text(ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Bool (B, T), False behind each row's length: <s> may be the id of padding, too."""
    return torch.arange(ids.shape[1], device=ids.device) < torch.tensor(lengths, device=ids.device)[:, None]


def output_buffers(model: Translator, batch: int, source: int, target: int) -> dict[Place, Tap]:
    """Taps that write down what every head gives, for texts of so many tokens."""
    config, like = model.config, next(model.embedding.parameters())
    taps: dict[Place, Tap] = {}
    for kind in KINDS:
        long = source if kind == "encoder" else target
        shape = (batch, config.attention_heads(kind), long, config.attention_head_width(kind))
        for layer in range(config.attention_layers(kind)):
            taps[kind, layer] = Tap(outputs=like.new_empty(shape))
    return taps
