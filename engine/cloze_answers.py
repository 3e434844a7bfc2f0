"""What a BERT says of a text with blanks: candidates, what was filled in, and how well given words fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.cloze_text import ClozeInput
from engine.text import BOUNDARY

Order = Literal["at once", "one by one"]
ORDERS: tuple[Order, ...] = ("at once", "one by one")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One piece that may stand at a blank.

    Attributes:
        token: its id.
        label: what a screen shows: "animal" begins a word, "…ing" continues one, "▁(" is a mark after a space.
        text: what it adds to the text, with the space before it where it begins a word.
        probability: by the model, in [0, 1]: of ours among all pieces that are not special, of a model of one's own
            among all of its vocabulary.
        rank: among all pieces that are not special, from 1.
    """

    token: int
    label: str
    text: str
    probability: float
    rank: int


@dataclass(frozen=True, slots=True)
class Blank:
    """One masked position and what may stand there.

    Attributes:
        position: in the input's tokens.
        word: index of its word (`Tokens.words`).
        original: the word that was masked, all its pieces; None where "[MASK]" was typed.
        own: the piece that the text has at this position, with its probability and rank; None where it is not known.
        candidates: the most probable pieces, best first.
    """

    position: int
    word: int
    original: str | None
    own: Candidate | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """One blank filled: where, with what, and how sure the model was at that moment.

    Attributes:
        position: in the input's tokens.
        word: index of its word.
        choice: the most probable piece there.
        own: what the text has there, as it was rated at that moment; None where it is not known.
    """

    position: int
    word: int
    choice: Candidate
    own: Candidate | None


@dataclass(frozen=True, slots=True)
class Filled:
    """A text whose every blank is filled.

    Attributes:
        input: with the pieces put in; `input.first` and `input.second` are the texts.
        steps: what was put where; one by one in that order, at once in reading order.
        order: "at once" (every blank by one pass, none knows of the others) or "one by one" (the most certain blank
            first, and the text read anew after each).
    """

    input: ClozeInput
    steps: tuple[Filling, ...]
    order: Order


@dataclass(frozen=True, slots=True)
class WordScore:
    """How well a given word fits in the place of another.

    Attributes:
        word: as given, normalised.
        pieces: the labels of its pieces.
        logprobs: natural log-probability of each piece at its own mask, with as many masks as the word has pieces, all
            masked at once.
        share: exp(logprob) divided by its sum over the words compared, in [0, 1].
    """

    word: str
    pieces: tuple[str, ...]
    logprobs: tuple[float, ...]
    share: float

    @property
    def logprob(self) -> float:
        """The sum over the pieces, ≤ 0. Words of more pieces are at a disadvantage."""
        return sum(self.logprobs)

    @property
    def probability(self) -> float:
        """In [0, 1]: the product of the pieces' probabilities."""
        return float(np.exp(self.logprob))


def label_of(piece: str, begins: bool | None = None) -> str:
    """What a screen shows of a candidate: "animal" begins a word, "…ing" continues one.

    Marks are shown as they are, and with "▁" where a space stands before them: an opening quotation mark is not a
    closing one.

    Args:
        piece: with "▁" for the space before it.
        begins: whether it begins a word; None for whether it has that mark.
    """
    bare = piece.removeprefix(BOUNDARY)
    if piece.startswith(BOUNDARY):
        return bare if bare[:1].isalnum() else piece
    begins = False if begins is None else begins
    return f"…{piece}" if piece[:1].isalnum() and not begins else piece
