"""Evidence: intervals by their closed form, and heads read one case at a time, whatever the order of the cases."""

from __future__ import annotations

import csv
import io
import math
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from engine.analysis import positions_of, resolves
from engine.cases import Case
from engine.coreference import pronoun_span
from engine.evidence import (
    CASE_COLUMNS,
    HEAD_COLUMNS,
    Hits,
    Rate,
    Resolution,
    best_resolvers,
    cases_csv,
    first_pronoun,
    rate,
    rates,
    read_heads,
    resolve_cases,
    resolvers_csv,
)
from engine.interventions import Head


def case(english: str, pronoun: str, nouns: tuple[str, ...], answer: int, il: str | None, french: str | None) -> Case:
    """A case whose words stand in the text once."""
    spans = [(english.index(word), english.index(word) + len(word)) for word in (pronoun, *nouns)]
    return Case(english, spans[0], tuple(spans[1:]), answer, il, french)


BRIDGE = case(
    "The river is deep and the bridge is old because it fell.", "it", ("river", "bridge"), 1, "il",
    "La rivière est profonde et le pont est vieux car il est vieux.",
)  # fmt: skip
ANIMAL = case(
    "The animal didn't cross the street because it was too tired.", "it", ("animal", "street"), 0, "il",
    "L'animal n'a pas traversé la rue car il était fatigué.",
)  # fmt: skip
WINDOW = case("The window was open (it often is).", "it", ("window", "is"), 0, "elle", None)
RAIN = case("It is raining, and it is cold.", "It", ("raining", "cold"), 1, None, "Le chat dort.")
LONG = Case("the " * 100 + "cat and the dog, it sleeps", (418, 420), ((400, 403), (412, 415)), 0, "il", None)
CASES = (BRIDGE, ANIMAL, WINDOW, RAIN)


# --- Rates ------------------------------------------------------------------------------------------------------------


def test_wilson_by_hand():
    """Source: Wilson 1927: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), z = 1.959964 for 95 %."""
    found = rate(8, 10)
    z, p, n = 1.959964, 0.8, 10
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert found.share == 0.8
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-6)  # z has seven digits
    assert [found.low, found.high] == pytest.approx([0.4902, 0.9433], abs=5e-5)  # as tables have it


def test_intervals_stay_within_nothing_and_all():
    assert rate(10, 10).high == 1.0 and 0.7 < rate(10, 10).low < 1
    assert rate(0, 10).low == pytest.approx(0.0, abs=1e-12)  # a difference of equal terms
    assert rate(1199, 1200).low > 0.99
    nothing = rate(0, 0)
    assert (nothing.low, nothing.high) == (0.0, 1.0) and math.isnan(nothing.share)


def test_scipy_is_imported_only_when_a_rate_is_asked_for():
    code = "import sys, engine.evidence; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- Reading heads ----------------------------------------------------------------------------------------------------


def test_hits_are_what_the_trace_of_each_sentence_says(tiny_runner):
    hits = read_heads(tiny_runner, CASES)
    for index, one in enumerate(CASES[:2]):
        trace = tiny_runner.trace(one.text, one.french)
        nouns = [positions_of(trace.source, *span) for span in one.candidates]
        rows = {
            "encoder": positions_of(trace.source, *one.pronoun),
            "cross": positions_of(trace.predicted, *pronoun_span(trace.predicted.text)),
        }
        for kind, at in rows.items():
            assert len(at) == 1, "one piece each, so that no mean is needed"
            expected = resolves(trace.maps[kind].weights, at[0], nouns, one.answer)
            assert np.array_equal(hits.right[kind][index], expected)
    assert hits.right["encoder"].shape == (4, 2, 4) and hits.right["cross"].shape == (4, 3, 4)
    assert hits.right["encoder"].any() and not hits.right["encoder"].all(), "both happen"


