"""How normalised prose goes on: what ids add to a text, and what is read of a prompt as it was typed.

A paragraph's first word comes without its space: it is read as if a space stood before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from engine.prose import normalise_prose
from engine.types import Tokens

LINE = "\n"  # the token between two paragraphs


class NormalTokenizer(Protocol):
    """A tokenizer of normalised prose, each of whose ids adds the same to any text but at a paragraph's beginning."""

    @property
    def spaced(self) -> bool: ...

    def label_of(self, token: int) -> str: ...

    def text_of(self, token: int) -> str: ...

    def words_of(self, text: str, spans: Sequence[tuple[int, int]]) -> Sequence[int]:
        """The word of each token of a text, by the tokens' spans."""


class Normalised:
    """What tokenizers of normalised prose have in common.

    Attributes:
        spaced: whether a space is a token of its own, and no part of the word after it.
    """

    spaced: ClassVar[bool] = False

    def form(self: NormalTokenizer, prompt: str) -> str:
        """What is read of a prompt: see `prompt_form`."""
        return prompt_form(prompt, spaces=self.spaced)

    def prose(self, text: str) -> str:
        """What is read of a whole text: see `normalise_prose`."""
        return normalise_prose(text)

    def typed(self, text: str) -> str:
        """A text as one types it: see `as_typed`."""
        return as_typed(text)

    def extended(self: NormalTokenizer, tokens: Tokens, ids: Sequence[int], ends: int) -> Tokens:
        """A text's tokens and those of its continuation: see the function `extended`."""
        return extended(self, tokens, ids, ends)

    def added(self: NormalTokenizer, text: str, before: Sequence[int], token: int) -> str:
        """What one id adds to a text: see the function `added`."""
        return added(self, text, token)


def joined(tokenizer: NormalTokenizer, text: str, ids: Iterable[int]) -> str:
    """A text and what ids add to it: a paragraph's first word comes without its space."""
    for token in ids:
        text += added(tokenizer, text, token)
    return text


def added(tokenizer: NormalTokenizer, text: str, token: int) -> str:
    """What one id adds to a text."""
    piece = tokenizer.text_of(token)
    begins = not text or text.endswith(LINE)
    return piece.removeprefix(" ") if begins and not tokenizer.spaced else piece


def extended(tokenizer: NormalTokenizer, tokens: Tokens, ids: Sequence[int], ends: int) -> Tokens:
    """A text's tokens and those of its continuation.

    Args:
        tokenizer: of both.
        tokens: of the text, as `encode` gives them.
        ids: what follows.
        ends: the id of </s>, which adds nothing and is marked as special; −1 where there is none.
    """
    text, spans = tokens.text, list(tokens.spans)
    for token in ids:
        piece = added(tokenizer, text, token)
        start, end = len(text), len(text) + len(piece)
        inside = start + 1 if piece.startswith(" ") and not tokenizer.spaced else start
        text += piece
        spans.append((0, 0) if token == ends else (inside, end))
    special = tuple(token == ends for token in ids)
    labels = (*tokens.labels, *map(tokenizer.label_of, ids))
    return Tokens(
        text,
        labels,
        (*tokens.ids, *ids),
        _numbered(tokenizer, text, spans, sum(special)),
        tuple(spans),
        (*tokens.special, *special),
    )


def _numbered(tokenizer: NormalTokenizer, text: str, spans: Sequence[tuple[int, int]], ended: int) -> tuple[int, ...]:
    """The word of each token, of which the last `ended` are </s>."""
    words = tokenizer.words_of(text, spans[: len(spans) - ended])
    first = words[-1] + 1 if words else 0
    return (*words, *range(first, first + ended))


def fronted(tokens: Tokens, token: int, label: str) -> Tokens:
    """Tokens with one in front that is read and is no part of the text."""
    return Tokens(
        tokens.text,
        (label, *tokens.labels),
        (token, *tokens.ids),
        (0, *(word + 1 for word in tokens.words)),
        ((0, 0), *tokens.spans),
        (True, *tokens.special),
    )


def characters_of(tokens: Tokens) -> tuple[int, ...]:
    """How many characters of the text each token stands for, the space before it included."""
    ends = [end for _, end in tokens.spans]
    return tuple(end - before for before, end in zip([0, *ends], ends, strict=False))


def prompt_form(text: str, *, spaces: bool) -> str:
    """What is read of a prompt: normalised prose, and how it ends.

    Args:
        text: any; a blank line ends a paragraph. Line breaks at its end ask for a new paragraph.
        spaces: whether a space at the end stays: for a model that reads characters it says that a word is over.
    """
    prose = normalise_prose(text)
    tail = text[len(text.rstrip()) :]
    if not prose or not tail:
        return prose
    return prose + (LINE if LINE in tail else " " if spaces else "")


def as_typed(text: str) -> str:
    """Normalised prose as one would type it, with a blank line between paragraphs: `prompt_form` reads it back."""
    return text.replace(LINE, LINE * 2)
