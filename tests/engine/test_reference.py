"""What heads say on average: the plain mean over single runs, whatever the batches, and computed once for a model."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch
from torch import Tensor

from engine import reference
from engine.models.taps import Place
from engine.models.transformer import Transformer, TransformerConfig
from engine.reference import mean_outputs, output_buffers, reference_means
from engine.text import PAD, START
from engine.training import synthetic

CONFIG = TransformerConfig(19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12)
PAIRS = [
    ((5, 9, 14, 7, 11, 3), (7, 13, 3)),
    ((8, 3), (10, 4, 4, 17, 3)),
    ((12, 4, 18, 15, 3), (18, 3)),
    ((6, 6, 3), (9, 11, 16, 3)),
    ((17, 3), (5, 3)),
]
# Heads' outputs are around 1, and some twenty of them are added up: float32 roundings of 2^-24 each.
FLOAT32 = 2e-6


def build() -> Transformer:
    model = Transformer(CONFIG).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise * (1.5 / math.sqrt(parameter.shape[1]) if parameter.ndim > 1 else 0.2))
    return model


def by_hand(model: Transformer) -> dict[Place, Tensor]:
    """One run for each pair, all positions side by side, and their mean."""
    rows: dict[Place, list[Tensor]] = {}
    for source, target in PAIRS:
        read = (START, *target[:-1])
        taps = output_buffers(model, 1, len(source), len(read))
        with torch.no_grad():
            model(torch.tensor([source]), torch.tensor([read]), taps)
        for place, tap in taps.items():
            rows.setdefault(place, []).append(tap.outputs[0].double())
    return {place: torch.cat(found, dim=1).mean(dim=1) for place, found in rows.items()}


@pytest.mark.parametrize("batch", [1, 2, 40], ids=["alone", "batches", "one batch"])
def test_the_mean_over_every_position_without_padding(monkeypatch, batch):
    monkeypatch.setattr(reference, "BATCH", batch)
    model = build()
    found, expected = mean_outputs(model, PAIRS, PAD, START), by_hand(model)
    assert found.keys() == expected.keys() and len(found) == 2 + 3 + 3
    for place, values in found.items():
        assert values.shape == (4, 4)
        torch.testing.assert_close(values.double(), expected[place], rtol=0, atol=FLOAT32)
        assert values.abs().max() > 0.1


def test_longer_neighbours_add_padding_and_nothing_else():
    """The first pair alone, and beside one whose sums are subtracted again."""
    model = build()
    both, short, long = (mean_outputs(model, pairs, PAD, START) for pairs in (PAIRS[:2], PAIRS[:1], PAIRS[1:2]))
    for place, values in both.items():
        counts = (6, 2) if place[0] == "encoder" else (3, 5)
        expected = (short[place] * counts[0] + long[place] * counts[1]) / sum(counts)
        torch.testing.assert_close(values, expected, rtol=0, atol=FLOAT32)


def test_buffers_have_the_shape_of_each_sublayer():
    taps = output_buffers(build(), 2, 6, 5)
    shapes = {place: tuple(tap.outputs.shape) for place, tap in taps.items()}
    assert shapes["encoder", 1] == (2, 4, 6, 4) and shapes["decoder", 2] == shapes["cross", 0] == (2, 4, 5, 4)
    assert not any(tap.explicit for tap in taps.values())


def test_the_reference_set_is_run_once_for_a_model_and_forgotten_with_it(monkeypatch, subwords):
    asked: list[int] = []
    sentences = synthetic.set_a("valid", 3)

    def set_a(half, count):
        assert (half, count) == ("valid", reference.SENTENCES)
        asked.append(count)
        return sentences

    monkeypatch.setattr(synthetic, "set_a", set_a)
    config = TransformerConfig(len(subwords), width=16, heads=4, encoder_layers=1, decoder_layers=1, feedforward=24)
    models = [Transformer(config).eval() for _ in range(2)]
    first = reference_means(models[0], subwords)
    assert reference_means(models[0], subwords) is first and len(asked) == 1
    second = reference_means(models[1], subwords)
    assert len(asked) == 2 and not torch.equal(second["cross", 0], first["cross", 0])
    pairs = [tuple(subwords.encode(text).ids for text in (one.english, one.french)) for one in sentences]
    expected = mean_outputs(models[0], pairs, PAD, START)
    assert all(torch.equal(first[place], expected[place]) for place in expected)
    gone, size = weakref.ref(models[0]), len(reference._known)
    models[0] = models[1]
    gc.collect()
    assert gone() is None and len(reference._known) == size - 1


def test_the_name_says_how_many_sentences_and_which():
    assert str(reference.SENTENCES) in reference.NAME and "validation half" in reference.NAME
