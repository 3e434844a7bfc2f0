"""The sweep by taps: equal to our own sweep on our own model, and to one knock-out at a time on anybody's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch

from engine import knockout_generic, reference
from engine.cases import Case
from engine.coreference import Decision, find_decision, fork_of, said_pronoun
from engine.decisions import Question, forced_log_odds, head_effects
from engine.decisions import Questions as Asked
from engine.errors import Unsupported
from engine.evidence import resolve_cases
from engine.experiments import How, all_heads, outcome, sweep_heads
from engine.huggingface.loading import open_model
from engine.interventions import Head, KnockOut
from engine.knockout import Fork, averages, nothing, sweep
from engine.knockout_generic import sweep_any, sweep_by_taps
from engine.runner import Runner
from engine.types import KINDS
from tests.engine.huggingface.families import saved

TIRED, WIDE = (f"The animal didn't cross the street because it was too {how}." for how in ("tired", "wide"))
DECISION = Decision("La rue", ("était", "le"))
FLOAT32 = 1e-4
NAMES = ("marian", "bart", "t5")
hosted = pytest.mark.parametrize("name", NAMES)


@cache
def opened(name: str) -> Any:
    """A translator of somebody's own with random weights; heads and depths of its two sides differ, but for T5's."""
    return open_model(saved(name, Path(mkdtemp()) / name), "cpu")


def fork(runner: Runner) -> Fork:
    return fork_of(runner.tokenizer, DECISION)


def compared(one: Any, other: Any, atol: float = FLOAT32) -> None:
    assert one.base == pytest.approx(other.base, abs=atol) and set(one.off) == set(other.off)
    for kind, off in one.off.items():
        assert off.dtype == np.float32
        np.testing.assert_allclose(off, other.off[kind], atol=atol)


# --- Our own ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["nothing", "means"])
def test_by_taps_ours_has_what_its_own_sweep_finds(tiny_runner, by):
    source, model = tiny_runner.encode(TIRED).ids, tiny_runner.transformer
    decision = fork_of(tiny_runner.tokenizer, Decision("L'animal", ("est", "n'a")))
    instead = nothing
    if by == "means":
        shape = (model.config.heads, model.config.head_width)
        torch.manual_seed(3)
        instead = averages({
            (kind, layer): torch.randn(shape)
            for kind in KINDS
            for layer in range(model.config.attention_layers(kind))
        })  # fmt: skip
    own = sweep(model, source, decision, instead)
    compared(sweep_by_taps(model, source, decision, instead), own)
    assert all(np.abs(change).max() > 10 * FLOAT32 for change in own.change.values()), "heads count for something"


def test_ours_is_swept_its_own_way(tiny_runner, monkeypatch):
    def refuse(*given: object) -> None:
        raise AssertionError

    monkeypatch.setattr(knockout_generic, "sweep_by_taps", refuse)
    decision = fork_of(tiny_runner.tokenizer, Decision("L'animal", ("est", "n'a")))
    compared(
        sweep_any(tiny_runner, tiny_runner.encode(TIRED).ids, decision),
        sweep(tiny_runner.transformer, tiny_runner.encode(TIRED).ids, decision),
        atol=0,
    )


def test_many_heads_are_taken_in_turns(tiny_runner, monkeypatch):
    source, model = tiny_runner.encode(TIRED).ids, tiny_runner.transformer
    decision = fork_of(tiny_runner.tokenizer, Decision("L'animal", ("est", "n'a")))
    whole = sweep_by_taps(model, source, decision)
    monkeypatch.setattr(knockout_generic, "ROWS", 3)  # of 4 heads
    compared(sweep_by_taps(model, source, decision), whole, atol=1e-5)


# --- Somebody's own ---------------------------------------------------------------------------------------------------


@hosted
def test_each_heads_effect_is_that_of_a_knock_out(name):
    runner = opened(name)
    found = sweep_heads(runner, TIRED, DECISION, "zero")
    config = runner.model.config
    assert {kind: off.shape for kind, off in found.off.items()} == {
        kind: (config.attention_layers(kind), config.attention_heads(kind)) for kind in KINDS
    }
    for kind in KINDS:
        for head in all_heads(runner, kind):
            with_it_off = outcome(runner, TIRED, DECISION, (KnockOut((head,)),))
            assert found.off[kind][head.layer, head.head] == pytest.approx(with_it_off.log_odds, abs=FLOAT32)
    assert found.base == pytest.approx(outcome(runner, TIRED, DECISION).log_odds, abs=FLOAT32)
    assert max(np.abs(change).max() for change in found.change.values()) > 10 * FLOAT32


@pytest.mark.parametrize(("name", "how"), [(name, how) for name in NAMES for how in ("other", "mean")])
def test_heads_are_replaced_by_their_means_and_from_the_other_sentence(name, how: How, monkeypatch):
    monkeypatch.setattr(reference, "SENTENCES", 6)  # of which the means are
    runner = opened(name)
    found = sweep_heads(runner, TIRED, DECISION, how, WIDE if how == "other" else "")
    assert all(np.isfinite(off).all() for off in found.off.values())
    if how == "other":
        same = sweep_heads(runner, TIRED, DECISION, how, TIRED)
        for change in same.change.values():
            np.testing.assert_allclose(change, 0, atol=FLOAT32)
    else:
        head = Head("cross", 1, 0)
        changed = outcome(runner, TIRED, DECISION, (KnockOut((head,), "mean"),))
        assert found.off["cross"][1, 0] == pytest.approx(changed.log_odds, abs=FLOAT32)


@hosted
def test_many_decisions_at_once_are_each_by_itself(name):
    runner = opened(name)
    decision = fork(runner)
    asked = [Question(i, runner.encode(text).ids, decision) for i, text in enumerate((TIRED, "It was late.", WIDE))]
    for heads in ((), (Head("encoder", 0, 1), Head("cross", 1, 0))):
        together = forced_log_odds(runner, asked, heads)
        alone = [float(forced_log_odds(runner, [one], heads)[0]) for one in asked]
        np.testing.assert_allclose(together, alone, atol=FLOAT32)
    assert forced_log_odds(runner, asked, ())[0] == pytest.approx(
        sweep_heads(runner, TIRED, DECISION, "zero").base, abs=FLOAT32
    )


def test_effects_are_means_over_the_questions():
    runner = opened("marian")
    asked = tuple(Question(i, runner.encode(text).ids, fork(runner)) for i, text in enumerate((TIRED, WIDE)))
    found = head_effects(runner, Asked(asked, 0, np.zeros(2, dtype=np.float32)))
    each = [sweep_any(runner, one.source, one.fork).change for one in asked]
    for kind in KINDS:
        np.testing.assert_allclose(found.change[kind], (each[0][kind] + each[1][kind]) / 2, atol=1e-6)


@hosted
def test_a_fork_is_read_from_the_models_own_start(name):
    runner = opened(name)
    found = fork(runner)
    assert found.prefix[0] == runner.tokenizer.start != found.first != found.second
    whole = runner.tokenizer.encode_output(DECISION.said("était", runner.tokenizer.normalise_output), end=False).ids
    assert (*found.prefix[1:], found.first) == whole[: len(found.prefix)]


@hosted
def test_two_outputs_without_a_pronoun_are_told_apart_by_their_first_other_word(name):
    runner = opened(name)
    first, second = (runner.trace(text, target) for text, target in ((TIRED, "La rue est large"), (WIDE, "La mer")))
    assert said_pronoun(first) is None
    found = find_decision(first, second)
    assert found == Decision("La", ("rue", "mer"))


@hosted
def test_sentences_are_read_without_any_french_pronoun(name):
    runner = opened(name)
    pronoun, *nouns = ((TIRED.index(word), TIRED.index(word) + len(word)) for word in ("it", "animal", "street"))
    case = Case(TIRED, pronoun, tuple(nouns), 0)
    found = resolve_cases(runner, [case])
    assert found.hits.measured["encoder"].all() and found.accuracy.total == 0


def test_recurrent_models_have_no_such_heads(recurrent_runners):
    with pytest.raises(Unsupported):
        sweep_any(next(iter(recurrent_runners.values())), (5, 3), Fork((2,), 4, 5))
