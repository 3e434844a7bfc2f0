"""`saccade evaluate`: every score on a model's card, measured on the shipped file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.ablation import Ablation, ablation
from engine.cases import HALF, case_of
from engine.catalogue import Family
from engine.decisions import Questions, ask, head_effects, largest_effects
from engine.errors import InputError
from engine.evidence import Rate, best_resolvers, first_pronoun, rates, read_heads
from engine.interventions import Head, Means
from engine.runner import Runner
from engine.training.beam import beam_scores
from engine.training.bleu import bleu, require_sacrebleu
from engine.training.data import Pair, read_pairs
from engine.training.roles import head_roles, its_scores
from engine.training.synthetic import LECTURE, PronounExample, baselines, set_a, set_b
from engine.types import Kind
from engine.weights import sha256_of

if TYPE_CHECKING:
    from engine.cloze import Cloze
    from engine.completion import Completer
    from engine.generation import Generator
    from engine.loading import Model

Report = Callable[[int], None]
ROLE_SENTENCES = 500  # the first of the validation texts, over which head scores are averaged
CHOSEN_ON, EFFECTS_ON = 400, 200  # the first of set A's validation half, on which heads are chosen
RESOLVERS = 5  # how many of the heads that point best are reported
OFF = (1, 2, 4, 8)  # how many heads are switched off at once
# Each head's mean output takes its place: what it says of all sentences alike stays, and later layers count on it.
BY: Means = "mean"
RANDOM_SETS, RANDOM_ON = 20, 100  # sets of random heads, and the first sentences of the test half that they are off in


TRANSLATORS: tuple[Family, ...] = ("transformer", "seq2seq")
Measure = Callable[[Any, Path | None, Report], dict[str, Any]]  # of what gives the model


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One thing to measure: how, whether it reads texts from disk, what it is in words, and whether it takes BLEU.

    Attributes:
        measure: takes what gives a model of the family, as `engine.loading.load_any` does.
        needs_data: whether it reads texts from disk.
        description: what it is, in words.
        needs_bleu: whether it takes sacrebleu.
        families: of the models that it measures.
    """

    measure: Measure
    needs_data: bool
    description: str
    needs_bleu: bool = False
    families: tuple[Family, ...] = ("transformer",)


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


def pronoun_accuracy(runner: Runner, examples: Sequence[PronounExample], report: Report) -> float:
    """Share of the examples whose greedy translation has the right pronoun first, in [0, 1]."""
    outputs = runner.translate([example.english for example in examples], report)
    return float(np.mean([first_pronoun(o) == e.french_pronoun for o, e in zip(outputs, examples, strict=True)]))


def resolver_accuracy(runner: Runner, examples: Sequence[PronounExample], report: Report) -> dict[Kind, np.ndarray]:
    """Share of the examples in which each head gives the pronoun's noun more mass than every other noun.

    Encoder heads are read at the English pronoun; cross heads at the step that predicts the French pronoun, with the
    reference translation forced (`engine.evidence.read_heads`).

    Returns:
        "encoder" and "cross": float (layer, head), in [0, 1].
    """
    hits = read_heads(runner, [case_of(example) for example in examples], report)
    return {kind: right[hits.measured[kind]].mean(axis=0) for kind, right in hits.right.items()}


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


