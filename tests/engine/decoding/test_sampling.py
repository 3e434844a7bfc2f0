"""Samples: what can be drawn, how often it is, and that the tree holds them all."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding.beam import beam_search
from engine.decoding.options import BeamOptions, SampleOptions
from engine.decoding.sampling import Sampled, filtered, sample_tree
from engine.errors import InputError
from engine.text import END, START
from tests.engine.decoding.toys import CAREFUL, LIVE, SPECIAL, Row, Toy, drawn, looked, spelt, table

SOURCE = (7, 8, END)
FLOAT32 = 1e-5  # sums of a few float32 numbers of around 1 to 10
WEATHER = table(
    {"": {"a": 0.5, "b": 0.3, "c": 0.15, ".": 0.05}, "a": {"b": 0.5, ".": 0.5}, "b": {".": 1.0}, "c": {".": 1.0},
     "ab": {".": 1.0}},
    "abc",
)  # fmt: skip


def draw(row: Row, options: SampleOptions, prefix: tuple[int, ...] = ()) -> Sampled:
    return sample_tree(Toy(row), SOURCE, CAREFUL, options, "cpu", prefix)


# --- What can be drawn ------------------------------------------------------------------------------------------------


def shares(probabilities: list[float], **options: float) -> list[float]:
    """What `filtered` leaves of some probabilities."""
    logprobs = torch.tensor([probabilities]).log()
    return filtered(logprobs, SampleOptions(**options)).exp()[0].tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        # square roots .707, .548, .387, .224 add up to 1.866; squares .25, .09, .0225, .0025 to .365
        ({"temperature": 2}, [0.3790, 0.2936, 0.2076, 0.1198]),
        ({"temperature": 0.5}, [0.6849, 0.2466, 0.0616, 0.0068]),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_k": 9}, [0.5, 0.3, 0.15, 0.05]),
        # .5 + .3 = .8 has .8 at least; .81 needs one more
        ({"top_p": 0.79}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.81}, [0.5263, 0.3158, 0.1579, 0]),
        ({"top_p": 0.5}, [1, 0, 0, 0]),
        ({"top_p": 1e-9}, [1, 0, 0, 0]),
        # of three left, .526 and .316 add up to .842
        ({"top_k": 3, "top_p": 0.84}, [0.625, 0.375, 0, 0]),
        # temperature first: .685 alone is enough
        ({"temperature": 0.5, "top_p": 0.6}, [1, 0, 0, 0]),
        ({"temperature": 1e-30}, [1, 0, 0, 0]),
        ({"temperature": 1e30}, [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_what_is_left_to_draw_by_hand(options, left):
    assert shares([0.5, 0.3, 0.15, 0.05], **options) == pytest.approx(left, abs=5e-5)  # figures above have 4 digits
    backwards = shares([0.05, 0.15, 0.3, 0.5], **options)
    assert backwards == pytest.approx(left[::-1], abs=5e-5)


def test_of_equals_the_nucleus_takes_the_fewest():
    assert sorted(shares([0.25] * 4, top_p=0.5)) == pytest.approx([0, 0, 0.5, 0.5])
    assert sorted(shares([0.25] * 4, top_p=1e-9)) == [0, 0, 0, 1]
    assert sorted(shares([0.5, 0.5], top_p=0.51)) == pytest.approx([0.5, 0.5])


def test_of_equals_top_k_takes_all():
    assert shares([0.4, 0.2, 0.2, 0.2], top_k=2) == pytest.approx([0.4, 0.2, 0.2, 0.2])


def test_rows_are_filtered_by_themselves():
    rows = torch.tensor([[0.9, 0.06, 0.04], [0.4, 0.35, 0.25]]).log()
    kept = torch.isfinite(filtered(rows, SampleOptions(top_p=0.7)))
    assert kept.tolist() == [[True, False, False], [True, True, False]]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"samples": 0}, "Choose from 1 to 32"),
        ({"samples": 33}, "33 samples"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"temperature": math.inf}, "Choose 1 for the model's own"),
        ({"temperature": math.nan}, "Choose 1 for the model's own"),
        ({"temperature": 1e-46}, "from 1e-30"),  # 0 in float32: 0 / 0
        ({"temperature": 1e39}, "to 1e"),  # ∞ in float32: −∞ / ∞ for what may not be said
        ({"seed": -1}, "whole number from 0"),
        ({"seed": 2**64}, "Choose another"),
        ({"top_p": 0.0}, "Choose top-p above 0"),
        ({"top_p": 1.1}, "up to 1"),
        ({"top_k": -1}, "top-k from 0"),
        ({"max_length": 0}, "Choose a larger limit"),
    ],
)
def test_impossible_options_are_refused_with_what_to_do(changes, part):
    with pytest.raises(InputError, match=part):
        SampleOptions(**changes)


# --- How often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [SampleOptions(32), SampleOptions(32, temperature=2.0), SampleOptions(32, top_k=2)])
def test_words_are_drawn_as_often_as_they_are_probable(options):
    counts: Counter[str] = Counter()
    for seed in range(150):
        found = draw(WEATHER, replace(options, seed=seed))
        for node, count in zip(found.record.nodes, found.counts, strict=True):
            if node.step == 1:
                counts[spelt([node.token], "abc")] += count
    total = sum(counts.values())
    assert total == 150 * 32
    expected = dict(
        zip("abc.", shares([0.5, 0.3, 0.15, 0.05], temperature=options.temperature, top_k=options.top_k), strict=True)
    )
    assert set(counts) == {word for word, share in expected.items() if share}
    statistic = sum((counts[word] - total * share) ** 2 / (total * share) for word, share in expected.items() if share)
    # χ² with 3 degrees of freedom is above 21 once in ten thousand times; with these seeds always or never
    assert statistic < 21


def test_a_draw_is_of_a_whole_output():
    """Outputs come as often as the product of their tokens' probabilities says."""
    counts: Counter[str] = Counter()
    for seed in range(150):
        found = draw(WEATHER, SampleOptions(32, seed=seed))
        for one in found.record.found:
            counts[spelt(found.record.tokens(one.node), "abc")] += found.counts[one.node]
    expected = {"a.": 0.25, "ab.": 0.25, "b.": 0.3, "c.": 0.15, ".": 0.05}
    assert set(counts) == set(expected) and sum(counts.values()) == 4800
    assert (
        sum((counts[text] - 4800 * share) ** 2 / (4800 * share) for text, share in expected.items()) < 24
    )  # 4 degrees


