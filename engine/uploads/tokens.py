"""The tokens of an uploaded text: what a screen shows, where each stands in the text, and which make a word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import InputError
from engine.pieces import Span, labels_of, trimmed, words_of
from engine.text import quoted
from engine.types import Tokens
from engine.uploads.marks import assembled, clean, counted, names_of, readable

MOST_TOKENS = 16_384
LONGEST_TOKEN = 200  # characters; a screen shows fewer, and a tooltip these
LONGEST_TEXT = 1_000_000  # characters
FIELDS = ("tokens", "labels", "words", "spans", "text", "special")
"""What can be said of a text."""

_SPECIAL = re.compile(
    r"\[(?:CLS|SEP|PAD|BOS|EOS)\]|</?s>|<(?:pad|bos|eos|cls|sep|start_of_turn|end_of_turn|extra_id_\d+)>"
    r"|<\|[^|<>]{1,60}\|>|<｜[^｜<>]{1,60}｜>|>>\w{2,8}<<"
)


def tokens_of(where: str, given: Any, count: int, special: Sequence[str] | None) -> tuple[Tokens, tuple[str, ...]]:
    """A text as a file describes it.

    Marks of common tokenizers tell where words begin ("▁cat", "Ġcat", "##s", "cat</w>", "ca@@", " cat"); without any,
    each token is a word. Byte-level pieces become the characters they stand for.

    Args:
        where: what a message calls it: "source".
        given: the tokens, or an object with them and any other of `FIELDS`.
        count: how many the maps have.
        special: tokens that are no part of the text; None to know them by their form.

    Returns:
        The tokens, and what was done to them, as sentences.

    Raises:
        InputError: fields that are not what they should be, or of another length.
    """
    told = given if isinstance(given, dict) else {"tokens": given}
    if unknown := [name for name in told if name not in FIELDS]:
        raise InputError(f"The {where} has a field {quoted(unknown[0])}. Known are: {', '.join(FIELDS)}.")
    strings = _strings(where, "tokens", told.get("tokens"), count)
    flags = _flags(where, told.get("special"), strings, special)
    long = sum(len(one) > LONGEST_TOKEN for one in strings)
    tokens = [readable(one[:LONGEST_TOKEN]) for one in strings]
    text, spans = _placed(where, told, tokens, flags)
    words = _given_words(where, told["words"], flags) if told.get("words") is not None else words_of(text, spans, flags)
    if told.get("labels") is not None:
        labels = tuple(clean(one[:LONGEST_TOKEN]) for one in _strings(where, "labels", told["labels"], count))
    else:
        labels = labels_of(text, spans, names_of(tokens, flags).__getitem__)
    note = f"Tokens of the {where} longer than {LONGEST_TOKEN} characters: {long:,}. Only their beginning is shown."
    return Tokens(text, labels, (), words, tuple(spans), tuple(flags)), (note,) if long else ()


def _strings(where: str, name: str, given: Any, count: int) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise InputError(
            f"The {name} of the {where} should be a list of strings. Write [str(token) for token in tokens]."
        )
    _check_length(where, name, len(given), count)
    if count > MOST_TOKENS:
        raise InputError(f"The {where} has {count:,} tokens; {MOST_TOKENS:,} is the most. Save a shorter text.")
    return given


def _check_length(where: str, name: str, found: int, count: int) -> None:
    if found != count:
        raise InputError(
            f"The maps have {count:,} positions for the {where}, and the file has {found:,} {name}. Save as many "
            f"{name} as the map has rows or columns, special tokens included."
        )


def _flags(where: str, given: Any, strings: Sequence[str], special: Sequence[str] | None) -> list[bool]:
    """Which tokens are special: one true or false for each, or the special tokens themselves."""
    if given is None:
        known = None if special is None else set(special)
        return [bool(_SPECIAL.fullmatch(one)) if known is None else one in known for one in strings]
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        return [one in set(given) for one in strings]
    if not isinstance(given, list) or not all(isinstance(one, bool) for one in given):
        raise InputError(f"“special” of the {where} should be a list of true and false, or of the special tokens.")
    _check_length(where, "marks in “special”", len(given), len(strings))
    return given


def _placed(where: str, told: Mapping[str, Any], tokens: list[str], flags: list[bool]) -> tuple[str, list[Span]]:
    """The text and the span of each token: as given, or put together from the tokens."""
    text, given = told.get("text"), told.get("spans")
    if text is not None and (not isinstance(text, str) or len(text) > LONGEST_TEXT):
        raise InputError(
            f"“text” of the {where} should be a string of at most {LONGEST_TEXT:,} characters. Give the text that the "
            "tokens are of, or leave it out."
        )
    if given is None:
        return assembled(tokens, flags)
    if text is None:
        raise InputError(f"The spans of the {where} point into a text that is not there. Give it as “text”.")
    if not isinstance(given, list) or not all(_is_span(span, len(text)) for span in given):
        raise InputError(
            f"The spans of the {where} should be pairs [start, end] of characters, from 0 to {len(text):,}, the "
            "text's length."
        )
    _check_length(where, "spans", len(given), len(flags))
    text = readable(text)
    return text, [
        (0, 0) if flag else trimmed(text, a, min(b, a + LONGEST_TOKEN))
        for (a, b), flag in zip(given, flags, strict=True)
    ]


def _is_span(span: Any, length: int) -> bool:
    pair = isinstance(span, list | tuple) and len(span) == 2 and all(type(place) is int for place in span)
    return pair and 0 <= span[0] <= span[1] <= length


def _given_words(where: str, given: Any, flags: list[bool]) -> tuple[int, ...]:
    """One number for each token, the same for those of a word; none for what belongs to no word."""
    if not isinstance(given, list) or not all(one is None or type(one) is int for one in given):
        raise InputError(
            f"“words” of the {where} should be a list of whole numbers: the word that each token belongs to."
        )
    _check_length(where, "numbers in “words”", len(given), len(flags))
    return counted([None if flag else one for one, flag in zip(given, flags, strict=True)])
