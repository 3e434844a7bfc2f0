"""Cards for people: every measured number is on them, and no score outlives the weights it was measured on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.card_translation import ROLE_WORDS
from engine.cards import (
    SCORES,
    TRAINING,
    BeamPreset,
    beam_preset,
    deciding_heads,
    its_heads,
    markdown,
    pronoun_head,
    resolver_heads,
    role_head,
    save_scores,
    scores_of,
)
from engine.catalogue import ModelCard
from engine.errors import WeightsDamaged, WeightsMissing
from engine.training.roles import ROLES
from engine.weights import WEIGHTS, read_json, sha256_of, write_json

TRAINED: dict[str, Any] = {
    "command": "saccade train tiny --data DIR --minutes 93",
    "minutes": 93.4,
    "hardware": "2 cores of Some Processor",
    "torch": "2.13.0",
    "steps": 12345,
    "tokens": 67_890_000,
    "parameters": 11_200_000,
    "settings": {"mixture": {"tatoeba": 1.5, "pronouns": 0.5}},
    "rounding": {"sentences": 500, "outputs_changed": 0.012, "bleu_before": 45.67, "bleu_after": 45.61},
}
BLEU = {"bleu": 43.21, "chrf": 65.43, "sentences": 1987, "over_limit": 0}
PRONOUNS: dict[str, Any] = {
    "sentences": 1200,
    "pronoun_accuracy": 0.9642,
    "baselines": {"majority": 0.5, "always_subject": 0.5008, "adjective_only": 0.6217},
    "first_noun": 0.5158,
    "best_encoder_head": {"layer": 4, "head": 0, "resolves_valid": 0.8125, "resolves_test": 0.7992},
    "best_cross_head": {"layer": 1, "head": 6, "resolves_valid": 0.9083, "resolves_test": 0.8875},
}
COREFERENCE: dict[str, Any] = {
    "sentences": 1200,
    "chosen_on": 400,
    "effects_on": 200,
    "by": "mean",
    "resolvers": [
        {"kind": "encoder", "layer": 1, "head": 2, "valid": 1.0, "test": 0.999, "test_low": 0.995, "test_high": 0.9998},
        {"kind": "cross", "layer": 2, "head": 0, "valid": 0.995, "test": 0.91, "test_low": 0.8925, "test_high": 0.925},
    ],
    "deciding": [
        {"kind": "encoder", "layer": 0, "head": 6, "change": -3.9461, "error": 0.1865},
        {"kind": "cross", "layer": 3, "head": 7, "change": -1.561, "error": 0.0218},
    ],
    "off_deciding": [
        {
            "heads": [{"kind": "encoder", "layer": 0, "head": 6}, {"kind": "cross", "layer": 3, "head": 7}],
            "on": 1.0, "on_low": 0.9968, "on_high": 1.0, "off": 0.795, "off_low": 0.7712, "off_high": 0.8169,
            "drop": 0.205, "drop_low": 0.1825, "drop_high": 0.2275, "log_odds_on": 6.2606, "log_odds_off": -0.5746,
            "random": 0.9925, "random_lowest": 0.875, "random_highest": 1.0, "random_log_odds": 6.0123,
            "random_sets": 20, "random_sentences": 200,
        }
    ],
    "off_resolvers": [
        {
            "heads": [{"kind": "encoder", "layer": 1, "head": 2}],
            "on": 0.75, "on_low": 0.7247, "on_high": 0.7737, "off": 0.7525, "off_low": 0.7273, "off_high": 0.7761,
            "drop": -0.0025, "drop_low": -0.0051, "drop_high": 0.0008, "log_odds_on": 6.2606, "log_odds_off": 6.2625,
            "random": 1.0, "random_lowest": 1.0, "random_highest": 1.0, "random_log_odds": 6.25,
            "random_sets": 20, "random_sentences": 200,
        }
    ],
}  # fmt: skip
LECTURE = {
    "sentences": [
        {"english": "It was too tired.", "french": "Il était trop fatigué.", "right": True},
        {"english": "It was too wide.", "french": "Il était trop large.", "right": False},
    ],
    "its": {"english": "The Law is its own.", "layer": 4, "heads": [5, 0], "masses": [0.7312, 0.4]},
}
HEADS: dict[str, Any] = {
    "sentences": 500,
    "roles": {
        "previous": {"kind": "encoder", "layer": 2, "head": 7, "score": 0.8649},
        "sink": {"kind": "encoder", "layer": 0, "head": 1, "score": 0.5},
        "alignment": {"kind": "cross", "layer": 1, "head": 4, "score": 0.5322},
        "decoder-previous": {"kind": "decoder", "layer": 0, "head": 3, "score": 0.3426},
    },
    "file_sha256": "0" * 64,
}
BEAM: dict[str, Any] = {
    "sentences": 80,
    "left_out": 0,
    "beams": 5,
    "penalty": "length",
    "alpha": 1.0,
    "greedy": {"bleu": 40.12, "chrf": 60.34},
    "beam": {"bleu": 42.56, "chrf": 61.78},
    "differ": 30,
    "higher_chrf": 19,
    "lower_chrf": 10,
    "preset": {
        "english": "It was too late.",
        "french": "C'était trop tard.",
        "left": 2,
        "greedy": {"french": "Il - il était trop.", "sum": -6.125, "final": -1.0208, "chrf": 40.25},
        "beam": {"french": "C'était tard.", "sum": -2.5, "final": -0.625, "chrf": 80.75},
    },
}


ALL = {
    "tatoeba": BLEU, "beam": BEAM, "pronouns-a": PRONOUNS, "coreference": COREFERENCE, "lecture": LECTURE,
    "heads": HEADS,
}  # fmt: skip


@pytest.fixture
def measured(tiny_card: ModelCard) -> ModelCard:
    """The tiny model with the record of a run and scores of every kind."""
    write_json(tiny_card.folder / TRAINING, TRAINED)
    save_scores(tiny_card, ALL)
    return tiny_card


# --- Markdown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fact",
    [
        "# Tiny Transformer (`tiny`)",
        "Thirty sentences by heart.",
        "11.2 million parameters",
        "licence Apache-2.0",
        "    saccade train tiny --data DIR --minutes 93",
        "93 minutes on 2 cores of Some Processor (torch 2.13.0): 12,345 steps, 67.9 million source and target tokens",
        "Sentence pairs drawn: tatoeba 75%, pronouns 25%.",
        "- Thirty pairs of this file, Apache-2.0",
        "`saccade evaluate tiny --data DIR --save`",
        "| tatoeba | BLEU 43.2, chrF 65.4 on 1987 sentences, greedy |",
        "| pronouns-a | French pronoun right in 96.4% of 1200 sentences (baselines: majority 50.0%, "
        "always subject 50.1%, adjective only 62.2%) |",
        # Layers and heads count from 1 for people.
        "| pronouns-a | best encoder head (layer 5, head 1, chosen on the validation half) looks most at the right "
        "noun in 79.9% of the test half and 81.2% of the validation half (always the first noun: 51.6%) |",
        "| pronouns-a | best cross head (layer 2, head 7, chosen on the validation half) looks most at the right "
        "noun in 88.8% of the test half and 90.8% of the validation half (always the first noun: 51.6%) |",
        "| coreference | heads that look most at the right noun, chosen on 400 sentences of the validation half, and "
        "how often they do in the 1200 of the test half: encoder layer 2 head 3: 99.9% (95% interval 99.5% to 100.0%); "
        "cross layer 3 head 1: 91.0% (95% interval 89.2% to 92.5%) |",
        "| coreference | heads without which, one by one and each by its mean, the right pronoun loses most log-odds, "
        "mean change in nats over 200 sentences of the validation half: encoder layer 1 head 7: −3.95; "
        "cross layer 4 head 8: −1.56 |",
        "| coreference | switching off the 2 heads whose loss costs most log-odds on the validation half (encoder "
        "layer 1 head 7; cross layer 4 head 8), by the mean: il or elle right in 79.5% of 1200 sentences instead of "
        "100.0% (drop 20.5 points, 95% interval 18.2 to 22.8), mean log-odds −0.57 instead of 6.26; 20 random "
        "sets of 2 in 200 of the sentences: mean 99.2%, lowest 87.5%, log-odds 6.01 |",
        "| coreference | switching off the head that looks most at the right noun on the validation half (encoder "
        "layer 2 head 3), by the mean: il or elle right in 75.2% of 1200 sentences instead of 75.0% (drop −0.2 points, "
        "95% interval −0.5 to 0.1),",
        "| beam | greedy BLEU 40.1, chrF 60.3; a beam of 5 (length penalty, α = 1) BLEU 42.6, chrF 61.8; on 80 "
        "sentences, one reference each |",
        "| beam | greedy and a beam of 5 differ in 30 of 80 sentences: the beam's chrF is higher in 19 and lower "
        "in 10 |",
        # A hyphen of the text stays one.
        "| beam | largest gain in chrF where the sum of log-probabilities is higher too: It was too late. → greedy: "
        "Il - il était trop. (sum −6.12, by length −1.02, chrF 40). a beam of 5: C'était tard. (sum −2.50, "
        "by length −0.62, chrF 81). They part at step 2 |",
        "| lecture | It was too tired. → Il était trop fatigué. (right) |",
        "| lecture | It was too wide. → Il était trop large. (wrong) |",
        "| lecture | The Law is its own. From its to Law look most, in encoder layer 5: head 6 (73%) and "
        "head 1 (40%) |",
        "| heads | previous: of all encoder heads, layer 3, head 8 looks most at the token before: 0.86, the mean over "
        "500 sentences |",
        "| heads | sink: of all encoder heads, layer 1, head 2 looks most at punctuation and `</s>`: 0.50,",
        "| heads | alignment: of all cross heads, layer 2, head 5 comes nearest to an alignment (sharpness × coverage, "
        "a heuristic without a gold alignment): 0.53,",
        "| heads | decoder-previous: of all decoder heads, layer 1, head 4 looks most at the token before: 0.34,",
        "Rounding to float16 changed 1.2% of 500 validation outputs; BLEU 45.67 before, 45.61 after.",
        "- Everything else.",
    ],
)
def test_a_card_has_every_fact(measured, fact):
    assert fact in markdown(measured)


def test_a_card_names_the_very_weights_and_their_size(measured):
    text = markdown(measured)
    assert f"`tiny@{sha256_of(measured.folder / WEIGHTS)[:8]}`" in text
    assert f"{(measured.folder / WEIGHTS).stat().st_size / 1e6:.1f} MB as float16" in text


def test_a_card_is_a_page_that_ends_with_one_newline(measured):
    text = markdown(measured)
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Tiny Transformer (`tiny`)",
        "## Training",
        "## Scores",
        "## What it cannot do",
    ]
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 3 for line in table) and len(table) == 2 + 1 + 3 + 3 + 4 + 3 + 4


def test_a_card_without_the_record_of_its_run_says_what_is_missing(measured):
    (measured.folder / TRAINING).unlink()
    with pytest.raises(WeightsMissing, match=rf"assets/tiny/{TRAINING} is missing"):
        markdown(measured)


def test_a_card_without_scores_says_so(measured):
    (measured.folder / SCORES).unlink()
    assert "\nNot measured yet for these weights.\n" in markdown(measured)
    assert "|" not in markdown(measured)


# --- Saving scores ----------------------------------------------------------------------------------------------------


def with_other_weights(card: ModelCard) -> ModelCard:
    """The same model after a training run more."""
    return replace(card, sha256={**card.sha256, WEIGHTS: "0" * 64})


def test_scores_are_written_with_the_checksum_of_the_weights(measured):
    record = json.loads((measured.folder / SCORES).read_text("utf-8"))
    assert record["weights"] == sha256_of(measured.folder / WEIGHTS)
    assert record["scores"]["tatoeba"] == BLEU
    assert scores_of(measured) == ALL


def test_sets_not_measured_now_keep_their_scores(measured):
    save_scores(measured, {"tatoeba": BLEU | {"bleu": 50.0}, "europarl": BLEU})
    scores = scores_of(measured)
    assert list(scores) == [*ALL, "europarl"]
    assert scores["tatoeba"]["bleu"] == 50.0
    assert scores["pronouns-a"] == PRONOUNS


def test_scores_of_other_weights_are_not_shown_and_are_dropped_when_new_ones_come(measured):
    other = with_other_weights(measured)
    assert scores_of(other) == {}
    assert "Not measured yet" in markdown(other) and "43.2" not in markdown(other)
    save_scores(other, {"europarl": BLEU})
    assert read_json(other.folder / SCORES) == {"weights": "0" * 64, "scores": {"europarl": BLEU}}


def test_there_are_no_scores_before_any_was_measured(tiny_card):
    assert scores_of(tiny_card) == {}


def test_broken_scores_are_not_overwritten_in_silence(measured):
    (measured.folder / SCORES).write_text("{", "utf-8")
    with pytest.raises(WeightsDamaged, match=r"scores\.json is not valid JSON"):
        save_scores(measured, {"europarl": BLEU})


# --- The head that looks at the noun ----------------------------------------------------------------------------------


def test_the_pronoun_head_is_the_one_measured_counted_from_zero(measured):
    assert pronoun_head(measured, "encoder") == (4, 0)
    assert pronoun_head(measured, "cross") == (1, 6)


def test_there_is_no_pronoun_head_that_was_not_measured(tiny_card):
    assert pronoun_head(tiny_card, "encoder") is None, "no scores at all"
    save_scores(tiny_card, {"tatoeba": BLEU})
    assert pronoun_head(tiny_card, "encoder") is None, "the set is missing"
    save_scores(tiny_card, {"pronouns-a": PRONOUNS})
    assert pronoun_head(tiny_card, "encoder") == (4, 0)
    assert pronoun_head(tiny_card, "decoder") is None, "no such role"


def test_there_is_no_pronoun_head_of_other_weights(measured):
    assert pronoun_head(with_other_weights(measured), "encoder") is None
    assert pronoun_head(with_other_weights(measured), "cross") is None


# --- Heads that point, and heads that decide --------------------------------------------------------------------------


def test_resolvers_and_deciding_heads_are_those_measured_the_first_first(measured):
    assert resolver_heads(measured) == (
        ("encoder", 1, 2, 0.999, 0.995, 0.9998), ("cross", 2, 0, 0.91, 0.8925, 0.925),
    )  # fmt: skip
    assert deciding_heads(measured) == (("encoder", 0, 6, -3.9461), ("cross", 3, 7, -1.561))


def test_there_are_none_that_were_not_measured_for_these_weights(tiny_card, measured):
    other = with_other_weights(measured)
    assert resolver_heads(other) is None and deciding_heads(other) is None
    (tiny_card.folder / SCORES).unlink()
    assert resolver_heads(tiny_card) is None and deciding_heads(tiny_card) is None


# --- The sentence that shows what a beam is for -----------------------------------------------------------------------


def test_the_beam_preset_is_the_one_measured(measured):
    assert beam_preset(measured) == BeamPreset(
        english="It was too late.", greedy="Il - il était trop.", beam="C'était tard.", beams=5, alpha=1.0, left=2,
        greedy_sum=-6.125, beam_sum=-2.5, greedy_final=-1.0208, beam_final=-0.625, greedy_chrf=40.25, beam_chrf=80.75,
    )  # fmt: skip


def test_there_is_no_beam_preset_that_was_not_measured_for_these_weights(tiny_card, measured):
    assert beam_preset(with_other_weights(measured)) is None
    (tiny_card.folder / SCORES).unlink()
    assert beam_preset(tiny_card) is None


def test_a_beam_that_gains_nowhere_has_no_preset_and_a_card_without_it(measured):
    save_scores(measured, {"beam": BEAM | {"preset": None}})
    assert beam_preset(measured) is None
    text = markdown(measured)
    assert "differ in 30 of 80 sentences" in text and "largest gain" not in text


# --- Heads with a role ------------------------------------------------------------------------------------------------


def test_a_role_head_is_the_one_measured_counted_from_zero(measured):
    assert role_head(measured, "previous") == ("encoder", 2, 7)
    assert role_head(measured, "alignment") == ("cross", 1, 4)
    assert role_head(measured, "decoder-previous") == ("decoder", 0, 3)
    assert role_head(measured, "next") is None, "not measured, though a role"
    assert role_head(measured, "juggler") is None


def test_the_heads_of_its_are_those_measured_the_stronger_first(measured):
    assert its_heads(measured) == (4, (5, 0))


def test_there_are_no_role_heads_that_were_not_measured_for_these_weights(tiny_card, measured):
    other = with_other_weights(measured)
    assert role_head(other, "previous") is None and its_heads(other) is None
    save_scores(tiny_card, {"heads": {}, "lecture": {"sentences": []}})
    assert role_head(tiny_card, "previous") is None and its_heads(tiny_card) is None
    (tiny_card.folder / SCORES).unlink()
    assert role_head(tiny_card, "previous") is None and its_heads(tiny_card) is None


def test_a_model_of_one_head_a_layer_has_no_two_heads_of_its(tiny_card):
    save_scores(tiny_card, {"lecture": {"its": {"english": "e", "layer": 0, "heads": [0], "masses": [0.5]}}})
    assert its_heads(tiny_card) is None


def test_every_role_has_its_words():
    assert list(ROLE_WORDS) == list(ROLES)
