"""What a model of masked words reads its texts by: pieces with their place in the text, masks, and special tokens."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from engine.text import BOUNDARY, UNKNOWN, Subwords, normalise, word_indices

CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"
LINE = "\n"  # the piece between paragraphs: no text that BERT reads has one
TYPED_MASK = re.compile(re.escape(MASK), re.IGNORECASE)

Special = tuple[int, str]
"""A special token: its id and what a screen shows."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a text.

    Attributes:
        token: its id.
        text: what it stands for, without the space before it; "" for a bare space, and for another piece of the
            character before it.
        lead: whether a space stands before it. Text that nothing stands before counts as if one did, unless its piece
            continues a word.
        word: index of its word in the text, from 0; a mask is a word of its own.
        label: what a screen shows; "" for its text.
        mask: whether it is a blank, which the reader typed as a mask.
        shares: whether it begins within the character that the part before it ends with.
    """

    token: int
    text: str
    lead: bool
    word: int = 0
    label: str = ""
    mask: bool = False
    shares: bool = False


class ClozeTokenizer(Protocol):
    """What `Cloze` needs of a tokenizer.

    Attributes:
        mask: id of the mask.
        unknown: id of the unknown piece; −1 where there is none.
        specials: ids that no text has, the mask and the unknown piece among them; they are never candidates.
        unreadable: what is said of a text of which it knows no piece.
    """

    @property
    def mask(self) -> int: ...

    @property
    def unknown(self) -> int: ...

    @property
    def specials(self) -> Collection[int]: ...

    @property
    def unreadable(self) -> str: ...

    def __len__(self) -> int: ...

    def normalise(self, text: str) -> str:
        """A text as it is read, without line breaks."""

    def frame(self, texts: int) -> tuple[tuple[Special, ...], ...]:
        """The special tokens before, between and behind one text or two: one entry more than there are texts."""

    def parts(self, text: str) -> list[Part]:
        """The pieces of a normalised text; typed masks are masks, other special tokens are text."""

    def pieces_of(self, word: str, *, first: bool, glued: bool) -> list[Part]:
        """The pieces of a normalised word in the place of a mask; special tokens in it are text.

        Args:
            word: without line breaks.
            first: nothing of the text stands before it.
            glued: no space stands before it, so that its first piece continues a word.
        """

    def spelled(self, tokens: Sequence[int]) -> list[Part]:
        """What ordinary ids that follow each other add to a text."""

    def piece_of(self, token: int) -> str:
        """The text of an id, with `BOUNDARY` for the space before it; what a screen shows where it has none."""

    def begins(self, token: int, *, first: bool) -> bool:
        """Whether a piece begins a word.

        Args:
            token: its id.
            first: nothing of the text stands before it.
        """


class ClozeSubwords(Subwords):
    """The subwords of BERT, which begin in the middle of a word as well: what follows a mask without a space."""

    unreadable = (
        "The model knows none of these characters: it was trained on English text. Type a sentence in the Latin "
        "alphabet."
    )

    @cached_property
    def mask(self) -> int:
        """The id of [MASK]."""
        return self.id_of(MASK)

    def pieces(self, text: str, *, glued: bool = False) -> list[tuple[int, str]]:
        """Ids and pieces of normalised text; "[MASK]" and other special tokens in it are read as text.

        Args:
            text: without line breaks.
            glued: no space stands before it, so that its first piece continues a word.
        """
        # A line break is always a piece of its own; what follows it has no space before it.
        written = LINE + text if glued else text
        found = zip(self.encode_ids(written), self._processor.EncodeAsPieces(written), strict=True)
        pieces = [(token, str(piece)) for token, piece in found]
        return pieces[1 + [piece for _, piece in pieces].index(LINE) :] if glued else pieces

    def frame(self, texts: int) -> tuple[tuple[Special, ...], ...]:
        """[CLS] in front and a [SEP] behind each text."""
        return (((self.id_of(CLS), CLS),), *((((self.id_of(SEP), SEP)),),) * texts)

    def parts(self, text: str) -> list[Part]:
        """The pieces of one text and its typed masks."""
        found: list[Part] = []
        glued = False
        for index, between in enumerate(TYPED_MASK.split(text)):
            if index:  # a mask stands before this part
                found.append(Part(self.mask, MASK, not glued, _next(found), mask=True))
            start, inside = _next(found), between.strip()
            pieces = self.pieces(inside, glued=bool(index) and not between.startswith(" ")) if inside else []
            words = word_indices([piece for _, piece in pieces])
            found += [_part(token, piece, start + word) for (token, piece), word in zip(pieces, words, strict=True)]
            glued = not between.endswith(" ") and bool(between or index)
        return found

    def pieces_of(self, word: str, *, first: bool, glued: bool) -> list[Part]:
        """The pieces of a word; whatever stands first, a space is meant before it."""
        return [_part(token, piece) for token, piece in self.pieces(word, glued=glued)]

    def spelled(self, tokens: Sequence[int]) -> list[Part]:
        """The text of each piece."""
        return [_part(token, self.piece_of(token)) for token in tokens]

    def piece_of(self, token: int) -> str:
        """The piece of an id, with the mark of a space before it."""
        return str(self._processor.IdToPiece(token))

    def begins(self, token: int, *, first: bool) -> bool:
        """Whether a piece has the mark of a space before it, as the first of a text has, too."""
        return self.piece_of(token).startswith(BOUNDARY)

    def normalise(self, text: str) -> str:
        """The form that its training text has; line breaks become spaces."""
        return normalise(text)

    @cached_property
    def specials(self) -> tuple[int, ...]:
        """Ids that no text has: padding, unknown, the ends, [CLS], [SEP], [MASK] and the break between paragraphs."""
        return tuple(
            token
            for token in range(len(self))
            if self._processor.IsControl(token) or token == UNKNOWN or self.piece_of(token) == LINE
        )


def _part(token: int, piece: str, word: int = 0) -> Part:
    return Part(token, piece.removeprefix(BOUNDARY), piece.startswith(BOUNDARY), word)


def _next(parts: Sequence[Part]) -> int:
    """The index of the word that would follow."""
    return parts[-1].word + 1 if parts else 0
