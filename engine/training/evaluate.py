"""`saccade evaluate`: every score on a model's card, measured on the shipped file."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.analysis import positions_of, resolves
from engine.errors import InputError
from engine.runner import Runner
from engine.training.data import Pair, read_pairs
from engine.training.roles import head_roles, its_scores
from engine.training.synthetic import LECTURE, PronounExample, baselines, set_a, set_b
from engine.weights import sha256_of

Report = Callable[[int], None]
PRONOUN = re.compile(r"\b(il|elle)\b(?! (?:n'y|y) )", re.IGNORECASE)  # but not "il y a", which stands for nothing
HALF = 1200  # sentences of set A's validation half, and of its test half
ROLE_SENTENCES = 500  # the first of the validation texts, over which head scores are averaged


Measure = Callable[[Runner, Path | None, Report], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One thing to measure: how, whether it reads texts from disk, and what it is in words."""

    measure: Measure
    needs_data: bool
    description: str


def require_sacrebleu() -> None:
    """Raises InputError where sacrebleu, which only training and evaluation need, is not installed."""
    if importlib.util.find_spec("sacrebleu") is None:
        raise InputError("BLEU is computed by sacrebleu, which is not installed. Run: pip install sacrebleu")


def bleu(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU and chrF by sacrebleu with its default settings (13a tokenizer, case kept)."""
    import sacrebleu

    return {
        "bleu": round(sacrebleu.corpus_bleu(list(outputs), [list(references)]).score, 2),
        "chrf": round(sacrebleu.corpus_chrf(list(outputs), [list(references)]).score, 2),
    }


def translation_scores(file: str) -> Measure:
    """Scores of greedy translations of data/en-fr/`file`; sources over the model's limit count as empty output.

    The file's checksum is kept with them: other files of the same corpora may share sentences with the training data.
    """

    def measure(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
        assert data is not None
        require_sacrebleu()
        path = data / "en-fr" / file
        pairs = read_pairs(path)
        outputs, skipped = translate_pairs(runner, pairs, report)
        scores = bleu(outputs, [french for _, french in pairs])
        return {**scores, "sentences": len(pairs), "over_limit": skipped, "file_sha256": sha256_of(path)}

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


def pronoun_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """Set A: pronoun accuracy on its test half beside the baselines, and the best heads as resolvers.

    The encoder head and the cross head are chosen on the validation half and reported on both halves. A resolver that
    always takes the first noun is right in `first_noun` of the test half.
    """
    valid, test = set_a("valid", HALF), set_a("test", HALF)
    scores: dict[str, Any] = {"sentences": len(test)} | accuracy_and_baselines(runner, test, report)
    scores["first_noun"] = round(float(np.mean([example.answer == 0 for example in test])), 4)
    chosen_on, reported_on = (resolver_accuracy(runner, half, report) for half in (valid, test))
    for kind, accuracy in chosen_on.items():
        layer, head = map(int, np.unravel_index(int(accuracy.argmax()), accuracy.shape))
        scores[f"best_{kind}_head"] = {
            "layer": layer,
            "head": head,
            "resolves_valid": round(float(accuracy[layer, head]), 4),
            "resolves_test": round(float(reported_on[kind][layer, head]), 4),
        }
    return scores


def new_adjective_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """Set B: pronoun accuracy beside the baselines."""
    examples = set_b()
    return {"sentences": len(examples)} | accuracy_and_baselines(runner, examples, report)


def accuracy_and_baselines(runner: Runner, examples: Sequence[PronounExample], report: Report) -> dict[str, Any]:
    """The model's pronoun accuracy and that of rules which do not read the sentence."""
    return {
        "pronoun_accuracy": round(pronoun_accuracy(runner, examples, report), 4),
        "baselines": {name: round(value, 4) for name, value in baselines(examples).items()},
    }


def lecture_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """The lecture's two sentences: translation and whether the pronoun is right; and its "its", by the heads on it."""
    outputs = runner.translate([text for text, _ in LECTURE], report)
    rows = zip(LECTURE, outputs, strict=True)
    sentences = [{"english": e, "french": f, "right": first_pronoun(f) == wanted} for (e, wanted), f in rows]
    return {"sentences": sentences, "its": its_scores(runner)}


def role_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """The heads that show each plain pattern most, over the first `ROLE_SENTENCES` of data/en-fr/valid.tsv.

    The file's checksum is kept with them.
    """
    assert data is not None
    path = data / "en-fr" / "valid.tsv"
    texts = [english for english, _ in read_pairs(path)[:ROLE_SENTENCES]]
    return {**head_roles(runner, texts, report), "file_sha256": sha256_of(path)}


SETS: dict[str, EvaluationSet] = {
    "tatoeba": EvaluationSet(translation_scores("test.tsv"), True, "short everyday sentences (Tatoeba)"),
    "europarl": EvaluationSet(translation_scores("europarl-test.tsv"), True, "parliament sentences (Europarl)"),
    "pronouns-a": EvaluationSet(
        pronoun_scores, False, "pronouns between nouns never seen together, and resolver heads"
    ),
    "pronouns-b": EvaluationSet(new_adjective_scores, False, "pronouns decided by adjectives the grammar never used"),
    "lecture": EvaluationSet(lecture_scores, False, "the animal that was too tired, the street that was too wide"),
    "heads": EvaluationSet(role_scores, True, "heads with plain roles: previous token, delimiters, alignment"),
}


def find_sets(names: Sequence[str] | None) -> dict[str, EvaluationSet]:
    """The sets of those names, all of them for None.

    Raises:
        InputError: no such set; the message lists those there are.
    """
    for name in names or ():
        if name not in SETS:
            raise InputError(f"There is no evaluation set {name!r}. Choose one of: {', '.join(SETS)}.")
    return {name: SETS[name] for name in names or SETS}


def required_data(sets: Mapping[str, EvaluationSet]) -> list[str]:
    """The names of those sets that read texts from disk."""
    return [name for name, chosen in sets.items() if chosen.needs_data]


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
    chosen = find_sets([name])[name]
    if chosen.needs_data and data is None:
        raise InputError(f"The set {name!r} reads texts from disk: give their folder with --data DIR.")
    return chosen.measure(runner, data, report)
