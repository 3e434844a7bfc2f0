"""Model cards for people: what the catalogue states, what the run recorded and what commands measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.catalogue import ModelCard
from engine.types import Kind
from engine.weights import WEIGHTS, read_json, sha256_of, write_json

SCORES = "scores.json"
TRAINING = "training.json"
CURVE = "curve.jsonl"


def save_scores(card: ModelCard, scores: Mapping[str, Any]) -> None:
    """Write measured scores beside the weights, with the weights' checksum; sets not measured now keep theirs if the
    weights are the same.
    """
    path, checksum = card.folder / SCORES, sha256_of(card.folder / WEIGHTS)
    before = read_json(path) if path.is_file() else {}
    kept = before.get("scores", {}) if before.get("weights") == checksum else {}
    write_json(path, {"weights": checksum, "scores": {**kept, **scores}})


def pronoun_head(card: ModelCard, kind: Kind) -> tuple[int, int] | None:
    """Layer and head (from 0) that most often look from a pronoun at its noun, as `saccade evaluate` found them.

    None where they were not measured for these very weights.
    """
    path = card.folder / SCORES
    if not path.is_file():
        return None
    record = read_json(path)
    best = record["scores"].get("pronouns-a-valid", {}).get(f"best_{kind}_head")
    if best is None or record["weights"] != card.sha256[WEIGHTS]:
        return None
    return best["layer"], best["head"]


def markdown(card: ModelCard) -> str:
    """The card of a shipped model."""
    return "\n".join(_lines(card, read_json(card.folder / TRAINING), read_json(card.folder / SCORES)["scores"])) + "\n"


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
        f"{training['steps']:,} steps, "
        f"{training['tokens'] / 1e6:.1f} million source and target tokens."
    )
    yield f"Settings: `assets/{card.name}/{TRAINING}`. Curve: `assets/{card.name}/{CURVE}`."
    yield ""
    yield f"![Training and validation loss against minutes]({card.name}-curve.svg)"
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
                f"best {kind} head (layer {best['layer'] + 1}, head {best['head'] + 1}) "
                f"looks most at the right noun in {best['resolves']:.1%} (chance {values['chance']:.1%})"
            )
    for row in values["sentences"] if isinstance(values.get("sentences"), list) else []:
        yield f"{row['english']} → {row['french']} ({'right' if row['right'] else 'wrong'})"
