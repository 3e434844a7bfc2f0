"""The walk back through recurrent networks, beside automatic differentiation of torch's own modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.connectivity_blocks import MASKED
from engine.connectivity_recurrent import memory_of, recurrent
from engine.models.recurrent import CellKind, RecurrentStack

WORDS = (3, 1, MASKED, 0, 5, 5, 2, MASKED, 4)
KINDS: tuple[CellKind, ...] = ("rnn", "gru", "lstm", "nlstm")


def build(kind: CellKind, layers: int) -> tuple[RecurrentStack, Tensor, Tensor]:
    """A stack, an output matrix and what is read, in float64."""
    torch.manual_seed(layers)
    stack = RecurrentStack(kind, 5, 7, layers).double().eval().requires_grad_(False)
    for parameter in stack.parameters():
        parameter.mul_(2).add_(torch.randn_like(parameter) * 0.2)
    return stack, torch.randn(6, 7, dtype=torch.float64), torch.randn(len(WORDS), 5, dtype=torch.float64)


def by_backward(stack: RecurrentStack, output: Tensor, vectors: Tensor) -> Tensor:
    """All gradients (T, T, I), through `torch.nn`'s fused path where there is one."""
    leaf = vectors.clone().requires_grad_()
    logits = stack(leaf[None])[0] @ output.T
    found = torch.zeros(len(WORDS), *vectors.shape, dtype=torch.float64)
    for time, word in enumerate(WORDS):
        if word != MASKED:
            (found[time],) = torch.autograd.grad(logits[time, word], leaf, retain_graph=True)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_walk_gives_the_gradients(kind, layers):
    stack, output, vectors = build(kind, layers)
    expected, found = by_backward(stack, output, vectors), torch.zeros(len(WORDS), *vectors.shape, dtype=torch.float64)
    columns = []
    for block in recurrent(stack, output, vectors, WORDS):
        found[list(block.rows), block.columns] = block.gradients
        columns.append(block.columns.start)
        assert all(row >= block.columns.start for row in block.rows)
    assert columns == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)  # float64, nine steps
    assert expected[8, 0].abs().max() > 1e-9, "the first input is still felt at the end"


@pytest.mark.parametrize("kind", KINDS)
def test_a_basis_may_be_put_into_the_first_layer(kind):
    stack, output, vectors = build(kind, 2)
    basis = torch.randn(3, 5, dtype=torch.float64)
    plain, narrow = (list(recurrent(stack, output, vectors, WORDS, each)) for each in (None, basis))
    for one, other in zip(plain, narrow, strict=True):
        torch.testing.assert_close(other.gradients, one.gradients @ basis.T, rtol=1e-10, atol=1e-14)


def test_a_block_stays_as_it_was_when_the_walk_goes_on():
    stack, output, vectors = build("gru", 1)
    kept = [(block.gradients, block.gradients.clone()) for block in recurrent(stack, output, vectors, WORDS)]
    assert all(torch.equal(now, then) for now, then in kept)


def test_masked_ends_are_not_walked():
    stack, output, vectors = build("lstm", 2)
    words = (3, 1, *(MASKED,) * 7)
    blocks = list(recurrent(stack, output, vectors, words))
    assert [(block.rows, block.columns.start) for block in blocks] == [((1,), 1), ((1, 0), 0)]


@pytest.mark.parametrize("kind", KINDS)
def test_memory_grows_with_text_and_targets(kind):
    stack, _, _ = build(kind, 2)
    assert memory_of(stack, 9, 3) < memory_of(stack, 9, 9) < memory_of(stack, 18, 9)
