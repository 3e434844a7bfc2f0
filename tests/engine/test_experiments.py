"""Experiments on one decision, against forwards made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.coreference import Decision, Places, fork_of
from engine.errors import EmptyInput, InputError
from engine.experiments import (
    Alignment,
    align_pieces,
    all_heads,
    force_at,
    force_onto,
    outcome,
    patch_from,
    sweep_heads,
)
from engine.interventions import Force, Head, KnockOut, Patch
from engine.knockout import log_odds, sweep
from engine.models.taps import Tap
from engine.types import KINDS, Tokens

TIRED = "The animal didn't cross the street because it was too tired."
WIDE = "The animal didn't cross the street because it was too wide."
CAT, DOG = "The cat sleeps on the red chair.", "The dog sleeps on the red chair."
DECISION = Decision("L'animal n'a pas traversé la rue car", ("il", "elle"))
# Logits here are around 1 to 10: two float32 ways to the same sums, through 5 layers, differ by some ten roundings of
# 2^-24 of that. Nearly every head of the tiny model is worth 1e-2 and more.
FLOAT32 = 1e-5
# The log-softmax takes one more rounding of each of two numbers up to 20: 2^-24 of that, twice.
ROUNDED = 3e-6


def logits_under(runner, text, taps=None) -> tuple[Tensor, int, int]:
    """The last row of a plain forward, and the two pieces."""
    fork = fork_of(runner.tokenizer, DECISION)
    with torch.inference_mode():
        found = runner.model(
            torch.tensor([runner.encode(text).ids]), torch.tensor([fork.prefix]), *([taps] if taps else [])
        )
    return found[0, -1].double(), fork.first, fork.second


def patched(runner, head: Head, there: str, here: str) -> float:
    patch = patch_from(runner, [head], there, here, DECISION)
    return outcome(runner, here, DECISION, [patch]).log_odds


# --- The outcome ------------------------------------------------------------------------------------------------------


def test_the_outcome_of_a_plain_run(tiny_runner):
    found = outcome(tiny_runner, TIRED, DECISION)
    fork = fork_of(tiny_runner.tokenizer, DECISION)
    assert found.log_odds == pytest.approx(
        log_odds(tiny_runner.model, tiny_runner.encode(TIRED).ids, fork), abs=ROUNDED
    )
    logits, first, second = logits_under(tiny_runner, TIRED)
    shares = logits.softmax(-1)
    # probabilities of float32: 2^-24 relative, and of an exponent up to 20 as much again for each unit
    assert found.probabilities == pytest.approx((float(shares[first]), float(shares[second])), rel=5e-6)
    assert found.log_odds == pytest.approx(math.log(found.probabilities[0] / found.probabilities[1]), abs=1e-12)
    assert found.translation == tiny_runner.trace(TIRED).translation


def test_the_outcome_of_an_intervention_is_a_forward_changed_by_hand(tiny_runner):
    head = Head("cross", 1, 2)

    def off(mixed: Tensor) -> Tensor:
        changed = mixed.clone()
        changed[:, 2] = 0
        return changed

    found = outcome(tiny_runner, TIRED, DECISION, [KnockOut((head,))])
    logits, first, second = logits_under(tiny_runner, TIRED, {("cross", 1): Tap(change_outputs=off)})
    assert found.log_odds == pytest.approx(float(logits[first] - logits[second]), abs=ROUNDED)
    assert abs(found.log_odds - outcome(tiny_runner, TIRED, DECISION).log_odds) > 100 * FLOAT32


def test_the_translation_is_made_with_the_intervention(tiny_runner):
    everything = KnockOut(all_heads(tiny_runner, "cross"))
    found = outcome(tiny_runner, TIRED, DECISION, [everything])
    assert found.translation == tiny_runner.trace(TIRED, None, [everything]).translation
    assert found.translation != outcome(tiny_runner, TIRED, DECISION).translation
    # and without its source, a decoder answers every sentence alike
    other = outcome(tiny_runner, CAT, DECISION, [everything])
    assert other.log_odds == pytest.approx(found.log_odds, abs=FLOAT32) and other.translation == found.translation


def test_swapped_words_swap_the_outcome(tiny_runner):
    swapped = Decision(DECISION.prefix, ("elle", "il"))
    one, other = outcome(tiny_runner, TIRED, DECISION), outcome(tiny_runner, TIRED, swapped)
    assert other.log_odds == -one.log_odds and other.probabilities == one.probabilities[::-1]


@pytest.mark.parametrize(
    ("text", "decision", "made", "says"),
    [
        ("", DECISION, [], "no text yet"),
        (TIRED, Decision("car", ("il", " ")), [], "Give two words"),
        (TIRED, Decision("car", ("il", "il")), [], "begin alike"),
        (TIRED, DECISION, [KnockOut((Head("encoder", 2, 0),))], "There is no encoder layer 3, head 1"),
    ],
)
def test_what_cannot_be_asked(tiny_runner, text, decision, made, says):
    with pytest.raises(InputError, match=says):
        outcome(tiny_runner, text, decision, made)


# --- The sweep --------------------------------------------------------------------------------------------------------


def test_the_plain_sweep_is_that_of_the_fork(tiny_runner):
    found = sweep_heads(tiny_runner, TIRED, DECISION, "zero")
    expected = sweep(tiny_runner.model, tiny_runner.encode(TIRED).ids, fork_of(tiny_runner.tokenizer, DECISION))
    assert found.base == expected.base
    assert all(np.array_equal(found.off[kind], expected.off[kind]) for kind in KINDS)


@pytest.mark.parametrize("head", [Head("encoder", 1, 0), Head("decoder", 0, 3), Head("cross", 2, 1)])
@pytest.mark.parametrize("by", ["zero", "mean"])
def test_the_sweep_is_a_knock_out_of_each_head(tiny_runner, head, by):
    found = sweep_heads(tiny_runner, TIRED, DECISION, by)
    one = outcome(tiny_runner, TIRED, DECISION, [KnockOut((head,), by)])
    assert found.off[head.kind][head.layer, head.head] == pytest.approx(one.log_odds, abs=FLOAT32)


def test_means_and_zeros_are_two_things(tiny_runner):
    zero, mean = (sweep_heads(tiny_runner, TIRED, DECISION, how) for how in ("zero", "mean"))
    assert zero.base == mean.base
    assert all(np.abs(zero.off[kind] - mean.off[kind]).max() > 100 * FLOAT32 for kind in KINDS)


@pytest.mark.parametrize("text", [TIRED, "Émile & co. sleep."])
def test_a_sentence_patched_from_itself_stays_as_it_is(tiny_runner, text):
    found = sweep_heads(tiny_runner, text, DECISION, "other", text)
    for change in found.change.values():
        np.testing.assert_allclose(change, 0, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(
    "head",
    [Head("encoder", 0, 1), Head("encoder", 1, 3), Head("decoder", 1, 0), Head("decoder", 2, 2), Head("cross", 0, 0),
     Head("cross", 2, 3)],
)  # fmt: skip
@pytest.mark.parametrize(("here", "there"), [(TIRED, WIDE), (CAT, DOG)])
def test_the_sweep_from_another_sentence_is_a_patch_of_each_head(tiny_runner, head, here, there):
    """Also where some words have no counterpart: "cat" is two pieces, "dog" one."""
    found = sweep_heads(tiny_runner, here, DECISION, "other", there)
    expected = patched(tiny_runner, head, there, here)
    assert found.off[head.kind][head.layer, head.head] == pytest.approx(expected, abs=FLOAT32)


def test_another_sentence_makes_a_difference(tiny_runner):
    """Otherwise the equalities above would prove nothing; the first self-attention alone has read no source."""
    found = sweep_heads(tiny_runner, TIRED, DECISION, "other", WIDE)
    assert np.abs(found.change["encoder"]).max() > 100 * FLOAT32 < np.abs(found.change["cross"]).max()
    np.testing.assert_allclose(found.change["decoder"][0], 0, rtol=0, atol=FLOAT32)


def test_all_cross_heads_together_are_all_that_the_decoder_hears_of_a_source(tiny_runner):
    """All encoder heads together are not: the words' own vectors pass them by."""
    cross = patch_from(tiny_runner, all_heads(tiny_runner, "cross"), WIDE, TIRED, DECISION)
    plain = outcome(tiny_runner, WIDE, DECISION).log_odds
    assert outcome(tiny_runner, TIRED, DECISION, [cross]).log_odds == pytest.approx(plain, abs=FLOAT32)
    encoder = patch_from(tiny_runner, all_heads(tiny_runner, "encoder"), WIDE, TIRED, DECISION)
    assert abs(outcome(tiny_runner, TIRED, DECISION, [encoder]).log_odds - plain) > 100 * FLOAT32


