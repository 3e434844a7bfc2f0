"""Scores by source length: what is counted of each line, and what resampling says of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bottleneck import Estimate
from engine.errors import ConfigError, InputError
from engine.models.seq2seq import Seq2Seq, Seq2SeqConfig
from engine.runner import Runner
from engine.text import END, START, french_spacing
from engine.training.bottleneck import (
    BINS,
    FILE,
    RESAMPLES,
    SUMMARY,
    Measured,
    bleu_counts,
    bottleneck,
    corpus_bleu,
    measure,
    read_lines,
    resample_counts,
    tokens_right,
    words,
)
from engine.training.data import Pair

sacrebleu = pytest.importorskip("sacrebleu")


@pytest.fixture
def data(tmp_path: Path, pairs: tuple[Pair, ...]) -> Path:
    """A data folder with the thirty pairs, of which some are too short."""
    (tmp_path / "en-fr").mkdir()
    (tmp_path / FILE).write_text("".join(f"{e}\t{f}\n" for e, f in pairs), "utf-8")
    return tmp_path


def recurrent(runner: Runner, attention: str) -> Runner:
    """A recurrent translator of random weights with a runner's tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = Seq2SeqConfig(len(runner.tokenizer), attention, embedding=8, layers=1, encoder_width=6, width=8)
        model = Seq2Seq(config).requires_grad_(False).eval()
    return Runner(replace(runner.card, name=attention, family="seq2seq"), model, runner.tokenizer, "cpu")


# --- Lines ------------------------------------------------------------------------------------------------------------


def test_bins_follow_each_other_and_the_summary_ends_with_some_of_them() -> None:
    for (_, before), (after, _) in pairwise(BINS):
        assert after == before + 1
    assert SUMMARY[0] in {shortest for shortest, _ in BINS} and SUMMARY[1] in {longest for _, longest in BINS}


def test_lines_of_the_lengths_that_have_a_bin(data: Path, pairs: tuple[Pair, ...]) -> None:
    expected = [pair for pair in pairs if 5 <= len(pair[0].split()) <= 50]
    assert read_lines(data) == expected and 10 < len(expected) < len(pairs)
    assert read_lines(data, 1000) == expected
    few = read_lines(data, 5)
    places = [expected.index(pair) for pair in few]
    assert len(few) == 5 and places == sorted(set(places)) and max(np.diff(places)) - min(np.diff(places)) <= 1


def test_lines_that_are_not_there(data: Path) -> None:
    with pytest.raises(InputError, match="--lines"):
        read_lines(data, 0)
    (data / FILE).write_text("One.\tUn.\n", "utf-8")
    with pytest.raises(InputError, match="no line of 5 to 50 words"):
        read_lines(data)
    (data / FILE).unlink()
    with pytest.raises(ConfigError, match="fetch-data"):
        read_lines(data)


# --- Counts -----------------------------------------------------------------------------------------------------------


def test_counts_of_lines_add_up_to_the_corpus_score() -> None:
    references = ["Le chat dort sur la chaise rouge.", "Il pleut et il fait froid.", "Où est la gare ?", "Elle lit."]
    outputs = ["Le chat dort sur le lit rouge.", "", "Où est la gare, s'il vous plaît ?", "Elle lit."]
    counts = bleu_counts(outputs, references)
    assert counts.shape == (4, 10) and counts[1].tolist() == [0] * 9 + [7]
    for chosen in ([0], [0, 1], [2, 3], [0, 1, 2, 3]):
        said, wanted = [outputs[i] for i in chosen], [references[i] for i in chosen]
        assert corpus_bleu(counts[chosen].sum(axis=0)) == pytest.approx(
            sacrebleu.corpus_bleu(said, [wanted]).score, abs=1e-9
        )
    assert bleu_counts([], []).shape == (0, 10)


