"""Model cards for people: what the catalogue states, what the run recorded and what commands measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.catalogue import ModelCard
from engine.types import Kind
from engine.weights import WEIGHTS, read_json, write_json

SCORES = "scores.json"
TRAINING = "training.json"
CURVE = "curve.jsonl"
# What the best head of each role does, for `saccade evaluate`'s set "heads" (engine/training/roles.py).
ROLE_WORDS: Mapping[str, str] = {
    "previous": "looks most at the token before",
    "next": "looks most at the token after",
    "same": "looks most at the token itself",
    "sink": "looks most at punctuation and `</s>`",
    "alignment": "comes nearest to an alignment (sharpness × coverage, a heuristic without a gold alignment)",
    "decoder-previous": "looks most at the token before",
}


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


def markdown(card: ModelCard) -> str:
    """The card of a shipped model."""
    return "\n".join(_lines(card, read_json(card.folder / TRAINING), score_rows(card))) + "\n"


def runs_of(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs that made the weights, first to last: a run may have gone on from another's."""
    return [*training.get("before", []), training]


def _lines(card: ModelCard, training: Mapping[str, Any], scores: Sequence[tuple[str, str]]) -> Iterator[str]:
    size = (card.folder / WEIGHTS).stat().st_size / 1e6
    yield f"# {card.title} (`{card.name}`)"
    yield ""
    yield f"{card.summary} {training['parameters'] / 1e6:.1f} million parameters, {size:.1f} MB as float16."
    yield f"Weights `{card.identity}`, licence {card.licence}."
    yield ""
    yield "## Training"
    yield ""
    yield from (f"    {run['command']}" for run in runs_of(training))
    yield ""
    for run in runs_of(training):
        yield (
            f"{run['minutes']:.0f} minutes on {run['hardware']} (torch {run['torch']}): "
            f"{run['steps']:,} steps, {run['tokens'] / 1e6:.1f} million source and target tokens. "
            f"Sentence pairs drawn: {_mixture(run)}."
        )
        yield ""
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


def _mixture(run: Mapping[str, Any]) -> str:
    shares = run["settings"]["mixture"]
    total = sum(shares.values())
    return ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items())


def score_rows(card: ModelCard) -> list[tuple[str, str]]:
    """Everything that was measured for these very weights: the evaluation set and one score in words (Markdown)."""
    return [(name, line) for name, values in scores_of(card).items() for line in _score_lines(values)]


def _scores(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if not rows:
        yield "Not measured yet for these weights."
        return
    yield "| set | score |"
    yield "|---|---|"
    yield from (f"| {name} | {line} |" for name, line in rows)


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
    yield from _coreference_lines(values)
    yield from _beam_lines(values)
    for row in values["sentences"] if isinstance(values.get("sentences"), list) else []:
        yield f"{row['english']} → {row['french']} ({'right' if row['right'] else 'wrong'})"
    for role, best in values.get("roles", {}).items():
        where = f"layer {best['layer'] + 1}, head {best['head'] + 1}"
        yield (
            f"{role}: of all {best['kind']} heads, {where} {ROLE_WORDS[role]}: "
            f"{best['score']:.2f}, the mean over {values['sentences']} sentences"
        )
    if its := values.get("its"):
        pairs = zip(its["heads"], its["masses"], strict=True)
        heads = " and ".join(f"head {head + 1} ({mass:.0%})" for head, mass in pairs)
        yield f"{its['english']} From its to Law look most, in encoder layer {its['layer'] + 1}: {heads}"


def _beam_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """What a beam gains over greedy search (`engine.training.beam.beam_scores`)."""
    if "beams" not in values:
        return
    greedy, beam, name = values["greedy"], values["beam"], f"a beam of {values['beams']}"
    yield (
        f"greedy BLEU {greedy['bleu']:.1f}, chrF {greedy['chrf']:.1f}; {name} (length penalty, α = "
        f"{values['alpha']:g}) BLEU {beam['bleu']:.1f}, chrF {beam['chrf']:.1f}; on {values['sentences']} sentences, "
        "one reference each"
    )
    yield (
        f"greedy and {name} differ in {values['differ']} of {values['sentences']} sentences: "
        f"the beam's chrF is higher in {values['higher_chrf']} and lower in {values['lower_chrf']}"
    )
    if found := values["preset"]:
        both = " ".join(
            f"{search}: {one['french']} (sum {one['sum']:.2f}, by length {one['final']:.2f}, chrF {one['chrf']:.0f})."
            for search, one in (("greedy", found["greedy"]), (name, found["beam"]))
        )
        both = both.replace("(sum -", "(sum −").replace(", by length -", ", by length −")
        yield (
            "largest gain in chrF where the sum of log-probabilities is higher too: "
            f"{found['english']} → {both} They part at step {found['left']}"
        )


def _coreference_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """What attention and what interventions say of pronouns (`engine.training.evaluate.coreference_scores`)."""
    if resolvers := values.get("resolvers"):
        heads = "; ".join(f"{_head_words(head)}: {head['test']:.1%} ({_interval(head, 'test')})" for head in resolvers)
        yield (
            f"heads that look most at the right noun, chosen on {values['chosen_on']} sentences of the validation "
            f"half, and how often they do in the {values['sentences']} of the test half: {heads}"
        )
    if deciding := values.get("deciding"):
        heads = "; ".join(f"{_head_words(head)}: {head['change']:+.2f}".replace("-", "−") for head in deciding)
        yield (
            f"heads without which, one by one and each by its {values['by']}, the right pronoun loses most log-odds, "
            f"mean change in nats over {values['effects_on']} sentences of the validation half: {heads}"
        )
    for name, words in _OFF.items():
        yield from (_ablation_line(row, words, values) for row in values.get(name, ()))


_OFF = {
    "off_deciding": "whose loss costs most log-odds on the validation half",
    "off_resolvers": "that look most at the right noun on the validation half",
}


def _ablation_line(row: Mapping[str, Any], words: str, values: Mapping[str, Any]) -> str:
    count = len(row["heads"])
    heads = "head" if count == 1 else f"{count} heads"
    words = words.replace("look ", "looks ") if count == 1 else words
    drop, low, high = (f"{100 * row[key]:.1f}".replace("-", "−") for key in ("drop", "drop_low", "drop_high"))
    return (
        f"switching off the {heads} {words} ({'; '.join(map(_head_words, row['heads']))}), by the {values['by']}: "
        f"il or elle right in {row['off']:.1%} of {values['sentences']} sentences instead of {row['on']:.1%} "
        f"(drop {drop} points, 95% interval {low} to {high}), "
        f"mean log-odds {row['log_odds_off']:.2f} instead of {row['log_odds_on']:.2f}; "
        f"{row['random_sets']} random sets of {count} in {row['random_sentences']} of the sentences: "
        f"mean {row['random']:.1%}, lowest {row['random_lowest']:.1%}, log-odds {row['random_log_odds']:.2f}"
    ).replace("log-odds -", "log-odds −")


def _head_words(head: Mapping[str, Any]) -> str:
    return f"{head['kind']} layer {head['layer'] + 1} head {head['head'] + 1}"


def _interval(values: Mapping[str, Any], name: str) -> str:
    return f"95% interval {values[f'{name}_low']:.1%} to {values[f'{name}_high']:.1%}"