def test_the_other_sentence_is_needed(tiny_runner):
    with pytest.raises(EmptyInput, match="Type a sentence"):
        sweep_heads(tiny_runner, TIRED, DECISION, "other")


# --- Pieces that stand for each other ---------------------------------------------------------------------------------


def aligned(runner, first: str, second: str) -> Alignment:
    return align_pieces(runner.encode(first), runner.encode(second))


@pytest.mark.parametrize("text", [TIRED, CAT, "Émile & co. sleep.", "sleep"])
def test_a_text_is_aligned_with_itself_at_every_piece(tiny_runner, text):
    """Lone word boundaries included, which spell no character."""
    count = len(tiny_runner.encode(text))
    assert aligned(tiny_runner, text, text) == Alignment(tuple((i, i) for i in range(count)), ())


def test_a_piece_that_spells_nothing_belongs_to_its_word(tiny_runner):
    first, second = tiny_runner.encode("Émile & co. sleep."), tiny_runner.encode("Émile % co. sleep.")
    assert first.labels[:2] == ("▁", "É") and first.spans[0] == (0, 0)  # what the case is about
    assert (0, 0) in align_pieces(first, second).positions


def test_replaced_words_of_equally_many_pieces(tiny_runner):
    found = aligned(tiny_runner, TIRED, WIDE)
    assert found.refused == () and found.positions == tuple((i, i) for i in range(21))


