"""What "it" refers to: places and margins on a trace made by hand, and the fork at which an output decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.coreference import (
    KEEPS,
    Decision,
    Places,
    find_decision,
    fork_of,
    keeps_preference,
    margins,
    places,
    pronoun_span,
    said_pronoun,
)
from engine.errors import InputError, UnknownCharacters
from engine.text import BOUNDARY, END, START, Subwords, with_start, word_indices
from engine.types import KINDS, AttentionMap, Kind, Tokens, Trace, TraceRequest


def tokens(pieces: Sequence[str]) -> Tokens:
    """Tokens of pieces as a tokenizer gives them, </s> after them."""
    spans, text = [], ""
    for piece in pieces:
        text += " " if piece.startswith(BOUNDARY) and text else ""
        spans.append((len(text), len(text) + len(piece.removeprefix(BOUNDARY))))
        text += piece.removeprefix(BOUNDARY)
    words = word_indices(pieces)
    labels = (*(piece.removeprefix(BOUNDARY) for piece in pieces), "</s>")
    ids = (*range(10, 10 + len(pieces)), END)
    special = (False,) * len(pieces) + (True,)
    return Tokens(text, labels, ids, (*words, words[-1] + 1), (*spans, (0, 0)), special)


#                 0      1      2     3          4      5         6         7     8      9
SOURCE = tokens(("▁The", "▁ani", "mal", "▁crossed", "▁the", "▁street", "▁because", "▁it", "▁was", "▁late"))
#                  0    1    2      3      4     5            6      7      8       9      10       11
PREDICTED = tokens(("▁L", "'", "ani", "mal", "▁a", "▁traversé", "▁la", "▁rue", "▁car", "▁il", "▁était", "▁tard"))
LOOKS = {  # step: (source position, weight); the rest of a row is on </s>
    0: (1, 0.9),  # "L'" looks at the animal most of all, but is an article
    2: (1, 0.5),
    3: (2, 0.6),
    4: (2, 1.0),  # "a" too is no noun
    5: (3, 0.8),
    6: (5, 1.0),  # "la": an article
    7: (5, 0.7),
    10: (1, 1.0),  # after the pronoun
    11: (5, 1.0),
}


def trace_of(source: Tokens, predicted: Tokens, maps: dict[Kind, np.ndarray]) -> Trace:
    read = with_start(predicted)
    axes = {"encoder": (source, source, None), "decoder": (read, read, predicted), "cross": (read, source, predicted)}
    request = TraceRequest("hand@0", source.text, predicted.text, 192)
    made = {kind: AttentionMap(kind, maps[kind].astype(np.float32), *axes[kind]) for kind in KINDS}
    return Trace(request, source, read, predicted, predicted.text, made, np.zeros(len(predicted), np.float32))


def by_hand(source: Tokens = SOURCE, predicted: Tokens = PREDICTED, looks=LOOKS) -> Trace:
    """Two layers of two heads; cross heads look as told, one more and one less: the mean is what counts."""
    rng = np.random.default_rng(0)
    long, wide = len(source), len(predicted)
    encoder = rng.dirichlet(np.ones(long), size=(2, 2, long))
    decoder = np.tril(rng.random((2, 2, wide, wide)))
    cross = np.zeros((2, 2, wide, long))
    cross[..., -1] = 1
    for step, (position, weight) in looks.items():
        more = min(weight, 1 - weight) / 2
        cross[:, :, step, position] = np.array([[weight, weight], [weight + more, weight - more]])
        cross[:, :, step, -1] = 1 - cross[:, :, step, position]
    if 5 in looks:
        cross[0, 0, 5] = np.eye(long)[1]  # one head that looks at the animal from a verb outweighs no mean
    return trace_of(source, predicted, {"encoder": encoder, "decoder": decoder, "cross": cross})


def span(text: str, word: str) -> tuple[int, int]:
    return text.index(word), text.index(word) + len(word)


ANIMAL, STREET, IT = (span(SOURCE.text, word) for word in ("animal", "street", "it"))
IL = span(PREDICTED.text, "il")
WHERE = Places((7,), (1, 2), (5,), (9,), (3, 4), (8,))


# --- Places -----------------------------------------------------------------------------------------------------------


def test_places_of_pieces_and_of_the_french_nouns_that_look_at_them():
    """Articles, one-letter words and what is said after the pronoun are no nouns, however much they look."""
    assert places(by_hand(), IT, (ANIMAL, STREET), IL) == WHERE
    assert places(by_hand(), IT, (STREET, ANIMAL), IL) == replace(
        WHERE, first=(5,), second=(1, 2), first_read=(8,), second_read=(3, 4)
    )


def test_the_french_nouns_are_read_a_step_after_they_are_said():
    read = by_hand().read
    assert "".join(read.labels[i] for i in WHERE.first_read) == "animal"
    assert [read.labels[i] for i in WHERE.second_read] == ["rue"]


def test_french_nouns_may_be_marked_instead():
    said = (span(PREDICTED.text, "traversé"), span(PREDICTED.text, "animal"))
    assert places(by_hand(), IT, (ANIMAL, STREET), IL, said) == replace(WHERE, first_read=(6,), second_read=(3, 4))
    last = places(by_hand(), IT, (ANIMAL, STREET), IL, (None, span(PREDICTED.text, "tard")))
    assert (last.first_read, last.second_read) == ((), (12,))


def test_one_word_that_looks_at_both_speaks_for_neither():
    found = places(by_hand(looks={2: (1, 0.5), 3: (5, 0.5)}), IT, (ANIMAL, STREET), IL)
    assert (found.first_read, found.second_read) == ((), ())
    assert found.missing("decoder") and not found.missing("cross")


def test_what_is_not_marked_is_not_there():
    nothing = places(by_hand(), None, (None, None), None)
    assert nothing == Places((), (), ())
    assert places(by_hand(), IT, (ANIMAL, None), IL) == replace(WHERE, second=(), second_read=())
    assert places(by_hand(), IT, (ANIMAL, STREET), None) == Places((7,), (1, 2), (5,))


def test_a_pronoun_with_no_word_before_it_has_no_nouns_read():
    found = places(by_hand(), IT, (ANIMAL, STREET), span(PREDICTED.text, "L'"))
    assert found.steps == (0, 1) and found.first_read == found.second_read == ()


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"pronoun": ()}, "encoder", "No pronoun is marked in the English sentence."),
        ({"steps": ()}, "decoder", "No pronoun is marked in the French sentence."),
        ({"steps": ()}, "cross", "No pronoun is marked in the French sentence."),
        ({"first": ()}, "encoder", "Candidate A was not found in the English sentence."),
        ({"second": ()}, "cross", "Candidate B was not found in the English sentence."),
        ({"second_read": ()}, "decoder", "Candidate B was not found in the output before it."),
    ],
)
def test_a_sentence_says_what_is_missing_and_its_margins_are_not_numbers(changes, kind, sentence):
    where = replace(WHERE, **changes)
    assert where.missing(kind) == sentence
    found = margins(by_hand(), where)
    assert np.isnan(found[kind]).all() and found[kind].shape == (2, 2)
    for other in KINDS:
        assert np.isnan(found[other]).all() == bool(where.missing(other))
        assert np.isnan(found[other]).any() == np.isnan(found[other]).all()


# --- Margins ----------------------------------------------------------------------------------------------------------


def test_margins_by_hand():
    """Sums over a candidate's pieces, from the row that looks: English for the encoder, French for the others."""
    trace = by_hand()
    encoder, decoder = trace.maps["encoder"].weights, trace.maps["decoder"].weights
    found = margins(trace, WHERE)
    expected = {
        "encoder": encoder[:, :, 7, 1] + encoder[:, :, 7, 2] - encoder[:, :, 7, 5],
        "decoder": decoder[:, :, 9, 3] + decoder[:, :, 9, 4] - decoder[:, :, 9, 8],
        "cross": np.zeros((2, 2)),  # the step that says "il" looks at </s> alone
    }
    for kind in KINDS:
        assert found[kind].dtype == np.float32 and found[kind].shape == (2, 2)
        np.testing.assert_allclose(found[kind], expected[kind], rtol=0, atol=2e-7)  # three float32 numbers up to 1
    looking = margins(by_hand(looks=LOOKS | {9: (5, 0.75)}), WHERE)["cross"]
    assert looking.tolist() == [[-0.75, -0.75], [-0.875, -0.625]]


