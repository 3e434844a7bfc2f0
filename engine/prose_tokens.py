"""Running text as tokens for the models that continue it: subwords, characters or words, and back.

Text of our own models is in the form of `engine.prose.normalise_prose`. A paragraph's first word has the same token as
elsewhere: it is read as if a space stood before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

from engine.errors import UnknownCharacters, WeightsDamaged
from engine.prose_continued import (
    LINE,
    Normalised,
    added,
    as_typed,
    characters_of,
    extended,
    fronted,
    joined,
    prompt_form,
)
from engine.reduce import select
from engine.text import BOUNDARY, END, PAD, START, UNKNOWN, Subwords, word_indices
from engine.types import Tokens
from engine.weights import read_json
from engine.words import Words, split_words

__all__ = [
    "ALPHABET",
    "LINE",
    "NOTHING",
    "Alphabet",
    "ProseSubwords",
    "ProseTokenizer",
    "ProseWords",
    "added",
    "as_typed",
    "characters_of",
    "extended",
    "fronted",
    "joined",
    "prompt_form",
]

ALPHABET = "alphabet.json"
NOTHING = "\ufffd"  # what a screen shows where a model has no character
_CONTROLS = ("[CLS]", "[SEP]", "[MASK]")
_SHOWN = {LINE: "↵", " ": BOUNDARY}


class ProseTokenizer(Protocol):
    """A text to tokens and back."""

    def __len__(self) -> int: ...

    def form(self, prompt: str) -> str:
        """What is read of a prompt as it was typed: how it ends matters, since a text goes on from there."""

    def prose(self, text: str) -> str:
        """What is read of a whole text as it was typed."""

    def typed(self, text: str) -> str:
        """What one types for a text: `form` gives it back."""

    def encode(self, text: str) -> Tokens:
        """Tokens of what is read of a text, maybe none; unknown characters or words keep their text as label."""

    def extended(self, tokens: Tokens, ids: Sequence[int], ends: int) -> Tokens:
        """A text's tokens and those of its continuation: see the function `extended`."""

    def added(self, text: str, before: Sequence[int], token: int) -> str:
        """What an id adds to a text whose ids are `before`: "" where others have to complete it."""

    def label_of(self, token: int) -> str:
        """What a screen shows of an id."""

    def text_of(self, token: int) -> str:
        """What an id adds within a text, its leading space included."""

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""


class ProseSubwords(Normalised):
    """Subwords over several paragraphs, each of them cut into pieces by itself, as in training."""

    def __init__(self, subwords: Subwords) -> None:
        """Args:
        subwords: a vocabulary with a piece for the line break.

        Raises:
            WeightsDamaged: it has none.
        """
        self.subwords, self.line = subwords, subwords.id_of(LINE)
        if self.line == UNKNOWN:
            raise WeightsDamaged(
                "The tokenizer has no piece for the break between paragraphs. Restore tokenizer.model from the "
                "repository (git checkout)."
            )
        controls = {subwords.id_of(piece) for piece in _CONTROLS} - {UNKNOWN}
        self._silent = frozenset({PAD, START, END} | controls)
        self.banned = tuple(sorted({PAD, UNKNOWN, START} | controls))

    def __len__(self) -> int:
        return len(self.subwords)

    def encode(self, text: str) -> Tokens:
        """Tokens of normalised prose, without <s> and </s>; may be empty."""
        ids: list[int] = []
        labels: list[str] = []
        spans: list[tuple[int, int]] = []
        begin = 0
        for number, paragraph in enumerate(text.split(LINE)):
            if number:
                ids.append(self.line)
                labels.append(_SHOWN[LINE])
                spans.append((begin - 1, begin))
            part = self._paragraph(paragraph)
            ids += part.ids
            labels += part.labels
            spans += [(begin + start, begin + end) for start, end in part.spans]
            begin += len(paragraph) + 1
        return Tokens(text, tuple(labels), tuple(ids), _words(text, spans), tuple(spans), (False,) * len(ids))

    def _paragraph(self, text: str) -> Tokens:
        if not text:
            return Tokens("", (), (), (), (), ())
        try:
            return self.subwords.encode(text, end=False)
        except UnknownCharacters:  # not one piece is known: read them after one that is
            before = "a "
            found = self.subwords.encode(before + text, end=False)
            there = select(found, [i for i, (start, _) in enumerate(found.spans) if start >= len(before)])
            spans = tuple((start - len(before), end - len(before)) for start, end in there.spans)
            return Tokens(text, there.labels, there.ids, there.words, spans, there.special)

    def label_of(self, token: int) -> str:
        """What a screen shows of an id: its piece without the leading space, or a special label."""
        label = self.subwords.label_of(token)
        return _SHOWN.get(label, label)

    def text_of(self, token: int) -> str:
        """What an id adds within a text, its leading space included; nothing for special ids."""
        if token == UNKNOWN:
            return NOTHING
        return "" if token in self._silent else self.subwords.text_of(token)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return joined(self, "", ids)

    def words_of(self, text: str, spans: Sequence[tuple[int, int]]) -> Sequence[int]:
        """The word of each piece; a line break is a word of its own."""
        return _words(text, spans)


