"""Decisions: many sentences at once are each what they are alone, and each head's worth is the mean over sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.cases import Case
from engine.coreference import Decision, fork_of
from engine.decisions import (
    Effects,
    Questions,
    ask,
    forced_log_odds,
    head_effects,
    largest_effects,
    require_questions,
)
from engine.errors import InputError
from engine.interventions import Head
from engine.knockout import averages, log_odds, nothing, sweep
from engine.reference import reference_means

WINDOW = "The window was open (it often is)."
HEADS = (Head("encoder", 0, 2), Head("decoder", 1, 0), Head("cross", 2, 3), Head("cross", 2, 1))
ROUNDING = 2e-5  # float32 logits of size 10, summed in another order


def case(english: str, il: str | None, french: str | None) -> Case:
    """A case of a sentence; what its nouns are plays no part here."""
    return Case(english, (0, 1), ((0, 1), (2, 3)), 0, il, french)


CASES = (
    case("The animal didn't cross the street because it was too tired.", "il", "L'animal n'a pas traversé car il fut."),
    case("It was too wide, so the dog didn't jump.", "elle", "Elle était trop large, alors le chien n'a pas sauté."),
    case("I know that he is at home today.", "il", "Je sais qu'il est à la maison aujourd'hui."),
    case("The train was late because it stopped twice.", "elle", "Le train était en retard parce qu'elle a sauté."),
    case("The bird sang, then it flew away.", "il", "L'oiseau a chanté, puis il s'est envolé."),
    case("She reads a book in the garden.", "elle", "Elle lit un livre dans le jardin."),
)


@pytest.fixture(scope="module")
def questions(tiny_runner) -> Questions:
    return ask(tiny_runner, CASES)


# --- Asking -----------------------------------------------------------------------------------------------------------


def test_a_question_is_the_fork_before_the_reference_pronoun(tiny_runner, questions):
    assert (len(questions.asked), questions.left_out) == (6, 0)
    first = questions.asked[0]
    assert first.source == tiny_runner.encode(CASES[0].text).ids
    assert first.fork == fork_of(tiny_runner.tokenizer, Decision("L'animal n'a pas traversé car", ("il", "elle")))
    opening = questions.asked[1].fork  # the right one first, with a capital where the reference has one
    assert opening == fork_of(tiny_runner.tokenizer, Decision("", ("Elle", "Il")))


def test_log_odds_are_those_of_the_model_on_each_sentence_alone(tiny_runner, questions):
    alone = [log_odds(tiny_runner.model, one.source, one.fork) for one in questions.asked]
    assert questions.log_odds == pytest.approx(alone, abs=ROUNDING)
    assert np.ptp(alone) > 1, "sentences that differ"


def test_without_a_reference_the_models_own_words_begin(tiny_runner):
    without = replace(CASES[4], french=None)
    own = tiny_runner.translate([without.text])[0]
    one, other = ask(tiny_runner, [without]), ask(tiny_runner, [replace(without, french=own)])
    assert one.asked == other.asked and len(one.asked) == 1
    mixed = ask(tiny_runner, [CASES[0], without, case(WINDOW, "elle", None), CASES[2]])
    assert [question.case for question in mixed.asked] == [0, 1, 2, 3]
    assert mixed.asked[1].fork == one.asked[0].fork, "each gets its own words"


def test_cases_without_a_decision_are_left_out_and_counted(tiny_runner, monkeypatch):
    monkeypatch.setattr("engine.decisions.CHUNK", 2)
    cases = [
        replace(CASES[0], french_pronoun=None),
        CASES[1],
        replace(CASES[2], french="Le chat dort."),
        case("The cat sleeps on the red chair.", "il", None),  # its translation says neither
        case("the " * 100, "il", "Il dort."),
        case("the " * 100, "il", None),
        CASES[4],
    ]
    reported: list[int] = []
    found = ask(tiny_runner, cases, reported.append)
    assert [question.case for question in found.asked] == [1, 6]
    assert found.left_out == 5 and len(found.log_odds) == 2
    assert sum(reported) == len(cases)


def test_others_have_their_turn_while_the_model_is_asked(tiny_runner, monkeypatch):
    monkeypatch.setattr("engine.decisions.BATCH", 2)
    reported: list[int] = []
    ask(tiny_runner, CASES, reported.append)
    assert reported == [len(CASES), 0, 0, 0]


def test_nothing_to_ask_is_said(tiny_runner):
    none = ask(tiny_runner, [replace(CASES[0], french_pronoun=None)])
    assert (none.asked, none.left_out, none.log_odds.shape) == ((), 1, (0,))
    with pytest.raises(InputError, match=r"None of these sentences has a decision between il and elle\. Add"):
        require_questions(none)
    with pytest.raises(InputError, match="None of these sentences"):
        head_effects(tiny_runner, none)


# --- Heads off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["zero", "mean"])
def test_a_batch_gives_each_sentence_what_it_gets_alone(tiny_runner, questions, by):
    together = forced_log_odds(tiny_runner, questions.asked, HEADS, by)
    alone = [float(forced_log_odds(tiny_runner, [one], HEADS, by)[0]) for one in questions.asked]
    assert together == pytest.approx(alone, abs=ROUNDING)
    assert np.abs(together - questions.log_odds).max() > 0.01, "these heads do something"


def test_small_batches_give_the_same(tiny_runner, questions, monkeypatch):
    together = forced_log_odds(tiny_runner, questions.asked, HEADS)
    monkeypatch.setattr("engine.decisions.BATCH", 4)
    reported: list[int] = []
    assert forced_log_odds(tiny_runner, questions.asked, HEADS, report=reported.append) == pytest.approx(
        together, abs=ROUNDING
    )
    assert reported == [4, 2]


def test_permuted_questions_give_permuted_answers(tiny_runner, questions):
    order = [3, 0, 5, 1, 4, 2]
    straight = forced_log_odds(tiny_runner, questions.asked, HEADS)
    permuted = forced_log_odds(tiny_runner, [questions.asked[i] for i in order], HEADS)
    assert permuted == pytest.approx(straight[order], abs=ROUNDING)


def test_no_heads_off_is_the_model_untouched(tiny_runner, questions):
    assert np.array_equal(forced_log_odds(tiny_runner, questions.asked, ()), questions.log_odds)


@pytest.mark.parametrize("by", ["zero", "mean"])
@pytest.mark.parametrize("head", [Head("encoder", 1, 3), Head("decoder", 0, 1), Head("cross", 2, 0)])
def test_one_head_off_is_what_the_sweep_says(tiny_runner, questions, head, by):
    """Two ways to the same number: a tap in a batch of sentences, and a row in a batch of heads."""
    instead = averages(reference_means(tiny_runner.model, tiny_runner.tokenizer)) if by == "mean" else nothing
    swept = [sweep(tiny_runner.model, one.source, one.fork, instead).off[head.kind][head.layer, head.head]
             for one in questions.asked]  # fmt: skip
    assert forced_log_odds(tiny_runner, questions.asked, [head], by) == pytest.approx(swept, abs=ROUNDING)


def test_the_model_learnt_the_right_pronouns_by_heart(questions):
    # all but the fourth, whose reference says the wrong thing
    assert (questions.log_odds > 0).tolist() == [True, True, True, False, True, True]


def test_a_head_that_is_not_there_is_refused(tiny_runner, questions):
    with pytest.raises(InputError, match="There is no encoder layer 3, head 1"):
        forced_log_odds(tiny_runner, questions.asked, [Head("encoder", 2, 0)])


# --- Effects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["zero", "mean"])
def test_effects_are_means_over_the_sentences(tiny_runner, questions, by):
    reported: list[int] = []
    found = head_effects(tiny_runner, questions, reported.append, by)
    assert (found.total, found.left_out, found.by, reported) == (6, 0, by, [1] * 6)
    head = Head("cross", 2, 3)
    changes = forced_log_odds(tiny_runner, questions.asked, [head], by) - questions.log_odds
    assert found.change["cross"][2, 3] == pytest.approx(changes.mean(), abs=ROUNDING)
    assert found.error["cross"][2, 3] == pytest.approx(changes.std() / 6**0.5, abs=ROUNDING)
    assert {kind: values.shape for kind, values in found.change.items()} == {
        "encoder": (2, 4), "decoder": (3, 4), "cross": (3, 4),
    }  # fmt: skip


def test_the_wrong_pronoun_as_the_right_one_turns_the_sign(tiny_runner):
    one, other = (
        head_effects(tiny_runner, ask(tiny_runner, [replace(CASES[0], french_pronoun=pronoun)]))
        for pronoun in ("il", "elle")
    )
    for kind in one.change:
        assert one.change[kind] == pytest.approx(-other.change[kind], abs=ROUNDING)


def test_the_largest_effects_are_the_worst_losses_and_of_equals_the_earlier():
    change = {
        "encoder": np.array([[-1.0, 3.0]]),
        "decoder": np.array([[-1.0, 0.0]]),
        "cross": np.array([[-2.0, -1.0]]),
    }
    effects = Effects(change, change, 1, 0, "zero")
    assert largest_effects(effects, 4) == (
        Head("cross", 0, 0), Head("encoder", 0, 0), Head("decoder", 0, 0), Head("cross", 0, 1),
    )  # fmt: skip
    assert largest_effects(effects, 99)[-1] == Head("encoder", 0, 1), "one that stands in the way comes last"


def test_effects_can_be_stopped(tiny_runner, questions):
    class Stop(Exception):
        pass

    def report(done: int) -> None:
        raise Stop

    for work in (
        lambda: head_effects(tiny_runner, questions, report),
        lambda: forced_log_odds(tiny_runner, questions.asked, HEADS, report=report),
        lambda: ask(tiny_runner, CASES, report),
    ):
        with pytest.raises(Stop):
            work()
