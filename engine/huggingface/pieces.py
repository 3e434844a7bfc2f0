"""Where a tokenizer's pieces stand in a text, whatever the tokenizer: their spans, labels and words.

A piece may be a part of a character (bytes of an emoji), a character that was written otherwise ("ﬁ" as "f" and "i"),
or nothing that was typed (a boundary mark in front of a text).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from engine.text import BOUNDARY, word_indices

Span = tuple[int, int]

_JOINER = "\u200d"
_SPACES = {"\n": "↵", "\t": "→"}
_MOST_SPACES = 4  # whitespace marks in a label; a longer run of one is counted
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they would turn a screen's text around
_SELECTORS = re.compile("[\ufe00-\ufe0f]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, and the ideographs.
_DENSE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_MARKS = re.compile(r"^(?:##|▁|Ġ)+|(?:</w>|@@|▁)+$")  # what slow tokenizers write around the text of a piece
_REACH = 32  # characters beyond a piece's own length within which it is looked for


def printable(text: str) -> str:
    """A text without what has no place on a screen: controls but line breaks and tabs, and halves of characters."""
    return "".join(c for c in text if c in _SPACES or unicodedata.category(c) not in ("Cc", "Cs"))


def shown(text: str) -> str:
    """What a screen shows of a piece's text: a visible mark for spaces, breaks, tabs and characters without a form."""
    if not text:
        return BOUNDARY
    if text.isspace():
        marks = "".join(_SPACES.get(c, BOUNDARY) for c in text)
        return f"{marks[0]}×{len(marks)}" if len(marks) > _MOST_SPACES and len({*marks}) == 1 else marks
    text = text.strip(" ")
    form = _DIRECTIONS.sub("", text)
    if all(_SELECTORS.match(c) or unicodedata.category(c) == "Cf" for c in form):
        return " ".join(f"U+{ord(c):04X}" for c in text)
    form = "".join(_SPACES.get(c, c) for c in form)
    return f"◌{form}" if unicodedata.category(form[0]).startswith("M") else form


def byte_of(piece: str) -> int | None:
    """The byte that a piece such as "<0xE2>" is written for, or None."""
    found = _BYTE.fullmatch(piece)
    return int(found[1], 16) if found else None


# ---- spans ----


def fitted(text: str, spans: Sequence[Span]) -> list[Span]:
    """Spans in order and in range, without spaces around a piece, and with what a tokenizer dropped beside one.

    An accent that was stripped belongs to the piece of its letter. A piece of whitespace keeps it.
    """
    fits: list[Span] = []
    reached = begun = 0
    for a, b in [*spans, (len(text), len(text))]:
        a = min(max(a, begun), len(text))
        a, b = _trimmed(text, a, min(max(a, b), len(text)))
        if a > reached:
            left, right = _beside(text[reached:a], fits[-1] if fits else None)
            if left:
                begins, ends = fits[-1]
                fits[-1] = (begins if begins < ends == reached else reached + left.start(), reached + left.end())
            a -= right
        fits.append((a, b))
        begun, reached = a, max(reached, b)
    return fits[:-1]


def _trimmed(text: str, a: int, b: int) -> Span:
    """A span without the spaces at its ends, unless there is nothing else in it."""
    if text[a:b].isspace():
        return a, b
    while a < b and text[a].isspace() and text[a] not in _SPACES:
        a += 1
    while a < b and text[b - 1].isspace() and text[b - 1] not in _SPACES:
        b -= 1
    return a, b


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


def spelled(parts: Sequence[bytes]) -> tuple[str, list[Span]]:
    """The text that bytes make, and where each part of them stands in it.

    A byte that belongs to no character is one replacement character. Parts of one character have its span.
    """
    found = b"".join(parts).decode("utf-8", "surrogateescape")
    place: list[int] = []  # of each byte, in the text
    for index, character in enumerate(found):
        place += [index] * len(character.encode("utf-8", "surrogateescape"))
    spans, begin = [], 0
    for part in parts:
        end = begin + len(part)
        here = place[begin] if begin < len(place) else len(found)
        spans.append((here, place[end - 1] + 1 if part else here))
        begin = end
    return replaced(found), spans


