"""Long texts of numbers in small native models of random weights: as readings, and all of their maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.models.bert import Bert, BertConfig
from engine.models.gpt import GPT, GPTConfig
from engine.models.taps import Taps
from engine.models.transformer import Transformer, TransformerConfig
from engine.reading import Axes, Reading
from engine.types import Kind, Tokens, TraceRequest

Maps = Mapping[Kind, np.ndarray]
"""Weights (layer, head, query, key) by kind of attention."""

VOCABULARY = 50


def numbers(length: int, first: int = 0) -> Tokens:
    """A text of numbers, each a word."""
    labels = tuple(str(place) for place in range(first, first + length))
    text = " ".join(labels)
    ends = np.cumsum([len(label) + 1 for label in labels]) - 1
    spans = tuple((int(end) - len(label), int(end)) for label, end in zip(labels, ends, strict=True))
    return Tokens(text, labels, (), tuple(range(length)), spans, (False,) * length)


def strong(model: nn.Module) -> Any:
    """The model in evaluation mode, its weights far enough from 0 for its heads to differ."""
    torch.manual_seed(7)
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.add_(0.25 * torch.randn_like(parameter))
    return model


def ids(length: int) -> Tensor:
    torch.manual_seed(length)
    return torch.randint(4, VOCABULARY, (1, length))


def reading(maps: Maps, axes: Mapping[Kind, Axes], run: Callable[[Taps], object]) -> Reading:
    def quietly(taps: Taps) -> None:
        with torch.inference_mode():
            run(taps)

    heads = {kind: weights.shape[1] for kind, weights in maps.items()}
    layers = {kind: weights.shape[0] for kind, weights in maps.items()}
    names: dict[Kind, tuple[str, ...]] = {kind: () for kind in maps}
    return Reading(TraceRequest("small@12345678", "numbers", None, 0), axes, layers, heads, heads, quietly, names)


def gpt_reading(length: int, layers: int = 3) -> tuple[Reading, Maps]:
    """A causal text, and its maps (layers, 4 heads)."""
    model: GPT = strong(GPT(GPTConfig(VOCABULARY, width=32, heads=4, layers=layers, feedforward=32, context=512)))
    read, text = ids(length), numbers(length)
    maps: Maps = {"decoder": model.forward_with_maps(read).decoder[:, 0].detach().numpy()}
    axes: Mapping[Kind, Axes] = {"decoder": Axes(text, text, numbers(length, 1))}
    return reading(maps, axes, lambda taps: model(read, taps)), maps


def bert_reading(length: int, layers: int = 2) -> tuple[Reading, Maps]:
    """A text in both directions, and its maps (layers, 2 heads)."""
    model: Bert = strong(Bert(BertConfig(VOCABULARY, width=16, heads=2, layers=layers, feedforward=16, context=256)))
    read, segments, text = ids(length), torch.zeros(1, length, dtype=torch.long), numbers(length)
    maps: Maps = {"encoder": model.forward_with_maps(read, segments).encoder[:, 0].detach().numpy()}
    return reading(maps, {"encoder": Axes(text, text)}, lambda taps: model(read, segments, taps=taps)), maps


def transformer_reading(source: int, target: int) -> tuple[Reading, Maps]:
    """Two texts, and all three kinds of maps: 2 and 3 layers of 4 heads."""
    config = TransformerConfig(VOCABULARY, width=32, heads=4, encoder_layers=2, decoder_layers=3, feedforward=32)
    model: Transformer = strong(Transformer(config))
    read, said = ids(source), ids(target)
    whole = model.forward_with_maps(read, said).by_kind
    maps: Maps = {kind: weights[:, 0].detach().numpy() for kind, weights in whole.items()}
    first, second, predicted = numbers(source), numbers(target), numbers(target, 1)
    axes: Mapping[Kind, Axes] = {
        "encoder": Axes(first, first),
        "decoder": Axes(second, second, predicted),
        "cross": Axes(second, first, predicted),
    }
    return reading(maps, axes, lambda taps: model(read, said, taps)), maps


def changed(one: Reading, **fields: Any) -> Reading:
    """The same with other fields."""
    return replace(one, **fields)
