"""The data files of "Visualizing memorization in RNNs", and any in their layout, as connected texts.

Source: Madsen 2019 (Distill, 10.23915/distill.00016), connectivity_{gru,lstm,nlstm}.json. A file is a JSON list with
one object for each character t̃ of a text:

    char          the character, a space for a space
    target        the whole word that it belongs to, the space to the word after it
    predict       the three most probable words
    probability   of each of them, in [0, 1]
    connectivity  for each character t of the text Σ_v (∂ logit_target(t̃) / ∂ x_v^t)², 0 after t̃

Numbers are squares over the one-hot input, without a root: the mode "squared". The networks of the article read 28
symbols, a to z, the space and "<eos>", and say 16,386 words, of which two are "<eos>" and "<unknown>". Its loss counts
neither as a target, so rows of these targets are masked here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.errors import EmptyInput, InputError, InputTooLong
from engine.types import MASKED, ConnectedText, Connectivity, Suggestions

MOST_BYTES = 20_000_000
MOST_ROWS = 1_000
LONGEST_WORD = 100  # characters
MODE = "squared"
NO_WORDS = ("", "<eos>", "<unknown>")
"""Targets that stand for no word."""

KEYS = ("char", "target", "predict", "probability", "connectivity")
TOP = 3
_LAYOUT = (
    "Give a file in the layout of the article's: a list with one object for each character, which has "
    + ", ".join(f'"{key}"' for key in KEYS)
    + "."
)
# At most these many commas and brackets are in a file of so many rows; a file of more is not worth its memory.
_MOST_VALUES = MOST_ROWS * (MOST_ROWS + 100)
_LARGEST = float(np.finfo(np.float32).max)


def read_article(content: bytes, name: str) -> ConnectedText:
    """A file of the article's layout as a connected text in the mode "squared", about each desired word.

    Rows are about words, which get numbers in the order of their first appearance. Where the target is "<eos>",
    "<unknown>" or "" the row is masked and the desired word "". Other keys of an object are ignored.

    Args:
        content: the file.
        name: of the network, for people.

    Raises:
        InputTooLong: more than 20 MB, or more than 1,000 rows.
        EmptyInput: a file without rows.
        InputError: anything else that is not this layout; the sentence names the row, counted from 1.
    """
    rows = _parse(content)
    text = "".join(_character(row["char"], place) for place, row in enumerate(rows, 1))
    targets = [_word(row["target"], "target", place) for place, row in enumerate(rows, 1)]
    desired = tuple("" if word in NO_WORDS else word for word in targets)
    suggestions = tuple(_suggestions(row, place) for place, row in enumerate(rows, 1))
    exact = np.stack([_numbers(row["connectivity"], len(rows), place) for place, row in enumerate(rows, 1)])
    late = np.flatnonzero(np.triu(exact, 1).any(axis=1))
    if len(late):
        raise _wrong(late[0] + 1, '"connectivity" is not 0 after the row\'s own character, which no output has read')
    numbers = {word: number for number, word in enumerate(dict.fromkeys(word for word in desired if word))}
    words = [numbers.get(word, MASKED) for word in desired]
    exact[np.array(words) == MASKED] = 0
    return ConnectedText(name, text, desired, suggestions, desired, Connectivity.of(exact, MODE, words))


def _parse(content: bytes) -> list[dict[str, Any]]:
    """The rows, each with every key."""
    if len(content) > MOST_BYTES:
        raise InputTooLong(f"The file has more than {MOST_BYTES // 10**6} MB. Give a file of a shorter text.")
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise InputTooLong(f"The file holds more values than {MOST_ROWS:,} characters need. Give a shorter text.")
    try:
        rows = json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise InputError(f"The file's lists are nested too deeply. {_LAYOUT}") from None
    except ValueError as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise InputError(f"The file is not JSON ({type(error).__name__}). {_LAYOUT}") from None
    if not isinstance(rows, list):
        raise InputError(f"The file is not a list. {_LAYOUT}")
    if not rows:
        raise EmptyInput("The file has no rows. Give one of a text with at least one character.")
    if len(rows) > MOST_ROWS:
        raise InputTooLong(
            f"The file has {len(rows):,} rows, and {MOST_ROWS:,} can be shown. Give a file of a shorter text."
        )
    for place, row in enumerate(rows, 1):
        missing = [key for key in KEYS if key not in row] if isinstance(row, dict) else []
        if missing or not isinstance(row, dict):
            raise _wrong(place, f'there is no "{missing[0]}"' if missing else "it is not an object")
    return rows


def _character(value: object, place: int) -> str:
    if value == "<eos>":
        raise _wrong(place, '"char" is <eos>, the end of a text. Leave out these rows, and their columns')
    if not isinstance(value, str) or len(value) != 1 or not value.isprintable():
        raise _wrong(place, '"char" is not one printable character')
    return value


def _word(value: object, key: str, place: int) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_WORD or not value.isprintable():
        raise _wrong(place, f'"{key}" is not a word of at most {LONGEST_WORD} printable characters')
    return value


def _suggestions(row: dict[str, Any], place: int) -> Suggestions:
    """The words and their probabilities, most probable first."""
    words, shares = row["predict"], row["probability"]
    if not isinstance(words, list) or len(words) != TOP:
        raise _wrong(place, f'"predict" is not a list of {TOP} words')
    if not isinstance(shares, list) or len(shares) != TOP or not _all_numbers(shares):
        raise _wrong(place, f'"probability" is not a list of {TOP} numbers')
    if not all(0 <= share <= 1 for share in shares):  # False of NaN, too
        raise _wrong(place, '"probability" holds a number that is not between 0 and 1')
    pairs = [(_word(word, "predict", place), float(share)) for word, share in zip(words, shares, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _numbers(values: object, length: int, place: int) -> np.ndarray:
    """One row of connectivity, float64 (length,)."""
    if not isinstance(values, list) or not _all_numbers(values):
        raise _wrong(place, '"connectivity" is not a list of numbers')
    if len(values) != length:
        raise _wrong(place, f'"connectivity" has {len(values):,} numbers, and the text {length:,} characters')
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:
        numbers = np.array([np.inf])
    if not (np.abs(numbers) <= _LARGEST).all():  # NaN is not, either
        raise _wrong(place, '"connectivity" holds a number that is not finite, or beyond the range of float32')
    if (numbers < 0).any():
        raise _wrong(place, '"connectivity" holds a negative number, and squares have none')
    return numbers


def _all_numbers(values: Sequence[object]) -> bool:
    """Whether all are numbers; True and False are not."""
    return {type(value) for value in values} <= {int, float}


def _wrong(place: int, what: str) -> InputError:
    return InputError(f"Row {place:,}: {what}. {_LAYOUT}")
