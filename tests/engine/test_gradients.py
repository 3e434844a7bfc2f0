"""Gradients of a logit: finite differences in float64, closed forms, and that nothing is left behind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.gradients import Objective, attention_gradients, gradient_times_attention, input_gradients
from engine.models.taps import NO_TAPS, Place, Tap, Taps
from engine.models.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(
    11, width=8, heads=2, encoder_layers=2, decoder_layers=2, feedforward=10, max_length=12, activation="gelu"
)
SOURCE, PREFIX = (5, 9, 4, 3), (2, 7, 6)
LOGIT, CONTRAST = Objective(PREFIX, 8), Objective(PREFIX, 8, against=10)
STEP = 1e-5
# Central differences: step² times a third derivative of about 10 is 1e-9; the value's own rounding, 1e-15 of some
# units, divided by the step is 1e-9 at most.
DIFFERENCES = {"rtol": 1e-7, "atol": 2e-8}


@pytest.fixture(scope="module", params=["pre", "post"])
def model(request) -> Transformer:
    """Float64, smooth (gelu), with uneven weights and no gradients of its own."""
    values = {name: getattr(CONFIG, name) for name in CONFIG.__slots__} | {"norm": request.param}
    made = Transformer(TransformerConfig(**values)).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in made.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim > 1:
            parameter.copy_(noise * 1.5 / math.sqrt(parameter.shape[1]))
        else:
            parameter.copy_(noise * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0))
    return made


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, **DIFFERENCES)


# --- With respect to what is read -------------------------------------------------------------------------------------


@torch.no_grad()
def input_differences(model: Transformer, objective: Objective) -> list[Tensor]:
    inputs = [model.embedding(torch.tensor([ids])) for ids in (SOURCE, objective.prefix)]
    found = [torch.zeros_like(vectors) for vectors in inputs]
    for which, vectors in enumerate(inputs):
        for index in np.ndindex(*vectors.shape):
            for sign in (1, -1):
                moved = [tensor.clone() for tensor in inputs]
                moved[which][index] += sign * STEP
                found[which][index] += sign * objective.of(model.forward_from_embeddings(*moved)) / (2 * STEP)
    return [gradient[0] for gradient in found]


@pytest.mark.parametrize("objective", [LOGIT, CONTRAST], ids=["logit", "contrast"])
def test_input_gradients_by_finite_differences(model, objective):
    found = input_gradients(model, SOURCE, objective)
    expected = input_differences(model, objective)
    assert found.source.shape == (4, 8) and found.target.shape == (3, 8)
    for ours, theirs in zip((found.source, found.target), expected, strict=True):
        assert_close(ours, theirs)
        assert (ours.norm(dim=-1) > 1e-3).all()


def test_the_value_is_the_forwards(model):
    with torch.no_grad():
        logits = model(torch.tensor([SOURCE]), torch.tensor([PREFIX]))[0, -1]
    # explicit and fused path, float64, 4 layers: some tens of roundings of 2^-53
    assert input_gradients(model, SOURCE, LOGIT).value == pytest.approx(float(logits[8]), abs=1e-12)
    assert input_gradients(model, SOURCE, CONTRAST).value == pytest.approx(float(logits[8] - logits[10]), abs=1e-12)


def test_a_contrast_is_the_difference_of_two_logits(model):
    both = input_gradients(model, SOURCE, CONTRAST)
    first, second = (input_gradients(model, SOURCE, Objective(PREFIX, piece)) for piece in (8, 10))
    close = {"rtol": 0, "atol": 1e-12}  # sums of the same products in another order, float64
    torch.testing.assert_close(both.source, first.source - second.source, **close)
    torch.testing.assert_close(both.target, first.target - second.target, **close)
    weights, others = (attention_gradients(model, SOURCE, Objective(PREFIX, piece)) for piece in (8, 10))
    for place, (_, gradient) in attention_gradients(model, SOURCE, CONTRAST).items():
        torch.testing.assert_close(gradient, weights[place][1] - others[place][1], **close)
    same = input_gradients(model, SOURCE, Objective(PREFIX, 8, against=8))
    assert same.value == 0 and same.source.abs().max() <= 1e-12


class Bag(nn.Module):
    """A linear toy: the logits are a matrix times the sum of all source vectors, plus another times the last read."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = self.target_embedding = nn.Embedding(11, 3)
        self.first, self.second = nn.Linear(3, 11), nn.Linear(3, 11, bias=False)

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        return self.first(source.sum(1, keepdim=True)) + self.second(target)


def test_any_model_that_reads_vectors_will_do():
    """The gradient of a linear model is its own row."""
    torch.manual_seed(0)
    toy = Bag()
    found = input_gradients(toy, SOURCE, CONTRAST)
    assert torch.equal(found.source, (toy.first.weight[8] - toy.first.weight[10]).detach().expand(4, 3))
    assert torch.equal(found.target[2], (toy.second.weight[8] - toy.second.weight[10]).detach())
    assert (found.target[:2] == 0).all(), "only the last position decides"
    assert all(parameter.grad is None for parameter in toy.parameters())