def test_words_of_different_piece_counts_are_named(tiny_runner):
    found = aligned(tiny_runner, CAT, DOG)
    assert found.refused == ("“cat” has 2 pieces and “dog” 1: there is no position for each.",)
    assert found.positions == ((0, 0), *((i, i - 1) for i in range(3, 14)))  # "The", then all behind the nouns
    back = aligned(tiny_runner, DOG, CAT)
    assert back.refused == ("“dog” has 1 piece and “cat” 2: there is no position for each.",)
    assert back.positions == tuple((j, i) for i, j in found.positions)


def test_words_of_one_sentence_alone_are_named(tiny_runner):
    one, other = (tiny_runner.encode(text) for text in ("The dog sleeps.", "The old red dog sleeps, it."))
    found = align_pieces(one, other)
    assert found.refused == ("Only the second sentence has “old”, “red”, “,”, “it”.",)
    assert [i for i, _ in found.positions] == list(range(len(one)))
    assert all(one.labels[i] == other.labels[j] for i, j in found.positions)
    found = aligned(tiny_runner, "The too tired dog sleeps.", "The wide dog sleeps.")
    assert found.refused == (
        "Only the first sentence has “too”, “tired”.",
        "Only the second sentence has “wide”.",
    )


def test_positions_are_one_to_one_and_in_order(tiny_runner):
    for texts in ((TIRED, DOG), (CAT, TIRED), (WIDE, "It was wide.")):
        sides = list(zip(*aligned(tiny_runner, *texts).positions, strict=True))
        assert all(list(side) == sorted(set(side)) for side in sides)
        assert tuple(side[-1] for side in sides) == tuple(len(tiny_runner.encode(text)) - 1 for text in texts)  # </s>


def test_texts_without_an_end_and_without_anything(subwords):
    one = subwords.encode("The dog", end=False)
    assert align_pieces(one, one).positions == ((0, 0), (1, 1))
    empty = Tokens("", (), (), (), (), ())
    assert align_pieces(empty, empty) == Alignment((), ())
    found = align_pieces(one, empty)
    assert found == Alignment((), ("Only the first sentence has “The”, “dog”.",))


# --- Patches and forced rows ------------------------------------------------------------------------------------------


def test_patches_by_hand(tiny_runner):
    encoder = (Head("encoder", 0, 0), Head("encoder", 1, 2))
    found = patch_from(tiny_runner, encoder, DOG, CAT, DECISION)
    assert found == Patch(encoder, DOG, None, aligned(tiny_runner, DOG, CAT).positions)
    steps = len(fork_of(tiny_runner.tokenizer, DECISION).prefix)
    for kind in ("decoder", "cross"):
        found = patch_from(tiny_runner, [Head(kind, 1, 2)], WIDE, TIRED, DECISION)
        assert found.positions == tuple((i, i) for i in range(steps))
        assert found.target == "L'animal n'a pas traversé la rue car il" and found.text == WIDE


WHERE = Places(pronoun=(14,), first=(1, 2), second=(10, 11), steps=(9, 10), first_read=(3,), second_read=(7, 8))
BOTH = [Head("encoder", 0, 0), Head("cross", 0, 0)]


@pytest.mark.parametrize("heads", [[], BOTH, [*BOTH, Head("decoder", 0, 0)], [BOTH[1], Head("decoder", 1, 1)]])
def test_heads_of_several_kinds_are_refused(tiny_runner, heads):
    with pytest.raises(InputError, match="Patch heads of one kind at a time"):
        patch_from(tiny_runner, heads, WIDE, TIRED, DECISION)
    with pytest.raises(InputError, match="Force heads of one kind at a time"):
        force_onto(WHERE, heads, "A")


