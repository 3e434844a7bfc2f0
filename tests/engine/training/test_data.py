"""Sentence pairs to batches: nothing lost, nothing twice, nothing over the limit, every mark where it belongs."""

from __future__ import annotations

import lzma
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.models.transformer import TransformerConfig
from engine.text import END, PAD, START, UNKNOWN, WHO, Subwords
from engine.training import data
from engine.training.config import TrainingConfig
from engine.training.data import (
    Batch,
    Corpus,
    Example,
    batches,
    collate,
    load_corpora,
    piece_at,
    pronoun_example,
    read_pairs,
    read_training_pairs,
    read_tsv,
    save_corpora,
    tokenize,
    train_subwords,
)
from engine.training.synthetic import training_examples

MODEL = TransformerConfig(vocabulary=450, width=16, heads=2)


def config(mixture: dict[str, float], batch_tokens: int = 200, longest: int = 64) -> TrainingConfig:
    return TrainingConfig("test", MODEL, mixture, batch_tokens=batch_tokens, longest=longest)


def numbered(lengths: list[tuple[int, int]]) -> Corpus:
    """A corpus whose pair i is i + 100 repeated, with these source and target lengths."""
    rows = [[i + 100] * (a + b) for i, (a, b) in enumerate(lengths)]
    ends = np.cumsum([len(row) for row in rows])
    starts = ends - [len(row) for row in rows]
    bounds = np.stack([starts, starts + [a for a, _ in lengths], ends], axis=1).astype(np.int64)
    return Corpus(np.concatenate(rows).astype(np.uint16), bounds)


def random_lengths(count: int, longest: int, seed: int = 1) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return [(int(a), int(b)) for a, b in rng.integers(1, longest, size=(count, 2))]