def replaced(text: str) -> str:
    """A text with a replacement character for each byte that belongs to none."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


# ---- labels and words ----


def chains(spans: Sequence[Span]) -> list[list[int]]:
    """Places of the pieces, those together that share a character."""
    found: list[list[int]] = []
    end = 0
    for index, (a, b) in enumerate(spans):
        if found and a < min(b, end):
            found[-1].append(index)
        else:
            found.append([index])
            end = 0
        end = max(end, b)
    return found


def labels_of(text: str, spans: Sequence[Span], name: Callable[[int], str]) -> tuple[str, ...]:
    """What a screen shows of each piece: its text, with "2/3" behind it for the second of three that share it.

    Args:
        text: that the spans point into.
        spans: as `fitted` gives them; (0, 0) for special tokens.
        name: the label of the piece at a place, where the text has none for it.
    """
    labels: list[str] = []
    for chain in chains(spans):
        for part, index in enumerate(chain, start=1):
            a, b = spans[index]
            known = b > a and "\ufffd" not in text[a:b]
            label = shown(text[a:b]) if known else name(index)
            shared = known and len(chain) > 1 and not text[a:b].isspace()
            labels.append(f"{label} {part}/{len(chain)}" if shared else label)
    return tuple(labels)


def words_of(text: str, spans: Sequence[Span], alone: Sequence[bool]) -> tuple[int, ...]:
    """The word each piece belongs to, counted from 0.

    A word starts after whitespace and where letters and other characters meet (`engine.text.word_indices`), in scripts
    without spaces at each piece. What shares a character, and marks upon it, stays together.

    Args:
        text: that the spans point into.
        spans: of the pieces, in order.
        alone: pieces that are a word of their own: special tokens and masks.
    """
    words: list[int] = []
    run: list[Span] = []
    for span, single in zip([*spans, (0, 0)], [*alone, True], strict=True):
        if not single:
            run.append(span)
            continue
        first = words[-1] + 1 if words else 0
        words += [first + word for word in _run(text, run)]
        words.append(words[-1] + 1 if words else 0)
        run = []
    return tuple(words[:-1])


def _run(text: str, spans: Sequence[Span]) -> list[int]:
    """`words_of` neighbours that are all text."""
    units: list[Span] = []
    unit: list[int] = []  # of each piece
    for a, b in spans:
        if units and _clings(text, units[-1], a, b):
            units[-1] = (units[-1][0], max(units[-1][1], b))
        else:
            units.append((a, b))
        unit.append(len(units) - 1)
    marked, before = [], units[0][0] if units else 0
    for a, b in units:
        bare = "".join(c for c in text[a:b] if unicodedata.category(c) != "Cf")
        apart = any(c.isspace() for c in text[before:a]) or text[a:b][:1].isspace() or _dense(text, a, b)
        marked.append(BOUNDARY + bare.strip() if apart else bare.strip())
        before = b - 1 if text[a:b].endswith(tuple(_SPACES)) else b
    words = word_indices(marked)
    return [words[index] for index in unit]


def _clings(text: str, before: Span, a: int, b: int) -> bool:
    """Whether a piece shares a character with those before it, or is a mark upon their last one."""
    begin, end = before
    if a < end or (a == b and begin < end):
        return True
    if a != end or begin == end or text[a - 1].isspace():
        return False
    first = text[a]
    return text[a - 1] == _JOINER or bool(_SKIN.match(first)) or unicodedata.category(first) in ("Mn", "Mc", "Me", "Cf")


def _dense(text: str, a: int, b: int) -> bool:
    """Whether a piece begins with, or follows on, a character of a script without spaces."""
    return a < b and bool(_DENSE.match(text[a]) or (a and _DENSE.match(text[a - 1])))
