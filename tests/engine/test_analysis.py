"""Array maths over maps: pieces to words by hand, when a head counts as a resolver, rollout, values and ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import (
    merge_logprobs,
    merge_tokens,
    merge_words,
    positions_of,
    resolves,
    rollout,
    span_mass,
    spearman,
    value_weighted,
    word_sums,
)
from engine.types import AttentionMap, Tokens

SPECIAL = ("<s>", "</s>")


def tokens(pieces: Sequence[str], words: Sequence[int]) -> Tokens:
    """Tokens of pieces; "▁" marks a space before (none at the start of the text), "<s>" and "</s>" are special."""
    text, spans = "", []
    for piece in pieces:
        if piece in SPECIAL:
            spans.append((0, 0))
            continue
        if piece.startswith("▁") and text:
            text += " "
        spans.append((len(text), len(text) + len(piece.removeprefix("▁"))))
        text += piece.removeprefix("▁")
    labels = tuple(piece.removeprefix("▁") for piece in pieces)
    special = tuple(piece in SPECIAL for piece in pieces)
    return Tokens(text, labels, tuple(range(4, 4 + len(pieces))), tuple(words), tuple(spans), special)


SOURCE = tokens(("▁The", "▁ani", "mal", ".", "</s>"), (0, 1, 1, 2, 3))  # The | animal | . | </s>
READ = tokens(("<s>", "▁L", "'", "ani", "mal"), (0, 1, 1, 2, 2))
PREDICTED = tokens(("▁L", "'", "ani", "mal", "</s>"), (0, 0, 1, 1, 2))  # L' | animal | </s>


def single(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """One layer and one head."""
    return np.array([[rows]], dtype=np.float32)


# --- Pieces to words --------------------------------------------------------------------------------------------------


def test_merging_an_encoder_map_by_hand():
    weights = single(
        [
            [0.5, 0.25, 0.125, 0.125, 0.0],
            [0.0, 0.5, 0.25, 0.0, 0.25],
            [0.5, 0.0, 0.25, 0.25, 0.0],
            [0.0, 0.0, 0.0, 1.0, 0.0],
            [0.25, 0.25, 0.25, 0.0, 0.25],
        ]
    )
    merged = merge_words(AttentionMap("encoder", weights, SOURCE, SOURCE))
    expected = single(
        [
            [0.5, 0.375, 0.125, 0.0],
            [0.25, 0.5, 0.125, 0.125],  # the mean of "ani" (0, 0.75, 0, 0.25) and "mal" (0.5, 0.25, 0.25, 0)
            [0.0, 0.0, 1.0, 0.0],
            [0.25, 0.5, 0.0, 0.25],
        ]
    )
    assert np.array_equal(merged.weights, expected)  # exact: every number is a sum of powers of two
    assert merged.weights.dtype == np.float32
    assert merged.query_tokens == merged.key_tokens
    assert merged.query_tokens.labels == ("The", "animal", ".", "</s>")
    assert merged.query_tokens.spans == ((0, 3), (4, 10), (10, 11), (0, 0))
    assert merged.query_tokens.special == (False, False, False, True)
    assert merged.query_tokens.ids == ()
    assert (merged.kind, merged.predicted_tokens) == ("encoder", None)


def test_merging_a_cross_map_groups_the_rows_by_the_words_predicted():
    weights = single(
        [
            [1.0, 0.0, 0.0, 0.0, 0.0],  # reads <s>, predicts L
            [0.0, 0.5, 0.5, 0.0, 0.0],  # reads L, predicts '
            [0.0, 1.0, 0.0, 0.0, 0.0],  # reads ', predicts ani
            [0.0, 0.0, 0.5, 0.5, 0.0],  # reads ani, predicts mal
            [0.0, 0.0, 0.0, 0.0, 1.0],  # reads mal, predicts </s>
        ]
    )
    merged = merge_words(AttentionMap("cross", weights, READ, SOURCE, PREDICTED))
    assert np.array_equal(merged.weights, single([[0.5, 0.5, 0.0, 0.0], [0.0, 0.75, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]]))
    assert merged.row_labels == ("L'", "animal", "</s>")
    assert merged.key_tokens.labels == ("The", "animal", ".", "</s>")
    assert merged.query_tokens.labels == ("<s>", "L'", "animal")  # the word that the row's first step read
    assert [merged.row_title(i) for i in range(3)] == [
        "reads <s> → predicts L'",
        "reads L' → predicts animal",
        "reads animal → predicts </s>",
    ]


def test_merging_a_decoder_map_groups_both_axes_by_the_words_read():
    weights = single(
        [
            [1.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.0, 0.0, 0.0],
            [0.25, 0.25, 0.5, 0.0, 0.0],
            [0.25, 0.25, 0.0, 0.5, 0.0],
            [0.0, 0.25, 0.0, 0.25, 0.5],
        ]
    )
    merged = merge_words(AttentionMap("decoder", weights, READ, READ, PREDICTED))
    assert np.array_equal(merged.weights, single([[1.0, 0.0, 0.0], [0.375, 0.625, 0.0], [0.125, 0.25, 0.625]]))
    assert merged.row_labels == ("<s>", "L'", "animal")
    assert merged.predicted_tokens is not None and len(merged.predicted_tokens) == 3


def test_merging_words_that_are_merged_already_changes_nothing():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), size=(2, 3, 5)).astype(np.float32)
    once = merge_words(AttentionMap("cross", weights, READ, SOURCE, PREDICTED))
    twice = merge_words(once)
    assert np.array_equal(once.weights, twice.weights)
    assert once.key_tokens == twice.key_tokens
    assert once.predicted_tokens == twice.predicted_tokens


def test_a_word_with_a_character_inside_two_pieces_keeps_the_text():
    """Labels come from the text, so that what lies between two spans is not lost."""
    loose = Tokens("a-b", ("a", "b"), (4, 5), (0, 0), ((0, 1), (2, 3)), (False, False))
    assert merge_tokens(loose, [range(0, 2)]).labels == ("a-b",)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (2, 0)])
def test_a_map_without_rows_or_columns_stays_without_them(rows, columns):
    """What is left of a map whose every token is special and hidden."""
    queries, keys = tokens(["▁x"] * rows, range(rows)), tokens(["▁x", "y", "z"][:columns], (0, 0, 0)[:columns])
    made = AttentionMap("cross", np.zeros((2, 3, rows, columns), dtype=np.float32), queries, keys, queries)
    merged = merge_words(made)
    assert merged.weights.shape == (2, 3, rows, min(columns, 1)) and merged.weights.dtype == np.float32
    assert (len(merged.query_tokens), len(merged.key_tokens)) == (rows, min(columns, 1))


def test_rows_are_named_by_the_token_predicted_in_cross_maps_alone():
    weights = np.zeros((1, 1, 5, 5), dtype=np.float32)
    assert AttentionMap("cross", weights, READ, SOURCE, PREDICTED).row_tokens is PREDICTED
    assert AttentionMap("cross", weights, READ, SOURCE).row_tokens is READ
    assert AttentionMap("decoder", weights, READ, READ, PREDICTED).row_tokens is READ
    assert AttentionMap("encoder", weights, SOURCE, SOURCE).row_tokens is SOURCE


def word_indices(steps: Sequence[bool]) -> tuple[int, ...]:
    return tuple(np.cumsum([False, *steps[1:]]).tolist()) if steps else ()


axes = st.lists(st.booleans(), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(axes, axes, st.sampled_from(["encoder", "decoder", "cross"]), st.integers(0, 2**32 - 1))
def test_merged_rows_still_sum_to_one_and_causal_zeros_stay(rows, columns, kind, seed):
    if kind != "cross":
        columns = rows
    queries, keys = (tokens(["▁x"] * len(steps), word_indices(steps)) for steps in (rows, columns))
    scores = np.random.default_rng(seed).normal(scale=3, size=(2, 2, len(queries), len(keys)))
    if kind == "decoder":
        scores[..., np.triu(np.ones(scores.shape[2:], dtype=bool), k=1)] = -np.inf
    weights = np.exp(scores)
    weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    merged = merge_words(AttentionMap(kind, weights, queries, keys, None if kind == "encoder" else queries))
    assert merged.weights.shape == (2, 2, queries.words[-1] + 1, keys.words[-1] + 1)
    # At most 8 x 8 float32 numbers of at most 1 are added up, each rounded by at most 2^-24: 64 * 6e-8.
    assert np.abs(merged.weights.sum(-1, dtype=np.float64) - 1).max() <= 4e-6
    assert merged.weights.min() >= 0
    if kind == "decoder":
        assert (merged.weights[..., merged.masked()] == 0).all()


# --- Log-probabilities ------------------------------------------------------------------------------------------------


def test_a_word_has_the_sum_of_its_pieces_log_probabilities():
    logprobs = np.array([-0.5, -0.25, -1.0, -2.0, -4.0], dtype=np.float32)
    words, merged = merge_logprobs(logprobs, PREDICTED)
    assert words.labels == ("L'", "animal", "</s>")
    assert merged.tolist() == [-0.75, -3.0, -4.0]
    assert merged.dtype == np.float32


# --- Places in the text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 3, (0,)),
        (4, 10, (1, 2)),
        (4, 7, (1,)),
        (6, 8, (1, 2)),  # part of each
        (3, 4, ()),  # the space
        (0, 11, (0, 1, 2, 3)),  # </s> has no characters
        (10, 11, (3,)),
        (0, 0, ()),
        (11, 20, ()),
    ],
)
def test_positions_of_characters(start, end, expected):
    assert SOURCE.text == "The animal."
    assert positions_of(SOURCE, start, end) == expected


def test_special_tokens_are_at_no_place():
    """Their span is (0, 0), which a range that begins at 0 must not take for the first character."""
    assert positions_of(READ, 0, 2) == (1, 2)
    odd = Tokens("ab", ("<who>", "ab"), (9, 4), (0, 1), ((0, 2), (0, 2)), (True, False))
    assert positions_of(odd, 0, 2) == (1,)


# --- Resolving a pronoun ----------------------------------------------------------------------------------------------

# Two layers, two heads, row 1 of two; keys: A A B . C
ROWS = np.zeros((2, 2, 2, 5), dtype=np.float32)
ROWS[0, 0, 1] = [0.25, 0.25, 0.125, 0.25, 0.125]  # A by two pieces, neither of which is alone the largest
ROWS[0, 1, 1] = [0.125, 0.125, 0.5, 0.125, 0.125]  # B
ROWS[1, 0, 1] = [0.125, 0.125, 0.25, 0.25, 0.25]  # all three alike
ROWS[1, 1, 1] = [0.0, 0.0, 0.0, 1.0, 0.0]  # none
CANDIDATES = ((0, 1), (2,), (4,))


def test_span_mass_by_hand():
    expected = [[[0.5, 0.25], [0.25, 0.0]], [[0.125, 0.5], [0.25, 0.0]], [[0.125, 0.125], [0.25, 0.0]]]
    assert span_mass(ROWS, 1, CANDIDATES).tolist() == expected
    assert span_mass(ROWS, 0, CANDIDATES).tolist() == np.zeros((3, 2, 2)).tolist()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(0, [[True, False], [False, False]]), (1, [[False, True], [False, False]]), (2, [[False, False], [False, False]])],
)
def test_a_head_resolves_what_it_looks_at_most(answer, expected):
    assert resolves(ROWS, 1, CANDIDATES, answer).tolist() == expected


def test_a_tie_resolves_nothing():
    even = np.full((1, 1, 1, 2), 0.5, dtype=np.float32)
    assert not resolves(even, 0, ((0,), (1,)), 0)[0, 0]
    assert not resolves(even, 0, ((0,), (1,)), 1)[0, 0]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_at_most_one_candidate_is_resolved_whatever_their_order(masses, random):
    """Small whole numbers make ties likely; exactly one is resolved where one is alone at the top."""
    weights = np.array(masses, dtype=np.float32)[None, None, None]
    spans = [(i,) for i in range(len(masses))]
    won = [bool(resolves(weights, 0, spans, i)[0, 0]) for i in range(len(masses))]
    assert won == [mass == max(masses) and masses.count(mass) == 1 for mass in masses]
    order = random.sample(range(len(masses)), len(masses))
    assert [bool(resolves(weights, 0, [spans[i] for i in order], place)[0, 0]) for place in range(len(order))] == [
        won[i] for i in order
    ]


# --- Rollout ----------------------------------------------------------------------------------------------------------


def words_of(count: int) -> Tokens:
    return tokens(["▁x"] * count, range(count))


# Two layers of two heads over two positions; every number is a sum of powers of two, so that all is exact.
TWO_LAYERS = np.array(
    [
        [[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]],
        [[[0.0, 1.0], [0.25, 0.75]], [[0.5, 0.5], [0.75, 0.25]]],
    ],
    dtype=np.float32,
)


def test_rollout_by_hand():
    """Half the mean over heads, half the identity, times the layer below."""
    rolled = rollout(AttentionMap("encoder", TWO_LAYERS, words_of(2), words_of(2)))
    # layer 1: heads' mean [[0.75, 0.25], [0.25, 0.75]]; with the identity [[0.875, 0.125], [0.125, 0.875]]
    # layer 2: heads' mean [[0.25, 0.75], [0.5, 0.5]]; with the identity [[0.625, 0.375], [0.25, 0.75]]
    # 0.625 · 0.875 + 0.375 · 0.125 = 0.59375; 0.25 · 0.875 + 0.75 · 0.125 = 0.3125
    expected = [[[[0.875, 0.125], [0.125, 0.875]]], [[[0.59375, 0.40625], [0.3125, 0.6875]]]]
    assert rolled.weights.tolist() == expected and rolled.weights.dtype == np.float32
    assert (rolled.layers, rolled.heads) == (2, 1)
    assert rolled.head_names == ("rollout of 2 heads",) and rolled.layer_names == ("layer 1", "layer 2")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from(["encoder", "decoder"]), st.integers(0, 2**32 - 1))
def test_rollout_rows_sum_to_one_and_causal_zeros_stay(layers, size, kind, seed):
    scores = np.random.default_rng(seed).normal(scale=3, size=(layers, 3, size, size))
    if kind == "decoder":
        scores[..., np.triu(np.ones((size, size), dtype=bool), k=1)] = -np.inf
    weights = np.exp(scores)
    weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    rolled = rollout(AttentionMap(kind, weights, words_of(size), words_of(size)))
    assert rolled.weights.shape == (layers, 1, size, size)
    # each layer's rows sum to 1 within 6 roundings of 2^-25, and 6 layers are multiplied: 36 · 3e-8
    assert np.abs(rolled.weights.sum(-1, dtype=np.float64) - 1).max() <= 2e-6
    if kind == "decoder":
        assert (rolled.weights[..., rolled.masked()] == 0).all()


def test_rollout_follows_one_sequence():
    with pytest.raises(AssertionError, match="one sequence"):
        rollout(AttentionMap("cross", TWO_LAYERS, words_of(2), words_of(2)))


# --- Values, words, ranks ---------------------------------------------------------------------------------------------


def test_value_weighted_by_hand():
    weights = single([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    norms = np.array([[[1.0, 2.0, 0.0]]])
    found = value_weighted(AttentionMap("encoder", weights, words_of(3), words_of(3)), norms)
    # 0.5 · 1 and 0.25 · 2 are equal; the last key has nothing to say
    assert found.weights.tolist() == single([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).tolist()
    assert found.weights.dtype == np.float32
    nothing = value_weighted(AttentionMap("encoder", weights, words_of(3), words_of(3)), np.zeros((1, 1, 3)))
    assert (nothing.weights == 0).all()


def test_equal_values_leave_the_weights_as_they_are():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3, 5)).astype(np.float32)
    attention = AttentionMap("cross", weights, READ, SOURCE, PREDICTED)
    found = value_weighted(attention, np.full((2, 3, 5), 3.0))
    np.testing.assert_allclose(found.weights, weights, rtol=0, atol=3e-7)  # 5 numbers up to 1, float32
    assert found.predicted_tokens is PREDICTED


def test_numbers_of_pieces_add_up_to_their_words():
    assert word_sums(np.array([1.0, 2.0, 4.0, 8.0, 16.0]), SOURCE).tolist() == [1, 6, 8, 16]
    assert word_sums(np.array([[1.0, -1.0, 4.0, 0.0, 2.0]]), READ).tolist() == [[1, 3, 2]]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 100], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 − 6 Σd² / (n (n² − 1)) = 1 − 6 · 2 / 60
        ([1, 1, 2], [1, 2, 3], np.sqrt(3) / 2),  # ranks 1.5, 1.5, 3 and 1, 2, 3: covariance 1.5, variances 1.5 and 2
    ],
)
def test_spearman_by_hand(first, second, expected):
    found = spearman(np.array(first, dtype=float), np.array(second, dtype=float))
    assert found == pytest.approx(expected, abs=1e-12)  # a handful of float64 operations


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [0, 0, 0])])
def test_rows_without_an_order_agree_on_nothing(first, second):
    assert np.isnan(spearman(np.array(first, dtype=float), np.array(second, dtype=float)))
