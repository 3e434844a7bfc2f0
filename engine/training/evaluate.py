"""`saccade evaluate`: every score on a model's card, measured on the shipped file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.analysis import positions_of, resolves
from engine.errors import InputError
from engine.runner import Runner
from engine.training.data import Pair, read_pairs
from engine.training.synthetic import LECTURE, PronounExample, baselines, set_a, set_b

Report = Callable[[int], None]
PRONOUN = re.compile(r"\b(il|elle)\b", re.IGNORECASE)
HALF = 1200  # sentences of set A's validation half, and of its test half


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One thing to measure: how, and what it reads."""

    measure: Callable[[Runner, Path | None, Report], dict[str, Any]]
    needs_data: bool
    description: str


def bleu(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU and chrF by sacrebleu with its default settings (13a tokenizer, case kept)."""
    import sacrebleu

    return {
        "bleu": round(sacrebleu.corpus_bleu(list(outputs), [list(references)]).score, 2),
        "chrf": round(sacrebleu.corpus_chrf(list(outputs), [list(references)]).score, 2),
    }


def translation_scores(file: str) -> Callable[[Runner, Path | None, Report], dict[str, Any]]:
    """Scores of greedy translations of data/en-fr/`file`; sources over the model's limit count as empty output."""

    def measure(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
        assert data is not None
        pairs = read_pairs(data / "en-fr" / file)
        outputs, skipped = translate_pairs(runner, pairs, report)
        return bleu(outputs, [french for _, french in pairs]) | {"sentences": len(pairs), "over_limit": skipped}

    return measure


def translate_pairs(runner: Runner, pairs: Sequence[Pair], report: Report) -> tuple[list[str], int]:
    """Translations of the pairs' sources, "" for those the model does not take, and how many those are."""
    usable = []
    for index, (english, _) in enumerate(pairs):
        try:
            runner.encode(english)
            usable.append(index)
        except InputError:
            continue
    outputs = [""] * len(pairs)
    for index, text in zip(usable, runner.translate([pairs[i][0] for i in usable], report), strict=True):
        outputs[index] = text
    return outputs, len(pairs) - len(usable)


def first_pronoun(french: str) -> str:
    """The first "il" or "elle" of a French text, lower-case; "" if there is none."""
    found = PRONOUN.search(french)
    return found.group(1).lower() if found else ""


def pronoun_accuracy(runner: Runner, examples: Sequence[PronounExample], report: Report) -> float:
    """Share of the examples whose greedy translation has the right pronoun first, in [0, 1]."""
    outputs = runner.translate([example.english for example in examples], report)
    return float(np.mean([first_pronoun(o) == e.french_pronoun for o, e in zip(outputs, examples, strict=True)]))


@torch.inference_mode()
def resolver_accuracy(runner: Runner, examples: Sequence[PronounExample], report: Report) -> dict[str, np.ndarray]:
    """Share of the examples in which each head gives the pronoun's noun more mass than every other noun.

    Encoder heads are read at the English pronoun; cross heads at the step that predicts the French pronoun, with the
    reference translation forced.

    Returns:
        "encoder" and "cross": float (layer, head), in [0, 1].
    """
    hits: dict[str, list[np.ndarray]] = {"encoder": [], "cross": []}
    for example in examples:
        trace = runner.trace(example.english, example.french)
        nouns = [positions_of(trace.source, noun.start, noun.end) for noun in example.candidates]
        english = positions_of(trace.source, example.pronoun.start, example.pronoun.end)[0]
        french = PRONOUN.search(trace.predicted.text)
        assert french is not None, example.french
        step = positions_of(trace.predicted, *french.span())[0]
        hits["encoder"].append(resolves(trace.maps["encoder"].weights, english, nouns, example.answer))
        hits["cross"].append(resolves(trace.maps["cross"].weights, step, nouns, example.answer))
        report(1)
    return {kind: np.mean(values, axis=0) for kind, values in hits.items()}


def resolver_scores(runner: Runner, examples: Sequence[PronounExample], report: Report) -> dict[str, Any]:
    """The best encoder head and the best cross head as resolvers, layers and heads counted from 0."""
    scores: dict[str, Any] = {}
    for kind, accuracy in resolver_accuracy(runner, examples, report).items():
        layer, head = np.unravel_index(int(accuracy.argmax()), accuracy.shape)
        scores[f"best_{kind}_head"] = {
            "layer": int(layer), "head": int(head), "resolves": round(float(accuracy[layer, head]), 4)
        }  # fmt: skip
    chance = float(np.mean([1 / len(example.candidates) for example in examples]))
    return scores | {"chance": round(chance, 4)}


def pronoun_scores(
    examples: Callable[[], Sequence[PronounExample]], *, heads: bool
) -> Callable[[Runner, Path | None, Report], dict[str, Any]]:
    """Pronoun accuracy beside its baselines, and with `heads` the best heads as resolvers."""

    def measure(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
        chosen = examples()
        scores: dict[str, Any] = {
            "pronoun_accuracy": round(pronoun_accuracy(runner, chosen, report), 4),
            "baselines": {name: round(value, 4) for name, value in baselines(chosen).items()},
            "sentences": len(chosen),
        }
        return scores | (resolver_scores(runner, chosen, report) if heads else {})

    return measure


def lecture_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """The lecture's two sentences: translation and whether the pronoun is right."""
    outputs = runner.translate([text for text, _ in LECTURE], report)
    rows = zip(LECTURE, outputs, strict=True)
    return {"sentences": [{"english": e, "french": f, "right": first_pronoun(f) == wanted} for (e, wanted), f in rows]}


SETS: dict[str, EvaluationSet] = {
    "tatoeba": EvaluationSet(translation_scores("test.tsv"), True, "2,000 short everyday sentences (Tatoeba test)"),
    "europarl": EvaluationSet(
        translation_scores("europarl-test.tsv"), True, "2,990 parliament sentences of 5-50 words"
    ),
    "pronouns-a-valid": EvaluationSet(
        pronoun_scores(lambda: set_a("valid", HALF), heads=True),
        False,
        "noun pairs never seen together, validation half",
    ),
    "pronouns-a-test": EvaluationSet(
        pronoun_scores(lambda: set_a("test", HALF), heads=False), False, "noun pairs never seen together, test half"
    ),
    "pronouns-b": EvaluationSet(pronoun_scores(set_b, heads=False), False, "adjectives never seen in the grammar"),
    "lecture": EvaluationSet(lecture_scores, False, "the animal that was too tired, the street that was too wide"),
}


def evaluate(runner: Runner, name: str, data: Path | None, report: Report = lambda done: None) -> dict[str, Any]:
    """The scores of one set.

    Args:
        runner: the model.
        name: a key of `SETS`.
        data: folder of the evaluation texts, for the sets that need it.
        report: called with the number of sentences finished since the last call.

    Raises:
        InputError: no such set, or data is needed and not given.
    """
    if name not in SETS:
        raise InputError(f"There is no evaluation set {name!r}. Choose one of: {', '.join(SETS)}.")
    chosen = SETS[name]
    if chosen.needs_data and data is None:
        raise InputError(f"The set {name!r} reads texts from disk: give their folder with --data DIR.")
    return chosen.measure(runner, data, report)
