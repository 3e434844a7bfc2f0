"""Model cards for people: what the catalogue states, what the run recorded and what commands measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine import card_completion, card_language, card_translation
from engine.card_completion import CompletionScores
from engine.catalogue import Family, ModelCard
from engine.types import Kind
from engine.weights import WEIGHTS, read_json, write_json

SCORES = "scores.json"
TRAINING = "training.json"
CURVE = "curve.jsonl"


@dataclass(frozen=True, slots=True)
class BeamPreset:
    """The sentence on which a beam gains most over greedy search, and both outputs.

    Attributes:
        english: the source.
        greedy: the greedy output.
        beam: the beam's best one.
        beams: k of the beam.
        alpha: of the length penalty, length^α.
        left: the step, from 1, at which greedy search leaves the better output.
        greedy_sum: the greedy output's sum of log-probabilities, in nats.
        beam_sum: the beam's.
        greedy_final: the sum divided by the length penalty.
        beam_final: the beam's.
        greedy_chrf: against a reference, in [0, 100].
        beam_chrf: the beam's.
    """

    english: str
    greedy: str
    beam: str
    beams: int
    alpha: float
    left: int
    greedy_sum: float
    beam_sum: float
    greedy_final: float
    beam_final: float
    greedy_chrf: float
    beam_chrf: float


def save_scores(card: ModelCard, scores: Mapping[str, Any]) -> None:
    """Write measured scores beside the weights; sets not measured now keep theirs if the weights are the same."""
    write_json(card.folder / SCORES, {"weights": _checksum(card), "scores": {**scores_of(card), **scores}})


def scores_of(card: ModelCard) -> Mapping[str, Any]:
    """What was measured for these very weights, by evaluation set; empty where nothing was."""
    path = card.folder / SCORES
    record = read_json(path) if path.is_file() else {}
    scores: Mapping[str, Any] = record.get("scores", {}) if record.get("weights") == _checksum(card) else {}
    return scores


def _checksum(card: ModelCard) -> str:
    return card.sha256[WEIGHTS]


def pronoun_head(card: ModelCard, kind: Kind) -> tuple[int, int] | None:
    """Layer and head (from 0) that most often look from a pronoun at its noun, as `saccade evaluate` found them.

    None where they were not measured for these very weights.
    """
    best = scores_of(card).get("pronouns-a", {}).get(f"best_{kind}_head")
    return None if best is None else (best["layer"], best["head"])


def role_head(card: ModelCard, role: str) -> tuple[Kind, int, int] | None:
    """Kind, layer and head (from 0) that play a role best, as `saccade evaluate` found them.

    Args:
        card: the model.
        role: a key of `ROLE_WORDS`.

    Returns:
        None where the role was not measured for these very weights.
    """
    best = scores_of(card).get("heads", {}).get("roles", {}).get(role)
    return None if best is None else (best["kind"], best["layer"], best["head"])


def role_score(card: ModelCard, role: str) -> tuple[float, int] | None:
    """How well that head plays the role, in [0, 1], and over how many sentences that is the mean; None as above."""
    heads = scores_of(card).get("heads", {})
    best = heads.get("roles", {}).get(role)
    return None if best is None else (best["score"], heads["sentences"])


def its_heads(card: ModelCard) -> tuple[int, tuple[int, int]] | None:
    """Encoder layer and its two heads (from 0) that look most from "its" to "Law" in the lecture's sentence.

    None where they were not measured for these very weights, or the model has one head a layer.
    """
    its = scores_of(card).get("lecture", {}).get("its")
    if its is None or len(its["heads"]) < 2:
        return None
    stronger, weaker = its["heads"]
    return its["layer"], (stronger, weaker)


def resolver_heads(card: ModelCard) -> tuple[tuple[Kind, int, int, float, float, float], ...] | None:
    """The heads that most often look from a pronoun at its noun, chosen on other sentences, best first.

    Returns:
        Kind, layer and head (from 0), the share of the test half's sentences and its 95 % interval, in [0, 1]; None
        where they were not measured for these very weights.
    """
    found = scores_of(card).get("coreference", {}).get("resolvers")
    if found is None:
        return None
    return tuple((h["kind"], h["layer"], h["head"], h["test"], h["test_low"], h["test_high"]) for h in found)


def deciding_heads(card: ModelCard) -> tuple[tuple[Kind, int, int, float], ...] | None:
    """The heads without which, one by one, the right French pronoun loses most log-odds, the worst loss first.

    Returns:
        Kind, layer and head (from 0), and the mean change over sentences of the validation half, in nats; None where
        they were not measured for these very weights.
    """
    found = scores_of(card).get("coreference", {}).get("deciding")
    return None if found is None else tuple((h["kind"], h["layer"], h["head"], h["change"]) for h in found)


def beam_preset(card: ModelCard) -> BeamPreset | None:
    """The sentence that shows best what a beam is for, as `saccade evaluate` found it.

    None where it was not measured for these very weights, or no sentence gained.
    """
    values = scores_of(card).get("beam", {})
    found = values.get("preset")
    if found is None:
        return None
    greedy, beam = found["greedy"], found["beam"]
    return BeamPreset(
        english=found["english"],
        greedy=greedy["french"],
        beam=beam["french"],
        beams=values["beams"],
        alpha=values["alpha"],
        left=found["left"],
        greedy_sum=greedy["sum"],
        beam_sum=beam["sum"],
        greedy_final=greedy["final"],
        beam_final=beam["final"],
        greedy_chrf=greedy["chrf"],
        beam_chrf=beam["chrf"],
    )


def completion_scores(card: ModelCard) -> CompletionScores | None:
    """How often a network suggests the word that is being typed; None where it was not measured for these weights."""
    found = scores_of(card).get(card_completion.SET)
    return None if found is None else card_completion.completion_of(found)


def memory_figures(card: ModelCard) -> Mapping[str, Any] | None:
    """How far back a network looks, as `engine.training.autocomplete.memory.memorization_scores` gives it.

    None where it was not measured for these very weights.
    """
    found: Mapping[str, Any] | None = scores_of(card).get("memorization")
    return found


def alignment_scores(card: ModelCard) -> Mapping[str, Any] | None:
    """How well cross heads align words, as `engine.training.alignment_scores.alignment_scores` gives it.

    None where it was not measured for these very weights.
    """
    found: Mapping[str, Any] | None = scores_of(card).get("alignment")
    return found


def headline(card: ModelCard) -> list[tuple[str, str, str]]:
    """What a language model scores, at a glance: name, value, and the word of the score's that it means.

    Empty for other models, and where nothing was measured for these very weights.
    """
    return card_language.headline(scores_of(card))


class _Words(Protocol):
    """What the module of a family says of its models."""

    def curve_unit(self, family: Family, /) -> str: ...
    def run_read(self, run: Mapping[str, Any], /) -> str: ...
    def rounding_said(self, rounding: Mapping[str, Any], /) -> str: ...
    def score_lines(self, name: str, values: Mapping[str, Any], /) -> Iterator[str]: ...
    def tables(self, scores: Mapping[str, Any], /) -> Iterator[str]: ...


_WORDS: Mapping[Family, _Words] = {
    "transformer": card_translation,
    "seq2seq": card_translation,
    "autocomplete": card_completion,
    "trigram": card_language,
    "char-lm": card_language,
    "gpt": card_language,
    "bert": card_language,
}


def markdown(card: ModelCard) -> str:
    """The card of a shipped model."""
    return "\n".join(_lines(card, read_json(card.folder / TRAINING), score_rows(card))) + "\n"


def runs_of(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs that made the weights, first to last: a run may have gone on from another's."""
    return [*training.get("before", []), training]


