"""The normal form of running text, and its sentences."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prose import CODE_POINT_BITS, normalise_prose, sentences_of

# What prose is made of: letters, marks, quotes, brackets, titles, and blanks of every sort.
PIECES = st.sampled_from(
    ["a", "He", "I", "Mr.", "St.", "J.", "3", "é", "e\u0301", ".", "!", "?", "...", '"', "'", "“", "”", "(", ")", "]",
     " ", " ", "  ", "\t", "\n", "\n\n", "\n \n", "\r\n", "\r\n\r\n", "\u200b", "\u00a0", "\u2029", ",", "—"]
)  # fmt: skip
PROSE = st.lists(PIECES, max_size=40).map("".join)


# --- The normal form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\n \n ", ""),
        ("one line", "one line"),
        ("broken\nin two", "broken in two"),
        ("first\n\nsecond", "first\nsecond"),
        ("first\n \t\n\n\nsecond\n", "first\nsecond"),
        ("first\r\nstill\r\n\r\nsecond", "first still\nsecond"),
        ("“It’s”  he   said…", '"It\'s" he said...'),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u200bb\u00a0c", "ab c"),
        ("first\n\n\u200b\n\nsecond", "first\nsecond"),  # nothing shows in between
    ],
)
def test_paragraphs_become_lines(text, expected):
    assert normalise_prose(text) == expected


@given(PROSE | st.text(max_size=60))
def test_the_normal_form_has_no_empty_lines_and_single_spaces(text):
    found = normalise_prose(text)
    for line in found.split("\n") if found else []:
        assert line and line == line.strip() == " ".join(line.split())


@given(PROSE | st.text(max_size=60))
def test_a_text_in_normal_form_stays_as_it_is(text):
    """Each paragraph by itself, and all of them where blank lines part them again."""
    found = normalise_prose(text)
    assert all(normalise_prose(line) == line for line in found.split("\n"))
    assert normalise_prose(found.replace("\n", "\n\n")) == found


def test_a_character_that_is_not_known_is_one_of_unicodes():
    assert pytest.approx(math.log2(17 * 65536)) == CODE_POINT_BITS


# --- Sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentences",
    [
        ["No end"],
        ["It slept.", "It woke!", "Did it?", "It did."],
        ["Mr. Fox met Dr. Owl and Mrs. Hen.", "They talked."],
        ["He saw Messrs. Jones and Capt. Hook at St. Paul's."],
        ["J. R. Smith wrote it.", "A. B. read it."],
        ['"Come!"', '"No," he said.', '"Never."', "She left."],
        ["(It was late.)", "(So late!)", "['Quite.']", "Yes."],
        ["They came... and went.", "Then?!", "3 came back."],
        ["It cost 3.50 in the U.S. Senate then."],
        ["He saw Amr.", "It was he."],  # no title, only its end
        ["She came at ten. and left."],  # a small letter begins none
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences):
    assert sentences_of(" ".join(sentences)) == sentences


@pytest.mark.parametrize("title", ["Mr", "Mrs", "Ms", "Dr", "St", "Prof", "Rev", "Capt", "Col", "Gen", "Lt", "Messrs"])
def test_a_title_ends_no_sentence(title):
    assert sentences_of(f"We met {title}. Grey.") == [f"We met {title}. Grey."]
    assert sentences_of(f"{title}. Grey came. He sat.") == [f"{title}. Grey came.", "He sat."]
    assert sentences_of(f'"{title}. Grey!" He sat.') == [f'"{title}. Grey!"', "He sat."]


@given(PROSE | st.text(max_size=60))
def test_joined_sentences_give_the_paragraph_back(text):
    for paragraph in normalise_prose(text).split("\n"):
        sentences = sentences_of(paragraph)
        assert " ".join(sentences) == paragraph
        assert all(sentences) or paragraph == ""


@pytest.mark.parametrize("part", ['."', ". A", ".)))", "Mr. ", '. "(', "\n \n", "\n\t"])
def test_long_texts_take_linear_time(part):
    """Thirty thousand repetitions take a second; in quadratic time they would take minutes."""
    text, start = part * 30_000, time.process_time()
    assert "".join(sentences_of(text)).count(".") == text.count(".")
    normalise_prose(text)
    assert time.process_time() - start < 15
