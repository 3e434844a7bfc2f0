"""The two sentences of the Coreference page as the model reads them, with everything that is marked in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.analysis import positions_of
from engine.catalogue import ModelCard
from engine.coreference import Decision, Places, Span, find_decision, margins, places, said_pronoun
from engine.errors import InputError
from engine.experiments import Outcome, outcome, sweep_heads
from engine.mentions import Mentions, Word, Words, find_pair_mentions, span_of, words_at, words_of
from engine.types import Kind, Trace
from engine.verdict import Side
from pages import _shared
from pages._lab import LabView, Marked
from pages._languages import languages_of


@dataclass(frozen=True, slots=True)
class Reading:
    """One sentence.

    Attributes:
        trace: with the model's own translation.
        english, french: the words of both texts.
        marked: pronoun, A and B among the English words.
        said: the same among the French words.
        where: the same as positions of pieces.
        margins: by kind, (layer, head).
    """

    trace: Trace
    english: tuple[Word, ...]
    french: tuple[Word, ...]
    marked: Marked
    said: Marked
    where: Places
    margins: Mapping[Kind, np.ndarray]

    @property
    def text(self) -> str:
        return self.trace.request.text


@dataclass(frozen=True, slots=True)
class PairShown:
    """Both sentences and what the output decides.

    Attributes:
        sides: the two readings.
        decision: the words that are compared; None where the translations suggest none.
        names: what A and B are called.
        problems: marks of the view that are not there, a sentence each.
    """

    sides: tuple[Reading, Reading]
    decision: Decision | None
    names: tuple[str, str]
    problems: tuple[str, ...] = ()


def read_pair(card: ModelCard, view: LabView) -> PairShown:
    """The pair of a view, with what the reader did not mark found.

    Raises:
        InputError: a sentence that cannot be used.
    """
    traces = [_trace(card, name, text) for name, text in (("First", view.first), ("Second", view.second))]
    english = [words_of(trace.source) for trace in traces]
    found = find_pair_mentions(*([word.text for word in words] for words in english))
    marked = [
        _held(own, words) or _of(mentions)
        for own, words, mentions in zip((view.marks, view.marks2), english, found, strict=True)
    ]
    spoken = [
        _held(own, words_of(trace.predicted)) for own, trace in zip((view.french, view.french2), traces, strict=True)
    ]
    texts = languages_of(card).texts
    pronouns = [_pronoun(*known) for known in zip(traces, english, marked, spoken, strict=True)]
    decision = _decision(traces[0], traces[1], (pronouns[0], pronouns[1]), view)
    first, second = (
        _reading(*known, decision, texts) for known in zip(traces, english, marked, spoken, pronouns, strict=True)
    )
    names = tuple(_name(first, index) or _name(second, index) or f"candidate {'AB'[index]}" for index in (0, 1))
    given = (
        ("marks", view.marks, first.english),
        ("french", view.french, first.french),
        ("marks2", view.marks2, second.english),
        ("french2", view.french2, second.french),
    )
    problems = tuple(said for name, marked, words in given if (said := _beyond(name, marked, len(words))))
    return PairShown((first, second), decision, (names[0], names[1]), problems)


def _trace(card: ModelCard, name: str, text: str) -> Trace:
    """The trace of a sentence; an error says which."""
    try:
        return _shared.trace(card, text)
    except InputError as reason:
        raise InputError(f"{name} sentence: {reason}") from reason


def _beyond(name: str, marked: Marked | None, count: int) -> str:
    """What an address marks and is not there, as a sentence; "" where all is."""
    beyond = sorted({i + 1 for part in marked or () for i in part if i >= count})
    if not beyond:
        return ""
    some = ", ".join(map(str, beyond[:5])) + (" …" if len(beyond) > 5 else "")
    return f"“{name}” in the address marks word {some}, which is not there: the highest is {count}."


def _of(mentions: Mentions) -> Marked:
    return mentions.pronoun, mentions.first, mentions.second


def _held(marked: Marked | None, words: tuple[Word, ...]) -> Marked | None:
    """Marks that an address gave, without words that are not there."""
    if marked is None:
        return None
    pronoun, first, second = (tuple(i for i in part if i < len(words)) for part in marked)
    return pronoun, first, second


def _reading(
    trace: Trace,
    english: tuple[Word, ...],
    marked: Marked,
    said: Marked | None,
    found: Span | None,
    decision: Decision | None,
    texts: tuple[str, str],
) -> Reading:
    french = words_of(trace.predicted)
    pronoun, *candidates = (_span(english, words) for words in marked)
    step = found if said else found or _decided(trace, decision)
    chosen = None if said is None else (_span(french, said[1]), _span(french, said[2]))
    where = replace(places(trace, pronoun, (candidates[0], candidates[1]), step, chosen), texts=texts)
    shown: Marked = said or (
        words_at(french, *step) if step else (),
        _read_words(trace, french, where.first_read),
        _read_words(trace, french, where.second_read),
    )
    return Reading(trace, english, french, marked, shown, where, margins(trace, where))


def _span(words: tuple[Word, ...], chosen: Words) -> Span | None:
    return span_of(words, chosen) if chosen else None


def _pronoun(trace: Trace, english: tuple[Word, ...], marked: Marked, said: Marked | None) -> Span | None:
    """The French pronoun, in the translation: as the reader marked it, else as found."""
    if said:
        return _span(words_of(trace.predicted), said[0])
    span = _span(english, marked[0])
    return said_pronoun(trace, positions_of(trace.source, *span) if span else ())


def _decided(trace: Trace, decision: Decision | None) -> Span | None:
    """The word of the translation after the common beginning, where it begins so."""
    if decision is None or not trace.translation.startswith(decision.prefix):
        return None
    start = len(decision.prefix)
    after = [word for word in words_of(trace.predicted) if word.start >= start]
    return (after[0].start, after[0].end) if after else None


def _read_words(trace: Trace, french: tuple[Word, ...], read: tuple[int, ...]) -> Words:
    """The French words that positions among the tokens read spell."""
    spans = [trace.read.spans[position] for position in read]
    return words_at(french, spans[0][0], spans[-1][1]) if spans else ()


def _name(reading: Reading, index: int) -> str:
    span = _span(reading.english, reading.marked[index + 1])
    return reading.text[slice(*span)] if span else ""


def _decision(first: Trace, second: Trace, pronouns: tuple[Span | None, Span | None], view: LabView) -> Decision | None:
    """What the reader chose to compare, with what the translations suggest for the rest."""
    found = find_decision(first, second, pronouns)
    if found is None and not (view.left and view.right):
        return None
    prefix, words = (found.prefix, found.words) if found else ("", ("", ""))
    return Decision(
        prefix if view.prefix is None else view.prefix,
        (view.left or words[0], view.right or words[1]),
    )


def side_of(card: ModelCard, pair: PairShown, number: int) -> Side:
    """What the verdict needs of one sentence, the first (0) or the second (1).

    Raises:
        InputError: words that cannot be compared.
    """
    assert pair.decision is not None
    here, there = pair.sides[number], pair.sides[1 - number]
    said: Outcome = _shared.computed(card, outcome, here.text, pair.decision)
    off = _shared.computed(card, sweep_heads, here.text, pair.decision, "zero", "")
    patched = _shared.computed(card, sweep_heads, here.text, pair.decision, "other", there.text)
    return Side(said, here.margins, off, patched)