class ProseWords(Normalised, Words):
    """Words over several paragraphs: each is a token."""

    def words_of(self, text: str, spans: Sequence[tuple[int, int]]) -> Sequence[int]:
        """The word of each token: its own."""
        return range(len(spans))


def _words(text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The word of each piece; a line break is a word of its own."""
    pieces, before = [], -1
    for start, end in spans:
        piece = text[start:end]
        pieces.append(BOUNDARY + piece if start > before or piece == LINE else piece)
        before = start if piece == LINE else end
    return tuple(word_indices(pieces))


@dataclass(frozen=True)
class Alphabet(Normalised):
    """Characters as tokens: id 0 stands for all that are not among them.

    Attributes:
        characters: the one with id 1 first; the line break is among them.
    """

    characters: str
    spaced: ClassVar[bool] = True

    @classmethod
    def load(cls, path: Path) -> Alphabet:
        """Read {"characters": "…"}.

        Raises:
            WeightsMissing: no such file.
            WeightsDamaged: it holds no such thing, a character twice, or no line break.
        """
        characters = read_json(path).get("characters")
        if not isinstance(characters, str) or len(set(characters)) != len(characters) or LINE not in characters:
            raise WeightsDamaged(
                f"The alphabet in {path.name} cannot be used: it should hold each character once, the line break among "
                "them. Restore the file from the repository (git checkout)."
            )
        return cls(characters)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: index for index, character in enumerate(self.characters, start=1)}

    def __len__(self) -> int:
        return len(self.characters) + 1

    def id_of(self, character: str) -> int:
        """The id of a character; 0 if it is not known."""
        return self._ids.get(character, 0)

    def encode(self, text: str) -> Tokens:
        """Tokens of a text, one for each character; may be empty."""
        ids = tuple(map(self.id_of, text))
        labels = tuple(_SHOWN.get(character, character) for character in text)
        spans = tuple((index, index + 1) for index in range(len(text)))
        return Tokens(text, labels, ids, _word_of_each(text), spans, (False,) * len(text))

    def label_of(self, token: int) -> str:
        """What a screen shows of an id."""
        return _SHOWN.get(self.text_of(token), self.text_of(token))

    def text_of(self, token: int) -> str:
        """The character of an id."""
        return self.characters[token - 1] if token else NOTHING

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return "".join(map(self.text_of, ids))

    def words_of(self, text: str, spans: Sequence[tuple[int, int]]) -> Sequence[int]:
        """The word of each character."""
        return _word_of_each(text)


def _word_of_each(text: str) -> tuple[int, ...]:
    """The word of each character; a space belongs to the word after it."""
    words: list[int] = []
    begins, word = True, 0
    for token in split_words(text):
        length = len(token) - (begins and token != LINE)  # the space before a paragraph is not in it
        words += [word] * length
        begins, word = token == LINE, word + (length > 0)
    return tuple(words)
