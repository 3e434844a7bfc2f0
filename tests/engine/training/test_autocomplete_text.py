"""Text for autocomplete: folding, known letters, targets, sequences of whole words, batches, the prepared file."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from engine import characters
from engine.errors import ConfigError
from engine.training.autocomplete import prepared as prepared_module
from engine.training.autocomplete.batches import Feed, cut
from engine.training.autocomplete.prepared import load_prepared, prepare, save_prepared
from engine.training.autocomplete.text import (
    Text,
    count_vocabulary,
    encode,
    encode_characters,
    find_text,
    read_books,
    split_held_out,
)

BOOKS = """Title: The Kettle

Author: Nobody At All

Year: 1900

-------

The kettle didn't sing; the CAT did -- twice!

"Café," said 3 cats.
"""
GLUED = "The lamp went ouTitle: A Lamp\n\nAuthor: N. N.\n\nYear: 1901\n\n-------\nIt was dark."


def ids(text: str) -> list[int]:
    return characters.encode(text)


def spell(text: Text) -> str:
    return "".join("_ abcdefghijklmnopqrstuvwxyz"[i] for i in text.characters)


def of(text: str, vocabulary: Sequence[str]) -> Text:
    return encode([text], vocabulary)


# --- Reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gutenberg.train.txt", "gutenberg.train.txt.xz"])
def test_books_are_folded_and_lose_their_headers(tmp_path, name):
    (tmp_path / "english").mkdir()
    content = (BOOKS + GLUED).encode()
    (tmp_path / "english" / name).write_bytes(lzma.compress(content) if name.endswith("xz") else content)
    path = find_text(tmp_path, "gutenberg.train.txt")
    assert path.name == name
    assert read_books(path) == [
        "the kettle didnt sing the cat did twice cafe said cats the lamp went ou",
        "it was dark",
    ]


def test_a_missing_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gutenberg\.train\.txt is missing.*give another --data"):
        find_text(tmp_path, "gutenberg.train.txt")


def test_a_text_without_words_is_refused(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("1 2 3\n", "utf-8")
    with pytest.raises(ConfigError, match="no words"):
        read_books(path)


def test_the_vocabulary_is_by_frequency_then_by_the_alphabet():
    books = ["b a c a", "d c e"]
    assert count_vocabulary(books, 3) == ("a", "c", "b")
    assert count_vocabulary(books, 5) == ("a", "c", "b", "d", "e")
    with pytest.raises(ConfigError, match=r"5 different words.*6"):
        count_vocabulary(books, 6)


# --- Characters and targets -------------------------------------------------------------------------------------------


def test_every_character_has_its_word_and_its_known_letters():
    text = of("the cat the", ("the", "dog"))
    assert spell(text) == " the cat the"  # a space leads
    assert text.characters.dtype == np.uint8 and text.words.dtype == np.int16
    assert text.words.tolist() == [0, -1, 0]
    assert text.starts.tolist() == [0, 4, 8]
    # at the space before a word nothing of it is known, and the word is asked for already; "cat" is no target
    assert text.targets.tolist() == [0] * 4 + [-1] * 4 + [0] * 4
    assert text.known.tolist() == [0, 1, 2, 3] * 3


def test_ids_are_those_that_models_read():
    for line in ("the quick brown fox", "jumps over a lazy dog"):
        assert encode_characters(f" {line}").tolist() == ids(f" {line}") == list(characters.fold(line).ids)


def test_known_letters_are_those_of_the_screen():
    folded = characters.fold("a kettle sings")
    text = of("a kettle sings", ("a",))
    assert text.known.tolist() == list(folded.known)
    assert np.cumsum(text.characters == ids(" ")[0]).tolist() == [word + 1 for word in folded.words]


def test_books_follow_each_other():
    text = encode(["a b", "c"], ("c",))
    assert spell(text) == " a b c" and text.words.tolist() == [-1, -1, 0]


def test_slices_are_by_words():
    text = of("a bb ccc dddd", ("ccc",))
    part = text.slice(1, 3)
    assert spell(part) == " bb ccc" and part.words.tolist() == [-1, 0]
    assert spell(text.slice(0, 4)) == spell(text) and len(text.slice(2, 2)) == 0


def test_the_first_tenth_is_followed_and_the_rest_is_scored():
    text = of(" ".join("abcdefghijklmnopqrstuvwxy"), ("a",))  # 25 words
    validation, test = split_held_out(text)
    assert spell(validation) == " a b" and spell(validation) + spell(test) == spell(text)


# --- Sequences --------------------------------------------------------------------------------------------------------


def sequences(text: Text, length: int, first: int = 0) -> list[str]:
    return [spell(text)[start:end] for start, end in text.tile(length, first)]


def test_sequences_hold_as_many_whole_words_as_fit():
    text = of("a bb ccc dddd e", ("a",))
    assert sequences(text, 5) == [" a bb", " ccc", " dddd", " e"]
    assert sequences(text, 9) == [" a bb ccc", " dddd e"]
    assert sequences(text, 9, first=1) == [" a", " bb ccc", " dddd e"]
    assert sequences(text, 9, first=99) == sequences(text, 9)
    assert sequences(text, 100) == [spell(text)]


def test_a_word_that_fits_nowhere_is_cut():
    assert sequences(of("ab abcdefgh c", ("c",)), 5) == [" ab", " abcd", " c"]


@given(st.lists(st.text("ab", min_size=1, max_size=7), min_size=1, max_size=40), st.integers(8, 30), st.integers(0, 9))
def test_sequences_cover_the_text_once(words, length, first):
    text = of(" ".join(words), ("a",))
    cut_up = sequences(text, length, first)
    assert "".join(cut_up) == spell(text)
    assert all(part[0] == " " and len(part) <= length for part in cut_up)
    plain = sequences(text, length)
    assert len(plain) <= len(cut_up) <= len(plain) + 1
    # none could have held the next word too
    assert all(len(a) + len(b[1:].split(" ")[0]) + 1 > length for a, b in pairwise(plain))


def test_padding_is_no_character_and_no_target():
    text = of("the cat the", ("the",))
    batch = cut(text, text.tile(6), 6)
    assert batch.ids.tolist() == [[*ids(" the"), 0, 0], [*ids(" cat"), 0, 0], [*ids(" the"), 0, 0]]
    assert batch.targets.tolist() == [[0, 0, 0, 0, -1, -1], [-1] * 6, [0, 0, 0, 0, -1, -1]]


WORDS = [f"{a}{b}{c}" for a in "abcde" for b in "xyz" for c in ("", "u", "uvw")]
LONG = of(" ".join(WORDS * 6), tuple(WORDS[:20]))


def test_an_epoch_reads_every_sequence_once():
    feed = Feed(LONG, batch=5, length=24, seed=3)
    for epoch in range(3):
        rows = [row for step in range(feed.steps) for row in feed.batch(epoch * feed.steps + step)[0].tolist()]
        read = ["".join("_ abcdefghijklmnopqrstuvwxyz"[i] for i in row).rstrip("_") for row in rows]
        assert len(read) == feed.steps * 5
        cuts = [set(sequences(LONG, 24, first)) for first in range(1, 12)]
        assert any(set(read) <= cut for cut in cuts)  # whole words of the text
        # what one epoch leaves out is less than a batch (and one sequence more where the first was cut short)
        assert len("".join(read)) >= len(LONG) - 6 * 24


def test_batches_depend_on_seed_and_step_alone():
    one, other, third = (Feed(LONG, 4, 24, seed) for seed in (1, 1, 2))
    steps = [7, 0, one.steps, 3, 2 * one.steps + 1]
    firsts = {step: one.batch(step) for step in range(3 * one.steps)}
    assert all((firsts[s][i] == other.batch(s)[i]).all() for s in steps for i in (0, 1))
    assert any((firsts[s][0] != third.batch(s)[0]).any() for s in steps)
    assert (firsts[0][0] != firsts[one.steps][0]).any()  # another order in another epoch
    assert all(ids.shape == targets.shape == (4, 24) for ids, targets in firsts.values())


def test_batches_are_those_of_cut():
    feed = Feed(LONG, 4, 24, seed=1)
    lookup = {tuple(row): target for row, target in _rows(LONG, 24)}
    for step in range(feed.steps):
        found, targets = feed.batch(step)
        for row, target in zip(found.tolist(), targets.tolist(), strict=True):
            assert lookup[tuple(row)] == target


def _rows(text: Text, length: int) -> list[tuple[list[int], list[int]]]:
    batches = [cut(text, text.tile(length, first), length) for first in range(1, 12)]
    return [(i, t) for batch in batches for i, t in zip(batch.ids.tolist(), batch.targets.tolist(), strict=True)]


def test_a_sample_of_the_targets_leaves_the_text_and_the_rest_as_they_are():
    whole, half = Feed(LONG, 4, 24, 1), Feed(LONG, 4, 24, 1, sampled=0.5)
    kept = asked = 0
    for step in range(whole.steps):
        (ids, targets), (same, some) = whole.batch(step), half.batch(step)
        assert (ids == same).all() and ((some == targets) | (some == -1)).all()
        assert (some == half.batch(step)[1]).all()
        kept, asked = kept + int((some >= 0).sum()), asked + int((targets >= 0).sum())
    assert 0.35 < kept / asked < 0.65  # some hundred draws


def test_a_text_shorter_than_a_batch_is_refused():
    count = len(LONG.tile(24))
    assert Feed(LONG, count, 24, 1).steps == 1
    with pytest.raises(ConfigError, match=f"fewer than {count + 1} sequences"):
        Feed(LONG, count + 1, 24, 1)


# --- The prepared file ------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "english"
    folder.mkdir(parents=True)
    (folder / "gutenberg.train.txt").write_text(BOOKS * 3, "utf-8")
    (folder / "gutenberg.valid.txt").write_text("The dog said the cat sang twice, twice, twice, twice.", "utf-8")
    return folder.parent


def test_prepared_text_comes_back(data, tmp_path):
    made = prepare(data, 4)
    assert made.vocabulary == ("the", "cafe", "cat", "cats")
    assert made.held_out.words.tolist() == [0, -1, -1, 0, 2, -1, -1, -1, -1, -1]
    assert len(made.held_out_sha256) == 64
    assert spell(made.validation) == " the" and spell(made.test).startswith(" dog said the cat")
    save_prepared(made, tmp_path / "prepared.npz")
    back = load_prepared(tmp_path / "prepared.npz")
    assert (back.vocabulary, back.held_out_sha256) == (made.vocabulary, made.held_out_sha256)
    for ours, theirs in ((back.train, made.train), (back.held_out, made.held_out)):
        assert ours.characters.dtype == np.uint8 and ours.words.dtype == np.int16
        assert (ours.characters == theirs.characters).all() and (ours.words == theirs.words).all()
    assert [path.name for path in tmp_path.glob("*.npz")] == ["prepared.npz"]


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04 broken"])
def test_no_prepared_text(tmp_path, content):
    path = tmp_path / "prepared.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"prepared\.npz.*--data DIR"):
        load_prepared(path)


def test_another_archive_is_no_prepared_text(tmp_path):
    np.savez(tmp_path / "other.npz", tokens=np.arange(3))
    np.save(tmp_path / "array.npy", np.arange(3))
    for name in ("other.npz", "array.npy"):
        with pytest.raises(ConfigError, match=f"{name} is not a prepared text"):
            load_prepared(tmp_path / name)


def test_the_command_prepares(data, tmp_path):
    app = Typer()
    app.command()(prepared_module.main)
    file = tmp_path / "new" / "prepared.npz"
    result = CliRunner().invoke(app, [str(data), str(file), "--words", "5"])
    assert result.exit_code == 0 and "5 words" in result.output
    assert len(load_prepared(file).vocabulary) == 5
    result = CliRunner().invoke(app, [str(tmp_path), str(file)])
    assert result.exit_code == 1 and "is missing" in result.output