@pytest.mark.parametrize(
    ("kind", "rows", "first", "second"),
    [("encoder", (14,), (1, 2), (10, 11)), ("cross", (9, 10), (1, 2), (10, 11)), ("decoder", (9, 10), (3,), (7, 8))],
)
def test_the_mass_of_one_candidate_goes_to_the_other(kind, rows, first, second):
    heads = (Head(kind, 0, 1), Head(kind, 1, 0))
    assert force_onto(WHERE, heads, "A") == Force(heads, rows, keys=second, onto=first)
    assert force_onto(WHERE, heads, "B") == Force(heads, rows, keys=first, onto=second)


@pytest.mark.parametrize(
    ("where", "kind", "says"),
    [
        (Places((), (1,), (2,)), "encoder", "No pronoun is marked in the English sentence. Mark it in the sentence"),
        (Places((3,), (1,), (2,)), "cross", "No pronoun is marked in the French sentence. Mark it"),
        (Places((3,), (), (2,), (4,)), "cross", "Candidate A was not found in the English sentence. Mark it"),
        (Places((3,), (1,), (2,), (4,), (1,), ()), "decoder", "Candidate B was not found in the output before it."),
    ],
)
def test_what_is_not_there_cannot_be_forced(where, kind, says):
    with pytest.raises(InputError, match=says):
        force_onto(where, [Head(kind, 0, 0)], "A")


@pytest.mark.parametrize("onto", ["A", "B"])
def test_forced_attention_is_where_it_was_sent(tiny_runner, onto):
    head = Head("encoder", 1, 2)
    force = force_onto(WHERE, [head], onto)
    plain, forced = (
        tiny_runner.trace(TIRED, DECISION.said("il"), made).maps["encoder"].weights[1, 2, 14] for made in ([], [force])
    )
    taken, given = (list(keys) for keys in (force.keys, force.onto))
    assert (forced[taken] == 0).all()
    # six numbers in [0, 1] are added up: 2^-24 each
    assert forced[given].sum() == pytest.approx(plain[given].sum() + plain[taken].sum(), abs=1e-6)


FRENCH = "Le chat dort car elle"  # an output that the tiny model is made to say


def test_under_the_forced_beginning_the_step_that_decides_looks(tiny_runner):
    head = [Head("cross", 1, 2)]
    trace = tiny_runner.trace(TIRED, FRENCH)
    steps = (len(trace.read) - 2,)
    where = Places((14,), (1, 2), (10, 11), steps, (2,), (4,))
    same, other = Decision("Le chat dort car", ("il", "elle")), DECISION
    assert force_at(tiny_runner, trace, where, same, head, "A") == force_onto(where, head, "A")
    last = len(fork_of(tiny_runner.tokenizer, other).prefix) - 1
    found = force_at(tiny_runner, trace, where, other, head, "A")
    assert found == Force(tuple(head), (last,), keys=(10, 11), onto=(1, 2)) and last != steps[0]
    plain = outcome(tiny_runner, TIRED, other).log_odds
    assert abs(outcome(tiny_runner, TIRED, other, [found]).log_odds - plain) > 100 * FLOAT32


def test_encoder_heads_look_from_the_same_word_under_any_beginning(tiny_runner):
    trace = tiny_runner.trace(TIRED, FRENCH)
    head = [Head("encoder", 1, 2)]
    assert force_at(tiny_runner, trace, WHERE, DECISION, head, "B") == force_onto(WHERE, head, "B")


def test_decoder_heads_are_refused_where_the_french_nouns_are_not_known(tiny_runner):
    trace = tiny_runner.trace(TIRED, FRENCH)
    with pytest.raises(InputError, match=r"does not begin with “L'animal n'a pas traversé la rue car”.* Choose"):
        force_at(tiny_runner, trace, WHERE, DECISION, [Head("decoder", 1, 2)], "B")


def test_the_translation_may_be_decoded_with_other_changes(tiny_runner):
    off, none = KnockOut(all_heads(tiny_runner, "cross")), ()
    both, plain = outcome(tiny_runner, TIRED, DECISION, [off]), outcome(tiny_runner, TIRED, DECISION)
    assert both.translation != plain.translation and both.log_odds != plain.log_odds
    found = outcome(tiny_runner, TIRED, DECISION, [off], none)
    assert (found.log_odds, found.translation) == (both.log_odds, plain.translation)
    found = outcome(tiny_runner, TIRED, DECISION, none, [off])
    assert (found.log_odds, found.translation) == (plain.log_odds, both.translation)


def test_all_heads(tiny_runner):
    """Two encoder and three decoder layers of four heads."""
    assert [len(all_heads(tiny_runner, kind)) for kind in KINDS] == [8, 12, 12]
    assert all_heads(tiny_runner, "cross", 2) == tuple(Head("cross", 2, head) for head in range(4))
    assert all_heads(tiny_runner, "encoder")[3:5] == (Head("encoder", 0, 3), Head("encoder", 1, 0))
    assert all(head.kind == "decoder" for head in all_heads(tiny_runner, "decoder"))
