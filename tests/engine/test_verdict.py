"""The verdict's clauses, for sides made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from engine.coreference import Decision
from engine.experiments import Outcome
from engine.interventions import Head
from engine.knockout import Sweep
from engine.types import KINDS
from engine.verdict import ALMOST, Side, change_of, effects, ranked, signed, verdict

DECISION = Decision("car", ("il", "elle"))
NOUNS = ("animal", "street")
HEADS = 6  # two layers each of one encoder, decoder and cross head
Values = Mapping[str, tuple[float, float]]


def by_kind(values: Values, rest: float = 0.0) -> dict[str, np.ndarray]:
    """(2, 1) by kind, float32; kinds that are not named hold `rest`."""
    return {kind: np.array(values.get(kind, (rest, rest)), dtype=np.float32)[:, None] for kind in KINDS}


def swept(base: float, changes: Values) -> Sweep:
    return Sweep(base, {kind: base + change for kind, change in by_kind(changes).items()})


def side(
    log_odds: float = 2.0,
    shares: tuple[float, float] = (0.8, 0.1),
    margins: Values | None = None,
    off: Values | None = None,
    patched: Values | None = None,
) -> Side:
    return Side(
        Outcome(log_odds, shares, ""),
        by_kind(margins or {}),
        swept(log_odds, off or {}),
        swept(log_odds, patched or {}),
    )


LEFT = side(2.0, (0.8, 0.1), {"encoder": (0.5, 0.1), "cross": (0.9, 0.2)}, {"cross": (-3.5, 0.25)}, {"cross": (-4, -3)})
RIGHT = side(
    -1.5, (0.15, 0.7), {"encoder": (0.4, -0.2), "cross": (-0.8, 0.2)}, {"encoder": (0, -0.5)}, {"decoder": (0, 1)}
)


def clauses(first: Side = LEFT, second: Side = RIGHT) -> tuple[str, ...]:
    return verdict((first, second), DECISION, NOUNS)


# --- What the model says ----------------------------------------------------------------------------------------------


def test_it_tells_the_sentences_apart():
    assert clauses()[0] == (
        "The model tells the sentences apart: “il” in the first (80% il, log-odds +2.00), "
        "“elle” in the second (70% elle, log-odds −1.50)."
    )


def test_it_does_not_tell_them_apart():
    assert clauses(LEFT, side(0.4, (0.45, 0.3)))[0] == (
        "The model does not tell the sentences apart: it prefers “il” in both "
        "(80% il, log-odds +2.00; 45% il, log-odds +0.40)."
    )


@pytest.mark.parametrize(
    ("shares", "where"),
    [(((0.3, 0.1), (0.15, 0.7)), "first"), (((0.8, 0.1), (0.1, 0.39)), "second"),
     (((0.3, 0.1), (0.1, 0.39)), "first and the second")],
)  # fmt: skip
def test_it_would_rather_say_a_third_word(shares, where):
    first, second = (replace(one, outcome=replace(one.outcome, probabilities=share))
                     for one, share in zip((LEFT, RIGHT), shares, strict=True))  # fmt: skip
    text = clauses(first, second)[0]
    assert text.startswith("Of the two words the model prefers “il” in the first")
    assert text.endswith(f", but in the {where} it would rather say neither.")
    assert f"{max(shares[0]):.0%} il, log-odds +2.00" in text and f"{max(shares[1]):.0%} elle" in text


def test_exactly_half_is_sure():
    assert "neither" not in clauses(side(2.0, (0.4375, 0.0625)))[0]  # these add up to 0.5 exactly


# --- Where heads look -------------------------------------------------------------------------------------------------


def test_heads_that_move_and_heads_that_keep():
    """Encoder layer 2 and cross layer 1 change sides; encoder layer 1 and cross layer 2 do not."""
    assert clauses()[1] == (
        "2 of 6 heads look more at animal in one sentence and more at street in the other (by 0.05 of their attention "
        "at least); 2 prefer the same noun in both. The largest change is that of cross layer 1, head 1: from +0.90 to "
        "−0.80, where +1 is all of its attention on animal and −1 all on street."
    )


def test_one_head_is_no_plural():
    text = clauses(side(margins={"cross": (0.9, 0.2)}), side(margins={"cross": (-0.8, 0.2)}))[1]
    assert text.startswith("1 of 6 heads looks more at animal") and "1 prefers the same noun" in text


@pytest.mark.parametrize(("one", "other", "moves", "keeps"), [
    (0.06, -0.06, 1, 0), (0.06, 0.06, 0, 1), (-0.06, -0.5, 0, 1),
    (0.04, -0.9, 0, 0), (0.9, 0.04, 0, 0), (0.0, 0.9, 0, 0),
])  # fmt: skip
def test_less_than_five_hundredths_is_no_preference(one, other, moves, keeps):
    text = clauses(side(margins={"cross": (one, 0)}), side(margins={"cross": (other, 0)}))[1]
    assert text.startswith(f"{moves} of 6 heads") and f"; {keeps} prefer" in text


def test_no_margins_at_all():
    nothing = by_kind({}, np.nan)
    found = clauses(replace(LEFT, margins=nothing), RIGHT)
    assert found[1] == "No head's attention can be read: the pronoun or a candidate is not marked."
    assert len(found) == 4, "no word about agreement"


def test_kinds_that_were_not_measured_do_not_count():
    missing = by_kind({"encoder": (0.5, 0.1)}, np.nan)
    found = clauses(replace(LEFT, margins=missing), RIGHT)
    assert "of 2 heads" in found[1] and "largest change is that of encoder layer 2, head 1: from +0.10" in found[1]
    assert len(found) == 4, "two heads have no rank correlation"


# --- What matters, and what carries -----------------------------------------------------------------------------------


def test_heads_switched_off():
    assert clauses()[2] == (
        "Switching heads off one at a time: in the first sentence cross layer 1, head 1 matters most (log-odds from "
        "+2.00 to −1.50), and 1 turns the answer; in the second sentence encoder layer 2, head 1 matters most "
        "(log-odds from −1.50 to −2.00), and no head turns the answer."
    )


def test_heads_patched():
    assert clauses()[3] == (
        "Giving one head what it says in the other sentence (activation patching): in the first, cross layer 1, head 1 "
        "moves the log-odds from +2.00 to −2.00, and 2 turn the answer; in the second, decoder layer 2, head 1 moves "
        "the log-odds from −1.50 to −0.50, and no head turns the answer."
    )


def test_a_sentence_patched_from_its_equal_names_no_head():
    still = replace(LEFT, patched=Sweep(2.0, by_kind({}, 2.0)))
    assert "in the first, no head moves the log-odds by 0.1 or more (now +2.00), and no head turns" in clauses(still)[3]


def test_an_answer_that_becomes_undecided_is_not_turned():
    assert clauses(side(2.0, off={"cross": (-2, 0)}))[2].count("and no head turns the answer") == 2


# --- Whether they agree -----------------------------------------------------------------------------------------------


def test_a_head_that_looks_and_matters():
    found = clauses()
    assert found[4] == (
        "The head whose attention changes most, cross layer 1, head 1, changes the log-odds by 1.75 on average when it "
        "is off: number 1 of 6."
    )


def test_a_head_that_looks_but_does_not_matter():
    first = side(margins={"cross": (0.9, 0)}, off={"cross": (0.03125, 1), "encoder": (2, 3)})
    second = side(-2.0, margins={"cross": (-0.9, 0)}, off={"cross": (-0.125, 1), "encoder": (2, 3)})
    text = clauses(first, second)[4]
    assert "changes the log-odds by 0.08 on average when it is off: number 4 of 6." in text
    assert text.endswith("The answer hardly depends on this head alone, whatever its attention shows.")
    assert ALMOST > 0.078125  # the mean of 0.03125 and 0.125, which is why


def ordered(worth: tuple[float, ...]) -> tuple[str, ...]:
    """Six heads whose attention changes by 0.6, 0.5, ..., 0.1, and which are worth this much."""
    kinds = dict(zip(KINDS, ((0.6, 0.5), (0.4, 0.3), (0.2, 0.1)), strict=True))
    off = {kind: worth[2 * i : 2 * i + 2] for i, kind in enumerate(KINDS)}
    return clauses(side(margins=kinds, off=off), side(margins={}, off=off))


@pytest.mark.parametrize(
    # Without ties rho = 1 − 6 Σd² / (n (n² − 1)) = 1 − Σd² / 35 for six heads
    ("worth", "says", "rho"),
    [
        ((6, 5, 4, 3, 2, 1), "agree", "+1.00"),
        ((6, 3, 2, 5, 4, 1), "agree", "+0.54"),  # d = 0, 2, 2, −2, −2, 0: 16
        ((3, 5, 4, 6, 2, 1), "agree only in part", "+0.49"),  # d = 3, 0, 0, −3, 0, 0: 18
        ((3, 5, 2, 6, 4, 1), "agree only in part", "+0.26"),  # d = 3, 0, 2, −3, −2, 0: 26
        ((4, 3, 2, 6, 5, 1), "do not agree", "+0.14"),  # d = 2, 2, 2, −3, −3, 0: 30
        ((1, 2, 3, 4, 5, 6), "do not agree", "−1.00"),
    ],
)
def test_the_rank_correlation_in_words(worth, says, rho):
    text = ordered(worth)[5]
    assert text == (
        f"Over all heads, how much the attention changes and how much switching off matters {says}: "
        f"rank correlation {rho}."
    )


def test_without_an_order_there_is_no_correlation():
    """Heads that change alike, or that are worth nothing, have no ranks to compare."""
    alike = ordered((0, 0, 0, 0, 0, 0))
    assert len(alike) == 5 and alike[4].startswith("The head whose attention changes most")
    assert not any("nan" in clause for clause in alike)


# --- Parts ------------------------------------------------------------------------------------------------------------


def test_changes_and_effects():
    change = change_of((LEFT, RIGHT))
    assert change["cross"].dtype == np.float32
    np.testing.assert_array_equal(change["cross"][:, 0], np.float32([0.9, 0.2]) - np.float32([-0.8, 0.2]))
    found = effects((LEFT, RIGHT))
    assert len(found) == HEADS
    assert found[:4] == [
        (Head("cross", 0, 0), 1.75),  # (3.5 + 0) / 2: all of these are exact in float32
        (Head("encoder", 1, 0), 0.25),
        (Head("cross", 1, 0), 0.125),
        (Head("encoder", 0, 0), 0.0),
    ]


def test_effects_of_opposite_signs_do_not_cancel():
    first, second = side(off={"cross": (1, 0)}), side(off={"cross": (-1, 0)})
    assert effects((first, second))[0] == (Head("cross", 0, 0), 1.0)


def test_ranked_by_size_and_the_earlier_of_equals():
    values = {"encoder": np.array([[0.5, -2.0], [np.nan, 0.5]]), "cross": np.array([[2.0, -0.5]])}
    assert ranked(values) == [
        (Head("encoder", 0, 1), -2.0),
        (Head("cross", 0, 0), 2.0),
        (Head("encoder", 0, 0), 0.5),
        (Head("encoder", 1, 1), 0.5),
        (Head("cross", 0, 1), -0.5),
    ]
    head, value = ranked(values)[0]
    assert (type(head.layer), type(head.head), type(value)) == (int, int, float)  # plain: they go into requests


@pytest.mark.parametrize("values", [{}, {"cross": np.zeros((0, 0))}, {"cross": np.full((2, 2), np.nan)}])
def test_nothing_to_rank(values):
    assert ranked(values) == []


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.314, 2, "+0.31"), (-1.2, 2, "−1.20"), (-1.25, 0, "−1"), (12, 1, "+12.0"),
     (0.0, 2, "0.00"), (-0.0, 2, "0.00"), (-0.004, 2, "0.00"), (-0.004, 3, "−0.004"),
     (float("nan"), 2, "–"), (float("-inf"), 2, "−inf")],
)  # fmt: skip
def test_signed(value, digits, text):
    assert signed(value, digits) == text
    assert "-" not in signed(value, digits)
    assert signed(np.float32(value), digits) == text
