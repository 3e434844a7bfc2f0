"""What "it" refers to: where the pronoun and its candidates stand, how far each head prefers one of them, and the fork
at which the output has to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.analysis import merge_words, positions_of, span_mass
from engine.errors import InputError
from engine.knockout import Fork
from engine.text import TranslationTokenizer, french_spacing, normalise
from engine.types import KINDS, Kind, Tokens, Trace

Span = tuple[int, int]
"""Character offsets (start, end) into a text."""

PRONOUN = re.compile(r"\b(il|elle)\b(?! (?:n'y|y) )", re.IGNORECASE)  # but not "il y a", which stands for nothing
_COMPARED = (
    (PRONOUN, ("il", "elle")),
    (re.compile(r"\b(ils|elles)\b", re.IGNORECASE), ("ils", "elles")),
)
"""Patterns of French pronouns, the likelier first, each with the two words that are compared there."""
_ITALIAN = re.compile(
    r"\b(?:una|uno|perché|nel|nella|del|della|dei|degli|delle|gli|troppo|stato|stata|era|erano|è|per|sul|sulla|dal|"
    r"dalla|suo|sua|più|anche|questo|questa)\b"
)
"""Words that French has not: where they stand, "il" is the Italian article and no pronoun."""
_JOINS = ("'", "-", "(", "[")
KEEPS = 0.05  # a margin below this in either sentence is no preference


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything stands, as positions of pieces from 0; empty where it is not there.

    Attributes:
        pronoun: source positions of the pronoun.
        first, second: source positions of the candidates A and B.
        steps: the steps that predict the French pronoun.
        first_read, second_read: positions of the candidates among the output tokens read.
        texts: what sentences for a screen call the source and the output.
    """

    pronoun: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    steps: tuple[int, ...] = ()
    first_read: tuple[int, ...] = ()
    second_read: tuple[int, ...] = ()
    texts: tuple[str, str] = ("English sentence", "French sentence")

    def row(self, kind: Kind) -> tuple[int, ...]:
        """The positions that look, in maps of this kind."""
        return self.pronoun if kind == "encoder" else self.steps

    def candidates(self, kind: Kind) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The positions looked at, in maps of this kind."""
        return (self.first_read, self.second_read) if kind == "decoder" else (self.first, self.second)

    def missing(self, kind: Kind) -> str:
        """Why nothing can be read from maps of this kind, as a sentence; "" where all is there."""
        source = f"the {self.texts[0]}" if kind != "decoder" else "the output before it"
        if not self.row(kind):
            return f"No pronoun is marked in the {self.texts[0 if kind == 'encoder' else 1]}."
        for name, positions in zip("AB", self.candidates(kind), strict=True):
            if not positions:
                return f"Candidate {name} was not found in {source}."
        return ""


def places(
    trace: Trace,
    pronoun: Span | None,
    candidates: tuple[Span | None, Span | None],
    french: Span | None,
    said: tuple[Span | None, Span | None] | None = None,
) -> Places:
    """The positions of marked spans in a trace.

    The candidates' French words are those output words, before the French pronoun, that look most at them: by
    cross-attention, the mean over all layers and heads, pieces merged.

    Args:
        trace: of the sentence.
        pronoun: in the source text.
        candidates: A and B, in the source text.
        french: the French pronoun, in the translation.
        said: the candidates' French words, in the translation; None to find them.
    """
    at = tuple(positions_of(trace.source, *span) if span else () for span in (pronoun, *candidates))
    steps = positions_of(trace.predicted, *french) if french else ()
    if said is not None:
        read = tuple(_read_at(trace, span) if span else () for span in said)
    else:
        read = tuple(_read_of(trace, found, steps[0]) if steps and found else () for found in at[1:])
        if read[0] == read[1]:  # one word for both says nothing of either
            read = ((), ())
    return Places(at[0], at[1], at[2], steps, read[0], read[1])


def _read_at(trace: Trace, span: Span) -> tuple[int, ...]:
    """Where the tokens read spell a span of the translation: one step after they are predicted."""
    return tuple(step + 1 for step in positions_of(trace.predicted, *span) if step + 1 < len(trace.read))


def _read_of(trace: Trace, found: Sequence[int], before: int) -> tuple[int, ...]:
    """Positions among the tokens read of the output word, before a step, that looks most at source positions."""
    cross = trace.maps["cross"].weights.mean(axis=(0, 1))[:before]  # (steps, source)
    words = np.array(trace.predicted.words[:before])
    usable = [word for word in np.unique(words) if _is_word(trace.predicted, words == word)]
    if not usable:
        return ()
    mass = [cross[words == word][:, list(found)].sum(axis=1).mean() for word in usable]
    best = usable[int(np.argmax(mass))]
    # the token that step t predicts is read at step t + 1
    return tuple(int(step) + 1 for step in np.flatnonzero(words == best) if step + 1 < len(trace.read))


def _is_word(tokens: Tokens, chosen: np.ndarray) -> bool:
    """Whether the chosen pieces spell a word that may be a noun: two letters at least, and no clitic or article."""
    text = "".join(tokens.labels[i] for i in np.flatnonzero(chosen))
    return len(text) > 1 and text.isalpha() and text.lower() not in _ARTICLES


_ARTICLES = frozenset(
    {"le", "la", "les", "un", "une", "des", "du", "de", "au", "aux", "ce", "cet", "cette", "ces"}
    | {"mon", "ma", "mes", "notre", "nos", "son", "sa", "ses", "ne", "pas"}
)


def margins(trace: Trace, where: Places) -> dict[Kind, np.ndarray]:
    """How much more each head looks from the pronoun at candidate A than at candidate B.

    A candidate's mass is the sum over its pieces; of a pronoun of several pieces the mean over its rows counts. Encoder
    heads are read at the English pronoun, cross and decoder heads at the step that predicts the French one: cross heads
    look at the English nouns, decoder heads at the French ones said before.

    Returns:
        By kind, float32 (layer, head) in [−1, 1]; NaN where something is missing (`Places.missing`).
    """
    found = {}
    for kind in KINDS:
        weights = trace.maps[kind].weights
        if where.missing(kind):
            found[kind] = np.full(weights.shape[:2], np.nan, dtype=np.float32)
            continue
        rows = [span_mass(weights, row, where.candidates(kind)) for row in where.row(kind)]
        first, second = np.mean(rows, axis=0)
        found[kind] = (first - second).astype(np.float32)
    return found


def keeps_preference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bool (layer, head): heads that prefer the same candidate in both sentences, by `KEEPS` at least in each."""
    same: np.ndarray = (np.sign(first) == np.sign(second)) & (np.minimum(np.abs(first), np.abs(second)) >= KEEPS)
    return same


