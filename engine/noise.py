"""The five noises that BART was trained to undo, on the words of one text.

Source: Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training", section 2.2. Theirs change subwords,
these whole words, so that a reader sees what happened. Punctuation stays where it is, unless it stands inside a span
that is infilled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from engine.cloze_text import MASK, TYPED_MASK
from engine.errors import EmptyInput, InputError, InputTooLong
from engine.prose import sentences_of
from engine.text import normalise

NoiseKind = Literal["mask", "delete", "infill", "rotate", "shuffle"]
NOISES: tuple[NoiseKind, ...] = ("mask", "delete", "infill", "rotate", "shuffle")
SHARE = 0.3  # of the words that are masked, deleted or infilled: what BART's text infilling takes
LONGEST = 10_000  # characters: every change is a row on a screen
SPAN = 3  # mean words of an infilled span, Poisson distributed
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done to a text.

    Attributes:
        span: characters of the original text (start, end); start = end where something was put in.
        original: what stood there; "" where something was put in.
        put: what stands there now, "[MASK]" or nothing; None where the text was moved.
        done: a phrase for a screen.
    """

    span: tuple[int, int]
    original: str
    put: str | None
    done: str


@dataclass(frozen=True, slots=True)
class Noised:
    """A text before and after a noise.

    Attributes:
        kind: which noise.
        seed: of the draw; the same text, kind, share and seed give the same noise.
        original: the text, normalised.
        text: after the noise; "[MASK]" in it is a mask.
        changes: what was done, in the original's reading order; sentences in their new order.
    """

    kind: NoiseKind
    seed: int
    original: str
    text: str
    changes: tuple[Change, ...]


_Span = tuple[int, int]
_Made = tuple[str, tuple[Change, ...]]


def noise(text: str, kind: NoiseKind, seed: int = 0, share: float = SHARE) -> Noised:
    """One noise on a text.

    - "mask": each of some words is replaced by one [MASK].
    - "delete": some words are removed; nothing tells where.
    - "infill": spans of words, their lengths Poisson distributed around 3, are each replaced by one [MASK]; a span of
      no words is a [MASK] put in. A span ends early at the text's end, at another span, and at the share's.
    - "rotate": the text begins at a random word, and what stood before that comes last.
    - "shuffle": the sentences are put into another order.

    Args:
        text: any; it is normalised, line breaks become spaces.
        kind: one of `NOISES`.
        seed: 0 or more.
        share: of the words that are masked, deleted or infilled, in (0, 1]; at least one word, and of deletions at
            most all but one. Rotation and shuffling have no use for it.

    Raises:
        EmptyInput: no word is in the text.
        InputTooLong: more than `LONGEST` characters.
        InputError: too few words or sentences for this noise, or no such kind, seed or share.
    """
    if kind not in _NOISES:
        raise InputError(f"There is no noise {kind!r}. Choose one of: {', '.join(NOISES)}.")
    if seed < 0:
        raise InputError(f"A seed is 0 or more, and this one is {seed}. Choose another.")
    if not 0 < share <= 1:
        raise InputError(f"The share of words is above 0 and at most 1, and this one is {share}. Choose another.")
    if len(text) > LONGEST:
        raise InputTooLong(f"This text has {len(text):,} characters and {LONGEST:,} is the most. Shorten it.")
    original = normalise(text)
    if TYPED_MASK.search(original):
        raise InputError(f"This text has a {MASK} already, and noise is made on a whole text. Put a word in its place.")
    words = [match.span() for match in _WORD.finditer(original)]
    if not words:
        raise EmptyInput("There is no word in this text to change. Type a sentence.")
    noised, changes = _NOISES[kind](original, words, np.random.default_rng(seed), share)
    return Noised(kind, seed, original, noised, changes)


def _mask(text: str, words: Sequence[_Span], rng: np.random.Generator, share: float) -> _Made:
    chosen = _drawn(words, rng, share, spared=0)
    changes = [_replaced(text, span, MASK, f"one {MASK}") for span in chosen]
    return _applied(text, changes), tuple(changes)