def test_a_pronoun_of_two_pieces_has_the_mean_of_its_rows():
    trace = by_hand()
    rows = [margins(trace, replace(WHERE, pronoun=(row,)))["encoder"] for row in (7, 8)]
    both = margins(trace, replace(WHERE, pronoun=(7, 8)))["encoder"]
    np.testing.assert_allclose(both, (rows[0] + rows[1]) / 2, rtol=0, atol=2e-7)  # float32 numbers up to 1
    assert np.abs(rows[0] - rows[1]).max() > 0.01


def test_the_other_candidate_first_turns_every_margin_round():
    trace = by_hand(looks=LOOKS | {9: (5, 0.75)})
    one, other = (margins(trace, places(trace, IT, pair, IL)) for pair in ((ANIMAL, STREET), (STREET, ANIMAL)))
    for kind in KINDS:
        assert np.array_equal(one[kind], -other[kind])  # the same two sums, subtracted the other way round
        assert np.abs(one[kind]).max() > 0.01


def test_a_preference_is_kept_on_the_same_side_and_large_enough():
    first = np.array([[0.5, 0.5, -0.5, 0.04], [0.05, 0.0, np.nan, -0.06]])
    second = np.array([[0.1, -0.1, -0.1, 0.9], [0.05, 0.0, 0.5, -0.05]])
    assert KEEPS == 0.05
    assert keeps_preference(first, second).tolist() == [[True, False, True, False], [True, False, False, True]]
    assert np.array_equal(keeps_preference(first, second), keeps_preference(second, first))


