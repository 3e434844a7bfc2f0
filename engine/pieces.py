"""Pieces of a text on a screen, whatever has cut it: what their bytes spell, and their labels and words.

Tokenizers of Hugging Face and uploaded files share it, so that a text looks the same through either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from engine.text import BOUNDARY, word_indices

Span = tuple[int, int]

BREAKS = {"\n": "↵", "\t": "→"}  # whitespace that is no space, and its mark on a screen
DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they would turn a screen's text around
_JOINER = "\u200d"
_MOST_SPACES = 4  # whitespace marks in a label; a longer run of one is counted
_SELECTORS = re.compile("[\ufe00-\ufe0f]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, and the ideographs with their radicals.
_DENSE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
_BYTE = re.compile("<0x([0-9A-F]{2})>")


def shown(text: str) -> str:
    """What a screen shows of a piece's text: a visible mark for spaces, breaks, tabs and characters without a form."""
    if not text:
        return BOUNDARY
    if text.isspace():
        marks = "".join(BREAKS.get(c, BOUNDARY) for c in text)
        return f"{marks[0]}×{len(marks)}" if len(marks) > _MOST_SPACES and len({*marks}) == 1 else marks
    text = text.strip(" ")
    form = DIRECTIONS.sub("", text)
    if all(_SELECTORS.match(c) or unicodedata.category(c) == "Cf" for c in form):
        return " ".join(f"U+{ord(c):04X}" for c in text)
    form = "".join(BREAKS.get(c, c) for c in form)
    return f"◌{form}" if unicodedata.category(form[0]).startswith("M") else form


def byte_of(piece: str) -> int | None:
    """The byte that a piece such as "<0xE2>" is written for, or None."""
    found = _BYTE.fullmatch(piece)
    return int(found[1], 16) if found else None


def dense(text: str) -> bool:
    """Whether a text begins with a character of a script that has no spaces between words."""
    return bool(_DENSE.match(text))


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


def trimmed(text: str, a: int, b: int) -> Span:
    """A span without the spaces at its ends, unless there is nothing else in it."""
    if text[a:b].isspace():
        return a, b
    while a < b and text[a].isspace() and text[a] not in BREAKS:
        a += 1
    while a < b and text[b - 1].isspace() and text[b - 1] not in BREAKS:
        b -= 1
    return a, b


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
        spans: of the pieces, without spaces around them; (0, 0) for special tokens.
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
        apart = any(c.isspace() for c in text[before:a]) or text[a:b][:1].isspace() or _beside_dense(text, a, b)
        marked.append(BOUNDARY + bare.strip() if apart else bare.strip())
        before = b - 1 if text[a:b].endswith(tuple(BREAKS)) else b
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


def _beside_dense(text: str, a: int, b: int) -> bool:
    """Whether a piece begins with, or follows on, a character of a script without spaces."""
    return a < b and (dense(text[a]) or dense(text[max(a - 1, 0)]))