def test_of_a_pronoun_of_several_pieces_the_mean_counts(tiny_runner):
    whole = replace(ANIMAL, pronoun=(ANIMAL.text.index("didn't"), ANIMAL.text.index("didn't") + 6))
    trace = tiny_runner.trace(whole.text, whole.french)
    rows = positions_of(trace.source, *whole.pronoun)
    assert len(rows) > 1
    weights = trace.maps["encoder"].weights
    mass = [sum(weights[:, :, row][:, :, list(positions_of(trace.source, *span))].sum(-1) for row in rows)
            for span in whole.candidates]  # fmt: skip
    hits = read_heads(tiny_runner, [whole])
    assert np.array_equal(hits.right["encoder"][0], mass[0] > mass[1])


def test_without_a_reference_the_models_own_words_are_read(tiny_runner):
    own = tiny_runner.translate([WINDOW.text])[0]
    assert first_pronoun(own) == "elle", "learnt by heart"
    found, forced = (read_heads(tiny_runner, [one]) for one in (WINDOW, replace(WINDOW, french=own)))
    assert found.measured["cross"].all()
    assert np.array_equal(found.right["cross"], forced.right["cross"])


def test_what_cannot_be_measured_is_said_and_counts_nowhere(tiny_runner):
    hits = read_heads(tiny_runner, [ANIMAL, RAIN, LONG])
    assert hits.measured["encoder"].tolist() == [True, True, False]
    assert hits.measured["cross"].tolist() == [True, False, False], "a reference without il or elle; too long"
    assert not hits.right["cross"][1:].any()
    assert hits.problems[0] == "Sentence 2: the translation has no il or elle, so cross heads are not read."
    assert hits.problems[1].startswith("Sentence 3: This text has ")
    assert {found.total for row in rates(hits, "encoder") for found in row} == {2}
    assert {found.total for row in rates(hits, "cross") for found in row} == {1}


def test_the_order_of_cases_changes_nothing_but_the_order(tiny_runner):
    order = list(range(len(CASES)))
    random.Random(3).shuffle(order)
    assert order != sorted(order)
    one, two = (resolve_cases(tiny_runner, cases) for cases in (CASES, [CASES[i] for i in order]))
    assert two.said == tuple(one.said[i] for i in order) and two.right == tuple(one.right[i] for i in order)
    for kind in ("encoder", "cross"):
        assert np.array_equal(two.hits.right[kind], one.hits.right[kind][order])
        assert np.array_equal(two.hits.measured[kind], one.hits.measured[kind][order])


def test_what_the_model_says(tiny_runner, monkeypatch):
    monkeypatch.setattr("engine.evidence.CHUNK", 2)  # over several chunks
    cases = [ANIMAL, LONG, WINDOW, replace(WINDOW, french_pronoun="il"), RAIN]
    reported: list[int] = []
    found = resolve_cases(tiny_runner, cases, reported.append)
    assert found.said[:1] == ("il",) and found.said[1] == "" and found.said[2:4] == ("elle", "elle")
    assert found.right == (True, False, True, False, None)
    assert found.accuracy == rate(2, 4)
    assert reported == [1] * 5
    assert found.hits.problems[0].startswith("Sentence 2: "), "counted through the chunks"
    assert found.cases == tuple(cases)


def test_no_cases_give_no_rates(tiny_runner):
    found = resolve_cases(tiny_runner, [])
    assert found.hits.right["cross"].shape == (0, 3, 4)
    assert {one.total for row in rates(found.hits, "encoder") for one in row} == {0}
    assert best_resolvers(found.hits, 3) == ()