# --- The fork ---------------------------------------------------------------------------------------------------------


def ways(tokenizer: Subwords, decision: Decision) -> list[tuple[int, ...]]:
    return [tokenizer.encode(decision.said(word), end=False).ids for word in decision.words]


@pytest.mark.parametrize(
    ("prefix", "words", "said", "pieces"),
    [
        # "il" is one piece and "elle" two: the fork is at their first
        ("Elle dort car", ("il", "elle"), "Elle dort car il", ("il", "e")),
        # no space after an apostrophe, where both are single pieces
        ("parce qu'", ("il", "elle"), "parce qu'il", ("il", "elle")),
        # the words may bring what they share: the fork comes after it
        ("parce", ("qu'il", "qu'elle"), "parce qu'il", ("il", "elle")),
        ("est-", ("il", "elle"), "est-il", ("il", "elle")),
        # the same beginning of two words, in pieces that differ only later
        ("car elle était", ("fatigué", "fatiguée"), "car elle était fatigué", ("gué", "gu")),
        # the very beginning, and spaces and quotes that a user types
        ("", ("Le", "La"), "Le", ("Le", "La")),
        ("  parce   qu’ ", (" il ", "elle"), "parce qu'il", ("il", "elle")),
    ],
)
def test_the_fork_is_where_the_two_ways_first_differ(subwords, prefix, words, said, pieces):
    decision = Decision(prefix, words)
    fork = fork_of(subwords, decision)
    assert decision.said(words[0]) == said
    assert (subwords.label_of(fork.first), subwords.label_of(fork.second)) == pieces
    assert fork.prefix[0] == START
    for way, piece in zip(ways(subwords, decision), (fork.first, fork.second), strict=True):
        assert way[: len(fork.prefix)] == (*fork.prefix[1:], piece)


def test_the_other_word_first_turns_the_fork_round(subwords):
    one, other = (fork_of(subwords, Decision("car", pair)) for pair in (("il", "elle"), ("elle", "il")))
    assert (one.prefix, one.first, one.second) == (other.prefix, other.second, other.first)


@pytest.mark.parametrize("words", [("il", "ils"), ("ils", "il"), ("vieux", "vieux pont"), ("il", "il"), ("日", "本")])
def test_a_word_that_begins_the_other_is_refused(subwords, words):
    with pytest.raises(InputError, match="Choose two words of which neither begins the other") as error:
        fork_of(subwords, Decision("car", words))
    assert all(f"“{word}”" in str(error.value) for word in words)


@pytest.mark.parametrize("words", [("", "elle"), ("il", "  "), ("il", "\u200b")])
def test_an_empty_word_is_refused(subwords, words):
    with pytest.raises(InputError, match="for example il and elle"):
        fork_of(subwords, Decision("car", words))


def test_words_that_the_model_cannot_read_are_refused(subwords):
    with pytest.raises(UnknownCharacters, match="Latin alphabet"):
        fork_of(subwords, Decision("", ("日", "elle")))


def said(*pieces: str) -> Trace:
    return by_hand(predicted=tokens(pieces), looks={})