def test_a_resample_has_as_many_lines_and_is_always_the_same() -> None:
    often = resample_counts(40)
    assert often.shape == (RESAMPLES, 40) and (often.sum(axis=1) == 40).all() and (often >= 0).all()
    np.testing.assert_array_equal(often, resample_counts(40))
    # How often a line is drawn has mean 1 and variance 39/40; the mean over 1,000 resamples is within 5 deviations.
    assert np.abs(often.mean(axis=0) - 1).max() < 5 / np.sqrt(RESAMPLES)
    assert (resample_counts(1) == 1).all()


def test_a_forced_pass_over_a_greedy_output_is_right_throughout(tiny_runner: Runner, pairs: tuple[Pair, ...]) -> None:
    own = []
    for english, _ in pairs:
        trace = tiny_runner.trace(english)
        again = [*tiny_runner.tokenizer.encode_ids(french_spacing(trace.translation)), END]
        if again == list(trace.predicted.ids):  # other pieces may spell the same output
            own.append((english, trace.translation))
    assert len(own) >= 5
    found = tokens_right(tiny_runner, own)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("family", ["transformer", "dot", "none"])
def test_many_pairs_at_once_are_as_one_by_one(tiny_runner: Runner, pairs: tuple[Pair, ...], family: str) -> None:
    runner = tiny_runner if family == "transformer" else recurrent(tiny_runner, family)
    done: list[int] = []
    found = tokens_right(runner, pairs, done.append)
    assert sum(done) == len(pairs)
    for (english, french), (right, total) in zip(pairs, found.tolist(), strict=True):
        wanted = [*runner.tokenizer.encode_ids(french), END]
        source = torch.tensor([runner.encode(english).ids])
        logits = runner.model(source, torch.tensor([[START, *wanted[:-1]]]))[0]
        logits[:, list(runner.vocabulary.banned)] = -torch.inf
        assert total == len(wanted)
        assert right == sum(said == token for said, token in zip(logits.argmax(-1).tolist(), wanted, strict=True))


def test_a_source_over_the_limit_has_no_right_token_and_no_output(tiny_runner: Runner, pairs: tuple[Pair, ...]) -> None:
    short = Runner(replace(tiny_runner.card, longest=12), tiny_runner.model, tiny_runner.tokenizer, "cpu")
    done: list[int] = []
    found = measure(short, pairs, done.append)
    long = [len(tiny_runner.encode(english)) > 12 for english, _ in pairs]
    assert found.over_limit == sum(long) and 0 < sum(long) < len(pairs)
    assert sum(done) == 2 * (len(pairs) - sum(long))
    assert (found.tokens[long, 0] == 0).all() and (found.tokens[:, 1] > 0).all()
    assert (found.counts[long, 8] == 0).all() and (found.counts[:, 9] > 0).all()
    np.testing.assert_array_equal(found.tokens[np.invert(long)], tokens_right(tiny_runner, pairs)[np.invert(long)])


def test_what_is_measured_names_the_weights_and_their_attention(tiny_runner: Runner, pairs: tuple[Pair, ...]) -> None:
    found = measure(tiny_runner, pairs[:3])
    assert (found.identity, found.attention) == (tiny_runner.card.identity, "")
    assert found.pieces == tiny_runner.card.sha256["tokenizer.model"][:8]
    assert measure(recurrent(tiny_runner, "dot"), pairs[:1]).attention == "dot"


# --- The figure -------------------------------------------------------------------------------------------------------


def lines_of(*lengths: int) -> list[Pair]:
    return [(" ".join(["mot"] * length), "mot") for length in lengths]


def scored(identity: str, attention: str, pairs: list[Pair], seed: int) -> Measured:
    """Random counts: of each line 20 words of output and reference, of which some n-grams match."""
    rng = np.random.default_rng(seed)
    matches = -np.sort(-rng.integers(1, 17, (len(pairs), 4)), axis=1)
    totals = np.tile([20, 19, 18, 17, 20, 20], (len(pairs), 1))
    right = rng.integers(0, 21, (len(pairs), 1))
    return Measured(
        identity, attention, "p", 0, np.hstack([matches, totals]), np.hstack([right, np.full_like(right, 20)])
    )


