"""Taps: what they write down is what was used, what they change is all that changes, and nothing else happens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.models.attention import MultiHeadAttention
from engine.models.taps import NO_TAPS, UNTAPPED, Place, Tap
from engine.models.transformer import Transformer, TransformerConfig
from engine.types import KINDS

CONFIG = TransformerConfig(19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12)
SOURCE = torch.tensor([[5, 9, 14, 7, 11, 3], [8, 6, 3, 0, 0, 0]])
TARGET = torch.tensor([[2, 7, 13, 5, 16], [2, 10, 4, 4, 17]])
PLACES: list[Place] = [("encoder", 1), ("decoder", 0), ("cross", 2)]
# Logits here are around 1 to 10. Two float32 ways to the same sums of 16 or 24 products, through 5 layers, differ by
# some ten roundings of 2^-24 of that.
FLOAT32 = 2e-5


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Uneven weights and biases that are not 0, or a missing one would not show."""
    made = Transformer(CONFIG).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise * (1.5 / math.sqrt(parameter.shape[1]) if parameter.ndim > 1 else 0.2))
    return made


def attention_of(model: Transformer, place: Place) -> MultiHeadAttention:
    kind, layer = place
    if kind == "encoder":
        return model.encoder[layer].attention
    return model.decoder[layer].cross if kind == "cross" else model.decoder[layer].attention


def shapes(place: Place) -> tuple[int, int]:
    """(Q, K) of a sublayer."""
    source, target = SOURCE.shape[1], TARGET.shape[1]
    return {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}[place[0]]


