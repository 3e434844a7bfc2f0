"""Where a tokenizer's pieces stand in a text, whatever the tokenizer; their labels and words are `engine.pieces`.

A piece may be a part of a character (bytes of an emoji), a character that was written otherwise ("ﬁ" as "f" and "i"),
or nothing that was typed (a boundary mark in front of a text).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from engine.pieces import BREAKS, Span, byte_of, spelled, trimmed

_MARKS = re.compile(r"^(?:##|▁|Ġ)+|(?:</w>|@@|▁)+$")  # what slow tokenizers write around the text of a piece
_REACH = 32  # characters beyond a piece's own length within which it is looked for


def printable(text: str) -> str:
    """A text without what has no place on a screen: controls but line breaks and tabs, and halves of characters."""
    return "".join(c for c in text if c in BREAKS or unicodedata.category(c) not in ("Cc", "Cs"))


# ---- spans ----


def fitted(text: str, spans: Sequence[Span]) -> list[Span]:
    """Spans in order and in range, without spaces around a piece, and with what a tokenizer dropped beside one.

    An accent that was stripped belongs to the piece of its letter. A piece of whitespace keeps it.
    """
    fits: list[Span] = []
    reached = begun = 0
    for a, b in [*spans, (len(text), len(text))]:
        a = min(max(a, begun), len(text))
        a, b = trimmed(text, a, min(max(a, b), len(text)))
        if a > reached:
            left, right = _beside(text[reached:a], fits[-1] if fits else None)
            if left:
                begins, ends = fits[-1]
                fits[-1] = (begins if begins < ends == reached else reached + left.start(), reached + left.end())
            a -= right
        fits.append((a, b))
        begun, reached = a, max(reached, b)
    return fits[:-1]


def _beside(gap: str, last: Span | None) -> tuple[re.Match[str] | None, int]:
    """The part of text without a piece that belongs to the piece before it, and the length of that of the one after.

    What a piece before stands directly at is its own; one that has no text yet takes the next there is.
    """
    found = re.search(r"\S+", gap) if last else None
    if found and found.start() and last and last[0] < last[1]:
        found = None
    spaces = [index for index, character in enumerate(gap) if character.isspace()]
    right = len(gap) - 1 - max(spaces, default=-1)
    return found, 0 if found and found.end() == len(gap) else right


def aligned(text: str, pieces: Sequence[str]) -> list[Span]:
    """Spans of pieces that come without offsets, found by what they spell; never fails.

    Both sides are compared without case and in decomposed form. A piece that is not found within reach has an empty
    span where the one before it ended.
    """
    if pieces and "".join(pieces) == text.encode().decode("latin-1"):  # one piece for each byte
        return spelled([piece.encode("latin-1") for piece in pieces])[1]
    flat, origin = _flat(text)
    spans: list[Span] = []
    at = end = 0  # in `flat`; in `text`
    for surface, first in _surfaces(pieces, literal="<0x" in text):
        length = len(surface)
        found = flat.find(surface, at, at + length + _REACH) if surface else -1
        if found >= 0 and first:
            spans.append((origin[found], origin[found + length - 1] + 1))
            at, end = found + length, spans[-1][1]
        elif not first and spans:
            spans.append(spans[-1])
        elif not surface and text[(place := _past_marks(text, end)) : place + 1].isspace():
            spans.append((place, place + 1))
            end = place + 1
        else:
            spans.append((end, end))
    return spans


def _past_marks(text: str, place: int) -> int:
    """The next place that has no mark upon the character before it."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return place


def _flat(text: str) -> tuple[str, list[int]]:
    """A text as it is compared, without whitespace, and the place in the text of each character of it."""
    forms = [(index, _form(character)) for index, character in enumerate(text)]
    return "".join(form for _, form in forms), [index for index, form in forms for _ in form]


def _form(text: str) -> str:
    return "".join(unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).split())


def _surfaces(pieces: Sequence[str], *, literal: bool) -> Iterator[tuple[str, bool]]:
    """What each piece spells, and whether it is the first that spells it: bytes of one character spell it together.

    Args:
        pieces: of a slow tokenizer.
        literal: the text itself has what bytes are written as.
    """
    index = 0
    while index < len(pieces):
        if literal or (byte := byte_of(pieces[index])) is None:
            yield _form(_MARKS.sub("", pieces[index])), True
            index += 1
            continue
        length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        group = [byte_of(piece) for piece in pieces[index : index + length]]
        values = bytes(value for value in group if value is not None)
        try:
            yield _form(values.decode()), True
        except UnicodeDecodeError:
            values = values[:1]
            yield "", True
        yield from [("", False)] * (len(values) - 1)
        index += len(values)
