"""What a BERT can restore of a noised text, and what it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.cloze import Cloze
from engine.cloze_answers import Filled, Order
from engine.cloze_text import MASK
from engine.errors import InputError
from engine.noise import Noised, NoiseKind
from engine.types import Tokens

Restorable = Literal["yes", "if the number is known", "no"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model of masked words can undo a noise, and why."""

    restorable: Restorable
    why: str


VERDICTS: Mapping[NoiseKind, Verdict] = {
    "mask": Verdict(
        "yes",
        "This is what BERT was trained on: it sees where a word is missing and guesses it from both sides. A word of "
        "several pieces needs a mask for each of them.",
    ),
    "infill": Verdict(
        "if the number is known",
        "One mask stands for a span of any length, even of no words, and BERT puts exactly one piece at a mask. Told "
        "how many pieces are missing, it can guess them; by itself it cannot know. BART writes its text anew and can.",
    ),
    "delete": Verdict(
        "no",
        "Nothing shows where words are missing, and BERT fills masks only: it has no way to put anything in. BART "
        "writes its text anew and can.",
    ),
    "rotate": Verdict(
        "no",
        "No word is missing: the text begins at the wrong place, and BERT cannot move words. BART writes its text anew "
        "and can.",
    ),
    "shuffle": Verdict(
        "no",
        "No word is missing: sentences are in the wrong order, and BERT cannot move them. Whether one text follows "
        "another is all that it tells, and it learnt that on texts from elsewhere, not on shuffled ones. BART writes "
        "its text anew and can.",
    ),
}


@dataclass(frozen=True, slots=True)
class RestoredSpan:
    """What stood at one place and what was put there.

    Attributes:
        original: "" where no word is missing.
        restored: the text there now.
        right: whether the text is what it was, the space before it included.
    """

    original: str
    restored: str
    right: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to restore a noised text.

    Attributes:
        told: what the model was told, as a phrase for a screen.
        filled: the text as restored, and the steps.
        spans: for each change what stood there and what stands there now, in reading order.
    """

    told: str
    filled: Filled
    spans: tuple[RestoredSpan, ...]

    @property
    def right(self) -> int:
        """How many spans are as they were."""
        return sum(span.right for span in self.spans)


@dataclass(frozen=True, slots=True)
class Restoration:
    """What came back of a noised text.

    Attributes:
        verdict: what can be expected of this noise.
        attempts: none where the model has no way to try; two of infilled text: with the number of pieces, and without.
    """

    verdict: Verdict
    attempts: tuple[Attempt, ...]


def restore(cloze: Cloze, noised: Noised, order: Order = "one by one") -> Restoration:
    """Let a BERT restore a noised text, where it can.

    Args:
        cloze: the model.
        noised: by `engine.noise.noise`; the original text has no "[MASK]" of its own.
        order: in which its masks are filled.

    Raises:
        InputError: the text has the model's own mask token in it.
        InputTooLong: too many tokens.
        UnknownCharacters: no piece of the text is known.
        DeviceError: out of memory.
    """
    if noised.kind in ("mask", "infill") and cloze.read(noised.original).blanks:
        raise InputError(
            "This text has a mask of the model in it, and noise is made on a whole text. Put a word in its place."
        )
    attempts = []
    if noised.kind in ("mask", "infill"):
        attempts.append(_with_number(cloze, noised, order))
    if noised.kind == "infill":
        attempts.append(_without_number(cloze, noised, order))
    return Restoration(VERDICTS[noised.kind], tuple(attempts))


def _with_number(cloze: Cloze, noised: Noised, order: Order) -> Attempt:
    """The pieces of every span masked one by one; a mask that was put in stands for none and is left out."""
    whole = cloze.read(noised.original)
    spans = [change for change in noised.changes if change.original]
    places = [_places(whole.tokens, *change.span) for change in spans]
    inside = {place for span in places for place in span}
    given = cloze.read(noised.original, masked={whole.tokens.words[place] for place in inside})
    # A word may go on outside its span ("dogs'"): such a piece was not taken away.
    spared = [(place, given.own[place]) for place in given.blanks if place not in inside]
    given = cloze.put(given, [(place, token) for place, token in spared if token not in cloze.banned])
    filled = cloze.fill_in(given, order)
    ids = filled.input.tokens.ids  # a mask for each piece: positions are those of the whole text
    return Attempt(
        "how many pieces are missing at each place",
        filled,
        tuple(
            RestoredSpan(
                change.original, _spelled(filled, span), all(ids[place] == whole.tokens.ids[place] for place in span)
            )
            for change, span in zip(spans, places, strict=True)
        ),
    )


def _without_number(cloze: Cloze, noised: Noised, order: Order) -> Attempt:
    """One piece at every mask."""
    given = cloze.read(noised.text)
    filled = cloze.fill_in(given, order)
    spans = []
    for change, place in zip(noised.changes, given.blanks, strict=True):
        restored = _spelled(filled, (place,))
        # "ing" is not "…ing": the space before it is part of the text.
        right = restored == change.original and filled.input.leads[place] == given.leads[place]
        spans.append(RestoredSpan(change.original, restored, right))
    return Attempt(f"nothing: each {MASK} gets one piece", filled, tuple(spans))


def _places(tokens: Tokens, start: int, end: int) -> tuple[int, ...]:
    """Positions of some characters' pieces, a bare boundary mark in front included."""
    return tuple(
        i for i, (a, b) in enumerate(tokens.spans) if not tokens.special[i] and a < end and (b > start or a == start)
    )


def _spelled(filled: Filled, places: Sequence[int]) -> str:
    """The text at neighbouring positions."""
    spans = [filled.input.tokens.spans[place] for place in places]
    return filled.input.tokens.text[spans[0][0] : spans[-1][1]]
