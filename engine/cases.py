"""Cases: sentences with a pronoun, the nouns it may stand for and the one it does, from the grammar or from a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.coreference import Span
from engine.errors import InputError
from engine.text import normalise
from engine.training.lexicon import NOUNS
from engine.training.sentences import PronounExample
from engine.training.synthetic import set_a, set_b

GrammarSet = Literal["a-valid", "a-test", "b"]
HALF = 1200  # sentences of set A's validation half, and of its test half
MOST_ROWS = 2000
MOST_BYTES = 4_000_000
COLUMNS: Mapping[str, str] = {
    "sentence": "sentence",
    "pronoun": "pronoun",
    "candidatea": "candidate A",
    "candidateb": "candidate B",
    "answer": "answer",
}
"""The columns that a file must have: as headers are compared, and as messages name them."""

_PRONOUNS = {"m": "il", "f": "elle"}
_GENDERS = {noun.english.casefold(): noun.gender for noun in NOUNS}
_NUMBERED = re.compile(r"^(.*\S)\s*#([1-9]\d{0,3})$", re.DOTALL)
_SHOWN = 40  # characters of a cell that a message quotes


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence whose pronoun stands for one of several nouns.

    Attributes:
        text: the English sentence, normalised.
        pronoun: where the pronoun stands in it.
        candidates: where the nouns stand, two at least: all nouns of a grammar sentence, A and B of a row in a file.
        answer: index of the right noun.
        french_pronoun: "il" or "elle", whichever is right in a translation; None where nobody knows.
        french: a reference translation; None without one.
    """

    text: str
    pronoun: Span
    candidates: tuple[Span, ...]
    answer: int
    french_pronoun: str | None = None
    french: str | None = None

    @property
    def nouns(self) -> tuple[str, ...]:
        """The candidates as they stand in the sentence."""
        return tuple(self.text[slice(*span)] for span in self.candidates)


def case_of(example: PronounExample) -> Case:
    """A sentence of the grammar as a case."""
    return Case(
        example.english,
        (example.pronoun.start, example.pronoun.end),
        tuple((noun.start, noun.end) for noun in example.candidates),
        example.answer,
        example.french_pronoun,
        example.french,
    )


def grammar_cases(name: GrammarSet, count: int | None = None) -> tuple[Case, ...]:
    """The first sentences of a held-out set of the pronoun grammar.

    Args:
        name: set A's validation half or its test half, or set B, whose adjectives the training never used.
        count: how many; None for all: 1,200 of each half, 500 of set B.
    """
    examples = set_b() if name == "b" else set_a("valid" if name == "a-valid" else "test", HALF)
    return tuple(case_of(example) for example in examples[:count])


def read_cases(content: bytes) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Cases of a CSV file in UTF-8, its cells separated by commas, semicolons or tabs.

    The first line names the columns: sentence, pronoun, candidate A, candidate B, answer, and french where wanted, in
    any order and in small or capital letters. `answer` is A, B or the noun; `french` is il or elle, and where it is
    empty the noun's gender in the pronoun grammar tells it. Words are found as whole words, in small or capital
    letters: of a word that stands there several times the first counts, and "it#2" means the second. Cells are text
    and nothing else: one that begins with = is no formula here.

    Args:
        content: the file.

    Returns:
        The cases of the rows that can be used; and, with line numbers, why the others cannot, and where a word stands
        in a sentence several times.

    Raises:
        InputError: it is no such file, or it is empty or too large.
    """
    rows = _rows(_text(content))
    line, header = next(rows, (0, []))
    columns = _columns(header)
    cases: list[Case] = []
    problems: list[str] = []
    count = 0
    for line, cells in rows:
        count += 1
        if count > MOST_ROWS:
            raise InputError(f"This file has more than {MOST_ROWS:,} rows. Split it into smaller files.")
        try:
            case, notes = _case(cells, columns, len(header))
        except _Unusable as problem:
            problems.append(f"Line {line}: {problem}")
            continue
        cases.append(case)
        problems += [f"Line {line}: {note}" for note in notes]
    if not count:
        raise InputError("This file has column names and no rows. Add one row for each sentence.")
    return tuple(cases), tuple(problems)


class _Unusable(Exception):
    """Why a row cannot be used, as a sentence."""


def _text(content: bytes) -> str:
    """The file's text, without a byte order mark."""
    if len(content) > MOST_BYTES:
        raise InputError(f"This file is larger than {MOST_BYTES // 1_000_000} MB. Split it into smaller files.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError("This file is no text in UTF-8. Save the table as “CSV UTF-8” and choose it again.")
    if not text.strip():
        raise InputError("This file is empty. Its first line names the columns: " + ", ".join(COLUMNS.values()) + ".")
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"The row that begins in line {line} cannot be read as CSV ({error}). Check its quotation marks."
        ) from None