@pytest.mark.parametrize(
    ("french", "expected"),
    [
        ("L'animal dort car il est las.", "il"),
        ("Elle dort.", "Elle"),
        ("Est-il là ?", "il"),
        ("parce qu'elle dort", "elle"),
        ("Il y a un chat et elle dort.", "elle"),  # "il y a" stands for nothing
        ("Il n'y a pas de chat.", None),
        ("Ils dorment, elles aussi.", None),
        ("", None),
    ],
)
def test_the_first_pronoun_of_a_text(french, expected):
    found = pronoun_span(french)
    assert (french[slice(*found)] if found else None) == expected


def test_a_pronoun_decides_after_what_the_first_translation_says():
    first = said("▁Le", "▁chat", "▁dort", "▁car", "▁il", "▁rêve")
    second = said("▁La", "▁rue", "▁plaît", "▁car", "▁elle", "▁brille")
    neither = said("▁Le", "▁chat", "▁rêve")
    assert find_decision(first, second) == Decision("Le chat dort car", ("il", "elle"))
    assert find_decision(neither, second) == Decision("La rue plaît car", ("il", "elle"))
    joined = said("▁par", "ce", "▁qu", "'", "elle", "▁dort")
    assert find_decision(joined, first) == Decision("parce qu'", ("il", "elle"))


def test_ils_and_elles_decide_where_neither_says_il_or_elle():
    first = said("▁Les", "▁chats", "▁dorment", "▁car", "▁ils", "▁rêvent")
    second = said("▁Les", "▁rues", "▁plaisent", "▁car", "▁elles", "▁brillent")
    assert find_decision(first, second) == Decision("Les chats dorment car", ("ils", "elles"))
    assert find_decision(said("▁Elles", "▁rêvent"), said("▁Le", "▁chat")) == Decision("", ("Ils", "Elles"))
    singular = said("▁Le", "▁chat", "▁dort", "▁car", "▁il", "▁rêve")
    assert find_decision(first, singular) == Decision("Le chat dort car", ("il", "elle"))


def test_the_pronoun_that_looks_at_the_english_one_is_the_one_that_decides():
    """Of "he" and "it" in one sentence, the second is asked for; nothing else says which "il" is meant."""
    trace = said("▁Il", "▁dit", "▁car", "▁elle", "▁rêve")
    weights = np.full_like(trace.maps["cross"].weights, 0.1)
    weights[:, :, 3, 0] = 0.5  # the step that says "elle" looks at source position 0
    looking = replace(trace, maps={**trace.maps, "cross": replace(trace.maps["cross"], weights=weights)})
    assert said_pronoun(looking, (0,)) == (11, 15)
    assert said_pronoun(looking) == said_pronoun(looking, ()) == (0, 2)
    assert find_decision(looking, looking, ((11, 15), (11, 15))) == Decision("Il dit car", ("il", "elle"))
    assert find_decision(looking, looking, ((7, 15), None)) == Decision("Il dit car", ("il", "elle"))
    assert find_decision(looking, looking) == Decision("", ("Il", "Elle"))
    assert said_pronoun(said("▁Le", "▁chat")) is None


def test_without_a_pronoun_the_first_words_that_differ_decide():
    first = said("▁Le", "▁ch", "at", "▁dort", "▁bien")
    second = said("▁Le", "▁ch", "ien", "▁dort")
    assert find_decision(first, second) == Decision("Le", ("chat", "chien"))
    assert find_decision(second, first) == Decision("Le", ("chien", "chat"))
    assert find_decision(said("▁Un", "▁chat"), said("▁Le", "▁chat")) == Decision("", ("Un", "Le"))


def test_equal_translations_decide_nothing():
    first = said("▁Le", "▁chat", "▁dort")
    assert find_decision(first, first) is None
    assert find_decision(first, said("▁Le", "▁chat", "▁dort", "▁bien")) is None, "the end is no word to compare"


def test_a_decision_found_is_a_fork_that_the_model_can_be_asked_about(tiny_runner):
    first = tiny_runner.trace("The cat sleeps.", "Le chat dort car il rêve.")
    second = tiny_runner.trace("The cat sleeps.", "La rue dort car elle rêve.")
    decision = find_decision(first, second)
    assert decision == Decision("Le chat dort car", ("il", "elle"))
    fork = fork_of(tiny_runner.tokenizer, decision)
    step = places(first, None, (None, None), pronoun_span(first.translation)).steps[0]
    assert fork.prefix == first.read.ids[: step + 1] and fork.first == first.predicted.ids[step]
