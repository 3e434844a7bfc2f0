"""The attention scores of recurrent translators: by hand, by their formulas, and what they have in common."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.errors import ConfigError
from engine.models.scores import SCORES, AdditiveScore, DotScore, GeneralScore, score_of

# One query and three keys of width 2, small enough for a calculation by hand.
QUERY = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
KEYS = torch.tensor([[[3.0, 1.0], [0.0, -1.0], [0.5, 0.25]]], dtype=torch.float64)
# The same few products in another order: some roundings of 2^-53 of numbers up to 10.
CLOSE = {"rtol": 0, "atol": 1e-14}


def filled(score: AdditiveScore | GeneralScore, **values: list) -> AdditiveScore | GeneralScore:
    """A float64 score with these parameters, by name."""
    score.double().load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    return score


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def test_dot_by_hand():
    # (1, −2) · (3, 1) = 1, · (0, −1) = 2, · (0.5, 0.25) = 0
    assert DotScore()(QUERY, KEYS).tolist() == [[1.0, 2.0, 0.0]]


@torch.no_grad()
def test_general_by_hand():
    # W k: (2·3 + 1, −3) = (7, −3); (−1, 0); (1.25, −0.5). The query's products: 7 + 6, −1, 1.25 + 1.
    # With W transposed they would be (6, 3) → 0 and others.
    score = filled(GeneralScore(2), weight=[[2.0, 1.0], [-1.0, 0.0]])
    assert score(QUERY, KEYS).tolist() == [[13.0, -1.0, 2.25]]


@torch.no_grad()
def test_additive_by_hand():
    # W s = (1·1 + 0.5·(−2), 0.5·1 + 0·(−2)) = (0, 0.5), added to each key before the tanh
    score = filled(AdditiveScore(2), **{"query.weight": [[1.0, 0.5], [0.5, 0.0]], "direction": [2.0, -3.0]})
    tanh = math.tanh
    expected = [2 * tanh(3) - 3 * tanh(1.5), 2 * tanh(0) - 3 * tanh(-0.5), 2 * tanh(0.5) - 3 * tanh(0.75)]
    torch.testing.assert_close(score(QUERY, KEYS), torch.tensor([expected], dtype=torch.float64), **CLOSE)


@torch.no_grad()
def test_general_with_the_identity_is_dot():
    query, keys = random(3, 5, seed=1), random(3, 4, 5, seed=2)
    general = filled(GeneralScore(5), weight=torch.eye(5).tolist())
    found = general(query, keys)
    torch.testing.assert_close(found, DotScore()(query, keys), **CLOSE)
    assert found.std() > 1  # or equal scores would say little


@torch.no_grad()
@pytest.mark.parametrize("kind", SCORES)
def test_formulas_one_pair_at_a_time(kind):
    """Each score from the formula of its paper, for every row and position on its own."""
    query, keys = random(3, 5, seed=3), random(3, 4, 5, seed=4)
    score = score_of(kind, 5).double()
    for index, parameter in enumerate(score.parameters()):
        parameter.copy_(random(*parameter.shape, seed=10 + index))

    def one(state: Tensor, key: Tensor) -> Tensor:
        if isinstance(score, AdditiveScore):
            return score.direction.dot(torch.tanh(score.query.weight.mv(state) + key))
        return state.dot(score.weight.mv(key) if isinstance(score, GeneralScore) else key)

    expected = torch.stack(
        [torch.stack([one(state, key) for key in row]) for state, row in zip(query, keys, strict=True)]
    )
    found = score(query, keys)
    assert found.shape == (3, 4) and found.std() > 0.5
    torch.testing.assert_close(found, expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("kind", SCORES)
def test_a_position_counts_for_itself_alone(kind):
    """Another order of keys is another order of scores, and a row does not see the others."""
    score, query, keys = score_of(kind, 5).double(), random(3, 5, seed=5), random(3, 4, 5, seed=6)
    order = torch.tensor([2, 0, 3, 1])
    found = score(query, keys)
    torch.testing.assert_close(score(query, keys[:, order]), found[:, order], **CLOSE)
    torch.testing.assert_close(score(query[1:2], keys[1:2]), found[1:2], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "names"), [("additive", {"query.weight", "direction"}), ("dot", set()), ("general", {"weight"})]
)
def test_what_a_score_learns(kind, names):
    """Named and reached by gradients; fresh scores of unit vectors are neither all alike nor so far apart that a
    softmax is one position.
    """
    torch.manual_seed(1)
    score = score_of(kind, 64)
    assert {name for name, _ in score.named_parameters()} == names
    unit = 64**-0.5
    scores = score(random(20, 64, seed=7).float() * unit, random(20, 9, 64, seed=8).float())
    assert 0.05 < scores.std() < 3
    if names:
        scores.square().sum().backward()
        assert all((p.grad != 0).all() for p in score.parameters())


@pytest.mark.parametrize("kind", ["none", "Dot", "concat", ""])
def test_an_unknown_score_lists_the_known_ones(kind):
    with pytest.raises(ConfigError, match=f"'{kind}'.*additive, dot, general"):
        score_of(kind, 4)
