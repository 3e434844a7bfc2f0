"""Words as tokens: nothing is lost, one word is one token wherever it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import WeightsDamaged, WeightsMissing
from engine.words import UNKNOWN, Words, join_words, split_words

VOCABULARY = ("<unk>", ",", " the", "\n", ".", " cat", " The", " ")


@pytest.fixture
def words() -> Words:
    return Words(VOCABULARY)


def test_a_space_belongs_to_the_word_after_it():
    assert split_words('"Well," said Tom; 12 o\'clock.') == [
        ' "', "Well", ",", '"', " said", " Tom", ";", " 12", " o'clock", ".",
    ]  # fmt: skip


def test_letters_join_over_inner_marks_alone():
    assert split_words("to-day didn't end--a 'tis 7th _so_") == [
        " to-day", " didn't", " end", "-", "-", "a", " '", "tis", " 7", "th", " _", "so", "_",
    ]  # fmt: skip


def test_the_first_word_of_a_paragraph_is_the_word_of_elsewhere():
    assert split_words("The end.\nThe end") == [" The", " end", ".", "\n", " The", " end"]


@pytest.mark.parametrize("text", ["", " ", "\n", " a", "a ", "\n\n a\n", "a  b", "a\n", " \n ", "\t\r", "é\u0301x"])
def test_any_text_comes_back(text):
    assert join_words(split_words(text)) == text


@given(st.text(st.sampled_from("ab \n'-_.1é")) | st.text())
def test_every_text_comes_back(text):
    assert join_words(split_words(text)) == text


def test_tokens_point_into_the_text_and_keep_unknown_words(words):
    text = "The cat, Mia.\nThe  cat"
    tokens = words.encode(text)
    assert tokens.text == text
    assert tokens.labels == ("The", "cat", ",", "Mia", ".", "↵", "The", "▁", "cat")
    assert tokens.ids == (6, 5, 1, UNKNOWN, 4, 3, 6, 7, 5)
    shown = ["The", "cat", ",", "Mia", ".", "\n", "The", " ", "cat"]
    assert [text[start:end] for start, end in tokens.spans] == shown
    assert tokens.words == tuple(range(9)) and not any(tokens.special)
    assert tuple(words.encode_ids(text)) == tokens.ids
    assert len(words.encode("")) == 0


def test_ids_are_decoded(words):
    assert words.decode([6, 5, 4, 3, 6, 0, 1]) == "The cat.\nThe \ufffd,"
    assert words.decode([]) == ""
    assert words.label_of(2) == "the" and words.label_of(0) == "<unk>" and words.text_of(2) == " the"
    assert words.id_of(" cat") == 5 and words.id_of("cat") == words.id_of("<unk>") == UNKNOWN
    assert len(words) == 8


def test_the_most_frequent_come_first_and_the_break_is_always_there():
    counts = {" b": 2, " a": 2, " c": 3, " d": 1, "\n": 1}
    assert Words.of_counts(counts, 4).vocabulary == ("<unk>", " c", " a", "\n")
    assert Words.of_counts(counts, 99, least=2).vocabulary == ("<unk>", " c", " a", " b", "\n")
    assert Words.of_counts({}, 99).vocabulary == ("<unk>", "\n")


def test_a_vocabulary_is_saved_and_loaded(tmp_path, words):
    words.save(tmp_path / "words.json")
    assert Words.load(tmp_path / "words.json") == words


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "{}",
        '["<unk>", 3, "\\n"]',
        '["\\n"]',
        '["<unk>", "a"]',
        '["<unk>", "\\n", "a", "a"]',
        '["<unk>", "", "\\n"]',
    ],
)
def test_a_damaged_vocabulary_is_refused(tmp_path, content):
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(WeightsDamaged, match=r"words\.json cannot be read.*Restore"):
        Words.load(tmp_path / "words.json")


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(WeightsMissing, match=r"words\.json is missing"):
        Words.load(tmp_path / "words.json")


def test_the_file_is_a_plain_list(tmp_path, words):
    words.save(tmp_path / "words.json")
    assert json.loads((tmp_path / "words.json").read_text("utf-8")) == list(VOCABULARY)
