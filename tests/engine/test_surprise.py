"""Surprise: bits, perplexity and bits per character on known odds, unknown characters, long texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import EmptyInput, InputTooLong
from engine.prose import CODE_POINT_BITS
from engine.surprise import LONGEST, PIECE, logprobs_along
from engine.training.language.scores import window_bits
from tests.engine.generators import CONTEXT, GENERATORS, STORY, known_odds, tiny_char_lm, tiny_gpt, tiny_trigram

FLOAT32 = 1e-4  # float32, summed in another order


def test_bits_perplexity_and_bits_per_character_by_hand():
    generator = known_odds({"a": 0.5, "b": 0.25, "c": 0.125, "\n": 0.0625}, 0.0625)
    found = generator.surprise("aab\n\nc")  # normalised: a a b ↵ c
    assert found.tokens.labels == ("a", "a", "b", "↵", "c") and found.characters == 5
    assert found.bits.tolist() == pytest.approx([1, 1, 2, 4, 3], abs=1e-5)
    assert found.bits_per_character == pytest.approx(11 / 5, abs=1e-5)
    assert found.perplexity == pytest.approx(2 ** (11 / 5), abs=1e-4)
    assert found.notes == ()


def test_an_unknown_character_costs_its_token_and_a_code_point():
    generator = known_odds({"a": 0.5, "\n": 0.25}, 0.25)
    found = generator.surprise("a☃☃a")
    assert found.bits.tolist() == pytest.approx([1, 2, 2, 1], abs=1e-5)
    assert found.perplexity == pytest.approx(2**1.5, abs=1e-4), "perplexity is of tokens alone"
    assert found.bits_per_character == pytest.approx((6 + 2 * math.log2(1_114_112)) / 4, abs=1e-5)
    assert "2 tokens are unknown" in found.notes[0] and "20.1 bits for each of the 2 characters" in found.notes[0]


@pytest.mark.parametrize("make", [tiny_gpt, tiny_trigram])
def test_unknown_words_are_spelled_with_the_space_before_them(make):
    generator = make()
    found = generator.surprise("The cat ☃☃")
    spelled = round((found.bits_per_character * found.characters - float(found.bits.sum())) / CODE_POINT_BITS)
    assert spelled == (2 if make is tiny_gpt else len([1 for label in found.tokens.labels if label == "☃"]) + 1)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_surprise_of_a_token_is_that_of_the_step_that_could_have_said_it(name):
    generator = GENERATORS[name]()
    found = generator.surprise("The cat sat on the mat.")
    from engine.decoding.options import SampleOptions

    for place, token in enumerate(found.tokens.ids):
        choices = generator.next_token("", found.tokens.ids[:place], SampleOptions(), 10**6).choices
        before = next(one.before for one in choices if one.token == token)
        assert found.bits[place] == pytest.approx(-math.log2(before), abs=1e-3)


def test_a_text_longer_than_the_context_is_read_in_windows_as_scores_are():
    """The windows of a book's score (engine.training.language.scores), and one by one with what is seen there."""
    generator = tiny_gpt()
    found = generator.surprise(STORY)
    ids = np.array([generator.front, *found.tokens.ids])
    assert len(ids) > 4 * CONTEXT
    np.testing.assert_allclose(found.bits, window_bits(generator.model, ids), atol=FLOAT32 * 10)
    for place in (0, CONTEXT - 1, CONTEXT, CONTEXT + 3, len(ids) - 2):
        prefix = tuple(found.tokens.ids[:place])
        state = generator.steps.encode(generator.tensor((generator.front, *prefix)[:-1]))
        logprobs, after = generator.steps.step(state, generator.tensor((generator.front, *prefix)[-1:])[0])
        assert found.bits[place] == pytest.approx(-float(logprobs[0, found.tokens.ids[place]]) / math.log(2), abs=1e-3)
        assert place < CONTEXT or after.seen.shape[1] > CONTEXT // 2
    assert f"sees {CONTEXT} at once" in found.notes[0] and f"at least {CONTEXT // 2 + 1} before it" in found.notes[0]


def test_a_recurrent_network_reads_on_from_piece_to_piece():
    generator = tiny_char_lm()
    text = STORY * 3
    assert len(text) > 2 * PIECE
    ids = (generator.front, *generator.tokenizer.encode(text).ids)
    shares: list[float] = []
    found = logprobs_along(generator, ids, shares.append)
    at_once = generator.model(generator.tensor(ids[:-1]))[0].log_softmax(-1)
    expected = at_once.gather(1, generator.tensor(ids[1:]).T)[:, 0]
    np.testing.assert_allclose(found, expected, atol=FLOAT32)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == math.ceil((len(ids) - 1) / PIECE)


def test_counts_are_asked_for_the_probability_of_each_word():
    generator = tiny_trigram()
    found = generator.surprise(STORY)
    bits = -np.log2(generator.model.probabilities(found.tokens.ids))
    np.testing.assert_allclose(found.bits, bits, rtol=1e-6)
    assert found.bits_per_character == pytest.approx(bits.sum() / len(STORY))


def test_texts_that_cannot_be_used():
    generator = tiny_gpt()
    with pytest.raises(EmptyInput, match="Paste one"):
        generator.surprise(" \n")
    with pytest.raises(EmptyInput, match="Paste one"):  # subwords take the mark for a space
        generator.surprise("▁")
    with pytest.raises(InputTooLong, match="Shorten it"):
        generator.surprise("a" * (LONGEST + 1))
    with pytest.raises(InputTooLong, match="Shorten it"):  # however little is left of it
        generator.surprise("a" + " " * 10 * LONGEST)
    assert len(logprobs_along(generator, (generator.front,))) == 0
