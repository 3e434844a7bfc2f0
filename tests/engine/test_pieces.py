"""Pieces on a screen: what bytes spell, labels with a form, and words in scripts with and without spaces."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pieces import byte_of, chains, dense, labels_of, shown, spelled, trimmed, words_of


def by_character(text: str) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(len(text))]


@pytest.mark.parametrize(
    "script",
    ["กข", "ກຂ", "ကခ", "កខ", "かカㇰ", "中㐀豈", "\u2f00\u2e80", "𠀀\U00030000"],
    ids=["Thai", "Lao", "Myanmar", "Khmer", "kana", "ideographs", "radicals", "further ideographs"],
)
def test_scripts_without_spaces_have_a_word_for_each_piece(script):
    assert all(map(dense, script))
    text = f"a{script}b"
    assert words_of(text, by_character(text), [False] * len(text)) == tuple(range(len(text)))


@pytest.mark.parametrize("text", ["abc", "été", "где", "والق", "नमत", "안녕하", "123"])
def test_other_scripts_have_words_between_spaces(text):
    assert not any(map(dense, text)) and not dense("")
    assert words_of(text, by_character(text), [False] * len(text)) == (0,) * len(text)


def test_marks_joiners_and_skins_stay_with_what_they_stand_upon():
    for text, count in (("ดีครับ", 4), ("e\u0301a", 1), ("👩\u200d👧", 1), ("👍🏽", 1), ("❤\ufe0f", 1)):
        words = words_of(text, by_character(text), [False] * len(text))
        assert len({*words}) == count, text


def test_what_is_alone_is_a_word_of_its_own():
    assert words_of("ab", [(0, 0), (0, 1), (1, 2), (0, 0)], [True, False, False, True]) == (0, 1, 1, 2)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" cat", "cat"),
        ("", "▁"),
        ("  ", "▁▁"),
        (" " * 7, "▁×7"),
        ("\n\t", "↵→"),
        ("a\n", "a↵"),
        ("\u0e31", "◌\u0e31"),
        ("\u200d", "U+200D"),
        ("\ufe0f", "U+FE0F"),
        ("\u202etxt", "txt"),
        ("\u061c", "U+061C"),
    ],
)
def test_a_label_has_a_form(text, label):
    assert shown(text) == label


def test_bytes_spell_characters_and_share_them():
    parts = [b"a ", b"\xf0\x9f", b"\x99\x82", b"", b"\xe5\xa5"]
    text, spans = spelled(parts)
    assert text == "a 🙂\ufffd\ufffd" and spans == [(0, 2), (2, 3), (2, 3), (3, 3), (3, 5)]
    assert chains(spans) == [[0], [1, 2], [3], [4]]
    assert labels_of(text, spans, lambda index: f"#{index}") == ("a", "🙂 1/2", "🙂 2/2", "#3", "#4")
    assert byte_of("<0xE5>") == 0xE5 and byte_of("<0xe5>") is byte_of("<0xE5>.") is None


def test_spaces_at_the_ends_are_no_part_of_a_piece():
    text = " a b \n"
    assert trimmed(text, 0, 5) == (1, 4) and trimmed(text, 0, 1) == (0, 1)
    assert trimmed(text, 3, 6) == (3, 6) and trimmed(text, 2, 2) == (2, 2)


@given(st.text(max_size=20), st.lists(st.integers(0, 40), max_size=6))
def test_parts_of_any_bytes_have_places_in_order(text, cuts):
    content = text.encode("utf-8", "replace")
    ends = sorted([0, len(content), *(cut for cut in cuts if cut <= len(content))])
    parts = [content[a:b] for a, b in pairwise(ends)]
    found, spans = spelled(parts)
    assert found == content.decode() and [a for a, _ in spans] == sorted(a for a, _ in spans)
    assert len(labels_of(found, spans, str)) == len(words_of(found, spans, [False] * len(spans))) == len(parts)


def test_uploads_need_neither_torch_nor_transformers():
    code = "import sys, engine.uploads.files; print(*({'torch', 'transformers', 'tokenizers'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