# ---- the fork: where the output decides ----


@dataclass(frozen=True, slots=True)
class Decision:
    """Two words that an output may go on with after a common beginning.

    Attributes:
        prefix: what was said before: text, "" for the very beginning.
        words: the word that speaks for candidate A, and the one for B, or simply the first and the second.
    """

    prefix: str
    words: tuple[str, str]

    def said(self, word: str, spaced: Callable[[str], str] = lambda text: french_spacing(normalise(text))) -> str:
        """The beginning of an output that goes on with a word; no space after an apostrophe, a hyphen, or what opens
        a quotation or a bracket.

        Args:
            word: one of the two.
            spaced: how the model would write a text.
        """
        prefix = spaced(self.prefix).rstrip()
        quoted = prefix.endswith('"') and prefix.count('"') % 2 == 1
        joins = not prefix or quoted or prefix.endswith(_JOINS)
        return f"{prefix}{'' if joins else ' '}{normalise(word)}"


def pronoun_span(french: str) -> Span | None:
    """The first "il" or "elle" of a French text; None if there is none."""
    found = PRONOUN.search(french)
    return found.span() if found else None


def said_pronoun(trace: Trace, english: Sequence[int] = ()) -> Span | None:
    """The French pronoun of a translation: of all il and elle, or else of all ils and elles, the one whose step looks
    most at the English pronoun, by cross-attention, the mean over all layers and heads.

    Args:
        trace: with the translation.
        english: source positions of the English pronoun; where there are none, the first French one is taken.

    Returns:
        Its characters in the translation; None if there is none.
    """
    for pattern, _ in _COMPARED:
        if found := _pronouns(pattern, trace.translation):
            looked = trace.maps["cross"].weights.mean(axis=(0, 1))[:, list(english)].sum(axis=1)  # (steps,)
            return max(found, key=lambda span: looked[positions_of(trace.predicted, *span)[0]])  # the first of equals
    return None


def _pronouns(pattern: re.Pattern[str], text: str) -> list[Span]:
    """Where a French text has pronouns; none where it is Italian."""
    return [] if _ITALIAN.search(text) else [match.span() for match in pattern.finditer(text)]


def find_decision(first: Trace, second: Trace, said: tuple[Span | None, Span | None] | None = None) -> Decision | None:
    """The decision that two translations suggest: il or elle after what the first says up to its pronoun (the second,
    where the first has none), else ils or elles likewise, else the first two words that differ; None where the two are
    equal and have no such pronoun.

    Args:
        first: of the first sentence, with the model's own translation.
        second: of the second.
        said: the French pronouns, in the translations; None for the first of each.
    """
    spans = said or (said_pronoun(first), said_pronoun(second))
    for pattern, words in _COMPARED:
        for trace, span in zip((first, second), spans, strict=True):
            if span and (found := pattern.search(trace.translation, *span)):
                compared = (words[0].capitalize(), words[1].capitalize()) if found[0][0].isupper() else words
                return Decision(trace.translation[: found.start()].strip(), compared)
    one, other = (merge_words(trace.maps["cross"]).row_tokens for trace in (first, second))
    for i, (a, b) in enumerate(zip(one.labels, other.labels, strict=False)):
        if a.strip() != b.strip() and not (one.special[i] or other.special[i]):
            return Decision(one.text[: one.spans[i][0]].strip(), (a.strip(), b.strip()))
    return None


def fork_of(tokenizer: TranslationTokenizer, decision: Decision) -> Fork:
    """The pieces that tell the two words apart after the prefix, in whichever form they take there.

    Both ways are tokenized whole, so that "parce qu'" + "il" is one piece, or "il", or " il", as the model itself
    would say it; the fork is where the two first differ.

    Raises:
        InputError: a word is missing, or one way is the beginning of the other.
    """
    ways = []
    for word in decision.words:
        if not normalise(word):
            raise InputError("Give two words to compare, for example il and elle.")
        said = decision.said(word, tokenizer.normalise_output)
        ways.append(tokenizer.encode_output(said, end=False).ids)
    for i, (first, second) in enumerate(zip(*ways, strict=False)):
        if first != second:
            return Fork((tokenizer.start, *ways[0][:i]), first, second)
    raise InputError(
        f"“{decision.words[0]}” and “{decision.words[1]}” begin alike, so no single step tells them apart. "
        "Choose two words of which neither begins the other."
    )
