"""Beam search against every output there is, its record against the model, and how searches end."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding.beam import Searched, beam_search, repeated, search_side_by_side
from engine.decoding.options import MOST_BEAMS, STOPPINGS, BeamOptions
from engine.decoding.search import Vocabulary, greedy_many
from engine.errors import InputError
from engine.models.transformer import Transformer, TransformerConfig
from engine.runner import Runner
from engine.text import END, PAD, START
from tests.engine.conftest import PAIRS
from tests.engine.decoding.toys import CAREFUL, SPECIAL, Row, Toy, check, drawn, looked, outputs, spelt, table

SOURCE = (7, 8, END)
LONGEST = 4  # tokens of outputs that are all listed
FLOAT32 = 1e-5  # sums of a few float32 numbers of around 1 to 10
LOGPROBS = 1e-4  # log-probabilities of around 10, step by step and in one pass, or in a batch of another size
MAPS = 1e-5  # weights are at most 1 and take over the error of their scores


def run(row: Row, options: BeamOptions, prefix: tuple[int, ...] = ()) -> Searched:
    record = beam_search(Toy(row), [SOURCE], CAREFUL, options, "cpu", [prefix])[0]
    check(record, options, len(prefix))
    return record


def texts(record: Searched, words: str = "abc", state: str = "") -> list[str]:
    """What nodes in a state say, or all."""
    return [
        spelt(record.tokens(index), words)
        for index, node in enumerate(record.nodes)
        if node.state == state or not state
    ]


def finished(record: Searched, words: str = "abc") -> list[str]:
    return [spelt(record.tokens(one.node), words) for one in record.found]


# --- Against every output there is ------------------------------------------------------------------------------------

penalties = st.fixed_dictionaries(
    {
        "penalty": st.sampled_from(("length", "gnmt")),
        "alpha": st.sampled_from((-1.0, 0.0, 0.6, 1.0, 3.0)),
        "no_repeat": st.integers(0, 3),
        "max_length": st.integers(1, LONGEST),
    }
)
seeds = st.integers(0, 10_000)
# Two words: at most 8 live prefixes and 24 candidates in the last step, of one length, of which the pool takes 16.
begun = st.lists(st.integers(SPECIAL, SPECIAL + 1), max_size=LONGEST - 1).map(tuple)


@settings(max_examples=200, deadline=None)
@given(seeds, penalties, begun)
def test_a_beam_wide_enough_finds_the_best_of_all_outputs(seed, chosen, prefix):
    options = BeamOptions(beams=MOST_BEAMS, stopping="never early", **chosen)
    prefix = prefix[: options.max_length - 1]
    row = drawn(seed, words=2)
    record = run(row, options, prefix)
    start = sum(row(SOURCE, prefix[:i])[token] for i, token in enumerate(prefix))
    every = {
        said: (score + start) / options.divisor(len(said)) for said, score in outputs(row, SOURCE, options, prefix)
    }
    best = sorted(every.values(), reverse=True)[:MOST_BEAMS]
    placed = [one for one in record.found if one.place >= 0]
    assert [one.final for one in placed] == pytest.approx(best, abs=FLOAT32)
    for one in placed:
        assert one.final == pytest.approx(every[record.tokens(one.node)], abs=FLOAT32)


@settings(max_examples=100, deadline=None)
@given(seeds, st.sampled_from((0.0, 0.6, 1.0, 3.0)), st.sampled_from(("length", "gnmt")))
def test_never_early_stops_only_where_nothing_better_can_follow(seed, alpha, penalty):
    """One word: the prefix goes on or ends, so that two beams hold everything."""
    options = BeamOptions(beams=2, max_length=12, alpha=alpha, penalty=penalty, stopping="never early")
    row = drawn(seed, words=1, ends=0.0)
    record = run(row, options)
    every = [score / options.divisor(len(said)) for said, score in outputs(row, SOURCE, options)]
    assert record.found[0].final == pytest.approx(max(every), abs=FLOAT32)


def test_divisors_by_hand():
    assert BeamOptions(alpha=1).divisor(7) == 7
    assert BeamOptions(alpha=0.5).divisor(16) == 4
    assert BeamOptions(alpha=0).divisor(7) == 1
    assert BeamOptions(alpha=-1).divisor(4) == 0.25
    assert BeamOptions(penalty="gnmt", alpha=2).divisor(7) == 4
    assert BeamOptions(penalty="gnmt", alpha=1).divisor(1) == 1


# --- By hand ----------------------------------------------------------------------------------------------------------

# The greedy output is "a." with 0.5 * 0.4 = 0.2; "b." has 0.4 * 0.9 = 0.36.
GARDEN = table(
    {
        "": {"a": 0.5, "b": 0.4, ".": 0.1},
        "a": {".": 0.4, "a": 0.35, "b": 0.25},
        "b": {".": 0.9, "a": 0.1},
        "aa": {".": 1.0},
        "ab": {".": 0.5, "c": 0.5},
        "ba": {".": 1.0},
        "abc": {".": 1.0},
    },
    "abc",
)


def test_two_beams_find_what_greedy_search_misses():
    assert finished(run(GARDEN, BeamOptions(beams=1, alpha=0))) == ["a."]
    record = run(GARDEN, BeamOptions(beams=2, alpha=0))
    assert finished(record) == ["b.", "a."]
    assert [math.exp(one.score) for one in record.found] == pytest.approx([0.36, 0.2], rel=1e-5)  # float32
    # step 1: a .5, b .4 live, "." .1 is third; step 2: b. .36, a. .2 end, then aa .175 and ab .125 live on
    assert texts(record) == ["a", "b", ".", "b.", "a.", "aa", "ab"]
    assert [node.state for node in record.nodes] == ["kept", "kept", "pruned", "finished", "finished", "kept", "kept"]
    assert record.nodes[2].reason == "would end, but is rank 3 of k = 2"
    assert record.stopped.startswith("the best live prefix could reach −1.743, and k = 2 finished")  # ln 0.175


def test_more_candidates_are_recorded_where_they_are_asked_for_and_change_nothing():
    few, many = (run(GARDEN, BeamOptions(beams=2, alpha=0, candidates=count)) for count in (0, 6))
    assert texts(many) == ["a", "b", ".", "b.", "a.", "aa", "ab", "ba"]
    assert many.nodes[-1].state == "pruned" and many.nodes[-1].reason == "rank 5 of k = 2"
    assert finished(few) == finished(many) and few.stopped == many.stopped


def test_a_shrinking_beam_gives_no_place_of_a_finished_one_away():
    options = BeamOptions(beams=2, alpha=0, shrinking=True)
    record = run(GARDEN, options)
    # "b." and "a." are the best two of step 2: both places are filled
    assert texts(record) == ["a", "b", "b.", "a."]
    assert record.stopped == "k = 2 hypotheses are finished"
    record = run(GARDEN, replace(options, beams=3))
    # k = 3: "." ends, which leaves two; "b." and "a." end
    assert texts(record) == ["a", "b", ".", "b.", "a."]
    assert finished(record) == ["b.", "a.", "."]
    uneven = table({"": {"a": 0.6, ".": 0.4}, "a": {"a": 0.9, ".": 0.1}, "aa": {".": 0.8, "b": 0.2}}, "abc")
    record = run(uneven, options)
    # "." leaves one place: "aa" beats "a.", then "aa." ends
    assert texts(record) == ["a", ".", "aa", "aa."]
    assert [len(step) for step in record.cross] == [1, 1, 1]
    assert [node.reason for node in record.nodes] == [""] * 4


def test_a_forced_beginning_is_scored_and_ranked_as_the_model_has_it():
    record = run(GARDEN, BeamOptions(beams=2, alpha=0), (SPECIAL + 1,))
    assert texts(record) == ["b", "b.", "ba", "ba."]
    assert [node.state for node in record.nodes] == ["forced", "finished", "kept", "finished"]
    assert [node.rank for node in record.nodes[:2]] == [1, 0], "a was more probable"
    assert math.exp(record.found[0].score) == pytest.approx(0.36, rel=1e-5)  # float32


def test_the_length_limit_cuts():
    record = run(GARDEN, BeamOptions(beams=2, max_length=1))
    assert texts(record, state="cut") == ["a", "b"] and texts(record, state="pruned") == ["."]
    assert record.stopped == "the length limit of 1 tokens"
    assert [one.length for one in record.found] == [1, 1]


def test_a_pool_keeps_the_best_and_the_record_those_pushed_out():
    row = table({"": {"a": 0.4, ".": 0.6}, "a": {".": 0.999, "a": 0.001}, "aa": {".": 1.0}}, "abc")
    options = BeamOptions(beams=1, alpha=3.0, stopping="never early")
    record = run(row, options)
    # "." comes first with ln .6; "a" is kept as the first that does not end, and "a." is better at ln(.3996) / 2³;
    # "aa." is looked at, since 27 could divide it, and is not
    assert finished(record) == ["a.", ".", "aa."]
    assert [one.place for one in record.found] == [0, -1, -1]
    finals = [math.log(0.3996) / 8, math.log(0.6), math.log(0.0004) / 27]
    assert [one.final for one in record.found] == pytest.approx(finals, abs=FLOAT32)


def test_stopping_by_hand():
    row = table({"": {".": 0.51, "a": 0.49}, "a": {"a": 0.99, ".": 0.01}, "aa": {"a": 0.99, ".": 0.01}}, "abc")
    found = {one: run(row, BeamOptions(beams=1, alpha=1, stopping=one, max_length=3)) for one in STOPPINGS}
    assert found["when k are finished"].stopped == "k = 1 hypotheses are finished"
    # the live "a" is below "." as it is now, and above it once three tokens divide it
    assert found["when no better one is likely"].stopped.startswith("the best live prefix could reach −0.713")
    assert found["never early"].stopped == "the length limit of 3 tokens"
    assert [len(one.cross) for one in found.values()] == [1, 1, 3]
    assert finished(found["never early"]) == ["aaa", "."]


def test_a_search_ends_where_nothing_may_follow():
    record = beam_search(Toy(table({"": {"a": 1.0}}, "abc")), [SOURCE], CAREFUL, BeamOptions(beams=2), "cpu")[0]
    assert (texts(record), record.found, record.stopped) == (["a"], (), "nothing may follow")


# --- No repeats -------------------------------------------------------------------------------------------------------


def test_repeats_by_hand():
    assert repeated([2, 5, 6, 5], 1) == {2, 5, 6}
    assert repeated([2, 5, 6, 5], 2) == {6}
    assert repeated([2, 5, 6, 5, 6], 3) == {5}
    assert repeated([2, 5, 6, 7], 2) == set() == repeated([5], 2) == repeated([], 1)


def test_no_n_gram_is_said_twice():
    again = table(
        {"ab" * n + tail: {"b" if tail else "a": 0.9, ".": 0.1} for n in range(4) for tail in ("", "a")}, "ab"
    )
    assert finished(run(again, BeamOptions(beams=1, max_length=6)), "ab")[0] == "ababab"
    record = run(again, BeamOptions(beams=1, max_length=6, no_repeat=2))
    assert finished(record, "ab") == ["aba."]  # after "aba", "b" would repeat "ab"
    assert record.nodes[-1].logprob == pytest.approx(math.log(0.1), abs=FLOAT32)  # the model's own, not renormalised


# --- What can be asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"beams": 0}, "Choose k from 1 to 16"),
        ({"beams": 17}, "A beam of 17"),
        ({"max_length": 0}, "Choose a larger limit"),
        ({"alpha": math.nan}, "Choose α from −10 to 10"),
        ({"alpha": 10.5}, "α = 10.5"),
        ({"no_repeat": -1}, "Choose 0 or more"),
        ({"candidates": -1}, "Choose 0 or more"),
    ],
)
def test_impossible_options_are_refused_with_what_to_do(changes, part):
    with pytest.raises(InputError, match=part):
        BeamOptions(**changes)


def test_a_beginning_must_leave_room():
    options = BeamOptions(max_length=2)
    with pytest.raises(InputError, match="Choose a higher limit, or force less"):
        run(GARDEN, options, (SPECIAL, SPECIAL))
    assert texts(run(GARDEN, options, (SPECIAL,)), state="finished") == ["a."]


def test_what_report_raises_ends_the_search():
    class Superseded(Exception):
        pass

    steps: list[int] = []

    def report(step: int) -> None:
        steps.append(step)
        if step == 2:
            raise Superseded

    toy = Toy(drawn(1, words=3, ends=-9.0))
    with pytest.raises(Superseded):
        beam_search(toy, [SOURCE], CAREFUL, BeamOptions(max_length=9), "cpu", report=report)
    assert steps == [1, 2] and len(toy.batches) == 2
    beam_search(toy, [SOURCE], CAREFUL, BeamOptions(max_length=5), "cpu", report=steps.append)
    assert steps == [1, 2, 1, 2, 3, 4, 5]


# --- Any search at all ------------------------------------------------------------------------------------------------

anyhow = st.builds(
    BeamOptions,
    beams=st.integers(1, 5),
    candidates=st.sampled_from((0, 3, 40)),
    max_length=st.integers(3, 8),
    penalty=st.sampled_from(("length", "gnmt")),
    alpha=st.sampled_from((-1.0, 0.0, 1.0)),
    stopping=st.sampled_from(STOPPINGS),
    no_repeat=st.integers(0, 2),
    shrinking=st.booleans(),
)
several = st.lists(st.lists(st.integers(SPECIAL, 20), max_size=4).map(tuple), min_size=1, max_size=4)
prefixes = st.lists(st.integers(SPECIAL, SPECIAL + 3), max_size=2).map(tuple)


@settings(max_examples=150, deadline=None)
@given(seeds, anyhow, several, prefixes)
def test_a_record_is_whole_and_each_source_is_searched_as_if_alone(seed, options, words, prefix):
    row = drawn(seed, words=4)
    sources = [(*each, END) for each in words]
    # the first source begins as it likes, the others are forced
    begun = [() if index == 0 else prefix for index in range(len(sources))]
    together = beam_search(Toy(row), sources, CAREFUL, options, "cpu", begun)
    for source, start, record in zip(sources, begun, together, strict=True):
        check(record, options, len(start))
        alone = beam_search(Toy(row), [source], CAREFUL, options, "cpu", [start])[0]
        assert replace(record, cross=()) == replace(alone, cross=())
        for step, (one, other) in enumerate(zip(record.cross, alone.cross, strict=True)):
            assert one.shape[-1] == len(source) == other.shape[-1], "no padding"
            reads = [record.tokens(index) for index in lives(record, step)]
            wide = max(map(len, sources))
            for read, maps in zip(reads, one, strict=True):
                assert (maps == looked((START, *read), wide)[:, :, : len(source)]).all(), "of this very prefix"


def lives(record: Searched, step: int) -> list[int]:
    """The live prefixes' nodes after so many steps."""
    if step == 0:
        return [-1]
    return [i for i, node in enumerate(record.nodes) if node.step == step and node.state in ("kept", "forced")]


