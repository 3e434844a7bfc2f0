"""The benchmarks' own arithmetic, and that the peer computes what we compute. Nothing here is timed."""

from __future__ import annotations

import pytest
import torch

from bench.clock import Spread, interleave, percentile, ratio
from bench.marian import copy_encoder, like_marian, marian
from bench.report import Goal, table
from bench.sentences import SENTENCES
from engine.models.transformer import Transformer, TransformerConfig


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
