"""What a head does: every score by hand, the pattern that wins, and maps too small or too bare to tell."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import merge_words
from engine.heads import BROAD_BAR, PATTERNS, Pattern, head_patterns, head_scores
from engine.reduce import hide_special, reduce_heads, reduce_layers
from engine.types import AttentionMap, Kind, Tokens

START, END = "<s>", "</s>"


def tokens(*labels: str) -> Tokens:
    """Each label a word of its own; "<...>" are special."""
    special = tuple(label.startswith("<") for label in labels)
    return Tokens(" ".join(labels), labels, (), tuple(range(len(labels))), ((0, 1),) * len(labels), special)


SOURCE = tokens("The", "cat", ",", "too", ".", END)
READ = tokens(START, "Le", "chat", ",", "aussi", ".")
SAID = tokens("Le", "chat", ",", "aussi", ".", END)


def heads(kind: Kind, *weights: object, queries: Tokens | None = None, keys: Tokens = SOURCE) -> AttentionMap:
    """One layer; the tokens of `kind` unless others are given."""
    axes = {"encoder": (keys, keys, None), "decoder": (READ, READ, SAID), "cross": (READ, keys, SAID)}
    query, key, said = axes[kind]
    if queries is not None:
        query, key, said = queries, queries if kind == "decoder" else key, None
    return AttentionMap(kind, np.array([weights], dtype=np.float32), query, key, said)


def shifted(size: int, offset: int) -> np.ndarray:
    """All mass on the key at an offset; on the nearest key at the ends."""
    weights = np.zeros((size, size))
    weights[np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)] = 1
    return weights


def pointing(columns: list[int], size: int = 6) -> np.ndarray:
    """All mass of row i on key `columns[i]`."""
    weights = np.zeros((len(columns), size))
    weights[np.arange(len(columns)), columns] = 1
    return weights


def even(size: int) -> np.ndarray:
    return np.full((size, size), 1 / size)


def causal_even(size: int) -> np.ndarray:
    return np.tril(np.ones((size, size))) / np.arange(1, size + 1)[:, None]


def names(attention: AttentionMap) -> list[list[str]]:
    return [[pattern.name for pattern in layer] for layer in head_patterns(attention)]


# --- Encoder and decoder heads ----------------------------------------------------------------------------------------


def test_encoder_heads_of_one_pattern_each():
    made = heads(
        "encoder", shifted(6, -1), shifted(6, 1), np.eye(6), pointing([0] * 6), pointing([2] * 5 + [5]), even(6)
    )
    scores = head_scores(made)
    assert list(scores) == list(PATTERNS["encoder"])
    assert scores["previous token"][0, 0] == 1.0
    assert scores["next token"][0, 1] == 1.0
    assert scores["same token"][0, 2] == 1.0
    assert scores["first token"][0, 3] == 1.0
    assert scores["delimiters"][0, 4] == 1.0
    assert scores["broad"][0, 5] == pytest.approx(1.0, abs=1e-6)  # a sixth is rounded in float32
    assert scores["broad"][0, :5].tolist() == [0.0] * 5
    assert names(made) == [["previous token", "next token", "same token", "first token", "delimiters", "broad"]]
    assert all(values.shape == (1, 6) and values.dtype == np.float64 for values in scores.values())


def test_encoder_scores_by_hand():
    """Rows of the text count, the one of </s> does not."""
    rows = [
        [0.5, 0.25, 0.25, 0, 0, 0],
        [0.25, 0.5, 0, 0, 0.25, 0],
        [0, 0.5, 0.25, 0, 0, 0.25],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0.5, 0.5, 0],
        [0.125, 0, 0, 0, 0.875, 0],
    ]
    scores = {name: float(values[0, 0]) for name, values in head_scores(heads("encoder", rows)).items()}
    entropies = [1.5, 1.5, 1.5, 0, 1]  # bits
    assert scores == {
        "previous token": (0.25 + 0.5 + 0 + 0.5) / 4,  # the first token has none before it
        "next token": (0.25 + 0 + 0 + 0 + 0) / 5,  # </s> is after the last
        "same token": (0.5 + 0.5 + 0.25 + 0 + 0.5) / 5,
        "first token": (0.25 + 0 + 1 + 0) / 4,  # not of the first row
        "delimiters": (0.25 + 0.25 + 0.5 + 0 + 0.5) / 5,  # "," "." and </s>
        "broad": pytest.approx(sum(entropies) / 5 / math.log2(6), rel=1e-12),
    }


def test_the_first_key_is_no_delimiter_even_where_it_is_one():
    quoted = tokens('"', "Go", "!", END)
    made = heads("encoder", pointing([0] * 4, 4), pointing([2, 2, 2, 2], 4), keys=quoted)
    scores = head_scores(made)
    assert scores["delimiters"].tolist() == [[0.0, 1.0]]
    assert scores["first token"].tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("label", "counts"),
    [(",", 1.0), ("...", 1.0), ("?!", 1.0), ("«", 1.0), ("'", 1.0), ("-", 1.0), ("。", 1.0), (END, 1.0),
     ("a.", 0.0), ("€", 0.0), ("+", 0.0), ("▁", 0.0), ("🙂", 0.0), ("", 0.0), ("7", 0.0)],
)  # fmt: skip
def test_delimiters_are_special_tokens_and_punctuation_alone(label, counts):
    made = heads("encoder", pointing([2, 2, 2], 3), keys=tokens("a", "b", label))
    assert head_scores(made)["delimiters"][0, 0] == counts


def test_decoder_heads_of_one_pattern_each():
    """The step that reads <s> could look nowhere else and does not count."""
    made = heads("decoder", shifted(6, -1), np.eye(6), pointing([0] * 6), pointing([0, 1, 2, 3, 3, 3]), causal_even(6))
    scores = head_scores(made)
    assert list(scores) == list(PATTERNS["decoder"])
    assert "next token" not in scores
    assert scores["previous token"][0].tolist()[:4] == [1.0, 0.0, 0.2, 0.2]
    assert scores["previous token"][0, 4] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 5)
    assert scores["first token"][0].tolist()[:4] == [0.2, 0.0, 1.0, 0.0]
    assert scores["delimiters"][0].tolist()[:4] == [1 / 5, 2 / 5, 0.0, 3 / 5]
    assert scores["broad"][0, 4] == pytest.approx(1.0, abs=1e-6)  # of the keys that each row may look at
    assert names(made) == [["previous token", "same token", "first token", "delimiters", "broad"]]


# --- Cross heads ------------------------------------------------------------------------------------------------------


def test_cross_heads_of_one_pattern_each():
    diagonal = pointing([0, 1, 2, 3, 4, 5])
    made = heads("cross", diagonal, pointing([0] * 6), pointing([4] * 5 + [5]), pointing([3] * 6), even(6))
    scores = head_scores(made)
    assert list(scores) == list(PATTERNS["cross"])
    assert scores["alignment"][0].tolist()[:4] == [1.0, 0.2, 0.2, 0.2]
    assert scores["alignment"][0, 4] == pytest.approx(1 / 5 / 6)  # of equals the first is the strongest
    assert scores["first token"][0].tolist()[:4] == [0.2, 1.0, 0.0, 0.0]
    assert scores["delimiters"][0].tolist()[:4] == [0.4, 0.0, 1.0, 0.0]
    assert scores["one word"][0].tolist()[:4] == [0.2, 1.0, 0.0, 1.0]
    assert names(made) == [["alignment", "first token", "delimiters", "one word", "broad"]]


def test_alignment_is_coverage_times_sharpness_by_hand():
    """Five source tokens that are not </s>; the row that predicts </s> does not count."""
    rows = [
        [0.5, 0.25, 0.25, 0, 0, 0],
        [0.5, 0.25, 0, 0.25, 0, 0],
        [0, 0.75, 0.25, 0, 0, 0],
        [0, 0, 0, 0.25, 0.25, 0.5],  # strongest at </s>, which is no source word
        [0, 0, 0.25, 0.5, 0.25, 0],
        [0, 0, 0, 0, 1, 0],
    ]
    scores = head_scores(heads("cross", rows))
    coverage, sharpness = 3 / 5, (0.5 + 0.5 + 0.75 + 0.5 + 0.5) / 5
    assert scores["alignment"][0, 0] == pytest.approx(coverage * sharpness, rel=1e-12)
    assert scores["one word"][0, 0] == (0.25 + 0.25 + 0.75) / 5
    assert scores["first token"][0, 0] == 1.0 / 5


def test_one_word_adds_up_its_pieces():
    pieces = Tokens("the kitten", ("the", "kit", "ten", END), (), (0, 1, 1, 2), ((0, 3), (4, 7), (7, 10), (0, 0)),
                    (False, False, False, True))  # fmt: skip
    made = heads("cross", [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0.5, 0.5, 0]], queries=tokens("a", "b", "c"), keys=pieces)
    assert head_scores(made)["one word"][0, 0] == 1.0
    assert head_scores(merge_words(made))["one word"][0, 0] == 1.0


def test_one_row_is_not_always_the_same_word():
    made = heads("cross", pointing([1, 5]), queries=tokens("chat", END))
    assert head_scores(made)["one word"][0, 0] == 0.0
    assert head_scores(made)["alignment"][0, 0] == 1 / 5


def test_rows_without_predicted_tokens_are_named_by_what_they_read():
    made = heads("cross", pointing([0, 1, 2, 3, 4, 5]))
    blind = replace(made, predicted_tokens=None)  # now the first row, which reads <s>, does not count
    assert head_scores(blind)["alignment"][0, 0] == 4 / 5


# --- The pattern that fits best ---------------------------------------------------------------------------------------


def blend(share: float, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return share * one + (1 - share) * other


def test_the_bars():
    """Of sharp heads with an even rest: 30 % of the way from even attention to the pattern is enough."""
    away = pointing([3, 3, 4, 1, 1, 1])  # keys that no pattern names, in a text without punctuation
    enough, short = (blend(share, shifted(6, -1), even(6)) for share in (0.31, 0.29))
    made = heads(
        "encoder", enough, short, blend(0.29, shifted(6, -1), away), away, keys=tokens("a", "b", "c", "d", "e", END)
    )
    found = head_patterns(made)[0]
    assert [pattern.name for pattern in found] == ["previous token", "broad", "mixed", "mixed"]
    assert found[0].score == pytest.approx(0.31 + 0.69 / 6, abs=1e-6)
    assert found[1].score >= BROAD_BAR
    assert found[2] == Pattern("mixed", 0.0)


def test_the_better_of_two_patterns_wins():
    made = heads("encoder", blend(0.6, shifted(6, -1), np.eye(6)), blend(0.4, shifted(6, -1), np.eye(6)))
    assert names(made) == [["previous token", "same token"]]


def test_even_attention_is_broad_in_the_shortest_text():
    """Half of its mass is on the token before, and names nothing."""
    for kind in ("encoder", "cross"):
        two = heads(kind, even(2), queries=tokens("a", "b") if kind == "cross" else None, keys=tokens("a", "b"))
        assert names(two) == [["broad"]]
    assert names(heads("decoder", causal_even(2), queries=tokens("a", "b"))) == [["broad"]]


@pytest.mark.parametrize("labels", [("x", "y"), ("x", "y", "z"), ("u", "v", "w", "x")])
def test_a_text_that_looks_at_another_has_no_neighbours_there(labels):
    """Fewer rows than keys, as many, and more: position i of one text is not position i of the other."""
    keys, rows = tokens("a", "b", "c"), len(labels)
    weights = np.array([pointing([min(row, 2) for row in range(rows)], 3), pointing([0] * rows, 3)], dtype=np.float32)
    part = AttentionMap("encoder", weights[None], tokens(*labels), keys, None)
    scores = head_scores(part)
    for name in ("previous token", "next token", "same token"):
        assert not scores[name].any()
    assert scores["first token"][0].tolist() == pytest.approx([1 / rows, 1.0])
    assert head_patterns(part)[0][1].name == "first token"


def test_what_even_attention_does_wholly_names_no_head():
    """All keys but the first are punctuation: looking there is no sign of anything."""
    dots = tokens("a", ".", "!", "?")
    made = heads("cross", pointing([1, 1], 4), queries=tokens("x", "y"), keys=dots)
    assert names(made) == [["delimiters"]]
    only = tokens("<a>", "<b>")
    assert head_patterns(heads("cross", even(2), queries=tokens("x", "y"), keys=only))[0][0].name == "broad"


# --- Small, bare and reduced maps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
@pytest.mark.parametrize("only", [tokens("a"), tokens(END), tokens()])
def test_a_map_without_a_choice_says_nothing(kind, only):
    made = AttentionMap(kind, np.ones((2, 3, len(only), len(only)), dtype=np.float32), only, only)
    scores = head_scores(made)
    assert all(values.shape == (2, 3) and not values.any() for values in scores.values())
    assert names(made) == [["mixed"] * 3] * 2


@pytest.mark.parametrize("shape", [(3, 0), (0, 3)])
def test_a_cross_map_without_rows_or_columns_says_nothing(shape):
    queries, keys = (tokens(*"abc"[:size]) for size in shape)
    made = AttentionMap("cross", np.zeros((1, 1, *shape), dtype=np.float32), queries, keys)
    assert not any(values.any() for values in head_scores(made).values())
    assert names(made) == [["mixed"]]


def test_an_empty_row_aligns_nothing():
    made = heads("cross", np.zeros((2, 6)), queries=tokens("x", "y"))
    assert head_scores(made)["alignment"][0, 0] == 0.0
    assert names(made) == [["mixed"]]


def test_what_was_hidden_counts_as_elsewhere_unless_rows_are_divided():
    """Half of each row at </s>, half at the token before."""
    sink = pointing([5] * 6)
    made = heads("encoder", blend(0.5, sink, shifted(6, -1)), blend(0.5, sink, even(6)))
    plain, scaled = (hide_special(made, renormalise=flag).attention for flag in (False, True))
    assert head_scores(plain)["previous token"][0, 0] == head_scores(made)["previous token"][0, 0] == 0.5
    assert head_scores(scaled)["previous token"][0, 0] == 1.0
    # Of the second head 7/12 went to </s>; the rest is even.
    assert head_scores(plain)["broad"][0, 1] == pytest.approx(5 / 12, abs=1e-6)
    assert head_scores(scaled)["broad"][0, 1] == pytest.approx(1.0, abs=1e-6)
    assert head_scores(plain)["delimiters"][0, 1] == pytest.approx(2 / 12, abs=1e-6), 'only "," and "." are left'


def test_a_maximum_is_read_as_shares_of_its_rows():
    """The maximum of two pointing heads has rows that add up to 2."""
    made = reduce_heads(heads("encoder", shifted(6, -1), shifted(6, 1)), "max")
    assert made.weights[0, 0, 1].tolist() == [1, 0, 1, 0, 0, 0]
    scores = head_scores(made)
    assert scores["previous token"].tolist() == scores["next token"].tolist() == [[0.5]]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["encoder", "decoder", "cross"]),
    st.lists(st.sampled_from(["a", "b", ",", "<s>", "</s>"]), max_size=6),
    st.lists(st.sampled_from(["a", "b", ",", "<s>", "</s>"]), max_size=6),
    st.floats(0, 20),
    st.integers(0, 2**32 - 1),
)
def test_scores_are_shares_of_any_map(kind, rows, columns, scale, seed):
    keys = tokens(*columns)
    queries = tokens(*rows) if kind == "cross" else keys
    values = np.random.default_rng(seed).normal(scale=scale, size=(2, 3, len(queries), len(keys)))
    if kind == "decoder":
        values[..., np.triu(np.ones(values.shape[2:], dtype=bool), k=1)] = -np.inf
    weights = np.exp(values - values.max(axis=-1, keepdims=True, initial=-1e9))
    whole = AttentionMap(kind, (weights / weights.sum(-1, keepdims=True)).astype(np.float32), queries, keys)
    for made in (
        whole,
        reduce_heads(whole, "max"),
        reduce_layers(whole, "mean"),
        *(hide_special(whole, renormalise=flag).attention for flag in (False, True)),
    ):
        with np.errstate(all="raise", under="ignore"):
            scores, patterns = head_scores(made), head_patterns(made)
        assert list(scores) == list(PATTERNS[kind])
        for found in scores.values():
            assert found.shape == (made.layers, made.heads)
            assert (found >= 0).all() and (found <= 1).all()
        assert [len(layer) for layer in patterns] == [made.heads] * made.layers
        for layer, row in enumerate(patterns):
            for head, pattern in enumerate(row):
                assert pattern == Pattern("mixed", 0.0) or pattern.score == scores[pattern.name][layer, head]
