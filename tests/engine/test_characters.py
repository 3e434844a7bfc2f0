"""Folding text to a–z and space: what comes out, where it came from, and what is said about it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.characters import ALPHABET, CHARACTERS, UNKNOWN, Folded, encode, fold, fold_character, fold_text

ANYTHING = st.text(max_size=40) | st.text("aé É'’-1 \n\u0301\u200dßﬁ👩❤\ufe0f\ud800", max_size=40)


def told(text: str) -> list[str]:
    """What folding a text says about it."""
    return [str(change) for change in fold(text).changes]


def test_the_ids_are_those_of_the_article():
    # its character map: nothing, the space, then a to z
    assert (CHARACTERS, UNKNOWN) == (28, 0)
    assert encode(ALPHABET) == list(range(1, 28)) and ALPHABET == " abcdefghijklmnopqrstuvwxyz"


def test_positions_by_hand():
    folded = fold("An été, no 1 ")
    assert folded.text == " an ete no "
    assert folded.ids == (1, 2, 15, 1, 6, 21, 6, 1, 15, 16, 1)
    assert folded.origin == (0, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10)  # the comma became the space, the space after it went
    assert folded.words == (0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3)  # a space belongs to the word that it begins
    assert folded.known == (0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0)
    assert folded.word_texts == ("an", "ete", "no", "")
    assert [str(change) for change in folded.changes] == [
        "capital letters → small letters", "é → e (2 times)", ", → space", "1 → space",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("", " "),
        (" ", " "),
        ("   \n\t", " "),
        ("a", " a"),
        ("Z", " z"),
        ("1995!", " "),
        ("a  b", " a b"),
        ("north-africa", " north africa"),
        ("don't don’t", " dont dont"),
        ("cafe\u0301 CAF\u00c9", " cafe cafe"),
        ("Straße Łódź Ærøskøbing", " strasse lodz aeroskobing"),
        ("œuvre þorn ıİ", " oeuvre thorn ii"),
        ("ﬁne Ⅷ №", " fine viii no"),
        ("m²", " m "),
        ("ŉa", " na"),  # taken apart: an apostrophe and n
        ("co\u00adop x\u200by", " coop xy"),  # soft hyphen, zero-width space
        ("a👩🏽\u200d💻b", " a b"),
        ("I ❤\ufe0f u", " i u"),
        ("Привет мир", " "),
        ("漢字ok", " ok"),
        ("\u0301a", " a"),
        ("a\ud800b", " ab"),
        ("\u00b4a", " a"),  # an accent that stands alone
    ],
)
def test_what_comes_out(text, folded):
    assert fold(text).text == folded


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("plain text", []),
        ("", []),
        ("ABC", ["capital letters → small letters (3 times)"]),
        ("É", ["É → e"]),
        ("e\u0301", ["é → e"]),  # two characters that show as one are told as one
        ("it's", ["' dropped"]),
        ("a  b   c", ["repeated spaces → one space (3 times)"]),
        ("a\nb\r\nc\td", ["line break → space (2 times)", "carriage return → space", "tab → space"]),
        ("x\u200by", ["U+200B dropped"]),
        ("\u0301", ["U+0301 dropped"]),
        ("❤\ufe0f", ["❤ → space"]),  # the variant went with its emoji
        ("👩\u200d💻", ["👩 → space", "💻 → space"]),
        ("℃", ["℃ → c"]),
        ("\ud800", ["U+D800 dropped"]),
        ("12 12", ["1 → space (2 times)", "2 → space (2 times)"]),
    ],
)
def test_what_is_said(text, changes):
    assert told(text) == changes


@given(ANYTHING)
def test_the_form_of_every_fold(text):
    folded = fold(text)
    assert re.fullmatch(r"( [a-z]+)* ?", folded.text) and folded.text.startswith(" ")
    assert len({len(folded), len(folded.ids), len(folded.origin), len(folded.words), len(folded.known)}) == 1
    assert list(folded.ids) == encode(folded.text) and min(folded.ids) >= 1 and max(folded.ids) < CHARACTERS
    assert list(folded.origin) == sorted(folded.origin) and folded.origin[-1] <= max(len(text) - 1, 0)
    assert fold_text(text) == folded.text
    for position, (word, known) in enumerate(zip(folded.words, folded.known, strict=True)):
        shown = folded.text[position - known : position + 1]  # from the word's space to here
        assert shown[0] == " " and folded.word_texts[word].startswith(shown[1:]) and len(shown) == known + 1
        if position:  # each came from the character that `origin` says
            assert folded.text[position] in fold_character(text[folded.origin[position]])


@given(ANYTHING, st.integers(0, 40))
def test_typing_on_changes_nothing_before(text, length):
    whole, start = fold(text), fold(text[:length])
    assert whole.text.startswith(start.text)
    for name in ("origin", "words", "known", "ids"):
        assert getattr(whole, name)[: len(start)] == getattr(start, name)


@given(ANYTHING)
def test_nothing_changes_unsaid_and_a_second_time_nothing(text):
    folded = fold(text)
    again = fold(folded.text)
    assert (again.text, again.changes) == (folded.text, ())
    if not folded.changes:
        assert folded.text in (text, f" {text}")


@pytest.mark.parametrize("part", ["word ", "é", "1", "👩", "\u0301\u0316", "Ж漢"])
def test_a_hundred_thousand_characters(part):
    text = "a" + part * (100_000 // len(part))
    folded = fold(text)
    assert isinstance(folded, Folded) and folded.text == fold_text(text)
    assert len(folded.changes) <= 2  # told once each, with a count
    assert sum(change.count for change in folded.changes) in (0, len(text) - 1)