def buffers(place: Place) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, values and outputs, full of NaN."""
    queries, keys = shapes(place)
    return tuple(torch.full((2, 4, *rest), torch.nan) for rest in ((queries, keys), (keys, 4), (queries, 4)))


def nearly(found: Tensor, expected: Tensor, atol: float = FLOAT32) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


# --- One sublayer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_with_all_heads_off_a_sublayer_gives_the_bias_of_its_output_matrix(model, place, monkeypatch):
    attention, found = attention_of(model, place), []
    project = attention.project
    monkeypatch.setattr(attention, "project", lambda mixed: found.append(project(mixed)) or found[-1])
    model(SOURCE, TARGET, {place: Tap(change_outputs=torch.zeros_like)})
    assert len(found) == 1
    assert torch.equal(found[0], attention.out_proj.bias.expand_as(found[0]))  # W_O · 0 + b_O, with no rounding
    assert attention.out_proj.bias.abs().min() > 0


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_buffers_get_the_weights_the_values_and_what_is_made_of_them(model, place, explicit):
    weights, values, outputs = buffers(place)
    model(SOURCE, TARGET, {place: Tap(weights=weights if explicit else None, values=values, outputs=outputs)})
    if not explicit:
        model(SOURCE, TARGET, {place: Tap(weights=weights)})
    assert not torch.isnan(weights).any()
    # 6 terms around 1; each path sums them in its own order, after softmaxes that differ by some roundings
    nearly(outputs, weights @ values, 5e-6)
    nearly(weights.sum(-1), torch.ones(weights.shape[:-1]), 1e-6)  # 6 terms, each rounded to 2^-25


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_what_is_written_down_is_what_was_used_after_a_change(model, place):
    def flipped(weights: Tensor) -> Tensor:
        return weights.flip(1)

    weights, values, outputs = buffers(place)
    before, _, _ = buffers(place)
    model(SOURCE, TARGET, {place: Tap(weights=before)})
    tap = Tap(weights, values, outputs, change_weights=flipped, change_outputs=torch.neg)
    logits = model(SOURCE, TARGET, {place: tap})
    assert torch.equal(weights, before.flip(1)) and not torch.equal(weights, before)
    nearly(outputs, -(before.flip(1) @ values), 5e-6)  # as above
    # and it is this that the rest of the network went on with
    again = model(SOURCE, TARGET, {place: Tap(change_outputs=lambda mixed: outputs)})
    nearly(again, logits)
    assert (logits - model(SOURCE, TARGET)).abs().max() > 1e-2


def test_a_change_has_the_weights_of_its_own_sublayer_alone(model):
    seen: dict[Place, tuple[int, ...]] = {}

    def watching(place: Place) -> Tap:
        def look(weights: Tensor) -> Tensor:
            seen[place] = tuple(weights.shape)
            return weights

        return Tap(change_weights=look)

    layers = {"encoder": 2, "decoder": 3, "cross": 3}
    everywhere = [(kind, layer) for kind in KINDS for layer in range(layers[kind])]
    model(SOURCE, TARGET, {place: watching(place) for place in everywhere})
    assert seen == {place: (2, 4, *shapes(place)) for place in everywhere}


# --- The whole forward ------------------------------------------------------------------------------------------------


def test_an_empty_tap_changes_nothing(model):
    fused = model(SOURCE, TARGET)
    everywhere = {(kind, layer): Tap() for kind in KINDS for layer in range(3)}
    assert torch.equal(model(SOURCE, TARGET, everywhere), fused)  # the same kernels in the same order
    assert torch.equal(model(SOURCE, TARGET, NO_TAPS), fused)
    assert Tap() == UNTAPPED and not UNTAPPED.explicit


def test_watching_and_changing_into_the_same_keep_the_fused_output(model):
    fused = model(SOURCE, TARGET)
    for tap in (Tap(change_weights=torch.clone), Tap(change_weights=lambda weights: weights)):
        everywhere = {(kind, layer): tap for kind in KINDS for layer in range(3)}
        nearly(model(SOURCE, TARGET, everywhere), fused)
    for place in PLACES:
        _, values, outputs = buffers(place)
        watched = model(SOURCE, TARGET, {place: Tap(values=values, outputs=outputs)})
        assert torch.equal(watched, fused)  # no weights are asked for: the fused kernel ran


def test_only_weights_need_the_explicit_path():
    some = torch.zeros(1)
    assert Tap(weights=some).explicit and Tap(change_weights=torch.clone).explicit
    assert not Tap(values=some, outputs=some, change_outputs=torch.clone).explicit


def test_maps_with_taps_keep_the_callers_and_show_the_changed_weights(model):
    place, seen = ("cross", 1), []
    _, values, outputs = buffers(place)

    def even(weights: Tensor) -> Tensor:
        seen.append(weights)
        return torch.full_like(weights, 1 / weights.shape[-1])

    taps = {place: Tap(values=values, outputs=outputs, change_weights=even)}
    plain = model.forward_with_maps(SOURCE, TARGET)
    maps = model.forward_with_maps(SOURCE, TARGET, taps)
    assert len(seen) == 1 and taps == {place: Tap(values=values, outputs=outputs, change_weights=even)}
    assert (maps.cross[1] == 1 / 6).all()
    nearly(outputs, values.mean(2, keepdim=True).expand_as(outputs), 1e-6)  # 6 numbers around 1
    # everything before is untouched; everything after has read another sequence
    assert torch.equal(maps.encoder, plain.encoder)
    assert torch.equal(maps.decoder[:2], plain.decoder[:2]) and torch.equal(maps.cross[0], plain.cross[0])
    assert (maps.decoder[2] - plain.decoder[2]).abs().max() > 1e-3
    nearly(maps.logits, model(SOURCE, TARGET, taps))
    assert (maps.logits - plain.logits).abs().max() > 1e-2


def test_a_buffer_of_ones_own_gives_way_to_the_maps(model):
    """The caller reads them from the result."""
    mine = torch.full((2, 4, 6, 6), torch.nan)
    maps = model.forward_with_maps(SOURCE, TARGET, {("encoder", 0): Tap(weights=mine)})
    assert torch.isnan(mine).all() and not torch.isnan(maps.encoder).any()


def test_maps_with_a_gradient_are_written_down_without_it(model):
    """Training takes the explicit path anyway, where buffers must not join the graph."""
    weights, values, outputs = buffers(("encoder", 1))
    vectors = model.embedding(SOURCE).detach().requires_grad_()
    taps = {("encoder", 1): Tap(weights, values, outputs)}
    logits = model.forward_from_embeddings(vectors, model.embedding(TARGET), model.source_mask(SOURCE), taps)
    logits.sum().backward()
    assert vectors.grad is not None and vectors.grad.abs().max() > 0
    assert not any(buffer.requires_grad or torch.isnan(buffer).any() for buffer in (weights, values, outputs))
    nearly(outputs, weights @ values, 5e-6)  # as above