# --- With respect to attention weights --------------------------------------------------------------------------------


@torch.no_grad()
def weight_difference(model: Transformer, objective: Objective, place: Place, index: tuple[int, ...]) -> float:
    """The objective with a little more and a little less of one weight, after the softmax."""

    def value(sign: int) -> float:
        def moved(weights: Tensor) -> Tensor:
            changed = weights.clone()
            changed[(0, *index)] += sign * STEP
            return changed

        taps = {place: Tap(change_weights=moved)}
        return float(objective.of(model(torch.tensor([SOURCE]), torch.tensor([objective.prefix]), taps)))

    return (value(1) - value(-1)) / (2 * STEP)


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
@pytest.mark.parametrize("layer", [0, 1])
def test_attention_gradients_by_finite_differences(model, kind, layer):
    weights, gradient = attention_gradients(model, SOURCE, CONTRAST)[kind, layer]
    queries, keys = {"encoder": (4, 4), "decoder": (3, 3), "cross": (3, 4)}[kind]
    assert weights.shape == gradient.shape == (2, queries, keys)
    expected = torch.zeros_like(gradient)
    for index in np.ndindex(*gradient.shape):
        expected[index] = weight_difference(model, CONTRAST, (kind, layer), index)
    assert_close(gradient, expected)
    assert gradient.abs().max() > 1e-3


def test_the_weights_are_those_of_the_pass(model):
    maps = model.forward_with_maps(torch.tensor([SOURCE]), torch.tensor([PREFIX]))
    parts = attention_gradients(model, SOURCE, LOGIT)
    assert len(parts) == 2 + 2 + 2
    for (kind, layer), (weights, _) in parts.items():
        # those of the maps are float32, and so are what they came from: scores around 1, through four layers
        torch.testing.assert_close(weights, getattr(maps, kind)[layer, 0].double(), rtol=0, atol=1e-6)
        # each rounded to 2^-53
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-14)


def test_what_comes_later_adds_nothing(model):
    parts = attention_gradients(model, SOURCE, LOGIT)
    products = gradient_times_attention(parts)
    for layer in range(2):
        assert (products["decoder", layer].triu(1) == 0).all(), "a weight of 0 adds nothing, whatever its gradient"
    for kind in ("decoder", "cross"):
        gradient = parts[kind, 1][1]
        assert (gradient[:, :-1] == 0).all(), "nothing reads the last layer's other rows"
        assert (gradient[:, -1].abs() > 0).all()
    assert all(torch.equal(products[place], weights * gradient) for place, (weights, gradient) in parts.items())


def test_the_products_of_the_last_cross_rows_add_up_to_what_their_heads_add():
    """A closed form: where everything behind a head is linear, its products sum to the change of knocking it out.

    Of the last cross-attention on, all but the position-wise network (zero here) and the norms (none) is linear.
    """
    values = {name: getattr(CONFIG, name) for name in CONFIG.__slots__} | {"norm": "pre", "final_norm": False}
    made = Transformer(TransformerConfig(**values)).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(4)
    for parameter in made.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    made.decoder[1].feedforward.down.weight.zero_()
    products = gradient_times_attention(attention_gradients(made, SOURCE, LOGIT))["cross", 1]
    source, read = torch.tensor([SOURCE]), torch.tensor([PREFIX])

    def off(head: int) -> Tap:
        keep = torch.ones(1, 2, 1, 1, dtype=torch.float64)
        keep[0, head] = 0
        return Tap(change_outputs=lambda mixed: mixed * keep)

    with torch.no_grad():
        base = LOGIT.of(made(source, read))
        for head in range(2):
            change = base - LOGIT.of(made(source, read, {("cross", 1): off(head)}))
            # float64 sums of numbers up to 100
            torch.testing.assert_close(products[head, -1].sum(), change, rtol=0, atol=1e-11)
            assert abs(change) > 1e-2


# --- What is left behind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", [False, True])
def test_no_gradient_stays_on_a_parameter(model, trainable):
    model.requires_grad_(trainable)
    try:
        found = input_gradients(model, SOURCE, LOGIT)
        parts = attention_gradients(model, SOURCE, LOGIT)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(parameter.requires_grad == trainable for parameter in model.parameters())
    finally:
        model.requires_grad_(False)
    gradients = [found.source, found.target, *(gradient for _, gradient in parts.values())]
    assert not any(gradient.requires_grad for gradient in gradients)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_gradients_are_taken_where_the_caller_has_switched_them_off(model):
    expected = input_gradients(model, SOURCE, LOGIT)
    with torch.no_grad():
        found = input_gradients(model, SOURCE, LOGIT)
        parts = attention_gradients(model, SOURCE, LOGIT)
        assert not torch.is_grad_enabled()
    assert torch.equal(found.source, expected.source) and torch.equal(found.target, expected.target)
    assert parts["cross", 1][1].abs().max() > 0
