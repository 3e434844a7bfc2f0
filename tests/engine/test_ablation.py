"""Ablations: the bootstrap against closed forms, random heads of the right kinds, and conditions that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from engine.ablation import Ablation, Condition, ablation, drop_interval, random_heads
from engine.decisions import Questions, ask, forced_log_odds
from engine.errors import InputError
from engine.evidence import rate
from engine.interventions import Head
from engine.models.transformer import TransformerConfig
from tests.engine.test_decisions import CASES

HEADS = (Head("encoder", 0, 2), Head("cross", 2, 3), Head("cross", 1, 0))


@pytest.fixture(scope="module")
def questions(tiny_runner) -> Questions:
    return ask(tiny_runner, CASES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- The interval of a drop -------------------------------------------------------------------------------------------


def test_no_drop_has_an_interval_of_nothing():
    right = np.array([True] * 50 + [False] * 50)
    assert drop_interval(right, right, rng()) == (0.0, 0.0)
    assert drop_interval(np.ones(7, bool), np.ones(7, bool), rng()) == (0.0, 0.0)


def test_a_fall_of_all_is_certain():
    assert drop_interval(np.ones(30, bool), np.zeros(30, bool), rng()) == (1.0, 1.0)
    assert drop_interval(np.zeros(30, bool), np.ones(30, bool), rng()) == (-1.0, -1.0)


def test_a_clear_drop_excludes_zero_and_matches_the_normal_interval():
    """400 sentences, of which 80 fell and 20 rose: d̄ = 0.15, and its standard error is √((0.25 − 0.15²)/400)."""
    on = np.array([True] * 80 + [False] * 20 + [True] * 300)
    off = np.array([False] * 80 + [True] * 20 + [True] * 300)
    low, high = drop_interval(on, off, rng())
    half = 1.96 * ((0.25 - 0.15**2) / 400) ** 0.5
    assert low < 0.15 < high and low > 0
    # steps of 1/400, and the percentiles of 10,000 draws are off by about 3 % of the half width
    assert (low, high) == pytest.approx((0.15 - half, 0.15 + half), abs=0.005)


def test_pairs_make_it_narrower_than_two_samples():
    """The same shares, once with the same sentences wrong and once with others: only the pairing differs."""
    on = np.array([True] * 70 + [False] * 30)
    nested = np.array([True] * 60 + [False] * 40)  # ten fell, none rose
    crossed = np.array([False] * 40 + [True] * 60)  # forty fell, thirty rose
    narrow, wide = (np.ptp(drop_interval(on, off, rng())) for off in (nested, crossed))
    assert nested.mean() == crossed.mean() and narrow < wide / 2


def test_the_bootstrap_of_pairs_is_that_of_sentences():
    """Drawing the counts is drawing the sentences: the same percentiles, by the long way."""
    random = rng(5)
    on, off = random.random(60) < 0.9, random.random(60) < 0.7
    difference = on.astype(int) - off
    drawn = difference[random.integers(0, 60, size=(20_000, 60))].mean(axis=1)
    # a percentile of so many draws is within one step of 1/60 of another's
    assert drop_interval(on, off, rng()) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1 / 60 + 1e-9)


# --- Random heads -----------------------------------------------------------------------------------------------------

SHAPE = TransformerConfig(vocabulary=8, width=16, heads=4, encoder_layers=2, decoder_layers=3)


def test_random_heads_are_as_many_of_each_kind_and_others():
    for seed in range(50):
        drawn = random_heads(HEADS, SHAPE, rng(seed))
        assert Counter(head.kind for head in drawn) == {"encoder": 1, "cross": 2}
        assert len(set(drawn)) == 3 and not {*drawn} & {*HEADS}
        for head in drawn:
            assert 0 <= head.layer < (2 if head.kind == "encoder" else 3) and 0 <= head.head < 4


def test_random_heads_take_every_other_head_at_some_time():
    seen = {head for seed in range(200) for head in random_heads(HEADS, SHAPE, rng(seed))}
    assert len(seen) == (8 - 1) + (12 - 2)


def test_where_there_are_not_enough_others_the_chosen_fill_up():
    most = [Head("encoder", layer, head) for layer in range(2) for head in range(4)][:6]
    drawn = random_heads(most, SHAPE, rng())
    assert len({*drawn}) == 6 and {*drawn} >= {Head("encoder", 1, 2), Head("encoder", 1, 3)}


def test_random_heads_are_seeded():
    assert random_heads(HEADS, SHAPE, rng(3)) == random_heads(HEADS, SHAPE, rng(3))
    assert len({random_heads(HEADS, SHAPE, rng(seed)) for seed in range(10)}) > 5
    assert random_heads((), SHAPE, rng()) == ()


# --- The whole --------------------------------------------------------------------------------------------------------


def test_an_ablation_on_a_model(tiny_runner, questions):
    reported: list[int] = []
    found = ablation(tiny_runner, questions, HEADS, "mean", 3, 7, reported.append, random_count=4)
    off = forced_log_odds(tiny_runner, questions.asked, HEADS, "mean")
    assert found.on == Condition((), rate(5, 6), float(questions.log_odds.mean()))
    assert found.off == Condition(HEADS, rate(int((off > 0).sum()), 6), float(off.mean()))
    assert found.drop == pytest.approx(5 / 6 - np.mean(off > 0), abs=1e-12)  # float64 shares
    assert found.low <= found.drop <= found.high
    assert (found.by, found.left_out, len(found.random)) == ("mean", 0, 3)
    for one in found.random:
        values = forced_log_odds(tiny_runner, questions.asked[:4], one.heads, "mean")
        assert one.right == rate(int((values > 0).sum()), 4) and one.log_odds == float(values.mean())
        assert Counter(head.kind for head in one.heads) == {"encoder": 1, "cross": 2}
    assert found.random_on == Condition((), rate(3, 4), float(questions.log_odds[:4].mean()))
    assert sum(reported) == 6 + 3 * 4


def test_the_same_seed_gives_the_same_ablation(tiny_runner, questions):
    first, again, other = (ablation(tiny_runner, questions, HEADS, "zero", 2, seed) for seed in (1, 1, 2))
    assert first == again
    assert [one.heads for one in first.random] != [one.heads for one in other.random]
    assert first.off == other.off


def test_without_heads_nothing_falls(tiny_runner, questions):
    found = ablation(tiny_runner, questions, (), random_sets=1)
    assert (found.drop, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.on == found.off == found.random[0]


def test_random_sets_in_short():
    def condition(right: int, log_odds: float) -> Condition:
        return Condition((), rate(right, 4), log_odds)

    random = (condition(4, 3.0), condition(2, 1.0), condition(3, 5.0))
    on, off = condition(4, 5.0), condition(1, -1.0)
    found = Ablation(on, off, 0.75, 0.5, 1.0, random, on, "zero", 0)
    assert found.random_shares == (0.75, 0.5, 1.0)
    assert found.random_log_odds == 3.0
    assert all(np.isnan([*replace(found, random=()).random_shares, replace(found, random=()).random_log_odds]))


def test_nothing_to_ask_is_refused(tiny_runner):
    with pytest.raises(InputError, match="None of these sentences"):
        ablation(tiny_runner, Questions((), 3, np.zeros(0, np.float32)), HEADS)


def test_an_ablation_can_be_stopped_between_random_sets(tiny_runner, questions):
    class Stop(Exception):
        pass

    seen: list[int] = []

    def report(done: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise Stop

    with pytest.raises(Stop):
        ablation(tiny_runner, questions, HEADS, "zero", 20, 0, report)
    assert seen == [6, 6, 6], "the chosen heads and two random sets"
