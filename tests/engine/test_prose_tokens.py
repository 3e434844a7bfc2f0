"""Prose as tokens and back: paragraphs, unknown characters, spans, words, and how a prompt ends."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import WeightsDamaged, WeightsMissing
from engine.prose import normalise_prose
from engine.prose_tokens import (
    Alphabet,
    ProseSubwords,
    as_typed,
    characters_of,
    extended,
    fronted,
    joined,
    prompt_form,
)
from engine.text import END, UNKNOWN, Subwords
from engine.types import Tokens
from tests.engine.generators import ALPHABET, STORY, subwords, tiny_trigram

TOKENIZERS = {"subwords": subwords(), "alphabet": Alphabet(ALPHABET), "words": tiny_trigram().tokenizer}
PROSE = st.lists(st.sampled_from(["The", "cat", "sat", ".", "\n\n", " ", "☃日", "é", "'", '"', "ran.", "-"])).map(
    lambda parts: normalise_prose(" ".join(parts))
)


def check(tokens: Tokens, text: str) -> None:
    """What is true of the tokens of any text."""
    assert tokens.text == text
    ends = [0, *(end for _, end in tokens.spans)]
    assert all(start >= end and start - end <= 1 for (start, _), end in zip(tokens.spans, ends, strict=False))
    assert sum(characters_of(tokens)) == ends[-1] == len(text)
    between = "".join(text[end:start] for end, (start, _) in zip(ends, tokens.spans, strict=False))
    assert not between.strip(" "), "only spaces are between two tokens"
    assert all(0 <= after - before <= 1 for before, after in pairwise(tokens.words))
    assert not tokens.words or tokens.words[0] == 0


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=80, deadline=None)
@given(PROSE)
@example("")
@example("☃ ☃\n☃")
@example(STORY)
def test_tokens_cover_a_text_and_known_ones_give_it_back(name, text):
    tokenizer = TOKENIZERS[name]
    tokens = tokenizer.encode(text)
    check(tokens, text)
    unknown = UNKNOWN if name == "subwords" else 0
    if unknown not in tokens.ids:
        assert tokenizer.decode(tokens.ids) == text == joined(tokenizer, "", tokens.ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_story_gives_itself_back(name):
    assert TOKENIZERS[name].decode(TOKENIZERS[name].encode(STORY).ids) == STORY


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(STORY)))
def test_a_text_and_what_was_added_to_it_are_its_tokens(name, cut):
    """Wherever a token ends, the rest added to the beginning is what encoding all of it gives."""
    tokenizer = TOKENIZERS[name]
    whole = tokenizer.encode(STORY)
    ends = [0, *(end for _, end in whole.spans)]
    place = sum(end < cut for end in ends[1:])
    before = tokenizer.encode(STORY[: ends[place]])
    if before.ids != whole.ids[:place]:  # a shorter text may be cut into other pieces
        return
    assert extended(tokenizer, before, whole.ids[place:], -1) == whole


@pytest.mark.parametrize(
    ("text", "words"),
    [(" ", (0,)), (" ab", (0, 0, 0)), ("a\n b", (0, 1, 2, 2)), ("a  b", (0, 1, 2, 2)), ("\n\n  a", (0, 1, 2, 3, 3))],
)
def test_a_model_may_say_spaces_where_no_prose_has_them(text, words):
    alphabet = Alphabet("\n ab")
    assert extended(alphabet, alphabet.encode(""), [alphabet.id_of(c) for c in text], -1).words == words


def test_every_paragraph_is_cut_by_itself():
    pieces = subwords()
    one, other = pieces.encode("The cat."), pieces.encode("The dog.")
    both = pieces.encode("The cat.\nThe dog.")
    assert both.ids == (*one.ids, pieces.line, *other.ids)
    assert both.labels == (*one.labels, "↵", *other.labels)
    line = len(one)
    assert both.words[line] not in (both.words[line - 1], both.words[line + 1]), "a break is a word of its own"
    assert pieces.encode("The cat.\n").ids == (*one.ids, pieces.line)


def test_unknown_characters_keep_their_text():
    tokens = subwords().encode("☃日")
    assert UNKNOWN in tokens.ids and "".join(tokens.labels).endswith("☃日")
    assert Alphabet("ab\n").encode("a☃").labels == ("a", "☃") and Alphabet("ab\n").encode("a☃").ids == (1, 0)
    assert subwords().text_of(UNKNOWN) == Alphabet("ab\n").text_of(0) == "\ufffd"


def test_special_tokens_add_nothing_and_are_never_said():
    pieces = subwords()
    assert [pieces.text_of(token) for token in (0, 2, 3, 4, 5, 6)] == [""] * 6
    assert pieces.banned == (0, 1, 2, 4, 5, 6)
    assert pieces.encode("[MASK] </s> <s>").ids.count(6) == 0, "no text can say a control symbol"
    ended = extended(pieces, pieces.encode("The cat"), (pieces.encode("The").ids[0], END), END)
    assert (
        ended.text == "The cat The" and ended.special[-1] and ended.spans[-1] == (0, 0) and ended.labels[-1] == "</s>"
    )
    assert ended.words[-1] == ended.words[-2] + 1


def test_one_in_front_is_no_part_of_the_text():
    tokens = subwords().encode("The cat")
    found = fronted(tokens, 2, "<s>")
    assert found.ids == (2, *tokens.ids) and found.special[:2] == (True, False) and found.spans[0] == (0, 0)
    assert found.words == (0, *(word + 1 for word in tokens.words)) and found.text == tokens.text


@pytest.mark.parametrize(
    ("typed", "words", "characters"),
    [
        ("", "", ""),
        ("  \n", "", ""),
        ("The cat", "The cat", "The cat"),
        ("  The   cat ", "The cat", "The cat "),
        ("The\ncat", "The cat", "The cat"),
        ("One.\n\nTwo", "One.\nTwo", "One.\nTwo"),
        ("One.\n", "One.\n", "One.\n"),
        ("One. \n\n ", "One.\n", "One.\n"),
        ("“One”", '"One"', '"One"'),
    ],
)
def test_what_is_read_of_a_prompt_and_its_end(typed, words, characters):
    assert prompt_form(typed, spaces=False) == words
    assert prompt_form(typed, spaces=True) == characters


@settings(max_examples=80, deadline=None)
@given(PROSE, st.sampled_from(["", "\n"]))
def test_a_text_typed_anew_is_the_same(text, tail):
    text += tail if text else ""
    assert prompt_form(as_typed(text), spaces=False) == text


def test_an_alphabet_from_a_file(tmp_path):
    path = tmp_path / "alphabet.json"
    with pytest.raises(WeightsMissing, match=r"alphabet\.json"):
        Alphabet.load(path)
    path.write_text(json.dumps({"characters": "ab\n"}), "utf-8")
    assert Alphabet.load(path) == Alphabet("ab\n") and len(Alphabet.load(path)) == 4
    for wrong in ({"characters": "aab\n"}, {"characters": "ab"}, {"characters": 3}, {}):
        path.write_text(json.dumps(wrong), "utf-8")
        with pytest.raises(WeightsDamaged, match="each character once"):
            Alphabet.load(path)


def test_subwords_need_a_piece_for_the_break(model_bytes):
    with pytest.raises(WeightsDamaged, match="break between paragraphs"):
        ProseSubwords(Subwords(model_bytes))