def _delete(text: str, words: Sequence[_Span], rng: np.random.Generator, share: float) -> _Made:
    if len(words) < 2:
        raise InputError("Nothing would be left of a text of one word. Type at least two.")
    chosen = _drawn(words, rng, share, spared=1)
    changes = [_replaced(text, span, "", "deleted") for span in chosen]
    # A word goes with the space before it, so that none is left before a full stop.
    wider = [
        replace(change, span=(start - (text[start - 1 : start] == " "), end))
        for change in changes
        for start, end in [change.span]
    ]
    return normalise(_applied(text, wider)), tuple(changes)


def _drawn(words: Sequence[_Span], rng: np.random.Generator, share: float, spared: int) -> list[_Span]:
    """A share of the words, at least one, in reading order."""
    count = _budget(len(words), share, len(words) - spared)
    return [words[index] for index in sorted(rng.choice(len(words), count, replace=False))]


def _budget(words: int, share: float, most: int) -> int:
    return min(max(1, round(share * words)), most)


def _infill(text: str, words: Sequence[_Span], rng: np.random.Generator, share: float) -> _Made:
    left = _budget(len(words), share, len(words))
    spans = np.full(len(words), -1)  # the span that each word went into
    inserted: set[int] = set()
    count = 0
    while left:
        length = min(int(rng.poisson(SPAN)), left)
        start = int(rng.choice(np.flatnonzero(spans < 0)))
        if length == 0:
            inserted.add(start)  # before that word, unless a span takes it
            continue
        end = start
        while end < len(words) and end - start < length and spans[end] < 0:
            spans[end], end = count, end + 1
        count, left = count + 1, left - (end - start)
    changes = [
        _replaced(text, (words[start][0], words[start][0]), f"{MASK} ", f"one {MASK} put in where no word is missing")
        for start in inserted
        if spans[start] < 0
    ]
    for span, group in groupby(range(len(words)), key=lambda index: int(spans[index])):
        if span >= 0:
            inside = [words[index] for index in group]
            done = f"one {MASK} for {len(inside)} word{'s' * (len(inside) > 1)}"
            changes.append(_replaced(text, (inside[0][0], inside[-1][1]), MASK, done))
    changes.sort(key=lambda change: change.span)
    return _applied(text, changes), tuple(changes)


def _rotate(text: str, words: Sequence[_Span], rng: np.random.Generator, share: float) -> _Made:
    if len(words) < 2:
        raise InputError("A text of one word cannot be rotated. Type at least two.")
    start, _ = words[int(rng.integers(1, len(words)))]
    before = text[:start].rstrip()
    return f"{text[start:]} {before}", (Change((0, len(before)), before, None, "moved to the end"),)


def _shuffle(text: str, words: Sequence[_Span], rng: np.random.Generator, share: float) -> _Made:
    sentences = sentences_of(text)
    if len(sentences) < 2:
        raise InputError("There is one sentence only, so there is nothing to shuffle. Type two sentences or more.")
    order = list(range(len(sentences)))
    while order == sorted(order):
        order = rng.permutation(len(sentences)).tolist()
    starts = [0]
    for sentence in sentences[:-1]:
        starts.append(starts[-1] + len(sentence) + 1)
    changes = tuple(
        Change(
            (starts[index], starts[index] + len(sentences[index])),
            sentences[index],
            None,
            f"sentence {index + 1} is now number {place + 1}" if index != place else f"sentence {index + 1} stays",
        )
        for place, index in enumerate(order)
    )
    return " ".join(sentences[index] for index in order), changes


def _replaced(text: str, span: _Span, put: str, done: str) -> Change:
    return Change(span, text[slice(*span)], put, done)


def _applied(text: str, changes: Sequence[Change]) -> str:
    """The text with every change made; changes are in reading order and do not overlap."""
    parts, at = [], 0
    for change in changes:
        parts += [text[at : change.span[0]], change.put or ""]
        at = change.span[1]
    return "".join([*parts, text[at:]])


_NOISES: dict[NoiseKind, Callable[[str, Sequence[_Span], np.random.Generator, float], _Made]] = {
    "mask": _mask,
    "delete": _delete,
    "infill": _infill,
    "rotate": _rotate,
    "shuffle": _shuffle,
}
