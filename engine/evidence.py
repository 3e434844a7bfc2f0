"""What attention says of pronouns over many sentences: how often each head looks most at the right noun."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.analysis import positions_of, resolves
from engine.cases import Case
from engine.coreference import pronoun_span
from engine.errors import InputError
from engine.interventions import Head
from engine.types import KINDS, Kind, Trace

if TYPE_CHECKING:
    from engine.runner import Runner

Report = Callable[[int], None]
"""Called with how much was done since the last call. What it raises ends the work."""

CHUNK = 32  # sentences translated side by side, before each is traced


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of sentences, with the interval in which the share of all such sentences probably is.

    Source: Wilson 1927, the score interval; 95 %.

    Attributes:
        right, total: counts.
        low, high: the interval's ends, in [0, 1].
    """

    right: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """In [0, 1]; NaN of no sentences."""
        return self.right / self.total if self.total else float("nan")


def rate(right: int, total: int) -> Rate:
    """A count with its interval; of no sentences the interval is all of [0, 1]."""
    if not total:
        return Rate(0, 0, 0.0, 1.0)
    from scipy.stats import binomtest  # slow to import, and `import engine` is to be fast

    found = binomtest(int(right), int(total)).proportion_ci(method="wilson")
    return Rate(int(right), int(total), float(found.low), float(found.high))


@dataclass(frozen=True, slots=True)
class Hits:
    """Which heads look most at the right noun.

    Attributes:
        right: by kind ("encoder", "cross"), bool (case, layer, head); False where nothing was measured.
        measured: by kind, bool (case,).
        problems: why a case could not be measured, a sentence each.
    """

    right: Mapping[Kind, np.ndarray]
    measured: Mapping[Kind, np.ndarray]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What heads and the model itself take pronouns for.

    Attributes:
        cases: the sentences.
        hits: of the heads.
        said: "il" or "elle", whichever the model's own translation says first; "" where it says neither.
        right: whether that is right; None where nobody knows.
    """

    cases: tuple[Case, ...]
    hits: Hits
    said: tuple[str, ...]
    right: tuple[bool | None, ...]

    @property
    def accuracy(self) -> Rate:
        """How often the model's own pronoun is right, of the cases whose right one is known."""
        known = [right for right in self.right if right is not None]
        return rate(sum(known), len(known))


def first_pronoun(french: str) -> str:
    """The first "il" or "elle" of a French text, lower-case; "" if there is none."""
    span = pronoun_span(french)
    return french[slice(*span)].lower() if span else ""


def resolve_cases(runner: Runner, cases: Sequence[Case], report: Report = lambda done: None) -> Resolution:
    """What each head and the model itself take each pronoun for: `read_heads`, and the greedy translation's pronoun.

    Args:
        runner: the model.
        cases: the sentences; one that the model does not take is not measured.
        report: called after each case.
    """
    said: list[str] = []
    parts = [read_heads(runner, ())]
    for start in range(0, len(cases), CHUNK):
        chunk = cases[start : start + CHUNK]
        said += [first_pronoun(output) for output in own_words(runner, chunk)]
        parts.append(read_heads(runner, chunk, report, start))
    right = [s == c.french_pronoun if c.french_pronoun else None for s, c in zip(said, cases, strict=True)]
    return Resolution(tuple(cases), _joined(parts), tuple(said), tuple(right))


def own_words(runner: Runner, cases: Sequence[Case]) -> list[str]:
    """The model's greedy translations; "" of texts that it does not take."""
    usable = [index for index, case in enumerate(cases) if not _refusal(runner, case)]
    outputs = [""] * len(cases)
    texts = runner.translate([cases[index].text for index in usable]) if usable else []
    for index, text in zip(usable, texts, strict=True):
        outputs[index] = text
    return outputs


def _refusal(runner: Runner, case: Case) -> str:
    """Why the model does not take a text; "" if it does."""
    try:
        runner.encode(case.text)
    except InputError as error:
        return str(error)
    return ""


def read_heads(runner: Runner, cases: Sequence[Case], report: Report = lambda done: None, first: int = 0) -> Hits:
    """Which heads give the right noun more mass than every other candidate.

    A noun's mass is the sum over its pieces; of a pronoun of several pieces the mean over its rows counts. Encoder
    heads are read at the English pronoun, cross heads at the step that predicts the French one: in the reference
    translation, which is forced, or where there is none in the model's own.

    Args:
        runner: the model.
        cases: the sentences.
        report: called after each case.
        first: the index of the first case, for messages.
    """
    config = runner.model.config
    kinds: tuple[Kind, ...] = ("encoder", "cross")
    layers = {kind: config.attention_layers(kind) for kind in kinds}
    right = {
        kind: np.zeros((len(cases), count, config.attention_heads(kind)), dtype=bool) for kind, count in layers.items()
    }
    measured = {kind: np.zeros(len(cases), dtype=bool) for kind in layers}
    problems = []
    for index, case in enumerate(cases):
        try:
            found = _hits(runner.trace(case.text, case.french), case)
        except InputError as error:
            found = {}
            problems.append(f"Sentence {first + index + 1}: {error}")
        else:
            if "cross" not in found:
                problems.append(
                    f"Sentence {first + index + 1}: the translation has no il or elle, so cross heads are not read."
                )
        for kind, hits in found.items():
            right[kind][index], measured[kind][index] = hits, True
        report(1)
    return Hits(right, measured, tuple(problems))