def test_scores_are_those_of_each_bins_lines(data: Path) -> None:
    pairs = lines_of(5, 8, 9, 16, 30, 50)
    model = scored("a@1", "", pairs, 1)
    found = bottleneck([model], pairs, data)
    (scores,) = found.models
    assert [(part.shortest, part.longest, part.lines) for part in scores.bins] == [
        (5, 8, 2), (9, 12, 1), (16, 20, 1), (26, 30, 1), (41, 50, 1)
    ]  # fmt: skip
    assert scores.bins[0].bleu.value == pytest.approx(corpus_bleu(model.counts[:2].sum(axis=0)), abs=0.005)
    assert scores.bins[0].accuracy.value == pytest.approx(model.tokens[:2, 0].sum() / 40, abs=5e-6)
    assert scores.bins[0].length_ratio == 1
    assert scores.summary is not None
    assert (scores.summary.shortest, scores.summary.longest, scores.summary.lines) == (16, 30, 2)
    one = scores.bins[1]  # every resample of one line is that line
    assert one.bleu.low == one.bleu.value == one.bleu.high and one.accuracy.low == one.accuracy.high
    assert (found.lines, found.resamples, found.gains) == (6, 1000, ())
    assert len(found.file_sha256) == 64 and "tok:13a" in found.metric


def test_an_interval_of_a_share_is_that_of_theory(data: Path) -> None:
    pairs = lines_of(*[10] * 400)
    tokens = np.tile([[1, 1], [0, 1]], (200, 1))
    model = replace(scored("a@1", "", pairs, 1), tokens=tokens)
    (part,) = bottleneck([model], pairs, data).models[0].bins
    half = 1.96 * np.sqrt(0.25 / 400)
    # 1,000 resamples tell a percentile to a few per cent of the interval; shares are multiples of 1/400.
    assert part.accuracy.value == 0.5
    assert part.accuracy.low == pytest.approx(0.5 - half, abs=0.006)
    assert part.accuracy.high == pytest.approx(0.5 + half, abs=0.006)


def test_gains_are_paired_with_the_model_without_attention(data: Path) -> None:
    pairs = lines_of(*[6] * 30, *[20] * 30)
    none, dot = scored("none@1", "none", pairs, 1), scored("dot@1", "dot", pairs, 2)
    same, other = replace(none, identity="same@1", attention="general"), scored("en-fr@1", "", pairs, 3)
    found = bottleneck([other, dot, none, same], pairs, data)
    assert [(gain.model, gain.baseline) for gain in found.gains] == [("dot@1", "none@1"), ("same@1", "none@1")]
    by_name = {model.name: model for model in found.models}
    for part, with_it, without in zip(found.gains[0].bins, by_name["dot"].bins, by_name["none"].bins, strict=True):
        assert part.lines == 30
        assert part.bleu.value == pytest.approx(with_it.bleu.value - without.bleu.value, abs=0.005)
        assert part.accuracy.value == pytest.approx(with_it.accuracy.value - without.accuracy.value, abs=1e-9)
        assert part.bleu.low < part.bleu.value < part.bleu.high
    assert found.gains[0].summary is not None and found.gains[0].summary.lines == 30
    zero = Estimate(0.0, 0.0, 0.0)
    assert all((part.bleu, part.accuracy) == (zero, zero) for part in found.gains[1].bins)
    assert by_name["none"].bins[0].bleu.low < by_name["none"].bins[0].bleu.high
    assert bottleneck([dot, other], pairs, data).gains == ()


def test_words_are_what_stands_between_spaces() -> None:
    assert words("The  animal didn't (really) cross .") == 6
