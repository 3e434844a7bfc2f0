"""The trigram model: continuations, back-off, probabilities by hand, random text, files."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy
import torch

from engine.errors import ConfigError, WeightsDamaged, WeightsMissing
from engine.models.trigram import Trigram, TrigramConfig
from engine.models.trigram_table import Table
from engine.training.trigram import count_tokens, count_words, full_trigram, prune
from engine.words import Words, split_words

STORY = (
    'The cat sat on the mat. The cat saw the dog. "Come here," said Mr. Brown. The dog sat on the cat!\n'
    "The cat ran. Was it based on a story? It was based on the story. It was based on a true story.\n"
    "A dog sat on a mat. The dog saw a cat. So it ran on and on."
)
FLOAT32 = 1e-5  # the rounding of log-probabilities around 10, and the sum of some fifty of them


def made(text: str, **least: int) -> tuple[Words, Trigram]:
    seen = count_tokens([text])
    words = Words.of_counts(seen, 1000)
    return words, prune(count_words([text], words), words, **{"least_pair": 1, "least_triple": 1, **least})


@pytest.fixture
def story() -> tuple[Words, Trigram]:
    return made(STORY)


def said(words: Words, pairs: tuple[tuple[int, int], ...]) -> list[tuple[str, int]]:
    return [(words.vocabulary[token], count) for token, count in pairs]


# --- Counts -----------------------------------------------------------------------------------------------------------


def test_continuations_are_counted_and_most_frequent_first(story):
    words, model = story
    found = model.continuations(words.id_of(" based"), words.id_of(" on"), 5)
    assert said(words, found.pairs) == [(" a", 2), (" the", 1)]
    assert (found.total, found.different, found.order) == (3, 2, 3)
    found = model.continuations(words.id_of(" The"), words.id_of(" cat"), 1)
    assert found.different == 3 and len(found.pairs) == 1
    equals = model.continuations(words.id_of(" The"), words.id_of(" cat"), 5).pairs
    assert [token for token, _ in equals] == sorted(token for token, _ in equals), "equals stand by id"


def test_a_pair_that_was_never_seen_backs_off(story):
    words, model = story
    found = model.continuations(words.id_of(" Brown"), words.id_of(" based"), 5)
    assert (said(words, found.pairs), found.order, found.total) == ([(" on", 3)], 2, 3)
    tokens = ["\n", *split_words(STORY)]
    single = model.continuations(words.id_of(" Brown"), 0, 2)
    best = sorted(set(tokens), key=lambda token: (-tokens.count(token), words.id_of(token)))[:2]
    assert (single.order, single.total) == (1, len(tokens))
    assert said(words, single.pairs) == [(token, tokens.count(token)) for token in best]


def test_a_pruned_pair_backs_off_and_keeps_its_total():
    words, model = made(STORY, least_triple=2, least_pair=2)
    on = model.continuations(words.id_of(" based"), words.id_of(" on"), 5)
    assert (said(words, on.pairs), on.total, on.different, on.order) == ([(" a", 2)], 3, 1, 3)
    dog = model.continuations(words.id_of(" A"), words.id_of(" dog"), 5)  # a pair seen once
    assert (said(words, dog.pairs), dog.total, dog.order) == ([(" sat", 2)], 4, 2)
    assert model.continuations(words.id_of(" on"), words.id_of(" a"), 5).order == 1, "four different words, each once"


def test_common_pairs_and_starts(story):
    words, model = story
    ids = words.ids_of(["\n", *split_words(STORY), "\n"]).tolist()
    counted = Counter(pairwise(ids))
    assert model.common_pairs(1000) == tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    assert model.common_pairs(3) == model.common_pairs(1000)[:3]
    starts = {(words.vocabulary[a], words.vocabulary[b]): count for (a, b), count in model.starts}
    assert starts == {
        (" The", " cat"): 3, (" The", " dog"): 2, (' "', "Come"): 1, (" Was", " it"): 1, (" It", " was"): 2,
        (" A", " dog"): 1, (" So", " it"): 1,
    }  # fmt: skip  # " Brown" after "Mr." is none


# --- Probabilities ----------------------------------------------------------------------------------------------------


def by_hand() -> Trigram:
    """The ring "¶ a b a b b": ids ¶ 1, a 2, b 3, and the unknown word 0. Every discount is 1/2."""
    table = Table(
        word_counts=np.array([0, 1, 2, 3]),
        word_left=np.array([0, 1, 2, 2]),  # words before: ¶ after b; a after ¶ and b; b after a and b
        word_totals=np.array([0, 1, 2, 3]),
        pair_offsets=np.array([0, 0, 1, 2, 5]),
        pair_seconds=np.array([2, 3, 1, 2, 3]),  # ¶a ab b¶ ba bb
        pair_counts=np.array([1, 2, 1, 1, 1]),
        pair_left=np.array([1, 2, 1, 1, 1]),  # different words before: b¶a; ¶ab bab; bb¶; aba; abb
        triple_offsets=np.array([0, 1, 3, 4, 5, 6]),
        triple_thirds=np.array([3, 2, 3, 2, 3, 1]),  # ¶ab aba abb b¶a bab bb¶
        triple_counts=np.array([1, 1, 1, 1, 1, 1]),
        start_pairs=np.array([0]),
        start_counts=np.array([1]),
    )
    return Trigram(TrigramConfig(4, 1, (), (), ((0.5, 0.5, 0.5),) * 3), table)


def test_interpolation_by_hand():
    model = by_hand()
    # p(w): 5 kinds of pairs, each word less 1/2: ¶ .1, a .3, b .3; the .3 taken off are shared by 4 words.
    single = np.array([0.075, 0.175, 0.375, 0.375])
    # after b, three pairs ended once each, of 3: (1 - .5) / 3 each, and 1/2 is left
    pair = np.array([0, 1 / 6, 1 / 6, 1 / 6]) + 0.5 * single
    # after a b, seen twice: a and b once each: .25 each, and 1/2 is left
    triple = np.array([0, 0, 0.25, 0.25]) + 0.5 * pair
    found = model.distributions(np.array([[2, 3], [0, 3], [1, 1]]))
    np.testing.assert_allclose(found[0], triple, rtol=1e-12)
    np.testing.assert_allclose(found[1], pair, rtol=1e-12)  # the pair was never seen
    after_break = np.array([0, 0, 0.5, 0]) + 0.5 * single
    np.testing.assert_allclose(found[2], after_break, rtol=1e-12)
    np.testing.assert_allclose(model.probabilities([2, 3, 3])[1:], [0.5 + 0.5 * (0.75 + 0.25 * 0.375), triple[3]])


def test_the_table_by_hand_is_what_counting_gives():
    words = Words(("<unk>", "\n", " a", " b"))
    counted = full_trigram(count_words(["a b a b b"], words), words).table.arrays()
    for name, array in by_hand().table.arrays().items():
        if not name.startswith("start"):
            np.testing.assert_array_equal(counted[name], array, err_msg=name)


@pytest.mark.parametrize("least", [{}, {"least_triple": 2}, {"least_pair": 2, "least_triple": 3}, {"least_pair": 99}])
def test_every_row_is_a_distribution(least):
    words, model = made(STORY, **least)
    contexts = np.array([[a, b] for a in range(len(words)) for b in range(len(words))])
    rows = model.distributions(contexts)
    assert (rows > 0).all()
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("least", [{}, {"least_pair": 2, "least_triple": 2}])
def test_a_text_and_the_steps_through_it_agree(least):
    words, model = made(STORY, **least)
    ids = words.encode_ids(STORY)[:60]
    state = model.encode(torch.zeros(1, 0, dtype=torch.long))
    read, given = words.id_of("\n"), []
    for token in ids.tolist():
        logprobs, state = model.step(state, torch.tensor([read]))
        assert logprobs.dtype == torch.float32 and logprobs.shape == (1, len(words))
        assert abs(float(logprobs.exp().sum()) - 1) < FLOAT32
        given.append(float(logprobs[0, token]))
        read = token
    np.testing.assert_allclose(given, np.log(model.probabilities(ids)), atol=FLOAT32)


def test_states_are_values_and_rows_are_independent(story):
    words, model = story
    source = torch.tensor([words.encode("The cat sat").ids, words.encode("It was based").ids])
    state = model.encode(source)
    before = state.last.clone()
    tokens = torch.tensor([words.id_of(" on")] * 2)
    both, after = model.step(state, tokens)
    assert torch.equal(state.last, before) and not torch.equal(after.last, before)
    swapped, _ = model.step(state.select(torch.tensor([1, 0])), tokens)
    assert torch.equal(swapped, both.flip(0)) and not torch.equal(both[0], both[1])
    assert said(words, model.continuations(*after.last[1].tolist(), 1).pairs) == [(" a", 2)]


# --- Random text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_random_text_is_a_walk_over_triples_from_start_to_full_stop(story, seed):
    words, model = story
    text = model.random_text(seed, 12)
    assert text.ids[:2] in {pair for pair, _ in model.starts}
    assert text.ended and words.vocabulary[text.ids[-1]] in (".", "!", "?") and len(text.ids) >= 12
    assert text.orders == (0, 0, *[3] * (len(text.ids) - 2)) and text.backed_off == ()
    tokens = ["\n", *split_words(STORY), "\n", " The"]
    seen = set(zip(tokens, tokens[1:], tokens[2:], strict=False))
    drawn = [words.vocabulary[token] for token in text.ids]
    assert set(zip(drawn, drawn[1:], drawn[2:], strict=False)) <= seen


def test_the_same_seed_draws_the_same_text(story):
    model = story[1]
    texts = [model.random_text(seed, 30).ids for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1] and len(set(texts)) > 2
    assert model.random_text(np.random.default_rng(1), 30).ids == texts[0]


def test_words_are_drawn_in_proportion_to_their_counts(story):
    words, model = story
    generator = np.random.default_rng(5)
    firsts = [model.random_text(generator, 2).ids[:2] for _ in range(2000)]
    share = np.mean([words.vocabulary[pair[0]] == " The" for pair in firsts])
    assert abs(share - 5 / 11) < 4 * np.sqrt(5 / 11 * 6 / 11 / 2000)  # four standard errors


def test_random_text_backs_off_where_pairs_were_pruned():
    _, model = made(STORY, least_triple=2, least_pair=2)
    texts = [model.random_text(seed, 30) for seed in range(5)]
    assert any(text.backed_off for text in texts)
    for text in texts:
        for place in text.backed_off:
            assert model.continuations(*text.ids[place - 2 : place], 1).order == text.orders[place] < 3


def test_a_text_without_full_stops_is_cut():
    model = made("Tick tock " * 30)[1]
    text = model.random_text(1, 10)
    assert not text.ended and len(text.ids) == 210


def test_an_abbreviation_ends_no_sentence(story):
    words, model = story
    stop = words.id_of(".")
    assert model.ends_sentence(words.id_of(" mat"), stop) and not model.ends_sentence(words.id_of(" Mr"), stop)


def test_two_threads_share_a_model():
    words, model = made(STORY)
    contexts = np.array([[a, 5] for a in range(len(words))])
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(model.distributions, [contexts] * 2)
    np.testing.assert_array_equal(first, second)


# --- Files ------------------------------------------------------------------------------------------------------------


def test_a_model_is_saved_and_loaded(tmp_path):
    words, model = made(STORY, least_triple=2, least_pair=2)
    model.save(tmp_path)
    loaded = Trigram.load(tmp_path)
    assert loaded.config == model.config
    ids = words.encode_ids(STORY)
    np.testing.assert_array_equal(loaded.probabilities(ids), model.probabilities(ids))
    assert loaded.random_text(3, 20) == model.random_text(3, 20) and loaded.starts == model.starts
    stored = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert {array.dtype for array in stored.values()} == {np.dtype(np.uint16)}


def test_numbers_above_16_bits_survive(tmp_path):
    model = by_hand()
    model.table.word_counts[3] = 70_000
    model.save(tmp_path)
    assert Trigram.load(tmp_path).table.word_counts.tolist() == [0, 1, 2, 70_000]


def changed(name: str, change):
    def damage(arrays):
        return {**arrays, name: change(arrays[name])}

    return damage


def put(place: int, value: int):
    def change(array):
        array = array.copy()
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (changed("word_left", lambda array: array[:-1]), "word_left has 3 numbers instead of 4"),
        (changed("triple_counts", lambda array: array[:-1]), "triple_counts has 5"),
        (changed("pair_offsets", put(1, 9)), "pair_offsets do not rise"),
        (changed("triple_offsets", put(-1, 5)), "triple_offsets do not rise"),
        (changed("pair_seconds", put(0, 4)), "pair_seconds holds an id above 3"),
        (changed("triple_thirds", put(0, 9)), "triple_thirds holds an id above 3"),
        (changed("start_pairs", put(0, 5)), "start_pairs holds an id above 4"),
        (changed("pair_seconds", put(2, 3)), "pair are not in rising order"),
        (changed("triple_thirds", put(1, 3)), "triple are not in rising order"),
        (changed("pair_counts", put(0, 0)), "pair_counts holds a number that is too small"),
        (changed("word_totals", put(3, 2)), "sum to more than its total"),
        (changed("triple_counts", put(0, 2)), "sum to more than its count"),
        (changed("pair_counts", lambda array: array.astype(np.float32)), "pair_counts is no list of whole numbers"),
        (lambda arrays: {name: array for name, array in arrays.items() if name != "pair_left"}, "pair_left"),
        (lambda arrays: {**arrays, "more": arrays["word_left"]}, "more"),
    ],
)
def test_damaged_counts_are_refused(tmp_path, damage, reason):
    by_hand().save(tmp_path)
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(damage(safetensors.numpy.load_file(path)), path)
    with pytest.raises(WeightsDamaged, match=reason):
        Trigram.load(tmp_path)


def test_files_that_are_missing_or_no_table(tmp_path):
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        Trigram.load(tmp_path)
    by_hand().save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no table")
    with pytest.raises(WeightsDamaged, match="Restore"):
        Trigram.load(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"weights\.safetensors"):
        Trigram.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"paragraph": 0}, {"stops": [4]}, {"discounts": [[0.5] * 3]}, {"discounts": [[1.5] * 3] * 3}, {"more": 1}],
)
def test_an_impossible_configuration_is_refused(tmp_path, change):
    by_hand().save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError):
        Trigram.load(tmp_path)
