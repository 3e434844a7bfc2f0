"""The fused cross-entropy against `F.cross_entropy`: value and both gradients, for every way of cutting the rows."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from engine.training import loss
from engine.training.loss import cross_entropy

COUNT, WIDTH, VOCABULARY = 10, 6, 13
# Ten terms of about 5 summed in another order: a few roundings of 2^-24 of 50, over 10. Gradients are below 1.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states and output matrix that ask for gradients, and targets; one target comes twice, most never."""
    torch.manual_seed(6)
    hidden, matrix = torch.randn(COUNT, WIDTH, dtype=dtype), torch.randn(VOCABULARY, WIDTH, dtype=dtype)
    targets = torch.tensor([0, 5, 5, 12, 3, 1, 7, 2, 0, 11])
    return hidden.requires_grad_(), matrix.requires_grad_(), targets


def value_and_gradients(value: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("rows", [1, 3, 5, 10, 512])  # 3 leaves a remainder of 1; 512 is more than there are
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("scale", [1.0, -3.5])
def test_equals_torch(monkeypatch, rows, smoothing, scale):
    monkeypatch.setattr(loss, "ROWS", rows)
    hidden, matrix, targets = inputs()
    ours = value_and_gradients(cross_entropy(hidden, matrix, targets, smoothing) * scale, hidden, matrix)
    reference = F.cross_entropy(hidden @ matrix.T, targets, label_smoothing=smoothing) * scale
    theirs = value_and_gradients(reference, hidden, matrix)
    assert ours[0].dtype == torch.float32 and ours[0].shape == ()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
        assert b.abs().max() > 0.05


def test_closed_forms():
    targets = torch.tensor([2, 0])
    matrix = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    # Equal logits: the cross-entropy with any distribution is ln V. 1e-6: ten roundings of numbers around 1.
    for smoothing in (0.0, 0.3):
        assert float(cross_entropy(torch.zeros(2, 3), matrix, targets, smoothing)) == pytest.approx(
            math.log(4), abs=1e-6
        )
    # Logits (ln 3, 0): probabilities 3/4 and 1/4.
    hidden, matrix = torch.tensor([[math.log(3)]]), torch.tensor([[1.0], [0.0]])
    one, zero = torch.tensor([1]), torch.tensor([0])
    assert float(cross_entropy(hidden, matrix, zero)) == pytest.approx(-math.log(3 / 4), abs=1e-6)
    assert float(cross_entropy(hidden, matrix, one)) == pytest.approx(-math.log(1 / 4), abs=1e-6)
    # With smoothing 0.2 the target has 0.9 and the other 0.1.
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    assert float(cross_entropy(hidden, matrix, zero, 0.2)) == pytest.approx(expected, abs=1e-6)


def test_mean_of_means_is_the_loss_of_all():
    """Two losses in one graph keep their own saved gradients."""
    hidden, matrix, targets = inputs()
    halves = (
        cross_entropy(hidden[:4], matrix, targets[:4], 0.1) * 4
        + cross_entropy(hidden[4:], matrix, targets[4:], 0.1) * 6
    ) / 10
    ours = value_and_gradients(halves, hidden, matrix)
    for a, b in zip(
        ours, value_and_gradients(cross_entropy(hidden, matrix, targets, 0.1), hidden, matrix), strict=True
    ):
        torch.testing.assert_close(a, b, **CLOSE)


def test_bfloat16_hidden_with_a_float32_matrix():
    """As in training: products in bfloat16, the matrix's gradient and the loss in float32."""
    hidden, matrix, targets = inputs()
    short = hidden.detach().to(torch.bfloat16).requires_grad_()
    ours = value_and_gradients(cross_entropy(short, matrix, targets, 0.1), short, matrix)
    assert [tensor.dtype for tensor in ours] == [torch.float32, torch.bfloat16, torch.float32]
    theirs = value_and_gradients(F.cross_entropy(hidden @ matrix.T, targets, label_smoothing=0.1), hidden, matrix)
    for a, b in zip(ours, theirs, strict=True):
        # bfloat16 has 8 bits: logits of about 5 are off by 0.02, and gradients (below 0.3) by a few percent
        torch.testing.assert_close(a.float(), b, rtol=0.02, atol=0.02)