def curve_unit(card: ModelCard) -> str:
    """What the loss of a model's training curve is the mean over, in words: "character"."""
    return _WORDS[card.family].curve_unit(card.family)


def has_curve(card: ModelCard) -> bool:
    """Whether the model was trained step by step, so that there is a curve; counts were not, and are whole numbers."""
    return "counts" not in card.supports


def _lines(card: ModelCard, training: Mapping[str, Any], scores: Sequence[tuple[str, str]]) -> Iterator[str]:
    words = _WORDS[card.family]
    size = (card.folder / WEIGHTS).stat().st_size / 1e6
    yield f"# {card.title} (`{card.name}`)"
    yield ""
    form = "float16" if has_curve(card) else "whole numbers"
    yield f"{card.summary} {training['parameters'] / 1e6:.1f} million parameters, {size:.1f} MB as {form}."
    yield f"Weights `{card.identity}`, licence {card.licence}."
    yield ""
    yield "## Training"
    yield ""
    yield from (f"    {run['command']}" for run in runs_of(training))
    yield ""
    for run in runs_of(training):
        steps = f"{run['steps']:,} steps, " if "steps" in run else ""
        yield (
            f"{run['minutes']:.{0 if steps else 1}f} minutes on {run['hardware']} (torch {run['torch']}): "
            f"{steps}{words.run_read(run)}."
        )
        yield ""
    if has_curve(card):
        yield f"Settings: `assets/{card.name}/{TRAINING}`. Curve: `assets/{card.name}/{CURVE}`."
        yield ""
        yield f"![Training and validation loss against minutes]({card.name}-curve.svg)"
    else:
        yield f"Settings: `assets/{card.name}/{TRAINING}`."
    yield ""
    yield "Data:"
    yield from (f"- {line}" for line in card.data)
    yield ""
    yield "Choices:"
    yield from (f"- {line}" for line in card.notes)
    yield ""
    yield "## Scores"
    yield ""
    yield f"Measured on the shipped file by `saccade evaluate {card.name} --data DIR --save`."
    yield ""
    yield from _scores(scores)
    yield from words.tables(scores_of(card))
    yield ""
    yield words.rounding_said(training["rounding"])
    yield ""
    yield "## What it cannot do"
    yield ""
    yield from (f"- {line}" for line in card.limits)


def score_rows(card: ModelCard) -> list[tuple[str, str]]:
    """Everything that was measured for these very weights: the evaluation set and one score in words (Markdown)."""
    lines = _WORDS[card.family].score_lines
    return [(name, line) for name, values in scores_of(card).items() for line in lines(name, values)]


def _scores(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if not rows:
        yield "Not measured yet for these weights."
        return
    yield "| set | score |"
    yield "|---|---|"
    yield from (f"| {name} | {line} |" for name, line in rows)
