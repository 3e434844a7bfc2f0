"""What the marks of common tokenizers say: the text that pieces spell, where each stands in it, and its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

from engine.text import BOUNDARY, word_indices

Span = tuple[int, int]
_UNSEEN = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # turn what follows
_IDEOGRAPH = re.compile(r"[\u2e80-\u2fdf\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # sentencepiece's piece for a byte of a character that it does not know


def clean(text: str) -> str:
    """The text, as long: controls become their pictures, what has no form or turns others around \ufffd."""

    def shown(character: str) -> str:
        if character in "\n\t":
            return character
        if character < " ":
            return chr(0x2400 + ord(character))
        return "\ufffd" if character in _UNSEEN or unicodedata.category(character) in ("Cc", "Cs") else character

    return text if text.isascii() and text.isprintable() else "".join(map(shown, text))


def assembled(tokens: Sequence[str], flags: Sequence[bool]) -> tuple[str, list[Span]]:
    """The text that tokens spell and the span of each; special ones add nothing and have (0, 0).

    A piece that is a part of a character has all of it for its span.

    Args:
        tokens: clean.
        flags: True for special ones.
    """
    ordinary = [token for token, flag in zip(tokens, flags, strict=True) if not flag]
    text, found = _spelled(_bytes_of(ordinary))
    first = len(text) - len(text.removeprefix(" "))  # a mark before the first word is no space
    places = iter(trimmed(text, found))
    spans = [(0, 0) if flag else next(places) for flag in flags]
    return text[first:], [(max(a - first, 0), max(b - first, 0)) for a, b in spans]


def trimmed(text: str, spans: Sequence[Span]) -> list[Span]:
    """Spans without the spaces at their ends; what is only spaces is empty, and stands behind them."""
    found = []
    for a, b in spans:
        part = text[a:b]
        kept = part.strip()
        start = a + len(part) - len(part.lstrip())
        found.append((start, start + len(kept)) if kept else (a, b) if part.strip(" ") else (b, b))
    return found


def words_of(text: str, spans: Sequence[Span], flags: Sequence[bool]) -> tuple[int, ...]:
    """The word of each position, by spaces, punctuation and ideographs; the pieces of a character stay together."""
    pieces: list[str] = []
    shares: list[bool] = []  # whether a piece has characters of the one before it
    beside: list[bool] = []  # whether an ideograph parts it from the one before it
    end, apart, before = 0, True, (-1, -1)
    for (a, b), flag in zip(spans, flags, strict=True):
        if flag:
            apart = True
            continue
        shares.append(not apart and a < end and a < b)
        part = text[a:b]
        after_space = a > 0 and text[a - 1].isspace() and before != (a, a)  # a space that is a piece begins the word
        begins = apart or after_space or part.isspace()
        pieces.append((BOUNDARY if begins and not shares[-1] else "") + part)
        beside.append(not shares[-1] and any(map(_IDEOGRAPH.match, (text[a : a + 1], text[max(a - 1, 0) : a]))))
        end, apart, before = max(b, 0 if apart else end), False, (a, b)
    numbers: list[int] = []
    for word, joined, shift in zip(word_indices(pieces), shares, accumulate(map(int, beside)), strict=True):
        numbers.append(numbers[-1] if joined else word + shift)
    ordinary = iter(numbers)
    return counted([None if flag else next(ordinary) for flag in flags])


def counted(words: Sequence[int | None]) -> tuple[int, ...]:
    """Neighbours of the same number are a word, counted from 0; what has none is a word of its own."""
    new = [one is None or one != before for before, one in pairwise([None, *words])]
    return tuple(number - 1 for number in accumulate(map(int, new)))


def labels_of(text: str, spans: Sequence[Span], tokens: Sequence[str], flags: Sequence[bool]) -> list[str]:
    """The text of each token; "🙂 2/3" for a part of a character, "▁" for a space, and a special token as it is."""
    labels: list[str] = []
    for (flag, (a, b)), run in groupby(range(len(spans)), lambda i: (flags[i], spans[i])):
        places = list(run)
        if flag or a == b:
            labels += [tokens[i] if flag or tokens[i].strip(f" {BOUNDARY}Ġ") else BOUNDARY for i in places]
            continue
        label = text[a:b] if text[a:b].strip(" ") else BOUNDARY
        parts = len(places)
        labels += [label] if parts == 1 else [f"{label} {part}/{parts}" for part in range(1, parts + 1)]
    return labels


# ---- marks ----


def _bytes_of(tokens: Sequence[str]) -> list[bytes]:
    """What each token adds to the text, in UTF-8; a part of a character is a part of its bytes."""
    if _is_byte_level(tokens):
        return [bytes(_ALPHABET[character] for character in token) for token in tokens]
    return [
        bytes.fromhex(byte[1]) if (byte := _BYTE.fullmatch(token)) else surface.encode("utf-8", "replace")
        for token, surface in zip(tokens, _surfaces(tokens), strict=True)
    ]


def _surfaces(tokens: Sequence[str]) -> list[str]:
    """What each token adds to the text, with a space where a word begins or ends."""
    if any(BOUNDARY in token for token in tokens):
        return [token.replace(BOUNDARY, " ") for token in tokens]
    if any(token.startswith("##") and len(token) > 2 for token in tokens):
        return [token[2:] if token.startswith("##") and len(token) > 2 else f" {token}" for token in tokens]
    if any(token.endswith("</w>") for token in tokens):
        return [f"{token[:-4]} " if token.endswith("</w>") else token for token in tokens]
    if any(token.endswith("@@") and len(token) > 2 for token in tokens):
        return [token[:-2] if token.endswith("@@") and len(token) > 2 else f"{token} " for token in tokens]
    if any(token[:1].isspace() and token.strip() for token in tokens):
        return list(tokens)
    return [f" {token}" for token in tokens]


def _alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level piece stands for. Source: Radford et al. 2019 (GPT-2's BPE)."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _alphabet()


def _is_byte_level(tokens: Sequence[str]) -> bool:
    """Whether all characters stand for bytes, and either a space is among them or they are UTF-8 beyond ASCII."""
    joined = "".join(tokens)
    if joined.isascii() or not all(character in _ALPHABET for character in joined):
        return False
    if "Ġ" in joined or "Ċ" in joined:
        return True
    try:
        bytes(_ALPHABET[character] for character in joined).decode()
    except UnicodeDecodeError:
        return False
    return True


def _spelled(parts: Sequence[bytes]) -> tuple[str, list[Span]]:
    """The text of bytes, and which of its characters each part has bytes of."""
    text = b"".join(parts).decode("utf-8", "surrogateescape")  # what is no UTF-8 becomes half a surrogate pair
    sizes = [1 if "\udc80" <= character <= "\udcff" else len(character.encode()) for character in text]
    owners = [place for place, size in enumerate(sizes) for _ in range(size)]
    ends = [0, *accumulate(map(len, parts))]
    spans = []
    for a, b in pairwise(ends):
        before = owners[a - 1] + 1 if a else 0
        spans.append((owners[a], owners[b - 1] + 1) if b > a else (before, before))
    return clean(text), spans
