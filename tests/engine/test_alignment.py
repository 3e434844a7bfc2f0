"""Alignment between words: natural text and where words stand in it, merged maps, and scores by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from engine.alignment import (
    alignment_error_rate,
    alignment_of,
    count_heads,
    detokenised,
    diagonal,
    error_rates,
    given_hits,
    interval,
    link_accuracy,
    link_counts,
    precisions,
    recalls,
    resample,
    word_map,
    word_spans,
)
from engine.catalogue import ASSETS
from engine.errors import InputError
from engine.gold_links import shipped_pairs
from engine.text import Subwords, french_spacing, normalise, with_start
from engine.types import AttentionMap, LinkedPair, Tokens

TEXTS = [
    ("en", "I didn 't go , he said .", "I didn't go, he said."),
    ("en", "You 'll see : it 's 5 % ( or more ) ; is n't it ?!", "You'll see: it's 5% (or more); isn't it ?!"),
    ("en", 'He said , " Come ! " and left .', 'He said, "Come!" and left.'),
    ("en", 'Come here . "', 'Come here."'),
    ("en", 'He said , " Come', 'He said, "Come'),
    ("en", '" Gentlemen , " he said , I pay . "', '"Gentlemen," he said, I pay."'),
    ("en", '"', '"'),
    ("en", "birds ' eggs , ' yes ! '", "birds' eggs, 'yes!'"),
    ("en", "there - the lost battles", "there - the lost battles"),
    ("fr", "L' animal n' a pas dormi , aujourd' hui .", "L'animal n'a pas dormi, aujourd'hui."),
    ("fr", "Quoi ? ! Viens ; vite : il est 14:30 !", "Quoi ?! Viens ; vite : il est 14:30 !"),
    ("fr", "Il dit : « Va vite ! » …", 'Il dit : "Va vite !"...'),
    ("fr", "dit-il ( tout bas ) …", "dit-il (tout bas)..."),
    ("fr", "Viens! [ 1 ]", "Viens ! [1]"),
]


@pytest.mark.parametrize(("language", "words", "text"), TEXTS)
def test_text_as_people_write_it(language, words, text):
    found, spans = detokenised(words.split(), language)
    assert found == text
    assert found == (french_spacing(normalise(found)) if language == "fr" else normalise(found))
    assert [text[a:b].replace(" ", "") for a, b in spans] == [normalise(word) for word in words.split()]


@pytest.mark.parametrize("tokenizer", ["tiny", "en-fr"])
def test_spans_hold_in_the_tokens_of_every_shipped_pair(tokenizer, subwords):
    reader = subwords if tokenizer == "tiny" else Subwords.load(ASSETS / "en-fr" / "tokenizer.model")
    for pair in shipped_pairs():
        for words, language in ((pair.source, "en"), (pair.target, "fr")):
            text, spans = detokenised(words, language)
            tokens = reader.encode(text)
            assert tokens.text == text
            assert [tokens.text[a:b] for a, b in spans] == list(words)


def test_words_that_do_not_spell_the_text_are_refused():
    with pytest.raises(InputError, match=r"does not go on with word 2, “cats”.*words of this very text"):
        word_spans("the cat", ["the", "cats"])
    with pytest.raises(InputError, match="goes on after its 1 words"):
        word_spans("the cat", ["the"])
    with pytest.raises(InputError, match="Word 2 has no character that shows"):
        detokenised(["the", "\u200b", "cat"], "en")


def tokens_of(text: str, spans: list[tuple[int, int]], *, end: bool = True) -> Tokens:
    """Pieces of a text by hand, and </s>."""
    labels = [text[a:b] for a, b in spans] + ["</s>"] * end
    special = (False,) * len(spans) + (True,) * end
    ids = tuple(range(4, 4 + len(spans))) + (3,) * end
    return Tokens(text, tuple(labels), ids, tuple(range(len(labels))), (*spans, *[(0, 0)] * end), special)


def cross(weights: np.ndarray, source: Tokens, predicted: Tokens) -> AttentionMap:
    return AttentionMap("cross", weights.astype(np.float32), with_start(predicted), source, predicted)


def test_pieces_become_words_by_hand():
    # "red cars": piece "d ca" covers one character of "red" and two of "cars" (the space counts for neither).
    source = tokens_of("red cars", [(0, 2), (2, 6), (6, 8)])
    predicted = tokens_of("autos", [(0, 2), (2, 5)])
    weights = np.array([[0.1, 0.3, 0.2, 0.4], [0.3, 0.6, 0.0, 0.1], [0.0, 0.0, 0.0, 1.0]])[None, None]
    found = word_map(cross(weights, source, predicted), ["red", "cars"], ["autos"])
    # Rows: red 0.1 + 0.3/3 = 0.2 and 0.3 + 0.6/3 = 0.5; cars 0.2·… = 0.2 + 0.2 = 0.4 and 0.4; then their means.
    assert found.weights == pytest.approx(np.array([[[[0.35, 0.4]]]]), abs=1e-6)
    assert found.kind == "cross" and found.row_labels == ("autos",) and found.key_tokens.labels == ("red", "cars")
    assert found.row_title(0) == "reads <s> → predicts autos"
    assert found.row_tokens.spans == ((0, 5),) and found.row_tokens.text == "autos"


def test_a_row_is_of_the_word_that_it_predicts():
    source, predicted = tokens_of("a b", [(0, 1), (2, 3)]), tokens_of("x y", [(0, 1), (2, 3)])
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])[None, None]
    found = word_map(cross(weights, source, predicted), ["a", "b"], ["x", "y"])
    assert found.weights[0, 0] == pytest.approx(weights[0, 0, :2, :2])  # step 0 reads <s>, predicts x: row 0
    assert found.query_tokens.labels == ("<s>", "x") and found.query_tokens.special == (True, False)
    assert alignment_of(found.weights[0, 0]) == {(0, 0), (1, 1)}


def test_a_row_may_be_of_the_step_that_reads_the_word():
    source, predicted = tokens_of("a b", [(0, 1), (2, 3)]), tokens_of("x y", [(0, 1), (2, 3)])
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3]])[None, None]
    found = word_map(cross(weights, source, predicted), ["a", "b"], ["x", "y"], "reads")
    assert found.weights[0, 0] == pytest.approx(weights[0, 0, 1:, :2])  # step 1 reads x, step 2 reads y
    assert found.row_labels == ("x", "y") and found.predicted_tokens is None


def test_a_lone_word_boundary_belongs_to_the_word_that_begins_there():
    source = tokens_of("a b", [(0, 1), (2, 2), (2, 3)])
    predicted = tokens_of("x", [(0, 0), (0, 1)])
    weights = np.array([[0.1, 0.5, 0.2, 0.2], [0.3, 0.1, 0.2, 0.4], [0, 0, 0, 1.0]])[None, None]
    found = word_map(cross(weights, source, predicted), ["a", "b"], ["x"])
    assert found.weights == pytest.approx(np.array([[[[0.2, 0.5]]]]), abs=1e-6)


def test_a_piece_over_two_target_words_is_in_both():
    source, predicted = tokens_of("a b", [(0, 1), (2, 3)]), tokens_of("l'x", [(0, 3)])
    weights = np.array([[0.3, 0.6, 0.1], [0, 0, 1.0]])[None, None]
    found = word_map(cross(weights, source, predicted), ["a", "b"], ["l'", "x"])
    assert found.weights[0, 0] == pytest.approx(np.array([[0.3, 0.6], [0.3, 0.6]]), abs=1e-6)


def test_word_maps_lose_only_what_special_tokens_get(subwords):
    rng = np.random.default_rng(0)
    for pair in shipped_pairs():
        source = subwords.encode(detokenised(pair.source, "en")[0])
        predicted = subwords.encode(detokenised(pair.target, "fr")[0])
        weights = rng.dirichlet(np.ones(len(source)), size=(2, 3, len(predicted)))
        attention = cross(weights, source, predicted)
        found = word_map(attention, pair.source, pair.target)
        assert found.weights.shape == (2, 3, len(pair.target), len(pair.source))
        assert found.weights.min() >= 0 and found.weights.max() <= 1
        kept = attention.weights[..., :-1].sum(axis=-1)  # </s> is the only special source token
        for j, (start, end) in enumerate(word_spans(predicted.text, pair.target)):
            inside = [(a < end and b > start) or start <= a == b < end for a, b in predicted.spans]
            rows = [i for i, there in enumerate(inside) if there and not predicted.special[i]]
            assert found.weights[:, :, j].sum(axis=-1) == pytest.approx(kept[:, :, rows].mean(axis=-1), abs=1e-5)


def test_a_map_of_another_text_is_refused(subwords):
    source, predicted = subwords.encode("The cat sleeps."), subwords.encode("Le chat dort.")
    attention = cross(np.full((1, 1, len(predicted), len(source)), 1 / len(source)), source, predicted)
    with pytest.raises(InputError, match="words of this very text"):
        word_map(attention, ["The", "dog", "sleeps", "."], ["Le", "chat", "dort", "."])


def test_each_target_word_has_its_best_source_word_and_of_equals_the_first():
    assert alignment_of(np.array([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4], [0.0, 0.0, 0.0]])) == {(1, 0), (0, 1), (0, 2)}


def test_the_diagonal_by_hand():
    assert diagonal(3, 3) == {(0, 0), (1, 1), (2, 2)}
    assert diagonal(2, 4) == {(0, 0), (0, 1), (1, 2), (1, 3)}
    assert diagonal(4, 2) == {(1, 0), (3, 1)}
    assert diagonal(1, 3) == {(0, 0), (0, 1), (0, 2)}


def test_the_diagonal_stays_inside_and_goes_one_way():
    for source, target in product(range(1, 12), range(1, 12)):
        chosen = [s for s, _ in sorted(diagonal(source, target), key=lambda link: link[1])]
        assert len(chosen) == target and chosen == sorted(chosen) and set(chosen) <= set(range(source))


SURE = frozenset({(0, 0), (1, 1), (3, 2)})
POSSIBLE = SURE | {(2, 1), (2, 2)}


def test_alignment_error_rate_by_hand():
    aligned = frozenset({(0, 0), (2, 1), (0, 2)})  # one sure, one possible, one wrong
    assert link_counts(aligned, SURE, POSSIBLE) == (3, 3, 1, 2)
    assert alignment_error_rate(aligned, SURE, POSSIBLE) == pytest.approx(1 - (1 + 2) / (3 + 3))
    counts = np.array(link_counts(aligned, SURE, POSSIBLE))
    assert precisions(counts) == pytest.approx(2 / 3) and recalls(counts) == pytest.approx(1 / 3)


def test_the_ends_of_the_scale():
    assert alignment_error_rate(SURE, SURE, POSSIBLE) == 0
    assert alignment_error_rate(POSSIBLE, SURE, POSSIBLE) == 0, "possible links are never a mistake"
    assert alignment_error_rate(frozenset({(4, 0)}), SURE, POSSIBLE) == 1
    assert alignment_error_rate(SURE, SURE, frozenset()) == 0, "sure links are possible too"
    assert np.isnan(alignment_error_rate(frozenset(), frozenset(), frozenset()))
    assert np.isnan(precisions(np.array((0, 1, 0, 0)))) and np.isnan(recalls(np.array((1, 0, 0, 0))))


def test_without_possible_links_it_is_one_less_the_f_score():
    aligned = frozenset({(0, 0), (1, 1), (0, 2), (2, 3)})
    counts = np.array(link_counts(aligned, SURE, SURE))
    p, r = precisions(counts), recalls(counts)
    assert alignment_error_rate(aligned, SURE, SURE) == pytest.approx(1 - 2 * p * r / (p + r))


def test_a_corpus_rate_is_of_summed_counts():
    counts = np.array([[2, 2, 2, 2], [10, 8, 0, 0]])
    assert error_rates(counts.sum(axis=0)) == pytest.approx(1 - 4 / 22)
    assert error_rates(counts) == pytest.approx([0.0, 1.0])


PAIR = LinkedPair(tuple("abcde"), tuple("xyz"), SURE, POSSIBLE)


def test_heads_are_counted_as_one_by_one():
    weights = np.random.default_rng(0).random((2, 4, 3, 5))
    counts = count_heads(weights, PAIR)
    assert counts.shape == (2, 4, 4)
    for layer, head in product(range(2), range(4)):
        assert tuple(counts[layer, head]) == link_counts(alignment_of(weights[layer, head]), SURE, POSSIBLE)


def test_accuracy_is_of_target_words_that_have_a_link():
    pair = LinkedPair(tuple("abc"), tuple("wxyz"), frozenset({(0, 0)}), frozenset({(0, 0), (1, 2), (2, 2)}), True)
    matrix = np.eye(3)[[0, 2, 2, 0]]  # w-a is right, x has no link, y-c is right, z has no link
    assert given_hits(alignment_of(matrix), pair) == (2, 2)
    assert link_accuracy(np.eye(3)[[1, 2, 1, 0]], pair) == 0.5
    assert np.isnan(link_accuracy(matrix, LinkedPair(pair.source, pair.target, frozenset(), frozenset(), True)))


def test_resampling_is_seeded_and_draws_as_many_pairs():
    draws = resample(7)
    assert draws.shape == (1000, 7) and (draws.sum(axis=1) == 7).all()
    assert np.array_equal(draws, resample(7)) and not np.array_equal(draws, resample(7, seed=1))


def test_an_interval_by_a_closed_form():
    # The share of a fair coin over 400 pairs: standard error 0.025, so the interval is 0.5 ± 0.049. With 1,000 draws a
    # percentile there wanders by about 0.002.
    hits = np.tile([0, 1], 200)
    low, high = interval(resample(400) @ hits / 400)
    assert low == pytest.approx(0.451, abs=0.01) and high == pytest.approx(0.549, abs=0.01)
    low, high = interval(resample(400) @ np.ones((400, 2)) / 400)
    assert low.tolist() == high.tolist() == [1.0, 1.0]