def contents(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Source and target of each row without padding and </s>."""
    rows = zip(batch.source.tolist(), batch.predicted.tolist(), strict=True)
    return [(tuple(s[: s.index(END)]), tuple(t[: t.index(END)])) for s, t in rows]


# --- Files ------------------------------------------------------------------------------------------------------------


def test_training_pairs_by_source(tmp_path):
    folder = tmp_path / "en-fr"
    folder.mkdir()
    text = "Hi.\tSalut !\ttatoeba\nYes.\tOui.\teuroparl\nbroken line\nNo.\tNon.\ttatoeba\n"
    expected = {"tatoeba": [("Hi.", "Salut !"), ("No.", "Non.")], "europarl": [("Yes.", "Oui.")]}
    (folder / "train.tsv.xz").write_bytes(lzma.compress(text.encode()))
    assert read_training_pairs(tmp_path) == expected
    (folder / "train.tsv").write_text("Plain.\tNu.\ttatoeba\n", "utf-8")
    assert read_training_pairs(tmp_path) == {"tatoeba": [("Plain.", "Nu.")]}  # the plain file goes first
    (folder / "valid.tsv").write_text("été\tsummer\nalone\nA\tB\tmore\n", "utf-8")
    assert read_pairs(folder / "valid.tsv") == [("été", "summer"), ("A", "B")]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"valid\.tsv is missing.*fetch-data"):
        read_tsv(tmp_path / "valid.tsv")
    with pytest.raises(ConfigError, match=r"train\.tsv\.xz is missing"):
        read_training_pairs(tmp_path)


def test_the_tokenizer_has_the_special_ids(subwords):
    assert [subwords.id_of(piece) for piece in ("<pad>", "<unk>", "<s>", "</s>")] == [PAD, UNKNOWN, START, END]
    assert subwords.id_of(WHO) == 4 and len(subwords) == 450


# --- Corpora ----------------------------------------------------------------------------------------------------------


def test_corpora_come_back(tmp_path, subwords, pairs):
    corpora = {"tatoeba": tokenize(pairs, subwords, 64), "a.b": tokenize(pairs[:3], subwords, 64)}
    assert len(corpora["tatoeba"]) == len(pairs)
    for index, (english, french) in enumerate(pairs):
        source, target = corpora["tatoeba"].pair(index)
        assert (subwords.decode(source.tolist()), subwords.decode(target.tolist())) == (english, french)
    save_corpora(corpora, tmp_path / "corpora.npz")
    loaded = load_corpora(tmp_path / "corpora.npz")
    assert loaded.keys() == corpora.keys()
    for name, corpus in corpora.items():
        assert loaded[name].tokens.dtype == np.uint16 and loaded[name].bounds.dtype == np.int64
        assert np.array_equal(loaded[name].tokens, corpus.tokens)
        assert np.array_equal(loaded[name].bounds, corpus.bounds)


def test_only_pairs_that_fit_are_kept(subwords):
    one = "it"
    assert len(subwords.encode_ids(one)) == 1
    rows = [
        (one, one),
        ("", one),
        (one, ""),
        (" ".join([one] * 4), one),
        (one, " ".join([one] * 5)),
        (" ".join([one] * 5), one),
    ]
    corpus = tokenize(rows, subwords, longest=5)
    assert [tuple(map(len, corpus.pair(i))) for i in range(len(corpus))] == [(1, 1), (4, 1)]
    assert len(tokenize([], subwords, 5)) == 0


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_collate_by_hand():
    batch = collate(
        [Example([11, 12, 13], [21]), Example([14], [22, 23], ((0, 9),)), Example([15, 16], [24], ((0, 7), (1, 8)))]
    )
    assert batch.source.tolist() == [[11, 12, 13, END], [14, END, PAD, PAD], [15, 16, END, PAD]]
    assert batch.read.tolist() == [[START, 21, PAD], [START, 22, 23], [START, 24, PAD]]
    assert batch.predicted.tolist() == [[21, END, PAD], [22, 23, END], [24, END, PAD]]
    assert batch.pronouns.tolist() == [[1, 0], [2, 0], [2, 1]] and batch.antecedents.tolist() == [9, 7, 8]
    assert batch.tokens == 4 + 2 + 3 + 2 + 3 + 2
    assert all(
        a.dtype == np.int64 for a in (batch.source, batch.read, batch.predicted, batch.pronouns, batch.antecedents)
    )
    assert collate([Example([11], [21])]).pronouns.shape == (0, 2)


@pytest.mark.parametrize("batch_tokens", [40, 41, 150, 10_000])
def test_every_pair_once_per_epoch_in_batches_that_fit(monkeypatch, subwords, batch_tokens):
    """A pool as large as the corpus is one epoch: each pair comes once, then once again in another order."""
    lengths = random_lengths(120, 20)
    corpus = numbered(lengths)
    monkeypatch.setattr(data, "POOL", len(corpus))
    stream = batches(config({"all": 1.0}, batch_tokens, 20), {"all": corpus}, subwords, seed=3)
    expected = Counter(((i + 100,) * a, (i + 100,) * b) for i, (a, b) in enumerate(lengths))
    orders = []
    for _ in range(2):
        found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        while len(found) < len(corpus):
            batch = next(stream)
            assert batch.source.size + batch.predicted.size <= batch_tokens
            assert batch.read.shape == batch.predicted.shape and len(batch.source) == len(batch.read)
            found.extend(contents(batch))
        assert Counter(found) == expected
        orders.append(found)
    assert orders[0] != orders[1]


def test_batches_are_full_and_of_similar_length(monkeypatch, subwords):
    corpus = numbered(random_lengths(3000, 20))
    monkeypatch.setattr(data, "POOL", 3000)
    stream = islice(batches(config({"all": 1.0}, 400, 20), {"all": corpus}, subwords, seed=3), 60)
    found = list(stream)
    shares = [batch.tokens / 400 for batch in found]
    # Sorted by target, then source: of random pairs of 1 to 19 + 1 tokens a batch in drawn order would be half padding.
    assert np.mean(shares) > 0.85
    lengths = [batch.predicted.shape[1] for batch in found]
    assert lengths != sorted(lengths)  # batches themselves come in random order


def test_shares_of_the_mixture(monkeypatch, subwords):
    monkeypatch.setattr(data, "POOL", 80)
    corpora = {"small": numbered([(2, 2)] * 7), "large": numbered([(3, 3)] * 50), "unused": numbered([(4, 4)] * 9)}
    mixture = {"small": 1.0, "large": 2.0, "pronouns": 1.0}
    lengths: Counter[int] = Counter()
    pronouns = 0
    for batch in batches(config(mixture, 400), corpora, subwords, seed=5):
        lengths.update(len(source) for source, _ in contents(batch))
        pronouns += len(set(batch.pronouns[:, 0].tolist()))
        if lengths.total() >= 80:
            break
    assert lengths.total() == 80  # one pool
    assert (lengths[2], lengths[3], lengths[4]) == (20, 40, 0)
    assert pronouns == 20  # each sentence of the grammar has one pronoun or more


def test_a_seed_gives_the_same_stream_and_another_does_not(monkeypatch, subwords, pairs):
    monkeypatch.setattr(data, "POOL", 400)
    corpora = {"tatoeba": tokenize(pairs, subwords, 64)}
    mixture = {"tatoeba": 0.95, "pronouns_who": 0.05}

    def first(seed: int) -> list[list[list[int]]]:
        stream = batches(config(mixture, 2000), corpora, subwords, seed)
        return [next(stream).source.tolist() for _ in range(3)]

    assert first(1) == first(1) != first(2)


def test_an_unknown_source_is_named(subwords):
    stream = batches(
        config({"all": 1.0, "subtitles": 1.0}), {"all": numbered([(1, 1)]), "x": numbered([(1, 1)])}, subwords, 1
    )
    with pytest.raises(ConfigError, match="'subtitles'; it has all, x"):
        next(stream)


# --- Pronouns ---------------------------------------------------------------------------------------------------------


def test_piece_at(subwords):
    tokens = subwords.encode("It was the dog.")
    assert tokens.labels == ("It", "was", "the", "dog", ".", "</s>")
    assert [piece_at(tokens, offset) for offset in (0, 1, 3, 5, 7, 11, 13, 14)] == [0, 0, 1, 1, 2, 3, 3, 4]


@pytest.fixture(scope="module")
def grammar_subwords() -> Subwords:
    """A tokenizer that splits some of the grammar's nouns and knows others whole."""
    examples = list(islice(training_examples(5), 300))
    return Subwords(train_subwords([side for e in examples for side in (e.english, e.french, e.french_with_noun)], 500))


def spells(tokenizer: Subwords, ids: Sequence[int], text: str) -> bool:
    """Whether ids decode to a text; the rarest letters (1 in 10,000) are unknown and decode as one \ufffd a run."""
    return re.fullmatch(re.escape(tokenizer.decode(ids)).replace("\ufffd", ".+"), text) is not None


def test_pronoun_marks_point_at_it_and_its_noun(grammar_subwords):
    tokenizer = grammar_subwords
    split = 0
    for example in islice(training_examples(9), 300):
        plain = pronoun_example(example, tokenizer, who=False)
        tagged = pronoun_example(example, tokenizer, who=True)
        assert spells(tokenizer, plain.source, example.english) and spells(tokenizer, plain.target, example.french)
        assert tagged.source[0] == tokenizer.id_of(WHO) and list(tagged.source[1:]) == list(plain.source)
        assert spells(tokenizer, tagged.target, example.french_with_noun)
        assert len(plain.pronouns) == len(example.pronouns) >= 1
        for (place, noun), (later, same), (_, answer) in zip(
            plain.pronouns, tagged.pronouns, example.pronouns, strict=True
        ):
            assert (later, same) == (place + 1, noun)
            assert tokenizer.decode([plain.source[place]]).lower() == "it"
            first = tokenizer.decode([noun])
            assert first and example.nouns[answer].startswith(first)
            assert noun in plain.source and noun != UNKNOWN
            split += first != example.nouns[answer]
    assert split > 20  # or "first piece" would not have been tested


def test_marks_reach_the_batch(monkeypatch, grammar_subwords):
    monkeypatch.setattr(data, "POOL", 400)
    stream = batches(config({"pronouns": 0.5, "pronouns_who": 0.5}, 1500), {}, grammar_subwords, seed=2)
    it = {grammar_subwords.id_of("▁it"), grammar_subwords.id_of("▁It")}
    assert UNKNOWN not in it
    tagged = 0
    for batch in islice(stream, 5):
        assert len(batch.pronouns) == len(batch.antecedents) >= len(batch.source)
        assert set(batch.source[batch.pronouns[:, 0], batch.pronouns[:, 1]].tolist()) <= it
        tagged += int((batch.source[:, 0] == grammar_subwords.id_of(WHO)).sum())
        for row, noun in zip(batch.pronouns[:, 0], batch.antecedents, strict=True):
            assert noun in batch.source[row]
    assert tagged > 0
