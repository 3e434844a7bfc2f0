"""What a translation model's card says: what a run read, what rounding did, and each score as a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.card_alignment import alignment_lines
from engine.model_card import Family

# What the best head of each role does, for `saccade evaluate`'s set "heads" (engine/training/roles.py).
ROLE_WORDS: Mapping[str, str] = {
    "previous": "looks most at the token before",
    "next": "looks most at the token after",
    "same": "looks most at the token itself",
    "sink": "looks most at punctuation and `</s>`",
    "alignment": "comes nearest to an alignment (sharpness × coverage, a heuristic without a gold alignment)",
    "decoder-previous": "looks most at the token before",
}


def curve_unit(family: Family) -> str:
    """What the loss of a training curve is the mean over."""
    return "target token"


def run_read(run: Mapping[str, Any]) -> str:
    """What a run learnt from."""
    shares = run["settings"]["mixture"]
    total = sum(shares.values())
    mixture = ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items())
    return f"{run['tokens'] / 1e6:.1f} million source and target tokens. Sentence pairs drawn: {mixture}"


def rounding_said(rounding: Mapping[str, Any]) -> str:
    """What rounding to float16 changed."""
    return (
        f"Rounding to float16 changed {rounding['outputs_changed']:.1%} of {rounding['sentences']} validation outputs; "
        f"BLEU {rounding['bleu_before']} before, {rounding['bleu_after']} after."
    )


def tables(scores: Mapping[str, Any]) -> Iterator[str]:
    """Nothing: every score is a line."""
    yield from ()


def score_lines(name: str, values: Mapping[str, Any]) -> Iterator[str]:
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
    yield from alignment_lines(values)
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
