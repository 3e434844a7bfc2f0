"""Text for the networks that read a to z and the space: any text folded to these, with what that changed.

Source of the alphabet: the text8 corpus (Mahoney 2006), as in Madsen 2019, "Visualizing memorization in RNNs".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

UNKNOWN = 0
"""The id of nothing in the alphabet: padding, after a text's end."""

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
CHARACTERS = len(ALPHABET) + 1
"""Number of ids: the alphabet's, from 1, and `UNKNOWN`."""

_IDS = {character: index for index, character in enumerate(ALPHABET, start=1)}
# Letters that Unicode does not take apart, as they are written without them.
_WRITTEN = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "þ": "th"}
_APOSTROPHES = "'’‘ʼʾʿ"  # "don't" stays one word
_JOINER = "\u200d"  # between the parts of an emoji
_UNSEEN = ("Cc", "Cf", "Cs", "Co")
_NAMES = {"\n": "line break", "\r": "carriage return", "\t": "tab"}
_RUNS = re.compile(" +")


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of thing that folding did to a text; as a string it is for people to read: "é → e (3 times)".

    Attributes:
        before: what stood there, or a description of it.
        after: what stands there now, or "space"; empty where nothing does.
        count: how often.
    """

    before: str
    after: str
    count: int

    def __str__(self) -> str:
        change = f"{self.before} → {self.after}" if self.after else f"{self.before} dropped"
        return change if self.count == 1 else f"{change} ({self.count} times)"


@dataclass(frozen=True, slots=True)
class Folded:
    """A text in the alphabet, one entry per position; it starts with a space and never has two in a row.

    Attributes:
        text: of a–z and spaces.
        ids: 1 for a space, 2 to 27 for a to z.
        origin: the offset in the original text of what each position comes from, rising or equal; of a leading space
            that was added, 0.
        words: which word each position belongs to, from 0; a space belongs to the word after it.
        known: how many letters of its word a position and those before it tell: 0 at the space, 1 at the first letter.
        changes: what was folded or dropped, in the order of first appearance. A space added in front is not one.
    """

    text: str
    ids: tuple[int, ...]
    origin: tuple[int, ...]
    words: tuple[int, ...]
    known: tuple[int, ...]
    changes: tuple[Change, ...]

    def __len__(self) -> int:
        return len(self.text)

    @property
    def word_texts(self) -> tuple[str, ...]:
        """Every word, by the numbers in `words`; the last is empty after a final space, and may be unfinished."""
        return tuple(self.text[1:].split(" "))


def fold(text: str) -> Folded:
    """Any text in the alphabet: accents off, capitals small, apostrophes and invisible characters out, anything else a
    space, runs of spaces one space.

    Each character is folded by itself, so that the fold of a text's beginning is the beginning of its fold. Empty text
    gives the space before a first word.

    Args:
        text: any string.
    """
    kept, origin = [" "], [0]
    counts: dict[tuple[str, str], int] = {}
    base = ""  # the last character that is no mark upon another
    spaced = False  # whether the character before was a space in the original, too
    for offset, character in enumerate(text):
        new = fold_character(character)
        change = _described(character, new, base, spaced)
        if change:
            counts[change] = counts.get(change, 0) + 1
        for letter in new:
            if letter != " " or kept[-1] != " ":
                kept.append(letter)
                origin.append(offset)
        spaced = character.isspace()
        if not _joins(character):
            base = character
    words, known = _placed(kept)
    changes = tuple(Change(before, after, count) for (before, after), count in counts.items())
    return Folded("".join(kept), tuple(_IDS[letter] for letter in kept), tuple(origin), words, known, changes)


def fold_text(text: str) -> str:
    """`fold(text).text` alone, many times faster: for a corpus."""
    table = {ord(character): fold_character(character) for character in set(text)}
    return _RUNS.sub(" ", " " + text.translate(table))


def encode(folded: str) -> list[int]:
    """The ids of a folded text, as `Folded.ids`."""
    return [_IDS[letter] for letter in folded]


@lru_cache(maxsize=1 << 16)
def fold_character(character: str) -> str:
    """What one character becomes: letters a–z, one space, or nothing."""
    pieces = unicodedata.normalize("NFKD", character).casefold()
    return _RUNS.sub(" ", "".join(_fold_piece(piece) for piece in pieces))


def _fold_piece(piece: str) -> str:
    """The same for a character without accents and capitals."""
    if piece in _IDS:
        return piece
    if piece in _WRITTEN:
        return _WRITTEN[piece]
    if piece.isspace():
        return " "
    dropped = piece in _APOSTROPHES or unicodedata.category(piece) in _UNSEEN or _joins(piece)
    return "" if dropped else " "


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it: an accent, a vowel sign, an emoji's variant or joint."""
    return character == _JOINER or unicodedata.category(character).startswith("M")


def _described(character: str, new: str, base: str, spaced: bool) -> tuple[str, str] | None:
    """The change from a character to `new`, before and after, for people to read; None where there is none to tell.

    Args:
        character: of the original.
        new: its fold.
        base: the last character before it that is no mark.
        spaced: whether a space stands before it.
    """
    if character == new:
        return ("repeated spaces", "one space") if spaced and character == " " else None
    if character.isupper() and new == character.lower():
        return "capital letters", "small letters"
    if _joins(character) and base and not base.isspace():
        old = fold_character(base)  # a mark upon what is a space now went with it
        return (unicodedata.normalize("NFC", base + character), old) if old.strip() else None
    alone = character.isprintable() and not _joins(character)  # a mark shows only upon something
    shown = _NAMES.get(character) or (character if alone else f"U+{ord(character):04X}")
    return shown, new.strip() or ("space" if new else "")


def _placed(letters: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The word of each position and the letters known of it; see `Folded`."""
    words, known = [], []
    word, count = -1, 0
    for letter in letters:
        word, count = (word + 1, 0) if letter == " " else (word, count + 1)
        words.append(word)
        known.append(count)
    return tuple(words), tuple(known)