# --- The tree ---------------------------------------------------------------------------------------------------------

anyhow = st.builds(
    SampleOptions,
    samples=st.integers(1, 32),
    temperature=st.sampled_from((0.3, 1.0, 4.0)),
    top_k=st.sampled_from((0, 1, 3)),
    top_p=st.sampled_from((0.2, 0.9, 1.0)),
    seed=st.integers(0, 1000),
    max_length=st.integers(3, 7),
)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 1000), anyhow, st.lists(st.integers(SPECIAL, SPECIAL + 3), max_size=2).map(tuple))
def test_every_sample_is_in_the_tree_with_the_models_own_scores(seed, options, prefix):
    row = drawn(seed, words=4)
    found = draw(row, options, prefix)
    record, nodes = found.record, found.record.nodes
    assert len(found.counts) == len(nodes) and min(found.counts) > 0
    ended = [index for index, node in enumerate(nodes) if node.state in ("finished", "cut")]
    assert sum(found.counts[index] for index in ended) == options.samples
    assert sorted(one.node for one in record.found) == ended
    assert [one.place for one in record.found] == list(range(len(ended)))
    finals = [one.final for one in record.found]
    assert finals == sorted(finals, reverse=True) and all(one.final == one.score for one in record.found)
    for index, node in enumerate(nodes):
        before = nodes[node.parent] if node.parent >= 0 else None
        said = record.tokens(node.parent)
        assert node.parent < index and node.step == len(said) + 1
        # the model's own log-probability: neither temperature nor top-k nor top-p, nor what may not be said
        assert node.logprob == pytest.approx(row(SOURCE, said)[node.token], abs=FLOAT32)
        assert node.score == pytest.approx((before.score if before else 0) + node.logprob, abs=FLOAT32)
        below = sum(found.counts[child] for child, other in enumerate(nodes) if other.parent == index)
        assert below == (found.counts[index] if node.state in LIVE else 0)
        assert (node.state == "forced") == (node.step <= len(prefix))
        assert (node.state == "finished") == (node.token == END)
        assert (node.state == "cut") == (node.step == options.max_length and node.token != END)
    for step in range(1, len(record.cross) + 1):
        there = [node for node in nodes if node.step == step]
        assert [node.rank for node in there] == list(range(len(there)))
        live = (
            [-1] if step == 1 else [i for i, node in enumerate(nodes) if node.step == step - 1 and node.state in LIVE]
        )
        assert all(live[node.row] == node.parent for node in there)
        assert len(record.likely[step - 1]) == len(live)
        for place, maps in zip(live, record.cross[step - 1], strict=True):
            assert (maps == looked((START, *record.tokens(place)), len(SOURCE))).all()
    if prefix:
        assert {record.tokens(one.node)[: len(prefix)] for one in record.found} == {prefix}


def test_the_same_seed_gives_the_same_samples_and_another_others():
    row = drawn(3, words=6, ends=0.0)
    first, again, other = (draw(row, SampleOptions(16, seed=seed)) for seed in (5, 5, 6))
    assert (first.counts, first.record.nodes) == (again.counts, again.record.nodes)
    assert first.record.nodes != other.record.nodes


def test_a_draw_leaves_the_state_of_random_numbers_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    draw(WEATHER, SampleOptions(4))
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]


def test_the_most_probable_token_alone_is_greedy_search():
    for seed in range(10):
        row = drawn(seed, words=5)
        found = draw(row, SampleOptions(8, top_k=1, max_length=9))
        greedy = beam_search(Toy(row), [SOURCE], CAREFUL, BeamOptions(beams=1, max_length=9), "cpu")[0]
        assert [found.record.tokens(one.node) for one in found.record.found] == [greedy.tokens(greedy.found[0].node)]
        assert set(found.counts) == {8}


def test_samples_that_begin_alike_are_one_row():
    toy = Toy(WEATHER)
    sample_tree(toy, SOURCE, CAREFUL, SampleOptions(32), "cpu")
    assert toy.batches == [1, 3, 1]


def test_a_beginning_must_leave_room():
    with pytest.raises(InputError, match="Choose a higher limit, or force less"):
        draw(WEATHER, SampleOptions(max_length=1), (SPECIAL,))


def test_what_report_raises_ends_the_draw():
    class Superseded(Exception):
        pass

    def report(step: int) -> None:
        raise Superseded

    toy = Toy(WEATHER)
    with pytest.raises(Superseded):
        sample_tree(toy, SOURCE, CAREFUL, SampleOptions(), "cpu", report=report)
    assert toy.batches == [1]
