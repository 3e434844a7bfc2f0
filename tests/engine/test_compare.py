"""Two maps on common axes: their labels, their cells, and which words have no partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.analysis import merge_words
from engine.compare import common_axes
from engine.errors import InputError
from engine.types import AttentionMap, Kind, Tokens

TIRED = "The animal didn't cross the street because it was too tired."
WIDE = "The animal didn't cross the street because it was too wide."


def tokens(labels: Sequence[str], words: Sequence[int] | None = None) -> Tokens:
    """Labels with offsets into the text that they spell, one space between words; "<s>" and "</s>" are special."""
    words = list(range(len(labels))) if words is None else list(words)
    text, spans, before = "", [], -1
    for label, word in zip(labels, words, strict=True):
        if label in ("<s>", "</s>"):
            spans.append((0, 0))
            continue
        text += " " if text and word != before else ""
        spans.append((len(text), len(text) + len(label)))
        text, before = text + label, word
    special = tuple(label in ("<s>", "</s>") for label in labels)
    return Tokens(text, tuple(labels), (), tuple(words), tuple(spans), special)


def made(kind: Kind, query: Tokens, keys: Tokens, predicted: Tokens | None = None, seed: int = 0) -> AttentionMap:
    """Two layers of three heads, random rows that sum to 1."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(len(keys)), (2, 3, len(query)))
    return AttentionMap(kind, rows.astype(np.float32), query, keys, predicted)


def encoder(*labels: str, seed: int = 0) -> AttentionMap:
    return made("encoder", tokens(labels), tokens(labels), seed=seed)


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_a_word_that_differs_has_both_names():
    one, other = common_axes(encoder("it", "was", "tired", "</s>"), encoder("it", "was", "wide", "</s>", seed=1))
    for found in (one, other):
        assert found.query_tokens.labels == found.key_tokens.labels == ("it", "was", "tired | wide", "</s>")
        assert found.query_tokens.special == (False, False, False, True)
        assert found.predicted_tokens is None and found.kind == "encoder"
    assert one.head_names == tuple(f"head {n}, first sentence" for n in (1, 2, 3))
    assert other.head_names == tuple(f"head {n}, second sentence" for n in (1, 2, 3))
    assert one.layer_names == ("layer 1", "layer 2")


def test_equal_sentences_keep_their_labels():
    labels = ("The", "dog", "saw", "the", "dog", "</s>")
    one, other = common_axes(encoder(*labels), encoder(*labels))
    assert one.query_tokens.labels == other.key_tokens.labels == labels
    assert np.array_equal(one.weights, other.weights)


def test_neighbours_that_differ_are_paired_in_order():
    one, _ = common_axes(encoder("a", "big", "dog"), encoder("a", "small", "cat"))
    assert one.key_tokens.labels == ("a", "big | small", "dog | cat")


def test_names_of_reduced_heads_are_kept():
    mean = replace(encoder("a", "dog"), head_names=("mean of 8 heads", "head 2", "head 3"))
    one, other = common_axes(mean, mean)
    assert one.head_names[0] == "mean of 8 heads, first sentence" and other.head_names[2] == "head 3, second sentence"


def test_every_axis_of_a_cross_map_is_joined():
    """Read, looked at and predicted, in two outputs and two sources that differ in one word each."""
    maps = []
    for seed, (noun, said) in enumerate((("tired", "fatigué"), ("wide", "large"))):
        predicted = tokens(("il", "est", said, "</s>"))
        read = tokens(("<s>", "il", "est", said))
        maps.append(made("cross", read, tokens(("it", "is", noun, "</s>")), predicted, seed))
    one, other = common_axes(*maps)
    assert one.query_tokens.labels == ("<s>", "il", "est", "fatigué | large")
    assert one.key_tokens.labels == ("it", "is", "tired | wide", "</s>")
    assert one.row_labels == ("il", "est", "fatigué | large", "</s>") == other.row_labels
    assert np.array_equal(one.weights, maps[0].weights) and np.array_equal(other.weights, maps[1].weights)


# --- Cells ------------------------------------------------------------------------------------------------------------


def test_maps_can_be_subtracted_cell_by_cell():
    """Three pieces of one word against one piece: sums over keys, means over queries, by hand."""
    first = made("encoder", *[tokens(("an", "i", "mal", "sleeps"), (0, 0, 0, 1))] * 2)
    second = made("encoder", *[tokens(("dog", "sleeps"))] * 2, seed=1)
    one, other = common_axes(first, second)
    assert one.key_tokens.labels == other.key_tokens.labels == ("animal | dog", "sleeps")
    assert one.weights.shape == other.weights.shape == (2, 3, 2, 2)
    assert np.array_equal(other.weights, second.weights)
    # sums of up to three float32 numbers in [0, 1], and their mean: 2^-24 each
    by_hand = first.weights[1, 2, :3, :3].sum(axis=1).mean()
    assert one.weights[1, 2, 0, 0] == pytest.approx(by_hand, abs=3e-7)
    difference = one.weights - other.weights
    np.testing.assert_allclose(difference.sum(axis=-1), 0, rtol=0, atol=6e-7)  # rows of both sum to 1


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
def test_the_maps_of_two_runs(tiny_runner, kind):
    """Under the same output, with sources of equally many words."""
    said = "L'animal n'a pas traversé la rue car il était fatigué."
    maps = [tiny_runner.trace(text, said).maps[kind] for text in (TIRED, WIDE)]
    one, other = common_axes(*maps)
    assert one.row_labels == other.row_labels and one.key_tokens == other.key_tokens
    for found, own in zip((one, other), maps, strict=True):
        assert np.array_equal(found.weights, merge_words(own).weights)
    if kind != "decoder":
        assert one.key_tokens.labels[-3:] == ("tired | wide", ".", "</s>")
    if kind != "encoder":
        assert not any("|" in label for label in one.row_labels)


def test_swapped_sentences_swap_the_maps():
    first, second = encoder("a", "dog"), encoder("a", "cat", seed=1)
    one, other = common_axes(first, second)
    back, forth = common_axes(second, first)
    assert back.key_tokens.labels == ("a", "cat | dog")
    assert np.array_equal(back.weights - forth.weights, -(one.weights - other.weights))


def test_no_words_at_all():
    empty = encoder()
    one, other = common_axes(empty, empty)
    assert one.weights.shape == other.weights.shape == (2, 3, 0, 0) and one.key_tokens.labels == ()


# --- Words without a partner ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (("too", "tired"), ("tired",), "“too” in the first has no partner. "),
        (("tired",), ("far", "too", "tired"), "“far”, “too” in the second have no partner. "),
        (("it", "<b>", "tired"), ("it", "tired"), "“<b>” in the first has no partner. "),
        (
            ("a", "very", "old", "dog"),
            ("a", "cat"),
            "“very”, “old”, “dog” in the first have no partner; “cat” in the second has no partner. ",
        ),
        (("a",), (), "“a” in the first has no partner. "),
    ],
)
def test_words_that_stand_alone_are_named(first, second, says):
    with pytest.raises(InputError) as error:
        common_axes(encoder(*first), encoder(*second))
    assert f"one to one: {says}" in str(error.value)
    assert str(error.value).endswith("side by side instead, or change the sentences.")


def test_an_output_of_another_length_is_named_too():
    source = tokens(("it", "</s>"))
    short = made("cross", tokens(("<s>", "il")), source, tokens(("il", "dort")))
    long = made("cross", tokens(("<s>", "il", "ne")), source, tokens(("il", "ne", "dort")))
    with pytest.raises(InputError, match="“ne” in the second has no partner"):
        common_axes(short, long)
