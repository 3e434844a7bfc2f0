"""Tokens of an upload: labels, words and places by the marks of common tokenizers, and text that is always text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import merge_words
from engine.pieces import shown
from engine.types import Tokens
from engine.uploads.tokens import LONGEST_TOKEN, tokens_of
from tests.engine.huggingface import tiny
from tests.engine.uploads.made import attention, read, refused


def made(tokens, special=None) -> Tokens:
    return tokens_of("text", tokens, len(tokens["tokens"] if isinstance(tokens, dict) else tokens), special)[0]


def words(tokens: Tokens) -> list[str]:
    """The labels of each word, with + between them."""
    found: dict[int, list[str]] = {}
    for word, label in zip(tokens.words, tokens.labels, strict=True):
        found.setdefault(word, []).append(label)
    return ["+".join(labels) for labels in found.values()]


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        ("the cat ##s sat .", "the cats sat .", "the cat+s sat ."),
        ("▁The ▁ca ts ▁do n ' t .", "The cats don't.", "The ca+ts do+n+'+t ."),
        ("The Ġca ts Ġdon 't , Ċ", "The cats don't,\n", "The ca+ts don+'t , ↵"),
        ("the</w> ca ts</w>", "the cats ", "the ca+ts"),
        ("the ca@@ ts", "the cats ", "the ca+ts"),
        ("the cats don't", "the cats don't", "the cats don't"),
        ("▁你 好 吗", "你好吗", "你 好 吗"),
        ("▁ا ل قطة", "القطة", "ا+ل+قطة"),
    ],
)
def test_marks_say_where_words_begin(pieces, text, expected):
    found = made(pieces.split(" "))
    assert found.text == text and words(found) == expected.split(" ")
    assert all(shown(found.text[a:b]) == label for (a, b), label in zip(found.spans, found.labels, strict=True))


def test_tokens_with_their_own_spaces():
    found = made(["The", " cat", "s", " ", "sat"])
    assert found.text == "The cats sat" and words(found) == ["The", "cat+s", "▁+sat"]


def test_bytes_are_the_characters_they_stand_for():
    assert made(["The", "ĠðŁ", "Ļ", "Ĥ", "!"]).labels == ("The", "🙂 1/3", "🙂 2/3", "🙂 3/3", "!")
    found = made(["▁a", "▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"])
    assert found.text == "a 🙂" and found.labels[2:] == ("🙂 1/4", "🙂 2/4", "🙂 3/4", "🙂 4/4")
    assert len(set(found.words[2:])) == 1
    assert made(["ä½ł", "å¥", "½"]).labels == ("你", "好 1/2", "好 2/2")
    assert made(["naïve", "café"]).labels == ("naïve", "café")  # no bytes of UTF-8
    assert made(["Ġa", "å¥"]).labels == ("a", r"\xe5\xa5")  # cut within a character


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "metaspace_bpe", "unigram"])
def test_pieces_of_real_tokenizers(kind, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(getattr(tiny, kind)(tmp_path))
    text = "The old man sat by the river."
    ids = tokenizer(text)["input_ids"]
    found = made(tokenizer.convert_ids_to_tokens(ids))
    expected = text.lower().replace(".", " .") if kind == "wordpiece" else text
    assert found.text == expected
    merged = [word.replace("+", "").replace("▁", "").lower() for word in words(found)]
    assert [one for one, flag in zip(merged, _of_words(found), strict=True) if not flag] == [
        "the", "old", "man", "sat", "by", "the", "river", ".",
    ]  # fmt: skip
    assert [flag for flag in found.special] == [token in tokenizer.all_special_ids for token in ids]


def _of_words(tokens: Tokens) -> list[bool]:
    return [flag for i, flag in enumerate(tokens.special) if i == 0 or tokens.words[i] != tokens.words[i - 1]]


def test_special_tokens_by_form_by_name_and_by_place():
    tokens = ["[CLS]", "<s>", "</s>", "<pad>", "<|im_start|>", ">>fr<<", "[MASK]", "<b>", "<unk>", "s"]
    assert made(tokens).special == (True,) * 6 + (False,) * 4
    assert made(tokens, ["<b>"]).special.index(True) == 7
    assert made({"tokens": ["a", "b"], "special": [False, True]}).special == (False, True)
    assert made({"tokens": ["a", "b"], "special": ["a"]}).special == (True, False)
    found = made(["[CLS]", "[CLS]", "a"])
    assert found.words == (0, 1, 2) and found.spans == ((0, 0), (0, 0), (0, 1)) and found.text == "a"


def test_words_spans_and_text_that_are_given():
    found = made({"tokens": ["[CLS]", "X", "Y", "Z"], "words": [None, 4, 4, 0]})
    assert found.words == (0, 1, 1, 2)
    told = {"tokens": ["<s>", "ol", "Ġd", "?"], "text": "old man", "spans": [[0, 0], [0, 2], [2, 3], [3, 7]]}
    found = made(told)
    assert found.text == "old man" and found.labels == ("<s>", "ol", "d", "man") and words(found)[1] == "ol+d"
    assert found.spans[3] == (4, 7)  # without the space in front
    assert made({"tokens": ["a"], "labels": ["shown"]}).labels == ("shown",)


def test_the_whole_json_of_one_text():
    told = {"tokens": ["a", "b"], "words": [0, 0], "text": "ab", "spans": [[0, 1], [1, 2]], "special": [False, False]}
    trace = read(encoder=attention(2, 2), json=json.dumps(told))
    assert merge_words(trace.maps["encoder"]).key_tokens.labels == ("ab",)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("tokens", [1, 2], "list of strings"),
        ("tokens", "ab", "list of strings"),
        ("words", [0], "1 numbers"),
        ("words", ["a", "b"], "whole numbers"),
        ("words", [True, False], "whole numbers"),
        ("special", [True], "1 marks"),
        ("special", 3, "true and false"),
        ("spans", [[0, 1], [1, 9]], "0 to 2"),
        ("spans", [[1, 0], [0, 1]], "0 to 2"),
        ("spans", [[0, 1]], "1 spans"),
        ("spans", [[0, 1], [0.5, 1]], "pairs"),
        ("text", 7, "string"),
        ("labels", ["a"], "1 labels"),
    ],
)
def test_fields_that_are_not_what_they_should_be(field, value, part):
    told = {"tokens": ["a", "b"], "text": "ab", field: value}
    refused(part, encoder=attention(2, 2), json=json.dumps(told))
    refused(part, cross=attention(2, 2), json=json.dumps({"source": told, "predicted": ["x", "y"]}))


def test_fields_without_what_they_need():
    refused("“text”", encoder=attention(2, 2), json=json.dumps({"tokens": ["a", "b"], "spans": [[0, 1], [1, 2]]}))
    refused("“wrods”", cross=attention(2, 2), json=json.dumps({"source": {"wrods": []}, "predicted": ["x", "y"]}))


def test_long_tokens_are_cut_and_counted():
    trace = read(encoder=attention(2, 2), tokens=["x" * 1_000_000, "b"])
    assert trace.source.labels[0] == "x" * LONGEST_TOKEN and "200 characters: 1." in trace.notes[0]
    assert len(trace.request.text) < 300


def test_text_is_text_whatever_it_holds():
    hostile = ["<script>alert(1)</script>", "\u202etxt", "a\x00b", "\ud800", "=1+1", "שלום", "👩\u200d👩\u200d👧"]
    found = made(hostile)
    assert found.labels == (
        "<script>alert(1)</script>",
        "txt",
        "a␀b",
        "\ufffd",
        "=1+1",
        "שלום",
        "👩\u200d👩\u200d👧",
    )
    assert made({"tokens": ["a", "b"], "labels": ["\u202etxt", "\x1b"]}).labels == ("\ufffdtxt", "␛")
    found.text.encode()  # no half of a surrogate pair is left


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(max_size=6) | st.sampled_from(["▁a", "##b", "Ġc", "<0xE4>", "</s>", "å¥", "@@", "</w>", ""]), min_size=1
    )
)
def test_any_strings_become_tokens(strings):
    found = made(strings)
    assert len(found) == len(strings) and all(0 <= a <= b <= len(found.text) for a, b in found.spans)
    assert all(later - earlier in (0, 1) for earlier, later in zip(found.words, found.words[1:], strict=False))
    spans = [span for span, flag in zip(found.spans, found.special, strict=True) if not flag]
    assert [a for a, _ in spans] == sorted(a for a, _ in spans)
    "".join((*found.labels, found.text)).encode()
