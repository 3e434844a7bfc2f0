"""Gradient × input, integrated gradients and occlusion: by hand, and that they add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.connectivity import Connectivity
from engine.connectivity_attributions import (
    BASELINES,
    baseline_of,
    gradient_times_input,
    integrated_gradients,
    occlusion,
)
from engine.connectivity_blocks import MASKED
from engine.errors import ConfigError
from engine.models.autocomplete import Autocomplete, AutocompleteConfig

CELLS = ("rnn", "gru", "lstm", "nlstm", "transformer")
IDS, WORDS = (3, 0, 17, 5, 9), (4, 12, MASKED, 7, 4)
TARGETS = [0, 1, 3, 4]


def build(cell: str) -> Autocomplete:
    """Tiny, float64, in evaluation mode."""
    torch.manual_seed(0)
    width = 8 if cell == "transformer" else 7
    shape = {"embedding": 8, "width": width, "heads": 2, "feedforward": 11}
    model = Autocomplete(AutocompleteConfig(cell, words=13, **shape)).double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.mul_(1.5)
    return model


def logits_of(model: Autocomplete, vectors: Tensor) -> Tensor:
    """Logits (B, targets) of the words that are asked about."""
    return model.forward_from_embeddings(vectors)[:, TARGETS, [WORDS[time] for time in TARGETS]]


class Linear(nn.Module):
    """Logits linear in what is read: w_k · (x₀ + 2 x₁ + 3 x₂ + ...) up to each position."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 3)
        self.output = nn.Linear(3, 13)

    def forward_from_embeddings(self, vectors: Tensor) -> Tensor:
        times = torch.arange(1, vectors.shape[1] + 1)[:, None]
        return self.output((vectors * times).cumsum(1))


@pytest.mark.parametrize("baseline", BASELINES)
def test_of_a_linear_model_all_three_are_the_same(baseline):
    model = Linear().double().eval().requires_grad_(False)
    away = model.embedding(torch.tensor(IDS)) - baseline_of(model.embedding.weight, baseline)
    expected = np.zeros((5, 5))
    for row in TARGETS:
        for column in range(row + 1):
            expected[row, column] = (column + 1) * model.output.weight[WORDS[row]] @ away[column]
    integrated = integrated_gradients(model, IDS, WORDS, baseline, steps=2)
    for found in (
        gradient_times_input(model, IDS, WORDS, baseline),
        occlusion(model, IDS, WORDS, baseline),
        integrated.connectivity,
    ):
        np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)  # float32
    np.testing.assert_allclose(integrated.error, 0, atol=1e-12)  # float64
    assert (expected < 0).any() and (found.relative < 0).any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_integrated_gradients_add_up_to_the_change(cell, baseline):
    model = build(cell)
    found = integrated_gradients(model, IDS, WORDS, baseline, steps=64)
    vectors = model.embedding(torch.tensor(IDS))
    start = baseline_of(model.embedding.weight, baseline).expand_as(vectors)
    ends = logits_of(model, torch.stack([start, vectors]))
    np.testing.assert_allclose(found.change[TARGETS], ends[1] - ends[0], atol=1e-12)  # float64
    assert (
        found.change[2] == found.error[2] == 0
        and found.connectivity.masked.tolist() == [False] * 2 + [True] + [False] * 2
    )
    np.testing.assert_allclose(found.connectivity.values.sum(1), found.change + found.error, atol=1e-5)  # float32
    coarse = integrated_gradients(model, IDS, WORDS, baseline, steps=4)
    # the midpoint rule's error falls with steps²: by 256 here where the way is smooth
    assert np.abs(found.error).max() < 0.02 * np.abs(found.change).max()
    assert np.abs(found.error).max() < 0.2 * np.abs(coarse.error).max()


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_times_input_by_hand(cell):
    model = build(cell)
    vectors = model.embedding(torch.tensor(IDS)).requires_grad_()
    values = logits_of(model, vectors[None])[0]
    found = gradient_times_input(model, IDS, WORDS, "zero")
    for place, row in enumerate(TARGETS):
        (gradient,) = torch.autograd.grad(values[place], vectors, retain_graph=True)
        np.testing.assert_allclose(found.values[row], (gradient * vectors).sum(1).detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("budget", [1, 2**30])
def test_occlusion_by_hand(cell, budget):
    model = build(cell)
    vectors = model.embedding(torch.tensor(IDS))
    before = logits_of(model, vectors[None])[0]
    found = occlusion(model, IDS, WORDS, "mean", budget=budget)
    assert found.mode == "occlusion" and (np.triu(found.values, 1) == 0).all() and (found.values[2] == 0).all()
    for column in range(5):
        without = vectors.clone()
        without[column] = model.embedding.weight.mean(0)
        fallen = before - logits_of(model, without[None])[0]
        for place, row in enumerate(TARGETS):
            assert found.values[row, column] == pytest.approx(float(fallen[place]) if column <= row else 0, abs=1e-6)


def test_progress_is_reported_and_can_be_stopped():
    model = build("gru")

    def shares(run) -> list[float]:
        seen: list[float] = []
        assert isinstance(run(seen.append), Connectivity)
        return seen

    for run in (
        lambda tell: gradient_times_input(model, IDS, WORDS, report=tell),
        lambda tell: integrated_gradients(model, IDS, WORDS, steps=3, report=tell).connectivity,
        lambda tell: occlusion(model, IDS, WORDS, budget=1, report=tell),
    ):
        seen = shares(run)
        assert len(seen) >= 5 and seen == sorted(seen) and seen[-1] == pytest.approx(1)

        def stop(share: float) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            run(stop)


def test_impossible_requests_say_what_to_do():
    model = build("gru")
    with pytest.raises(ConfigError, match="Choose one of: zero, mean"):
        occlusion(model, IDS, WORDS, "noise")
    with pytest.raises(ConfigError, match="at least one"):
        integrated_gradients(model, IDS, WORDS, steps=0)


def test_without_targets_nothing_is_attributed():
    model, nobody = build("lstm"), (MASKED,) * 5
    assert (occlusion(model, IDS, nobody).values == 0).all()
    assert (integrated_gradients(model, IDS, nobody, steps=1).connectivity.values == 0).all()