def coreference_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """What attention and what interventions say of set A's pronouns.

    Heads are chosen on the validation half: those that most often look most at the right noun ("resolvers"), and those
    without which, one by one, the right pronoun loses most log-odds ("deciding"). On the test half stand how often the
    resolvers look at the right noun, and how often the model still prefers the right pronoun with the best few of
    either off: after the reference translation's words before it, beside sets of equally many random heads.
    """
    valid, test = ([case_of(example) for example in set_a(half, HALF)] for half in ("valid", "test"))
    chosen_on, reported_on = read_heads(runner, valid[:CHOSEN_ON], report), read_heads(runner, test, report)
    resolvers = best_resolvers(chosen_on, max(OFF))
    effects = head_effects(runner, ask(runner, valid[:EFFECTS_ON], report), report, BY)
    deciding = largest_effects(effects, max(OFF))
    questions = ask(runner, test, report)

    def share(head: Head) -> dict[str, Any]:
        on_valid, on_test = (rates(hits, head.kind)[head.layer][head.head] for hits in (chosen_on, reported_on))
        return {**head._asdict(), "valid": round(on_valid.share, 4), **_rate("test", on_test)}

    def change(head: Head) -> dict[str, Any]:
        value, error = (values[head.kind][head.layer, head.head] for values in (effects.change, effects.error))
        return {**head._asdict(), "change": round(float(value), 4), "error": round(float(error), 4)}

    return {
        "sentences": len(test),
        "chosen_on": min(CHOSEN_ON, len(valid)),
        "effects_on": effects.total,
        "by": BY,
        "resolvers": [share(head) for head in resolvers[:RESOLVERS]],
        "deciding": [change(head) for head in deciding],
        "off_deciding": _ablations(runner, questions, deciding, report),
        "off_resolvers": _ablations(runner, questions, resolvers, report),
    }


def _ablations(runner: Runner, questions: Questions, heads: Sequence[Head], report: Report) -> list[dict[str, Any]]:
    """The first 1, 2, 4 and 8 of some heads off."""
    return [
        _ablated(ablation(runner, questions, heads[:count], BY, RANDOM_SETS, 0, report, RANDOM_ON)) for count in OFF
    ]


def _ablated(found: Ablation) -> dict[str, Any]:
    mean, lowest, highest = found.random_shares
    values = {
        "drop": found.drop,
        "drop_low": found.low,
        "drop_high": found.high,
        "log_odds_on": found.on.log_odds,
        "log_odds_off": found.off.log_odds,
        "random": mean,
        "random_lowest": lowest,
        "random_highest": highest,
        "random_log_odds": found.random_log_odds,
    }
    return {
        "heads": [head._asdict() for head in found.off.heads],
        **_rate("on", found.on.right),
        **_rate("off", found.off.right),
        **{name: round(value, 4) for name, value in values.items()},
        "random_sets": len(found.random),
        "random_sentences": found.random_on.right.total,
    }


def _rate(name: str, found: Rate) -> dict[str, float]:
    """A share with its 95 % interval."""
    return {name: round(found.share, 4), f"{name}_low": round(found.low, 4), f"{name}_high": round(found.high, 4)}


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


def alignment_scores(runner: Runner, data: Path | None, report: Report) -> dict[str, Any]:
    """How well each cross head aligns words, against hand-made links."""
    from engine.training.alignment_scores import alignment_scores as measure

    assert data is not None
    return measure(runner, data, report)


def completion_scores(completer: Completer, data: Path | None, report: Report) -> dict[str, Any]:
    """How often the word that is being typed is suggested, on data/english's held-out books, beside the prefix table.

    The file's checksum is kept with them.
    """
    from engine.training.autocomplete.scores import held_out_scores

    assert data is not None
    return held_out_scores(completer.model, completer.words, data, report=report)


def memorization_scores(completer: Completer, data: Path | None, report: Report) -> dict[str, Any]:
    """How far back a network looks, on passages of the same books."""
    from engine.training.autocomplete.memory import memorization_scores as measure

    assert data is not None
    return measure(completer, data, report)


def book_scores(generator: Generator, data: Path | None, report: Report) -> dict[str, Any]:
    """How well a model predicts books held out, in bits per character."""
    from engine.training.language.scores import book_scores as measure

    assert data is not None
    return measure(generator, data, report)