def _hits(trace: Trace, case: Case) -> dict[Kind, np.ndarray]:
    """By kind, bool (layer, head); kinds without a row to read are absent."""
    nouns = [positions_of(trace.source, *span) for span in case.candidates]
    french = pronoun_span(trace.predicted.text)
    rows: dict[Kind, tuple[int, ...]] = {
        "encoder": positions_of(trace.source, *case.pronoun),
        "cross": positions_of(trace.predicted, *french) if french else (),
    }
    return {kind: _resolved(trace.maps[kind].weights, at, nouns, case.answer) for kind, at in rows.items() if at}


def _resolved(weights: np.ndarray, rows: Sequence[int], nouns: Sequence[Sequence[int]], answer: int) -> np.ndarray:
    """`resolves` for the mean over several rows."""
    pooled = weights[:, :, list(rows)].mean(axis=2, keepdims=True)
    return resolves(pooled, 0, nouns, answer)


def _joined(parts: Sequence[Hits]) -> Hits:
    """The hits of one case after the other."""
    return Hits(
        {kind: np.concatenate([part.right[kind] for part in parts]) for kind in parts[0].right},
        {kind: np.concatenate([part.measured[kind] for part in parts]) for kind in parts[0].measured},
        tuple(problem for part in parts for problem in part.problems),
    )


# ---- summaries ----


def rates(hits: Hits, kind: Kind) -> tuple[tuple[Rate, ...], ...]:
    """How often each head of a kind looks most at the right noun, by layer and head, of the cases measured."""
    used = hits.right[kind][hits.measured[kind]]
    return tuple(tuple(rate(int(count), len(used)) for count in layer) for layer in used.sum(axis=0))


def best_resolvers(hits: Hits, count: int) -> tuple[Head, ...]:
    """The heads that most often look most at the right noun, best first; of equals the earlier layer, then head.

    Meant to be chosen on other sentences than those on which they are then judged.
    """
    scored = [(-found.share, head) for head, found in _head_rates(hits).items() if found.total]
    return tuple(head for _, head in sorted(scored, key=lambda one: one[0])[:count])


def _head_rates(hits: Hits) -> dict[Head, Rate]:
    """Every head's rate, encoder heads first."""
    return {
        Head(kind, layer, head): found
        for kind in KINDS
        if kind in hits.right
        for layer, row in enumerate(rates(hits, kind))
        for head, found in enumerate(row)
    }


CASE_COLUMNS = ("sentence", "pronoun", "candidates", "answer", "french_pronoun", "said", "right")
HEAD_COLUMNS = ("kind", "layer", "head", "right", "total", "share", "low", "high")


def cases_csv(resolution: Resolution, heads: Sequence[Head] = ()) -> str:
    """The cases as CSV (RFC 4180), one line each, and for some heads whether they look most at the right noun.

    Columns: `CASE_COLUMNS`, candidates separated by " | "; then one for each head, named as screens do. Yes and no are
    1 and 0, and an empty cell is what nobody knows or what could not be measured. Texts are in quotation marks and
    otherwise exactly as they are, also those that begin with = + - or @, which a spreadsheet may take for a formula:
    import these columns as text.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow((*CASE_COLUMNS, *(head.name for head in heads)))
    hits = resolution.hits
    for index, (case, said, right) in enumerate(zip(resolution.cases, resolution.said, resolution.right, strict=True)):
        resolved = [
            int(hits.right[kind][index, layer, head]) if hits.measured[kind][index] else ""
            for kind, layer, head in heads
        ]
        pronoun, nouns = case.text[slice(*case.pronoun)], case.nouns
        known = "" if right is None else int(right)
        row = (case.text, pronoun, " | ".join(nouns), nouns[case.answer], case.french_pronoun or "", said, known)
        writer.writerow((*row, *resolved))
    return text.getvalue()


def resolvers_csv(hits: Hits) -> str:
    """Every head as CSV (RFC 4180): how often it looks most at the right noun.

    Columns: `HEAD_COLUMNS`; layers and heads count from 1, as on screens. `right` of `total` sentences is `share`, with
    its 95 % interval. Cells are empty where nothing was measured.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(HEAD_COLUMNS)
    for head, counted in _head_rates(hits).items():
        cells: tuple[object, ...] = ("",) * 5
        if counted.total:
            share, low, high = (round(value, 6) for value in (counted.share, counted.low, counted.high))
            cells = (counted.right, counted.total, share, low, high)
        writer.writerow((head.kind, head.layer + 1, head.head + 1, *cells))
    return text.getvalue()
