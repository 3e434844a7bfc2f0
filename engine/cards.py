"""Model cards for people: what the catalogue states, what the run recorded and what commands measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.catalogue import ModelCard
from engine.types import Kind
from engine.weights import WEIGHTS, read_json, write_json

SCORES = "scores.json"
TRAINING = "training.json"
CURVE = "curve.jsonl"


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


def markdown(card: ModelCard) -> str:
    """The card of a shipped model."""
    return "\n".join(_lines(card, read_json(card.folder / TRAINING), scores_of(card))) + "\n"


def _lines(card: ModelCard, training: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[str]:
    size = (card.folder / WEIGHTS).stat().st_size / 1e6
    yield f"# {card.title} (`{card.name}`)"
    yield ""
    yield f"{card.summary} {training['parameters'] / 1e6:.1f} million parameters, {size:.1f} MB as float16."
    yield f"Weights `{card.identity}`, licence {card.licence}."
    yield ""
    yield "## Training"
    yield ""
    yield f"    {training['command']}"
    yield ""
    yield (
        f"{training['minutes']:.0f} minutes on {training['hardware']} (torch {training['torch']}): "
        f"{training['steps']:,} steps, {training['tokens'] / 1e6:.1f} million source and target tokens."
    )
    yield f"Settings: `assets/{card.name}/{TRAINING}`. Curve: `assets/{card.name}/{CURVE}`."
    yield ""
    yield f"![Training and validation loss against minutes]({card.name}-curve.svg)"
    yield ""
    shares = training["settings"]["mixture"]
    total = sum(shares.values())
    yield "Sentence pairs drawn: " + ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items()) + "."
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
    rounding = training["rounding"]
    yield ""
    yield (
        f"Rounding to float16 changed {rounding['outputs_changed']:.1%} of {rounding['sentences']} validation outputs; "
        f"BLEU {rounding['bleu_before']} before, {rounding['bleu_after']} after."
    )
    yield ""
    yield "## What it cannot do"
    yield ""
    yield from (f"- {line}" for line in card.limits)


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    if not scores:
        yield "Not measured yet for these weights."
        return
    yield "| set | score |"
    yield "|---|---|"
    for name, values in scores.items():
        yield from (f"| {name} | {line} |" for line in _score_lines(values))


def _score_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """One line for each thing that a set measures."""
    if "bleu" in values:
        yield f"BLEU {values['bleu']:.1f}, chrF {values['chrf']:.1f} on {values['sentences']} sentences, greedy"
    if "pronoun_accuracy" in values:
        base = ", ".join(f"{name.replace('_', ' ')} {value:.1%}" for name, value in values["baselines"].items())
        right = f"{values['pronoun_accuracy']:.1%} of {values['sentences']} sentences"
        yield f"French pronoun right in {right} (baselines: {base})"
    for kind in ("encoder", "cross"):
        if best := values.get(f"best_{kind}_head"):
            yield (
                f"best {kind} head (layer {best['layer'] + 1}, head {best['head'] + 1}, chosen on the validation half) "
                f"looks most at the right noun in {best['resolves_test']:.1%} of the test half "
                f"and {best['resolves_valid']:.1%} of the validation half "
                f"(always the first noun: {values['first_noun']:.1%})"
            )
    for row in values["sentences"] if isinstance(values.get("sentences"), list) else []:
        yield f"{row['english']} → {row['french']} ({'right' if row['right'] else 'wrong'})"
