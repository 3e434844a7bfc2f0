"""BERT's examples: which tokens are masked and how, and which texts make a pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.training.language.masking import (
    CLS,
    IGNORED,
    MASK,
    ORDINARY,
    SEP,
    SHORTEST_PAIR,
    draw_pairs,
    mask_tokens,
)
from engine.training.language.prepared import Stream

VOCABULARY = 5000
# A share counted over n draws lies within five standard errors of the expected one, but once in two million.
ERRORS = 5.0


def within(count: int, of: int, share: float) -> bool:
    return abs(count - of * share) < ERRORS * math.sqrt(of * share * (1 - share))


def counting_stream(sentences: int = 700) -> Stream:
    """Sentences of 3 to 8 tokens, so that each fits; tokens count up from 8, with a line break after four sentences.

    So a token tells its place: the text that goes on after token t begins with t + 1.
    """
    rng = np.random.default_rng(5)
    ids, starts, following = [2], [], ORDINARY
    for number in range(sentences):
        if number and number % 4 == 0:
            ids.append(7)
        starts.append(len(ids))
        long = int(rng.integers(3, 9))
        ids += range(following, following + long)
        following += long
    ids.append(3)
    assert following < VOCABULARY
    return Stream(np.array(ids, dtype=np.uint16), np.array(starts), np.array([0, len(ids)]))


# --- Masking ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, what is shown, and targets, of 200,000 tokens, a fifth of them special, padding or line breaks."""
    rng = np.random.default_rng(1)
    ids = rng.integers(ORDINARY, VOCABULARY, (400, 500))
    special = rng.random(ids.shape) < 0.2
    ids[special] = rng.integers(0, ORDINARY, int(special.sum()))
    before = ids.copy()
    shown, targets = mask_tokens(ids, np.random.default_rng(2), VOCABULARY)
    assert (ids == before).all()
    return ids, shown, targets


def test_fifteen_percent_are_chosen(masked):
    ids, _, targets = masked
    assert within(int((targets != IGNORED).sum()), int((ids >= ORDINARY).sum()), 0.15)


def test_special_tokens_are_never_chosen_nor_changed(masked):
    ids, shown, targets = masked
    special = ids < ORDINARY
    assert special.sum() > 30_000
    assert (targets[special] == IGNORED).all() and (shown[special] == ids[special]).all()


def test_targets_are_the_chosen_tokens_and_nothing_else_changes(masked):
    ids, shown, targets = masked
    chosen = targets != IGNORED
    assert (targets[chosen] == ids[chosen]).all()
    assert (shown[~chosen] == ids[~chosen]).all()


def test_of_the_chosen_most_are_masked_some_random_and_some_stay(masked):
    ids, shown, targets = masked
    chosen = targets != IGNORED
    count = int(chosen.sum())
    hidden, kept = shown[chosen] == MASK, shown[chosen] == ids[chosen]
    assert within(int(hidden.sum()), count, 0.8)
    again = 1 / (VOCABULARY - ORDINARY)  # a random token is sometimes the same
    assert within(int(kept.sum()), count, 0.1 + 0.1 * again)
    random = shown[chosen][~hidden & ~kept]
    assert within(len(random), count, 0.1 * (1 - again))
    # random ones are ordinary tokens, spread evenly: χ² over eight equal parts has a mean of 7, and 45 in 10^7
    assert random.min() >= ORDINARY and random.max() < VOCABULARY
    parts = np.bincount((random - ORDINARY) * 8 // (VOCABULARY - ORDINARY), minlength=8)
    expected = len(random) / 8
    assert ((parts - expected) ** 2 / expected).sum() < 45


def test_masking_is_repeatable(masked):
    ids, shown, targets = masked
    same = mask_tokens(ids, np.random.default_rng(2), VOCABULARY)
    assert (same[0] == shown).all() and (same[1] == targets).all()
    assert (mask_tokens(ids, np.random.default_rng(3), VOCABULARY)[1] != targets).any()


# --- Pairs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream() -> Stream:
    return counting_stream()


def texts(ids: np.ndarray, targets: np.ndarray, segments: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Both texts of each pair with masks undone, after a check of where the special tokens stand."""
    found = []
    for row, wanted, segment in zip(ids, targets, segments, strict=True):
        said = np.where(wanted != IGNORED, wanted, row)
        first_end, end = (int(place) for place in np.flatnonzero(said == SEP))
        assert said[0] == CLS and not said[end + 1 :].any()  # padding
        assert segment.tolist() == [0] * (first_end + 1) + [1] * (end - first_end) + [0] * (len(row) - end - 1)
        first, second = said[1:first_end].tolist(), said[first_end + 1 : end].tolist()
        assert min(first + second) >= ORDINARY
        found.append((first, second))
    return found


@pytest.mark.parametrize("length", [SHORTEST_PAIR, 24, 64])
def test_a_pair_is_two_texts_and_half_of_them_follow(stream, length):
    pairs = draw_pairs(stream, np.random.default_rng(1), 2000, length, VOCABULARY)
    assert pairs.ids.shape == pairs.segments.shape == pairs.targets.shape and pairs.ids.shape[1] <= length
    assert {array.dtype for array in (pairs.ids, pairs.segments, pairs.targets, pairs.following)} == {np.dtype("int64")}
    assert within(int(pairs.following.sum()), 2000, 0.5 + 0.5 / 700)  # and a text at the very end has none after it
    starts = set(stream.ids[stream.sentences].tolist())
    for (first, second), elsewhere in zip(
        texts(pairs.ids, pairs.targets, pairs.segments), pairs.following, strict=True
    ):
        for text in (first, second):
            assert text[0] in starts  # texts begin with a sentence,
            assert text == list(range(text[0], text[0] + len(text)))  # run on without specials and line breaks,
            assert text[-1] + 1 in starts or text[-1] == stream.ids.max()  # and end with one
        after = min((start for start in starts if start > first[-1]), default=0)
        assert (second[0] == after) == (elsewhere == 0)


def test_pairs_differ_in_length_and_use_the_room(stream):
    pairs = draw_pairs(stream, np.random.default_rng(1), 500, 64, VOCABULARY)
    lengths = (pairs.ids != 0).sum(1)
    assert lengths.max() >= 60 and lengths.min() <= 22 and lengths.std() > 8
    assert pairs.ids.shape[1] == lengths.max()  # no column of padding alone


def test_a_sentence_that_does_not_fit_loses_its_end():
    ids = np.array([2, *range(8, 108), *range(108, 208), 3], dtype=np.uint16)
    stream = Stream(ids, np.array([1, 101]), np.array([0, len(ids)]))
    pairs = draw_pairs(stream, np.random.default_rng(0), 50, 32, VOCABULARY)
    for first, second in texts(pairs.ids, pairs.targets, pairs.segments):
        assert first[0] in (8, 108) and second[0] in (8, 108)
        assert 8 <= len(first) <= 14 and 8 <= len(second) <= 15  # half of 29 at most


def test_the_same_seed_draws_the_same_pairs(stream):
    one, same, other = (draw_pairs(stream, np.random.default_rng(seed), 8, 32, VOCABULARY) for seed in (1, 1, 2))
    for name in ("ids", "segments", "targets", "following"):
        assert (getattr(one, name) == getattr(same, name)).all()
    assert one.ids.shape != other.ids.shape or (one.ids != other.ids).any()