@settings(max_examples=60, deadline=None)
@given(seeds, anyhow, prefixes)
def test_searches_side_by_side_are_those_alone(seed, options, prefix):
    row = drawn(seed, words=4)
    both = (options, BeamOptions(beams=1, max_length=8), replace(options, beams=3, max_length=5))
    together = search_side_by_side(Toy(row), SOURCE, CAREFUL, both, "cpu", prefix)
    for each, record in zip(both, together, strict=True):
        alone = beam_search(Toy(row), [SOURCE], CAREFUL, each, "cpu", [prefix])[0]
        assert replace(record, cross=()) == replace(alone, cross=())
        assert all((one == other).all() for one, other in zip(record.cross, alone.cross, strict=True))


def test_rows_that_have_ended_cost_nothing():
    toy = Toy(table({"": {".": 0.6, "a": 0.4}, "a": {".": 1.0}}, "a"))
    beam_search(toy, [SOURCE], CAREFUL, BeamOptions(beams=4, stopping="never early"), "cpu")
    assert toy.batches == [1, 1]


# --- A Transformer ----------------------------------------------------------------------------------------------------

WORDS = Vocabulary(PAD, START, END, banned=(PAD, 1, START))
SOURCES = [[5, 9, 14, 7, 11, END], [8, END], [12, 4, 18, 15, END], [6, 6, 10, END]]


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Random weights of trained size."""
    config = TransformerConfig(
        23, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=16, output_bias=True
    )
    model = Transformer(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * (1 if name.startswith("embedding") else 2.5) / math.sqrt(parameter.shape[1]))
        else:
            parameter.copy_(noise * 0.2 + (1 if "norm" in name and name.endswith("weight") else 0))
    assert model.output_bias is not None
    model.output_bias[END] = 1.5
    return model


WIDE = BeamOptions(beams=4, max_length=9, stopping="never early")


@pytest.mark.parametrize("options", [WIDE, replace(WIDE, shrinking=True), replace(WIDE, no_repeat=1)])
def test_what_is_recorded_is_what_the_model_says(model, options):
    """Scores, maps and likely tokens equal those of a fresh teacher-forced pass over each prefix."""
    for source, record in zip(SOURCES, beam_search(model, SOURCES, WORDS, options, "cpu"), strict=True):
        check(record, options)
        for step in range(len(record.cross)):
            for row, live in enumerate(lives(record, step)):
                read = torch.tensor([[START, *record.tokens(live)]])
                with torch.inference_mode():
                    whole = model.forward_with_maps(torch.tensor([source]), read)
                logprobs = whole.logits[0].log_softmax(-1)
                torch.testing.assert_close(record.cross[step][row], whole.cross[:, 0, :, -1], rtol=0, atol=MAPS)
                said = sum(float(logprobs[i, token]) for i, token in enumerate(record.tokens(live)))
                for node in record.nodes:
                    if node.parent == live and node.step == step + 1:
                        assert node.row == row
                        assert node.logprob == pytest.approx(float(logprobs[-1, node.token]), abs=LOGPROBS)
                        assert node.score == pytest.approx(said + float(logprobs[-1, node.token]), abs=LOGPROBS)
                likely = record.likely[step][row]
                assert len(likely) == 10 and len({token for token, _ in likely}) == 10
                values = [value for _, value in likely]
                assert values == pytest.approx([float(logprobs[-1, token]) for token, _ in likely], abs=LOGPROBS)
                assert values == pytest.approx(logprobs[-1].topk(10).values.tolist(), abs=LOGPROBS)


def same(one: Searched, other: Searched) -> None:
    """The same search, but for roundings of a batch of another size."""
    assert [node.token for node in one.nodes] == [node.token for node in other.nodes]
    assert [node.state for node in one.nodes] == [node.state for node in other.nodes]
    assert [node.score for node in one.nodes] == pytest.approx([node.score for node in other.nodes], abs=LOGPROBS)
    assert [hypothesis.node for hypothesis in one.found] == [hypothesis.node for hypothesis in other.found]
    for mine, yours in zip(one.cross, other.cross, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=MAPS)


def test_a_batch_and_its_order_change_nothing(model):
    options = replace(WIDE, stopping="when k are finished")
    alone = [beam_search(model, [source], WORDS, options, "cpu")[0] for source in SOURCES]
    assert len({len(record.cross) for record in alone}) > 1, "searches of different lengths"
    for order in list(permutations(range(len(SOURCES))))[::5]:
        for place, record in zip(
            order, beam_search(model, [SOURCES[i] for i in order], WORDS, options, "cpu"), strict=True
        ):
            same(record, alone[place])


def test_a_source_shared_by_all_rows_is_kept_once(model):
    tokens = torch.tensor([START, 7, 9])
    with torch.inference_mode():
        shared = model.encode(torch.tensor([SOURCES[0]])).select(torch.tensor([0, 0, 0]))
        apart = model.encode(torch.tensor([SOURCES[0]] * 3))
        for _ in range(2):
            plain = model.step(shared, tokens)[0]
            one, shared, looks = model.step_with_cross(shared, tokens)
            other, apart, their_looks = model.step_with_cross(apart, tokens)
            torch.testing.assert_close(one, other, rtol=0, atol=LOGPROBS)
            torch.testing.assert_close(looks, their_looks, rtol=0, atol=MAPS)
            torch.testing.assert_close(one, plain, rtol=0, atol=LOGPROBS)
            rows = torch.tensor([2, 0, 0])
            shared, apart, tokens = shared.select(rows), apart.select(rows), tokens[rows]
    assert [len(layer.memory_key) for layer in shared.layers] == [1, 1, 1]
    assert [len(layer.key) for layer in shared.layers] == [3, 3, 3]


def test_one_beam_is_greedy_search(tiny_runner: Runner):
    sources = [tiny_runner.encode(english).ids for english, _ in PAIRS]
    expected = greedy_many(tiny_runner.model, sources, tiny_runner.vocabulary, 24, "cpu")
    assert len(set(map(tuple, expected))) > 15
    options = BeamOptions(beams=1, max_length=24)
    found = beam_search(tiny_runner.model, sources, tiny_runner.vocabulary, options, "cpu")
    assert [list(record.tokens(record.found[0].node)) for record in found] == expected