def cloze_scores(cloze: Cloze, data: Path | None, report: Report) -> dict[str, Any]:
    """How often masked pieces are restored and next sentences told, in the same books; their checksum is kept too."""
    from engine.cloze_tokens import ClozeSubwords
    from engine.models.bert import Bert
    from engine.training.language.scores import cloze_scores as measure
    from engine.training.language.scores import held_out_books

    assert data is not None
    books, checksum = held_out_books(data)
    assert isinstance(cloze.model, Bert) and isinstance(cloze.tokenizer, ClozeSubwords)
    found = measure(cloze.model, cloze.tokenizer, books, cloze.card.longest, report)
    return {**found, "file_sha256": checksum}


SETS: dict[str, EvaluationSet] = {
    "tatoeba": EvaluationSet(
        translation_scores("test.tsv"), True, "short everyday sentences (Tatoeba)", True, TRANSLATORS
    ),
    "europarl": EvaluationSet(
        translation_scores("europarl-test.tsv"), True, "parliament sentences (Europarl)", True, TRANSLATORS
    ),
    "beam": EvaluationSet(
        beam_scores, False, "greedy search beside a beam of 5, on sentences of this project's own", True, TRANSLATORS
    ),
    "pronouns-a": EvaluationSet(
        pronoun_scores, False, "pronouns between nouns never seen together, and resolver heads"
    ),
    "pronouns-b": EvaluationSet(new_adjective_scores, False, "pronouns decided by adjectives the grammar never used"),
    "coreference": EvaluationSet(
        coreference_scores, False, "heads that look at the pronoun's noun, and heads that its translation depends on"
    ),
    "lecture": EvaluationSet(lecture_scores, False, "the animal that was too tired, the street that was too wide"),
    "heads": EvaluationSet(role_scores, True, "heads with plain roles: previous token, delimiters, alignment"),
    "alignment": EvaluationSet(
        alignment_scores, True, "cross heads against hand-made word links (Alibi, TransRead)", families=TRANSLATORS
    ),
    "completion": EvaluationSet(
        completion_scores, True, "the word that is being typed, in books held out", families=("autocomplete",)
    ),
    "memorization": EvaluationSet(
        memorization_scores,
        True,
        "how far back suggestions look, in passages of those books",
        families=("autocomplete",),
    ),
    "books": EvaluationSet(
        book_scores, True, "books held out, character by character", families=("trigram", "char-lm", "gpt")
    ),
    "cloze": EvaluationSet(
        cloze_scores, True, "masked pieces and next sentences of books held out", families=("bert",)
    ),
}


def find_sets(names: Sequence[str] | None, family: Family = "transformer") -> dict[str, EvaluationSet]:
    """The sets of those names, for None all that measure models of a family.

    Raises:
        InputError: no such set, or it is for models of another family; the message lists those there are.
    """
    there = {name: kind for name, kind in SETS.items() if family in kind.families}
    for name in names or ():
        if name not in there:
            wrong = f"There is no evaluation set {name!r}."
            if name in SETS:
                wrong = f"The set {name!r} is for another kind of model."
            raise InputError(f"{wrong} Choose one of: {', '.join(there)}.")
    return {name: there[name] for name in names or there}


def required_data(sets: Mapping[str, EvaluationSet]) -> list[str]:
    """The names of those sets that read texts from disk."""
    return [name for name, chosen in sets.items() if chosen.needs_data]


def evaluate(model: Model, name: str, data: Path | None, report: Report = lambda done: None) -> dict[str, Any]:
    """The scores of one set.

    Args:
        model: what gives it.
        name: a key of `SETS`, for models of its family.
        data: folder of the evaluation texts, for the sets that need it.
        report: called with the number of sentences or passages finished since the last call.

    Raises:
        InputError: no such set for this model, or data is needed and not given.
    """
    chosen = find_sets([name], model.card.family)[name]
    if chosen.needs_data and data is None:
        raise InputError(f"The set {name!r} reads texts from disk: give their folder with --data DIR.")
    return chosen.measure(model, data, report)
