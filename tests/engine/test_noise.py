"""BART's five noises on words and sentences."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cloze_text import MASK
from engine.errors import EmptyInput, InputError, InputTooLong
from engine.noise import LONGEST, NOISES, Noised, noise

TEXT = "The animal didn't cross the street. It was too tired, said the old man. Nobody knew why!"
WORDS = 17
SEEDS = range(40)


def undone(noised: Noised) -> str:
    """The text with every change taken back, where it was put into a text whose words are in place."""
    parts, at = [], 0
    for change in noised.changes:
        assert noised.original[slice(*change.span)] == change.original
        parts += [noised.original[at : change.span[0]], change.put or ""]
        at = change.span[1]
    return "".join([*parts, noised.original[at:]])


def words_of(text: str) -> list[str]:
    return text.replace(",", "").replace(".", "").replace("!", "").split()


@pytest.mark.parametrize("kind", NOISES)
def test_a_seed_gives_one_noise_and_seeds_differ(kind):
    assert noise(TEXT, kind, 3) == noise(TEXT, kind, 3)
    assert len({noise(TEXT, kind, seed).text for seed in SEEDS}) > 3
    assert all(noise(TEXT, kind, seed).text != TEXT for seed in SEEDS)


@pytest.mark.parametrize(("share", "count"), [(0.3, 5), (0.5, 8), (0.001, 1), (1, WORDS)])
def test_masking_replaces_a_share_of_the_words_each_by_one_mask(share, count):
    for seed in SEEDS:
        noised = noise(TEXT, "mask", seed, share)
        assert noised.text.count(MASK) == len(noised.changes) == count
        assert noised.text == undone(noised)
        assert all(change.put == MASK and change.original in words_of(TEXT) for change in noised.changes)


@pytest.mark.parametrize(("share", "count"), [(0.3, 5), (0.001, 1), (1, WORDS - 1)])
def test_deletion_leaves_no_trace_of_a_share_of_the_words(share, count):
    for seed in SEEDS:
        noised = noise(TEXT, "delete", seed, share)
        assert len(noised.changes) == count
        assert Counter(words_of(noised.text)) == Counter(words_of(TEXT)) - Counter(c.original for c in noised.changes)
        assert not any(space in noised.text for space in ("  ", " ,", " .", " !"))


def test_every_word_is_as_likely_to_be_masked():
    counts = Counter(change.span for seed in range(1000) for change in noise(TEXT, "mask", seed, 0.3).changes)
    expected, spread = 1000 * 5 / WORDS, (1000 * 5 / WORDS * (1 - 5 / WORDS)) ** 0.5
    assert len(counts) == WORDS
    assert max(abs(count - expected) for count in counts.values()) < 4 * spread  # binomial


def test_infilling_replaces_each_span_by_one_mask_and_takes_a_share_of_the_words():
    for seed in SEEDS:
        noised = noise(TEXT, "infill", seed, 0.5)
        assert noised.text == undone(noised)
        assert noised.text.count(MASK) == len(noised.changes)
        assert sum(len(words_of(change.original)) for change in noised.changes) == 8
        for change in noised.changes:
            count = len(words_of(change.original))
            said = f"one {MASK} for {count} word{'s' * (count > 1)}" if count else "where no word is missing"
            assert change.done.endswith(said)


def test_infilled_spans_are_poisson_in_length_and_some_have_no_words():
    long = "word " * 400
    spans = [change for seed in range(60) for change in noise(long, "infill", seed, 0.05).changes]
    lengths = np.array([len(change.original.split()) for change in spans])
    # 20 words a text: the last span is cut to what is left, so that the mean is somewhat below 3.
    assert 2 < lengths.mean() < 3
    assert 0.01 < (lengths == 0).mean() < 0.12  # e⁻³ = 0.05 of the draws
    assert lengths.max() > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_rotation_begins_at_a_word_and_keeps_all(seed):
    noised = noise(TEXT, "rotate", seed)
    (change,) = noised.changes
    assert noised.text == f"{TEXT[len(change.original) + 1 :]} {change.original}"
    assert change.put is None and TEXT.startswith(change.original) and change.span == (0, len(change.original))


@pytest.mark.parametrize("seed", SEEDS)
def test_shuffling_keeps_every_sentence(seed):
    noised = noise(TEXT, "shuffle", seed)
    assert " ".join(change.original for change in noised.changes) == noised.text
    assert " ".join(c.original for c in sorted(noised.changes, key=lambda change: change.span)) == TEXT
    assert all(TEXT[slice(*change.span)] == change.original for change in noised.changes)


def test_two_sentences_are_swapped_and_the_change_says_so():
    noised = noise("One came. Two went.", "shuffle", 7)
    assert noised.text == "Two went. One came."
    assert [change.done for change in noised.changes] == ["sentence 2 is now number 1", "sentence 1 is now number 2"]


def test_the_text_is_normalised_first():
    assert noise("One\n\ncame.  Two went.", "shuffle").original == "One came. Two went."


@given(st.text(alphabet="ab '-.,\"é1_", max_size=40), st.sampled_from(NOISES), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_any_text_is_changed_or_refused_with_a_reason(text, kind, seed):
    try:
        noised = noise(text, kind, seed)
    except InputError as error:
        assert "Type" in str(error)
    else:
        assert noised.changes
        if kind in ("mask", "infill"):
            assert noised.text == undone(noised)
        if kind in ("rotate", "shuffle"):
            assert Counter(noised.text.replace(" ", "")) == Counter(noised.original.replace(" ", ""))


@pytest.mark.parametrize("kind", NOISES)
def test_bad_input_says_what_to_do(kind):
    with pytest.raises(EmptyInput, match="Type a sentence"):
        noise(" .,! ", kind)
    with pytest.raises(InputError, match=r"has a \[MASK\] already.*Put a word in its place"):
        noise("The [mask] was old. It sat.", kind)
    with pytest.raises(InputTooLong, match="Shorten it"):
        noise("a" * (LONGEST + 1), kind)
    with pytest.raises(InputError, match="A seed is 0 or more"):
        noise(TEXT, kind, -1)
    for share in (0, 1.1, float("nan")):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            noise(TEXT, kind, 0, share)


def test_too_few_words_or_sentences_say_how_many_are_needed():
    with pytest.raises(InputError, match="Type at least two"):
        noise("Hello!", "delete")
    with pytest.raises(InputError, match="Type at least two"):
        noise("Hello!", "rotate")
    with pytest.raises(InputError, match="Type two sentences"):
        noise("Mr. Brown came.", "shuffle")
    with pytest.raises(InputError, match="Choose one of: mask, delete, infill, rotate, shuffle"):
        noise(TEXT, "melt")
    assert noise("Hello!", "mask").text == f"{MASK}!"
