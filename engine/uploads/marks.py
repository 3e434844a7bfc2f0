"""What the marks of common tokenizers say: the text that pieces spell, and where each stands in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from engine.pieces import BREAKS, DIRECTIONS, Span, byte_of, shown, spelled, trimmed
from engine.text import BOUNDARY


def clean(text: str) -> str:
    """`readable` text in which nothing turns others around: what does is \ufffd."""
    return DIRECTIONS.sub("\ufffd", readable(text))


def readable(text: str) -> str:
    """The text, as long: controls become their pictures or \ufffd, and halves of characters \ufffd."""

    def pictured(character: str) -> str:
        if character in BREAKS:
            return character
        if character < " ":
            return chr(0x2400 + ord(character))
        return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character

    return text if text.isascii() and text.isprintable() else "".join(map(pictured, text))


def assembled(tokens: Sequence[str], flags: Sequence[bool]) -> tuple[str, list[Span]]:
    """The text that tokens spell and the span of each; special ones add nothing and have (0, 0).

    A piece that is a part of a character has all of it for its span.

    Args:
        tokens: readable.
        flags: True for special ones.
    """
    found, spans = spelled(_bytes_of(_ordinary(tokens, flags)))
    text = readable(found)
    first = len(text) - len(text.removeprefix(" "))  # a mark before the first word is no space
    places = iter(trimmed(text, a, b) for a, b in spans)
    shifted = [(0, 0) if flag else next(places) for flag in flags]
    return text[first:], [(max(a - first, 0), max(b - first, 0)) for a, b in shifted]


def names_of(tokens: Sequence[str], flags: Sequence[bool]) -> list[str]:
    r"""What a screen shows of each token without its text: "\xf0\x9f" for a part of a character.

    Special tokens are shown as they are.

    Args:
        tokens: readable.
        flags: True for special ones.
    """
    parts = iter(_bytes_of(_ordinary(tokens, flags)))
    return [
        shown(clean(token) if flag else readable(next(parts).decode("utf-8", "backslashreplace")))
        for token, flag in zip(tokens, flags, strict=True)
    ]


def counted(words: Sequence[int | None]) -> tuple[int, ...]:
    """Neighbours of the same number are a word, counted from 0; what has none is a word of its own."""
    new = [one is None or one != before for before, one in pairwise([None, *words])]
    return tuple(number - 1 for number in accumulate(map(int, new)))


# ---- marks ----


def _ordinary(tokens: Iterable[str], flags: Iterable[bool]) -> list[str]:
    return [token for token, flag in zip(tokens, flags, strict=True) if not flag]


def _bytes_of(tokens: Sequence[str]) -> list[bytes]:
    """What each token adds to the text, in UTF-8; a part of a character is a part of its bytes."""
    if _is_byte_level(tokens):
        return [bytes(_ALPHABET[character] for character in token) for token in tokens]
    return [
        bytes([byte]) if (byte := byte_of(token)) is not None else surface.encode("utf-8", "replace")
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