def test_whoever_reports_can_stop(tiny_runner):
    class Stop(Exception):
        pass

    seen = []

    def report(done: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        resolve_cases(tiny_runner, CASES, report)
    assert len(seen) == 2


# --- Choosing and writing ---------------------------------------------------------------------------------------------


def hand_made() -> Hits:
    """Four cases; two encoder heads and two cross heads, of which the last case measures the encoder's alone."""
    encoder = np.array([[[1, 1]], [[0, 1]], [[1, 1]], [[0, 0]]], dtype=bool)
    cross = np.array([[[1, 1]], [[1, 0]], [[1, 1]], [[0, 0]]], dtype=bool)
    measured = {"encoder": np.ones(4, dtype=bool), "cross": np.array([True, True, True, False])}
    return Hits({"encoder": encoder, "cross": cross}, measured, ())


def test_rates_by_hand():
    hits = hand_made()
    assert rates(hits, "encoder") == ((rate(2, 4), rate(3, 4)),)
    assert rates(hits, "cross") == ((rate(3, 3), rate(2, 3)),)


def test_the_best_resolvers_come_first_and_of_equals_the_earlier():
    hits = hand_made()
    assert best_resolvers(hits, 9) == (
        Head("cross", 0, 0), Head("encoder", 0, 1), Head("cross", 0, 1), Head("encoder", 0, 0),
    )  # fmt: skip
    assert best_resolvers(hits, 1) == (Head("cross", 0, 0),)
    equal = Hits({"encoder": np.ones((2, 2, 2), bool), "cross": np.ones((2, 1, 2), bool)},
                 dict.fromkeys(("encoder", "cross"), np.ones(2, bool)), ())  # fmt: skip
    assert best_resolvers(equal, 5) == (
        *(Head("encoder", layer, head) for layer in range(2) for head in range(2)), Head("cross", 0, 0),
    )  # fmt: skip


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_cases_as_csv():
    odd = Case('=cat, "key" it', (12, 14), ((1, 4), (7, 10)), 1, None, None)
    found = Resolution((BRIDGE, WINDOW, RAIN, odd), hand_made(), ("il", "elle", "", "il"), (True, False, None, None))
    heads = (Head("encoder", 0, 0), Head("cross", 0, 1))
    rows = table(cases_csv(found, heads))
    assert list(rows[0]) == [*CASE_COLUMNS, "encoder layer 1, head 1", "cross layer 1, head 2"]
    assert list(rows[0].values()) == [BRIDGE.text, "it", "river | bridge", "bridge", "il", "il", "1", "1", "1"]
    assert [row["right"] for row in rows] == ["1", "0", "", ""]
    assert [row["encoder layer 1, head 1"] for row in rows] == ["1", "0", "1", "0"]
    assert [row["cross layer 1, head 2"] for row in rows] == ["1", "0", "1", ""], "the last was not measured"
    assert rows[3]["sentence"] == odd.text and rows[3]["candidates"] == "cat | key" and rows[3]["french_pronoun"] == ""
    assert cases_csv(Resolution((), hand_made(), (), ())).splitlines() == [
        ",".join(f'"{name}"' for name in CASE_COLUMNS)
    ]


def test_heads_as_csv():
    rows = table(resolvers_csv(hand_made()))
    assert tuple(rows[0]) == HEAD_COLUMNS
    assert [(row["kind"], row["layer"], row["head"]) for row in rows] == [
        ("encoder", "1", "1"), ("encoder", "1", "2"), ("cross", "1", "1"), ("cross", "1", "2"),
    ]  # fmt: skip
    assert [(row["right"], row["total"], row["share"]) for row in rows] == [
        ("2", "4", "0.5"), ("3", "4", "0.75"), ("3", "3", "1.0"), ("2", "3", "0.666667"),
    ]  # fmt: skip
    wanted = rate(3, 4)
    assert (float(rows[1]["low"]), float(rows[1]["high"])) == pytest.approx(
        (wanted.low, wanted.high), abs=1e-6
    )  # six digits


def test_a_rate_is_a_plain_value():
    assert rate(3, 4) == rate(3, 4) and isinstance(rate(np.int64(3), 4), Rate)
    assert type(rate(np.int64(3), 4).right) is int, "for JSON"