def _delimiter(text: str) -> str:
    """What separates the cells: whichever of the three gives most of the columns in the first line."""
    first = text.lstrip().splitlines()[0]

    def known(delimiter: str) -> int:
        return sum(_key(cell.strip('"')) in COLUMNS for cell in first.split(delimiter))

    return max(",;\t", key=known)


def _key(header: str) -> str:
    """A column's name as it is compared: "Candidate_A" and "candidate a" are the same."""
    return re.sub(r"[\s_]+", "", header).casefold()


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands, by its compared name."""
    keys = [_key(cell) for cell in header]
    if missing := [name for key, name in COLUMNS.items() if key not in keys]:
        raise InputError(
            f"The first line names no column {', '.join(missing)}. It needs: {', '.join(COLUMNS.values())}; "
            "and french (il or elle) where wanted."
        )
    wanted = [*COLUMNS, "french"]
    if twice := [cell.strip() for cell, key in zip(header, keys, strict=True) if key in wanted and keys.count(key) > 1]:
        raise InputError(f"The first line names the column {twice[0]} twice. Remove one of them.")
    return {key: keys.index(key) for key in wanted if key in keys}


def _case(cells: Sequence[str], columns: Mapping[str, int], width: int) -> tuple[Case, list[str]]:
    """One row's case, and what to know about it."""
    if any(cell.strip() for cell in cells[width:]):
        raise _Unusable("it has more cells than there are columns. Put a sentence with commas in quotation marks.")
    values = {key: normalise(cells[at]) if at < len(cells) else "" for key, at in columns.items()}
    if empty := [name for key, name in COLUMNS.items() if not values[key]]:
        raise _Unusable(f"{', '.join(empty)} is empty. Fill it in.")
    text, notes = values["sentence"], []
    spans = []
    for key in ("pronoun", "candidatea", "candidateb"):
        span, note = _find(values[key], text, COLUMNS[key])
        spans.append(span)
        notes += [note] if note else []
    if any(a[0] < b[1] and b[0] < a[1] for i, a in enumerate(spans) for b in spans[:i]):
        raise _Unusable("the pronoun and the two candidates are not three different words. Write dog#2 for a second.")
    answer = _answer(values["answer"], values["candidatea"], values["candidateb"])
    noun = text[slice(*spans[1 + answer])]
    return Case(text, spans[0], (spans[1], spans[2]), answer, _french(values.get("french", ""), noun)), notes


def _find(cell: str, text: str, name: str) -> tuple[Span, str]:
    """Where a word stands, and a note if that was a choice."""
    numbered = _NUMBERED.match(cell)
    word, number = (numbered[1], int(numbered[2])) if numbered else (cell, 1)
    found = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)]
    if not found:
        raise _Unusable(f"the {name} {_quoted(word)} is no word of the sentence. Write it as it stands there.")
    if number > len(found):
        raise _Unusable(f"the {name} {_quoted(word)} stands in the sentence {len(found)}×. Choose a lower number.")
    if numbered or len(found) == 1:
        return found[number - 1], ""
    return found[0], (
        f"{_quoted(word)} stands in the sentence {len(found)}×, and the first is taken. "
        f"Write {_quoted(word + '#2')} for the second."
    )


def _answer(answer: str, first: str, second: str) -> int:
    """Index of the right candidate."""
    given, names = answer.casefold(), (first.casefold(), second.casefold())
    if given in ("a", "b"):
        return "ab".index(given)
    if names.count(given) != 1:
        raise _Unusable(f"the answer {_quoted(answer)} is none of the candidates. Write A or B.")
    return names.index(given)


def _french(cell: str, noun: str) -> str | None:
    """The right French pronoun: as given, or by the noun's gender in the grammar."""
    if not cell:
        gender = _GENDERS.get(noun.casefold())
        return _PRONOUNS[gender] if gender else None
    if cell.casefold() not in _PRONOUNS.values():
        raise _Unusable(f"french is {_quoted(cell)}. Write il or elle, or leave it empty.")
    return cell.casefold()


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}”"
