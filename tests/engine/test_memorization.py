"""Memorization: every number by hand, sums over texts, and what no rescaling of rows may change."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.memorization import (
    DistanceProfile,
    MassByKnown,
    agreement_by_position,
    hits,
    influence_by_distance,
    memorization_score,
    rank_agreement,
    remembers_shorter,
    with_mode,
)
from engine.types import MASKED, ConnectedText, Connectivity


def approx(numbers: object) -> object:
    return pytest.approx(numbers, rel=ROUNDED, abs=ROUNDED)


def connect(
    text: str,
    rows: list[list[float]] | np.ndarray,
    *,
    masked: tuple[int, ...] = (),
    mode: str = "one-hot",
    window: int = 0,
) -> ConnectedText:
    """A text with these numbers, each row as long as it needs to be; masked rows are 0."""
    exact = np.zeros((len(text), len(text)))
    for place, row in enumerate(rows):
        if place not in masked:
            exact[place, : len(row)] = row
    targets = tuple("" if place in masked else "w" for place in range(len(text)))
    words = [MASKED if place in masked else 0 for place in range(len(text))]
    found = Connectivity.of(exact, mode, words)
    return ConnectedText("x", text, targets, ((),) * len(text), targets, found, window)


ROUNDED = 1e-7
"""Each number of a row divided by the largest is a float32."""

# " ab c": the words " ab" and " c"; known letters 0 1 2 0 1
TEXT = " ab c"
ROWS = [[2], [1, 3], [0, 0, 5], [1, 1, 0, 2], [2, 0, 4, 1, 1]]


def random_text(seed: int, text: str, window: int = 0) -> ConnectedText:
    rng = np.random.default_rng(seed)
    exact = np.tril(rng.exponential(size=(len(text), len(text))) * 10.0 ** rng.uniform(-30, 30, size=(len(text), 1)))
    masked = tuple(np.flatnonzero(rng.random(len(text)) < 0.3).tolist())
    return connect(text, exact, masked=masked, window=window)


# --- The score --------------------------------------------------------------------------------------------------------


def test_the_score_by_hand():
    # outside " ab" is nothing; outside " c" are the first three columns: 2/4 at its space, 6/8 at its letter
    score = memorization_score(connect(TEXT, ROWS))
    assert [one.known for one in score] == list(range(9))
    assert [(one.total, one.rows) for one in score[:3]] == [(0.5, 2), (0.75, 2), (0.0, 1)]
    assert [one.share for one in score[:3]] == [0.25, 0.375, 0.0]
    assert all(one.rows == 0 and math.isnan(one.share) for one in score[3:])


def test_the_space_before_a_word_is_of_the_word():
    inside = memorization_score(connect(" a b", [[1], [0, 1], [0, 0, 1], [0, 0, 1]]))
    before = memorization_score(connect(" a b", [[1], [0, 1], [0, 1], [0, 1]]))
    assert [inside[0].share, inside[1].share] == [0.0, 0.0]
    assert [before[0].share, before[1].share] == [0.5, 0.5]  # one of two rows each: the first word has nothing before


def test_a_text_that_begins_in_a_word_has_its_letters_from_one():
    score = memorization_score(connect("ab c", [[1], [1, 1], [1, 1, 2], [1, 0, 0, 3]]))
    assert [(one.total, one.rows) for one in score[:3]] == [(0.5, 1), (approx(0.25), 2), (0.0, 1)]


def test_masked_rows_and_rows_of_zeros_do_not_count():
    masked = memorization_score(connect(TEXT, ROWS, masked=(1, 3)))
    assert [(one.total, one.rows) for one in masked[:3]] == [(0.0, 1), (0.75, 1), (0.0, 1)]
    zeros = memorization_score(connect(TEXT, [*ROWS[:4], []]))
    assert [(one.total, one.rows) for one in zeros[:3]] == [(0.5, 2), (0.0, 1), (0.0, 1)]
    nothing = memorization_score(connect(TEXT, ROWS, masked=(0, 1, 2, 3, 4)))
    assert [one.rows for one in nothing] == [0] * 9


def test_one_character():
    text = connect(" ", [[3]])
    assert memorization_score(text, 0) == (MassByKnown(0, 0.0, 1),)
    profile = influence_by_distance(text)
    assert profile.shares.tolist() == [1.0] and profile.mean_lag == influence_by_distance(text).mean_lag == 0.0
    assert np.isnan(agreement_by_position(text, np.ones((1, 1)), 0)).all()


def test_longer_words_are_left_out():
    text = connect(" " + "a" * 12, np.tril(np.ones((13, 13))))
    assert [one.rows for one in memorization_score(text)] == [1] * 9
    assert [one.rows for one in memorization_score(text, 12)] == [1] * 13


def test_signed_numbers_count_by_their_size():
    signed = [[value * (-1) ** (row + column) for column, value in enumerate(line)] for row, line in enumerate(ROWS)]
    text, other = connect(TEXT, ROWS), connect(TEXT, signed, mode="gradient × input")
    assert memorization_score(other) == memorization_score(text)
    assert influence_by_distance(other).mean_lag == influence_by_distance(text).mean_lag


def test_nothing_is_lost_below_the_range_of_float32():
    small = connect(TEXT, [[value * 1e-200 for value in row] for row in ROWS])
    assert not small.connectivity.values.any()
    # the same shares up to the float32 rounding of a row divided by its largest number
    found, expected = memorization_score(small), memorization_score(connect(TEXT, ROWS))
    assert [one.total for one in found] == pytest.approx([one.total for one in expected], rel=1e-7)
    assert influence_by_distance(small).mean_lag == pytest.approx(
        influence_by_distance(connect(TEXT, ROWS)).mean_lag, rel=1e-7
    )


# --- Distances --------------------------------------------------------------------------------------------------------


def test_the_profile_and_the_mean_lag_by_hand():
    profile = influence_by_distance(connect(TEXT, ROWS))
    # distance 0: 1, 3/4, 1, 2/4, 1/8; 1: 1/4, 0, 0, 1/8; 2: 0, 1/4, 4/8; 3: 1/4, 0; 4: 2/8
    assert profile.totals == approx([3.375, 0.375, 0.75, 0.25, 0.25])
    assert profile.counts.tolist() == [5, 4, 3, 2, 1]
    assert profile.shares == approx([0.675, 0.09375, 0.25, 0.125, 0.25])
    # rows' lags: 0, 1/4, 0, (2·1 + 3·1)/4, (1·1 + 2·4 + 4·2)/8
    assert profile.lag == pytest.approx(0.25 + 1.25 + 17 / 8)
    assert influence_by_distance(connect(TEXT, ROWS)).mean_lag == profile.mean_lag == pytest.approx(3.625 / 5)


def test_masked_rows_are_not_in_the_profile():
    profile = influence_by_distance(connect(TEXT, ROWS, masked=(0, 4)))
    assert profile.counts.tolist() == [3, 3, 2, 1, 0] and profile.rows == 3
    assert profile.totals == approx([2.25, 0.25, 0.25, 0.25, 0.0])
    assert math.isnan(profile.shares[4]) and profile.mean_lag == pytest.approx(1.5 / 3)


def test_a_shorter_profile_keeps_the_lag():
    text = connect(TEXT, ROWS)
    short, long = influence_by_distance(text, 1), influence_by_distance(text, 7)
    assert short.totals == approx([3.375, 0.375]) and short.counts.tolist() == [5, 4]
    assert long.counts.tolist() == [5, 4, 3, 2, 1, 0, 0, 0]
    assert short.mean_lag == long.mean_lag == influence_by_distance(text).mean_lag


def test_a_window_ends_the_distances_that_count():
    rows = [[1], [1, 1], [1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1, 1]]
    profile = influence_by_distance(connect(TEXT, rows, window=3))
    assert profile.counts.tolist() == [5, 4, 3, 0, 0]
    assert profile.shares[:3] == pytest.approx([(1 + 1 / 2 + 1) / 5, (1 / 2 + 1) / 4, 1 / 3], rel=1e-12)


def test_without_rows_there_is_no_lag():
    text = connect(TEXT, ROWS, masked=(0, 1, 2, 3, 4))
    assert math.isnan(influence_by_distance(text).mean_lag) and np.isnan(influence_by_distance(text).shares).all()


# --- Several texts ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ab ", min_size=1, max_size=8), min_size=1, max_size=4), st.integers(0, 99))
def test_texts_add_up(texts, seed):
    every = [random_text(seed + place, text) for place, text in enumerate(texts)]
    scores = [memorization_score(text) for text in every]
    score = [sum(same[1:], same[0]) for same in zip(*scores, strict=True)]
    profiles = [influence_by_distance(text, 8) for text in every]
    whole = sum(profiles[1:], profiles[0])
    # the same from all rows put together, one at a time
    shares, lags = [[] for _ in range(9)], []
    for text in every:
        relative, words = text.connectivity.relative.astype(float), text.words
        for row in range(len(text)):
            if text.targets[row]:
                line = relative[row] / relative[row].sum()
                shares[text.known[row]].append(sum(line[words != words[row]]))
                lags.append(sum(line[column] * (row - column) for column in range(row + 1)))
    assert [one.rows for one in score] == [len(rows) for rows in shares] and whole.rows == len(lags)
    for one, rows in zip(score, shares, strict=True):
        assert one.share == pytest.approx(np.mean(rows), abs=1e-12) if rows else math.isnan(one.share)
    assert whole.mean_lag == pytest.approx(np.mean(lags), abs=1e-12) if lags else math.isnan(whole.mean_lag)
    assert whole.totals.sum() == pytest.approx(whole.rows)  # every row's mass is somewhere
    assert np.arange(9) @ whole.totals == pytest.approx(whole.lag, abs=1e-12)


def test_profiles_of_other_lengths_add_up():
    one, two = influence_by_distance(connect(TEXT, ROWS)), influence_by_distance(connect(" a", [[1], [1, 3]]))
    for both in (one + two, two + one):
        assert both.counts.tolist() == [7, 5, 3, 2, 1] and both.totals == approx([5.125, 0.625, 0.75, 0.25, 0.25])
        assert both.lag == pytest.approx(3.625 + 0.25)
    assert one.totals == approx([3.375, 0.375, 0.75, 0.25, 0.25])  # as it was


def test_results_cannot_be_changed():
    profile = influence_by_distance(connect(TEXT, ROWS))
    with pytest.raises(ValueError, match="read-only"):
        profile.totals[0] = 1
    assert isinstance(profile, DistanceProfile)


# --- Hits -------------------------------------------------------------------------------------------------------------


def test_hits_by_hand():
    rows = Connectivity.of(np.zeros((4, 4)), "one-hot", [MASKED] * 4)
    suggestions = (
        (("to", 0.5), ("a", 0.3), ("an", 0.1)),
        (("an", 0.5), ("a", 0.3), ("to", 0.1)),
        (("an", 0.5), ("at", 0.3), ("as", 0.1)),
        (("", 0.5), ("at", 0.3), ("as", 0.1)),
    )
    text = ConnectedText("x", " a b", ("a", "a", "as", ""), suggestions, ("",) * 4, rows)
    assert [hits(text, top) for top in (1, 2, 3)] == [(0, 3), (2, 3), (3, 3)]
    for top in (0, 4):
        with pytest.raises(ConfigError, match="Choose 1 to 3"):
            hits(text, top)


# --- Agreement --------------------------------------------------------------------------------------------------------


def test_rank_agreement_by_hand():
    # 1 − 6 Σ d² / (n (n² − 1)), with rank differences 0, 1, −1, 0
    assert rank_agreement(np.array([1, 2, 3, 4]), np.array([0.1, 3, 2, 9])) == pytest.approx(1 - 6 * 2 / 60)
    assert rank_agreement(np.array([1, -2, 3]), np.array([-1, 4, 9])) == pytest.approx(1.0)  # sizes only
    assert math.isnan(rank_agreement(np.array([1, 1, 1]), np.array([1, 2, 3])))


def test_agreement_by_position_by_hand():
    text = connect(TEXT, ROWS, masked=(3,))
    other = np.tril(np.array(text.connectivity.relative))
    other[4] = [0, 2, 1, 3, 3]
    found = agreement_by_position(text, other, 2)
    assert np.isnan(found[[0, 1, 3]]).all()
    assert found[2] == pytest.approx(1.0)
    # ranks of 2 0 4 1 1 are 4 1 5 2½ 2½, of 0 2 1 3 3 they are 1 3 2 4½ 4½: Pearson of these
    expected = np.corrcoef([4, 1, 5, 2.5, 2.5], [1, 3, 2, 4.5, 4.5])[0, 1]
    assert found[4] == pytest.approx(expected)


def test_agreement_looks_at_no_later_character():
    text, other = random_text(3, " ab cd ef ghi"), np.random.default_rng(1).random((13, 13))
    found = agreement_by_position(text, other, 4)
    assert np.array_equal(found, agreement_by_position(text, np.tril(other), 4), equal_nan=True)
    assert np.isfinite(found).sum() == sum(target != "" for target in text.targets[4:]) > 3


def test_agreement_stays_in_the_window():
    exact = np.tril(np.random.default_rng(5).random((8, 8)))
    other = np.random.default_rng(6).random((8, 8))
    found = agreement_by_position(connect(" abcdefg", exact, window=4), other, 3)
    for row in range(3, 8):
        expected = rank_agreement(exact[row, row - 3 : row + 1], other[row, row - 3 : row + 1])
        assert found[row] == pytest.approx(expected)


# --- Modes ------------------------------------------------------------------------------------------------------------


def test_squares_and_roots():
    text, exact = connect(TEXT, ROWS, masked=(1,)), np.zeros((5, 5))
    for place, row in enumerate(ROWS):
        exact[place, : len(row)] = row if place != 1 else 0
    squared = with_mode(text, "squared")
    expected = Connectivity.of(exact**2, "squared", text.connectivity.words)
    assert squared.connectivity.mode == "squared" and squared.targets == text.targets
    np.testing.assert_allclose(squared.connectivity.values, expected.values, rtol=2e-7)  # two float32 roundings
    np.testing.assert_allclose(squared.connectivity.relative, expected.relative, rtol=2e-7)
    np.testing.assert_allclose(squared.connectivity.peaks, expected.peaks, rtol=1e-15)
    back = with_mode(squared, "one-hot").connectivity
    np.testing.assert_allclose(back.relative, text.connectivity.relative, rtol=2e-7)
    np.testing.assert_allclose(back.values, text.connectivity.values, rtol=2e-7)
    assert with_mode(text, "one-hot") is text


def test_squares_of_small_rows_keep_their_shares():
    small = with_mode(connect(TEXT, [[value * 1e-200 for value in row] for row in ROWS]), "squared")
    large = with_mode(connect(TEXT, ROWS), "squared")
    np.testing.assert_allclose(small.connectivity.relative, large.connectivity.relative, rtol=3e-7)


@pytest.mark.parametrize(("own", "mode"), [("embedding", "squared"), ("one-hot", "embedding"), ("squared", "gradient")])
def test_other_modes_cannot_be_had(own, mode):
    with pytest.raises(ConfigError, match="again from the network"):
        with_mode(connect(TEXT, ROWS, mode=own), mode)


# --- What must not matter ---------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.text("ab ", min_size=1, max_size=12), st.integers(0, 99), st.integers(-40, 40))
def test_rows_are_not_compared_with_each_other(text, seed, exponent):
    one = random_text(seed, text)
    exact = one.connectivity.relative.astype(float) * 2.0 ** (exponent * np.arange(len(text))[:, None])
    other = connect(text, exact, masked=tuple(np.flatnonzero(one.connectivity.masked).tolist()))
    assert memorization_score(other) == memorization_score(one)
    assert influence_by_distance(other).totals.tolist() == influence_by_distance(one).totals.tolist()
    assert [math.isnan(one.share) or 0 <= one.share <= 1 + 1e-12 for one in memorization_score(one)] == [True] * 9


def test_what_looks_further_back_has_a_larger_lag():
    texts = [connect(TEXT, [[0] * (row - back) + [1] for row in range(5)]) for back in (0, 1, 2, 3, 4)]
    lags = [influence_by_distance(text).mean_lag for text in texts]
    assert all(one < two for one, two in pairwise(lags))


@pytest.mark.parametrize(
    ("lags", "outside", "smaller"),
    [
        ((1.0, 2.0), (0.4, 0.5), 2),
        ((2.0, 1.0), (0.5, 0.4), 0),
        ((1.0, 2.0), (0.5, 0.4), 1),
        ((1.0, 1.1), (0.40, 0.41), 0),  # intervals overlap
    ],
)
def test_one_network_remembers_shorter_by_as_many_figures_as_are_clearly_smaller(lags, outside, smaller):
    one, other = (
        {
            "mean_lag": lag,
            "mean_lag_interval": [lag - 0.2, lag + 0.2],
            "memorization": {"by_known": [share, 0.1], "intervals": [[share - 0.02, share + 0.02], [0.0, 0.2]]},
        }
        for lag, share in zip(lags, outside, strict=True)
    )
    found = remembers_shorter(one, other)
    assert (found.lags[0][0], found.outside[1][0]) == (lags[0], outside[1])
    assert found.smaller == smaller
