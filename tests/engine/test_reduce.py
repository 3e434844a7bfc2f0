"""Smaller maps: means and maxima by hand, and what hiding special tokens takes away and leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import merge_words
from engine.errors import InputError
from engine.reduce import between, hide, hide_special, reduce_heads, reduce_layers, select
from engine.types import AttentionMap, Tokens

START, END = "<s>", "</s>"


def tokens(*labels: str, words: Sequence[int] | None = None) -> Tokens:
    """Labels joined by spaces, each a word of its own unless told; "<...>" are special."""
    special = tuple(label.startswith("<") for label in labels)
    spans, place = [], 0
    for label, hidden in zip(labels, special, strict=True):
        spans.append((0, 0) if hidden else (place, place + len(label)))
        place += 0 if hidden else len(label) + 1
    text = " ".join(label for label, hidden in zip(labels, special, strict=True) if not hidden)
    indices = tuple(words) if words is not None else tuple(range(len(labels)))
    return Tokens(text, labels, tuple(range(len(labels))), indices, tuple(spans), special)


def attention(kind: str, weights: object, queries: Tokens, keys: Tokens, said: Tokens | None = None) -> AttentionMap:
    return AttentionMap(kind, np.array(weights, dtype=np.float32), queries, keys, said)  # type: ignore[arg-type]


PAIR = tokens("the", "cat")
# Two layers, three heads, two rows.
STACK = [
    [[[1.0, 0.0], [0.5, 0.5]], [[0.25, 0.75], [0.0, 1.0]], [[0.25, 0.75], [0.25, 0.75]]],
    [[[0.0, 1.0], [1.0, 0.0]], [[0.75, 0.25], [0.5, 0.5]], [[0.75, 0.25], [0.0, 1.0]]],
]


# --- Heads and layers -------------------------------------------------------------------------------------------------


def test_the_mean_and_the_maximum_over_heads_by_hand():
    stack = attention("encoder", STACK, PAIR, PAIR)
    mean, best = reduce_heads(stack, "mean"), reduce_heads(stack, "max")
    assert mean.weights.tolist() == [[[[0.5, 0.5], [0.25, 0.75]]], [[[0.5, 0.5], [0.5, 0.5]]]]
    assert best.weights.tolist() == [[[[1.0, 0.75], [0.5, 1.0]]], [[[0.75, 1.0], [1.0, 1.0]]]]
    assert (mean.head_names, best.head_names) == (("mean of 3 heads",), ("max of 3 heads",))
    assert mean.layer_names == ("layer 1", "layer 2")
    assert mean.weights.dtype == best.weights.dtype == np.float32


def test_the_mean_and_the_maximum_over_layers_by_hand():
    stack = attention("encoder", STACK, PAIR, PAIR)
    mean, best = reduce_layers(stack, "mean"), reduce_layers(stack, "max")
    assert mean.weights.tolist() == [
        [[[0.5, 0.5], [0.75, 0.25]], [[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]]
    ]
    assert best.weights[0, 0].tolist() == [[1.0, 1.0], [1.0, 0.5]]
    assert (mean.layer_names, best.layer_names) == (("mean of 2 layers",), ("max of 2 layers",))
    assert mean.head_names == ("head 1", "head 2", "head 3")


def test_names_say_what_was_done_to_each_axis_and_merging_keeps_them():
    both = reduce_layers(reduce_heads(attention("encoder", STACK, PAIR, PAIR), "max"), "mean")
    assert both.weights.tolist() == [[[[0.875, 0.875], [0.75, 1.0]]]]
    merged = merge_words(both)
    assert (merged.layer_names, merged.head_names) == (("mean of 2 layers",), ("max of 3 heads",))


@pytest.mark.parametrize("how", ["mean", "max"])
def test_one_head_or_layer_comes_back_as_it_is(how):
    one = attention("encoder", [[STACK[0][0]]], PAIR, PAIR)
    assert reduce_heads(one, how) is one and reduce_layers(one, how) is one
    once = reduce_heads(attention("encoder", STACK, PAIR, PAIR), how)
    assert reduce_heads(once, how).head_names == (f"{how} of 3 heads",)


@st.composite
def maps(draw: st.DrawFn) -> AttentionMap:
    """Any kind of map, special tokens and words of several pieces anywhere, no tokens at all included."""

    def axis(shortest: int = 0, longest: int = 6) -> Tokens:
        special = draw(st.lists(st.booleans(), min_size=shortest, max_size=longest))
        word, words, labels = -1, [], []
        for i, hidden in enumerate(special):
            word += hidden or i == 0 or special[i - 1] or draw(st.booleans())
            words.append(word)
            labels.append("<x>" if hidden else "ab"[draw(st.integers(0, 1))])
        return tokens(*labels, words=words)

    kind = draw(st.sampled_from(["encoder", "decoder", "cross"]))
    keys = axis()
    queries = axis() if kind == "cross" else keys
    said = axis(len(queries), len(queries)) if kind != "encoder" and draw(st.booleans()) else None
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.normal(scale=4, size=(2, 3, len(queries), len(keys)))
    if kind == "decoder":
        scores[..., np.triu(np.ones(scores.shape[2:], dtype=bool), k=1)] = -np.inf
    weights = np.exp(scores)
    weights = weights / weights.sum(-1, keepdims=True)
    return AttentionMap(kind, weights.astype(np.float32), queries, keys, said)


@settings(max_examples=150, deadline=None)
@given(maps())
def test_a_maximum_is_at_least_the_mean_and_masked_keys_stay_zero(made):
    for reduce in (reduce_heads, reduce_layers):
        mean, best = reduce(made, "mean"), reduce(made, "max")
        assert (best.weights >= mean.weights).all()
        assert (best.weights <= 1).all() and (mean.weights >= 0).all()
        for reduced in (mean, best):
            assert reduced.weights.dtype == np.float32
            assert not reduced.weights[..., made.masked()].any()
        if len(made.key_tokens):
            # At most 6 numbers of at most 1, each rounded to float32 (2^-25) twice: 6 * 2 * 3e-8.
            assert np.abs(mean.weights.sum(-1, dtype=np.float64) - 1).max(initial=0) <= 4e-7


def test_the_maximum_of_equal_heads_is_their_mean():
    """Three times 0.1 rounds up in float32: the mean must not."""
    same = np.full((3, 3, 2, 2), 0.1, dtype=np.float32)
    assert np.array_equal(reduce_heads(attention("encoder", same, PAIR, PAIR), "mean").weights, same[:, :1])
    assert np.array_equal(reduce_layers(attention("encoder", same, PAIR, PAIR), "mean").weights, same[:1])


# --- Special tokens ---------------------------------------------------------------------------------------------------

SOURCE = tokens("The", "cat", END)
READ = tokens(START, "Le", "chat")
SAID = tokens("Le", "chat", END)


def test_hiding_in_an_encoder_map_by_hand():
    weights = [[[[0.25, 0.25, 0.5], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]]]
    found = hide_special(attention("encoder", weights, SOURCE, SOURCE), renormalise=False)
    assert found.attention.weights.tolist() == [[[[0.25, 0.25], [0.75, 0.25]]]]
    assert found.removed.tolist() == [[[0.5, 0.0]]]
    assert found.removed.dtype == np.float32 and not found.removed.flags.writeable
    assert found.attention.query_tokens == found.attention.key_tokens
    assert found.attention.query_tokens.labels == ("The", "cat")
    assert found.attention.predicted_tokens is None
    again = hide_special(attention("encoder", weights, SOURCE, SOURCE), renormalise=True)
    assert again.attention.weights.tolist() == [[[[0.5, 0.5], [0.75, 0.25]]]]
    assert again.removed.tolist() == found.removed.tolist()


def test_hiding_in_a_cross_map_goes_by_the_token_predicted():
    """The step that reads <s> stays, since it predicts a word; the one that predicts </s> goes."""
    weights = [[[[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]]]
    found = hide_special(attention("cross", weights, READ, SOURCE, SAID), renormalise=False)
    assert found.attention.weights.tolist() == [[[[0.5, 0.25], [0.0, 0.5]]]]
    assert found.attention.row_labels == ("Le", "chat")
    assert found.attention.row_title(0) == "reads <s> → predicts Le"
    assert found.removed.tolist() == [[[0.25, 0.5]]]
    nameless = hide_special(attention("cross", weights, READ, SOURCE), renormalise=False)
    assert nameless.attention.row_labels == ("Le", "chat"), "by the token read where none is predicted"
    assert nameless.attention.weights.tolist() == [[[[0.0, 0.5], [0.0, 0.0]]]]


def test_hiding_in_a_decoder_map_drops_row_and_column_together():
    read = tokens(START, "Le", "<tag>", "chat")
    weights = [[[[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0.25, 0.25, 0.25, 0.25]]]]
    found = hide_special(attention("decoder", weights, read, read, tokens("Le", "<tag>", "chat", END)),
                         renormalise=True)  # fmt: skip
    assert found.attention.weights.tolist() == [[[[1.0, 0.0], [0.5, 0.5]]]]
    assert found.removed.tolist() == [[[0.5, 0.5]]]
    assert found.attention.query_tokens.labels == found.attention.key_tokens.labels == ("Le", "chat")
    assert found.attention.predicted_tokens is not None
    assert found.attention.predicted_tokens.labels == ("<tag>", END), "rows are named by what they read"
    assert not found.attention.weights[..., found.attention.masked()].any()


def test_the_first_token_is_hidden_where_a_text_looks_at_itself_by_hand():
    """Its row goes with its column; special tokens behind it stay."""
    weights = [[[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.75, 0.25, 0.0]]]]
    made = attention("encoder", weights, SOURCE, SOURCE)
    found = hide(made, special=False, first=True, renormalise=False)
    assert found.attention.query_tokens.labels == found.attention.key_tokens.labels == SOURCE.labels[1:]
    assert found.attention.weights.tolist() == [[[[0.25, 0.25], [0.25, 0.0]]]]
    assert found.removed.tolist() == [[[0.5, 0.75]]]
    again = hide(made, special=False, first=True, renormalise=True)
    assert again.attention.weights.tolist() == [[[[0.5, 0.5], [1.0, 0.0]]]]
    assert again.removed.tolist() == found.removed.tolist()
    both = hide(made, special=True, first=True, renormalise=False)
    assert both.attention.key_tokens.labels == ("cat",) and both.attention.weights.tolist() == [[[[0.25]]]]
    assert both.removed.tolist() == [[[0.75]]]


def test_without_its_first_token_a_decoder_map_is_causal_and_a_cross_map_keeps_its_rows():
    read = tokens("Le", "chat", "dort")
    weights = [[[[1, 0, 0], [0.75, 0.25, 0], [0.5, 0.25, 0.25]]]]
    said = tokens("chat", "dort", END)
    found = hide(attention("decoder", weights, read, read, said), special=False, first=True, renormalise=False)
    assert found.attention.weights.tolist() == [[[[0.25, 0.0], [0.25, 0.25]]]]
    assert not found.attention.weights[..., found.attention.masked()].any()
    assert found.attention.predicted_tokens is not None and found.attention.predicted_tokens.labels == ("dort", END)
    crossed = hide(attention("cross", weights, read, SOURCE, said), special=False, first=True, renormalise=False)
    assert crossed.attention.weights.tolist() == [[[[0, 0], [0.25, 0], [0.25, 0.25]]]]
    assert crossed.removed.tolist() == [[[1.0, 0.75, 0.5]]]
    assert crossed.attention.row_labels == ("chat", "dort", END)


def test_what_is_hidden_and_what_is_left_make_the_whole():
    made = attention("encoder", STACK, PAIR, PAIR)
    for special in (True, False):
        for first in (True, False):
            found = hide(made, special=special, first=first, renormalise=False)
            np.testing.assert_allclose(found.attention.weights.sum(-1) + found.removed, 1, atol=1e-7)  # of float32
    assert hide(made, special=False, first=False, renormalise=True).attention.weights.tolist() == STACK
    only = tokens("one")
    empty = hide(attention("encoder", [[[[1.0]]]], only, only), special=False, first=True, renormalise=True)
    assert empty.attention.weights.shape == (1, 1, 0, 0)


@pytest.mark.parametrize("renormalise", [True, False])
def test_a_row_with_nothing_left_stays_zero(renormalise):
    weights = [[[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]]
    with np.errstate(all="raise"):
        found = hide_special(attention("encoder", weights, SOURCE, SOURCE), renormalise=renormalise)
    assert found.attention.weights.tolist() == [[[[0.0, 0.0], [0.0, 1.0]]]]
    assert found.removed.tolist() == [[[1.0, 0.0]]]


def test_names_of_layers_and_heads_stay():
    found = hide_special(reduce_heads(attention("encoder", STACK, PAIR, PAIR), "mean"), renormalise=True)
    assert found.attention.head_names == ("mean of 3 heads",)
    assert np.array_equal(found.attention.weights, [[[[0.5, 0.5], [0.25, 0.75]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    assert not found.removed.any(), "there was nothing to hide"


def test_pieces_of_a_word_are_still_merged_after_hiding():
    read = tokens(START, "cha", "ts", "<tag>", "là", words=(0, 1, 1, 2, 3))
    weights = np.tril(np.ones((1, 1, 5, 5))) / np.arange(1, 6)[:, None]
    found = merge_words(hide_special(attention("decoder", weights, read, read), renormalise=True).attention)
    assert found.query_tokens.labels == ("cha ts", "là")
    # Row "là" looks at "cha", "ts" and itself alike; "cha" at itself, "ts" at both pieces.
    assert np.allclose(found.weights, [[[[1.0, 0.0], [2 / 3, 1 / 3]]]], atol=1e-7)  # thirds in float32


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
@pytest.mark.parametrize("renormalise", [True, False])
def test_a_map_of_special_tokens_alone_becomes_empty(kind, renormalise):
    only = tokens(START, END)
    made = attention(kind, np.eye(2)[None, None], only, only, None if kind == "encoder" else only)
    found = hide_special(made, renormalise=renormalise)
    assert found.attention.weights.shape == (1, 1, 0, 0) and found.removed.shape == (1, 1, 0)
    assert merge_words(found.attention).weights.shape == (1, 1, 0, 0)
    assert reduce_heads(found.attention, "max").weights.shape == (1, 1, 0, 0)


def test_a_cross_map_may_lose_all_columns_and_keep_its_rows():
    """A source of nothing but tags, translated by a word."""
    made = attention("cross", [[[[1.0], [1.0]]]], tokens(START, "Oui"), tokens(END), tokens("Oui", END))
    found = hide_special(made, renormalise=True)
    assert found.attention.weights.shape == (1, 1, 1, 0)
    assert found.removed.tolist() == [[[1.0]]]
    assert merge_words(found.attention).weights.shape == (1, 1, 1, 0)


@settings(max_examples=200, deadline=None)
@given(maps())
def test_what_is_kept_and_what_is_removed_add_up(made):
    plain, scaled = (hide_special(made, renormalise=flag) for flag in (False, True))
    kept = plain.attention.weights.sum(-1, dtype=np.float64)
    if len(made.key_tokens):
        # At most 6 float32 weights of at most 1, each off by 2^-25, and `removed` once more.
        assert np.abs(kept + plain.removed - 1).max(initial=0) <= 3e-7
    sums = scaled.attention.weights.sum(-1, dtype=np.float64)
    assert np.abs(sums[kept > 0] - 1).max(initial=0) <= 3e-7
    assert not sums[kept == 0].any()
    for found in (plain.attention, scaled.attention):
        assert not any(found.key_tokens.special)
        assert not any(found.row_tokens.special)
        assert not found.weights[..., found.masked()].any()
        merged = merge_words(found)
        assert len(merged.key_tokens) == len({*found.key_tokens.words})
        assert len(merged.row_tokens) == len({*found.row_tokens.words})
        assert not merged.weights[..., merged.masked()].any()
    again = hide_special(plain.attention, renormalise=False)
    assert np.array_equal(again.attention.weights, plain.attention.weights) and not again.removed.any()


# --- Two texts --------------------------------------------------------------------------------------------------------

TEXTS = tokens("<c>", "a", "<s>", "b", "<s>")
SEGMENTS = (0, 0, 0, 1, 1)
EACH = [
    [0.5, 0.25, 0.0, 0.25, 0.0],
    [0.0, 0.5, 0.25, 0.125, 0.125],
    [0.0, 0.0, 1.0, 0.0, 0.0],
    [0.125, 0.25, 0.25, 0.25, 0.125],
    [0.0, 0.0, 0.0, 0.0, 1.0],
]


def test_one_text_looking_at_the_other_by_hand():
    found = between(attention("encoder", [[EACH]], TEXTS, TEXTS), SEGMENTS, query=0, key=1)
    assert found.attention.weights[0, 0].tolist() == [[0.25, 0.0], [0.125, 0.125], [0.0, 0.0]]
    assert found.removed[0, 0].tolist() == [0.75, 0.75, 1.0]
    assert found.attention.query_tokens == select(TEXTS, (0, 1, 2))
    assert found.attention.key_tokens == select(TEXTS, (3, 4))
    back = between(attention("encoder", [[EACH]], TEXTS, TEXTS), SEGMENTS, query=1, key=0)
    assert back.attention.weights[0, 0].tolist() == [[0.125, 0.25, 0.25], [0.0, 0.0, 0.0]]
    assert back.removed[0, 0].tolist() == [0.375, 1.0]


def test_both_texts_looking_at_both_is_the_whole_map():
    whole = attention("encoder", [[EACH, EACH]], TEXTS, TEXTS)
    found = between(whole, SEGMENTS)
    assert found.attention.weights.tolist() == whole.weights.tolist() and not found.removed.any()
    assert found.attention.key_tokens == TEXTS and found.attention.head_names == whole.head_names


@pytest.mark.parametrize("query", [0, 1, None])
@pytest.mark.parametrize("key", [0, 1, None])
def test_what_is_left_and_what_went_are_each_row(query, key):
    found = between(attention("encoder", [[EACH]], TEXTS, TEXTS), SEGMENTS, query, key)
    # Halves of halves are exact in float32.
    assert (found.attention.weights.sum(-1) + found.removed == 1).all()


def test_words_of_one_text_merge_and_special_tokens_hide_in_it():
    pieces = tokens("<c>", "ani", "mal", "<s>", "b", "<s>", words=(0, 1, 1, 2, 3, 4))
    even = attention("encoder", np.full((1, 1, 6, 6), 0.125), pieces, pieces)
    found = between(even, (0, 0, 0, 0, 1, 1), query=1, key=0).attention
    assert merge_words(found).weights[0, 0].tolist() == [[0.125, 0.25, 0.125]] * 2
    assert hide_special(found, renormalise=False).attention.weights[0, 0].tolist() == [[0.125, 0.125]]


def test_a_text_that_is_not_there_asks_for_it():
    alone = attention("encoder", [[[[0.5, 0.5]] * 2]], PAIR, PAIR)
    for looked in ({"query": 1}, {"key": 1}):
        with pytest.raises(InputError, match="Type a second one"):
            between(alone, (0, 0), **looked)


# --- Positions --------------------------------------------------------------------------------------------------------


def test_select_keeps_everything_of_a_position():
    text = tokens("The", "ani", "mal", END, words=(0, 1, 1, 2))
    chosen = select(text, [1, 2])
    assert chosen == Tokens(text.text, ("ani", "mal"), (1, 2), (1, 1), (text.spans[1], text.spans[2]), (False, False))
    assert select(text, range(4)) == text
    assert len(select(text, [])) == 0
    merged = Tokens("a", ("a",), (), (0,), ((0, 1),), (False,))
    assert select(merged, [0]) == merged, "words have no ids"
