"""Cases: the grammar's sentences, and a file's rows, of which a bad one never stops the others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cases import HALF, MOST_BYTES, MOST_ROWS, Case, grammar_cases, read_cases
from engine.errors import InputError
from engine.training.lexicon import NOUNS
from engine.training.synthetic import set_a, set_b

HEADER = "sentence,pronoun,candidate A,candidate B,answer,french\n"
CAT = "The cat saw the key because it was red."


def read(text: str) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    return read_cases(text.encode())


def one(row: str, header: str = HEADER) -> Case:
    """The case of a row that can be used without a word."""
    cases, problems = read(header + row)
    assert problems == ()
    (case,) = cases
    return case


def refused(row: str) -> str:
    """The problem of a row that cannot be used."""
    cases, problems = read(HEADER + row)
    assert cases == ()
    (problem,) = problems
    return problem


# --- The grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a-valid", "b"])
def test_grammar_cases_are_the_set_whole(name):
    cases, examples = grammar_cases(name), set_b() if name == "b" else set_a("valid", HALF)
    assert [case.text for case in cases] == [example.english for example in examples]
    for case, example in zip(cases, examples, strict=True):
        assert case.nouns == example.nouns and len(case.nouns) >= 2, case.text
        assert case.text[slice(*case.pronoun)].lower() == "it"
        assert (case.answer, case.french_pronoun, case.french) == (
            example.answer, example.french_pronoun, example.french,
        )  # fmt: skip


def test_a_count_takes_the_first_of_the_test_half():
    first = set_a("test", HALF)[:7]
    assert [case.text for case in grammar_cases("a-test", 7)] == [example.english for example in first]


# --- A file -----------------------------------------------------------------------------------------------------------


def test_a_row_by_hand():
    case = one(f"{CAT},it,cat,key,A,elle")
    assert case == Case(CAT, (28, 30), ((4, 7), (16, 19)), 0, "elle", None)
    assert case.nouns == ("cat", "key")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_byte_order_marks_and_line_ends(delimiter, mark, newline):
    rows = [["Sentence", "PRONOUN", "candidate_a", "CandidateB", " Answer "], [CAT, "it", "cat", "key", "b"]]
    cases, problems = read(mark + "".join(delimiter.join(row) + newline for row in rows))
    assert problems == () and cases == (Case(CAT, (28, 30), ((4, 7), (16, 19)), 1, None, None),), (
        "no noun of the grammar"
    )


def test_columns_may_stand_in_any_order_beside_others_and_blank_lines_are_skipped():
    cases, problems = read(f"note,answer,candidate b,candidate a,pronoun,sentence\n\n,,,,,\nx,A,key,cat,it,{CAT}\n\n")
    assert problems == () and [case.nouns for case in cases] == [("cat", "key")]


def test_quoted_cells_keep_commas_and_line_breaks_count_as_lines():
    row = '"It was red, so the cat\nsaw the key.",it,cat,key,key,\nNothing here.,it,cat,key,A,'
    cases, problems = read(HEADER + row)
    assert cases[0].text == "It was red, so the cat saw the key." and cases[0].answer == 1
    assert problems[0].startswith("Line 4: the pronoun “it” is no word of the sentence."), "the third row, line 4"


def test_words_are_found_whole_and_in_any_case():
    case = one("It bit the Catfish that the CAT ate.,it,cat,catfish,A,")
    assert case.pronoun == (0, 2), "not the one in bit"
    assert case.nouns == ("CAT", "Catfish")


def test_of_several_the_first_counts_and_a_note_says_so():
    cases, problems = read(HEADER + "The cat saw the key because it was red and it fell.,it,cat,key,B,")
    assert cases[0].pronoun == (28, 30)
    assert problems == ("Line 2: “it” stands in the sentence 2×, and the first is taken. Write “it#2” for the second.",)


def test_a_number_chooses_among_several():
    case = one("The dog saw a dog because it was red and it fell.,it#2,dog#1,dog #2,B,il")
    assert (case.pronoun, case.candidates) == ((41, 43), ((4, 7), (14, 17)))
    assert case.answer == 1
    assert refused("The dog saw a cat because it fell.,it#2,dog,cat,A,").startswith(
        "Line 2: the pronoun “it” stands in the sentence 1×."
    )


def test_the_answer_is_a_letter_or_the_noun():
    for answer, index in (("A", 0), ("b", 1), ("Cat", 0), ("key", 1)):
        assert one(f"{CAT},it,cat,key,{answer},il").answer == index


@pytest.mark.parametrize("noun", [NOUNS[0], next(noun for noun in NOUNS if noun.gender == "f")])
def test_without_french_the_grammar_knows_the_gender(noun):
    row = f"The {noun.english} saw the zorp because it was red.,it,{noun.english},zorp"
    assert one(f"{row},A,").french_pronoun == {"m": "il", "f": "elle"}[noun.gender]
    assert one(f"{row},A").french_pronoun == one(f"{row},A,").french_pronoun, "a cell fewer is an empty one"
    assert one(f"{row},B,").french_pronoun is None, "no noun of the grammar"
    for stated in ("il", "ELLE"):
        assert one(f"{row},A,{stated}").french_pronoun == stated.lower(), "what the file says comes first"


def test_texts_are_normalised_as_the_model_reads_them():
    case = one("The  cat saw the caf\u0065\u0301 because it\u200b was red.,it,cat,caf\u00e9,A,il")
    assert case.text == "The cat saw the café because it was red."
    assert case.nouns == ("cat", "café")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"{CAT},,cat,key,A,", "pronoun is empty. Fill it in."),
        (f"{CAT},it,cat,key", "answer is empty. Fill it in."),
        (f"{CAT},she,cat,key,A,", "the pronoun “she” is no word of the sentence."),
        (f"{CAT},it,dog,key,A,", "the candidate A “dog” is no word of the sentence."),
        (f"{CAT},it,cat,ke,A,", "the candidate B “ke” is no word"),
        (f"{CAT},it,cat,cat,A,", "are not three different words"),
        (f"{CAT},it,cat,it,A,", "are not three different words"),
        (f"{CAT},it,cat,key,dog,", "the answer “dog” is none of the candidates. Write A or B."),
        (f"{CAT},it,cat,key,A,ils", "french is “ils”. Write il or elle, or leave it empty."),
        (f"{CAT},it,cat,key,A,,because", "it has more cells than there are columns."),
        ("=HYPERLINK(1),it,cat,key,A,", "the pronoun “it” is no word of the sentence."),
        (f"{CAT},{'x' * 9000},cat,key,A,", "xxx…” is no word"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row, problem):
    found = refused(row)
    assert found.startswith("Line 2: ") and problem in found
    assert len(found) < 250, "a long cell is not repeated in full"


def test_the_rest_counts():
    cases, problems = read(HEADER + f"{CAT},it,cat,key,A,\n{CAT},it,dog,key,A,\n{CAT},it,cat,key,B,\n")
    assert [case.answer for case in cases] == [0, 1]
    assert [problem[:7] for problem in problems] == ["Line 3:"]


def test_a_formula_is_text():
    assert one("=cat & key because it,it,cat,key,A,il").text == "=cat & key because it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "This file is empty. Its first line names the columns: sentence, pronoun"),
        (b" \n\n", "This file is empty."),
        (HEADER.encode(), "This file has column names and no rows."),
        (b"a,b\n1,2\n", "names no column sentence, pronoun, candidate A, candidate B, answer."),
        (b"sentence;pronoun;answer\nx;y;z\n", "names no column candidate A, candidate B."),
        ((HEADER[:-1] + ",Answer\nx\n").encode(), "names the column answer twice."),
        (HEADER.encode("utf-16"), "no text in UTF-8. Save the table as “CSV UTF-8”"),
        ("sentence,é".encode("latin-1"), "no text in UTF-8."),
        (b"PK\x03\x04\x00\x00", "no text in UTF-8."),
        (HEADER.encode() + b"x\0y,it,a,b,A,\n", "no text in UTF-8."),
        (b"x" * (MOST_BYTES + 1), "larger than 4 MB."),
        (HEADER.encode() + b'"' + b"x" * 200_000, "The row that begins in line 2 cannot be read as CSV"),
        (HEADER.encode() + f"{CAT},it,cat,key,A,\n".encode() * (MOST_ROWS + 1), "more than 2,000 rows."),
    ],
)
def test_what_is_no_such_file_is_refused(content, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_cases(content)


def test_as_many_rows_as_allowed_are_read():
    cases, problems = read(HEADER + f"{CAT},it,cat,key,A,\n" * MOST_ROWS)
    assert (len(cases), problems) == (MOST_ROWS, ())


@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda text: (HEADER + text).encode("utf-8", "replace"))
    )
)
def test_no_file_is_answered_otherwise_than_with_cases_problems_or_a_refusal(content):
    try:
        cases, problems = read_cases(content)
    except InputError as error:
        assert str(error).endswith(".")
    else:
        assert cases or problems
