"""The benchmarks' own arithmetic, and that the peer computes what we compute. Nothing here is timed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bench import alignment, beam, bertviz, components, connectivity, generation, knockout, memorization
from bench.clock import Spread, interleave, percentile, ratio
from bench.diagrams import Drawn, probe
from bench.maps import BERT, EVERY, LONG, Shape, attention, patterns, weights, words
from bench.marian import copy_encoder, like_marian, marian
from bench.report import Goal, as_json, table
from bench.sentences import SENTENCES
from engine.characters import fold
from engine.completion import LONGEST
from engine.interventions import Head
from engine.knockout import Fork
from engine.models.autocomplete import AutocompleteConfig
from engine.models.gpt import GPT, GPTConfig
from engine.models.transformer import Transformer, TransformerConfig
from engine.types import BeamTree, Tokens


def test_rounds_are_interleaved_and_turn():
    ran: list[str] = []
    times = interleave({name: lambda name=name: ran.append(name) for name in "abc"}, 3, repeats=2, warmup=1)
    assert "".join(ran) == "ccaabb" + "aabbcc" + "bbccaa" + "ccaabb"
    assert [len(times[name]) for name in "abc"] == [3, 3, 3]


def test_ratios_are_taken_round_by_round():
    times = {"ours": [2.0, 30.0, 4.0], "theirs": [1.0, 10.0, 4.0]}  # a slow round slows both
    assert ratio(times, "ours", "theirs") == Spread(median=2.0, low=1.5, high=2.5)
    assert Spread(2.0, 1.5, 2.5).show(1) == "2.0 (1.5-2.5)"


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 2.5), (0.95, 3.85), (1, 4)])
def test_percentile(share, expected):
    assert percentile([4, 1, 3, 2], share) == pytest.approx(expected)


def test_a_table_is_markdown():
    assert table([{"a": 1, "long": "x"}, {"a": 22, "long": ""}]) == [
        "| a  | long |",
        "|----|------|",
        "| 1  | x    |",
        "| 22 |      |",
    ]


def test_a_goal_is_the_most_allowed():
    assert Goal("", 1.05, 1.05).met and not Goal("", 1.06, 1.05).met


def test_sentences_have_twenty_words_and_a_last_word_of_their_own():
    assert {len(sentence.split()) for sentence in SENTENCES} == {20}
    lasts = [sentence.split()[-1].strip(".").lower() for sentence in SENTENCES]
    for last in lasts:
        assert sum(last in sentence.lower().replace(".", "").split() for sentence in SENTENCES) == 1


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_peer_has_our_weights(attention):
    config = like_marian(
        TransformerConfig(
            vocabulary=19, width=16, heads=4, encoder_layers=2, decoder_layers=1, feedforward=24, max_length=12
        )
    )
    torch.manual_seed(0)
    ours, theirs = Transformer(config).eval(), marian(config, attention)
    ids = torch.tensor([[5, 9, 14, 7, 3]])

    def difference() -> float:
        with torch.no_grad():
            apart = ours.run_encoder(ours.embedding(ids), None) - theirs.model.encoder(input_ids=ids).last_hidden_state
        return float(apart.abs().max())

    assert difference() > 0.1
    copy_encoder(ours, theirs)
    assert difference() < 1e-5  # float32, numbers around 1, two layers


def tiny_case() -> knockout.Case:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12
    )
    model = Transformer(config).eval().requires_grad_(False)
    return knockout.Case("tiny", model, (5, 9, 14, 3), Fork((2, 7, 13), 5, 6))


def test_the_sweep_and_the_forwards_it_is_timed_beside_say_the_same():
    case = tiny_case()
    heads = knockout.heads_of(case.model.config)
    assert len(heads) == len(set(heads)) == (2 + 3 + 3) * 4 and Head("cross", 2, 3) in heads
    with torch.inference_mode():
        for head in heads[::5]:
            taps = knockout.off(case.model.config, head)
            # the same hidden vector; a product of one row instead of three rounds otherwise, in logits around 1
            assert knockout.forward(case, taps) == pytest.approx(knockout.forward_last(case, taps), abs=1e-5)
        off = [knockout.forward(case, knockout.off(case.model.config, head)) for head in heads]
    assert len(set(off)) == len(heads), "each head counts for something of its own"
    found = knockout.measure(case, 2)
    assert found.apart <= knockout.SAME and {len(spent) for spent in found.times.values()} == {2}


def test_the_sweeps_goals_are_its_share_of_the_forwards_time_and_its_difference():
    times = {knockout.SWEEP: [1.0, 1.0], knockout.FORWARDS: [5.0, 5.0], knockout.LAST: [2.0, 2.0]}
    slow = times | {knockout.FORWARDS: [2.0, 2.0]}
    case = tiny_case()
    made = knockout.report([knockout.Found(case, times, 0.0), knockout.Found(case, slow, 2e-5)], 2, "tiny@0")
    assert [(goal.figure, goal.met) for goal in made.goals] == [(0.2, True), (0.5, False), (2e-5, False)]
    assert [row["÷ sweep"] for row in made.rows[:3]] == ["1", "5.0 (5.0-5.0)", "2.0 (2.0-2.0)"]
    assert [row["source + output tokens"] for row in made.rows[:1]] == ["4 + 3"]


def tiny_pair() -> beam.Pair:
    torch.manual_seed(0)
    config = like_marian(
        TransformerConfig(
            vocabulary=29, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12,
            output_bias=True,
        )
    )  # fmt: skip
    ours = beam.sharp(Transformer(config).eval().requires_grad_(False))
    for parameter in ours.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn(len(parameter)) * 0.2)
    theirs = marian(config, "sdpa")
    beam.copy_model(ours, theirs)
    return beam.Pair(ours, theirs, (5, 9, 14, 7, 3), beams=3, steps=6)


def test_the_beams_peer_has_all_our_weights():
    pair = tiny_pair()
    source, read = torch.tensor([pair.source]), torch.tensor([[2, 7, 13, 5]])
    with torch.no_grad():
        ours = pair.ours(source, read)
        theirs = pair.theirs(input_ids=source, decoder_input_ids=read).logits
    assert ours.std() > 0.5
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # float32, logits around 10, five layers


def test_the_two_beam_searches_do_the_same_work():
    pair = tiny_pair()
    assert beam.difference(pair) <= beam.SAME
    assert beam.generate(pair).shape == (1, 1 + 6)  # its start token comes back too
    record = beam.own(pair)
    assert len(record.cross) == 6 and not {node.token for node in record.nodes} & {0, 1, 2, 3}
    pair.theirs.final_logits_bias.copy_(-pair.theirs.final_logits_bias * 50)
    with pytest.raises(AssertionError, match="not the same output"):
        beam.difference(pair)


def test_the_beams_goals_are_its_share_of_generates_time_and_the_sentences_median():
    times = {beam.OURS: [9.0, 9.0], beam.PEER: [10.0, 10.0]}
    nothing = BeamTree("", Tokens("", (), (), (), (), ()), (), (), (), 0, "", cross=(np.zeros(1),) * 30)
    made = beam.report(times, 2e-4, [0.2, 0.4, 0.9], [nothing], 2, "tiny@0")
    assert [(goal.figure, goal.met) for goal in made.goals] == [(0.9, True), (0.4, True), (2e-4, False)]
    assert [row["÷ transformers"] for row in made.rows] == ["0.900 (0.900-0.900)", "1", ""]
    assert made.rows[2]["ms"] == "400 (850)" and made.rows[2]["steps a second"] == 75


def tiny_connectivity(cell: str, methods: dict[str, str]) -> connectivity.Case:
    config = AutocompleteConfig(cell, words=19, embedding=16, width=16, layers=2, heads=4, feedforward=24)
    return connectivity.Case("tiny", config, 11, {name: 0.5 for name in methods}, methods)


def test_what_connectivity_is_timed_beside_says_the_same(monkeypatch):
    monkeypatch.setattr(connectivity, "missing", lambda: "left out")
    for cell, methods in (("gru", {connectivity.FAST: "auto"}), ("transformer", dict(connectivity.BOTH))):
        found = connectivity.measure(tiny_connectivity(cell, methods), 2)
        assert set(found.times) == {connectivity.NAIVE, *methods} and set(found.apart) == set(methods)
        assert 0 <= max(found.apart.values()) <= connectivity.SAME
        assert {len(spent) for spent in found.times.values()} == {2}


def test_of_the_naive_way_only_the_backward_passes_are_multiplied():
    times = {connectivity.FORWARD: [1.0], connectivity.NAIVE: [9.0], connectivity.FAST: [5.0]}
    assert connectivity.of_all(times, 4) == {connectivity.NAIVE: [33.0], connectivity.FAST: [5.0]}
    assert connectivity.of_all(times | {connectivity.CAPTUM: [12.0]}, 4)[connectivity.CAPTUM] == [48.0]


def test_connectivitys_goals_are_shares_of_the_naive_time_and_the_difference():
    case = tiny_connectivity("transformer", dict(connectivity.BOTH))
    times = {
        connectivity.NAIVE: [10.0, 10.0],
        connectivity.FAST: [2.0, 2.0],
        connectivity.GENERIC: [6.0, 6.0],
        connectivity.CAPTUM: [20.0, 20.0],
    }
    found = connectivity.Found(case, times, {connectivity.FAST: 2e-5, connectivity.GENERIC: 1e-7})
    made = connectivity.report([found], 2, "")
    assert [(goal.figure, goal.met) for goal in made.goals] == [(0.2, True), (0.6, False), (0.1, True), (2e-5, False)]
    assert [row["times as fast"][:4] for row in made.rows] == ["1", "5.00", "1.67", "0.50"]


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_captums_gradients_are_ours(cell):
    if lacking := connectivity.missing():
        pytest.skip(lacking)
    found = connectivity.measure(tiny_connectivity(cell, {connectivity.FAST: "auto"}), 2)
    assert found.apart[connectivity.CAPTUM] <= connectivity.SAME and connectivity.CAPTUM in found.times


SMALL = Shape(layers=2, heads=5, tokens=7)


def test_made_up_maps_are_attention_and_the_same_each_time():
    made = weights(SMALL)
    assert made.dtype == np.float32 and made.shape == (2, 5, 7, 7)
    np.testing.assert_allclose(made.sum(-1), 1, atol=1e-6)  # float32, sums of 7
    assert (made == weights(SMALL)).all()
    previous = made[:, :, np.arange(1, 7), np.arange(6)].mean((0, 2))  # of each head
    assert [head for head in range(5) if previous[head] > 0.8] == [0, EVERY]
    assert [bool(text) for text in patterns(SMALL)[1]] == [True, False, False, False, True]


def test_made_up_tokens_lie_in_their_text():
    tokens = words(300)  # more than there are words
    assert tokens.labels[0] == tokens.labels[240]
    assert all(tokens.text[start:end] == label for (start, end), label in zip(tokens.spans, tokens.labels, strict=True))
    assert len(attention(SMALL).query_tokens) == 7


@pytest.mark.parametrize("kind", ["lines", "grid", "head view", "model view"])
def test_the_probe_watches_the_diagram_it_is_told_to(kind):
    text = probe(kind, SMALL)
    assert f'kinds["{kind}"]' in text and "SHAPE = [2, 5]" in text
    assert f'"{kind}": {{' in text or f" {kind}: {{" in text


def test_without_the_peer_there_are_no_rows_of_it(monkeypatch, capsys):
    seen: list[str] = []

    def draw(diagram, cases):
        seen.append(diagram)
        return {name: Drawn(sent=len(data), nodes=1) for name, (_, data) in cases.items()}

    monkeypatch.setattr(bertviz, "missing", lambda: "bertviz not installed")
    monkeypatch.setattr(components, "draw_ours", draw)
    cases = components.measure("lines", {"ours": lambda made: made.weights.tobytes}, "head view", [SMALL], [SMALL], 2)
    assert [(case.what, case.shape, case.drawn.sent) for case in cases] == [("ours", SMALL, weights(SMALL).nbytes)]
    assert seen == ["lines"] and len(cases[0].build) == 2
    assert "bertviz not installed" in capsys.readouterr().err


def test_a_missing_peer_is_named_with_the_command_that_installs_it(monkeypatch):
    def version(package):
        if package in ("bertviz", "mpld3"):
            raise bertviz.PackageNotFoundError(package)

    monkeypatch.setattr(bertviz, "version", version)
    assert bertviz.missing() == "bertviz, mpld3 not installed; to compare with BertViz, install the peers: make bench"


def test_a_row_says_what_did_not_come_about():
    slow = components.Case(components.PEER, BERT, [1.0, 2.0, 3.0], Drawn(sent=107_000_000, problem="not within 180 s"))
    row = components.row(slow)
    assert (row["layers × heads"], row["MB sent"], row["build, CPU ms"]) == ("12 × 12", "107.00", "2.0 (1.5-2.5)")
    assert row["painted from the navigation, ms"] == row["elements"] == "not within 180 s"
    drawn = Drawn(opened=[30.0], shown=[3.0, 1.0, 2.0], pointed=[10.0, 20.0, 60.0], nodes=1234)
    row = components.row(components.Case(components.OURS, LONG, [1.0, 1.0], drawn))
    assert row["painted from the navigation, ms"] == "30"
    assert row["from a click, ms"] == "2 (1-3)"
    assert row["pointing, p50 / max ms"] == "20 / 60"
    assert row["elements"] == "1,234"


def test_goals_are_for_our_own_diagrams_and_any_request_elsewhere_misses_one():
    drawn = Drawn(sent=6_000_000, shown=[900.0, 950.0], nodes=5000, outside={"https://example.org/x.js"})
    cases = [components.Case(what, BERT, [1.0, 1.0], drawn) for what in (components.OURS, components.PEER)]
    goals = components.goals_of(cases)
    assert [(goal.figure, goal.met) for goal in goals] == [(6, False), (1, True), (925, True), (5000, True), (1, False)]
    found = json.loads(as_json([components.report("Lines", cases, goals, 5, "token")]))["reports"][0]
    assert found["met"] == [False, True, True, True, False]
    assert found["figures"][f"BertViz, {BERT}"]["outside"] == ["https://example.org/x.js"]


@pytest.mark.parametrize("view", ["head view", "model view"])
def test_the_diagrams_peer_has_our_weights(view):
    if lacking := bertviz.missing():
        pytest.skip(lacking)
    made = attention(SMALL)
    html = bertviz.builder(view, made)()
    assert json.dumps(made.weights.tolist()) in html
    for name in bertviz.libraries():
        assert f"{name}.min" in html


def test_texts_to_read_are_folded_already_and_each_has_a_length_of_its_own():
    found = [text for length, count in memorization.READINGS.items() for text in memorization.texts(length, count)]
    assert len({len(text) for text in found}) == len(found) == 7
    for text in found:
        assert fold(text).text == f" {text}" and not fold(text).changes
    assert max(map(len, found)) == memorization.LONG == LONGEST


def test_goals_of_the_alignment_page_are_medians():
    found = alignment.Found([1.0, 2.0, 9.0], [400_000, 500_000, 900_000], [10.0, 20.0, 90.0])
    made = alignment.report(found)
    assert [(goal.figure, goal.met) for goal in made.goals] == [(2.0, True), (20.0, True)]
    painted, pointed = made.rows
    assert (painted["p50"], painted["most"], painted["MB sent"]) == ("2.00 s", "9.00 s", "0.50")
    assert (pointed["p50"], pointed["times"]) == ("20 ms", 3)


def test_goals_of_the_memorization_page_are_medians():
    short, long = memorization.SHORT, memorization.LONG
    found = memorization.Found(
        {short: [1.0, 1.6, 1.4], long: [2.0]}, {short: [9.0, 11.0, 12.0], long: [30.0]},
        {short: [1_000_000, 2_000_000, 4_000_000], long: [5_000_000]}, [10.0, 20.0, 90.0], [100.0, 200.0],
    )  # fmt: skip
    made = memorization.report(found)
    assert [(goal.figure, goal.met) for goal in made.goals] == [(1.4, True), (11.0, False), (20.0, True)]
    assert [row["p50"] for row in made.rows] == ["1.40 s", "11.00 s", "2.00 s", "30.00 s", "20 ms", "150 ms"]
    assert [row["MB sent"] for row in made.rows] == ["", "2.00", "", "5.00", "", ""]
    assert made.rows[4]["most"] == "90 ms" and json.loads(as_json([made]))["reports"][0]["figures"]["typed"]


@torch.no_grad()
def test_the_peer_that_generates_has_our_weights():
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, width=16, heads=2, layers=2, feedforward=24, context=12)).eval()
    ids = torch.randint(0, 50, (2, 9))
    theirs = generation.gpt2(model)(ids).logits
    # float32 on both sides; weights left out or in another place change logits by more than 1e-2
    torch.testing.assert_close(theirs, model(ids), atol=1e-5, rtol=1e-5)
