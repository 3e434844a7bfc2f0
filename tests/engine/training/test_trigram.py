"""Counting against brute force, pruning, discounts, spelling, bits per character, a whole run."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from engine.errors import ConfigError, EmptyInput, InputError, InputTooLong
from engine.models.trigram import Trigram
from engine.training import trigram as training
from engine.training.spelling import END, OUTCOMES, START, Speller, speller_of
from engine.training.trigram import (
    BITS,
    TrigramTraining,
    bits_per_character,
    count_text,
    count_tokens,
    count_words,
    discounts_of,
    full_trigram,
    prune,
    train_trigram,
)
from engine.words import UNKNOWN, Words, split_words

SUBJECTS, VERBS, OBJECTS = (
    ("The cat", "A dog", "Our aunt"),
    ("saw", "ate", "sang to"),
    ("a fish", "the moon", "Mr. Fox"),
)
BOOKS = [
    "\n".join(f"{who} {does} {what}. So it was!" for who, does, what in product(SUBJECTS, VERBS, OBJECTS)),
    "It was a dark night, and the cat saw a fish.\nThe cat ate a fish. It was the end.",
]


def vocabulary(least: int = 2) -> Words:
    return Words.of_counts(count_tokens(BOOKS), 1000, least)


def ring(words: Words) -> list[int]:
    """All ids, a break before each book."""
    return words.ids_of([token for book in BOOKS for token in ("\n", *split_words(book))]).tolist()


def unpacked(keys: np.ndarray, length: int) -> list[tuple[int, ...]]:
    return [tuple(int(key) >> BITS * place & (1 << BITS) - 1 for place in reversed(range(length))) for key in keys]


# --- Counting ---------------------------------------------------------------------------------------------------------


def test_triples_are_those_of_brute_force():
    words = vocabulary()
    ids = ring(words)
    expected = Counter(zip(ids, ids[1:] + ids[:1], ids[2:] + ids[:2], strict=True))
    counts = count_words(BOOKS, words)
    assert dict(zip(unpacked(counts.triples, 3), counts.counts.tolist(), strict=True)) == expected
    assert UNKNOWN in ids and (np.diff(counts.triples) > 0).all()


def test_the_full_table_is_that_of_brute_force():
    words = vocabulary()
    ids = ring(words)
    table = full_trigram(count_words(BOOKS, words), words).table
    pairs = Counter(zip(ids, ids[1:] + ids[:1], strict=True))
    triples = set(zip(ids, ids[1:] + ids[:1], ids[2:] + ids[:2], strict=True))
    named = list(zip(table.pair_firsts.tolist(), table.pair_seconds.tolist(), strict=True))
    assert dict(zip(named, table.pair_counts.tolist(), strict=True)) == pairs
    assert table.word_counts.tolist() == [ids.count(word) for word in range(len(words))]
    before = Counter((second, third) for _, second, third in triples)
    assert table.pair_left.tolist() == [before[pair] for pair in named], "different words before each pair"
    assert table.word_left.tolist() == [len({a for a, b in pairs if b == word}) for word in range(len(words))]
    for row in range(len(words)):
        assert table.word_totals[row] == sum(count for (first, _), count in before.items() if first == row)
    sums = np.bincount(table.triple_pairs, weights=table.triple_counts)
    np.testing.assert_array_equal(sums, table.pair_counts)


def test_sentences_begin_after_full_stops_quotations_and_breaks():
    text = 'He ran. "Go!" She (Dr. Who) ran. so. A 1. 2 of "us." Yes.\n"Oh," Tom said.'
    words = Words.of_counts(count_tokens([text]), 100)
    counts = count_words([text], words)
    found = {tuple(words.vocabulary[i] for i in pair) for pair in unpacked(counts.starts, 2)}
    assert found == {
        (" He", " ran"), (' "', "Go"), (" She", " ("), (" A", " 1"), (" 2", " of"), (" Yes", "."), (' "', "Oh"),
    }  # fmt: skip


# --- Pruning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least_pair", "least_triple"), [(1, 2), (2, 2), (3, 2), (4, 4), (99, 99)])
def test_pruning_leaves_frequent_counts_and_honest_totals(least_pair, least_triple):
    words = vocabulary()
    counts = count_words(BOOKS, words)
    full, table = full_trigram(counts, words).table, prune(counts, words, least_pair, least_triple).table
    np.testing.assert_array_equal(table.triple_counts, counts.counts[counts.counts >= least_triple])
    np.testing.assert_array_equal(table.word_counts, full.word_counts)
    kept = np.isin(full.pair_keys, table.pair_keys)
    np.testing.assert_array_equal(table.pair_counts, full.pair_counts[kept])
    begins = np.isin(full.pair_keys, table.pair_keys[table.triple_pairs])
    np.testing.assert_array_equal(kept, (full.pair_counts >= least_pair) | begins)
    # What the triples leave is one of each that is kept, and all of the others: nothing is lost.
    left_out = counts.counts[counts.counts < least_triple].sum()
    assert table.word_totals.sum() == len(table.triple_counts) + left_out
    assert (table.word_totals >= np.bincount(table.pair_firsts, table.pair_left, len(words))).all()


def test_a_table_without_pairs_is_the_words_before_counted():
    words = vocabulary()
    model = prune(count_words(BOOKS, words), words, 99, 99)
    rows = model.distributions(np.array([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(rows[0], rows[1])
    discount = np.array([0.0, *model.config.discounts[2]])
    shares = np.array(ring(words))
    counts = np.bincount(shares, minlength=len(words))
    taken = discount[np.minimum(counts, 3)]
    np.testing.assert_allclose(rows[0], (counts - taken + taken.sum() / len(words)) / len(shares), rtol=1e-12)


def test_discounts_by_hand():
    counts = np.repeat([1, 2, 3, 4, 9], [100, 40, 20, 10, 5])  # Y = 100 / 180
    expected = (1 - 2 * (5 / 9) * 0.4, 2 - 3 * (5 / 9) * 0.5, 3 - 4 * (5 / 9) * 0.5)
    np.testing.assert_allclose(discounts_of(counts), expected)
    assert discounts_of(np.array([1, 1, 2])) == (0.5, 0.5, 0.5)
    assert discounts_of(np.array([1, 1, 2, 2, 5])) == (1 / 3, 1 / 3, 1 / 3)
    assert discounts_of(np.array([7, 7])) == (0.5, 0.5, 0.5)
    for seed in range(20):
        drawn = discounts_of(np.random.default_rng(seed).zipf(1.7, 300))
        assert all(0 < value <= seen for seen, value in enumerate(drawn, 1))


# --- A text of one's own ----------------------------------------------------------------------------------------------


def test_a_text_of_ones_own_is_counted_in_full():
    words, model = count_text("\n\n".join(BOOKS[0].split("\n")))
    assert UNKNOWN not in words.encode_ids(BOOKS[0])
    found = model.continuations(words.id_of(" So"), words.id_of(" it"), 3)
    assert found.pairs == ((words.id_of(" was"), 27),) and found.total == 27


def test_a_long_text_leaves_out_triples_seen_once(monkeypatch):
    monkeypatch.setattr(training, "PRUNED_FROM", 100)
    model = count_text(" ".join(BOOKS))[1]
    assert model.table.triple_counts.min() == 2 and model.table.pair_counts.min() == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", EmptyInput, "The text is empty"),
        (" \n\n ", EmptyInput, "Give a text"),
        ("word " * 99, InputError, "has 99 words.*100 at least.*longer"),
        ("a" * 10_000_001, InputTooLong, "10,000,001 characters; 10,000,000 is the most.*part"),
    ],
)
def test_what_cannot_be_counted_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        count_text(text)
    assert len(count_text("word " * 100)[0]) == 3


# --- Bits per character -----------------------------------------------------------------------------------------------


def test_spelling_by_hand():
    speller = Speller(["ab", "b"], order=2)
    floor = 1 / OUTCOMES
    single = {"a": (1 + 3 * floor) / 8, "b": (2 + 3 * floor) / 8, END: (2 + 3 * floor) / 8}  # 5 seen, 3 different
    assert speller.probability("b", f"{START}a") == pytest.approx((1 + single["b"]) / 2, rel=1e-12)
    assert speller.probability("a", START) == pytest.approx((1 + 2 * single["a"]) / 4, rel=1e-12)
    assert speller.probability("z", f"{START}z") == pytest.approx(3 * floor / 8, rel=1e-12), "an unseen context"
    by_hand = (1 + 2 * single["b"]) / 4 * (2 + single[END]) / 3
    assert speller.bits("b") == pytest.approx(-math.log2(by_hand), rel=1e-12)


@pytest.mark.parametrize("before", ["", "a", "ab", "ba", "abab", "zz", "az"])
@pytest.mark.parametrize("order", [1, 3, 5])
def test_what_may_come_next_sums_to_1(before, order):
    speller = Speller(["ab", "abba", "b", "cab"], order)
    seen = [speller.probability(character, START + before) for character in ("a", "b", "c", END)]
    unseen = speller.probability("z", START + before)
    assert unseen > 0 and sum(seen) + (OUTCOMES - 4) * unseen == pytest.approx(1, abs=1e-9)  # a million additions


def test_words_of_a_small_alphabet_hold_all_the_mass():
    speller = Speller(["a", "ab", "b", "ba", "aab"])
    spelled = 0.0
    for word in (word for length in range(10) for word in product("abz", repeat=length)):
        alike = (OUTCOMES - 3) ** word.count("z")  # every character that was never seen is as likely as z
        spelled += alike * 2 ** -speller.bits("".join(word))
    assert 0.98 < spelled < 1 + 1e-9  # the rest are longer words


def test_the_speller_counts_rare_words_and_those_left_out():
    words = Words(("<unk>", "\n", " a"))
    speller = speller_of({" a": 9, " xx": 7, " a'": 1, "\n": 3}, words)
    assert speller.bits(" xx") < 10 and speller.bits(" a'") < 10 < speller.bits(" q")


def test_bits_are_those_of_every_token_and_every_unknown_words_letters():
    words = vocabulary()
    model, speller = full_trigram(count_words(BOOKS, words), words), speller_of(count_tokens(BOOKS), words)
    text = "The cat saw a kitten.\nThe kitten sang."
    bits, last = 0.0, [words.id_of("\n")] * 2
    for token in split_words(text):
        index = words.id_of(token)
        bits -= math.log2(model.distributions(np.array([last]))[0, index])
        bits += speller.bits(token) if index == UNKNOWN else 0
        last = [last[1], index]
    assert words.id_of(" kitten") == UNKNOWN
    assert bits_per_character(model, words, text, speller) == pytest.approx(bits / len(text), rel=1e-12)
    with pytest.raises(EmptyInput, match="no text"):
        bits_per_character(model, words, "", speller)


# --- A run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "english"
    folder.mkdir(parents=True)
    header = "Title: T\n\nAuthor: A\n\nYear: 1900\n\n-------\n\n"
    paragraphs = [header + book.replace("\n", "\n\n") for book in BOOKS]
    (folder / "gutenberg.train.txt").write_text("\n".join(paragraphs))
    (folder / "gutenberg.valid.txt").write_text(header + "The cat saw the moon. It was a zebra.")
    return folder.parent


def test_a_run_writes_a_model_and_its_record(tmp_path, data):
    lines: list[str] = []
    config = TrigramTraining(vocabulary=100, least_pair=2, least_triple=2, least_start=2)
    record = train_trigram(config, data, tmp_path / "run", lines.append)
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record and len(lines) == 3
    words, model = Words.load(tmp_path / "run" / "words.json"), Trigram.load(tmp_path / "run")
    assert record["table"] == {
        "words": len(words), "pairs": len(model.table.pair_counts), "triples": len(model.table.triple_counts),
    }  # fmt: skip
    assert model.table.triple_counts.min() == model.table.start_counts.min() == 2
    assert record["tokens"] == len(ring(words)) and record["held_out_characters"] == 37
    speller = speller_of(count_tokens(BOOKS), words)
    measured = bits_per_character(model, words, "The cat saw the moon. It was a zebra.", speller)
    assert record["bits_per_character"] == round(measured, 4)
    assert 0 < record["full_bits_per_character"] < 10
    again = train_trigram(config, data, tmp_path / "again")
    assert {**again, "seconds": 0} == {**record, "seconds": 0}
    for name in ("weights.safetensors", "words.json", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


@pytest.mark.parametrize("settings", [{"vocabulary": 60_001}, {"vocabulary": 3}, {"least_triple": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        TrigramTraining(**settings)


def test_a_run_without_text_says_where_to_put_it(tmp_path):
    with pytest.raises(ConfigError, match=r"gutenberg\.train\.txt is missing"):
        train_trigram(TrigramTraining(), tmp_path, tmp_path / "run")
